"""Where an export goes: a file that is complete or not there at all, or standard output."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from retrostep.export.errors import ExportError


@contextmanager
def opened(path: Path | None) -> Iterator[BinaryIO]:
    """A binary file to write to; it takes the place of `path` only when everything is written. None: stdout.

    Raises ExportError if there can be no such file.
    """
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if path.is_dir():
        raise ExportError(f"{path} is a folder: expected the name of a file to write")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise ExportError(
            f"{path} can't be written: {error.strerror}; choose another place with --out"
        ) from error
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise ExportError(f"{path} can't be written: {error}; what was there before is unchanged") from error
    finally:
        part.unlink(missing_ok=True)
