"""Stances and swings of one foot.

Input: blocks of 6-channel samples. `take_samples` keeps them, brought to 104 Hz, in a ring of 512, and
pauses where a swing ended within a frame, or where it is to wake. Its words then have for each swing the last still
sample before, the first after that counts as still, the peak rate (units of four LSB, 0.28 deg/s), 1 if the foot was
running.

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
from fixedpoint import unit_q14
from micropython import const

from firmware.gait.resample import next_frame

_RING_SAMPLES = const(512)
_CHANNELS = const(6)
_USUAL_PEAK = const(1071)  # 300 deg/s
_USUAL_PEAK_MAX = const(3571)  # 1,000 deg/s
_RESUMED_SAMPLES = const(239)  # of 2.5 s the last 0.2 are left
_LANDING_SAMPLES = const(35)
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
# Of the swings that ended in the newest frame, at most two, four words each.
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
def contact(p: ptr16, a: int, b: int) -> int:
    """When the foot met the floor that is still at sample a, and was at b before it swung; p: the ring.

    That is the sample about which the acceleration changed, over two samples.
    """
    ring = p
    last = a
    count = a - b
    if count > _LANDING_SAMPLES:
        count = _LANDING_SAMPLES
    weight = 1
    moment = 0
    # The two samples after, newest first; the search goes back in time.
    p = ptr16(int(ring) + (last & 511) * 12)
    after_x = int(p[0])
    after_y = int(p[1])
    after_z = int(p[2])
    p = ptr16(int(ring) + ((last - 1) & 511) * 12)
    next_x = int(p[0])
    next_y = int(p[1])
    next_z = int(p[2])
    for i in range(count):
        p = ptr16(int(ring) + ((last - i - 2) & 511) * 12)
        a = int(p[0])
        b = (after_x ^ 0x8000) - (a ^ 0x8000)
        after_x = next_x
        next_x = a
        change = b if b > 0 else 0 - b
        a = int(p[1])
        b = (after_y ^ 0x8000) - (a ^ 0x8000)
        after_y = next_y
        next_y = a
        change += b if b > 0 else 0 - b
        a = int(p[2])
        b = (after_z ^ 0x8000) - (a ^ 0x8000)
        after_z = next_z
        next_z = a
        b = ((b if b > 0 else 0 - b) + change) >> 4
        weight += b
        moment += b * i
    last -= moment // weight
    if last < 0:
        last = 0
    return last


@micropython.viper
def stance_up(p: ptr16, a: int, b: int, words: ptr32):
    """Direction (Q14) of the mean acceleration over the window that ends with sample a, into words[b ...].

    p: the ring.
    """
    ring = p
    x = 0
    y = 0
    z = 0
    words = ptr32(int(words) + 4 * b)
    b = a - 8
    while a > b:
        p = ptr16(int(ring) + (a & 511) * 12)
        x += (int(p[0]) ^ 0x8000) - 0x8000
        y += (int(p[1]) ^ 0x8000) - 0x8000
        z += (int(p[2]) ^ 0x8000) - 0x8000
        a -= 1
    words[0] = 0
    words[1] = 0
    words[2] = 0
    # 1 g becomes 8196: precise enough.
    unit_q14(x >> 1, y >> 1, z >> 1, words)


class StanceFinder:
    """See the module's text. resampler: cuts the samples into frames. `words`, `arrays`: for take_samples()."""

    def __init__(self, resampler):
        self.ring = array("h", bytes(2 * _CHANNELS * _RING_SAMPLES))
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
        words[_USUAL] = _USUAL_PEAK
        words[_WAKE] = _NEVER

    def resume(self, at):
        """The swing whose words begin at words[at] did not end in a stance: it goes on, unless it is too long."""
        words = self.words
        if words[at + 1] - words[at] < _RESUMED_SAMPLES:
            words[_SWINGING] = 1
            words[_START] = words[at]
            words[_RUN] = 0
            if words[_PEAK] < words[at + 2]:
                words[_PEAK] = words[at + 2]
            words[_LOWEST] = _NO_RATE

    def learn_peak(self, at):
        """The swing whose words begin at words[at] is a stride."""
        words = self.words
        peak = words[at + 2]
        if peak > _USUAL_PEAK_MAX:
            peak = _USUAL_PEAK_MAX
        words[_USUAL] += (peak - words[_USUAL]) >> 2
