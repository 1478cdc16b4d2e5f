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
from fixedpoint import WORD_SHIFT, dot_q14, unit_q14

from firmware.gait.signals import (
    FORWARD_ACC,
    LEFT_ACC,
    S_FORWARD_VELOCITY,
    S_LEFT_VELOCITY,
    VERTICAL_ACC,
    W_UP,
)

_STEPS_AVERAGED_SHIFT = 3
_MOVED_STEPS = 12
_COS_MOVED = 15826  # 15 degrees
_DRIFT_STEPS = 80
_COS_DRIFT = 14189  # 30 degrees
_DEG_PER_RADIAN_Q14 = 286  # 16384 / 57.3


@micropython.viper
def _average(up: ptr32, step: ptr32, at: int, shift: int, sh: int):
    """Move `up` towards the vector at step[at] by 1 / 2**shift of the way."""
    for c in range(3):
        mean = (up[c] << sh) >> sh
        up[c] = mean + ((((step[at + c] << sh) >> sh) - mean) >> shift)


class ClipWatch:
    """mounting: a Mounting; one that is only assumed has no tilt to compare with. `gravity`: the calibrated tilt."""

    def __init__(self, front, mounting):
        self._front = front
        self._mounting = mounting
        self.gravity = mounting.gravity
        self.wrong = False
        self._up = array("i", (0, 0, 0))
        self._moved_steps = 0
        self._steps = 0
        self._axis = array("i", (0, 0))
        self._unit = array("i", (0, 0, 0))
        self._axis_steps = 0

    @property
    def angle_deg(self):
        """Between the calibrated vertical and the present one; exact enough below 60 degrees."""
        up = self._present()
        if up is None:
            return 0
        chord = [up[i] - self.gravity[i] for i in range(3)]
        return unit_q14(chord[0], chord[1], chord[2], self._unit) // _DEG_PER_RADIAN_Q14

    def watch(self, words):
        """Take in the words of a step. True where it shows that the clip moved and `wrong` does not say so yet."""
        _average(self._up, words, W_UP, _STEPS_AVERAGED_SHIFT if self._steps else 0, WORD_SHIFT)
        self._steps += 1
        if self.wrong or not self._mounting.measured or self._steps < 1 << _STEPS_AVERAGED_SHIFT:
            return False
        self._moved_steps = (
            self._moved_steps + 1 if dot_q14(self._present(), self.gravity) < _COS_MOVED else 0
        )
        return self._moved_steps >= _MOVED_STEPS

    def mistrust(self):
        """The clip sits wrong. Where no step has been taken in, its present tilt is the front end's."""
        self.wrong = True
        if not self._steps:
            self._up = array("i", self._front.axis(VERTICAL_ACC))

    def confirm(self):
        """The wearer says that the clip sits as it should: the present tilt is the calibrated one from now on."""
        up = self._present()
        if up is not None:
            self.gravity = tuple(up)
        self.wrong = False
        self._steps = self._moved_steps = 0

    def learn(self, words):
        """Take a plain forward step, its words, into the forward axis."""
        unit = self._unit
        if unit_q14(-words[S_FORWARD_VELOCITY], -words[S_LEFT_VELOCITY], 0, unit):
            self._axis[0] += unit[0] >> 1
            self._axis[1] += unit[1] >> 1
        self._axis_steps += 1
        if self._axis_steps < _DRIFT_STEPS:
            return
        unit_q14(self._axis[0], self._axis[1], 0, unit)
        self._axis[0] = self._axis[1] = 0
        self._axis_steps = 0
        forward, left = self._front.axis(FORWARD_ACC), self._front.axis(LEFT_ACC)
        axis = array("i", [(unit[0] * forward[i] + unit[1] * left[i]) >> 14 for i in range(3)])
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
        return up if unit_q14(self._up[0], self._up[1], self._up[2], up) else None
