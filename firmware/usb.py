"""Whether a computer is at the other end of the USB cable.

A USB host sends a start of frame every millisecond, and the chip's USB controllers count them; a charger sends none.
Known for the ESP32-S3 (technical reference manual: DSTS of the USB OTG controller, FRAM_NUM of the USB Serial/JTAG
controller). Where the port is a chip of its own, as on an ESP32, nobody can tell.
"""

import os

import machine

_FRAME_COUNTERS = (0x60080808, 0x60038024)


class UsbHost:
    """attached: True, False, or None where nobody can tell. Until the second look a host is taken for granted."""

    def __init__(self):
        self._counters = _FRAME_COUNTERS if "ESP32S3" in os.uname().machine else ()
        self._counts = None
        self.attached = True if self._counters else None

    def look(self):
        """To be called about once a second."""
        if not self._counters:
            return
        counts = [machine.mem32[address] for address in self._counters]
        if self._counts is not None:
            self.attached = counts != self._counts
        self._counts = counts
