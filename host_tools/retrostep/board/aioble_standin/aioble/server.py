"""The GATT server: services, characteristics, and the writes that come in."""

import asyncio

import bluetooth

from . import core
from .device import DeviceConnection, DeviceTimeout

_IRQ_GATTS_WRITE = 3
_CAPTURED_WRITES = 10

_by_handle = {}
_captured = []
_captured_flag = asyncio.ThreadSafeFlag()
_taken = asyncio.Event()
_capture_task = None


async def _hand_out_captured():
    """Pass captured writes on, one at a time, in the order they came."""
    while True:
        await _captured_flag.wait()
        while _captured:
            characteristic, connection, data = _captured.pop(0)
            characteristic._captured = (connection, data)
            _taken.clear()
            characteristic._written.set()
            # What comes meanwhile stays in the queue, which is bounded.
            await _taken.wait()


def _on_event(event, data):
    if event != _IRQ_GATTS_WRITE:
        return
    conn_handle, attr_handle = data
    characteristic = _by_handle.get(attr_handle)
    if characteristic:
        characteristic._on_write(DeviceConnection._connected.get(conn_handle))


def _shutdown():
    global _capture_task
    if _capture_task:
        _capture_task.cancel()
        _capture_task = None
    _captured.clear()
    _taken.set()
    _by_handle.clear()


core.register_irq_handler(_on_event, _shutdown)


class Service:
    """A primary service; its characteristics add themselves."""

    def __init__(self, uuid):
        self.uuid = uuid
        self.characteristics = []


class Characteristic:
    """One characteristic of `service`. capture: written() gives (connection, data), every write for itself."""

    def __init__(
        self,
        service,
        uuid,
        read=False,
        write=False,
        write_no_response=False,
        notify=False,
        indicate=False,
        initial=None,
        capture=False,
    ):
        service.characteristics.append(self)
        self.uuid = uuid
        self.flags = 0
        for wanted, flag in (
            (read, bluetooth.FLAG_READ),
            (write, bluetooth.FLAG_WRITE),
            (write_no_response, bluetooth.FLAG_WRITE_NO_RESPONSE),
            (notify, bluetooth.FLAG_NOTIFY),
            (indicate, bluetooth.FLAG_INDICATE),
        ):
            if wanted:
                self.flags |= flag
        self._writable = write or write_no_response
        self._capture = capture
        if self._writable:
            self._captured = None
            self._written = asyncio.ThreadSafeFlag()
            self._writer = None
        self._value_handle = None
        self._initial = initial

    def _register(self, value_handle):
        self._value_handle = value_handle
        _by_handle[value_handle] = self
        if self._initial is not None:
            self.write(self._initial)
            self._initial = None

    def _on_write(self, connection):
        if self._capture:
            if len(_captured) == _CAPTURED_WRITES:
                _captured.pop(0)
            _captured.append((self, connection, self.read()))
            _captured_flag.set()
        else:
            self._writer = connection
            self._written.set()

    def read(self):
        """The local value."""
        if self._value_handle is None:
            return self._initial or b""
        return core.ble.gatts_read(self._value_handle)

    def write(self, data, send_update=False):
        """Set the local value; send_update notifies those who asked for it."""
        if self._value_handle is None:
            self._initial = data
        else:
            core.ble.gatts_write(self._value_handle, data, send_update)

    async def written(self, timeout_ms=None):
        """Wait for a write: the connection, or with capture (connection, data). Raises asyncio.TimeoutError."""
        if not self._writable:
            raise ValueError("Not supported")
        with DeviceTimeout(None, timeout_ms):
            if not self._capture:
                await self._written.wait()
                return self._writer
            # A flag that is still set tells of a write that has been taken already.
            while self._captured is None:
                await self._written.wait()
        first, self._captured = self._captured, None
        _taken.set()
        return first

    def notify(self, connection, data=None):
        """Send a notification: `data`, or the local value. Raises OSError(ENOMEM) when no buffer is free."""
        if not self.flags & bluetooth.FLAG_NOTIFY:
            raise ValueError("Not supported")
        core.ble.gatts_notify(connection._conn_handle, self._value_handle, data)


class BufferedCharacteristic(Characteristic):
    """A characteristic whose value may have more than 20 bytes."""

    def __init__(self, *args, max_len=20, append=False, **kwargs):
        super().__init__(*args, **kwargs)
        self._max_len = max_len
        self._append = append

    def _register(self, value_handle):
        super()._register(value_handle)
        core.ble.gatts_set_buffer(value_handle, self._max_len, self._append)


def register_services(*services):
    """Make the services known to the radio; replaces those registered before."""
    global _capture_task
    core.ensure_active()
    _by_handle.clear()
    definitions = []
    for service in services:
        entries = [(characteristic.uuid, characteristic.flags) for characteristic in service.characteristics]
        definitions.append((service.uuid, entries))
    handles = core.ble.gatts_register_services(definitions)
    for service, of_service in zip(services, handles):
        for characteristic, value_handle in zip(service.characteristics, of_service):
            characteristic._register(value_handle)
    if _capture_task is None:
        _capture_task = asyncio.create_task(_hand_out_captured())
