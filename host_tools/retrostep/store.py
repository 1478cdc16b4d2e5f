"""The wearer's database: one SQLite file that keeps every record as the device wrote it.

Records are the truth; steps, days and bouts are derived from them (derived.py), so that a better derivation needs no
new sync. A batch of records and the cursor behind it change in one transaction: an interrupted sync leaves neither a
hole nor a duplicate. The tables are in migrations.py and docs/database.md; a file of an older version is copied
beside itself and brought up to date when it is opened.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from retrostep.migrations import MIGRATIONS, SCHEMA_VERSION, statements

# The cursor of a log that came from a file: no device is ever that far, so none is synced into it.
IMPORTED_SEQUENCE = 0xFFFF_FFFF
# How long another program may hold the file before that is an error.
_BUSY_TIMEOUT_S = 20.0


class StoreError(Exception):
    """The database can't be used as it is."""


def default_path() -> Path:
    """Where the database lives unless told otherwise."""
    return user_data_path("retrostep", appauthor=False) / "retrostep.sqlite3"


def free_path(path: Path) -> Path:
    """`path`, or `path` with the first number behind it that no file has."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free


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
            self._db = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_TIMEOUT_S)
            try:
                self._db.row_factory = sqlite3.Row
                self._check_ours()
                self._db.execute("PRAGMA journal_mode = WAL")
                # The device prunes what was acknowledged: a commit must be on the disk, whatever this SQLite's
                # default.
                self._db.execute("PRAGMA synchronous = FULL")
                self._db.execute("PRAGMA foreign_keys = ON")
                self._migrate()
            except BaseException:
                self._db.close()
                raise

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

    def _check_ours(self) -> None:
        """Nothing may be written to a newer file, nor to the database of another program."""
        tables = {row["name"] for row in self._db.execute("SELECT name FROM sqlite_schema")}
        if tables and ("devices" not in tables or not self._version()):
            raise StoreError(
                f"{self.path} is another program's database: expected one of this tool; name another with --db"
            )

    def _version(self) -> int:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} has schema version {version}, this tool knows up to {SCHEMA_VERSION}: update retrostep"
            )
        return version

    def _migrate(self) -> None:
        version = self._version()
        if version == SCHEMA_VERSION:
            return
        if version:
            self.backup(free_path(self.path.with_name(f"{self.path.name}.version-{version}")))
        with self.transaction():
            # Read again: another program may have been quicker.
            for script in MIGRATIONS[self._version() :]:
                for statement in statements(script):
                    self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is done on the connection inside happens, or none of it."""
        with self._reported():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself where the disk is full or fails: that error is to be told.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All that is read inside is as it was at the first look, whatever other programs write meanwhile."""
        with self._reported():
            self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("COMMIT")

    @contextmanager
    def attached(self, other: Path) -> Iterator[None]:
        """Another database file, of this version, is there as `other`."""
        with self._reported():
            self._db.execute("ATTACH ? AS other", (str(other),))
        try:
            yield
        finally:
            self._db.execute("DETACH other")

    def rows(self, query: str, values: Sequence[Any] | dict[str, Any] = ()) -> Iterator[sqlite3.Row]:
        """The rows of a query, one by one."""
        with self._reported():
            # Not `yield from`, which would close the cursor of a reader that stops early, maybe after the database.
            for row in self._db.execute(query, values):  # noqa: UP028
                yield row

    def backup(self, to: Path) -> None:
        """Write a copy of the whole database, also while it is in use, to the new file `to`."""
        with self._reported():
            if to.exists():
                raise StoreError(f"{to} exists already: name a file that does not")
            if not to.parent.is_dir():
                raise StoreError(f"{to} can't be written: there is no folder {to.parent}")
            copy = sqlite3.connect(to)
            try:
                self._db.backup(copy)
                # One file that can be moved: no write-ahead log beside it.
                copy.execute("PRAGMA journal_mode = DELETE")
            finally:
                copy.close()

    def check(self) -> list[str]:
        """What is wrong with the file, one line each; empty if it is sound."""
        damage = [row[0] for row in self.rows("PRAGMA integrity_check") if row[0] != "ok"]
        astray = [
            f"{row['table']}: a row refers to a row of {row['parent']} that is not there"
            for row in self.rows("PRAGMA foreign_key_check")
        ]
        return damage + astray

    def open_log(self, status: dict[str, Any]) -> tuple[int, int]:
        """(log row, next sequence to read) for the device that gave `status`; both rows made if new."""
        with self.transaction() as db:
            db.execute(
                "INSERT INTO devices (id, board, firmware) VALUES (:device_id, :board, :firmware)"
                " ON CONFLICT (id) DO UPDATE SET board = excluded.board, firmware = excluded.firmware",
                status,
            )
            db.execute(
                "INSERT INTO logs (device_id, log_id) VALUES (:device_id, :log_id) ON CONFLICT DO NOTHING",
                status,
            )
            row = db.execute(
                "SELECT id, next_sequence FROM logs WHERE device_id = :device_id AND log_id = :log_id", status
            ).fetchone()
        return row["id"], row["next_sequence"]

    def add_batch(self, log: int, records: Iterable[tuple[int, int, bytes]], next_sequence: int) -> int:
        """Store (sequence, kind, payload) rows and move the cursor, all or nothing; returns how many were new."""
        with self.transaction() as db:
            before = db.total_changes
            db.executemany(
                "INSERT INTO records (log, sequence, kind, payload) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                ((log, *record) for record in records),
            )
            added = db.total_changes - before
            db.execute(
                "UPDATE logs SET next_sequence = max(next_sequence, ?) WHERE id = ?", (next_sequence, log)
            )
        return added

    def note_sync(self, device_id: str, utc_ms: int) -> None:
        """Remember when the device was synced last."""
        with self.transaction() as db:
            db.execute("UPDATE devices SET last_sync_utc_ms = ? WHERE id = ?", (utc_ms, device_id))

    def devices(self) -> list[dict[str, Any]]:
        """All devices with the number of their records."""
        return [
            dict(row)
            for row in self.rows(
                "SELECT d.*, (SELECT count(*) FROM records r JOIN logs l ON r.log = l.id WHERE l.device_id = d.id)"
                " AS records FROM devices d ORDER BY d.id"
            )
        ]

    def logs(self) -> list[dict[str, Any]]:
        """All logs: id, device_id, log_id, next_sequence."""
        return [dict(row) for row in self.rows("SELECT * FROM logs ORDER BY id")]

    def records(self, log: int) -> Iterator[tuple[int, int, bytes]]:
        """(sequence, kind, payload) of a log, oldest first."""
        for row in self.rows(
            "SELECT sequence, kind, payload FROM records WHERE log = ? ORDER BY sequence", (log,)
        ):
            yield row["sequence"], row["kind"], row["payload"]
