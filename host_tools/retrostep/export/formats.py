"""The formats by name, and how the selected steps become a file of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import tzinfo
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from retrostep.export import apple, cohort, fhir, openmhealth, spans, tables
from retrostep.export.errors import ExportUnsuitable
from retrostep.export.levels import (
    COLUMNS,
    LEVELS,
    Column,
    DayTotal,
    WornStep,
    days,
    intervals,
    numbered,
    step_row,
)
from retrostep.export.selection import Selection, Source
from retrostep.export.spans import Span

TABLES: dict[str, Callable[[Iterable[tuple], tuple[Column, ...], BinaryIO], None]] = {
    "csv": tables.write_csv,
    "jsonl": tables.write_jsonl,
    "parquet": tables.write_parquet,
}
HEALTH: dict[str, Callable[[Iterable[Span], int, BinaryIO], None]] = {
    "openmhealth": lambda found, created, file: openmhealth.write_data_points(
        found, openmhealth.step_count, created, file
    ),
    "ieee1752": lambda found, created, file: openmhealth.write_data_points(
        found, openmhealth.physical_activity, created, file
    ),
    "fhir": fhir.write_bundle,
    "apple": apple.write_health_data,
}
FORMATS = (*TABLES, *HEALTH)


@dataclass(frozen=True)
class Export:
    """What is asked for. zone: cuts the days (None: each wearer's own, else this computer's)."""

    format: str
    level: str
    selection: Selection
    zone: tzinfo | None = None

    def __post_init__(self) -> None:
        for value, known in ((self.format, FORMATS), (self.level, LEVELS)):
            if value not in known:
                raise ExportUnsuitable(f"{value!r} is not known: expected one of {', '.join(known)}")
        if self.format in HEALTH and self.level == "steps":
            raise ExportUnsuitable(
                f"{self.format} has no place for single steps: expected --level intervals or days"
            )

    def write(self, source: Source, created_utc_ms: int, file: BinaryIO) -> None:
        """Write the whole file; steps that the format can't take are counted in source.left_out."""
        source.check(self.selection)
        names = source.wearer_names()
        if self.format == "apple" and self.selection.wearer is None and len(names) > 1:
            raise ExportUnsuitable(
                f"apple tells of one person, and there are several: choose one with --wearer ({', '.join(names)})"
            )
        steps = chain.from_iterable(log.steps for log in source.logs(self.selection))
        if self.format in TABLES:
            TABLES[self.format](self._rows(steps, source), COLUMNS[self.level], file)
        else:
            HEALTH[self.format](self._spans(steps, source, created_utc_ms), created_utc_ms, file)

    def write_cohort(self, source: Source, target: Path) -> int:
        """Write a partitioned folder of Parquet files; returns how many."""
        if self.format != "parquet" or self.level == "days":
            raise ExportUnsuitable("a cohort is Parquet at level steps or intervals: sum days from those")
        source.check(self.selection)
        return cohort.write_cohort(self._cohort_rows(source), COLUMNS[self.level], target)

    def _rows(self, steps: Iterable[WornStep], source: Source) -> Iterator[tuple]:
        wanted = self.selection.directions
        if self.level == "steps":
            return numbered(step_row(worn) for worn in steps if worn.step.direction in wanted)
        if self.level == "intervals":
            return numbered(found.row() for found in intervals(steps) if found.first.direction in wanted)
        return (found.row() for found in self._days(steps, source))

    def _days(self, steps: Iterable[WornStep], source: Source) -> list[DayTotal]:
        def zone_of(wearer: str | None) -> tzinfo | None:
            return self.zone or source.zone_of(wearer)

        return days(steps, zone_of, self.selection.directions)

    def _spans(self, steps: Iterable[WornStep], source: Source, now_utc_ms: int) -> Iterator[Span]:
        wanted = self.selection.directions
        if self.level == "days":
            return spans.of_days(self._days(steps, source), self.selection, source.left_out, now_utc_ms)
        chosen = (found for found in intervals(steps) if found.first.direction in wanted)
        return spans.of_intervals(chosen, source.left_out)

    def _cohort_rows(self, source: Source) -> Iterator[cohort.CohortRow]:
        names = [column.name for column in COLUMNS[self.level]]
        began = names.index("time" if self.level == "steps" else "start")
        who = names.index("wearer")
        for log in source.logs(self.selection):
            for row in self._rows(log.steps, source):
                yield cohort.CohortRow(row[who], row[began], log.origin, row)
