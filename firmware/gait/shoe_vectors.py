"""Directions in space for the shoe: three words each of an array('i') whose first word is WORD_SHIFT.

In Q14, one being 16384; given by the place of the first of the three. In viper, since a stride needs a dozen of these
and ordinary bytecode would make them its largest cost.
"""

import micropython
from fixedpoint import isqrt, unit_q14

# What level_cosine returns where the axis stands up.
UPRIGHT = 1 << 15


@micropython.viper
def dot(words: ptr32, a: int, b: int) -> int:
    """Cosine of the angle between two directions."""
    sh = words[0]
    one = ptr32(int(words) + 4 * a)
    two = ptr32(int(words) + 4 * b)
    total = ((one[0] << sh) >> sh) * ((two[0] << sh) >> sh)
    total += ((one[1] << sh) >> sh) * ((two[1] << sh) >> sh)
    total += ((one[2] << sh) >> sh) * ((two[2] << sh) >> sh)
    return total >> 14


@micropython.viper
def level_cosine(words, way: int, up: int, axis: int) -> int:
    """Cosine of the angle between a level direction and an axis made level; UPRIGHT within 30 degrees of up."""
    along_up = int(dot(words, up, axis))
    if along_up > 14189 or along_up < -14189:
        return 1 << 15
    return int(dot(words, way, axis)) * 16384 // int(isqrt((1 << 28) - along_up * along_up))


@micropython.viper
def blend(words: ptr32, mean: int, new: int, kept: int):
    """Turn `mean` to the direction of kept * mean + new."""
    sh = words[0]
    to = ptr32(int(words) + 4 * mean)
    one = ptr32(int(words) + 4 * new)
    x = ((to[0] << sh) >> sh) * kept + ((one[0] << sh) >> sh)
    y = ((to[1] << sh) >> sh) * kept + ((one[1] << sh) >> sh)
    z = ((to[2] << sh) >> sh) * kept + ((one[2] << sh) >> sh)
    unit_q14(x, y, z, to)


def copy(words, to, new):
    """Turn `to` to the direction `new`."""
    for k in range(3):
        words[to + k] = words[new + k]
