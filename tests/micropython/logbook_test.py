"""The log on a volume that refuses: nothing raises where nobody could help, and no step is lost without a word."""

import os

import journal as journal_module
from ramflash import RamFlash, mount
from walkload import Walker, count_steps

from firmware import steplog
from firmware.logbook import Logbook

HEAP = "2M"
ENOSPC, EIO = 28, 5


def refuse(error):
    """From now on no file can be written; returns a function that ends that."""

    def refusing(path, mode="r"):
        if "w" in mode:
            raise error
        return open(path, mode)

    journal_module.open = refusing
    return lambda: delattr(journal_module, "open")


def test_the_logbook_closes_on_a_volume_that_refuses_and_keeps_what_waits():
    for error in (OSError(ENOSPC), OSError(EIO), MemoryError()):
        mount(RamFlash())
        walker = Walker("/flash/log", 5)
        logbook = walker.logbook
        logbook.close()
        end = refuse(error)
        walker.bout(3)
        logbook.close()
        assert logbook.write_failures >= 1
        assert logbook.journal.pending_bytes
        end()
        logbook.close()
        steps, gaps = count_steps(logbook.journal)
        assert steps == 3
        # A full volume took the only segment there was: the BOOT record.
        assert bool(gaps) == (error.args == (ENOSPC,))
        os.umount("/flash")


def test_the_logbook_says_how_many_steps_a_volume_cost_that_failed_for_hours():
    mount(RamFlash())
    walker = Walker("/flash/log", 5)
    walker.bout(50)
    walker.logbook.close()
    end = refuse(OSError(EIO))
    for _ in range(120):
        walker.bout(100)
        walker.rest(40_000)
    end()
    walker.logbook.flush()
    steps, gaps = count_steps(walker.logbook.journal)
    lost = sum([count for _, _, count in gaps])
    assert 0 < lost < walker.added and steps > 50
    assert steps + lost == walker.added == sum(walker.logbook.counts())


class NoFolders:
    """The module `os` on a volume that makes no folder."""

    def mkdir(self, path):
        raise OSError(EIO)

    def __getattr__(self, name):
        return getattr(os, name)


def test_the_logbook_goes_on_after_an_erase_that_made_no_new_log():
    mount(RamFlash())
    walker = Walker("/flash/log", 5, segment_bytes=900)
    logbook = walker.logbook
    walker.bout(200)
    journal_module.os = NoFolders()
    try:
        logbook.erase(99)
    except OSError:
        pass
    else:
        raise AssertionError("there is no folder for a new log")
    before = logbook.write_failures
    walker.bout(10)
    logbook.flush()
    assert logbook.write_failures > before
    journal_module.os = os
    walker.bout(20)
    logbook.flush()
    assert count_steps(logbook.journal) == (30, set())
    again = Logbook("/flash/log", lambda: 0, 1, 0, 0, "0.1.0", "m", "b", segment_bytes=900)
    assert count_steps(again.journal) == (30, set())
    assert [kind for _, kind, _ in again.journal.records()][-1] == steplog.BOOT
    # Also once the budget asks for segments that went with the erased folder.
    logbook.journal._budget_bytes = 2000
    walker.bout(200)
    failures = logbook.write_failures
    logbook.flush()
    assert logbook.write_failures == failures
    assert logbook.journal.bytes_used <= 2000
