"""First and last foot contact of one short walk, from the swings that a clip on one shoe feels.

Input: blocks of interleaved int16 samples (acc x y z, gyr x y z) at 104 Hz, 0.488 mg and 70 mdps per LSB. Output:
`bounds()`.

A foot that stands does not turn; from lift to contact it does. One shoe knows nothing of the other, which may have
begun the walk or ended it. But standing at the start and at the end the feet are side by side, so the foot that
begins or closes swings half as far as in between. Two measures tell: how much the foot turns in all, and how far it
goes. The latter is the twofold integral of the acceleration with the mean taken off, which makes the foot stand at
both ends; that the foot tips meanwhile falsifies it, but in every swing alike. Where this foot's first swing is a
whole one the other foot began, a step and a double support (0.2 steps) earlier; where its last one is, the other
foot closed, a step later.

Limits: a walk of fewer than two swings of this foot is none. A foot that is dragged without turning by 30 degrees a
second is not seen to swing.
"""

from array import array

import micropython
from fixedpoint import WORD_SHIFT, unit_q14
from micropython import const

_SWINGS = const(48)
# Words of a swing: frame of the lift, frame after the contact, sum of the turn rates, and how far it went (x y z).
_SWING_WORDS = const(6)
_FRAME = const(4)
# Sums over the axes and the four samples of a frame.
_MOVING = const(4 * 30 * 1000 // 70)  # 30 degrees a second
_QUICK = const(4 * 60 * 1000 // 70)
# The foot may pause so long in mid-swing; it swings at least so long, and at most.
_PAUSE_FRAMES = const(6)
_LEAST_FRAMES = const(4)
_MOST_FRAMES = const(78)  # 3 s
# The foot tips before it lifts and is still lowered after its contact.
_TIPS_SAMPLES = const(11)
_LOWERED_SAMPLES = const(9)

_SWINGS_MIN = const(2)
# Less than this of an ordinary swing, in percent, is the half one that begins or closes a walk.
_HALF_TURN = const(80)
_HALF_WAY = const(60)
_OTHER_FOOT_PERCENT = const(120)

# Words of the state: sign shift; samples seen; the frame's sum; frame of the lift, or 0; last frame that moved; the
# quickest frame; how many swings. Then since the lift: samples, turn, velocity and way of each axis, and a copy of
# these eight as they were when the foot was last seen to move.
_SHIFT = const(0)
_SEEN = const(1)
_SUM = const(2)
_LIFT = const(3)
_MOVED = const(4)
_QUICKEST = const(5)
_COUNT = const(6)
_SAMPLES = const(7)
_TURN = const(8)
_VELOCITY = const(9)
_WAY = const(12)
_COPY = const(15)
_SINCE = const(8)
_WORDS = const(_COPY + _SINCE)


@micropython.viper
def _close(state: ptr32, swings: ptr32):
    """The foot stands again: keep the swing if it was one."""
    sh = state[_SHIFT]
    lift = state[_LIFT]
    state[_LIFT] = 0
    frames = state[_MOVED] + 1 - lift
    if frames < _LEAST_FRAMES or state[_QUICKEST] < _QUICK or state[_COUNT] >= _SWINGS:
        return
    at = state[_COUNT] * _SWING_WORDS
    state[_COUNT] = state[_COUNT] + 1
    swings[at] = lift
    swings[at + 1] = state[_MOVED] + 1
    swings[at + 2] = state[_COPY + 1]
    n = state[_COPY]
    for c in range(3):
        velocity = (state[_COPY + 2 + c] << sh) >> sh
        way = (state[_COPY + 5 + c] << sh) >> sh
        # The velocity at the end is to be 0: take the mean off, here from its sum over time.
        swings[at + 3 + c] = (way - (velocity * (n + 1) >> 1)) >> 8


@micropython.viper
def _take(state: ptr32, swings: ptr32, samples: ptr16, count: int):
    sh = state[_SHIFT]
    seen = state[_SEEN]
    for k in range(count):
        at = k * 6
        turn = 0
        for c in range(3, 6):
            rate = (int(samples[at + c]) ^ 0x8000) - 0x8000
            turn += rate if rate > 0 else 0 - rate
        state[_SUM] = state[_SUM] + turn
        state[_TURN] = state[_TURN] + (turn >> 4)
        state[_SAMPLES] = state[_SAMPLES] + 1
        for c in range(3):
            velocity = (state[_VELOCITY + c] << sh) >> sh
            velocity += ((int(samples[at + c]) ^ 0x8000) - 0x8000) >> 2
            state[_VELOCITY + c] = velocity
            state[_WAY + c] = ((state[_WAY + c] << sh) >> sh) + velocity
        seen += 1
        if seen & 3 == 0:
            frame = seen >> 2
            moves = state[_SUM]
            state[_SUM] = 0
            if moves > _MOVING:
                if state[_LIFT] == 0:
                    state[_LIFT] = frame
                    state[_QUICKEST] = 0
                state[_MOVED] = frame
                if moves > state[_QUICKEST]:
                    state[_QUICKEST] = moves
            if state[_LIFT]:
                if frame - state[_MOVED] < 2:
                    for c in range(_SINCE):
                        state[_COPY + c] = state[_SAMPLES + c]
                if frame - state[_MOVED] > _PAUSE_FRAMES or frame - state[_LIFT] > _MOST_FRAMES:
                    _close(state, swings)
            if state[_LIFT] == 0:
                for c in range(_SINCE):
                    state[_SAMPLES + c] = 0
    state[_SEEN] = seen


class Swings:
    """Call process() with every block from the start signal on."""

    def __init__(self):
        self._state = array("i", bytes(4 * _WORDS))
        self._state[_SHIFT] = WORD_SHIFT
        self._swings = array("i", bytes(4 * _SWINGS * _SWING_WORDS))
        self._begin = None

    def process(self, samples, count, next_index):
        """Take a block whose last sample has the index before `next_index`."""
        if self._begin is None:
            self._begin = next_index - count
        _take(self._state, self._swings, samples, count)

    @property
    def full(self):
        """Whether there is no room for more."""
        return self._state[_COUNT] == _SWINGS

    def bounds(self, first_step=None):
        """(index where the first foot left the ground, index of the last contact, contacts, samples a step), or None.

        first_step: not needed here.
        """
        count = self._state[_COUNT]
        if count < _SWINGS_MIN:
            return None
        swings = self._swings
        lifts = [swings[k * _SWING_WORDS] * _FRAME for k in range(count)]
        step = _median([lifts[k] - lifts[k - 1] for k in range(1, count)]) // 2
        first = self._begin + lifts[0] - _FRAME + _TIPS_SAMPLES
        last = self._begin + swings[(count - 1) * _SWING_WORDS + 1] * _FRAME - _LOWERED_SAMPLES
        contacts = 2 * count - 1
        inner = range(1, count - 1) if count > 2 else range(count)
        turn = _median([self._turn(k) for k in inner])
        way = _median([self._way(k) for k in inner])
        if not self._is_half(0, turn, way):
            first -= step * _OTHER_FOOT_PERCENT // 100
            contacts += 1
        if not self._is_half(count - 1, turn, way):
            last += step
            contacts += 1
        return first, last, contacts, step

    def _is_half(self, swing, turn, way):
        return self._turn(swing) * 100 < turn * _HALF_TURN or self._way(swing) * 100 < way * _HALF_WAY

    def _turn(self, swing):
        return self._swings[swing * _SWING_WORDS + 2]

    def _way(self, swing):
        at = swing * _SWING_WORDS + 3
        return unit_q14(self._swings[at], self._swings[at + 1], self._swings[at + 2], array("i", (0, 0, 0)))


def _median(values):
    return sorted(values)[len(values) // 2]
