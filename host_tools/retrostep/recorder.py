"""Takes raw samples from a device into a recording, labelled by presses of its button.

The labels given are walked through in order: the first holds from the start, every press goes on to the next one, two
quick ones to the one after it; a press before the first sample counts, too. The device counts and logs on meanwhile.
Samples that the sensor lost end the recording there: what a walk looked like in a hole is not to be invented. The
rate is the one the device has measured of its sensor by the end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from retrostep.link import Link, LinkError, Mark, RawBlock
from retrostep.recording import ACC_LSB_G, DIRECTIONS, FORMAT, GYR_LSB_DPS, Recording

RENEWAL_S = 20.0
_CHANNELS = 6


class RecordingBroken(LinkError):
    """The device sent too little to make a recording of."""


@dataclass
class Capture:
    """What came in so far. broken_at: number of the sample before which some are missing.

    rate_hz, status: as the device tells them, before its first sample.
    """

    labels: Sequence[str]
    rate_hz: float = 0.0
    status: dict[str, Any] = field(default_factory=dict)
    blocks: list[np.ndarray] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    first_sample: int | None = None
    next_sample: int = 0
    broken_at: int | None = None

    def take(self, message: RawBlock | Mark) -> None:
        """A message of the device, in order of arrival."""
        if isinstance(message, Mark):
            self.marks.append(message)
            return
        if self.first_sample is None:
            self.first_sample = self.next_sample = message.first_sample
        if self.broken_at is None and message.first_sample != self.next_sample:
            self.broken_at = message.first_sample
        if self.broken_at is None:
            block = np.frombuffer(message.data, "<i2").reshape(-1, _CHANNELS)
            self.blocks.append(block)
            self.next_sample += len(block)

    @property
    def duration_s(self) -> float:
        """Length of what was taken."""
        return 0.0 if self.first_sample is None else (self.next_sample - self.first_sample) / self.rate_hz

    def _label_at(self, sample: int) -> str:
        passed = sum(mark.presses for mark in self.marks if mark.next_sample <= sample)
        return self.labels[min(passed, len(self.labels) - 1)]

    @property
    def label(self) -> str:
        """The label that the next sample has."""
        return self._label_at(self.next_sample)

    def spans(self) -> tuple[np.ndarray, np.ndarray]:
        """(from, to) in s and the label of each part between presses."""
        begin, end = self.first_sample or 0, self.next_sample
        inside = {mark.next_sample for mark in self.marks if begin < mark.next_sample < end}
        edges = sorted({begin, *inside, end})
        times = [(edge - begin) / self.rate_hz for edge in edges]
        names = [self._label_at(edge) for edge in edges[:-1]]
        return np.array(list(pairwise(times)), np.float32).reshape(-1, 2), np.array(names)

    def recording(self, meta: dict[str, Any]) -> Recording:
        """The recording; `meta` is completed with what the format fixes. Raises RecordingBroken if nothing came."""
        if not self.blocks:
            raise RecordingBroken("no samples came: is the sensor well? `retrostep status` shows its faults")
        spans, names = self.spans()
        return Recording(
            samples=np.concatenate(self.blocks),
            meta={
                "format": FORMAT,
                "rate_hz": round(self.rate_hz, 3),
                "acc_lsb_g": ACC_LSB_G,
                "gyr_lsb_dps": GYR_LSB_DPS,
                "directions": list(DIRECTIONS),
                "has_gyro": True,
                "virtual": False,
                "step_count": -1,
                **meta,
            },
            spans=spans,
            span_label=names,
        )


async def _end(listener: asyncio.Task[None]) -> None:
    listener.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await listener


async def record(
    make_link: Callable[[Callable[[RawBlock | Mark], None]], Link],
    capture: Capture,
    seconds: float,
    on_progress: Callable[[Capture], None] = lambda capture: None,
) -> None:
    """Record `seconds` (of the device's samples) into the empty `capture`. Raises LinkError.

    Ends early where samples are missing (Capture.broken_at) or when cancelled. However it ends, `capture` holds what
    came until then.
    """
    received: list[RawBlock | Mark] = []
    link = make_link(received.append)
    status = await link.status()
    if not status["sample_period_ns"]:
        raise RecordingBroken(
            "the device has no working sensor: check its wiring, `retrostep status` shows its faults"
        )
    capture.status, capture.rate_hz = status, 1e9 / status["sample_period_ns"]
    await link.raw(True)
    renewed_s = 0.0
    listener = asyncio.create_task(link.listen())
    try:
        while capture.duration_s < seconds and capture.broken_at is None:
            await asyncio.sleep(0.1)
            while received:
                capture.take(received.pop(0))
            on_progress(capture)
            if listener.done():
                await listener
            if capture.duration_s - renewed_s > RENEWAL_S:
                renewed_s = capture.duration_s
                await _end(listener)
                await link.raw(True)
                listener = asyncio.create_task(link.listen())
    finally:
        try:
            await _end(listener)
        finally:
            while received:
                capture.take(received.pop(0))
    await link.raw(False)
    # The longer the sensor runs, the better the device knows its clock. (A sensor that failed meanwhile has none.)
    period_ns = (await link.status())["sample_period_ns"]
    capture.rate_hz = 1e9 / (period_ns or status["sample_period_ns"])
