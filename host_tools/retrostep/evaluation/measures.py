"""Figures from Scores: how many steps, how well timed, which way, how fast. None where there is no case."""

from collections.abc import Iterable

from retrostep.evaluation.scoring import Score
from retrostep.evaluation.statistics import Figure, Part, quantile, ratio


def _part(one: Score, numerator: float, denominator: float) -> Part:
    return Part(one.facts.person, one.facts.file, numerator, denominator)


def count_error(scores: Iterable[Score]) -> Figure | None:
    """Mean over recordings of |found - true| / true, in percent (MAPE); n: recordings."""
    parts = [
        _part(one, abs(one.found_steps - one.true_steps) / one.true_steps, 1)
        for one in scores
        if one.true_steps
    ]
    return ratio(parts, "%", kind="mean", scale=100)


def hand_count_error(scores: Iterable[Score]) -> Figure | None:
    """The same against steps counted by hand, where no contact is annotated."""
    parts = [
        _part(one, abs(one.found.total() - one.facts.counted) / one.facts.counted, 1)
        for one in scores
        if one.facts.counted
    ]
    return ratio(parts, "%", kind="mean", scale=100)


def f1(scores: Iterable[Score], near: bool = False, own_lag: bool = False) -> Figure | None:
    """F1 of steps within 0.25 s (near) or 0.1 s, pooled over recordings; n: true steps.

    own_lag: at 0.1 s, after removing the lag of each recording instead of that of its source.
    """
    parts = []
    true_steps = 0
    for one in scores:
        hits = one.hits_near if near else one.hits_close_own_lag if own_lag else one.hits_close
        parts.append(_part(one, 2 * hits, one.true_steps + one.found_steps))
        true_steps += one.true_steps
    return ratio(parts, "", kind="mean", n=true_steps) if true_steps else None


def found_share(scores: Iterable[Score], direction: str) -> Figure | None:
    """Of the true steps of a direction, how many were found (within 0.25 s), in percent."""
    parts = [
        _part(
            one,
            sum(step.true == direction for step in one.matched),
            one.facts.true_directions.count(direction),
        )
        for one in scores
    ]
    return ratio(parts, "%", scale=100)


def called(
    scores: Iterable[Score], true: str, found: str, per: int = 1000, straight: bool = False
) -> Figure | None:
    """Of the found steps that truly go one way, how many were called `found`.

    per: 1000 or 100. straight: without those that lead through a turn.
    """
    parts = []
    for one in scores:
        of_them = [step for step in one.judged if step.true == true and not (straight and step.turning)]
        parts.append(_part(one, sum(step.found == found for step in of_them), len(of_them)))
    return ratio(parts, "%" if per == 100 else f"/{per}", scale=per)


def false_an_hour(scores: Iterable[Score], direction: str | None = None) -> Figure | None:
    """Steps found where none was walked, an hour; n: those steps."""
    scores = list(scores)
    parts = [
        _part(
            one,
            one.quiet_found[direction] if direction else one.quiet_found.total(),
            one.quiet_s / 3600,
        )
        for one in scores
        if one.quiet_s
    ]
    return ratio(parts, "/h", kind="rate", n=round(sum(part.numerator for part in parts)))


def latency(scores: Iterable[Score], q: float) -> Figure | None:
    """Quantile of the time from a true contact to its settled direction."""
    return quantile(((one.facts.person, step.latency_s) for one in scores for step in one.matched), q, "s")


def worst(
    scores: Iterable[Score], true: str, found: str, fewest: int, by: str = "person"
) -> tuple[str, float, int] | None:
    """The person (or file) with the largest share per 1,000 of steps that go `true` called `found`; its steps.

    Only those with at least `fewest` such steps.
    """
    counts: dict[str, list[int]] = {}
    for one in scores:
        steps = [step for step in one.judged if step.true == true]
        sums = counts.setdefault(getattr(one.facts, by), [0, 0])
        sums[0] += sum(step.found == found for step in steps)
        sums[1] += len(steps)
    shares = [(1000 * hits / n, name, n) for name, (hits, n) in counts.items() if n >= fewest]
    if not shares:
        return None
    share, name, n = max(shares)
    return name, share, n
