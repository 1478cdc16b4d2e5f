"""`retrostep doctor`: looks at everything between a walk and its report, and says what to do."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape

from retrostep.commands import radio
from retrostep.commands.connection import ADDRESS, JSON, PORT, RADIO, over_link
from retrostep.commands.reading import DB
from retrostep.progress import waiting
from retrostep.store import default_path

_STYLES = {"OK": "green", "note": "yellow", "WRONG": "bold red"}


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""

    @app.command("doctor")
    def doctor_command(
        port: str | None = PORT,
        by_radio: bool = RADIO,
        address: str | None = ADDRESS,
        db: Path | None = DB,
        as_json: bool = JSON,
    ) -> None:
        """Check this computer, the database and, if a way to one is given, a device.

        Each line is OK, a note, or WRONG with what to do. Exit code 1 if anything is wrong.
        """
        from retrostep import doctor

        now_ms = time.time_ns() // 1_000_000
        asks_device = bool(port or by_radio or address)
        with waiting("looking around"):
            findings = doctor.computer(now_ms, radio.BACKEND, by_radio or address is not None)
            findings += doctor.database(db or default_path(), now_ms)
            if asks_device:
                findings += doctor.ask_device(partial(over_link, port, by_radio, address))
        wrong = any(finding.verdict == doctor.WRONG for finding in findings)
        if as_json:
            print(json.dumps({"sound": not wrong, "findings": [finding.as_json() for finding in findings]}))
        else:
            console = Console(highlight=False, soft_wrap=True)
            for one in findings:
                console.print(
                    f"[{_STYLES[one.verdict]}]{one.verdict:5}[/]  {one.topic:13}  {escape(one.seen)}"
                    + (f"\n       {'':13}  -> {escape(one.advice)}" if one.advice else "")
                )
            if not asks_device:
                console.print("a device was not asked: give --port PORT, or --radio")
        raise typer.Exit(1 if wrong else 0)
