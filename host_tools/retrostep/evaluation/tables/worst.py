"""The people and the recordings that are served worst; real ones only."""

from collections import defaultdict

from retrostep.evaluation import measures
from retrostep.evaluation.scoring import Score
from retrostep.evaluation.study import Evaluation
from retrostep.evaluation.tables.cells import Cell, Table

# A person with fewer steps than this is not called the worst: two odd ones would do.
FEWEST_OF_A_PERSON = 100
SHOWN = 16


def people_table(evaluation: Evaluation) -> Table:
    """Those who are served worst, real people only."""
    rows: list[list[Cell]] = []
    people: dict[tuple[str, str], list[Score]] = defaultdict(list)
    for one in evaluation.select(virtual=False):
        people[one.facts.placement, one.facts.person].append(one)
    ranked = []
    for (placement, person), scores in people.items():
        f1 = measures.f1(scores, near=False)
        back = measures.called(scores, "forward", "backward")
        if f1 or (back and back.n >= FEWEST_OF_A_PERSON):
            badness = max(1 - f1.value if f1 else 0.0, (back.value if back else 0.0) / 100)
            ranked.append((badness, placement, person, scores, f1, back))
    ranked.sort(key=lambda item: (-item[0], item[1], item[2]))
    for _, placement, person, scores, f1, back in ranked[:SHOWN]:
        rows.append(
            [
                placement,
                person,
                scores[0].facts.group,
                sum(one.true_steps for one in scores),
                measures.count_error(scores),
                f1,
                back.n if back else 0,
                back,
            ]
        )
    return Table(
        "worst_people",
        "People who are served worst",
        (
            "worn",
            "person",
            "group",
            "true steps",
            "MAPE",
            "F1 0.1 s",
            "forward steps",
            "called backward",
        ),
        rows,
        "Real people, by the worse of F1 and forward steps called backward (running and stairs included).",
        folded=True,
    )


def files_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    with_truth = [one for one in evaluation.select(virtual=False) if one.true_steps]
    with_truth.sort(key=lambda one: 2 * one.hits_close / (one.true_steps + one.found_steps))
    for one in with_truth[:SHOWN]:
        rows.append(
            [
                one.facts.file,
                one.facts.group,
                one.true_steps,
                one.found_steps,
                one.hits_close,
                one.hits_near,
                sum(step.true == "forward" and step.found == "backward" for step in one.matched),
            ]
        )
    return Table(
        "worst_files",
        "Recordings that are counted worst",
        (
            "recording",
            "group",
            "true",
            "found",
            "within 0.1 s",
            "within 0.25 s",
            "forward called backward",
        ),
        rows,
        "Real people, by F1 at 0.1 s.",
        folded=True,
    )
