"""The exact figures as they were when somebody last looked at them: baseline.json, name to value.

A figure that is worse than there by more than TOLERANCE, and by more than its slack, is a regression. What got
better is no news until the baseline is written anew (`make baseline`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from retrostep.bench.figure import Figure

FILE = Path(__file__).parent / "baseline.json"
TOLERANCE = 0.05


def read(path: Path = FILE) -> dict[str, float]:
    """Values by name. Raises ValueError where the file is no baseline."""
    values = json.loads(path.read_text())
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds a {type(values).__name__}, expected names and values; make baseline")
    return {name: float(value) for name, value in values.items()}


def write(figures: Iterable[Figure], path: Path = FILE) -> None:
    """Keep the exact ones among the figures, in place of what was there."""
    # Six digits: far finer than what is compared, and short lines in a diff.
    values = {figure.name: float(f"{figure.value:.6g}") for figure in figures if figure.exact}
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")


def with_limit(figure: Figure, known: dict[str, float]) -> Figure:
    """The figure with the limit that its value in the baseline sets, if that is tighter than its own."""
    before = known.get(figure.name)
    if before is None or not figure.exact:
        return figure
    room = max(abs(before) * TOLERANCE, figure.slack)
    limit = before - room if figure.at_least else before + room
    if figure.limit is not None:
        limit = max(limit, figure.limit) if figure.at_least else min(limit, figure.limit)
    return replace(figure, limit=limit)


def missing(figures: Iterable[Figure], known: dict[str, float]) -> tuple[list[str], list[str]]:
    """Names of exact figures that the baseline does not know, and of those that it knows but nobody measured."""
    measured = {figure.name for figure in figures if figure.exact}
    return sorted(measured - known.keys()), sorted(known.keys() - measured)
