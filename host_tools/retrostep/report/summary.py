"""All that a report tells, as numbers: the page, the pictures and `--json` show this and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Any

from retrostep import derived
from retrostep.history import Problem
from retrostep.periods import Calendar, Period, days, merged, month_of, total, week_of
from retrostep.report.adherence import Adherence, Plan, adherence
from retrostep.store import Store
from retrostep.wearers import Wearer

RECENT_DAYS = 28


@dataclass(frozen=True)
class WalkTest:
    """A 3-metre backward walk test that was finished: seconds from the first lift of a foot to the last contact."""

    utc_ms: int
    seconds: float
    steps: int
    stability: float | None


@dataclass(frozen=True)
class Summary:
    """A wearer's report.

    name: the wearer's, None if nobody was named. today: the wearer's day on which it is made. until: the last day
    that it is about, today at most. days: dated ones with any step or event; weeks and months without gaps. undated:
    steps whose day is not known. plan: None without one. synced_utc_ms: when a device was synced last.
    """

    name: str | None
    zone: tzinfo | None
    today: date
    until: date
    devices: list[dict[str, Any]]
    days: list[Period]
    weeks: list[Period]
    months: list[Period]
    undated: Period | None
    tests: list[WalkTest]
    plan: Adherence | None
    problems: list[Problem]
    synced_utc_ms: int | None

    @property
    def first(self) -> date:
        """The first day with a step."""
        return self.days[0].first or self.today if self.days else self.today

    @property
    def last(self) -> date:
        """The last day with a step."""
        return self.days[-1].first or self.today if self.days else self.today

    def span(self, first: date, last: date) -> Period:
        """The sum of the days of a span."""
        found = total(one for one in self.days if one.first and first <= one.first <= last)
        found.first, found.last = first, last
        return found

    @property
    def recent(self) -> Period:
        """The last four weeks."""
        return self.span(self.until - timedelta(days=RECENT_DAYS - 1), self.until)

    @property
    def week(self) -> Period:
        """The last seven days."""
        return self.span(self.until - timedelta(days=6), self.until)

    @property
    def whole(self) -> Period:
        """Everything, steps without a day included."""
        return total([*self.days, *([self.undated] if self.undated else [])])

    def as_json(self) -> dict[str, Any]:
        """For --json."""
        plan = None
        if self.plan:
            current, longest = self.plan.streaks(self.today)
            plan = {
                "streak_days": current,
                "longest_streak_days": longest,
                "days": [
                    {
                        "day": one.day.isoformat(),
                        "wanted_min": round(one.wanted_min, 2),
                        "done_min": round(one.done_min, 2),
                        "kept": one.kept,
                    }
                    for one in self.plan.days
                    if one.wanted_min
                ],
            }
        return {
            "wearer": self.name,
            "zone": None if self.zone is None else str(self.zone),
            "today": self.today.isoformat(),
            "synced_utc_ms": self.synced_utc_ms,
            "total": self.whole.as_json(),
            "days": [one.as_json() for one in self.days],
            "weeks": [one.as_json() for one in self.weeks],
            "months": [one.as_json() for one in self.months],
            "undated": self.undated.as_json() if self.undated else None,
            "walk_tests": [one.__dict__ for one in self.tests],
            "plan": plan,
            "problems": [one.__dict__ for one in self.problems],
        }


def summarize(
    store: Store,
    wearer: Wearer | None,
    zone: tzinfo | None,
    now_utc_ms: int,
    plan: Plan | None = None,
    since: date | None = None,
    until: date | None = None,
) -> Summary:
    """Sum up what `wearer` (None: everybody) walked, of the days from `since` to `until`.

    The derived tables must be up to date (derived.derive).
    """
    calendar = Calendar(zone)
    today = calendar.day(now_utc_ms)
    found = days(derived.load_stretches(store, wearer), zone, derived.load_events(store, wearer))

    def asked(day: date) -> bool:
        return (since is None or day >= since) and (until is None or day <= until)

    def within(utc_ms: int) -> bool:
        return asked(calendar.day(utc_ms))

    dated = [one for one in found if one.first and asked(one.first)]
    undated = next((one for one in found if one.first is None), None)
    worn = derived.worn_devices(store, wearer)
    devices = [device for device in store.devices() if device["id"] in worn]
    last = today if until is None else min(today, until)
    kept = None
    if plan is not None:
        # A day outside of what was asked about is not missed, nor is one before the very first step.
        first = found[0].first or last if found else last
        kept = adherence(dated, plan, first if since is None else max(first, since), last)
    return Summary(
        name=wearer.name if wearer else None,
        zone=zone,
        today=today,
        until=last,
        devices=devices,
        days=dated,
        weeks=merged(dated, week_of),
        months=merged(dated, month_of),
        undated=undated if since is None and until is None else None,
        tests=[
            WalkTest(row["utc_ms"], row["walk_ms"] / 1000, row["steps"], row["stability"])
            for row in derived.load_walk_tests(store, wearer)
            if row["utc_ms"] and row["outcome"] == "done" and within(row["utc_ms"])
        ],
        plan=kept,
        problems=[one for one in derived.load_problems(store) if one.device_id in worn],
        synced_utc_ms=max((device["last_sync_utc_ms"] or 0 for device in devices), default=0) or None,
    )


def moment(utc_ms: int, zone: tzinfo | None) -> datetime:
    """An instant on the wearer's clock."""
    return datetime.fromtimestamp(utc_ms / 1000, timezone.utc).astimezone(zone)
