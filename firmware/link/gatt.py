"""The GATT services of the radio: ours, battery, device information, running speed and cadence. docs/protocol.md.

Made anew at the begin of each window (radio.py), and loaded for that.
"""

from collections import namedtuple

from bluetooth import UUID
from micropython import const

from firmware import VERSION
from firmware.charge import charge_percent
from firmware.link import cadence, packets

_MAX_VALUE_BYTES = const(512)
_FLAG_READ_ENCRYPTED = const(0x0200)
_FLAG_WRITE_ENCRYPTED = const(0x1000)
_BATTERY, _BATTERY_LEVEL = const(0x180F), const(0x2A19)
_DEVICE_INFORMATION, _MODEL, _FIRMWARE_REVISION = const(0x180A), const(0x2A24), const(0x2A26)

# The characteristics that change or are written; `uuid` is what is advertised.
Services = namedtuple("Services", ("uuid", "request", "data", "live", "status", "settings", "cadence"))


def _protect(characteristic, flags):
    """Only over an encrypted link: aioble has no argument for that, so the flags are added before registering."""
    characteristic.flags |= flags
    return characteristic


def register(aioble, battery_mv):
    """Register all services, the radio is on afterwards; returns Services. aioble: the module."""
    own = aioble.Service(UUID(packets.SERVICE))
    request = aioble.BufferedCharacteristic(
        own,
        UUID(packets.REQUEST),
        write=True,
        write_no_response=True,
        capture=True,
        max_len=packets.MAX_PACKET_BYTES,
    )
    _protect(request, _FLAG_WRITE_ENCRYPTED)
    data = aioble.Characteristic(own, UUID(packets.DATA), notify=True)
    live = aioble.Characteristic(own, UUID(packets.LIVE), notify=True)
    status, settings = [
        _protect(
            aioble.BufferedCharacteristic(own, UUID(uuid), read=True, max_len=_MAX_VALUE_BYTES),
            _FLAG_READ_ENCRYPTED,
        )
        for uuid in (packets.STATUS, packets.SETTINGS)
    ]
    battery = aioble.Service(UUID(_BATTERY))
    charge = bytes((charge_percent(battery_mv),))
    aioble.Characteristic(battery, UUID(_BATTERY_LEVEL), read=True, initial=charge)
    information = aioble.Service(UUID(_DEVICE_INFORMATION))
    running = aioble.Service(UUID(cadence.SERVICE))
    measurement = aioble.Characteristic(running, UUID(cadence.MEASUREMENT), notify=True)
    for service, uuid, value in (
        (information, _MODEL, packets.NAME.encode()),
        (information, _FIRMWARE_REVISION, VERSION.encode()),
        (running, cadence.FEATURE, cadence.FEATURES),
    ):
        constant = aioble.Characteristic(service, UUID(uuid), read=True, initial=value)
        _protect(constant, _FLAG_READ_ENCRYPTED)
    aioble.register_services(own, battery, information, running)
    return Services(own.uuid, request, data, live, status, settings, measurement)
