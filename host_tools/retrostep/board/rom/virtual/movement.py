"""The movement that the sensor feels, read row by row from the feed file (see retrostep/board/feed.py)."""

from array import array

import micropython
from micropython import const

from virtual import vibration

# Rows that are in memory at a time, and bytes in a row: acc x y z, gyr x y z as int16.
BLOCK = const(260)
ROW = const(12)
_LOOK_AHEAD_BLOCKS = const(12)


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


@micropython.viper
def _first_jerk(feed: ptr16, n: int, stride: int, limit: int) -> int:
    """The first of n rows in which an axis differs by more than `limit` from `stride` rows before; n: none."""
    row = stride
    while row < n:
        for axis in range(3):
            a = int(feed[row * 6 + axis])
            b = int(feed[(row - stride) * 6 + axis])
            change = ((a ^ 0x8000) - 0x8000) - ((b ^ 0x8000) - 0x8000)
            if change > limit or change < 0 - limit:
                return row
        row += stride
    return n


class Feed:
    """Rows of the feed by index, resting before the first and after the last."""

    def __init__(self, feed, seed):
        self._file = open(feed["path"], "rb")
        self._noise_at = seed * 1000003
        self.rows = bytearray(BLOCK * ROW)
        self.frozen_row = None
        self.replace(feed)

    def replace(self, feed):
        """Another movement from now on, out of the same file."""
        self._offset = feed["offset"]
        self._samples = feed["samples"]
        self._before = array("h", feed["before"])
        self._after = array("h", feed["after"])
        self.rate_hz = feed["rate_hz"]
        self.starts_us = feed["starts_us"]

    def first_jerk(self, first, stride, limit):
        """(row, True): the next sample, each `stride` rows from `first` on, that jerks; (row, False): none before."""
        span = (BLOCK - 1) // stride * stride
        for _ in range(_LOOK_AHEAD_BLOCKS):
            self.load(first, span + 1)
            row = _first_jerk(self.rows, span + 1, stride, limit)
            if row <= span:
                return first + row, True
            first += span
        return first, False

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
                self._file.seek((self._offset + index) * ROW)
                self._file.readinto(window[: m * ROW])
            else:
                m = n - done
                _rest_rows(window, self._noise_at + index, m, self._after)
            done += m
        if vibration.motor:
            vibration.motor.shake(self.rows, first, n, self.starts_us, self.rate_hz)
