"""The wearer's database: one SQLite file that keeps every record as the device wrote it.

Tables: `devices` (id, board, firmware ...), `logs` (one per device and log id, with the cursor `next_sequence`),
`records` (sequence, kind, payload). Records are the truth; days, bouts and times are derived from them when asked
(history.py), so that a better derivation needs no new sync. A batch of records and the cursor behind it change in
one transaction: an interrupted sync leaves neither a hole nor a duplicate.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE devices (
    id TEXT PRIMARY KEY,
    board TEXT NOT NULL,
    firmware TEXT NOT NULL,
    last_sync_utc_ms INTEGER
) STRICT;
CREATE TABLE logs (
    id INTEGER PRIMARY KEY,
    device_id TEXT NOT NULL REFERENCES devices (id),
    log_id INTEGER NOT NULL,
    next_sequence INTEGER NOT NULL DEFAULT 0,
    UNIQUE (device_id, log_id)
) STRICT;
CREATE TABLE records (
    log INTEGER NOT NULL REFERENCES logs (id),
    sequence INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (log, sequence)
) STRICT, WITHOUT ROWID;
"""


class StoreError(Exception):
    """The database can't be used as it is."""


def default_path() -> Path:
    """Where the database lives unless told otherwise."""
    return user_data_path("retrostep", appauthor=False) / "retrostep.sqlite3"


class Store:
    """The database at `path`. Context manager; every method raises StoreError if the database can't be used.

    create: make it if it is absent; else an absent one is a StoreError.
    """

    def __init__(self, path: Path, create: bool = True) -> None:
        self.path = path
        if not create and not path.exists():
            raise StoreError(f"no database at {path}: sync a device first, or name another with --db")
        with self._reported():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode = WAL")
            # The device prunes what was acknowledged: a commit must be on the disk, whatever this SQLite's default.
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._migrate()

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StoreError(
                f"{self.path}: {error}. Expected a database that can be read and written and that no other program "
                "holds; try again, or name another with --db"
            ) from error
        except (sqlite3.DatabaseError, OSError) as error:
            raise StoreError(
                f"{self.path} can't be used as Retrostep's database: {error}. Expected an SQLite file of this tool; "
                "name another with --db"
            ) from error

    def _migrate(self) -> None:
        with self._transaction():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in _SCHEMA.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            elif version != SCHEMA_VERSION:
                raise StoreError(
                    f"{self.path} has schema version {version}, this tool knows {SCHEMA_VERSION}: update retrostep"
                )

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._reported():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def open_log(self, status: dict[str, Any]) -> tuple[int, int]:
        """(log row, next sequence to read) for the device that gave `status`; both rows made if new."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO devices (id, board, firmware) VALUES (:device_id, :board, :firmware)"
                " ON CONFLICT (id) DO UPDATE SET board = excluded.board, firmware = excluded.firmware",
                status,
            )
            self._db.execute(
                "INSERT INTO logs (device_id, log_id) VALUES (:device_id, :log_id) ON CONFLICT DO NOTHING",
                status,
            )
            row = self._db.execute(
                "SELECT id, next_sequence FROM logs WHERE device_id = :device_id AND log_id = :log_id", status
            ).fetchone()
        return row["id"], row["next_sequence"]

    def add_batch(self, log: int, records: Iterable[tuple[int, int, bytes]], next_sequence: int) -> int:
        """Store (sequence, kind, payload) rows and move the cursor, all or nothing; returns how many were new."""
        with self._transaction():
            before = self._db.total_changes
            self._db.executemany(
                "INSERT INTO records (log, sequence, kind, payload) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                ((log, *record) for record in records),
            )
            added = self._db.total_changes - before
            self._db.execute(
                "UPDATE logs SET next_sequence = max(next_sequence, ?) WHERE id = ?", (next_sequence, log)
            )
        return added

    def note_sync(self, device_id: str, utc_ms: int) -> None:
        """Remember when the device was synced last."""
        self._db.execute("UPDATE devices SET last_sync_utc_ms = ? WHERE id = ?", (utc_ms, device_id))

    def devices(self) -> list[dict[str, Any]]:
        """All devices with the number of their records."""
        return [
            dict(row)
            for row in self._db.execute(
                "SELECT d.*, (SELECT count(*) FROM records r JOIN logs l ON r.log = l.id WHERE l.device_id = d.id)"
                " AS records FROM devices d ORDER BY d.id"
            )
        ]

    def logs(self) -> list[dict[str, Any]]:
        """All logs: id, device_id, log_id, next_sequence."""
        return [dict(row) for row in self._db.execute("SELECT * FROM logs ORDER BY id")]

    def records(self, log: int) -> Iterator[tuple[int, int, bytes]]:
        """(sequence, kind, payload) of a log, oldest first."""
        for row in self._db.execute(
            "SELECT sequence, kind, payload FROM records WHERE log = ? ORDER BY sequence", (log,)
        ):
            yield row["sequence"], row["kind"], row["payload"]
