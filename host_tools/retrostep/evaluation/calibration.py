"""The declared calibration, as it is asked of the wearer: the forward axis from the first ten steps at the waist.

Its error is the angle to the wearer's own axis, the mean over all of their walks.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from retrostep.device_tree import use_device_code
from retrostep.evaluation import excerpts, runs
from retrostep.evaluation.conditions import (
    AS_RECORDED,
)
from retrostep.evaluation.corpus import Corpus, walks_forward
from retrostep.evaluation.scoring import Facts, Trial
from retrostep.recording import Recording
from retrostep.replay import Replayer, ReplayError

CALIBRATION_STEPS = 10
# The device asks for steps until it has seen enough of them; it may miss some.
CALIBRATION_STEPS_MOST = 16
CALIBRATION_STAND_S = 3.0
CALIBRATION_AFTER_S = 0.7

_Axis = tuple[np.ndarray, np.ndarray]  # up, forward


@dataclass(frozen=True)
class Calibration:
    """The forward axis from the first steps beside the person's own, in degrees; None: refused, with the reason.

    nominal_deg: from the recording's x axis.
    """

    facts: Facts
    steps: int
    error_deg: float | None
    nominal_deg: float | None
    reason: str = ""


def calibrations(loaded: Corpus, trials: list[Trial], jobs: int) -> list[Calibration]:
    """The declared calibration on the first steps of each forward walk at the waist, mounting known."""
    found = {
        trial.facts.file: [step.contact_s for step in trial.steps]
        for trial in trials
        if trial.condition == AS_RECORDED
    }
    walks = []
    for one, facts in loaded:
        if facts.virtual or one.placement != "waist" or one.frame != "clip" or facts.repeated:
            continue
        if not walks_forward(facts):
            continue
        contacts = list(facts.true_s) or found.get(facts.file, [])
        if len(contacts) >= CALIBRATION_STEPS:
            walks.append((one, facts, contacts))
    answers = [answer for _, answer in runs.each(walks, _first_and_whole, jobs)]
    own: dict[str, list[_Axis]] = defaultdict(list)
    for (_, facts, _), (_, _, whole, _) in zip(walks, answers, strict=True):
        if whole is not None:
            own[facts.person].append(whole)
    results = []
    for (_, facts, _), (steps, first, _, reason) in zip(walks, answers, strict=True):
        if first is None or not own[facts.person]:
            results.append(Calibration(facts, steps, None, None, reason))
            continue
        up = np.mean([axis[0] for axis in own[facts.person]], axis=0)
        forward = np.mean([axis[1] for axis in own[facts.person]], axis=0)
        nominal = _angle_about(up, first[1], np.array([1.0, 0.0, 0.0]))
        results.append(Calibration(facts, steps, _angle_about(up, first[1], forward), nominal))
    return results


def _first_and_whole(
    replayer: Replayer, job: tuple[Recording, Facts, list[float]]
) -> tuple[int, _Axis | None, _Axis | None, str]:
    """(steps needed, axes from the first steps, axes from the whole recording, why there is none)."""
    one, _, contacts = job
    start_s = max(0.0, contacts[0] - CALIBRATION_STAND_S)
    first, reason, steps = None, "", CALIBRATION_STEPS
    for steps in range(CALIBRATION_STEPS, min(CALIBRATION_STEPS_MOST, len(contacts)) + 1):
        part = excerpts.cut(one, start_s, contacts[steps - 1] + CALIBRATION_AFTER_S)
        first, reason = _axes(replayer, part)
        if first is not None:
            break
    return steps, first, _axes(replayer, one)[0], reason


def _axes(replayer: Replayer, one: Recording) -> tuple[_Axis | None, str]:
    use_device_code()
    from firmware.gait.mounting import Mounting

    try:
        mounting = Mounting.unpack(replayer.calibrate(one))
    except ReplayError as error:
        return None, str(error)
    return (np.array(mounting.gravity) / 16384, np.array(mounting.forward) / 16384), ""


def _angle_about(up: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    """Angle in degrees, 0 to 180, between two directions seen along `up`."""
    up = up / np.linalg.norm(up)
    one, other = one - up * (one @ up), other - up * (other @ up)
    cosine = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
