"""From steps to the rows of an export: steps, intervals or days, each with its columns.

In: `WornStep`s, log by log and in the order in which they were walked. Out: rows (tuples) that fit the columns of
their level. Times are UTC in ms since 1970, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Literal, NamedTuple

from retrostep.device_tree import use_device_code
from retrostep.history import Step
from retrostep.stretches import BOUT_GAP_MS

use_device_code()

from firmware.steplog import DIRECTIONS  # noqa: E402

Kind = Literal["text", "int", "real", "time", "day"]
LEVELS = ("steps", "intervals", "days")
EXACT, BOUNDED, UNKNOWN = "exact", "bounded", "unknown"


class Column(NamedTuple):
    """A column of a table: its name and what it holds."""

    name: str
    kind: Kind


class WornStep(NamedTuple):
    """A step and who took it (None: the device was assigned to nobody then)."""

    step: Step
    wearer: str | None


@dataclass
class Interval:
    """A run of steps in one direction without a pause.

    It begins with the contact before its first step where that belongs to the same bout, else with its first contact,
    so that the minutes of a day are those of `retrostep report`.
    """

    wearer: str | None
    first: Step
    last: Step
    start_uptime_ms: int
    start_utc_ms: int | None
    steps: int = 0
    confidence_sum: float = 0.0
    stability_sum: float = 0.0
    stability_steps: int = 0

    def add(self, step: Step) -> None:
        """One step more."""
        self.last = step
        self.steps += 1
        self.confidence_sum += step.confidence
        if step.stability is not None:
            self.stability_sum += step.stability
            self.stability_steps += 1

    @property
    def duration_ms(self) -> int:
        """From start to end, by the device's clock."""
        return max(self.last.uptime_ms - self.start_uptime_ms, 0)

    def row(self) -> tuple:
        """As INTERVAL_COLUMNS."""
        first, last = self.first, self.last
        minutes = self.duration_ms / 60_000
        between = self.steps - (self.start_uptime_ms == first.uptime_ms)
        return (
            self.wearer,
            first.device_id,
            first.log_id,
            first.boot,
            self.start_uptime_ms,
            last.uptime_ms,
            self.start_utc_ms,
            last.utc_ms,
            time_quality(first),
            first.earliest_utc_ms,
            last.latest_utc_ms,
            first.direction,
            self.steps,
            round(minutes, 4),
            round(between / minutes, 1) if minutes else None,
            round(self.confidence_sum / self.steps, 4),
            round(self.stability_sum / self.stability_steps, 1) if self.stability_steps else None,
        )


@dataclass
class DayTotal:
    """One calendar day of one wearer with one device; day None: steps of no known day."""

    wearer: str | None
    device_id: str
    day: date | None
    start_utc_ms: int | None
    end_utc_ms: int | None
    steps: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DIRECTIONS, 0))
    minutes: dict[str, float] = field(default_factory=lambda: dict.fromkeys(DIRECTIONS, 0.0))
    bounded_steps: int = 0

    def row(self) -> tuple:
        """As DAY_COLUMNS."""
        return (
            self.wearer,
            self.device_id,
            self.day,
            self.start_utc_ms,
            self.end_utc_ms,
            *self.steps.values(),
            *(round(minutes, 4) for minutes in self.minutes.values()),
            self.bounded_steps,
        )


_WHO: tuple[Column, ...] = (
    Column("wearer", "text"),
    Column("device", "text"),
)
_WHICH: tuple[Column, ...] = (*_WHO, Column("log", "int"), Column("boot", "int"))
_BOUNDS: tuple[Column, ...] = (
    Column("time_quality", "text"),
    Column("earliest", "time"),
    Column("latest", "time"),
)
STEP_COLUMNS: tuple[Column, ...] = (
    *_WHICH,
    Column("uptime_ms", "int"),
    Column("time", "time"),
    *_BOUNDS,
    Column("direction", "text"),
    Column("confidence", "real"),
    Column("stability", "real"),
)
INTERVAL_COLUMNS: tuple[Column, ...] = (
    *_WHICH,
    Column("start_uptime_ms", "int"),
    Column("end_uptime_ms", "int"),
    Column("start", "time"),
    Column("end", "time"),
    *_BOUNDS,
    Column("direction", "text"),
    Column("steps", "int"),
    Column("minutes", "real"),
    Column("cadence_per_min", "real"),
    Column("confidence", "real"),
    Column("stability", "real"),
)
DAY_COLUMNS: tuple[Column, ...] = (
    *_WHO,
    Column("day", "day"),
    Column("start", "time"),
    Column("end", "time"),
    *(Column(f"{direction}_steps", "int") for direction in DIRECTIONS),
    *(Column(f"{direction}_minutes", "real") for direction in DIRECTIONS),
    Column("bounded_steps", "int"),
)
COLUMNS = {"steps": STEP_COLUMNS, "intervals": INTERVAL_COLUMNS, "days": DAY_COLUMNS}


def time_quality(step: Step) -> str:
    """exact: the boot has an anchor; bounded: its neighbours say after and before when; unknown: not even that."""
    if step.utc_ms is not None:
        return EXACT
    return UNKNOWN if step.earliest_utc_ms is None and step.latest_utc_ms is None else BOUNDED


def step_row(worn: WornStep) -> tuple:
    """As STEP_COLUMNS."""
    step = worn.step
    return (
        worn.wearer,
        step.device_id,
        step.log_id,
        step.boot,
        step.uptime_ms,
        step.utc_ms,
        time_quality(step),
        step.earliest_utc_ms,
        step.latest_utc_ms,
        step.direction,
        round(step.confidence, 4),
        None if step.stability is None else round(step.stability, 1),
    )


def goes_on(before: Step, step: Step) -> bool:
    """Do both steps belong to one bout, of whatever direction?"""
    if (before.device_id, before.log_id, before.boot) != (step.device_id, step.log_id, step.boot):
        return False
    if step.uptime_ms - before.uptime_ms > BOUT_GAP_MS:
        return False
    # Clocks that were set between two syncs make UTC jump within a boot; an interval never spans such a jump.
    return before.utc_ms is None or step.utc_ms is None or 0 <= step.utc_ms - before.utc_ms <= 2 * BOUT_GAP_MS


def intervals(steps: Iterable[WornStep]) -> Iterator[Interval]:
    """Steps in order as intervals in order."""
    current: Interval | None = None
    for step, wearer in steps:
        connected = current is not None and goes_on(current.last, step)
        if (
            current is None
            or not connected
            or (step.direction, wearer) != (current.first.direction, current.wearer)
        ):
            if current is not None:
                yield current
            begin = current.last if connected and current is not None else step
            current = Interval(wearer, step, step, begin.uptime_ms, begin.utc_ms)
        current.add(step)
    if current is not None:
        yield current


def _midnight_ms(day: date, zone: tzinfo | None) -> int:
    local = datetime.combine(day, time())
    aware = local.astimezone() if zone is None else local.replace(tzinfo=zone)
    return round(aware.astimezone(timezone.utc).timestamp() * 1000)


def numbered(rows: Iterable[tuple]) -> Iterator[tuple]:
    """Rows with the columns _WHICH, their boots numbered from 1 in each log, in the order in which they come.

    The log names a boot by a record's number; an imported log has other numbers and the same order.
    """
    log: tuple | None = None
    boot: int | None = None
    number = 0
    for row in rows:
        if row[1:3] != log:
            log, boot, number = row[1:3], None, 0
        if row[3] != boot:
            boot = row[3]
            number += 1
        yield (*row[:3], number, *row[4:])


def _date(utc_ms: int | None, zone: tzinfo | None) -> date | None:
    if utc_ms is None:
        return None
    # Without a zone astimezone() asks the system's rules for that very instant: summer days in winter, too.
    return datetime.fromtimestamp(utc_ms // 1000, timezone.utc).astimezone(zone).date()


def day_of(step: Step, zone: tzinfo | None) -> date | None:
    """The calendar day of a step in `zone`; by its bounds only if both lie on one day."""
    if step.utc_ms is not None:
        return _date(step.utc_ms, zone)
    earliest, latest = _date(step.earliest_utc_ms, zone), _date(step.latest_utc_ms, zone)
    return earliest if earliest == latest else None


def days(
    steps: Iterable[WornStep], zone_of: Callable[[str | None], tzinfo | None], directions: Iterable[str]
) -> list[DayTotal]:
    """Steps of these directions by calendar day, oldest first, undated ones last in a row without a day.

    zone_of(wearer): whose midnight cuts the days (None: this computer's zone).
    """
    counted = frozenset(directions)
    zones: dict[str | None, tzinfo | None] = {}
    found: dict[tuple[str | None, str, date | None], DayTotal] = {}
    before: Step | None = None
    for step, wearer in steps:
        if wearer not in zones:
            zones[wearer] = zone_of(wearer)
        zone = zones[wearer]
        day = day_of(step, zone)
        key = (wearer, step.device_id, day)
        if key not in found:
            start = None if day is None else _midnight_ms(day, zone)
            end = None if day is None else _midnight_ms(day + timedelta(days=1), zone)
            found[key] = DayTotal(wearer, step.device_id, day, start, end)
        if step.direction in counted:
            total = found[key]
            total.steps[step.direction] += 1
            total.bounded_steps += step.utc_ms is None and day is not None
            if before is not None and goes_on(before, step):
                # A step that settled after a later one was logged has an interval of nothing, not of less.
                total.minutes[step.direction] += max(step.uptime_ms - before.uptime_ms, 0) / 60_000
        before = step
    walked = [total for total in found.values() if any(total.steps.values())]
    return sorted(
        walked,
        key=lambda total: (total.day is None, total.day or date.min, total.wearer or "", total.device_id),
    )
