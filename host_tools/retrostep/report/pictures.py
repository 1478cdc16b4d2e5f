"""The report as a picture (PNG) or a PDF: the numbers at a glance and every plot, on white."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from retrostep.drawing import figure
from retrostep.report import reference
from retrostep.report.page import MARGINS, Tile, tiles
from retrostep.report.plots import HEIGHT_IN, WIDTH_IN, Plot, plots
from retrostep.report.summary import Summary

INK = "#1b1f24"
_COLUMNS = 2
_ROWS_A_PAGE = 3
_HEAD_IN = 1.9
_TITLE_IN = 0.35
_FOOT = (
    "Retrostep is a training aid: it diagnoses nothing. Published values at the 3-metre test are of groups "
    "and say nothing certain about one person."
)
_PNG_DPI = 130


def _title(summary: Summary) -> str:
    name = f": {summary.name}" if summary.name else ""
    return f"Walking backward{name}, {summary.first} to {summary.last}"


def _tile(made: Any, tile: Tile, x: float, y: float) -> None:
    made.text(x, y, tile.label, fontsize=8, va="top")
    made.text(x, y - 0.2 / made.get_figheight(), tile.value, fontsize=14, fontweight="bold", va="top")


def _head(made: Any, summary: Summary) -> None:
    height = made.get_figheight()
    made.text(0.03, 1 - 0.25 / height, _title(summary), fontsize=14, fontweight="bold", va="top")
    for index, tile in enumerate(tiles(summary)):
        column, row = index % 4, index // 4
        _tile(made, tile, 0.03 + 0.245 * column, 1 - (0.7 + 0.6 * row) / height)


def _place(made: Any, plot: Plot, column: int, top_in: float) -> None:
    """Draw a plot whose upper edge is top_in below the figure's."""
    width, height = made.get_size_inches()
    left = (column * WIDTH_IN + MARGINS["left"] * WIDTH_IN) / width
    bottom = 1 - (top_in + _TITLE_IN + (1 - MARGINS["bottom"]) * HEIGHT_IN) / height
    axes = made.add_axes(
        (
            left,
            bottom,
            (MARGINS["right"] - MARGINS["left"]) * WIDTH_IN / width,
            (MARGINS["top"] - MARGINS["bottom"]) * HEIGHT_IN / height,
        )
    )
    made.text(
        column * WIDTH_IN / width + 0.03,
        1 - (top_in + 0.1) / height,
        plot.title,
        fontsize=10,
        fontweight="bold",
        va="top",
    )
    plot.draw(axes)


def _rows(shown: list[Plot]) -> list[list[Plot]]:
    return [shown[index : index + _COLUMNS] for index in range(0, len(shown), _COLUMNS)]


def _sheet(made: Any, rows: list[list[Plot]], top_in: float) -> None:
    for index, row in enumerate(rows):
        for column, plot in enumerate(row):
            _place(made, plot, column, top_in + index * (HEIGHT_IN + _TITLE_IN))
    made.text(0.03, 0.1 / made.get_figheight(), _FOOT, fontsize=7, va="bottom")


def as_png(summary: Summary) -> bytes:
    """One tall picture."""
    file = BytesIO()
    rows = _rows(plots(summary))
    height = _HEAD_IN + len(rows) * (HEIGHT_IN + _TITLE_IN) + 0.3
    with figure(_COLUMNS * WIDTH_IN, height, INK) as made:
        _head(made, summary)
        _sheet(made, rows, _HEAD_IN)
        made.savefig(file, format="png", dpi=_PNG_DPI, facecolor="white")
    return file.getvalue()


def as_pdf(summary: Summary) -> bytes:
    """Some pages; the numbers are on the first."""
    from matplotlib.backends.backend_pdf import PdfPages

    file = BytesIO()
    rows = _rows(plots(summary))
    sheets = [rows[index : index + _ROWS_A_PAGE] for index in range(0, len(rows), _ROWS_A_PAGE)] or [[]]
    height = _HEAD_IN + _ROWS_A_PAGE * (HEIGHT_IN + _TITLE_IN) + 0.9
    metadata = {"Title": _title(summary), "Creator": "Retrostep", "CreationDate": None}
    with PdfPages(file, metadata=metadata) as pdf:
        for number, sheet in enumerate(sheets):
            with figure(_COLUMNS * WIDTH_IN, height, INK) as made:
                if number == 0:
                    _head(made, summary)
                _sheet(made, sheet, _HEAD_IN if number == 0 else 0.3)
                if summary.tests and number == len(sheets) - 1:
                    made.text(0.03, 0.35 / height, reference.TEXT, fontsize=7, va="bottom", wrap=True)
                pdf.savefig(made)
    return file.getvalue()
