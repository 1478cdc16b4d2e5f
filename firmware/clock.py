"""Uptime that does not wrap, and UTC once a host has told it.

MicroPython's ticks_us() wraps (after 17.9 minutes on ESP32); `Clock` adds the differences up. Uptime starts at 0 with
each boot. UTC is uptime plus an offset that only an anchor sets: an unset clock is None, never a guess.
"""

# The seconds of an ESP32's module time count from 2000.
EPOCH_2000_S = 946_684_800


class Clock:
    """ticks_us, ticks_diff: the functions of those names in module time (injected).

    uptime_ms() must be called at least once in eight minutes; the housekeeping does so every second. uptime_ms: where
    it begins; more than 0 leaves room for what was before the start.
    """

    def __init__(self, ticks_us, ticks_diff, uptime_ms=0):
        self._ticks_us = ticks_us
        self._ticks_diff = ticks_diff
        self._last_ticks = ticks_us()
        self._uptime_ms = uptime_ms
        self._rest_us = 0
        self._utc_offset_ms = None

    def uptime_ms(self):
        """ms since this boot."""
        now = self._ticks_us()
        passed_us = self._rest_us + self._ticks_diff(now, self._last_ticks)
        self._last_ticks = now
        self._uptime_ms += passed_us // 1000
        self._rest_us = passed_us % 1000
        return self._uptime_ms

    def uptime_us(self):
        """The same in us. A large number: it costs heap."""
        return self.uptime_ms() * 1000 + self._rest_us

    def set_anchor(self, uptime_ms, utc_ms):
        """At `uptime_ms` it was `utc_ms` (since 1970)."""
        self._utc_offset_ms = utc_ms - uptime_ms

    def utc_ms(self):
        """UTC in ms since 1970, or None if no host has told the time since this boot."""
        if self._utc_offset_ms is None:
            return None
        return self.uptime_ms() + self._utc_offset_ms
