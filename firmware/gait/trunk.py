"""Steps of a clip on the trunk, or in a pocket: front end, step detector and direction put together.

Input: frames at 104 Hz. Output: `settled`, (contact index at 104 Hz, direction, confidence) in order, to be taken.
"""

from firmware.gait.direction import UNKNOWN, decide
from firmware.gait.signals import FrontEnd
from firmware.gait.steps import StepDetector

# A step waits this long for its successor, 1.4 s at 104 Hz.
SETTLE_SAMPLES = 146
# The peak of the smoothed vertical acceleration lies in the loading response, 40 ms after the contact.
_CONTACT_SAMPLES = 4


class TrunkTracker:
    """mounting: None where it is unknown; then no step has a direction. in_pocket: neither posture nor coherence."""

    def __init__(self, mounting=None, in_pocket=False):
        self.front = FrontEnd(mounting, not in_pocket)
        self.settled = []
        self._knows_forward = mounting is not None
        self._detector = StepDetector(self.front, mounting, not in_pocket)
        self._previous = None

    @property
    def walking(self):
        """Whether steps are to be expected, or some are not settled yet."""
        return self._detector.walking or self._previous is not None

    def restart(self):
        """Begin anew. What was not settled is lost: finish() first."""
        self.front.restart()
        self._detector.restart()
        self._previous = None

    def feed(self, frame, count):
        self.front.feed(frame, count)
        self._detector.feed()
        if self._detector.accepted or self._previous:
            self._settle()

    def finish(self):
        """No more samples follow these: settle everything."""
        self._detector.restart()
        self._settle()

    def _settle(self):
        accepted = self._detector.accepted
        walking = self._detector.walking
        while len(accepted) > 1:
            self._decide(accepted.pop(0), accepted[0])
        if accepted and not (walking and self.front.index - accepted[0].index < SETTLE_SAMPLES):
            self._decide(accepted.pop(0), None)
        if not walking:
            self._previous = None

    def _decide(self, step, following):
        direction, confidence = UNKNOWN, 0
        if self._knows_forward:
            direction, confidence = decide(step, self._previous, following)
        step.taken = True
        self._previous = step
        self.settled.append((max(0, step.index - _CONTACT_SAMPLES), direction, confidence))
