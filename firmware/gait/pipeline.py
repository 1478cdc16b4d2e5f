"""From blocks of samples to settled steps and events: what the application and `retrostep replay` call.

    pipeline = Pipeline("waist", Mounting.clip())
    pipeline.process(samples, count)        # array('h'), 6 * count words: acc xyz, gyr xyz
    for step in pipeline.take_steps(): ...
    for index, kind, detail in pipeline.take_events(): ...

Samples are 0.488 mg and 70 mdps per LSB at `rate_millihz`. Indices count samples at that rate from the first
one on. A step is settled once its neighbours are known, at the latest about 1.4 s after it; it is reported
once and never revised. How the samples are cut into blocks changes only `decided_index`.
"""

from collections import namedtuple

from micropython import const

from firmware.gait import BACKWARD, DIRECTIONS, FORWARD, SIDEWAYS, UNKNOWN
from firmware.gait.bouts import BoutTracker, count_step
from firmware.gait.resample import RATE_MILLIHZ, Resampler

__all__ = ("BACKWARD", "DIRECTIONS", "FORWARD", "SIDEWAYS", "UNKNOWN", "Pipeline", "Step")

# The model of each placement: raise the number whenever its answers change.
MODELS = {"waist": "physics-waist-3", "shoe": "physics-shoe-1", "pocket": "physics-pocket-2"}
PLACEMENTS = ("waist", "shoe", "pocket")
# confidence is 0 .. 100; stability is 0 .. 100 or None where it is not known.
Step = namedtuple("Step", ("contact_index", "decided_index", "direction", "confidence", "stability"))

# As in signals.py, and in walk.py.
_USED_UP = const(1 << 20)
_SETTLED = const(25)
_SETTLED_STEPS = const(26)
# A step's verdict in a word, as in direction.py.
_DIRECTION_SHIFT = const(7)
_SCORE_SHIFT = const(9)
_DIRECTION = const(3)
_NO_SCORE = const(127)


class Pipeline:
    """Gait of one wearer from one clip.

    placement: "waist"; "shoe", where each stride of that foot counts once; "pocket", which counts with the waist's
    rhythm but without its posture, and knows no direction. mounting: a Mounting, or None where it is unknown: then
    steps count and their direction is unknown. model: None, or a learned one (learned.py); used at the waist only.
    baseline: None, or what is usual for the wearer, bytes that take_baseline() gave; ValueError if they are something
    else; at the waist only, too.
    """

    def __init__(self, placement, mounting=None, rate_millihz=104000, model=None, baseline=None):
        if placement not in PLACEMENTS:
            raise ValueError("placement %r: expected one of %s" % (placement, ", ".join(PLACEMENTS)))
        self.placement = placement
        self.model_id = MODELS[placement]
        self.sample_index = 0
        self._origin = 0
        self._resampler = Resampler(rate_millihz)
        # Where the rate is that of the gait code, indices are alike.
        self._on_step = self._settle if rate_millihz == RATE_MILLIHZ else self._settle_resampled
        # Only the tracker that is worn is loaded: the other one would cost a tenth of a small device's heap.
        if placement == "shoe":
            from firmware.gait.shoe import StrideTracker

            self._tracker = StrideTracker(self._resampler, self._on_step, mounting)
        else:
            from firmware.gait.trunk import TrunkTracker

            in_pocket = placement == "pocket"
            if in_pocket:
                mounting = model = None
            if model:
                self.model_id += "+" + model.name
            self._tracker = TrunkTracker(self._resampler, self._on_step, mounting, in_pocket, model, baseline)
        self._kernel = self._tracker.kernel
        self._words = self._tracker.words
        self._arrays = self._tracker.arrays
        self._see_to = self._tracker.see_to
        self._track = self._tracker.track
        self._noticed = self._tracker.events
        self._steps = []
        self._events = []
        self._bouts = BoutTracker(self._events)
        self._bout = self._bouts.words

    def process(self, samples, count):
        """Take `count` samples. Allocates nothing unless a peak is found."""
        self.sample_index += count
        while True:
            what = self._kernel(samples, count, 0, self._words, self._arrays)
            if not what:
                return
            if what & _USED_UP:
                # One step is settled, and nothing else is to be done.
                self._track[_SETTLED] = 0
                self._on_step(self._track[_SETTLED_STEPS], self._track[_SETTLED_STEPS + 1])
                return
            if self._see_to(what):
                self._report()

    def take_steps(self):
        """The steps settled since the last call, in order of contact."""
        if not self._steps:
            return ()
        steps = self._steps
        self._steps = []
        return steps

    def take_events(self):
        """Events (index, kind, detail) since the last call, in the order in which they became known."""
        if not self._events:
            return ()
        events = self._events[:]
        self._events.clear()
        return events

    def confirm_clip(self):
        """The wearer says that the clip sits as it should; returns the Mounting that holds from now on, or None.

        At the waist its present tilt is the calibrated one from now on, and steps have a direction again. At the
        shoe nothing changes: a slipped toe axis can only be calibrated anew.
        """
        if self.placement != "waist":
            return None
        return self._tracker.confirm_clip()  # pyright: ignore[reportAttributeAccessIssue]

    def doubt_clip(self):
        """The clip was taken off: until confirm_clip() or a calibration steps have no direction.

        Only where nothing else would tell that it came back the other way round; True if so.
        """
        if self.placement != "waist":
            return False
        return self._tracker.doubt_clip()  # pyright: ignore[reportAttributeAccessIssue]

    def take_baseline(self):
        """What is usual for the wearer, as bytes, if enough was learned since the last call to store it; or None."""
        if self.placement != "waist":
            return None
        return self._tracker.stability.take_baseline()  # pyright: ignore

    def restart(self, lost=0):
        """Samples are missing here, `lost` of them if that is known: settle, close the gate, begin anew."""
        self.flush()
        self.sample_index += lost
        self._origin = self.sample_index
        self._resampler.restart()
        self._tracker.restart()

    def flush(self):
        """The recording ends here: settle what is pending."""
        rest = self._resampler.rest()
        if rest:
            self._tracker.feed(self._resampler.frame, rest)
            self._report()
        self._tracker.finish()
        self._report()

    def _settle_resampled(self, index, verdict):
        self._settle(self._resampler.input_index(index), verdict)

    def _settle(self, index, verdict):
        """A settled step; verdict: a word as of direction.py, with the score.

        More than 11 words of variables and stack would allocate a frame.
        """
        index += self._origin
        score = verdict >> _SCORE_SHIFT
        if count_step(self._bout, verdict >> _DIRECTION_SHIFT & _DIRECTION, score):
            self._bouts.turn(index)
        else:
            self._bouts.last = index
        if score == _NO_SCORE:
            score = None
        step = Step(index, self.sample_index, verdict >> _DIRECTION_SHIFT & _DIRECTION, verdict & 127, score)
        self._steps.append(step)

    def _report(self):
        while self._noticed:
            index, kind, detail = self._noticed.pop(0)
            self._events.append((self._resampler.input_index(index) + self._origin, kind, detail))
        if not self._tracker.walking:
            self._bouts.end(self.sample_index)
