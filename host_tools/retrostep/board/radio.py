"""The radio of the virtual board: a virtual controller of a real Bluetooth stack (bumble), and the air around it.

    with Air() as air, VirtualBoard(image, radio=BoardRadio(air)) as board: ...

`Air` is a space in which radios hear each other; it runs in a thread with an event loop of its own. `BoardRadio`
carries out what rom_bluetooth/bluetooth.py asks for, and turns the stack's events into those of MicroPython's
`bluetooth`. Bonds go through the board's own secrets (events 29 and 30): nothing is remembered here.

Pacing: `Air(packets_per_interval=4)` lets a radio send so many packets per connection interval; a board whose
`buffers` are all under way gets ENOMEM from gatts_notify, as from NimBLE. Not modelled: distance, interference,
connection parameters, data length and PHY, resolvable addresses, and NimBLE's own order of events and error codes.
"""

from __future__ import annotations

import asyncio
import errno
import os
import struct
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from bumble import att, core, hci, pairing
from bumble.controller import Controller
from bumble.device import Connection, Device, DeviceConfiguration
from bumble.gatt import (
    GATT_DEVICE_NAME_CHARACTERISTIC,
    GATT_GENERIC_ACCESS_SERVICE,
    Characteristic,
    Service,
)
from bumble.host import Host
from bumble.keys import KeyStore, PairingKeys
from bumble.link import LocalLink
from bumble.transport.common import AsyncPipeSink

from retrostep.board.errors import BoardError

Result = TypeVar("Result")

STANDIN = Path(__file__).resolve().parent / "aioble_standin"
CONNECTION_INTERVAL_S = 0.015
BUFFERS = 12
_ATT_CID = 4
_NOTIFICATION = 0x1B
_ANSWER_TIMEOUT_S = 10.0

# Events of MicroPython's `bluetooth`.
CENTRAL_CONNECT, CENTRAL_DISCONNECT, GATTS_WRITE = 1, 2, 3
MTU_EXCHANGED, ENCRYPTION_UPDATE, GET_SECRET, SET_SECRET = 21, 28, 29, 30
# Kinds of secrets, as NimBLE numbers them: keys by which the peer knows us, and keys by which we know the peer.
OUR_SECURITY, PEER_SECURITY = 1, 2
_SECRET_KINDS = (OUR_SECURITY, PEER_SECURITY)

# Flags of a characteristic beyond its properties, as MicroPython's `bluetooth` takes them.
_PERMISSIONS = (
    (0x0200, Characteristic.READ_REQUIRES_ENCRYPTION),
    (0x0400, Characteristic.READ_REQUIRES_AUTHENTICATION),
    (0x1000, Characteristic.WRITE_REQUIRES_ENCRYPTION),
    (0x2000, Characteristic.WRITE_REQUIRES_AUTHENTICATION),
)
_READABLE, _WRITABLE = 0x02, 0x04 | 0x08
_DEFAULT_VALUE_BYTES = 20


def aioble_files() -> list[tuple[Path, str]]:
    """aioble for a flash image: (path here, path there). The stand-in, or what RETROSTEP_AIOBLE names.

    Raises BoardError.
    """
    folder = Path(os.environ.get("RETROSTEP_AIOBLE") or STANDIN)
    files = sorted((folder / "aioble").glob("*.py"))
    if not files:
        raise BoardError(
            f"RETROSTEP_AIOBLE names {folder}: expected a folder that holds aioble/ with its .py files"
        )
    return [(path, f"/lib/aioble/{path.name}") for path in files]


def _bytes(text: str | list[str]) -> bytes:
    """What the ROM sends as hex, in one piece or several."""
    return bytes.fromhex("".join(text))


class Air(LocalLink):
    """A radio space. A context manager; entering starts its thread.

    packets_per_interval: what one radio may send in `interval_s`; None: as fast as the computer can.
    advertising_interval_s: None: as the board asks; less saves a test that connects again and again its waiting.
    """

    def __init__(
        self,
        packets_per_interval: int | None = None,
        interval_s: float = CONNECTION_INTERVAL_S,
        advertising_interval_s: float | None = None,
    ) -> None:
        super().__init__()
        self.packets_per_interval = packets_per_interval
        self.interval_s = interval_s
        self.advertising_interval_s = advertising_interval_s
        self.loop = asyncio.new_event_loop()
        self.notifications = 0
        """How many notifications have been sent in this air."""
        self._cut_at: int | None = None
        self._waiting: dict[Any, deque[tuple[Any, ...]]] = {}
        self._ticking = False
        self._listeners: list[Callable[[Any], None]] = []
        self._thread = threading.Thread(target=self.loop.run_forever, name="air", daemon=True)

    def __enter__(self) -> Air:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.submit(self._end_tasks()).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    async def _end_tasks(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def submit(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Run `work` in the air's thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def cut_after(self, notifications: int) -> None:
        """Break every link when so many more notifications have been sent; the last of them does not arrive."""
        self._cut_at = self.notifications + notifications

    def on_sent(self, listener: Callable[[Any], None]) -> None:
        """Call listener(controller) for every notification that has left its buffer."""
        self._listeners.append(listener)

    def break_links(self) -> None:
        """As when everybody gets out of everybody's reach. In the air's thread."""
        for controller in list(self.controllers):
            for connection in list(controller.le_connections.values()):
                self.break_link(controller, connection)

    def break_link(self, controller: Controller, connection: Any) -> None:
        """Both ends of this connection find that it has timed out. In the air's thread."""
        peer = self.find_le_controller(connection.peer_address)
        ends = [(controller, connection)]
        if peer is not None:
            ends += [
                (peer, theirs)
                for theirs in peer.le_connections.values()
                if theirs.peer_address == connection.self_address
            ]
        for end, lost in ends:
            end.on_le_disconnected(lost, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)

    def send_acl_data(self, sender_controller, destination_address, transport, data) -> None:
        """See LocalLink; at the pace that was asked for."""
        packet = (sender_controller, destination_address, transport, data)
        if self.packets_per_interval is None:
            self._send(*packet)
            return
        self._waiting.setdefault(sender_controller, deque()).append(packet)
        if not self._ticking:
            self._ticking = True
            self._next_s = self.loop.time()
            self._tick()

    def _tick(self) -> None:
        """One connection interval: each radio sends what it may. The last is one in which nobody had anything."""
        assert self.packets_per_interval is not None
        self._ticking = any(self._waiting.values())
        for queue in self._waiting.values():
            for _ in range(min(len(queue), self.packets_per_interval)):
                self._send(*queue.popleft())
        if self._ticking:
            self._next_s += self.interval_s
            self.loop.call_at(self._next_s, self._tick)

    def _send(self, sender: Controller, destination: hci.Address, transport: Any, data: bytes) -> None:
        if struct.unpack_from("<H", data, 2)[0] == _ATT_CID and data[4] == _NOTIFICATION:
            self.notifications += 1
            for listener in self._listeners:
                listener(sender)
            if self._cut_at is not None and self.notifications >= self._cut_at:
                self._cut_at = None
                self.break_links()
        if self.find_le_controller(destination) is not None and sender in self.controllers:
            super().send_acl_data(sender, destination, transport, data)


class Radio:
    """A bumble device with a controller of its own in `air`: no input, no output, so pairing is Just Works."""

    def __init__(self, air: Air, name: str, address: str, keystore: KeyStore) -> None:
        self._air = air
        self.controller = Controller(name, link=air)
        config = DeviceConfiguration(name=name, address=hci.Address(address))
        self.device = Device(config=config, host=Host(self.controller, AsyncPipeSink(self.controller)))
        self.device.keystore = keystore

    async def power_on(self) -> None:
        """Before anything else. In the air's thread, as everything here."""
        await self.device.power_on()

    def power_off(self) -> None:
        """Leave the air; whoever is connected finds that the connection has timed out."""
        for connection in list(self.controller.le_connections.values()):
            self._air.break_link(self.controller, connection)
        for advertising in self.controller.advertising_sets.values():
            advertising.stop()
        self._air.remove_controller(self.controller)


class _Secrets(KeyStore):
    """Bumble's key store over the secrets of the board, laid out as NimBLE names them: kind, address of the peer."""

    def __init__(self, radio: BoardRadio) -> None:
        self._radio = radio

    @staticmethod
    def _key(address: hci.Address) -> bytes:
        return bytes([0 if address.is_public else 1]) + bytes(address)

    async def get(self, name: str) -> PairingKeys | None:
        key = self._key(hci.Address(name))
        stored = await self._radio.ask_board(GET_SECRET, [OUR_SECURITY, 0, key.hex()])
        if not isinstance(stored, str) or len(stored) != 2 * (len(key) + 16):
            return None
        return PairingKeys(ltk=PairingKeys.Key(bytes.fromhex(stored)[len(key) :]))

    async def update(self, name: str, keys: PairingKeys) -> None:
        key = self._key(hci.Address(name))
        assert keys.ltk is not None
        value = key + keys.ltk.value
        for kind in _SECRET_KINDS:
            await self._radio.ask_board(SET_SECRET, [kind, key.hex(), value.hex()])

    async def forget(self, address: hci.Address) -> bool:
        """Ask the board to drop an old bond before a new pairing; False if it will not."""
        key = self._key(address)
        dropped = True
        for kind in _SECRET_KINDS:
            if await self._radio.ask_board(GET_SECRET, [kind, 0, key.hex()]) is not None:
                dropped &= bool(await self._radio.ask_board(SET_SECRET, [kind, key.hex(), None]))
        return dropped


class _Delegate(pairing.PairingDelegate):
    """Answers pairing requests as NimBLE does under MicroPython: a known peer that pairs anew loses its old bond."""

    def __init__(self, secrets: _Secrets, connection: Connection) -> None:
        super().__init__(pairing.PairingDelegate.NO_OUTPUT_NO_INPUT)
        self._secrets = secrets
        self._address = connection.peer_address

    async def accept(self) -> bool:
        return await self._secrets.forget(self._address)


class _Value:
    """The value of one characteristic, and how much of a write it takes."""

    def __init__(self, characteristic: Characteristic) -> None:
        self.characteristic = characteristic
        self.data = b""
        self.limit = _DEFAULT_VALUE_BYTES
        self.append = False


class BoardRadio:
    """One board's radio in `air`; give it to VirtualBoard(radio=...). buffers: notifications it can hold."""

    ROM = Path(__file__).resolve().parent / "rom_bluetooth"

    def __init__(self, air: Air, buffers: int = BUFFERS, address: str = "C0:34:85:18:AA:01") -> None:
        self.air = air
        self.buffers = buffers
        self.address = address
        self.refusals = 0
        """How often gatts_notify failed with ENOMEM."""
        self._to_board: Callable[[dict[str, Any]], None] = lambda message: None
        self._on_in_use: Callable[[bool], None] = lambda in_use: None
        self._radio: Radio | None = None
        self._secrets = _Secrets(self)
        self._config: dict[str, Any] = {}
        self._values: dict[int, _Value] = {}
        self._under_way = 0
        self._advertised = [b"", b""]
        self._events = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._write_lock: asyncio.Lock | None = None
        self._life = 0
        air.on_sent(self._on_sent)

    # -- the board's side: any thread ------------------------------------------------------------------

    def attach(self, to_board: Callable[[dict[str, Any]], None], on_in_use: Callable[[bool], None]) -> None:
        """to_board(message) sends to the ROM; on_in_use(bool) tells whether a central is connected."""
        self._to_board = to_board
        self._on_in_use = on_in_use

    def receive(self, message: dict[str, Any]) -> None:
        """A message of the ROM."""
        life = self._life
        self.air.loop.call_soon_threadsafe(self._receive, message, life)

    def life_ended(self) -> None:
        """The board was reset or lost its power: the radio falls silent."""
        self._life += 1
        self.air.loop.call_soon_threadsafe(self._fall_silent)

    # -- the air's thread ------------------------------------------------------------------------------

    def _fall_silent(self) -> None:
        for answer in self._answers.values():
            answer.cancel()
        self._answers.clear()
        self._values.clear()
        self._under_way = 0
        radio, self._radio = self._radio, None
        if radio is not None:
            radio.power_off()
        self._on_in_use(False)

    def _receive(self, message: dict[str, Any], life: int) -> None:
        if life != self._life:
            return
        if "answer" in message:
            answer = self._answers.pop(message["answer"], None)
            if answer is not None and not answer.done():
                answer.set_result(message["result"])
            return
        self.air.loop.create_task(self._serve(message["request"], message["ask"], message["arguments"], life))

    async def _serve(self, request: int, name: str, arguments: dict[str, Any], life: int) -> None:
        value, number = None, 0
        try:
            done = getattr(self, f"_do_{name}")(**arguments)
            value = await done if asyncio.iscoroutine(done) else done
        except OSError as error:
            number = error.errno or errno.EIO
        if life == self._life:
            self._to_board({"do": "radio", "reply": request, "value": value, "errno": number})

    async def ask_board(self, code: int, data: list[Any]) -> Any:
        """Hand an event to the firmware and return what its handler gave; None if the board is gone."""
        self._events += 1
        number = self._events
        answer = self._answers[number] = self.air.loop.create_future()
        self._to_board({"do": "radio", "number": number, "code": code, "data": data})
        try:
            return await asyncio.wait_for(answer, _ANSWER_TIMEOUT_S)
        except (TimeoutError, asyncio.TimeoutError):
            return None

    def _tell(self, code: int, data: list[Any]) -> None:
        self._events += 1
        self._to_board({"do": "radio", "number": self._events, "code": code, "data": data})

    def _stack(self) -> Device:
        if self._radio is None:
            raise OSError(errno.ENODEV, "the radio is off")
        return self._radio.device

    def _connection(self, conn_handle: int | None) -> Connection:
        connection = None if conn_handle is None else self._stack().connections.get(conn_handle)
        if connection is None:
            raise OSError(errno.ENOTCONN, "no such connection")
        return connection

    def _value(self, handle: int) -> _Value:
        if handle not in self._values:
            raise OSError(errno.EINVAL, "no such characteristic")
        return self._values[handle]

    # -- the calls of class BLE ------------------------------------------------------------------------

    async def _do_active(self, on: bool) -> None:
        self._fall_silent()
        if not on:
            return
        self._config = {"gap_name": "MPY ESP32", "mtu": 256, "bond": False, "mitm": False, "io": 3}
        self._write_lock = asyncio.Lock()
        radio = Radio(self.air, "board", self.address, self._secrets)
        await radio.power_on()
        device = radio.device
        device.gatt_server.max_mtu = self._config["mtu"]
        device.pairing_config_factory = lambda connection: pairing.PairingConfig(
            sc=self._config.get("le_secure", False),
            mitm=self._config["mitm"],
            bonding=self._config["bond"],
            delegate=_Delegate(self._secrets, connection),
        )
        device.on(Device.EVENT_CONNECTION, self._on_connection)
        self._radio = radio

    def _do_set_config(self, values: dict[str, Any]) -> None:
        known = {"gap_name", "mtu", "bond", "mitm", "io", "le_secure", "rxbuf"}
        if set(values) - known or values.get("io", 3) != 3:
            # Passkeys and private addresses are not modelled.
            raise OSError(errno.EINVAL, "unknown configuration")
        self._config.update(values)
        server = self._stack().gatt_server
        server.max_mtu = self._config["mtu"]
        name = server.get_characteristic_attributes(
            GATT_GENERIC_ACCESS_SERVICE, GATT_DEVICE_NAME_CHARACTERISTIC
        )
        assert name is not None
        name[1].value = self._config["gap_name"].encode()

    def _do_get_config(self, name: str) -> Any:
        if name == "mac":
            return [1, bytes(reversed(bytes(self._stack().random_address))).hex()]
        if name not in self._config:
            raise OSError(errno.EINVAL, "unknown configuration")
        return self._config[name]

    async def _do_advertise(
        self, interval_us: int | None, adv_data: str | None, resp_data: str | None, connectable: bool
    ) -> None:
        device = self._stack()
        for at, data in enumerate((adv_data, resp_data)):
            if data is not None:
                self._advertised[at] = bytes.fromhex(data)
        if interval_us is None:
            await device.stop_advertising()
            return
        if not connectable:
            raise OSError(errno.EINVAL, "only connectable advertising is modelled")
        interval_ms = interval_us / 1000
        if self.air.advertising_interval_s is not None:
            interval_ms = self.air.advertising_interval_s * 1000
        # The virtual controller has no scan responses: both parts are one payload here.
        await device.start_advertising(
            advertising_data=b"".join(self._advertised),
            scan_response_data=b"",
            advertising_interval_min=interval_ms,
            advertising_interval_max=interval_ms,
        )

    async def _do_disconnect(self, conn_handle: int) -> bool:
        try:
            await self._connection(conn_handle).disconnect()
        except OSError:
            return False
        except core.BaseBumbleError:
            # It went by itself meanwhile.
            return True
        return True

    def _do_register_services(self, services: list[Any]) -> list[list[int]]:
        device = self._stack()
        if self._values:
            raise OSError(errno.EBUSY, "services were registered already")
        handles = []
        for uuid, entries in services:
            values = [self._characteristic(*entry) for entry in entries]
            characteristics = [value.characteristic for value in values]
            device.add_service(Service(core.UUID.from_bytes(bytes.fromhex(uuid)), characteristics))
            handles.append([value.characteristic.handle for value in values])
            self._values.update({value.characteristic.handle: value for value in values})
        return handles

    def _characteristic(self, uuid: str, flags: int) -> _Value:
        permissions = Characteristic.Permissions(0)
        if flags & _READABLE:
            permissions |= Characteristic.READABLE
        if flags & _WRITABLE:
            permissions |= Characteristic.WRITEABLE
        for flag, permission in _PERMISSIONS:
            if flags & flag:
                permissions |= permission
        value: _Value

        def read(connection: Connection) -> bytes:
            if not flags & _READABLE:
                raise att.ATT_Error(att.ATT_READ_NOT_PERMITTED_ERROR)
            return value.data

        async def write(connection: Connection, data: bytes) -> None:
            if not flags & _WRITABLE:
                raise att.ATT_Error(att.ATT_WRITE_NOT_PERMITTED_ERROR)
            await self._on_write(value, connection, data)

        characteristic = Characteristic(
            core.UUID.from_bytes(bytes.fromhex(uuid)),
            Characteristic.Properties(flags & 0x3E),
            permissions,
            att.AttributeValue(read=read, write=write),
        )
        value = _Value(characteristic)
        return value

    def _do_read(self, handle: int) -> str:
        return self._value(handle).data.hex()

    async def _do_write(self, handle: int, data: str | list[str], send_update: bool) -> None:
        value = self._value(handle)
        value.data = _bytes(data)
        if send_update:
            await self._stack().notify_subscribers(value.characteristic, value.data)

    def _do_set_buffer(self, handle: int, length: int, append: bool) -> None:
        value = self._value(handle)
        value.limit, value.append = length, append

    async def _do_notify(self, conn_handle: int | None, handle: int, data: str | list[str] | None) -> None:
        connection = self._connection(conn_handle)
        value = self._value(handle)
        if self._under_way >= self.buffers:
            self.refusals += 1
            raise OSError(errno.ENOMEM, "no buffer is free")
        self._under_way += 1
        payload = value.data if data is None else _bytes(data)
        # As MicroPython does: whether the central asked for it is not looked at.
        await self._stack().notify_subscriber(connection, value.characteristic, payload, force=True)

    # -- the stack's events ----------------------------------------------------------------------------

    def _on_sent(self, controller: Controller) -> None:
        if self._radio is not None and controller is self._radio.controller:
            self._under_way = max(self._under_way - 1, 0)

    def _on_connection(self, connection: Connection) -> None:
        address = connection.peer_address
        peer = [
            connection.handle,
            0 if address.is_public else 1,
            bytes(reversed(bytes(address))).hex(),
        ]

        def on_disconnection(reason: int) -> None:
            self._under_way = 0
            self._on_in_use(False)
            self._tell(CENTRAL_DISCONNECT, peer)

        def on_encryption() -> None:
            encrypted = bool(connection.encryption)
            self._tell(
                ENCRYPTION_UPDATE,
                [connection.handle, encrypted, False, encrypted and self._config["bond"], 16],
            )

        def on_pairing_failure(reason: Any) -> None:
            # As NimBLE tells it: an encryption update that says there is none. Nobody is told of a link that is gone.
            if self._radio is None or self._radio.device.connections.get(connection.handle) is not connection:
                return
            self._tell(ENCRYPTION_UPDATE, [connection.handle, False, False, False, 0])

        connection.on(Connection.EVENT_DISCONNECTION, on_disconnection)
        connection.on(Connection.EVENT_PAIRING_FAILURE, on_pairing_failure)
        connection.on(Connection.EVENT_CONNECTION_ENCRYPTION_CHANGE, on_encryption)
        connection.on(
            Connection.EVENT_CONNECTION_ATT_MTU_UPDATE,
            lambda: self._tell(MTU_EXCHANGED, [connection.handle, connection.att_mtu]),
        )
        self._on_in_use(True)
        self._tell(CENTRAL_CONNECT, peer)

    async def _on_write(self, value: _Value, connection: Connection, data: bytes) -> None:
        assert self._write_lock is not None
        async with self._write_lock:
            value.data = ((value.data if value.append else b"") + data)[: value.limit]
            await self.ask_board(GATTS_WRITE, [connection.handle, value.characteristic.handle])
