"""Moves what a database keeps for good to and from files: `retrostep db export` and `import`.

Export writes JSON Lines: a header line, then one object a row, {"table": ..., column: ...}, payloads as hex, then a
line with the number of rows: a file that was cut short must not pass for a whole one, since its cursors say that the
device need not tell the rest again. Import takes such a file or another database of any version and adds what is new.
Nothing that is there is changed: a record that both have must be the same in both, else nothing is imported.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrostep.migrations import SCHEMA_VERSION, create
from retrostep.outfile import SQLITE_MAGIC
from retrostep.store import IMPORTED_SEQUENCE, Store, StoreError

FORMAT = "retrostep-database"
# In the order in which one may refer to the other.
KEPT = ("devices", "logs", "records", "wearers", "wearings", "plans")
_CONFLICT = """
SELECT l.device_id, theirs.sequence
FROM other.records theirs
JOIN other.logs k ON k.id = theirs.log
JOIN logs l ON l.device_id = k.device_id AND l.log_id = k.log_id
JOIN records ours ON ours.log = l.id AND ours.sequence = theirs.sequence
WHERE ours.kind <> theirs.kind OR ours.payload <> theirs.payload
LIMIT 1
"""
# Of a log that came from a CSV the records have numbers of their own.
_MIXED = """
SELECT l.device_id, l.log_id
FROM other.logs k
JOIN logs l ON l.device_id = k.device_id AND l.log_id = k.log_id
WHERE (l.next_sequence = :imported) <> (k.next_sequence = :imported)
LIMIT 1
"""
_MERGE = (
    "INSERT INTO devices SELECT * FROM other.devices WHERE true ON CONFLICT (id) DO UPDATE SET"
    " board = excluded.board, firmware = excluded.firmware, last_sync_utc_ms = excluded.last_sync_utc_ms"
    " WHERE excluded.last_sync_utc_ms > coalesce(devices.last_sync_utc_ms, 0)",
    "INSERT INTO logs (device_id, log_id) SELECT device_id, log_id FROM other.logs WHERE true"
    " ON CONFLICT DO NOTHING",
    # Their cursor counts only if their records join ours: else the device may still have those between.
    "UPDATE logs SET next_sequence = theirs.next_sequence FROM"
    " (SELECT k.device_id, k.log_id, k.next_sequence,"
    "  (SELECT min(sequence) FROM other.records WHERE log = k.id) AS low FROM other.logs k) theirs"
    " WHERE logs.device_id = theirs.device_id AND logs.log_id = theirs.log_id"
    " AND theirs.next_sequence > logs.next_sequence"
    " AND (theirs.low <= logs.next_sequence"
    "  OR NOT EXISTS (SELECT 1 FROM records WHERE records.log = logs.id))",
    "INSERT INTO records SELECT l.id, r.sequence, r.kind, r.payload FROM other.records r"
    " JOIN other.logs k ON k.id = r.log JOIN logs l ON l.device_id = k.device_id AND l.log_id = k.log_id"
    " WHERE true ON CONFLICT DO NOTHING",
    "INSERT INTO wearers (name, zone) SELECT name, zone FROM other.wearers WHERE true ON CONFLICT DO NOTHING",
    # Ours stay where both say who wore a device.
    "INSERT INTO wearings SELECT t.device_id, w.id, t.since_utc_ms, t.until_utc_ms FROM other.wearings t"
    " JOIN other.wearers v ON v.id = t.wearer JOIN wearers w ON w.name = v.name"
    " WHERE NOT EXISTS (SELECT 1 FROM wearings o WHERE o.device_id = t.device_id"
    "  AND o.since_utc_ms < t.until_utc_ms AND o.until_utc_ms > t.since_utc_ms)",
    # Ours stay, too, where both begin on one day.
    "INSERT INTO plans (wearer, first_day, first_minutes, minutes, weeks, steps, weekdays, cadence_per_min,"
    " warm_up_min, cool_down) SELECT w.id, p.first_day, p.first_minutes, p.minutes, p.weeks, p.steps, p.weekdays,"
    " p.cadence_per_min, p.warm_up_min, p.cool_down FROM other.plans p"
    " LEFT JOIN other.wearers v ON v.id = p.wearer LEFT JOIN wearers w ON w.name = v.name"
    " WHERE true ON CONFLICT DO NOTHING",
)


@dataclass(frozen=True)
class Imported:
    """What an import added."""

    devices: int
    logs: int
    records: int
    wearers: int


def export_lines(store: Store) -> Iterator[str]:
    """The lines of an export: the database as it is at the first of them, also while another program writes to it."""
    yield json.dumps({"format": FORMAT, "version": SCHEMA_VERSION})
    rows = 0
    with store.snapshot():
        for table in KEPT:
            for row in store.rows(f"SELECT * FROM {table}"):
                rows += 1
                values = {
                    name: value.hex() if isinstance(value, bytes) else value
                    for name, value in zip(row.keys(), row, strict=True)
                }
                yield json.dumps({"table": table, **values})
    yield json.dumps({"rows": rows})


def _fill(path: Path, lines: Iterable[str], source: Path) -> None:
    """Make a database at `path`, of the export's own version, with its rows."""
    numbered = enumerate(lines, 1)
    _, header = next(numbered, (0, ""))
    try:
        found = json.loads(header)
        version = found["version"]
        if found["format"] != FORMAT or version not in range(2, SCHEMA_VERSION + 1):
            raise ValueError(f"{found['format']} version {version}")
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{source} is no database and no export of one: expected an SQLite file of this tool, or what `retrostep "
            f"db export` wrote ({FORMAT} version 2 to {SCHEMA_VERSION}); found {error}"
        ) from error
    db = sqlite3.connect(path)
    end = None
    number = 1
    try:
        create(db, version)
        for number, line in numbered:
            try:
                row = json.loads(line)
                if set(row) == {"rows"}:
                    end = row["rows"]
                    continue
                table = row.pop("table")
                columns = {found[1] for found in db.execute("SELECT * FROM pragma_table_info(?)", (table,))}
                if table not in KEPT or set(row) != columns:
                    raise ValueError(f"expected a table and its columns, found {table}: {', '.join(row)}")
                if "payload" in row:
                    row["payload"] = bytes.fromhex(row["payload"])
                names, marks = ", ".join(row), ", ".join("?" * len(row))
                db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))
            except (ValueError, OverflowError, KeyError, TypeError, AttributeError, sqlite3.Error) as error:
                raise StoreError(
                    f"{source}, line {number}: {error}. Nothing was imported; expected what `retrostep db export` "
                    "wrote"
                ) from error
        if end is None or end != number - 2:
            raise StoreError(
                f"{source} is not whole: it ends after line {number}. Nothing was imported; expected a last line "
                "with the number of rows, as `retrostep db export` wrote it"
            )
        db.commit()
    finally:
        db.close()


def import_file(store: Store, source: Path) -> Imported:
    """Add what `source`, a database or an export of one, has and this database has not. Raises StoreError."""
    if source.exists() and store.path.exists() and source.samefile(store.path):
        raise StoreError(f"{source} is the database itself: name another file")
    try:
        with source.open("rb") as file:
            is_database = file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
    except OSError as error:
        raise StoreError(f"{source} can't be read: {error}") from error
    with tempfile.TemporaryDirectory(prefix="retrostep-import-") as folder:
        # A copy: the source may be of an older version, and stays as it is.
        copy = Path(folder) / "other.sqlite3"
        if is_database:
            _copy_database(source, copy)
        else:
            with source.open(encoding="utf-8", errors="replace") as lines:
                _fill(copy, lines, source)
        try:
            with Store(copy):
                # Brought up to date.
                pass
        except StoreError as error:
            raise StoreError(str(error).replace(str(copy), str(source))) from error
        return _merge(store, copy)


def _copy_database(source: Path, copy: Path) -> None:
    try:
        theirs = sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)
        ours = sqlite3.connect(copy)
        try:
            theirs.backup(ours)
        finally:
            theirs.close()
            ours.close()
    except sqlite3.Error as error:
        raise StoreError(f"{source} can't be read as a database: {error}") from error


def _counts(db: sqlite3.Connection) -> list[int]:
    tables = ("devices", "logs", "records", "wearers")
    return [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]


def _merge(store: Store, other: Path) -> Imported:
    with store.attached(other), store.transaction() as db:
        mixed: Any = db.execute(_MIXED, {"imported": IMPORTED_SEQUENCE}).fetchone()
        if mixed:
            raise StoreError(
                f"log {mixed['log_id']} of device {mixed['device_id']} is the device's own in one of the two and was "
                "imported from a CSV file in the other: its steps would count twice. Nothing was imported; keep the "
                "two apart (--db)"
            )
        conflict: Any = db.execute(_CONFLICT).fetchone()
        if conflict:
            raise StoreError(
                f"record {conflict['sequence']} of device {conflict['device_id']} differs between the two: the "
                "device was restored from an older copy. Nothing was imported; keep the two apart (--db)"
            )
        before = _counts(db)
        for statement in _MERGE:
            db.execute(statement)
        added = [now - then for now, then in zip(_counts(db), before, strict=True)]
    return Imported(*added)
