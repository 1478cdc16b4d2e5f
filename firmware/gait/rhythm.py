"""Rhythms: peaks that follow one another as steps do, while nobody is yet known to walk.

Each rhythm takes the peaks of one finder (signals.py), keeps those that go together in `chain`, a list of
Footfalls, and says in `is_walking()` whether the chain proves walking. Three kinds:

Rhythm      ordinary steps, 0.33 to 1.15 s apart. It asks that they are large enough and alike in size, that they keep
            time (each interval near the one before, or, where a limp makes long and short alternate, near the one
            before that), that gravity stays where it is, and that the body moves to and fro in time with up and
            down (coherence). Walking couples them because the body vaults over the standing leg; shaking, typing
            or a car do not. It is asked along no particular axis, so a clip that was put on turned still counts.
            The more coherent they are, the fewer it takes: three at best, six where coherence is missing.
BrakingRhythm  backward steps so soft that the body hardly rises: each is a jerk to the front (direction.py), much
            larger than what happens up and down. Needs the mounting.
SlowRhythm  steps 0.9 to 1.75 s apart or softer than the ordinary ones; or, where one leg does all the lifting, its
            strides, up to 2.6 s apart. Which of the two the sway tells: a step to the left mirrors one to the right,
            so sideways motion turns round from step to step and repeats from stride to stride.
"""

from array import array

from fixedpoint import WORD_SHIFT, dot_q14, isqrt, percent_of_root, percent_of_roots
from micropython import const

from firmware.gait.direction import edge_of
from firmware.gait.signals import (
    S_FORWARD2,
    S_FORWARD_VELOCITY,
    S_LEFT2,
    S_LEFT_VELOCITY,
    S_VELOCITY2,
    S_VERTICAL2,
    SLOW_SWING_MIN,
    STEP_WORDS,
    SUMS,
    UNITS_PER_G,
    W_BRAKING,
    W_INDEX,
    W_SAMPLES,
    W_SWING,
    W_TAKEN,
    W_UP,
    add_sums,
)

# So many steps in a row prove walking if they have this coherence, in percent.
_PROOF = {3: 60, 4: 25, 5: 20, 6: 0}
_CHAIN_MIN, _CHAIN_MAX = 3, 6
# A limp shows only in pairs of intervals; a pocket has no coherence to go by.
_CHAIN_LIMP = const(5)
_CHAIN_POCKET = const(4)
_CHAIN_BRAKING = const(4)
_CHAIN_SLOW = const(5)
# Times in samples at 104 Hz.
_GAP_MIN = 34  # 0.33 s: 180 steps a minute
_GAP_MAX = 120  # 1.15 s
_SLOW_GAP_MIN, _SLOW_GAP_MAX = 94, 270
# Sizes of the detection signal.
_SWING_MIN = UNITS_PER_G * 8 // 100
# The least chain is trusted only where it is strong: bending the knees a few times is coherent, but soft.
_SWING_MIN_OF_THREE = UNITS_PER_G * 12 // 100
_SWING_MIN_BRAKING = UNITS_PER_G * 12 // 100
_SLOW_SWING_MAX = UNITS_PER_G * 40 // 100
SWING_TYPICAL_MAX = UNITS_PER_G * 12 // 10
_COS_TURNED = 15826  # 15 degrees
_HORIZONTAL_MIN, _HORIZONTAL_MAX = 20, 300  # percent of the vertical rms
_FORWARD_MIN_BRAKING = 180  # percent of the vertical rms
_EDGE_MIN_BRAKING = const(10)
_SLOW_COHERENCE = const(30)
_SWAY = const(20)
_NO_SUMS = bytes(4 * SUMS)
_NO_WORDS = bytes(4 * STEP_WORDS)


class Footfall:
    """A step: its peak's index and swing, and the sums over the interval that ends with it.

    All of it is in `words`, which kernels read; the properties are for whoever is in no hurry. `samples` is the
    length of the interval, 0 for the first of a chain, whose sums are 0. `up` is the vertical then. `taken` is set by
    whoever has used it, after which it is no longer replaced. `braking`: a BrakingRhythm found it.
    """

    def __init__(self, index, swing):
        self.words = words = array("i", _NO_WORDS)
        words[W_INDEX] = index
        words[W_SWING] = swing

    @property
    def index(self):
        return self.words[W_INDEX]

    @property
    def swing(self):
        return self.words[W_SWING]

    @property
    def sums(self):
        return self.words

    @property
    def up(self):
        return self.words[W_UP : W_UP + 3]

    @property
    def samples(self):
        return self.words[W_SAMPLES]

    @property
    def taken(self):
        return self.words[W_TAKEN] != 0

    @property
    def braking(self):
        return self.words[W_BRAKING] != 0

    def forget(self):
        """There is no interval before this step."""
        words = self.words
        words[W_SAMPLES] = 0
        for k in range(SUMS):
            words[k] = 0


class _Chain:
    """The peaks of one finder that go together so far."""

    braking = False

    def __init__(self, front, finder):
        self._front = front
        self.finder = finder
        self.restart()

    def restart(self):
        self.chain = []
        # How many steps lie between two peaks of the chain, plus one.
        self.steps_a_peak = 1

    def _add(self, index, swing):
        chain = self.chain
        step = Footfall(index, swing)
        step.words[W_BRAKING] = self.braking
        self._front.measure(step.words, chain[-1].index if chain else index)
        chain.append(step)

    def _gap(self, k):
        return self.chain[k].index - self.chain[k - 1].index

    def _turned(self):
        """Whether gravity moved while the chain came together."""
        return dot_q14(self.chain[0].up, self.chain[-1].up) < _COS_TURNED

    def _spread(self):
        """Smallest and largest swing."""
        least = most = self.chain[0].swing
        for step in self.chain:
            least = min(least, step.swing)
            most = max(most, step.swing)
        return least, most

    def _sums(self):
        sums = array("i", _NO_SUMS)
        for k in range(1, len(self.chain)):
            add_sums(sums, self.chain[k].sums, 4, WORD_SHIFT)
        return sums


class Rhythm(_Chain):
    """Ordinary steps. on_trunk: whether coherence means anything where the clip is worn."""

    def __init__(self, front, finder, on_trunk):
        self._on_trunk = on_trunk
        super().__init__(front, finder)

    def learn_swing(self, swing):
        swing = min(swing, SWING_TYPICAL_MAX)
        typical = self.finder.typical_swing
        self.finder.typical_swing = (3 * typical + swing) >> 2 if typical else swing

    def collect(self, index, swing):
        """Add a peak to the chain, and drop from the chain what does not go with it."""
        if swing < _SWING_MIN:
            return
        self.learn_swing(swing)
        chain = self.chain
        if chain:
            gap = index - chain[-1].index
            if gap > _GAP_MAX:
                chain.clear()
            elif gap < _GAP_MIN:
                if swing <= chain[-1].swing:
                    return
                chain.pop()
        self._add(index, swing)
        if not self._in_time():
            del chain[:-3]
            if not self._in_time():
                chain.pop(0)
        while not self._alike():
            chain.pop(0)
        if len(chain) > _CHAIN_MAX:
            chain.pop(0)

    def is_walking(self):
        chain = self.chain
        if len(chain) < _CHAIN_MIN or self._turned():
            return False
        if not self._on_trunk:
            return len(chain) >= _CHAIN_POCKET and self._keeps_time(_CHAIN_POCKET)
        sums = array("i", _NO_SUMS)
        for steps in range(2, len(chain) + 1):
            add_sums(sums, chain[1 - steps].sums, 4, WORD_SHIFT)
            if steps < _CHAIN_MIN or coherence(sums) < _PROOF[steps] or not self._keeps_time(steps):
                continue
            if steps == _CHAIN_MIN and min(chain[-k].swing for k in (1, 2, 3)) < _SWING_MIN_OF_THREE:
                continue
            return _to_and_fro(sums)
        return False

    def _in_time(self):
        """Whether the newest interval goes on with an even or a limping rhythm."""
        steps = len(self.chain)
        if steps < 3:
            return True
        gap, before = self._gap(-1), self._gap(-2)
        if steps == 3:
            return gap <= 2 * before and before <= 2 * gap
        return _even(gap, before) or _same(gap, self._gap(-3))

    def _keeps_time(self, steps):
        """Whether the last so many steps keep an even rhythm, or, from _CHAIN_LIMP steps on, a limping one."""
        even = limping = True
        for k in range(1, steps - 1):
            gap = self._gap(-k)
            even = even and _even(gap, self._gap(-k - 1))
            if k < steps - 2:
                limping = limping and _same(gap, self._gap(-k - 2))
        return even or (limping and steps >= _CHAIN_LIMP)

    def _alike(self):
        least, most = self._spread()
        return most * 3 <= least * 10


class BrakingRhythm(Rhythm):
    """Backward steps without a bounce; the finder's signal is the braking, acceleration to the rear."""

    braking = True

    def is_walking(self):
        if len(self.chain) < _CHAIN_BRAKING or self._turned() or not self._keeps_time(_CHAIN_BRAKING):
            return False
        sums = array("i", _NO_SUMS)
        for k in range(1, _CHAIN_BRAKING):
            add_sums(sums, self.chain[-k].sums, 4, WORD_SHIFT)
        return (
            self._spread()[0] >= _SWING_MIN_BRAKING
            and percent_of_root(sums[S_FORWARD2], sums[S_VERTICAL2]) >= _FORWARD_MIN_BRAKING
            and edge_of(sums) >= _EDGE_MIN_BRAKING
        )


class SlowRhythm(_Chain):
    """Slow or soft steps, or the strides of a limp. The finder and its swing are those of `ordinary`."""

    def __init__(self, front, ordinary):
        self.ordinary = ordinary
        super().__init__(front, ordinary.finder)

    def collect(self, index, swing):
        if not SLOW_SWING_MIN <= swing <= _SLOW_SWING_MAX:
            return
        chain = self.chain
        if chain:
            gap = index - chain[-1].index
            if gap > _SLOW_GAP_MAX:
                chain.clear()
            elif swing * 2 < chain[-1].swing:
                return  # the weak leg
            elif gap < _SLOW_GAP_MIN:
                if swing <= chain[-1].swing:
                    return
                chain.pop()
        self._add(index, swing)
        if len(chain) > 2 and abs(self._gap(-1) - self._gap(-2)) * 5 > self._gap(-2):
            del chain[:-2]
        if len(chain) > _CHAIN_SLOW:
            chain.pop(0)

    def is_walking(self):
        chain = self.chain
        if len(chain) < _CHAIN_SLOW or self._turned():
            return False
        least, most = self._spread()
        sums = self._sums()
        if most > 2 * least or coherence(sums) < _SLOW_COHERENCE or not _to_and_fro(sums):
            return False
        last = chain[-1].index
        repeats = self._front.sway_repeats(last, (last - chain[-3].index) >> 1)
        self.steps_a_peak = 2 if repeats > 0 else 1
        self.finder.typical_swing = (least + most) >> 1
        return abs(repeats) >= _SWAY


def _even(gap, before):
    return abs(gap - before) * 4 <= before


def _same(gap, before):
    return abs(gap - before) * 7 <= before


def _to_and_fro(sums):
    """Whether horizontal and vertical motion are in a proportion that legs make: neither a jump nor a sway."""
    horizontal = percent_of_root(sums[S_FORWARD2] + sums[S_LEFT2], sums[S_VERTICAL2])
    return _HORIZONTAL_MIN <= horizontal <= _HORIZONTAL_MAX


def coherence(sums):
    """How tightly horizontal acceleration follows vertical velocity, in percent, whichever way the clip looks.

    sqrt(S(fv)^2 + S(lv)^2) / sqrt((S(f^2) + S(l^2)) S(v^2)), the sums below 2**29 / 2.
    """
    along, across = abs(sums[S_FORWARD_VELOCITY]), abs(sums[S_LEFT_VELOCITY])
    shift = 0
    while along > 16383 or across > 16383:
        along >>= 1
        across >>= 1
        shift += 1
    both = isqrt(along * along + across * across) << shift
    return percent_of_roots(both, sums[S_FORWARD2] + sums[S_LEFT2], sums[S_VELOCITY2])
