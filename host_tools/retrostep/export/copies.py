"""One log that several databases hold: its records put together by number, as if it had been synced into one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from retrostep.device_tree import use_device_code
from retrostep.export.errors import ExportError
from retrostep.history import Record, StoredRecords
from retrostep.store import IMPORTED_SEQUENCE, Store

use_device_code()

from firmware import steplog  # noqa: E402

_number_of = itemgetter(0)


class Copy(NamedTuple):
    """What one database holds of a log."""

    store: Store
    log: int
    next_sequence: int

    @property
    def imported(self) -> bool:
        """Did it come from a file? Its records then have numbers of their own."""
        return self.next_sequence == IMPORTED_SEQUENCE


class MergedRecords:
    """The records of all copies of a log, oldest first. on_record: called for every one that is read for its steps.

    Raises ExportError where a number stands for different records.
    """

    def __init__(self, device_id: str, copies: list[Copy], on_record: Callable[[], None]) -> None:
        self._device_id = device_id
        self._paths = [copy.store.path for copy in copies]
        self._copies = [StoredRecords(copy.store, copy.log) for copy in copies]
        self._on_record = on_record

    def _merged(self, sequence: int, on_record: Callable[[], None]) -> Iterator[Record]:
        last: Record | None = None
        origin: Path | None = None
        tagged = (
            ((record, path) for record in copy.since(sequence))
            for copy, path in zip(self._copies, self._paths, strict=True)
        )
        for record, path in merge(*tagged, key=lambda one: _number_of(one[0])):
            on_record()
            if last is None or record[0] != last[0]:
                yield record
                last, origin = record, path
            elif record != last:
                raise ExportError(
                    f"record {record[0]} of device {self._device_id} differs between {origin} and {path}: the device "
                    "was restored from an older copy. Expected the same record in both: export each by itself (--db)"
                )

    def landmarks(self) -> Iterator[Record]:
        """All that are no STEPS, and the STEPS before which a number is missing."""
        if len(self._copies) == 1:
            yield from self._copies[0].landmarks()
            return
        before = -1
        for record in self._merged(0, lambda: None):
            if record[1] != steplog.STEPS or record[0] != before + 1:
                yield record
            before = record[0]

    def since(self, sequence: int) -> Iterator[Record]:
        """All from `sequence` on."""
        return self._merged(sequence, self._on_record)

    def steps_before(self, sequence: int) -> Record | None:
        """The last STEPS record before `sequence`."""
        found = [one for one in (copy.steps_before(sequence) for copy in self._copies) if one is not None]
        return max(found, key=_number_of, default=None)
