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

from firmware.gait.signals import STEP_WORDS

DIRECTIONS = ("forward", "backward", "sideways", "unknown")
FORWARD = const(0)
BACKWARD = const(1)
SIDEWAYS = const(2)
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


# A verdict in one word is the direction times 128 plus the confidence.
_DIRECTION_SHIFT = const(7)
_UNDECIDED = const(UNKNOWN << _DIRECTION_SHIFT)
# Of the sums of several steps, where a step has its vertical: how many they are.
_STEPS = const(9)
_NO_STEP = array("i", bytes(4 * STEP_WORDS))
# Where steps are added up: nothing is allocated for each.
_TOTAL = array("i", bytes(4 * STEP_WORDS))


def decide(step, before, after):
    """(direction, confidence) of a Footfall, between its neighbours as far as they are known (or None)."""
    verdict = _judge(
        before.words if before else _NO_STEP,
        step.words,
        after.words if after else _NO_STEP,
        _TOTAL,
        WORD_SHIFT,
    )
    return verdict >> _DIRECTION_SHIFT, verdict & 127


def together(step, before, after):
    """(sums, samples, steps): a quarter of the sums of a Footfall and its neighbours, and how much they cover."""
    sums = array("i", _NO_STEP)
    _add_up(
        before.words if before else _NO_STEP, step.words, after.words if after else _NO_STEP, sums, WORD_SHIFT
    )
    return sums, sums[_W_SAMPLES], sums[_STEPS]


@micropython.viper
def _add_up(before: ptr32, step: ptr32, after: ptr32, total: ptr32, sh: int):
    for k in range(8):
        value = (((before[k] << sh) >> sh) >> 2) + (((step[k] << sh) >> sh) >> 2)
        total[k] = value + (((after[k] << sh) >> sh) >> 2)
    total[_W_SAMPLES] = before[_W_SAMPLES] + step[_W_SAMPLES] + after[_W_SAMPLES]
    steps = 0
    if before[_W_SAMPLES]:
        steps += 1
    if step[_W_SAMPLES]:
        steps += 1
    if after[_W_SAMPLES]:
        steps += 1
    total[_STEPS] = steps


@micropython.viper
def _judge(before: ptr32, step: ptr32, after: ptr32, total: ptr32, sh: int) -> int:
    """The verdict on `step`; a neighbour that is not known has no samples. total: room for the sums."""
    _add_up(before, step, after, total, sh)
    samples = total[_W_SAMPLES]
    steps = total[_STEPS]
    if samples == 0:
        return _UNDECIDED
    rho = int(rho_of(total))
    edge = int(edge_of(total))
    if step[_W_BRAKING]:
        if edge < _EDGE_ALONE or samples < _QUICK_SAMPLES * steps or int(_moves(total, samples)) == 0:
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
    ratio = int(ratio_of(total))
    if int(may_be_backward(ratio, total, samples, steps)) == 0:
        return _UNDECIDED
    if step[_W_SAMPLES] and int(rho_of(step)) < _RHO_OWN:
        return _UNDECIDED
    if before[_W_SAMPLES] and int(rho_of(before)) < _RHO_NEIGHBOUR:
        return _UNDECIDED
    if after[_W_SAMPLES] and int(rho_of(after)) < _RHO_NEIGHBOUR:
        return _UNDECIDED
    # 60 at the threshold of rho + edge, 97 from 120 percent on; at most 80 where R only just allows it.
    sure = 60 + (rho + edge - _BOTH_BACKWARD) * 8 // 15
    if sure > 97:
        sure = 97
    if sure > 80 + ratio - _RATIO_BACKWARD:
        sure = 80 + ratio - _RATIO_BACKWARD
    return (BACKWARD << _DIRECTION_SHIFT) + sure


@micropython.viper
def may_be_backward(ratio: int, sums: ptr32, samples: int, steps: int) -> int:
    """Whether these steps move enough to and fro, and not as in a run or on stairs; arguments as of together()."""
    if ratio <= _RATIO_BACKWARD or int(_moves(sums, samples)) == 0 or samples < _QUICK_SAMPLES * steps:
        return 0
    if ratio >= _RATIO_RUN or samples >= _RUN_SAMPLES * steps:
        return 1
    bounce = int(isqrt(sums[_S_VERTICAL2] // samples * 4))
    if bounce > _RUN_RMS or (bounce > _QUICK_RUN_RMS and samples < (_QUICK_SAMPLES + 1) * steps):
        return 0
    return 1


@micropython.viper
def _moves(sums: ptr32, samples: int) -> int:
    if int(isqrt(sums[_S_FORWARD2] // samples * 4)) < _FORE_AFT_RMS:
        return 0
    return 1


@micropython.viper
def rho_of(sums: ptr32) -> int:
    """Correlation of forward acceleration and upward velocity, in percent."""
    sh = int(WORD_SHIFT)
    cross = ((sums[_S_FORWARD_VELOCITY] << sh) >> sh) >> 1
    return int(percent_of_roots(cross, sums[_S_FORWARD2] >> 1, sums[_S_VELOCITY2] >> 1))


@micropython.viper
def ratio_of(sums: ptr32) -> int:
    """Rms of the forward acceleration in percent of the vertical one."""
    return int(percent_of_root(sums[_S_FORWARD2], sums[_S_VERTICAL2]))


@micropython.viper
def edge_of(sums: ptr32) -> int:
    """How much faster the forward acceleration rises than it falls, in percent."""
    sh = int(WORD_SHIFT)
    whole = sums[_S_EDGE2] // 100
    if whole == 0:
        return 0
    return ((sums[_S_EDGE] << sh) >> sh) // whole
