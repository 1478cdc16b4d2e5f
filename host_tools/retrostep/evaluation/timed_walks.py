"""How well the 3-metre test (firmware/walktest.py) times a walk, on simulated walks whose truth is exact.

They answer whether start and end are found where the rules say they are, over persons, cadences, step lengths and
numbers of steps; what people's feet do beyond that they cannot say (docs/walk-test.md). Only the clip's frame is
replayed: a calibrated wearer.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from retrostep.recording import Recording
from retrostep.replay import Replayer
from retrostep.walker import Walk

DISTANCE_M = 3.0
TOLERANCE_S = 0.3
# From a nursing home's to a quick adult's: steps a minute, metres a step.
CADENCE_PER_MIN = (60.0, 130.0)
STEP_M = (0.15, 0.60)
STEPS_MIN = 4
# From the start signal to the first movement.
REACTION_S = (0.2, 1.2)
STAND_BEFORE_S, STAND_AFTER_S = 4.0, 4.5
# The walker shifts its weight so long before the foot lifts.
SHIFT_S = 0.5


@dataclass(frozen=True)
class TimedWalk:
    """One simulated test: the recording, when the start signal comes, and what is true."""

    recording: Recording
    go_s: float
    lift_s: float
    last_contact_s: float
    steps: int


@dataclass(frozen=True)
class TimingError:
    """What the device said of one test.

    start_s, end_s: its errors, None where it timed nothing; steps: how many too many.
    """

    outcome: str
    direction: str
    start_s: float | None
    end_s: float | None
    steps: int

    @property
    def within_tolerance(self) -> bool:
        return (
            self.outcome == "done"
            and self.start_s is not None
            and self.end_s is not None
            and max(abs(self.start_s), abs(self.end_s)) <= TOLERANCE_S
        )


def timed_walk(seed: int, placement: str, direction: str = "backward") -> TimedWalk:
    """3 m walked by the person, at the pace and with the steps, that the seed draws."""
    rng = np.random.Generator(np.random.PCG64([seed, 7]))
    cadence, step_m = rng.uniform(*CADENCE_PER_MIN), rng.uniform(*STEP_M)
    # One more: the closing step gains no ground.
    steps = max(STEPS_MIN, round(DISTANCE_M / step_m) + 1)
    stand_s = STAND_BEFORE_S + rng.uniform(0, 1)
    walk = (
        Walk(seed)
        .stand(stand_s)
        .walk(direction, steps=steps, step_m=step_m, cadence_per_min=cadence)
        .stand(STAND_AFTER_S)
    )
    falls = walk.plan().footfalls
    lift_s = falls[0].lift_s
    recording = walk.recording(placement)
    return TimedWalk(
        recording,
        lift_s - SHIFT_S - rng.uniform(*REACTION_S),
        lift_s,
        falls[-1].contact_s,
        steps,
    )


def timing_error(replayer: Replayer, walk: TimedWalk) -> TimingError:
    """One test through the firmware."""
    found = replayer.walk_test(walk.recording, walk.go_s)
    if found["walk_ms"] is None:
        return TimingError(found["outcome"], found["direction"], None, None, found["steps"] - walk.steps)
    lift_s = (found["uptime_ms"] + found["reaction_ms"]) / 1000
    return TimingError(
        found["outcome"],
        found["direction"],
        lift_s - walk.lift_s,
        lift_s + found["walk_ms"] / 1000 - walk.last_contact_s,
        found["steps"] - walk.steps,
    )


def timing_errors(placement: str, seeds: Iterable[int], direction: str = "backward") -> Iterator[TimingError]:
    """The errors of the walks of these seeds."""
    with Replayer() as replayer:
        for seed in seeds:
            yield timing_error(replayer, timed_walk(seed, placement, direction))
