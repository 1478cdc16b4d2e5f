"""Rows as CSV, JSON Lines or Parquet. The columns of each level are in levels.py and docs/data.md."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, BinaryIO

from retrostep.export.errors import ExportUnsuitable
from retrostep.export.instants import to_text
from retrostep.export.levels import Column

_BATCH_ROWS = 8_192
PARQUET_MISSING = (
    "Parquet needs the package pyarrow, which is not installed. Expected the extra `parquet`: in the project's "
    "folder, pipx install '.[parquet]'"
)


def plain(row: Iterable[Any], columns: Sequence[Column]) -> list[Any]:
    """Times and days as text."""
    return [
        to_text(value)
        if kind == "time" and value is not None
        else value.isoformat()
        if kind == "day" and value is not None
        else value
        for value, (_, kind) in zip(row, columns, strict=True)
    ]


def write_csv(rows: Iterable[tuple], columns: Sequence[Column], file: BinaryIO) -> None:
    """UTF-8, a header, "\\n" as line end; what is not known is empty."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=False)
    try:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(name for name, _ in columns)
        writer.writerows(plain(row, columns) for row in rows)
    finally:
        # The file below stays open: it is not ours.
        text.detach()


def write_jsonl(rows: Iterable[tuple], columns: Sequence[Column], file: BinaryIO) -> None:
    """One object a line; what is not known is null."""
    names = [name for name, _ in columns]
    for row in rows:
        line = json.dumps(dict(zip(names, plain(row, columns), strict=True)), ensure_ascii=False)
        file.write(line.encode() + b"\n")


class ParquetFile:
    """A Parquet file of rows, written in batches. Raises ExportUnsuitable without pyarrow."""

    def __init__(self, columns: Sequence[Column], file: BinaryIO) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise ExportUnsuitable(PARQUET_MISSING) from error
        types = {
            "text": pyarrow.string(),
            "int": pyarrow.int64(),
            "real": pyarrow.float64(),
            "time": pyarrow.timestamp("ms", tz="UTC"),
            "day": pyarrow.date32(),
        }
        self._pyarrow = pyarrow
        self._schema = pyarrow.schema([(name, types[kind]) for name, kind in columns])
        self._writer = pyarrow.parquet.ParquetWriter(file, self._schema)

    def add(self, rows: Sequence[tuple]) -> None:
        """Write rows as one row group."""
        arrays = [
            self._pyarrow.array(values, type=field.type)
            for values, field in zip(zip(*rows, strict=True), self._schema, strict=True)
        ]
        self._writer.write_table(self._pyarrow.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """Write the footer; the file below stays open."""
        self._writer.close()


def write_parquet(rows: Iterable[tuple], columns: Sequence[Column], file: BinaryIO) -> None:
    """A Parquet file with typed columns: timestamps in UTC with milliseconds. Raises ExportUnsuitable."""
    made = ParquetFile(columns, file)
    stream = iter(rows)
    while batch := list(islice(stream, _BATCH_ROWS)):
        made.add(batch)
    made.close()
