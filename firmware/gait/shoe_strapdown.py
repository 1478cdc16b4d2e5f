"""Strapdown of one stride, from stance to stance: how far the foot went, where to, how it was tipped.

Input: the ring of shoe_stance.py, a swing, and the gyroscope's offset. A quaternion in Q15 turns each acceleration
back into the axes that the clip had at the start. The sum of these is the velocity, and the sum of that the
way. The velocity must be zero at the end as it is at the start, so what is left of it grew in proportion to
time and is taken out; with it goes every constant part of the acceleration, gravity among them. Two running
sums do, no buffer. Samples are taken in pairs, 52 a second: the two accelerations are averaged, and the
attitude that they are turned by is the one in their middle.

Output, lengths in mm and directions in Q14, in the axes that the clip had at the start:

    length        the level part of the way
    ahead         its direction, after half of the foot's turn is taken back: the mean heading of a foot is what
                  its owner calls ahead
    half turn     sine of half the angle that the foot turned about the vertical
    tipping       three sines: how far the foot tipped towards `ahead` where it was tipped furthest in the first
                  45 % of the stride; how far away from `ahead` in the rest of it; how far, whatever its
                  direction, in the first
"""

import micropython
from fixedpoint import isqrt
from micropython import const

# Words of the track of shoe.py: the tipping; attitudes (Q15, w x y z) where the foot was tipped most, early and late.
_TOWARDS = const(1)
_AWAY = const(2)
_TIPPED = const(3)
_STEEPEST = const(4)
# Words of a stride.
_S_UP = const(0)
_S_LENGTH = const(3)
_S_AHEAD = const(4)
_S_HALF_TURN = const(7)
# Word of the state of shoe_stance.py.
_BIAS = const(23)


@micropython.viper
def measure(p: ptr16, a: int, b: int, state: ptr32, track: ptr32):
    """The swing whose words begin at state[a] is the stride whose words begin at track[b]; its `up` is there already.

    p: the ring. p, a and b serve the loop, too: viper keeps a function's first three names, and no others, in
    registers. A way of no length has nothing but its length.
    """
    ring = p
    swing = ptr32(int(state) + 4 * a)
    stride = ptr32(int(track) + 4 * b)
    sh = track[0]
    # Two readings, brought from 0 .. 65535 to either side of 0, have twice the offset.
    bias_x = 65536 + ((state[_BIAS] << (sh + 1)) >> sh)
    bias_y = 65536 + ((state[_BIAS + 1] << (sh + 1)) >> sh)
    bias_z = 65536 + ((state[_BIAS + 2] << (sh + 1)) >> sh)
    up_x = (stride[_S_UP] << sh) >> sh
    up_y = (stride[_S_UP + 1] << sh) >> sh
    up_z = (stride[_S_UP + 2] << sh) >> sh
    w = 32768
    x = 0
    y = 0
    z = 0
    at = swing[0]
    pairs = (swing[1] - at) >> 1
    p = ptr16(int(ring) + (at & 511) * 12)
    early = pairs * 45 // 100
    steepest = 0
    foot = ptr32(int(track) + 4 * _STEEPEST)
    for c in range(8):
        foot[c] = 0
    foot[0] = 32768
    foot[4] = 32768
    speed_x = 0
    speed_y = 0
    speed_z = 0
    way_x = 0
    way_y = 0
    way_z = 0
    for i in range(pairs):
        # A gyroscope reading stands for the time half a sample to each side of it.
        hx = int(p[3]) ^ 0x8000
        hy = int(p[4]) ^ 0x8000
        hz = int(p[5]) ^ 0x8000
        at += 1
        p = ptr16(int(ring) + (at & 511) * 12)
        # Half the angle turned, Q16: 0.07 deg/s in a sample are 0.38495 of it.
        hx = (hx + (int(p[3]) ^ 0x8000) - bias_x) * 6307 >> 14
        hy = (hy + (int(p[4]) ^ 0x8000) - bias_y) * 6307 >> 14
        hz = (hz + (int(p[5]) ^ 0x8000) - bias_z) * 6307 >> 14
        ax = int(p[0]) ^ 0x8000
        ay = int(p[1]) ^ 0x8000
        az = int(p[2]) ^ 0x8000
        at += 1
        p = ptr16(int(ring) + (at & 511) * 12)
        ax = (ax + (int(p[0]) ^ 0x8000) - 65536) >> 1
        ay = (ay + (int(p[1]) ^ 0x8000) - 65536) >> 1
        az = (az + (int(p[2]) ^ 0x8000) - 65536) >> 1
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
        b = z * z
        xx = 32768 - ((d + b) >> 14)
        yy = 32768 - ((a + b) >> 14)
        zz = 32768 - ((a + d) >> 14)
        # Square of the sine of half the tipping; the turn about the vertical tips nothing.
        tilt = x * up_x + y * up_y + z * up_z >> 14
        tilt = ((a + d + b) >> 1) - (tilt * tilt >> 1)
        a = x * y
        b = w * z
        xy = (a - b) >> 14
        yx = (a + b) >> 14
        a = x * z
        b = w * y
        xz = (a + b) >> 14
        zx = (a - b) >> 14
        a = y * z
        b = w * x
        yz = (a - b) >> 14
        zy = (a + b) >> 14
        speed_x += (xx * ax >> 15) + (xy * ay >> 15) + (xz * az >> 15)
        speed_y += (yx * ax >> 15) + (yy * ay >> 15) + (yz * az >> 15)
        speed_z += (zx * ax >> 15) + (zy * ay >> 15) + (zz * az >> 15)
        way_x += speed_x >> 2
        way_y += speed_y >> 2
        way_z += speed_z >> 2
        if i == early:
            steepest = 0
            foot = ptr32(int(track) + 4 * (_STEEPEST + 4))
        if tilt > steepest:
            steepest = tilt
            foot[0] = w
            foot[1] = x
            foot[2] = y
            foot[3] = z
    # The way (1 / 141.25 mm).
    a = (way_x - (speed_x >> 3) * (pairs + 1)) * 4 // 565
    b = (way_y - (speed_y >> 3) * (pairs + 1)) * 4 // 565
    e = (way_z - (speed_z >> 3) * (pairs + 1)) * 4 // 565
    # Further than 8 m is no stride, but must not overflow.
    while a > 8191 or a < -8191 or b > 8191 or b < -8191 or e > 8191 or e < -8191:
        a >>= 1
        b >>= 1
        e >>= 1
    climb = (a * up_x + b * up_y + e * up_z) >> 14
    a -= climb * up_x >> 14
    b -= climb * up_y >> 14
    e -= climb * up_z >> 14
    length = int(isqrt(a * a + b * b + e * e))
    stride[_S_LENGTH] = length
    if length == 0:
        return
    while length < 4096:
        length <<= 1
        a <<= 1
        b <<= 1
        e <<= 1
    sine = (x * up_x >> 15) + (y * up_y >> 15) + (z * up_z >> 15)
    cosine = w >> 1
    norm = int(isqrt(cosine * cosine + sine * sine)) + 1
    cosine = (cosine << 14) // norm
    sine = (sine << 14) // norm
    x = (a * cosine - (up_y * e - up_z * b >> 14) * sine) >> 14
    y = (b * cosine - (up_z * a - up_x * e >> 14) * sine) >> 14
    z = (e * cosine - (up_x * b - up_y * a >> 14) * sine) >> 14
    norm = int(isqrt(x * x + y * y + z * z)) + 1
    x = (x << 14) // norm
    y = (y << 14) // norm
    z = (z << 14) // norm
    stride[_S_AHEAD] = x
    stride[_S_AHEAD + 1] = y
    stride[_S_AHEAD + 2] = z
    if sine < 0:
        sine = 0 - sine
    stride[_S_HALF_TURN] = sine
    # The foot's up where it was tipped most: the quaternion's matrix times up at the start.
    for part in range(2):
        foot = ptr32(int(track) + 4 * _STEEPEST + (part << 4))
        w = (foot[0] << sh) >> (sh + 1)
        a = (foot[1] << sh) >> (sh + 1)
        b = (foot[2] << sh) >> (sh + 1)
        e = (foot[3] << sh) >> (sh + 1)
        across = (a * up_x + b * up_y + e * up_z) >> 14
        # up + 2 w (v x up) + 2 v x (v x up), v x (v x up) being v (v . up) - up (v . v); v is (a, b, e).
        square = (a * a + b * b + e * e) >> 14
        foot_x = up_x + ((w * (b * up_z - e * up_y >> 14) + a * across - square * up_x) >> 13)
        foot_y = up_y + ((w * (e * up_x - a * up_z >> 14) + b * across - square * up_y) >> 13)
        foot_z = up_z + ((w * (a * up_y - b * up_x >> 14) + e * across - square * up_z) >> 13)
        towards = (foot_x * x + foot_y * y + foot_z * z) >> 14
        if part:
            track[_AWAY] = 0 - towards
        else:
            track[_TOWARDS] = towards
            upright = (foot_x * up_x + foot_y * up_y + foot_z * up_z) >> 14
            square = (1 << 28) - upright * upright
            if square < 0:
                square = 0
            track[_TIPPED] = int(isqrt(square))
