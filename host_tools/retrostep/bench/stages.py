"""What each stage of the device's sample path costs, exactly: instructions of this computer, and wasm fuel.

The scripts run over a synthetic walk, up to one stage after the other; what a stage costs is what it adds. Each
count is the difference of two runs, over half of the walk and over all of it, so start-up, imports and reading
files cancel. Instructions are x86 ones of the unix port, counted by callgrind: kernels run as machine code there,
as on the ESP32. In the 32-bit WebAssembly build kernels run as bytecode: fuel says how much work the sources ask
for, whatever the processor, not how long it takes.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from retrostep import instruction_count
from retrostep.bench import esp32, wasm
from retrostep.bench.figure import Figure
from retrostep.device_tree import device_root
from retrostep.instruction_count import BLOCK, SAMPLES, ValgrindMissing, instructions_between, write_walk

# What scripts/gait_stages.py is run up to, in the order in which samples pass the stages.
_RUNS = {
    "waist": ("front_end", "steps", "direction", "stability", "pipeline"),
    "shoe": ("stances", "strides", "strapdown_twice", "pipeline"),
}
# Before and beside the gait code; names of scripts/sampling_cost.py.
SAMPLING_STAGES = ("fifo", "wakeup", "awake", "clock", "wear")
_GAIT = wasm.SCRIPTS / "gait_stages.py"
_SAMPLING = wasm.SCRIPTS / "sampling_cost.py"
_FEATURES = wasm.SCRIPTS / "har_features.py"
_BLOCKS = SAMPLES // BLOCK
_HALF = _BLOCKS // 2
# Of fuel: what 32-bit kernels allocate as bytecode is never collected, and more does not fit that heap.
_FUEL_BLOCKS = (30, 54)
_HOP = 64
# How many times the gait code is to be cheaper than activity recognition by features of windows.
_TIMES_CHEAPER = 20
# A stage may always grow by so much: instructions, and part of all stages' fuel. Kernels allocate their integers
# there, and what finding room costs depends on how earlier objects lie, so small stages vary with any change.
_SLACK = 10.0
_FUEL_SLACK = 0.05


@dataclass(frozen=True)
class Cost:
    """What was spent on a part of the walk, and how many steps and samples that has."""

    spent: int
    steps: int
    samples: int = (_BLOCKS - _HALF) * BLOCK

    @property
    def a_sample(self) -> float:
        return self.spent / self.samples

    @property
    def a_step(self) -> float:
        return self.spent / self.steps

    def minus(self, other: Cost) -> Cost:
        return replace(self, spent=self.spent - other.spent)


def stage_costs(whole: dict[str, Cost]) -> dict[str, Cost]:
    """What each stage adds, of the costs of all up to each; all of them have the steps of the last."""
    if "strapdown_twice" in whole:
        # It was run once more than needed, over all that comes before and after it.
        strapdown = whole["strapdown_twice"].minus(whole["strides"])
        stances = whole["stances"]
        costs = {"stances": stances, "strapdown": strapdown}
        costs["strides"] = whole["strides"].minus(stances).minus(strapdown)
        if "pipeline" in whole:
            costs["pipeline"] = whole["pipeline"].minus(whole["strides"])
    else:
        costs, before = {}, Cost(0, 0)
        for name, cost in whole.items():
            costs[name] = cost.minus(before)
            before = cost
    steps = max(cost.steps for cost in whole.values())
    return {name: replace(cost, steps=steps) for name, cost in costs.items()}


def counted_instructions(placement: str) -> dict[str, Cost]:
    """Instructions up to each stage of a placement. Raises ValgrindMissing."""
    with tempfile.TemporaryDirectory(prefix="retrostep-") as folder:
        samples = write_walk(Path(folder) / "samples", placement)
        costs = {}
        for stage in _RUNS[placement]:
            spent, steps = instructions_between(
                _HALF, _BLOCKS, _GAIT, str(device_root()), str(samples), placement, stage
            )
            costs[stage] = Cost(spent, int(steps[1]) - int(steps[0]))
    return costs


def counted_fuel(placement: str) -> dict[str, Cost]:
    """Fuel up to each stage but the last, whose share is less than what allocation varies by. Raises WasmMissing."""
    costs = {}
    with tempfile.TemporaryDirectory(prefix="retrostep-") as name:
        folder = Path(name)
        wasm.copy_device_code(folder, _GAIT)
        write_walk(folder / "samples", placement)
        for stage in _RUNS[placement][:-1]:
            runs = []
            for blocks in _FUEL_BLOCKS:
                code = (
                    "import gait_stages as g\n"
                    "import firmware.gait.pipeline, firmware.gait.trunk, firmware.gait.shoe\n"
                    f"blocks = g.blocks_of('/input/samples')[:{_FUEL_BLOCKS[-1]}]\n"
                    "gc.collect()\n"
                    f"print(g.run(blocks, {blocks}, '{placement}', '{stage}', g.fill_holes))"
                )
                runs.append(wasm.run(code, folder))
            (fewer, little), (more, much) = runs
            samples = (_FUEL_BLOCKS[1] - _FUEL_BLOCKS[0]) * BLOCK
            costs[stage] = Cost(much - little, int(more) - int(fewer), samples)
    return costs


def sampling_costs() -> tuple[dict[str, float], float]:
    """Instructions a sample of each of SAMPLING_STAGES, and bytes that the bus carries a sample."""
    costs: dict[str, float] = {}
    bus_bytes = 0.0
    for stage in SAMPLING_STAGES:
        spent, carried = instructions_between(_HALF, _BLOCKS, _SAMPLING, str(device_root()), stage)
        samples = (_BLOCKS - _HALF) * BLOCK
        costs[stage] = spent / samples
        if stage == "fifo":
            bus_bytes = (int(carried[1]) - int(carried[0])) / samples
    # The task reads the FIFO, too.
    for woken in ("wakeup", "awake"):
        costs[woken] -= costs["fifo"]
    return costs, bus_bytes


def feature_cost(windows: int = 20) -> float:
    """Instructions a sample of activity recognition by 92 features of windows (scripts/har_features.py)."""
    with tempfile.TemporaryDirectory(prefix="retrostep-") as folder:
        samples = write_walk(Path(folder) / "samples", "waist")
        spent, _ = instructions_between(windows, 2 * windows, _FEATURES, str(samples))
    return spent / (windows * _HOP)


def instructions() -> Iterator[Figure]:
    """Instructions a sample and a step, stage by stage, and what they come to on an ESP32."""
    scale = esp32.measured_scale()
    gait: dict[str, float] = {}
    for placement in _RUNS:
        whole = counted_instructions(placement)
        total = whole["pipeline"]
        gait[placement] = total.a_sample
        limit = instruction_count.LIMITS[placement]
        yield _instructions(f"a_sample_{placement}", total.a_sample, scale, limit)
        yield _a_step(f"instructions_a_step_{placement}", total, scale)
        for stage, cost in stage_costs(whole).items():
            name = f"{placement}_{'reports' if stage == 'pipeline' else stage}"
            yield _instructions(f"a_sample_{name}", cost.a_sample, scale)
            yield _a_step(f"instructions_a_step_{name}", cost, scale)
    costs, bus_bytes = sampling_costs()
    for stage, cost in costs.items():
        yield _instructions(f"a_sample_sampling_{stage}", cost, scale)
    features = feature_cost()
    yield _instructions("a_sample_har_features", features, scale)
    yield Figure(
        "har_features_of_gait", features / gait["waist"], "times", _TIMES_CHEAPER, at_least=True, exact=True
    )
    yield from esp32.shares(gait["waist"], costs, bus_bytes, scale)


def _instructions(name: str, value: float, scale: esp32.Scale, limit: float | None = None) -> Figure:
    share = f"{scale.share(value):.2f} % of the CPU"
    return Figure(
        f"instructions_{name}", value, "instructions", limit, exact=True, slack=_SLACK, on_esp32=share
    )


def _a_step(name: str, cost: Cost, scale: esp32.Scale) -> Figure:
    took = f"{scale.seconds(cost.a_step) * 1e6:.0f} us"
    slack = _SLACK * cost.samples / cost.steps
    return Figure(name, cost.a_step, "instructions", None, exact=True, slack=slack, on_esp32=took)


def fuel() -> Iterator[Figure]:
    """Fuel a sample and a step, stage by stage."""
    for placement in _RUNS:
        whole = counted_fuel(placement)
        costs = stage_costs(whole)
        (any_cost, *_) = costs.values()
        total = replace(any_cost, spent=sum(cost.spent for cost in costs.values()))
        slack = _FUEL_SLACK * total.spent
        for stage, cost in {"": total, **costs}.items():
            name = f"{placement}_{stage}" if stage else placement
            a_sample, a_step = slack / cost.samples, slack / cost.steps
            yield Figure(f"fuel_a_sample_{name}", cost.a_sample, "fuel", None, exact=True, slack=a_sample)
            yield Figure(f"fuel_a_step_{name}", cost.a_step, "fuel", None, exact=True, slack=a_step)


def figures() -> Iterator[Figure]:
    """All of them; what can't be counted here is left out, with a word on stderr."""
    try:
        yield from instructions()
    except ValgrindMissing as missing:
        print(f"instructions not counted: {missing}", file=sys.stderr)
    try:
        yield from fuel()
    except wasm.WasmMissing as missing:
        print(f"fuel not counted: {missing}", file=sys.stderr)
