"""Runs an evaluation: a folder of recordings through the firmware's gait code, under every condition.

    from retrostep.evaluation import evaluate
    evaluation = evaluate(folder, quick=True)
    evaluation.scores, evaluation.tables(), evaluation.goals()

Each replay is the device's own code in MicroPython (retrostep.replay). Nothing is written; excerpts and altered
recordings live in memory.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retrostep import recording as recordings
from retrostep.device_tree import use_device_code
from retrostep.evaluation import activities, excerpts, runs, simulated
from retrostep.evaluation.conditions import (
    AS_RECORDED,
    CALIBRATED,
    CONDITIONS,
    NOT_CALIBRATED,
    YAW_30,
    seed_of,
    wanted,
)
from retrostep.evaluation.scoring import Facts, Score, Trial, known_direction, lag_key, lags, score
from retrostep.recording import Recording, RecordingError
from retrostep.replay import Replayer, ReplayError

# Shorter ones without step truth are windows: too short to open a bout, so each is repeated.
WINDOW_S = 8.0
WINDOW_TIMES = 4
BOUT_STEPS = (4, 5, 6)
BOUTS_PER_RECORDING = 2
QUICK_PER_KIND = 2
QUICK_PERSONS = 2
CALIBRATION_STEPS = 10
# The device asks for steps until it has seen enough of them; it may miss some.
CALIBRATION_STEPS_MOST = 16
CALIBRATION_STAND_S = 3.0
CALIBRATION_AFTER_S = 0.7


class NoRecordings(ValueError):
    """The folder holds nothing to evaluate: what was seen, what was expected, what to do."""


@dataclass(frozen=True)
class Bout:
    """A stretch of exactly `steps` forward steps between quiet parts, and how many were found."""

    facts: Facts
    condition: str
    steps: int
    found: int


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


@dataclass(frozen=True)
class Evaluation:
    """Everything an evaluation found. tables(), goals(), as_json() and the pages are made of it."""

    folder: str
    seed: int
    quick: bool
    only: tuple[str, ...]
    scores: list[Score]
    lags_s: dict[tuple[str, str, str], float]
    bouts: list[Bout]
    calibrations: list[Calibration]
    models: dict[str, str]
    skipped: list[str]
    took_s: float
    simulated: list[Score]

    def select(self, condition: str = AS_RECORDED, **facts: Any) -> list[Score]:
        """Scores under a condition whose facts equal these; a tuple means any of them."""
        return [
            one
            for one in self.scores
            if one.condition == condition
            and all(
                getattr(one.facts, name) in value
                if isinstance(value, tuple)
                else getattr(one.facts, name) == value
                for name, value in facts.items()
            )
        ]


def evaluate(
    folder: str | Path,
    *,
    only: Iterable[str] = (),
    quick: bool = False,
    seed: int = 1,
    jobs: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Replay all recordings below `folder`.

    only: sources to take, default all. quick: a seeded sample of each activity of each source. jobs: replays at a
    time. progress: called with (done, all). Raises NoRecordings; a file that is no recording is named in `skipped`.
    """
    began = time.monotonic()
    only = tuple(only)
    loaded, skipped = _load(Path(folder), only)
    if quick:
        loaded = _sample(loaded, seed)
    work: list[tuple[Recording, Facts, str, Recording | None]] = []
    for one, facts in loaded:
        work += [(one, facts, name, None) for name in wanted(one, known_direction(facts))]
    work += _calibrated(loaded)
    cuts = list(_bouts(loaded, seed))
    walks = list(simulated.jobs(QUICK_PERSONS if quick else simulated.PERSONS))
    total = len(work) + len(cuts) + len(walks)
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total)

    trials: list[Trial] = []
    for (_, facts, _, _), outcome in runs.each(work, lambda replayer, job: _trial(replayer, job, seed), jobs):
        if isinstance(outcome, Trial):
            trials.append(outcome)
        else:
            skipped.append(f"{facts.file}: {outcome}")
        advance()
    bouts: list[Bout] = []
    for _, bout in runs.each(cuts, lambda replayer, job: _bout(replayer, job, seed), jobs):
        bouts.append(bout)
        advance()
    walked: list[Trial] = []
    for _, trial in runs.each(walks, simulated.replayed, jobs):
        walked.append(trial)
        advance()
    lags_s = lags(trials)
    return Evaluation(
        folder=str(folder),
        seed=seed,
        quick=quick,
        only=only,
        scores=[score(trial, lags_s.get(lag_key(trial), 0.0)) for trial in trials],
        lags_s=lags_s,
        bouts=bouts,
        calibrations=_calibrations(loaded, trials, jobs),
        models={trial.facts.placement: trial.model for trial in trials},
        skipped=list(dict.fromkeys(skipped)),
        took_s=time.monotonic() - began,
        simulated=simulated.scored(walked),
    )


def _load(folder: Path, only: tuple[str, ...]) -> tuple[list[tuple[Recording, Facts]], list[str]]:
    files = sorted(folder.rglob("*.npz"))
    if not files:
        seen = "no .npz file in or below it" if folder.is_dir() else "no such folder"
        raise NoRecordings(
            f"{folder}: {seen}; expected recordings (recording-1). docs/recording.md tells how to make some."
        )
    loaded: list[tuple[Recording, Facts]] = []
    skipped: list[str] = []
    sources = set()
    for path in files:
        try:
            one = recordings.load(path)
        except RecordingError as error:
            skipped.append(str(error))
            continue
        sources.add(one.meta["source"])
        if only and one.meta["source"] not in only:
            continue
        file = path.relative_to(folder).as_posix()
        window = not len(one.truth) and not len(one.steps) and one.duration_s < WINDOW_S
        if window and one.duration_s > 2 * excerpts.FADE_S:
            one = excerpts.repeated(one, WINDOW_TIMES)
        loaded.append((one, Facts.of(one, file, window)))
    if not loaded:
        seen = f"sources {', '.join(sorted(sources))}" if sources else f"no recording in {len(files)} files"
        wish = f"one of {', '.join(only)}" if only and sources else "recordings (recording-1)"
        first = f" First: {skipped[0]}" if skipped else ""
        raise NoRecordings(f"{folder}: {seen}; expected {wish}.{first}")
    return loaded, skipped


def _sample(loaded: list[tuple[Recording, Facts]], seed: int) -> list[tuple[Recording, Facts]]:
    groups: dict[tuple[str, ...], list[tuple[Recording, Facts]]] = defaultdict(list)
    for item in loaded:
        facts = item[1]
        groups[facts.source, facts.placement, facts.group, facts.activity.split(" ")[0]].append(item)
    rng = np.random.Generator(np.random.PCG64(seed))
    sample = []
    for group in groups.values():
        some = rng.permutation(len(group))[:QUICK_PER_KIND]
        sample += [group[i] for i in sorted(some)]
    return sample


def _trial(
    replayer: Replayer, job: tuple[Recording, Facts, str, Recording | None], seed: int
) -> Trial | Exception:
    one, facts, condition, walked_before = job
    try:
        if walked_before is None:
            altered = CONDITIONS[condition](one, seed_of(facts.file, seed))
            return Trial.of(facts, condition, replayer.replay(altered))
        if one.placement == "waist":
            yaw_deg = float(seed_of(facts.person, seed) % 360)
            one, walked_before = one.rotated(yaw_deg), walked_before.rotated(yaw_deg)
        mounting = _learned(replayer, walked_before)
        if mounting is None:
            one = CONDITIONS[NOT_CALIBRATED](one, 0)
        return Trial.of(facts, condition, replayer.replay(one, mounting=mounting))
    except (ReplayError, RecordingError) as error:
        return error


def _learned(replayer: Replayer, walk: Recording) -> bytes | None:
    """The mounting, or None where the calibration is refused: the device then counts without a direction."""
    try:
        return replayer.calibrate(walk)
    except ReplayError:
        return None


def _calibrated(
    loaded: list[tuple[Recording, Facts]],
) -> list[tuple[Recording, Facts, str, Recording | None]]:
    """Recordings of known direction, each with another of the same person and foot to calibrate on."""
    groups: dict[tuple[Any, ...], list[tuple[Recording, Facts]]] = defaultdict(list)
    for one, facts in loaded:
        of_waist = one.placement == "waist" and one.frame == "clip" and not facts.virtual
        of_shoe = one.placement == "shoe" and one.frame == "sensor"
        if (of_waist or of_shoe) and known_direction(facts):
            foot = one.meta.get("foot_of_this_sensor") or one.meta.get("mount")
            groups[facts.person, one.placement, foot].append((one, facts))
    work = []
    for group in groups.values():
        forward = [i for i, (_, facts) in enumerate(group) if _walks_forward(facts)]
        for i, (one, facts) in enumerate(group):
            # The next forward walk of that person, round the circle.
            others = [j for j in forward if j > i] + [j for j in forward if j < i]
            if others:
                work.append((one, facts, CALIBRATED, _straight(group[others[0]][0])))
    return work


def _walks_forward(facts: Facts) -> bool:
    if facts.true_s:
        return set(facts.true_directions) == {"forward"}
    return all(kind == activities.WALKING for _, _, kind in facts.parts)


def _straight(one: Recording) -> Recording:
    """From the beginning to the first turn."""
    turns = [float(span[0]) for span, name in zip(one.spans, one.span_label, strict=True) if name == "uturn"]
    return excerpts.cut(one, 0.0, min(turns)) if turns else one


def _bouts(loaded: list[tuple[Recording, Facts]], seed: int):
    for one, facts in loaded:
        if facts.virtual or one.placement != "waist" or not facts.true_s or not facts.windows:
            continue
        for steps in BOUT_STEPS:
            for cut in excerpts.bouts(one, steps, BOUTS_PER_RECORDING, seed_of(facts.file, seed) + steps):
                for condition in (AS_RECORDED, YAW_30):
                    yield cut, facts, condition, steps


def _bout(replayer: Replayer, job: tuple[Recording, Facts, str, int], seed: int) -> Bout:
    one, facts, condition, steps = job
    altered = CONDITIONS[condition](one, seed_of(facts.file, seed))
    return Bout(facts, condition, steps, len(replayer.replay(altered).steps))


def _calibrations(loaded: list[tuple[Recording, Facts]], trials: list[Trial], jobs: int) -> list[Calibration]:
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
        if not _walks_forward(facts):
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


_Axis = tuple[np.ndarray, np.ndarray]  # up, forward


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
