"""Uptime that does not wrap, and UTC once a host has told it.

MicroPython's ticks_ms() wraps (after 12.4 days on ESP32); `Clock` adds the differences up. Uptime starts at 0 with
each boot. UTC is uptime plus an offset that only an anchor sets: an unset clock is None, never a guess.
"""

from micropython import const

# Half of what ticks_us() counts before it wraps, with room.
_US_TICKS_HOLD_MS = const(500_000)


class Clock:
    """ticks_ms, ticks_diff, ticks_us: the functions of those names in module time (injected).

    uptime_ms() must be called at least once in six days; the sample path does so several times a second.
    """

    def __init__(self, ticks_ms, ticks_diff, ticks_us):
        self._ticks_ms = ticks_ms
        self._ticks_diff = ticks_diff
        self._last_ticks = ticks_ms()
        self._uptime_ms = 0
        self._ticks_us = ticks_us
        self._seen_us = (0, ticks_us(), 0)
        self._utc_offset_ms = None

    def uptime_ms(self):
        """ms since this boot."""
        now = self._ticks_ms()
        self._uptime_ms += self._ticks_diff(now, self._last_ticks)
        self._last_ticks = now
        return self._uptime_ms

    def uptime_us(self):
        """The same in us, for the sample path. After a pause so long that ticks_us() wraps, the ms count."""
        before_ms, before, us = self._seen_us
        now_ms = self.uptime_ms()
        now = self._ticks_us()
        passed_ms = now_ms - before_ms
        us += self._ticks_diff(now, before) if passed_ms < _US_TICKS_HOLD_MS else passed_ms * 1000
        self._seen_us = (now_ms, now, us)
        return us

    def set_anchor(self, uptime_ms, utc_ms):
        """At `uptime_ms` it was `utc_ms` (since 1970)."""
        self._utc_offset_ms = utc_ms - uptime_ms

    def utc_ms(self):
        """UTC in ms since 1970, or None if no host has told the time since this boot."""
        if self._utc_offset_ms is None:
            return None
        return self.uptime_ms() + self._utc_offset_ms
