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

from micropython import const

from firmware.gait.shoe_vectors import UPRIGHT, blend, copy, dot, level_cosine

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
_CLEARLY_ACROSS = const(8192)  # 60 degrees
_TIPPED_FAR = const(11585)  # sine of 45 degrees
_COS_SLIPPED = const(15826)  # 15 degrees
_VOTES_FORWARD = const(2)
_VOTES_ANY = const(5)
_VOTES_KEPT = const(7)

# Words of the track of shoe.py. Of shoe_strapdown.py; up in the stance after the stride.
_TOWARDS = const(1)
_AWAY = const(2)
_TIPPED = const(3)
_UP_AFTER = const(12)
# Whether a stride without push-off can be told to be forward; whether there is a mounting that does not hold.
_KNOWN = const(15)
_SLIPPED = const(16)
# _ASSUMED, _MEASURED, or 0 where there is none; whether nothing speaks against it; its toe axis and up.
_MOUNTING = const(17)
_HOLDS = const(18)
_TOE = const(19)
_GRAVITY = const(22)
# Doubts whether it was turned or tilted.
_TURNED_ROUND = const(25)
_TILTED = const(26)
# What push-offs have shown, up in stance at the first of them, and how many.
_SHOWN = const(27)
_SHOWN_UP = const(30)
_VOTES = const(33)

_ASSUMED = const(1)
_MEASURED = const(2)

# Words of a stride, as in shoe_strapdown.py; its kind; direction and confidence in a word, as in direction.py.
_S_UP = const(0)
_S_LENGTH = const(3)
_S_AHEAD = const(4)
_S_HALF_TURN = const(7)
_S_KIND = const(8)
_S_VERDICT = const(10)
_PUSHED_OFF = const(1)
_PIVOTED = const(2)
_FORWARD = const(0 << 7)
_BACKWARD = const(1 << 7)
_SIDEWAYS = const(2 << 7)
_UNDECIDED = const(3 << 7)

# A doubt grows by one with each note against what is believed, and goes with one for it. Three in a row make it
# serious; from there it counts on, and three in a row the other way end it.
_SERIOUS = const(3)


def trust(track, mounting):
    """Have a Mounting; the words of the track are 0."""
    track[_MOUNTING] = _MEASURED if mounting.measured else _ASSUMED
    track[_KNOWN] = track[_HOLDS] = 1
    for k in range(3):
        track[_TOE + k] = mounting.forward[k]
        track[_GRAVITY + k] = mounting.gravity[k]


def learn(track, stride):
    """Take note of a stride and of up in the stance after it; fill in its kind."""
    kind = track[stride + _S_KIND] = _kind(track, stride)
    if track[_VOTES] and dot(track, _UP_AFTER, _SHOWN_UP) < _COS_SLIPPED:
        track[_VOTES] = 0
    if kind == _PUSHED_OFF:
        _vote(track, stride + _S_AHEAD)
    if track[_MOUNTING]:
        along = level_cosine(track, stride + _S_AHEAD, stride + _S_UP, _TOE)
        if kind == _PUSHED_OFF and along != UPRIGHT:
            _note(track, _TURNED_ROUND, along < _ALONG)
        if track[_MOUNTING] == _MEASURED:
            _note(track, _TILTED, dot(track, _UP_AFTER, _GRAVITY) < _COS_SLIPPED)
        else:
            _note(track, _TILTED, along == UPRIGHT)
        track[_SLIPPED] = track[_TURNED_ROUND] >= _SERIOUS or track[_TILTED] >= _SERIOUS
        track[_HOLDS] = not (track[_TURNED_ROUND] or track[_TILTED])
    track[_KNOWN] = track[_HOLDS] or track[_VOTES] >= _VOTES_FORWARD


def _kind(track, stride):
    half_turn = track[stride + _S_HALF_TURN]
    if half_turn > _TURNED and track[stride + _S_LENGTH] < (_PIVOT_MM * half_turn) >> 14:
        # The foot turned rather than went.
        return _PIVOTED
    towards = track[_TOWARDS]
    # All of the tipping must lie within 30 degrees of the way.
    if towards >= _TIPPED_FAR and towards >= track[_AWAY] and towards << 14 >= track[_TIPPED] * _COS_CLEAR:
        return _PUSHED_OFF
    return 0


def _vote(track, ahead):
    if track[_VOTES] and dot(track, ahead, _SHOWN) < _COS_CLEAR:
        track[_VOTES] = 0
    votes = track[_VOTES]
    if not votes:
        copy(track, _SHOWN_UP, _UP_AFTER)
    blend(track, _SHOWN, ahead, votes if votes < _VOTES_KEPT else _VOTES_KEPT)
    track[_VOTES] = votes + 1


def _note(track, at, against):
    doubt = track[at]
    if (doubt >= _SERIOUS) == against:
        track[at] = _SERIOUS if against else 0
    else:
        track[at] = (doubt + 1) % (2 * _SERIOUS)


def judge(track, stride):
    """Fill in the verdict."""
    track[stride + _S_VERDICT] = _verdict(track, stride)


def _verdict(track, stride):
    if track[stride + _S_LENGTH] < _IN_PLACE_MM or track[stride + _S_KIND] == _PIVOTED:
        return _UNDECIDED
    if not track[_KNOWN]:
        return _FORWARD + 97 if track[stride + _S_KIND] == _PUSHED_OFF else _UNDECIDED
    axis = _TOE if track[_HOLDS] else _SHOWN
    return _told(track, stride, level_cosine(track, stride + _S_AHEAD, stride + _S_UP, axis))


def _told(track, stride, along):
    """The verdict on a stride at so much of a cosine from the toe axis."""
    curved = track[stride + _S_HALF_TURN] > _TURNED
    apart = abs(along)
    if along == UPRIGHT:
        return _UNDECIDED
    if apart >= (_ALONG_CURVE if curved else _ALONG):
        direction = _FORWARD if along > 0 else _BACKWARD
        clear = apart >= _COS_CLEAR
    elif apart <= (_ACROSS_CURVE if curved else _ACROSS):
        direction = _SIDEWAYS
        clear = apart <= _CLEARLY_ACROSS
    else:
        return _UNDECIDED
    if direction != _FORWARD and (
        track[stride + _S_HALF_TURN] > _SPUN
        or track[stride + _S_KIND] == _PUSHED_OFF
        or (not track[_HOLDS] and track[_VOTES] < _VOTES_ANY)
    ):
        return _UNDECIDED
    return _confidence(track, stride, clear and not curved) + direction


def _confidence(track, stride, clear):
    if track[stride + _S_KIND] == _PUSHED_OFF:
        return 99
    length_mm = track[stride + _S_LENGTH]
    if length_mm >= _LONG_MM:
        return 98 if clear else 90
    # A short way is known less well, and feet that shift while their owner stands go anywhere.
    length = (length_mm - _IN_PLACE_MM) * 30 // (_LONG_MM - _IN_PLACE_MM)
    return (60 if clear else 50) + length
