"""Smooth curves through a few knots, and smoothing over a window that may change its width."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def min_jerk(phase: Floats) -> Floats:
    """From 0 to 1 as phase goes from 0 to 1, at rest and unaccelerated at both ends (Flash and Hogan 1985)."""
    u = np.clip(phase, 0.0, 1.0)
    return u**3 * (10 + u * (6 * u - 15))


class Track:
    """One quantity over time: quintic pieces between knots that give value, rate and acceleration.

    Knots come in order of time; before the first and after the last the value stands still at theirs.
    """

    def __init__(self) -> None:
        self._knots: list[tuple[float, float, float, float]] = []

    def knot(self, time_s: float, value: float, rate: float = 0.0, acceleration: float = 0.0) -> None:
        """Append a knot; one that is not later than the last knot is an error of the caller."""
        if self._knots and time_s <= self._knots[-1][0]:
            raise ValueError(f"knot at {time_s:.3f} s is not after {self._knots[-1][0]:.3f} s")
        self._knots.append((time_s, value, rate, acceleration))

    def go(self, start_s: float, end_s: float, value: float) -> None:
        """From the present value, kept until start_s, to `value` at end_s, at rest at both ends."""
        if start_s > self.last_s:
            self.knot(start_s, self.last_value)
        self.knot(end_s, value)

    @property
    def last_value(self) -> float:
        return self._knots[-1][1] if self._knots else 0.0

    @property
    def last_s(self) -> float:
        return self._knots[-1][0] if self._knots else float("-inf")

    def at(self, time_s: Floats) -> Floats:
        if not self._knots:
            return np.zeros_like(time_s)
        knots = np.array(self._knots)
        t, value, rate, acceleration = knots.T
        if len(knots) == 1:
            return np.full_like(time_s, value[0])
        i = np.clip(np.searchsorted(t, time_s, side="right") - 1, 0, len(t) - 2)
        span = t[i + 1] - t[i]
        u = np.clip((time_s - t[i]) / span, 0.0, 1.0)
        u3 = u**3
        up = u3 * (10 + u * (6 * u - 15))
        rate0 = u - u3 * (6 + u * (3 * u - 8))
        rate1 = -u3 * (4 + u * (3 * u - 7))
        bend0 = 0.5 * u**2 * (1 - u) ** 3
        bend1 = 0.5 * u3 * (1 - u) ** 2
        inside = (
            value[i] * (1 - up)
            + value[i + 1] * up
            + span * (rate[i] * rate0 + rate[i + 1] * rate1)
            + span**2 * (acceleration[i] * bend0 + acceleration[i + 1] * bend1)
        )
        return np.where(time_s < t[0], value[0], np.where(time_s > t[-1], value[-1], inside))


def smoothed(values: Floats, width: Floats | float) -> Floats:
    """Mean over a window of `width` samples (may vary from sample to sample) around each, applied twice."""
    n = len(values)
    half = np.broadcast_to(np.asarray(width, dtype=np.float64) / 2, (n,))
    reach = int(np.ceil(half.max())) + 2
    at = np.arange(n) + reach
    for _ in range(2):
        padded = np.concatenate([np.full(reach, values[0]), values, np.full(reach + 1, values[-1])])
        # Integral of the piecewise linear curve up to each sample, read between samples to second order.
        total = np.concatenate([[0.0], np.cumsum((padded[1:] + padded[:-1]) / 2)])
        values = (_integral(padded, total, at + half) - _integral(padded, total, at - half)) / (2 * half)
    return values


def _integral(values: Floats, total: Floats, position: Floats) -> Floats:
    i = np.floor(position).astype(np.int64)
    part = position - i
    return total[i] + part * values[i] + part**2 / 2 * (values[i + 1] - values[i])


def slope(values: Floats, rate_hz: float) -> Floats:
    """First derivative along axis 0 by central differences."""
    return np.gradient(values, 1 / rate_hz, axis=0)


def curvature(values: Floats, rate_hz: float) -> Floats:
    """Second derivative along axis 0 by the three-point difference; zero at both ends."""
    out = np.zeros_like(values)
    out[1:-1] = (values[2:] - 2 * values[1:-1] + values[:-2]) * rate_hz**2
    return out
