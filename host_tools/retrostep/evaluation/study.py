"""Runs an evaluation: a folder of recordings through the firmware's gait code, under every condition.

    from retrostep.evaluation import evaluate
    evaluation = evaluate(folder, quick=True)
    evaluation.select(source="lab", placement="waist")

What is made of it: tables/, goals.py, document.py, page.py.

Each replay is the device's own code in MicroPython (retrostep.replay). Nothing is written; excerpts and altered
recordings live in memory.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrostep.evaluation import bouts, calibration, runs, simulated, stability
from retrostep.evaluation.bouts import Bout
from retrostep.evaluation.calibration import Calibration
from retrostep.evaluation.conditions import (
    AS_RECORDED,
    CALIBRATED,
    CONDITIONS,
    NOT_CALIBRATED,
    seed_of,
    wanted,
)
from retrostep.evaluation.corpus import Corpus, load, sample, straight_beginning, walks_forward
from retrostep.evaluation.scoring import Facts, Score, Trial, known_direction, lag_key, lags, score
from retrostep.evaluation.stability import Watched
from retrostep.recording import Recording, RecordingError
from retrostep.replay import Replayer, ReplayError

QUICK_PERSONS = 2

# Recording, what is known of it, condition, and for CALIBRATED the walk that teaches the mounting.
Job = tuple[Recording, Facts, str, Recording | None]


@dataclass(frozen=True)
class Evaluation:
    """Everything that was found.

    scores: each recording under each condition. lags_s: by (source, placement, condition). models: by placement.
    skipped: why a file, or a replay of it, could not be judged. simulated, watched: see simulated.py, stability.py.
    """

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
    watched: list[Watched]

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
    model: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Replay all recordings below `folder`.

    only: sources to take, default all. quick: a seeded sample of each activity of each source. jobs: replays at a
    time. model: the file of a learned model that has a say. progress: called with (done, all). Raises NoRecordings; a
    file that is no recording is named in `skipped`.
    """
    began = time.monotonic()
    only = tuple(only)
    loaded, skipped = load(Path(folder), only)
    if quick:
        loaded = sample(loaded, seed)
    work: list[Job] = []
    for one, facts in loaded:
        work += [(one, facts, name, None) for name in wanted(one, known_direction(facts))]
    work += _taught(loaded)
    cuts = list(bouts.cuts(loaded, seed))
    walks = list(simulated.jobs(QUICK_PERSONS if quick else simulated.PERSONS))
    people = list(stability.jobs(loaded))
    total = len(work) + len(cuts) + len(walks) + len(people)
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total)

    trials: list[Trial] = []
    for (_, facts, _, _), outcome in runs.each(
        work, lambda replayer, job: _trial(replayer, job, seed), jobs, model
    ):
        if isinstance(outcome, Trial):
            trials.append(outcome)
        else:
            skipped.append(f"{facts.file}: {outcome}")
        advance()
    short: list[Bout] = []
    for _, bout in runs.each(cuts, lambda replayer, job: bouts.replayed(replayer, job, seed), jobs, model):
        short.append(bout)
        advance()
    walked: list[Trial] = []
    for _, trial in runs.each(walks, simulated.replayed, jobs, model):
        walked.append(trial)
        advance()
    watched: list[Watched] = []
    for _, some in runs.each(people, stability.replayed, jobs, model):
        watched += some
        advance()
    lags_s = lags(trials)
    return Evaluation(
        folder=str(folder),
        seed=seed,
        quick=quick,
        only=only,
        scores=[score(trial, lags_s.get(lag_key(trial), 0.0)) for trial in trials],
        lags_s=lags_s,
        bouts=short,
        calibrations=calibration.calibrations(loaded, trials, jobs),
        models={trial.facts.placement: trial.model for trial in trials},
        skipped=list(dict.fromkeys(skipped)),
        took_s=time.monotonic() - began,
        simulated=simulated.scored(walked),
        watched=watched,
    )


def _trial(replayer: Replayer, job: Job, seed: int) -> Trial | Exception:
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


def _taught(loaded: Corpus) -> list[Job]:
    """Recordings of known direction, each with another of the same person and foot to calibrate on."""
    groups: dict[tuple[Any, ...], Corpus] = defaultdict(list)
    for one, facts in loaded:
        of_waist = one.placement == "waist" and one.frame == "clip" and not facts.virtual
        of_shoe = one.placement == "shoe" and one.frame == "sensor"
        if (of_waist or of_shoe) and known_direction(facts):
            foot = one.meta.get("foot_of_this_sensor") or one.meta.get("mount")
            groups[facts.person, one.placement, foot].append((one, facts))
    work: list[Job] = []
    for group in groups.values():
        forward = [i for i, (_, facts) in enumerate(group) if walks_forward(facts)]
        for i, (one, facts) in enumerate(group):
            # The next forward walk of that person, round the circle.
            others = [j for j in forward if j > i] + [j for j in forward if j < i]
            if others:
                work.append((one, facts, CALIBRATED, straight_beginning(group[others[0]][0])))
    return work
