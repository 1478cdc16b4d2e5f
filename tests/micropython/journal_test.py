import gc
import os

import journal as journal_module
from journal import LAST_SEQUENCE, Journal, JournalFull
from ramflash import RamFlash, mount

HEAP = "2M"
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
        segment_bytes=256, budget_bytes=2048, on_lost=lambda first, last, records: lost.append((first, last))
    )
    for _ in range(120):
        sequence = journal.append(1, b"x" * 30)
        journal.flush()
        journal.acknowledge(sequence + 1)
    assert journal.bytes_used <= 2048
    assert lost == []
    assert journal.oldest_sequence > 1


def test_unacknowledged_records_that_must_go_are_reported_exactly():
    mount(RamFlash())
    lost = []
    journal = open_journal(
        segment_bytes=256, budget_bytes=2048, on_lost=lambda first, last, records: lost.append((first, last))
    )
    for _ in range(120):
        journal.append(1, b"x" * 30)
        journal.flush()
    there = [sequence for sequence, _ in payloads(journal)]
    gone = [n for first, last in lost for n in range(first, last + 1)]
    assert gone + there == list(range(1, 121))


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


def test_on_a_full_volume_an_acknowledgement_makes_its_own_room():
    mount(RamFlash(blocks=16))
    journal = open_journal(segment_bytes=600)
    for _ in range(12):
        journal.append(1, b"z" * 500)
        journal.flush()
    fill_volume()
    journal.acknowledge(9)
    assert journal.acknowledged == 9
    assert open_journal(segment_bytes=600).acknowledged == 9
    assert [sequence for sequence, _ in payloads(journal, 9)] == [9, 10, 11, 12]


def test_a_segment_that_cannot_be_read_blocks_nothing():
    mount(RamFlash())
    lost = []
    journal = open_journal(
        segment_bytes=600,
        budget_bytes=3000,
        on_lost=lambda first, last, records: lost.append((first, list(records))),
    )
    journal.append(1, b"z" * 500)
    journal.flush()
    # A folder in the place of the file: it can be listed and removed, not read.
    journal.close()
    os.remove(FOLDER + "/00000001.seg")
    os.mkdir(FOLDER + "/00000001.seg")
    for _ in range(12):
        journal.append(1, b"z" * 500)
        journal.flush()
    assert lost[0] == (1, [])
    assert journal.next_sequence == 14


EIO = 5


def refuse_segments(errno):
    """From now on no segment can be begun; returns a function that ends that."""

    def refusing(path, mode="r"):
        if path.endswith(".seg") and "w" in mode:
            raise OSError(errno)
        return open(path, mode)

    journal_module.open = refusing
    return lambda: delattr(journal_module, "open")


def test_a_volume_that_fails_otherwise_than_by_being_full_costs_no_record():
    mount(RamFlash())
    lost = []
    journal = open_journal(segment_bytes=500, on_lost=lambda *told: lost.append(told))
    for _ in range(60):
        journal.append(1, b"x" * 100)
        journal.flush()
    journal.close()
    end = refuse_segments(EIO)
    journal.append(1, b"last")
    try:
        journal.flush()
    except OSError as error:
        assert error.errno == EIO
    else:
        raise AssertionError("expected the volume's error")
    end()
    assert lost == []
    assert journal.pending_bytes
    journal.flush()
    assert payloads(open_journal()) == [(n, b"x" * 100) for n in range(1, 61)] + [(61, b"last")]


def test_a_flush_over_the_budget_that_has_to_be_repeated_tells_once_what_will_go():
    mount(RamFlash())
    lost = []
    journal = open_journal(
        segment_bytes=256, budget_bytes=2048, on_lost=lambda first, last, records: lost.append((first, last))
    )
    while not journal._over_budget():
        journal.flush()
        journal.append(1, b"x" * 30)
    journal.close()
    end = refuse_segments(EIO)
    for _ in range(3):
        try:
            journal.flush()
        except OSError:
            pass
    end()
    journal.flush()
    there = [sequence for sequence, _ in payloads(journal)]
    gone = [n for first, last in lost for n in range(first, last + 1)]
    assert gone and gone + there == list(range(1, journal.next_sequence))


def test_what_waited_long_is_written_though_the_heap_has_no_piece_of_its_size():
    mount(RamFlash())
    journal = open_journal()
    journal.append(1, b"first")
    journal.flush()
    for _ in range(40):
        journal.append(9, b"x" * 300)
    gc.collect()
    kept = []
    try:
        while True:
            kept.append(bytearray(5000))
    except MemoryError:
        pass
    for at in range(0, len(kept), 2):
        kept[at] = None
    gc.collect()
    journal.flush()
    kept = None
    assert len(payloads(open_journal())) == 41


def test_a_reader_gets_what_is_flushed_while_it_is_busy_even_into_the_next_segment():
    mount(RamFlash())
    journal = open_journal(segment_bytes=3000)

    def add(count):
        for _ in range(count):
            journal.append(1, b"x" * 100)
            journal.flush()

    add(20)
    for busy_at in (10, 20, 45):
        seen = []
        for sequence, _, _ in journal.records():
            seen.append(sequence)
            if sequence == busy_at:
                add(20)
        assert seen == list(range(1, journal.next_sequence))
    assert len(journal._segments) > 2


def test_numbers_go_on_up_to_the_last_and_are_then_refused():
    mount(RamFlash())
    journal = open_journal()
    os.mkdir("/flash/high")
    journal = Journal("/flash/high", 1, 5)
    journal.next_sequence = journal.flushed_sequence = LAST_SEQUENCE - 2
    for _ in range(3):
        journal.append(1, b"near the end")
    journal.flush()
    again = Journal("/flash/high", 1, 5)
    assert [sequence for sequence, _ in payloads(again)] == [
        LAST_SEQUENCE - 2,
        LAST_SEQUENCE - 1,
        LAST_SEQUENCE,
    ]
    try:
        again.append(1, b"one too many")
    except JournalFull as full:
        assert "used up" in str(full)
    else:
        raise AssertionError("a sequence number beyond the last")


def test_a_damaged_record_costs_only_itself_and_shows_as_a_gap():
    mount(RamFlash())
    journal = open_journal()
    for number in range(1, 31):
        journal.append(7, b"record %d" % number)
    journal.flush()
    journal.close()
    name = FOLDER + "/00000001.seg"
    with open(name, "rb") as segment:
        data = bytearray(segment.read())
    data[len(data) // 2] ^= 0x40
    with open(name, "wb") as segment:
        segment.write(data)
    found = [sequence for sequence, _ in payloads(open_journal())]
    missing = [n for n in range(1, 31) if n not in found]
    assert len(missing) == 1, missing
    assert found == sorted(found)
