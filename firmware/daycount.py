"""How many steps backward today: since local midnight, or since the last sync while the clock is unset.

The log's own total is the truth; this remembers only what it was when the day began and at the last sync, in a small
file, so that a reset costs nothing. A device that was off at midnight made no steps meanwhile. If the clock became
known only after midnight had passed during this boot, steps before that moment are left out: never counted twice,
never moved into a wrong day.
"""

from journal import write_atomically
from micropython import const

PATH = "/day"
_DAY_MS = const(86_400_000)


class DayCount:
    """backward: the log's total of backward steps when this boot began."""

    def __init__(self, backward, path=PATH):
        self._at_boot = backward
        self._path = path
        self._day, self._at_day, self._at_sync = -1, backward, 0
        try:
            with open(path) as file:
                self._day, self._at_day, self._at_sync = [int(number) for number in file.read().split()]
        except (OSError, ValueError):
            # A new device, or a file that somebody changed: the day begins now.
            pass

    def observe(self, local_ms, uptime_ms, backward):
        """It is local_ms (since 1970) at that uptime; `backward`: the log's total now."""
        day = local_ms // _DAY_MS
        if day != self._day:
            began_today = uptime_ms <= local_ms % _DAY_MS
            self._day, self._at_day = day, self._at_boot if began_today else backward
            self._store()

    def synced(self, backward):
        """A host reads the log now."""
        self._at_sync = backward
        self._store()

    def erased(self, backward):
        """The log's total begins anew at 0; it was `backward`. What was walked today stays."""
        self._at_boot -= backward
        self._at_day -= backward
        self._at_sync -= backward
        self._store()

    def today(self, clock_set, backward):
        """Steps since the day began; without a clock since the last sync."""
        since = self._at_day if clock_set else self._at_sync
        # Less than then: the power went while the log was erased, or its files were removed.
        return backward - since if backward >= since else backward

    def _store(self):
        try:
            write_atomically(self._path, b"%d %d %d" % (self._day, self._at_day, self._at_sync))
        except OSError as full:
            print("daycount: holds until the next reset; it could not be stored:", full)
