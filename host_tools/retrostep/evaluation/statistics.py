"""Figures with their uncertainty: how many cases, how many people, a 95 % interval.

Steps of one person resemble each other, so the interval comes from drawing people, not steps, with replacement
(bootstrap, seeded). With fewer than five people, recordings are drawn instead. Where drawing shows no spread
(nothing went wrong, or everything did) it says nothing: then a share gets Wilson's interval and a rate an hour
the exact Poisson one, which take steps for independent and are named as such in `interval`.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

Z95 = 1.959964
DRAWS = 1000
SEED = 20260101
FEWEST_PEOPLE = 5


@dataclass(frozen=True)
class Figure:
    """value in `unit` ("%", "", "/h", "/1000", "s", "deg"); n cases of `people` persons; [low, high] at 95 %."""

    value: float
    unit: str
    n: int
    people: int
    low: float | None = None
    high: float | None = None
    interval: str = ""  # what was drawn, or the formula: people, recordings, Wilson, Poisson

    def as_json(self) -> dict[str, Any]:
        return {key: _rounded(value) for key, value in asdict(self).items()}


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


@dataclass(frozen=True)
class Part:
    """What one recording contributes to a ratio of sums."""

    person: str
    recording: str
    numerator: float
    denominator: float


def ratio(
    parts: Iterable[Part], unit: str, *, kind: str = "share", scale: float = 1.0, n: int | None = None
) -> Figure | None:
    """scale x sum of numerators / sum of denominators. None without a case.

    kind: "share" (numerator of denominator cases), "rate" (numerator events in a denominator of hours) or
    "mean" (anything else). n: number of cases; by default the sum of denominators.
    """
    parts = [part for part in parts if part.denominator > 0 or part.numerator > 0]
    top = sum(part.numerator for part in parts)
    bottom = sum(part.denominator for part in parts)
    if bottom <= 0:
        return None
    people = len({part.person for part in parts})
    low, high, how = _interval(parts, top, bottom, kind)
    return Figure(
        scale * top / bottom,
        unit,
        round(bottom) if n is None else n,
        people,
        None if low is None else scale * low,
        None if high is None else scale * high,
        how,
    )


def _interval(parts: list[Part], top: float, bottom: float, kind: str):
    by_person = _sums(parts, "person")
    units, how = (by_person, "people")
    if len(by_person) < FEWEST_PEOPLE:
        units, how = _sums(parts, "recording"), "recordings"
    if len(units) >= FEWEST_PEOPLE:
        drawn = drawn_ratios(units)
        low, high = np.percentile(drawn, [2.5, 97.5])
        if high > low:
            return float(low), float(high), how
    if kind == "share":
        return *wilson(top, bottom), "Wilson"
    if kind == "rate":
        return *poisson_rate(round(top), bottom), "Poisson"
    return None, None, ""


def _sums(parts: list[Part], of: str) -> np.ndarray:
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for part in parts:
        one = sums[getattr(part, of)]
        one[0] += part.numerator
        one[1] += part.denominator
    return np.array(list(sums.values()))


def drawn_ratios(units: np.ndarray, draws: int = DRAWS, seed: int = SEED) -> np.ndarray:
    """Ratios of sums of `draws` draws with replacement from units, rows of (numerator, denominator)."""
    rng = np.random.Generator(np.random.PCG64(seed))
    sums = units[rng.integers(0, len(units), (draws, len(units)))].sum(axis=1)
    return sums[sums[:, 1] > 0, 0] / sums[sums[:, 1] > 0, 1]


def wilson(hits: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927)."""
    share = hits / n
    centre = share + Z95**2 / (2 * n)
    spread = Z95 * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n * n))
    under = 1 + Z95**2 / n
    return max(0.0, (centre - spread) / under), min(1.0, (centre + spread) / under)


def poisson_rate(events: int, hours: float) -> tuple[float, float]:
    """Exact 95 % interval of a rate (F. Garwood, Biometrika 28, 1936)."""
    low = 0.0 if events == 0 else _solve(lambda mean: 1 - _poisson_below(events, mean) - 0.025, events)
    high = _solve(lambda mean: 0.025 - _poisson_below(events + 1, mean), events)
    return low / hours, high / hours


def _poisson_below(k: int, mean: float) -> float:
    """Probability of fewer than k events."""
    log = [i * math.log(mean) - mean - math.lgamma(i + 1) for i in range(k)] if mean > 0 else [0.0]
    return math.fsum(math.exp(one) for one in log)


def _solve(rising: Any, events: int) -> float:
    low, high = 0.0, 2.0 * events + 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2


def quantile(values: Iterable[tuple[str, float]], q: float, unit: str) -> Figure | None:
    """The q-quantile of (person, value) cases, its interval by drawing people."""
    by_person: dict[str, list[float]] = defaultdict(list)
    for person, value in values:
        by_person[person].append(value)
    if not by_person:
        return None
    people = [np.array(one) for one in by_person.values()]
    pooled = np.concatenate(people)
    low = high = None
    if len(people) >= FEWEST_PEOPLE:
        rng = np.random.Generator(np.random.PCG64(SEED))
        drawn = [
            np.quantile(np.concatenate([people[i] for i in rng.integers(0, len(people), len(people))]), q)
            for _ in range(200)
        ]
        low, high = (float(one) for one in np.percentile(drawn, [2.5, 97.5]))
    how = "people" if low is not None else ""
    return Figure(float(np.quantile(pooled, q)), unit, len(pooled), len(people), low, high, how)
