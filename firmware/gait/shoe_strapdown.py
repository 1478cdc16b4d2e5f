"""Strapdown of one stride, from stance to stance: how far the foot went, where to, how it was tipped.

Input: the ring of shoe_stance.py and the gyroscope's offset. A quaternion in Q15 turns each acceleration
back into the axes that the clip had at the start. The sum of these is the velocity, and the sum of that the
way. The velocity must be zero at the end as it is at the start, so what is left of it grew in proportion to
time and is taken out; with it goes every constant part of the acceleration, gravity among them. Two running
sums do, no buffer. Samples are taken in pairs, 52 a second: the two accelerations are averaged, and the
attitude that they are turned by is the one in their middle.

Output, lengths in mm and directions in Q14, in the axes that the clip had at the start:

    length_mm    the level part of the way
    ahead        its direction, after half of the foot's turn is taken back: the mean heading of a foot is what
                 its owner calls ahead
    half_turn    sine of half the angle that the foot turned about the vertical
    tipping      three sines: how far the foot tipped towards `ahead` where it was tipped furthest in the first
                 45 % of the stride; how far away from `ahead` in the rest of it; how far, whatever its
                 direction, in the first
"""

from array import array

import micropython
from fixedpoint import WORD_SHIFT
from micropython import const

from firmware.gait.shoe_vectors import root

# Words of the work array: shift, gyroscope offset, up, way, attitude w x y z; the same where the foot was
# tipped most, early and late; results.
_BIAS = const(1)
_UP = const(4)
_LENGTH = const(22)
_AHEAD = const(23)
_HALF_TURN = const(26)
_TOWARDS = const(27)
_WORDS = const(30)


@micropython.viper
def _integrate(ring: ptr16, work: ptr32, first: int, pairs: int):
    """Over the `pairs` of samples after `first`: fills in way (1 / 141.25 mm) and attitudes (Q15)."""
    sh = work[0]
    bias_x = (work[1] << (sh + 1)) >> sh
    bias_y = (work[2] << (sh + 1)) >> sh
    bias_z = (work[3] << (sh + 1)) >> sh
    up_x = (work[4] << sh) >> sh
    up_y = (work[5] << sh) >> sh
    up_z = (work[6] << sh) >> sh
    w = 32768
    x = 0
    y = 0
    z = 0
    early = pairs * 45 // 100
    steepest = 0
    part = 14
    for c in range(8):
        work[14 + c] = 0
    work[14] = 32768
    work[18] = 32768
    speed_x = 0
    speed_y = 0
    speed_z = 0
    way_x = 0
    way_y = 0
    way_z = 0
    at = first
    for i in range(pairs):
        # A gyroscope reading stands for the time half a sample to each side of it.
        a = (at & 511) * 6
        b = ((at + 1) & 511) * 6
        e = ((at + 2) & 511) * 6
        at += 2
        # Half the angle turned, Q16: 0.07 deg/s in a sample are 0.38495 of it.
        hx = ((int(ring[a + 3]) ^ 0x8000) + (int(ring[b + 3]) ^ 0x8000) - 65536 - bias_x) * 6307 >> 14
        hy = ((int(ring[a + 4]) ^ 0x8000) + (int(ring[b + 4]) ^ 0x8000) - 65536 - bias_y) * 6307 >> 14
        hz = ((int(ring[a + 5]) ^ 0x8000) + (int(ring[b + 5]) ^ 0x8000) - 65536 - bias_z) * 6307 >> 14
        dw = 0 - ((x * hx + y * hy + z * hz + 32768) >> 16)
        dx = (w * hx + y * hz - z * hy + 32768) >> 16
        dy = (w * hy + z * hx - x * hz + 32768) >> 16
        dz = (w * hz + x * hy - y * hx + 32768) >> 16
        w += dw
        x += dx
        y += dy
        z += dz
        # Back to unit length.
        norm = (w >> 2) * (w >> 2) + (x >> 2) * (x >> 2) + (y >> 2) * (y >> 2) + (z >> 2) * (z >> 2)
        scale = (98304 - (norm >> 11)) >> 1
        w = (w * scale + 16384) >> 15
        x = (x * scale + 16384) >> 15
        y = (y * scale + 16384) >> 15
        z = (z * scale + 16384) >> 15
        a = x * x
        d = y * y
        f = z * z
        xx = 32768 - ((d + f) >> 14)
        yy = 32768 - ((a + f) >> 14)
        zz = 32768 - ((a + d) >> 14)
        # Square of the sine of half the tipping; the turn about the vertical tips nothing.
        tilt = x * up_x + y * up_y + z * up_z >> 14
        tilt = ((a + d + f) >> 1) - (tilt * tilt >> 1)
        a = x * y
        f = w * z
        xy = (a - f) >> 14
        yx = (a + f) >> 14
        a = x * z
        f = w * y
        xz = (a + f) >> 14
        zx = (a - f) >> 14
        a = y * z
        f = w * x
        yz = (a - f) >> 14
        zy = (a + f) >> 14
        ax = ((int(ring[b]) ^ 0x8000) + (int(ring[e]) ^ 0x8000) - 65536) >> 1
        ay = ((int(ring[b + 1]) ^ 0x8000) + (int(ring[e + 1]) ^ 0x8000) - 65536) >> 1
        az = ((int(ring[b + 2]) ^ 0x8000) + (int(ring[e + 2]) ^ 0x8000) - 65536) >> 1
        speed_x += (xx * ax >> 15) + (xy * ay >> 15) + (xz * az >> 15)
        speed_y += (yx * ax >> 15) + (yy * ay >> 15) + (yz * az >> 15)
        speed_z += (zx * ax >> 15) + (zy * ay >> 15) + (zz * az >> 15)
        way_x += speed_x >> 2
        way_y += speed_y >> 2
        way_z += speed_z >> 2
        if i == early:
            steepest = 0
            part = 18
        if tilt > steepest:
            steepest = tilt
            work[part] = w
            work[part + 1] = x
            work[part + 2] = y
            work[part + 3] = z
    work[7] = way_x - (speed_x >> 3) * (pairs + 1)
    work[8] = way_y - (speed_y >> 3) * (pairs + 1)
    work[9] = way_z - (speed_z >> 3) * (pairs + 1)
    work[10] = w
    work[11] = x
    work[12] = y
    work[13] = z


@micropython.viper
def _describe(work: ptr32):
    """From way, attitude and foot's up to the results: length, ahead x y z, half turn, towards, away, tipped."""
    sh = work[0]
    up_x = (work[4] << sh) >> sh
    up_y = (work[5] << sh) >> sh
    up_z = (work[6] << sh) >> sh
    x = ((work[7] << sh) >> sh) * 4 // 565
    y = ((work[8] << sh) >> sh) * 4 // 565
    z = ((work[9] << sh) >> sh) * 4 // 565
    for c in range(8):
        work[22 + c] = 0
    # Further than 8 m is no stride, but must not overflow.
    while x > 8191 or x < -8191 or y > 8191 or y < -8191 or z > 8191 or z < -8191:
        x >>= 1
        y >>= 1
        z >>= 1
    climb = (x * up_x + y * up_y + z * up_z) >> 14
    x -= climb * up_x >> 14
    y -= climb * up_y >> 14
    z -= climb * up_z >> 14
    length = int(root(x * x + y * y + z * z))
    work[22] = length
    if length:
        doublings = 0
        while length < 4096:
            length <<= 1
            doublings += 1
        x <<= doublings
        y <<= doublings
        z <<= doublings
        sine = ((work[11] << sh) >> sh) * up_x >> 15
        sine += ((work[12] << sh) >> sh) * up_y >> 15
        sine += ((work[13] << sh) >> sh) * up_z >> 15
        cosine = ((work[10] << sh) >> sh) >> 1
        norm = int(root(cosine * cosine + sine * sine)) + 1
        cosine = (cosine << 14) // norm
        sine = (sine << 14) // norm
        left_x = (up_y * z - up_z * y) >> 14
        left_y = (up_z * x - up_x * z) >> 14
        left_z = (up_x * y - up_y * x) >> 14
        x = (x * cosine - left_x * sine) >> 14
        y = (y * cosine - left_y * sine) >> 14
        z = (z * cosine - left_z * sine) >> 14
        norm = int(root(x * x + y * y + z * z)) + 1
        x = (x << 14) // norm
        y = (y << 14) // norm
        z = (z << 14) // norm
        work[23] = x
        work[24] = y
        work[25] = z
        if sine < 0:
            sine = 0 - sine
        work[26] = sine
        # The foot's up where it was tipped most: the quaternion's matrix times up at the start.
        for part in range(2):
            w = (work[14 + 4 * part] << sh) >> (sh + 1)
            a = (work[15 + 4 * part] << sh) >> (sh + 1)
            b = (work[16 + 4 * part] << sh) >> (sh + 1)
            e = (work[17 + 4 * part] << sh) >> (sh + 1)
            across = (a * up_x + b * up_y + e * up_z) >> 14
            # up + 2 w (v x up) + 2 v x (v x up), v x (v x up) being v (v . up) - up (v . v); v is (a, b, e).
            square = (a * a + b * b + e * e) >> 14
            foot_x = up_x + ((w * (b * up_z - e * up_y >> 14) + a * across - square * up_x) >> 13)
            foot_y = up_y + ((w * (e * up_x - a * up_z >> 14) + b * across - square * up_y) >> 13)
            foot_z = up_z + ((w * (a * up_y - b * up_x >> 14) + e * across - square * up_z) >> 13)
            towards = (foot_x * x + foot_y * y + foot_z * z) >> 14
            if part:
                work[28] = 0 - towards
            else:
                work[27] = towards
                upright = (foot_x * up_x + foot_y * up_y + foot_z * up_z) >> 14
                work[29] = int(root((1 << 28) - upright * upright))


class Strapdown:
    """See the module's text."""

    def __init__(self):
        self.length_mm = self.half_turn = 0
        self._work = array("i", bytes(4 * _WORDS))

    def run(self, stances, first, last, up):
        """From sample `first` to `last` of a StanceFinder; up (Q14): at `first`."""
        work = self._work
        work[0] = WORD_SHIFT
        work[_BIAS:_UP] = stances.offset
        work[_UP : _UP + 3] = up
        _integrate(stances.ring, work, first, (last - first) >> 1)
        _describe(work)
        self.length_mm = work[_LENGTH]
        self.half_turn = work[_HALF_TURN]

    @property
    def ahead(self):
        return self._work[_AHEAD:_HALF_TURN]

    @property
    def tipping(self):
        """towards, away, tipped"""
        return self._work[_TOWARDS:]
