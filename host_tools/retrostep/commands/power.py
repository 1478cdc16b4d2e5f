"""`retrostep power`: how long a charge lasts, by the published currents and by what a device says it did."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from retrostep import energy
from retrostep.commands.connection import ADDRESS, JSON, PORT, RADIO, over_link
from retrostep.commands.reading import DB
from retrostep.energy import Range, Residency
from retrostep.store import Store, default_path

CAPACITY = typer.Option(
    energy.CAPACITY_MAH, "--battery-mah", min=10.0, max=20_000.0, help="The battery's capacity in mAh."
)
_TITLE = "A day on the XIAO build: worn 14 h, of which 2 h walking, 3 syncs"
_STATES = ("awake", "light sleep", "deep sleep", "radio")


def hours_text(hours: Range) -> str:
    """A range of hours in words."""
    return f"{hours.low:.0f} to {hours.high:.0f} h ({hours.low / 24:.1f} to {hours.high / 24:.1f} days)"


def _profile_table(parts: list[energy.DayPart]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("state")
    for column in ("hours", "mAh, least", "mAh, most"):
        table.add_column(column, justify="right")
    for part in parts:
        table.add_row(part.name, f"{part.hours:.2f}", f"{part.mah.low:.1f}", f"{part.mah.high:.1f}")
    return table


def _spent_line(name: str, spent: Residency, capacity_mah: float) -> str:
    seconds = (spent.awake_s, spent.light_sleep_s, spent.deep_sleep_s, spent.radio_s)
    shares = ", ".join(
        f"{state} {100 * part / spent.total_s:.1f} %" for state, part in zip(_STATES, seconds, strict=True)
    )
    hours = hours_text(energy.hours_per_charge(spent, capacity_mah))
    return f"{name}: {spent.total_s / 3600:.1f} h ({shares}): {capacity_mah:.0f} mAh last {hours}"


def _spent_json(spent: Residency, capacity_mah: float) -> dict[str, Any]:
    return {**asdict(spent), "hours_per_charge": asdict(energy.hours_per_charge(spent, capacity_mah))}


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""

    @app.command("power")
    def power(
        battery_mah: float = CAPACITY,
        port: str | None = PORT,
        radio: bool = RADIO,
        address: str | None = ADDRESS,
        db: Path | None = DB,
        as_json: bool = JSON,
    ) -> None:
        """Estimate how long a charge lasts: for a typical day, and for what your devices did."""
        parts = energy.profile_day()
        measured: dict[str, Residency] = {}
        if port or radio or address:
            status = over_link(port, radio, address, lambda link: link.status())
            since_start = energy.residency_of_status(status)
            if since_start:
                measured[f"device {status['device_id']}, since its start"] = since_start
        path = db or default_path()
        if path.exists():
            with Store(path, create=False) as store:
                for row in store.devices():
                    logged = energy.residency_of_log(store, row["id"])
                    if logged:
                        measured[f"device {row['id']}, by its log"] = logged
        life = energy.days_of_life(parts, battery_mah)
        if as_json:
            profile = [asdict(part) for part in parts]
            found = {name: _spent_json(spent, battery_mah) for name, spent in measured.items()}
            print(
                json.dumps({"battery_mah": battery_mah, "day": profile, "days": asdict(life), "spent": found})
            )
            return
        console = Console()
        console.print(_TITLE)
        console.print(_profile_table(parts))
        console.print(
            f"{battery_mah:.0f} mAh last {life.low:.1f} to {life.high:.1f} such days (estimate, not measured)"
        )
        for name, spent in measured.items():
            console.print(escape(_spent_line(name, spent, battery_mah)))
        if not measured:
            console.print("No device has told what it did yet: sync one, or name it by --port.")
