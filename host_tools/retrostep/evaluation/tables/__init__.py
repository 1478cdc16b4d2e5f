"""The tables of an evaluation. Real and virtual recordings never share a row."""

from collections.abc import Callable

from retrostep.evaluation.study import Evaluation
from retrostep.evaluation.tables import computed, counting, directions, mounting, stability, worst
from retrostep.evaluation.tables.cells import Table, text

__all__ = ("Table", "all_tables", "text")


def all_tables(evaluation: Evaluation) -> list[Table]:
    """Every table that has a row."""
    makers: tuple[Callable[[Evaluation], Table], ...] = (
        counting.steps_table,
        directions.direction_table,
        directions.calibrated_table,
        directions.labelled_table,
        counting.hand_counted_table,
        counting.windows_table,
        counting.false_steps_table,
        counting.bouts_table,
        directions.latency_table,
        directions.reliability_table,
        stability.alarms_table,
        stability.missed_table,
        stability.scores_table,
        mounting.conditions_table,
        mounting.calibration_table,
        computed.virtual_activity_table,
        directions.unmounted_table,
        computed.simulated_table,
        worst.people_table,
        worst.files_table,
    )
    return [table for table in (make(evaluation) for make in makers) if table.rows]
