"""Stability: alarms where there was reason and where there was none, and scores by group."""

from collections import defaultdict

from retrostep.evaluation import stability
from retrostep.evaluation.stability import Watched
from retrostep.evaluation.statistics import Figure, quantile
from retrostep.evaluation.study import Evaluation
from retrostep.evaluation.tables.cells import Cell, Table


def alarms_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    groups: dict[tuple[str, str], list[Watched]] = defaultdict(list)
    for one in evaluation.watched:
        groups[one.facts.source, one.code if one.facts.source == "sisfall" else "all"].append(one)
    for (source, code), watched in sorted(groups.items()):
        acted = stability.stumbles(watched)
        fallen = [one for one in watched if one.facts.falls_s]
        rows.append(
            [
                source,
                code,
                len({one.facts.person for one in watched}),
                len(watched),
                f"{sum(one.facts.duration_s for one in watched) / 3600:.2f}",
                *(
                    sum(kind == name for one in watched for _, kind in one.events)
                    for name in stability.ALARMS
                ),
                stability.told(acted)
                if acted
                else stability.falls_told(fallen, stability.ALARMS)
                if fallen
                else None,
                None if acted or fallen else stability.alarms_an_hour(watched),
                sum(kind == "changed_gait" for one in watched for _, kind in one.events),
            ]
        )
    return Table(
        "alarms",
        "Stability: alarms",
        (
            "source",
            "activity",
            "people",
            "recordings",
            "hours",
            *stability.ALARMS,
            "told in time",
            "alarms an hour",
            "changed gait",
        ),
        rows,
        "At the waist, real recordings, each with what the device had learned of the wearer before. Told in time: of "
        "acted stumbles, from 1.5 s before the largest acceleration to 2 s after it; of acted falls, at the latest "
        "1 s after the impact.",
    )


def missed_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []

    def add(one: Watched, what: str, at_s: float) -> None:
        rows.append([one.facts.file, what, f"{at_s:.1f}"])

    for one in stability.stumbles(evaluation.watched):
        if one.found_s is None:
            add(one, "stumble not told", one.peak_s)
    for one in stability.falls(evaluation.watched):
        if not any(at_s <= one.facts.falls_s[0] + stability.AFTER_IMPACT_S for at_s in one.alarms_s):
            add(one, "fall not told within 1 s", one.facts.falls_s[0])
    for one in stability.without_stumbles(evaluation.watched):
        for at_s, kind in one.events:
            if kind in stability.ALARMS:
                add(one, f"{kind} without reason", at_s)
    return Table(
        "stability_missed",
        "Stability: what went wrong",
        ("recording", "what", "at s"),
        rows,
        "Everything of the table above that was missed, and every alarm without a stumble or fall.",
        folded=True,
    )


def scores_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    groups: dict[tuple[str, str, str], list[Watched]] = defaultdict(list)
    for one in evaluation.watched:
        if one.score is not None and not one.facts.repeated:
            code = one.code if one.facts.source == "sisfall" else ""
            groups[one.facts.source, one.facts.group, code].append(one)
    for (source, group, code), watched in sorted(groups.items()):
        scores = [(one.facts.person, one.score or 0.0) for one in watched]
        rows.append(
            [
                source,
                group,
                code,
                len({person for person, _ in scores}),
                len(scores),
                *(_points(quantile(scores, q, "")) for q in (0.05, 0.5, 0.95)),
            ]
        )
    return Table(
        "stability_scores",
        "Stability: scores",
        ("source", "group", "activity", "people", "recordings", "5 %", "median", "95 %"),
        rows,
        "Mean score of a recording's steps, 0 to 100; quantiles over recordings.",
        folded=True,
    )


def _points(figure: Figure | None) -> str | None:
    return None if figure is None else f"{100 * figure.value:.0f}"
