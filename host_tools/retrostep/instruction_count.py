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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from retrostep import interpreter
from retrostep.device_tree import device_root
from retrostep.walker import Walk

# Instructions a sample that each placement may spend.
LIMITS = {"waist": 1500, "shoe": 2500}
SAMPLES = 3120
BLOCK = 26
SEED = 1
TIMEOUT_S = 120.0
# An interpreter for each of the two counts that make a difference.
_WORKERS = 2
_COLLECTED = re.compile(r"Collected\s*:\s*(\d+)")
_STAGES = Path(__file__).parent / "bench" / "scripts" / "gait_stages.py"


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
    with tempfile.TemporaryDirectory(prefix="retrostep-") as folder:
        samples = write_walk(Path(folder) / "samples", placement)
        blocks = SAMPLES // BLOCK
        spent, _ = instructions_between(
            blocks // 2, blocks, _STAGES, str(device_root()), str(samples), placement, "pipeline"
        )
    return spent / ((blocks - blocks // 2) * BLOCK)


def write_walk(path: Path, placement: str) -> Path:
    """The walk that is counted, SAMPLES of 6-channel int16 at 104 Hz, into the file `path`; returns it."""
    walk = Walk(seed=SEED).stand(1).walk("forward", seconds=SAMPLES / 104 + 2).recording(placement=placement)
    path.write_bytes(np.ascontiguousarray(walk.samples[:SAMPLES], "<i2").tobytes())
    return path


def instructions_between(fewer: int, more: int, script: Path, *args: str) -> tuple[int, tuple[str, str]]:
    """x86 instructions that `script` spends between `fewer` and `more` repetitions, and what it printed in both runs.

    It runs in MicroPython with these arguments, and finds the number of repetitions in the file "times" in its
    folder: another argument would be another word to intern, and so another start-up. Raises ValgrindMissing, or
    RuntimeError if nothing could be counted.
    """
    if shutil.which("valgrind") is None:
        raise ValgrindMissing(
            "no valgrind found, expected it on the PATH to count instructions: apt-get install valgrind"
        )
    with ThreadPoolExecutor(_WORKERS) as workers:
        first, last = workers.map(lambda times: _count(script, args, times), (fewer, more))
    return last[0] - first[0], (first[1], last[1])


def _count(script: Path, args: tuple[str, ...], times: int) -> tuple[int, str]:
    command = [
        "valgrind",
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        # Only the interpreter's own main counts: CPython, which starts it, varies from run to run.
        "--collect-atstart=no",
        "--toggle-collect=main_",
        *interpreter.command(script, *args, heap="8m"),
    ]
    with tempfile.TemporaryDirectory(prefix="retrostep-") as folder:
        (Path(folder) / "times").write_text(str(times))
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            cwd=folder,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
    collected = _COLLECTED.search(done.stderr)
    if done.returncode or collected is None or not int(collected[1]):
        raise RuntimeError(
            f"valgrind counted nothing (exit code {done.returncode}), expected a line 'Collected : N'; "
            f"it said: {(done.stdout + done.stderr)[-500:]}"
        )
    return int(collected[1]), done.stdout.strip()


if __name__ == "__main__":
    try:
        for name, value, unit, limit in figures():
            print(f"{name}: {value:.0f} {unit} (at most {limit:.0f})")
    except ValgrindMissing as missing:
        sys.exit(str(missing))
