"""Steps of a clip on the trunk, or in a pocket: front end, step detector and direction put together.

Input: frames at 104 Hz. Output, both to be taken: `settled`, (contact index at 104 Hz, direction, confidence) in
order; `events`, (index at 104 Hz, kind, detail).

Event "wrong_clip", detail the degrees by which gravity has moved: the clip sits otherwise than calibrated (clip.py),
or there were steps while it was tilted by more than 45 degrees. From then on steps settle as unknown, until
confirm_clip() or a new mounting.
"""

from firmware.gait.clip import ClipWatch
from firmware.gait.direction import FORWARD, UNKNOWN, decide
from firmware.gait.mounting import Mounting
from firmware.gait.signals import W_INDEX, W_SAMPLES, W_SWING, W_TAKEN, FrontEnd
from firmware.gait.steps import StepDetector

# A step waits this long for its successor, 1.4 s at 104 Hz.
SETTLE_SAMPLES = 146
# One that goes on plainly as before waits only so long that a larger peak could still replace it, in tenths of a
# step; after a larger step, as in a limp, that takes longer.
_PLAIN_TENTHS, _PLAIN_WEAK_TENTHS = 7, 9
_PLAIN_CONFIDENCE = 93
# The peak of the smoothed vertical acceleration lies in the loading response, which takes longer in slow walking: it
# comes an eighth of the step less 30 ms after the contact; 40 ms, where the step's length is not known.
_LOADING_SHIFT, _LOADING_LESS = 3, 3
_LOADING_SAMPLES = 4
# So many steps while the clip is tilted by more than 45 degrees are not made lying down.
_TILTED_STEPS = 12
_NEVER = (1 << 30) - 1


class TrunkTracker:
    """mounting: None where it is unknown; then no step has a direction. in_pocket: neither posture nor coherence.

    model: None, or a learned one (learned.py) that has a say in directions. `walking`: steps are to be expected, or
    some are not settled yet.
    """

    def __init__(self, resampler, mounting=None, in_pocket=False, model=None):
        self.front = FrontEnd(resampler, mounting, not in_pocket)
        self.settled = []
        self.events = []
        self._mounting = mounting
        self._model = model
        self._clip = ClipWatch(self.front, mounting) if mounting else None
        self._detector = StepDetector(self.front, mounting, not in_pocket)
        self._rest()

    @property
    def _knows_forward(self):
        return self._clip is not None and not self._clip.wrong

    def restart(self):
        """Begin anew. What was not settled is lost: finish() first."""
        self.front.restart()
        self._detector.restart()
        self._rest()

    def advance(self, samples, count):
        """Take samples, resampled. True: look at `settled` and `events`, then call again with the same samples."""
        news = self.front.advance(samples, count)
        if not news:
            return False
        self._look(news)
        return True

    def feed(self, frame, count):
        """Take at most a frame of samples at 104 Hz."""
        news = self.front.feed(frame, count)
        if news:
            self._look(news)

    def finish(self):
        """No more samples follow these: settle everything."""
        self._detector.restart()
        self._settle(self.front.index)

    def confirm_clip(self):
        """The wearer says that the clip sits as it should, however tilted; returns the Mounting that holds now."""
        if not self._clip:
            return None
        self._clip.confirm()
        self._detector.trust_posture(self._clip)
        self.front.wake_at(0)
        return Mounting(self._clip.gravity, self._mounting.forward, self._mounting.quality)

    def doubt_clip(self):
        """The clip was taken off and may come back the other way round. True if only the wearer can tell."""
        if not self._clip or self._clip.wrong or self._mounting.tilt_tells:
            return False
        self._clip.wrong = True
        self.front.wake_at(0)
        return True

    def _look(self, news):
        detector = self._detector
        index = self.front.index
        detector.feed(news, index)
        wake_index = detector.close_index
        if detector.accepted or self._previous:
            wake_index = min(wake_index, self._settle(index))
        if detector.tilted_steps >= _TILTED_STEPS:
            self._mistrust(index)
        self.front.wake_at(wake_index)

    def _settle(self, index):
        """Settle what can be, `index` samples having been taken; when to try again, unless a peak comes before."""
        accepted = self._detector.accepted
        walking = self._detector.walking
        again = _NEVER
        while len(accepted) > 1:
            self._decide(accepted.pop(0), accepted[0])
        if accepted:
            again = self._due_index(accepted[0], index) if walking else index
            if again <= index:
                self._decide(accepted.pop(0), None)
                again = _NEVER
        if walking:
            self.walking = True
        else:
            self._rest()
        return again

    def _rest(self):
        # The last step settled, its direction, and the last one that was not plain.
        self._previous = self._weighed = None
        self._direction = UNKNOWN
        # The verdict on the last one that was plain.
        self._verdict = None
        self.walking = False

    def _due_index(self, step, index):
        """When to settle a step without its successor; `index` where it goes on as the last, so clearly that this one
        would change nothing."""
        words = step.words
        due = words[W_INDEX] + SETTLE_SAMPLES
        if index >= due or self._previous is None or not words[W_SAMPLES]:
            return due
        weak = words[W_SWING] * 5 < self._previous.words[W_SWING] * 4
        tenths = _PLAIN_WEAK_TENTHS if weak else _PLAIN_TENTHS
        plain = words[W_INDEX] + (words[W_SAMPLES] * tenths + 9) // 10
        if index < plain:
            return min(due, plain)
        if not self._knows_forward:
            return index
        if self._direction != UNKNOWN and self._weighed is not step:
            self._weighed = step
            verdict = self._direction_of(step, None)
            if verdict[0] == self._direction and verdict[1] >= _PLAIN_CONFIDENCE:
                self._verdict = verdict
                return index
        return due

    def _decide(self, step, following):
        words = step.words
        clip = self._clip
        if clip and clip.watch(words):
            self._mistrust(words[W_INDEX])
        direction, confidence = UNKNOWN, 0
        if clip and not clip.wrong:
            direction, confidence = self._verdict or self._direction_of(step, following)
            if direction == FORWARD and confidence >= _PLAIN_CONFIDENCE and words[W_SAMPLES]:
                clip.learn(words)
        self._verdict = None
        words[W_TAKEN] = 1
        self._previous = step
        self._direction = direction
        samples = words[W_SAMPLES]
        loading = (samples >> _LOADING_SHIFT) - _LOADING_LESS if samples else _LOADING_SAMPLES
        self.settled.append((max(0, words[W_INDEX] - loading), direction, confidence))

    def _direction_of(self, step, following):
        verdict = decide(step, self._previous, following)
        if not self._model:
            return verdict
        return self._model.weigh(verdict, step, self._previous, following, self.front)

    def _mistrust(self, index):
        self._clip.mistrust()
        self._detector.forget_posture()
        self.events.append((index, "wrong_clip", self._clip.angle_deg))
