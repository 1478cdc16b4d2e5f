"""Stances and swings of one foot.

Input: frames of 6-channel samples at 104 Hz. `StanceFinder.feed` keeps them in a ring of RING_SAMPLES and
leaves in `swings` the swings that ended within the frame: how many, then SWING_WORDS each: the last still
sample before, the first after that counts as still, the peak rate (units of four LSB, 0.28 deg/s), 1 if the
foot was running.

- Still: over 8 samples the mean rate is below 12 % of the swing's peak (at least 30, at most 90 deg/s), the
  spread of |acc| below 0.12 g, its mean within 0.25 g of 1 g. Near 1 g, |acc| is read from its square: d|a|
  = d(a^2) / 2.
- Swing: begins when the rate exceeds a quarter of the usual peak (at least 60 deg/s), and counts from the
  last sample before with a mean rate below 20 deg/s: a heel can rise by 40 degrees at a rate that still
  passes for rest. It ends with three still samples in a row, lasts 0.2 to 2.5 s and peaks above a quarter
  of the usual peak, at least 100 deg/s.
- Running: while |acc| differs from 1 g by 0.75 g in the mean of a second (walking: 0.4), the foot is never
  still. There a swing of at least 0.4 s ends where the mean rate was lowest, below 22 % of the peak, once
  it has doubled again.
- Landing: the acceleration changes most where the foot meets the floor, with heel or toe. The centre of
  those changes in the third of a second before the foot is still is the contact.
- Offset of the gyroscope: in a frame (1/8 s) in which no axis varies by more than 6 deg/s the foot does not
  turn; what it reads then, up to 23 deg/s, is offset.
"""

from array import array

import micropython
from fixedpoint import WORD_SHIFT

RING_SAMPLES = 512
CHANNELS = 6
WINDOW = 8
USUAL_PEAK = 1071  # 300 deg/s
USUAL_PEAK_MAX = 3571  # 1,000 deg/s
STRIDE_SAMPLES_MIN, STRIDE_SAMPLES_MAX = 21, 260  # 0.2 and 2.5 s
LANDING_SAMPLES = 35

SWING_WORDS = 4
# Two swings cannot end within one frame of 13 samples and last 21; running, one may end twice.
_SWINGS_MAX = 2

# Words of the state that Python touches; the last 16 are 8 x acc^2 and 8 x |rate|.
_SHIFT, _INDEX, _USUAL, _SWINGING, _START, _PEAK, _RUN, _BIAS, _BIAS_KNOWN, _LOWEST = (
    0,
    1,
    5,
    6,
    7,
    8,
    9,
    12,
    15,
    17,
)
_WORDS = 35
_NO_RATE = 1 << 20


@micropython.viper
def _watch(state: ptr32, frame: ptr16, ring: ptr16, swings: ptr32, count: int):
    """Keep the samples, follow swings and stances.

    state: sign shift, index, sum and sum of squares of acc^2, sum of |rate|, usual peak, swinging?, where
    the swing began, its peak, still samples in a row, last still sample + 1 or 0, place in the window,
    gyroscope offset x y z and whether it is known, mean of |acc^2 - 1| (x 128), lowest sum of |rate| in
    this swing and where.
    """
    sh = state[0]
    index = state[1]
    total = state[2]
    squares = state[3]
    rates = state[4]
    usual = state[5]
    slot = state[11]
    bias_x = (state[12] << sh) >> sh
    bias_y = (state[13] << sh) >> sh
    bias_z = (state[14] << sh) >> sh
    shaken = state[16]
    found = 0
    swing_rate = usual >> 2
    if swing_rate < 214:
        swing_rate = 214
    stride_rate = usual >> 2
    if stride_rate < 357:
        stride_rate = 357
    for i in range(count):
        place = (index & 511) * 6
        at = i * 6
        for c in range(6):
            ring[place + c] = frame[at + c]
        x = ((int(frame[at]) ^ 0x8000) - 0x8000) >> 2
        y = ((int(frame[at + 1]) ^ 0x8000) - 0x8000) >> 2
        z = ((int(frame[at + 2]) ^ 0x8000) - 0x8000) >> 2
        # 1 g is 512; beyond 2 g nothing is still.
        acc = (x * x + y * y + z * z) >> 9
        if acc > 2047:
            acc = 2047
        away = acc - 512
        if away < 0:
            away = 0 - away
        shaken += away - (shaken >> 7)
        x = (((int(frame[at + 3]) ^ 0x8000) - 0x8000) - bias_x) >> 2
        y = (((int(frame[at + 4]) ^ 0x8000) - 0x8000) - bias_y) >> 2
        z = (((int(frame[at + 5]) ^ 0x8000) - 0x8000) - bias_z) >> 2
        if x < 0:
            x = 0 - x
        if y < 0:
            y = 0 - y
        if z < 0:
            z = 0 - z
        # The length to 1 %: a guess between the largest and the sum, and one Newton step.
        rate = x
        if y > rate:
            rate = y
        if z > rate:
            rate = z
        rate += (x + y + z - rate) >> 2
        if rate:
            rate = (rate + (x * x + y * y + z * z) // rate) >> 1
        old = state[19 + slot]
        state[19 + slot] = acc
        total += acc - old
        squares += acc * acc - old * old
        rates += rate - state[27 + slot]
        state[27 + slot] = rate
        slot = (slot + 1) & 7
        if state[6]:
            peak = state[8]
            if rate > peak:
                peak = rate
                state[8] = rate
            if usual > peak:
                peak = usual
            if rates < state[17]:
                state[17] = rates
                state[18] = index
            still_rate = peak * 12 // 100
            if still_rate < 107:
                still_rate = 107
            if still_rate > 321:
                still_rate = 321
        else:
            still_rate = usual * 12 // 100
            if still_rate < 107:
                still_rate = 107
            if still_rate > 321:
                still_rate = 321
        still = 0
        mean = total >> 3
        # 15100: twice 0.12 g; the spread may exceed its square by what the mean's rounding adds.
        steady = (squares >> 3) - mean * mean < 15100 + mean
        if steady and rates < still_rate * 8 and mean > 288 and mean < 800:
            still = 1
        if state[6]:
            if still:
                state[9] = state[9] + 1
            else:
                state[9] = 0
            lowest = state[17]
            if state[9] >= 3:
                if state[8] > stride_rate and index - state[7] >= 21 and found < 2:
                    swings[1 + 4 * found] = state[7]
                    swings[2 + 4 * found] = index
                    swings[3 + 4 * found] = state[8]
                    swings[4 + 4 * found] = 0
                    found += 1
                state[6] = 0
                state[10] = index + 1
            elif index - state[7] > 260:
                state[6] = 0
                state[10] = 0
            elif (
                shaken > 98304
                and rates > lowest * 2
                and lowest < state[8] * 176 // 100
                and state[18] - state[7] >= 42
            ):
                if found < 2:
                    swings[1 + 4 * found] = state[7]
                    swings[2 + 4 * found] = state[18]
                    swings[3 + 4 * found] = state[8]
                    swings[4 + 4 * found] = 1
                    found += 1
                state[7] = state[18]
                state[8] = rate
                state[17] = rates
                state[18] = index
        else:
            at_rest = still and (rates < 572 or state[10] == 0)
            if at_rest or (shaken > 98304 and rates < usual * 176 // 100):
                state[10] = index + 1
            if rate > swing_rate and state[10] > 0:
                state[6] = 1
                state[7] = state[10] - 1
                state[8] = rate
                state[9] = 0
                state[17] = 1 << 20
        index += 1
    swings[0] = found
    state[1] = index
    state[2] = total
    state[3] = squares
    state[4] = rates
    state[11] = slot
    state[16] = shaken


@micropython.viper
def _learn_bias(state: ptr32, frame: ptr16, count: int):
    """Move the gyroscope's offset towards the frame's mean, if the foot did not turn in it."""
    sh = state[0]
    quiet = 1
    for c in range(3):
        low = 32767
        high = -32768
        for i in range(count):
            value = (int(frame[i * 6 + 3 + c]) ^ 0x8000) - 0x8000
            if value < low:
                low = value
            if value > high:
                high = value
        if high - low > 86 or high > 329 or low < -329:
            quiet = 0
            break
    if quiet:
        for c in range(3):
            total = 0
            for i in range(count):
                total += (int(frame[i * 6 + 3 + c]) ^ 0x8000) - 0x8000
            bias = (state[12 + c] << sh) >> sh
            if state[15]:
                bias += (total // count - bias) >> 2
            else:
                bias = total // count
            state[12 + c] = bias
        state[15] = 1


@micropython.viper
def _centre_of_landing(ring: ptr16, last: int, count: int) -> int:
    """The sample about which the acceleration changed, over two samples, within `count` samples up to `last`."""
    weight = 1
    moment = 0
    for i in range(count):
        place = ((last - i) & 511) * 6
        before = ((last - i - 2) & 511) * 6
        change = 0
        for c in range(3):
            d = ((int(ring[place + c]) ^ 0x8000) - (int(ring[before + c]) ^ 0x8000)) >> 4
            if d < 0:
                d = 0 - d
            change += d
        weight += change
        moment += change * i
    return last - moment // weight


class StanceFinder:
    """See the module's text."""

    def __init__(self):
        self.ring = array("h", bytes(2 * CHANNELS * RING_SAMPLES))
        self.swings = array("i", bytes(4 * (1 + SWING_WORDS * _SWINGS_MAX)))
        self._state = array("i", bytes(4 * _WORDS))
        self.restart()

    @property
    def index(self):
        """Samples seen so far."""
        return self._state[_INDEX]

    def restart(self):
        """Begin anew; the gyroscope's offset stays as it was."""
        state = self._state
        for words in (self.ring, self.swings):
            for i in range(len(words)):
                words[i] = 0
        for i in range(_WORDS):
            if not _BIAS <= i <= _BIAS_KNOWN:
                state[i] = 0
        state[_SHIFT] = WORD_SHIFT
        state[_USUAL] = USUAL_PEAK

    def feed(self, frame, count):
        _watch(self._state, frame, self.ring, self.swings, count)
        _learn_bias(self._state, frame, count)

    def mean(self, channel, newest):
        """Mean of a channel over the window that ends with sample `newest`, in LSB."""
        total = 0
        for i in range(newest - WINDOW + 1, newest + 1):
            total += self.ring[(i % RING_SAMPLES) * CHANNELS + channel]
        return total >> 3

    def bias(self, axis):
        """The gyroscope's offset, LSB."""
        return self._state[_BIAS + axis]

    def contact(self, first, last):
        """When the foot that is still at `last` met the floor."""
        return max(0, _centre_of_landing(self.ring, last, min(LANDING_SAMPLES, last - first)))

    def resume(self, first, peak):
        """This was no stance: the swing that began at `first` goes on."""
        state = self._state
        state[_SWINGING], state[_START], state[_RUN] = 1, first, 0
        state[_PEAK] = max(peak, state[_PEAK])
        state[_LOWEST] = _NO_RATE

    def learn_peak(self, peak):
        self._state[_USUAL] += (min(peak, USUAL_PEAK_MAX) - self._state[_USUAL]) >> 2
