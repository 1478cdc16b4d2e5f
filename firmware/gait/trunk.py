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
from firmware.gait.signals import FrontEnd
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


class TrunkTracker:
    """mounting: None where it is unknown; then no step has a direction. in_pocket: neither posture nor coherence.

    model: None, or a learned one (learned.py) that has a say in directions.
    """

    def __init__(self, mounting=None, in_pocket=False, model=None):
        self.front = FrontEnd(mounting, not in_pocket)
        self.settled = []
        self.events = []
        self._mounting = mounting
        self._model = model
        self._clip = ClipWatch(self.front, mounting) if mounting else None
        self._detector = StepDetector(self.front, mounting, not in_pocket)
        self._rest()

    @property
    def walking(self):
        """Whether steps are to be expected, or some are not settled yet."""
        return self._detector.walking or self._previous is not None

    @property
    def _knows_forward(self):
        return self._clip is not None and not self._clip.wrong

    def restart(self):
        """Begin anew. What was not settled is lost: finish() first."""
        self.front.restart()
        self._detector.restart()
        self._rest()

    def feed(self, frame, count):
        news = self.front.feed(frame, count)
        if not news:
            return False
        self._detector.feed(news)
        if self._detector.accepted or self._previous:
            self._settle()
        if self._detector.tilted_steps >= _TILTED_STEPS:
            self._mistrust(self.front.index)
        self.front.wake_at(0)
        return True

    def finish(self):
        """No more samples follow these: settle everything."""
        self._detector.restart()
        self._settle()

    def confirm_clip(self):
        """The wearer says that the clip sits as it should, however tilted; returns the Mounting that holds now."""
        if not self._clip:
            return None
        self._clip.confirm()
        self._detector.trust_posture(self._clip)
        return Mounting(self._clip.gravity, self._mounting.forward, self._mounting.quality)

    def doubt_clip(self):
        """The clip was taken off and may come back the other way round. True if only the wearer can tell."""
        if not self._clip or self._clip.wrong or self._mounting.tilt_tells:
            return False
        self._clip.wrong = True
        return True

    def _settle(self):
        accepted = self._detector.accepted
        walking = self._detector.walking
        while len(accepted) > 1:
            self._decide(accepted.pop(0), accepted[0])
        if accepted and walking and self._is_plain(accepted[0]):
            self._decide(accepted.pop(0), None)
        if accepted and not (walking and self.front.index - accepted[0].index < SETTLE_SAMPLES):
            self._decide(accepted.pop(0), None)
        if not walking:
            self._rest()

    def _rest(self):
        # The last step settled, its direction, and the last one that was not plain.
        self._previous = self._weighed = None
        self._direction = UNKNOWN

    def _is_plain(self, step):
        """Whether the step goes on as the last one did, so clearly that its successor would change nothing."""
        if self._previous is None or not step.samples:
            return False
        weak = step.swing * 5 < self._previous.swing * 4
        tenths = _PLAIN_WEAK_TENTHS if weak else _PLAIN_TENTHS
        if (self.front.index - step.index) * 10 < step.samples * tenths:
            return False
        if not self._knows_forward:
            return True
        if self._direction == UNKNOWN or self._weighed is step:
            return False
        self._weighed = step
        direction, confidence = self._direction_of(step, None)
        return direction == self._direction and confidence >= _PLAIN_CONFIDENCE

    def _decide(self, step, following):
        if self._clip and self._clip.watch(step):
            self._mistrust(step.index)
        direction, confidence = UNKNOWN, 0
        if self._knows_forward:
            direction, confidence = self._direction_of(step, following)
            if direction == FORWARD and confidence >= _PLAIN_CONFIDENCE and step.samples:
                self._clip.learn(step)
        step.taken = True
        self._previous = step
        self._direction = direction
        loading = (step.samples >> _LOADING_SHIFT) - _LOADING_LESS if step.samples else _LOADING_SAMPLES
        self.settled.append((max(0, step.index - loading), direction, confidence))

    def _direction_of(self, step, following):
        verdict = decide(step, self._previous, following)
        if not self._model:
            return verdict
        return self._model.weigh(verdict, step, self._previous, following, self.front)

    def _mistrust(self, index):
        self._clip.mistrust()
        self._detector.forget_posture()
        self.events.append((index, "wrong_clip", self._clip.angle_deg))
