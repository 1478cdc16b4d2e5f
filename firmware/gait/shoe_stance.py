"""Stances and swings of one foot.

Input: frames of 6-channel samples at 104 Hz. `StanceFinder.feed` keeps them in a ring of RING_SAMPLES,
says how many swings ended within the frame, and leaves in `swings` SWING_WORDS for each: the last still
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
from micropython import const

RING_SAMPLES = 512
CHANNELS = 6
WINDOW = 8
USUAL_PEAK = 1071  # 300 deg/s
USUAL_PEAK_MAX = 3571  # 1,000 deg/s
STRIDE_SAMPLES_MIN, STRIDE_SAMPLES_MAX = 21, 260  # 0.2 and 2.5 s
LANDING_SAMPLES = 35

SWING_WORDS = 4
# More cannot end within a frame of 13 samples.
_SWINGS_MAX = const(2)

# Words of the state that Python touches; the last 16 are 8 x acc^2 and 8 x |rate|.
_SHIFT = const(0)
_USUAL = const(5)
_SWINGING = const(6)
_START = const(7)
_PEAK = const(8)
_RUN = const(9)
_BIAS = const(12)
_BIAS_KNOWN = const(15)
_LOWEST = const(17)
_WORDS = const(35)
_NO_RATE = const(1 << 20)


@micropython.viper
def _watch(state: ptr32, frame: ptr16, ring: ptr16, swings: ptr32, count: int) -> int:
    """Keep the samples, follow swings and stances, move the gyroscope's offset. How many swings ended.

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
    swinging = state[6]
    peak = state[8]
    lowest = state[17]
    found = 0
    swing_rate = usual >> 2
    if swing_rate < 214:
        swing_rate = 214
    stride_rate = usual >> 2
    if stride_rate < 357:
        stride_rate = 357
    # Eight times 12 % of the usual peak or, within a swing, of its own; 30 to 90 deg/s.
    usual_still = usual * 96 // 100
    if usual_still < 856:
        usual_still = 856
    if usual_still > 2568:
        usual_still = 2568
    still_rates = usual_still
    if swinging and peak > usual:
        still_rates = peak * 96 // 100
        if still_rates < usual_still:
            still_rates = usual_still
        if still_rates > 2568:
            still_rates = 2568
    at = 0
    for _ in range(count):
        place = (index & 511) * 6
        x = int(frame[at])
        y = int(frame[at + 1])
        z = int(frame[at + 2])
        ring[place] = x
        ring[place + 1] = y
        ring[place + 2] = z
        x = ((x ^ 0x8000) - 0x8000) >> 2
        y = ((y ^ 0x8000) - 0x8000) >> 2
        z = ((z ^ 0x8000) - 0x8000) >> 2
        # 1 g is 512; beyond 2 g nothing is still.
        acc = (x * x + y * y + z * z) >> 9
        if acc > 2047:
            acc = 2047
        x = int(frame[at + 3])
        y = int(frame[at + 4])
        z = int(frame[at + 5])
        at += 6
        ring[place + 3] = x
        ring[place + 4] = y
        ring[place + 5] = z
        x = ((x ^ 0x8000) - 0x8000 - bias_x) >> 2
        y = ((y ^ 0x8000) - 0x8000 - bias_y) >> 2
        z = ((z ^ 0x8000) - 0x8000 - bias_z) >> 2
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
        squares += (acc - old) * (acc + old)
        rates += rate - state[27 + slot]
        state[27 + slot] = rate
        slot = (slot + 1) & 7
        acc -= 512
        if acc < 0:
            acc = 0 - acc
        shaken += acc - (shaken >> 7)
        if rate > peak and swinging:
            peak = rate
            if peak > usual:
                still_rates = peak * 96 // 100
                if still_rates < usual_still:
                    still_rates = usual_still
                if still_rates > 2568:
                    still_rates = 2568
        still = 0
        if rates < still_rates:
            mean = total >> 3
            # 15100: twice 0.12 g; the spread may exceed its square by what the mean's rounding adds.
            if mean > 288 and mean < 800 and (squares >> 3) - mean * mean < 15100 + mean:
                still = 1
        if swinging:
            if rates < lowest:
                lowest = rates
                state[18] = index
            if still:
                still = state[9] + 1
            state[9] = still
            if still >= 3:
                if peak > stride_rate and index - state[7] >= 21 and found < 2:
                    swings[4 * found] = state[7]
                    swings[4 * found + 1] = index
                    swings[4 * found + 2] = peak
                    swings[4 * found + 3] = 0
                    found += 1
                swinging = 0
                state[10] = index + 1
                still_rates = usual_still
            elif index - state[7] > 260:
                swinging = 0
                state[10] = 0
                still_rates = usual_still
            elif (
                shaken > 98304
                and rates > lowest * 2
                and lowest < peak * 176 // 100
                and state[18] - state[7] >= 42
            ):
                if found < 2:
                    swings[4 * found] = state[7]
                    swings[4 * found + 1] = state[18]
                    swings[4 * found + 2] = peak
                    swings[4 * found + 3] = 1
                    found += 1
                state[7] = state[18]
                peak = rate
                lowest = rates
                state[18] = index
        else:
            at_rest = still and (rates < 572 or state[10] == 0)
            if at_rest or (shaken > 98304 and rates < usual * 176 // 100):
                state[10] = index + 1
            if rate > swing_rate and state[10] > 0:
                swinging = 1
                state[7] = state[10] - 1
                peak = rate
                state[9] = 0
                lowest = 1 << 20
        index += 1
    state[1] = index
    state[2] = total
    state[3] = squares
    state[4] = rates
    state[6] = swinging
    state[8] = peak
    state[11] = slot
    state[16] = shaken
    state[17] = lowest
    # The gyroscope's offset; a foot that turns by 45 deg/s at the end of the frame is spared the search.
    if rates < 1284:
        quiet = 1
        for c in range(3):
            low = 32767
            high = -32768
            at = 3 + c
            for _ in range(count):
                value = (int(frame[at]) ^ 0x8000) - 0x8000
                at += 6
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
                at = 3 + c
                for _ in range(count):
                    total += (int(frame[at]) ^ 0x8000) - 0x8000
                    at += 6
                bias = (state[12 + c] << sh) >> sh
                if state[15]:
                    bias += (total // count - bias) >> 2
                else:
                    bias = total // count
                state[12 + c] = bias
            state[15] = 1
    return found


@micropython.viper
def _centre_of_landing(ring: ptr16, last: int, count: int) -> int:
    """The sample about which the acceleration changed, over two samples, within `count` samples up to `last`."""
    weight = 1
    moment = 0
    # The two samples after, newest first; the search goes back in time.
    place = (last & 511) * 6
    ax = int(ring[place]) ^ 0x8000
    ay = int(ring[place + 1]) ^ 0x8000
    az = int(ring[place + 2]) ^ 0x8000
    place = ((last - 1) & 511) * 6
    bx = int(ring[place]) ^ 0x8000
    by = int(ring[place + 1]) ^ 0x8000
    bz = int(ring[place + 2]) ^ 0x8000
    for i in range(count):
        place = ((last - i - 2) & 511) * 6
        x = int(ring[place]) ^ 0x8000
        y = int(ring[place + 1]) ^ 0x8000
        z = int(ring[place + 2]) ^ 0x8000
        ax -= x
        if ax < 0:
            ax = 0 - ax
        ay -= y
        if ay < 0:
            ay = 0 - ay
        az -= z
        if az < 0:
            az = 0 - az
        change = (ax + ay + az) >> 4
        weight += change
        moment += change * i
        ax = bx
        ay = by
        az = bz
        bx = x
        by = y
        bz = z
    return last - moment // weight


@micropython.viper
def _mean_direction(ring: ptr16, newest: int, out: ptr32):
    x = 0
    y = 0
    z = 0
    for i in range(8):
        place = ((newest - i) & 511) * 6
        x += (int(ring[place]) ^ 0x8000) - 0x8000
        y += (int(ring[place + 1]) ^ 0x8000) - 0x8000
        z += (int(ring[place + 2]) ^ 0x8000) - 0x8000
    # 1 g becomes 8196: precise enough, and 16 g on three axes still can be squared.
    x >>= 1
    y >>= 1
    z >>= 1
    while x > 16383 or x < -16383 or y > 16383 or y < -16383 or z > 16383 or z < -16383:
        x >>= 1
        y >>= 1
        z >>= 1
    square = x * x + y * y + z * z
    root = 0
    bit = 1 << 14
    while bit:
        if (root + bit) * (root + bit) <= square:
            root += bit
        bit >>= 1
    if root:
        out[0] = (x << 14) // root
        out[1] = (y << 14) // root
        out[2] = (z << 14) // root


class StanceFinder:
    """See the module's text."""

    def __init__(self):
        self.ring = array("h", bytes(2 * CHANNELS * RING_SAMPLES))
        self.swings = array("i", bytes(4 * SWING_WORDS * _SWINGS_MAX))
        self._state = array("i", bytes(4 * _WORDS))
        self.restart()

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
        """Take a frame; how many swings ended in it."""
        return _watch(self._state, frame, self.ring, self.swings, count)

    def up(self, newest, out):
        """Direction (Q14) of the mean acceleration over the window that ends with sample `newest`, into out."""
        _mean_direction(self.ring, newest, out)

    @property
    def offset(self):
        """What the gyroscope reads at rest, x y z in LSB."""
        return self._state[_BIAS:_BIAS_KNOWN]

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
