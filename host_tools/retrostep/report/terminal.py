"""The report's numbers in a terminal."""

from __future__ import annotations

from datetime import timedelta

from rich import box
from rich.table import Table
from rich.text import Text

from retrostep.periods import Period
from retrostep.report.summary import Summary

DIRECTION_STYLES = {"forward": "green", "backward": "cyan", "sideways": "magenta", "unknown": "dim"}
_BAR_COLUMNS = 16


def day_table(days: list[Period], title: str = "Steps by day") -> Table:
    """Days as rows; steps and minutes by direction as columns."""
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    table.add_column("day", no_wrap=True)
    for direction, style in DIRECTION_STYLES.items():
        table.add_column(direction, justify="right", style=style)
    table.add_column("back min", justify="right", style="cyan")
    table.add_column("walk min", justify="right")
    table.add_column("bouts", justify="right")
    for day in days:
        table.add_row(
            day.day.isoformat() if day.day else "time unknown",
            *(str(day.counts[direction]) for direction in DIRECTION_STYLES),
            f"{day.minutes['backward']:.1f}",
            f"{sum(day.minutes.values()):.1f}",
            str(day.bouts),
        )
    return table


def glance(summary: Summary, period: Period) -> Table:
    """A period's numbers, one a line, in words."""
    table = Table.grid(padding=(0, 2))
    minutes, cadence, stability = period.minutes, period.cadence("backward"), period.stability("backward")
    share = period.unknown_share
    wanted = 0.0
    if summary.plan:
        wanted = sum(
            one.wanted_min
            for one in summary.plan.days
            if period.first and period.last and period.first <= one.day <= period.last
        )
    of_plan = f" of {wanted:.0f}" if wanted else ""
    lines = [
        ("backward", f"{minutes['backward']:.1f}{of_plan} min, {period.counts['backward']:,} steps"),
        ("forward", f"{minutes['forward']:.1f} min, {period.counts['forward']:,} steps"),
    ]
    if period.counts["sideways"]:
        lines.append(("sideways", f"{minutes['sideways']:.1f} min, {period.counts['sideways']:,} steps"))
    lines.append(("longest backward bout", f"{period.longest_back_ms / 60_000:.1f} min"))
    if cadence is not None:
        lines.append(("cadence backward", f"{cadence:.0f} steps a minute"))
    if stability is not None:
        lines.append(("stability backward", f"{stability:.0f} of 100"))
    for kind, number in sorted(period.events.items()):
        lines.append((kind.replace("_", " "), str(number)))
    if share:
        lines.append(("direction not known", f"{100 * share:.1f} % of the steps"))
    if summary.plan:
        current, longest = summary.plan.streaks(summary.today)
        lines.append(("streak", f"{current} days of the plan kept, the longest: {longest}"))
    for name, text in lines:
        table.add_row(Text(name, DIRECTION_STYLES.get(name, "dim")), Text(text))
    return table


def week_table(summary: Summary) -> Table:
    """The last seven days, today included, one a line with a bar of its minutes backward."""
    by_day = {one.first: one for one in summary.days}
    first = summary.until - timedelta(days=6)
    week = [
        by_day.get(day, Period(day, day)) for day in (first + timedelta(days=offset) for offset in range(7))
    ]
    most = max(1.0, *(one.minutes["backward"] for one in week))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("day", no_wrap=True)
    table.add_column("back min", justify="right", style=DIRECTION_STYLES["backward"])
    table.add_column("", style=DIRECTION_STYLES["backward"], min_width=_BAR_COLUMNS, no_wrap=True)
    for name in ("backward", "forward", "walk min"):
        table.add_column(name, justify="right", style=DIRECTION_STYLES.get(name, ""))
    for one in week:
        back = one.minutes["backward"]
        table.add_row(
            f"{one.first:%a} {one.first}",
            f"{back:.1f}",
            "█" * round(_BAR_COLUMNS * back / most),
            f"{one.counts['backward']:,}",
            f"{one.counts['forward']:,}",
            f"{sum(one.minutes.values()):.1f}",
        )
    return table


def freshness(summary: Summary, now_utc_ms: int) -> str:
    """How old the numbers are."""
    if summary.synced_utc_ms is None:
        return "never synced: `retrostep sync --port PORT` (or --radio) brings the steps home"
    minutes = max(now_utc_ms - summary.synced_utc_ms, 0) // 60_000
    age = (
        f"{minutes} min"
        if minutes < 120
        else f"{minutes // 60} h"
        if minutes < 2880
        else f"{minutes // 1440} days"
    )
    return f"as of the last sync, {age} ago"
