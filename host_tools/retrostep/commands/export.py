"""`retrostep export | import`: steps in formats that others read, and a CSV of steps back."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from retrostep.commands.reading import zone_named
from retrostep.device_tree import use_device_code
from retrostep.outfile import opened
from retrostep.progress import progress, waiting
from retrostep.store import StoreError, default_path

use_device_code()

from firmware.steplog import DIRECTIONS  # noqa: E402


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(name="export")(export)
    app.command(name="import")(import_command)


def moment(text: str, zone: tzinfo | None, day_ends: bool) -> int:
    """UTC in ms of a day, 2026-06-01, or a time, 2026-06-01T10:00; without an offset it is meant in `zone`.

    A day is its begin in `zone` (None: this computer's), or with day_ends its end. Raises typer.BadParameter.
    """
    try:
        if len(text) == len("2026-06-01"):
            begin = date.fromisoformat(text) + timedelta(days=day_ends)
            told = datetime(begin.year, begin.month, begin.day)
        else:
            told = datetime.fromisoformat(text.replace("Z", "+00:00"))
        if told.tzinfo is None:
            told = told.astimezone() if zone is None else told.replace(tzinfo=zone)
        return round(told.astimezone(timezone.utc).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(
            f"{text!r}: expected a day or a time, 2026-06-01 or 2026-06-01T10:00"
        ) from error


def databases(given: list[Path] | None) -> list[Path]:
    """The databases to read: those given, a folder's *.sqlite3, or the user's. Raises StoreError."""
    found: list[Path] = []
    for path in given or [default_path()]:
        inside = sorted(path.glob("*.sqlite3")) if path.is_dir() else [path]
        if not inside:
            raise StoreError(f"{path} holds no *.sqlite3: expected a database or a folder of databases")
        found += inside
    return found


def export(
    file_format: Annotated[
        str,
        typer.Option("--format", "-f", help="csv, jsonl, parquet, openmhealth, ieee1752, fhir or apple."),
    ] = "csv",
    level: Annotated[
        str, typer.Option("--level", "-l", help="steps, intervals or days (health formats: no steps).")
    ] = "intervals",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write (default: standard output).")
    ] = None,
    cohort: Annotated[
        Path | None,
        typer.Option("--cohort", help="New folder: Parquet by wearer and month, for DuckDB or Spark."),
    ] = None,
    begin: Annotated[
        str | None, typer.Option("--from", help="From this day or time on (2026-06-01, 2026-06-01T10:00).")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="Up to and with this day, or up to this time.")
    ] = None,
    direction: Annotated[
        list[str] | None,
        typer.Option("--direction", help="forward, backward, sideways or unknown; may be repeated."),
    ] = None,
    wearer: Annotated[str | None, typer.Option("--wearer", help="This wearer's steps only.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="This device's steps only.")] = None,
    zone: Annotated[
        str | None,
        typer.Option("--zone", help="Time zone that cuts days (default: the wearer's, or this computer's)."),
    ] = None,
    db: Annotated[
        list[Path] | None,
        typer.Option(
            "--db",
            help="Database, or a folder of them; may be repeated (default: in the user's data folder).",
        ),
    ] = None,
) -> None:
    """Write steps, intervals or days for other programs (docs/data.md).

    Steps of unknown time are marked in csv, jsonl and parquet; the other formats leave them out, and say how many.
    """
    from retrostep.export.errors import ExportUnsuitable
    from retrostep.export.formats import Export
    from retrostep.export.selection import Selection, Source

    cut_in = zone_named(zone)
    for name in direction or ():
        if name not in DIRECTIONS:
            raise typer.BadParameter(
                f"{name!r}: expected one of {', '.join(DIRECTIONS)}", param_hint="--direction"
            )

    def selected(in_zone: tzinfo | None) -> Selection:
        return Selection(
            None if begin is None else moment(begin, in_zone, day_ends=False),
            None if end is None else moment(end, in_zone, day_ends=True),
            tuple(direction) if direction else DIRECTIONS,
            wearer,
            device,
        )

    if cohort is not None and out is not None:
        raise ExportUnsuitable("--out and --cohort: expected one of them")
    wanted = Export("parquet" if cohort is not None else file_format, level, selected(cut_in), cut_in)
    if wanted.format == "parquet" and cohort is None and out is None:
        raise ExportUnsuitable("Parquet is no text for a terminal: name a file with --out")
    with Source(databases(db)) as source:
        # From a day on: the wearer's day, as in the report.
        wanted = replace(wanted, selection=selected(cut_in or source.zone_of(wearer or source.only_wearer())))
        with progress("exporting", source.records(), every=256) as source.on_record:
            if cohort is not None:
                files = wanted.write_cohort(source, cohort)
            else:
                with opened(out) as file:
                    wanted.write(source, time.time_ns() // 1_000_000, file)
        told = Console(stderr=True, highlight=False, soft_wrap=True)
        if cohort is not None:
            told.print(f"{files} files below {cohort}", markup=False)
        for reason, steps in source.left_out.items():
            told.print(f"{steps} steps {reason} are left out", style="yellow")


def import_command(
    file: Annotated[
        Path, typer.Argument(help="What `retrostep export -f csv -l steps` wrote.", metavar="FILE")
    ],
    db: Annotated[
        Path | None, typer.Option("--db", help="Database file (default: in the user's data folder).")
    ] = None,
) -> None:
    """Bring an exported CSV of single steps into a database, whole logs at a time."""
    from retrostep.export.csvlog import import_csv

    target = db or default_path()
    with waiting(f"importing {file.name}"):
        done = import_csv(file, target)
    print(f"{done.steps} steps in {done.logs} logs imported into {target}")
