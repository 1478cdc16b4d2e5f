"""What the health formats have in common: steps in one span of time, with both ends in UTC.

A span's id is made from the device and from where it begins and ends, so exporting twice gives the same ids and a
receiver can tell that it has a span already. A walk that a sync cut off is another span once it is whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID, uuid5

from retrostep.device_tree import use_device_code
from retrostep.export.levels import DayTotal, Interval
from retrostep.export.selection import Selection

use_device_code()

from firmware.steplog import DIRECTIONS  # noqa: E402

_NAMESPACE = UUID("7d0b0d0e-3c52-4d58-9c3f-3c1a1f5e7a11")
NO_TIME = "whose time is not known"


@dataclass(frozen=True)
class Span:
    """steps: by direction, only those that were taken; cadence_per_min: None for a day or a single step.

    only: the directions that were asked for of a day, empty: all.
    """

    identity: str
    wearer: str | None
    device_id: str
    start_utc_ms: int
    end_utc_ms: int
    steps: dict[str, int]
    cadence_per_min: float | None = None
    only: tuple[str, ...] = ()

    def uuid(self, part: str) -> str:
        """The id of what a format makes of this span."""
        return stable_uuid(f"{self.identity}/{part}")


def stable_uuid(text: str) -> str:
    """The same UUID for the same text, always."""
    return str(uuid5(_NAMESPACE, text))


def of_intervals(found: Iterable[Interval], left_out: Counter[str]) -> Iterator[Span]:
    """Intervals with a time; the steps of the others are added to `left_out`."""
    for one in found:
        first = one.first
        if one.start_utc_ms is None or one.last.utc_ms is None:
            left_out[NO_TIME] += one.steps
            continue
        minutes = one.duration_ms / 60_000
        between = one.steps - (one.start_uptime_ms == first.uptime_ms)
        yield Span(
            f"{first.device_id}/{first.log_id}/{first.boot}/{one.start_uptime_ms}/{first.uptime_ms}/"
            f"{one.last.uptime_ms}",
            one.wearer,
            first.device_id,
            one.start_utc_ms,
            one.last.utc_ms,
            {first.direction: one.steps},
            round(between / minutes, 1) if minutes else None,
        )


def of_days(
    found: Iterable[DayTotal], selection: Selection, left_out: Counter[str], now_utc_ms: int
) -> Iterator[Span]:
    """Days; the steps of no known day are added to `left_out`.

    A day that is not over ends now, and one that the selection cuts begins or ends there: other spans than the whole
    day.
    """
    only = () if set(selection.directions) >= set(DIRECTIONS) else tuple(sorted(set(selection.directions)))
    for one in found:
        steps = {direction: count for direction, count in one.steps.items() if count}
        if one.day is None or one.start_utc_ms is None or one.end_utc_ms is None:
            left_out[NO_TIME] += sum(steps.values())
            continue
        start_utc_ms, end_utc_ms = one.start_utc_ms, one.end_utc_ms
        if start_utc_ms < now_utc_ms < end_utc_ms:
            end_utc_ms = now_utc_ms
        if selection.begin_utc_ms is not None:
            start_utc_ms = max(start_utc_ms, selection.begin_utc_ms)
        if selection.end_utc_ms is not None:
            end_utc_ms = min(end_utc_ms, selection.end_utc_ms)
        # Steps that were told by a clock ahead of ours lie after now.
        end_utc_ms = max(start_utc_ms, end_utc_ms)
        identity = f"{one.device_id}/{one.wearer or ''}/{start_utc_ms}/{end_utc_ms}"
        yield Span(identity, one.wearer, one.device_id, start_utc_ms, end_utc_ms, steps, only=only)
