"""Which steps are exported: by time, direction, wearer and device, from one or more databases, as a stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from urllib.parse import quote
from zoneinfo import ZoneInfo

from retrostep.device_tree import use_device_code
from retrostep.export.copies import Copy, MergedRecords
from retrostep.export.levels import WornStep
from retrostep.history import Step, stream_log
from retrostep.store import Store
from retrostep.wearers import EVER_UTC_MS, NEVER_UTC_MS, find_wearer, free_spans, wearers

use_device_code()

from firmware.steplog import DIRECTIONS  # noqa: E402

SECOND_IMPORT = "imported from a file, of a log that is here already,"


@dataclass(frozen=True)
class Selection:
    """begin_utc_ms <= contact < end_utc_ms, one of `directions`, of this wearer, of this device; None: any.

    A step without a time is inside a span only if its bounds are.
    """

    begin_utc_ms: int | None = None
    end_utc_ms: int | None = None
    directions: tuple[str, ...] = DIRECTIONS
    wearer: str | None = None
    device_id: str | None = None

    def spans(self, step: Step) -> bool:
        """Is the step inside the time span?"""
        earliest = step.earliest_utc_ms if step.utc_ms is None else step.utc_ms
        latest = step.latest_utc_ms if step.utc_ms is None else step.utc_ms
        if self.begin_utc_ms is not None and (earliest is None or earliest < self.begin_utc_ms):
            return False
        return self.end_utc_ms is None or (latest is not None and latest < self.end_utc_ms)


class _Wearings:
    """Who wore one device when; where databases differ, the first of them counts."""

    def __init__(self, stores: list[Store], device_id: str) -> None:
        self._spans: list[tuple[int, int, str]] = []
        for store in stores:
            taken = [(since, until) for since, until, _ in self._spans]
            self._spans += [
                (*part, wearer.name)
                for wearer in wearers(store)
                for one in wearer.wearings
                if one.device_id == device_id
                for part in free_spans(one.since_utc_ms, one.until_utc_ms, taken)
            ]
        self._last = (0, 0, "")

    def _at(self, utc_ms: int) -> str | None:
        if self._last[0] <= utc_ms < self._last[1]:
            return self._last[2]
        for span in self._spans:
            if span[0] <= utc_ms < span[1]:
                self._last = span
                return span[2]
        return None

    def wearer_of(self, step: Step) -> str | None:
        """Their name; a step that has only bounds is of the wearer who had the device at both."""
        if step.utc_ms is not None:
            return self._at(step.utc_ms)
        if not self._spans:
            return None
        earliest = EVER_UTC_MS if step.earliest_utc_ms is None else step.earliest_utc_ms
        latest = NEVER_UTC_MS - 1 if step.latest_utc_ms is None else step.latest_utc_ms
        wearer = self._at(earliest)
        return wearer if wearer == self._at(latest) else None


class LogSteps:
    """The selected steps of one log. origin: a name for the log that is a file name and differs from all others'."""

    def __init__(self, origin: str, steps: Iterator[WornStep]) -> None:
        self.origin = origin
        self.steps = steps


@dataclass
class Source:
    """Databases to export from. Context manager; raises StoreError if one can't be used.

    on_record: called for every record that was read. left_out: steps that are not exported, by reason.
    """

    paths: list[Path]
    on_record: Callable[[], None] = lambda: None
    left_out: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> Source:
        self._stack = ExitStack()
        with ExitStack() as opening:
            self._stores = [opening.enter_context(Store(path, create=False)) for path in self.paths]
            self._stack = opening.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def records(self) -> int:
        """How many records there are in all."""
        return sum(device["records"] for store in self._stores for device in store.devices())

    def check(self, selection: Selection) -> None:
        """Raises StoreError if the selection names a wearer whom no database knows."""
        if selection.wearer is None or any(
            wearer.name == selection.wearer for store in self._stores for wearer in wearers(store)
        ):
            return
        find_wearer(self._stores[0], selection.wearer)

    def logs(self, selection: Selection) -> Iterator[LogSteps]:
        """Log by log, the selected steps of whatever direction, in the order in which they were walked.

        Directions are left to the levels: a step's minutes need the step before it. What several databases hold of a
        log is put together; a log that was imported from a file has other numbers, so only one such copy counts, and
        only where no database has the log from the device itself. Raises ExportError.
        """
        copies: dict[tuple[str, int], list[Copy]] = {}
        for store in self._stores:
            for log in store.logs():
                if selection.device_id in (None, log["device_id"]):
                    found = copies.setdefault((log["device_id"], log["log_id"]), [])
                    found.append(Copy(store, log["id"], log["next_sequence"]))
        for (device_id, log_id), found in copies.items():
            # Who synced furthest knows best who wore the device.
            found.sort(key=lambda copy: -1 if copy.imported else copy.next_sequence, reverse=True)
            used = [copy for copy in found if not copy.imported] or found[:1]
            for other in found:
                if other not in used:
                    left_out = self._steps(device_id, log_id, [other], selection)
                    self.left_out[SECOND_IMPORT] += sum(1 for _ in left_out)
            steps = self._steps(device_id, log_id, used, selection)
            yield LogSteps(f"{quote(device_id, safe='')}-{log_id}", steps)

    def wearer_names(self) -> list[str]:
        """The names of all wearers that the databases know."""
        return sorted({known.name for store in self._stores for known in wearers(store)})

    def only_wearer(self) -> str | None:
        """The name of the only wearer that the databases know; None: nobody, or several."""
        names = self.wearer_names()
        return names[0] if len(names) == 1 else None

    def zone_of(self, wearer: str | None) -> tzinfo | None:
        """The zone of the wearer of that name, as the first database that knows it says; None: this computer's."""
        for store in self._stores:
            for known in wearers(store):
                if known.name == wearer:
                    return None if known.zone is None else ZoneInfo(known.zone)
        return None

    def _steps(
        self, device_id: str, log_id: int, copies: list[Copy], selection: Selection
    ) -> Iterator[WornStep]:
        wearings = _Wearings([copy.store for copy in copies], device_id)
        for step in stream_log(device_id, log_id, MergedRecords(device_id, copies, self.on_record)):
            if selection.spans(step):
                wearer = wearings.wearer_of(step)
                if selection.wearer in (None, wearer):
                    yield WornStep(step, wearer)
