"""Which peaks are steps.

Input: the front end's confirmed peaks (index at 104 Hz, swing above the valley before it in 0.122 mg) and its ring.
Output: `accepted`, Footfalls in order, to be taken from the front; the newest may still be replaced by
a larger peak until it is taken.

Walking is a rhythm, and almost nothing else is. While the gate is closed, peaks are collected in the chains of
rhythm.py. The first that proves walking while the wearer is upright opens the gate, reports its chain, back-dated,
and leads until the gate closes: after 2 s of quiet (1.5 steps of a slow walker), or when no longer upright.

While the gate is open, less regular peaks are steps too:
- at least a third of the usual swing: a step, unless it comes sooner than 0.6 step times; then the larger counts.
- smaller, down to a tenth: one such closes a walk, feet together. Several are steps only while the wearer turns:
  nobody turns by 12 degrees in 0.6 s without moving the feet.
In the 10 s after walking a single peak while turning opens the gate again, for turning on the spot.

Limits: one or two steps alone count nothing. Exercise that has both rhythm and coherence (squats in time, table
tennis) can pass for walking.
"""

from firmware.gait.rhythm import BrakingRhythm, Footfall, Rhythm, SlowRhythm
from firmware.gait.signals import (
    PEAKS,
    SLOW_SWING_MIN,
    TILTED,
    UNITS_PER_G,
    W_BRAKING,
    W_INDEX,
    W_SWING,
    W_TAKEN,
    W_UP,
)

# Times in samples at 104 Hz.
_REFRACTORY = 21  # 0.2 s: no leg moves faster
_TURNING_GAP_MIN = 34
_TURNING_STEP = 62
CLOSE_SAMPLES = 208  # 2 s
_LINGER_SAMPLES = 1040
# Sizes of the detection signal.
_SWING_LEAST = UNITS_PER_G * 3 // 100
_SWING_TURNING = UNITS_PER_G * 6 // 100
_TURNING_DEG = 12
_COS_UPRIGHT = 11469  # 0.7: 46 degrees
_NEVER = (1 << 30) - 1


class StepDetector:
    """Finds steps in what `front` makes of the samples.

    mounting: says what upright is; None: any posture will do. on_trunk: whether posture and coherence mean
    anything where the clip is worn. `walking`: the gate is open. `tilted_steps`: steps in chains that would have
    opened the gate, had the wearer been upright, since it last opened.
    """

    def __init__(self, front, mounting=None, on_trunk=True):
        self._front = front
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
        self.accepted = []
        self.restart()

    def restart(self):
        """Close the gate and forget the rhythm. What was accepted stays."""
        for rhythm in self._rhythms:
            rhythm.restart()
        if self._slow:
            self._slow.restart()
        self._front.forget_peaks()
        self.tilted_steps = 0
        # The last two steps, and of the rhythm that opened the gate their usual distance.
        self._newest = self._before = None
        self._step_samples = 0
        self._steps_a_peak = 1
        # Whether the last step was a small one; whether turning opened the gate; the swing of straight walking.
        self._small = False
        self._turned_in = False
        self._usual_swing = 0
        self._close()

    def feed(self, news, index):
        """Look at what the front end, which has taken `index` samples, returned. Then have it wake at close_index."""
        if news & PEAKS:
            leader = self._leader
            for rhythm in self._rhythms if leader is None else (leader,):
                finder = rhythm.finder
                if news & finder.bit:
                    peaks = finder.peaks
                    for k in range(0, len(peaks), 2):
                        self._peak(rhythm, peaks[k] - finder.delay, peaks[k + 1])
            if self.walking:
                quiet = max(CLOSE_SAMPLES, self._step_samples * 3 // 2)
                self.close_index = self._newest.words[W_INDEX] + self._leader.finder.delay + quiet + 1
        if self.walking and (index >= self.close_index or news & TILTED):
            self._close()
            self._clear_chains()

    def _close(self):
        """While the gate is closed, only peaks are of interest, but all of them."""
        # The rhythm that opened the gate.
        self._leader = None
        self.walking = False
        # When the gate closes for want of a step.
        self.close_index = _NEVER
        self._front.listen(PEAKS)
        self._front.watch_posture(None, 0)

    def _peak(self, rhythm, index, swing):
        if self._leader:
            if self._leader is rhythm:
                self._next(index, swing)
            return
        if self._newest and index - self._newest.index < _REFRACTORY:
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
        self._lead(leader, chain[-1], chain[-2], (chain[-1].index - chain[0].index) // (len(chain) - 1))
        self._steps_a_peak = proof.steps_a_peak
        self.tilted_steps = 0
        for k in range(len(chain)):
            if k and self._steps_a_peak == 2:
                self.accepted.append(self._between(chain[k - 1], chain[k]))
            self.accepted.append(chain[k])
        self._clear_chains()

    def _turns_after_walking(self, index, swing):
        return (
            self._on_trunk
            and swing >= _SWING_TURNING
            and self._newest
            and _TURNING_GAP_MIN <= index - self._newest.index <= _LINGER_SAMPLES
            and self._is_turning(index)
            and self._upright()
        )

    def _turn(self, index, swing):
        """A step of turning on the spot."""
        step = Footfall(index, swing)
        self._front.measure(step.words, index)
        self._lead(self._narrow, step, self._newest, _TURNING_STEP)
        self._narrow.finder.typical_swing = max(swing, self._usual_swing)
        self._small = self._turned_in = True
        self.accepted.append(step)
        self._clear_chains()

    def _is_turning(self, index):
        return abs(self._front.turned(index - _TURNING_STEP, index)) >= _TURNING_DEG

    def _lead(self, leader, newest, before, step_samples):
        self._leader = leader
        self.walking = True
        self._front.listen(leader.finder.bit)
        self._newest = newest
        self._before = before
        self._step_samples = step_samples
        self._steps_a_peak = 1
        self._small = self._turned_in = False
        if self._mounting:
            self._front.watch_posture(self._mounting.gravity, _COS_UPRIGHT)

    def _clear_chains(self):
        for rhythm in self._rhythms:
            rhythm.chain.clear()
        if self._slow:
            self._slow.chain.clear()

    def _between(self, before, after):
        """The step of the weak leg between two of the strong one: at the largest peak near the middle."""
        third = (after.index - before.index) // 3
        middle, most = (before.index + after.index) >> 1, 0
        for index, swing in self._front.kept_peaks():
            if before.index + third < index < after.index - third and swing > most:
                middle, most = index, swing
        step = Footfall(middle, after.swing)
        for k in range(W_UP, W_UP + 3):
            step.words[k] = after.words[k]
        self._front.measure(step.words, before.index)
        self._front.measure(after.words, middle)
        return step

    def _next(self, index, swing):
        """A peak while the gate is open: a step, a better peak for the last one, or neither."""
        last = self._newest.words
        leader = self._leader
        usual = leader.finder.typical_swing
        step_samples = self._step_samples
        gap = index - last[W_INDEX]
        small = swing * 3 < usual
        if swing * 10 < usual or swing < (_SWING_LEAST if leader is self._narrow else SLOW_SWING_MIN):
            return
        if small and (
            gap * 5 < step_samples * 4
            or ((self._small or gap * 2 > step_samples * 3) and not self._is_turning(index))
        ):
            return
        if self._steps_a_peak == 2:
            if swing * 2 < usual:
                return
            if step_samples * 4 < gap * 10 < step_samples * 7:
                # The other leg shows now.
                self._steps_a_peak = 1
                self._step_samples = step_samples = step_samples >> 1
        if gap * 5 < step_samples * 3 or gap < _REFRACTORY:
            if swing * 10 > last[W_SWING] * 13 and not last[W_TAKEN]:
                last[W_INDEX] = index
                last[W_SWING] = swing
                self._front.measure(last, self._before.words[W_INDEX])
            return
        step = Footfall(index, swing)
        self._front.measure(step.words, last[W_INDEX])
        if leader.braking:
            step.words[W_BRAKING] = 1
        if self._steps_a_peak == 2 and gap * 2 < step_samples * 3:
            self.accepted.append(self._between(self._newest, step))
        self._before = self._newest
        self._newest = step
        self._step_samples = step_samples + ((gap - step_samples) >> 2)
        if not self._turned_in:
            self._usual_swing = usual
        self._small = small
        if not small:
            leader.learn_swing(swing)
        self.accepted.append(step)
