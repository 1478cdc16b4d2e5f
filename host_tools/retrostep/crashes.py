"""The crashes that devices have logged, with their tracebacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from retrostep.history import Happening, StoredRecords, Timeline, read_records
from retrostep.printable import printable
from retrostep.store import Store


@dataclass(frozen=True)
class Crash:
    """The app crashed before a start that was at `utc_ms` (None: unknown), in this way for the `count`-th time."""

    device_id: str
    utc_ms: int | None
    firmware: str
    count: int
    traceback: str


def read_crashes(store: Store) -> Iterator[Crash]:
    """Every crash in the database, oldest first in each log."""
    for log in store.logs():
        records = StoredRecords(store, log["id"])
        for found in read_records(log["device_id"], Timeline(records), records.landmarks()):
            if isinstance(found, Happening) and found.content["kind"] == "crash":
                content = found.content
                yield Crash(
                    log["device_id"],
                    found.utc_ms,
                    printable(found.boot.firmware),
                    content["count"],
                    printable(content["traceback"].strip(), keep="\n"),
                )
