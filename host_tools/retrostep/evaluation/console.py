"""Shows an evaluation on a terminal."""

from rich.console import Console
from rich.table import Table as Grid

from retrostep.evaluation.study import Evaluation
from retrostep.evaluation.tables import Table, all_tables, text


def show(evaluation: Evaluation, console: Console) -> None:
    """Print every table, the long ones as well."""
    for table in all_tables(evaluation):
        console.print(grid(table))
        if table.note:
            console.print(table.note, style="dim")
        console.print()


def grid(table: Table) -> Grid:
    shown = Grid(*table.columns, title=table.title, title_justify="left")
    for row in table.rows:
        shown.add_row(*(text(cell) for cell in row))
    return shown
