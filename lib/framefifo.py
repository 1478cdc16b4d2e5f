"""Drivers whose FIFO holds frames of one acceleration and one rate each: reading, scaling, overruns.

A driver sets LAYOUT (see _unpack), FIFO_DATA (the register that the frames come out of), RATE_MILLIHZ, and gives
start(), configured(), standby(), _frames_waiting(looked_before), _empty_fifo(), beside PART and IDENTITY (imu.py).
An overrun leaves an empty FIFO; how many samples it cost is told from the CPU's clock, to a sample or two. A burst
that broke off counts as one: how many bytes the FIFO gave away, and so where the next frame begins, is unknown.
"""

from array import array
from time import ticks_diff, ticks_us

import micropython
from imu import IMU


@micropython.viper
def _unpack(frames: ptr8, count: int, samples: ptr16, layout: ptr32):
    """Frames of one acceleration and one rate each into `samples`, scaled, rounded, saturated.

    layout: bytes a frame; where the acceleration begins and its factor in 1/16384; the same of the rate (255:
    there is none); 0 if the high byte comes first, else 1.
    """
    length = layout[0]
    high = layout[5]
    low = 1 - high
    n = 0
    while n < count:
        part = 0
        while part < 2:
            at = layout[1 + 2 * part]
            factor = layout[2 + 2 * part]
            to = n * 6 + part * 3
            axis = 0
            while axis < 3:
                value = 0
                if at != 255:
                    from_at = n * length + at + 2 * axis
                    value = (int(frames[from_at + high]) << 8) | int(frames[from_at + low])
                    value = (value ^ 0x8000) - 0x8000
                    value = (value * factor + 8192) >> 14
                    if value > 32767:
                        value = 32767
                    if value < -32768:
                        value = -32768
                samples[to + axis] = value
                axis += 1
            part += 1
        n += 1


class FrameIMU(IMU):
    """See imu.py."""

    LAYOUT: tuple
    FIFO_DATA: int
    _broke_off = False

    def __init__(self, i2c, address, block_samples):
        super().__init__(i2c, address, block_samples)
        self.period_ns = 1_000_000_000_000 // self.RATE_MILLIHZ
        self._layout = array("i", self.LAYOUT)
        self._block_samples = block_samples
        self._frames = bytearray(self.LAYOUT[0] * block_samples)
        self._frames_view = memoryview(self._frames)
        # Of each number of frames that was read once.
        self._views = [None] * (block_samples + 1)

    def read_block(self):
        """Move what the FIFO holds, at most block_samples, into `samples`; return the number of samples.

        Allocates a memoryview for each number of samples that comes for the first time. Raises OSError from the bus.
        """
        looked_before = self.looked_us
        self.looked_us = ticks_us()
        there = self._overran(looked_before) if self._broke_off else self._frames_waiting(looked_before)
        count = min(there, self._block_samples)
        self.waiting = there - count
        self.first_index = self.next_index
        if count:
            view = self._views[count]
            if view is None:
                view = self._views[count] = self._frames_view[: count * self._layout[0]]
            try:
                self._fetch(view)
            except OSError:
                self.waiting, self._broke_off = there, True
                raise
            _unpack(self._frames, count, self.samples, self._layout)
            self.next_index += count
        return count

    def _frames_waiting(self, looked_before):
        """How many whole frames the FIFO holds; 0 after an overrun (`return self._overran(looked_before)`)."""
        raise NotImplementedError

    def _empty_fifo(self):
        """Drop what the FIFO holds; it goes on with the next sample."""
        raise NotImplementedError

    def _fetch(self, view):
        self._i2c.readfrom_mem_into(self._address, self.FIFO_DATA, view)

    def _begin(self):
        """The last thing that start() does: an empty FIFO, nothing lost."""
        self._empty_fifo()
        self._broke_off = False
        self._lost = self.waiting = 0
        self.looked_us = ticks_us()

    def _overran(self, looked_before):
        """The FIFO has lost samples: count them and begin anew. Returns 0, the frames that wait now."""
        self.overruns += 1
        since_us = ticks_diff(self.looked_us, looked_before)
        self._lost += since_us // (self.period_ns // 1000) + self.waiting
        self.waiting, self._broke_off = 0, True
        self._empty_fifo()
        self._broke_off = False
        return 0
