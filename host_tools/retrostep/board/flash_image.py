"""Flash images: put the device's files on a new one, and get files off any.

An image is the raw content of the ESP32's `vfs` partition, a littlefs2 volume in 4 KiB blocks. All access goes
through MicroPython's own VfsLfs2 (rom/image_tool.py), so what is read here is what the device would read.
"""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from retrostep import interpreter
from retrostep.board.errors import BoardError
from retrostep.flash import installed_files

BLOCK_SIZE = 4096
FLASH_BLOCKS = 512
_TOOL = Path(__file__).resolve().parent / "rom" / "image_tool.py"
_HEAP = "16m"


class ImageError(BoardError):
    """The image cannot be used: not a littlefs2 volume, too small, or a file is not there."""


def create(image: Path, files: Iterable[tuple[Path, str]] | None = None, blocks: int = FLASH_BLOCKS) -> None:
    """Make `image` anew with `files`: (path here, path on the device); None: the device's own, compiled."""
    pairs = installed_files() if files is None else list(files)
    image.write_bytes(b"\xff" * (BLOCK_SIZE * blocks))
    _run(image, "create", files=[[str(Path(here).resolve()), there] for here, there in pairs])


def install(image: Path, files: Iterable[tuple[Path, str]]) -> None:
    """Add or replace files on an image that exists."""
    _run(image, "install", files=[[str(Path(here).resolve()), there] for here, there in files])


def listing(image: Path) -> dict[str, int]:
    """Every file on the image: path and size in bytes, sorted by path."""
    return dict(sorted(_run(image, "list")))


def extract(image: Path, folder: Path, under: str = "/") -> list[Path]:
    """Copy the files below `under` into `folder`, keeping their paths; returns what was written."""
    wanted = [path for path in listing(image) if path == under or path.startswith(under.rstrip("/") + "/")]
    pairs = []
    for path in wanted:
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        pairs.append([str(target.resolve()), path])
    _run(image, "extract", files=pairs)
    return [Path(here) for here, _ in pairs]


def read(image: Path, path: str) -> bytes:
    """Content of one file on the image. Raises ImageError."""
    with tempfile.TemporaryDirectory(prefix="retrostep-image-") as folder:
        target = Path(folder) / "file"
        _run(image, "extract", files=[[str(target), path]])
        return target.read_bytes()


def _run(image: Path, action: str, **arguments: Any) -> Any:
    if not image.exists():
        raise ImageError(f"no flash image at {image}: make one with flash_image.create()")
    with tempfile.TemporaryDirectory(prefix="retrostep-image-") as folder:
        order, answer = Path(folder) / "order.json", Path(folder) / "answer.json"
        order.write_text(
            json.dumps({"image": str(image.resolve()), "action": action, "answer": str(answer), **arguments})
        )
        done = interpreter.run(_TOOL, str(order), heap=_HEAP)
        if not answer.exists():
            raise ImageError(f"{action} {image} failed:\n{done.stdout.decode(errors='replace')}")
        result = json.loads(answer.read_text())
    if "error" in result:
        raise ImageError(f"cannot {action} {image}: {result['error']}")
    return result["value"]
