"""Where the device's own files are, and how CPython imports those that both sides share.

In a checkout `boot.py`, `main.py`, `lib/` and `firmware/` lie at the top of the project; in an installed
wheel they lie in `retrostep/device/`. The log record layout, the link protocol and the gait code are defined
once, there, and imported by the host after `use_device_code()`.
"""

import sys
from pathlib import Path

ENTRY_FILES = ("boot.py", "main.py")
FOLDERS = ("lib", "firmware")


def device_root() -> Path:
    """The folder that holds boot.py, main.py, lib/ and firmware/.

    Raises FileNotFoundError if neither a checkout nor an installed copy is found.
    """
    package = Path(__file__).resolve().parent
    for candidate in (package / "device", package.parent.parent):
        if all((candidate / name).exists() for name in (*ENTRY_FILES, *FOLDERS)):
            return candidate
    raise FileNotFoundError(
        f"no device files (boot.py, main.py, lib/, firmware/) beside {package}: "
        "reinstall retrostep, or run it from a checkout"
    )


def device_files() -> list[tuple[Path, str]]:
    """Every file that belongs on the device: (path here, path there), sorted by the path there."""
    root = device_root()
    files = [(root / name, f"/{name}") for name in ENTRY_FILES]
    for folder in FOLDERS:
        files += [(p, "/" + p.relative_to(root).as_posix()) for p in (root / folder).rglob("*.py")]
    return sorted(files, key=lambda pair: pair[1])


def use_device_code() -> None:
    """Make `firmware.*` and the modules of lib/ importable in this CPython process.

    Loads the shim `micropython` first, so that the decorators and pointer types of the shared sources have a
    meaning here. Safe to call more than once.
    """
    import retrostep.micropython_shim as shim

    sys.modules.setdefault("micropython", shim)
    root = device_root()
    for path in (root / "lib", root):
        if str(path) not in sys.path:
            sys.path.append(str(path))
