"""A simulated year of the step log for `make bench`: wear.py DEVICE_ROOT DAYS. Prints one JSON object."""

import json
import sys

root, days = sys.argv[1], int(sys.argv[2])
sys.path[:0] = [root, root + "/lib"]

from ramflash import RamFlash, mount  # noqa: E402
from walkload import Walker  # noqa: E402

flash = RamFlash(blocks=512)
mount(flash)
before = sum(flash.erases)
walker = Walker("/flash/log", 3)
flushes = []
full_after_days = bytes_per_step = None
for day in range(days):
    flushes.append(walker.day())
    if full_after_days is None and walker.logbook.journal.oldest_sequence > 1:
        full_after_days = day
    elif full_after_days is None:
        bytes_per_step = walker.logbook.journal.bytes_used / walker.added
    journal = walker.logbook.journal
    journal.acknowledge(journal.flushed_sequence)
print(
    json.dumps(
        {
            "days": days,
            "flushes": sum(flushes),
            "flushes_a_day": max(flushes),
            "erases": sum(flash.erases) - before,
            "full_after_days": full_after_days,
            "bytes_per_step": bytes_per_step,
            "worst_block_erases": max(flash.erases),
        }
    )
)
