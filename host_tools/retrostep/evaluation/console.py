"""Shows an evaluation on a terminal."""

from rich.console import Console
from rich.table import Table as Grid

from retrostep.evaluation.goals import goals_table
from retrostep.evaluation.study import Evaluation
from retrostep.evaluation.tables import Table, all_tables, text

VERDICT_STYLES = {"missed": "red", "met": "green", "hoped for": "cyan"}


def show(evaluation: Evaluation, console: Console) -> None:
    """Print the goals and every table."""
    for table in (goals_table(evaluation), *all_tables(evaluation)):
        console.print(grid(table))
        if table.note:
            console.print(table.note, style="dim", highlight=False, markup=False)
        console.print()


def grid(table: Table) -> Grid:
    shown = Grid(*table.columns, title=table.title, title_justify="left")
    for row in table.rows:
        cells = [text(cell) for cell in row]
        style = next((VERDICT_STYLES[cell] for cell in cells if cell in VERDICT_STYLES), None)
        shown.add_row(*cells, style=style)
    return shown
