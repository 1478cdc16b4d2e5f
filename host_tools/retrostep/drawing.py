"""Plots by matplotlib as SVG text that stands inside a page, light or dark.

Text and axes are drawn in INK and become the page's own text colour; nothing has a background.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Stands for the page's text colour until the SVG is done.
INK = "#010203"


@contextmanager
def figure(width_in: float, height_in: float, ink: str = INK, **options: Any) -> Iterator[Any]:
    """A matplotlib figure; `options` are its own."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "retrostep",
        "font.family": "sans-serif",
        "font.size": 9,
        **dict.fromkeys(
            ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), ink
        ),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": ink,
        "grid.alpha": 0.15,
        "hatch.linewidth": 0.7,
        "legend.frameon": False,
    }
    with matplotlib.rc_context(style):
        made = Figure(figsize=(width_in, height_in), **options)
        FigureCanvasSVG(made)
        yield made


def svg(made: Any, name: str = "", alt: str = "", colours: dict[str, str] | None = None) -> str:
    """The figure's SVG element. name: keeps its ids apart from those of other plots on the page. alt: what it shows,
    for those who can't see it. colours: colours of the plot and what the page calls them.
    """
    text = io.StringIO()
    made.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    found = text.getvalue()
    # Without the XML prologue it stands inside a page.
    found = found[found.index("<svg") :]
    found = re.sub(r"<metadata>.*?</metadata>\s*", "", found, flags=re.DOTALL)
    for colour, called in {INK: "currentColor", **(colours or {})}.items():
        found = found.replace(colour.lower(), called)
    if name:
        found = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", found)
    if alt:
        quoted = alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
        found = found.replace("<svg ", f'<svg role="img" aria-label="{quoted}" ', 1)
    return found
