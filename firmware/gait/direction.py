"""Which way a step went, seen from the waist.

Input: a step and its neighbours, each with the sums over its interval (signals.py). Output: a direction and a
confidence of 0 .. 100.

Two things tell, and they are independent of each other:

- rho. The body is fastest in double support, when it is lowest, and slowest over the standing leg. So while it rises
  it slows down: walking forward, forward acceleration and upward velocity have opposite signs; walking backward,
  "slowing down" is an acceleration to the front, and they have the same. rho is their correlation.
- edge. The foot that comes down brakes within a tenth of a second; the push that follows takes the rest of the step.
  So the forward acceleration drops fast and recovers slowly in walking forward, and rises fast in walking
  backward. edge is the sum of squares of its rises less that of its falls, over the sum of both.

The sums of the three steps are added before they are divided, so each votes by its strength; a step is called
backward only if none of the three by itself says otherwise, since turning round shows a step or two of that sign.

Two things have the rho of walking backward and are not. In running the order turns round: the body is lowest in
mid-stance and fastest in flight. On stairs the legs lift and lower it. Both throw the body up more than to and fro,
so backward needs R, the ratio of horizontal to vertical rms, above 0.55; a strong bounce at a quick step is a run;
and nobody walks backward at 145 steps a minute. Of those only "not known" can be said.

Where the body hardly rises and falls, rho is noise. Such steps are found by their braking (steps.py), and then the
edge alone decides.

The confidence is the share of steps that were right where the evidence was as strong, set by hand with room for other
people: near the threshold turning, stairs and side steps are found among the steps called backward, far from it none.
Steps called forward were hardly ever wrong. docs/gait.md has the figures.

Sideways steps do not show at the waist; they come out as unknown, sometimes wrongly.
"""

from array import array

import micropython
from fixedpoint import WORD_SHIFT, isqrt, percent_of_root, percent_of_roots
from micropython import const

from firmware.gait.signals import S_FORWARD2, S_VERTICAL2, STEP_WORDS, W_SAMPLES

# As in __init__.py: viper knows no other module's constants.
FORWARD = const(0)
BACKWARD = const(1)
UNKNOWN = const(3)

# Words of a step, as in signals.py: viper knows no other module's constants.
_S_FORWARD_VELOCITY = const(0)
_S_FORWARD2 = const(2)
_S_VELOCITY2 = const(4)
_S_VERTICAL2 = const(5)
_S_EDGE = const(6)
_S_EDGE2 = const(7)
_W_SAMPLES = const(8)
_W_BRAKING = const(14)

# Percent. Real backward walking: rho .57 to .89, edge .13 to .52, R .50 to 1.10; quick forward walking: rho -.93 to
# -.57, edge -.67 to -.13.
_RHO_FORWARD = const(-15)
_RHO_BACKWARD = const(35)
_EDGE_BACKWARD = const(5)
_BOTH_BACKWARD = const(50)
_EDGE_ALONE = const(8)
_RATIO_BACKWARD = const(55)
_RATIO_RUN = const(70)
# What a single step must reach for not to contradict "backward": itself, and a neighbour.
_RHO_OWN = const(20)
_RHO_NEIGHBOUR = const(-20)
# Ring units of 1.952 mg: 0.05 g to and fro; 0.38 g and 0.25 g up and down. Real backward walking: .14; .12 to .30.
_FORE_AFT_RMS = const(26)
_RUN_RMS = const(195)
_QUICK_RUN_RMS = const(128)
# Mean step times at 104 Hz: below 0.48 s a strong bounce is a run, below 0.42 s nothing is backward.
_RUN_SAMPLES = const(50)
_QUICK_SAMPLES = const(44)


# A verdict in one word is the direction times 128 plus the confidence. The stability's score may follow, in the bits
# above; NO_SCORE if there is none.
_DIRECTION_SHIFT = const(7)
SCORE_SHIFT = const(9)
NO_SCORE = const(127)
_UNDECIDED = const(UNKNOWN << _DIRECTION_SHIFT)
# Of the sums of several steps, where a step has its vertical: how many they are.
_STEPS = const(9)
# Room for three steps and their sum.
_STEPS_ADDED = array("i", bytes(4 * 4 * STEP_WORDS))


def decide(step, before, after):
    """(direction, confidence) of a Footfall, between its neighbours as far as they are known (or None)."""
    words = _side_by_side(step, before, after)
    verdict = judge(words, WORD_SHIFT, 0, STEP_WORDS, 2 * STEP_WORDS, 3 * STEP_WORDS)
    return verdict >> _DIRECTION_SHIFT, verdict & 127


def packed(direction, confidence):
    """A verdict in one word, without a score."""
    return (direction << _DIRECTION_SHIFT) + confidence


def together(step, before, after):
    """(sums, samples, steps): a quarter of the sums of a Footfall and its neighbours, and how much they cover."""
    words = _side_by_side(step, before, after)
    judge(words, WORD_SHIFT, 0, STEP_WORDS, 2 * STEP_WORDS, 3 * STEP_WORDS)
    sums = words[3 * STEP_WORDS :]
    return sums, sums[W_SAMPLES], sums[_STEPS]


def _side_by_side(step, before, after):
    words = _STEPS_ADDED
    for k in range(STEP_WORDS):
        words[k] = before.words[k] if before else 0
        words[STEP_WORDS + k] = step.words[k]
        words[2 * STEP_WORDS + k] = after.words[k] if after else 0
    return words


@micropython.viper
def judge(words: ptr32, sh: int, before: int, step: int, after: int, total: int) -> int:
    """The verdict on the step whose words begin at words[step]; a neighbour that is not known has no samples.

    total: where the sums are written. sh: WORD_SHIFT.
    """
    one = ptr32(int(words) + 4 * before)
    two = ptr32(int(words) + 4 * step)
    three = ptr32(int(words) + 4 * after)
    sums = ptr32(int(words) + 4 * total)
    for _ in range(8):
        value = (((one[0] << sh) >> sh) >> 2) + (((two[0] << sh) >> sh) >> 2)
        sums[0] = value + (((three[0] << sh) >> sh) >> 2)
        one = ptr32(int(one) + 4)
        two = ptr32(int(two) + 4)
        three = ptr32(int(three) + 4)
        sums = ptr32(int(sums) + 4)
    samples = words[before + _W_SAMPLES] + words[step + _W_SAMPLES] + words[after + _W_SAMPLES]
    words[total + _W_SAMPLES] = samples
    steps = 0
    if words[before + _W_SAMPLES]:
        steps += 1
    if words[step + _W_SAMPLES]:
        steps += 1
    if words[after + _W_SAMPLES]:
        steps += 1
    words[total + _STEPS] = steps
    if samples == 0:
        return _UNDECIDED
    rho = ((words[total + _S_FORWARD_VELOCITY] << sh) >> sh) >> 1
    # As percent_of_roots() does, but a call costs more.
    square = words[total + _S_FORWARD2] >> 1
    roots = words[total + _S_VELOCITY2] >> 1
    if square == 0 or roots == 0:
        rho = 0
    else:
        for k in range(2):
            better = 1
            rest = square
            while rest > 255:
                rest >>= 8
                better <<= 4
            while rest > 0:
                rest >>= 2
                better <<= 1
            root = better + 1
            while better < root:
                root = better
                better = (root + square // root) >> 1
            if k:
                roots *= root
            else:
                square = roots
                roots = root
        rho = rho // (roots // 100) if roots >= 1048576 else rho * 100 // roots
    edge = words[total + _S_EDGE2] // 100
    if edge:
        edge = ((words[total + _S_EDGE] << sh) >> sh) // edge
    fore_aft = words[total + _S_FORWARD2]
    vertical = words[total + _S_VERTICAL2]
    if words[step + _W_BRAKING]:
        if edge < _EDGE_ALONE or samples < _QUICK_SAMPLES * steps or int(_moves(fore_aft, samples)) == 0:
            return _UNDECIDED
        sure = 60 + edge
        if sure > 85:
            sure = 85
        return (BACKWARD << _DIRECTION_SHIFT) + sure
    if rho < _RHO_FORWARD:
        # 85 at the threshold, 99 from rho = -50 percent on; 10 less where the edge says backward.
        sure = 85 + (_RHO_FORWARD - rho) * 2 // 5
        if edge > 2 * _EDGE_BACKWARD:
            sure -= 10
        if sure > 99:
            sure = 99
        return (FORWARD << _DIRECTION_SHIFT) + sure
    if rho <= _RHO_BACKWARD or edge <= _EDGE_BACKWARD or rho + edge <= _BOTH_BACKWARD:
        return _UNDECIDED
    ratio = int(percent_of_root(fore_aft, vertical))
    if int(_may_be_backward(ratio, fore_aft, vertical, samples, steps)) == 0:
        return _UNDECIDED
    if words[step + _W_SAMPLES] and int(_rho(words, step)) < _RHO_OWN:
        return _UNDECIDED
    if words[before + _W_SAMPLES] and int(_rho(words, before)) < _RHO_NEIGHBOUR:
        return _UNDECIDED
    if words[after + _W_SAMPLES] and int(_rho(words, after)) < _RHO_NEIGHBOUR:
        return _UNDECIDED
    # 60 at the threshold of rho + edge, 97 from 120 percent on; at most 80 where R only just allows it.
    sure = 60 + (rho + edge - _BOTH_BACKWARD) * 8 // 15
    if sure > 97:
        sure = 97
    if sure > 80 + ratio - _RATIO_BACKWARD:
        sure = 80 + ratio - _RATIO_BACKWARD
    return (BACKWARD << _DIRECTION_SHIFT) + sure


@micropython.viper
def _may_be_backward(ratio: int, fore_aft2: int, vertical2: int, samples: int, steps: int) -> int:
    if ratio <= _RATIO_BACKWARD or int(_moves(fore_aft2, samples)) == 0 or samples < _QUICK_SAMPLES * steps:
        return 0
    if ratio >= _RATIO_RUN or samples >= _RUN_SAMPLES * steps:
        return 1
    bounce = int(isqrt(vertical2 // samples * 4))
    if bounce > _RUN_RMS or (bounce > _QUICK_RUN_RMS and samples < (_QUICK_SAMPLES + 1) * steps):
        return 0
    return 1


@micropython.viper
def _moves(fore_aft2: int, samples: int) -> int:
    if int(isqrt(fore_aft2 // samples * 4)) < _FORE_AFT_RMS:
        return 0
    return 1


@micropython.viper
def _rho(words: ptr32, at: int) -> int:
    sh = int(WORD_SHIFT)
    cross = ((words[at + _S_FORWARD_VELOCITY] << sh) >> sh) >> 1
    return int(percent_of_roots(cross, words[at + _S_FORWARD2] >> 1, words[at + _S_VELOCITY2] >> 1))


@micropython.viper
def _edge(words: ptr32, at: int) -> int:
    sh = int(WORD_SHIFT)
    whole = words[at + _S_EDGE2] // 100
    if whole == 0:
        return 0
    return ((words[at + _S_EDGE] << sh) >> sh) // whole


def may_be_backward(ratio, sums, samples, steps):
    """Whether these steps move enough to and fro, and not as in a run or on stairs; arguments as of together()."""
    return _may_be_backward(ratio, sums[S_FORWARD2], sums[S_VERTICAL2], samples, steps) != 0


def rho_of(sums):
    """Correlation of forward acceleration and upward velocity, in percent."""
    return _rho(sums, 0)


def ratio_of(sums):
    """Rms of the forward acceleration in percent of the vertical one."""
    return percent_of_root(sums[S_FORWARD2], sums[S_VERTICAL2])


def edge_of(sums):
    """How much faster the forward acceleration rises than it falls, in percent."""
    return _edge(sums, 0)
