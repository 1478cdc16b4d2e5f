"""docs/performance.md: the exact figures, what they mean on an ESP32, and how both were come by."""

from __future__ import annotations

from collections.abc import Iterable

from retrostep.bench import esp32
from retrostep.bench.figure import Figure

_HEAD = """# Speed and memory

Written by `make performance`; not to be edited by hand. Only figures that are the same on every run: `make bench`
prints them, too, and those that depend on the computer (replay, syncs, reports), each with its limit. It fails
where an exact figure is worse than in `host_tools/retrostep/bench/baseline.json` by more than 5 %; `make
baseline` writes that anew.

**The column "ESP32, 240 MHz" is an estimate.** Nothing was measured on one.

## Method

- Instructions are those of an x86 computer, counted by callgrind while MicroPython's unix port, 64 bits, runs the
  device's sources: a synthetic walk of 30 s forward at 104 Hz in blocks of 26 samples, as they come from the FIFO. A
  figure is the difference between all of the walk and half of it, so start-up and imports cancel. A stage is what it
  adds to those before it.
- Fuel is what a 32-bit MicroPython, compiled to WebAssembly, executes. It knows no viper: kernels run as bytecode. It
  tells how much work the sources ask for, not how long that takes.
- Time on an ESP32: published scores say {slowest:,} to {fastest:,} passes of pystone a second in MicroPython on
  an ESP32 at 240 MHz. A pass of a loop with the same work (`bench/scripts/pystone_like.py`) takes {a_pass:,.0f}
  instructions here. The lower score counts: an ESP32 does in a second what {a_second:.1f} million instructions do
  here. Pystone is bytecode, which waits for flash; kernels are machine code, and should do better.
- Shares of the CPU are those of the waist at 104 Hz. "FIFO and gait": unpacking the sensor's words, and all of
  the gait code. "Every block": also the task that is woken four times a second, the question whether the CPU may
  sleep, the sensor's clock, and the watch over whether the device is worn; between blocks the CPU sleeps. "Awake": it
  may not sleep, because of the radio or USB, and waits on a timer. Not the log, the radio and cues, which steps make
  work. Integers beyond 31 bits cost more on the chip than here; only the sensor's clock has them.
- The bus: I2C at 400 kHz, 9 bits a byte, all bytes that the LSM6DSOX's driver moves, addresses included. MicroPython
  waits for it.
- Activity recognition, for comparison: 92 features of windows of 128 samples, every 64, in bytecode
  (`bench/scripts/har_features.py`, written anew from the description of a published MicroPython pipeline; its
  classifier, C there, is left out), in the same interpreter over the same walk.
- Allocated: up to the decision on a step nothing is, as the tests prove with the heap locked (`make test K=alloc`).
  What is counted here is the step as it is handed over, a tuple.
- Heap: what importing a compiled module leaves, in the unix port; objects take half of that on the 32-bit device.
  All modules are imported into one interpreter; a device loads one driver, one placement, and seldom used parts
  only for as long as it needs them. "names" are identifiers, which all modules share. Machine code is outside of
  the heap.
- The heap after the start: of 220 kB in the unix port, ten seconds after the start, lying still, waist, LSM6DSOX. Its
  objects are twice as large as the device's, so what is free stands for half of it in 110 kB. But bytecode and
  identifiers are as large on the device: what the modules that stay loaded take, without the machine code of kernels,
  is therefore weighed in both word sizes, and what the application makes beside them shrinks to between half
  (objects) and nothing (arrays). "heap_32_bits" is the sum: more than the halved figure says. MicroPython's heap on
  an ESP32 had 108 kB before 1.21; since then it begins with 64 kB and grows while memory lasts, by 139 kB on a C3
  with the radio off, as published.
- Flash: `retrostep flash` compiles with mpy-cross for Xtensa (ESP32, S2, S3) or RISC-V (C3, C6).
"""

# Titles of the tables, and how the names of their figures begin.
_TABLES = (
    ("Share of the CPU", ("esp32_", "bus_")),
    ("Instructions a sample", ("instructions_a_sample_", "har_")),
    ("Instructions a step", ("instructions_a_step_",)),
    ("Fuel", ("fuel_",)),
    ("Allocated while somebody walks", ("allocated_",)),
    ("Flash", ("mpy_",)),
    ("The heap after the start", ("started_",)),
    ("Heap by module", ("heap_",)),
)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _table(title: str, figures: list[Figure]) -> str:
    lines = [
        f"## {title}",
        "",
        "| figure | value | unit | limit | ESP32, 240 MHz |",
        "|---|---:|---|---:|---|",
    ]
    for figure in figures:
        limit = ""
        if figure.limit is not None:
            limit = f"{'at least' if figure.at_least else 'at most'} {_number(figure.limit)}"
        meaning = figure.on_esp32 or "-"
        lines.append(f"| {figure.name} | {_number(figure.value)} | {figure.unit} | {limit} | {meaning} |")
    return "\n".join(lines) + "\n"


def page(figures: Iterable[Figure], instructions_a_pass: float) -> str:
    """The text of docs/performance.md. figures: those that are exact go in, with limits of their own, in order."""
    exact = [figure for figure in figures if figure.exact]
    head = _HEAD.format(
        slowest=esp32.SLOWEST_PASSES_A_SECOND,
        fastest=esp32.FASTEST_PASSES_A_SECOND,
        a_pass=instructions_a_pass,
        a_second=instructions_a_pass * esp32.SLOWEST_PASSES_A_SECOND / 1e6,
    )
    tables = []
    for title, beginnings in _TABLES:
        rows = [figure for figure in exact if figure.name.startswith(beginnings)]
        if rows:
            tables.append(_table(title, rows))
    return "\n".join([head, *tables])
