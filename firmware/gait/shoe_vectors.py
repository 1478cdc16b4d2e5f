"""Directions in space for the shoe: array('i') of three, Q14, one being 16384.

In viper, since a stride needs some twenty of these and ordinary bytecode would make them its largest cost.
"""

import micropython
from fixedpoint import WORD_SHIFT

# What level_cosine returns where the axis stands up.
UPRIGHT = 1 << 15


@micropython.viper
def root(n: int) -> int:
    """The largest r with r * r <= n, for n < 2**30; 0 for a negative n."""
    r = 0
    bit = 1 << 14
    while bit:
        if (r + bit) * (r + bit) <= n:
            r += bit
        bit >>= 1
    return r


@micropython.viper
def _dot(a: ptr32, b: ptr32, sh: int) -> int:
    total = ((a[0] << sh) >> sh) * ((b[0] << sh) >> sh)
    total += ((a[1] << sh) >> sh) * ((b[1] << sh) >> sh)
    total += ((a[2] << sh) >> sh) * ((b[2] << sh) >> sh)
    return total >> 14


@micropython.viper
def _level_cosine(way: ptr32, up: ptr32, axis: ptr32, sh: int) -> int:
    along_up = int(_dot(up, axis, sh))
    if along_up > 14189 or along_up < -14189:
        return 1 << 15
    return int(_dot(way, axis, sh)) * 16384 // int(root((1 << 28) - along_up * along_up))


@micropython.viper
def _blend(mean: ptr32, new: ptr32, kept: int, sh: int):
    x = ((mean[0] << sh) >> sh) * kept + ((new[0] << sh) >> sh)
    y = ((mean[1] << sh) >> sh) * kept + ((new[1] << sh) >> sh)
    z = ((mean[2] << sh) >> sh) * kept + ((new[2] << sh) >> sh)
    while x > 16383 or x < -16383 or y > 16383 or y < -16383 or z > 16383 or z < -16383:
        x >>= 1
        y >>= 1
        z >>= 1
    length = int(root(x * x + y * y + z * z))
    if length:
        mean[0] = (x << 14) // length
        mean[1] = (y << 14) // length
        mean[2] = (z << 14) // length


def dot(a, b):
    """Cosine of the angle between two directions."""
    return _dot(a, b, WORD_SHIFT)


def level_cosine(way, up, axis):
    """Cosine of the angle between a level direction and an axis made level; UPRIGHT within 30 degrees of up."""
    return _level_cosine(way, up, axis, WORD_SHIFT)


def blend(mean, new, kept):
    """Turn `mean` to the direction of kept * mean + new."""
    _blend(mean, new, kept, WORD_SHIFT)
