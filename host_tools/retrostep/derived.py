"""The derived tables of the database: what the raw records tell, summed up so that ten years are read in seconds.

`derive` brings them up to date with the records: it decodes only what came since, and what a later anchor may still
have moved (`Timeline.settled_before`). The tables are no truth: whoever drops one, or updates the tool, has them all
made anew the next time. Column by column: docs/database.md.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrostep.history import (
    Happening,
    Problem,
    StepBlock,
    StoredRecords,
    Timeline,
    explained,
    read_records,
)
from retrostep.migrations import statements
from retrostep.store import Store
from retrostep.stretches import NO_TIME, STRETCH, StretchBuilder
from retrostep.wearers import EVER_UTC_MS, NEVER_UTC_MS, Wearer, Wearing

# Raised when the same records would give other rows.
VERSION = 2
_TABLES = """
CREATE TABLE derivations (
    log INTEGER PRIMARY KEY REFERENCES logs (id),
    version INTEGER NOT NULL,
    records INTEGER NOT NULL,
    next_sequence INTEGER NOT NULL,
    settled_sequence INTEGER NOT NULL
) STRICT;
CREATE TABLE stretches (
    log INTEGER NOT NULL REFERENCES logs (id),
    sequence INTEGER NOT NULL,
    step INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    walk_uptime_ms INTEGER NOT NULL,
    start_uptime_ms INTEGER NOT NULL,
    end_uptime_ms INTEGER NOT NULL,
    start_utc_ms INTEGER,
    end_utc_ms INTEGER,
    earliest_utc_ms INTEGER,
    latest_utc_ms INTEGER,
    direction INTEGER NOT NULL,
    steps INTEGER NOT NULL,
    walk_ms INTEGER NOT NULL,
    intervals INTEGER NOT NULL,
    stability_sum REAL NOT NULL,
    stability_steps INTEGER NOT NULL,
    PRIMARY KEY (log, sequence, step)
) STRICT, WITHOUT ROWID;
CREATE INDEX stretches_by_time ON stretches (start_utc_ms);
CREATE TABLE events (
    log INTEGER NOT NULL REFERENCES logs (id),
    sequence INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    uptime_ms INTEGER NOT NULL,
    utc_ms INTEGER,
    kind TEXT NOT NULL,
    strength INTEGER NOT NULL,
    PRIMARY KEY (log, sequence)
) STRICT, WITHOUT ROWID;
CREATE TABLE walk_tests (
    log INTEGER NOT NULL REFERENCES logs (id),
    sequence INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    uptime_ms INTEGER NOT NULL,
    utc_ms INTEGER,
    outcome TEXT NOT NULL,
    direction TEXT NOT NULL,
    reaction_ms INTEGER,
    walk_ms INTEGER,
    steps INTEGER NOT NULL,
    stability REAL,
    PRIMARY KEY (log, sequence)
) STRICT, WITHOUT ROWID;
CREATE TABLE problems (
    log INTEGER NOT NULL REFERENCES logs (id),
    sequence INTEGER NOT NULL,
    kind TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    steps INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (log, sequence, kind)
) STRICT, WITHOUT ROWID;
"""
_NAMES = ("derivations", "stretches", "stretches_by_time", "events", "walk_tests", "problems")
_CONTENT = ("stretches", "events", "walk_tests", "problems")
_EVENT = ("event", "strength")
_WALK_TEST = ("outcome", "direction", "reaction_ms", "walk_ms", "steps", "stability")
_COLUMNS = tuple(STRETCH.names or ())
_STATE = "SELECT * FROM derivations WHERE log = ?"
# Records that are decoded and written in one transaction: some weeks.
_PORTION_RECORDS = 20_000
# The one of two programs that was overtaken lets the other go ahead.
_GIVE_WAY_S = 0.2

Progress = Callable[[int, int], None]


class _Overtaken(Exception):
    """Another program has derived records of the same log since this one looked."""


def _nothing(done: int, total: int) -> None:
    pass


def _make_tables(db: sqlite3.Connection) -> None:
    """Drop every derived table and make it anew, empty."""
    for name in (*_CONTENT, "derivations"):
        db.execute(f"DROP TABLE IF EXISTS {name}")
    for statement in statements(_TABLES):
        db.execute(statement)


def forget(store: Store) -> None:
    """Empty every derived table: the next derive() makes all of it anew."""
    with store.transaction() as db:
        _make_tables(db)


def _current(store: Store) -> bool:
    marks = ", ".join("?" * len(_NAMES))
    there = store.rows(f"SELECT sql FROM sqlite_schema WHERE name IN ({marks})", _NAMES)
    wanted = sorted(statement.strip() for statement in statements(_TABLES))
    return sorted(row["sql"] for row in there) == wanted and not list(
        store.rows("SELECT 1 FROM derivations WHERE version <> ?", (VERSION,))
    )


def _ensure_tables(store: Store) -> None:
    if _current(store):
        return
    with store.transaction() as db:
        # Another program may have been quicker.
        if not _current(store):
            _make_tables(db)


def derive(store: Store, on_progress: Progress = _nothing) -> None:
    """Bring the derived tables up to date. on_progress(records done, records to do), called now and then."""
    while not _derived(store, on_progress):
        time.sleep(_GIVE_WAY_S)


def _derived(store: Store, on_progress: Progress) -> bool:
    """Derive what there is to do; False if another program was at it meanwhile: then what is left is to be done."""
    _ensure_tables(store)
    todo = [(log, work) for log in store.logs() if (work := _work(store, log["id"])) is not None]
    total = sum(work["todo"] for _, work in todo)
    done = 0
    for log, work in todo:
        try:
            for now in _derive_log(store, log["id"], log["device_id"], work):
                on_progress(min(done + now, total), total)
        except _Overtaken:
            return False
        done += work["todo"]
    return True


def _work(store: Store, log: int) -> dict[str, Any] | None:
    """What is to do for a log: None if it is up to date, else from which record, up to which, and how many."""
    (there,) = store.rows(
        "SELECT count(*) AS records, max(sequence) AS high FROM records WHERE log = ?", (log,)
    )
    if not there["records"]:
        return None
    found = list(store.rows(_STATE, (log,)))
    work = {"settled": 0, "high": there["high"], "todo": there["records"], "found": found}
    for known in found:
        (older,) = store.rows(
            "SELECT count(*) AS records FROM records WHERE log = ? AND sequence < ?",
            (log, known["next_sequence"]),
        )
        # Older records that came late (an import, a restored database) have it made anew.
        if older["records"] == known["records"]:
            if known["next_sequence"] > there["high"]:
                return None
            settled = known["settled_sequence"]
            (left,) = store.rows(
                "SELECT count(*) AS records FROM records WHERE log = ? AND sequence >= ?", (log, settled)
            )
            work.update(settled=settled, todo=left["records"])
    return work


def _derive_log(store: Store, log: int, device_id: str, work: dict[str, Any]) -> Iterator[int]:
    """Do a log's `work`; yields how many records are done. Raises _Overtaken."""
    begin, high, state = work["settled"], work["high"], work["found"]
    records = StoredRecords(store, log)
    timeline = Timeline(records)
    settled_before = timeline.settled_before()
    done, size, settled = 0, _PORTION_RECORDS, begin
    while True:
        portion = []
        for record in records.since(begin):
            if len(portion) == size or record[0] > high:
                break
            portion.append(record)
        end = portion[-1][0] + 1
        first = _expected(store, log, begin)
        builder = StretchBuilder(settled_before)
        stretches: list[NDArray[np.void]] = []
        events: list[tuple[Any, ...]] = []
        tests: list[tuple[Any, ...]] = []
        problems: list[tuple[Any, ...]] = []
        for found in read_records(device_id, timeline, portion, first):
            if isinstance(found, StepBlock):
                stretches += builder.feed(found)
            elif isinstance(found, Problem):
                problems.append(
                    (log, found.sequence, found.kind, found.first, found.last, found.steps, found.text)
                )
            elif found.content["kind"] == "event":
                events.append(_row(log, found, _EVENT))
            elif found.content["kind"] == "walk_test":
                tests.append(_row(log, found, _WALK_TEST))
        stretches += builder.finish()
        if builder.settled_boundary is not None:
            settled = builder.settled_boundary
        following = begin if builder.boundary is None else builder.boundary
        last = end > high
        if not last and following == begin:
            # One walk longer than the portion.
            size *= 2
            continue
        with store.transaction() as db:
            if db.execute(_STATE, (log,)).fetchall() != state:
                raise _Overtaken
            for table in _CONTENT:
                db.execute(f"DELETE FROM {table} WHERE log = ? AND sequence >= ?", (log, begin))
            for rows in stretches:
                db.executemany(
                    f"INSERT INTO stretches (log, {', '.join(_COLUMNS)}) VALUES (?{', ?' * len(_COLUMNS)})",
                    ((log, *_with_nulls(row)) for row in rows.tolist()),
                )
            db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", events)
            db.executemany("INSERT INTO walk_tests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", tests)
            db.executemany("INSERT INTO problems VALUES (?, ?, ?, ?, ?, ?, ?)", problems)
            db.execute(
                "INSERT OR REPLACE INTO derivations SELECT ?, ?, count(*), ?, ? FROM records"
                " WHERE log = ? AND sequence < ?",
                (log, VERSION, end, settled, log, end),
            )
            state = db.execute(_STATE, (log,)).fetchall()
        done += len(portion)
        yield done
        if last:
            return
        begin, size = following, _PORTION_RECORDS


def _expected(store: Store, log: int, begin: int) -> int | None:
    """The number that a log's records from `begin` on begin with if nothing is missing before them."""
    (before,) = store.rows(
        "SELECT max(sequence) AS last FROM records WHERE log = ? AND sequence < ?", (log, begin)
    )
    return None if before["last"] is None else before["last"] + 1


def _row(log: int, found: Happening, names: tuple[str, ...]) -> tuple[Any, ...]:
    where = (log, found.sequence, found.boot.sequence, found.uptime_ms, found.utc_ms)
    return where + tuple(found.content[name] for name in names)


def _with_nulls(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(None if value == NO_TIME else value for value in row)


def worn_devices(store: Store, wearer: Wearer | None) -> set[str]:
    """The devices a wearer ever wore; None: all."""
    if wearer is None:
        return {device["id"] for device in store.rows("SELECT id FROM devices")}
    return {worn.device_id for worn in wearer.wearings}


def _wearings(store: Store, wearer: Wearer | None) -> list[Wearing]:
    if wearer is not None:
        return list(wearer.wearings)
    devices = sorted(worn_devices(store, None))
    return [Wearing(device, EVER_UTC_MS, NEVER_UTC_MS) for device in devices]


def load_stretches(
    store: Store, wearer: Wearer | None = None, since_utc_ms: int = EVER_UTC_MS
) -> NDArray[np.void]:
    """Stretches as the tables hold them: a wearer's (None: all), from a time on (undated ones always come)."""
    columns = ", ".join(f"coalesce(s.{name}, {NO_TIME}) AS {name}" for name in _COLUMNS)
    query = (
        f"SELECT {columns} FROM stretches s JOIN logs l ON l.id = s.log WHERE l.device_id = :device"
        " AND (s.start_utc_ms >= max(:since, :from) AND s.start_utc_ms < :until OR s.start_utc_ms IS NULL"
        "  AND coalesce(s.earliest_utc_ms, :ever) >= :since AND coalesce(s.latest_utc_ms, :never) <= :until)"
        " ORDER BY s.log, s.sequence, s.step"
    )
    found = []
    for worn in _wearings(store, wearer):
        values = {
            "device": worn.device_id,
            "since": worn.since_utc_ms,
            "until": worn.until_utc_ms,
            "from": since_utc_ms,
            "ever": EVER_UTC_MS,
            "never": NEVER_UTC_MS,
        }
        found.append(np.fromiter((tuple(row) for row in store.rows(query, values)), STRETCH))
    return np.concatenate(found) if found else np.empty(0, STRETCH)


def _load(store: Store, table: str, wearer: Wearer | None) -> Iterator[sqlite3.Row]:
    """Rows of a table of happenings, a wearer's (None: all), by time, undated ones first."""
    whose = wearer or Wearer(0, "", None, tuple(_wearings(store, None)))
    query = (
        f"SELECT e.*, l.device_id FROM {table} e JOIN logs l ON l.id = e.log ORDER BY e.utc_ms, e.sequence"
    )
    for row in store.rows(query):
        if whose.wore(row["device_id"], row["utc_ms"]) if row["utc_ms"] else whose.always(row["device_id"]):
            yield row


def load_events(store: Store, wearer: Wearer | None = None) -> list[tuple[int | None, str]]:
    """(UTC ms or None, kind) of each event, a wearer's (None: all)."""
    return [(row["utc_ms"], row["kind"]) for row in _load(store, "events", wearer)]


def load_walk_tests(store: Store, wearer: Wearer | None = None) -> list[sqlite3.Row]:
    """The rows of walk_tests, a wearer's (None: all)."""
    return list(_load(store, "walk_tests", wearer))


def load_problems(store: Store) -> list[Problem]:
    """What a person should know of the logs."""
    found: list[Problem] = []
    for log in store.logs():
        found += explained(
            Problem(
                log["device_id"],
                row["sequence"],
                row["kind"],
                row["first"],
                row["last"],
                row["steps"],
                row["text"],
            )
            for row in store.rows("SELECT * FROM problems WHERE log = ? ORDER BY sequence", (log["id"],))
        )
    return found
