"""How far a wearer kept to a plan, day by day.

A day is asked for if the plan wants minutes backward on it, and kept if at least that many were walked. A streak is a
run of kept days in which no day that was asked for was missed: days off neither end nor lengthen it. Today is missed
only when it is over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from retrostep.periods import Period

# Minutes backward that a plan wants on a day; None or 0: a day off.
Plan = Callable[[date], "float | None"]


@dataclass(frozen=True)
class PlannedDay:
    """A day: minutes walked backward, and minutes wanted (0: a day off)."""

    day: date
    done_min: float
    wanted_min: float

    @property
    def kept(self) -> bool:
        """Was as much walked as was wanted?"""
        return bool(self.wanted_min) and self.done_min >= self.wanted_min


@dataclass(frozen=True)
class Adherence:
    """Every day of a span."""

    days: tuple[PlannedDay, ...]

    def between(self, first: date, last: date) -> tuple[int, int]:
        """(days kept, days asked for) in that span."""
        asked = [one for one in self.days if first <= one.day <= last and one.wanted_min]
        return sum(one.kept for one in asked), len(asked)

    def streaks(self, today: date) -> tuple[int, int]:
        """(kept days in the streak that still goes on, in the longest one)."""
        current = longest = 0
        for one in self.days:
            if one.kept:
                current += 1
                longest = max(longest, current)
            elif one.wanted_min and one.day < today:
                current = 0
        return current, longest


def adherence(days: Sequence[Period], plan: Plan, first: date, last: date) -> Adherence:
    """How the days from `first` to `last` compare with the plan."""
    done = {one.first: one.minutes["backward"] for one in days}
    found = []
    for offset in range((last - first).days + 1):
        day = first + timedelta(days=offset)
        found.append(PlannedDay(day, done.get(day, 0.0), plan(day) or 0.0))
    return Adherence(tuple(found))
