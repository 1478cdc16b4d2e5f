"""Days, weeks and months of a wearer, summed up from stretches in the wearer's time zone.

A stretch of unknown time counts on a day only if both its bounds lie on it, and is then marked as bounded; else it is
in a period of its own whose `first` is None. Weeks begin on Monday.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrostep.history import steplog
from retrostep.stretches import NO_TIME

FORWARD, BACKWARD, SIDEWAYS, UNKNOWN = range(4)
_MINUTE_MS = 60_000


def _each() -> dict[str, int]:
    return dict.fromkeys(steplog.DIRECTIONS, 0)


@dataclass
class Period:
    """What was walked from the day `first` to the day `last`; first is None for steps that can't be dated.

    counts, walk_ms, intervals, stability_sum, stability_steps: by direction, as in stretches.STRETCH.
    bouts: walks without a pause longer than 3 s. longest_back_ms, longest_back_steps: the longest bout backward,
    which steps of unknown direction do not end. bounded_steps: how many of the steps are known to be of this day
    only by the boots around theirs. events: by kind. days_walked: days with any step.
    """

    first: date | None
    last: date | None = None
    counts: dict[str, int] = field(default_factory=_each)
    walk_ms: dict[str, int] = field(default_factory=_each)
    intervals: dict[str, int] = field(default_factory=_each)
    stability_sum: dict[str, float] = field(default_factory=lambda: dict.fromkeys(steplog.DIRECTIONS, 0.0))
    stability_steps: dict[str, int] = field(default_factory=_each)
    bouts: int = 0
    bounded_steps: int = 0
    longest_back_ms: int = 0
    longest_back_steps: int = 0
    events: dict[str, int] = field(default_factory=dict)
    days_walked: int = 0

    @property
    def day(self) -> date | None:
        """The first, and of a day the only, day."""
        return self.first

    @property
    def steps(self) -> int:
        """All steps."""
        return sum(self.counts.values())

    @property
    def minutes(self) -> dict[str, float]:
        """Minutes walked, by direction."""
        return {name: ms / _MINUTE_MS for name, ms in self.walk_ms.items()}

    def cadence(self, direction: str) -> float | None:
        """Steps a minute of walking in that direction, None without any."""
        ms = self.walk_ms[direction]
        return self.intervals[direction] * _MINUTE_MS / ms if ms else None

    def stability(self, direction: str) -> float | None:
        """Mean score 0..100 of the steps in that direction that have one, None without any."""
        steps = self.stability_steps[direction]
        return self.stability_sum[direction] / steps if steps else None

    @property
    def unknown_share(self) -> float | None:
        """The part 0..1 of the steps whose direction is unknown."""
        return self.counts["unknown"] / self.steps if self.steps else None

    def add(self, other: Period) -> None:
        """Count another period into this one."""
        for name in steplog.DIRECTIONS:
            self.counts[name] += other.counts[name]
            self.walk_ms[name] += other.walk_ms[name]
            self.intervals[name] += other.intervals[name]
            self.stability_sum[name] += other.stability_sum[name]
            self.stability_steps[name] += other.stability_steps[name]
        self.bouts += other.bouts
        self.bounded_steps += other.bounded_steps
        if other.longest_back_ms > self.longest_back_ms:
            self.longest_back_ms, self.longest_back_steps = other.longest_back_ms, other.longest_back_steps
        for kind, number in other.events.items():
            self.events[kind] = self.events.get(kind, 0) + number
        self.days_walked += other.days_walked

    def as_json(self) -> dict[str, Any]:
        """For --json."""

        def rounded(value: float | None) -> float | None:
            return None if value is None else round(value, 2)

        return {
            "first": self.first.isoformat() if self.first else None,
            "last": self.last.isoformat() if self.last else None,
            "steps": self.counts,
            "minutes": {name: round(value, 2) for name, value in self.minutes.items()},
            "cadence_per_min": {name: rounded(self.cadence(name)) for name in steplog.DIRECTIONS},
            "stability": {name: rounded(self.stability(name)) for name in steplog.DIRECTIONS},
            "bouts": self.bouts,
            "longest_backward_bout": {
                "minutes": round(self.longest_back_ms / _MINUTE_MS, 2),
                "steps": self.longest_back_steps,
            },
            "events": self.events,
            "bounded_steps": self.bounded_steps,
            "days_walked": self.days_walked,
        }


class Calendar:
    """The wearer's days: which day an instant is of. zone None: this computer's, by its rules for that very day."""

    def __init__(self, zone: tzinfo | None) -> None:
        self._zone = zone

    def day(self, utc_ms: int) -> date:
        """The day of one instant."""
        return datetime.fromtimestamp(utc_ms / 1000, timezone.utc).astimezone(self._zone).date()

    def midnight_utc_ms(self, day: date) -> int:
        """When that day begins."""
        midnight = datetime(day.year, day.month, day.day, tzinfo=self._zone)
        return round(midnight.timestamp() * 1000)

    def ordinals(self, utc_ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """date.toordinal() of each instant; NO_TIME stays."""
        known = utc_ms != NO_TIME
        result = np.full(len(utc_ms), NO_TIME)
        if known.any():
            first = self.day(int(utc_ms[known].min())).toordinal()
            last = self.day(int(utc_ms[known].max())).toordinal()
            midnights = np.array(
                [self.midnight_utc_ms(date.fromordinal(day)) for day in range(first, last + 1)], np.int64
            )
            result[known] = first - 1 + np.searchsorted(midnights, utc_ms[known], side="right")
        return result


def days(
    stretches: NDArray[np.void], zone: tzinfo | None, events: Iterable[tuple[int | None, str]] = ()
) -> list[Period]:
    """Stretches and events (UTC ms or None, kind) by calendar day, oldest first, undated ones last."""
    calendar = Calendar(zone)
    ordinal = calendar.ordinals(stretches["start_utc_ms"])
    undated = ordinal == NO_TIME
    earliest = calendar.ordinals(stretches["earliest_utc_ms"][undated])
    latest = calendar.ordinals(stretches["latest_utc_ms"][undated])
    ordinal[undated] = np.where(earliest == latest, earliest, NO_TIME)
    bounded = undated & (ordinal != NO_TIME)
    found, index = np.unique(ordinal, return_inverse=True)

    def period(value: int) -> Period:
        return Period(None) if value == NO_TIME else Period(day := date.fromordinal(value), day)

    periods = [period(int(value)) for value in found]
    cell = index * len(steplog.DIRECTIONS) + stretches["direction"]
    size = len(periods) * len(steplog.DIRECTIONS)
    for name, of in (
        ("counts", "steps"),
        ("walk_ms", "walk_ms"),
        ("intervals", "intervals"),
        ("stability_sum", "stability_sum"),
        ("stability_steps", "stability_steps"),
    ):
        sums = np.bincount(cell, stretches[of], size).reshape(len(periods), len(steplog.DIRECTIONS)).tolist()
        for one, values in zip(periods, sums, strict=True):
            number = float if name == "stability_sum" else round
            setattr(one, name, dict(zip(steplog.DIRECTIONS, map(number, values), strict=True)))
    begins = stretches["start_uptime_ms"] == stretches["walk_uptime_ms"]
    bouts = np.bincount(index[begins], minlength=len(periods)).tolist()
    sure = np.bincount(index, stretches["steps"] * bounded, len(periods)).tolist()
    for one, walks, steps in zip(periods, bouts, sure, strict=True):
        one.bouts, one.bounded_steps, one.days_walked = walks, round(steps), int(one.first is not None)
    for at, ms, steps in _backward_bouts(stretches, begins):
        one = periods[index[at]]
        if ms > one.longest_back_ms:
            one.longest_back_ms, one.longest_back_steps = ms, steps
    _count_events(periods, calendar, events)
    return sorted(periods, key=lambda one: (one.first is None, one.first or date.min))


def _backward_bouts(stretches: NDArray[np.void], begins: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """(index of the first stretch, ms, steps backward) of each run that only unknown steps interrupt."""
    direction = stretches["direction"]
    # The first stretch there is of a walk need not be its beginning: a device may be lent out in the middle of one.
    walk = stretches[["boot", "walk_uptime_ms"]]
    other_walk = np.append(True, walk[1:] != walk[:-1]) if len(walk) else np.zeros(0, bool)
    run = np.cumsum(begins | other_walk | ((direction != BACKWARD) & (direction != UNKNOWN)))
    back = np.flatnonzero(direction == BACKWARD)
    if not len(back):
        return []
    _, first = np.unique(run[back], return_index=True)
    last = np.append(first[1:], len(back)) - 1
    ms = stretches["end_uptime_ms"][back[last]] - stretches["start_uptime_ms"][back[first]]
    steps = np.add.reduceat(stretches["steps"][back], first)
    return list(zip(back[first].tolist(), ms.tolist(), steps.tolist(), strict=True))


def _count_events(
    periods: list[Period], calendar: Calendar, events: Iterable[tuple[int | None, str]]
) -> None:
    by_day = {one.first: one for one in periods}
    for utc_ms, kind in events:
        day = None if utc_ms is None else calendar.day(utc_ms)
        if day not in by_day:
            by_day[day] = Period(day, day)
            periods.append(by_day[day])
        counts = by_day[day].events
        counts[kind] = counts.get(kind, 0) + 1


def week_of(day: date) -> tuple[date, date]:
    """Monday and Sunday around a day."""
    monday = day - timedelta(days=day.weekday())
    return monday, monday + timedelta(days=6)


def month_of(day: date) -> tuple[date, date]:
    """First and last day of a day's month."""
    first = day.replace(day=1)
    return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def merged(days: Sequence[Period], span_of: Callable[[date], tuple[date, date]]) -> list[Period]:
    """Dated days summed up by the span each is in, oldest first; spans between without a step are there, too."""
    found: dict[date, Period] = {}
    for one in days:
        if one.first is None:
            continue
        first, last = span_of(one.first)
        if found:
            before = found[max(found)].last
            while before is not None and before + timedelta(days=1) < first:
                empty = Period(*span_of(before + timedelta(days=1)))
                assert empty.first is not None
                found[empty.first] = empty
                before = empty.last
        found.setdefault(first, Period(first, last)).add(one)
    return list(found.values())


def total(days: Iterable[Period]) -> Period:
    """The sum of days; its first and last are those of the dated ones."""
    listed = list(days)
    dated = [one for one in listed if one.first is not None]
    result = Period(dated[0].first if dated else None, dated[-1].last if dated else None)
    for one in listed:
        result.add(one)
    return result
