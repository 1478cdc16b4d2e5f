"""From the raw records of the database to what a person asks: steps in UTC, bouts, days.

A boot's uptime becomes UTC by its anchors: exact at an anchor, linear between two (which removes the drift of the
device's crystal), with the nearest anchor's offset outside. Steps of a boot without any anchor have no UTC; they are
kept and counted apart, never guessed into a day. Days are cut in the wearer's time zone, here, at reading time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timezone, tzinfo
from typing import Any

from retrostep.device_tree import use_device_code
from retrostep.store import Store

use_device_code()

from firmware import steplog  # noqa: E402

# Longer without a step, and a new bout begins.
BOUT_GAP_MS = 3_000


@dataclass(frozen=True)
class Step:
    """One settled step. utc_ms is None if its boot never got an anchor."""

    device_id: str
    boot: int
    uptime_ms: int
    utc_ms: int | None
    direction: str
    confidence: float
    stability: float | None


@dataclass
class Boot:
    """One run of a device from reset to reset."""

    sequence: int
    cause: str
    model: str
    anchors: list[tuple[int, int]] = field(default_factory=list)

    def utc_ms(self, uptime_ms: int) -> int | None:
        """UTC in ms at `uptime_ms` of this boot, or None without an anchor."""
        if not self.anchors:
            return None
        after = bisect_right([up for up, _ in self.anchors], uptime_ms)
        if after == 0 or after == len(self.anchors):
            up, utc = self.anchors[0 if after == 0 else -1]
            return uptime_ms - up + utc
        (up_0, utc_0), (up_1, utc_1) = self.anchors[after - 1], self.anchors[after]
        if up_1 == up_0:
            return utc_1
        return utc_0 + (uptime_ms - up_0) * (utc_1 - utc_0) // (up_1 - up_0)


@dataclass(frozen=True)
class Problem:
    """Something in the log that a person should know: a fault, a gap, a record that can't be read."""

    device_id: str
    sequence: int
    text: str


@dataclass
class History:
    """Everything the database tells, in order."""

    steps: list[Step]
    boots: list[Boot]
    problems: list[Problem]


def _decoded(records: Iterable[tuple[int, int, bytes]]) -> Iterator[tuple[int, dict[str, Any] | None, str]]:
    for sequence, kind, payload in records:
        try:
            yield sequence, steplog.decode(kind, payload), ""
        except steplog.RecordUnreadable as unreadable:
            yield sequence, None, str(unreadable)


def read_history(store: Store) -> History:
    """Decode every record of every log in the database."""
    history = History([], [], [])
    for log in store.logs():
        device = log["device_id"]
        boots: dict[int, Boot] = {}
        chunks: list[dict[str, Any]] = []
        expected: int | None = None
        for sequence, record, unreadable in _decoded(store.records(log["id"])):
            if expected is not None and sequence != expected:
                history.problems.append(
                    Problem(device, sequence, f"records {expected} to {sequence - 1} are missing")
                )
            expected = sequence + 1
            if record is None:
                history.problems.append(Problem(device, sequence, unreadable))
            elif record["kind"] == "boot":
                boots[sequence & 0xFFFF] = Boot(sequence, record["cause"], record["model"])
                history.boots.append(boots[sequence & 0xFFFF])
            elif record["kind"] == "anchor":
                boot = boots.setdefault(record["boot_tag"], Boot(record["boot_tag"], "unknown", "unknown"))
                boot.anchors.append((record["uptime_ms"], record["utc_ms"]))
            elif record["kind"] == "steps":
                boots.setdefault(record["boot_tag"], Boot(record["boot_tag"], "unknown", "unknown"))
                chunks.append({**record, "boot": boots[record["boot_tag"]]})
            elif record["kind"] == "fault":
                history.problems.append(Problem(device, sequence, f"{record['fault']} ({record['count']})"))
            elif record["kind"] == "gap":
                lost = f"records {record['first_lost']} to {record['last_lost']} were dropped: the flash was full"
                history.problems.append(Problem(device, sequence, lost))
        for boot in boots.values():
            boot.anchors.sort()
        for chunk in chunks:
            boot = chunk["boot"]
            history.steps += [
                Step(
                    device,
                    boot.sequence,
                    step["uptime_ms"],
                    boot.utc_ms(step["uptime_ms"]),
                    step["direction"],
                    step["confidence"],
                    step["stability"],
                )
                for step in chunk["steps"]
            ]
    return history


@dataclass
class Day:
    """One calendar day of the wearer; `day` is None for steps whose boot never got an anchor."""

    day: date | None
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(steplog.DIRECTIONS, 0))
    minutes: dict[str, float] = field(default_factory=lambda: dict.fromkeys(steplog.DIRECTIONS, 0.0))
    bouts: int = 0

    def as_json(self) -> dict[str, Any]:
        """For --json."""
        return {
            "day": self.day.isoformat() if self.day else None,
            "steps": self.counts,
            "minutes": {name: round(value, 2) for name, value in self.minutes.items()},
            "bouts": self.bouts,
        }


def days(steps: Iterable[Step], zone: tzinfo) -> list[Day]:
    """Steps, walking minutes and bouts by calendar day in `zone`, oldest first, undated ones last.

    A step's minutes are the time since the step before it in the same bout.
    """
    found: dict[date | None, Day] = {}
    previous: Step | None = None
    ordered = sorted(steps, key=lambda step: (step.device_id, step.boot, step.uptime_ms))
    for step in ordered:
        day = None
        if step.utc_ms is not None:
            day = datetime.fromtimestamp(step.utc_ms / 1000, timezone.utc).astimezone(zone).date()
        total = found.setdefault(day, Day(day))
        total.counts[step.direction] += 1
        if (
            previous is not None
            and (previous.device_id, previous.boot) == (step.device_id, step.boot)
            and step.uptime_ms - previous.uptime_ms <= BOUT_GAP_MS
        ):
            total.minutes[step.direction] += (step.uptime_ms - previous.uptime_ms) / 60_000
        else:
            total.bouts += 1
        previous = step
    return sorted(found.values(), key=lambda entry: (entry.day is None, entry.day or date.min))
