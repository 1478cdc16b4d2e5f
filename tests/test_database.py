"""The database's schema, its migrations, and who wore what."""

import sqlite3

import pytest

from retrostep.migrations import MIGRATIONS, SCHEMA_VERSION, statements
from retrostep.store import Store, StoreError
from retrostep.wearers import NEVER_UTC_MS, WearerUnknown, add_wearer, assign, find_wearer, wearers

RECORDS = [(1, 1, b"one"), (2, 2, b"two"), (3, 6, b"three")]


def old_file(path, version):
    """A database as the tool of that version left it, with one log."""
    db = sqlite3.connect(path)
    for script in MIGRATIONS[:version]:
        for statement in statements(script):
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {version}")
    db.execute("INSERT INTO devices VALUES ('abc', 'xiao_esp32s3', '0.1.0', 1790000000000)")
    db.execute("INSERT INTO logs VALUES (1, 'abc', 77, 4)")
    db.executemany("INSERT INTO records VALUES (1, ?, ?, ?)", RECORDS)
    db.commit()
    db.close()


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_an_older_database_is_copied_and_brought_up_to_date_with_every_record(tmp_path, version):
    path = tmp_path / "retrostep.sqlite3"
    old_file(path, version)
    with Store(path) as store:
        assert list(store.records(1)) == RECORDS
        assert store.logs() == [{"id": 1, "device_id": "abc", "log_id": 77, "next_sequence": 4}]
        (device,) = store.devices()
        assert (device["last_sync_utc_ms"], device["records"]) == (1790000000000, 3)
        migrated = {row["sql"] for row in store.rows("SELECT sql FROM sqlite_schema")}
    with Store(tmp_path / "new.sqlite3") as store:
        assert {row["sql"] for row in store.rows("SELECT sql FROM sqlite_schema")} == migrated
    copy = sqlite3.connect(tmp_path / f"retrostep.sqlite3.version-{version}")
    assert copy.execute("PRAGMA user_version").fetchone() == (version,)
    assert copy.execute("SELECT sequence, kind, payload FROM records").fetchall() == RECORDS
    copy.close()


def test_a_migration_that_fails_leaves_the_older_database_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "retrostep.sqlite3"
    old_file(path, 1)
    broken = (MIGRATIONS[0], MIGRATIONS[1] + "CREATE TABLE wearers (x);\n")
    monkeypatch.setattr("retrostep.store.MIGRATIONS", broken)
    with pytest.raises(StoreError, match="already exists"):
        Store(path)
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    assert db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'wearings'").fetchone() == (0,)
    db.close()


def test_a_newer_database_is_refused_and_not_touched(tmp_path):
    path = tmp_path / "retrostep.sqlite3"
    with Store(path):
        pass
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    with pytest.raises(StoreError, match="update retrostep"):
        Store(path)


def test_a_file_that_is_no_database_is_refused_and_not_touched(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to look like something\n" * 40)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="Expected an SQLite file"):
        Store(path)
    assert path.read_bytes() == before


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "db.sqlite3") as opened:
        for device in ("abc", "def"):
            opened.open_log({"device_id": device, "board": "b", "firmware": "f", "log_id": 1})
        yield opened


def test_the_only_wearer_has_every_device_that_was_never_assigned(store):
    assert find_wearer(store, None) is None
    add_wearer(store, "Ada", "Europe/Berlin")
    ada = find_wearer(store, None)
    assert ada is not None
    assert ada.zone == "Europe/Berlin"
    assert ada.wore("abc", 5)
    add_wearer(store, "Ben")
    assert not wearers(store)[0].wore("abc", 5)
    with pytest.raises(WearerUnknown, match="Ada, Ben"):
        find_wearer(store, None)


def test_a_device_that_is_lent_out_comes_back(store):
    add_wearer(store, "Ada")
    add_wearer(store, "Ben")
    assign(store, "Ada", "abc")
    assign(store, "Ben", "abc", 1000, 2000)
    ada, ben = wearers(store)
    for at, by_ada in ((0, True), (999, True), (1000, False), (1999, False), (2000, True)):
        assert (ada.wore("abc", at), ben.wore("abc", at)) == (by_ada, not by_ada)
    assign(store, "Ben", "abc", 0, NEVER_UTC_MS)
    assert [len(wearer.wearings) for wearer in wearers(store)] == [0, 1]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda store: add_wearer(store, "Ada"), "already"),
        (lambda store: add_wearer(store, " "), "needs a name"),
        (lambda store: add_wearer(store, "Ben", "Mars/Olympus"), "Europe/Berlin"),
        (lambda store: assign(store, "Eve", "abc"), "there are: Ada"),
        (lambda store: assign(store, "Ada", "xyz"), "there are: abc, def"),
        (lambda store: assign(store, "Ada", "abc", 5, 5), "ends before it begins"),
    ],
)
def test_what_cannot_be_told_of_a_wearer_is_refused_with_what_can(store, call, says):
    add_wearer(store, "Ada")
    with pytest.raises(StoreError, match=says):
        call(store)
    assert len(wearers(store)) == 1
