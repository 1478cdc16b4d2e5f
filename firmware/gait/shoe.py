"""Strides of a clip on the shoe: from one stance to the next, how far and which way the foot went.

Input: frames of 6-channel samples at 104 Hz. Output: `settled`, (contact index, direction, confidence) in order, one
for each stride of this foot.

A foot in stance is still and, shoe after shoe, lies as it lay before. Between two stances the gyroscope gives its
attitude and the accelerometer, turned back into the first stance's frame and freed of gravity, its velocity; that
must be zero again at the end, so what is left is drift and is taken out in proportion to time. The velocity's sum is
the stride. Its horizontal part, against the toe axis of the mounting, is the direction.

- Still: over 8 samples the mean rate is below 12 % of the usual swing peak (30 to 90 deg/s), the spread of |acc| is
  below 0.12 g, its mean within 0.25 g of 1 g.
- The attitude returns: the mean acceleration is within 25 degrees of the last stance's. A quiet moment in mid-swing,
  with the toe hanging, is thereby told from a stance.
- Shorter than 0.10 m: the foot only shifted. Within 50 degrees of the toe: forward; of the heel: backward; across:
  sideways. In between, shorter than 0.15 m, or turned by more than 35 degrees: unknown.
- A stride counts when another is within 3 s of it; people shift their feet while standing.

Without a mounting strides count and their direction is unknown. Limits: running has no still stance, and most of its
strides are missed; so are strides of more than 2.5 s.
"""

from array import array

import micropython
from fixedpoint import ONE_Q14, WORD_SHIFT, dot_q14, isqrt, unit_q14

from firmware.gait.direction import BACKWARD, FORWARD, SIDEWAYS, UNKNOWN

RING_SAMPLES = 512
_CHANNELS = 6
_WINDOW = 8
# Rates in units of four LSB, 0.28 deg/s.
_SWING_PEAK = 1071  # 300 deg/s
_SWING_PEAK_MAX = 3571  # 1,000 deg/s
_STRIDE_MIN, _STRIDE_MAX = 21, 260  # 0.2 and 2.5 s
_PAIR_SAMPLES = 312  # 3 s
_COS_RETURNED = 14849  # 25 degrees
_SIN_HALF_TURN = 4927  # sine of 35 / 2 degrees
# Thousandths of the stride.
_ALONG, _ACROSS = 643, 574  # cosines of 50 and 55 degrees
_SHIFT_MM, _IN_PLACE_MM = 100, 150
# The displacement's unit, 4 LSB * (1 / 104 s)^2, in one millimetre.
_UNITS_PER_MM = 565
# The foot is down, heel or toe, this long before it is found still.
_CONTACT_SAMPLES = 20


@micropython.viper
def _watch(state: ptr32, frame: ptr16, ring: ptr16, strides: ptr32, count: int):
    """Keep the samples and find stances.

    state: index, sum and sum of squares of |acc| and sum of |rate| over 8 samples, usual swing peak, swinging?,
    where the swing began (the last still sample), its peak, still samples in a row, the last still sample + 1 or 0,
    place in the window, 8 x |acc|, 8 x |rate|. Both in units of four LSB.
    strides: how many, then (last still sample before, first still sample after, swing peak) each.
    """
    index = state[0]
    total = state[1]
    squares = state[2]
    rates = state[3]
    usual = state[4]
    found = 0
    still_rate = usual * 12 // 100
    if still_rate < 107:
        still_rate = 107
    if still_rate > 321:
        still_rate = 321
    swing_rate = usual >> 2
    if swing_rate < 214:
        swing_rate = 214
    stride_rate = usual >> 2
    if stride_rate < 357:
        stride_rate = 357
    for i in range(count):
        place = (index & 511) * 6
        length = 0
        acc = 0
        for c in range(6):
            word = frame[i * 6 + c]
            ring[place + c] = word
            value = ((int(word) ^ 0x8000) - 0x8000) >> 2
            length += value * value
            if c == 2 or c == 5:
                root = 0
                bit = 1 << 14
                while bit:
                    if (root + bit) * (root + bit) <= length:
                        root += bit
                    bit >>= 1
                if c == 2:
                    acc = root
                length = 0
        rate = root
        slot = state[10]
        state[10] = (slot + 1) & 7
        old = state[11 + slot]
        total += acc - old
        squares += acc * acc - old * old
        state[11 + slot] = acc
        rates += rate - state[19 + slot]
        state[19 + slot] = rate
        mean = total >> 3
        still = 0
        # 0.25 g and 0.12 g in units of 1.952 mg; the spread may exceed its square by what the mean's rounding adds.
        steady = (squares >> 3) - mean * mean < 3782 + mean
        if steady and rates < still_rate * 8 and mean > 384 and mean < 640:
            still = 1
        if state[5]:
            if rate > state[7]:
                state[7] = rate
            if still:
                state[8] = state[8] + 1
            else:
                state[8] = 0
            if state[8] >= 3:
                if state[7] > stride_rate and index - state[6] >= 21 and found < 2:
                    strides[1 + 3 * found] = state[6]
                    strides[2 + 3 * found] = index
                    strides[3 + 3 * found] = state[7]
                    found += 1
                state[5] = 0
                state[9] = index + 1
            elif index - state[6] > 260:
                state[5] = 0
                state[9] = 0
        else:
            if still:
                state[9] = index + 1
            if rate > swing_rate and state[9] > 0:
                state[5] = 1
                state[6] = state[9] - 1
                state[7] = rate
                state[8] = 0
        index += 1
    strides[0] = found
    state[0] = index
    state[1] = total
    state[2] = squares
    state[3] = rates


@micropython.viper
def _integrate(ring: ptr16, work: ptr32, first: int, count: int):
    """Strapdown from sample `first` over `count` samples, in the frame of the first.

    work in: sign shift, gyroscope bias x y z, acceleration at rest x y z. Out, from word 7 on: displacement x y z
    (565 a millimetre) and the attitude at the end, a quaternion w x y z in Q15.
    """
    sh = work[0]
    w = 32768
    x = 0
    y = 0
    z = 0
    bias_x = (work[1] << sh) >> sh
    bias_y = (work[2] << sh) >> sh
    bias_z = (work[3] << sh) >> sh
    for k in range(13):
        if k > 6:
            work[k] = 0
    speed_x = 0
    speed_y = 0
    speed_z = 0
    way_x = 0
    way_y = 0
    way_z = 0
    for i in range(count):
        place = ((first + i) & 511) * 6
        # Half the angle turned in a sample, Q16: 0.07 deg/s are 0.38495 of it.
        hx = ((((int(ring[place + 3]) ^ 0x8000) - 0x8000) - bias_x) * 6307) >> 14
        hy = ((((int(ring[place + 4]) ^ 0x8000) - 0x8000) - bias_y) * 6307) >> 14
        hz = ((((int(ring[place + 5]) ^ 0x8000) - 0x8000) - bias_z) * 6307) >> 14
        dw = 0 - ((x * hx + y * hy + z * hz + 32768) >> 16)
        dx = (w * hx + y * hz - z * hy + 32768) >> 16
        dy = (w * hy + z * hx - x * hz + 32768) >> 16
        dz = (w * hz + x * hy - y * hx + 32768) >> 16
        w += dw
        x += dx
        y += dy
        z += dz
        # Back to unit length, to first order.
        norm = (w >> 1) * (w >> 1) + (x >> 1) * (x >> 1) + (y >> 1) * (y >> 1) + (z >> 1) * (z >> 1)
        scale = (98304 - (norm >> 13)) >> 1
        w = (w * scale + 16384) >> 15
        x = (x * scale + 16384) >> 15
        y = (y * scale + 16384) >> 15
        z = (z * scale + 16384) >> 15
        ax = (int(ring[place]) ^ 0x8000) - 0x8000
        ay = (int(ring[place + 1]) ^ 0x8000) - 0x8000
        az = (int(ring[place + 2]) ^ 0x8000) - 0x8000
        net_x = ((32768 - ((y * y + z * z) >> 14)) * ax >> 15) + (((x * y - w * z) >> 14) * ay >> 15)
        net_x += (((x * z + w * y) >> 14) * az >> 15) - ((work[4] << sh) >> sh)
        net_y = (((x * y + w * z) >> 14) * ax >> 15) + ((32768 - ((x * x + z * z) >> 14)) * ay >> 15)
        net_y += (((y * z - w * x) >> 14) * az >> 15) - ((work[5] << sh) >> sh)
        net_z = (((x * z - w * y) >> 14) * ax >> 15) + (((y * z + w * x) >> 14) * ay >> 15)
        net_z += ((32768 - ((x * x + y * y) >> 14)) * az >> 15) - ((work[6] << sh) >> sh)
        if net_x > 16383:
            net_x = 16383
        if net_x < -16383:
            net_x = -16383
        if net_y > 16383:
            net_y = 16383
        if net_y < -16383:
            net_y = -16383
        if net_z > 16383:
            net_z = 16383
        if net_z < -16383:
            net_z = -16383
        speed_x += net_x
        speed_y += net_y
        speed_z += net_z
        way_x += speed_x >> 2
        way_y += speed_y >> 2
        way_z += speed_z >> 2
    # The foot rests again: what speed is left grew in proportion to time.
    work[7] = way_x - (speed_x >> 3) * (count + 1)
    work[8] = way_y - (speed_y >> 3) * (count + 1)
    work[9] = way_z - (speed_z >> 3) * (count + 1)
    work[10] = w
    work[11] = x
    work[12] = y
    work[13] = z


# Words of the kernels' states that Python touches.
_W_INDEX, _W_USUAL, _W_SWINGING, _W_START, _W_PEAK, _W_RUN = 0, 4, 5, 6, 7, 8
_I_BIAS, _I_REST, _I_WAY, _I_ATTITUDE = 1, 4, 7, 10


class StrideTracker:
    """mounting: its forward axis is the toe's; None: no stride has a direction.

    strides: a list to which (displacement x y z in mm, up x y z in Q14), in the shoe's axes at the stride's start, is
    appended for each stride, for calibration; None: nobody wants them.
    """

    def __init__(self, mounting=None, strides=None):
        self.settled = []
        self._mounting = mounting
        self._strides = strides
        self._ring = array("h", bytes(2 * _CHANNELS * RING_SAMPLES))
        self._state = array("i", bytes(4 * 27))
        self._found = array("i", bytes(4 * 7))
        self._work = array("i", bytes(4 * 14))
        self.restart()

    @property
    def walking(self):
        return self._last is not None

    def restart(self):
        """Begin anew. A stride that waited for its companion is forgotten."""
        for words in (self._ring, self._state):
            for i in range(len(words)):
                words[i] = 0
        self._state[_W_USUAL] = _SWING_PEAK
        # The newest stride that counted, and one that waits for another to count.
        self._last = self._waiting = None

    def feed(self, frame, count):
        found = self._found
        _watch(self._state, frame, self._ring, found, count)
        for k in range(found[0]):
            self._stride(found[1 + 3 * k], found[2 + 3 * k], found[3 + 3 * k])
        if self._last is not None and self._state[_W_INDEX] - self._last > _PAIR_SAMPLES:
            self._last = None

    def finish(self):
        """No more samples follow these."""
        self._last = self._waiting = None

    def _mean(self, channel, newest):
        total = 0
        for i in range(newest - _WINDOW + 1, newest + 1):
            total += self._ring[(i % RING_SAMPLES) * _CHANNELS + channel]
        return total >> 3

    def _stride(self, first, last, peak):
        state, work = self._state, self._work
        rest = [self._mean(c, first) for c in range(3)]
        up, up_after = [0, 0, ONE_Q14], [0, 0, ONE_Q14]
        unit_q14(rest[0] << 2, rest[1] << 2, rest[2] << 2, up)
        unit_q14(*[self._mean(c, last) << 2 for c in range(3)], up_after)
        if dot_q14(up, up_after) < _COS_RETURNED and last - first < _STRIDE_MAX - _STRIDE_MIN:
            # Quiet, but not flat again: the swing goes on.
            state[_W_SWINGING], state[_W_START], state[_W_PEAK], state[_W_RUN] = 1, first, peak, 0
            return
        work[0] = WORD_SHIFT
        for c in range(3):
            work[_I_BIAS + c] = 0
            work[_I_REST + c] = rest[c]
        _integrate(self._ring, work, first + 1, last - first)
        way = [max(-16383, min(16383, work[_I_WAY + c] // _UNITS_PER_MM)) for c in range(3)]
        climb = dot_q14(way, up)
        level = [way[c] - ((climb * up[c]) >> 14) for c in range(3)]
        length_mm = isqrt(sum([(c >> 1) * (c >> 1) for c in level])) << 1
        if length_mm < _SHIFT_MM:
            return
        state[_W_USUAL] += (min(peak, _SWING_PEAK_MAX) - state[_W_USUAL]) >> 2
        if self._strides is not None:
            self._strides.append((level, up))
        direction, confidence = UNKNOWN, 0
        if self._mounting:
            direction, confidence = self._direction(level, length_mm, up)
        self._count((max(0, last - _CONTACT_SAMPLES), direction, confidence))

    def _direction(self, level, length_mm, up):
        work = self._work
        half = [0, 0, 0]
        sine = dot_q14([work[_I_ATTITUDE + 1 + c] >> 1 for c in range(3)], up)
        unit_q14(work[_I_ATTITUDE] >> 1, sine, 0, half)
        if length_mm < _IN_PLACE_MM or abs(half[1]) > _SIN_HALF_TURN:
            return UNKNOWN, 0
        forward = self._mounting.forward
        along_up = dot_q14(forward, up)
        toe, left = [0, 0, 0], [0, 0, 0]
        unit_q14(*[forward[c] - ((along_up * up[c]) >> 14) for c in range(3)], toe)
        for c in range(3):
            d, e = (c + 1) % 3, (c + 2) % 3
            left[c] = (up[d] * toe[e] - up[e] * toe[d]) >> 14
        # Half the stride's turn is taken back: the foot's mean heading is what the wearer calls ahead.
        x, y = dot_q14(level, toe), dot_q14(level, left)
        along = ((x * half[0] + y * half[1]) >> 14) * 1000 // length_mm
        across = ((y * half[0] - x * half[1]) >> 14) * 1000 // length_mm
        if abs(along) >= _ALONG:
            return (FORWARD if along > 0 else BACKWARD), min(100, 50 + (abs(along) - _ALONG) // 7)
        if abs(along) <= _ACROSS:
            return SIDEWAYS, min(100, 50 + abs(across) // 20)
        return UNKNOWN, 0

    def _count(self, stride):
        index = stride[0]
        waiting, self._waiting = self._waiting, None
        if self._last is None:
            if waiting is None or index - waiting[0] > _PAIR_SAMPLES:
                self._waiting = stride
                return
            self.settled.append(waiting)
        self._last = index
        self.settled.append(stride)
