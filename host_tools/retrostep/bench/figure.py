"""One measured figure, and how it is printed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """The limit is the least acceptable value if at_least, else the greatest; None: there is none.

    exact: the same on every run, so that it can be compared with the baseline. slack: by how much, in its unit, an
    exact figure may always grow. on_esp32: what it means on a 240 MHz ESP32, a text; "" if nothing.
    """

    name: str
    value: float
    unit: str
    limit: float | None
    at_least: bool = False
    exact: bool = False
    slack: float = 0.0
    on_esp32: str = ""

    @property
    def held(self) -> bool:
        """Is the value within its limit?"""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        limit = "" if self.limit is None else f"{'>=' if self.at_least else '<='} {self.limit:.6g}"
        missed = "" if self.held else "  MISSED"
        return f"{self.name:44} {self.value:12.6g} {self.unit:16} {limit}{missed}".rstrip()
