"""Another device, and the connection to it."""

import asyncio
from binascii import hexlify

from . import core

_IRQ_MTU_EXCHANGED = 21
_DEFAULT_MTU = 23


class DeviceDisconnectedError(Exception):
    """The connection ended while something waited on it."""


class DeviceTimeout:
    """`with connection.timeout(ms):` cancels its body when the time is over or the connection ends.

    Raises asyncio.TimeoutError or DeviceDisconnectedError in its place. timeout_ms None: no time limit.
    """

    def __init__(self, connection, timeout_ms):
        self._connection = connection
        self._timeout_ms = timeout_ms
        self._timer = None
        self._timed_out = self._disconnected = False

    async def _expire(self):
        await asyncio.sleep_ms(self._timeout_ms)
        self._timer = None
        self._timed_out = True
        self._task.cancel()

    def _end(self):
        """The connection has ended."""
        self._disconnected = True
        self._task.cancel()

    def __enter__(self):
        self._task = asyncio.current_task()
        if self._connection:
            self._connection._timeouts.append(self)
        if self._timeout_ms:
            self._timer = asyncio.create_task(self._expire())
        return self

    def __exit__(self, kind, value, traceback):
        if self._connection and self in self._connection._timeouts:
            self._connection._timeouts.remove(self)
        if self._timer:
            self._timer.cancel()
        if kind is asyncio.CancelledError:
            if self._timed_out:
                raise asyncio.TimeoutError
            if self._disconnected:
                raise DeviceDisconnectedError


class Device:
    """Address of a device: addr_type 0 public or 1 random, addr 6 bytes or text with colons."""

    def __init__(self, addr_type, addr):
        self.addr_type = addr_type
        self.addr = bytes.fromhex(addr.replace(":", "")) if isinstance(addr, str) else bytes(addr)
        self._connection = None

    def __eq__(self, other):
        return self.addr_type == other.addr_type and self.addr == other.addr

    def __hash__(self):
        return hash((self.addr_type, self.addr))

    def addr_hex(self):
        """The address as text with colons."""
        return hexlify(self.addr, ":").decode()


class DeviceConnection:
    """A connection. An async context manager that disconnects at its end."""

    _connected = {}

    def __init__(self, device, conn_handle):
        self.device = device
        device._connection = self
        self.encrypted = self.authenticated = self.bonded = False
        self.key_size = False
        self.mtu = None
        self._conn_handle = conn_handle
        self._timeouts = []
        self._ended = asyncio.ThreadSafeFlag()
        DeviceConnection._connected[conn_handle] = self
        self._task = asyncio.create_task(self._attend())

    async def _attend(self):
        """Wait for the end, then wake everything that waits on this connection."""
        await self._ended.wait()
        del DeviceConnection._connected[self._conn_handle]
        self._conn_handle = None
        self.device._connection = None
        for timeout in self._timeouts[:]:
            timeout._end()

    def is_connected(self):
        return self._conn_handle is not None

    def timeout(self, timeout_ms):
        """A context manager: see DeviceTimeout."""
        return DeviceTimeout(self, timeout_ms)

    async def disconnect(self, timeout_ms=2000):
        """End the connection and wait until it has ended. Raises asyncio.TimeoutError."""
        await self.disconnected(timeout_ms, disconnect=True)

    async def disconnected(self, timeout_ms=None, disconnect=False):
        """Wait for the connection's end. Raises asyncio.TimeoutError."""
        if not self.is_connected():
            return
        if disconnect:
            core.ble.gap_disconnect(self._conn_handle)
        with DeviceTimeout(None, timeout_ms):
            await self._task

    async def __aenter__(self):
        return self

    async def __aexit__(self, kind, value, traceback):
        await self.disconnect()


def _on_event(event, data):
    if event == _IRQ_MTU_EXCHANGED:
        conn_handle, mtu = data
        connection = DeviceConnection._connected.get(conn_handle)
        if connection:
            connection.mtu = mtu


core.register_irq_handler(_on_event, None)
