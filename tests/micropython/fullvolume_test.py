"""Months of steps on a volume that fills up, with nobody syncing: the loss is exactly what the gap records say."""

import os
import sys

from journal import SEGMENT_BYTES
from ramflash import RamFlash, mount
from walkload import Walker, count_steps, lost_steps

HEAP = "24M"
FULL = sys.argv[-1] == "full"
# The sample is a twelfth of the real thing: volume, segments, budget and days.
SCALE = 1 if FULL else 12
BUDGET_BYTES = 1_700_000 // SCALE
DAYS = 120 // SCALE
KEPT_DAYS = 60 // SCALE
BLOCKS = 512 // SCALE + 8


def test_fullvolume_keeps_sixty_days_and_then_loses_exactly_what_it_says():
    flash = RamFlash(blocks=BLOCKS)
    mount(flash)
    walker = Walker(
        "/flash/log",
        3,
        budget_bytes=BUDGET_BYTES,
        segment_bytes=SEGMENT_BYTES if FULL else SEGMENT_BYTES // 2,
    )
    journal = walker.logbook.journal
    flushes = []
    for day in range(1, DAYS + 1):
        flushes.append(walker.day())
        if day == KEPT_DAYS:
            assert journal.oldest_sequence == 1, "records were dropped within %d days" % KEPT_DAYS
            print("bytes per step: %.3f" % (journal.bytes_used / walker.added))
            assert journal.bytes_used <= 2.8 * walker.added
    walker.logbook.flush()
    steps, gaps = count_steps(journal)
    assert journal.bytes_used <= BUDGET_BYTES
    assert max(flushes) <= 400, max(flushes)
    assert gaps, "nothing was dropped: the run is too short"
    lost, covered = lost_steps(gaps)
    assert covered == journal.oldest_sequence - 1
    assert lost + steps == walker.added, (lost, steps, walker.added)
    assert walker.logbook.write_failures == 0
    print("steps: %d walked, %d kept, %d in gap records" % (walker.added, steps, lost))
    print("flushes a day: %d; erases: %d" % (max(flushes), sum(flash.erases)))


def fill(sizes=(4096, 256, 16)):
    """Other files, until the volume takes nothing any more; their names."""
    names = []
    for size in sizes:
        try:
            while True:
                names.append("/flash/other%d" % len(names))
                with open(names[-1], "wb") as other:
                    other.write(b"z" * size)
        except OSError:
            pass
    return names


def test_fullvolume_erase_begins_a_log_or_leaves_the_old_one_going_on():
    outcomes = set()
    # None of the files that fill it, the last one, all.
    for removed in (0, 1, 200):
        if removed:
            os.umount("/flash")
        mount(RamFlash(blocks=24))
        walker = Walker("/flash/log", 5, budget_bytes=30_000, segment_bytes=4096)
        for _ in range(4):
            walker.bout(50)
            walker.rest(40_000)
        names = fill()
        for name in names[max(len(names) - removed, 0) :]:
            try:
                os.remove(name)
            except OSError:
                pass
        logbook = walker.logbook
        log_id, before = logbook.journal.log_id, walker.added
        try:
            logbook.erase(99)
        except OSError:
            assert logbook.journal.log_id == log_id
            before = 0
        else:
            assert logbook.journal.log_id == 99
        outcomes.add(logbook.journal.log_id)
        for name in names:
            try:
                os.remove(name)
            except OSError:
                pass
        walker.bout(70)
        logbook.flush()
        steps, gaps = count_steps(logbook.journal)
        assert not gaps
        assert steps == walker.added - before, (removed, steps, walker.added, before)
    assert len(outcomes) == 2


def test_fullvolume_with_other_files_keeps_counting_and_writes_again_once_there_is_room():
    mount(RamFlash(blocks=24))
    walker = Walker("/flash/log", 5, budget_bytes=60_000, segment_bytes=4096)
    walker.bout(50)
    names = fill()
    for _ in range(40):
        walker.bout(100)
        walker.rest(40_000)
    for name in names:
        try:
            os.remove(name)
        except OSError:
            pass
    for _ in range(3):
        walker.bout(100)
        walker.rest(40_000)
    walker.logbook.flush()
    steps, gaps = count_steps(walker.logbook.journal)
    lost, _ = lost_steps(gaps)
    assert steps + lost == walker.added, (steps, gaps, walker.added)
    assert sum(walker.logbook.counts()) == walker.added
