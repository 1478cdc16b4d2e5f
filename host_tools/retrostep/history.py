"""From the raw records of a log to steps in UTC.

A boot's uptime becomes UTC by its anchors: exact at an anchor, linear between two (which removes the drift of the
device's crystal), with the nearest anchor's offset outside. An anchor that the device took from its own clock after a
reset counts only where no host told the time, and one outside 2025 to 2099 not at all; anchors that disagree by more
than drift were told by clocks that disagreed, and the nearer one counts. Steps of a boot without any anchor have no
UTC but bounds: they came after the boot before and before the boot after, and are never guessed into a day.

A log is read in two passes, so that ten years need little memory: `Timeline` looks at all that is no step (boots and
anchors date the rest), then `read_records` goes through the records in order, steps in blocks of numpy arrays.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from retrostep.device_tree import use_device_code
from retrostep.store import Store

use_device_code()

from firmware import steplog, steplog_decoder  # noqa: E402

# Two anchors that differ by more than this and a thousandth of the time between them were told by different clocks.
_JUMP_MS = 5_000
_DRIFT_PART = 1_000
# The years in which a device takes a host's word for the time (firmware/link/anchoring.py).
_EARLIEST_UTC_MS = 1_735_689_600_000
_END_UTC_MS = 4_102_444_800_000
# Uptimes in the log are cs modulo 2^32.
_WRAP_MS = 10 << 32
_TAG = 0xFFFF
_STABILITY_LEVELS = 6
_CONFIDENCE_LEVELS = 7

Record = tuple[int, int, bytes]

_sequence_of = attrgetter("sequence")


class LogRecords(Protocol):
    """The records (sequence, kind, payload) of one log, oldest first."""

    def landmarks(self) -> Iterable[Record]:
        """All that are no STEPS, and the STEPS before which a number is missing: their BOOT may be lost."""
        ...

    def since(self, sequence: int) -> Iterable[Record]:
        """All from `sequence` on."""
        ...

    def steps_before(self, sequence: int) -> Record | None:
        """The last STEPS record before `sequence`."""
        ...


class StoredRecords:
    """The records of a log in the database."""

    def __init__(self, store: Store, log: int) -> None:
        self._store = store
        self._log = log

    def _read(self, query: str, *values: int) -> Iterator[Record]:
        for row in self._store.rows(query, (self._log, *values)):
            yield row["sequence"], row["kind"], row["payload"]

    def landmarks(self) -> Iterator[Record]:
        """All that are no STEPS, and the STEPS before which a number is missing."""
        (found,) = self._store.rows(
            "SELECT count(*) AS records, min(sequence) AS low, max(sequence) AS high FROM records WHERE log = ?",
            (self._log,),
        )
        if not found["records"]:
            return iter(())
        if found["records"] == found["high"] - found["low"] + 1:
            return self._read(
                "SELECT * FROM (SELECT * FROM records WHERE log = ? AND kind <> 2"
                " UNION SELECT * FROM records WHERE log = ? AND sequence = ?) ORDER BY sequence",
                self._log,
                found["low"],
            )
        return self._read(
            "SELECT * FROM (SELECT *, lag(sequence) OVER (ORDER BY sequence) AS before FROM records WHERE log = ?)"
            " WHERE kind <> 2 OR before IS NULL OR before < sequence - 1 ORDER BY sequence"
        )

    def since(self, sequence: int) -> Iterator[Record]:
        """All from `sequence` on."""
        return self._read("SELECT * FROM records WHERE log = ? AND sequence >= ? ORDER BY sequence", sequence)

    def steps_before(self, sequence: int) -> Record | None:
        """The last STEPS record before `sequence`."""
        found = self._read(
            "SELECT * FROM records WHERE log = ? AND sequence < ? AND kind = 2 ORDER BY sequence DESC LIMIT 1",
            sequence,
        )
        return next(found, None)


class ListedRecords:
    """Records that are in memory, oldest first."""

    def __init__(self, records: list[Record]) -> None:
        self._records = records

    def landmarks(self) -> Iterator[Record]:
        """All that are no STEPS, and the STEPS before which a number is missing."""
        before = -1
        for record in self._records:
            if record[1] != steplog.STEPS or record[0] != before + 1:
                yield record
            before = record[0]

    def since(self, sequence: int) -> Iterator[Record]:
        """All from `sequence` on."""
        return (record for record in self._records if record[0] >= sequence)

    def steps_before(self, sequence: int) -> Record | None:
        """The last STEPS record before `sequence`."""
        before = [record for record in self._records if record[0] < sequence and record[1] == steplog.STEPS]
        return before[-1] if before else None


def _plausible(content: dict[str, Any]) -> bool:
    """False for an anchor of a boot that began before 2025, or of a time after 2099: no clock told that."""
    return content["kind"] != "anchor" or (
        content["utc_ms"] - content["uptime_ms"] >= _EARLIEST_UTC_MS and content["utc_ms"] < _END_UTC_MS
    )


def _unwrapped(uptime_ms: int, last_ms: int) -> int:
    """`uptime_ms` as read, with the wraps of the log's 32-bit times added; records come in order."""
    while uptime_ms < last_ms - _WRAP_MS // 2:
        uptime_ms += _WRAP_MS
    return uptime_ms


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


@dataclass
class Boot:
    """One run of a device from reset to reset.

    sequence: of its BOOT record, by the tag where that is gone. first_sequence: of its first record that is there.
    """

    sequence: int
    first_sequence: int
    cause: str = "unknown"
    model: str = "unknown"
    firmware: str = "unknown"
    anchors: list[tuple[int, int]] = field(default_factory=list)
    own_clock: list[tuple[int, int]] = field(default_factory=list)
    anchor_sequences: list[int] = field(default_factory=list)
    marks: list[tuple[int, int]] = field(default_factory=list)
    """(sequence, uptime ms) of the records beside the steps: what the steps' 32-bit times are unwrapped by."""
    last_uptime_ms: int = 0
    begins_after_utc_ms: int | None = None
    ends_before_utc_ms: int | None = None

    @property
    def dated(self) -> bool:
        """Does it have an anchor of any kind?"""
        return bool(self.anchors or self.own_clock)

    def reached(self, uptime_ms: int) -> int:
        """Take note of an uptime as read; returns it unwrapped."""
        uptime_ms = _unwrapped(uptime_ms, self.last_uptime_ms)
        self.last_uptime_ms = max(self.last_uptime_ms, uptime_ms)
        return uptime_ms

    def uptime_before(self, sequence: int) -> int:
        """The last uptime that a record beside the steps told before `sequence`."""
        return max((uptime for at, uptime in self.marks if at < sequence), default=0)

    def utc_ms(self, uptime_ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """UTC in ms at each `uptime_ms` of this boot, which has an anchor."""
        anchors = np.array(self.anchors or self.own_clock, np.int64)
        up, utc = anchors[:, 0], anchors[:, 1]
        after = np.searchsorted(up, uptime_ms, side="right")
        low = np.maximum(after - 1, 0)
        high = np.minimum(after, len(up) - 1)
        passed, told = up[high] - up[low], utc[high] - utc[low]
        since, left = uptime_ms - up[low], up[high] - uptime_ms
        # More than any crystal drifts: a host's clock was set between the two. The nearer one counts.
        jumped = np.abs(told - passed) > _JUMP_MS + passed // _DRIFT_PART
        # Only the drift is shared out: the product with all that was told exceeds 64 bits after a month.
        drift = np.where(jumped, 0, told - passed)
        drifted = utc[low] + since + since * drift // np.maximum(passed, 1)
        nearer = np.where(since < left, since + utc[low], utc[high] - left)
        return np.where(low == high, since + utc[low], np.where(jumped, nearer, drifted))

    def utc_at(self, uptime_ms: int) -> int | None:
        """UTC in ms at `uptime_ms` of this boot, or None without an anchor."""
        return int(self.utc_ms(np.array([uptime_ms]))[0]) if self.dated else None

    def bounds(self, uptime_ms: int) -> tuple[int | None, int | None]:
        """(earliest, latest) UTC in ms at `uptime_ms` of a boot without anchor."""
        earliest, latest = self.begins_after_utc_ms, self.ends_before_utc_ms
        return (
            None if earliest is None else earliest + uptime_ms,
            None if latest is None else latest - (self.last_uptime_ms - uptime_ms),
        )


@dataclass(frozen=True)
class Problem:
    """Something in the log that a person should know.

    kind: "fault" of the sensor; "full": the device had to drop unsynced records; "missing" ones that no "full"
    explains; "unreadable" record; "anchor" whose time can't be; "crash" of the app. first, last: the record numbers
    it is about.
    """

    device_id: str
    sequence: int
    kind: str
    first: int
    last: int
    steps: int
    text: str


@dataclass(frozen=True)
class Happening:
    """A record that is no step and has a time: `content` as steplog_decoder gives it. utc_ms: None if undated."""

    sequence: int
    boot: Boot
    uptime_ms: int
    utc_ms: int | None
    content: dict[str, Any]


@dataclass(frozen=True)
class StepBlock:
    """The steps of one STEPS record, in order; state as in firmware/steplog.py."""

    sequence: int
    boot: Boot
    uptime_ms: NDArray[np.int64]
    state: NDArray[np.uint8]


class Timeline:
    """The boots of a log and what dates them."""

    def __init__(self, records: LogRecords) -> None:
        self._records = records
        # By tag, oldest first: a tag comes back after 65,536 records.
        self._boots: dict[int, list[Boot]] = {}
        self.boots: list[Boot] = []
        for sequence, kind, payload in records.landmarks():
            try:
                if kind == steplog.STEPS:
                    self.boot_of(steplog.boot_tag_of(payload), sequence)
                    continue
                record = steplog_decoder.decode(kind, payload)
            except (steplog_decoder.RecordUnreadable, *steplog.UNPACK_ERRORS):
                # read_records tells it.
                continue
            if record["kind"] == "boot":
                self._add(Boot(sequence, sequence, record["cause"], record["model"], record["firmware"]))
                continue
            boot = self.boot_of(record["boot_tag"], sequence)
            if not _plausible(record):
                # read_records tells it.
                continue
            uptime_ms = boot.reached(record["uptime_ms"])
            boot.marks.append((sequence, uptime_ms))
            if record["kind"] == "anchor":
                anchors = boot.anchors if record["source"] == "host" else boot.own_clock
                if record["source"] == "host":
                    boot.anchor_sequences.append(sequence)
                anchors.append((uptime_ms, record["utc_ms"]))
        self._date()

    def _add(self, boot: Boot) -> Boot:
        insort(self._boots.setdefault(boot.sequence & _TAG, []), boot, key=_sequence_of)
        self.boots.append(boot)
        return boot

    def boot_of(self, tag: int, sequence: int) -> Boot:
        """The boot that the record `sequence` belongs to by its tag: the last one with that tag that began before."""
        boots = self._boots.get(tag, [])
        before = bisect_right(boots, sequence, key=_sequence_of)
        if before:
            return boots[before - 1]
        # Its BOOT record is gone: pruned, damaged, or from before the first sync.
        return self._add(Boot(sequence - (sequence - tag & _TAG), sequence))

    def _date(self) -> None:
        for boot in self.boots:
            for anchors in (boot.anchors, boot.own_clock):
                # Two anchors at one uptime: the later one counts.
                anchors[:] = sorted(dict(anchors).items())
        for boot, following in zip(self.boots, [*self.boots, None][1:], strict=True):
            if not boot.dated or (following is not None and not following.dated):
                self._see_last_step(boot, following)
        known: int | None = None
        for boot in self.boots:
            boot.begins_after_utc_ms = known
            if boot.dated:
                known = boot.utc_at(boot.last_uptime_ms)
            elif known is not None:
                known += boot.last_uptime_ms
        known = None
        for boot in reversed(self.boots):
            boot.ends_before_utc_ms = known
            if boot.dated:
                known = boot.utc_at(0)
            elif known is not None:
                known -= boot.last_uptime_ms

    def _see_last_step(self, boot: Boot, following: Boot | None) -> None:
        """How long a boot lasted is told by its last step if nothing else was logged after it."""
        record = self._records.steps_before(1 << 40 if following is None else following.first_sequence)
        if record is None:
            return
        sequence, _, payload = record
        try:
            _, _, last_cs = steplog.step_span(payload)
            tag = steplog.boot_tag_of(payload)
        except steplog.UNPACK_ERRORS:
            return
        if tag == boot.sequence & _TAG and sequence >= boot.first_sequence:
            boot.reached(last_cs * 10)

    def settled_before(self) -> int:
        """Records before this number keep their UTC whatever the next sync brings.

        Not settled are steps after the last anchor but one of the boot that goes on, and boots without anchor that
        no dated boot follows.
        """
        for boot in reversed(self.boots):
            anchors = boot.anchor_sequences
            if boot is self.boots[-1]:
                if len(anchors) > 1:
                    return anchors[-2]
                settled = boot.first_sequence
            elif boot.dated:
                break
            else:
                settled = boot.first_sequence
        return settled if self.boots else 0


def _steps_of(payload: bytes) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """(uptime ms, state) of the steps of a STEPS payload. Raises one of steplog.UNPACK_ERRORS."""
    times, states = [], bytearray()
    for kind, at_cs, value, _, _ in steplog.scan_steps(payload):
        if kind == "step":
            times.append(at_cs)
            states.append(value)
    return np.array(times, np.int64) * 10, np.frombuffer(bytes(states), np.uint8)


def read_records(
    device_id: str, timeline: Timeline, records: Iterable[Record], first: int | None = None
) -> Iterator[StepBlock | Happening | Problem]:
    """All that `records` tell, in order. first: the number they begin with, None: whatever number that is."""
    expected: int | None = first
    last_ms: dict[int, int] = {}

    def reached(boot: Boot, uptime_ms: int) -> int:
        if id(boot) not in last_ms:
            last_ms[id(boot)] = boot.uptime_before(sequence)
        uptime_ms = _unwrapped(uptime_ms, last_ms[id(boot)])
        last_ms[id(boot)] = max(uptime_ms, last_ms[id(boot)])
        return uptime_ms

    for sequence, kind, payload in records:
        if expected is not None and sequence != expected:
            text = f"records {expected} to {sequence - 1} are missing"
            yield Problem(device_id, sequence, "missing", expected, sequence - 1, 0, text)
        expected = sequence + 1
        try:
            if kind == steplog.STEPS:
                times, states = _steps_of(payload)
                if len(times):
                    boot = timeline.boot_of(steplog.boot_tag_of(payload), sequence)
                    begin = int(times[0])
                    times += reached(boot, begin) - begin
                    reached(boot, int(times[-1]))
                    yield StepBlock(sequence, boot, times, states)
                continue
            content = steplog_decoder.decode(kind, payload)
        except (steplog_decoder.RecordUnreadable, *steplog.UNPACK_ERRORS) as unreadable:
            text = str(unreadable)
            yield Problem(device_id, sequence, "unreadable", sequence, sequence, 0, text)
            continue
        if content["kind"] == "boot":
            continue
        if not _plausible(content):
            text = (
                f"an anchor of {content['utc_ms']} ms UTC at {content['uptime_ms']} ms of uptime was ignored: "
                "expected a boot and a time in 2025 to 2099"
            )
            yield Problem(device_id, sequence, "anchor", sequence, sequence, 0, text)
            continue
        boot = timeline.boot_of(content["boot_tag"], sequence)
        uptime_ms = reached(boot, content["uptime_ms"])
        yield Happening(sequence, boot, uptime_ms, boot.utc_at(uptime_ms), content)
        if content["kind"] == "fault":
            text = f"{content['fault']} ({content['count']})"
            yield Problem(device_id, sequence, "fault", sequence, sequence, 0, text)
        elif content["kind"] == "crash":
            last_line = content["traceback"].strip().rpartition("\n")[2]
            text = f"the app crashed (time {content['count']}): {last_line}"
            yield Problem(device_id, sequence, "crash", sequence, sequence, 0, text)
        elif content["kind"] == "gap":
            first_lost, last_lost, steps = content["first_lost"], content["last_lost"], content["steps"]
            text = f"the log was full: {steps} steps (records {first_lost} to {last_lost}) were dropped"
            yield Problem(device_id, sequence, "full", first_lost, last_lost, steps, text)


def explained(problems: Iterable[Problem]) -> list[Problem]:
    """The problems of one log without the holes that a "full" explains, and each "full" once, in order."""
    found = list(problems)
    full: dict[int, Problem] = {}
    for problem in found:
        if problem.kind == "full" and (
            # A power cut between telling and dropping makes the device tell it again.
            problem.first not in full or full[problem.first].last < problem.last
        ):
            full[problem.first] = problem
    spans: list[tuple[int, int]] = []
    for first, last in sorted((gap.first, gap.last) for gap in full.values()):
        if spans and first <= spans[-1][1] + 1:
            begin, end = spans.pop()
            spans.append((begin, max(end, last)))
        else:
            spans.append((first, last))
    rest = [
        problem
        for problem in found
        if problem.kind not in ("missing", "full")
        or (
            problem.kind == "missing"
            and not any(begin <= problem.first and problem.last <= end for begin, end in spans)
        )
    ]
    return sorted([*rest, *full.values()], key=lambda problem: problem.sequence)


def steps_of_block(device_id: str, log_id: int, block: StepBlock) -> Iterator[Step]:
    """The steps of a block one by one."""
    boot = block.boot
    times = block.uptime_ms.tolist()
    utc: list[int] | list[None] = boot.utc_ms(block.uptime_ms).tolist() if boot.dated else [None] * len(times)
    for uptime_ms, utc_ms, state in zip(times, utc, block.state.tolist(), strict=True):
        stability = state >> 5
        yield Step(
            device_id,
            log_id,
            boot.sequence,
            uptime_ms,
            utc_ms,
            steplog.DIRECTIONS[state & 3],
            (state >> 2 & 7) / _CONFIDENCE_LEVELS,
            None if stability == steplog.STABILITY_NONE_LEVEL else stability * 100 / _STABILITY_LEVELS,
            *((None, None) if boot.dated else boot.bounds(uptime_ms)),
        )


@dataclass
class History:
    """All that a log or a database tells, in memory."""

    steps: list[Step] = field(default_factory=list)
    blocks: list[StepBlock] = field(default_factory=list)
    boots: list[Boot] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_log(device_id: str, log_id: int, records: LogRecords) -> History:
    """The history in one log's records. For short logs; `stream_log` and derived.py serve long ones."""
    timeline = Timeline(records)
    history = History(boots=timeline.boots)
    for found in read_records(device_id, timeline, records.since(0)):
        if isinstance(found, StepBlock):
            history.blocks.append(found)
            history.steps += steps_of_block(device_id, log_id, found)
        elif isinstance(found, Problem):
            history.problems.append(found)
    history.problems = explained(history.problems)
    return history


def stream_log(device_id: str, log_id: int, records: LogRecords) -> Iterator[Step]:
    """The steps in one log, one by one, in memory that does not grow with their number."""
    timeline = Timeline(records)
    for found in read_records(device_id, timeline, records.since(0)):
        if isinstance(found, StepBlock):
            yield from steps_of_block(device_id, log_id, found)


def read_history(store: Store) -> History:
    """Decode every record of every log in the database. For short logs."""
    history = History()
    for log in store.logs():
        one = read_log(log["device_id"], log["log_id"], StoredRecords(store, log["id"]))
        history.steps += one.steps
        history.blocks += one.blocks
        history.boots += one.boots
        history.problems += one.problems
    return history
