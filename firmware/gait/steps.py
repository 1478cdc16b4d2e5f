"""Which peaks are steps.

Input: the front end's confirmed peaks (index at 104 Hz, swing above the valley before it in 0.122 mg) and its ring.
Output: steps that wait to be settled, in a Walk (walk.py).

Walking is a rhythm, and almost nothing else is. While the gate is closed, peaks are collected in the chains of
rhythm.py. The first that proves walking while the wearer is upright opens the gate, reports its chain, back-dated,
and leads until the gate closes: after 2 s of quiet (1.5 steps of a slow walker), or when no longer upright. Until
then walk.py takes its peaks, among which less regular ones are steps, too. In the 10 s after walking a single peak
while turning opens the gate again, for turning on the spot: nobody turns by 12 degrees in 0.6 s without moving the
feet.

Limits: one or two steps alone count nothing. Exercise that has both rhythm and coherence (squats in time, table
tennis) can pass for walking.
"""

from micropython import const

from firmware.gait.rhythm import BrakingRhythm, Footfall, Rhythm, SlowRhythm
from firmware.gait.signals import PEAKS, SLOW_SWING_MIN, UNITS_PER_G, W_UP
from firmware.gait.walk import CLOSED, REFRACTORY, TURNING_DEG, TURNING_STEP

# Times in samples at 104 Hz.
_TURNING_GAP_MIN = const(34)
_LINGER_SAMPLES = const(1040)
# Sizes of the detection signal.
_SWING_LEAST = UNITS_PER_G * 3 // 100
_SWING_TURNING = UNITS_PER_G * 6 // 100
_COS_UPRIGHT = 11469  # 0.7: 46 degrees


class StepDetector:
    """Opens and closes the gate of `walk`, a Walk, by what `front`, a FrontEnd, makes of the samples.

    mounting: says what upright is; None: any posture will do. on_trunk: whether posture and coherence mean
    anything where the clip is worn. `tilted_steps`: steps in chains that would have opened the gate, had the wearer
    been upright, since it last opened.
    """

    def __init__(self, front, walk, mounting=None, on_trunk=True):
        self._front = front
        self._walk = walk
        self._mounting = mounting if on_trunk else None
        self._on_trunk = on_trunk
        self._narrow = Rhythm(front, front.finders[0], on_trunk)
        self._rhythms = [self._narrow]
        self._slow = None
        if on_trunk:
            self._rhythms.append(Rhythm(front, front.finders[1], on_trunk))
            self._slow = SlowRhythm(front, self._rhythms[1])
        if self._mounting:
            self._rhythms.append(BrakingRhythm(front, front.finders[2], on_trunk))
        self.restart()

    def restart(self):
        """Close the gate and forget the rhythm. Steps that wait to be settled stay."""
        for rhythm in self._rhythms:
            rhythm.restart()
        if self._slow:
            self._slow.restart()
        self._front.forget_peaks()
        self._walk.restart()
        self.tilted_steps = 0
        self._leader = None
        self.close()

    def feed(self, news):
        """Look at what the front end returned, whether the gate is open or not."""
        if not self._walk.is_open:
            self.collect(news)
            news = 0
        if self._walk.is_open and self._walk.follow(news) == CLOSED:
            self.close()

    def close(self):
        """The gate is closed: only peaks are of interest, but all of them."""
        self._leader = None
        self._front.listen(PEAKS)
        self._front.watch_posture(None, 0)
        self._clear_chains()

    def collect(self, news):
        """While the gate is closed, look at what the front end returned."""
        if not news & PEAKS:
            return
        for rhythm in self._rhythms:
            finder = rhythm.finder
            if news & finder.bit:
                peaks = finder.peaks
                for k in range(0, len(peaks), 2):
                    self._peak(rhythm, peaks[k] - finder.delay, peaks[k + 1])

    def _peak(self, rhythm, index, swing):
        if self._leader:
            if self._leader is rhythm:
                self._walk.take_peak(index, swing)
            return
        if index - self._walk.newest_index < REFRACTORY:
            return
        if rhythm is self._narrow and self._turns_after_walking(index, swing):
            self._turn(index, swing)
            return
        rhythm.collect(index, swing)
        if rhythm.is_walking():
            if self._upright():
                self._open(rhythm, rhythm)
            else:
                self.tilted_steps += len(rhythm.chain)
                rhythm.chain.clear()
        elif self._slow and rhythm is self._slow.ordinary:
            self._slow.collect(index, swing)
            if self._slow.is_walking() and self._upright():
                self._open(self._slow, rhythm)

    def forget_posture(self):
        """The clip is known to sit wrong: any posture will do."""
        self._mounting = None
        self.tilted_steps = 0
        self._front.watch_posture(None, 0)

    def trust_posture(self, mounting):
        """The clip sits right: the wearer is upright when gravity is near that of `mounting`."""
        self._mounting = mounting
        if self._leader:
            self._front.watch_posture(mounting.gravity, _COS_UPRIGHT)

    def _upright(self):
        return not self._mounting or self._front.along_up(self._mounting.gravity) > _COS_UPRIGHT

    def _open(self, proof, leader):
        chain = proof.chain
        chain[0].forget()
        steps = [chain[0]]
        for k in range(1, len(chain)):
            if proof.steps_a_peak == 2:
                steps.append(self._between(chain[k - 1], chain[k]))
            steps.append(chain[k])
        step_samples = (chain[-1].index - chain[0].index) // (len(chain) - 1)
        self._lead(leader, steps, chain[-2].index, step_samples, proof.steps_a_peak)
        self.tilted_steps = 0

    def _turns_after_walking(self, index, swing):
        return (
            self._on_trunk
            and swing >= _SWING_TURNING
            and _TURNING_GAP_MIN <= index - self._walk.newest_index <= _LINGER_SAMPLES
            and abs(self._front.turned(index - TURNING_STEP, index)) >= TURNING_DEG
            and self._upright()
        )

    def _turn(self, index, swing):
        """A step of turning on the spot."""
        step = Footfall(index, swing)
        self._front.measure(step.words, index)
        self._lead(self._narrow, [step], self._walk.newest_index, TURNING_STEP, 1)
        self._narrow.finder.typical_swing = max(swing, self._walk.usual_swing)
        self._walk.turn_in()

    def _lead(self, leader, steps, before_index, step_samples, steps_a_peak):
        self._leader = leader
        least_swing = _SWING_LEAST if leader is self._narrow else SLOW_SWING_MIN
        self._walk.begin(
            leader.finder, least_swing, leader.braking, steps, before_index, step_samples, steps_a_peak
        )
        self._front.listen(leader.finder.bit)
        if self._mounting:
            self._front.watch_posture(self._mounting.gravity, _COS_UPRIGHT)
        self._clear_chains()

    def _clear_chains(self):
        for rhythm in self._rhythms:
            rhythm.chain.clear()
        if self._slow:
            self._slow.chain.clear()

    def _between(self, before, after):
        """The step of the weak leg between two of the strong one: at the largest peak near the middle."""
        third = (after.index - before.index) // 3
        middle = self._front.largest_kept(before.index + third, after.index - third)
        if middle < 0:
            middle = (before.index + after.index) >> 1
        step = Footfall(middle, after.swing)
        for k in range(W_UP, W_UP + 3):
            step.words[k] = after.words[k]
        self._front.measure(step.words, before.index)
        self._front.measure(after.words, middle)
        return step
