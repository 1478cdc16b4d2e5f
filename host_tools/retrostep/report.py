"""The day's table in the terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table

from retrostep.periods import Period

DIRECTION_STYLES = {"forward": "green", "backward": "cyan", "sideways": "magenta", "unknown": "dim"}


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
