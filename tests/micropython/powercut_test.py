"""The power goes before, and in the middle of, every program and erase of a log's life.

The life is run once on a flash that notes each operation and what was durable by then; then its image is built up
operation by operation, and at each the log is opened on a copy: that is exactly what a cut there leaves behind.
"""

import os
import sys

import vfs
from journal import Journal
from ramflash import RamFlash, mount
from walkload import Walker

from firmware import steplog, steplog_decoder
from firmware.logbook import Logbook

HEAP = "64M"
FULL = sys.argv[-1] == "full"
BLOCKS = 28


class NotingFlash(RamFlash):
    """Keeps (block, offset, bytes or None for an erase) of each operation."""

    def __init__(self):
        super().__init__(blocks=BLOCKS)
        self.noted = []

    def writeblocks(self, block, buffer, offset=0):
        self.noted.append((block, offset, bytes(buffer)))
        super().writeblocks(block, buffer, offset)

    def ioctl(self, operation, block):
        if operation == 6:
            self.noted.append((block, 0, None))
        return super().ioctl(operation, block)


def apply(flash, operation, half=False):
    block, offset, data = operation
    if data is None:
        at, count = block * flash.block_bytes, flash.block_bytes // (2 if half else 1)
        flash.image[at : at + count] = b"\xff" * count
    else:
        flash.writeblocks(block, data[: len(data) // 2] if half else data, offset)


def live(flash):
    """A life with walks, rotation, pruning, acknowledgements and anchors; returns its milestones.

    A milestone is (operations so far, first number that is not durable, acknowledged up to).
    """
    milestones = []
    walker = Walker("/flash/log", 1, segment_bytes=900, budget_bytes=9000)
    acknowledged = 0
    while len(flash.noted) < OPERATIONS:
        walker.bout(4 + walker.added % 37)
        walker.rest(20_000)
        journal = walker.logbook.journal
        if walker.added % 3 == 0:
            walker.logbook.add_anchor(walker.now_ms, 1_790_000_000_000 + walker.now_ms, 20, 0)
        if walker.added % 5 == 0:
            acknowledged = max(journal.flushed_sequence - 6, 0)
            journal.acknowledge(acknowledged)
        milestones.append((len(flash.noted), journal.flushed_sequence, journal.acknowledged))
    return milestones


OPERATIONS = 2700


def check(image, durable, acknowledged, kept):
    """Open the log on a copy of `image`; `kept` maps each durable record to its bytes."""
    flash = RamFlash(blocks=BLOCKS, image=image)
    mount(flash, "/copy", fresh=False)
    journal = Journal("/copy/log", steplog.FORMAT_VERSION, 1)
    last = 0
    found = {}
    for sequence, kind, payload in journal.records():
        assert sequence > last, "sequence %d after %d" % (sequence, last)
        last = sequence
        found[sequence] = (kind, payload)
    # Also what was flushed a moment before the cut, and not yet said to be durable, is whole or absent.
    for sequence in found:
        assert found[sequence] == kept[sequence], "record %d is another" % sequence
    oldest = journal.oldest_sequence
    gaps = [steplog_decoder.decode(kind, payload) for kind, payload in found.values() if kind == steplog.GAP]
    for sequence in range(1, durable):
        if sequence not in found:
            told = [1 for gap in gaps if gap["first_lost"] <= sequence <= gap["last_lost"]]
            assert sequence < oldest, "record %d is missing" % sequence
            assert sequence < acknowledged or told, "record %d was dropped and nobody tells" % sequence
    assert journal.acknowledged >= acknowledged
    # The log goes on: a new boot, a step, durable.
    logbook = Logbook(
        "/copy/log", lambda: 0, 1, 0, 0, "0.1.0", "m", "b", segment_bytes=900, budget_bytes=9000
    )
    logbook.add_step(0, 1, 90, None)
    logbook.flush()
    assert logbook.write_failures == 0
    assert logbook.journal.flushed_sequence == logbook.journal.next_sequence > durable - 1
    vfs.umount("/copy")
    assert flash.violations == 0


def test_powercut_at_every_flash_operation_loses_nothing_that_was_durable():
    flash = NotingFlash()
    mount(flash)
    before = len(flash.noted)
    kept = {}

    class Keeping(Journal):
        def append(self, kind, payload):
            sequence = super().append(kind, payload)
            kept[sequence] = (kind, bytes(payload))
            return sequence

    import firmware.logbook

    firmware.logbook.Journal = Keeping
    milestones = live(flash)
    firmware.logbook.Journal = Journal
    operations = flash.noted
    assert len(operations) - before >= 2500, len(operations)
    image = RamFlash(blocks=BLOCKS)
    for operation in operations[:before]:
        apply(image, operation)
    milestone = cuts = 0
    durable, acknowledged = 1, 0
    for number in range(before, len(operations)):
        while milestone < len(milestones) and milestones[milestone][0] <= number:
            _, durable, acknowledged = milestones[milestone]
            milestone += 1
        if FULL or number % 23 == 0:
            check(image.image, durable, acknowledged, kept)
            torn = RamFlash(blocks=BLOCKS, image=image.image)
            apply(torn, operations[number], half=True)
            check(torn.image, durable, acknowledged, kept)
            cuts += 2
        apply(image, operations[number])
    check(image.image, milestones[-1][1], milestones[-1][2], kept)
    print("cut points:", cuts, "of", 2 * (len(operations) - before))
    assert cuts >= (5000 if FULL else 200)


def test_powercut_at_any_operation_of_an_erase_leaves_the_old_log_or_a_new_one():
    flash = NotingFlash()
    mount(flash)
    walker = Walker("/flash/log", 7, segment_bytes=900)
    for _ in range(60):
        walker.bout(30)
        walker.rest(20_000)
    walker.logbook.flush()
    old_id = walker.logbook.journal.log_id
    old = list(walker.logbook.journal.records())
    before = len(flash.noted)
    walker.logbook.erase(8)
    while walker.logbook.remove_erased():
        pass
    image = RamFlash(blocks=BLOCKS)
    for operation in flash.noted[:before]:
        apply(image, operation)
    seen = []
    for number in range(before, len(flash.noted)):
        torn = RamFlash(blocks=BLOCKS, image=image.image)
        apply(torn, flash.noted[number], half=True)
        for cut in (image, torn):
            mount(RamFlash(blocks=BLOCKS, image=cut.image), "/copy", fresh=False)
            logbook = Logbook("/copy/log", lambda: 0, 9, 0, 0, "0.1.0", "m", "b", segment_bytes=900)
            found = list(logbook.journal.records())
            log_id = logbook.journal.log_id
            if log_id == old_id:
                assert found[:-1] == old
            else:
                assert log_id in (8, 9) and len(found) <= 2 and logbook.counts() == [0, 0, 0, 0]
            seen.append(log_id)
            logbook.add_step(0, 1, 90, None)
            logbook.close()
            while logbook.remove_erased():
                pass
            assert sorted(os.listdir("/copy")) == ["log"]
            vfs.umount("/copy")
        apply(image, flash.noted[number])
    # First the old one, then the new one, and no way back.
    assert seen[0] == old_id and seen[-1] == 8
    changed = [log_id != old_id for log_id in seen]
    assert changed == sorted(changed)


def test_powercut_costs_at_most_thirty_seconds_of_steps():
    """Whenever the power goes, every step that is 30 s old is in the file system."""
    mount(RamFlash(blocks=BLOCKS))
    walker = Walker("/flash/log", 2, segment_bytes=900)
    added = []
    for number in range(400):
        walker.step()
        added.append(walker.now_ms // 10)
        if number % 50 == 49:
            walker.rest(7_000)
        stored = 0
        for _, kind, payload in walker.logbook.journal.records():
            if kind == steplog.STEPS:
                stored += steplog.step_span(payload)[0]
        for at_cs in added[stored:]:
            assert walker.now_ms - at_cs * 10 <= steplog.FLUSH_AFTER_MS + 1000
