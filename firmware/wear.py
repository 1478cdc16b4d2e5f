"""Whether the device was taken off: it then lies stiller than anything that breathes.

Blocks of samples in. Over ten seconds the means of the blocks move by less than a living body's breath and pulse move
them: at the waist breathing turns the trunk by about a degree every few seconds, several tenths of a degree a second.
A sensor on a table shows only its noise, which the mean of a block (26 samples) takes down to a unit or two.

Limits: on a shelf in a moving car it counts as worn; worn by nobody but a chair that is sat on, too.
"""

from array import array

import micropython
from micropython import const

# Ten seconds.
_QUIET_SAMPLES = const(1040)
# Raw units: 5 mg and 0.3 deg/s.
_QUIET_ACC = const(10)
_QUIET_GYR = const(4)
_CHANNELS = const(6)


@micropython.viper
def _add_up(samples: ptr16, count: int, sums: ptr32):
    """The sum of each channel of a block; it fits 32 bits for any FIFO."""
    end = count * 6
    channel = 0
    while channel < 6:
        total = 0
        at = channel
        while at < end:
            total += (int(samples[at]) ^ 0x8000) - 0x8000
            at += 6
        sums[channel] = total
        channel += 1


class WearWatch:
    """Remembers the range of the blocks' means since they were last disturbed.

    quiet_samples: how long that is.
    """

    def __init__(self):
        self._sums = array("i", [0] * _CHANNELS)
        self._low = [0] * _CHANNELS
        self._high = [0] * _CHANNELS
        self.quiet_samples = 0

    def process(self, samples, count):
        """Take a block as Pipeline.process does; True once when the device turns out to lie still."""
        sums = self._sums
        _add_up(samples, count, sums)
        for channel in range(_CHANNELS):
            mean = sums[channel] // count
            low, high = min(mean, self._low[channel]), max(mean, self._high[channel])
            if self.quiet_samples and high - low <= (_QUIET_ACC if channel < 3 else _QUIET_GYR):
                self._low[channel], self._high[channel] = low, high
                continue
            # Disturbed: the watch begins anew with this block.
            self.quiet_samples = 0
            self._low[channel] = self._high[channel] = mean
        before = self.quiet_samples
        self.quiet_samples += count
        return before < _QUIET_SAMPLES <= self.quiet_samples
