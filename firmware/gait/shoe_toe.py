"""Where the toe points, and in which direction a stride therefore went.

A stride is forward within 50 degrees of the toe axis, backward within 50 degrees of the heel, sideways more
than 55 degrees from both, and unknown in between. Unknown is also one under 0.15 m, and a pivot: a foot
that turns on the spot swings sideways or backward whichever way its owner goes. A stride that turned by
more than 35 degrees is a pivot if its way bends round less than a third of a metre; else it walked a curve,
where the limits are 40 and 70 degrees, and from 100 degrees on only forward is told.

Push-off. Walking forward, the heel rises before the foot leaves the floor, and the foot tips by some 65
degrees over the toe, towards where it then goes. Walking backward it leaves the floor over the heel: the
leg's slant and the ankle let it tip, toe up, by hardly 35 degrees, and it tips further the other way before
it lands. So a foot that early tips 45 degrees or more towards where it goes, and further than it later tips
away from there, went forward, however the clip sits.

- Without a mounting, a stride with push-off is forward. Others are judged by the axis that push-offs in a
  row have shown, all within 30 degrees of each other: two are enough to call a stride forward, five to call
  it backward or sideways. Until then they are unknown, and again once up in stance has moved by 15 degrees.
  A walk that begins sideways or backward shows no push-off and stays unknown.
- With a mounting, push-off is a veto: such a stride is not called backward or sideways. Three in a row
  contradict the mounting: the clip has been turned. If up in stance differs from the mounting's by more
  than 15 degrees, three times in a row, it has slipped. (A clip that is assumed straight, rather than
  calibrated, may be tilted; only a toe axis that stands within 30 degrees of upright is wrong.) From the
  first such stride on the mounting counts as unknown, and after three until three in a row agree again.

Limits: who shuffles does not push off, so without a calibration a shuffling walker's strides stay unknown.
That walking backward never shows a push-off is anatomy; it held in all backward strides of motion capture
and of the simulated walker, but no real backward walking with a sensor at the shoe was at hand.
"""

from array import array

from fixedpoint import ONE_Q14
from micropython import const

from firmware.gait import BACKWARD, FORWARD, SIDEWAYS, UNKNOWN
from firmware.gait.shoe_vectors import UPRIGHT, blend, dot, level_cosine

_IN_PLACE_MM = const(150)
_LONG_MM = const(500)
_PIVOT_MM = const(660)  # twice a third of a metre
# Sines of half of 35 and of half of 100 degrees.
_TURNED = const(4927)
_SPUN = const(12551)
# Cosines of 50 and 55 degrees from the axis; in a curve of 40 and 70.
_ALONG = const(10531)
_ACROSS = const(9397)
_ALONG_CURVE = const(12551)
_ACROSS_CURVE = const(5604)
_COS_CLEAR = const(14189)  # 30 degrees
_TIPPED = const(11585)  # sine of 45 degrees
_COS_SLIPPED = const(15826)  # 15 degrees
_IN_A_ROW = const(3)
_VOTES_FORWARD = const(2)
_VOTES_ANY = const(5)
_VOTES_KEPT = const(7)


class Stride:
    """What shoe_strapdown.py found of one stride; up (Q14) at its start; when the foot came down.

    Toe.judge fills in direction and confidence.
    """

    def __init__(self, contact, strapdown, up):
        self.contact = contact
        self.length_mm = length_mm = strapdown.length_mm
        self.ahead = strapdown.ahead
        self.up = up
        half_turn = strapdown.half_turn
        self.curved = curved = half_turn > _TURNED
        towards, away, tipped = strapdown.tipping
        # All of the tipping must lie within 30 degrees of the way.
        pushed_off = towards >= _TIPPED and towards >= away and towards * ONE_Q14 >= tipped * _COS_CLEAR
        self.pushed_off = pushed_off
        self.spun = half_turn > _SPUN
        # The foot turned rather than went.
        self.pivoted = curved and length_mm < (_PIVOT_MM * half_turn) >> 14
        self.direction = UNKNOWN
        self.confidence = 0


class Toe:
    """mounting: a Mounting, or None where it is unknown.

    known: whether a stride without push-off can be told to be forward. slipped: there is a mounting, and it
    does not hold.
    """

    def __init__(self, mounting):
        self.known = mounting is not None
        self.slipped = False
        self._mounting = mounting
        if mounting:
            self._forward = array("i", mounting.forward)
            self._gravity = array("i", mounting.gravity)
        # What push-offs have shown, how many, and up in stance at the first of them.
        self._axis = array("i", (0, 0, 0))
        self._votes = 0
        self._axis_up = None
        self._turned = _Doubt()
        self._tilted = _Doubt()
        # Whether there is a mounting and nothing speaks against it.
        self._mounted = mounting is not None

    def learn(self, stride, stance_up):
        """Take note of a stride and of up in the stance after it."""
        mounting = self._mounting
        pushed_off = stride.pushed_off and not stride.pivoted
        if self._votes and dot(stance_up, self._axis_up) < _COS_SLIPPED:
            self._votes = 0
        if pushed_off:
            self._vote(stride, stance_up)
        if mounting:
            along = level_cosine(stride.ahead, stride.up, self._forward)
            if pushed_off and along != UPRIGHT:
                self._turned.note(along < _ALONG)
            if mounting.measured:
                self._tilted.note(dot(stance_up, self._gravity) < _COS_SLIPPED)
            else:
                self._tilted.note(along == UPRIGHT)
            self.slipped = self._turned.serious or self._tilted.serious
            self._mounted = not (self._turned.stirred or self._tilted.stirred)
        self.known = self._mounted or self._votes >= _VOTES_FORWARD

    def judge(self, stride):
        """Fill in the direction and how sure it is."""
        stride.direction, stride.confidence = self._direction(stride)

    def _direction(self, stride):
        if stride.length_mm < _IN_PLACE_MM or stride.pivoted:
            return UNKNOWN, 0
        if not self.known:
            return (FORWARD, 97) if stride.pushed_off else (UNKNOWN, 0)
        curved = stride.curved
        along = level_cosine(stride.ahead, stride.up, self._forward if self._mounted else self._axis)
        if along == UPRIGHT:
            return UNKNOWN, 0
        if abs(along) >= (_ALONG_CURVE if curved else _ALONG):
            direction = FORWARD if along > 0 else BACKWARD
            clear = abs(along) >= _COS_CLEAR
        elif abs(along) <= (_ACROSS_CURVE if curved else _ACROSS):
            direction = SIDEWAYS
            clear = abs(along) <= ONE_Q14 // 2
        else:
            return UNKNOWN, 0
        if direction != FORWARD and (
            stride.spun or stride.pushed_off or (not self._mounted and self._votes < _VOTES_ANY)
        ):
            return UNKNOWN, 0
        return direction, _confidence(stride, clear and not curved)

    def _vote(self, stride, stance_up):
        axis, ahead = self._axis, stride.ahead
        if self._votes and dot(ahead, axis) < _COS_CLEAR:
            self._votes = 0
        if not self._votes:
            self._axis_up = stance_up
        blend(axis, ahead, min(self._votes, _VOTES_KEPT))
        self._votes += 1


def _confidence(stride, clear):
    if stride.pushed_off:
        return 99
    if stride.length_mm >= _LONG_MM:
        return 98 if clear else 90
    # A short way is known less well, and feet that shift while their owner stands go anywhere.
    length = (stride.length_mm - _IN_PLACE_MM) * 30 // (_LONG_MM - _IN_PLACE_MM)
    return (60 if clear else 50) + length


class _Doubt:
    """Is serious after three notes against in a row, until three in a row are not; stirred from the first on."""

    def __init__(self):
        self.serious = self.stirred = False
        self._changed = 0

    def note(self, against):
        self._changed = 0 if against == self.serious else self._changed + 1
        if self._changed >= _IN_A_ROW:
            self.serious = against
            self._changed = 0
        self.stirred = self.serious or self._changed > 0
