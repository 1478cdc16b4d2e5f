"""A CSV of single steps back into a database, as a log: records like a device's, from which the same steps follow.

Every boot of the file becomes a BOOT record, anchors and STEPS records. Anchors are set so that the sum of
history.py gives each step its time to the millisecond: at the first and the last step of a boot, and wherever the
line between two anchors misses a step. A boot without a time keeps its bounds: a boot that lasted no time, with an
anchor, before and after it. At the end the steps are read back and compared with the file; if one differs, nothing
is kept.

A log is imported whole and once, never merged with records of a device: it has numbers of its own.
"""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np

from retrostep.device_tree import use_device_code
from retrostep.export.errors import ImportRefused
from retrostep.export.instants import from_text
from retrostep.export.levels import BOUNDED, EXACT, STEP_COLUMNS, UNKNOWN, Column, WornStep, step_row
from retrostep.export.tables import plain
from retrostep.history import Boot, StoredRecords, stream_log
from retrostep.store import IMPORTED_SEQUENCE, Store
from retrostep.wearers import EVER_UTC_MS, NEVER_UTC_MS, free_spans, wearers

use_device_code()

from firmware import steplog  # noqa: E402

IMPORTED = "imported"
_HEADER = [name for name, _ in STEP_COLUMNS]
# A device's numbers and uptimes are smaller.
_NUMBERS = 1 << 48
# So many steps are looked at together when anchors are set.
_PORTION_STEPS = 5_000


class _Row(NamedTuple):
    """One line of the file, read."""

    wearer: str | None
    device_id: str
    log_id: int
    boot: int
    uptime_ms: int
    utc_ms: int | None
    quality: str
    earliest_utc_ms: int | None
    latest_utc_ms: int | None
    direction: int
    confidence: int
    stability: int | None
    line: int
    cells: list
    """What _told() must give for the step that this row becomes."""


@dataclass(frozen=True)
class Imported:
    """What an import brought."""

    steps: int
    logs: int


def _name(text: str) -> str | None:
    if text and not text.strip():
        raise ValueError
    return text or None


def _number(text: str) -> int:
    value = int(text)
    if not 0 <= value < _NUMBERS or str(value) != text:
        raise ValueError
    return value


def _time(text: str) -> int | None:
    utc_ms = from_text(text) if text else None
    if utc_ms is not None and utc_ms < 0:
        raise ValueError
    return utc_ms


def _quality(text: str) -> str:
    if text not in (EXACT, BOUNDED, UNKNOWN):
        raise ValueError
    return text


def _percent(text: str) -> int:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError
    return round(value * 100)


def _score(text: str) -> int | None:
    if not text:
        return None
    value = float(text)
    if not 0 <= value <= 100:
        raise ValueError
    return round(value)


_READERS: tuple[tuple[Callable[[str], object], str], ...] = (
    (_name, "a name or nothing"),
    (str, "a device's name"),
    (_number, "a whole number below 2^48"),
    (_number, "a whole number below 2^48"),
    (_number, "a whole number below 2^48"),
    (_time, "a time since 1970, like 2026-06-01T10:00:00.123Z, or nothing"),
    (_quality, f"{EXACT}, {BOUNDED} or {UNKNOWN}"),
    (_time, "a time since 1970 or nothing"),
    (_time, "a time since 1970 or nothing"),
    (steplog.DIRECTIONS.index, ", ".join(steplog.DIRECTIONS)),
    (_percent, "a number from 0 to 1"),
    (_score, "a number from 0 to 100 or nothing"),
)


def _read(path: Path) -> Iterator[_Row]:
    """The steps in the file, checked. Raises ImportRefused."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file)
            header = next(lines, [])
            if header != _HEADER:
                raise ImportRefused(
                    f"{path}: the first line is {','.join(header)[:80]!r}, expected {','.join(_HEADER)}: only what "
                    "`retrostep export --format csv --level steps` wrote can be imported"
                )
            for cells in lines:
                yield _checked(path, lines.line_num, cells)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImportRefused(f"{path} can't be read: {error}. Expected a CSV file in UTF-8") from error


def _cell(column: Column, text: str) -> object:
    """A cell as plain() has it before it becomes text."""
    if column.kind in ("int", "real") and text:
        return int(text) if column.kind == "int" else float(text)
    return text or None


def _checked(path: Path, line: int, cells: list[str]) -> _Row:
    if len(cells) != len(_HEADER):
        raise ImportRefused(f"{path}, line {line}: {len(cells)} columns, expected {len(_HEADER)}")
    values = []
    for name, text, (reader, expected) in zip(_HEADER, cells, _READERS, strict=True):
        try:
            values.append(reader(text))
        except ValueError as error:
            raise ImportRefused(f"{path}, line {line}, {name}: {text!r}, expected {expected}") from error
    told = [_cell(column, text) for column, text in zip(STEP_COLUMNS, cells, strict=True)]
    row = _Row(*values, line=line, cells=[*told[1:3], *told[4:]])
    if (row.utc_ms is not None) != (row.quality == EXACT):
        raise ImportRefused(
            f"{path}, line {line}: time_quality is {row.quality}, which does not fit its time"
        )
    if row.earliest_utc_ms is not None and row.earliest_utc_ms < row.uptime_ms:
        raise ImportRefused(
            f"{path}, line {line}, earliest: {row.uptime_ms} ms before it, when the boot began, it was before 1970; "
            "expected a time since 1970"
        )
    return row


class _Records:
    """The records of one imported log, numbered from 1, as they are made."""

    def __init__(self) -> None:
        self._sequence = 0
        self._tag = 0

    def _next(self, kind: int, payload: bytes) -> tuple[int, int, bytes]:
        self._sequence += 1
        return self._sequence, kind, payload

    def boot(self) -> tuple[int, int, bytes]:
        """A boot begins."""
        record = self._next(steplog.BOOT, steplog.encode_boot(5, 0, 0, IMPORTED, IMPORTED, IMPORTED))
        self._tag = record[0] & 0xFFFF
        return record

    def anchor(self, uptime_ms: int, utc_ms: int) -> tuple[int, int, bytes]:
        """At that uptime of this boot it was that time."""
        return self._next(
            steplog.ANCHOR, steplog.encode_anchor(self._tag, uptime_ms, utc_ms, 0, steplog.SOURCE_HOST)
        )

    def alive(self, uptime_ms: int) -> tuple[int, int, bytes]:
        """This boot still ran at that uptime."""
        return self._next(steplog.BATTERY, steplog.encode_battery(self._tag, uptime_ms, 0))

    def steps(self, rows: Iterable[_Row]) -> Iterator[tuple[int, int, bytes]]:
        """STEPS records of these steps."""
        chunk = steplog.StepChunk(self._tag, steplog.model_tag(IMPORTED))
        last_ms = 0
        for row in rows:
            # Within a record time never runs backward; from one to the next it may, by what a step takes to settle.
            if chunk.full or row.uptime_ms < last_ms:
                yield self._next(steplog.STEPS, chunk.payload())
                chunk.clear()
            last_ms = row.uptime_ms
            chunk.add_step(row.uptime_ms, row.direction, row.confidence, row.stability)
        if not chunk.empty:
            yield self._next(steplog.STEPS, chunk.payload())


def _anchors(rows: list[_Row]) -> Iterator[tuple[int, int]]:
    """(uptime, UTC) of the steps that have to be anchors, of a boot's steps in order: ends, and what lines miss."""
    uptime = np.array([row.uptime_ms for row in rows], np.int64)
    utc = np.array([row.utc_ms for row in rows], np.int64)
    spans = [(0, len(rows) - 1)]
    wanted = {0, len(rows) - 1}
    while spans:
        low, high = spans.pop()
        ends = sorted({int(uptime[at]): int(utc[at]) for at in (low, high)}.items())
        part = slice(low, high + 1)
        if high - low > 1 and not np.array_equal(Boot(0, 0, anchors=ends).utc_ms(uptime[part]), utc[part]):
            middle = (low + high) // 2
            wanted.add(middle)
            spans += [(low, middle), (middle, high)]
    for at in sorted(wanted):
        yield int(uptime[at]), int(utc[at])


def _bounds(boot: list[_Row]) -> tuple[int | None, int | None]:
    """(earliest, latest) of a boot's uptime 0: all its steps have the same."""
    first = boot[0]
    return (
        None if first.earliest_utc_ms is None else first.earliest_utc_ms - first.uptime_ms,
        None if first.latest_utc_ms is None else first.latest_utc_ms - first.uptime_ms,
    )


def _lasted_ms(boot: list[_Row], following: list[_Row] | None) -> int | None:
    """How long an undated boot lasted, where the bounds of the one after it say so; else None.

    Both have a bound on the same one side: nothing dated lies between them, and the bounds differ by just that.
    """
    if following is None:
        return None
    own, others = _bounds(boot), _bounds(following)
    for side in (0, 1):
        if own[1 - side] is None and others[1 - side] is None:
            low, high = own[side], others[side]
            return None if low is None or high is None else high - low
    return None


def _records_of(rows: Iterable[_Row]) -> Iterator[tuple[int, int, bytes]]:
    """The records of one log."""
    records = _Records()
    before: list[_Row] | None = None
    boots = (list(group) for _, group in groupby(rows, key=lambda row: row.boot))
    following = next(boots, None)
    while following is not None:
        boot, following = following, next(boots, None)
        if boot[0].utc_ms is not None:
            yield records.boot()
            for begin in range(0, len(boot), _PORTION_STEPS):
                for anchor in _anchors(boot[begin : begin + _PORTION_STEPS]):
                    yield records.anchor(*anchor)
            yield from records.steps(boot)
        else:
            yield from _undated(records, before, boot, following)
        before = boot


def _undated(
    records: _Records, before: list[_Row] | None, boot: list[_Row], following: list[_Row] | None
) -> Iterator[tuple[int, int, bytes]]:
    """A boot without a time, in what gives it its bounds."""
    earliest, _ = _bounds(boot)
    if earliest is not None and (before is None or _lasted_ms(before, boot) is None):
        yield records.boot()
        yield records.anchor(0, earliest)
    yield records.boot()
    yield from records.steps(boot)
    last = boot[-1]
    lasted_ms = _lasted_ms(boot, following)
    if lasted_ms is not None:
        yield records.alive(lasted_ms)
    elif last.latest_utc_ms is not None:
        yield records.boot()
        yield records.anchor(0, last.latest_utc_ms)


def _check_new(store: Store, path: Path, device_id: str, log_id: int) -> None:
    if any((log["device_id"], log["log_id"]) == (device_id, log_id) for log in store.logs()):
        raise ImportRefused(
            f"{path}: log {log_id} of device {device_id} is in {store.path} already, and logs are never merged. "
            "Import into another database (--db)"
        )


def _told(row: tuple) -> list:
    """A row of STEP_COLUMNS without wearer and boot, which depend on what else the database holds."""
    cells = plain(row, STEP_COLUMNS)
    return [*cells[1:3], *cells[4:]]


def _verify(store: Store, log: int, rows: Iterable[_Row], path: Path, device_id: str, log_id: int) -> None:
    """Do the records in the database give the steps of the file? Raises ImportRefused."""
    made = stream_log(device_id, log_id, StoredRecords(store, log))
    for row, step in zip_longest(rows, made):
        back = None if step is None else _told(step_row(WornStep(step, None)))
        if row is None or row.cells != back:
            where = f"line {row.line}" if row else "its end"
            raise ImportRefused(
                f"{path}, {where}: the step would come back as {back}. Expected the steps of each boot in order, "
                "with times and bounds as an export has them"
            )


@dataclass
class _Run:
    """Dated steps on end of one wearer (None: nobody), in order of time."""

    wearer: str | None
    first_utc_ms: int
    last_utc_ms: int

    def takes(self, row: _Row, utc_ms: int) -> bool:
        """Does a step go on with it? If so, it is its last step now."""
        if row.wearer != self.wearer or utc_ms < self.last_utc_ms:
            return False
        self.last_utc_ms = utc_ms
        return True


def _spans(runs: list[_Run], known: bool) -> Iterator[tuple[str, int, int]]:
    """(wearer, since, until): each run lasts until the next one, those of a device new here from ever for good."""
    ordered = sorted(runs, key=lambda run: run.first_utc_ms)
    end = max((run.last_utc_ms + 1 for run in runs), default=0) if known else NEVER_UTC_MS
    for at, run in enumerate(ordered):
        since = run.first_utc_ms if known or at else EVER_UTC_MS
        until = ordered[at + 1].first_utc_ms if at + 1 < len(ordered) else end
        if run.wearer is not None and since < until:
            yield run.wearer, since, until


def _assign_wearers(
    store: Store, connection: sqlite3.Connection, runs_by_device: dict[str, list[_Run]], known: set[str]
) -> None:
    """Add the wearers of these runs and give them their devices where nobody has them; known: devices here before."""
    people = wearers(store)
    ids = {person.name: person.id for person in people}
    worn = [(person.id, one) for person in people for one in person.wearings]
    named = {run.wearer for runs in runs_by_device.values() for run in runs if run.wearer is not None}
    rows: list[tuple[str, int, int, int]] = []
    if named - ids.keys():
        # What was the only wearer's without being assigned stays theirs.
        rows += [(one.device_id, person, one.since_utc_ms, one.until_utc_ms) for person, one in worn]
    for name in sorted(named - ids.keys()):
        added = connection.execute("INSERT INTO wearers (name) VALUES (?) RETURNING id", (name,))
        ids[name] = added.fetchone()["id"]
    for device_id, runs in runs_by_device.items():
        taken = [
            (one.since_utc_ms, one.until_utc_ms)
            for _, one in worn
            if one.device_id == device_id and device_id in known
        ]
        for name, since, until in _spans(runs, device_id in known):
            rows += [(device_id, ids[name], *part) for part in free_spans(since, until, taken)]
    connection.executemany("INSERT INTO wearings VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", rows)


def import_csv(path: Path, db: Path) -> Imported:
    """Bring the steps of the CSV file `path` into the database `db`, all or nothing.

    Wearers named in it are added and get their devices, except in spans in which a device has a wearer here. Raises
    ImportRefused, StoreError.
    """
    if not path.is_file():
        raise ImportRefused(
            f"{path} can't be read: no such file. Expected a CSV that `retrostep export` wrote"
        )
    steps = 0
    runs_by_device: dict[str, list[_Run]] = {}

    def noted(rows: Iterable[_Row]) -> Iterator[_Row]:
        nonlocal steps
        for row in rows:
            steps += 1
            runs = runs_by_device.setdefault(row.device_id, [])
            if row.utc_ms is not None and not (runs and runs[-1].takes(row, row.utc_ms)):
                runs.append(_Run(row.wearer, row.utc_ms, row.utc_ms))
            yield row

    with Store(db) as store:
        known = {device["id"] for device in store.devices()}
        logs: dict[tuple[str, int], int] = {}
        with store.transaction() as connection:
            for name, rows in groupby(_read(path), key=lambda row: (row.device_id, row.log_id)):
                _check_new(store, path, *name)
                connection.execute(
                    "INSERT INTO devices (id, board, firmware) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                    (name[0], IMPORTED, IMPORTED),
                )
                logs[name] = connection.execute(
                    "INSERT INTO logs (device_id, log_id, next_sequence) VALUES (?, ?, ?) RETURNING id",
                    (*name, IMPORTED_SEQUENCE),
                ).fetchone()["id"]
                connection.executemany(
                    "INSERT INTO records (log, sequence, kind, payload) VALUES (?, ?, ?, ?)",
                    ((logs[name], *record) for record in _records_of(noted(rows))),
                )
            for name, rows in groupby(_read(path), key=lambda row: (row.device_id, row.log_id)):
                _verify(store, logs[name], rows, path, *name)
            _assign_wearers(store, connection, runs_by_device, known)
    return Imported(steps, len(logs))
