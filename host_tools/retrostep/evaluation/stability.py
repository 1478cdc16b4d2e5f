"""Stability at the waist: alarms where somebody stumbled or fell, alarms where nobody did, and scores of patients.

Each person's recordings are replayed one after the other, each with what the device had learned of the wearer from
those before; in sisfall from the walks D01 and D02 only, and everything else with what these taught. An alarm counts
from when the device knew: at the end of the block of samples, as the FIFO hands it over.

Where a stumble was acted (D18) no time is annotated: the trial's largest acceleration stands for it.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from retrostep.evaluation import activities
from retrostep.evaluation.corpus import Corpus
from retrostep.evaluation.scoring import Facts
from retrostep.evaluation.statistics import SEED, Figure, Part, quantile, ratio
from retrostep.recording import Recording
from retrostep.replay import Replayer, ReplayError

SOURCES = ("sisfall", "ipol110", "uniss", "semio", "mobgap", "kuhar")
TEACHING = ("D01", "D02")
ALARMS = ("stumble", "unstable", "fall")
# Of an acted stumble: from so long before its largest acceleration to so long after it.
BEFORE_PEAK_S = 1.5
AFTER_PEAK_S = 2.0
# Of a fall: what is told earlier is a false alarm.
BEFORE_IMPACT_S = 1.5
AFTER_IMPACT_S = 1.0
FALLS = ("F01", "F02", "F03", "F04")
BLOCK_S = 26 / 104
# Fewer scored steps are no recording's score.
FEWEST_SCORES = 4

Job = list[tuple[Recording, Facts]]


@dataclass(frozen=True)
class Watched:
    """One recording: (when it was known in s, kind) of each event, the mean score or None, and the largest |acc|."""

    facts: Facts
    events: list[tuple[float, str]]
    score: float | None
    peak_s: float

    @property
    def code(self) -> str:
        return self.facts.activity.split(" ")[0].split(":")[0]

    @property
    def alarms_s(self) -> list[float]:
        return [at_s for at_s, kind in self.events if kind in ALARMS]

    @property
    def found_s(self) -> float | None:
        """When the acted stumble was told, from its largest acceleration; None: it was not."""
        near = [at_s - self.peak_s for at_s in self.alarms_s]
        return next((s for s in near if -BEFORE_PEAK_S <= s <= AFTER_PEAK_S), None)


def jobs(loaded: Corpus) -> Iterator[Job]:
    """The real recordings at the waist, a list for each person, in the order in which they are replayed."""
    people: dict[str, Job] = defaultdict(list)
    for one, facts in loaded:
        if facts.placement == "waist" and facts.source in SOURCES and not facts.virtual:
            people[facts.person].append((one, facts))
    for job in people.values():
        yield sorted(job, key=lambda item: (item[1].activity.split(" ")[0] not in TEACHING, item[1].file))


def replayed(replayer: Replayer, job: Job) -> list[Watched]:
    """One person's recordings through the firmware."""
    baseline = None
    watched = []
    for one, facts in job:
        try:
            replay = replayer.replay(one, baseline=baseline)
        except ReplayError:
            # The same recording's steps could not be judged either, and there the reason is told.
            continue
        if facts.source != "sisfall" or facts.activity.split(" ")[0] in TEACHING:
            baseline = replay.baseline or baseline
        scores = [step.stability for step in replay.steps if step.stability is not None]
        watched.append(
            Watched(
                facts,
                [(math.ceil(at_s / BLOCK_S - 1e-6) * BLOCK_S, kind) for at_s, kind in replay.events],
                float(np.mean(scores)) if len(scores) >= FEWEST_SCORES else None,
                int(np.argmax(np.linalg.norm(one.samples[:, :3].astype(float), axis=1))) / one.rate_hz,
            )
        )
    return watched


def stumbles(watched: Iterable[Watched]) -> list[Watched]:
    return [one for one in watched if one.facts.kind == activities.STUMBLE]


def falls(watched: Iterable[Watched]) -> list[Watched]:
    return [
        one for one in watched if one.facts.source == "sisfall" and one.code in FALLS and one.facts.falls_s
    ]


def without_stumbles(watched: Iterable[Watched]) -> list[Watched]:
    """Everything in which nobody stumbled or fell (D01-D17, D19; ipol110, uniss, kuhar)."""
    return [
        one
        for one in watched
        if one.facts.kind not in (activities.STUMBLE, activities.FALLING, activities.FALLING_WALKING)
        and one.facts.source in ("sisfall", "ipol110", "uniss", "kuhar")
    ]


def level_walking(watched: Iterable[Watched]) -> list[Watched]:
    """With starts, stops and turns."""
    return [
        one
        for one in watched
        if one.facts.source in ("ipol110", "uniss")
        or (one.facts.source == "sisfall" and one.code in TEACHING)
    ]


def steady_and_healthy(watched: Iterable[Watched]) -> list[Watched]:
    return [one for one in level_walking(watched) if one.facts.group not in ("stroke", "parkinson")]


def at_rest(watched: Iterable[Watched]) -> list[Watched]:
    return [one for one in watched if one.facts.kind == activities.RESTING]


def told(watched: Iterable[Watched]) -> Figure | None:
    """Of the trials with a stumble, how many were told, in percent."""
    return ratio([_part(one, one.found_s is not None, 1) for one in watched], "%", scale=100)


def lateness(watched: Iterable[Watched], q: float) -> Figure | None:
    """The q-quantile of when a stumble was told, in s from its largest acceleration."""
    return quantile([(one.facts.person, s) for one in watched if (s := one.found_s) is not None], q, "s")


def alarms_an_hour(watched: Iterable[Watched]) -> Figure | None:
    return _an_hour(watched, lambda one: len(one.alarms_s))


def notices_an_hour(watched: Iterable[Watched]) -> Figure | None:
    """Events "changed gait" an hour."""
    return _an_hour(watched, lambda one: sum(kind == "changed_gait" for _, kind in one.events))


def falls_told(watched: Iterable[Watched], kinds: tuple[str, ...]) -> Figure | None:
    """Of falls, how many an event of these kinds told as they happened or within a second of the impact, in %."""

    def told_in_time(one: Watched) -> bool:
        since_impact = [at_s - one.facts.falls_s[0] for at_s, kind in one.events if kind in kinds]
        return any(-BEFORE_IMPACT_S <= s <= AFTER_IMPACT_S for s in since_impact)

    return ratio([_part(one, told_in_time(one), 1) for one in watched], "%", scale=100)


def separation(less: Iterable[Watched], more: Iterable[Watched]) -> Figure | None:
    """Area under the curve: how often a recording of `less` has a lower score than one of `more`; drawn by people."""
    groups = [_by_person(less), _by_person(more)]
    if not all(groups):
        return None
    value = _area(*[np.concatenate(list(group.values())) for group in groups])
    rng = np.random.Generator(np.random.PCG64(SEED))
    drawn = []
    for _ in range(1000):
        chosen = []
        for group in groups:
            people = list(group.values())
            chosen.append(np.concatenate([people[i] for i in rng.integers(0, len(people), len(people))]))
        drawn.append(_area(*chosen))
    low, high = np.percentile(drawn, [2.5, 97.5])
    recordings = sum(len(scores) for group in groups for scores in group.values())
    return Figure(value, "", recordings, sum(map(len, groups)), float(low), float(high), "people")


def _area(low: np.ndarray, high: np.ndarray) -> float:
    difference = high[None, :] - low[:, None]
    return float(np.mean(difference > 0) + np.mean(difference == 0) / 2)


def _by_person(watched: Iterable[Watched]) -> dict[str, list[float]]:
    people: dict[str, list[float]] = defaultdict(list)
    for one in watched:
        if one.score is not None:
            people[one.facts.person].append(one.score)
    return people


def _an_hour(watched, count) -> Figure | None:
    parts = [_part(one, count(one), one.facts.duration_s / 3600) for one in watched]
    return ratio(parts, "/h", kind="rate", n=round(sum(part.numerator for part in parts)))


def _part(one: Watched, numerator: float, denominator: float) -> Part:
    return Part(one.facts.person, one.facts.file, float(numerator), denominator)
