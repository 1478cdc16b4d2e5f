"""What is soldered to which pin of the virtual board."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Chip:
    """A chip on an I2C bus. `model` names a module of rom/virtual; GPIO of its interrupt outputs in order."""

    model: str
    sda: int
    scl: int
    address: int
    int_pins: tuple[int, ...] = ()


@dataclass(frozen=True)
class Wiring:
    """GPIO numbers of one board. `names` gives the pins their roles in events."""

    board: str
    chips: tuple[Chip, ...]
    button_pin: int
    battery_pin: int
    battery_divider: int
    names: Mapping[int, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The form that the ROM reads."""
        return {**asdict(self), "names": {str(number): role for number, role in self.names.items()}}


XIAO_ESP32S3 = Wiring(
    board="Seeed XIAO ESP32S3",
    chips=(Chip("lsm6dsox", sda=5, scl=6, address=0x6A, int_pins=(4,)),),
    button_pin=2,
    battery_pin=1,
    battery_divider=2,
    names={1: "battery", 2: "button", 3: "motor", 4: "imu_int1", 21: "led"},
)
