"""The open gate: which peaks are steps while somebody walks, and when each step is settled.

Input: the leading finder's new peaks, in the front end's state (signals.py). Output: settled steps, (contact index at
104 Hz, direction, confidence, score of its stability), in order. steps.py opens and closes the gate, trunk.py takes
what is settled.

A peak of a third of the usual swing is a step. One that comes sooner than 0.6 step times replaces the last, if that
is not settled and it is 1.3 times as large. A smaller one is a step if it is the first small one within 1.5 steps
(feet together at the end), or if the wearer turns. Where one leg makes the peaks, the other's step is put at the
largest small peak near the middle, until that leg shows by itself.

A step settles when its successor is known, or 1.4 s after it; or, where it goes on as the last one and so clearly
that its successor would change nothing, as soon as no larger peak could replace it.

All of it is viper on one array, `track`: while somebody walks, ordinary bytecode runs only where a step was settled.
"""

from array import array

import micropython
from fixedpoint import WORD_SHIFT
from micropython import const

from firmware.gait.clip import CLIP_WORDS, take_in
from firmware.gait.direction import judge
from firmware.gait.rhythm import SWING_TYPICAL_MAX, Footfall
from firmware.gait.signals import INDEX_AT, LATER_AT, WAKE_AT, largest_kept, measure, turned_deg
from firmware.gait.stability import grade, watch

# Times in samples at 104 Hz.
REFRACTORY = const(21)  # 0.2 s: no leg moves faster
TURNING_STEP = const(62)
CLOSE_SAMPLES = const(208)  # 2 s
SETTLE_SAMPLES = const(146)  # 1.4 s
TURNING_DEG = const(12)
NEVER = const(1073741823)
# A plain step waits only so long that a larger peak could still replace it, in tenths of a step; after a larger step,
# as in a limp, that takes longer.
_PLAIN_TENTHS = const(7)
_PLAIN_WEAK_TENTHS = const(9)
_PLAIN_CONFIDENCE = const(93)
# The peak of the smoothed vertical acceleration lies in the loading response, which takes longer in slow walking: it
# comes an eighth of the step less 30 ms after the contact; 40 ms, where the step's length is not known.
_LOADING_SHIFT = const(3)
_LOADING_LESS = const(3)
_LOADING_SAMPLES = const(4)

# Words of a step and bits of the news, as in signals.py, and a verdict, as in direction.py: viper knows no other
# module's constants.
_W_SAMPLES = const(8)
_W_UP = const(9)
_W_INDEX = const(12)
_W_SWING = const(13)
_W_BRAKING = const(14)
_STEP_WORDS = const(16)
_PEAKS = const(7)
_TILTED = const(16)
_STARTLED = const(32)
_DIRECTION_SHIFT = const(7)
_FORWARD = const(0)
_UNKNOWN = const(3)
_UNDECIDED = const(_UNKNOWN << _DIRECTION_SHIFT)

# Words of the track.
_SHIFT = const(0)
_OPEN = const(1)
# Places in the front end's state: samples taken, when to wake; the leader's number of peaks, then they, and its
# typical swing; what is to be done when the samples are used up.
_INDEX_AT = const(2)
_WAKE_AT = const(3)
_FOUND_AT = const(4)
_TYPICAL_AT = const(5)
_LATER_AT = const(24)
# Of the leader: delay, the least swing, whether its steps are braking ones, what large swings are held at.
_DELAY = const(6)
_LEAST = const(7)
_BRAKING = const(8)
_SWING_MAX = const(9)
# Of the steps: their usual distance, how many a peak is; the last one's index and swing, the index of that before.
_STEP_SAMPLES = const(10)
_STEPS_A_PEAK = const(11)
_NEWEST = const(12)
_NEWEST_SWING = const(13)
_BEFORE = const(14)
# Whether the last step was a small one; whether turning opened the gate; the swing of straight walking.
_SMALL = const(15)
_TURNED_IN = const(16)
_USUAL_SWING = const(17)
# Whether forward is known; whether a model has the last word on directions.
_KNOWN = const(18)
_MODEL = const(19)
# Of the last step settled: whether there is one, its direction. Of the oldest one waiting: whether it was found not
# plain, whether it is to be judged with its successor.
_PREVIOUS = const(20)
_DIRECTION = const(21)
_WEIGHED = const(22)
_WITH_NEXT = const(23)
# How many steps are settled and not taken, and for each where it touched down and the verdict.
# A slow rhythm of five strides comes with nine steps; one more may have waited, and one may be settled.
_ROOM = const(10)
_SETTLED = const(25)
_SETTLED_STEPS = const(26)
# How many wait to be settled, and words for each, after those of the last one settled.
_WAITING = const(_SETTLED_STEPS + 2 * (_ROOM + 1))
_RECORDS = const(_WAITING + 1)
_FIRST = const(_RECORDS + _STEP_WORDS)
# Two more: no step, and sums.
_NO_STEP = const(_FIRST + _ROOM * _STEP_WORDS)
_TOTAL = const(_NO_STEP + _STEP_WORDS)
# Then those of stability.py, of which some are needed here, and of clip.py.
_CLIP = const(_TOTAL + _STEP_WORDS + 73)
_WORDS = _CLIP + CLIP_WORDS
_MORE = const(_TOTAL + _STEP_WORDS + 40)
_STEADY = const(_TOTAL + _STEP_WORDS + 42)
_NO_SCORE = const(127)
_CHANGED = const(4)
_NO_VERDICT = const(-1)
_FOLLOW = const(-2)

# What is to be done: a verdict is asked for; the clip moved; the forward axis may be corrected. Added to it: the gate
# has closed; steps were settled; the stability has news, in the three bits from NOTICED_SHIFT on. Or the gate is
# closed, and the news, in the bits above, were not looked at.
JUDGE = const(1)
MOVED = const(2)
DRIFTED = const(3)
CLOSED = const(4)
SETTLED = const(8)
SHUT = const(16)
NOTICED_SHIFT = const(5)
NOTICED = const(7 << NOTICED_SHIFT)
NEWS_SHIFT = const(8)
# A settled step's score goes with its verdict, in the bits above, as in direction.py.
_SCORE_SHIFT = const(9)


@micropython.viper
def _take_peak(track: ptr32, state: ptr32, index: int, swing: int):
    """A peak while the gate is open: a step, a better peak for the last one, or neither."""
    usual = state[track[_TYPICAL_AT]]
    if swing * 10 < usual or swing < track[_LEAST]:
        return
    newest = track[_NEWEST]
    step_samples = track[_STEP_SAMPLES]
    gap = index - newest
    small = 0
    if swing * 3 < usual:
        small = 1
        if gap * 5 < step_samples * 4:
            return
        if track[_SMALL] or gap * 2 > step_samples * 3:
            turned = int(turned_deg(state, index - TURNING_STEP, index))
            if turned < TURNING_DEG and turned > -TURNING_DEG:
                return
    steps_a_peak = track[_STEPS_A_PEAK]
    if steps_a_peak == 2:
        if swing * 2 < usual:
            return
        if step_samples * 4 < gap * 10 and gap * 10 < step_samples * 7:
            # The other leg shows now.
            steps_a_peak = 1
            step_samples >>= 1
            track[_STEPS_A_PEAK] = 1
            track[_STEP_SAMPLES] = step_samples
    waiting = track[_WAITING]
    at = _RECORDS + waiting * _STEP_WORDS
    if gap * 5 < step_samples * 3 or gap < REFRACTORY:
        if waiting and swing * 10 > track[_NEWEST_SWING] * 13:
            track[at + _W_INDEX] = index
            track[at + _W_SWING] = swing
            track[_NEWEST] = index
            track[_NEWEST_SWING] = swing
            measure(state, at, track[_BEFORE], track, state)
        return
    last = index
    if steps_a_peak == 2 and gap * 2 < step_samples * 3:
        # The step of the other leg comes first.
        last = gap // 3
        last = int(largest_kept(state, newest + last, index - last))
        if last < 0:
            last = (newest + index) >> 1
    previous = newest
    while waiting < _ROOM:
        waiting += 1
        at += _STEP_WORDS
        words = ptr32(int(track) + 4 * at)
        words[_W_UP] = 0
        words[_W_UP + 1] = 0
        words[_W_UP + 2] = 0
        words[_W_INDEX] = last
        words[_W_SWING] = swing
        words[_W_BRAKING] = track[_BRAKING]
        measure(state, at, previous, track, state)
        if last == index:
            break
        previous = last
        last = index
    track[_WAITING] = waiting
    track[_BEFORE] = newest
    track[_NEWEST] = index
    track[_NEWEST_SWING] = swing
    track[_STEP_SAMPLES] = step_samples + ((gap - step_samples) >> 2)
    if track[_TURNED_IN] == 0:
        track[_USUAL_SWING] = usual
    track[_SMALL] = small
    if small == 0:
        if swing > track[_SWING_MAX]:
            swing = track[_SWING_MAX]
        if usual:
            swing = (3 * usual + swing) >> 2
        state[track[_TYPICAL_AT]] = swing


@micropython.viper
def _look(track: ptr32, state: ptr32, news: int, verdict: int) -> int:
    """See to what FrontEnd.advance brings: watch, follow while the gate is open, settle. What is to be done.

    Follow: take the leader's new peaks; CLOSED after 2 s without a step (1.5 steps of a slow walker), or when tilted.
    Settle what can be, and wake when more can be; JUDGE, MOVED or DRIFTED: see to that, then call again. A single
    step that is settled has time until the samples are used up. verdict: the answer to JUDGE, which only a model asks
    for; else _NO_VERDICT, or _FOLLOW: settle nothing.
    """
    clip = ptr32(int(track) + 4 * _CLIP)
    wake_at = track[_WAKE_AT]
    index = state[track[_INDEX_AT]]
    what = 0
    if news & _STARTLED:
        what = int(watch(track, state, clip)) << NOTICED_SHIFT
        news -= _STARTLED
    if track[_OPEN]:
        delay = track[_DELAY]
        if news & _PEAKS:
            peaks = ptr32(int(state) + 4 * track[_FOUND_AT])
            found = peaks[0]
            while found:
                _take_peak(track, state, peaks[1] - delay, peaks[2])
                peaks = ptr32(int(peaks) + 8)
                found -= 1
        quiet = track[_STEP_SAMPLES] * 3 // 2
        if quiet < CLOSE_SAMPLES:
            quiet = CLOSE_SAMPLES
        quiet += track[_NEWEST] + delay
        state[wake_at] = quiet + 1
        if index > quiet or news & _TILTED:
            track[_OPEN] = 0
            state[wake_at] = NEVER
            what += CLOSED
    elif news:
        return what + SHUT + (news << NEWS_SHIFT)
    if verdict == _FOLLOW:
        return what

    sh = track[_SHIFT]
    known = track[_KNOWN]
    asked = 0
    words = ptr32(int(track) + 4 * _FIRST)
    while track[_WAITING] and asked == 0:
        last = (words[_W_INDEX] << sh) >> sh
        samples = words[_W_SAMPLES]
        after = _NO_STEP
        plain = 0
        if track[_WAITING] > 1:
            after = _FIRST + _STEP_WORDS
        elif track[_OPEN] and index < last + SETTLE_SAMPLES:
            due = last + SETTLE_SAMPLES
            if track[_PREVIOUS] and samples:
                tenths = _PLAIN_TENTHS
                if words[_W_SWING] * 5 < track[_RECORDS + _W_SWING] * 4:
                    tenths = _PLAIN_WEAK_TENTHS
                soon = last + (samples * tenths + 9) // 10
                if index < soon:
                    if soon < due:
                        due = soon
                elif known == 0:
                    due = index
                elif track[_DIRECTION] != _UNKNOWN and track[_WEIGHED] == 0:
                    plain = 1
                    due = index
            if due > index:
                if due < state[wake_at]:
                    state[wake_at] = due
                break
        if known:
            if track[_MODEL] == 0:
                before = _RECORDS
                if track[_PREVIOUS] == 0:
                    before = _NO_STEP
                verdict = int(judge(track, sh, before, _FIRST, after, _TOTAL))
            elif verdict < 0:
                track[_WITH_NEXT] = 0 if after == _NO_STEP else 1
                asked = JUDGE
                break
        else:
            verdict = _UNDECIDED
        direction = verdict >> _DIRECTION_SHIFT
        sure = verdict & 127
        if plain and (direction != track[_DIRECTION] or sure < _PLAIN_CONFIDENCE):
            track[_WEIGHED] = 1
            verdict = _NO_VERDICT
            continue
        plain = 0
        if direction == _FORWARD and sure >= _PLAIN_CONFIDENCE and samples:
            plain = 1
        asked = int(take_in(clip, words, sh, known, plain))
        if asked == MOVED:
            known = 0
            track[_KNOWN] = 0
            verdict = _UNDECIDED
            direction = _UNKNOWN
        contact = last - _LOADING_SAMPLES
        if samples:
            contact = last + _LOADING_LESS - (samples >> _LOADING_SHIFT)
        if contact < 0:
            contact = 0
        track[_DIRECTION] = direction
        sure = _NO_SCORE
        if track[_STEADY]:
            sure = int(grade(track, state))
        settled = ptr32(int(track) + 4 * _SETTLED_STEPS + 8 * track[_SETTLED])
        settled[0] = contact
        settled[1] = verdict + (sure << _SCORE_SHIFT)
        track[_SETTLED] = track[_SETTLED] + 1
        verdict = _NO_VERDICT
        track[_PREVIOUS] = 1
        track[_WEIGHED] = 0
        # The others move up.
        to = ptr32(int(track) + 4 * _RECORDS)
        left = track[_WAITING] * _STEP_WORDS
        while left:
            left -= 4
            to[0] = to[_STEP_WORDS]
            to[1] = to[_STEP_WORDS + 1]
            to[2] = to[_STEP_WORDS + 2]
            to[3] = to[_STEP_WORDS + 3]
            to = ptr32(int(to) + 16)
        track[_WAITING] = track[_WAITING] - 1
    if track[_OPEN] == 0 and track[_WAITING] == 0:
        track[_PREVIOUS] = 0
        track[_DIRECTION] = _UNKNOWN
        state[wake_at] = NEVER
    what += asked
    if track[_MORE]:
        what += _CHANGED << NOTICED_SHIFT
    if track[_SETTLED]:
        if what == 0 and track[_SETTLED] == 1:
            state[track[_LATER_AT]] = SETTLED
        else:
            what += SETTLED
    return what


class Walk:
    """Steps from the peaks of `front`, a FrontEnd.

    Without attend() nobody settles: the steps are to be taken with take(). model: whether each verdict is asked for.
    `track`: its words; those behind BEHIND_TRACK belong to a Stability, if there is one. `clip`: the last of them, of
    a ClipWatch, if there is one.
    """

    def __init__(self, front, model=False):
        self.track = track = array("i", bytes(4 * _WORDS))
        self.clip = memoryview(track)[_CLIP:]
        self._front = front
        self._state = front.state
        track[_SHIFT] = WORD_SHIFT
        track[_INDEX_AT] = INDEX_AT
        track[_WAKE_AT] = WAKE_AT
        track[_LATER_AT] = LATER_AT
        track[_MODEL] = model
        track[_SWING_MAX] = SWING_TYPICAL_MAX
        track[_DIRECTION] = _UNKNOWN
        self.restart()

    def restart(self):
        """Close the gate and forget what went before; steps that wait stay."""
        track = self.track
        track[_OPEN] = 0
        track[_USUAL_SWING] = 0
        # Long ago.
        track[_NEWEST] = -1048576
        self._front.wake_at(NEVER)

    @property
    def is_open(self):
        return self.track[_OPEN] != 0

    @property
    def waiting(self):
        """How many steps wait to be settled."""
        return self.track[_WAITING]

    @property
    def waiting_indices(self):
        """Of the steps that wait to be settled."""
        return [self.track[_RECORDS + k * _STEP_WORDS + _W_INDEX] for k in range(1, self.waiting + 1)]

    @property
    def settled(self):
        """How many steps are settled and not taken."""
        return self.track[_SETTLED]

    @property
    def unsettled(self):
        """Whether steps are to be expected, or some are not settled yet."""
        return self.track[_OPEN] != 0 or self.track[_PREVIOUS] != 0

    @property
    def newest_index(self):
        """The last step's, long ago if there is none."""
        return self.track[_NEWEST]

    @property
    def last_index(self):
        """Of the last step settled."""
        return self.track[_RECORDS + _W_INDEX]

    @property
    def usual_swing(self):
        return self.track[_USUAL_SWING]

    def begin(self, finder, least_swing, braking, steps, before_index, step_samples, steps_a_peak):
        """Open the gate with some Footfalls; `finder` leads from now on."""
        track = self.track
        track[_OPEN] = 1
        track[_FOUND_AT] = finder.found_at
        track[_TYPICAL_AT] = finder.typical_at
        track[_DELAY] = finder.delay
        track[_LEAST] = least_swing
        track[_BRAKING] = braking
        track[_STEP_SAMPLES] = step_samples
        track[_STEPS_A_PEAK] = steps_a_peak
        track[_NEWEST] = steps[-1].index
        track[_NEWEST_SWING] = steps[-1].swing
        track[_BEFORE] = before_index
        track[_SMALL] = track[_TURNED_IN] = 0
        for step in steps:
            if track[_WAITING] < _ROOM:
                track[_WAITING] += 1
                self._put(track[_WAITING], step.words)

    def turn_in(self):
        """The gate was opened by turning: what swings now is not the usual."""
        self.track[_SMALL] = self.track[_TURNED_IN] = 1

    def take_peak(self, index, swing):
        """A peak of the leading finder."""
        _take_peak(self.track, self._state, index, swing)

    def follow(self, news):
        """While the gate is open, see to what FrontEnd.advance returned. CLOSED: it has closed, else 0."""
        return _look(self.track, self._state, news, _FOLLOW)

    def attend(self, see_to, on_step):
        """Follow while the gate is open, and settle, whenever there is news.

        see_to(what): what is to be done other than to report what is settled. on_step(contact index, verdict): a
        settled step; its score and direction.py's verdict in a word, as direction.py packs them.
        """
        self._see_to = see_to
        self._on_step = on_step
        self._front.attend(_look, self.track, self.report)

    def settle(self, verdict=_NO_VERDICT):
        """Go on settling: after SHUT was seen to, whether the gate is open now or not, or at the end.

        verdict: the answer to JUDGE, if that was asked for. 0, or what is to be done.
        """
        what = _look(self.track, self._state, 0, verdict)
        # A single step need not wait: the caller reports it.
        self._state[LATER_AT] = 0
        return what

    def know_forward(self, known):
        """Whether steps can have a direction."""
        self.track[_KNOWN] = known

    def report(self, what=SETTLED):
        """Hand over what is settled, and False: nothing else is new. Where there is more to do, have it seen to."""
        if what != SETTLED:
            return self._see_to(what)
        track = self.track
        count = track[_SETTLED]
        track[_SETTLED] = 0
        at = _SETTLED_STEPS
        while count:
            count -= 1
            self._on_step(track[at], track[at + 1])
            at += 2
        return False

    def take(self):
        """The oldest step that waits, as a Footfall."""
        step = self._footfall(_FIRST)
        track = self.track
        for k in range(1, track[_WAITING]):
            self._put(k, self._footfall(_RECORDS + (k + 1) * _STEP_WORDS).words)
        track[_WAITING] -= 1
        return step

    def to_judge(self):
        """(step, before, after): Footfalls, of those that are known, in answer to JUDGE."""
        track = self.track
        before = self._footfall(_RECORDS) if track[_PREVIOUS] else None
        after = self._footfall(_FIRST + _STEP_WORDS) if track[_WITH_NEXT] else None
        return self._footfall(_FIRST), before, after

    def _put(self, place, words):
        at = _RECORDS + place * _STEP_WORDS
        for k in range(_STEP_WORDS):
            self.track[at + k] = words[k]

    def _footfall(self, at):
        step = Footfall(0, 0)
        for k in range(_STEP_WORDS):
            step.words[k] = self.track[at + k]
        return step
