"""`retrostep log dump | check | repair`: the step log in a flash image or a folder."""

from __future__ import annotations

import json
from pathlib import Path

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from retrostep.logfiles import LogFiles, describe, log_folder, read_log_files, repair

SOURCE = typer.Argument(..., metavar="IMAGE_OR_FOLDER", help="A flash image, or a folder with .seg files.")


def segment_table(log: LogFiles) -> Table:
    """One row a segment."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("segment", "bytes", "format", "records", "numbers", "damaged bytes"):
        table.add_column(column, justify="left" if column == "segment" else "right", no_wrap=True)
    for segment in log.segments:
        numbers = f"{segment.records[0][0]}-{segment.records[-1][0]}" if segment.records else "-"
        damaged = sum(end - start for start, end in segment.damaged)
        header = "damaged" if segment.version is None else str(segment.version)
        table.add_row(
            segment.path.name, str(segment.size), header, str(len(segment.records)), numbers, str(damaged)
        )
    return table


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    log_app = typer.Typer(help="Look into a device's step log: a flash image, or a folder with .seg files.")
    app.add_typer(log_app, name="log", no_args_is_help=True)

    @log_app.command()
    def dump(
        source: Path = SOURCE, as_json: bool = typer.Option(False, "--json", help="One JSON object a line.")
    ) -> None:
        """Print every record, oldest first."""
        from firmware import steplog_decoder

        with log_folder(source) as folder:
            log = read_log_files(folder)
        for sequence, kind, payload in log.records():
            try:
                record = steplog_decoder.decode(kind, payload)
                text = describe(record)
            except steplog_decoder.RecordUnreadable as reason:
                record, text = {"kind": "unreadable", "reason": str(reason)}, f"unreadable: {reason}"
            print(json.dumps({"sequence": sequence, **record}) if as_json else f"{sequence:10d}  {text}")

    @log_app.command()
    def check(
        source: Path = SOURCE, as_json: bool = typer.Option(False, "--json", help="Print JSON.")
    ) -> None:
        """Check every byte; exit code 1 if anything is damaged."""
        with log_folder(source) as folder:
            log = read_log_files(folder)
        missing, unreadable = log.missing(), log.unreadable()
        if as_json:
            segments = [
                {
                    "file": segment.path.name,
                    "bytes": segment.size,
                    "format": segment.version,
                    "records": len(segment.records),
                    "damaged": segment.damaged,
                }
                for segment in log.segments
            ]
            print(
                json.dumps(
                    {
                        "sound": log.sound,
                        "acknowledged": log.acknowledged,
                        "segments": segments,
                        "missing": missing,
                        "unreadable": unreadable,
                    }
                )
            )
        else:
            console = Console()
            console.print(segment_table(log))
            for first, last in missing:
                console.print(f"records {first} to {last} are missing (damaged, or dropped for want of room)")
            for sequence, reason in unreadable:
                console.print(f"record {sequence}: {reason}")
            told = "none" if log.acknowledged is None else f"all before {log.acknowledged}"
            console.print(f"acknowledged: {told}")
            console.print("sound" if log.sound else "damaged: `retrostep log repair` saves what can be read")
        raise typer.Exit(0 if log.sound else 1)

    @log_app.command("repair")
    def repair_command(
        source: Path = SOURCE,
        to: Path = typer.Option(
            ..., "--to", help="New folder for the repaired log; the source is not changed."
        ),
    ) -> None:
        """Write every record that can be read as a sound log into a new folder."""
        with log_folder(source) as folder:
            log = read_log_files(folder)
            written = repair(log, to)
        print(f"{written} records written to {to}")
        for first, last in log.missing():
            print(f"records {first} to {last} are missing")
