"""The files that commands write: whole or not there at all, and never in the place of a database.

A database holds what the device may have pruned since, so no name given for a report or an export can replace one.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

SQLITE_MAGIC = b"SQLite format 3\x00"


class OutputFailed(Exception):
    """The file can't be written."""


class OutputRefused(OutputFailed):
    """What was named is nothing that may be written to."""


def check_target(*paths: Path | None, new: bool = False) -> None:
    """Can each of these be written? To be asked before long work; None is passed over.

    new: there must be no such file yet. Raises OutputRefused or OutputFailed.
    """
    for path in paths:
        if path is None:
            continue
        _check_kind(path)
        if new and path.exists():
            raise OutputRefused(f"{path} exists already: name a file that does not")
        if not _is_special(path):
            part, file = _part_of(path)
            file.close()
            part.unlink()


@contextmanager
def opened(path: Path | None) -> Iterator[BinaryIO]:
    """A binary file to write to; it takes the place of `path` only when everything is written. None: stdout.

    What is no regular file (a pipe, /dev/null) is written to as it is. Raises OutputRefused or OutputFailed.
    """
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    _check_kind(path)
    if _is_special(path):
        try:
            with path.open("wb") as file:
                yield file
        except OSError as error:
            raise OutputFailed(f"{path} can't be written: {error}") from error
        return
    part, file = _part_of(path)
    target = path.resolve()
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, part)
        part.replace(target)
    except OSError as error:
        raise OutputFailed(f"{path} can't be written: {error}; what was there before is unchanged") from error
    finally:
        part.unlink(missing_ok=True)


def write_file(path: Path, content: str | bytes) -> None:
    """Write a whole file, text in UTF-8. Raises OutputRefused or OutputFailed."""
    with opened(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def is_database(path: Path) -> bool:
    """Does the file begin as SQLite's do? Raises OSError."""
    with path.open("rb") as file:
        return file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_file()


def _check_kind(path: Path) -> None:
    if path.is_dir():
        raise OutputRefused(f"{path} is a folder: expected the name of a file to write")
    try:
        database = path.is_file() and is_database(path)
    except OSError as error:
        raise OutputFailed(
            f"{path} can't be looked into ({error.strerror}), and might be a database: choose another name"
        ) from error
    if database:
        raise OutputRefused(
            f"{path} is a database and stays as it is: expected a new name for the file to write (--db names the "
            "database to read)"
        )


def _part_of(path: Path) -> tuple[Path, BinaryIO]:
    """A new file beside the target, open."""
    target = path.resolve()
    part = target.with_name(f".{target.name}.{token_hex(4)}.part")
    try:
        return part, part.open("xb")
    except OSError as error:
        raise OutputFailed(f"{path} can't be written: {error.strerror}; choose another place") from error
