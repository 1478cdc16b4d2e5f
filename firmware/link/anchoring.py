"""Answers ANCHOR: a host tells the time. Loaded for it, and not kept (session.py)."""

from micropython import const

from firmware.link import protocol
from firmware.steplog import SOURCE_HOST

_DAY_MS = const(86_400_000)
# Days since 1970.
_DAY_2025 = const(20_089)
_DAY_2100 = const(47_482)


def answer(device, peer, opcode, body):
    """The body of the answer. Raises MessageMalformed, ValueError (refused) or OSError."""
    up_low, up_high, utc_low, utc_high, uncertainty_ms = protocol.unpack("<IHIHH", body)
    uptime_ms = protocol.join_u48(up_low, up_high)
    utc_ms = protocol.join_u48(utc_low, utc_high)
    now_ms = device.clock.uptime_ms()
    if uptime_ms > now_ms:
        raise ValueError("anchor: expected an uptime of at most %d ms, got %d" % (now_ms, uptime_ms))
    if not _DAY_2025 <= utc_ms // _DAY_MS < _DAY_2100:
        # The RTC could not hold it either.
        raise ValueError("anchor: expected a UTC of 2025 to 2099, got %d ms" % utc_ms)
    sequence = device.logbook.add_anchor(uptime_ms, utc_ms, uncertainty_ms, SOURCE_HOST)
    device.clock.set_anchor(uptime_ms, utc_ms)
    device.keep_time()
    return protocol.pack_u32(sequence)
