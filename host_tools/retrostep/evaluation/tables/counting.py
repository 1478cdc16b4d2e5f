"""How many steps were found: where they were walked, where none was, in short bouts and short windows."""

from collections import Counter, defaultdict

from retrostep.evaluation import measures
from retrostep.evaluation.bouts import BOUT_STEPS
from retrostep.evaluation.conditions import AS_RECORDED
from retrostep.evaluation.scoring import Score
from retrostep.evaluation.statistics import Figure, Part, ratio
from retrostep.evaluation.study import Evaluation
from retrostep.evaluation.tables.cells import Cell, Table
from retrostep.evaluation.tables.groups import WHERE, by_source, people_in, where
from retrostep.replay import DIRECTIONS

# Less of one kind says nothing about an hour.
SHORTEST_QUIET_S = 60.0


def steps_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    for key, scores in by_source(one for one in evaluation.select() if one.true_steps):
        worst = max(scores, key=lambda one: abs(one.found_steps - one.true_steps) / one.true_steps)
        lag_s = evaluation.lags_s.get((key[2], key[0], AS_RECORDED), 0.0)
        rows.append(
            [
                *where(key),
                people_in(scores),
                len(scores),
                sum(one.true_steps for one in scores),
                sum(one.found_steps for one in scores),
                f"{1000 * lag_s:+.0f}",
                measures.count_error(scores),
                measures.f1(scores, near=False),
                measures.f1(scores, near=True),
                measures.f1(scores, own_lag=True),
                f"{worst.facts.file}: {worst.found_steps} of {worst.true_steps}",
            ]
        )
    return Table(
        "steps",
        "Steps found",
        (
            *WHERE,
            "people",
            "recordings",
            "true",
            "found",
            "lag ms",
            "MAPE",
            "F1 0.1 s",
            "F1 0.25 s",
            "F1 0.1 s, own lag",
            "worst recording",
        ),
        rows,
        "Within the truth windows. MAPE: mean over recordings of the error of the count. F1: steps paired with "
        "contacts after the constant lag of the source (own lag: of each recording) is removed. At the shoe a "
        "step is a stride of that foot.",
    )


def hand_counted_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    groups: dict[tuple[str, bool, str, str], list[Score]] = defaultdict(list)
    for one in evaluation.select():
        if one.facts.counted:
            facts = one.facts
            groups[facts.placement, facts.virtual, facts.source, facts.activity].append(one)
    for key, scores in sorted(groups.items()):
        rows.append(
            [
                *where(key),
                people_in(scores),
                len(scores),
                sum(one.facts.counted or 0 for one in scores),
                sum(one.found.total() for one in scores),
                measures.hand_count_error(scores),
            ]
        )
    return Table(
        "hand_counted",
        "Steps against a count by hand",
        ("worn", "kind", "source", "activity", "people", "recordings", "counted", "found", "MAPE"),
        rows,
        "Recordings with meta.step_count and without annotated contacts. At the shoe: strides of that foot.",
    )


def windows_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    groups: dict[tuple[str, str], list[Score]] = defaultdict(list)
    for one in evaluation.select(repeated=True):
        groups[one.facts.source, one.facts.activity].append(one)
    for (source, activity), scores in sorted(groups.items(), key=lambda item: _natural(item[0])):
        found = sum((one.found for one in scores), Counter())
        rows.append(
            [
                source,
                activity,
                people_in(scores),
                len(scores),
                sum(1 for one in scores if one.found.total()),
                *(found[name] for name in DIRECTIONS),
                sum(1 for one in scores if one.found["backward"] > one.found["forward"]),
                sum(1 for one in scores if one.found["forward"] > one.found["backward"]),
            ]
        )
    return Table(
        "windows",
        "Short windows, repeated",
        (
            "source",
            "activity",
            "people",
            "windows",
            "with steps",
            *DIRECTIONS,
            "more backward",
            "more forward",
        ),
        rows,
        "Windows of a few seconds, each played four times with a cross-fade, so that a bout can open.",
    )


def _natural(key: tuple[str, str]) -> tuple[str, int, str]:
    number = key[1].split(":")[0]
    return key[0], int(number) if number.isdigit() else 0, key[1]


def false_steps_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    groups: dict[tuple[str, bool, str, str], list[Score]] = defaultdict(list)
    for one in evaluation.select(repeated=False):
        if one.quiet:
            facts = one.facts
            groups[facts.placement, facts.virtual, facts.source, one.quiet].append(one)
    for key, scores in sorted(groups.items(), key=lambda item: (item[0][0] != "waist", item[0])):
        if sum(one.quiet_s for one in scores) < SHORTEST_QUIET_S:
            continue
        by_activity: dict[str, list[Score]] = defaultdict(list)
        for one in scores:
            by_activity[one.facts.activity].append(one)
        rows.append([*where(key), "all", *_false_cells(scores)])
        if len(by_activity) > 1 and not key[1]:
            rows += [
                [*where(key), name, *_false_cells(some)]
                for name, some in sorted(by_activity.items())
                if sum(one.quiet_found.total() for one in some)
            ]
    return Table(
        "false_steps",
        "Steps found where none was walked",
        (
            "worn",
            "kind",
            "source",
            "what went on",
            "activity",
            "people",
            "hours",
            "steps",
            "an hour",
            "backward",
            "worst recording",
        ),
        rows,
        "Beside walking: more than 1 s from every true step. Getting into a car holds real steps. "
        "Activities without a false step are in the sums only; less than a minute in all is left out.",
    )


def _false_cells(scores: list[Score]) -> list[Cell]:
    worst = max(scores, key=lambda one: one.quiet_found.total())
    count = worst.quiet_found.total()
    return [
        people_in(scores),
        f"{sum(one.quiet_s for one in scores) / 3600:.2f}",
        sum(one.quiet_found.total() for one in scores),
        measures.false_an_hour(scores),
        sum(one.quiet_found["backward"] for one in scores),
        f"{worst.facts.file}: {count}" if count else None,
    ]


def bouts_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    sources = sorted({bout.facts.source for bout in evaluation.bouts})
    for condition in sorted({bout.condition for bout in evaluation.bouts}):
        for source in sources:
            for steps in BOUT_STEPS:
                some = [
                    bout
                    for bout in evaluation.bouts
                    if (bout.facts.source, bout.condition, bout.steps) == (source, condition, steps)
                ]
                if some:
                    found = [Part(one.facts.person, one.facts.file, one.found, steps) for one in some]
                    rows.append(
                        [
                            source,
                            condition,
                            steps,
                            len({bout.facts.person for bout in some}),
                            len(some),
                            bouts_reported(evaluation, steps, condition, source),
                            ratio(found, "%", kind="mean", scale=100, n=len(some)),
                        ]
                    )
    return Table(
        "bouts",
        "Short bouts",
        ("source", "condition", "steps", "people", "bouts", "reported", "found of walked"),
        rows,
        "Stretches of exactly so many steps, cut from longer walks and put between quiet parts of the same "
        "recording. Reported: at least one step is counted.",
    )


def bouts_reported(
    evaluation: Evaluation, steps: int, condition: str = AS_RECORDED, source: str | None = None
) -> Figure | None:
    """Of the bouts of so many steps, how many show any step."""
    parts = [
        Part(bout.facts.person, bout.facts.file, float(bout.found > 0), 1)
        for bout in evaluation.bouts
        if bout.steps == steps and bout.condition == condition and source in (None, bout.facts.source)
    ]
    return ratio(parts, "%", scale=100)
