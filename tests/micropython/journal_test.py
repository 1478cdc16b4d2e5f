import os

import vfs
from journal import Journal, JournalFull
from ramflash import PowerCut, RamFlash, mount

HEAP = "48M"
FOLDER = "/flash/log"


def open_journal(**options):
    return Journal(FOLDER, 1, 0xABCD, **options)


def payloads(journal, first=0):
    return [(sequence, bytes(payload)) for sequence, _, payload in journal.records(first)]


def test_records_come_back_in_order_after_a_restart():
    mount(RamFlash())
    journal = open_journal(segment_bytes=256)
    for number in range(1, 41):
        assert journal.append(7, b"record %d" % number) == number
    journal.flush()
    again = open_journal(segment_bytes=256)
    assert payloads(again) == [(n, b"record %d" % n) for n in range(1, 41)]
    assert payloads(again, 30) == [(n, b"record %d" % n) for n in range(30, 41)]
    assert again.next_sequence == 41


def test_what_was_not_flushed_is_not_durable_and_its_numbers_are_used_again():
    mount(RamFlash())
    journal = open_journal()
    journal.append(1, b"kept")
    journal.flush()
    journal.append(1, b"not flushed")
    again = open_journal()
    assert payloads(again) == [(1, b"kept")]
    assert again.append(1, b"next") == 2


def test_a_journal_keeps_its_id_and_its_cursor():
    mount(RamFlash())
    journal = open_journal()
    journal.append(1, b"one")
    journal.flush()
    journal.acknowledge(2)
    again = Journal(FOLDER, 1, 0x1234)
    assert again.log_id == 0xABCD
    assert again.acknowledged == 2


def test_only_durable_records_can_be_acknowledged():
    mount(RamFlash())
    journal = open_journal()
    journal.append(1, b"one")
    try:
        journal.acknowledge(2)
    except ValueError as refused:
        assert "at most 1" in str(refused)
    else:
        raise AssertionError("acknowledged what a power cut could still take")
    journal.flush()
    journal.acknowledge(2)
    journal.acknowledge(1)
    assert journal.acknowledged == 2


def test_over_budget_the_oldest_acknowledged_segments_go_first_and_silently():
    mount(RamFlash())
    lost = []
    journal = open_journal(
        segment_bytes=256, budget_bytes=1024, on_lost=lambda first, last: lost.append((first, last))
    )
    for _ in range(60):
        sequence = journal.append(1, b"x" * 30)
        journal.flush()
        journal.acknowledge(sequence + 1)
    assert journal.bytes_used <= 1024
    assert lost == []
    assert journal.oldest_sequence > 1


def test_unacknowledged_records_that_must_go_are_reported_exactly():
    mount(RamFlash())
    lost = []
    journal = open_journal(
        segment_bytes=256, budget_bytes=1024, on_lost=lambda first, last: lost.append((first, last))
    )
    for _ in range(60):
        journal.append(1, b"x" * 30)
        journal.flush()
    there = [sequence for sequence, _ in payloads(journal)]
    gone = [n for first, last in lost for n in range(first, last + 1)]
    assert gone + there == list(range(1, 61))


def fill_volume():
    """Files until the volume refuses; returns their names."""
    names = []
    for size in (4096, 256):
        try:
            while True:
                names.append("/flash/other%d" % len(names))
                with open(names[-1], "wb") as other:
                    other.write(b"z" * size)
        except OSError:
            pass
    return names


def test_a_full_volume_is_reported_and_the_records_are_written_once_there_is_room():
    mount(RamFlash(blocks=16))
    journal = open_journal(segment_bytes=600)
    journal.append(1, b"first")
    journal.flush()
    names = fill_volume()
    for _ in range(20):
        journal.append(1, b"y" * 500)
    try:
        journal.flush()
    except JournalFull as full:
        assert "no room" in str(full)
    else:
        raise AssertionError("expected a full volume")
    for name in names:
        try:
            os.remove(name)
        except OSError:
            pass
    journal.flush()
    assert payloads(open_journal())[-20:] == [(n, b"y" * 500) for n in range(2, 22)]


def test_every_flushed_record_survives_a_power_cut_at_any_flash_operation():
    total = None
    lives = 0
    # Never collected: a file that littlefs closes after its flash lost power would only make noise.
    dead = []
    for torn in (False, True):
        cut = 0
        while total is None or cut < total:
            flash = RamFlash(blocks=24)
            mount(flash)
            start = flash.operations
            flash.cut_after = start + cut if total is not None else None
            flash.torn = torn
            durable = []
            journal = None
            try:
                journal = open_journal(segment_bytes=512)
                for number in range(1, 19):
                    sequence = journal.append(1, b"%d " % number * 20)
                    journal.flush()
                    durable.append(sequence)
                    if number % 5 == 0:
                        journal.acknowledge(number)
                journal.close()
            except PowerCut:
                pass
            dead.append((flash, journal))
            vfs.umount("/flash")
            if total is None:
                total = flash.operations - start
                continue
            revived = RamFlash(blocks=24, image=flash.image)
            mount(revived, fresh=False)
            journal = open_journal(segment_bytes=512)
            found = [sequence for sequence, _ in payloads(journal)]
            assert found[: len(durable)] == durable, (torn, cut, found, durable)
            assert found == sorted(set(found))
            journal.append(1, b"after")
            journal.flush()
            assert payloads(journal)[-1][1] == b"after"
            assert flash.violations == revived.violations == 0
            vfs.umount("/flash")
            cut += 1
            lives += 1
    assert lives > 150, lives
