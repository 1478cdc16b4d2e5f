"""Physics alone against physics with a learned model, on people whom the model has not seen.

Input: recordings with what is known of them, and a model file. Every recording is replayed twice through the
firmware. Output: rows by source and true direction, each with n, people and 95 % intervals, made as in
evaluation/statistics.py.

Right: forward and backward called so; a step that is neither (sideways, a turn, on the spot, or found in an exercise
without steps) left unknown. Wrong: forward called backward, backward called forward, neither called backward. The
steps found are the same both times; only what is said of them differs.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from retrostep.evaluation import activities, runs
from retrostep.evaluation.conditions import AS_RECORDED
from retrostep.evaluation.corpus import Corpus
from retrostep.evaluation.scoring import Facts, Score, Trial, lag_key, lags, score
from retrostep.evaluation.statistics import Figure, Part, ratio
from retrostep.evaluation.tables.cells import Table
from retrostep.recording import Recording
from retrostep.replay import Replayer
from retrostep.training.examples import CLASSES

_RIGHT = {"forward": "forward", "backward": "backward", "neither": "unknown"}
_WRONG = {"forward": "backward", "backward": "forward", "neither": "backward"}
ALL_REAL = "all"


@dataclass(frozen=True)
class Said:
    """What was said of the steps of one recording: counts by (true class, direction said)."""

    facts: Facts
    counts: Counter[tuple[str, str]]


@dataclass(frozen=True)
class Row:
    """Percent of the n steps of one true class, by physics alone, with the model, and the difference in points."""

    virtual: bool
    source: str
    true: str
    n: int
    people: int
    right: tuple[Figure, Figure, Figure]
    wrong: tuple[Figure, Figure, Figure]


def replayed(loaded: Corpus, model: Path | None, jobs: int) -> list[Said]:
    """What the firmware says of the recordings, in their order; model None: physics alone."""
    trials = [
        Trial.of(facts, AS_RECORDED, replay) for (_, facts), replay in runs.each(loaded, _replay, jobs, model)
    ]
    lags_s = lags(trials)
    return [Said(trial.facts, _counts(score(trial, lags_s.get(lag_key(trial), 0.0)))) for trial in trials]


def _replay(replayer: Replayer, item: tuple[Recording, Facts]):
    return replayer.replay(item[0])


def _counts(one: Score) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for step in one.judged:
        counts[step.true if step.true in CLASSES else "neither", step.found] += 1
    # Standing between walks is no class of steps: what is found there is mostly the edge of a walk.
    if one.facts.kind in activities.NO_STEPS:
        for found, count in one.quiet_found.items():
            counts["neither", found] += count
    return counts


def compare(loaded: Corpus, model: Path, jobs: int) -> list[Row]:
    """Rows for recordings of people whom the model has not seen; the caller sees to that."""
    return rows(replayed(loaded, None, jobs), replayed(loaded, model, jobs))


def rows(physics: list[Said], learned: list[Said]) -> list[Row]:
    """One row a source and true class, then all real sources together."""
    pairs = list(zip(physics, learned, strict=True))
    made = []
    for virtual, source in sorted({(one.facts.virtual, one.facts.source) for one in physics}):
        chosen = [
            pair for pair in pairs if (pair[0].facts.virtual, pair[0].facts.source) == (virtual, source)
        ]
        made += _of_classes(chosen, virtual, source)
    real = [pair for pair in pairs if not pair[0].facts.virtual]
    return [*made, *_of_classes(real, False, ALL_REAL)]


def _of_classes(pairs: list[tuple[Said, Said]], virtual: bool, source: str) -> Iterable[Row]:
    for true in CLASSES:
        right = _figures(pairs, true, _RIGHT[true])
        wrong = _figures(pairs, true, _WRONG[true])
        if right and wrong:
            yield Row(virtual, source, true, right[0].n, right[0].people, right, wrong)


def _figures(pairs: list[tuple[Said, Said]], true: str, said: str) -> tuple[Figure, Figure, Figure] | None:
    """Share of the steps of class `true` of which `said` is said: physics, with the model, difference."""

    def figure(value: Callable[[Said, Said], int], kind: str) -> Figure | None:
        parts = []
        for before, after in pairs:
            n = sum(count for (label, _), count in before.counts.items() if label == true)
            parts.append(Part(before.facts.person, before.facts.file, value(before, after), n))
        return ratio([part for part in parts if part.denominator], "%", kind=kind, scale=100)

    key = (true, said)
    first = figure(lambda before, _: before.counts[key], "share")
    second = figure(lambda _, after: after.counts[key], "share")
    change = figure(lambda before, after: after.counts[key] - before.counts[key], "mean")
    return (first, second, change) if first and second and change else None


def table(made: list[Row], title: str) -> Table:
    """As `retrostep model compare` shows it."""
    columns = ("", "source", "true", "steps", "people")
    what = ("physics", "with the model", "difference")
    return Table(
        "model",
        title,
        (*columns, *(f"right, {one}" for one in what), *(f"wrong, {one}" for one in what)),
        [
            [
                "virtual" if row.virtual else "real",
                row.source,
                row.true,
                row.n,
                row.people,
                *row.right,
                *row.wrong,
            ]
            for row in made
        ],
        "Wrong: forward called backward, backward called forward, neither called backward; the rest is unknown. "
        "Differences in percentage points. The interval of 95 % comes from drawing people, or recordings, where "
        "there are fewer than five people.",
    )


def verdict(made: list[Row]) -> str:
    """One sentence: whether the model is clearly better on all real people together."""
    better, worse = [], []
    for row in made:
        if row.source != ALL_REAL:
            continue
        for name, figure, sign in (("right", row.right[2], 1), ("wrong", row.wrong[2], -1)):
            if figure.low is None or figure.high is None or not figure.low <= figure.high:
                continue
            if sign * figure.low > 0 and sign * figure.high > 0:
                better.append(f"{row.true} {name}")
            elif sign * figure.low < 0 and sign * figure.high < 0:
                worse.append(f"{row.true} {name}")
    if better and not worse:
        return f"Clearly better on real people: {', '.join(better)}; nowhere clearly worse."
    told = f"clearly better: {', '.join(better) or 'nothing'}; clearly worse: {', '.join(worse) or 'nothing'}"
    return f"Not clearly better on real people ({told}): physics alone stays the better choice."
