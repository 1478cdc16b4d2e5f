"""The front end: acceleration in the clip's own axes becomes the signals from which gait is read.

Input, a frame at a time: interleaved int16 samples (acc x y z, gyr x y z) at 104 Hz, 0.488 mg and 70 mdps per
LSB. Output:

- `ring`, RING_SAMPLES x 4 int16: forward, left and vertical acceleration, band-passed 0.7-3 Hz, and the vertical
  velocity, a leaky integral (0.3 Hz) of the third. Unit 1.952 mg; the velocity's is 1/8 of that times the
  sample interval, which makes it as large as the acceleration at a cadence of 120 a minute.
- `finders`, two PeakFinders with the maxima that the newest frame confirmed, (index, swing). Their signal is the
  vertical acceleration smoothed by two moving averages (symmetric, so all frequencies are equally late) minus
  the mean of the last second. Unit 0.122 mg. The narrow one times a step well; the wide one sees one peak where
  a foot strikes twice, toe and then heel, as in walking backward.

"Vertical" is the direction of gravity, a low-pass of 1 s; "forward" is the mounting's forward axis laid into the
horizontal plane, so a clip may sit on a sloping belly. Without a mounting any horizontal axis stands in for
it: what does not depend on its direction can still be computed.

Everything per sample is viper on arrays made beforehand. Values are held at +-4 g, and with that no
intermediate leaves 32 bits, whatever the input (tests/test_gait_ranges.py).
"""

from array import array

import micropython
from fixedpoint import ONE_Q14, WORD_SHIFT, dot_q14, percent_of_roots

from firmware.gait.resample import FRAME

# Of the detection signal and the vertical acceleration: quarters of an LSB. (The ring's unit is four LSB.)
UNITS_PER_G = 8197
# Windows of the two detection signals: 8 Hz and 4.5 Hz are their first nulls.
NARROW, WIDE = 13, 23

RING_SAMPLES = 512
_CHANNELS = 4
FORWARD_ACC, LEFT_ACC, VERTICAL_ACC, VERTICAL_VELOCITY = 0, 1, 2, 3
# The longest interval that `sum_products` covers: 1.5 s. 156 products of 2047 * 2047 stay below 2**30.
SUM_SAMPLES_MAX = 156
PEAKS_MAX = 4

# Words of the sums: what direction and coherence are made from. S(a b) is the sum over an interval.
S_FORWARD_VELOCITY, S_LEFT_VELOCITY, S_FORWARD2, S_LEFT2, S_VELOCITY2, S_VERTICAL2 = 0, 1, 2, 3, 4, 5
S_EDGE, S_EDGE2 = 6, 7
SUMS = 8

# Headings, one a frame, for 4 s. The unit is 128 LSB over one sample, 0.086 degrees; +-8192 of it are kept.
HEADINGS = 32
_HEADING_HALF = 8192

# The body is pushed back hardest 0.1 s before the peak of the load, walking backward.
_BRAKING_AHEAD = 11


@micropython.viper
def _low_pass_gravity(state: ptr32, frame: ptr16, count: int):
    """One-pole low-pass of the acceleration, Q10; a plain mean until it is 1 s old.

    state: sign shift, x, y, z, samples so far (stops counting at 104).
    """
    sh = state[0]
    seen = state[4]
    for i in range(count):
        if seen < 104:
            seen += 1
        for c in range(3):
            acc = (int(frame[i * 6 + c]) ^ 0x8000) - 0x8000
            g = (state[1 + c] << sh) >> sh
            if seen == 104:
                # 79 / 8192 in place of 1 / 104: a division is a call.
                state[1 + c] = g + ((((acc << 10) - g) >> 8) * 79 >> 5)
            else:
                state[1 + c] = g + ((acc << 10) - g) // seen
    state[4] = seen


@micropython.viper
def _project(axes: ptr32, frame: ptr16, body: ptr16, count: int):
    """body[i] = forward, left and vertical acceleration less gravity, quarters of an LSB, held at +-4 g.

    axes: sign shift, forward x y z, left x y z, up x y z (Q14), length of gravity.
    """
    sh = axes[0]
    fx = (axes[1] << sh) >> sh
    fy = (axes[2] << sh) >> sh
    fz = (axes[3] << sh) >> sh
    lx = (axes[4] << sh) >> sh
    ly = (axes[5] << sh) >> sh
    lz = (axes[6] << sh) >> sh
    ux = (axes[7] << sh) >> sh
    uy = (axes[8] << sh) >> sh
    uz = (axes[9] << sh) >> sh
    gravity = axes[10]
    for i in range(count):
        x = (int(frame[i * 6]) ^ 0x8000) - 0x8000
        y = (int(frame[i * 6 + 1]) ^ 0x8000) - 0x8000
        z = (int(frame[i * 6 + 2]) ^ 0x8000) - 0x8000
        value = (x * fx + y * fy + z * fz) >> 12
        if value > 32760:
            value = 32760
        if value < -32760:
            value = -32760
        body[i * 3] = value
        value = (x * lx + y * ly + z * lz) >> 12
        if value > 32760:
            value = 32760
        if value < -32760:
            value = -32760
        body[i * 3 + 1] = value
        value = ((x * ux + y * uy + z * uz) >> 12) - gravity
        if value > 32760:
            value = 32760
        if value < -32760:
            value = -32760
        body[i * 3 + 2] = value


@micropython.viper
def _band_pass(state: ptr32, body: ptr16, ring: ptr16, count: int):
    """Band-pass the three accelerations with one Butterworth section each, integrate the vertical one.

    state: sign shift, ring position, velocity, then per channel x1, x2, y1, y2, remainder.
    The remainder of each rounding is added to the next sample, so no rounding error builds up.
    """
    sh = state[0]
    start = state[1]
    velocity = (state[2] << sh) >> sh
    for c in range(3):
        at = 3 + 5 * c
        x1 = (state[at] << sh) >> sh
        x2 = (state[at + 1] << sh) >> sh
        y1 = (state[at + 2] << sh) >> sh
        y2 = (state[at + 3] << sh) >> sh
        rest = state[at + 4]
        for i in range(count):
            x = ((int(body[i * 3 + c]) ^ 0x8000) - 0x8000) >> 1
            # 0.7-3 Hz at 104 Hz, Q14: b = 0.06506 (1, 0, -1), a = 1, -1.86270, 0.86988.
            total = 1066 * (x - x2) + 30519 * y1 - 14252 * y2 + rest
            y = total >> 14
            rest = total & 16383
            x2 = x1
            x1 = x
            y2 = y1
            y1 = y
            out = (y + 4) >> 3
            if out > 2047:
                out = 2047
            if out < -2047:
                out = -2047
            place = ((start + i) & 511) * 4
            ring[place + c] = out
            if c == 2:
                # Leak 37 / 2048 a sample: 0.3 Hz.
                velocity += y - ((velocity * 37 + 1024) >> 11)
                out = (velocity + 32) >> 6
                if out > 2047:
                    out = 2047
                if out < -2047:
                    out = -2047
                ring[place + 3] = out
        state[at] = x1
        state[at + 1] = x2
        state[at + 2] = y1
        state[at + 3] = y2
        state[at + 4] = rest
    state[1] = (start + count) & 511
    state[2] = velocity


@micropython.viper
def _head(axes: ptr32, frame: ptr16, headings: ptr16, index: int, count: int):
    """Add the turn about the vertical to the heading: headings[index // 13] from the one before.

    axes: as in _project.
    """
    sh = axes[0]
    turn = 0
    for c in range(3):
        total = 64
        for i in range(count):
            total += (int(frame[i * 6 + 3 + c]) ^ 0x8000) - 0x8000
        turn += (total >> 7) * ((axes[7 + c] << sh) >> sh)
    at = index // 13
    heading = ((int(headings[(at - 1) & 31]) ^ 0x8000) - 0x8000) + (turn >> 14)
    headings[at & 31] = ((heading + 8192) & 16383) - 8192


@micropython.viper
def _turn_axes(axes: ptr32, gravity: ptr32, reference: ptr32) -> int:
    """Up from gravity, forward from the reference laid into the horizontal plane, left across both.

    axes: as in _project; gravity: as in _low_pass_gravity; reference: Q14 vector in the clip's axes. Returns 0 where
    the reference points up or down: forward and left stay as they were.
    """
    sh = axes[0]
    x = ((gravity[1] << sh) >> sh) >> 8
    y = ((gravity[2] << sh) >> sh) >> 8
    z = ((gravity[3] << sh) >> sh) >> 8
    rx = (reference[0] << sh) >> sh
    ry = (reference[1] << sh) >> sh
    rz = (reference[2] << sh) >> sh
    shift = 0
    for which in range(2):
        shift = 0
        while x > 16383 or y > 16383 or z > 16383 or x < -16383 or y < -16383 or z < -16383:
            x >>= 1
            y >>= 1
            z >>= 1
            shift += 1
        square = x * x + y * y + z * z
        length = 0
        if square > 0:
            length = 1
            rest = square
            while rest > 0:
                rest >>= 2
                length <<= 1
            better = (length + square // length) >> 1
            while better < length:
                length = better
                better = (length + square // length) >> 1
        if which == 0:
            axes[10] = length << shift
            # Less than 0.2 g is no direction.
            if length << shift < 1639:
                return 1
            axes[7] = (x << 14) // length
            axes[8] = (y << 14) // length
            axes[9] = (z << 14) // length
        else:
            axes[1] = (x << 14) // length
            axes[2] = (y << 14) // length
            axes[3] = (z << 14) // length
        ux = (axes[7] << sh) >> sh
        uy = (axes[8] << sh) >> sh
        uz = (axes[9] << sh) >> sh
        if which == 0:
            along = (rx * ux + ry * uy + rz * uz) >> 14
            x = rx - ((along * ux) >> 14)
            y = ry - ((along * uy) >> 14)
            z = rz - ((along * uz) >> 14)
            if x * x + y * y + z * z < 16777216:
                return 0
        else:
            x = (axes[1] << sh) >> sh
            y = (axes[2] << sh) >> sh
            z = (axes[3] << sh) >> sh
            axes[4] = (uy * z - uz * y) >> 14
            axes[5] = (uz * x - ux * z) >> 14
            axes[6] = (ux * y - uy * x) >> 14
    return 1


@micropython.viper
def _find_peaks(state: ptr32, body: ptr16, past: ptr16, peaks: ptr32, count: int) -> int:
    """Smooth the vertical acceleration by two moving averages and confirm its maxima.

    A maximum counts once the signal has fallen by the hysteresis below it, a minimum once it has risen by it.
    state: sign shift, position in `past`, its sum, sum over the window, sum of those over the window, falling?,
    extreme, its index, last minimum, hysteresis, index of the next sample, window, position in the window, the
    window's sums. past: the last 104 vertical accelerations. peaks: how many, then (index, swing) each.
    """
    sh = state[0]
    at = state[1]
    second = (state[2] << sh) >> sh
    once = (state[3] << sh) >> sh
    twice = (state[4] << sh) >> sh
    falling = state[5]
    extreme = (state[6] << sh) >> sh
    extreme_index = state[7]
    low = (state[8] << sh) >> sh
    hysteresis = state[9]
    index = state[10]
    window = state[11]
    slot = state[12]
    channel = state[13]
    sign = (state[14] << sh) >> sh
    share = 512 * 4096 // (window * window)
    found = 0
    for i in range(count):
        new = ((int(body[i * 3 + channel]) ^ 0x8000) - 0x8000) * sign
        leaving = at - window
        if leaving < 0:
            leaving += 104
        once += new - ((int(past[leaving]) ^ 0x8000) - 0x8000)
        second += new - ((int(past[at]) ^ 0x8000) - 0x8000)
        past[at] = new
        at += 1
        if at == 104:
            at = 0
        twice += once - ((state[15 + slot] << sh) >> sh)
        state[15 + slot] = once
        slot += 1
        if slot == window:
            slot = 0
        # Divided by the window squared and by 104, as products: a division is a call.
        signal = ((twice >> 6) * share >> 15) - ((second >> 3) * 315 >> 12)
        if falling:
            if signal < extreme:
                extreme = signal
                extreme_index = index
            elif signal - extreme >= hysteresis:
                falling = 0
                low = extreme
                extreme = signal
                extreme_index = index
        else:
            if signal > extreme:
                extreme = signal
                extreme_index = index
            elif extreme - signal >= hysteresis:
                if found < 4:
                    peaks[1 + found * 2] = extreme_index
                    peaks[2 + found * 2] = extreme - low
                    found += 1
                falling = 1
                extreme = signal
                extreme_index = index
        index += 1
    peaks[0] = found
    state[1] = at
    state[2] = second
    state[3] = once
    state[4] = twice
    state[5] = falling
    state[6] = extreme
    state[7] = extreme_index
    state[8] = low
    state[10] = index
    state[12] = slot
    return found


@micropython.viper
def _sum_products(ring: ptr16, sums: ptr32, first: int, count: int):
    forward_velocity = 0
    left_velocity = 0
    forward2 = 0
    left2 = 0
    velocity2 = 0
    vertical2 = 0
    edge = 0
    edge2 = 0
    before = (int(ring[((first - 1) & 511) * 4]) ^ 0x8000) - 0x8000
    for i in range(count):
        place = ((first + i) & 511) * 4
        forward = (int(ring[place]) ^ 0x8000) - 0x8000
        left = (int(ring[place + 1]) ^ 0x8000) - 0x8000
        vertical = (int(ring[place + 2]) ^ 0x8000) - 0x8000
        velocity = (int(ring[place + 3]) ^ 0x8000) - 0x8000
        forward_velocity += forward * velocity
        left_velocity += left * velocity
        forward2 += forward * forward
        left2 += left * left
        velocity2 += velocity * velocity
        vertical2 += vertical * vertical
        rise = forward - before
        before = forward
        if rise > 2047:
            rise = 2047
        if rise < -2047:
            rise = -2047
        edge2 += rise * rise
        if rise > 0:
            edge += rise * rise
        else:
            edge -= rise * rise
    sums[0] = forward_velocity
    sums[1] = left_velocity
    sums[2] = forward2
    sums[3] = left2
    sums[4] = velocity2
    sums[5] = vertical2
    sums[6] = edge
    sums[7] = edge2


@micropython.viper
def add_sums(total: ptr32, sums: ptr32, scale: int, sh: int):
    """Add sums >> scale to total; sh is WORD_SHIFT."""
    for k in range(8):
        total[k] = int(total[k]) + (((sums[k] << sh) >> sh) >> scale)


# Words of the kernels' states that Python touches.
_A_UP = 7
_P_HYSTERESIS, _P_WINDOW, _P_CHANNEL, _P_SIGN, _P_SUMS = 9, 11, 13, 14, 15


class PeakFinder:
    """Confirmed maxima of the vertical acceleration, smoothed by two moving averages of `window` samples.

    `delay` is how many samples the smoothing comes late; indices are those of the smoothed signal.
    """

    def __init__(self, window, channel=VERTICAL_ACC, sign=1, ahead=0):
        self.window = window
        self.channel = channel
        self.sign = sign
        self.delay = window - 1 - ahead
        self.peaks = array("i", bytes(4 * (1 + 2 * PEAKS_MAX)))
        self._state = array("i", bytes(4 * (_P_SUMS + window)))
        self._past = array("h", bytes(2 * 104))
        self.restart()

    def restart(self):
        for words in (self._state, self._past, self.peaks):
            for i in range(len(words)):
                words[i] = 0
        self._state[0] = WORD_SHIFT
        self._state[_P_WINDOW] = self.window
        self._state[_P_CHANNEL] = self.channel
        self._state[_P_SIGN] = self.sign
        self._state[_P_HYSTERESIS] = 1

    def set_hysteresis(self, hysteresis):
        self._state[_P_HYSTERESIS] = hysteresis

    def feed(self, body, count):
        """How many peaks were found."""
        return _find_peaks(self._state, body, self._past, self.peaks, count)


class FrontEnd:
    """Turns frames into the ring and the finders' peaks.

    `index` is the number of samples taken since the last restart: the newest in the ring is index - 1.
    """

    def __init__(self, mounting=None, on_trunk=True):
        self.ring = array("h", bytes(2 * _CHANNELS * RING_SAMPLES))
        self.finders = [PeakFinder(NARROW)]
        if on_trunk:
            self.finders.append(PeakFinder(WIDE))
        if on_trunk and mounting:
            self.finders.append(PeakFinder(WIDE, FORWARD_ACC, -1, _BRAKING_AHEAD))
        self.index = 0
        self._mounting = mounting
        self._gravity = array("i", bytes(4 * 5))
        self._axes = array("i", bytes(4 * 11))
        self._filters = array("i", bytes(4 * 18))
        self._body = array("h", bytes(2 * 3 * FRAME))
        self._reference = array("i", bytes(4 * 3))
        self._headings = array("h", bytes(2 * HEADINGS))
        self.restart()

    def restart(self):
        """Begin anew, as after switching on."""
        for words in (self._gravity, self._axes, self._filters, self.ring, self._headings):
            for i in range(len(words)):
                words[i] = 0
        for state in (self._gravity, self._axes, self._filters):
            state[0] = WORD_SHIFT
        for finder in self.finders:
            finder.restart()
        self._axes[_A_UP + 2] = ONE_Q14
        # All zero for as long as a stand-in is wanted.
        self._set_reference(self._mounting.forward if self._mounting else (0, 0, 0))
        self.peaks = 0
        self.index = 0

    def axis(self, which):
        """Q14 components (x, y, z) of FORWARD_ACC, LEFT_ACC or VERTICAL_ACC in the clip's axes."""
        at = 1 + 3 * which
        return self._axes[at], self._axes[at + 1], self._axes[at + 2]

    def set_forward(self, axis):
        """Correct the mounting's forward axis (Q14, in the clip's axes) from the next frame on."""
        self._set_reference(axis)

    def along_up(self, vector):
        """Component along "up" of a Q14 vector in the clip's axes."""
        return dot_q14(vector, self._axes, 0, _A_UP)

    def feed(self, frame, count):
        """Take `count` (at most FRAME) samples at 104 Hz. `peaks` says how many peaks they confirmed."""
        axes, body = self._axes, self._body
        _low_pass_gravity(self._gravity, frame, count)
        if not _turn_axes(axes, self._gravity, self._reference):
            self._replace_reference()
        _project(axes, frame, body, count)
        _band_pass(self._filters, body, self.ring, count)
        peaks = 0
        for finder in self.finders:
            peaks += finder.feed(body, count)
        self.peaks = peaks
        _head(axes, frame, self._headings, self.index, count)
        self.index += count

    def sway_repeats(self, last, period):
        """Correlation in percent of the sideways acceleration up to sample `last` with that of `period` before."""
        period = min(period, RING_SAMPLES // 2 - FRAME)
        ring = self.ring
        product = new2 = old2 = 0
        for i in range(last - period, last):
            new = ring[(i & (RING_SAMPLES - 1)) * _CHANNELS + LEFT_ACC] >> 1
            old = ring[((i - period) & (RING_SAMPLES - 1)) * _CHANNELS + LEFT_ACC] >> 1
            product += new * old >> 2
            new2 += new * new >> 2
            old2 += old * old >> 2
        return percent_of_roots(product, new2, old2)

    def turned(self, first, last):
        """Degrees turned about the vertical, to the left positive, from sample `first` to `last`."""
        oldest = self.index // FRAME - HEADINGS + 1
        now = self._headings[(last // FRAME) % HEADINGS]
        then = self._headings[(max(first // FRAME, oldest)) % HEADINGS]
        return (((now - then + _HEADING_HALF) & (2 * _HEADING_HALF - 1)) - _HEADING_HALF) * 11 >> 7

    def sum_products(self, sums, first, last):
        """Write the six sums over samples first .. last - 1 to sums, an array of 32-bit words.

        Of an interval longer than 1.5 s, or older than the ring, only the newest part is used. Returns the number of
        samples summed.
        """
        first = max(first, last - SUM_SAMPLES_MAX, self.index - RING_SAMPLES, 0)
        count = max(0, last - first)
        _sum_products(self.ring, sums, first, count)
        return count

    def _replace_reference(self):
        """Forward points up or down. Of a mounting that is kept; a stand-in is chosen anew."""
        if not self._mounting:
            self._set_reference(self._level_axis())
            _turn_axes(self._axes, self._gravity, self._reference)

    def _set_reference(self, axis):
        for i in range(3):
            self._reference[i] = axis[i]

    def _level_axis(self):
        """The clip axis that lies flattest, to stand in for forward where the mounting is unknown."""
        axes = self._axes
        x, y, z = abs(axes[_A_UP]), abs(axes[_A_UP + 1]), abs(axes[_A_UP + 2])
        if x <= y and x <= z:
            return ONE_Q14, 0, 0
        if y <= z:
            return 0, ONE_Q14, 0
        return 0, 0, ONE_Q14
