"""Integer arithmetic that stays inside the device's words: roots, unit vectors, correlation.

MicroPython on a 32-bit chip holds integers of -2**30 .. 2**30 - 1 without allocating, and viper computes in
32 bits. Everything here keeps to the former. Q14 means: 16384 stands for one.

WORD_SHIFT makes viper code read negative numbers from memory alike on both word sizes: a `ptr32` load is
zero-extended where the word has 64 bits, so `(x << WORD_SHIFT) >> WORD_SHIFT` restores the sign there and
changes nothing on a 32-bit chip. Kernels take it from their state array.
"""

import sys

import micropython

ONE_Q14 = 16384
WORD_SHIFT = 32 if sys.maxsize >> 32 else 0


@micropython.viper
def isqrt(n: int) -> int:
    """The largest r with r * r <= n, for 0 <= n < 2**30."""
    if n < 2:
        return n
    r = 1
    rest = n
    while rest > 255:
        rest >>= 8
        r <<= 4
    while rest > 0:
        rest >>= 2
        r <<= 1
    while True:
        better = (r + n // r) >> 1
        if better >= r:
            return r
        r = better


@micropython.viper
def unit_q14(x: int, y: int, z: int, out: ptr32) -> int:
    """Write the direction of (x, y, z) as Q14 to out, array('i'); return its length.

    Components may be of any size that a small int holds; they are scaled down before they are squared, so the
    length is exact to about 1 part in 10,000 once it exceeds 8192. Of the zero vector nothing is written.
    """
    shift = 0
    while x > 16383 or y > 16383 or z > 16383 or x < -16383 or y < -16383 or z < -16383:
        x >>= 1
        y >>= 1
        z >>= 1
        shift += 1
    square = x * x + y * y + z * z
    # The root as isqrt() finds it: a call costs more.
    length = 0
    if square:
        better = 1
        rest = square
        while rest > 255:
            rest >>= 8
            better <<= 4
        while rest > 0:
            rest >>= 2
            better <<= 1
        length = better + 1
        while better < length:
            length = better
            better = (length + square // length) >> 1
        out[0] = (x << 14) // length
        out[1] = (y << 14) // length
        out[2] = (z << 14) // length
    return length << shift


def dot_q14(a, b, at_a=0, at_b=0):
    """Scalar product of two Q14 vectors of at most unit length, as Q14."""
    return (a[at_a] * b[at_b] + a[at_a + 1] * b[at_b + 1] + a[at_a + 2] * b[at_b + 2]) >> 14


@micropython.viper
def percent_of_roots(cross: int, square_a: int, square_b: int) -> int:
    """100 * cross / sqrt(square_a * square_b), the correlation coefficient in percent.

    The squares are 0 .. 2**29; |cross| is at most their geometric mean. 0 if either square is 0.
    """
    if square_a == 0 or square_b == 0:
        return 0
    # The roots as isqrt() finds them: a call costs more.
    roots = 1
    for _ in range(2):
        better = 1
        rest = square_a
        while rest > 255:
            rest >>= 8
            better <<= 4
        while rest > 0:
            rest >>= 2
            better <<= 1
        root = better + 1
        while better < root:
            root = better
            better = (root + square_a // root) >> 1
        roots *= root
        square_a = square_b
    if roots >= 1048576:
        return cross // (roots // 100)
    return cross * 100 // roots


@micropython.viper
def percent_of_root(square_a: int, square_b: int) -> int:
    """100 * sqrt(square_a / square_b) for squares of 0 .. 2**29; 0 if square_b is 0."""
    root = int(isqrt(square_b))
    if root == 0:
        return 0
    return int(isqrt(square_a)) * 100 // root
