"""What instructions counted here come to on an ESP32 at 240 MHz. An estimate: nothing was measured on one.

MicroPython's pystone makes 1,200 to 1,850 passes a second on an ESP32 at 240 MHz, as published.
scripts/pystone_like.py does the work of such a pass. The instructions that a pass takes here, in the same
interpreter, times the passes a second there, are how many of this computer's instructions an ESP32 does the work
of in a second. The lower of the two scores counts. Pystone is bytecode, which on an ESP32 often waits for flash;
kernels are machine code in RAM and should do better than this says.

The bus: I2C at 400 kHz carries 9 bits a byte, addresses and register numbers included. MicroPython waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from retrostep.bench import wasm
from retrostep.bench.figure import Figure
from retrostep.instruction_count import instructions_between

SLOWEST_PASSES_A_SECOND, FASTEST_PASSES_A_SECOND = 1200, 1850
SAMPLES_A_SECOND = 104
BUS_HZ = 400_000
_BITS_A_BYTE = 9
_PASSES = 20
# Percent of the CPU, without waiting for the bus and with it.
_LIMIT, _WITH_BUS_LIMIT = 1.0, 5.0


@dataclass(frozen=True)
class Scale:
    """instructions_a_second: of this computer, that an ESP32 does the work of."""

    instructions_a_second: float

    def seconds(self, instructions: float) -> float:
        """How long an ESP32 takes for what so many instructions do here."""
        return instructions / self.instructions_a_second

    def share(self, instructions_a_sample: float) -> float:
        """Percent of an ESP32's time, at 104 samples a second."""
        return 100 * self.seconds(instructions_a_sample * SAMPLES_A_SECOND)


def instructions_a_pass() -> float:
    """Instructions that a pass of the pystone-like work takes here. Raises ValgrindMissing."""
    spent, _ = instructions_between(_PASSES, 2 * _PASSES, wasm.SCRIPTS / "pystone_like.py")
    return spent / _PASSES


def measured_scale() -> Scale:
    """By the lower of the published scores. Raises ValgrindMissing."""
    return Scale(instructions_a_pass() * SLOWEST_PASSES_A_SECOND)


def bus_share(bytes_a_sample: float) -> float:
    """Percent of the time that the bus is busy."""
    return 100 * bytes_a_sample * _BITS_A_BYTE * SAMPLES_A_SECOND / BUS_HZ


def shares(gait: float, sampling: dict[str, float], bus_bytes: float, scale: Scale) -> Iterator[Figure]:
    """Shares of the CPU at the waist: gait code and FIFO; all that runs for each block of samples; and with the bus.

    gait, sampling: instructions a sample; bus_bytes: bytes that the bus carries a sample.
    """
    own = scale.share(gait + sampling["fifo"])
    beside = scale.share(sampling["clock"] + sampling["wear"])
    every = own + beside + scale.share(sampling["wakeup"])
    awake = own + beside + scale.share(sampling["awake"])
    bus = bus_share(bus_bytes)
    bus_time = f"{bus:.2f} % of the time"
    yield Figure("bus_bytes_a_sample", bus_bytes, "bytes", None, exact=True, on_esp32=bus_time)
    yield _share("fifo_and_gait", own, _LIMIT)
    yield _share("every_block", every, _LIMIT)
    yield _share("every_block_with_the_bus", every + bus, _WITH_BUS_LIMIT)
    yield _share("every_block_awake", awake, _LIMIT)
    yield _share("every_block_awake_with_the_bus", awake + bus, _WITH_BUS_LIMIT)


def _share(name: str, value: float, limit: float) -> Figure:
    return Figure(f"esp32_share_of_{name}", value, "% of the CPU", limit, exact=True, on_esp32="estimate")
