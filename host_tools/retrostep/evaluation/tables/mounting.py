"""Clips that are not straight, sensors that are slow or noisy, and what a calibration finds."""

from collections import defaultdict

from retrostep.evaluation import measures
from retrostep.evaluation.conditions import CONDITIONS, NOT_CALIBRATED
from retrostep.evaluation.statistics import quantile
from retrostep.evaluation.study import Evaluation
from retrostep.evaluation.tables.cells import Cell, Table
from retrostep.evaluation.tables.groups import by_source, people_in, says_direction


def conditions_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    present = [name for name in CONDITIONS if name != NOT_CALIBRATED]
    for key, _ in by_source(one for one in evaluation.select() if one.judged or one.true_steps):
        placement, virtual, source, group = key
        if group not in ("all", *_only_group(evaluation, key)) or placement == "pocket":
            continue
        for condition in present:
            scores = evaluation.select(condition, placement=placement, virtual=virtual, source=source)
            if not any(one.judged or one.true_steps for one in scores):
                continue
            directed = placement == "waist" or says_direction(scores)
            rows.append(
                [
                    placement,
                    "virtual" if virtual else "real",
                    source,
                    condition,
                    people_in(scores),
                    measures.count_error(scores),
                    measures.f1(scores, near=False),
                    measures.f1(scores, near=True),
                    measures.called(scores, "forward", "backward") if directed else None,
                    measures.called(scores, "backward", "backward", per=100) if directed else None,
                ]
            )
    return Table(
        "conditions",
        "A clip that is not straight, a noisy or a slower sensor",
        (
            "worn",
            "kind",
            "source",
            "condition",
            "people",
            "MAPE",
            "F1 0.1 s",
            "F1 0.25 s",
            "forward called backward",
            "backward right of found",
        ),
        rows,
        "Yaw and tilt in degrees, to either side by turns. Noise: 2 mg and 0.1 deg/s rms, offsets up to 20 mg and "
        "1 deg/s, up to 4 degrees of yaw and tilt. All by seed.",
        folded=True,
    )


def _only_group(evaluation: Evaluation, key: tuple[str, bool, str, str]) -> list[str]:
    groups = {
        one.facts.group
        for one in evaluation.select(placement=key[0], virtual=key[1], source=key[2])
        if one.judged or one.true_steps
    }
    return list(groups) if len(groups) == 1 else []


def calibration_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    groups: dict[tuple[str, str], list] = defaultdict(list)
    for one in evaluation.calibrations:
        groups[one.facts.source, one.facts.group].append(one)
    for (source, group), some in sorted(groups.items()):
        errors = [(one.facts.person, one.error_deg) for one in some if one.error_deg is not None]
        nominal = [(one.facts.person, one.nominal_deg) for one in some if one.nominal_deg is not None]
        worst = max(
            (one for one in some if one.error_deg is not None),
            key=lambda one: one.error_deg or 0.0,
            default=None,
        )
        rows.append(
            [
                source,
                group,
                len({one.facts.person for one in some}),
                len(some),
                sum(one.error_deg is None for one in some),
                quantile(errors, 0.5, "deg"),
                quantile(errors, 0.95, "deg"),
                quantile(nominal, 0.5, "deg"),
                f"{worst.facts.file}: {worst.error_deg:.0f}" if worst else None,
            ]
        )
    return Table(
        "calibration",
        "Forward axis from the first ten steps",
        (
            "source",
            "group",
            "people",
            "walks",
            "refused",
            "error, median",
            "error, 95th percentile",
            "to the clip's x axis, median",
            "worst",
        ),
        rows,
        "Angle to the person's own axis, from all their walks. Three seconds of standing, where there are, and as "
        "many steps as the calibration needs to see ten.",
    )
