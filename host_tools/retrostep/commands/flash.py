"""`retrostep flash | update | crashes`: what a maker needs beside the walking."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timezone
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn

from retrostep import flash
from retrostep import update as over_the_air
from retrostep.commands.connection import ADDRESS, JSON, RADIO, over_link
from retrostep.commands.connection import PORT as CABLE_PORT
from retrostep.crashes import read_crashes
from retrostep.link import Link
from retrostep.progress import bar_when_told
from retrostep.store import Store, default_path

PORT = typer.Option(..., "--port", "-p", help="Serial port of the device (`retrostep ports` lists them).")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    console = Console(highlight=False)

    @app.command("flash")
    def flash_command(
        port: str = PORT,
        sources: bool = typer.Option(False, "--sources", help="Install .py files instead of compiled ones."),
        libraries: bool = typer.Option(
            True, help="Let mip fetch aioble and umqtt where they are missing (needs the internet)."
        ),
        mip_index: str = typer.Option(None, metavar="URL", help="Fetch them from this mip index."),
        as_json: bool = JSON,
    ) -> None:
        """Install the firmware: what changed, verified, on trial, with the old one kept to go back to."""
        with Console(stderr=True).status("flashing") as progress:
            done = flash.flash(
                port, sources=sources, libraries=libraries, mip_index=mip_index, say=progress.update
            )
        if as_json:
            print(json.dumps(dataclasses.asdict(done)))
            return
        for warning in done.warnings:
            console.print(f"[yellow]{escape(warning)}")
        what = f"{len(done.sent)} files sent, in use: slot {done.slot}" if done.slot else "nothing to do"
        console.print(
            f"{what}; {done.bytes / 1000:.0f} kB of application for {done.processor}, "
            f"MicroPython {done.micropython}. The device measures."
        )
        if done.slot:
            console.print("On trial: it is kept once it has measured for 5 minutes.")

    @app.command()
    def update(
        port: str | None = CABLE_PORT,
        by_radio: bool = RADIO,
        address: str | None = ADDRESS,
        as_json: bool = JSON,
    ) -> None:
        """Update a device over Bluetooth (or the cable), signed; an update that broke off goes on."""
        columns = (TextColumn("updating"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
        with bar_when_told(*columns, console=Console(stderr=True)) as show:

            async def work(link: Link) -> int:
                return await over_the_air.update(link, await link.status(), progress=show)

            sent = over_link(port, by_radio, address, work)
        if as_json:
            print(json.dumps({"sent_bytes": sent}))
            return
        console.print(
            f"{sent / 1000:.0f} kB sent; the device restarts with the new application. It is on trial until it has "
            "measured for 5 minutes."
        )

    @app.command()
    def crashes(
        db: Path = typer.Option(None, "--db", help="Database file (default: in the user's data folder)."),
        as_json: bool = JSON,
    ) -> None:
        """Show the crashes that synced devices have logged, with their tracebacks."""
        with Store(db or default_path(), create=False) as store:
            found = list(read_crashes(store))
        if as_json:
            print(json.dumps([dataclasses.asdict(crash) for crash in found]))
            return
        if not found:
            console.print("no crash is logged")
        for crash in found:
            when = (
                "at an unknown time"
                if crash.utc_ms is None
                else "before "
                + datetime.fromtimestamp(crash.utc_ms / 1000, timezone.utc).isoformat(" ", "seconds")
            )
            console.print(f"device {crash.device_id}, {when}, firmware {crash.firmware}, time {crash.count}:")
            console.print(escape(crash.traceback) + "\n")
