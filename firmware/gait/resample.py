"""Brings samples of any steady rate to the one rate that the gait constants are made for, 104 Hz.

Input: interleaved int16 samples of six channels at 20 to 250 Hz. Output: frames of FRAME samples of the same
channels at 104 Hz, linearly interpolated; output k lies at input k * rate / 104 exactly, without drift, and
at 104 Hz the samples come through unchanged.

Limit: nothing is filtered before the interpolation. Above 208 Hz, vibration near multiples of 104 Hz folds
into the gait band; at 20 Hz the contact's sharp edge is lost, and times of steps become coarse.
"""

from array import array

import micropython
from fixedpoint import WORD_SHIFT

CHANNELS = 6
# 104 Hz in thousandths, the unit that keeps measured rates such as 103.742 Hz whole.
RATE_MILLIHZ = 104000
FRAME = 13
MIN_RATE_MILLIHZ = 20000
MAX_RATE_MILLIHZ = 250000

# State words; whoever takes the frames may have more of them, behind. PHASE is where the next output lies after the
# previous input sample, in 1 / 104000 of the input's interval: an output is due while PHASE <= 104000, so a whole
# interval means "at the newest sample".
_SHIFT, _RATE, _PHASE, _TAKEN, _FILLED, _PRIMED, _PREVIOUS = 0, 1, 2, 3, 4, 5, 6
STATE_WORDS = _PREVIOUS + CHANNELS


@micropython.viper
def next_frame(state: ptr32, samples: ptr16, frame: ptr16, count: int) -> int:
    """Take samples from state[TAKEN] on until they or the frame's room run out; 1 if the frame is full.

    A frame that was full counts as empty. 0: the samples are used up; the next call begins with new ones. 2: there is
    nothing to resample, and the frame lies in the samples, as the last 13 taken.
    """
    rate = state[1]
    phase = state[2]
    taken = state[3]
    filled = state[4]
    if filled == 13:
        filled = 0
    sh = state[0]
    if rate == 104000:
        # Nothing to interpolate.
        take = 13 - filled
        if take > count - taken:
            take = count - taken
        state[4] = filled + take
        state[3] = taken + take
        if take == 13:
            return 2
        to = filled * 6
        at = taken * 6
        end = (taken + take) * 6
        while at < end:
            frame[to] = samples[at]
            frame[to + 1] = samples[at + 1]
            frame[to + 2] = samples[at + 2]
            frame[to + 3] = samples[at + 3]
            frame[to + 4] = samples[at + 4]
            frame[to + 5] = samples[at + 5]
            at += 6
            to += 6
        if filled + take == 13:
            return 1
        state[3] = 0
        return 0
    while taken < count and filled < 13:
        if state[5] == 0:
            for c in range(6):
                state[6 + c] = (int(samples[taken * 6 + c]) ^ 0x8000) - 0x8000
            state[5] = 1
        if phase <= 104000:
            weight = (phase << 10) // 104000
            for c in range(6):
                old = (state[6 + c] << sh) >> sh
                new = (int(samples[taken * 6 + c]) ^ 0x8000) - 0x8000
                frame[filled * 6 + c] = old + (((new - old) * weight) >> 10)
            filled += 1
            phase += rate
        else:
            for c in range(6):
                state[6 + c] = (int(samples[taken * 6 + c]) ^ 0x8000) - 0x8000
            taken += 1
            phase -= 104000
    state[2] = phase
    state[3] = taken
    state[4] = filled
    if filled == 13:
        return 1
    state[3] = 0
    return 0


class Resampler:
    """What it takes to cut a stream of samples into frames at 104 Hz: `state` and `frame` for next_frame().

    What does not fill a frame waits; `rest()` makes it available at the end of a recording.
    """

    def __init__(self, rate_millihz):
        if not MIN_RATE_MILLIHZ <= rate_millihz <= MAX_RATE_MILLIHZ:
            raise ValueError(
                "rate of %d mHz: expected 20000 to 250000; set the sensor to a rate within" % rate_millihz
            )
        self.rate_millihz = rate_millihz
        self.frame = array("h", bytes(2 * CHANNELS * FRAME))
        self.state = array("i", bytes(4 * STATE_WORDS))
        self.restart()

    def widen(self, words):
        """Have `state` hold so many words in all, one array instead of two to hand to a kernel. Returns it."""
        self.state = array("i", bytes(4 * words))
        self.restart()
        return self.state

    def restart(self):
        """Forget what was fed: the next sample is the first of a new series, output 0."""
        state = self.state
        state[_SHIFT] = WORD_SHIFT
        state[_RATE] = self.rate_millihz
        state[_PHASE] = RATE_MILLIHZ
        state[_TAKEN] = state[_FILLED] = state[_PRIMED] = 0

    def rest(self):
        """How many samples wait in `frame`, which then counts as empty."""
        waiting = self.state[_FILLED] % FRAME
        self.state[_FILLED] = 0
        return waiting

    def input_index(self, output_index):
        """Which input sample lies at or just before output `output_index`, since the last restart."""
        # output * rate / 104000, split so that nothing exceeds a small int within 119 days.
        whole, milli = self.rate_millihz // 1000, self.rate_millihz % 1000
        seconds, rest = output_index // 104, output_index % 104
        fraction = (seconds % 1000) * milli * 104 + rest * self.rate_millihz
        return seconds * whole + (seconds // 1000) * milli + fraction // RATE_MILLIHZ
