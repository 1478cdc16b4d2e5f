"""The report's plots, by matplotlib: drawn once, shown in a page (SVG), a picture (PNG) or a PDF.

No plot tells anything by colour alone: bars are hatched, lines have markers, days of the plan have signs. Every plot
comes with a sentence that says what it shows, and the page has its numbers as a table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from retrostep.drawing import INK
from retrostep.periods import Period
from retrostep.report.adherence import PlannedDay
from retrostep.report.reference import CUT_OFF_S, FRAIL_S, RULED_OUT_S
from retrostep.report.summary import RECENT_DAYS, Summary, moment

# Colours that the colour-blind tell apart (after Okabe and Ito), dark enough on white, and what the page calls them.
BACKWARD, FORWARD, SIDEWAYS, UNKNOWN = "#0072b2", "#b26a00", "#00795c", "#6b7280"
COLOURS = {
    BACKWARD: "var(--backward)",
    FORWARD: "var(--forward)",
    SIDEWAYS: "var(--sideways)",
    UNKNOWN: "var(--unknown)",
}
DIRECTIONS = (
    ("backward", BACKWARD, ""),
    ("forward", FORWARD, "////"),
    ("sideways", SIDEWAYS, "...."),
    ("unknown", UNKNOWN, "xxxx"),
)
EVENT_SIGNS = {"unstable": "", "stumble": "////", "fall": "xxxx", "changed_gait": "...."}
WIDTH_IN, HEIGHT_IN = 4.3, 2.6
PLAN_WEEKS = 26
# Beyond this many weeks, months are drawn.
_WEEKS = 110
# Up to so many days, the axis names days.
_SHORT_DAYS = 60
# Of the width of an axis that names days: nearer to its right end, half of a day's name has no room.
_EDGE = 0.04


@dataclass(frozen=True)
class Plot:
    """A plot: id on the page, title, a sentence that says what it shows, and what draws it on axes."""

    id: str
    title: str
    alt: str
    draw: Callable[[Any], None]


def grain(summary: Summary) -> tuple[str, list[Period]]:
    """("week", weeks) or, where that are too many, ("month", months)."""
    if len(summary.weeks) <= _WEEKS:
        return "week", summary.weeks
    return "month", summary.months


def plots(summary: Summary) -> list[Plot]:
    """All plots for which there is something to show."""
    name, periods = grain(summary)
    if not periods:
        return []
    made = [_recent_days(summary), _minutes(periods, name), _steps(periods, name)]
    made += [
        _cadence(periods, name),
        _stability(periods, name),
        _events(periods, name),
        _longest(periods, name),
        _unknown(periods, name),
        _plan(summary),
        _tests(summary),
    ]
    return [plot for plot in made if plot]


def _days_axis(axes: Any, first: date, last: date) -> None:
    """Dates along x: few enough ticks for a narrow screen, and none whose label the right edge would cut."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, DateFormatter, date2num

    begin, end = _noon(first - timedelta(days=1)), _noon(last + timedelta(days=1))
    axes.set_xlim(begin, end)
    locator = AutoDateLocator(minticks=3, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    if (last - first).days < _SHORT_DAYS:
        latest = date2num(end - _EDGE * (end - begin))
        axes.set_xticks([tick for tick in axes.get_xticks() if tick <= latest])
        axes.xaxis.set_major_formatter(DateFormatter("%d %b"))
    else:
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    axes.grid(axis="x", visible=False)


def _noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12)


def _middle(period: Period) -> datetime:
    assert period.first
    assert period.last
    return _noon(period.first) + (period.last - period.first) / 2


def _width(period: Period) -> float:
    """Days that a period's bar is wide."""
    assert period.first
    assert period.last
    return 0.82 * ((period.last - period.first).days + 1)


def _stacked(axes: Any, periods: Sequence[Period], value: Callable[[Period, str], float]) -> None:
    places = [_middle(one) for one in periods]
    widths = [_width(one) for one in periods]
    base = np.zeros(len(periods))
    for name, colour, hatch in DIRECTIONS:
        heights = np.array([value(one, name) for one in periods])
        if heights.any():
            axes.bar(
                places,
                heights,
                widths,
                base,
                facecolor=colour if not hatch else "none",
                edgecolor=colour,
                hatch=hatch,
                linewidth=0.6,
                label=name,
            )
            base += heights
    _days_axis(axes, _first(periods), _last(periods))
    _legend(axes)


def _legend(axes: Any) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.03, 1.0),
        ncols=5,
        fontsize=8,
        borderpad=0.1,
        handlelength=1.4,
        handletextpad=0.4,
        columnspacing=1.1,
    )


def _first(periods: Sequence[Period]) -> date:
    assert periods[0].first
    return periods[0].first


def _last(periods: Sequence[Period]) -> date:
    assert periods[-1].last
    return periods[-1].last


def _recent_days(summary: Summary) -> Plot | None:
    first = summary.until - timedelta(days=RECENT_DAYS - 1)
    walked = [one for one in summary.days if one.first and one.first >= first]
    if not walked:
        return None
    wanted = [one for one in summary.plan.days if one.day >= first] if summary.plan else []

    def draw(axes: Any) -> None:
        _stacked(axes, walked, lambda one, name: one.minutes[name])
        if any(one.wanted_min for one in wanted):
            axes.plot(
                [_noon(one.day) for one in wanted if one.wanted_min],
                [one.wanted_min for one in wanted if one.wanted_min],
                "_",
                color=INK,
                markersize=7,
                markeredgewidth=2,
                label="plan",
            )
            _legend(axes)
        _days_axis(axes, first, summary.until)
        axes.set_ylabel("minutes")

    back = [one.minutes["backward"] for one in walked]
    return Plot(
        "days",
        f"Minutes by day, four weeks to {summary.until}",
        f"Bars of minutes walked by direction on each of {RECENT_DAYS} days. Backward walking on "
        f"{sum(value > 0 for value in back)} days, {sum(back):.0f} minutes in all, at most {max(back):.0f} on a day.",
        draw,
    )


def _minutes(periods: Sequence[Period], name: str) -> Plot:
    def draw(axes: Any) -> None:
        _stacked(axes, periods, lambda one, direction: one.minutes[direction])
        axes.set_ylabel(f"minutes a {name}")

    back = [one.minutes["backward"] for one in periods]
    return Plot(
        "minutes",
        f"Minutes by {name} and direction",
        f"Stacked bars, one a {name}, {periods[0].first} to {periods[-1].last}. Backward: from {back[0]:.0f} "
        f"minutes in the first {name} to {back[-1]:.0f} in the last, at most {max(back):.0f}.",
        draw,
    )


def _steps(periods: Sequence[Period], name: str) -> Plot:
    def draw(axes: Any) -> None:
        _stacked(axes, periods, lambda one, direction: one.counts[direction] / 1000)
        axes.set_ylabel(f"thousand steps a {name}")

    sums = {direction: sum(one.counts[direction] for one in periods) for direction, _, _ in DIRECTIONS}
    told = ", ".join(f"{count:,} {direction}" for direction, count in sums.items())
    return Plot(
        "steps", f"Steps by {name} and direction", f"Stacked bars, one a {name}. In all {told}.", draw
    )


def _lines(
    axes: Any, periods: Sequence[Period], value: Callable[[Period, str], float | None], names: Sequence[str]
) -> None:
    markers = {"backward": "o", "forward": "s", "sideways": "^"}
    for direction, colour, _ in DIRECTIONS:
        if direction not in names:
            continue
        points = [(_middle(one), found) for one in periods if (found := value(one, direction)) is not None]
        if points:
            axes.plot(
                *zip(*points, strict=True),
                marker=markers[direction],
                markersize=3.5,
                linewidth=1.3,
                linestyle="-" if direction == "backward" else "--",
                color=colour,
                label=direction,
            )
    _days_axis(axes, _first(periods), _last(periods))
    _legend(axes)


def _ends(values: Sequence[float | None], unit: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "none measured"
    return f"{known[0]:.0f} {unit} at first, {known[-1]:.0f} at last"


def _cadence(periods: Sequence[Period], name: str) -> Plot | None:
    if not any(one.cadence("backward") or one.cadence("forward") for one in periods):
        return None

    def draw(axes: Any) -> None:
        _lines(axes, periods, lambda one, way: one.cadence(way), ("backward", "forward"))
        axes.set_ylabel("steps a minute")

    told = "; ".join(
        f"{way}: {_ends([one.cadence(way) for one in periods], 'steps a minute')}"
        for way in ("backward", "forward")
    )
    return Plot(
        "cadence", f"Cadence by {name}", f"Two lines of mean cadence, one point a {name}. {told}.", draw
    )


def _stability(periods: Sequence[Period], name: str) -> Plot | None:
    if not any(one.stability(way) is not None for one in periods for way in ("backward", "forward")):
        return None

    def draw(axes: Any) -> None:
        _lines(axes, periods, lambda one, way: one.stability(way), ("backward", "forward"))
        axes.set_ylim(0, 100)
        axes.set_ylabel("stability, 0 to 100")

    told = "; ".join(
        f"{way}: {_ends([one.stability(way) for one in periods], 'of 100')}"
        for way in ("backward", "forward")
    )
    return Plot(
        "stability", f"Stability by {name}", f"Two lines of the mean score, one point a {name}. {told}.", draw
    )


def _events(periods: Sequence[Period], name: str) -> Plot | None:
    kinds = [kind for kind in EVENT_SIGNS if any(one.events.get(kind) for one in periods)]
    if not kinds:
        return None

    def draw(axes: Any) -> None:
        base = np.zeros(len(periods))
        for kind in kinds:
            heights = np.array([one.events.get(kind, 0) for one in periods])
            hatch = EVENT_SIGNS[kind]
            axes.bar(
                [_middle(one) for one in periods],
                heights,
                [_width(one) for one in periods],
                base,
                facecolor="none" if hatch else FORWARD,
                edgecolor=FORWARD,
                hatch=hatch,
                linewidth=0.6,
                label=kind.replace("_", " "),
            )
            base += heights
        _days_axis(axes, _first(periods), _last(periods))
        axes.yaxis.get_major_locator().set_params(integer=True)
        _legend(axes)
        axes.set_ylabel(f"events a {name}")

    told = ", ".join(
        f"{sum(one.events.get(kind, 0) for one in periods)} {kind.replace('_', ' ')}" for kind in kinds
    )
    return Plot("events", f"Events by {name}", f"Stacked bars, one a {name}. In all {told}.", draw)


def _longest(periods: Sequence[Period], name: str) -> Plot | None:
    values = [one.longest_back_ms / 60_000 for one in periods]
    if not any(values):
        return None

    def draw(axes: Any) -> None:
        axes.bar([_middle(one) for one in periods], values, [_width(one) for one in periods], color=BACKWARD)
        _days_axis(axes, _first(periods), _last(periods))
        axes.set_ylabel("minutes")

    return Plot(
        "longest",
        f"Longest backward bout by {name}",
        f"Bars, one a {name}: minutes of the longest time backward without a pause. At most {max(values):.1f}.",
        draw,
    )


def _unknown(periods: Sequence[Period], name: str) -> Plot | None:
    shares = [(_middle(one), 100 * one.unknown_share) for one in periods if one.unknown_share is not None]
    if not shares:
        return None
    values = [share for _, share in shares]

    def draw(axes: Any) -> None:
        axes.plot(*zip(*shares, strict=True), marker="o", markersize=3.5, linewidth=1.3, color=UNKNOWN)
        axes.set_ylim(0, 1.1 * max(*values, 1))
        _days_axis(axes, _first(periods), _last(periods))
        axes.set_ylabel("% of the steps")

    return Plot(
        "unknown",
        f"Steps of unknown direction by {name}",
        f"A line, one point a {name}: between {min(values):.1f} and {max(values):.1f} % of the steps.",
        draw,
    )


def _plan(summary: Summary) -> Plot | None:
    if summary.plan is None:
        return None
    begin = summary.until - timedelta(days=7 * (PLAN_WEEKS - 1) + summary.until.weekday())
    shown = [one for one in summary.plan.days if one.day >= begin]
    if not any(one.wanted_min for one in shown):
        return None

    def place(one: PlannedDay) -> tuple[int, int]:
        return (one.day - begin).days // 7, one.day.weekday()

    def draw(axes: Any) -> None:
        kinds: tuple[tuple[str, dict[str, Any], Callable[[PlannedDay], bool]], ...] = (
            ("kept", {"marker": "s", "color": BACKWARD}, lambda one: one.kept),
            (
                "in part",
                {"marker": "D", "markerfacecolor": "none", "color": BACKWARD},
                lambda one: not one.kept and one.wanted_min > 0 and one.done_min > 0,
            ),
            (
                "missed",
                {"marker": "x", "color": FORWARD},
                lambda one: one.wanted_min > 0 and not one.done_min,
            ),
            ("day off", {"marker": ".", "color": UNKNOWN, "markersize": 2}, lambda one: not one.wanted_min),
        )
        for label, look, fits in kinds:
            points = [place(one) for one in shown if fits(one)]
            if points:
                axes.plot(
                    *zip(*points, strict=True), **{"markersize": 5, "linestyle": "", "label": label, **look}
                )
        axes.set_ylim(6.6, -0.6)
        axes.set_yticks(range(7), ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"])
        weeks = range(0, PLAN_WEEKS, 6)
        axes.set_xlim(-0.7, PLAN_WEEKS - 0.3)
        axes.set_xticks(weeks, [f"{begin + timedelta(weeks=week):%d %b}" for week in weeks])
        axes.grid(visible=False)
        _legend(axes)

    asked = [one for one in shown if one.wanted_min]
    return Plot(
        "plan",
        f"Plan, day by day, {PLAN_WEEKS} weeks to {summary.until}",
        f"A calendar with a sign a day. Kept on {sum(one.kept for one in asked)} of {len(asked)} days that the plan "
        "asked for.",
        draw,
    )


def _tests(summary: Summary) -> Plot | None:
    tests = summary.tests
    if not tests:
        return None
    values = [one.seconds for one in tests]

    def draw(axes: Any) -> None:
        top = max(FRAIL_S[1] + 1, max(values) + 1)
        axes.axhspan(*FRAIL_S, facecolor="none", edgecolor=UNKNOWN, hatch="....", linewidth=0)
        for level, dashes, text in (
            (RULED_OUT_S, ":", f"{RULED_OUT_S:g} s"),
            (CUT_OFF_S, "--", f"{CUT_OFF_S:g} s"),
        ):
            axes.axhline(level, linestyle=dashes, color=UNKNOWN, linewidth=1.2)
            axes.annotate(
                text, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8
            )
        axes.annotate(
            f"{FRAIL_S[0]:g} to {FRAIL_S[1]:g} s",
            (1, FRAIL_S[1]),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize=8,
        )
        when = [moment(one.utc_ms, summary.zone).replace(tzinfo=None) for one in tests]
        axes.plot(when, values, "o-", color=BACKWARD, markersize=4.5, linewidth=1.2)
        axes.set_ylim(0, top)
        _days_axis(axes, when[0].date() - timedelta(days=3), when[-1].date() + timedelta(days=3))
        axes.set_ylabel("seconds for 3 m")

    return Plot(
        "tests",
        "3-metre backward walk tests",
        f"{len(tests)} tests: {values[0]:.1f} s at first, {values[-1]:.1f} s at last, between {min(values):.1f} and "
        f"{max(values):.1f} s. Lines at {RULED_OUT_S:g} and {CUT_OFF_S:g} s and a band from {FRAIL_S[0]:g} to "
        f"{FRAIL_S[1]:g} s are published values, explained below.",
        draw,
    )
