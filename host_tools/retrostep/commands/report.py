"""`retrostep report`: the table of days."""

from __future__ import annotations

import json
from pathlib import Path

import typer
from rich.console import Console

from retrostep.commands.reading import zone_named
from retrostep.history import read_history
from retrostep.periods import days
from retrostep.report import day_table
from retrostep.store import Store, default_path
from retrostep.stretches import stretches_of


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""

    @app.command()
    def report(
        db: Path | None = typer.Option(
            None, "--db", help="Database file (default: in the user's data folder)."
        ),
        zone: str | None = typer.Option(
            None, "--zone", help="The wearer's time zone (default: this computer's)."
        ),
        as_json: bool = typer.Option(False, "--json", help="Print JSON instead of a table."),
    ) -> None:
        """Steps by day and direction, from what was synced."""
        wearer_zone = zone_named(zone)
        with Store(db or default_path(), create=False) as store:
            history = read_history(store)
        found = days(stretches_of(history.blocks), wearer_zone)
        if as_json:
            print(
                json.dumps(
                    {
                        "days": [day.as_json() for day in found],
                        "problems": [problem.__dict__ for problem in history.problems],
                    }
                )
            )
            return
        console = Console()
        if not found:
            console.print("no steps yet: sync a device with `retrostep sync --port PORT`")
        else:
            console.print(day_table(found))
        for problem in history.problems:
            console.print(f"record {problem.sequence} of {problem.device_id}: {problem.text}", style="yellow")
