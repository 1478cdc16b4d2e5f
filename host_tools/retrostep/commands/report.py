"""`retrostep report | today | week`: what was walked, from what was synced."""

from __future__ import annotations

import json
import time
from datetime import date
from pathlib import Path

import typer
from rich.console import Console

from retrostep.commands.connection import JSON
from retrostep.commands.reading import DB, WEARER, ZONE, day_named, derive_with_bar, zone_named
from retrostep.outfile import check_target, write_file
from retrostep.report.summary import Summary, summarize
from retrostep.store import Store, default_path
from retrostep.training_plan import plans
from retrostep.wearers import find_wearer

DEFAULT_PAGE = Path("retrostep-report.html")
NOTHING = "no steps yet: sync a device with `retrostep sync --port PORT`"
# Days that the terminal shows beside the page.
_DAYS_SHOWN = 7


def read_summary(
    db: Path | None,
    wearer: str | None,
    zone: str | None,
    now_utc_ms: int,
    since: date | None = None,
    until: date | None = None,
) -> Summary:
    """The summary of what a database holds of a wearer. Raises StoreError."""
    with Store(db or default_path(), create=False) as store:
        whose = find_wearer(store, wearer)
        derive_with_bar(store)
        in_zone = zone_named(zone or (whose.zone if whose else None))
        return summarize(store, whose, in_zone, now_utc_ms, plans(store, whose) or None, since, until)


def _now_utc_ms() -> int:
    return time.time_ns() // 1_000_000


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""

    @app.command()
    def report(
        out: Path | None = typer.Argument(None, help=f"HTML file to write (default: {DEFAULT_PAGE})."),
        db: Path | None = DB,
        wearer: str | None = WEARER,
        zone: str | None = ZONE,
        since: str | None = typer.Option(
            None, "--since", help="First day, like 2026-05-01 (default: the first with steps)."
        ),
        until: str | None = typer.Option(None, "--until", help="Last day, like 2026-05-31 (default: today)."),
        png: Path | None = typer.Option(None, "--png", help="Write a picture, too."),
        pdf: Path | None = typer.Option(None, "--pdf", help="Write a PDF, too."),
        as_json: bool = JSON,
    ) -> None:
        """A page about what was walked: by day, week and month, with plots; any browser shows it, offline."""
        first = day_named(since) if since else None
        last = day_named(until) if until else None
        if first and last and first > last:
            raise typer.BadParameter(
                f"--since {since} comes after --until {until}: expected the other way round"
            )
        if out is None and not (as_json or png or pdf):
            out = DEFAULT_PAGE
        check_target(out, png, pdf)
        summary = read_summary(db, wearer, zone, _now_utc_ms(), first, last)
        written = []
        if out is not None:
            from retrostep.report.page import as_page

            write_file(out, as_page(summary))
            written.append(out)
        if png or pdf:
            from retrostep.report.pictures import as_pdf, as_png

            for path, made_of in ((png, as_png), (pdf, as_pdf)):
                if path is not None:
                    write_file(path, made_of(summary))
                    written.append(path)
        if as_json:
            print(json.dumps(summary.as_json()))
            return
        from retrostep.report.terminal import day_table

        console = Console()
        shown = summary.days[-_DAYS_SHOWN:] + ([summary.undated] if summary.undated else [])
        console.print(day_table(shown, "The last days with steps") if shown else NOTHING)
        for path in written:
            console.print(f"written: {path}", markup=False, highlight=False, soft_wrap=True)

    @app.command()
    def today(
        db: Path | None = DB, wearer: str | None = WEARER, zone: str | None = ZONE, as_json: bool = JSON
    ) -> None:
        """Today at a glance."""
        from retrostep.report.terminal import freshness, glance

        now_utc_ms = _now_utc_ms()
        summary = read_summary(db, wearer, zone, now_utc_ms)
        day = summary.span(summary.today, summary.today)
        if as_json:
            print(json.dumps({**day.as_json(), "synced_utc_ms": summary.synced_utc_ms}))
            return
        console = Console()
        console.print(f"{summary.today:%A} {summary.today}", style="bold", highlight=False)
        console.print(glance(summary, day) if day.steps else "no steps today")
        console.print(freshness(summary, now_utc_ms), style="dim", highlight=False)

    @app.command()
    def week(
        db: Path | None = DB, wearer: str | None = WEARER, zone: str | None = ZONE, as_json: bool = JSON
    ) -> None:
        """The last seven days at a glance."""
        from retrostep.report.terminal import freshness, glance, week_table

        now_utc_ms = _now_utc_ms()
        summary = read_summary(db, wearer, zone, now_utc_ms)
        total = summary.week
        if as_json:
            walked = [
                one.as_json()
                for one in summary.days
                if one.first and total.first and one.first >= total.first
            ]
            print(
                json.dumps({"days": walked, "total": total.as_json(), "synced_utc_ms": summary.synced_utc_ms})
            )
            return
        console = Console()
        console.print(week_table(summary))
        console.print(glance(summary, total))
        console.print(freshness(summary, now_utc_ms), style="dim", highlight=False)
