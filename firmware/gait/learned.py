"""A learned second opinion on which way a step went: its features, and what it may change.

Input: the verdict of direction.py on a Footfall, the Footfall and its neighbours. Output: a verdict again. Nothing of
this is loaded where no model is installed.

A model is a module that `retrostep train` wrote, with integers only:

    INTERFACE   as here, or it is refused
    FEATURES    the names that it was trained on: FEATURES here, or it is refused
    NAME, HASH  what it is called, and a digest of the data, the parameters and the code that made it
    decide(features)    -> (direction, confidence 0 .. 100)

What it may do is narrow, since physics needs no people to learn from and a model has seen few:

- veto: a decided step becomes unknown where the model is fairly sure of something else;
- grade: where it agrees, the confidence is the mean of both;
- decide: an undecided step gets a direction where the model is very sure, but never where running or stairs were
  recognised, and never more than GRADE_DECIDED.

Without a mounting no step gets here (trunk.py).
"""

from fixedpoint import isqrt, percent_of_root, percent_of_roots

from firmware.gait.direction import UNKNOWN, edge_of, may_be_backward, ratio_of, rho_of, together
from firmware.gait.signals import S_LEFT2, S_LEFT_VELOCITY, S_VELOCITY2, S_VERTICAL2

# Counts the changes of FEATURES, of their meaning, or of what a model must have.
INTERFACE = 1
FEATURES = (
    "rho_percent",
    "rho_own_percent",
    "rho_before_percent",
    "rho_after_percent",
    "edge_percent",
    "edge_own_percent",
    "sway_rho_percent",
    "ratio_percent",
    "sway_percent",
    "bounce_mg",
    "step_ms",
    "uneven_percent",
    "swing_percent",
    "turned_deg",
    "braking_percent",
)
# The largest value of each, either sign; with them a model can prove that its sums fit 31 bits.
LIMITS = (100, 100, 100, 100, 100, 100, 100, 400, 400, 2000, 2000, 100, 400, 180, 100)

CONFIDENCE_TO_VETO = 80
CONFIDENCE_TO_DECIDE = 95
GRADE_DECIDED = 85

_MG_PER_RING_UNIT = 2


def features(step, before, after, front):
    """The values of FEATURES for a step with a measured interval; None without one.

    The first of each kind is of the step and its neighbours together (sums added before they are divided), "own" of
    the step alone; a neighbour that is missing counts as the step itself. sway: sideways motion, as rho and ratio are
    of forward motion. uneven: how far apart the intervals are. swing: against the step before. front: a FrontEnd.
    """
    if not step.samples:
        return None
    sums, samples, steps = together(step, before, after)
    own = rho_of(step.sums)
    has_before = before and before.samples
    shortest = longest = step.samples
    for each in (before, after):
        if each and each.samples:
            shortest = min(shortest, each.samples)
            longest = max(longest, each.samples)
    values = [
        rho_of(sums),
        own,
        rho_of(before.sums) if has_before else own,
        rho_of(after.sums) if after and after.samples else own,
        edge_of(sums),
        edge_of(step.sums),
        percent_of_roots(sums[S_LEFT_VELOCITY] >> 1, sums[S_LEFT2] >> 1, sums[S_VELOCITY2] >> 1),
        ratio_of(sums),
        percent_of_root(sums[S_LEFT2], sums[S_VERTICAL2]),
        isqrt(sums[S_VERTICAL2] // samples * 4) * _MG_PER_RING_UNIT,
        samples * 1000 // (104 * steps),
        (longest - shortest) * 100 // longest,
        step.swing * 100 // max(before.swing, 1) if before else 100,
        abs(front.turned(step.index - step.samples, step.index)),
        100 if step.braking else 0,
    ]
    for k in range(len(LIMITS)):
        values[k] = max(-LIMITS[k], min(LIMITS[k], values[k]))
    return values


class Model:
    """A model module that fits this firmware. Raises ValueError, which says what does not fit."""

    def __init__(self, module):
        interface = getattr(module, "INTERFACE", None)
        if interface != INTERFACE:
            raise ValueError("it has interface %s, this firmware %d; train it anew" % (interface, INTERFACE))
        if module.FEATURES != FEATURES:
            raise ValueError("its features are not this firmware's; train it anew")
        self.name = "%s-%s" % (module.NAME, module.HASH[:8])
        self._decide = module.decide
        self._decide([0] * len(FEATURES))

    def weigh(self, verdict, step, before, after, front):
        """(direction, confidence) of a Footfall, given those of direction.decide()."""
        values = features(step, before, after, front)
        if values is None:
            return verdict
        may_decide = verdict[0] == UNKNOWN and _may_decide(step, before, after)
        return fused(verdict, self._decide(values), may_decide)


def fused(verdict, opinion, may_decide):
    """What holds, of the verdict of physics and the opinion of a model, each (direction, confidence)."""
    direction, confidence = verdict
    other, sureness = opinion
    if direction == UNKNOWN:
        if other == UNKNOWN or sureness < CONFIDENCE_TO_DECIDE or not may_decide:
            return verdict
        return other, min(sureness, GRADE_DECIDED)
    if other == direction:
        return direction, (confidence + sureness) // 2
    if sureness >= CONFIDENCE_TO_VETO:
        return UNKNOWN, 0
    return verdict


def _may_decide(step, before, after):
    sums, samples, steps = together(step, before, after)
    return may_be_backward(ratio_of(sums), sums, samples, steps)
