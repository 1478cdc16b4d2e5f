"""`retrostep plan make | show | send`: the wearer's training plan, and its way to the device."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from retrostep.commands.connection import ADDRESS, JSON, PORT, RADIO, over_link
from retrostep.commands.reading import DB, WEARER, day_named, zone_named
from retrostep.store import Store, default_path
from retrostep.training_plan import ADVICE, WEEKDAYS, NoPlan, TrainingPlan, keep, plans, weekdays_of
from retrostep.wearers import find_wearer

FIRST_MINUTES = 5


def _today(zone: str | None) -> datetime:
    """Now on the wearer's clock."""
    return datetime.now().astimezone(zone_named(zone))


def _current(db: Path | None, wearer: str | None) -> tuple[TrainingPlan, datetime, date | None]:
    """The plan that holds today, or comes next, now on the wearer's clock, and until when it tells the same.

    Raises NoPlan.
    """
    with Store(db or default_path(), create=False) as store:
        whose = find_wearer(store, wearer)
        now = _today(whose.zone if whose else None)
        kept = plans(store, whose)
    plan = kept.on(now.date())
    if plan is None:
        raise NoPlan("no plan yet: make one with `retrostep plan make`")
    return plan, now, kept.hold_until(now.date())


def _print(plan: TrainingPlan, today: date, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"plan": plan.as_json(), "today_minutes": plan.wants(today)}))
        return
    console = Console()
    days = ", ".join(name for bit, name in enumerate(WEEKDAYS) if plan.weekdays >> bit & 1)
    console.print(f"Plan from {plan.first_day}: minutes backward a day, {days}", highlight=False)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("week", justify="right")
    table.add_column("minutes", justify="right")
    for week in range(1, plan.weeks + 1):
        mark = " (now)" if today >= plan.first_day and week == min(plan.week(today), plan.weeks) else ""
        table.add_row(f"{week}{mark}", str(plan.minutes_of_week(week)))
    console.print(table)
    more = [f"{plan.warm_up_min} min of walking forward to warm up"] if plan.warm_up_min else []
    more += ["walking forward to cool down"] if plan.cool_down else []
    more += [f"{plan.steps} steps backward"] if plan.steps else []
    more += [f"about {plan.cadence_per_min} steps a minute"] if plan.cadence_per_min else []
    if more:
        console.print("Each day with " + ", ".join(more) + ".")
    wanted = plan.wants(today)
    console.print(f"Today: {wanted} minutes." if wanted else "Today: nothing.")
    console.print(ADVICE, style="dim")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    plan_app = typer.Typer(help="The training plan: make it, look at it, send it to the device.")
    app.add_typer(plan_app, name="plan", no_args_is_help=True)

    @plan_app.command()
    def make(
        first_minutes: int | None = typer.Option(
            None,
            "--from-minutes",
            help=f"Minutes backward a day in the first week (default: {FIRST_MINUTES}, or --minutes if fewer).",
        ),
        minutes: int = typer.Option(15, "--minutes", help="Minutes backward a day at the end."),
        weeks: int = typer.Option(6, "--weeks", help="Weeks from the first to the last number."),
        days: str = typer.Option(
            "5", "--days", help="Days a week (1 to 7), or which: mon,wed,fri.", metavar="DAYS"
        ),
        start: str | None = typer.Option(
            None, "--start", help="First day, like 2026-05-01 (default: today)."
        ),
        cadence: int = typer.Option(
            0,
            "--cadence",
            help="Target, steps a minute; above it by 15 % the device buzzes `slow_down`. 0: none.",
        ),
        steps: int = typer.Option(0, "--steps", help="Steps backward a day, besides the minutes. 0: none."),
        warm_up: int = typer.Option(5, "--warm-up", help="Minutes of walking before walking backward."),
        cool_down: bool = typer.Option(True, help="Ask for a cool-down when the goal is reached."),
        db: Path | None = DB,
        wearer: str | None = WEARER,
        as_json: bool = JSON,
    ) -> None:
        """Make a plan that grows from a few minutes; it replaces the one there is from its first day on."""
        with Store(db or default_path()) as store:
            whose = find_wearer(store, wearer)
            today = _today(whose.zone if whose else None).date()
            first_day = day_named(start) if start else today
            plan = TrainingPlan(
                first_day,
                min(FIRST_MINUTES, minutes) if first_minutes is None else first_minutes,
                minutes,
                weeks,
                steps,
                weekdays_of(days),
                cadence,
                warm_up,
                cool_down,
            )
            keep(store, whose, plan)
        _print(plan, today, as_json)
        if not as_json:
            Console().print("Send it to the device with `retrostep plan send --port PORT` (or --radio).")

    @plan_app.command()
    def show(db: Path | None = DB, wearer: str | None = WEARER, as_json: bool = JSON) -> None:
        """Print the plan."""
        plan, now, _ = _current(db, wearer)
        _print(plan, now.date(), as_json)

    @plan_app.command()
    def send(
        port: str | None = PORT,
        radio: bool = RADIO,
        address: str | None = ADDRESS,
        metronome: bool = typer.Option(False, help="Beat the plan's cadence while walking backward."),
        db: Path | None = DB,
        wearer: str | None = WEARER,
        as_json: bool = JSON,
    ) -> None:
        """Tell the device this week's numbers, and the wearer's time zone, which says when a day ends."""
        plan, now, until = _current(db, wearer)
        offset = now.utcoffset()
        assert offset is not None
        changes = {
            "plan": plan.device_values(now.date()),
            "utc_offset_min": round(offset.total_seconds() / 60),
        }
        if metronome:
            if not plan.cadence_per_min:
                raise typer.BadParameter("the plan has no cadence: make it with --cadence")
            changes["pace_per_min"] = plan.cadence_per_min
        over_link(port, radio, address, lambda link: link.settings(changes))
        if as_json:
            print(json.dumps({"sent": changes, "holds_until": until.isoformat() if until else None}))
            return
        console = Console()
        console.print(f"sent: {changes['plan'][0]} minutes backward a day")
        if plan.first_day > now.date():
            console.print(
                f"The plan begins on {plan.first_day}, but the device goes by it from now on: send it then, or it "
                "asks for its minutes before."
            )
        if until:
            console.print(f"This holds until {until}; then send it again: the plan goes on differently.")
