"""The heap of an application that has started: what is free, and what its modules take where words have 32 bits."""

from __future__ import annotations

import ast
import tempfile
from collections.abc import Iterator
from pathlib import Path

from retrostep import interpreter
from retrostep.bench import wasm
from retrostep.bench.figure import Figure
from retrostep.board import VirtualBoard, flash_image
from retrostep.board.supervisor import NAMES_HEAP
from retrostep.device_tree import device_files
from retrostep.flash import compile_file, installed_files

# Of 220 kB in the unix port, whose objects are twice as large as the device's: 30 kB of 110.
FREE_LIMIT_BYTES = 60_000
_SLACK_BYTES = 256.0
_LOOK_MS = 10_000
# The collector takes words on the stack and in what is not cleared for addresses: where objects lie decides whether
# one of these keeps up to 2 KB of garbage. Each start has them elsewhere.
_SHIFTS_BYTES = (0, 32, 64, 96, 128)
# Before boot.py: what is free then, and a while later.
_PROBE = f"""
import gc, machine
gc.collect()
_before = gc.mem_free()
def _tell(timer):
    import sys
    gc.collect()
    print("started", _before, gc.mem_free(), *sys.modules)
machine.Timer(0).init(mode=machine.Timer.ONE_SHOT, period={_LOOK_MS}, callback=_tell)
_shift = bytearray(SHIFT)

"""
_BOARD_NAME = "XIAO ESP32S3"
# Imports NAMES from FOLDER; what only the chip has is replaced by nothing.
_IMPORT = """
import gc, sys
class Nothing:
    def __getattr__(self, name): return self
    def __call__(self, *arguments, **named): return self
import os as found_os
class System:
    machine = BOARD
    def uname(self): return self
    def __getattr__(self, name): return getattr(found_os, name)
sys.path.insert(0, FOLDER)
for name in ("machine", "esp32", "asyncio", "time", "random"): sys.modules[name] = Nothing()
sys.modules["os"] = System()
before = gc.mem_alloc()
for name in NAMES: __import__(name)
gc.collect()
print(gc.mem_alloc() - before)
"""


def free_taken_and_modules() -> tuple[int, int, list[str]]:
    """Bytes of the device's heap (220 kB, 64 bits) that are free after the start, and taken; the modules it keeps.

    Of the middle one of five starts by the garbage that is left.
    """
    return sorted(_start(shift) for shift in _SHIFTS_BYTES)[len(_SHIFTS_BYTES) // 2]


def _start(shift: int) -> tuple[int, int, list[str]]:
    with tempfile.TemporaryDirectory(prefix="retrostep-") as name:
        folder = Path(name)
        ours = dict(_modules())
        boot, image = folder / "boot.py", folder / "flash.img"
        boot.write_text(_PROBE.replace("SHIFT", str(shift)) + ours["boot"].read_text())
        others = [pair for pair in installed_files() if pair[1] != "/boot.py"]
        flash_image.create(image, [*others, (boot, "/boot.py")])
        with VirtualBoard(image, speed=0) as board:
            board.advance(_LOOK_MS / 1000 + 2)
            printed = bytes(board.console).decode().splitlines()
    for line in printed:
        word, _, rest = line.partition(" ")
        if word == "started":
            before, free, *loaded = rest.split()
            return int(free), int(before) - int(free), [name for name in loaded if name in ours]
    raise RuntimeError(f"the application did not start: {printed[-5:]}")


def _modules() -> Iterator[tuple[str, Path]]:
    """The device's modules by name."""
    for here, there in device_files():
        path = there.lstrip("/").removeprefix("lib/").removesuffix(".py").removesuffix("/__init__")
        yield path.replace("/", "."), here


def _without_kernels(source: str) -> str:
    """The source with empty functions in place of machine code, which lies outside of the heap."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(
            ast.unparse(decorator).startswith("micropython.") for decorator in node.decorator_list
        ):
            node.decorator_list = []
            node.body = [ast.Pass()]
            node.returns = None
            for argument in node.args.args:
                argument.annotation = None
    return ast.unparse(tree)


def heap_of_modules(names: list[str]) -> tuple[int, int]:
    """Bytes that importing these modules takes where words have 32 bits, and 64: objects, bytecode and names.

    Raises wasm.WasmMissing.
    """
    sources = dict(_modules())
    with tempfile.TemporaryDirectory(prefix="retrostep-") as name:
        folder = Path(name)
        compiled = folder / "compiled"
        for module in [*names, "firmware.boards.choice"]:
            target = module.replace(".", "/")
            target += "/__init__.py" if sources[module].name == "__init__.py" else ".py"
            copy = folder / "source.py"
            copy.write_text(_without_kernels(sources[module].read_text()))
            compile_file(copy, target, compiled, "x64")
        code = _IMPORT.replace("NAMES", repr(names)).replace("BOARD", repr(_BOARD_NAME))
        printed, _ = wasm.run(code.replace("FOLDER", "'/input'"), compiled)
        (folder / "code.py").write_text(code.replace("FOLDER", repr(str(compiled))))
        done = interpreter.run(folder / "code.py", heap="8m")
    return int(printed), int(done.stdout)


def figures() -> Iterator[Figure]:
    """What is free once the application has started, and what that comes to in 32 bits."""
    free, taken, names = free_taken_and_modules()
    in_32, in_64 = heap_of_modules(names)
    made = taken + NAMES_HEAP - in_64
    for name, value, on_esp32 in (
        ("modules_64_bits", in_64, ""),
        ("modules_32_bits", in_32, f"{in_32:,.0f} bytes of heap"),
        ("objects_64_bits", made, f"{made / 2:,.0f} to {made:,.0f} bytes of heap"),
        ("heap_32_bits", in_32 + made, f"{in_32 + made / 2:,.0f} to {in_32 + made:,.0f} bytes of heap"),
    ):
        yield Figure(
            f"started_{name}", value, "bytes", None, exact=True, slack=_SLACK_BYTES, on_esp32=on_esp32
        )
    yield Figure(
        "started_heap_free",
        free,
        "bytes of 220 kB",
        FREE_LIMIT_BYTES,
        at_least=True,
        exact=True,
        slack=_SLACK_BYTES,
        on_esp32=f"{free / 2:,.0f} bytes of 110 kB, by halving",
    )
