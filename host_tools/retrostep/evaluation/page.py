"""An evaluation as one HTML page without any other file."""

from pathlib import Path

from retrostep.evaluation.document import INTERVALS, NOTICE
from retrostep.evaluation.goals import goals_table, worse_when_turned
from retrostep.evaluation.origin import origin
from retrostep.evaluation.plots import all_plots
from retrostep.evaluation.study import Evaluation
from retrostep.evaluation.tables import all_tables, text

TEMPLATE = "page.html.jinja"


def as_page(evaluation: Evaluation, command: str) -> str:
    """The page's HTML. Raises ImportError where the extra is not installed."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = text
    return environment.get_template(TEMPLATE).render(
        command=command,
        origin=origin(evaluation.models, command),
        notice=NOTICE,
        intervals=INTERVALS,
        quick=evaluation.quick,
        goals=goals_table(evaluation),
        worse=worse_when_turned(evaluation),
        plots=[(title, Markup(svg)) for title, svg in all_plots(evaluation)],
        tables=all_tables(evaluation),
        skipped=evaluation.skipped,
    )
