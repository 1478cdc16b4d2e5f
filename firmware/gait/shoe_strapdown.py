"""Strapdown of one stride: from the still foot before to the still foot after, how far and how it tipped.

Input: the ring of shoe_stance.py, the gyroscope's offset and the resting acceleration before. A quaternion
in Q15 turns each acceleration back into the axes that the clip had at the start; less the resting
acceleration, its sum is the velocity and the sum of that the way. The velocity must be zero again at the
end, so what is left of it grew in proportion to time and is taken out: two running sums do, and any
constant error of the acceleration vanishes with it.

Output, in the axes that the clip had at the start: `way_mm`; `half_turn`, cosine and sine of half the turn
about the vertical; `early` and `late`, up of the foot (Q14) where it was tipped furthest in the first 45 %
of the stride and in what follows.
"""

from array import array

import micropython
from fixedpoint import ONE_Q14, WORD_SHIFT, dot_q14, unit_q14

# 4 LSB * (1 / 104 s)^2 in a millimetre.
_UNITS_PER_MM = 565
_WAY_MM_MAX = 16383
# Words of the work array.
_BIAS, _REST, _UP, _WAY, _ATTITUDE, _EARLY, _LATE = 1, 4, 7, 10, 13, 17, 20
_WORDS = 23


@micropython.viper
def _integrate(ring: ptr16, work: ptr32, first: int, count: int):
    """Over the `count` samples after `first`.

    work in: sign shift, gyroscope offset, acceleration at rest, up (Q14). Out: way in 1 / 565 mm, attitude
    w x y z (Q15), up of the foot where it was tipped most, early and late (Q14).
    """
    sh = work[0]
    w = 32768
    x = 0
    y = 0
    z = 0
    bias_x = (work[1] << sh) >> sh
    bias_y = (work[2] << sh) >> sh
    bias_z = (work[3] << sh) >> sh
    up_x = (work[7] << sh) >> sh
    up_y = (work[8] << sh) >> sh
    up_z = (work[9] << sh) >> sh
    early = count * 45 // 100
    steepest = 1 << 29
    work[17] = up_x
    work[18] = up_y
    work[19] = up_z
    work[20] = up_x
    work[21] = up_y
    work[22] = up_z
    speed_x = 0
    speed_y = 0
    speed_z = 0
    way_x = 0
    way_y = 0
    way_z = 0
    for i in range(count):
        place = ((first + 1 + i) & 511) * 6
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
        xx = 32768 - ((y * y + z * z) >> 14)
        yy = 32768 - ((x * x + z * z) >> 14)
        zz = 32768 - ((x * x + y * y) >> 14)
        xy = (x * y - w * z) >> 14
        yx = (x * y + w * z) >> 14
        xz = (x * z + w * y) >> 14
        zx = (x * z - w * y) >> 14
        yz = (y * z - w * x) >> 14
        zy = (y * z + w * x) >> 14
        ax = (int(ring[place]) ^ 0x8000) - 0x8000
        ay = (int(ring[place + 1]) ^ 0x8000) - 0x8000
        az = (int(ring[place + 2]) ^ 0x8000) - 0x8000
        net_x = (xx * ax >> 15) + (xy * ay >> 15) + (xz * az >> 15) - ((work[4] << sh) >> sh)
        net_y = (yx * ax >> 15) + (yy * ay >> 15) + (yz * az >> 15) - ((work[5] << sh) >> sh)
        net_z = (zx * ax >> 15) + (zy * ay >> 15) + (zz * az >> 15) - ((work[6] << sh) >> sh)
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
        # Up of the foot now; the less of it along up at the start, the further it is tipped.
        ax = (xx * up_x >> 15) + (xy * up_y >> 15) + (xz * up_z >> 15)
        ay = (yx * up_x >> 15) + (yy * up_y >> 15) + (yz * up_z >> 15)
        az = (zx * up_x >> 15) + (zy * up_y >> 15) + (zz * up_z >> 15)
        level = ax * up_x + ay * up_y + az * up_z
        if i == early:
            steepest = 1 << 29
        if level < steepest:
            steepest = level
            if i < early:
                work[17] = ax
                work[18] = ay
                work[19] = az
            else:
                work[20] = ax
                work[21] = ay
                work[22] = az
    # The foot rests again: what speed is left grew in proportion to time.
    work[10] = way_x - (speed_x >> 3) * (count + 1)
    work[11] = way_y - (speed_y >> 3) * (count + 1)
    work[12] = way_z - (speed_z >> 3) * (count + 1)
    work[13] = w
    work[14] = x
    work[15] = y
    work[16] = z


class Strapdown:
    """See the module's text."""

    def __init__(self):
        self.way_mm = [0, 0, 0]
        self.half_turn = [ONE_Q14, 0, 0]
        self.early = [0, 0, 0]
        self.late = [0, 0, 0]
        self._work = array("i", bytes(4 * _WORDS))

    def run(self, stances, first, last, rest, up):
        """From sample `first` to `last` of a StanceFinder.

        rest: acceleration at `first` in LSB; up: its direction, Q14.
        """
        work = self._work
        work[0] = WORD_SHIFT
        for c in range(3):
            work[_BIAS + c] = stances.bias(c)
            work[_REST + c] = rest[c]
            work[_UP + c] = up[c]
        _integrate(stances.ring, work, first, last - first)
        for c in range(3):
            self.way_mm[c] = max(-_WAY_MM_MAX, min(_WAY_MM_MAX, work[_WAY + c] // _UNITS_PER_MM))
            self.early[c] = work[_EARLY + c]
            self.late[c] = work[_LATE + c]
        sine = dot_q14([work[_ATTITUDE + 1 + c] >> 1 for c in range(3)], up)
        unit_q14(work[_ATTITUDE] >> 1, sine, 0, self.half_turn)
