"""What the device's modules take: heap when they are imported, and bytes of flash when compiled."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from retrostep import interpreter
from retrostep.bench import started
from retrostep.bench.figure import Figure
from retrostep.bench.wasm import SCRIPTS
from retrostep.device_tree import device_root
from retrostep.flash import compile_application
from retrostep.instruction_count import BLOCK, SAMPLES, write_walk

# Of the unix port, which has 64 bits; of the Xtensa ESP32 and S3, and of the C3 and C6.
_HERE = "x64"
_CHIPS = ("xtensawin", "rv32imc")
# Imported and dropped by firmware.boards, which it counts for.
_DROPPED = "firmware.boards.choice"
# A module may always grow by so many bytes: a text of a few words more is no regression.
_HEAP_SLACK = 256.0
_FILE_SLACK = 64.0
# What a step may allocate: the tuple that it is handed over as.
_STEP_BYTES = 64


def module_heap() -> dict[str, int]:
    """Bytes of the unix port's heap by module, all imported into one interpreter; "names": their identifiers."""
    with tempfile.TemporaryDirectory(prefix="retrostep-") as name:
        folder = Path(name)
        compiled = compile_application(folder, _HERE)
        modules = sorted(
            path.removesuffix(".mpy").replace("/", ".").removesuffix(".__init__") for path in compiled
        )
        modules.remove(_DROPPED)
        (folder / "names").write_text("\n".join(modules))
        done = interpreter.run(SCRIPTS / "module_memory.py", str(folder), str(folder / "names"), heap="8m")
    if done.returncode:
        raise RuntimeError(f"the device's modules could not be imported: {done.stdout.decode()[-1000:]}")
    lines = done.stdout.decode().split("\n")
    return {line.split()[0]: int(line.split()[1]) for line in lines if line}


def heap() -> Iterator[Figure]:
    """Heap by module, and of all of them."""
    by_module = module_heap()
    total = sum(by_module.values())
    yield _heap("heap_of_all_modules", total)
    for module, used in by_module.items():
        yield _heap(f"heap_{module}", used)


def _heap(name: str, used: float, slack: float = _HEAP_SLACK, limit: float | None = None) -> Figure:
    on_esp32 = f"{used / 2:,.0f} bytes of heap"
    return Figure(name, used, "bytes", limit, exact=True, slack=slack, on_esp32=on_esp32)


def allocations() -> Iterator[Figure]:
    """Bytes that the gait code allocates a step while somebody walks."""
    for placement in ("waist", "shoe"):
        with tempfile.TemporaryDirectory(prefix="retrostep-") as name:
            folder = Path(name)
            (folder / "times").write_text(str(SAMPLES // BLOCK))
            samples = write_walk(folder / "samples", placement)
            arguments = (str(device_root()), str(samples), placement, "allocated")
            done = interpreter.run(SCRIPTS / "gait_stages.py", *arguments, heap="8m", folder=folder)
        used, steps = (int(word) for word in done.stdout.split())
        yield _heap(f"allocated_a_step_{placement}", used / steps, slack=0.0, limit=_STEP_BYTES)


def files() -> Iterator[Figure]:
    """Sizes of the compiled application, and the largest of its files."""
    for chip in _CHIPS:
        with tempfile.TemporaryDirectory(prefix="retrostep-") as folder:
            sizes = {
                name: path.stat().st_size for name, path in compile_application(Path(folder), chip).items()
            }
        largest = max(sizes, key=lambda name: sizes[name])
        total = sum(sizes.values())
        yield Figure(
            f"mpy_{chip}",
            total,
            "bytes",
            None,
            exact=True,
            slack=_FILE_SLACK,
            on_esp32=f"{total:,} bytes of flash",
        )
        yield Figure(
            f"mpy_{chip}_largest",
            sizes[largest],
            "bytes",
            None,
            exact=True,
            slack=_FILE_SLACK,
            on_esp32=f"{largest}, {sizes[largest]:,} bytes of flash",
        )


def figures() -> Iterator[Figure]:
    """Heap and files."""
    yield from allocations()
    yield from files()
    yield from started.figures()
    yield from heap()
