"""The derived tables: brought up to date bit by bit, they tell what a fresh look at every record tells."""

import random

import numpy as np
import pytest

from firmware import steplog
from retrostep import derived
from retrostep.history import StoredRecords, read_log
from retrostep.store import Store
from retrostep.stretches import STRETCH, stretches_of
from retrostep.wearers import EVER_UTC_MS, NEVER_UTC_MS, Wearer, Wearing

UTC_0_MS = 1_790_000_000_000
STATUS = {"device_id": "abc", "board": "b", "firmware": "f", "log_id": 1}


def random_log(seed, records=240):
    """A log with all that moves dates: drift, own clocks, boots without anchor, lost records, long walks."""
    dice = random.Random(seed)
    found = []
    sequence = tag = uptime_ms = 0
    utc_ms = UTC_0_MS

    def add(kind, payload):
        nonlocal sequence
        sequence += 1 + (dice.random() < 0.02)
        if dice.random() > 0.02:
            found.append((sequence, kind, payload))

    while len(found) < records:
        chance = dice.random()
        if not tag or chance < 0.06:
            utc_ms += dice.randrange(1_000, 4_000_000)
            tag, uptime_ms = (sequence + 1) & 0xFFFF, 0
            add(steplog.BOOT, steplog.encode_boot(3, 0, 0, "0.1.0", "physics-waist-1", "b"))
        elif chance < 0.14:
            source = dice.choice((steplog.SOURCE_HOST, steplog.SOURCE_HOST, steplog.SOURCE_DEVICE))
            jump = dice.choice((0, 0, 0, 900_000))
            add(
                steplog.ANCHOR,
                steplog.encode_anchor(
                    tag, uptime_ms, utc_ms + uptime_ms + jump + dice.randrange(50), 5, source
                ),
            )
        elif chance < 0.2:
            add(steplog.EVENT, steplog.encode_event(tag, uptime_ms, dice.randrange(5), 50))
        else:
            chunk = steplog.StepChunk(tag, 1)
            if dice.random() < 0.5:
                uptime_ms += dice.randrange(3_000, 200_000)
            direction = dice.randrange(4)
            for _ in range(dice.randrange(1, 70)):
                uptime_ms += dice.randrange(300, 700) + 5_000 * (dice.random() < 0.02)
                direction = dice.randrange(4) if dice.random() < 0.1 else direction
                chunk.add_step(uptime_ms, direction, 80, dice.choice((None, 40, 90)))
            add(steplog.STEPS, chunk.payload())
    return found


def afresh(store):
    """The stretches and problems of every record, without the tables."""
    histories = [
        read_log(log["device_id"], log["log_id"], StoredRecords(store, log["id"])) for log in store.logs()
    ]
    blocks = [block for history in histories for block in history.blocks]
    return stretches_of(blocks), [problem for history in histories for problem in history.problems]


def assert_up_to_date(store):
    stretches, problems = afresh(store)
    kept = derived.load_stretches(store)
    for name in STRETCH.names:
        if name == "stability_sum":
            np.testing.assert_allclose(kept[name], stretches[name])
        else:
            np.testing.assert_array_equal(kept[name], stretches[name], name)
    assert derived.load_problems(store) == problems


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "db.sqlite3") as opened:
        yield opened


@pytest.mark.parametrize("seed", range(12))
def test_derived_sync_by_sync_is_derived_afresh(store, seed, monkeypatch):
    monkeypatch.setattr(derived, "_PORTION_RECORDS", 1 + seed * 7)
    dice = random.Random(seed)
    log, _ = store.open_log(STATUS)
    records = random_log(seed)
    while records:
        size = dice.randrange(1, 60)
        batch, records = records[:size], records[size:]
        store.add_batch(log, batch, batch[-1][0] + 1)
        derived.derive(store)
        assert_up_to_date(store)


def test_only_what_is_new_or_unsettled_is_decoded_again(store, monkeypatch):
    log, _ = store.open_log(STATUS)
    records = random_log(3)
    tag = records[-1][0] + 1 & 0xFFFF
    last = records[-1][0]
    records += [
        (last + 1, steplog.BOOT, steplog.encode_boot(0, 0, 0, "0.1.0", "m", "b")),
        (last + 2, steplog.ANCHOR, steplog.encode_anchor(tag, 0, UTC_0_MS * 2, 5, 0)),
    ]
    store.add_batch(log, records, last + 3)
    derived.derive(store)
    done = []
    derived.derive(store, lambda now, total: done.append(total))
    assert not done
    chunk = steplog.StepChunk(tag, 1)
    chunk.add_step(10_000, 1, 80, None)
    store.add_batch(log, [(last + 3, steplog.STEPS, chunk.payload())], last + 4)
    derived.derive(store, lambda now, total: done.append(total))
    assert done[-1] < 80
    assert_up_to_date(store)


def test_a_boot_tag_that_comes_back_moves_no_older_step(store):
    log, _ = store.open_log(STATUS)
    year_ms = 365 * 86_400_000
    for first, utc_ms in ((100, UTC_0_MS), (100 + 65_536, UTC_0_MS + year_ms)):
        chunk = steplog.StepChunk(100, 1)
        chunk.add_step(5_000, 1, 80, None)
        records = [
            (first, steplog.BOOT, steplog.encode_boot(0, 0, 0, "0.1.0", "m", "b")),
            (first + 1, steplog.ANCHOR, steplog.encode_anchor(100, 0, utc_ms, 5, 0)),
            (first + 2, steplog.STEPS, chunk.payload()),
        ]
        store.add_batch(log, records, first + 3)
        derived.derive(store)
        assert_up_to_date(store)
    for _ in range(2):
        begun = derived.load_stretches(store)["start_utc_ms"].tolist()
        assert begun == [UTC_0_MS + 5_000, UTC_0_MS + year_ms + 5_000]
        derived.forget(store)
        derived.derive(store)


def test_older_records_that_come_late_are_counted(store):
    log, _ = store.open_log(STATUS)
    records = random_log(5)
    store.add_batch(log, records[100:], records[-1][0] + 1)
    derived.derive(store)
    store.add_batch(log, records[:100], records[-1][0] + 1)
    derived.derive(store)
    assert_up_to_date(store)


@pytest.mark.parametrize(
    "harm",
    [
        "DROP TABLE stretches",
        "DROP TABLE derivations",
        "DROP INDEX stretches_by_time",
        "UPDATE derivations SET version = 0",
        "ALTER TABLE events ADD COLUMN more TEXT",
    ],
)
def test_tables_that_were_dropped_or_are_of_another_version_are_made_anew(store, harm):
    log, _ = store.open_log(STATUS)
    records = random_log(6, 60)
    store.add_batch(log, records, records[-1][0] + 1)
    derived.derive(store)
    with store.transaction() as db:
        db.execute(harm)
    derived.derive(store)
    assert_up_to_date(store)


def test_tables_that_another_program_makes_anew_meanwhile_are_never_missing(store, tmp_path, monkeypatch):
    log, _ = store.open_log(STATUS)
    records = random_log(6, 60)
    store.add_batch(log, records, records[-1][0] + 1)
    looks = iter(range(20))

    def rows(query, values=()):
        # Between any two looks of this program another one begins a `db rebuild`.
        if next(looks, 20) < 20:
            with Store(tmp_path / "db.sqlite3") as other:
                derived.forget(other)
        return Store.rows(store, query, values)

    with monkeypatch.context() as patched:
        patched.setattr(store, "rows", rows)
        derived.derive(store)
    assert_up_to_date(store)


def test_two_logs_of_two_devices_are_told_apart(store):
    for number, device in enumerate(("abc", "def")):
        log, _ = store.open_log({**STATUS, "device_id": device})
        records = random_log(number, 80)
        store.add_batch(log, records, records[-1][0] + 1)
    derived.derive(store)
    assert_up_to_date(store)
    both = derived.load_stretches(store)
    one = derived.load_stretches(store, Wearer(1, "Ada", None, (Wearing("abc", EVER_UTC_MS, NEVER_UTC_MS),)))
    assert 0 < len(one) < len(both)
    np.testing.assert_array_equal(both[: len(one)], one)


def test_two_programs_that_derive_at_once_leave_no_hole(store, tmp_path, monkeypatch):
    """A slow one is overtaken after its first look; what it then writes must not undo the other's."""
    monkeypatch.setattr(derived, "_PORTION_RECORDS", 20)
    log, _ = store.open_log(STATUS)
    records = random_log(8)
    store.add_batch(log, records, records[-1][0] + 1)
    portions = iter(range(1, 100))

    def overtaken(done, total):
        if next(portions) == 1:
            with Store(tmp_path / "db.sqlite3") as other:
                derived.derive(other)
                assert_up_to_date(other)
        # Up to date it was, and so it stays, whatever the slow one does.
        assert_up_to_date(store)

    derived.derive(store, overtaken)
    assert_up_to_date(store)
    assert next(portions) == 2
