"""What goals ask for: functions that give, for an evaluation and a condition, one Figure.

Names of sources and activities are those of the development recordings.
"""

from collections.abc import Callable, Iterable

from retrostep.evaluation import measures, stability
from retrostep.evaluation.activities import CAR, FALLING, JUMPING, RESTING
from retrostep.evaluation.conditions import (
    CALIBRATED,
    NOISE,
    NOT_CALIBRATED,
)
from retrostep.evaluation.scoring import Score
from retrostep.evaluation.stability import Watched
from retrostep.evaluation.statistics import Figure, Part, quantile, ratio
from retrostep.evaluation.study import Evaluation
from retrostep.evaluation.tables.counting import bouts_reported

Measure = Callable[[Evaluation, str], Figure | None]

HEALTHY = ("healthy", "young", "elderly_healthy")


def scores_of(placement: str, *sources: str, **facts: object) -> Callable[[Evaluation, str], list[Score]]:
    def select(evaluation: Evaluation, condition: str) -> list[Score]:
        return evaluation.select(condition, placement=placement, source=sources, **facts)

    return select


def count_error(placement: str, *sources: str, **facts: object) -> Measure:
    scores = scores_of(placement, *sources, **facts)
    return lambda evaluation, condition: measures.count_error(scores(evaluation, condition))


def f1_close(placement: str, *sources: str, **facts: object) -> Measure:
    scores = scores_of(placement, *sources, **facts)
    return lambda evaluation, condition: measures.f1(scores(evaluation, condition), near=False)


def f1_near(placement: str, *sources: str, **facts: object) -> Measure:
    scores = scores_of(placement, *sources, **facts)
    return lambda evaluation, condition: measures.f1(scores(evaluation, condition), near=True)


def _is(one: Score, codes: tuple[str, ...]) -> bool:
    return one.facts.activity.split(" ")[0].split(":")[0] in codes


def of_sisfall(*codes: str) -> Callable[[Evaluation, str], list[Score]]:
    def select(evaluation: Evaluation, condition: str) -> list[Score]:
        return [one for one in evaluation.select(condition, source="sisfall") if _is(one, codes)]

    return select


def called_backward(scores: Callable[[Evaluation, str], list[Score]], per: int = 1000) -> Measure:
    return lambda evaluation, condition: measures.called(
        scores(evaluation, condition), "forward", "backward", per
    )


def all_forward(evaluation: Evaluation, condition: str) -> list[Score]:
    walks = scores_of("waist", "ipol110", "uniss", "mobgap", "semio")(evaluation, condition)
    return walks + of_sisfall("D01", "D02")(evaluation, condition)


def jogging_and_stairs(evaluation: Evaluation, condition: str) -> list[Score]:
    return of_sisfall("D03", "D04", "D05", "D06")(evaluation, condition)


def worst_person(scores: Callable[[Evaluation, str], list[Score]], fewest: int) -> Measure:
    def measure(evaluation: Evaluation, condition: str) -> Figure | None:
        worst = measures.worst(scores(evaluation, condition), "forward", "backward", fewest)
        return None if worst is None else Figure(worst[1], "/1000", worst[2], 1)

    return measure


def false_an_hour(quiet: str, *, backward: bool = False, **facts: object) -> Measure:
    def measure(evaluation: Evaluation, condition: str) -> Figure | None:
        scores = [one for one in evaluation.select(condition, **facts) if one.quiet == quiet]
        return measures.false_an_hour(scores, "backward" if backward else None)

    return measure


def false_backward(evaluation: Evaluation, condition: str) -> Figure | None:
    scores = [
        one
        for one in evaluation.select(condition, source="sisfall")
        if one.quiet in (RESTING, JUMPING, FALLING, CAR)
    ]
    found = sum(one.quiet_found["backward"] for one in scores)
    people = len({one.facts.person for one in scores})
    return Figure(found, "steps", sum(one.quiet_found.total() for one in scores), people) if scores else None


def bout_reported(steps: int) -> Measure:
    return lambda evaluation, condition: bouts_reported(evaluation, steps, condition)


def windows_with_more(activities: tuple[str, ...], more: str, less: str) -> Measure:
    def measure(evaluation: Evaluation, condition: str) -> Figure | None:
        scores = [one for one in evaluation.select(condition, repeated=True) if _is(one, activities)]
        return ratio(
            (
                Part(one.facts.person, one.facts.file, float(one.found[more] > one.found[less]), 1)
                for one in scores
            ),
            "%",
            scale=100,
        )

    return measure


def stairs_down(evaluation: Evaluation, condition: str) -> list[Score]:
    return [one for one in evaluation.select(condition, source="kuhar") if _is(one, ("16",))]


def real_backward_right(evaluation: Evaluation, condition: str) -> Figure | None:
    scores = [one for one in evaluation.select(condition, source="kuhar") if _is(one, ("12",))]
    return measures.called(scores, "backward", "backward", per=100)


def largest_f1_loss(condition: str, placement: str, *sources: str) -> Measure:
    def measure(evaluation: Evaluation, _condition: str) -> Figure | None:
        losses = []
        for source in sources:
            for near in (False, True):
                whole = measures.f1(evaluation.select(placement=placement, source=source), near)
                altered = measures.f1(evaluation.select(condition, placement=placement, source=source), near)
                if whole and altered:
                    losses.append(Figure(whole.value - altered.value, "", whole.n, whole.people))
        return max(losses, key=lambda loss: loss.value, default=None)

    return measure


def calibration_error(q: float) -> Measure:
    def measure(evaluation: Evaluation, _condition: str) -> Figure | None:
        errors = [
            (one.facts.person, one.error_deg)
            for one in evaluation.calibrations
            if one.error_deg is not None and one.facts.group in HEALTHY
        ]
        return quantile(errors, q, "deg")

    return measure


def latency_at_waist(q: float) -> Measure:
    def measure(evaluation: Evaluation, condition: str) -> Figure | None:
        return measures.latency(evaluation.select(condition, placement="waist", virtual=False), q)

    return measure


def walking_back(evaluation: Evaluation, placement: str) -> list[Score]:
    scores = evaluation.select(NOISE, placement=placement, source="bandai")
    return [one for one in scores if one.facts.activity.startswith("walk-back")]


def motion_capture(placement: str) -> Callable[[Evaluation, str], list[Score]]:
    def select(evaluation: Evaluation, _condition: str) -> list[Score]:
        return evaluation.select(NOISE, placement=placement, source=("bandai", "cmu_exp"))

    return select


def of_simulated(evaluation: Evaluation, condition: str, activity: str) -> list[Score]:
    return [
        one
        for one in evaluation.simulated
        if one.condition == condition and one.facts.activity.startswith(activity)
    ]


def confident_and_wrong(evaluation: Evaluation, _condition: str) -> Figure | None:
    scores = [one for one in evaluation.simulated if one.condition == NOT_CALIBRATED]
    scores += evaluation.select(NOT_CALIBRATED, placement="shoe")
    steps = [
        step for one in scores for step in one.matched if step.true in ("forward", "backward", "sideways")
    ]
    wrong = sum(step.found not in ("unknown", step.true) for step in steps)
    people = len({one.facts.person for one in scores})
    return Figure(wrong, "strides", len(steps), people) if scores else None


def straight_strides(found: str, per: int) -> Measure:
    return lambda evaluation, _condition: measures.called(
        evaluation.select(CALIBRATED, placement="shoe", source="ipol110"),
        "forward",
        found,
        per,
        straight=True,
    )


def counted_elsewhere(_evaluation: Evaluation, _condition: str) -> None:
    """Counted by `make bench`, which runs the code under an instruction counter."""


def watched(
    of: Callable[[Iterable[Watched]], list[Watched]], figure: Callable[[list[Watched]], Figure | None]
) -> Measure:
    return lambda evaluation, _condition: figure(of(evaluation.watched))


def scores_separate(less: tuple[str, ...], more: tuple[str, ...], sources: tuple[str, ...]) -> Measure:
    def measure(evaluation: Evaluation, _condition: str) -> Figure | None:
        known = [one for one in evaluation.watched if one.facts.source in sources]
        return stability.separation(
            [one for one in known if one.facts.group in less],
            [one for one in known if one.facts.group in more],
        )

    return measure
