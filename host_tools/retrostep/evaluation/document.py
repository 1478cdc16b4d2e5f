"""An evaluation as JSON ("evaluation-1") and as Markdown."""

from collections.abc import Iterable
from typing import Any

from retrostep.evaluation.conditions import AS_RECORDED
from retrostep.evaluation.goals import goals_table, standings, worse_when_turned
from retrostep.evaluation.origin import origin
from retrostep.evaluation.scoring import Score
from retrostep.evaluation.study import Evaluation
from retrostep.evaluation.tables import Table, all_tables, text

FORMAT = "evaluation-1"
NOTICE = (
    "This counts steps for training. It is not a medical device: it prevents no falls and diagnoses nothing."
)
INTERVALS = (
    "Behind a figure stands its 95 % interval, from drawing people (recordings, where fewer than five people) with "
    "replacement; where nothing or everything went wrong, Wilson's or the exact Poisson interval, which take steps "
    "for independent and so are too narrow. Virtual recordings are computed from motion capture; they are never "
    "pooled with real ones."
)


def as_json(evaluation: Evaluation, command: str) -> dict[str, Any]:
    """Everything, figures unrounded to their six first digits; recordings as they were recorded."""
    return {
        "format": FORMAT,
        "origin": origin(evaluation.models, command),
        "folder": evaluation.folder,
        "seed": evaluation.seed,
        "quick": evaluation.quick,
        "only": list(evaluation.only),
        "goals": [
            {
                "section": one.goal.section,
                "goal": one.goal.text,
                "figure": one.figure.as_json() if one.figure else None,
                "must": one.goal.must,
                "hoped_for": one.goal.hoped,
                "at_most": one.goal.at_most,
                "verdict": one.verdict,
            }
            for one in standings(evaluation)
        ],
        "tables": [table.as_json() for table in all_tables(evaluation)],
        "lags_ms": [
            {"source": source, "placement": placement, "condition": condition, "lag_ms": round(1000 * lag_s)}
            for (source, placement, condition), lag_s in sorted(evaluation.lags_s.items())
        ],
        "recordings": [_recording(one) for one in evaluation.select(AS_RECORDED)],
        "skipped": evaluation.skipped,
    }


def _recording(one: Score) -> dict[str, Any]:
    facts = one.facts
    return {
        "file": facts.file,
        "source": facts.source,
        "placement": facts.placement,
        "group": facts.group,
        "person": facts.person,
        "activity": facts.activity,
        "virtual": facts.virtual,
        "duration_s": round(facts.duration_s, 2),
        "true_steps": one.true_steps,
        "found_steps": one.found_steps,
        "hits_100ms": one.hits_close,
        "hits_250ms": one.hits_near,
        "found": dict(one.found),
        "forward_called_backward": sum(
            step.true == "forward" and step.found == "backward" for step in one.judged
        ),
        "quiet_s": round(one.quiet_s, 2),
        "quiet_steps": one.quiet_found.total(),
    }


def as_markdown(evaluation: Evaluation, command: str) -> str:
    """Goals first, then the tables; long ones folded."""
    made = origin(evaluation.models, command)
    people = {one.facts.person for one in evaluation.select() if not one.facts.virtual}
    recordings = {one.facts.file: one.facts.duration_s for one in evaluation.select()}
    models = ", ".join(f"{name} `{model}`" for name, model in made["models"].items())
    lines = [
        "# Accuracy",
        "",
        "Written by this command; do not edit:",
        "",
        f"    {command}",
        "",
        f"Retrostep {made['retrostep']}, gait code `{made['gait_code']}`, models: {models}. "
        f"{len(recordings)} recordings, {sum(recordings.values()) / 60:.0f} minutes, {len(people)} real people"
        f"{', a sample (--quick)' if evaluation.quick else ''}. Each was replayed through the firmware's own code in "
        "MicroPython.",
        "",
        NOTICE,
        "",
        INTERVALS,
        "",
    ]
    lines += _table(goals_table(evaluation))
    worse = worse_when_turned(evaluation)
    if worse:
        lines += ["Worse by more than a third with the clip turned by 30 degrees:", ""]
        lines += [f"- {goal.text}: {text(straight)} -> {text(turned)}" for goal, straight, turned in worse]
        lines.append("")
    for table in all_tables(evaluation):
        lines += _folded(table) if table.folded else _table(table)
    if evaluation.skipped:
        lines += ["## Skipped", "", *(f"- {line}" for line in evaluation.skipped), ""]
    return "\n".join(lines).rstrip() + "\n"


def _folded(table: Table) -> list[str]:
    return [
        f"## {table.title}",
        "",
        "<details><summary>" + f"{len(table.rows)} rows" + "</summary>",
        "",
        *_table(table)[2:],
        "</details>",
        "",
    ]


def _table(table: Table) -> list[str]:
    lines = [f"## {table.title}", ""]
    if table.note:
        lines += [table.note, ""]
    lines += [_row(table.columns), _row("---" for _ in table.columns)]
    lines += [_row(text(cell) for cell in row) for row in table.rows]
    return [*lines, ""]


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
