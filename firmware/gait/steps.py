"""Which peaks of the vertical acceleration are steps.

Input: the front end's confirmed peaks (index at 104 Hz, swing above the valley before it in 0.122 mg) and its ring.
Output: `accepted`, Footfalls in order, to be taken from the front; the newest may still be replaced by
a larger peak until it is taken.

Walking is a rhythm, and almost nothing else is. While the gate is closed, peaks are collected in a chain. The gate
opens, and reports the chain back-dated, when the newest of them in a row
- are large enough, neither too close nor too far apart, and alike in size,
- keep time: each interval is near the one before, or, where a limp makes long and short alternate, near the one
  before that,
- leave gravity where it is, upright where the mounting is known,
- move the body to and fro in time with up and down (coherence). Walking couples them because the body vaults
  over the standing leg; shaking, typing or a car do not. It is asked along no particular axis, so a clip that was put
  on turned still counts.
The more coherent they are, the fewer it takes: three at best, six where coherence is missing, as on stairs.
While the gate is open, smaller and less regular peaks are steps too. It closes after CLOSE_SAMPLES of quiet, or
when the wearer is no longer upright.

There are two such chains, one for each of the front end's finders; whichever opens the gate leads until it closes.

Limits: one or two steps alone count nothing; neither does a shuffle of less than 0.08 g, nor, at the start, steps
of more than 1.15 s. Exercise that has both rhythm and coherence (squats in time, table tennis) can pass for walking.
"""

from array import array

from fixedpoint import dot_q14, isqrt, percent_of_root, percent_of_roots

from firmware.gait.signals import (
    S_FORWARD2,
    S_FORWARD_VELOCITY,
    S_LEFT2,
    S_LEFT_VELOCITY,
    S_VELOCITY2,
    S_VERTICAL2,
    SUMS,
    UNITS_PER_G,
    VERTICAL_ACC,
)

# So many steps in a row open the gate if they have this coherence, in percent.
_PROOF = {3: 60, 4: 25, 5: 20, 6: 0}
_CHAIN_MIN, _CHAIN_MAX = 3, 6
# A limp shows only in pairs of intervals; a pocket has no coherence to go by.
_CHAIN_LIMP = 5
_CHAIN_POCKET = 4
# Times in samples at 104 Hz.
_REFRACTORY = 21  # 0.2 s: no leg moves faster
_GAP_MIN = 34  # 0.33 s: 180 steps a minute
_GAP_MAX = 120  # 1.15 s
CLOSE_SAMPLES = 208  # 2 s
# Sizes of the detection signal.
_SWING_MIN = UNITS_PER_G * 8 // 100
# The least chain is trusted only where it is strong: bending the knees a few times is coherent, but soft.
_SWING_MIN_OF_THREE = UNITS_PER_G * 12 // 100
_HYSTERESIS_MIN = UNITS_PER_G * 15 // 1000
_SWING_TYPICAL_MAX = UNITS_PER_G * 12 // 10
_COS_UPRIGHT = 11469  # 0.7: 46 degrees
_COS_TURNED = 15826  # 15 degrees
_HORIZONTAL_MIN, _HORIZONTAL_MAX = 30, 300  # percent of the vertical rms


class Footfall:
    """A step: its peak's index and swing, and the sums over the interval that ends with it.

    `samples` is the length of that interval, 0 for the first of a chain, whose sums are 0. `taken` is set by
    whoever has used it, after which it is no longer replaced.
    """

    def __init__(self, index, swing, up):
        self.index = index
        self.swing = swing
        self.up = up
        self.samples = 0
        self.sums = array("i", bytes(4 * SUMS))
        self.taken = False

    def measure(self, front, previous):
        """Sum over the interval since `previous`."""
        self.samples = front.sum_products(self.sums, previous.index, self.index)

    def forget(self):
        """There is no interval before this step."""
        self.samples = 0
        for k in range(SUMS):
            self.sums[k] = 0


class _Rhythm:
    """Peaks of one finder while the gate is closed, and the wearer's usual swing in it."""

    def __init__(self, front, finder):
        self._front = front
        self.finder = finder
        self.restart()

    def restart(self):
        self.chain = []
        self.typical_swing = 0
        self.last_peak = 0

    def learn_swing(self, swing):
        swing = min(swing, _SWING_TYPICAL_MAX)
        self.typical_swing = (3 * self.typical_swing + swing) >> 2 if self.typical_swing else swing

    def set_hysteresis(self):
        if self._front.index - self.last_peak > CLOSE_SAMPLES:
            self.typical_swing = 0
        self.finder.set_hysteresis(max(_HYSTERESIS_MIN, self.typical_swing * 15 // 100))

    def collect(self, index, swing):
        """Add a peak to the chain, and drop from the chain what does not go with it."""
        if swing < _SWING_MIN:
            return
        self.learn_swing(swing)
        chain = self.chain
        step = Footfall(index, swing, self._front.axis(VERTICAL_ACC))
        if chain:
            gap = index - chain[-1].index
            if gap > _GAP_MAX:
                chain.clear()
            elif gap < _GAP_MIN:
                if swing <= chain[-1].swing:
                    return
                chain.pop()
        if chain:
            step.measure(self._front, chain[-1])
        chain.append(step)
        if not self._in_time():
            del chain[:-3]
            if not self._in_time():
                chain.pop(0)
        while not self._alike():
            chain.pop(0)
        if len(chain) > _CHAIN_MAX:
            chain.pop(0)

    def _gap(self, k):
        return self.chain[k].index - self.chain[k - 1].index

    def _in_time(self):
        """Whether the newest interval goes on with an even or a limping rhythm."""
        steps = len(self.chain)
        if steps < 3:
            return True
        gap, before = self._gap(-1), self._gap(-2)
        if steps == 3:
            return gap <= 2 * before and before <= 2 * gap
        return _even(gap, before) or _same(gap, self._gap(-3))

    def keeps_time(self, steps):
        """Whether the last so many steps keep an even rhythm, or, from _CHAIN_LIMP steps on, a limping one."""
        even = limping = True
        for k in range(1, steps - 1):
            gap = self._gap(-k)
            even = even and _even(gap, self._gap(-k - 1))
            if k < steps - 2:
                limping = limping and _same(gap, self._gap(-k - 2))
        return even or (limping and steps >= _CHAIN_LIMP)

    def _alike(self):
        least = most = self.chain[0].swing
        for step in self.chain:
            least = min(least, step.swing)
            most = max(most, step.swing)
        return most * 3 <= least * 10


class StepDetector:
    """Finds steps in what `front` makes of the samples.

    mounting: says what upright is; None: any posture will do. on_trunk: whether posture and coherence mean
    anything where the clip is worn.
    """

    def __init__(self, front, mounting=None, on_trunk=True):
        self._front = front
        self._mounting = mounting
        self._on_trunk = on_trunk
        self._rhythms = tuple(_Rhythm(front, finder) for finder in front.finders[: 2 if on_trunk else 1])
        self.accepted = []
        self.restart()

    def restart(self):
        """Close the gate and forget the rhythm. What was accepted stays."""
        for rhythm in self._rhythms:
            rhythm.restart()
        # The rhythm that opened the gate, and the last two steps of it.
        self._leader = None
        self._newest = self._before = None
        self._step_samples = 0

    @property
    def walking(self):
        return self._leader is not None

    def feed(self):
        """Look at the newest frame of the front end."""
        for rhythm in self._rhythms:
            peaks = rhythm.finder.peaks
            for k in range(peaks[0]):
                rhythm.last_peak = peaks[1 + 2 * k]
                self._peak(rhythm, peaks[1 + 2 * k] - rhythm.finder.delay, peaks[2 + 2 * k])
            rhythm.set_hysteresis()
        if self._leader and (
            self._front.index - self._leader.finder.delay - self._newest.index > CLOSE_SAMPLES
            or not self._upright()
        ):
            self._leader = None
            for rhythm in self._rhythms:
                rhythm.chain.clear()

    def _peak(self, rhythm, index, swing):
        if self._leader is rhythm:
            self._next(index, swing)
        elif self._leader is None and not (self._newest and index - self._newest.index < _REFRACTORY):
            rhythm.collect(index, swing)
            if self._is_walking(rhythm):
                self._open(rhythm)

    def _upright(self):
        if self._mounting is None or not self._on_trunk:
            return True
        return self._front.along_up(self._mounting.gravity) > _COS_UPRIGHT

    def _is_walking(self, rhythm):
        chain = rhythm.chain
        if len(chain) < _CHAIN_MIN:
            return False
        if dot_q14(chain[0].up, chain[-1].up) < _COS_TURNED or not self._upright():
            return False
        if not self._on_trunk:
            return len(chain) >= _CHAIN_POCKET and rhythm.keeps_time(_CHAIN_POCKET)
        sums = [0] * SUMS
        for steps in range(2, len(chain) + 1):
            step = chain[1 - steps]
            for k in range(SUMS):
                sums[k] += step.sums[k] >> 4
            if steps < _CHAIN_MIN or coherence(sums) < _PROOF[steps] or not rhythm.keeps_time(steps):
                continue
            if steps == _CHAIN_MIN and min(chain[-k].swing for k in (1, 2, 3)) < _SWING_MIN_OF_THREE:
                continue
            horizontal2 = sums[S_FORWARD2] + sums[S_LEFT2]
            return _HORIZONTAL_MIN <= percent_of_root(horizontal2, sums[S_VERTICAL2]) <= _HORIZONTAL_MAX
        return False

    def _open(self, rhythm):
        chain = rhythm.chain
        chain[0].forget()
        self._leader = rhythm
        self._newest = chain[-1]
        self._before = chain[-2]
        self._step_samples = (chain[-1].index - chain[0].index) // (len(chain) - 1)
        self.accepted.extend(chain)
        for each in self._rhythms:
            each.chain.clear()

    def _next(self, index, swing):
        """A peak while the gate is open: a step, a better peak for the last one, or neither."""
        last = self._newest
        gap = index - last.index
        if swing * 7 < self._leader.typical_swing:
            return
        if gap * 5 < self._step_samples * 3 or gap < _REFRACTORY:
            if swing * 10 > last.swing * 13 and not last.taken:
                last.index = index
                last.swing = swing
                last.measure(self._front, self._before)
            return
        step = Footfall(index, swing, self._front.axis(VERTICAL_ACC))
        step.measure(self._front, last)
        self._before = last
        self._newest = step
        self._step_samples += (gap - self._step_samples) >> 2
        self._leader.learn_swing(swing)
        self.accepted.append(step)


def _even(gap, before):
    return abs(gap - before) * 4 <= before


def _same(gap, before):
    return abs(gap - before) * 7 <= before


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
