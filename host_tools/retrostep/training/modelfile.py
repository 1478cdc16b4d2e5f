"""The file of a learned model: MicroPython source, as firmware/gait/learned.py and installed_model.py want it.

`write` makes it, `read` checks it and gives what it says of itself. HASH is a digest of the whole source, which
names the data it was trained on by their own digest; the last line is the checksum that the device looks at.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from retrostep.device_tree import use_device_code
from retrostep.training.errors import TrainingError

use_device_code()

from firmware.gait import learned  # noqa: E402
from firmware.gait.direction import BACKWARD, FORWARD, UNKNOWN  # noqa: E402

Decide = Callable[[list[int]], tuple[int, int]]
_MARK = "# crc32 "


@dataclass(frozen=True)
class Tables:
    """A fitted model: its constants by name, and the source of the function that uses them."""

    constants: dict[str, Any]
    decide: str


@dataclass(frozen=True)
class LearnedModel:
    """A model file that was read. summary: as trainer.py wrote it."""

    name: str
    hash: str
    summary: dict[str, Any]
    decide: Decide
    path: Path

    @property
    def model_id(self) -> str:
        """What the device adds to the name of its physics."""
        return f"{self.name}-{self.hash[:8]}"


def source(name: str, tables: Tables, summary: dict[str, Any]) -> str:
    """The text of the file. summary: what `retrostep model show` prints; must be JSON."""
    told = json.dumps(summary, separators=(",", ":"), sort_keys=True)
    body = "\n".join(
        [
            '"""Learned by `retrostep train`; do not edit. `retrostep model show` tells what is in it."""',
            "",
            f"INTERFACE = {learned.INTERFACE}",
            f"NAME = {name!r}",
            f"FEATURES = {learned.FEATURES!r}",
            f"DIRECTIONS = {(FORWARD, BACKWARD, UNKNOWN)!r}",
            *(f"{key} = {value!r}" for key, value in tables.constants.items()),
            tables.decide,
            f"SUMMARY = {told!r}",
        ]
    )
    digest = hashlib.sha256(body.encode()).hexdigest()
    text = f"{body}\nHASH = {digest[:16]!r}\n"
    return f"{text}{_MARK}{crc32(text.encode()):08x}\n"


def write(path: Path, text: str) -> LearnedModel:
    """Write the file as a whole or not at all, and read it back."""
    if path.suffix != ".py":
        raise TrainingError(f"{path}: expected a name that ends in .py, since it becomes Python source")
    unfinished = path.with_name(path.name + ".part")
    try:
        unfinished.write_text(text, encoding="ascii", newline="\n")
        unfinished.replace(path)
    except OSError as cause:
        unfinished.unlink(missing_ok=True)
        raise TrainingError(f"{path}: writing failed ({cause}); choose another place") from cause
    return read(path)


def read(path: Path) -> LearnedModel:
    """The model in a file. Runs its code, once the checksum says that it is as it was written."""
    try:
        data = path.read_bytes()
    except OSError as cause:
        raise TrainingError(
            f"{path}: {cause.strerror}; expected a file that `retrostep train` wrote"
        ) from cause
    body, mark, checksum = data.rpartition(_MARK.encode())
    if not mark or checksum.strip() != f"{crc32(body):08x}".encode():
        raise TrainingError(
            f"{path}: damaged, or no model (its checksum does not fit); expected a file that `retrostep train` wrote"
        )
    names: dict[str, Any] = {}
    exec(compile(body, str(path), "exec"), names)
    interface = names.get("INTERFACE")
    if interface != learned.INTERFACE or names.get("FEATURES") != learned.FEATURES:
        raise TrainingError(
            f"{path}: made for interface {interface} and its features, this version has {learned.INTERFACE}; "
            "train it anew"
        )
    return LearnedModel(names["NAME"], names["HASH"], json.loads(names["SUMMARY"]), names["decide"], path)
