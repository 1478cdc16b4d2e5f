"""Whether the clip still sits as it was calibrated, and small corrections of its forward axis.

Input: settled steps (rhythm.py), each with the vertical at its peak and its sums. Output: `wrong`, which stays set
until confirm(); `angle_deg`, by how much gravity has moved; the front end's forward axis, corrected.

Gravity says how the clip is tilted. It is averaged over 8 steps and must have moved for 12 on end, so that bending
down, looking back or leaning into a few stairs does not count. More than 15 degrees from the calibrated tilt means
that the clip was moved, put on another belt, or the wrong way round: a clip on a belly that slopes by 8 degrees tilts
the other way by 8 when it is turned back to front. A clip turned about the vertical without any change of tilt cannot
be told so.

The forward axis drifts with skin and belt. Each plain forward step shows it, as in calibrator.py; after 80 of them
it is moved to their mean, but never further than 30 degrees from the calibrated one. Steps that are not forward, runs
among them, do not take part, so the sign cannot turn.
"""

from array import array

import micropython
from fixedpoint import dot_q14, unit_q14
from micropython import const

from firmware.gait.signals import FORWARD_ACC, LEFT_ACC, VERTICAL_ACC

_STEPS_AVERAGED_SHIFT = const(3)
_MOVED_STEPS = const(12)
_COS_MOVED = const(15826)  # 15 degrees
_DRIFT_STEPS = const(80)
_COS_DRIFT = 14189  # 30 degrees
_DEG_PER_RADIAN_Q14 = 286  # 16384 / 57.3

# Words of a step, as in signals.py: viper knows no other module's constants.
_S_FORWARD_VELOCITY = const(0)
_S_LEFT_VELOCITY = const(1)
_W_UP = const(9)

# What take_in() finds, as in walk.py.
_MOVED_NOW = const(2)
_DRIFTED = const(3)

# Words of the clip, the first three being room for a direction.
_UP = const(3)  # mean over the last steps
_STEPS = const(6)
_MEASURED = const(7)
_CALIBRATED = const(8)  # up
_MOVED = const(11)  # steps on end
_AXIS = const(12)  # of plain forward steps, half of each; forward and left
_AXIS_STEPS = const(14)
CLIP_WORDS = 15


@micropython.viper
def take_in(clip: ptr32, words: ptr32, sh: int, trusted: int, plain: int) -> int:
    """Take in a step by its words. _MOVED_NOW where it shows that the clip moved, if it is trusted; else 0.

    plain: whether it is a plain forward step; _DRIFTED when there are enough of them to correct the axis. sh:
    WORD_SHIFT.
    """
    steps = clip[_STEPS]
    for c in range(3):
        up = (words[_W_UP + c] << sh) >> sh
        if steps:
            mean = (clip[_UP + c] << sh) >> sh
            up = mean + ((up - mean) >> _STEPS_AVERAGED_SHIFT)
        clip[_UP + c] = up
    clip[_STEPS] = steps + 1
    if trusted and clip[_MEASURED] and steps + 1 >= 1 << _STEPS_AVERAGED_SHIFT:
        unit_q14((clip[_UP] << sh) >> sh, (clip[_UP + 1] << sh) >> sh, (clip[_UP + 2] << sh) >> sh, clip)
        cosine = 0
        for c in range(3):
            cosine += ((clip[c] << sh) >> sh) * ((clip[_CALIBRATED + c] << sh) >> sh)
        if cosine >> 14 >= _COS_MOVED:
            clip[_MOVED] = 0
        else:
            clip[_MOVED] = clip[_MOVED] + 1
            if clip[_MOVED] >= _MOVED_STEPS:
                return _MOVED_NOW
    if plain == 0:
        return 0
    along = (words[_S_FORWARD_VELOCITY] << sh) >> sh
    across = (words[_S_LEFT_VELOCITY] << sh) >> sh
    # As unit_q14() does, but a call costs more.
    along = 0 - along
    across = 0 - across
    while along > 16383 or across > 16383 or along < -16383 or across < -16383:
        along >>= 1
        across >>= 1
    square = along * along + across * across
    if square:
        better = 1
        rest = square
        while rest > 255:
            rest >>= 8
            better <<= 4
        while rest > 0:
            rest >>= 2
            better <<= 1
        root = better + 1
        while better < root:
            root = better
            better = (root + square // root) >> 1
        clip[_AXIS] = ((clip[_AXIS] << sh) >> sh) + ((along << 14) // root >> 1)
        clip[_AXIS + 1] = ((clip[_AXIS + 1] << sh) >> sh) + ((across << 14) // root >> 1)
    steps = clip[_AXIS_STEPS] + 1
    clip[_AXIS_STEPS] = steps
    if steps >= _DRIFT_STEPS:
        return _DRIFTED
    return 0


class ClipWatch:
    """mounting: a Mounting; one that is only assumed has no tilt to compare with. `gravity`: the calibrated tilt.

    words: CLIP_WORDS of them, what kernels read. `wrong` is set by whoever is told that the clip moved.
    """

    def __init__(self, front, mounting, words):
        self._front = front
        self._mounting = mounting
        self.words = words
        self.words[_MEASURED] = mounting.measured
        self.wrong = False
        self.gravity = mounting.gravity

    @property
    def gravity(self):
        return tuple(self.words[_CALIBRATED:_MOVED])

    @gravity.setter
    def gravity(self, up):
        for c in range(3):
            self.words[_CALIBRATED + c] = up[c]

    @property
    def angle_deg(self):
        """Between the calibrated vertical and the present one; exact enough below 60 degrees."""
        up = self._present()
        if up is None:
            return 0
        gravity = self.gravity
        chord = [up[i] - gravity[i] for i in range(3)]
        return unit_q14(chord[0], chord[1], chord[2], self.words) // _DEG_PER_RADIAN_Q14

    def mistrust(self):
        """The clip sits wrong. Where no step has been taken in, its present tilt is the front end's."""
        self.wrong = True
        if not self.words[_STEPS]:
            up = self._front.axis(VERTICAL_ACC)
            for c in range(3):
                self.words[_UP + c] = up[c]

    def confirm(self):
        """The wearer says that the clip sits as it should: the present tilt is the calibrated one from now on."""
        up = self._present()
        if up is not None:
            self.gravity = up
        self.wrong = False
        self.words[_STEPS] = self.words[_MOVED] = 0

    def correct_forward(self):
        """Move the forward axis to the mean of what plain forward steps showed."""
        words = self.words
        unit_q14(words[_AXIS], words[_AXIS + 1], 0, words)
        words[_AXIS] = words[_AXIS + 1] = words[_AXIS_STEPS] = 0
        forward, left = self._front.axis(FORWARD_ACC), self._front.axis(LEFT_ACC)
        axis = array("i", [(words[0] * forward[i] + words[1] * left[i]) >> 14 for i in range(3)])
        if self._near_the_calibrated(axis):
            unit_q14(axis[0], axis[1], axis[2], axis)
            self._front.set_forward(axis)

    def _near_the_calibrated(self, axis):
        """Compared on the ground, whatever the tilt."""
        up = self._present()
        calibrated = self._mounting.forward
        along = dot_q14(calibrated, up)
        level = array("i", (0, 0, 0))
        unit_q14(*[calibrated[i] - ((along * up[i]) >> 14) for i in range(3)], level)
        return dot_q14(axis, level) >= _COS_DRIFT

    def _present(self):
        up = array("i", (0, 0, 0))
        return up if unit_q14(self.words[_UP], self.words[_UP + 1], self.words[_UP + 2], up) else None
