"""Tables, whatever shows them. A cell is text, a whole number, a Figure or None (no case)."""

from dataclasses import dataclass
from typing import Any

from retrostep.evaluation.statistics import Figure

Cell = str | int | Figure | None


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
