"""`retrostep board-check`: whether every part of a connected device works."""

from __future__ import annotations

import json

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from retrostep.board_check import Check, check_board
from retrostep.commands.connection import JSON
from retrostep.commands.flash import PORT
from retrostep.flash import mpremote

_STYLES = {"ok": "green", "failed": "bold red", "absent": "dim", "look": "yellow"}
_PRESS_S = 10


def checks_table(port: str, checks: list[Check]) -> Table:
    """The outcomes as a table."""
    table = Table(title=f"Device at {port}", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("part", "outcome", "seen"):
        table.add_column(column)
    for check in checks:
        table.add_row(check.name, f"[{_STYLES[check.outcome]}]{check.outcome}[/]", check.seen)
    return table


def register(app: typer.Typer) -> None:
    """Add the command to the app."""

    @app.command("board-check")
    def board_check(
        port: str = PORT,
        press: bool = typer.Option(False, "--press", help=f"Wait {_PRESS_S} s for a press of the button."),
        as_json: bool = JSON,
    ) -> None:
        """Look the device over: bus, sensor, motor, light, button, battery, flash, radio. It restarts."""
        checks = check_board(port, _PRESS_S if press else 0)
        mpremote(port, "resume", "reset")
        failed = not checks or any(check.outcome == "failed" for check in checks)
        if as_json:
            print(json.dumps([check.__dict__ for check in checks]))
        else:
            Console().print(checks_table(port, checks))
        if failed:
            raise typer.Exit(1)
