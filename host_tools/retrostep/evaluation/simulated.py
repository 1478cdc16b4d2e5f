"""Walks of the simulated walker (retrostep.walker) that no recording here shows.

They answer whether the rules do what they promise, not how accurate the product is on people: very slow and soft
steps at the waist; at the shoe, backward and side strides after a calibration on another walk, and walks that
start sideways or backward without any calibration. The shoe's clip is turned and tilted by seed, mounting unknown.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from retrostep.evaluation.conditions import AS_RECORDED, CALIBRATED, NOT_CALIBRATED
from retrostep.evaluation.scoring import Facts, Score, Trial, lag_key, lags, score
from retrostep.recording import Recording
from retrostep.replay import Replayer, ReplayError
from retrostep.walker import Person, Walk

PERSONS = 6
STEPS = 20
SLOW = "a step every 1.4 s, 0.05 g"
SHOE = "shoe"
# Turns of a shoe's clip about its z axis, then tilts, in degrees.
SHOE_YAW_DEG = (0, 40, -70, 110, 180, -150)
SHOE_TILT_DEG = (0, 10, -10, 20, -20, 15)


@dataclass(frozen=True)
class Job:
    recording: Recording
    facts: Facts
    condition: str
    calibrate_on: Recording | None = None


def jobs(persons: int = PERSONS) -> Iterator[Job]:
    """The walks of `persons` persons, each as it is replayed."""
    for seed in range(1, persons + 1):
        person = Person.drawn(seed)
        slow = replace(person, cadence_per_min=43.0, step_per_height=0.25, tread=1.0)
        walk = Walk(seed=seed, person=slow).stand(3).walk("forward", steps=STEPS).stand(3)
        yield _job(walk, "waist", seed, SLOW, AS_RECORDED)
        for direction in ("forward", "backward", "sideways"):
            walk = Walk(seed=seed, person=person).stand(3).walk(direction, steps=STEPS).stand(2)
            yield _job(walk, "waist", seed, direction, AS_RECORDED)
            walk = walk.walk("forward", steps=STEPS).stand(2)
            yield _job(walk, SHOE, seed, f"{direction}, then forward", NOT_CALIBRATED)
        taught = Walk(seed=100 + seed, person=person).stand(3).walk("forward", steps=24).stand(2)
        for direction in ("backward", "sideways"):
            walk = Walk(seed=seed, person=person).stand(3).walk(direction, steps=STEPS).stand(2)
            yield _job(walk, SHOE, seed, f"{direction} after calibration", CALIBRATED, taught)


def _job(walk: Walk, placement: str, seed: int, name: str, condition: str, taught: Walk | None = None) -> Job:
    recording = _worn(walk, placement, seed)
    facts = replace(Facts.of(recording, f"simulated {seed}: {name}"), activity=name, kind="")
    return Job(recording, facts, condition, None if taught is None else _worn(taught, placement, seed))


def _worn(walk: Walk, placement: str, seed: int) -> Recording:
    recording = walk.recording(placement=placement).with_noise(seed)
    if placement != SHOE:
        return recording
    at = seed % len(SHOE_YAW_DEG)
    turned = recording.rotated(SHOE_YAW_DEG[at], SHOE_TILT_DEG[at])
    return replace(turned, meta={**turned.meta, "frame": "sensor"})


def replayed(replayer: Replayer, job: Job) -> Trial:
    """One walk through the firmware."""
    mounting = None
    if job.calibrate_on is not None:
        try:
            mounting = replayer.calibrate(job.calibrate_on)
        except ReplayError:
            mounting = None  # refused: the strides count as unknown
    return Trial.of(job.facts, job.condition, replayer.replay(job.recording, mounting=mounting))


def scored(trials: list[Trial]) -> list[Score]:
    lags_s = lags(trials)
    return [score(trial, lags_s[lag_key(trial)]) for trial in trials]
