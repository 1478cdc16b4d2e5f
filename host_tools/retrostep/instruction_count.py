"""Instructions that the gait code spends on a sample, counted by valgrind; the same on every run.

`figures()` walks a simulated person through a Pipeline in MicroPython under callgrind, once for half of the walk and
once for all of it, a block of the FIFO at a time, and divides the difference by the number of samples: start-up,
import, compilation and reading the file cancel.
These are x86 instructions of the unix port; on the ESP32 they differ, but a growth here is a growth there.

`python -m retrostep.instruction_count` prints them. Needs valgrind, a package of the system (`apt-get install
valgrind`).
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from retrostep import interpreter
from retrostep.device_tree import device_root
from retrostep.walker import Walk

# Instructions a sample that each placement may spend.
LIMITS = {"waist": 2500, "shoe": 4000}
SAMPLES = 3120
BLOCK = 26
SEED = 1
TIMEOUT_S = 120.0
_COLLECTED = re.compile(r"Collected\s*:\s*(\d+)")
_SCRIPT = """
import sys
sys.path[:1] = [sys.argv[1], sys.argv[1] + "/lib"]
from array import array
from firmware.gait.mounting import Mounting
from firmware.gait.pipeline import Pipeline
with open(sys.argv[2], "rb") as stream:
    blocks = [array("h", stream.read(12 * 26)) for _ in range(int(sys.argv[4]))]
def walk(pipeline, blocks):
    process, take_steps, take_events = pipeline.process, pipeline.take_steps, pipeline.take_events
    for block in blocks:
        process(block, 26)
        take_steps()
        take_events()
walk(Pipeline(sys.argv[3], Mounting.clip()), blocks[:int(sys.argv[5])])
"""


class ValgrindMissing(RuntimeError):
    """Instructions cannot be counted on this machine."""


def figures() -> list[tuple[str, float, str, float]]:
    """(name, value, unit, limit) for each placement, while walking."""
    return [
        (f"instructions a sample, {placement}", instructions_a_sample(placement), "instructions", limit)
        for placement, limit in LIMITS.items()
    ]


def instructions_a_sample(placement: str) -> float:
    """x86 instructions that Pipeline spends on one sample of walking at 104 Hz."""
    if shutil.which("valgrind") is None:
        raise ValgrindMissing(
            "no valgrind found, expected it on the PATH to count instructions: apt-get install valgrind"
        )
    walk = Walk(seed=SEED).stand(1).walk("forward", seconds=SAMPLES / 104 + 2).recording(placement=placement)
    samples = np.ascontiguousarray(walk.samples[:SAMPLES], "<i2")
    blocks = SAMPLES // BLOCK
    half = blocks // 2
    difference = _count(placement, samples, blocks) - _count(placement, samples, half)
    return difference / ((blocks - half) * BLOCK)


def _count(placement: str, samples: np.ndarray, blocks: int) -> int:
    with tempfile.TemporaryDirectory(prefix="retrostep-") as folder:
        script, data = Path(folder) / "walk.py", Path(folder) / "samples"
        script.write_text(_SCRIPT)
        data.write_bytes(samples.tobytes())
        command = [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={folder}/out",
            # Only the interpreter's own main counts: CPython, which starts it, varies from run to run.
            "--collect-atstart=no",
            "--toggle-collect=main_",
            *interpreter.command(
                script,
                str(device_root()),
                str(data),
                placement,
                str(SAMPLES // BLOCK),
                str(blocks),
                heap="8m",
            ),
        ]
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
    collected = _COLLECTED.search(done.stderr)
    if done.returncode or collected is None or not int(collected[1]):
        raise RuntimeError(
            f"valgrind counted nothing (exit code {done.returncode}), expected a line 'Collected : N'; "
            f"it said: {(done.stdout + done.stderr)[-500:]}"
        )
    return int(collected[1])


if __name__ == "__main__":
    try:
        for name, value, unit, limit in figures():
            print(f"{name}: {value:.0f} {unit} (at most {limit:.0f})")
    except ValgrindMissing as missing:
        sys.exit(str(missing))
