"""Stretches: steps on end in one direction, the grain of all that is summed up.

A *walk* is a run of steps without a pause longer than BOUT_GAP_MS, a stretch the part of it that goes in one
direction within one quarter of an hour of UTC. Every time zone's day begins with a quarter, so days, weeks and bouts
of any zone are sums of whole stretches. Stretches are rows of numpy arrays of STRETCH; times that are not known
are NO_TIME.

The time of a stretch is the sum of its steps' intervals, each since the step before it; the first step of a walk has
none. Cadence is intervals by time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from retrostep.history import Boot, StepBlock, steplog

# Longer without a step, and a new walk begins.
BOUT_GAP_MS = 3_000
QUARTER_MS = 900_000
NO_TIME = -(1 << 62)

STRETCH = np.dtype(
    [
        ("sequence", np.int64),
        ("step", np.int64),
        ("boot", np.int64),
        ("walk_uptime_ms", np.int64),
        ("start_uptime_ms", np.int64),
        ("end_uptime_ms", np.int64),
        ("start_utc_ms", np.int64),
        ("end_utc_ms", np.int64),
        ("earliest_utc_ms", np.int64),
        ("latest_utc_ms", np.int64),
        ("direction", np.int64),
        ("steps", np.int64),
        ("walk_ms", np.int64),
        ("intervals", np.int64),
        ("stability_sum", np.float64),
        ("stability_steps", np.int64),
    ]
)
"""sequence, step: the first step, as record and index in it. boot and walk_uptime_ms name the walk: its boot and the
uptime of its first step. start, end: first and last contact. earliest, latest: where those have only bounds.
direction: index into steplog.DIRECTIONS. stability_sum: over the stability_steps that have a score 0..100."""

# Steps that are looked at together.
_PORTION_STEPS = 100_000
_TO_SCORE = 100 / 6


class StretchBuilder:
    """Cuts blocks of steps, which come in the order of the log, into stretches.

    `boundary` is the last record with whose first step a walk begins: whoever reads on from it reads only whole
    walks. `settled_boundary` is the last such record up to `settled_before`.
    """

    def __init__(self, settled_before: int = 0) -> None:
        self._settled_before = settled_before
        self._blocks: list[StepBlock] = []
        self._steps = 0
        self.boundary: int | None = None
        self.settled_boundary: int | None = None

    def feed(self, block: StepBlock) -> Iterator[NDArray[np.void]]:
        """Take the next block; yields stretches that are complete."""
        if self._blocks and self._blocks[-1].boot is not block.boot:
            yield from self.finish()
        self._blocks.append(block)
        self._steps += len(block.state)
        if self._steps > _PORTION_STEPS:
            yield from self._cut(last=False)

    def finish(self) -> Iterator[NDArray[np.void]]:
        """Yields the rest."""
        if self._blocks:
            yield from self._cut(last=True)

    def _cut(self, last: bool) -> Iterator[NDArray[np.void]]:
        boot = self._blocks[0].boot
        uptime = np.concatenate([block.uptime_ms for block in self._blocks])
        begins = _walk_begins(uptime)
        sizes = [len(block.state) for block in self._blocks]
        firsts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        end, kept = len(uptime), len(self._blocks)
        if not last:
            # The walk that goes on waits for its end: cut where a block begins with a walk.
            whole = np.flatnonzero(begins[firsts][1:])
            if not len(whole):
                self._steps = 0
                return
            kept = int(whole[-1]) + 1
            end = int(firsts[kept])
        blocks, self._blocks = self._blocks[:kept], self._blocks[kept:]
        self._steps = sum(sizes[kept:])
        for block, first in zip(blocks, firsts, strict=False):
            if begins[first]:
                self.boundary = block.sequence
                if block.sequence <= self._settled_before:
                    self.settled_boundary = block.sequence
        sequence = np.repeat([block.sequence for block in blocks], sizes[:kept])
        index = np.arange(end) - np.repeat(firsts[:kept], sizes[:kept])
        state = np.concatenate([block.state for block in blocks])
        yield _stretches(boot, sequence, index, uptime[:end], state, begins[:end])


def _walk_begins(uptime: NDArray[np.int64]) -> NDArray[np.bool_]:
    begins = np.empty(len(uptime), bool)
    begins[0] = True
    begins[1:] = np.diff(uptime) > BOUT_GAP_MS
    return begins


def _stretches(
    boot: Boot,
    sequence: NDArray[np.int64],
    index: NDArray[np.int64],
    uptime: NDArray[np.int64],
    state: NDArray[np.uint8],
    begins: NDArray[np.bool_],
) -> NDArray[np.void]:
    direction = (state & 3).astype(np.int64)
    utc = boot.utc_ms(uptime) if boot.dated else None
    new = begins.copy()
    new[1:] |= np.diff(direction) != 0
    if utc is not None:
        new[1:] |= np.diff(utc // QUARTER_MS) != 0
    starts = np.flatnonzero(new)
    ends = np.append(starts[1:], len(uptime)) - 1
    interval = np.zeros(len(uptime), np.int64)
    # A step that settled after a later one was logged has an interval of nothing, not of less.
    interval[1:] = np.maximum(np.diff(uptime), 0)
    interval[begins] = 0
    walk_start = np.maximum.accumulate(np.where(begins, np.arange(len(uptime)), 0))
    level = state >> 5
    scored = level != steplog.STABILITY_NONE_LEVEL

    rows = np.empty(len(starts), STRETCH)
    rows["sequence"], rows["step"], rows["boot"] = sequence[starts], index[starts], boot.sequence
    rows["walk_uptime_ms"] = uptime[walk_start[starts]]
    rows["start_uptime_ms"], rows["end_uptime_ms"] = uptime[starts], uptime[ends]
    for name in ("start_utc_ms", "end_utc_ms", "earliest_utc_ms", "latest_utc_ms"):
        rows[name] = NO_TIME
    if utc is not None:
        rows["start_utc_ms"], rows["end_utc_ms"] = utc[starts], utc[ends]
    else:
        earliest, latest = boot.bounds(0)
        if earliest is not None:
            rows["earliest_utc_ms"] = earliest + uptime[starts]
        if latest is not None:
            rows["latest_utc_ms"] = latest + uptime[ends]
    rows["direction"] = direction[starts]
    rows["steps"] = ends - starts + 1
    rows["walk_ms"] = np.add.reduceat(interval, starts)
    rows["intervals"] = np.add.reduceat(np.where(begins, 0, 1), starts)
    rows["stability_sum"] = np.add.reduceat(np.where(scored, level * _TO_SCORE, 0.0), starts)
    rows["stability_steps"] = np.add.reduceat(scored.astype(np.int64), starts)
    return rows


def stretches_of(blocks: Iterable[StepBlock]) -> NDArray[np.void]:
    """The stretches of blocks in memory, of one log or several on end."""
    builder = StretchBuilder()
    found = [rows for block in blocks for rows in builder.feed(block)]
    found += builder.finish()
    return np.concatenate(found) if found else np.empty(0, STRETCH)
