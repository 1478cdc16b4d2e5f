"""A device's log as files: the /log folder of a flash image, or a copy of it. Read, checked, repaired.

The decoder is the device's own (lib/journal.py, firmware/steplog.py), the same that sync uses.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrostep.device_tree import use_device_code

use_device_code()

import journal  # noqa: E402
import journal_opening  # noqa: E402

from firmware import steplog, steplog_decoder  # noqa: E402


class LogFilesError(Exception):
    """There is no log at the given place, or the target of a repair can't be used."""


@dataclass
class Segment:
    """One segment file. damaged: (start, end) byte ranges that hold no valid record."""

    path: Path
    first_sequence: int
    size: int
    version: int | None
    log_id: int | None
    records: list[tuple[int, int, bytes]] = field(default_factory=list)
    damaged: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class LogFiles:
    """All segments of a log, oldest first, and what the cursor file says (None: absent or damaged)."""

    segments: list[Segment]
    acknowledged: int | None

    def records(self) -> Iterator[tuple[int, int, bytes]]:
        """(sequence, kind, payload) of every valid record, in order, each number once."""
        following = 0
        for segment in self.segments:
            for record in segment.records:
                if record[0] >= following:
                    yield record
                    following = record[0] + 1

    def missing(self) -> list[tuple[int, int]]:
        """(first, last) of each run of sequence numbers that is not there between the first and the last record."""
        holes, expected = [], None
        for sequence, _, _ in self.records():
            if expected is not None and sequence != expected:
                holes.append((expected, sequence - 1))
            expected = sequence + 1
        return holes

    def unreadable(self) -> list[tuple[int, str]]:
        """(sequence, reason) of whole records that the decoder of this version can't read."""
        found = []
        for sequence, kind, payload in self.records():
            try:
                steplog_decoder.decode(kind, payload)
            except steplog_decoder.RecordUnreadable as reason:
                found.append((sequence, str(reason)))
        return found

    @property
    def sound(self) -> bool:
        """Is every byte accounted for and every record readable?"""
        return not (
            any(segment.damaged or segment.version is None for segment in self.segments if segment.size)
            or self.unreadable()
        )


@contextmanager
def log_folder(source: Path) -> Iterator[Path]:
    """The folder with the segments: `source` itself, its /log, or that of the flash image `source`.

    Raises LogFilesError or the image's BoardError.
    """
    if source.is_dir():
        yield source / "log" if (source / "log").is_dir() else source
    elif source.is_file():
        from retrostep.board import flash_image

        with tempfile.TemporaryDirectory(prefix="retrostep-log-") as name:
            flash_image.extract(source, Path(name), "/log")
            yield Path(name) / "log"
    else:
        raise LogFilesError(f"{source}: nothing there; expected a flash image or a folder with .seg files")


def _read_segment(path: Path) -> Segment:
    data = path.read_bytes()
    first = int(path.stem, 16)
    version = log_id = None
    # With a damaged header the records are read all the same: the name holds the first number.
    with suppress(journal_opening.SegmentDamaged):
        _, version, log_id = journal_opening.decode_header(data)
    segment = Segment(path, first, len(data), version, log_id)
    at = min(journal.HEADER_BYTES, len(data))
    for sequence, kind, payload, start, end in journal_opening.scan_segment(data, first):
        if start > at:
            segment.damaged.append((at, start))
        segment.records.append((sequence, kind, payload))
        at = end
    if at < len(data):
        segment.damaged.append((at, len(data)))
    return segment


def read_log_files(folder: Path) -> LogFiles:
    """Every segment in `folder`. Raises LogFilesError if there is none."""
    paths = sorted(path for path in folder.glob("*.seg") if _is_hex(path.stem))
    if not paths:
        raise LogFilesError(f"{folder}: no log there; expected files like 00000001.seg")
    cursor = folder / journal.CURSOR
    acknowledged = journal_opening.decode_cursor(cursor.read_bytes()) if cursor.exists() else None
    return LogFiles([_read_segment(path) for path in paths], acknowledged)


def _is_hex(text: str) -> bool:
    try:
        int(text, 16)
    except ValueError:
        return False
    return True


def describe(record: dict[str, Any]) -> str:
    """One line on a decoded record, for a person."""
    kind = record["kind"]
    at = f"{record['uptime_ms'] / 1000:.2f} s" if "uptime_ms" in record else ""
    if kind == "boot":
        return (
            f"boot ({record['cause']}), firmware {record['firmware']}, {record['model']}, {record['board']}"
        )
    if kind == "steps":
        counts = {
            name: sum(step["direction"] == name for step in record["steps"]) for name in steplog.DIRECTIONS
        }
        told = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "no steps"
        span = f", {record['steps'][0]['uptime_ms'] / 1000:.2f} to " if record["steps"] else ""
        span += f"{record['steps'][-1]['uptime_ms'] / 1000:.2f} s" if record["steps"] else ""
        extra = [f"{len(record[name])} {name}" for name in ("bouts", "cues") if record[name]]
        return f"steps: {told}{span}" + "".join(f", {text}" for text in extra)
    if kind == "anchor":
        return (
            f"anchor: {at} was {record['utc_ms']} ms UTC +-{record['uncertainty_ms']} ms ({record['source']})"
        )
    if kind == "fault":
        return f"fault at {at}: {record['fault']} ({record['count']})"
    if kind == "event":
        return f"event at {at}: {record['event']} (strength {record['strength']})"
    if kind == "battery":
        return f"battery at {at}: {record['battery_mv']} mV"
    if kind == "crash":
        return f"crash (time {record['count']}): {record['traceback'].strip().splitlines()[-1:]}"
    if kind == "walk_test":
        walked = "" if record["walk_ms"] is None else f", {record['walk_ms'] / 1000:.1f} s"
        return (
            f"walk test at {at}: {record['outcome']}, {record['direction']}{walked}, {record['steps']} steps"
        )
    return f"gap: {record['steps']} steps in records {record['first_lost']} to {record['last_lost']} were dropped"


def repair(log: LogFiles, target: Path) -> int:
    """Write every valid record of `log` as a sound log into the folder `target`; returns how many.

    The source stays as it is. Raises LogFilesError if `target` holds anything.
    """
    if target.exists() and any(target.iterdir()):
        raise LogFilesError(f"{target} is not empty: expected a new or empty folder for the repaired log")
    target.mkdir(parents=True, exist_ok=True)
    ids = [segment.log_id for segment in log.segments if segment.log_id is not None]
    versions = [segment.version for segment in log.segments if segment.version is not None]
    written = following = 0
    for segment in log.segments:
        records = [record for record in segment.records if record[0] >= following]
        if not records:
            continue
        following = records[-1][0] + 1
        version = segment.version or (versions[-1] if versions else steplog.FORMAT_VERSION)
        header = journal.encode_header(records[0][0], version, ids[-1] if ids else 0)
        body = b"".join(journal.encode_record(*record) for record in records)
        (target / f"{records[0][0]:08x}.seg").write_bytes(header + body)
        written += len(records)
    if log.acknowledged:
        (target / journal.CURSOR).write_bytes(journal.encode_cursor(log.acknowledged))
    return written
