"""What a hand on the virtual board feels: the events "motor" of rom/virtual/vibration.py as strength over time.

buzzes = felt(board.events, board.wiring.motor)      # [Buzz(starts_s, lasts_s, peak_mg), ...]
strength_mg(board.events, board.wiring.motor, 12.5)
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from retrostep.board.wiring import Motor

THRESHOLD_MG = 40
"""Weaker than that is not felt through clothes: about 0.04 g at 150 to 200 Hz."""
_STEP_S = 0.001
_LONGEST_TAIL_S = 1.0


@dataclass(frozen=True)
class Buzz:
    """A stretch of time in which the hand feels something."""

    starts_s: float
    lasts_s: float
    peak_mg: float


def _pieces(events: Iterable[Any]) -> list[tuple[float, float, float, float]]:
    """(from_s, speed then, target, time constant in s) of each change."""
    return [
        (event.us / 1e6, event.data["speed"], event.data["target"], event.data["tau_ms"] / 1000)
        for event in events
        if event.kind == "motor"
    ]


def _strength(motor: Motor, piece: tuple[float, float, float, float], at_s: float) -> float:
    from_s, speed, target, tau_s = piece
    now = target + (speed - target) * math.exp(-(at_s - from_s) / tau_s)
    return motor.amplitude_mg * (now if motor.kind == "lra" else now * now)


def strength_mg(events: Iterable[Any], motor: Motor, at_s: float) -> float:
    """How strongly the case shakes at that time."""
    before = [piece for piece in _pieces(events) if piece[0] <= at_s]
    return _strength(motor, before[-1], at_s) if before else 0.0


def felt(events: Iterable[Any], motor: Motor) -> list[Buzz]:
    """Every buzz that is strong enough to be felt, in order; times to a millisecond."""
    pieces = _pieces(events)
    buzzes: list[Buzz] = []
    starts_s: float | None = None
    peak_mg = at_s = 0.0
    for number, piece in enumerate(pieces):
        end_s = pieces[number + 1][0] if number + 1 < len(pieces) else piece[0] + _LONGEST_TAIL_S
        steps = round((end_s - piece[0]) / _STEP_S)
        for step in range(min(steps, round(_LONGEST_TAIL_S / _STEP_S) * 2)):
            at_s = piece[0] + step * _STEP_S
            strength = _strength(motor, piece, at_s)
            if strength >= THRESHOLD_MG:
                starts_s = at_s if starts_s is None else starts_s
                peak_mg = max(peak_mg, strength)
            elif starts_s is not None:
                buzzes.append(Buzz(starts_s, at_s - starts_s, peak_mg))
                starts_s, peak_mg = None, 0.0
    if starts_s is not None:
        buzzes.append(Buzz(starts_s, at_s - starts_s, peak_mg))
    return buzzes
