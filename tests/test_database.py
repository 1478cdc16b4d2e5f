"""The database's schema, its migrations, and who wore what."""

import json
import sqlite3

import pytest
from typer.testing import CliRunner

from firmware import steplog
from retrostep import cli
from retrostep.derived import derive
from retrostep.device_tree import device_root
from retrostep.exchange import KEPT, export_lines, import_file
from retrostep.migrations import MIGRATIONS, SCHEMA_VERSION, create
from retrostep.store import IMPORTED_SEQUENCE, Store, StoreError
from retrostep.wearers import NEVER_UTC_MS, WearerUnknown, add_wearer, assign, find_wearer, wearers

RECORDS = [(1, 1, b"one"), (2, 2, b"two"), (3, 6, b"three")]


def old_file(path, version):
    """A database as the tool of that version left it, with one log."""
    db = sqlite3.connect(path)
    create(db, version)
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


def run(*args):
    done = CliRunner().invoke(cli.app, [str(arg) for arg in args])
    assert done.exit_code in (0, 1), done.output
    return done


def walked(path, device="abc", first=1, records=40):
    """A database with one log of a device."""
    with Store(path) as store:
        log, _ = store.open_log({"device_id": device, "board": "b", "firmware": "f", "log_id": 7})
        store.add_batch(log, a_log(records)[first - 1 :], records + 1)
    return path


def a_log(records):
    found = [(1, steplog.BOOT, steplog.encode_boot(0, 0, 0, "0.1.0", "physics-waist-1", "b"))]
    found.append((2, steplog.ANCHOR, steplog.encode_anchor(1, 0, 1_790_000_000_000, 5, 0)))
    for number in range(3, records + 1):
        chunk = steplog.StepChunk(1, 1)
        for step in range(10):
            chunk.add_step(number * 60_000 + step * 500, number % 2, 90, 80)
        found.append((number, steplog.STEPS, chunk.payload()))
    return found


def kept(path):
    """All that a database keeps for good, whatever its row numbers."""
    with Store(path) as store:
        logs = {log["id"]: (log["device_id"], log["log_id"]) for log in store.logs()}
        return (
            [(logs[log["id"]], log["next_sequence"], list(store.records(log["id"]))) for log in store.logs()],
            [(one.name, one.zone, one.wearings) for one in wearers(store)],
            [dict(row) for row in store.rows("SELECT * FROM devices ORDER BY id")],
        )


def test_a_sound_database_is_called_sound_and_a_backup_is_the_same(tmp_path):
    path = walked(tmp_path / "db.sqlite3")
    done = run("db", "check", "--db", path, "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["sound"], found["records"]) == (0, True, 40)
    run("db", "backup", tmp_path / "copy.sqlite3", "--db", path)
    assert kept(tmp_path / "copy.sqlite3") == kept(path)
    assert run("db", "backup", tmp_path / "copy.sqlite3", "--db", path).exit_code == 1


def test_damage_in_the_file_or_in_a_record_is_found(tmp_path):
    path = walked(tmp_path / "db.sqlite3")
    with Store(path) as store, store.transaction() as db:
        db.execute("UPDATE records SET payload = x'0100' WHERE sequence = 9")
    done = run("db", "check", "--db", path, "--json")
    assert done.exit_code == 1
    assert "record 9" in json.loads(done.stdout)["damage"][0]
    with Store(path) as store:
        # Not a page that is read to open the file.
        (page,) = store.rows("SELECT rootpage FROM sqlite_schema WHERE name = 'records'")
        (size,) = store.rows("PRAGMA page_size")
    data = bytearray(path.read_bytes())
    at = (page[0] - 1) * size[0] + 200
    data[at : at + 600] = bytes(600)
    path.write_bytes(data)
    done = run("db", "check", "--db", path)
    assert done.exit_code == 1


@pytest.mark.parametrize("form", ["database", "export", "older database"])
def test_what_was_exported_comes_back_the_same(tmp_path, form):
    path = walked(tmp_path / "db.sqlite3")
    with Store(path) as store:
        add_wearer(store, "Ada", "Europe/Berlin")
        assign(store, "Ada", "abc", 1000, 2000)
    source = path
    if form == "export":
        source = tmp_path / "all.jsonl"
        run("db", "export", source, "--db", path)
    elif form == "older database":
        source = tmp_path / "old.sqlite3"
        old_file(source, 1)
    before = source.read_bytes()
    new = tmp_path / "new.sqlite3"
    assert run("db", "import", source, "--db", new).exit_code == 0
    assert source.read_bytes() == before
    if form == "older database":
        assert [records for _, _, records in kept(new)[0]] == [RECORDS]
    else:
        assert kept(new) == kept(path)
    again = run("db", "import", source, "--db", new)
    assert again.stdout.startswith("0 records, 0 logs, 0 devices and 0 wearers")


def test_an_export_is_of_one_moment_though_a_sync_goes_on(tmp_path):
    path = walked(tmp_path / "db.sqlite3", records=10)
    with Store(path) as store:
        lines = export_lines(store)
        before = [next(lines) for _ in range(3)]
        walked(path, records=40)
        written = [json.loads(line) for line in [*before, *lines]]
    assert len([row for row in written if row.get("table") == "records"]) == 10
    assert written[-1] == {"rows": len(written) - 2}
    with Store(path) as store:
        assert len(list(store.records(1))) == 40


def test_two_halves_of_a_log_from_two_computers_join(tmp_path):
    whole = walked(tmp_path / "whole.sqlite3")
    first = walked(tmp_path / "first.sqlite3", records=25)
    second = walked(tmp_path / "second.sqlite3", first=26)
    other = walked(tmp_path / "other.sqlite3", device="def")
    run("db", "import", second, "--db", first)
    assert kept(first)[0] == kept(whole)[0]
    run("db", "import", other, "--db", first)
    assert [log for log, _, _ in kept(first)[0]] == [("abc", 7), ("def", 7)]


def test_a_hole_between_two_computers_is_still_asked_for_at_the_next_sync(tmp_path):
    first = walked(tmp_path / "first.sqlite3", records=20)
    run("db", "import", walked(tmp_path / "second.sqlite3", first=26), "--db", first)
    ((_, next_sequence, records),) = kept(first)[0]
    assert (next_sequence, len(records)) == (21, 20 + 15)


def test_a_record_that_differs_is_refused_and_nothing_is_imported(tmp_path):
    ours, theirs = walked(tmp_path / "ours.sqlite3"), walked(tmp_path / "theirs.sqlite3", records=50)
    with Store(theirs) as store, store.transaction() as db:
        db.execute("UPDATE records SET payload = x'00' WHERE sequence = 30")
    before = kept(ours)
    with Store(ours) as store, pytest.raises(StoreError, match="record 30 of device abc differs"):
        import_file(store, theirs)
    assert kept(ours) == before


@pytest.mark.parametrize("ours_is_csv", [False, True])
def test_a_log_from_a_csv_is_not_mixed_with_the_devices_own(tmp_path, ours_is_csv):
    own, csv = walked(tmp_path / "own.sqlite3", first=30), walked(tmp_path / "csv.sqlite3", records=20)
    with Store(csv) as store, store.transaction() as db:
        db.execute("UPDATE logs SET next_sequence = ?", (IMPORTED_SEQUENCE,))
    ours, theirs = (csv, own) if ours_is_csv else (own, csv)
    before = kept(ours)
    with Store(ours) as store, pytest.raises(StoreError, match="log 7 of device abc is the device's own"):
        import_file(store, theirs)
    assert kept(ours) == before
    assert run("db", "import", csv, "--db", tmp_path / "new.sqlite3").exit_code == 0
    assert kept(tmp_path / "new.sqlite3") == kept(csv)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "found Expecting value"),
        ("hello\n", "no export"),
        ('{"format": "retrostep-database", "version": 99}\n', "found retrostep-database version 99"),
        ('HEADER\n{"table": "sqlite_schema"}\n', "line 2"),
        ('HEADER\n{"table": "devices", "id": "x"}\n', "line 2: .*found devices: id"),
        ('HEADER\n{"table": "records", "log": 1, "sequence": 1, "kind": 1, "payload": "zz"}\n', "line 2"),
        ("HEADER\n[]\n", "line 2"),
        (
            f'HEADER\n{{"table": "records", "log": {1 << 64}, "sequence": 1, "kind": 1, "payload": ""}}\n',
            "line 2",
        ),
    ],
)
def test_a_file_that_is_no_export_is_refused_by_line(tmp_path, text, says):
    source = tmp_path / "source.jsonl"
    header = json.dumps({"format": "retrostep-database", "version": SCHEMA_VERSION})
    source.write_text(text.replace("HEADER", header))
    with Store(tmp_path / "db.sqlite3") as store:
        with pytest.raises(StoreError, match=says):
            import_file(store, source)
        assert not store.devices()


def test_wearers_are_added_assigned_and_listed_by_command(tmp_path):
    db = ("--db", walked(tmp_path / "db.sqlite3"))
    run("wearer", "add", "Ada", "--zone", "Europe/Berlin", *db)
    added = run("wearer", "add", "Ben", *db).stdout
    # What was Ada's as long as there was nobody else is not to vanish unseen.
    assert "in nobody's report: abc" in added
    assert json.loads(run("wearer", "list", "--json", *db).stdout)["worn_by_nobody"] == ["abc"]
    assert "in nobody's report: abc" in run("wearer", "list", *db).stdout
    run("wearer", "assign", "Ada", "abc", *db)
    assert "in nobody's report" not in run("wearer", "list", *db).stdout
    run("wearer", "assign", "Ben", "abc", "--since", "2026-06-01", *db)
    ada, ben = json.loads(run("wearer", "list", "--json", *db).stdout)["wearers"]
    assert (ada["name"], ada["zone"], ada["wearings"][0]["since_utc_ms"]) == ("Ada", "Europe/Berlin", None)
    assert ada["wearings"][0]["until_utc_ms"] == ben["wearings"][0]["since_utc_ms"]
    text = run("wearer", "list", *db).stdout
    assert "Ada" in text
    assert "abc" in text


def test_steps_between_two_wearers_are_told(tmp_path):
    db = ("--db", walked(tmp_path / "db.sqlite3", records=400))
    # The log is of 2026-09-21, 14:16 to 20:53 UTC, which is the 22nd on Kiritimati; ten steps a minute.
    run("wearer", "add", "Ada", "--zone", "Pacific/Kiritimati", *db)
    run("wearer", "add", "Ben", "--zone", "Pacific/Kiritimati", *db)
    assert "when nobody wore it" not in run("wearer", "list", *db).stdout
    run("wearer", "assign", "Ada", "abc", "--until", "2026-09-22", *db)
    told = run("wearer", "assign", "Ben", "abc", "--since", "2026-09-23", *db).stdout
    assert "3980 steps of abc when nobody wore it, so in nobody's report" in told
    assert told.splitlines()[-1] in run("wearer", "list", *db).stdout
    assert json.loads(run("wearer", "list", "--json", *db).stdout)["steps_of_nobody"] == {"abc": 3980}
    assert "nobody" not in run("wearer", "assign", "Ben", "abc", "--since", "2026-09-22", *db).stdout


def test_the_derived_tables_are_made_anew_by_command(tmp_path):
    path = walked(tmp_path / "db.sqlite3")
    first = run("db", "rebuild", "--db", path).stdout
    assert first.startswith("38 stretches")
    assert run("db", "rebuild", "--db", path).stdout == first


def test_everything_that_is_kept_for_good_is_exported_and_documented(tmp_path):
    with Store(tmp_path / "db.sqlite3") as store:
        tables = [row["name"] for row in store.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        page = (device_root() / "docs" / "database.md").read_text(encoding="utf-8")
        for table in tables:
            assert f"`{table}`" in page
            for column in store.rows("SELECT name FROM pragma_table_info(?)", (table,)):
                assert f"`{column['name']}`" in page, (table, column["name"])
        assert sorted(tables) == sorted(KEPT)
        derive(store)
        for row in store.rows("SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c"):
            if row[0] not in (*KEPT, "derivations"):
                assert f"`{row[1]}`" in page, tuple(row)


def test_the_database_of_another_program_is_refused_and_not_touched(tmp_path):
    path = tmp_path / "bookmarks.sqlite3"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE bookmarks (address TEXT)")
    db.commit()
    db.close()
    before = path.read_bytes()
    for harmed in (lambda: Store(path), lambda: import_file(Store(tmp_path / "db.sqlite3"), path)):
        with pytest.raises(StoreError, match="is another program's"):
            harmed()
    assert path.read_bytes() == before


def test_a_full_disk_is_told_as_such_and_the_batch_is_not_kept(store):
    log = store.logs()[0]["id"]
    with store.transaction() as db:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(StoreError, match="database or disk is full"):
        store.add_batch(log, ((number, 2, bytes(2000)) for number in range(100)), 100)
    assert (store.logs()[0]["next_sequence"], list(store.records(log))) == (0, [])


def test_an_export_that_was_cut_short_is_refused(tmp_path):
    whole = tmp_path / "all.jsonl"
    run("db", "export", whole, "--db", walked(tmp_path / "db.sqlite3"))
    lines = whole.read_text(encoding="utf-8").splitlines(keepends=True)
    cut = tmp_path / "cut.jsonl"
    for kept_lines in (lines[:-1], lines[:20], lines[:20] + lines[-1:]):
        cut.write_text("".join(kept_lines), encoding="utf-8")
        with Store(tmp_path / "new.sqlite3") as store:
            with pytest.raises(StoreError, match="is not whole"):
                import_file(store, cut)
            assert not store.devices()


def test_names_are_shown_as_they_are_whatever_is_in_them(tmp_path):
    db = ("--db", walked(tmp_path / "db.sqlite3", device="[/x]"))
    run("wearer", "add", "Ada [/red]", *db)
    text = run("wearer", "list", *db).stdout
    assert "Ada [/red]" in text
    assert "[/x]" in text
    assert "[/x]" in run("status", *db).stdout


def test_asking_what_a_database_holds_makes_none(tmp_path):
    assert "holds no device yet" in run("status", "--db", tmp_path / "typo.sqlite3").stdout
    assert not (tmp_path / "typo.sqlite3").exists()
