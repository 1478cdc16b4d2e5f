"""Stances and swings of one foot.

Input: blocks of 6-channel samples. `take_samples` keeps them, brought to 104 Hz, in a ring of RING_SAMPLES, and
pauses where a swing ended within a frame, or where it is to wake. `StanceFinder.swings` then has for each swing the
last still sample before, the first after that counts as still, the peak rate (units of four LSB, 0.28 deg/s), 1 if
the foot was running.

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
from micropython import const

from firmware.gait.resample import next_frame

RING_SAMPLES = 512
CHANNELS = 6
WINDOW = 8
USUAL_PEAK = 1071  # 300 deg/s
USUAL_PEAK_MAX = 3571  # 1,000 deg/s
STRIDE_SAMPLES_MIN, STRIDE_SAMPLES_MAX = 21, 260  # 0.2 and 2.5 s
LANDING_SAMPLES = 35

_SWING_WORDS = const(4)
# More cannot end within a frame of 13 samples.
_SWINGS_MAX = const(2)
_NEVER = const(1073741823)

# Words of the state, behind those of the resampler.
_SHIFT = const(0)
_RATE = const(1)
_TAKEN = const(3)
_FILLED = const(4)
_INDEX = const(12)
# Over the window, sums of acc^2, of its square and of |rate|; the usual peak.
_TOTAL = const(13)
_SQUARES = const(14)
_RATES = const(15)
_USUAL = const(16)
# Whether the foot swings, where the swing began, its peak; still samples in a row; last still sample + 1, or 0.
_SWINGING = const(17)
_START = const(18)
_PEAK = const(19)
_RUN = const(20)
_STILL = const(21)
_SLOT = const(22)
# The gyroscope's offset, x y z, and whether it is known.
_BIAS = const(23)
_BIAS_KNOWN = const(26)
# Mean of |acc^2 - 1| (x 128); lowest sum of |rate| in this swing and where.
_SHAKEN = const(27)
_LOWEST = const(28)
_LOWEST_AT = const(29)
_WAKE = const(30)
_FOUND = const(31)
_SWINGS = const(32)
# acc^2 of the last 8 samples, then |rate|.
_WINDOW = const(40)
_WORDS = const(56)
_NO_RATE = const(1 << 20)


@micropython.viper
def take_samples(p: ptr16, a: int, b: int, state: ptr32, arrays) -> int:
    """Keep the samples, follow swings and stances, move the gyroscope's offset. 0: samples used up; 1: there is news.

    p: the samples, a: how many, b: 1 if they are a frame, cut already. arrays: a tuple of the resampler's frame and
    the ring. p, a and b serve the loops, too: viper keeps a function's first three names, and no others, in
    registers.
    """
    samples = p
    whole = a
    cut = b
    ring = ptr16(arrays[1])
    sh = state[_SHIFT]
    index = state[_INDEX]
    total = state[_TOTAL]
    squares = state[_SQUARES]
    rates = state[_RATES]
    usual = state[_USUAL]
    slot = state[_SLOT]
    shaken = state[_SHAKEN]
    swinging = state[_SWINGING]
    peak = state[_PEAK]
    lowest = state[_LOWEST]
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
    # Where nothing is to be resampled and no rest waits frames lie in the samples.
    where = 0
    a = state[_FILLED]
    if state[_RATE] == 104000 and (a == 0 or a == 13):
        where = 2
    found = 0
    news = 0
    while news == 0:
        count = 13
        a = state[_TAKEN]
        if cut:
            if cut == 2:
                break
            cut = 2
            count = whole
            p = samples
        elif where == 2 and a + 13 <= whole:
            # Frame after frame lies in the samples.
            state[_TAKEN] = a + 13
            p = ptr16(int(samples) + a * 12)
        elif where == 2 and a == whole:
            state[_TAKEN] = 0
            break
        else:
            p = ptr16(arrays[0])
            where = int(next_frame(state, samples, p, whole))
            if where == 0:
                break
            if where == 2:
                p = ptr16(int(samples) + (state[_TAKEN] - 13) * 12)
        frame = p
        still_rates = usual_still
        if swinging and peak > usual:
            still_rates = peak * 96 // 100
            if still_rates < usual_still:
                still_rates = usual_still
            if still_rates > 2568:
                still_rates = 2568
        offset_x = 32768 + ((state[_BIAS] << sh) >> sh)
        offset_y = 32768 + ((state[_BIAS + 1] << sh) >> sh)
        offset_z = 32768 + ((state[_BIAS + 2] << sh) >> sh)
        ahead = count
        while ahead:
            # Up to the end of the ring.
            a = index & 511
            out = ptr16(int(ring) + a * 12)
            rest = 512 - a
            if rest > ahead:
                rest = ahead
            ahead -= rest
            while rest:
                rest -= 1
                a = int(p[0])
                out[0] = a
                a = ((a ^ 0x8000) - 0x8000) >> 2
                b = a * a
                a = int(p[1])
                out[1] = a
                a = ((a ^ 0x8000) - 0x8000) >> 2
                b = a * a + b
                a = int(p[2])
                out[2] = a
                a = ((a ^ 0x8000) - 0x8000) >> 2
                # 1 g is 512; beyond 2 g nothing is still.
                b = (a * a + b) >> 9
                if b >> 11:
                    b = 2047
                words = ptr32(int(state) + 4 * _WINDOW + (slot << 2))
                slot = (slot + 1) & 7
                a = words[0]
                words[0] = b
                total = b - a + total
                squares = (b - a) * (b + a) + squares
                b -= 512
                if b >> 31:
                    b = 0 - b
                shaken = b - (shaken >> 7) + shaken
                a = int(p[3])
                out[3] = a
                a = ((a ^ 0x8000) - offset_x) >> 2
                if a >> 31:
                    a = 0 - a
                b = a * a
                rate = a
                sum_rates = a
                a = int(p[4])
                out[4] = a
                a = ((a ^ 0x8000) - offset_y) >> 2
                if a >> 31:
                    a = 0 - a
                b = a * a + b
                sum_rates = sum_rates + a
                if rate < a:
                    rate = a
                a = int(p[5])
                out[5] = a
                a = ((a ^ 0x8000) - offset_z) >> 2
                if a >> 31:
                    a = 0 - a
                b = a * a + b
                sum_rates = sum_rates + a
                if rate < a:
                    rate = a
                p = ptr16(int(p) + 12)
                out = ptr16(int(out) + 12)
                # The length to 1 %: a guess between the largest and the sum, and one Newton step.
                a = ((sum_rates - rate) >> 2) + rate
                if a:
                    a = (b // a + a) >> 1
                rates = a - words[8] + rates
                words[8] = a
                if swinging and peak < a:
                    peak = a
                    if peak > usual:
                        still_rates = peak * 96 // 100
                        if still_rates < usual_still:
                            still_rates = usual_still
                        if still_rates > 2568:
                            still_rates = 2568
                b = 0
                if rates < still_rates:
                    mean = total >> 3
                    # 15100: twice 0.12 g; the spread may exceed its square by what the mean's rounding adds.
                    if mean > 288 and mean < 800 and (squares >> 3) - mean * mean < 15100 + mean:
                        b = 1
                if swinging:
                    if rates < lowest:
                        lowest = rates
                        state[_LOWEST_AT] = index
                    if b:
                        b = state[_RUN] + 1
                    state[_RUN] = b
                    start = state[_START]
                    if b >= 3:
                        if peak > stride_rate and index - start >= 21 and found < 2:
                            words = ptr32(int(state) + 4 * _SWINGS + (found << 4))
                            words[0] = start
                            words[1] = index
                            words[2] = peak
                            words[3] = 0
                            found += 1
                        swinging = 0
                        state[_STILL] = index + 1
                        still_rates = usual_still
                    elif index - start > 260:
                        swinging = 0
                        state[_STILL] = 0
                        still_rates = usual_still
                    elif shaken > 98304:
                        b = state[_LOWEST_AT]
                        if rates > lowest * 2 and lowest < peak * 176 // 100 and b - start >= 42:
                            if found < 2:
                                words = ptr32(int(state) + 4 * _SWINGS + (found << 4))
                                words[0] = start
                                words[1] = b
                                words[2] = peak
                                words[3] = 1
                                found += 1
                            state[_START] = b
                            peak = a
                            lowest = rates
                            state[_LOWEST_AT] = index
                else:
                    if (b and (rates < 572 or state[_STILL] == 0)) or (
                        shaken > 98304 and rates < usual * 176 // 100
                    ):
                        state[_STILL] = index + 1
                    if swing_rate < a and state[_STILL] > 0:
                        swinging = 1
                        state[_START] = state[_STILL] - 1
                        peak = a
                        state[_RUN] = 0
                        lowest = _NO_RATE
                index += 1
        # The gyroscope's offset; a foot that turns by 45 deg/s at the end of the frame is spared the search.
        if rates < 1284:
            c = 3
            while c < 6:
                p = ptr16(int(frame) + 2 * c)
                low = 32767
                high = -32768
                rest = count
                while rest:
                    rest -= 1
                    a = (int(p[0]) ^ 0x8000) - 0x8000
                    p = ptr16(int(p) + 12)
                    if low > a:
                        low = a
                    if high < a:
                        high = a
                if high - low > 86 or high > 329 or low < -329:
                    break
                c += 1
            if c == 6:
                words = ptr32(int(state) + 4 * _BIAS)
                while c > 3:
                    c -= 1
                    p = ptr16(int(frame) + 2 * c)
                    b = 0
                    rest = count
                    while rest:
                        rest -= 1
                        b = (int(p[0]) ^ 0x8000) - 0x8000 + b
                        p = ptr16(int(p) + 12)
                    a = (words[c - 3] << sh) >> sh
                    if state[_BIAS_KNOWN]:
                        a += (b // count - a) >> 2
                    else:
                        a = b // count
                    words[c - 3] = a
                state[_BIAS_KNOWN] = 1
        if found or index >= state[_WAKE]:
            news = 1
    state[_INDEX] = index
    state[_TOTAL] = total
    state[_SQUARES] = squares
    state[_RATES] = rates
    state[_SWINGING] = swinging
    state[_PEAK] = peak
    state[_SLOT] = slot
    state[_SHAKEN] = shaken
    state[_LOWEST] = lowest
    state[_FOUND] = found
    return news


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
    """See the module's text. resampler: cuts the samples into frames. `words`, `arrays`: for take_samples()."""

    def __init__(self, resampler):
        self.ring = array("h", bytes(2 * CHANNELS * RING_SAMPLES))
        self.words = resampler.widen(_WORDS)
        self.arrays = resampler.frame, self.ring
        self.restart()

    def restart(self):
        """Begin anew; the gyroscope's offset stays as it was."""
        words = self.words
        for i in range(len(self.ring)):
            self.ring[i] = 0
        for i in range(_INDEX, _WORDS):
            if not _BIAS <= i <= _BIAS_KNOWN:
                words[i] = 0
        words[_USUAL] = USUAL_PEAK
        words[_WAKE] = _NEVER

    @property
    def index(self):
        """Samples taken since the last restart."""
        return self.words[_INDEX]

    @property
    def swings(self):
        """How many words there are of swings that ended in the newest frame, then they."""
        return self.words[_FOUND] * _SWING_WORDS, self.words[_SWINGS:_WINDOW]

    def wake_at(self, index):
        """Have take_samples() pause where so many samples have been taken; None: never."""
        self.words[_WAKE] = _NEVER if index is None else index

    def up(self, newest, out):
        """Direction (Q14) of the mean acceleration over the window that ends with sample `newest`, into out."""
        _mean_direction(self.ring, newest, out)

    @property
    def offset(self):
        """What the gyroscope reads at rest, x y z in LSB."""
        return self.words[_BIAS:_BIAS_KNOWN]

    def contact(self, first, last):
        """When the foot that is still at `last` met the floor."""
        return max(0, _centre_of_landing(self.ring, last, min(LANDING_SAMPLES, last - first)))

    def resume(self, first, peak):
        """This was no stance: the swing that began at `first` goes on."""
        words = self.words
        words[_SWINGING], words[_START], words[_RUN] = 1, first, 0
        words[_PEAK] = max(peak, words[_PEAK])
        words[_LOWEST] = _NO_RATE

    def learn_peak(self, peak):
        self.words[_USUAL] += (min(peak, USUAL_PEAK_MAX) - self.words[_USUAL]) >> 2
