"""Strides of a clip on the shoe: from one stance to the next, how far and which way the foot went.

Input: 6-channel samples. Output: calls of on_step(contact index at 104 Hz, verdict in a word), in order, one for each
stride of this foot; the word is the direction times 128 plus the confidence, plus _NO_SCORE. And `events`, (index,
kind, detail).

A foot in stance is still and, shoe after shoe, lies as it lay before (shoe_stance.py). Between two stances
the gyroscope gives its attitude, and the accelerometer its velocity, which must be zero again at the end
(shoe_strapdown.py). The way it went, against the toe, is the direction (shoe_toe.py).

- The attitude returns: up is within 25 degrees of the mean of the last stances (running: 35). A quiet
  moment in mid-swing, with the toe hanging, is thereby told from a stance. Where the foot is quiet in one
  other attitude, within 10 degrees, for or again after a second, and never flat in between, the clip was
  knocked, and that is flat from then on. After 5 s without a stance the mean begins anew.
- Shorter than 80 mm: the foot only shifted. A clip on the laces goes along when the foot turns about its
  heel or ball, so twice 25 mm times the sine of half the turn are added to that.
- A stride of 250 mm counts at once, a shorter one when another is within 3 s of it; people shift their feet
  while standing.
- While the toe axis is not yet known, strides wait for it, 3 s at most.

Limits: closing and turning steps, of a few centimetres, are often lost. A stride of more than 2.5 s is not
one. Where the foot never comes to rest (running), the velocity at the ends is only nearly zero: such a
stride must be 0.7 m long.
"""

from array import array

from micropython import const

from firmware.gait import UNKNOWN
from firmware.gait.shoe_stance import STRIDE_SAMPLES_MAX, STRIDE_SAMPLES_MIN, StanceFinder, take_samples
from firmware.gait.shoe_strapdown import Strapdown
from firmware.gait.shoe_toe import Stride, Toe
from firmware.gait.shoe_vectors import blend, dot

_PAIR_SAMPLES = const(312)  # 3 s
_LOST_SAMPLES = const(520)  # 5 s
_TILTED_SAMPLES = const(104)  # 1 s
_COS_SAME = const(16135)  # 10 degrees
# 25 and 35 degrees
_COS_RETURNED = const(14849)
_COS_RETURNED_RUNNING = const(13421)
_SHIFT_MM = const(80)
_TURN_MM = const(25)
_ALONE_MM = const(250)
_RUN_MM = const(700)
# There is no score of stability, as in direction.py.
_NO_SCORE = const(127 << 9)


class StrideTracker:
    """mounting: its forward axis is the toe's; None: it is unknown, see shoe_toe.py.

    strides: a list to which (where the stride went, level, Q14; up, Q14), in the clip's axes at its start,
    is appended for each stride but a pivot, for calibration; None: nobody wants them. on_step: not needed for that.
    What pipeline.py asks for: `kernel`, its `words` and `arrays`, see_to(); no `track`.
    """

    def __init__(self, resampler, on_step=None, mounting=None, strides=None):
        self._on_step = on_step
        self.events = []
        self._strides = strides
        self._stances = StanceFinder(resampler)
        self.kernel = take_samples
        self.words, self.arrays = self._stances.words, self._stances.arrays
        self.track = None
        self._strapdown = Strapdown()
        self._mounting = mounting
        self._waiting = []
        self.restart()

    def restart(self):
        """Begin anew. Strides that wait to be settled are forgotten."""
        self._stances.restart()
        self._toe = Toe(self._mounting)
        self._index = 0
        # Up in the last stances, and when the newest was.
        self._flat = array("i", (0, 0, 0))
        self._flat_index = None
        # The same of a foot that was quiet and not flat, and since when it was so.
        self._tilt = array("i", (0, 0, 0))
        self._tilt_index = None
        # When the newest stride that counted was; one that waits for another to count; those that wait for
        # the toe's axis.
        self._last = 0
        self._alone = None
        self.walking = False
        self._waiting.clear()

    def advance(self, samples, count):
        """Take samples. True: look at `events` and `walking`, then call again with the same samples."""
        while take_samples(samples, count, 0, self.words, self.arrays):
            if self.see_to(1):
                return True
        return False

    def feed(self, frame, count):
        """Take `count` samples at 104 Hz, resampled already."""
        if take_samples(frame, count, 1, self.words, self.arrays):
            self.see_to(1)

    def see_to(self, _):
        """Look at what take_samples() paused at. True: `events` or `walking` may be new."""
        walking = self.walking
        stances = self._stances
        self._index = stances.index
        found, swings = stances.swings
        for at in range(0, found, 4):
            self._swing(*swings[at : at + 4])
        if self._waiting:
            self._settle()
        wake = None
        if self.walking:
            wake = self._last + _PAIR_SAMPLES + 1
            if self._index >= wake:
                self.walking = False
                wake = None
        if self._waiting:
            waits = self._waiting[0].contact + _PAIR_SAMPLES + 1
            wake = waits if wake is None else min(wake, waits)
        stances.wake_at(wake)
        return self.walking is not walking or len(self.events) > 0

    def finish(self):
        """No more samples follow these."""
        self._settle(finished=True)
        self._alone = None
        self.walking = False

    def _swing(self, first, last, peak, running):
        stances, way, flat = self._stances, self._strapdown, self._flat
        up, up_after = array("i", (0, 0, 0)), array("i", (0, 0, 0))
        stances.up(first, up)
        stances.up(last, up_after)
        if self._flat_index is None or last - self._flat_index > _LOST_SAMPLES:
            flat[:] = up
        if dot(flat, up_after) < (_COS_RETURNED_RUNNING if running else _COS_RETURNED):
            # Quiet, but not flat again: in mid-swing, or the clip was knocked.
            if self._tilt_index is None or dot(self._tilt, up_after) < _COS_SAME:
                self._tilt[:] = up_after
                self._tilt_index = last
            if last - self._tilt_index < _TILTED_SAMPLES:
                self._resume(first, last, peak)
                return
            flat[:] = up_after
        self._tilt_index = None
        way.run(stances, first, last, up)
        if running and way.length_mm < _RUN_MM:
            self._resume(first, last, peak)
            return
        self._flat_index = last
        if not running:
            blend(flat, up_after, 3)
        if way.length_mm < _SHIFT_MM + ((_TURN_MM * way.half_turn) >> 13):
            return
        stances.learn_peak(peak)
        stride = Stride(stances.contact(first, last), way, up)
        if self._strides is not None and not stride.pivoted:
            self._strides.append((stride.ahead, up))
        toe = self._toe
        slipped = toe.slipped
        toe.learn(stride, up_after)
        if toe.slipped and not slipped:
            self.events.append((stride.contact, "wrong_clip", None))
        toe.judge(stride)
        self._count(stride)

    def _resume(self, first, last, peak):
        if last - first < STRIDE_SAMPLES_MAX - STRIDE_SAMPLES_MIN:
            self._stances.resume(first, peak)

    def _count(self, stride):
        alone, self._alone = self._alone, None
        if alone is not None and stride.contact - alone.contact <= _PAIR_SAMPLES:
            self._waiting.append(alone)
        elif not self.walking and stride.length_mm < _ALONE_MM:
            self._alone = stride
            return
        self._waiting.append(stride)
        self._last = stride.contact
        self.walking = True
        self._settle()

    def _settle(self, finished=False):
        toe, waiting = self._toe, self._waiting
        oldest = self._index - _PAIR_SAMPLES
        while waiting:
            stride = waiting[0]
            if stride.direction == UNKNOWN:
                if toe.known:
                    toe.judge(stride)
                elif not (finished or stride.pivoted or stride.contact < oldest):
                    return
            waiting.pop(0)
            if self._on_step:
                self._on_step(stride.contact, (stride.direction << 7) + stride.confidence + _NO_SCORE)
