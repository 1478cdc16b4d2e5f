"""How steady somebody walks: stumbles, falls, a changed gait, and a score for each step. At the waist only.

Inputs: of each frame the extremes of |acc| and |gyr| (signals.py); the open gate, its steps and their words when they
settle (walk.py); what is usual for the wearer, the baseline. Outputs: a score of 0 .. 100, or none, for each settled
step; and what `Stability.report` appends to the events, (index at 104 Hz, kind, detail 0 .. 100):

- "stumble", "unstable": at once. A is the peak-to-peak of |acc| over 0.6 s, G the largest |gyr|, both below 10 Hz.
  S = log2(A / usual A) + log2(G / usual G) / 2 exceeds log2(3), while somebody walks, which matters more than any
  feature: the gate is open, there are four steps at least, and the last ones were evenly timed. "stumble" where A has
  doubled; else "unstable", the trunk turned. Detail: S, 100 standing for 4. Usual is what this walk's steps so far
  show; but at least three quarters of the baseline or, where that is not known yet, of a brisk walk, lest after soft
  steps an ordinary one make an alarm.
- "fall": an impact of 2 g within four seconds of a step, and 0.6 to 3 s later the trunk lies more than 45 degrees
  from how it is held in walking.
- "changed_gait": slowly. A step is uneven by how much its time, its vertical and its fore-aft rms differ from the
  last one's, and by how little its horizontal acceleration follows the vertical velocity (coherence): each as a
  power of two, one at most, added. Means over 16 straight steps of one direction and one cadence (quarters of an
  octave) are compared with those of the baseline; a change is twice in a row half a power of two more. Detail: the
  excess, 100 standing for 4.

The score falls from 100 at an unevenness of 0.5 to 0 at 3. It does not refer to the baseline, so the scores of
weeks and of people can be compared. A step within a second of an alarm has 0.

That the wearer's own ratio of extremes tells near-falls is from Weiss et al. 2010 (pelvis acceleration).
docs/stability.md has what this reaches, and what it can't.
"""

import struct

import micropython
from fixedpoint import isqrt
from micropython import const

from firmware.gait.signals import turned_deg

# 104 Hz.
_FRAME = const(13)
_WINDOW_FRAMES = const(5)
# Extremes are kept for 32 frames. The first 12 after a start hold none.
_KEPT_FRAMES = const(27)
_FIRST_FRAME = const(12)
_AFTER_PEAK = const(18)  # a step's window ends so long after the peak of its load
_WALK_PAUSE = const(416)  # 4 s without a step: another walk
_STEP_MIN = const(30)
_STEP_MAX = const(156)
_NO_RUN = const(42)  # who steps faster than 0.4 s runs
_RHYTHM_INTERVALS = 3
_RHYTHM_SAMPLES = 572  # the last 5.5 s, less the last half second, which may be the stumble itself
_RHYTHM_AGO = 52
_CALM_SAMPLES = 312
_SHAKEN_BEFORE = const(130)
_SHAKEN_AFTER = const(104)
# Powers of two, Q8.
_BIT = const(256)
_ALARM = const(406)  # three times
_LOUDER = const(271)  # two thirds of it: acceleration or turn must exceed their usual by as much
_BELOW = const(111)
_GENTLE = const(128)
_BRISK_ACC = const(2541)  # 0.95 g and 60 deg/s, in units of 2 LSB
_BRISK_TURN = const(2238)
_NO_TURN = const(768)  # a sensor without gyroscope; the root of 64, the least there is
_IMPACT = const(2049)  # 2 g
_ONE_G = const(1024)
_LOUDEST = const(32767)
_NEVER_LOUD = const(1073741823)
# After an impact: so long the body is still thrown about; from then on it may be said to lie, up to then it may.
_FALL_THROWN = const(26)
_FALL_AFTER = const(65)
_FALL_WITHIN = const(312)
_FALL_WATCH = const(338)
_COS_FALLEN = const(11585)  # 45 degrees
# Unevenness, Q8.
_EVEN = const(128)
_UNEVEN = const(768)
_CHANGED = const(128)
_BLOCK_SHIFT = const(4)
_BLOCK_STEPS = const(16)
_STRAIGHT_DEG = const(15)
_GRADES_MIN = const(3)
_BLOCKS_KNOWN = const(4)
_BLOCKS_MAX = const(16)
_CHANGED_AGAIN_SAMPLES = 62400  # 10 min
NO_SCORE = const(127)

_STEPS_KNOWN = const(32)
_STEPS_MAX = const(64)
_BASELINE_FORMAT = "<B30H"
_BASELINE_VERSION = const(1)
BASELINE_BYTES = 61
# A baseline is worth storing anew when so many steps went into it.
_STORE_STEPS = 96

# Words behind those of the track (walk.py). Of the step taken in: what
# becomes logarithms of time, vertical and fore-aft rms, and of what coherence is made of; of the usual step time; of
# acceleration and turn of the window looked at.
BEHIND_TRACK = const(257)
_TIME = const(BEHIND_TRACK)
_FORE_AFT2 = const(BEHIND_TRACK + 2)
_LEVEL2 = const(BEHIND_TRACK + 3)
_VELOCITY2 = const(BEHIND_TRACK + 4)
_FOLLOWS2 = const(BEHIND_TRACK + 5)
_CADENCE = const(BEHIND_TRACK + 6)
_LEVEL = const(BEHIND_TRACK + 7)
_BEFORE = const(BEHIND_TRACK + 9)  # time, vertical and fore-aft rms of the step before
_OWN = const(BEHIND_TRACK + 12)  # acceleration and turn, usual in this walk; then usual at least
_USUAL = const(BEHIND_TRACK + 14)
_SEEN = const(BEHIND_TRACK + 16)  # index of the last step taken in; how many of this walk, and the last eight
_TAKEN = const(BEHIND_TRACK + 17)
_INDICES = const(BEHIND_TRACK + 18)
_EXCESS = const(BEHIND_TRACK + 26)
_CALM_AT = const(BEHIND_TRACK + 27)
_ALARM_AT = const(BEHIND_TRACK + 28)
_IMPACT_AT = const(BEHIND_TRACK + 29)  # 0: none; then how the trunk lies
_LYING = const(BEHIND_TRACK + 30)
_WAY = const(BEHIND_TRACK + 33)  # direction; steps compared since it changed; their mean unevenness
_GRADES = const(BEHIND_TRACK + 34)
_MEAN = const(BEHIND_TRACK + 35)
_BLOCK = const(BEHIND_TRACK + 36)  # sum over a block, its steps, which cadence of which direction
_BLOCK_COUNT = const(BEHIND_TRACK + 37)
_BLOCK_CELL = const(BEHIND_TRACK + 38)
_STRIKES = const(BEHIND_TRACK + 39)
_MORE = const(BEHIND_TRACK + 40)  # unevenness beyond the usual; 0: nothing to tell
_NEWS = const(BEHIND_TRACK + 41)  # steps that went into the baseline since it was taken
_WATCHED = const(BEHIND_TRACK + 42)  # whether any of this is wanted
# The baseline, for forward and for backward: levels of acceleration and turn (Q12 powers of two), and steps they are
# made from; then for each cadence the mean unevenness (Q8) and the blocks it is made from.
_BASELINE = const(BEHIND_TRACK + 43)
_STEPS = const(_BASELINE + 2)
_CADENCES = const(_BASELINE + 3)
_CADENCE_COUNT = const(6)
_CADENCE_LOWEST = const(1376)  # log2 of 41.5 samples
_DIRECTION_WORDS = const(15)
_END = const(_BASELINE + 30)
STABILITY_WORDS = _END - BEHIND_TRACK

# Of other modules: viper knows no other module's constants.
_SHIFT_AT = const(0)
_INDEX_AT = const(31)
_EXTREMES_AT = const(204)
_NEWEST_MEAN_AT = const(59)
_LOUD_AT = const(62)
_ALERT_AT = const(64)
_OPEN_AT = const(1)
_STEP_SAMPLES_AT = const(10)
_NEWEST_AT = const(12)
_DIRECTION_AT = const(21)
_FIRST_AT = const(65)
_CLIP_UP_AT = const(3)
_CLIP_STEPS_AT = const(6)
_S_FORWARD_VELOCITY = const(0)
_S_LEFT_VELOCITY = const(1)
_S_FORWARD2 = const(2)
_S_LEFT2 = const(3)
_S_VELOCITY2 = const(4)
_S_VERTICAL2 = const(5)
_W_SAMPLES = const(8)
_W_INDEX = const(12)
_BACKWARD = const(1)

# What was found.
_STARTLED = const(1)
_FELL = const(2)
CHANGED = const(4)


@micropython.viper
def _look_back(a: int, b: int, c: int, track: ptr32, state: ptr32):
    """Put down the levels of the window that ends with frame a, and turn words from track[b] to them to logarithms.

    The levels are the peak-to-peak of |acc| and the square of the largest |gyr|; the logarithms 256 * log2, exact to
    2 units (half a percent). In one kernel: calls are dear. c: anything; viper keeps a, b and c in registers.
    """
    at = b
    extremes = int(state) + 4 * _EXTREMES_AT
    most = 0
    least = _NEVER_LOUD
    turn2 = 64
    b = _WINDOW_FRAMES
    while b:
        b -= 1
        words = ptr32(extremes + (a & 31) * 12)
        a -= 1
        c = words[0]
        if most < c:
            most = c
        c = words[1]
        if least > c:
            least = c
        c = words[2]
        if turn2 < c:
            turn2 = c
    # Newton's roots, from 1 g on. The root of 0 would divide by it.
    c = 0
    for _ in range(2):
        least |= 1
        a = (1024 + least // 1024) >> 1
        b = (a + least // a) >> 1
        while b < a:
            a = b
            b = (a + least // a) >> 1
        c = a - c
        least = most
    if c < 4:
        c = 4
    track[_LEVEL] = c
    track[_LEVEL + 1] = turn2
    words = ptr32(int(track) + 4 * at)
    at = _LEVEL + 2 - at
    while at:
        at -= 1
        # The number, and its logarithm.
        a = words[0]
        b = 1792
        if a >> 16:
            a >>= 8
            b += 2048
            if a >> 16:
                a >>= 8
                b += 2048
        if a >> 13:
            a >>= 5
            b += 1280
        while a >> 9:
            a >>= 1
            b += 256
        while a < 256:
            a <<= 1
            b -= 256
        # log2(1 + x) is close to x + 0.34 x (1 - x); the number is 256 (1 + x).
        words[0] = ((a - 256) * (512 - a) * 88 >> 16) + a + b
        words = ptr32(int(words) + 4)
    track[_LEVEL + 1] = track[_LEVEL + 1] >> 1


@micropython.viper
def watch(track: ptr32, state: ptr32, clip: ptr32) -> int:
    """Look at a frame that was loud, or came soon after one. What it may be, _STARTLED or _FELL; 0: nothing."""
    sh = track[_SHIFT_AT]
    index = state[_INDEX_AT]
    frame = index // _FRAME - 1
    since_impact = index - track[_IMPACT_AT]
    if track[_IMPACT_AT] == 0:
        if index - ((track[_NEWEST_AT] << sh) >> sh) >= _WALK_PAUSE:
            state[_LOUD_AT] = _NEVER_LOUD
            state[_LOUD_AT + 1] = _NEVER_LOUD
        elif state[_EXTREMES_AT + (frame & 31) * 3] > _IMPACT * _IMPACT:
            track[_IMPACT_AT] = index
            state[_ALERT_AT] = index + _FALL_WATCH
    elif since_impact > _FALL_WITHIN:
        track[_IMPACT_AT] = 0
    else:
        for c in range(3):
            lying = (state[_NEWEST_MEAN_AT + c] << sh) >> sh
            if since_impact > _FALL_THROWN:
                mean = (track[_LYING + c] << sh) >> sh
                lying = mean + ((lying - mean) >> 2)
            track[_LYING + c] = lying
        if since_impact >= _FALL_AFTER and clip[_CLIP_STEPS_AT]:
            along = 0
            lying2 = 0
            up2 = 0
            for c in range(3):
                lying = (track[_LYING + c] << sh) >> sh
                up = (clip[_CLIP_UP_AT + c] << sh) >> sh
                along += lying * up
                lying2 += lying * lying
                up2 += up * up
            if along >> 14 < (int(isqrt(lying2)) * int(isqrt(up2)) >> 14) * _COS_FALLEN >> 14:
                track[_IMPACT_AT] = 0
                return _FELL
    if track[_OPEN_AT] == 0 or index < track[_CALM_AT] or track[_OWN] == 0:
        return 0
    _look_back(frame, _LEVEL, 0, track, state)
    excess = track[_LEVEL] - track[_USUAL] + ((track[_LEVEL + 1] - track[_USUAL + 1]) >> 1)
    if excess <= _ALARM:
        return 0
    track[_EXCESS] = excess
    return _STARTLED


@micropython.viper
def grade(track: ptr32, state: ptr32) -> int:
    """Take in the step that settles, the oldest waiting one, of track's direction. Its score, or NO_SCORE."""
    sh = track[_SHIFT_AT]
    samples = track[_FIRST_AT + _W_SAMPLES]
    last = (track[_FIRST_AT + _W_INDEX] << sh) >> sh
    direction = track[_DIRECTION_AT]
    taken = track[_TAKEN]
    if last - ((track[_SEEN] << sh) >> sh) > _WALK_PAUSE:
        # A walk begins.
        taken = 0
        track[_OWN] = 0
    track[_SEEN] = last
    track[_INDICES + (taken & 7)] = last
    taken += 1
    track[_TAKEN] = taken
    regular = 0
    if samples >= _STEP_MIN and samples < _STEP_MAX:
        regular = 1
    along = (track[_FIRST_AT + _S_FORWARD_VELOCITY] << sh) >> sh
    across = (track[_FIRST_AT + _S_LEFT_VELOCITY] << sh) >> sh
    doubled = 0
    while along > 16383 or along < -16383 or across > 16383 or across < -16383:
        along >>= 1
        across >>= 1
        doubled += 512
    forward2 = track[_FIRST_AT + _S_FORWARD2]
    track[_TIME] = samples | 1 - regular
    track[_TIME + 1] = track[_FIRST_AT + _S_VERTICAL2] | 1
    track[_FORE_AFT2] = forward2 | 1
    track[_LEVEL2] = ((forward2 >> 1) + (track[_FIRST_AT + _S_LEFT2] >> 1)) | 1
    track[_VELOCITY2] = track[_FIRST_AT + _S_VELOCITY2] | 1
    track[_FOLLOWS2] = (along * along + across * across) | 1
    track[_CADENCE] = track[_STEP_SAMPLES_AT] | 1
    newest = state[_INDEX_AT] // _FRAME - 1
    frame = (last + _AFTER_PEAK) // _FRAME
    if frame > newest:
        frame = newest
    _look_back(frame, _TIME, 0, track, state)

    # How large things usually get: a walk's first steps tell quickly.
    at = 0
    if direction == _BACKWARD:
        at = _DIRECTION_WORDS
    known = track[_STEPS + at]
    learns = 0
    seen = 0
    if frame >= _FIRST_FRAME and newest - frame < _KEPT_FRAMES:
        seen = 1
        if taken > 8 and direction <= _BACKWARD and regular and samples >= _NO_RUN:
            learns = 1
            if known < _STEPS_MAX:
                known += 1
                track[_STEPS + at] = known
            track[_NEWS] = track[_NEWS] + 1
    first = 0
    if track[_OWN] == 0:
        first = 1
    words = ptr32(int(track))
    baseline = ptr32(int(track) + 4 * (_BASELINE + at))
    for k in range(2):
        own = words[_OWN]
        if first:
            own = words[_LEVEL]
        more = words[_LEVEL] - own
        most = _GENTLE
        shift = 2
        if taken < 5:
            most = _BIT
            shift = 1
        if more > most:
            more = most
        elif more < 0 - most:
            more = 0 - most
        if seen:
            own += more >> shift
            words[_OWN] = own
        if learns:
            if known == 1:
                baseline[0] = own << 4
            baseline[0] = baseline[0] + ((own << 4) - baseline[0]) // known
        usual = _BRISK_ACC
        if k:
            usual = _BRISK_TURN
        if known >= _STEPS_KNOWN:
            usual = baseline[0] >> 4
        usual -= _BELOW
        if own > usual or words[_LEVEL] == _NO_TURN:
            usual = own
        words[_USUAL] = usual
        words = ptr32(int(words) + 4)
        baseline = ptr32(int(baseline) + 4)
        # Back from the logarithm. Acceleration swings about 1 g, and in a stumble further up than down.
        usual += _LOUDER
        more = usual & 255
        more += 256 - (more * (256 - more) * 88 >> 16)
        usual = (usual >> 8) - 8
        if usual > 5:
            usual = _LOUDEST
        elif usual < 0:
            usual = more >> (0 - usual)
        else:
            usual = more << usual
        if k == 0:
            more = _ONE_G + (usual >> 1)
            if more > usual:
                usual = more
            if usual > _IMPACT:
                usual = _IMPACT
        state[_LOUD_AT + k] = usual * usual

    # How much the step differs from the last one.
    uneven = 0
    words = ptr32(int(track))
    for k in range(3):
        value = words[_TIME]
        if k:
            value = (value - track[_TIME]) >> 1
        more = value - ((words[_BEFORE] << sh) >> sh)
        words[_BEFORE] = value
        words = ptr32(int(words) + 4)
        if more < 0:
            more = 0 - more
        if more > _BIT:
            more = _BIT
        uneven += more
    # Minus the logarithm of the coherence's square.
    more = track[_LEVEL2] + _BIT + track[_VELOCITY2] - track[_FOLLOWS2] - doubled
    if more > _BIT:
        more = _BIT
    if more > 0:
        uneven += more
    grades = track[_GRADES]
    way = (track[_WAY] << sh) >> sh
    turned_round = 0
    if way + direction == 1 and way >= 0:
        turned_round = 1
    if direction <= _BACKWARD or way < 0:
        track[_WAY] = direction
    if regular == 0 or way < 0 or turned_round:
        # The first of its kind: nothing to compare it with.
        if regular == 0:
            track[_WAY] = 0 - 1
        track[_GRADES] = 0
        track[_BLOCK_COUNT] = 0
        return NO_SCORE
    if grades == 0:
        track[_MEAN] = uneven
    track[_GRADES] = grades + 1
    more = uneven - track[_MEAN]
    if more > _GENTLE:
        more = _GENTLE
    elif more < 0 - _GENTLE:
        more = 0 - _GENTLE
    track[_MEAN] = track[_MEAN] + (more >> 2)
    alarm_at = track[_ALARM_AT]
    if alarm_at and last > alarm_at - _SHAKEN_BEFORE and last < alarm_at + _SHAKEN_AFTER:
        track[_BLOCK_COUNT] = 0
        return 0
    if grades + 1 < _GRADES_MIN:
        return NO_SCORE
    if direction <= _BACKWARD:
        # Blocks of straight steps at one cadence.
        cadence = (track[_CADENCE] - _CADENCE_LOWEST) >> 6
        if cadence < 0:
            cadence = 0
        if cadence >= _CADENCE_COUNT:
            cadence = _CADENCE_COUNT - 1
        at += _CADENCES + 2 * cadence
        count = track[_BLOCK_COUNT]
        if at != track[_BLOCK_CELL]:
            track[_BLOCK_CELL] = at
            track[_STRIKES] = 0
            count = 0
        if count == 0:
            track[_BLOCK] = 0
        track[_BLOCK] = track[_BLOCK] + uneven
        count += 1
        if count & 3 == 0:
            turned = int(turned_deg(state, last - 4 * samples, last))
            if turned > _STRAIGHT_DEG or turned < 0 - _STRAIGHT_DEG:
                count = 0
        if count == _BLOCK_STEPS:
            count = 0
            blocks = track[at + 1]
            more = (track[_BLOCK] >> _BLOCK_SHIFT) - track[at]
            if blocks >= _BLOCKS_KNOWN and more > _CHANGED:
                track[_STRIKES] = track[_STRIKES] + 1
                if track[_STRIKES] == 2:
                    track[_MORE] = more
            else:
                track[_STRIKES] = 0
                if blocks < _BLOCKS_MAX:
                    blocks += 1
                    track[at + 1] = blocks
                track[at] = track[at] + more // blocks
        track[_BLOCK_COUNT] = count
    score = (_UNEVEN - track[_MEAN]) * 100 // (_UNEVEN - _EVEN)
    if score > 100:
        score = 100
    if score < 0:
        score = 0
    return score


class Stability:
    """What becomes of what the kernels above find in `track`, the words of a Walk.

    baseline: bytes that take_baseline() gave once, or None. ValueError if they are something else.
    """

    def __init__(self, track, baseline=None):
        self._words = track
        if baseline:
            if len(baseline) != BASELINE_BYTES or baseline[0] != _BASELINE_VERSION:
                raise ValueError(
                    "baseline: %d bytes, expected %d of version 1; it is learned anew"
                    % (len(baseline), BASELINE_BYTES)
                )
            for k, word in enumerate(struct.unpack(_BASELINE_FORMAT, baseline)[1:]):
                track[_BASELINE + k] = word
        self.restart()

    def restart(self):
        """Samples begin anew at index 0; what is usual stays."""
        words = self._words
        for k in range(BEHIND_TRACK, _BASELINE):
            words[k] = 0
        words[_WATCHED] = 1
        words[_SEEN] = -1048576
        words[_WAY] = -1
        self._told_at = -_CHANGED_AGAIN_SAMPLES

    def report(self, found, index, waiting, events):
        """Append what was found at sample `index`, if it stands closer looking. waiting: steps not settled."""
        words = self._words
        if found & _FELL:
            words[_CALM_AT] = index + _CALM_SAMPLES
            events.append((index, "fall", 100))
        elif found & _STARTLED and self._in_rhythm(index, waiting):
            words[_CALM_AT] = index + _CALM_SAMPLES
            words[_ALARM_AT] = index
            kind = "stumble" if words[_LEVEL] - words[_USUAL] >= _BIT else "unstable"
            events.append((index, kind, min(100, words[_EXCESS] * 25 // _BIT)))
        if words[_MORE]:
            if index - self._told_at >= _CHANGED_AGAIN_SAMPLES:
                self._told_at = index
                events.append((index, "changed_gait", min(100, words[_MORE] * 25 // _BIT)))
            words[_MORE] = 0

    def take_baseline(self):
        """What is usual for the wearer as bytes, if enough was learned since the last time to store it; else None."""
        words = self._words
        if words[_NEWS] < _STORE_STEPS:
            return None
        words[_NEWS] = 0
        return struct.pack(_BASELINE_FORMAT, _BASELINE_VERSION, *words[_BASELINE:_END])

    def _in_rhythm(self, index, waiting):
        """Whether the steps before the last half second were evenly timed: MAD below 15 % of the median interval."""
        words = self._words
        taken = words[_TAKEN]
        steps = [words[_INDICES + (k & 7)] for k in range(max(0, taken - 8), taken)] + waiting
        steps = [at for at in steps if index - _RHYTHM_SAMPLES < at < index - _RHYTHM_AGO][-6:]
        if len(steps) <= _RHYTHM_INTERVALS:
            return False
        intervals = sorted([steps[k + 1] - steps[k] for k in range(len(steps) - 1)])
        usual = intervals[len(intervals) // 2]
        spread = sorted([abs(interval - usual) for interval in intervals])[len(intervals) // 2]
        return spread * 100 < usual * 15 and index - steps[-1] < _RHYTHM_AGO + usual * 8 // 5
