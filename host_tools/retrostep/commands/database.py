"""`retrostep db ...` and `retrostep wearer ...`: look after the database, and say who wore what."""

from __future__ import annotations

import json
import time
from datetime import date, datetime
from pathlib import Path
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from retrostep import derived
from retrostep.commands.connection import JSON
from retrostep.commands.reading import DB, day_named, derive_with_bar, zone_named
from retrostep.exchange import export_lines, import_file
from retrostep.outfile import check_target, opened
from retrostep.periods import Calendar
from retrostep.progress import waiting
from retrostep.store import Store, StoreError, default_path
from retrostep.wearers import (
    EVER_UTC_MS,
    NEVER_UTC_MS,
    Wearer,
    add_wearer,
    assign,
    find_wearer,
    steps_of_nobody,
    wearers,
    worn_by_nobody,
)
from retrostep.wording import counted


def _day(text: str | None, zone: str | None, otherwise: int) -> int:
    """Midnight at the beginning of an ISO day, in UTC ms."""
    if text is None:
        return otherwise
    return Calendar(zone_named(zone)).midnight_utc_ms(day_named(text))


def _shown(utc_ms: int, zone: str | None) -> str:
    if utc_ms in (EVER_UTC_MS, NEVER_UTC_MS):
        return "..."
    return datetime.fromtimestamp(utc_ms / 1000).astimezone(zone_named(zone)).strftime("%Y-%m-%d %H:%M")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    db_app = typer.Typer(help="Look after the database: check, back up, merge, make derived tables anew.")
    app.add_typer(db_app, name="db", no_args_is_help=True)
    _register_db(db_app)
    wearer_app = typer.Typer(help="Several people in one database: who wore which device when.")
    app.add_typer(wearer_app, name="wearer", no_args_is_help=True)
    _register_wearer(wearer_app)


def _register_db(app: typer.Typer) -> None:
    @app.command()
    def check(db: Path | None = DB, as_json: bool = JSON) -> None:
        """Check the file and every record in it; exit code 1 if anything is damaged."""
        with Store(db or default_path(), create=False) as store:
            with waiting("checking"):
                damage = store.check()
            if not damage:
                derive_with_bar(store)
            problems = [] if damage else derived.load_problems(store)
            devices, path = store.devices(), store.path
        damage += [
            f"record {one.sequence} of {one.device_id}: {one.text}"
            for one in problems
            if one.kind == "unreadable"
        ]
        told = [one for one in problems if one.kind != "unreadable"]
        records = sum(device["records"] for device in devices)
        if as_json:
            print(
                json.dumps(
                    {
                        "database": str(path),
                        "sound": not damage,
                        "damage": damage,
                        "devices": len(devices),
                        "records": records,
                        "problems": [one.__dict__ for one in told],
                    }
                )
            )
        else:
            print(f"{path}: {counted(len(devices), 'device')}, {counted(records, 'record')}")
            for line in damage:
                print(line)
            for one in told:
                print(f"{one.device_id}, record {one.sequence}: {one.text}")
            print("sound" if not damage else "damaged: restore a backup, or import it into a new database")
        raise typer.Exit(1 if damage else 0)

    @app.command()
    def backup(to: Path = typer.Argument(..., help="New file."), db: Path | None = DB) -> None:
        """Copy the whole database, also while it is in use."""
        with Store(db or default_path(), create=False) as store, waiting("copying"):
            store.backup(to)
        print(f"{store.path} copied to {to}")

    @app.command("export")
    def export_command(
        to: Path = typer.Argument(..., help="New file: JSON Lines, one row each."), db: Path | None = DB
    ) -> None:
        """Write all that is kept for good as text (`retrostep export` is for steps and days)."""
        check_target(to, new=True)
        with Store(db or default_path(), create=False) as store, opened(to) as file, waiting("writing"):
            for line in export_lines(store):
                file.write(f"{line}\n".encode())
        print(f"{store.path} written to {to}")

    @app.command("import")
    def import_command(
        source: Path = typer.Argument(..., help="Another database, or what `db export` wrote."),
        db: Path | None = DB,
    ) -> None:
        """Add what another database has and this one has not."""
        with Store(db or default_path()) as store, waiting("importing"):
            added = import_file(store, source)
        print(
            f"{added.records} records, {added.logs} logs, {added.devices} devices and {added.wearers} wearers added "
            f"to {store.path}"
        )

    @app.command()
    def rebuild(db: Path | None = DB) -> None:
        """Make the derived tables anew from the records."""
        with Store(db or default_path(), create=False) as store:
            derived.forget(store)
            derive_with_bar(store)
            print(f"{len(derived.load_stretches(store))} stretches derived in {store.path}")

    @app.command()
    def demo(
        to: Path = typer.Argument(..., help="New database."),
        years: int = typer.Option(1, "--years", min=1, max=20, help="So many years up to today."),
        seed: int = typer.Option(7, "--seed", help="Another made-up wearer."),
    ) -> None:
        """Make a database of a made-up wearer, to try the tool with."""
        from retrostep.diary import fill

        if to.exists():
            raise StoreError(f"{to} exists already: name a file that does not")
        with Store(to) as store, waiting("walking"):
            records = fill(store, years, seed, date.today(), time.time_ns() // 1_000_000)
        print(f"{records} records of a made-up wearer in {to}; now try `retrostep report --db {to}`")


def _tell_nobodys(store: Store) -> None:
    devices = worn_by_nobody(store)
    if devices:
        print(f"assigned to nobody, so in nobody's report: {', '.join(devices)}")
    derive_with_bar(store)
    for device, steps in steps_of_nobody(store).items():
        print(
            f"{counted(steps, 'step')} of {device} when nobody wore it, so in nobody's report; `retrostep wearer "
            f"assign NAME {device} --since DAY --until DAY` says whose they are"
        )


def _as_json(wearer: Wearer) -> dict[str, Any]:
    return {
        "name": wearer.name,
        "zone": wearer.zone,
        "wearings": [
            {
                "device": worn.device_id,
                "since_utc_ms": None if worn.since_utc_ms == EVER_UTC_MS else worn.since_utc_ms,
                "until_utc_ms": None if worn.until_utc_ms == NEVER_UTC_MS else worn.until_utc_ms,
            }
            for worn in wearer.wearings
        ],
    }


def _table(people: list[Wearer]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("wearer", "time zone", "device", "from", "until"):
        table.add_column(column)
    for one in people:
        zone = one.zone or "this computer's"
        if not one.wearings:
            table.add_row(escape(one.name), zone, "-", "", "")
        for worn in one.wearings:
            since, until = (_shown(at, one.zone) for at in (worn.since_utc_ms, worn.until_utc_ms))
            table.add_row(escape(one.name), zone, escape(worn.device_id), since, until)
    return table


def _register_wearer(app: typer.Typer) -> None:
    @app.command("list")
    def list_command(db: Path | None = DB, as_json: bool = JSON) -> None:
        """Who is in the database, and what they wore when."""
        with Store(db or default_path(), create=False) as store:
            found = wearers(store)
            if as_json:
                derive_with_bar(store)
                people = [_as_json(one) for one in found]
                nobodys = {
                    "worn_by_nobody": worn_by_nobody(store),
                    "steps_of_nobody": steps_of_nobody(store),
                }
                print(json.dumps({"wearers": people, **nobodys}))
                return
            if not found:
                print(
                    "no wearer: everything here is taken to be one person's; `retrostep wearer add NAME` adds "
                    "one"
                )
                return
            Console().print(_table(found))
            _tell_nobodys(store)

    @app.command()
    def add(
        name: str = typer.Argument(..., help="As it shall stand in reports."),
        zone: str | None = typer.Option(
            None, "--zone", help="Their time zone, like Europe/Berlin (default: this computer's)."
        ),
        db: Path | None = DB,
    ) -> None:
        """Add a person."""
        with Store(db or default_path()) as store:
            add_wearer(store, name, zone)
            print(f"{name} added; `retrostep wearer assign {name!r} DEVICE` says what they wore")
            _tell_nobodys(store)

    @app.command("assign")
    def assign_command(
        name: str = typer.Argument(..., help="Who."),
        device: str = typer.Argument(..., help="Device, as `retrostep status` names it."),
        since: str | None = typer.Option(
            None, "--since", help="First day, like 2026-05-31 (default: from ever)."
        ),
        until: str | None = typer.Option(
            None, "--until", help="First day on which it is theirs no more (default: for good)."
        ),
        db: Path | None = DB,
    ) -> None:
        """Say that a device is worn by a person, from a day on or up to one; the last word counts."""
        with Store(db or default_path(), create=False) as store:
            wearer = find_wearer(store, name)
            zone = wearer.zone if wearer else None
            assign(store, name, device, _day(since, zone, EVER_UTC_MS), _day(until, zone, NEVER_UTC_MS))
            print(f"{device} is worn by {name}")
            _tell_nobodys(store)
