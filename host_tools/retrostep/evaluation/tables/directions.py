"""Which way found steps were said to go, how sure, and how soon."""

from collections import Counter, defaultdict
from itertools import pairwise

from retrostep.evaluation import measures
from retrostep.evaluation.conditions import CALIBRATED, NOT_CALIBRATED
from retrostep.evaluation.scoring import Score
from retrostep.evaluation.statistics import Figure, Part, ratio
from retrostep.evaluation.study import Evaluation
from retrostep.evaluation.tables.cells import Cell, Table
from retrostep.evaluation.tables.groups import (
    WHERE,
    by_source,
    people_in,
    says_direction,
    true_directions,
    where,
)
from retrostep.replay import DIRECTIONS

# A person with fewer steps than this is not called the worst: two odd ones would do.
FEWEST_OF_A_PERSON = 100
CONFIDENCE_BINS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
DIRECTION_COLUMNS = (
    "true",
    "people",
    "steps",
    "of the true",
    "forward %",
    "backward %",
    "sideways %",
    "unknown %",
    "opposite",
    "worst person (100 steps or more)",
)


def direction_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    for key, scores in by_source(one for one in evaluation.select() if one.matched):
        if key[0] == "pocket" or (key[0] == "shoe" and not says_direction(scores)):
            continue
        rows += [[*where(key), *_direction_row(scores, true)] for true in true_directions(scores)]
    return Table(
        "direction",
        "Direction of found steps",
        (*WHERE, *DIRECTION_COLUMNS),
        rows,
        "Steps paired with a contact of known direction (within 0.25 s), and how many of the true ones they are. "
        "Opposite: forward called backward, or backward called forward.",
    )


def calibrated_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    groups: dict[tuple[str, bool, str, str], list[Score]] = defaultdict(list)
    for one in evaluation.select(CALIBRATED):
        if one.judged:
            facts = one.facts
            walked = facts.group if one.matched else facts.activity
            groups[facts.placement, facts.virtual, facts.source, walked].append(one)
    for key, scores in sorted(groups.items(), key=lambda item: (item[0][0] != "waist", item[0])):
        rows += [[*where(key), *_direction_row(scores, true)] for true in true_directions(scores)]
    return Table(
        "direction_calibrated",
        "Direction after a calibration on another walk of the same person",
        ("worn", "kind", "source", "group or activity", *DIRECTION_COLUMNS),
        rows,
        "At the waist the clip of both is turned by one angle anywhere between 0 and 360 degrees; at the shoe it is "
        "as it was worn. Where the calibration is refused, steps count as unknown. The truth of ipol110 calls the "
        "steps of its u-turn forward, too.",
    )


def labelled_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    groups: dict[tuple[str, bool, str, str], list[Score]] = defaultdict(list)
    for one in evaluation.select(repeated=False):
        if one.presumed:
            facts = one.facts
            groups[facts.placement, facts.virtual, facts.source, facts.activity].append(one)
    for key, scores in sorted(groups.items()):
        for true in true_directions(scores):
            rows.append([*where(key), *_direction_row(scores, true)])
    return Table(
        "direction_labelled",
        "Direction where only the activity is known",
        ("worn", "kind", "source", "activity", *DIRECTION_COLUMNS),
        rows,
        "No contacts are annotated: every step found counts as one of the label's direction.",
    )


def unmounted_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    for key, scores in by_source(one for one in evaluation.select(NOT_CALIBRATED) if one.judged):
        if key[3] != "all" and _has_all(evaluation, key):
            continue
        for true in true_directions(scores):
            steps = [step for one in scores for step in one.judged if step.true == true]
            seen = Counter(step.found for step in steps)
            rows.append(
                [*where(key), true, people_in(scores, true), len(steps), *(seen[name] for name in DIRECTIONS)]
            )
    return Table(
        "not_calibrated",
        "Without a calibration",
        (*WHERE, "true", "people", "steps", *DIRECTIONS),
        rows,
        "The mounting is withheld; a direction that is said at all must be right.",
        folded=True,
    )


def latency_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    for key, scores in by_source(one for one in evaluation.select() if one.matched and one.facts.windows):
        rows.append(
            [
                *where(key),
                people_in(scores),
                sum(len(one.matched) for one in scores),
                measures.latency(scores, 0.5),
                measures.latency(scores, 0.95),
            ]
        )
    return Table(
        "latency",
        "From contact to settled direction",
        (*WHERE, "people", "steps", "median", "95th percentile"),
        rows,
        "The first steps of a bout, which are back-dated, included.",
    )


def reliability(
    evaluation: Evaluation, virtual: bool, placement: str = "waist"
) -> list[tuple[float, float, Figure | None]]:
    """(from, to, share right in percent) of each bin of confidence; forward and backward calls only."""
    if placement == "shoe" and not virtual:
        scores = evaluation.select(CALIBRATED, virtual=virtual, placement=placement)
    else:
        scores = evaluation.select(virtual=virtual, placement=placement)
    bins = []
    for low, high in pairwise(CONFIDENCE_BINS):
        parts = []
        for one in scores:
            steps = [
                step
                for step in one.judged
                if step.found != "unknown"
                and step.true in ("forward", "backward", "sideways")
                and low <= step.confidence
                and (step.confidence < high or high == CONFIDENCE_BINS[-1])
            ]
            right = sum(step.true == step.found for step in steps)
            parts.append(Part(one.facts.person, one.facts.file, right, len(steps)))
        bins.append((low, high, ratio(parts, "%", scale=100)))
    return bins


def reliability_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    for placement in ("waist", "shoe"):
        for virtual in (False, True):
            for low, high, figure in reliability(evaluation, virtual, placement):
                if figure:
                    kind = "virtual" if virtual else "real"
                    rows.append([placement, kind, f"{low:.2f}-{high:.2f}", figure.people, figure.n, figure])
    return Table(
        "reliability",
        "Is a step that is said to be 90 % sure right in 90 %?",
        ("worn", "kind", "confidence", "people", "steps", "right"),
        rows,
        "Steps called forward, backward or sideways whose true direction is known, from contacts or the label.",
    )


def _direction_row(scores: list[Score], true: str) -> list[Cell]:
    steps = [step for one in scores for step in one.judged if step.true == true]
    seen = Counter(step.found for step in steps)
    opposite = {"forward": "backward", "backward": "forward"}.get(true)
    row: list[Cell] = [
        true,
        people_in(scores, true),
        len(steps),
        measures.found_share(scores, true),
    ]
    row += [f"{100 * seen[name] / len(steps):.1f}" for name in DIRECTIONS]
    row.append(measures.called(scores, true, opposite) if opposite else None)
    worst = measures.worst(scores, true, opposite, FEWEST_OF_A_PERSON) if opposite else None
    row.append(f"{worst[0]}: {worst[1]:.1f} of {worst[2]}" if worst and worst[1] else None)
    return row


def _has_all(evaluation: Evaluation, key: tuple[str, bool, str, str]) -> bool:
    scores = evaluation.select(NOT_CALIBRATED, placement=key[0], virtual=key[1], source=key[2])
    return len({one.facts.group for one in scores if one.judged}) > 1
