"""Strides of a clip on the shoe: from one stance to the next, how far and which way the foot went.

Input: 6-channel samples. Output: calls of on_step(contact index at 104 Hz, verdict in a word), in order, one for each
stride of this foot; the word is the direction times 128 plus the confidence, plus _NO_SCORE. And `events`, (index,
kind, detail). Up to the calls nothing is allocated, except by events and for calibration.

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

from fixedpoint import WORD_SHIFT
from micropython import const

from firmware.gait.shoe_stance import StanceFinder, contact, stance_up, take_samples
from firmware.gait.shoe_strapdown import measure
from firmware.gait.shoe_toe import judge, learn, trust
from firmware.gait.shoe_vectors import blend, copy, dot

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

# Words of the state, as in shoe_stance.py, and of a swing there.
_INDEX = const(12)
_WAKE = const(30)
_FOUND = const(31)
_SWINGS = const(32)
_FIRST = const(0)
_LAST = const(1)
_RUNNING = const(3)
_SWING_WORDS = const(4)
_NEVER = const(1073741823)

# Words of the track: the sign shift; those of shoe_strapdown.py; up in the stance after the stride; those of
# shoe_toe.py, of which some are needed here.
_SHIFT = const(0)
_UP_AFTER = const(12)
_KNOWN = const(15)
_SLIPPED = const(16)
# Up in the last stances, and until when that tells; up of a foot that was quiet and not flat, and since when, or 0.
_FLAT = const(34)
_FLAT_UNTIL = const(37)
_TILT = const(38)
_TILT_INDEX = const(41)
# When the newest stride that counted was.
_NEWEST = const(42)
# Places of strides, which come round: the oldest that counts and is not settled; behind the newest of those; where
# the next is measured. One that waits for another to count lies between the last two.
_OLDEST = const(43)
_BEHIND = const(44)
_NEXT = const(45)
_STRIDES = const(46)
# Words of a stride: those of shoe_strapdown.py and shoe_toe.py, and when the foot came down.
_S_UP = const(0)
_S_LENGTH = const(3)
_S_AHEAD = const(4)
_S_HALF_TURN = const(7)
_S_KIND = const(8)
_S_CONTACT = const(9)
_S_VERDICT = const(10)
_STRIDE_WORDS = const(11)
_PIVOTED = const(2)
_UNDECIDED = const(3 << 7)
# In 3 s there are 16 strides of 0.2 s; one more counts before the oldest is settled, and one is measured.
_ROOM = const(18)
_LAST_PLACE = const(_STRIDES + (_ROOM - 1) * _STRIDE_WORDS)
_TRACK_WORDS = const(_STRIDES + _ROOM * _STRIDE_WORDS)


class StrideTracker:
    """mounting: its forward axis is the toe's; None: it is unknown, see shoe_toe.py.

    strides: a list to which (where the stride went, level, Q14; up, Q14), in the clip's axes at its start,
    is appended for each stride but a pivot, for calibration; None: nobody wants them. on_step: not needed for that.
    What pipeline.py asks for: `kernel`, its `words` and `arrays`, see_to(); of `track` it reads nothing.
    """

    def __init__(self, resampler, on_step=None, mounting=None, strides=None):
        self._on_step = on_step
        self.events = []
        self._strides = strides
        self._stances = StanceFinder(resampler)
        self.kernel = take_samples
        self.words, self.arrays = self._stances.words, self._stances.arrays
        self._ring = self._stances.ring
        self.track = array("i", bytes(4 * _TRACK_WORDS))
        self._mounting = mounting
        self.restart()

    def restart(self):
        """Begin anew. Strides that wait to be settled are forgotten."""
        self._stances.restart()
        track = self.track
        for k in range(_STRIDES):
            track[k] = 0
        track[_SHIFT] = WORD_SHIFT
        track[_OLDEST] = track[_BEHIND] = track[_NEXT] = _STRIDES
        if self._mounting:
            trust(track, self._mounting)
        self.walking = False

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
        words = self.words
        for at in range(_SWINGS, _SWINGS + words[_FOUND] * _SWING_WORDS, _SWING_WORDS):
            self._swing(at)
        self._settle()
        self._wake()
        return self.walking is not walking or len(self.events) > 0

    def finish(self):
        """No more samples follow these."""
        self._settle(True)
        track = self.track
        track[_OLDEST] = track[_BEHIND] = track[_NEXT]
        self.walking = False

    def _swing(self, at):
        """The swing whose words begin at words[at] ended: in a stance, or it goes on."""
        track = self.track
        stride = track[_NEXT]
        words = self.words
        stance_up(self._ring, words[at + _FIRST], stride + _S_UP, track)
        stance_up(self._ring, words[at + _LAST], _UP_AFTER, track)
        if not _is_flat(track, stride, words, at):
            self._stances.resume(at)
            return
        measure(self._ring, at, stride, words, track)
        if words[at + _RUNNING] and track[stride + _S_LENGTH] < _RUN_MM:
            self._stances.resume(at)
            return
        track[_FLAT_UNTIL] = words[at + _LAST] + _LOST_SAMPLES
        if not words[at + _RUNNING]:
            blend(track, _FLAT, _UP_AFTER, 3)
        if track[stride + _S_LENGTH] < _SHIFT_MM + ((_TURN_MM * track[stride + _S_HALF_TURN]) >> 13):
            return
        self._stances.learn_peak(at)
        track[stride + _S_CONTACT] = contact(self._ring, words[at + _LAST], words[at + _FIRST])
        self._judge(stride)
        self._count(stride)

    def _judge(self, stride):
        track = self.track
        slipped = track[_SLIPPED]
        learn(track, stride)
        if track[_SLIPPED] and not slipped:
            self.events.append((track[stride + _S_CONTACT], "wrong_clip", None))
        if self._strides is not None and track[stride + _S_KIND] != _PIVOTED:
            self._strides.append(
                (track[stride + _S_AHEAD : stride + _S_HALF_TURN], track[stride + _S_UP : stride + _S_LENGTH])
            )
        judge(track, stride)

    def _count(self, stride):
        """A stride counts, or waits for another to count."""
        track = self.track
        alone = track[_BEHIND]
        if alone != stride and track[stride + _S_CONTACT] - track[alone + _S_CONTACT] > _PAIR_SAMPLES:
            # The one before it never will.
            alone = track[_OLDEST] = track[_BEHIND] = stride
        track[_NEXT] = _after(stride)
        if alone != stride or self.walking or track[stride + _S_LENGTH] >= _ALONE_MM:
            track[_BEHIND] = track[_NEXT]
            track[_NEWEST] = track[stride + _S_CONTACT]
            self.walking = True
            self._settle()

    def _settle(self, finished=False):
        """Hand over what need not wait any longer."""
        track = self.track
        stride = track[_OLDEST]
        while stride != track[_BEHIND]:
            if track[stride + _S_VERDICT] == _UNDECIDED:
                if track[_KNOWN]:
                    judge(track, stride)
                elif not finished and self._may_wait(stride):
                    return
            track[_OLDEST] = _after(stride)
            if self._on_step:
                self._on_step(track[stride + _S_CONTACT], track[stride + _S_VERDICT] + _NO_SCORE)
            stride = track[_OLDEST]

    def _may_wait(self, stride):
        """Whether there is time until the toe axis is known, and room for another."""
        track = self.track
        return (
            track[stride + _S_KIND] != _PIVOTED
            and track[stride + _S_CONTACT] >= self.words[_INDEX] - _PAIR_SAMPLES
            and _after(track[_BEHIND]) != stride
        )

    def _wake(self):
        """Have take_samples() pause where walking ends, or a stride has waited long enough."""
        track, words = self.track, self.words
        wake = _NEVER
        if self.walking:
            wake = track[_NEWEST] + (_PAIR_SAMPLES + 1)
            if words[_INDEX] >= wake:
                self.walking = False
                wake = _NEVER
        stride = track[_OLDEST]
        if stride != track[_BEHIND]:
            due = track[stride + _S_CONTACT] + (_PAIR_SAMPLES + 1)
            if due < wake:
                wake = due
        words[_WAKE] = wake


def _is_flat(track, stride, words, at):
    """Whether the foot lies as in the stances before, now that the swing whose words begin at words[at] ended."""
    index = words[at + _LAST]
    if index > track[_FLAT_UNTIL]:
        copy(track, _FLAT, stride + _S_UP)
    if dot(track, _FLAT, _UP_AFTER) < (_COS_RETURNED_RUNNING if words[at + _RUNNING] else _COS_RETURNED):
        # In mid-swing, or the clip was knocked.
        if not track[_TILT_INDEX] or dot(track, _TILT, _UP_AFTER) < _COS_SAME:
            copy(track, _TILT, _UP_AFTER)
            track[_TILT_INDEX] = index
        if index - track[_TILT_INDEX] < _TILTED_SAMPLES:
            return False
        copy(track, _FLAT, _UP_AFTER)
    track[_TILT_INDEX] = 0
    return True


def _after(stride):
    """The place behind that of a stride."""
    return _STRIDES if stride == _LAST_PLACE else stride + _STRIDE_WORDS
