"""Options and steps shared by the commands that read the database."""

from __future__ import annotations

from datetime import date, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from retrostep import derived
from retrostep.store import Store

DB = typer.Option(None, "--db", help="Database file (default: in the user's data folder).")
WEARER = typer.Option(None, "--wearer", help="Whose (default: the only one; `retrostep wearer list`).")
ZONE = typer.Option(None, "--zone", help="The wearer's time zone (default: as stored, else this computer's).")


def zone_named(name: str | None) -> tzinfo | None:
    """The time zone of that name; None, this computer's, without a name. Raises typer.BadParameter."""
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise typer.BadParameter(
            f"time zone {name!r} is not known; expected a name like Europe/Berlin"
        ) from error


def day_named(text: str) -> date:
    """The day of an ISO date. Raises typer.BadParameter."""
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no day; expected one like 2026-05-31") from error
    # Weeks are reckoned from it in both directions, in any time zone.
    if not 1971 <= day.year <= 9000:
        raise typer.BadParameter(f"{text!r} is too far away; expected a day like 2026-05-31")
    return day


def derive_with_bar(store: Store) -> None:
    """Bring the derived tables up to date, with a bar on the terminal if there is more than a moment's work."""
    console = Console(stderr=True)
    if not console.is_terminal:
        derived.derive(store)
        return
    columns = (TextColumn("reading the log"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("derive", total=None, visible=False)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, visible=done < total)

        derived.derive(store, show)
