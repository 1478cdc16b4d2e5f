"""A virtual laptop's Bluetooth adapter: bleak's backend over bumble, for the tests and the demo.

    laptop = Laptop(air)
    BleakScanner(..., backend=laptop.scanner), BleakClient(..., backend=laptop.client)

Like an operating system it keeps its bonds (as long as the object lives) and encrypts a link to a bonded device by
itself. bumble works in the air's thread; callbacks come in the event loop of whoever called.
"""

from __future__ import annotations

import asyncio
import uuid as uuid_module
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from bleak.args import SizedBuffer
from bleak.assigned_numbers import gatt_char_props_to_strs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakError
from bumble import core, hci, pairing
from bumble.core import AdvertisingData
from bumble.device import Advertisement, Connection, Device, Peer
from bumble.keys import MemoryKeyStore

from retrostep.board.radio import Air, Radio

Result = TypeVar("Result")

_MTU = 517
_UUID_FIELDS = (
    (AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS, 2),
    (AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS, 16),
)


def _uuid_text(uuid: core.UUID) -> str:
    """128 bits in lower case, as bleak writes UUIDs."""
    return str(uuid_module.UUID(bytes=bytes(reversed(uuid.to_bytes(force_128=True)))))


class Laptop:
    """One adapter in `air`; `client` and `scanner` are its backend classes."""

    def __init__(self, air: Air, address: str = "D0:00:00:00:00:01") -> None:
        self.air = air
        self.address = address
        self._radio: Radio | None = None
        self._bonds = MemoryKeyStore()
        laptop = self

        class Client(_Client):
            _laptop = laptop

        class Scanner(_Scanner):
            _laptop = laptop

        self.client: type[BaseBleakClient] = Client
        self.scanner: type[BaseBleakScanner] = Scanner

    async def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run `work` in the air's thread; bumble's errors become bleak's."""
        try:
            return await asyncio.wrap_future(self.air.submit(work))
        except (core.BaseBumbleError, hci.HCI_Error, TimeoutError) as error:
            raise BleakError(f"{type(error).__name__}: {error}") from error

    async def device(self) -> Device:
        """The adapter, switched on at its first use. In the air's thread."""
        if self._radio is None:
            self._radio = Radio(self.air, "laptop", self.address, self._bonds)
            await self._radio.power_on()
            self._radio.device.pairing_config_factory = lambda connection: pairing.PairingConfig(
                sc=True, mitm=False, bonding=True
            )
        return self._radio.device

    async def refuse_to_pair(self) -> None:
        """From now on, say no in the middle of every pairing."""

        class Refusing(pairing.PairingDelegate):
            async def confirm(self, auto: bool = False) -> bool:
                return False

        async def refuse() -> None:
            device = await self.device()
            device.pairing_config_factory = lambda connection: pairing.PairingConfig(
                sc=True, mitm=False, bonding=True, delegate=Refusing()
            )

        await self.run(refuse())

    async def switch_off(self) -> None:
        """Take the adapter out of the air; it comes back, with its bonds, when it is used again."""

        async def leave() -> None:
            radio, self._radio = self._radio, None
            if radio is not None:
                radio.power_off()

        await self.run(leave())


class _Scanner(BaseBleakScanner):
    _laptop: Laptop

    def __init__(
        self,
        detection_callback: Callable[[BLEDevice, AdvertisementData], Any] | None,
        service_uuids: list[str] | None,
        scanning_mode: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(detection_callback, service_uuids)

    async def start(self) -> None:
        self.seen_devices = {}
        loop = asyncio.get_running_loop()

        def heard(advertisement: Advertisement) -> None:
            loop.call_soon_threadsafe(self._on_heard, advertisement)

        async def begin() -> None:
            device = await self._laptop.device()
            device.on(Device.EVENT_ADVERTISEMENT, heard)
            await device.start_scanning()

        self._heard = heard
        await self._laptop.run(begin())

    async def stop(self) -> None:
        async def end() -> None:
            device = await self._laptop.device()
            device.remove_listener(Device.EVENT_ADVERTISEMENT, self._heard)
            await device.stop_scanning()

        await self._laptop.run(end())

    def _on_heard(self, advertisement: Advertisement) -> None:
        uuids: list[str] = []
        name = None
        for kind, data in advertisement.data.ad_structures:
            for field, size in _UUID_FIELDS:
                if kind == field:
                    uuids += [
                        _uuid_text(core.UUID.from_bytes(data[at : at + size]))
                        for at in range(0, len(data), size)
                    ]
            if kind == AdvertisingData.COMPLETE_LOCAL_NAME:
                name = data.decode(errors="replace")
        if not self.is_allowed_uuid(uuids):
            return
        address = advertisement.address
        heard = AdvertisementData(name, {}, {}, uuids, None, advertisement.rssi, ())
        text = address.to_string(False)
        self.call_detection_callbacks(self.create_or_update_device(text, text, name, address, heard), heard)


class _Client(BaseBleakClient):
    _laptop: Laptop

    def __init__(self, address_or_ble_device: BLEDevice | str, **kwargs: Any) -> None:
        super().__init__(address_or_ble_device, **kwargs)
        found = address_or_ble_device
        self._address = found.details if isinstance(found, BLEDevice) else hci.Address(found)
        self._name = (found.name if isinstance(found, BLEDevice) else None) or self.address
        self._connection: Connection | None = None
        self._peer: Peer | None = None
        self._subscribers: dict[int, Callable[[bytes], None]] = {}

    @property
    def name(self) -> str:
        return self._name

    @property
    def mtu_size(self) -> int:
        return self._connection.att_mtu if self._connection else 23

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        loop = asyncio.get_running_loop()

        def on_disconnection(reason: int) -> None:
            loop.call_soon_threadsafe(self._on_disconnected)

        async def begin() -> None:
            device = await self._laptop.device()
            connection = await device.connect(self._address, timeout=self._timeout)
            connection.on(Connection.EVENT_DISCONNECTION, on_disconnection)
            self._connection = connection
            assert device.keystore is not None
            if await device.keystore.get(str(connection.peer_address)) is not None:
                try:
                    await connection.encrypt()
                except (core.BaseBumbleError, hci.HCI_Error):
                    if connection.handle in device.connections:
                        await connection.disconnect()
                    raise
            peer = Peer(connection)
            await peer.request_mtu(_MTU)
            await peer.discover_all()
            self._peer = peer

        await self._laptop.run(begin())
        if pair and self._connection is not None and not self._connection.is_encrypted:
            await self.pair()
        self.services = self._collect()

    def _collect(self) -> BleakGATTServiceCollection:
        assert self._peer
        services = BleakGATTServiceCollection()
        for service in self._peer.services:
            shown = BleakGATTService(service, service.handle, _uuid_text(service.uuid))
            services.add_service(shown)
            for one in service.characteristics:
                properties = list(gatt_char_props_to_strs(int(one.properties)))
                services.add_characteristic(
                    BleakGATTCharacteristic(
                        one,
                        one.handle,
                        _uuid_text(one.uuid),
                        properties,
                        lambda: self.mtu_size - 3,
                        shown,
                    )
                )
        return services

    def _on_disconnected(self) -> None:
        if self._connection is None:
            return
        self._connection = None
        if self._disconnected_callback:
            self._disconnected_callback()

    def _alive(self) -> Peer:
        if self._connection is None or self._peer is None:
            raise BleakError("Not connected")
        return self._peer

    async def _run(self, work: Callable[[Peer], Coroutine[Any, Any, Result]]) -> Result:
        """Run work(peer), but no longer than the connection lasts."""
        peer = self._alive()

        async def bounded() -> Result:
            device = await self._laptop.device()
            if device.connections.get(peer.connection.handle) is not peer.connection:
                raise BleakError("Disconnected")
            try:
                return await peer.connection.cancel_on_disconnection(work(peer))
            except asyncio.CancelledError as error:
                raise BleakError("Disconnected") from error

        return await self._laptop.run(bounded())

    async def disconnect(self) -> None:
        connection = self._connection
        if connection is None:
            return

        async def end() -> None:
            device = await self._laptop.device()
            if connection.handle in device.connections:
                await connection.disconnect()

        await self._laptop.run(end())
        self._on_disconnected()

    async def pair(self, *args: Any, **kwargs: Any) -> None:
        await self._run(lambda peer: peer.connection.pair())

    async def unpair(self) -> None:
        async def forget() -> None:
            device = await self._laptop.device()
            assert device.keystore is not None
            await device.keystore.delete(str(self._address))

        await self._laptop.run(forget())

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, *, use_cached: bool = False, **kwargs: Any
    ) -> bytearray:
        return bytearray(await self._run(lambda peer: peer.read_value(characteristic.obj)))

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        content = bytes(data)
        await self._run(lambda peer: peer.write_value(characteristic.obj, content, response))

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        loop = asyncio.get_running_loop()

        def arrived(value: bytes) -> None:
            loop.call_soon_threadsafe(callback, bytearray(value))

        self._subscribers[characteristic.handle] = arrived
        await self._run(lambda peer: peer.subscribe(characteristic.obj, arrived))

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        arrived = self._subscribers.pop(characteristic.handle, None)
        await self._run(lambda peer: peer.unsubscribe(characteristic.obj, arrived))

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, *, use_cached: bool = False, **kwargs: Any
    ) -> bytearray:
        return bytearray(await self._run(lambda peer: peer.read_value(descriptor.handle)))

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: SizedBuffer) -> None:
        content = bytes(data)
        await self._run(lambda peer: peer.write_value(descriptor.handle, content, True))
