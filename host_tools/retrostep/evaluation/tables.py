"""The tables of an evaluation, independent of how they are shown.

A cell is text, a whole number, a Figure or None (no case). Real and virtual recordings never share a row.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from retrostep.evaluation import measures
from retrostep.evaluation.conditions import (
    AS_RECORDED,
    CALIBRATED,
    CONDITIONS,
    NOISE,
    NOT_CALIBRATED,
)
from retrostep.evaluation.scoring import Score
from retrostep.evaluation.statistics import Figure, Part, quantile, ratio
from retrostep.evaluation.study import BOUT_STEPS, Evaluation
from retrostep.replay import DIRECTIONS

Cell = str | int | Figure | None

# A person with fewer steps than this is not called the worst: two odd ones would do.
FEWEST_OF_A_PERSON = 100
FEWEST_OF_A_FILE = 10
WORST_SHOWN = 8
# Less of one kind says nothing about an hour.
SHORTEST_QUIET_S = 60.0
CONFIDENCE_BINS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


@dataclass(frozen=True)
class Table:
    """key: stable name in JSON. folded: a long list that a page should not open with."""

    key: str
    title: str
    columns: tuple[str, ...]
    rows: list[list[Cell]]
    note: str = ""
    folded: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "title": self.title,
            "note": self.note,
            "columns": list(self.columns),
            "rows": [[_cell_json(cell) for cell in row] for row in self.rows],
        }


def _cell_json(cell: Cell) -> Any:
    return cell.as_json() if isinstance(cell, Figure) else cell


def text(cell: Cell) -> str:
    """A cell as people read it: value, unit and interval."""
    if cell is None:
        return "-"
    if not isinstance(cell, Figure):
        return str(cell)
    plain = _number(cell.value, cell.unit)
    if cell.low is None or cell.high is None:
        return plain + _unit(cell.unit)
    return f"{plain}{_unit(cell.unit)} ({_number(cell.low, cell.unit)}-{_number(cell.high, cell.unit)})"


# Units that stand close to the number; others follow after a space.
_CLOSE_UNITS = {"": "", "%": "%", "/h": "/h", "/1000": "/1,000"}
_DIGITS = {"": 3, "s": 2, "%": 1, "/h": 1, "/1000": 1, "deg": 1}


def _unit(unit: str) -> str:
    return _CLOSE_UNITS.get(unit, f" {unit}")


def _number(value: float, unit: str) -> str:
    # Without a sign: -0.0 is a rounding error of the arithmetic.
    return f"{round(value, 9) + 0.0:.{_DIGITS.get(unit, 0)}f}"


def all_tables(evaluation: Evaluation) -> list[Table]:
    """Every table that has a row."""
    makers: tuple[Callable[[Evaluation], Table], ...] = (
        steps_table,
        direction_table,
        calibrated_table,
        labelled_table,
        hand_counted_table,
        windows_table,
        false_steps_table,
        bouts_table,
        latency_table,
        reliability_table,
        conditions_table,
        calibration_table,
        virtual_activity_table,
        unmounted_table,
        simulated_table,
        people_table,
        files_table,
    )
    return [table for table in (make(evaluation) for make in makers) if table.rows]


def _kinds(scores: Iterable[Score]) -> list[tuple[tuple[str, bool, str, str], list[Score]]]:
    """By placement, virtual, source, group; after the groups of a source all of them together."""
    groups: dict[tuple[str, bool, str, str], list[Score]] = defaultdict(list)
    for one in scores:
        facts = one.facts
        groups[facts.placement, facts.virtual, facts.source, facts.group].append(one)
    result: list[tuple[tuple[str, bool, str, str], list[Score]]] = []
    order = {"waist": 0, "shoe": 1, "pocket": 2}
    sources = sorted({key[:3] for key in groups}, key=lambda key: (order[key[0]], key[1], key[2]))
    for source in sources:
        of_source = [(key, groups[key]) for key in sorted(groups) if key[:3] == source]
        if len(of_source) > 1:
            result.append(((*source, "all"), [one for _, members in of_source for one in members]))
        result += of_source
    return result


def _where(key: tuple[str, bool, str, str]) -> list[Cell]:
    placement, virtual, source, group = key
    return [placement, "virtual" if virtual else "real", source, group]


WHERE = ("worn", "kind", "source", "group")


def _people(scores: Iterable[Score]) -> int:
    return len({one.facts.person for one in scores})


def steps_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    for key, scores in _kinds(one for one in evaluation.select() if one.true_steps):
        worst = max(scores, key=lambda one: abs(one.found_steps - one.true_steps) / one.true_steps)
        lag_s = evaluation.lags_s.get((key[2], key[0], AS_RECORDED), 0.0)
        rows.append(
            [
                *_where(key),
                _people(scores),
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


def _direction_row(scores: list[Score], true: str) -> list[Cell]:
    steps = [step for one in scores for step in one.judged if step.true == true]
    seen = Counter(step.found for step in steps)
    opposite = {"forward": "backward", "backward": "forward"}.get(true)
    row: list[Cell] = [
        true,
        len({one.facts.person for one in scores if any(step.true == true for step in one.judged)}),
        len(steps),
        measures.found_share(scores, true),
    ]
    row += [f"{100 * seen[name] / len(steps):.1f}" for name in DIRECTIONS]
    row.append(measures.called(scores, true, opposite) if opposite else None)
    worst = measures.worst(scores, true, opposite, FEWEST_OF_A_PERSON) if opposite else None
    row.append(f"{worst[0]}: {worst[1]:.1f} of {worst[2]}" if worst and worst[1] else None)
    return row


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


def _true_directions(scores: Iterable[Score]) -> list[str]:
    present = {step.true for one in scores for step in one.judged}
    order = ("forward", "backward", "sideways", "turn", "in_place", "unknown")
    return [name for name in order if name in present] + sorted(present - set(order))


def direction_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    for key, scores in _kinds(one for one in evaluation.select() if one.matched):
        if key[0] == "pocket" or (key[0] == "shoe" and not _directed(scores)):
            continue
        rows += [[*_where(key), *_direction_row(scores, true)] for true in _true_directions(scores)]
    return Table(
        "direction",
        "Direction of found steps",
        (*WHERE, *DIRECTION_COLUMNS),
        rows,
        "Steps paired with a contact of known direction (within 0.25 s), and how many of the true ones they are. "
        "Opposite: forward called backward, or backward called forward.",
    )


def _directed(scores: Iterable[Score]) -> bool:
    return any(step.found != "unknown" for one in scores for step in one.judged)


def calibrated_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    groups: dict[tuple[str, bool, str, str], list[Score]] = defaultdict(list)
    for one in evaluation.select(CALIBRATED):
        if one.judged:
            facts = one.facts
            walked = facts.group if one.matched else facts.activity
            groups[facts.placement, facts.virtual, facts.source, walked].append(one)
    for key, scores in sorted(groups.items(), key=lambda item: (item[0][0] != "waist", item[0])):
        rows += [[*_where(key), *_direction_row(scores, true)] for true in _true_directions(scores)]
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
        for true in _true_directions(scores):
            rows.append([*_where(key), *_direction_row(scores, true)])
    return Table(
        "direction_labelled",
        "Direction where only the activity is known",
        ("worn", "kind", "source", "activity", *DIRECTION_COLUMNS),
        rows,
        "No contacts are annotated: every step found counts as one of the label's direction.",
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
                *_where(key),
                _people(scores),
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
                _people(scores),
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
        rows.append([*_where(key), "all", *_false_cells(scores)])
        if len(by_activity) > 1 and not key[1]:
            rows += [
                [*_where(key), name, *_false_cells(some)]
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
        _people(scores),
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


def latency_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    for key, scores in _kinds(one for one in evaluation.select() if one.matched and one.facts.windows):
        rows.append(
            [
                *_where(key),
                _people(scores),
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


def conditions_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    present = [name for name in CONDITIONS if name != NOT_CALIBRATED]
    for key, _ in _kinds(one for one in evaluation.select() if one.judged or one.true_steps):
        placement, virtual, source, group = key
        if group not in ("all", *_only_group(evaluation, key)) or placement == "pocket":
            continue
        for condition in present:
            scores = evaluation.select(condition, placement=placement, virtual=virtual, source=source)
            if not any(one.judged or one.true_steps for one in scores):
                continue
            # A shoe whose mounting is unknown says no direction at all.
            directed = placement == "waist" or _directed(scores)
            rows.append(
                [
                    placement,
                    "virtual" if virtual else "real",
                    source,
                    condition,
                    _people(scores),
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


def virtual_activity_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    groups: dict[tuple[str, str, str], list[Score]] = defaultdict(list)
    for one in evaluation.select(NOISE, virtual=True):
        if one.facts.true_s:
            facts = one.facts
            groups[facts.placement, facts.source, _style(facts.activity)].append(one)
    for (placement, source, style), scores in sorted(groups.items(), reverse=True):
        for true in _true_directions(scores):
            steps = [step for one in scores for step in one.judged if step.true == true]
            seen = Counter(step.found for step in steps)
            rows.append(
                [
                    placement,
                    source,
                    style,
                    true,
                    _people(scores),
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


def unmounted_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    for key, scores in _kinds(one for one in evaluation.select(NOT_CALIBRATED) if one.judged):
        if key[3] != "all" and _has_all(evaluation, key):
            continue
        for true in _true_directions(scores):
            steps = [step for one in scores for step in one.judged if step.true == true]
            seen = Counter(step.found for step in steps)
            rows.append(
                [*_where(key), true, _people(scores), len(steps), *(seen[name] for name in DIRECTIONS)]
            )
    return Table(
        "not_calibrated",
        "Without a calibration",
        (*WHERE, "true", "people", "steps", *DIRECTIONS),
        rows,
        "The mounting is withheld; a direction that is said at all must be right.",
        folded=True,
    )


def simulated_table(evaluation: Evaluation) -> Table:
    rows: list[list[Cell]] = []
    groups: dict[tuple[str, str], list[Score]] = defaultdict(list)
    for one in evaluation.simulated:
        groups[one.facts.placement, one.facts.activity].append(one)
    for (placement, activity), scores in groups.items():
        for true in _true_directions(scores):
            steps = [step for one in scores for step in one.judged if step.true == true]
            seen = Counter(step.found for step in steps)
            rows.append(
                [
                    placement,
                    activity,
                    scores[0].condition,
                    true,
                    _people(scores),
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


def _has_all(evaluation: Evaluation, key: tuple[str, bool, str, str]) -> bool:
    scores = evaluation.select(NOT_CALIBRATED, placement=key[0], virtual=key[1], source=key[2])
    return len({one.facts.group for one in scores if one.judged}) > 1


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
    for _, placement, person, scores, f1, back in ranked[: 2 * WORST_SHOWN]:
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
    for one in with_truth[: 2 * WORST_SHOWN]:
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
