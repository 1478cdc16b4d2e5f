"""From the raw records of the database to what a person asks: steps in UTC, bouts, days.

A boot's uptime becomes UTC by its anchors: exact at an anchor, linear between two (which removes the drift of the
device's crystal), with the nearest anchor's offset outside. An anchor that the device took from its own clock after a
reset counts only where no host told the time; anchors that disagree by more than drift were told by clocks that
disagreed, and the nearer one counts. Steps of a boot without any anchor have no UTC but bounds: they came
after the boot before and before the boot after. Where both bounds lie on one day they count there, marked; else they
are shown apart, never guessed into a day. Days are cut in the wearer's time zone, here, at reading time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timezone, tzinfo
from typing import Any

from retrostep.device_tree import use_device_code
from retrostep.store import Store

use_device_code()

from firmware import steplog, steplog_decoder  # noqa: E402

# Longer without a step, and a new bout begins.
BOUT_GAP_MS = 3_000
# Two anchors that differ by more than this and a thousandth of the time between them were told by different clocks.
_JUMP_MS = 5_000
_DRIFT_PART = 1_000
# Uptimes in the log are cs modulo 2^32.
_WRAP_MS = 10 << 32


@dataclass(frozen=True)
class Step:
    """One settled step.

    utc_ms: None if its boot has no anchor; then earliest_utc_ms and latest_utc_ms bound it where the neighbours do.
    """

    device_id: str
    log_id: int
    boot: int
    uptime_ms: int
    utc_ms: int | None
    direction: str
    confidence: float
    stability: float | None
    earliest_utc_ms: int | None = None
    latest_utc_ms: int | None = None


def _unwrapped(uptime_ms: int, last_uptime_ms: int) -> int:
    while uptime_ms < last_uptime_ms - _WRAP_MS // 2:
        uptime_ms += _WRAP_MS
    return uptime_ms


@dataclass
class Boot:
    """One run of a device from reset to reset."""

    sequence: int
    cause: str
    model: str
    anchors: list[tuple[int, int]] = field(default_factory=list)
    own_clock: list[tuple[int, int]] = field(default_factory=list)
    last_uptime_ms: int = 0
    begins_after_utc_ms: int | None = None
    ends_before_utc_ms: int | None = None

    @property
    def dated(self) -> bool:
        """Does it have an anchor of any kind?"""
        return bool(self.anchors or self.own_clock)

    def unwrapped(self, uptime_ms: int) -> int:
        """`uptime_ms` as read, with the wraps of the log's 32-bit times added; records come in order."""
        uptime_ms = _unwrapped(uptime_ms, self.last_uptime_ms)
        self.last_uptime_ms = max(self.last_uptime_ms, uptime_ms)
        return uptime_ms

    def utc_ms(self, uptime_ms: int) -> int | None:
        """UTC in ms at `uptime_ms` of this boot, or None without an anchor."""
        anchors = self.anchors or self.own_clock
        if not anchors:
            return None
        after = bisect_right([up for up, _ in anchors], uptime_ms)
        if after == 0 or after == len(anchors):
            up, utc = anchors[0 if after == 0 else -1]
            return uptime_ms - up + utc
        (up_0, utc_0), (up_1, utc_1) = anchors[after - 1], anchors[after]
        passed_ms, told_ms = up_1 - up_0, utc_1 - utc_0
        if abs(told_ms - passed_ms) > _JUMP_MS + passed_ms // _DRIFT_PART:
            # More than any crystal drifts: a host's clock was set between the two. The nearer one counts.
            return (
                uptime_ms - up_0 + utc_0 if uptime_ms - up_0 < up_1 - uptime_ms else uptime_ms - up_1 + utc_1
            )
        return utc_0 + (uptime_ms - up_0) * told_ms // passed_ms

    def bounds(self, uptime_ms: int) -> tuple[int | None, int | None]:
        """(earliest, latest) UTC in ms at `uptime_ms` of a boot without anchor."""
        earliest, latest = self.begins_after_utc_ms, self.ends_before_utc_ms
        return (
            None if earliest is None else earliest + uptime_ms,
            None if latest is None else latest - (self.last_uptime_ms - uptime_ms),
        )


@dataclass(frozen=True)
class Gap:
    """Unsynced records that the device had to drop."""

    device_id: str
    first_sequence: int
    last_sequence: int
    steps: int


@dataclass(frozen=True)
class Problem:
    """Something in the log that a person should know: a fault, a gap, a record that can't be read."""

    device_id: str
    sequence: int
    text: str


@dataclass
class History:
    """Everything the database tells, in order."""

    steps: list[Step] = field(default_factory=list)
    boots: list[Boot] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def _decoded(records: Iterable[tuple[int, int, bytes]]) -> Iterator[tuple[int, dict[str, Any] | None, str]]:
    for sequence, kind, payload in records:
        try:
            yield sequence, steplog_decoder.decode(kind, payload), ""
        except steplog_decoder.RecordUnreadable as unreadable:
            yield sequence, None, str(unreadable)


class _LogReader:
    """Decodes one log's records in order. keep_steps: hold every step in memory until the end."""

    def __init__(self, device_id: str, log_id: int, keep_steps: bool = True) -> None:
        self._device_id = device_id
        self._log_id = log_id
        self._keep_steps = keep_steps
        self._boots: dict[int, Boot] = {}
        self._order: list[Boot] = []
        self._steps: list[tuple[Boot, dict[str, Any]]] = []
        self._gaps: dict[int, tuple[int, Gap]] = {}
        self._holes: list[tuple[int, int]] = []
        self._problems: list[Problem] = []

    def read(self, records: Iterable[tuple[int, int, bytes]]) -> History:
        """The history of these records."""
        expected: int | None = None
        for sequence, record, unreadable in _decoded(records):
            if expected is not None and sequence != expected:
                self._holes.append((expected, sequence - 1))
            expected = sequence + 1
            if record is None:
                self._problem(sequence, unreadable)
            else:
                self._take(sequence, record)
        self._explain_holes()
        self._date_boots()
        return History(
            [self._step(*pair) for pair in self._steps],
            self._order,
            [gap for _, (_, gap) in sorted(self._gaps.items())],
            sorted(self._problems, key=lambda problem: problem.sequence),
        )

    def _problem(self, sequence: int, text: str) -> None:
        self._problems.append(Problem(self._device_id, sequence, text))

    def _boot(self, tag: int) -> Boot:
        if tag not in self._boots:
            # Its BOOT record is gone: pruned, damaged, or from before the first sync.
            self._boots[tag] = Boot(tag, "unknown", "unknown")
            self._order.append(self._boots[tag])
        return self._boots[tag]

    def _take(self, sequence: int, record: dict[str, Any]) -> None:
        kind = record["kind"]
        if kind == "boot":
            boot = Boot(sequence, record["cause"], record["model"])
            self._boots[sequence & 0xFFFF] = boot
            self._order.append(boot)
            return
        boot = self._boot(record["boot_tag"])
        if kind == "steps":
            for step in record["steps"]:
                step["uptime_ms"] = boot.unwrapped(step["uptime_ms"])
                if self._keep_steps:
                    self._steps.append((boot, step))
            return
        boot.unwrapped(record["uptime_ms"])
        if kind == "anchor":
            anchors = boot.anchors if record["source"] == "host" else boot.own_clock
            anchors.append((record["uptime_ms"], record["utc_ms"]))
        elif kind == "fault":
            self._problem(sequence, f"{record['fault']} ({record['count']})")
        elif kind == "gap":
            # A power cut between telling and dropping makes the device tell it again.
            gap = Gap(self._device_id, record["first_lost"], record["last_lost"], record["steps"])
            known = self._gaps.get(gap.first_sequence)
            if known is None or known[1].last_sequence < gap.last_sequence:
                self._gaps[gap.first_sequence] = (sequence, gap)

    def steps_again(self, records: Iterable[tuple[int, int, bytes]]) -> Iterator[Step]:
        """The steps of the records that read() was given, read once more."""
        boots = iter(self._order)
        by_tag: dict[int, Boot] = {}
        last_ms: dict[int, int] = {}
        for sequence, record, _ in _decoded(records):
            if record is None:
                continue
            if record["kind"] == "boot":
                by_tag[sequence & 0xFFFF] = next(boots)
                continue
            tag = record["boot_tag"]
            if tag not in by_tag:
                by_tag[tag] = next(boots)
            boot = by_tag[tag]
            for item in record["steps"] if record["kind"] == "steps" else [record]:
                uptime_ms = _unwrapped(item["uptime_ms"], last_ms.get(id(boot), 0))
                last_ms[id(boot)] = max(last_ms.get(id(boot), 0), uptime_ms)
                if item is not record:
                    item["uptime_ms"] = uptime_ms
                    yield self._step(boot, item)

    def _explain_holes(self) -> None:
        for sequence, gap in self._gaps.values():
            records = f"records {gap.first_sequence} to {gap.last_sequence}"
            self._problem(sequence, f"the log was full: {gap.steps} steps ({records}) were dropped")
        spans = [(gap.first_sequence, gap.last_sequence) for _, gap in self._gaps.values()]
        for first, last in self._holes:
            if not any(begin <= first and last <= end for begin, end in spans):
                self._problem(last + 1, f"records {first} to {last} are missing")

    def _date_boots(self) -> None:
        for boot in self._order:
            for anchors in (boot.anchors, boot.own_clock):
                # Two anchors at one uptime: the later one counts.
                anchors[:] = sorted(dict(anchors).items())
        known: int | None = None
        for boot in self._order:
            boot.begins_after_utc_ms = known
            if boot.dated:
                known = boot.utc_ms(boot.last_uptime_ms)
            elif known is not None:
                known += boot.last_uptime_ms
        known = None
        for boot in reversed(self._order):
            boot.ends_before_utc_ms = known
            if boot.dated:
                known = boot.utc_ms(0)
            elif known is not None:
                known -= boot.last_uptime_ms

    def _step(self, boot: Boot, step: dict[str, Any]) -> Step:
        uptime_ms = step["uptime_ms"]
        earliest, latest = (None, None) if boot.dated else boot.bounds(uptime_ms)
        return Step(
            self._device_id,
            self._log_id,
            boot.sequence,
            uptime_ms,
            boot.utc_ms(uptime_ms),
            step["direction"],
            step["confidence"],
            step["stability"],
            earliest,
            latest,
        )


def read_log(device_id: str, log_id: int, records: Iterable[tuple[int, int, bytes]]) -> History:
    """The history in one log's records (sequence, kind, payload), oldest first."""
    return _LogReader(device_id, log_id).read(records)


def stream_log(
    device_id: str, log_id: int, records: Callable[[], Iterable[tuple[int, int, bytes]]]
) -> Iterator[Step]:
    """The steps in one log, one by one, in memory that does not grow with their number.

    records() gives the log's records, oldest first; it is called twice, since a boot's last anchor dates its first
    step, too.
    """
    reader = _LogReader(device_id, log_id, keep_steps=False)
    reader.read(records())
    yield from reader.steps_again(records())


def read_history(store: Store) -> History:
    """Decode every record of every log in the database."""
    history = History()
    for log in store.logs():
        one = read_log(log["device_id"], log["log_id"], store.records(log["id"]))
        history.steps += one.steps
        history.boots += one.boots
        history.gaps += one.gaps
        history.problems += one.problems
    return history


@dataclass
class Day:
    """One calendar day of the wearer; `day` is None for steps that can't be dated.

    bounded_steps: how many of the steps are known to be of this day only by the boots around theirs.
    """

    day: date | None
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(steplog.DIRECTIONS, 0))
    minutes: dict[str, float] = field(default_factory=lambda: dict.fromkeys(steplog.DIRECTIONS, 0.0))
    bouts: int = 0
    bounded_steps: int = 0

    def as_json(self) -> dict[str, Any]:
        """For --json."""
        return {
            "day": self.day.isoformat() if self.day else None,
            "steps": self.counts,
            "minutes": {name: round(value, 2) for name, value in self.minutes.items()},
            "bouts": self.bouts,
            "bounded_steps": self.bounded_steps,
        }


def _date(utc_ms: int | None, zone: tzinfo | None) -> date | None:
    if utc_ms is None:
        return None
    # Without a zone astimezone() asks the system's rules for that very instant: summer days in winter, too.
    return datetime.fromtimestamp(utc_ms / 1000, timezone.utc).astimezone(zone).date()


def day_of(step: Step, zone: tzinfo | None) -> date | None:
    """The wearer's calendar day of a step, or None if it can't be told; zone None: this computer's."""
    if step.utc_ms is not None:
        return _date(step.utc_ms, zone)
    earliest, latest = _date(step.earliest_utc_ms, zone), _date(step.latest_utc_ms, zone)
    return earliest if earliest == latest else None


def days(steps: Iterable[Step], zone: tzinfo | None) -> list[Day]:
    """Steps, walking minutes and bouts by calendar day, oldest first, undated ones last.

    zone: the wearer's; None: this computer's. A step's minutes are the time since the step before it in its bout.
    """
    found: dict[date | None, Day] = {}
    previous: Step | None = None
    ordered = sorted(steps, key=lambda step: (step.device_id, step.log_id, step.boot, step.uptime_ms))
    for step in ordered:
        day = day_of(step, zone)
        total = found.setdefault(day, Day(day))
        total.counts[step.direction] += 1
        total.bounded_steps += step.utc_ms is None and day is not None
        if (
            previous is not None
            and (previous.device_id, previous.log_id, previous.boot)
            == (step.device_id, step.log_id, step.boot)
            and step.uptime_ms - previous.uptime_ms <= BOUT_GAP_MS
        ):
            total.minutes[step.direction] += (step.uptime_ms - previous.uptime_ms) / 60_000
        else:
            total.bouts += 1
        previous = step
    return sorted(found.values(), key=lambda entry: (entry.day is None, entry.day or date.min))
