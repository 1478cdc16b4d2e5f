"""The report as one HTML page that needs nothing but itself: styles, plots (SVG) and tables are all inside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from retrostep import __version__
from retrostep.drawing import figure, svg
from retrostep.periods import Period
from retrostep.report import reference
from retrostep.report.plots import COLOURS, HEIGHT_IN, WIDTH_IN, Plot, plots
from retrostep.report.summary import RECENT_DAYS, Summary, moment

TEMPLATE = "page.html.jinja"
# Days in the table of days; weeks and months reach further back.
TABLE_DAYS = 92
TABLE_WEEKS = 106
MARGINS = {"left": 0.14, "right": 0.98, "top": 0.9, "bottom": 0.12}


@dataclass(frozen=True)
class Tile:
    """One number that stands out."""

    label: str
    value: str
    note: str


@dataclass(frozen=True)
class Row:
    """A row of a table: its heading and its cells."""

    heading: str
    cells: tuple[str, ...]


COLUMNS = (
    "backward steps",
    "backward min",
    "forward steps",
    "forward min",
    "sideways steps",
    "sideways min",
    "unknown",
    "bouts",
    "longest backward min",
    "cadence backward",
    "cadence forward",
    "stability backward",
    "events",
)


def _number(value: float | None, digits: int = 0, unit: str = "") -> str:
    return "–" if value is None else f"{value:,.{digits}f}{unit}"


def _cells(one: Period) -> tuple[str, ...]:
    minutes = one.minutes
    share = one.unknown_share
    return (
        _number(one.counts["backward"]),
        _number(minutes["backward"], 1),
        _number(one.counts["forward"]),
        _number(minutes["forward"], 1),
        _number(one.counts["sideways"]),
        _number(minutes["sideways"], 1),
        _number(None if share is None else 100 * share, 1, " %"),
        _number(one.bouts),
        _number(one.longest_back_ms / 60_000, 1),
        _number(one.cadence("backward")),
        _number(one.cadence("forward")),
        _number(one.stability("backward")),
        _number(sum(one.events.values())),
    )


def _label(one: Period) -> str:
    if one.first is None or one.last is None:
        return "day not known"
    if one.first == one.last:
        return f"{one.first:%a} {one.first}"
    if one.first.day == 1:
        return f"{one.first:%B %Y}"
    return f"{one.first} to {one.last:%m-%d}"


def _rows(periods: list[Period]) -> list[Row]:
    return [Row(_label(one), _cells(one)) for one in reversed(periods)]


def tiles(summary: Summary) -> list[Tile]:
    """The numbers at a glance."""
    week, recent, whole = summary.week, summary.recent, summary.whole
    before = summary.span(summary.until - timedelta(days=13), summary.until - timedelta(days=7))
    seven, four_weeks = (
        f"last {days} days" if summary.until == summary.today else f"{days} days to {summary.until}"
        for days in (7, RECENT_DAYS)
    )
    made = [
        Tile(
            f"Backward, {seven}",
            f"{week.minutes['backward']:.0f} min",
            f"{week.counts['backward']:,} steps on {week.days_walked} days; "
            f"the 7 days before: {before.minutes['backward']:.0f} min",
        ),
    ]
    if summary.plan:
        kept, asked = summary.plan.between(recent.first or summary.until, summary.until)
        current, longest = summary.plan.streaks(summary.today)
        made += [
            Tile(f"Plan, {four_weeks}", f"{kept} of {asked}", "days kept, of those that the plan asked for"),
            Tile("Streak", f"{current} days", f"kept without missing one; the longest: {longest}"),
        ]
    made += [
        Tile(
            "Longest backward bout",
            f"{recent.longest_back_ms / 60_000:.1f} min",
            f"{four_weeks}; in all: {whole.longest_back_ms / 60_000:.1f} min",
        ),
        Tile(
            "Cadence backward",
            _number(recent.cadence("backward")),
            f"steps a minute, {four_weeks}; forward: {_number(recent.cadence('forward'))}",
        ),
        Tile(
            "Stability backward",
            _number(recent.stability("backward")),
            f"of 100, {four_weeks}; events in them: {sum(recent.events.values())}",
        ),
        Tile(
            "Direction not known",
            _number(None if recent.unknown_share is None else 100 * recent.unknown_share, 1, " %"),
            f"of the steps, {four_weeks}",
        ),
    ]
    return made


def _drawn(plot: Plot) -> str:
    with figure(WIDTH_IN, HEIGHT_IN) as made:
        plot.draw(made.add_subplot())
        made.subplots_adjust(**MARGINS)
        return svg(made, plot.id, plot.alt, COLOURS)


def _tests(summary: Summary) -> list[Row]:
    return [
        Row(
            f"{moment(one.utc_ms, summary.zone):%Y-%m-%d %H:%M}",
            (f"{one.seconds:.1f}", str(one.steps), _number(one.stability)),
        )
        for one in reversed(summary.tests)
    ]


def as_page(summary: Summary) -> str:
    """The page's HTML."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = {plot.id: {"plot": plot, "svg": Markup(_drawn(plot))} for plot in plots(summary)}
    values: dict[str, Any] = {
        "summary": summary,
        "version": __version__,
        "tiles": tiles(summary),
        "plots": shown,
        "columns": COLUMNS,
        "days": _rows(summary.days[-TABLE_DAYS:]),
        "more_days": max(len(summary.days) - TABLE_DAYS, 0),
        "weeks": _rows(summary.weeks[-TABLE_WEEKS:]),
        "more_weeks": max(len(summary.weeks) - TABLE_WEEKS, 0),
        "months": _rows(summary.months),
        "whole": Row("all", _cells(summary.whole)),
        "undated": Row("day not known", _cells(summary.undated)) if summary.undated else None,
        "tests": _tests(summary),
        "reference": reference.TEXT,
        "own_error": reference.OWN_ERROR,
        "synced": moment(summary.synced_utc_ms, summary.zone) if summary.synced_utc_ms else None,
    }
    return environment.get_template(TEMPLATE).render(values)
