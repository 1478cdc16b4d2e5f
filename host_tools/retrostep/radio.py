"""Bluetooth Low Energy as a transport: firmware/link/packets.py's packets over bleak.

    device = await find(None)
    async with RadioTransport(device) as transport:
        link = Link(transport)

`Backend` names bleak's backend classes; the default is the computer's own Bluetooth, another one may be handed in.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

from bleak import BleakClient, BleakScanner
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import BaseBleakScanner
from bleak.exc import BleakBluetoothNotAvailableError, BleakError

from retrostep.device_tree import use_device_code
from retrostep.link import LinkError

use_device_code()

from firmware.link import packets  # noqa: E402

SCAN_S = 8.0
CONNECT_S = 20.0
# Larger than any message of a device: RECORDS of eight packets.
MAX_ANSWER_BYTES = 8192
# In Python 3.10 a timeout is no OSError.
_FAILURES = (BleakError, OSError, asyncio.TimeoutError)
HOLD = "hold its button for 3 s until it buzzes (short, short, long); it can be reached for 60 s then"


class RadioUnusable(LinkError):
    """This computer's Bluetooth can't be used."""


class DeviceNotFound(LinkError):
    """No device answers the scan."""


class PairingFailed(LinkError):
    """The device did not accept this computer."""


class LinkLost(LinkError):
    """The radio link is gone."""


@dataclass(frozen=True)
class Backend:
    """bleak's backend classes; None: those of this platform."""

    client: type[BaseBleakClient] | None = None
    scanner: type[BaseBleakScanner] | None = None


@dataclass(frozen=True)
class Found:
    """A Retrostep that advertises."""

    address: str
    name: str
    rssi_dbm: int
    device: BLEDevice


async def scan(seconds: float = SCAN_S, backend: Backend = Backend()) -> list[Found]:
    """The Retrosteps in reach, strongest first. Raises RadioUnusable."""
    try:
        async with BleakScanner(service_uuids=[packets.SERVICE], backend=backend.scanner) as scanner:
            await asyncio.sleep(seconds)
            heard = list(scanner.discovered_devices_and_advertisement_data.values())
    except _FAILURES as error:
        raise _unusable(error) from error
    found = [Found(device.address, device.name or packets.NAME, ad.rssi, device) for device, ad in heard]
    return sorted(found, key=lambda one: -one.rssi_dbm)


async def find(address: str | None, seconds: float = SCAN_S, backend: Backend = Backend()) -> BLEDevice:
    """The Retrostep at `address`, or the first one heard. Raises RadioUnusable, DeviceNotFound."""

    def wanted(device: BLEDevice, advertisement: object) -> bool:
        return address is None or device.address.lower() == address.lower()

    try:
        device = await BleakScanner.find_device_by_filter(
            wanted, timeout=seconds, service_uuids=[packets.SERVICE], **_scanner_of(backend)
        )
    except _FAILURES as error:
        raise _unusable(error) from error
    if device is None:
        which = f"no Retrostep at {address}" if address else "no Retrostep"
        raise DeviceNotFound(f"{which} was heard in {seconds:g} s: {HOLD}")
    return device


def _scanner_of(backend: Backend) -> dict[str, Any]:
    return {} if backend.scanner is None else {"backend": backend.scanner}


def _unusable(error: Exception) -> RadioUnusable:
    if isinstance(error, BleakBluetoothNotAvailableError):
        return RadioUnusable(
            f"Bluetooth can't be used: {error}. Switch it on and allow this program to use it"
        )
    return RadioUnusable(
        f"Bluetooth can't be used: {error}. Is there an adapter, is it switched on (on Linux: is bluetoothd running)?"
    )


class RadioTransport:
    """Async context manager over one device. pair: bond with it on entering. Raises LinkError."""

    advice = f"if it has gone out of reach or its window is over, {HOLD}"

    def __init__(self, device: BLEDevice, backend: Backend = Backend(), pair: bool = False) -> None:
        self.name = f"{device.name or packets.NAME} ({device.address})"
        self._pair = pair
        self._entered = False
        self._inbox = packets.Assembler(MAX_ANSWER_BYTES)
        self._messages: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._client = BleakClient(
            device, disconnected_callback=self._on_disconnected, timeout=CONNECT_S, backend=backend.client
        )

    async def __aenter__(self) -> RadioTransport:
        try:
            await self._connect()
        except _FAILURES as error:
            raise LinkLost(
                f"{self.name} did not accept a connection: {str(error) or 'no answer'}. If it was paired with this "
                "computer before, one side may have lost the bond: remove it here (in the system's Bluetooth "
                f"settings) and pair again; {HOLD}"
            ) from error
        try:
            if self._pair:
                await self._bond()
            await self._client.start_notify(packets.DATA, self._on_packet)
        except LinkError:
            await self._leave()
            raise
        except _FAILURES as error:
            await self._leave()
            raise LinkLost(
                f"{self.name} was lost while connecting: {str(error) or 'no answer'}; try again"
            ) from error
        self._entered = True
        return self

    async def _connect(self) -> None:
        try:
            await self._client.connect()
        except _FAILURES:
            if not self._pair:
                raise
            # A bond that the device has lost is in the way of a new one.
            with contextlib.suppress(LinkError):
                await self.forget()
            await self._client.connect()

    async def __aexit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        if self._pair and kind is not None and issubclass(kind, LinkError):
            # A bond that the device does not honour would only be in the way of the next attempt.
            with contextlib.suppress(LinkError):
                await self.forget()
        await self._leave()

    async def _leave(self) -> None:
        # It may be gone already.
        with contextlib.suppress(*_FAILURES):
            await self._client.disconnect()

    async def forget(self) -> None:
        """Remove this computer's side of the bond. Raises PairingFailed where the system does not let programs."""
        try:
            await self._client.unpair()
        except (*_FAILURES, NotImplementedError) as error:
            raise PairingFailed(
                f"this computer still knows {self.name}: {str(error) or 'not possible here'}; remove it in the "
                "system's Bluetooth settings"
            ) from error

    async def _bond(self) -> None:
        try:
            await self._client.pair()
        except (*_FAILURES, NotImplementedError) as error:
            # This side may have kept a key that the device did not.
            with contextlib.suppress(LinkError):
                await self.forget()
            raise PairingFailed(
                f"{self.name} was not paired: {str(error) or 'no answer'}. Pairing works only in the minute after a "
                f"hold of the button, and one hold pairs one computer: {HOLD}"
            ) from error

    def _on_disconnected(self, client: BleakClient) -> None:
        # Not the end of an attempt to connect after which there was another one.
        if self._entered:
            self._messages.put_nowait(None)

    def _on_packet(self, characteristic: object, packet: bytearray) -> None:
        message = self._inbox.add(packet)
        if message is not None:
            self._messages.put_nowait(message)

    async def send(self, message: bytes) -> None:
        """Send one message. Raises LinkLost."""
        try:
            # Also what the client knows of a link that was lost raises.
            request = self._client.services.get_characteristic(packets.REQUEST)
            if request is None:
                raise LinkLost(f"{self.name} has no Retrostep service: update its firmware")
            for packet in packets.split_message(message, request.max_write_without_response_size):
                await self._client.write_gatt_char(request, packet, response=True)
        except _FAILURES as error:
            raise LinkLost(
                f"{self.name} took no request: {str(error) or 'no answer'}. If this computer is not paired with it, "
                "run `retrostep pair`"
            ) from error

    async def receive(self) -> bytes:
        """The next message. Raises LinkLost if the link is gone."""
        message = await self._messages.get()
        if message is None:
            self._messages.put_nowait(None)
            raise LinkLost(f"the link to {self.name} was lost; sync again (nothing was lost)")
        return message
