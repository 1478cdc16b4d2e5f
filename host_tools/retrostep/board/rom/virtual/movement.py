"""The movement that the sensor feels, read row by row from the feed file (see retrostep/board/feed.py)."""

from array import array

import micropython
from micropython import const

from virtual import vibration

# Rows that are in memory at a time, and bytes in a row: acc x y z, gyr x y z as int16.
BLOCK = const(260)
ROW = const(12)


@micropython.viper
def _rest_rows(feed: ptr16, first: int, n: int, hold: ptr16):
    """Fill n rows with `hold` and noise of +-2 LSB; first: the rows' index (any sign), plus the seed."""
    for i in range(n):
        x = first + i
        for axis in range(6):
            h = (x * 6 + axis) * 2654435761
            h = h & 0xFFFFFFFF
            h = ((h ^ (h >> 15)) * 2246822519) & 0xFFFFFFFF
            h = ((h ^ (h >> 13)) * 3266489917) & 0xFFFFFFFF
            h = (h ^ (h >> 16)) & 0xFFFF
            feed[i * 6 + axis] = hold[axis] + ((h * 5) >> 16) - 2


@micropython.viper
def _repeat_row(feed: ptr16, n: int, row: ptr16):
    for i in range(n * 6):
        feed[i] = row[i % 6]


class Feed:
    """Rows of the feed by index, resting before the first and after the last."""

    def __init__(self, feed, seed):
        self._file = open(feed["path"], "rb")
        self._samples = feed["samples"]
        self._before = array("h", feed["before"])
        self._after = array("h", feed["after"])
        self._noise_at = seed * 1000003
        self.rate_hz = feed["rate_hz"]
        self.starts_us = feed["starts_us"]
        self.rows = bytearray(BLOCK * ROW)
        self.frozen_row = None

    def load(self, first, n):
        """Make rows[0:n] the feed's rows first .. first + n - 1."""
        if self.frozen_row is not None:
            _repeat_row(self.rows, n, self.frozen_row)
            return
        total = self._samples
        done = 0
        while done < n:
            index = first + done
            window = memoryview(self.rows)[done * ROW :]
            if index < 0:
                m = min(n - done, -index)
                _rest_rows(window, self._noise_at + index, m, self._before)
            elif index < total:
                m = min(n - done, total - index)
                self._file.seek(index * ROW)
                self._file.readinto(window[: m * ROW])
            else:
                m = n - done
                _rest_rows(window, self._noise_at + index, m, self._after)
            done += m
        if vibration.motor:
            vibration.motor.shake(self.rows, first, n, self.starts_us, self.rate_hz)
