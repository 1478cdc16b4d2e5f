"""Pairs found steps with true ones.

Annotations and firmware mean different instants by "contact" (heel strike, peak of load, end of swing). That
difference is constant within a source, is no error of the firmware, and is taken out first (`constant_lag_s`).
The pairing is one to one, keeps the order of time and has as many pairs as the tolerance allows; among those,
the smallest total difference.
"""

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]

# Wide enough for any convention of what a contact is, narrower than a step.
LAG_REACH_S = 0.4
# Differences this close to the first estimate are of the same step; the rest would pull at the median.
LAG_CORE_S = 0.2


def constant_lag_s(recordings: Iterable[tuple[Sequence[float], Sequence[float]]]) -> float:
    """How much later found steps are than true ones, over (found, true) times in s of many recordings.

    The median over true steps of the difference to the nearest found one; 0 where nothing was found.
    """
    nearest = []
    for found, true in recordings:
        if len(found) and len(true):
            differences = np.subtract.outer(np.asarray(found, float), np.asarray(true, float))
            at = np.argmin(np.abs(differences), axis=0)
            nearest.append(differences[at, np.arange(len(true))])
    if not nearest:
        return 0.0
    lags = np.concatenate(nearest)
    lags = lags[np.abs(lags) <= LAG_REACH_S]
    if not len(lags):
        return 0.0
    middle = np.median(lags)
    core = lags[np.abs(lags - middle) <= LAG_CORE_S]
    return float(np.median(core) if len(core) else middle)


def pair(found: Sequence[float], true: Sequence[float], tolerance_s: float) -> list[tuple[int, int]]:
    """Pairs (index of found, index of true) no further apart than tolerance_s; both in order of time."""
    pairs = []
    for some_found, some_true in _neighbourhoods(found, true, tolerance_s):
        pairs += _best(found, true, some_found, some_true, tolerance_s)
    return pairs


def _neighbourhoods(found: Sequence[float], true: Sequence[float], tolerance_s: float):
    """Runs of times with no gap wider than the tolerance: no pair reaches from one into another."""
    merged = sorted([(t, 0, i) for i, t in enumerate(found)] + [(t, 1, j) for j, t in enumerate(true)])
    members: tuple[list[int], list[int]] = ([], [])
    last = -np.inf
    for t, which, index in merged:
        if t - last > tolerance_s and (members[0] or members[1]):
            if members[0] and members[1]:
                yield members
            members = ([], [])
        members[which].append(index)
        last = t
    if members[0] and members[1]:
        yield members


def _best(
    found: Sequence[float], true: Sequence[float], rows: list[int], columns: list[int], tolerance_s: float
) -> list[tuple[int, int]]:
    """Alignment of two short lists: most pairs first, then the least total difference."""
    # best[a][b] = (pairs, -difference) of the first a found and b true ones; the step that led there.
    best: dict[tuple[int, int], tuple[tuple[int, float], str]] = dict.fromkeys(
        product(range(len(rows) + 1), range(len(columns) + 1)), ((0, 0.0), "")
    )
    for a, b in product(range(1, len(rows) + 1), range(1, len(columns) + 1)):
        choices = [(best[a - 1, b][0], "skip found"), (best[a, b - 1][0], "skip true")]
        difference = abs(found[rows[a - 1]] - true[columns[b - 1]])
        if difference <= tolerance_s:
            count, cost = best[a - 1, b - 1][0]
            choices.append(((count + 1, cost - difference), "pair"))
        best[a, b] = max(choices)
    pairs = []
    a, b = len(rows), len(columns)
    while a and b:
        how = best[a, b][1]
        if how == "pair":
            pairs.append((rows[a - 1], columns[b - 1]))
        a -= how != "skip true"
        b -= how != "skip found"
    return pairs[::-1]
