"""When the device visits the Wi-Fi (wifi.py tells what for). Loaded only where that is set up.

The first time a minute after the start, then every `every_h`, also out of deep sleep, and when put on the charger;
never while Bluetooth is on, nor before the wearer has rested for a minute: the start of a visit may take longer than
the sensor's FIFO holds.
"""

import asyncio

from journal import write_atomically
from micropython import const

from firmware import load_seldom

# UTC of the last visit's begin, in seconds: what is left of the interval after deep sleep.
_NOTE = "/wifi.at"
_MINUTE_MS = const(60_000)
_HOUR_MS = const(3_600_000)


class Visits:
    """device: see Session. now_ms: uptime function. charging() or None.

    make_room(): unload what a visit has no use for; True: something was, and is gone by the next second.
    woken: the device lay in deep sleep, so the interval goes on.
    """

    def __init__(self, device, now_ms, charging, make_room, woken):
        self._device = device
        self._now_ms = now_ms
        self._charging = charging
        self._make_room = make_room
        self._charged = True
        self._due_ms = now_ms() + self._left_of_interval_ms() if woken else _MINUTE_MS
        self._task = None
        self._then = None

    @property
    def busy(self):
        """Whether a visit is under way."""
        return self._task is not None

    def left_ms(self):
        """How long until a visit is due."""
        return max(self._due_ms - self._now_ms(), 0)

    def _left_of_interval_ms(self):
        utc_ms = self._device.clock.utc_ms()
        try:
            with open(_NOTE) as file:
                last_s = int(file.read())
        except (OSError, ValueError):
            # There was none yet.
            return 0
        if utc_ms is None:
            return 0
        every_ms = self._device.settings["wifi"]["every_h"] * _HOUR_MS
        left_ms = last_s * 1000 + every_ms - utc_ms
        # More is left only by a clock that was set back.
        return left_ms if 0 < left_ms <= every_ms else 0

    def _take_note(self):
        utc_ms = self._device.clock.utc_ms()
        if utc_ms is not None:
            try:
                write_atomically(_NOTE, b"%d" % (utc_ms // 1000))
            except OSError as full:
                print("wifi: the next visit after deep sleep may come too soon:", full)

    def end(self, then):
        """End the visit that is under way and call then() when it has ended; False if none is under way."""
        if self._task is None:
            return False
        self._then = then
        self._task.cancel()
        return True

    def under_way(self, step_ms, busy):
        """Whether a visit is under way; begins one if it may. To be asked once a second.

        step_ms: uptime of the last step. busy: Bluetooth is on.
        """
        if self._task is not None:
            if not self._task.done():
                return True
            self._take_note()
            self._task = None
            then, self._then = self._then, None
            if then:
                then()
                return False
        now_ms = self._now_ms()
        charged, self._charged = self._charged, bool(self._charging and self._charging())
        if self._charged and not charged:
            self._due_ms = now_ms
        wifi = self._device.settings["wifi"]
        if not wifi or busy or now_ms < self._due_ms or now_ms - step_ms < _MINUTE_MS:
            return False
        try:
            if self._make_room():
                return True
            self._task = asyncio.create_task(load_seldom("wifi").visit(self._device, wifi))
            self._due_ms = now_ms + wifi["every_h"] * _HOUR_MS
        except MemoryError:
            print("wifi: too little memory just now")
            self._due_ms = now_ms + _MINUTE_MS
        return self._task is not None
