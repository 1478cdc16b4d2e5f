"""The movement that the virtual board's sensor feels: a file the sensor model reads while it runs.

Little-endian int16, six columns (acc x y z at 0.488 mg per LSB, gyr x y z at 70 mdps per LSB), in the sensor's
own frame. Before its first sample and after its last the sensor lies still in the mean attitude of the second
beside it, with noise of +-2 LSB: a real sensor at rest never repeats one value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrostep.board.errors import BoardError

COLUMNS = 6
FLAT_ACC_LSB = (0, 0, 2049)
"""1 g straight up: the sensor lies flat."""


@dataclass(frozen=True)
class Feed:
    """`samples` rows of a file from row `offset` on, and what surrounds them.

    `starts_us` is the virtual time of the first one.
    """

    path: str
    offset: int
    samples: int
    rate_hz: float
    starts_us: int
    before_lsb: Sequence[int]
    after_lsb: Sequence[int]

    def as_dict(self) -> dict[str, Any]:
        """The form that the ROM reads."""
        return {
            "path": self.path,
            "offset": self.offset,
            "samples": self.samples,
            "rate_hz": self.rate_hz,
            "starts_us": self.starts_us,
            "before": list(self.before_lsb),
            "after": list(self.after_lsb),
        }


def lying_still(target: Path) -> Feed:
    """A sensor that nobody moves; `target` is there afterwards, for what comes later."""
    target.touch()
    flat = (*FLAT_ACC_LSB, 0, 0, 0)
    return Feed(str(target.resolve()), 0, 0, 104.0, 0, flat, flat)


def from_walk(walk: npt.NDArray[np.int16] | Path, rate_hz: float, starts_us: int, target: Path) -> Feed:
    """Append a walk to the feed file: int16 array (N, 6), or a raw file of that. Raises BoardError."""
    if isinstance(walk, Path):
        samples = np.fromfile(walk, dtype="<i2")
        if samples.size % COLUMNS:
            raise BoardError(
                f"{walk} holds {samples.size} numbers: expected a multiple of {COLUMNS} "
                "(little-endian int16: acc x y z, gyr x y z)"
            )
        samples = samples.reshape(-1, COLUMNS)
    else:
        samples = np.asarray(walk)
        if samples.ndim != 2 or samples.shape[1] != COLUMNS or samples.dtype.kind not in "iu":
            raise BoardError(
                f"the walk has shape {samples.shape} and type {samples.dtype}: "
                "expected (N, 6) whole numbers in LSB (0.488 mg, 70 mdps)"
            )
    if not len(samples):
        raise BoardError("the walk holds no samples: give at least one, or None to lie still")
    offset = target.stat().st_size // (2 * COLUMNS) if target.exists() else 0
    with target.open("ab") as file:
        samples.astype("<i2").tofile(file)
    second = max(1, round(rate_hz))
    return Feed(
        str(target.resolve()),
        offset,
        len(samples),
        rate_hz,
        starts_us,
        _rest(samples[:second]),
        _rest(samples[-second:]),
    )


def _rest(samples: npt.NDArray[np.int16]) -> tuple[int, ...]:
    """The mean attitude of these samples, standing still: (acc x y z, 0 0 0)."""
    acc = samples[:, :3].astype(float).mean(axis=0)
    return (*(round(float(value)) for value in acc), 0, 0, 0)
