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


# Words: the least and the largest mean of each channel, plus 32768, and the samples since the last disturbance.
_LOW = const(0)
_HIGH = const(6)
_QUIET = const(12)
_WORDS = const(13)


@micropython.viper
def _follow(words: ptr32, samples: ptr16, count: int):
    """Take a block. Every sum fits 32 bits for any FIFO."""
    channel = 0
    while channel < 6:
        total = 0
        at = channel
        end = count * 6
        while at < end:
            total += int(samples[at]) ^ 0x8000
            at += 6
        mean = total // count
        low = words[_LOW + channel]
        high = words[_HIGH + channel]
        if mean < low:
            low = mean
        if mean > high:
            high = mean
        quiet = _QUIET_GYR
        if channel < 3:
            quiet = _QUIET_ACC
        if words[_QUIET] == 0 or high - low > quiet:
            # Disturbed: the watch begins anew with this block.
            words[_QUIET] = 0
            low = mean
            high = mean
        words[_LOW + channel] = low
        words[_HIGH + channel] = high
        channel += 1
    words[_QUIET] = words[_QUIET] + count


class WearWatch:
    """Remembers the range of the blocks' means since they were last disturbed."""

    def __init__(self):
        self._words = array("i", bytes(4 * _WORDS))

    @property
    def quiet_samples(self):
        """How long that is."""
        return self._words[_QUIET]

    def process(self, samples, count):
        """Take a block as Pipeline.process does; True once when the device turns out to lie still."""
        words = self._words
        before = words[_QUIET]
        _follow(words, samples, count)
        return before < _QUIET_SAMPLES <= words[_QUIET]
