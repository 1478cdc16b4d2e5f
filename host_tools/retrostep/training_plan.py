"""The wearer's training plan: minutes backward by day, growing week by week, kept in the database.

A plan begins on a day. Its minutes go from `first_minutes` in the first week to `minutes` in week number `weeks` in
equal parts, rounded, and stay there; the device gets the numbers of one week (firmware/plan.py) and must be sent the
next. A later plan takes over on its first day. The default follows what is commonly advised (docs/training-plan.md):
from a few minutes to 15-20, on some days of the week.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import date, timedelta
from typing import Any

from retrostep.device_tree import use_device_code
from retrostep.store import Store, StoreError
from retrostep.wearers import Wearer, wearers

use_device_code()

from firmware.plan import fits  # noqa: E402

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# So many training days a week, spread over it.
SPREAD = {
    1: "wed",
    2: "tue,fri",
    3: "mon,wed,fri",
    4: "mon,tue,thu,sat",
    5: "mon,tue,thu,fri,sat",
    6: "mon,tue,wed,thu,fri,sat",
    7: ",".join(WEEKDAYS),
}
# Shown with every plan.
ADVICE = (
    "A smooth, open place, somebody to look behind you, or a rail; slower when unsure. With balance problems or a "
    "risk of falling not alone, and only after asking a professional. The plan is a training aid, no treatment."
)


class PlanRefused(StoreError):
    """A plan can't be as it was asked for."""


class NoPlan(StoreError):
    """There is no plan."""


@dataclass(frozen=True)
class TrainingPlan:
    """One plan. weekdays: bit 0 is Monday; steps and cadence_per_min: 0, it does not matter; cool_down: asked for?"""

    first_day: date
    first_minutes: int
    minutes: int
    weeks: int
    steps: int
    weekdays: int
    cadence_per_min: int
    warm_up_min: int
    cool_down: bool

    def __post_init__(self) -> None:
        if not 1 <= self.first_minutes <= self.minutes or not 1 <= self.weeks <= 104 or not self.weekdays:
            raise PlanRefused(
                f"a plan from {self.first_minutes} to {self.minutes} minutes in {self.weeks} weeks can't be made; "
                "expected at least 1 minute, no fewer at the end than at the beginning, 1 to 104 weeks and a weekday"
            )
        if not fits(self.device_values(self.first_day)) or not fits(self.device_values(date.max)):
            raise PlanRefused(
                "the device takes at most 180 minutes, 20,000 steps, 200 steps a minute and 30 minutes of warm-up"
            )

    def week(self, day: date) -> int:
        """Number of the week from 1; days before the plan are of its first."""
        return max((day - self.first_day).days // 7, 0) + 1

    def minutes_of_week(self, week: int) -> int:
        """Minutes backward on each training day of that week."""
        if week >= self.weeks:
            return self.minutes
        more = (self.minutes - self.first_minutes) * (week - 1)
        return self.first_minutes + round(more / (self.weeks - 1))

    def wants(self, day: date) -> int:
        """Minutes backward on that day; 0: a day off, or before the plan."""
        if day < self.first_day or not self.weekdays >> day.weekday() & 1:
            return 0
        return self.minutes_of_week(self.week(day))

    def device_values(self, day: date) -> list[int]:
        """The device's setting "plan" in the week of that day."""
        return [
            self.minutes_of_week(self.week(day)),
            self.steps,
            self.weekdays,
            self.cadence_per_min,
            self.warm_up_min,
            int(self.cool_down),
        ]

    def holds_until(self, day: date) -> date | None:
        """The last day on which what the device gets on that day is right; None: for good."""
        week = self.week(day)
        if self.minutes_of_week(week) == self.minutes:
            return None
        while self.minutes_of_week(week + 1) == self.minutes_of_week(week):
            week += 1
        return self.first_day + timedelta(days=7 * week - 1)

    def as_json(self) -> dict[str, Any]:
        """For --json."""
        return {
            **asdict(self),
            "first_day": self.first_day.isoformat(),
            "weekdays": [name for bit, name in enumerate(WEEKDAYS) if self.weekdays >> bit & 1],
            "minutes_by_week": [self.minutes_of_week(week + 1) for week in range(self.weeks)],
        }


def weekdays_of(text: str) -> int:
    """The weekdays of "3" (days a week) or "mon,wed,fri" as bits. Raises PlanRefused."""
    names = SPREAD.get(int(text), "") if text.isdecimal() else text
    bits = 0
    for name in names.lower().split(","):
        short = name.strip()[:3]
        if short not in WEEKDAYS:
            raise PlanRefused(
                f"days {text!r}: expected 1 to 7 days a week, or weekdays such as {SPREAD[3]} ({', '.join(WEEKDAYS)})"
            )
        bits |= 1 << WEEKDAYS.index(short)
    return bits


_COLUMNS = tuple(field.name for field in fields(TrainingPlan))


def keep(store: Store, wearer: Wearer | None, plan: TrainingPlan) -> None:
    """Add the wearer's plan (None: of whoever uses this database); one that began on the same day is replaced."""
    whose = wearer.id if wearer else None
    row = {**asdict(plan), "first_day": plan.first_day.isoformat(), "cool_down": int(plan.cool_down)}
    with store.transaction() as db:
        db.execute("DELETE FROM plans WHERE wearer IS ? AND first_day = ?", (whose, row["first_day"]))
        db.execute(
            f"INSERT INTO plans (wearer, {', '.join(_COLUMNS)}) VALUES (?{', ?' * len(_COLUMNS)})",
            (whose, *(row[name] for name in _COLUMNS)),
        )


@dataclass(frozen=True)
class Plans:
    """A wearer's plans, oldest first. Call it for the minutes that they want on a day (0: none)."""

    plans: tuple[TrainingPlan, ...]

    def __bool__(self) -> bool:
        return bool(self.plans)

    def on(self, day: date) -> TrainingPlan | None:
        """The plan that holds on that day, or else the one that begins next, or None."""
        begun = [plan for plan in self.plans if plan.first_day <= day]
        coming = [plan for plan in self.plans if plan.first_day > day]
        return begun[-1] if begun else coming[0] if coming else None

    def hold_until(self, day: date) -> date | None:
        """The last day on which what the device gets on that day is right; None: for good."""
        plan = self.on(day)
        ends = [
            one.first_day - timedelta(days=1) for one in self.plans if plan and one.first_day > plan.first_day
        ]
        own = plan.holds_until(day) if plan else None
        return min([*ends, *([own] if own else [])], default=None)

    def __call__(self, day: date) -> float:
        plan = self.on(day)
        return plan.wants(day) if plan else 0


def plans(store: Store, wearer: Wearer | None) -> Plans:
    """The plans of a wearer; those made while nobody had a name are theirs who is the only one."""
    only = wearer is None or len(wearers(store)) == 1
    found = store.rows(
        f"SELECT {', '.join(_COLUMNS)} FROM plans WHERE wearer IS ? OR (? AND wearer IS NULL) ORDER BY first_day",
        (wearer.id if wearer else None, only),
    )
    return Plans(
        tuple(
            TrainingPlan(
                **{
                    **dict(row),
                    "first_day": date.fromisoformat(row["first_day"]),
                    "cool_down": bool(row["cool_down"]),
                }
            )
            for row in found
        )
    )
