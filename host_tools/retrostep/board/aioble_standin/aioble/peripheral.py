"""Advertising, and the connections that come of it."""

import asyncio
import struct

from . import core
from .device import Device, DeviceConnection, DeviceTimeout

_IRQ_CENTRAL_CONNECT = 1
_IRQ_CENTRAL_DISCONNECT = 2

_AD_FLAGS = 0x01
_AD_UUID16_COMPLETE = 0x3
_AD_UUID128_COMPLETE = 0x7
_AD_NAME = 0x09
_AD_APPEARANCE = 0x19
_AD_MANUFACTURER = 0xFF
_PAYLOAD_BYTES = 31

_incoming = None
_connected = asyncio.ThreadSafeFlag()


def _on_event(event, data):
    global _incoming
    if event == _IRQ_CENTRAL_CONNECT:
        conn_handle, addr_type, addr = data
        _incoming = DeviceConnection(Device(addr_type, bytes(addr)), conn_handle)
        _connected.set()
    elif event == _IRQ_CENTRAL_DISCONNECT:
        connection = DeviceConnection._connected.get(data[0])
        if connection:
            connection._ended.set()


def _shutdown():
    for connection in list(DeviceConnection._connected.values()):
        connection._ended.set()


core.register_irq_handler(_on_event, _shutdown)


def _append(payloads, kind, value):
    """Put a field into the advertisement, or into the scan response if it does not fit there any more."""
    field = struct.pack("BB", len(value) + 1, kind) + value
    for payload in payloads:
        # As in aioble: a payload that is filled to the last byte is not used.
        if len(payload) + len(field) < _PAYLOAD_BYTES:
            payload.extend(field)
            return
    raise ValueError("Advertising payload too long")


async def advertise(
    interval_us,
    adv_data=None,
    resp_data=None,
    connectable=True,
    limited_disc=False,
    br_edr=False,
    name=None,
    services=None,
    appearance=0,
    manufacturer=None,
    timeout_ms=None,
):
    """Advertise until a central connects; returns the DeviceConnection.

    Raises asyncio.TimeoutError after timeout_ms; cancelling stops the advertising too.
    """
    global _incoming
    core.ensure_active()
    if adv_data is None and resp_data is None:
        adv_data, resp_data = bytearray(), bytearray()
        payloads = (adv_data, resp_data)
        flags = (0x01 if limited_disc else 0x02) + (0x18 if br_edr else 0x04)
        _append(payloads, _AD_FLAGS, bytes((flags,)))
        for uuid in services or ():
            data = bytes(uuid)
            _append(payloads, _AD_UUID16_COMPLETE if len(data) == 2 else _AD_UUID128_COMPLETE, data)
        if name:
            _append(payloads, _AD_NAME, name.encode())
        if appearance:
            _append(payloads, _AD_APPEARANCE, struct.pack("<H", appearance))
        for company, data in (manufacturer,) if manufacturer else ():
            _append(payloads, _AD_MANUFACTURER, struct.pack("<H", company) + data)
    _incoming = None
    _connected.clear()
    core.ble.gap_advertise(interval_us, adv_data=adv_data, resp_data=resp_data, connectable=connectable)
    try:
        with DeviceTimeout(None, timeout_ms):
            await _connected.wait()
        connection, _incoming = _incoming, None
        return connection
    finally:
        if _incoming is None:
            core.ble.gap_advertise(None)
