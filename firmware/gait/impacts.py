"""First and last foot contact of one short walk, from the impacts that a clip on the trunk or in a pocket feels.

Input: blocks of interleaved int16 samples (acc x y z, gyr x y z) at 104 Hz, 0.488 mg per LSB. Output: `bounds()`.

A foot that comes down jars the body; swaying, leaning and the swing of a step do not. The second difference of each
acceleration over 8 samples, |a(t) - 2 a(t - 4) + a(t - 8)|, passes 5 to 20 Hz and nearly nothing of the step
frequency. Summed over the axes and over 8 samples it has one hill a contact. Hills closer together than 0.27 s are
one contact, toe and heel.

The last contact, feet together, is soft: a median of 0.2 of the ordinary hill in 74 real walks. So the walk is the
longest run of hills of a third of the ordinary size, and behind it, in time with the steps, one or two of a ninth.
Before the first contact the push of the other foot makes a hill of its own (median 0.2), which must not count:
at the start a third is asked for, and a step counter's word is heard.

Limits: a run of fewer than three contacts is no walk. Steps so soft that they jar less than 0.03 g are not felt.
"""

from array import array

import micropython
from micropython import const

_HILLS = const(96)
_HILL_WORDS = const(2)
# Mean over a sample of what a hill must have, all axes together: 30 mg. A hill sums eight samples.
_HILL_MIN = const(8 * 30 * 1000 // 488)
# Frames of four samples.
_FRAME = const(4)
_APART_FRAMES = const(7)  # 0.27 s
# A hill's top lies so many samples behind the contact: the second difference, the sum, and the jar itself.
_LATE_SAMPLES = const(11)

_STRONG_PERCENT = const(33)
_WEAK_PERCENT = const(11)
# Where a step counter took the second contact for the first, a first hill must be this large to be one.
_DOUBTED_PERCENT = const(45)
_CLOSING_STEPS = const(2)
_STEPS_MIN = const(3)
_SAME_SAMPLES = const(31)  # 0.3 s

# Words of the state: samples seen, frame's sum, the sum of the frame before, top of the hill and its frame, how many
# hills; then eight samples of three axes.
_SEEN = const(0)
_SUM = const(1)
_BEFORE = const(2)
_TOP = const(3)
_TOP_FRAME = const(4)
_COUNT = const(5)
_LINE = const(6)
_WORDS = const(_LINE + 24)


@micropython.viper
def _take(state: ptr32, hills: ptr32, samples: ptr16, first: int, count: int):
    """Samples first .. count - 1 of a block. hills: (frame of the top, size) of each."""
    seen = state[_SEEN]
    for k in range(first, count):
        slot = _LINE + (seen & 7) * 3
        middle = _LINE + ((seen + 4) & 7) * 3
        jar = 0
        for c in range(3):
            new = int(samples[k * 6 + c]) ^ 0x8000
            bend = new - 2 * state[middle + c] + state[slot + c]
            state[slot + c] = new
            jar += bend if bend > 0 else 0 - bend
        seen += 1
        if seen > 8:
            state[_SUM] = state[_SUM] + jar
        if seen & 3 == 0:
            frame = seen >> 2
            size = state[_SUM] + state[_BEFORE]
            state[_BEFORE] = state[_SUM]
            state[_SUM] = 0
            if size > state[_TOP]:
                state[_TOP] = size
                state[_TOP_FRAME] = frame
            elif size * 2 < state[_TOP]:
                top = state[_TOP]
                at = state[_COUNT] * _HILL_WORDS
                state[_TOP] = 0
                if top >= _HILL_MIN:
                    if at and state[_TOP_FRAME] - hills[at - 2] < _APART_FRAMES:
                        if top > hills[at - 1]:
                            hills[at - 2] = state[_TOP_FRAME]
                            hills[at - 1] = top
                    elif at < _HILLS * _HILL_WORDS:
                        hills[at] = state[_TOP_FRAME]
                        hills[at + 1] = top
                        state[_COUNT] = state[_COUNT] + 1
    state[_SEEN] = seen


class Impacts:
    """Call process() with every block from the start signal on."""

    def __init__(self):
        self._state = array("i", bytes(4 * _WORDS))
        self._hills = array("i", bytes(4 * _HILLS * _HILL_WORDS))
        self._begin = None

    def process(self, samples, count, next_index):
        """Take a block whose last sample has the index before `next_index`."""
        if self._begin is None:
            self._begin = next_index - count
        _take(self._state, self._hills, samples, 0, count)

    @property
    def full(self):
        """Whether there is no room for more."""
        return self._state[_COUNT] == _HILLS

    def bounds(self, first_step=None):
        """(index where the first foot left the ground, index of the last contact, contacts, samples a step), or None.

        first_step: index of the first contact that a step counter found, or None.
        """
        hills = self._hills
        count = self._state[_COUNT]
        run, ordinary = self._longest_run(count)
        if len(run) < _STEPS_MIN:
            return None
        step = _usual_gap([hills[2 * k] for k in run])
        last = run[-1]
        contacts = len(run)
        for _ in range(_CLOSING_STEPS):
            closing = self._closing(last, count, step, ordinary * _WEAK_PERCENT // 100)
            if closing is None:
                break
            last = closing
            contacts += 1
        first = self._contact(run[0])
        if first_step is not None:
            second = self._contact(run[1])
            soft = hills[2 * run[0] + 1] * 100 < ordinary * _DOUBTED_PERCENT
            if soft and abs(first_step - second) <= _SAME_SAMPLES:
                first = second
                contacts -= 1
            elif self._begin < first_step < first - _SAME_SAMPLES:
                first = first_step
                contacts += 1
        # The first foot swings for about as long as a step takes.
        return first - step * _FRAME, self._contact(last), contacts, step * _FRAME

    def _contact(self, hill):
        return self._begin + self._hills[2 * hill] * _FRAME - _LATE_SAMPLES

    def _longest_run(self, count):
        """Numbers of the hills of the longest rhythm, and the ordinary size of a hill."""
        hills = self._hills
        sizes = sorted([hills[2 * k + 1] for k in range(count)])
        if len(sizes) < _STEPS_MIN:
            return [], 0
        # One blow, as against a table, is larger than any step.
        ordinary = _median([size for size in sizes if size * 10 >= sizes[-2] * 3])
        strong = [k for k in range(count) if hills[2 * k + 1] * 100 >= ordinary * _STRONG_PERCENT]
        if len(strong) < _STEPS_MIN:
            return [], 0
        gap_max = _usual_gap([hills[2 * k] for k in strong]) * 13 // 5
        longest = run = strong[:1]
        for k in strong[1:]:
            if hills[2 * k] - hills[2 * run[-1]] > gap_max:
                run = []
            run.append(k)
            if len(run) > len(longest):
                longest = run
        return longest, ordinary

    def _closing(self, last, count, step, least):
        """The largest hill that is in time for one more step and of at least that size, or None."""
        hills = self._hills
        best = None
        for k in range(last + 1, count):
            gap = hills[2 * k] - hills[2 * last]
            if 7 * step <= 10 * gap <= 17 * step and hills[2 * k + 1] >= least:
                # The next one must be larger still.
                best, least = k, hills[2 * k + 1] + 1
        return best


def _usual_gap(places):
    return _median([places[k] - places[k - 1] for k in range(1, len(places))])


def _median(values):
    return sorted(values)[len(values) // 2]
