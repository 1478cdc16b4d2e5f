"""Pulls a device's log into the database: resumes where the last sync ended, proves, then lets the device prune.

Order: tell the time (an anchor that the same sync brings home), then read a batch, commit it together with the
cursor, and only then acknowledge it. While a batch is being committed the next is already on its way. A link that
drops or a host that dies at any point costs nothing: the next sync asks from the last commit on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from retrostep.link import Link, LinkError
from retrostep.store import IMPORTED_SEQUENCE, Store

BATCH_BYTES = 16_384
# The number of a log's first record.
FIRST_SEQUENCE = 1


class LogWentBack(LinkError):
    """The device's log is shorter than what was synced from it before."""


@dataclass(frozen=True)
class SyncResult:
    """What one sync did. missing: records that this database lacks and the device has no more."""

    device_id: str
    records: int
    payload_bytes: int
    next_sequence: int
    clock_uncertainty_ms: int
    missing: int


async def sync(
    link: Link, store: Store, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> SyncResult:
    """Sync one device. on_progress(records read, records there were). Raises LinkError or StoreError."""
    status = await link.status()
    log, cursor = store.open_log(status)
    if cursor == IMPORTED_SEQUENCE:
        raise LogWentBack(
            f"log {status['log_id']} of device {status['device_id']} was imported from a file, and is not mixed with "
            "the device's own records: sync to another database (--db)"
        )
    if cursor > status["next_sequence"]:
        raise LogWentBack(
            f"device {status['device_id']} has records up to {status['next_sequence']}, but {cursor} were synced "
            "before: its flash was restored from an older copy. Nothing was changed; sync to another database (--db)"
        )
    if status["acknowledged"] < cursor:
        # The last link went before the device heard of it.
        await link.acknowledge(cursor, status["log_id"])
    reading = await link.read_clock()
    await link.anchor(reading)
    total = (await link.status())["next_sequence"]
    begin = max(cursor, status["oldest_sequence"])
    missing = begin - max(cursor, FIRST_SEQUENCE)
    added = payload_bytes = 0
    async for batch in link.batches(cursor, BATCH_BYTES, total):
        added += store.add_batch(log, batch.records(), batch.following)
        payload_bytes += len(batch.data)
        cursor = batch.following
        if batch.more:
            # Should the device refuse this one, the last, which covers it, says so.
            await link.acknowledge_soon(cursor, status["log_id"])
        else:
            await link.acknowledge(cursor, status["log_id"])
        on_progress(cursor - begin, max(total - begin, 1))
    store.note_sync(status["device_id"], time.time_ns() // 1_000_000)
    return SyncResult(status["device_id"], added, payload_bytes, cursor, reading.uncertainty_ms, missing)
