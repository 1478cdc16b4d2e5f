"""A cohort: many databases as one folder of Parquet files, partitioned by wearer and month, for DuckDB or Spark.

    DIR/wearer=anna/month=2026-06/0-abc-77-0.parquet      (database, device, log, part)
    DIR/wearer=unknown/month=unknown/...                   steps of nobody known, or of no known time

Readers take `wearer` and `month` (UTC) from the path, as Hive named it; names are percent-encoded there. The folder
appears when all of it is written.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from retrostep.export.errors import ExportError
from retrostep.export.levels import Column
from retrostep.export.tables import ParquetFile

_BATCH_ROWS = 8_192
NOBODY = "unknown"


class CohortRow(NamedTuple):
    """A row, the partition where it belongs, and where it comes from."""

    wearer: str | None
    utc_ms: int | None
    origin: str
    row: tuple


def _partition(row: CohortRow) -> tuple[str, str]:
    month = "unknown"
    if row.utc_ms is not None:
        month = f"{datetime.fromtimestamp(row.utc_ms // 1000, timezone.utc):%Y-%m}"
    wearer = NOBODY if row.wearer is None else quote(row.wearer, safe="")
    return f"wearer={wearer}/month={month}", row.origin


def write_cohort(rows: Iterable[CohortRow], columns: tuple[Column, ...], target: Path) -> int:
    """Write rows, which come log by log and in order of time, below the new folder `target`; returns how many files.

    The column `wearer` is left to the path. Raises ExportError.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ExportError(f"{target} exists already: expected a new or an empty folder for a cohort")
    kept = [at for at, column in enumerate(columns) if column.name != "wearer"]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    except OSError as error:
        raise ExportError(f"{target} can't be written: {error.strerror}") from error
    files = 0
    try:
        for (partition, origin), group in groupby(rows, key=_partition):
            folder = stage / partition
            folder.mkdir(parents=True, exist_ok=True)
            # A clock that was set back brings a log to a month a second time: another part.
            part = sum(1 for _ in folder.glob(f"{origin}-*.parquet"))
            with (folder / f"{origin}-{part}.parquet").open("wb") as file:
                made = ParquetFile([columns[at] for at in kept], file)
                batch: list[tuple] = []
                for one in group:
                    batch.append(tuple(one.row[at] for at in kept))
                    if len(batch) == _BATCH_ROWS:
                        made.add(batch)
                        batch.clear()
                if batch:
                    made.add(batch)
                made.close()
            files += 1
        if target.exists():
            target.rmdir()
        stage.rename(target)
    except OSError as error:
        raise ExportError(f"{target} can't be written: {error}") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return files
