"""Which code an evaluation judged: models and a digest of the gait sources."""

import hashlib
import shlex
from collections.abc import Iterable
from typing import Any

from retrostep import __version__
from retrostep.device_tree import device_root

GAIT_SOURCES = ("firmware/gait/*.py", "lib/fixedpoint.py")


def gait_digest() -> str:
    """First 12 hex digits of the SHA-256 of the gait sources, names and contents, in order of name."""
    root = device_root()
    digest = hashlib.sha256()
    for path in sorted(path for pattern in GAIT_SOURCES for path in root.glob(pattern)):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def command_line(arguments: Iterable[str]) -> str:
    """The command as a person would type it."""
    return shlex.join(["retrostep", *arguments])


def origin(models: dict[str, str], command: str) -> dict[str, Any]:
    return {
        "retrostep": __version__,
        "command": command,
        "models": dict(sorted(models.items())),
        "gait_code": gait_digest(),
    }
