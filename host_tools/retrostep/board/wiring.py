"""What is soldered to which pin of the virtual board."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
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
class Motor:
    """The vibration motor: behind the transistor at `pin`, or (None) at the outputs of the haptic or power chip.

    Figures of a coin motor of 10 mm and 3 V on a case of 100 g (rom/virtual/vibration.py).
    """

    pin: int | None = None
    kind: str = "erm"
    """"erm" or "lra"."""
    rated_mv: int = 3000
    supply_mv: int = 3300
    """What the transistor switches."""
    amplitude_mg: int = 900
    """How strongly it shakes the case at its rated speed."""
    frequency_hz: float = 175
    rise_ms: int = 40
    """Time constants: 63 % of the way."""
    coast_ms: int = 45
    brake_ms: int = 20
    start_level: float = 0.6
    """Part of the rated voltage below which it does not start."""
    rock_dps: int = 20
    """How strongly it rocks the case."""
    cutoff_hz: float = 52
    """The sensor's low-pass, second order."""
    axes: tuple[int, int] = (0, 1)
    """The sensor's axes in the plane of the rotation."""


LRA = Motor(
    kind="lra", rated_mv=2000, amplitude_mg=1000, rise_ms=30, coast_ms=30, brake_ms=10, start_level=0.0
)
"""A linear resonant actuator of 10 mm, at the haptic chip."""


@dataclass(frozen=True)
class Wiring:
    """GPIO numbers of one board. `names` gives the pins their roles in events."""

    board: str
    chips: tuple[Chip, ...]
    button_pin: int
    battery_pin: int | None
    battery_divider: int
    button_pulled_up: bool = False
    """A resistor on the board holds the button's pin high; the chip's own pull-up is not needed."""
    mcu: str = "ESP32S3"
    machine_name: str = "Generic ESP32S3 module with ESP32S3"
    """What os.uname().machine says: MicroPython's build for any board of the chip, or one of the board's own."""
    motor: Motor | None = None
    names: Mapping[int, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The form that the ROM reads."""
        return {**asdict(self), "names": {str(number): role for number, role in self.names.items()}}


XIAO_ESP32S3 = Wiring(
    board="Seeed XIAO ESP32S3",
    machine_name="Seeed XIAO ESP32S3 with ESP32-S3-FN8",
    chips=(Chip("lsm6dsox", sda=5, scl=6, address=0x6A, int_pins=(4,)),),
    button_pin=2,
    battery_pin=1,
    battery_divider=2,
    motor=Motor(pin=3),
    names={1: "battery", 2: "button", 3: "motor", 4: "imu_int1", 21: "led"},
)

XIAO_ESP32S3_DS3TRC = replace(
    XIAO_ESP32S3, chips=(Chip("lsm6ds3trc", sda=5, scl=6, address=0x6A, int_pins=(4,)),)
)
_ESP32 = "Generic ESP32 module with ESP32"
ESP32_GY521 = Wiring(
    board="ESP32 DevKit with GY-521",
    chips=(Chip("mpu6050", sda=21, scl=22, address=0x68),),
    button_pin=27,
    battery_pin=35,
    battery_divider=2,
    mcu="ESP32",
    machine_name=_ESP32,
    motor=Motor(pin=25),
    names={35: "battery", 27: "button", 25: "motor", 2: "led"},
)
M5STICKC_PLUS2 = Wiring(
    board="M5StickC Plus2",
    chips=(Chip("mpu6886", sda=21, scl=22, address=0x68),),
    button_pin=37,
    button_pulled_up=True,
    battery_pin=38,
    battery_divider=2,
    mcu="ESP32",
    machine_name=_ESP32,
    names={38: "battery", 37: "button", 19: "led", 4: "power_hold"},
)
M5STACK_CORE2 = Wiring(
    board="M5Stack Core2",
    chips=(
        Chip("mpu6886", sda=21, scl=22, address=0x68),
        Chip("axp192", sda=21, scl=22, address=0x34),
    ),
    button_pin=39,
    button_pulled_up=True,
    battery_pin=None,
    battery_divider=1,
    mcu="ESP32",
    machine_name=_ESP32,
    motor=Motor(),
    names={39: "button"},
)
M5STICK_S3 = Wiring(
    board="M5StickS3",
    chips=(Chip("bmi270", sda=47, scl=48, address=0x68),),
    button_pin=11,
    battery_pin=None,
    battery_divider=1,
    names={11: "button"},
)
TWATCH_S3 = Wiring(
    board="LilyGO T-Watch S3",
    chips=(
        Chip("bma423", sda=10, scl=11, address=0x19, int_pins=(14,)),
        Chip("drv2605l", sda=10, scl=11, address=0x5A),
        Chip("axp2101", sda=10, scl=11, address=0x34),
    ),
    motor=Motor(),
    button_pin=16,
    battery_pin=None,
    battery_divider=1,
    names={14: "imu_int1", 16: "button"},
)
WAVESHARE_LCD169 = Wiring(
    board="Waveshare ESP32-S3-Touch-LCD-1.69",
    chips=(Chip("qmi8658", sda=11, scl=10, address=0x6B),),
    button_pin=0,
    battery_pin=None,
    battery_divider=1,
    motor=Motor(pin=17),
    names={0: "button", 17: "motor"},
)

QTPY_ESP32S3 = Wiring(
    board="Adafruit QT Py ESP32-S3",
    machine_name="Adafruit QT Py ESP32-S3 no psram with ESP32S3",
    chips=(
        Chip("lsm6dsox", sda=41, scl=40, address=0x6A),
        Chip("drv2605l", sda=41, scl=40, address=0x5A),
    ),
    button_pin=0,
    battery_pin=None,
    battery_divider=1,
    motor=Motor(),
    names={0: "button", 17: "led"},
)

WIRINGS = {
    "qtpy_esp32s3": QTPY_ESP32S3,
    "xiao_esp32s3": XIAO_ESP32S3,
    "xiao_esp32s3_ds3trc": XIAO_ESP32S3_DS3TRC,
    "esp32_gy521": ESP32_GY521,
    "m5stickc_plus2": M5STICKC_PLUS2,
    "m5stack_core2": M5STACK_CORE2,
    "m5stick_s3": M5STICK_S3,
    "twatch_s3": TWATCH_S3,
    "waveshare_lcd169": WAVESHARE_LCD169,
}
"""The wiring of each board profile in firmware/boards, by the profile's name."""
