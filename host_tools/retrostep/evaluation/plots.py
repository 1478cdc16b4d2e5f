"""Plots of an evaluation as SVG text, for a light or a dark page."""

from collections.abc import Callable
from typing import Any

from retrostep.drawing import INK, figure, svg
from retrostep.evaluation import measures
from retrostep.evaluation.conditions import AS_RECORDED, YAW_30, YAW_90
from retrostep.evaluation.statistics import Figure
from retrostep.evaluation.study import Evaluation
from retrostep.evaluation.tables.directions import reliability

REAL = "#2b83ba"
VIRTUAL = "#e08214"
OTHER = "#5aae61"

YAWS = ((0, AS_RECORDED), (15, "yaw 15"), (30, YAW_30), (45, "yaw 45"), (90, YAW_90))


def all_plots(evaluation: Evaluation) -> list[tuple[str, str]]:
    """(title, SVG) of each plot that has data."""
    makers: tuple[tuple[str, Callable[[Any, Evaluation], bool]], ...] = (
        ("F1 of steps at 0.1 s, each person a dot (real)", _f1_by_person),
        ("Is the confidence right? Waist", _reliability),
        ("Clip turned: forward called backward, backward right", _yaw),
        ("From contact to settled direction (waist, real)", _latency),
        ("Steps an hour where none was walked (waist, real)", _false_steps),
    )
    plots = []
    for number, (title, make) in enumerate(makers):
        with figure(6.2, 3.4, layout="constrained") as made:
            if make(made.add_subplot(), evaluation):
                plots.append((title, svg(made, f"p{number}", title)))
    return plots


def _bars(figures: list[Figure]) -> list[list[float]]:
    low = [one.value - one.low if one.low is not None else 0.0 for one in figures]
    high = [one.high - one.value if one.high is not None else 0.0 for one in figures]
    return [[max(0.0, value) for value in low], [max(0.0, value) for value in high]]


def _f1_by_person(axes: Any, evaluation: Evaluation) -> bool:
    scores = [one for one in evaluation.select(virtual=False) if one.true_steps]
    names = sorted({f"{one.facts.source} {one.facts.placement}" for one in scores}, reverse=True)
    for y, name in enumerate(names):
        here = [one for one in scores if f"{one.facts.source} {one.facts.placement}" == name]
        people = sorted({one.facts.person for one in here})
        values = [
            figure.value
            for person in people
            if (figure := measures.f1([one for one in here if one.facts.person == person], near=False))
        ]
        axes.plot(values, [y] * len(values), "o", color=REAL, alpha=0.6, markersize=5)
        whole = measures.f1(here, near=False)
        if whole:
            axes.plot([whole.value], [y], "|", color=INK, markersize=16)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("F1 at 0.1 s (line: all of the source)")
    return bool(names)


def _reliability(axes: Any, evaluation: Evaluation) -> bool:
    drawn = False
    for virtual, colour, name in ((False, REAL, "real"), (True, VIRTUAL, "virtual")):
        bins = [
            ((low + high) / 2, figure) for low, high, figure in reliability(evaluation, virtual) if figure
        ]
        if bins:
            figures = [figure for _, figure in bins]
            axes.errorbar(
                [100 * middle for middle, _ in bins],
                [figure.value for figure in figures],
                _bars(figures),
                fmt="o-",
                color=colour,
                label=name,
                capsize=2,
            )
            drawn = True
    axes.plot([50, 100], [50, 100], "--", color=INK, linewidth=0.8, label="as said")
    axes.set_xlabel("confidence %")
    axes.set_ylabel("right %")
    axes.legend()
    return drawn


def _yaw(axes: Any, evaluation: Evaluation) -> bool:
    drawn = False
    lines = (
        ("forward called backward (real) %", REAL, False, "forward"),
        ("backward right, of found (real) %", OTHER, False, "backward"),
        ("backward right, of found (virtual) %", VIRTUAL, True, "backward"),
    )
    for name, colour, virtual, true in lines:
        points = [
            (degrees, figure)
            for degrees, condition in YAWS
            if (
                figure := measures.called(
                    evaluation.select(condition, placement="waist", virtual=virtual), true, "backward", 100
                )
            )
        ]
        if len(points) > 1:
            figures = [figure for _, figure in points]
            axes.errorbar(
                [degrees for degrees, _ in points],
                [figure.value for figure in figures],
                _bars(figures),
                fmt="o-",
                color=colour,
                label=name,
                capsize=2,
            )
            drawn = True
    axes.set_xlabel("clip turned by, degrees")
    if drawn:
        axes.legend()
    return drawn


def _latency(axes: Any, evaluation: Evaluation) -> bool:
    values = [
        step.latency_s for one in evaluation.select(placement="waist", virtual=False) for step in one.matched
    ]
    if values:
        axes.hist(values, bins=40, range=(0, 3), color=REAL)
        axes.set_xlabel("s from contact to settled direction")
        axes.set_ylabel("steps")
    return bool(values)


def _false_steps(axes: Any, evaluation: Evaluation) -> bool:
    scores = [
        one
        for one in evaluation.select(placement="waist", virtual=False, repeated=False)
        if one.quiet and one.quiet_s
    ]
    names = sorted({one.quiet for one in scores}, reverse=True)
    figures = [measures.false_an_hour([one for one in scores if one.quiet == name]) for name in names]
    known = [(name, figure) for name, figure in zip(names, figures, strict=True) if figure]
    if known:
        axes.barh(
            [name for name, _ in known],
            [figure.value for _, figure in known],
            xerr=_bars([figure for _, figure in known]),
            color=REAL,
            ecolor=INK,
            capsize=2,
        )
        axes.set_xlabel("found an hour")
    return bool(known)
