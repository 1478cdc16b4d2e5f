"""Cadence for ordinary fitness apps: the value of Running Speed and Cadence's measurement (service 0x1814).

All steps count, forward, backward and others: the standard has no word for a direction. Cadence is steps a minute
over the last few. The mandatory speed is step length times cadence where the wearer has set step_length_mm, else 0:
it is not measured. Source: Bluetooth SIG, Running Speed and Cadence Service 1.0, section 3.1.
"""

import struct

from micropython import const

SERVICE, MEASUREMENT, FEATURE = 0x1814, 0x2A53, 0x2A54
# Neither stride length nor distance nor the difference between walking and running is told.
FEATURES = b"\x00\x00"
_STEPS = const(5)
# Slower is no walking. A step is told up to 1.5 s after its contact.
_PAUSE_MS = const(2500)
_GONE_MS = const(4500)


class Cadence:
    """steps_per_contact: 2 at the shoe, where one foot's contacts are seen, else 1. settings: for step_length_mm."""

    def __init__(self, steps_per_contact, settings):
        self._steps_per_contact = steps_per_contact
        self._settings = settings
        self._contacts_ms = []

    def add_step(self, contact_ms):
        """A settled step, in the order of contacts."""
        contacts = self._contacts_ms
        if contacts and contact_ms - contacts[-1] > _PAUSE_MS * self._steps_per_contact:
            contacts.clear()
        elif len(contacts) == _STEPS:
            contacts.pop(0)
        contacts.append(contact_ms)

    def per_min(self, now_ms):
        """Steps a minute, 0 .. 255; 0 if nobody walks."""
        contacts = self._contacts_ms
        if len(contacts) < 2 or now_ms - contacts[-1] > _GONE_MS:
            return 0
        span_ms = max(contacts[-1] - contacts[0], 1)
        return min(60_000 * (len(contacts) - 1) * self._steps_per_contact // span_ms, 255)

    def measurement(self, now_ms):
        """The measurement: u8 flags, u16 speed in 1/256 m/s, u8 steps a minute."""
        per_min = self.per_min(now_ms)
        speed = self._settings["step_length_mm"] * per_min * 256 // 60_000
        return struct.pack("<BHB", 0, min(speed, 0xFFFF), per_min)
