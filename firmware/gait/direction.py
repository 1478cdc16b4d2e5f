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

from fixedpoint import WORD_SHIFT, isqrt, percent_of_root, percent_of_roots

from firmware.gait.signals import (
    S_EDGE,
    S_EDGE2,
    S_FORWARD2,
    S_FORWARD_VELOCITY,
    S_VELOCITY2,
    S_VERTICAL2,
    SUMS,
    add_sums,
)

DIRECTIONS = ("forward", "backward", "sideways", "unknown")
FORWARD, BACKWARD, SIDEWAYS, UNKNOWN = 0, 1, 2, 3
_NO_SUMS = bytes(4 * SUMS)

# Percent. Real backward walking: rho .57 to .89, edge .13 to .52, R .50 to 1.10; quick forward walking: rho -.93 to
# -.57, edge -.67 to -.13.
_RHO_FORWARD = -15
_RHO_BACKWARD = 35
_EDGE_BACKWARD = 5
_BOTH_BACKWARD = 50
_EDGE_ALONE = 8
_RATIO_BACKWARD = 55
_RATIO_RUN = 70
# What a single step must reach for not to contradict "backward": itself, and a neighbour.
_RHO_OWN, _RHO_NEIGHBOUR = 20, -20
# Ring units of 1.952 mg: 0.05 g to and fro; 0.38 g and 0.25 g up and down. Real backward walking: .14; .12 to .30.
_FORE_AFT_RMS = 26
_RUN_RMS = 195
_QUICK_RUN_RMS = 128
# Mean step times at 104 Hz: below 0.48 s a strong bounce is a run, below 0.42 s nothing is backward.
_RUN_SAMPLES = 50
_QUICK_SAMPLES = 44


def decide(step, before, after):
    """(direction, confidence) of a Footfall, between its neighbours as far as they are known (or None)."""
    sums, samples, steps = together(step, before, after)
    if not samples:
        return UNKNOWN, 0
    rho = rho_of(sums)
    edge = edge_of(sums)
    if step.braking:
        if edge < _EDGE_ALONE or samples < _QUICK_SAMPLES * steps or not _moves(sums, samples):
            return UNKNOWN, 0
        return BACKWARD, min(85, 60 + edge)
    if rho < _RHO_FORWARD:
        return FORWARD, _sure_of_forward(rho, edge)
    if rho <= _RHO_BACKWARD or edge <= _EDGE_BACKWARD or rho + edge <= _BOTH_BACKWARD:
        return UNKNOWN, 0
    ratio = ratio_of(sums)
    if not may_be_backward(ratio, sums, samples, steps):
        return UNKNOWN, 0
    for each, least in ((before, _RHO_NEIGHBOUR), (step, _RHO_OWN), (after, _RHO_NEIGHBOUR)):
        if each and each.samples and rho_of(each.sums) < least:
            return UNKNOWN, 0
    return BACKWARD, _sure_of_backward(rho + edge, ratio)


def together(step, before, after):
    """(sums, samples, steps): a quarter of the sums of a Footfall and its neighbours, and how much they cover."""
    sums = array("i", _NO_SUMS)
    samples = steps = 0
    for each in (before, step, after):
        if each and each.samples:
            samples += each.samples
            steps += 1
            add_sums(sums, each.sums, 2, WORD_SHIFT)
    return sums, samples, steps


def may_be_backward(ratio, sums, samples, steps):
    """Whether these steps move enough to and fro, and not as in a run or on stairs; arguments as of together()."""
    return ratio > _RATIO_BACKWARD and _moves(sums, samples) and not _runs(ratio, sums, samples, steps)


def _sure_of_forward(rho, edge):
    """85 at the threshold, 99 from rho = -50 percent on; 10 less where the edge says backward."""
    sure = 85 + (_RHO_FORWARD - rho) * 2 // 5
    if edge > 2 * _EDGE_BACKWARD:
        sure -= 10
    return min(99, sure)


def _sure_of_backward(both, ratio):
    """60 at the threshold of rho + edge, 97 from 120 percent on; at most 80 where R only just allows it."""
    return min(97, 60 + (both - _BOTH_BACKWARD) * 8 // 15, 80 + ratio - _RATIO_BACKWARD)


def rho_of(sums):
    """Correlation of forward acceleration and upward velocity, in percent."""
    return percent_of_roots(sums[S_FORWARD_VELOCITY] >> 1, sums[S_FORWARD2] >> 1, sums[S_VELOCITY2] >> 1)


def ratio_of(sums):
    """Rms of the forward acceleration in percent of the vertical one."""
    return percent_of_root(sums[S_FORWARD2], sums[S_VERTICAL2])


def edge_of(sums):
    """How much faster the forward acceleration rises than it falls, in percent."""
    whole = sums[S_EDGE2] // 100
    return sums[S_EDGE] // whole if whole else 0


def _moves(sums, samples):
    return isqrt(sums[S_FORWARD2] // samples * 4) >= _FORE_AFT_RMS


def _runs(ratio, sums, samples, steps):
    if samples < _QUICK_SAMPLES * steps:
        return True
    bounce = isqrt(sums[S_VERTICAL2] // samples * 4)
    return (
        ratio < _RATIO_RUN
        and samples < _RUN_SAMPLES * steps
        and (bounce > _RUN_RMS or (bounce > _QUICK_RUN_RMS and samples < (_QUICK_SAMPLES + 1) * steps))
    )
