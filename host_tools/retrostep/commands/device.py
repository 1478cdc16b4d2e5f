"""`retrostep ports | status | sync | erase | identify | calibrate`: what talks to a device."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from retrostep import cable, energy
from retrostep.commands.connection import ADDRESS, JSON, PORT, RADIO, over_link, require_one_way
from retrostep.commands.mqtt import publish_all
from retrostep.commands.power import hours_text
from retrostep.commands.reading import DB
from retrostep.link import CalibrationFailed, CalibrationState, Link, Refused, protocol
from retrostep.progress import bar_when_told
from retrostep.radio import SCAN_S
from retrostep.store import Store, default_path
from retrostep.sync import SyncResult, sync

ERASE_TRIES = 3
FOR_EVER_S = 365 * 86_400.0


def sync_with_bar(
    over: Callable[[Callable[[Link], Awaitable[SyncResult]]], SyncResult], store: Store, console: Console
) -> SyncResult:
    """Sync with a progress bar on `console`; over(work) runs `work` on a device's link."""
    columns = (TextColumn("syncing"), BarColumn(), TextColumn("{task.completed}/{task.total} records"))
    with bar_when_told(*columns, TimeElapsedColumn(), console=console, transient=False) as show:
        return over(lambda link: sync(link, store, show))


def status_table(status: dict[str, Any]) -> Table:
    """A device's fields as a table."""
    table = Table(
        title=f"Device {status['device_id']}", title_justify="left", show_header=False, box=box.SIMPLE_HEAD
    )
    for name, value in status.items():
        if name != "device_id":
            table.add_row(name.replace("_", " "), escape(str(value)))
    return table


def tell_sync(result: SyncResult, as_json: bool) -> None:
    """Print what a sync has done."""
    if as_json:
        print(json.dumps(result.__dict__))
        return
    print(
        f"device {result.device_id}: {result.records} new records ({result.payload_bytes} bytes), "
        f"clock set to +-{result.clock_uncertainty_ms} ms"
    )
    if result.missing:
        print(
            f"{result.missing} older records are no longer on the device: another database has them, or "
            "the log tells what was lost"
        )


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""

    @app.command()
    def ports(as_json: bool = JSON) -> None:
        """List the serial ports of this computer."""
        found = cable.ports()
        if as_json:
            print(json.dumps([{"port": port, "description": text} for port, text in found]))
        elif not found:
            print("no serial port found: plug the device in (a charge-only cable shows none)")
        for port, text in found if not as_json else ():
            print(f"{port}  {text}")

    @app.command()
    def status(
        port: str | None = PORT,
        radio: bool = RADIO,
        address: str | None = ADDRESS,
        db: Path | None = DB,
        as_json: bool = JSON,
    ) -> None:
        """What the database holds and, if a way to a device is given, what that says of itself."""
        device = None
        if port or radio or address:
            device = over_link(port, radio, address, lambda link: link.status())
        path = db or default_path()
        known = []
        if path.exists():
            with Store(path) as store:
                known = store.devices()
        if as_json:
            print(json.dumps({"device": device, "database": str(path), "devices": known}))
            return
        console = Console()
        if device:
            console.print(status_table(device))
            spent = energy.residency_of_status(device)
            if spent:
                hours = hours_text(energy.hours_per_charge(spent))
                console.print(f"{energy.CAPACITY_MAH:.0f} mAh last {hours} like that (`retrostep power`)\n")
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in ("device", "board", "firmware", "records"):
            table.add_column(column)
        for row in known:
            table.add_row(*(escape(row[name]) for name in ("id", "board", "firmware")), str(row["records"]))
        if known:
            console.print(f"Database {escape(str(path))}", soft_wrap=True)
            console.print(table)
        else:
            console.print(
                f"{escape(str(path))} holds no device yet: sync one with `retrostep sync --port PORT`",
                soft_wrap=True,
            )

    @app.command("sync")
    def sync_command(
        port: str | None = PORT,
        radio: bool = RADIO,
        address: str | None = ADDRESS,
        wait: bool = typer.Option(False, "--wait", "-w", help="By Bluetooth, at the device's next window."),
        timeout: float = typer.Option(
            FOR_EVER_S,
            "--timeout",
            min=1,
            show_default="none",
            help="With --wait: give up after so many seconds.",
        ),
        db: Path | None = DB,
        to_mqtt: bool = typer.Option(
            False, "--mqtt", help="Publish what is new afterwards, as `retrostep mqtt`."
        ),
        as_json: bool = JSON,
    ) -> None:
        """Pull the device's log into the database, tell it the time, acknowledge what is stored."""
        console = Console(stderr=True)
        wait_s = SCAN_S
        if wait:
            if port is not None:
                raise typer.BadParameter("a cable needs no waiting", param_hint="--wait")
            radio = True
            wait_s = timeout
            limit = "Ctrl-C ends it" if timeout == FOR_EVER_S else f"for {timeout:g} s at most"
            console.print(
                "waiting for the device's next window, "
                f"{limit}: it opens after a walk (setting radio_after_walk_min), every radio_every_min, "
                "or when the button is held for 3 s"
            )
        with Store(db or default_path()) as store:
            over = partial(over_link, port, radio, address, wait_s=wait_s)
            result = sync_with_bar(over, store, console)
            # Told before the broker is asked: it may be away, and the sync is done all the same.
            tell_sync(result, as_json)
            published = publish_all(store) if to_mqtt else []
        for one in published if not as_json else ():
            print(f"device {one.device_id}: {one.messages} messages published")

    @app.command()
    def erase(
        port: str | None = PORT,
        radio: bool = RADIO,
        address: str | None = ADDRESS,
        force: bool = typer.Option(False, "--force", help="Do not sync first: what was not synced is lost."),
        yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
        db: Path | None = DB,
        as_json: bool = JSON,
    ) -> None:
        """Sync the device's log, then let the device begin an empty one (settings and bonds stay)."""
        require_one_way(port, radio, address)
        if not yes:
            if not sys.stdin.isatty():
                raise typer.BadParameter("erasing asks first: on no terminal, give --yes", param_hint="--yes")
            what = "WITHOUT syncing it first" if force else "after a sync"
            typer.confirm(f"erase the device's log, {what}?", abort=True)

        async def sync_and_erase(link: Link, store: Store) -> int:
            for tries_left in reversed(range(ERASE_TRIES)):
                await sync(link, store)
                try:
                    return await link.erase()
                except Refused:
                    # Somebody walks: there is more by now.
                    if not tries_left:
                        raise
            raise AssertionError("not reached")

        if force:
            log_id = over_link(port, radio, address, lambda link: link.erase(force=True))
        else:
            with Store(db or default_path()) as store:
                log_id = over_link(port, radio, address, lambda link: sync_and_erase(link, store))
        print(json.dumps({"log_id": log_id}) if as_json else f"erased; the new log has the id {log_id:08x}")

    @app.command()
    def identify(port: str | None = PORT, radio: bool = RADIO, address: str | None = ADDRESS) -> None:
        """Let the device buzz."""
        over_link(port, radio, address, lambda link: link.identify())

    @app.command()
    def calibrate(port: str | None = PORT, radio: bool = RADIO, address: str | None = ADDRESS) -> None:
        """Teach the device which way is forward: stand still, then walk ten steps straight ahead."""
        console = Console()

        async def follow(link: Link) -> CalibrationState:
            state = await link.calibrate(protocol.CALIBRATE_START)
            with console.status("stand still (3 s)") as shown:
                while state.state in ("standing", "walking"):
                    if state.state == "walking":
                        shown.update(f"walk straight ahead: {state.steps} steps")
                    await asyncio.sleep(0.3)
                    state = await link.calibrate(protocol.CALIBRATE_ASK)
            return state

        done = over_link(port, radio, address, follow)
        if done.state != "done":
            raise CalibrationFailed(f"not calibrated: {done.reason or done.state}")
        console.print(f"calibrated, quality {done.quality} of 100")
