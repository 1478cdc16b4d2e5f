"""Steps of a clip on the trunk, or in a pocket: front end, step detector and direction put together.

Input: samples. Output: calls of on_step(contact index at 104 Hz, verdict and score in a word of direction.py), in
order; and `events`, to be taken, (index at 104 Hz, kind, detail): those of stability.py, and

"wrong_clip", detail the degrees by which gravity has moved: the clip sits otherwise than calibrated (clip.py),
or there were steps while it was tilted by more than 45 degrees. From then on steps settle as unknown, until
confirm_clip() or a new mounting.
"""

from micropython import const

from firmware.gait.clip import ClipWatch
from firmware.gait.direction import decide, packed
from firmware.gait.mounting import Mounting
from firmware.gait.signals import W_TAKEN, FrontEnd, take_samples
from firmware.gait.stability import Stability
from firmware.gait.steps import StepDetector
from firmware.gait.walk import (
    CLOSED,
    DRIFTED,
    JUDGE,
    MOVED,
    NEWS_SHIFT,
    NOTICED,
    NOTICED_SHIFT,
    SHUT,
    Walk,
)

# So many steps while the clip is tilted by more than 45 degrees are not made lying down.
_TILTED_STEPS = const(12)
_ASKED = JUDGE | MOVED | DRIFTED


class TrunkTracker:
    """mounting: None where it is unknown; then no step has a direction. in_pocket: neither posture nor coherence.

    model: None, or a learned one (learned.py) that has a say in directions. baseline: what is usual for the wearer,
    bytes of stability.py, or None: nothing is known. `walking`: steps are to be expected, or some are not settled
    yet.
    """

    def __init__(self, resampler, on_step, mounting=None, in_pocket=False, model=None, baseline=None):
        self.front = FrontEnd(resampler, mounting, not in_pocket)
        # Take samples; True: look at `events` and `walking`, then call again with the same samples.
        self.advance = self.front.advance
        # Take at most a frame of samples at 104 Hz.
        self.feed = self.front.feed
        self.events = []
        self._mounting = mounting
        self._model = model
        self._walk = Walk(self.front, model is not None)
        self.track = self._walk.track
        self._clip = ClipWatch(self.front, mounting, self._walk.clip) if mounting else None
        self.stability = None if in_pocket else Stability(self._walk.track, baseline)
        self._walk.know_forward(mounting is not None)
        self._walk.attend(self._see_to, on_step)
        self.kernel = take_samples
        self.words, self.arrays, self.see_to = self.front.state, self.front.arrays, self.front.see_to
        self._detector = StepDetector(self.front, self._walk, mounting, not in_pocket)
        self.walking = False

    def restart(self):
        """Begin anew. What was not settled is lost: finish() first."""
        self.front.restart()
        self._detector.restart()
        if self.stability:
            self.stability.restart()
        self.walking = False

    def finish(self):
        """No more samples follow these: settle everything."""
        self._detector.restart()
        self._see_to(self._walk.settle())

    def confirm_clip(self):
        """The wearer says that the clip sits as it should, however tilted; returns the Mounting that holds now."""
        if not self._clip:
            return None
        self._clip.confirm()
        self._walk.know_forward(True)
        self._detector.trust_posture(self._clip)
        self.front.wake_at(0)
        return Mounting(self._clip.gravity, self._mounting.forward, self._mounting.quality)

    def doubt_clip(self):
        """The clip was taken off and may come back the other way round. True if only the wearer can tell."""
        if not self._clip or self._clip.wrong or self._mounting.tilt_tells:
            return False
        self._clip.wrong = True
        self._walk.know_forward(False)
        self.front.wake_at(0)
        return True

    def _see_to(self, what):
        """Do what the Walk asks for, until all that can be settled is. True: `events` or `walking` may be new."""
        walk = self._walk
        if what & NOTICED:
            # Only where somebody watches.
            found = (what & NOTICED) >> NOTICED_SHIFT
            self.stability.report(found, self.front.index, walk.waiting_indices, self.events)  # pyright: ignore
        if what & SHUT:
            self._detector.collect(what >> NEWS_SHIFT)
            if self._detector.tilted_steps >= _TILTED_STEPS:
                self._mistrust(self.front.index)
            what = walk.settle()
        if what & CLOSED:
            self._detector.close()
        what &= _ASKED
        judged = None
        while what:
            verdict = -1
            if what == JUDGE:
                judged, verdict = self._weigh()
            elif what == MOVED:
                self._mistrust(walk.last_index)
            elif what == DRIFTED:
                self._clip.correct_forward()
            settled = walk.settled
            what = walk.settle(verdict) & _ASKED
            if judged and walk.settled > settled:
                judged.words[W_TAKEN] = 1
        walk.report()
        self.walking = walk.unsettled
        return True

    def _weigh(self):
        """The oldest step that waits, a Footfall, and what the model says of it."""
        step, before, after = self._walk.to_judge()
        verdict = decide(step, before, after)
        direction, confidence = self._model.weigh(verdict, step, before, after, self.front)
        return step, packed(direction, confidence)

    def _mistrust(self, index):
        self._clip.mistrust()
        self._walk.know_forward(False)
        self._detector.forget_posture()
        self.events.append((index, "wrong_clip", self._clip.angle_deg))
