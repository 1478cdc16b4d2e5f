"""Recordings that no person walked into: motion capture by style, and the simulated walker."""

from collections import Counter, defaultdict

from retrostep.evaluation import measures
from retrostep.evaluation.conditions import NOISE
from retrostep.evaluation.scoring import Score
from retrostep.evaluation.study import Evaluation
from retrostep.evaluation.tables.cells import Cell, Table
from retrostep.evaluation.tables.groups import people_in, true_directions
from retrostep.replay import DIRECTIONS


def virtual_activity_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    groups: dict[tuple[str, str, str], list[Score]] = defaultdict(list)
    for one in evaluation.select(NOISE, virtual=True):
        if one.facts.true_s:
            facts = one.facts
            groups[facts.placement, facts.source, _style(facts.activity)].append(one)
    for (placement, source, style), scores in sorted(groups.items(), reverse=True):
        for true in true_directions(scores):
            steps = [step for one in scores for step in one.judged if step.true == true]
            seen = Counter(step.found for step in steps)
            rows.append(
                [
                    placement,
                    source,
                    style,
                    true,
                    people_in(scores, true),
                    measures.found_share(scores, true),
                    *(seen[name] for name in DIRECTIONS),
                ]
            )
    return Table(
        "virtual_styles",
        "Motion capture by style",
        ("worn", "source", "style", "true", "people", "found", *DIRECTIONS),
        rows,
        "VIRTUAL recordings, with sensor noise. Found: of the true steps of that direction.",
        folded=True,
    )


def _style(activity: str) -> str:
    words = activity.split(" ")
    return words[-1] if words[0] == "CMU" else words[0]


def simulated_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    groups: dict[tuple[str, str], list[Score]] = defaultdict(list)
    for one in evaluation.simulated:
        groups[one.facts.placement, one.facts.activity].append(one)
    for (placement, activity), scores in groups.items():
        for true in true_directions(scores):
            steps = [step for one in scores for step in one.judged if step.true == true]
            seen = Counter(step.found for step in steps)
            rows.append(
                [
                    placement,
                    activity,
                    scores[0].condition,
                    true,
                    people_in(scores, true),
                    measures.found_share(scores, true),
                    *(seen[name] for name in DIRECTIONS),
                ]
            )
    return Table(
        "simulated",
        "Simulated walker",
        ("worn", "walk", "condition", "true", "persons", "found", *DIRECTIONS),
        rows,
        "No people: a mechanical model (docs/walker.md). It shows whether a rule does what it promises. At the "
        "shoe the clip is turned and tilted; calibrated on another walk of the same person.",
        folded=True,
    )
