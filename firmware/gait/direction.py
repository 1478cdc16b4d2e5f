"""Which way a step went, seen from the waist.

Input: a step and its neighbours, each with the sums over its interval (signals.py). Output: a direction and a
confidence of 0 .. 100.

The body is fastest in double support, when it is lowest, and slowest over the standing leg. So while it rises
it slows down: walking forward, forward acceleration and upward velocity have opposite signs; walking backward,
"slowing down" is an acceleration to the front, and they have the same. rho is their correlation.

The sums of the three steps are added before they are divided, so each votes by its strength; a step is called
backward only if none of the three by itself says otherwise, since turning round shows a step or two of that sign.

Two things look like walking backward and are not. In running the order turns round: the body is lowest in mid-stance
and fastest in flight. On stairs the legs lift and lower it. Both throw the body up more than to and fro, so backward
needs R, the ratio of horizontal to vertical rms, above 0.55, and a strong or quick bounce with R below 0.70 is taken
for a run. Of those only "not known" can be said.

Sideways steps do not show at the waist; they come out as unknown, sometimes wrongly.
"""

from fixedpoint import isqrt, percent_of_root, percent_of_roots

from firmware.gait.signals import S_FORWARD2, S_FORWARD_VELOCITY, S_VELOCITY2, S_VERTICAL2, SUMS

DIRECTIONS = ("forward", "backward", "sideways", "unknown")
FORWARD, BACKWARD, SIDEWAYS, UNKNOWN = 0, 1, 2, 3

# Percent. Real backward walking: rho .55 to .82, R .58 to 1.13; quick forward walking: rho -.92 to -.64.
_RHO_BACKWARD = 35
_RHO_FORWARD = -15
_RATIO_BACKWARD = 55
_RATIO_RUN = 70
# What a single step must reach for not to contradict "backward": itself, and a neighbour.
_RHO_OWN, _RHO_NEIGHBOUR = 20, -20
# Ring units of 1.952 mg: 0.38 g and 0.25 g rms; real backward walking .12 to .30 g.
_RUN_RMS = 195
_QUICK_RUN_RMS = 128
_QUICK_RUN_SAMPLES = 45  # 0.43 s, 140 steps a minute


def decide(step, before, after):
    """(direction, confidence) of a Footfall, between its neighbours as far as they are known (or None)."""
    sums = [0] * SUMS
    samples = 0
    for each in (before, step, after):
        if each:
            samples += each.samples
            for k in range(SUMS):
                sums[k] += each.sums[k] >> 2
    if not samples:
        return UNKNOWN, 0
    rho = _rho(sums)
    if rho < _RHO_FORWARD:
        return FORWARD, _confidence(_RHO_FORWARD - rho, 45)
    ratio = percent_of_root(sums[S_FORWARD2], sums[S_VERTICAL2])
    if rho <= _RHO_BACKWARD or ratio <= _RATIO_BACKWARD:
        return UNKNOWN, 0
    bounce = isqrt(sums[S_VERTICAL2] // samples * 4)
    step_samples = step.samples or (after.samples if after else 0)
    if ratio < _RATIO_RUN and (
        bounce > _RUN_RMS or (bounce > _QUICK_RUN_RMS and step_samples < _QUICK_RUN_SAMPLES)
    ):
        return UNKNOWN, 0
    for each, least in ((before, _RHO_NEIGHBOUR), (step, _RHO_OWN), (after, _RHO_NEIGHBOUR)):
        if each and each.samples and _rho(each.sums) < least:
            return UNKNOWN, 0
    return BACKWARD, min(_confidence(rho - _RHO_BACKWARD, 35), _confidence(ratio - _RATIO_BACKWARD, 20))


def _rho(sums):
    return percent_of_roots(sums[S_FORWARD_VELOCITY] >> 1, sums[S_FORWARD2] >> 1, sums[S_VELOCITY2] >> 1)


def _confidence(margin, full):
    """50 at the threshold, rising to 100 where the margin is `full`."""
    return min(100, 50 + margin * 50 // full)
