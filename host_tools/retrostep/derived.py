"""The derived tables of the database: what the raw records tell, summed up so that ten years are read in seconds.

`derive` brings them up to date with the records: it decodes only what came since, and what a later anchor may still
have moved (`Timeline.settled_before`). The tables are no truth: whoever drops one, or updates the tool, has them all
made anew the next time. Column by column: docs/database.md.
"""

from __future__ import annotations

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

# Raised when the same records would give other rows.
VERSION = 1
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
_NAMES = ("derivations", "stretches", "stretches_by_time", "events", "problems")
_CONTENT = ("stretches", "events", "problems")
_COLUMNS = tuple(STRETCH.names or ())
# Records that are decoded and written in one transaction: some weeks.
_PORTION_RECORDS = 20_000

Progress = Callable[[int, int], None]


def _nothing(done: int, total: int) -> None:
    pass


def drop(store: Store) -> None:
    """Drop every derived table."""
    with store.transaction() as db:
        for name in ("problems", "events", "stretches", "derivations"):
            db.execute(f"DROP TABLE IF EXISTS {name}")


def _ensure_tables(store: Store) -> None:
    wanted = [statement.strip() for statement in statements(_TABLES)]
    marks = ", ".join("?" * len(_NAMES))
    there = [
        row["sql"] for row in store.rows(f"SELECT sql FROM sqlite_schema WHERE name IN ({marks})", _NAMES)
    ]
    current = sorted(there) == sorted(wanted) and not list(
        store.rows("SELECT 1 FROM derivations WHERE version <> ?", (VERSION,))
    )
    if not current:
        drop(store)
        with store.transaction() as db:
            for statement in wanted:
                db.execute(statement)


def derive(store: Store, on_progress: Progress = _nothing) -> None:
    """Bring the derived tables up to date. on_progress(records done, records to do), called now and then."""
    _ensure_tables(store)
    todo = [(log, work) for log in store.logs() if (work := _work(store, log["id"])) is not None]
    total = sum(work["todo"] for _, work in todo)
    done = 0
    for log, work in todo:
        for now in _derive_log(store, log["id"], log["device_id"], work["settled"], work["high"]):
            on_progress(min(done + now, total), total)
        done += work["todo"]


def _work(store: Store, log: int) -> dict[str, Any] | None:
    """What is to do for a log: None if it is up to date, else from which record, up to which, and how many."""
    (there,) = store.rows(
        "SELECT count(*) AS records, max(sequence) AS high FROM records WHERE log = ?", (log,)
    )
    if not there["records"]:
        return None
    for known in store.rows("SELECT * FROM derivations WHERE log = ?", (log,)):
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
            return {"settled": settled, "high": there["high"], "todo": left["records"]}
    return {"settled": 0, "high": there["high"], "todo": there["records"]}


def _derive_log(store: Store, log: int, device_id: str, begin: int, high: int) -> Iterator[int]:
    """Derive a log's records from `begin` to `high`; yields how many records are done."""
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
        problems: list[tuple[Any, ...]] = []
        for found in read_records(device_id, timeline, portion, first):
            if isinstance(found, StepBlock):
                stretches += builder.feed(found)
            elif isinstance(found, Problem):
                problems.append(
                    (log, found.sequence, found.kind, found.first, found.last, found.steps, found.text)
                )
            elif found.content["kind"] == "event":
                events.append(_event(log, found))
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
            for table in _CONTENT:
                db.execute(f"DELETE FROM {table} WHERE log = ? AND sequence >= ?", (log, begin))
            for rows in stretches:
                db.executemany(
                    f"INSERT INTO stretches (log, {', '.join(_COLUMNS)}) VALUES (?{', ?' * len(_COLUMNS)})",
                    ((log, *_with_nulls(row)) for row in rows.tolist()),
                )
            db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", events)
            db.executemany("INSERT INTO problems VALUES (?, ?, ?, ?, ?, ?, ?)", problems)
            db.execute(
                "INSERT OR REPLACE INTO derivations SELECT ?1, ?2, count(*), ?3, ?4 FROM records"
                " WHERE log = ?1 AND sequence < ?3",
                (log, VERSION, end, settled),
            )
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


def _event(log: int, found: Happening) -> tuple[Any, ...]:
    content = found.content
    return (
        log,
        found.sequence,
        found.boot.sequence,
        found.uptime_ms,
        found.utc_ms,
        content["event"],
        content["strength"],
    )


def _with_nulls(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(None if value == NO_TIME else value for value in row)


def load_stretches(
    store: Store, device_id: str | None = None, since_utc_ms: int | None = None
) -> NDArray[np.void]:
    """Stretches as the tables hold them, in order; of one device, from a time on (undated ones always come)."""
    columns = ", ".join(f"coalesce(s.{name}, {NO_TIME}) AS {name}" for name in _COLUMNS)
    rows = store.rows(
        f"SELECT {columns} FROM stretches s JOIN logs l ON l.id = s.log"
        " WHERE (?1 IS NULL OR l.device_id = ?1)"
        " AND (?2 IS NULL OR s.start_utc_ms >= ?2 OR s.start_utc_ms IS NULL)"
        " ORDER BY s.log, s.sequence, s.step",
        (device_id, since_utc_ms),
    )
    return np.fromiter((tuple(row) for row in rows), STRETCH)


def load_problems(store: Store, device_id: str | None = None) -> list[Problem]:
    """What a person should know of the logs."""
    found: list[Problem] = []
    for log in store.logs():
        if device_id in (None, log["device_id"]):
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
