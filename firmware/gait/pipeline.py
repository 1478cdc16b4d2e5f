"""From blocks of samples to settled steps and events: what the application and `retrostep replay` call.

    pipeline = Pipeline("waist", Mounting.clip())
    pipeline.process(samples, count)        # array('h'), 6 * count words: acc xyz, gyr xyz
    for step in pipeline.take_steps(): ...
    for index, kind, detail in pipeline.take_events(): ...

Samples are 0.488 mg and 70 mdps per LSB at `rate_millihz`. Indices count samples at that rate from the first
one on. A step is settled once its neighbours are known, at the latest SETTLE_SAMPLES after it; it is reported
once and never revised. How the samples are cut into blocks changes only `decided_index`.
"""

from collections import namedtuple

from firmware.gait.bouts import BoutTracker
from firmware.gait.direction import BACKWARD, DIRECTIONS, FORWARD, SIDEWAYS, UNKNOWN, decide
from firmware.gait.resample import FRAME, Resampler
from firmware.gait.signals import FrontEnd
from firmware.gait.steps import StepDetector

__all__ = ("BACKWARD", "DIRECTIONS", "FORWARD", "SIDEWAYS", "UNKNOWN", "Pipeline", "Step")

PLACEMENTS = ("waist", "shoe", "pocket")
# A step waits this long for its successor, 1.4 s at 104 Hz.
SETTLE_SAMPLES = 146
# The peak of the smoothed vertical acceleration lies in the loading response, 40 ms after the contact.
_CONTACT_SAMPLES = 4

# confidence is 0 .. 100; stability is 0 .. 100 or None where it is not known.
Step = namedtuple("Step", ("contact_index", "decided_index", "direction", "confidence", "stability"))

_NONE = ()


class Pipeline:
    """Gait of one wearer from one clip.

    placement: "waist"; "pocket" counts with the waist's rhythm but without its posture, and knows no direction;
    "shoe". mounting: a Mounting, or None where it is unknown: then waist steps count and their
    direction is unknown.
    """

    def __init__(self, placement, mounting=None, rate_millihz=104000):
        if placement not in PLACEMENTS:
            raise ValueError("placement %r: expected one of %s" % (placement, ", ".join(PLACEMENTS)))
        self.placement = placement
        self.model_id = "physics-%s-1" % placement
        self.sample_index = 0
        self._origin = 0
        self._mounting = mounting if placement == "waist" else None
        self._resampler = Resampler(rate_millihz)
        self._front = FrontEnd(self._mounting)
        self._detector = StepDetector(self._front, self._mounting, placement == "waist")
        self._steps = []
        self._events = []
        self._bouts = BoutTracker(self._events)
        self._previous = None

    def process(self, samples, count):
        """Take `count` samples. Allocates nothing unless a peak is found."""
        self.sample_index += count
        resampler = self._resampler
        resampler.feed(samples, count)
        while resampler.take():
            self._frame(FRAME)

    def take_steps(self):
        """The steps settled since the last call, in order of contact."""
        if not self._steps:
            return _NONE
        steps = self._steps
        self._steps = []
        return steps

    def take_events(self):
        """Events (index, kind, detail) since the last call, in order of index."""
        if not self._events:
            return _NONE
        events = self._events[:]
        self._events.clear()
        return events

    def restart(self, lost=0):
        """Samples are missing here, `lost` of them if that is known: settle, close the gate, begin anew."""
        self.flush()
        self.sample_index += lost
        self._origin = self.sample_index
        self._resampler.restart()
        self._front.restart()
        self._detector.restart()

    def flush(self):
        """The recording ends here: settle what is pending."""
        rest = self._resampler.rest()
        if rest:
            self._frame(rest)
        self._detector.restart()
        self._settle()

    def _frame(self, count):
        self._front.feed(self._resampler.frame, count)
        self._detector.feed()
        if self._detector.accepted or self._previous:
            self._settle()

    def _settle(self):
        accepted = self._detector.accepted
        walking = self._detector.walking
        while len(accepted) > 1:
            self._decide(accepted.pop(0), accepted[0])
        if accepted and not (walking and self._front.index - accepted[0].index < SETTLE_SAMPLES):
            self._decide(accepted.pop(0), None)
        if not walking and self._previous:
            self._previous = None
            self._bouts.end(self.sample_index)

    def _decide(self, step, following):
        direction, confidence = UNKNOWN, 0
        if self._mounting:
            direction, confidence = decide(step, self._previous, following)
        step.taken = True
        self._previous = step
        contact = self._resampler.input_index(max(0, step.index - _CONTACT_SAMPLES)) + self._origin
        self._steps.append(Step(contact, self.sample_index, direction, confidence, None))
        self._bouts.feed(contact, direction)
