"""The front end: acceleration in the clip's own axes becomes the signals from which gait is read.

Input, a frame at a time: interleaved int16 samples (acc x y z, gyr x y z) at 104 Hz, 0.488 mg and 70 mdps per
LSB. Output:

- the ring, RING_SAMPLES x 4 halves of words: forward, left and vertical acceleration, band-passed 0.7-3 Hz, and the
  vertical velocity, a leaky integral (0.3 Hz) of the third. Unit 1.952 mg; the velocity's is 1/8 of that times the
  sample interval, which makes it as large as the acceleration at a cadence of 120 a minute. Each is the value plus
  RING_ZERO, 12 bits.
- `finders`, PeakFinders with the maxima that the newest frame confirmed, (index, swing). Their signal is an
  acceleration smoothed by two moving averages (symmetric, so all frequencies are equally late) minus the mean of
  the last second. Unit 0.122 mg. The narrow one times a step well; the wide one sees one peak where a foot strikes
  twice, toe and then heel, as in walking backward; the third looks at acceleration to the rear.
- a call of whoever attends, where any of this needs a look. Ordinary bytecode runs only where there is more to do.

"Vertical" is the direction of gravity, a low-pass of 1 s; "forward" is the mounting's forward axis laid into the
horizontal plane, so a clip may sit on a sloping belly. Without a mounting any horizontal axis stands in for
it: what does not depend on its direction can still be computed.

Everything per sample is viper on arrays made beforehand. Values are held at +-4 g, and with that no
intermediate leaves 32 bits, whatever the input (tests/test_gait_ranges.py). Words that would be negative are kept
with an offset where differences are all that matters: an offset costs nothing, restoring a sign does.
"""

import micropython
from fixedpoint import ONE_Q14, dot_q14, percent_of_roots
from micropython import const

from firmware.gait.resample import FRAME, next_frame

# Of the detection signal and the vertical acceleration: quarters of an LSB. (The ring's unit is four LSB.)
UNITS_PER_G = const(8197)
# Windows of the detection signals: 8 Hz and 4.5 Hz are their first nulls.
NARROW = const(13)
WIDE = const(23)

RING_SAMPLES = const(512)
RING_ZERO = 2048
_CHANNELS = const(4)
FORWARD_ACC = const(0)
LEFT_ACC = const(1)
VERTICAL_ACC = const(2)
VERTICAL_VELOCITY = const(3)
# So long after a loud frame each is looked at: what is compared are the extremes of as long.
ALERT_SAMPLES = const(78)
# The longest interval that `measure` covers: 1.5 s. 156 products of 2048 * 2048 stay below 2**30.
SUM_SAMPLES_MAX = const(156)
# A peak of the narrow finder is remembered from this swing on: less is breathing.
SLOW_SWING_MIN = const(UNITS_PER_G * 22 // 1000)
_HYSTERESIS_MIN = const(UNITS_PER_G * 15 // 1000)
# Nothing for 0.58 s: whatever comes next is a start, a stop or a turn, and small. For 2 s: forget what was usual.
_LATE_SAMPLES = const(60)
_FORGET_SAMPLES = const(208)

# Words of a step (rhythm.py), first the sums over its interval: what direction and coherence are made from. S(a b)
# is the sum of products.
S_FORWARD_VELOCITY = const(0)
S_LEFT_VELOCITY = const(1)
S_FORWARD2 = const(2)
S_LEFT2 = const(3)
S_VELOCITY2 = const(4)
S_VERTICAL2 = const(5)
S_EDGE = const(6)
S_EDGE2 = const(7)
SUMS = 8
# How many samples the interval has, the vertical at its end (x y z), the peak's index and its swing.
W_SAMPLES = const(8)
W_UP = const(9)
W_INDEX = const(12)
W_SWING = const(13)
# 1 if a BrakingRhythm found it; 1 if it was used and may no longer be replaced.
W_BRAKING = const(14)
W_TAKEN = const(15)
STEP_WORDS = 16

# What there may be to look at, added up: bit k, finder k confirmed peaks; the index to wake at is reached; tilted;
# a frame was loud lately.
PEAKS = const(7)
WAKE = const(8)
TILTED = const(16)
STARTLED = const(32)

# The body is pushed back hardest 0.1 s before the peak of the load, walking backward.
_BRAKING_AHEAD = const(11)

# Words of the state, behind those of the resampler; what is indexed comes last. Vectors are x y z; those of the axes
# are forward, left, up.
_SHIFT = const(0)
_RATE = const(1)
_TAKEN = const(3)
_FILLED = const(4)
_GRAVITY = const(12)  # Q10, plus 2**25
_SEEN = const(15)  # samples so far, at most 103
_AXES = const(16)
_UP = const(22)
_LENGTH = const(25)  # of gravity, and of the reference in the horizontal plane
_REFERENCE = const(27)
_STAND_IN = const(30)  # whether a reference may be chosen
_INDEX = const(31)
_FILTERS = const(32)  # two delays and the remainder for each acceleration
_VELOCITY = const(41)
_WAKE = const(42)
_WATCHED = const(43)  # the cosine below which the wearer is tilted, and the vertical to compare with
_POSTURE = const(44)
_KEPT = const(47)  # where the next peak of the narrow finder goes
_LISTENED = const(48)  # bits of the finders whose peaks are of interest
# Sums over the last second, vertical and braking; for each signal its slope, then itself.
_SMOOTHING = const(49)
_HOW_MANY = const(57)  # finders; whether the braking one, the third, rests
_RESTING = const(58)
# Three quarters of the newest frame's mean acceleration, the unit being 2 LSB. From which squares of acceleration and
# turn on a frame is loud, and up to which index what is loud is looked at.
_NEWEST_MEAN = const(59)
_LOUD = const(62)
_LOUD_TURN = const(63)
_ALERT = const(64)
# Where the 104 recent accelerations before the next frame begin.
_SLOT = const(65)
# What is to be done when the samples are used up.
_LATER = const(66)
_FINDERS = const(67)
# One a frame, for 4 s. The unit is 128 LSB over one sample, 0.086 degrees; +-8192 of it are kept.
_HEADINGS = const(124)
_KEPT_PEAKS = const(156)  # (index, swing) of the newest peaks of the narrow finder
# How large acceleration and turn get in each of the last 32 frames: squares of the largest and the smallest |acc|
# and of the largest |gyr|, of means of 4 samples.
_EXTREMES = const(204)
# The last second and more: vertical acceleration less gravity, quarters of an LSB, plus 32768, in the lower half of
# a word, and the braking one, forward's negative, in the upper.
_RECENT = const(300)
_RECENT_ROOM = const(78)
_RING = const(_RECENT + 104 + _RECENT_ROOM)
STATE_WORDS = const(_RING + _CHANNELS * RING_SAMPLES // 2)

# For kernels of other modules.
INDEX_AT, WAKE_AT, LATER_AT = _INDEX, _WAKE, _LATER
# Set in what is to be done if the samples are used up.
_USED_UP = const(1 << 20)

_PEAKS_KEPT = const(24)

# Words of a finder, from its place in the state on: what the signal is turned upside down with while it rises, and 0
# while it falls; its least value, so turned, and where; how far it must turn back, made from which hundredfold, and
# its value where it did so.
_DELAY = const(0)
_FLIP = const(1)
_LEAST = const(2)
_LEAST_INDEX = const(3)
_HYSTERESIS = const(4)
_TURNED = const(5)
_LOW = const(6)
_TYPICAL = const(7)
_LAST_PEAK = const(8)
_FOUND = const(9)
_PEAKS = const(10)
_SHARE = const(18)
_FINDER_WORDS = const(19)
_UPSIDE_DOWN = const(2097151)
_NEVER_TILTED = const(-32768)
_NEVER_LOUD = const(1073741823)

_SIGNAL_ZERO = const(1048576)
# Dividing by a window squared, Q21.
_NARROW_SHARE = const(2097152 // (NARROW * NARROW))
_WIDE_SHARE = const(2097152 // (WIDE * WIDE))
# An acceleration's offset gone through the filter's input: the filter knows no constant, so it has no other effect.
_FILTER_ZERO = const(17465344)  # 1066 * 16384


@micropython.viper
def _choose_reference(state: ptr32):
    """The clip's axis that lies flattest stands in for forward."""
    sh = state[_SHIFT]
    x = (state[_UP] << sh) >> sh
    y = (state[_UP + 1] << sh) >> sh
    z = (state[_UP + 2] << sh) >> sh
    if x < 0:
        x = 0 - x
    if y < 0:
        y = 0 - y
    if z < 0:
        z = 0 - z
    flattest = 2
    if x <= y and x <= z:
        flattest = 0
    elif y <= z:
        flattest = 1
    for c in range(3):
        state[_REFERENCE + c] = 0
    state[_REFERENCE + flattest] = 16384


@micropython.viper
def take_samples(p: ptr16, a: int, b: int, state: ptr32, arrays) -> int:
    """Take frames, and look wherever one brings something, until there is something to do. 0: samples used up.

    p: the samples, a: how many, b: 1 if they are a frame, cut already. arrays: a tuple of the resampler's frame, look
    and its context.

    All that happens to a frame is in this one kernel, since a call costs as much as a dozen samples; and p, a and b
    serve it throughout, since viper keeps a function's first three names, and no others, in registers.

    Gravity is a low-pass of the acceleration, one pole, and a plain mean until it is 1 s old. The axes: up from
    gravity, forward from the reference laid into the horizontal plane, left across both. Where a mounting's forward
    axis points up or down, forward and left stay as they were.

    The acceleration is laid along the axes and band-passed into the ring: a Butterworth section for each axis; the
    remainder of each rounding is added to the next sample, so no rounding error builds up. The vertical one is
    integrated. Two moving averages of w samples have a slope of new - 2 * (w samples ago) + (2 w samples ago).

    A maximum counts once the signal has fallen below it by the hysteresis, a minimum once it has risen by it. The
    hysteresis is a share of the finder's typical swing, less when the next peak is late; after long quiet that swing
    is forgotten. A signal that rises is looked at upside down: its maxima are minima, too. Where a finder turns round
    the samples pause; so they do at the end of the ring.
    """
    samples = p
    count = a
    cut = b
    ring = int(state) + 4 * _RING
    sh = state[_SHIFT]
    a = sh
    fx = (state[_AXES] << a) >> a
    fy = (state[_AXES + 1] << a) >> a
    fz = (state[_AXES + 2] << a) >> a
    lx = (state[_AXES + 3] << a) >> a
    ly = (state[_AXES + 4] << a) >> a
    lz = (state[_AXES + 5] << a) >> a
    ux = (state[_UP] << a) >> a
    uy = (state[_UP + 1] << a) >> a
    uz = (state[_UP + 2] << a) >> a
    f1 = (state[_FILTERS] << a) >> a
    f2 = (state[_FILTERS + 1] << a) >> a
    f_rest = state[_FILTERS + 2]
    l1 = (state[_FILTERS + 3] << a) >> a
    l2 = (state[_FILTERS + 4] << a) >> a
    l_rest = state[_FILTERS + 5]
    u1 = (state[_FILTERS + 6] << a) >> a
    u2 = (state[_FILTERS + 7] << a) >> a
    u_rest = state[_FILTERS + 8]
    velocity = (state[_VELOCITY] << a) >> a
    v_second = (state[_SMOOTHING] << a) >> a
    b_second = (state[_SMOOTHING + 1] << a) >> a
    n_slope = (state[_SMOOTHING + 2] << a) >> a
    narrow = (state[_SMOOTHING + 3] << a) >> a
    w_slope = (state[_SMOOTHING + 4] << a) >> a
    wide = (state[_SMOOTHING + 5] << a) >> a
    b_slope = (state[_SMOOTHING + 6] << a) >> a
    braking = (state[_SMOOTHING + 7] << a) >> a
    index = state[_INDEX]
    finders = state[_HOW_MANY] - state[_RESTING]
    awake = 0
    if finders == 3:
        awake = 1
    # Where nothing is to be resampled and no rest waits frames lie in the samples.
    where = 0
    a = state[_FILLED]
    if state[_RATE] == 104000 and (a == 0 or a == 13):
        where = 2
    what = 0
    while what == 0:
        # The next frame.
        ahead = 13
        a = state[_TAKEN]
        if cut:
            if cut == 2:
                break
            cut = 2
            ahead = count
            p = samples
        elif where == 2 and a + 13 <= count:
            # Frame after frame lies in the samples.
            state[_TAKEN] = a + 13
            p = ptr16(int(samples) + a * 12)
        elif where == 2 and a == count:
            state[_TAKEN] = 0
            break
        else:
            p = ptr16(arrays[0])
            where = int(next_frame(state, samples, p, count))
            if where == 0:
                break
            if where == 2:
                p = ptr16(int(samples) + (state[_TAKEN] - 13) * 12)
        frame = p

        # Gravity, turn, and how large things get.
        x = state[_GRAVITY]
        y = state[_GRAVITY + 1]
        z = state[_GRAVITY + 2]
        turn_x = 0
        turn_y = 0
        turn_z = 0
        rest = ahead
        seen = state[_SEEN]
        while seen < 103 and rest:
            rest -= 1
            seen += 1
            state[_SEEN] = seen
            x += (((int(p[0]) ^ 0x8000) << 10) - x) // seen
            y += (((int(p[1]) ^ 0x8000) << 10) - y) // seen
            z += (((int(p[2]) ^ 0x8000) << 10) - z) // seen
            turn_x += int(p[3]) ^ 0x8000
            turn_y += int(p[4]) ^ 0x8000
            turn_z += int(p[5]) ^ 0x8000
            p = ptr16(int(p) + 12)
        # Extremes of |acc| and |gyr|: of four samples at a time, a low-pass of 10 Hz. A thirteenth is left out.
        most = 0
        least = 1073741823
        most_turn = 0
        frame_x = 0
        frame_y = 0
        frame_z = 0
        while rest:
            mean_x = -131072
            mean_y = -131072
            mean_z = -131072
            spin_x = turn_x
            spin_y = turn_y
            spin_z = turn_z
            b = 4
            rest -= 4
            if rest < 0:
                b += rest
                rest = 0
            while b:
                b -= 1
                # 79 / 8192 in place of 1 / 104: a division is a call.
                a = int(p[0]) ^ 0x8000
                mean_x = mean_x + a
                x = (((a << 10) - x >> 8) * 79 >> 5) + x
                a = int(p[1]) ^ 0x8000
                mean_y = mean_y + a
                y = (((a << 10) - y >> 8) * 79 >> 5) + y
                a = int(p[2]) ^ 0x8000
                mean_z = mean_z + a
                z = (((a << 10) - z >> 8) * 79 >> 5) + z
                turn_x = (int(p[3]) ^ 0x8000) + turn_x
                turn_y = (int(p[4]) ^ 0x8000) + turn_y
                turn_z = (int(p[5]) ^ 0x8000) + turn_z
                p = ptr16(int(p) + 12)
            if rest:
                a = mean_x >> 3
                b = a * a
                frame_x = frame_x + a
                a = mean_y >> 3
                b = a * a + b
                frame_y = frame_y + a
                a = mean_z >> 3
                b = a * a + b
                frame_z = frame_z + a
                if most < b:
                    most = b
                if least > b:
                    least = b
                a = (turn_x - spin_x - 131072) >> 3
                b = a * a
                a = (turn_y - spin_y - 131072) >> 3
                b = a * a + b
                a = (turn_z - spin_z - 131072) >> 3
                b = a * a + b
                if most_turn < b:
                    most_turn = b
        state[_NEWEST_MEAN] = frame_x >> 2
        state[_NEWEST_MEAN + 1] = frame_y >> 2
        state[_NEWEST_MEAN + 2] = frame_z >> 2
        if most > state[_LOUD] or most_turn > state[_LOUD_TURN]:
            state[_ALERT] = index + ALERT_SAMPLES
        frames = index // 13
        words = ptr32(int(state) + 4 * _EXTREMES + (frames & 31) * 12)
        words[0] = most
        words[1] = least
        words[2] = most_turn
        state[_GRAVITY] = x
        state[_GRAVITY + 1] = y
        state[_GRAVITY + 2] = z

        # The axes.
        x = (x - 33554432) >> 8
        y = (y - 33554432) >> 8
        z = (z - 33554432) >> 8
        words = ptr32(int(state) + 4 * _LENGTH)
        which = 0
        while which < 2:
            shift = 0
            while x > 16383 or y > 16383 or z > 16383 or x < -16383 or y < -16383 or z < -16383:
                x >>= 1
                y >>= 1
                z >>= 1
                shift += 1
            a = 0
            b = x * x + y * y + z * z
            if b:
                # Newton's root from the last frame's, or any other: after one step it comes down from above.
                a = words[which] | 1
                a = (a + b // a) >> 1
                better = (a + b // a) >> 1
                while better < a:
                    a = better
                    better = (a + b // a) >> 1
            words[which] = a << shift
            # Less than 0.2 g is no direction.
            if which == 0 and a << shift < 1639:
                break
            x = (x << 14) // a
            y = (y << 14) // a
            z = (z << 14) // a
            if which:
                fx = x
                fy = y
                fz = z
                lx = (uy * z - uz * y) >> 14
                ly = (uz * x - ux * z) >> 14
                lz = (ux * y - uy * x) >> 14
                break
            ux = x
            uy = y
            uz = z
            state[_UP] = x
            state[_UP + 1] = y
            state[_UP + 2] = z
            while which == 0:
                which = 1
                a = sh
                x = (state[_REFERENCE] << a) >> a
                y = (state[_REFERENCE + 1] << a) >> a
                z = (state[_REFERENCE + 2] << a) >> a
                a = (x * ux + y * uy + z * uz) >> 14
                x -= (a * ux) >> 14
                y -= (a * uy) >> 14
                z -= (a * uz) >> 14
                if x * x + y * y + z * z < 16777216:
                    which = 2
                    if state[_STAND_IN]:
                        _choose_reference(state)
                        which = 0
        # The heading: the turn about the vertical since the frame before.
        a = ahead << 15
        b = ((turn_x - a) + 64 >> 7) * ux
        b += ((turn_y - a) + 64 >> 7) * uy
        b += ((turn_z - a) + 64 >> 7) * uz
        words = ptr32(int(state) + 4 * _HEADINGS)
        b = ((words[(frames - 1) & 31] << sh) >> sh) + (b >> 14)
        words[frames & 31] = ((b + 8192) & 16383) - 8192

        # What the offset of the samples comes to along each axis, less the offset of the result.
        f0 = (fx + fy + fz - 4096) << 15
        l0 = (lx + ly + lz - 4096) << 15
        u0 = ((ux + uy + uz - 4096) << 15) + (state[_LENGTH] << 12)
        # Room for the frame behind the last second: where there is none that moves to the front.
        a = state[_SLOT]
        words = ptr32(int(state) + 4 * _RECENT)
        if a + ahead > _RECENT_ROOM:
            old = ptr32(int(words) + 4 * a)
            a = 13
            while a:
                a -= 1
                words[0] = old[0]
                words[1] = old[1]
                words[2] = old[2]
                words[3] = old[3]
                words[4] = old[4]
                words[5] = old[5]
                words[6] = old[6]
                words[7] = old[7]
                words = ptr32(int(words) + 32)
                old = ptr32(int(old) + 32)
            words = ptr32(int(state) + 4 * _RECENT)
        state[_SLOT] = a + ahead
        p = ptr16(int(words) + 4 * a)
        # How far the finders' signals must turn back.
        words = ptr32(int(state) + 4 * _FINDERS)
        rest = finders
        while rest:
            rest -= 1
            a = index - words[_DELAY] - words[_LAST_PEAK]
            b = words[_TYPICAL] * 15
            if a > _LATE_SAMPLES:
                b = words[_TYPICAL] * 6
                if a > _FORGET_SAMPLES:
                    b = 0
                    words[_TYPICAL] = 0
            if index == 0:
                # It may begin in the middle of a walk.
                words[_HYSTERESIS] = 1
                words[_SHARE] = 1
            elif words[_SHARE] - b:
                # A division is a call.
                words[_SHARE] = b
                b //= 100
                if b < _HYSTERESIS_MIN:
                    b = _HYSTERESIS_MIN
                words[_HYSTERESIS] = b
            words[_FOUND] = 0
            words = ptr32(int(words) + 4 * _FINDER_WORDS)
        news = 0
        while ahead:
            # Up to the end of the ring.
            a = index & 511
            out = ptr16(ring + (a << 3))
            rest = 512 - a
            if rest > ahead:
                rest = ahead
            ahead -= rest
            index += rest
            words = ptr32(int(state) + 4 * _FINDERS)
            n_flip = words[_FLIP]
            n_least = words[_LEAST]
            n_turn = words[_HYSTERESIS]
            n_at = -1
            w_flip = words[_FINDER_WORDS + _FLIP]
            w_least = words[_FINDER_WORDS + _LEAST]
            w_turn = words[_FINDER_WORDS + _HYSTERESIS]
            w_at = -1
            b_flip = words[2 * _FINDER_WORDS + _FLIP]
            b_least = words[2 * _FINDER_WORDS + _LEAST]
            b_turn = words[2 * _FINDER_WORDS + _HYSTERESIS]
            b_at = -1
            turned = 0
            while rest:
                rest -= 1
                a = int(frame[0]) ^ 0x8000
                b = int(frame[1]) ^ 0x8000
                z = int(frame[2]) ^ 0x8000
                frame = ptr16(int(frame) + 12)
                forward = (fx * a + fy * b + z * fz - f0) >> 12
                left = (lx * a + ly * b + z * lz - l0) >> 12
                a = (ux * a + uy * b + z * uz - u0) >> 12
                if a >> 16:
                    a = 0 if a < 0 else 65535
                p[208] = a
                # Dividing by a window squared, and by 104, as products: a division is a call.
                v_second = a - int(p[0]) + v_second
                mean = ((v_second >> 3) * 315 >> 12) - _SIGNAL_ZERO
                n_slope = a - (int(p[208 - 2 * NARROW]) << 1) + int(p[208 - 4 * NARROW]) + n_slope
                narrow = n_slope + narrow
                b = ((narrow >> 6) * _NARROW_SHARE >> 15) - mean
                b = n_flip ^ b
                if n_least > b:
                    n_least = b
                    n_at = rest
                elif b - n_least >= n_turn:
                    words[_TURNED] = b
                    turned = 1
                w_slope = a - (int(p[208 - 2 * WIDE]) << 1) + int(p[208 - 4 * WIDE]) + w_slope
                wide = w_slope + wide
                b = ((wide >> 6) * _WIDE_SHARE >> 15) - mean
                b = w_flip ^ b
                if w_least > b:
                    w_least = b
                    w_at = rest
                elif b - w_least >= w_turn:
                    words[_FINDER_WORDS + _TURNED] = b
                    turned = 1
                # 0.7-3 Hz at 104 Hz, Q14: b = 0.06506 (1, 0, -1), a = 1, -1.86270, 0.86988.
                a = (a >> 1) * 1066
                b = u1 + a + u_rest
                u_rest = b & 16383
                b >>= 14
                u1 = b * 30519 + u2
                u2 = b * -14252 - a
                # Leak 37 / 2048 a sample: 0.3 Hz.
                velocity = b - ((velocity * 37 + 1024) >> 11) + velocity
                b = (b + 16388) >> 3
                if b >> 12:
                    b = 0 if b < 0 else 4095
                out[2] = b
                b = (velocity + 131104) >> 6
                if b >> 12:
                    b = 0 if b < 0 else 4095
                out[3] = b
                a = left
                if a >> 16:
                    a = 0 if a < 0 else 65535
                a = (a >> 1) * 1066
                b = l1 + a + l_rest
                l_rest = b & 16383
                b >>= 14
                l1 = b * 30519 + l2
                l2 = b * -14252 - a
                b = (b + 16388) >> 3
                if b >> 12:
                    b = 0 if b < 0 else 4095
                out[1] = b
                a = forward
                if a >> 16:
                    a = 0 if a < 0 else 65535
                p[209] = a ^ 65535
                if awake:
                    b = a ^ 65535
                    b_second = b - int(p[1]) + b_second
                    b_slope = b - (int(p[209 - 2 * WIDE]) << 1) + int(p[209 - 4 * WIDE]) + b_slope
                    braking = b_slope + braking
                    b = ((braking >> 6) * _WIDE_SHARE >> 15) - ((b_second >> 3) * 315 >> 12) + _SIGNAL_ZERO
                    b = b_flip ^ b
                    if b_least > b:
                        b_least = b
                        b_at = rest
                    elif b - b_least >= b_turn:
                        words[2 * _FINDER_WORDS + _TURNED] = b
                        turned = 1
                a = (a >> 1) * 1066
                b = f1 + a + f_rest
                f_rest = b & 16383
                b >>= 14
                f1 = b * 30519 + f2
                f2 = b * -14252 - a
                b = (b + 16388) >> 3
                if b >> 12:
                    b = 0 if b < 0 else 4095
                out[0] = b
                out = ptr16(int(out) + 8)
                p = ptr16(int(p) + 4)
                if turned:
                    break
            words[_LEAST] = n_least
            if n_at >= 0:
                words[_LEAST_INDEX] = index - 1 - n_at
            words[_FINDER_WORDS + _LEAST] = w_least
            if w_at >= 0:
                words[_FINDER_WORDS + _LEAST_INDEX] = index - 1 - w_at
            words[2 * _FINDER_WORDS + _LEAST] = b_least
            if b_at >= 0:
                words[2 * _FINDER_WORDS + _LEAST_INDEX] = index - 1 - b_at
            index -= rest
            ahead += rest
            while turned:
                b = words[_TURNED]
                if b:
                    words[_TURNED] = 0
                    a = words[_LEAST]
                    if words[_FLIP]:
                        a = (a ^ _UPSIDE_DOWN) - words[_LOW]
                        b ^= _UPSIDE_DOWN
                        words[_FLIP] = 0
                        words[_LAST_PEAK] = words[_LEAST_INDEX]
                        rest = words[_FOUND]
                        if rest < 4:
                            words[_FOUND] = rest + 1
                            words[_PEAKS + rest * 2] = words[_LEAST_INDEX]
                            words[_PEAKS + 1 + rest * 2] = a
                        news |= turned
                        if turned == 1 and a >= SLOW_SWING_MIN:
                            rest = state[_KEPT]
                            state[_KEPT_PEAKS + 2 * rest] = words[_LEAST_INDEX]
                            state[_KEPT_PEAKS + 1 + 2 * rest] = a
                            state[_KEPT] = (rest + 1) % _PEAKS_KEPT
                    else:
                        words[_LOW] = a
                        words[_FLIP] = _UPSIDE_DOWN
                        b ^= _UPSIDE_DOWN
                    words[_LEAST] = b
                    words[_LEAST_INDEX] = index - 1
                turned = (turned << 1) & 7
                words = ptr32(int(words) + 4 * _FINDER_WORDS)

        # What there is to look at.
        news &= state[_LISTENED]
        state[_INDEX] = index
        if index >= state[_WAKE]:
            news |= WAKE
        a = sh
        b = ((state[_POSTURE] << a) >> a) * ux
        b = ((state[_POSTURE + 1] << a) >> a) * uy + b
        b = ((state[_POSTURE + 2] << a) >> a) * uz + b
        if b >> 14 <= ((state[_WATCHED] << a) >> a):
            news |= TILTED
        if index < state[_ALERT]:
            news |= STARTLED
        if news:
            state[_AXES] = fx
            state[_AXES + 1] = fy
            state[_AXES + 2] = fz
            state[_AXES + 3] = lx
            state[_AXES + 4] = ly
            state[_AXES + 5] = lz
            look = arrays[1]
            what = int(look(arrays[2], state, news, -1))
    if what == 0:
        what = state[_LATER]
        if what:
            what += _USED_UP
    state[_LATER] = 0
    state[_AXES] = fx
    state[_AXES + 1] = fy
    state[_AXES + 2] = fz
    state[_AXES + 3] = lx
    state[_AXES + 4] = ly
    state[_AXES + 5] = lz
    state[_FILTERS] = f1
    state[_FILTERS + 1] = f2
    state[_FILTERS + 2] = f_rest
    state[_FILTERS + 3] = l1
    state[_FILTERS + 4] = l2
    state[_FILTERS + 5] = l_rest
    state[_FILTERS + 6] = u1
    state[_FILTERS + 7] = u2
    state[_FILTERS + 8] = u_rest
    state[_VELOCITY] = velocity
    state[_SMOOTHING] = v_second
    state[_SMOOTHING + 1] = b_second
    state[_SMOOTHING + 2] = n_slope
    state[_SMOOTHING + 3] = narrow
    state[_SMOOTHING + 4] = w_slope
    state[_SMOOTHING + 5] = wide
    state[_SMOOTHING + 6] = b_slope
    state[_SMOOTHING + 7] = braking
    return what


@micropython.viper
def _wake_braking(state: ptr32):
    """Have the braking finder go on after a rest, in a valley. Its sums are those of the last second, as ever."""
    second = 0
    slope = 0
    smooth = 0
    p = ptr16(int(state) + 4 * _RECENT + 4 * state[_SLOT])
    ago = 104
    while ago:
        ago -= 1
        acc = int(p[1]) - 32767
        p = ptr16(int(p) + 4)
        second += acc
        if ago < WIDE:
            slope += acc
            smooth += acc * (ago + 1)
        elif ago < 2 * WIDE:
            slope -= acc
            smooth += acc * (2 * WIDE - 1 - ago)
    state[_SMOOTHING + 1] = second
    state[_SMOOTHING + 6] = slope
    state[_SMOOTHING + 7] = smooth
    at = _FINDERS + 2 * _FINDER_WORDS
    state[at + _FLIP] = 0
    state[at + _LEAST] = ((smooth >> 6) * _WIDE_SHARE >> 15) - ((second >> 3) * 315 >> 12) + _SIGNAL_ZERO
    state[at + _LEAST_INDEX] = state[_INDEX] - 1
    state[_RESTING] = 0


@micropython.viper
def _forget_recent(state: ptr32):
    """Nothing has moved in the last second."""
    p = ptr16(int(state) + 4 * _RECENT)
    count = 104
    while count:
        count -= 1
        p[0] = 32768
        p[1] = 32767
        p = ptr16(int(p) + 4)
    state[_SLOT] = 0


@micropython.viper
def measure(p: ptr16, a: int, b: int, words: ptr32, state: ptr32):
    """Fill in the words of a step, words[a] the first: the sums over the samples since that of index b.

    p: anything. Of an interval longer than 1.5 s, or older than the ring, only the newest part is used. The vertical
    is the newest one, if it is not known already.
    """
    sh = state[_SHIFT]
    ring = int(state) + 4 * _RING
    at = a
    last = (words[at + W_INDEX] << sh) >> sh
    first = b
    if first < last - SUM_SAMPLES_MAX:
        first = last - SUM_SAMPLES_MAX
    if first < state[_INDEX] - RING_SAMPLES:
        first = state[_INDEX] - RING_SAMPLES
    if first < 0:
        first = 0
    count = last - first
    if count < 0:
        count = 0
    words[at + W_SAMPLES] = count
    if (words[at + W_UP] | words[at + W_UP + 1] | words[at + W_UP + 2]) == 0:
        words[at + W_UP] = state[_UP]
        words[at + W_UP + 1] = state[_UP + 1]
        words[at + W_UP + 2] = state[_UP + 2]
    forward_velocity = 0
    left_velocity = 0
    forward2 = 0
    left2 = 0
    velocity2 = 0
    vertical2 = 0
    rises2 = 0
    falls2 = 0
    p = ptr16(ring + (((first - 1) & 511) << 3))
    before = int(p[0]) - 2048
    while count:
        # Up to the end of the ring.
        a = first & 511
        p = ptr16(ring + (a << 3))
        rest = 512 - a
        if rest > count:
            rest = count
        count -= rest
        first += rest
        while rest:
            rest -= 1
            b = int(p[3]) - 2048
            velocity2 = b * b + velocity2
            a = int(p[2]) - 2048
            vertical2 = a * a + vertical2
            a = int(p[1]) - 2048
            left2 = a * a + left2
            left_velocity = a * b + left_velocity
            a = int(p[0]) - 2048
            forward2 = a * a + forward2
            forward_velocity = a * b + forward_velocity
            p = ptr16(int(p) + 8)
            b = a - before
            before = a
            # The filter lets it rise by 750 at most.
            a = b * b
            if b >> 31:
                falls2 = a + falls2
            else:
                rises2 = a + rises2
    words[at + S_FORWARD_VELOCITY] = forward_velocity
    words[at + S_LEFT_VELOCITY] = left_velocity
    words[at + S_FORWARD2] = forward2
    words[at + S_LEFT2] = left2
    words[at + S_VELOCITY2] = velocity2
    words[at + S_VERTICAL2] = vertical2
    words[at + S_EDGE] = rises2 - falls2
    words[at + S_EDGE2] = rises2 + falls2


@micropython.viper
def turned_deg(state: ptr32, first: int, last: int) -> int:
    """Degrees turned about the vertical, to the left positive, from sample `first` to `last`; at most 4 s."""
    sh = state[_SHIFT]
    oldest = state[_INDEX] // 13 - 31
    first //= 13
    if first < oldest:
        first = oldest
    turned = (state[_HEADINGS + (last // 13 & 31)] << sh) >> sh
    turned -= (state[_HEADINGS + (first & 31)] << sh) >> sh
    return (((turned + 8192) & 16383) - 8192) * 11 >> 7


@micropython.viper
def largest_kept(state: ptr32, first: int, last: int) -> int:
    """Index of the largest kept peak of the narrow finder between two samples; -1 if there is none."""
    best = -1
    most = 0
    delay = state[_FINDERS + _DELAY]
    for k in range(_PEAKS_KEPT):
        at = _KEPT_PEAKS + 2 * ((state[_KEPT] + k) % _PEAKS_KEPT)
        index = state[at] - delay
        if first < index and index < last and state[at + 1] > most:
            best = index
            most = state[at + 1]
    return best


@micropython.viper
def _sway(p: ptr16, a: int, b: int, state: ptr32, period: int) -> int:
    """Correlation in percent of the sideways acceleration in the `period` samples before index b with those before.

    p, a: anything.
    """
    ring = int(state) + 4 * _RING
    product = 0
    new2 = 0
    old2 = 0
    first = b - period
    while first < b:
        p = ptr16(ring + ((first & 511) << 3))
        a = (int(p[LEFT_ACC]) - 2048) >> 1
        p = ptr16(ring + (((first - period) & 511) << 3))
        old = (int(p[LEFT_ACC]) - 2048) >> 1
        product += a * old >> 2
        new2 += a * a >> 2
        old2 += old * old >> 2
        first += 1
    return int(percent_of_roots(product, new2, old2))


@micropython.viper
def add_sums(total: ptr32, sums: ptr32, scale: int, sh: int):
    """Add sums >> scale to total; sh is WORD_SHIFT."""
    for k in range(8):
        total[k] = int(total[k]) + (((sums[k] << sh) >> sh) >> scale)


class PeakFinder:
    """Confirmed maxima of an acceleration that two moving averages smooth.

    `delay` is how many samples the smoothing comes late; indices are those of the smoothed signal. `bit`: set in the
    news if there are new ones. A part of the front end's state, from `place` on.
    """

    def __init__(self, state, place, delay, bit):
        self.delay = delay
        self.bit = bit
        self._state = state
        self._place = place
        self.restart()

    def restart(self):
        state, place = self._state, self._place
        for i in range(_FINDER_WORDS):
            state[place + i] = 0
        state[place + _DELAY] = self.delay
        state[place + _LOW] = _SIGNAL_ZERO
        state[place + _FLIP] = _UPSIDE_DOWN
        state[place + _LEAST] = _SIGNAL_ZERO ^ _UPSIDE_DOWN

    @property
    def found_at(self):
        """Where in the state the number of the newest peaks is; (index, swing) of each follow."""
        return self._place + _FOUND

    @property
    def typical_at(self):
        """Where in the state the typical swing is."""
        return self._place + _TYPICAL

    def forget(self):
        """No peak is known, and none typical."""
        self._state[self._place + _LAST_PEAK] = self._state[self._place + _TYPICAL] = 0

    @property
    def typical_swing(self):
        """Peaks count once the signal has fallen by a share of it. The owner learns it; long quiet forgets it."""
        return self._state[self._place + _TYPICAL]

    @typical_swing.setter
    def typical_swing(self, swing):
        self._state[self._place + _TYPICAL] = swing

    @property
    def peaks(self):
        """(index, swing) of those that the newest frame confirmed, one after the other."""
        first = self._place + _PEAKS
        return self._state[first : first + 2 * self._state[self._place + _FOUND]]


class FrontEnd:
    """Turns samples into the ring and the finders' peaks. resampler: cuts the samples into frames."""

    def __init__(self, resampler, mounting=None, on_trunk=True):
        self._mounting = mounting
        delays = [NARROW - 1]
        if on_trunk:
            delays.append(WIDE - 1)
        if on_trunk and mounting:
            delays.append(WIDE - 1 - _BRAKING_AHEAD)
        self.state = resampler.widen(STATE_WORDS)
        self.finders = []
        for delay in delays:
            place = _FINDERS + len(self.finders) * _FINDER_WORDS
            self.finders.append(PeakFinder(self.state, place, delay, 1 << len(self.finders)))
        self.arrays = (resampler.frame,)
        self.restart()

    def attend(self, look, context, see_to):
        """Who looks at the frames that bring something.

        look(context, state, news, -1), best a kernel: news is what there is, PEAKS, WAKE, TILTED, STARTLED, added
        up; returns what is to be done, 0 for nothing. What has time until the samples are used up it leaves in state,
        at LATER_AT. see_to(what): does it, and returns whether advance() is to pause there.
        """
        self.arrays = self.arrays[:1] + (look, context)
        self.see_to = see_to

    def restart(self):
        """Begin anew, as after switching on."""
        state = self.state
        for i in range(_GRAVITY, _RING):
            state[i] = 0
        for i in range(_RING, STATE_WORDS):
            state[i] = RING_ZERO << 16 | RING_ZERO
        state[_HOW_MANY] = len(self.finders)
        state[_LISTENED] = PEAKS
        state[_WATCHED] = _NEVER_TILTED
        state[_LOUD] = state[_LOUD_TURN] = _NEVER_LOUD
        _forget_recent(state)
        for i in range(3):
            state[_GRAVITY + i] = 1 << 25
            state[_FILTERS + 3 * i] = state[_FILTERS + 3 * i + 1] = -_FILTER_ZERO
        for k in range(3):
            state[_FINDERS + k * _FINDER_WORDS + _HYSTERESIS] = _NEVER_LOUD
        for finder in self.finders:
            finder.restart()
        state[_UP + 2] = ONE_Q14
        if self._mounting:
            self.set_forward(self._mounting.forward)
        else:
            state[_STAND_IN] = 1

    @property
    def index(self):
        """Samples taken since the last restart: the newest in the ring is index - 1."""
        return self.state[_INDEX]

    def axis(self, which):
        """Q14 components (x, y, z) of FORWARD_ACC, LEFT_ACC or VERTICAL_ACC in the clip's axes."""
        at = _AXES + 3 * which
        return self.state[at], self.state[at + 1], self.state[at + 2]

    def set_forward(self, axis):
        """Correct the mounting's forward axis (Q14, in the clip's axes) from the next frame on."""
        for i in range(3):
            self.state[_REFERENCE + i] = axis[i]

    def along_up(self, vector):
        """Component along "up" of a Q14 vector in the clip's axes."""
        return dot_q14(vector, self.state, 0, _UP)

    def wake_at(self, index):
        """Have a look at WAKE when this many samples have been taken, until told otherwise."""
        self.state[_WAKE] = index

    def listen(self, bits):
        """Of which finders peaks are looked at: their bits, or PEAKS. The braking one rests where it is left out."""
        state = self.state
        state[_LISTENED] = bits
        if len(self.finders) == 3:
            rests = not bits & self.finders[2].bit
            if state[_RESTING] and not rests:
                _wake_braking(state)
            state[_RESTING] = rests

    def advance(self, samples, count):
        """Take samples until there is a pause: True, call it again with the same samples. Else False."""
        while True:
            what = take_samples(samples, count, 0, self.state, self.arrays)
            if not what:
                return False
            if what & _USED_UP:
                self.see_to(what - _USED_UP)
                return False
            if self.see_to(what):
                return True

    def feed(self, frame, count):
        """Take `count` (at most FRAME) samples at 104 Hz, resampled already."""
        what = take_samples(frame, count, 1, self.state, self.arrays)
        if what:
            self.see_to(what & ~_USED_UP)

    def watch_posture(self, gravity, least_cosine):
        """Have a look at TILTED while "up" is not within that angle (Q14) of `gravity`; None: never."""
        state = self.state
        state[_WATCHED] = least_cosine if gravity else _NEVER_TILTED
        for i in range(3):
            state[_POSTURE + i] = gravity[i] if gravity else 0

    def forget_peaks(self):
        """No peak is known."""
        self.state[_KEPT] = 0
        for i in range(_KEPT_PEAKS, _EXTREMES):
            self.state[i] = 0
        for finder in self.finders:
            finder.forget()

    def sway_repeats(self, last, period):
        """Correlation in percent of the sideways acceleration up to sample `last` with that of `period` before."""
        return _sway(self.state, 0, last, self.state, min(period, RING_SAMPLES // 2 - FRAME))

    def turned(self, first, last):
        """Degrees turned about the vertical, to the left positive, from sample `first` to `last`."""
        return turned_deg(self.state, first, last)

    def largest_kept(self, first, last):
        """Index of the largest recent peak of the narrow finder between two samples; -1 if there is none."""
        return largest_kept(self.state, first, last)

    def measure(self, words, previous):
        """Fill in the words of a step: the sums over the samples since that of index `previous`, and how many."""
        measure(self.state, 0, previous, words, self.state)
