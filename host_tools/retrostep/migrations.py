"""The schema of the wearer's database, as numbered steps from the empty file to today's (docs/database.md tells it).

MIGRATIONS[n] takes a file from version n to version n + 1; the version stands in the file's `user_version`. A step
that was ever released is never edited: what changes comes as a new step behind it. Only what can't be made anew is
here: raw records, who wore what, what the wearer told. What is derived from it has its own schema (derived.py) and
needs no migration, since it is thrown away and made again.
"""

import sqlite3

MIGRATIONS = (
    # 1: devices, their logs, raw records.
    """
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
""",
    # 2: several wearers; a quick way to the few records that are no steps.
    """
CREATE TABLE wearers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE CHECK (name <> ''),
    zone TEXT
) STRICT;
CREATE TABLE wearings (
    device_id TEXT NOT NULL REFERENCES devices (id),
    wearer INTEGER NOT NULL REFERENCES wearers (id) ON DELETE CASCADE,
    since_utc_ms INTEGER NOT NULL,
    until_utc_ms INTEGER NOT NULL CHECK (until_utc_ms > since_utc_ms),
    PRIMARY KEY (device_id, since_utc_ms)
) STRICT, WITHOUT ROWID;
CREATE INDEX records_but_steps ON records (log, sequence) WHERE kind <> 2;
""",
    # 3: training plans.
    """
CREATE TABLE plans (
    id INTEGER PRIMARY KEY,
    wearer INTEGER REFERENCES wearers (id) ON DELETE CASCADE,
    first_day TEXT NOT NULL,
    first_minutes INTEGER NOT NULL,
    minutes INTEGER NOT NULL,
    weeks INTEGER NOT NULL,
    steps INTEGER NOT NULL,
    weekdays INTEGER NOT NULL,
    cadence_per_min INTEGER NOT NULL,
    warm_up_min INTEGER NOT NULL,
    cool_down INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX plans_by_day ON plans (coalesce(wearer, 0), first_day);
""",
)
SCHEMA_VERSION = len(MIGRATIONS)


def statements(script: str) -> list[str]:
    """The statements of one migration: each ends with ";" at the end of a line."""
    return [statement for statement in script.split(";\n") if statement.strip()]


def create(db: sqlite3.Connection, version: int) -> None:
    """Make the tables of that version in an empty database."""
    for script in MIGRATIONS[:version]:
        for statement in statements(script):
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {version}")
