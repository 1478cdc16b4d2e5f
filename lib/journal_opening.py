"""Opens a journal (journal.py): finds its segments, its cursor, and where it goes on, whatever a power cut left.

Also what tools read a log's files with. Nothing of it is needed once a journal is open.
"""

import os
import struct
from binascii import crc32

from journal import (
    CURSOR,
    CURSOR_MAGIC,
    HEADER,
    HEADER_BYTES,
    MAGIC,
    RECORD_BYTES,
    SUFFIX,
    decode_record,
    segment_path,
)


class SegmentDamaged(ValueError):
    """A segment's header is not one of ours."""


def decode_header(data):
    """(first sequence, application format version, log id) of a segment. Raises SegmentDamaged."""
    if len(data) < HEADER_BYTES:
        raise SegmentDamaged("segment header: expected 20 bytes, found %d" % len(data))
    magic, version, _, log_id, first = struct.unpack_from(HEADER, data)
    (stored,) = struct.unpack_from("<I", data, HEADER_BYTES - 4)
    if magic != MAGIC or crc32(memoryview(data)[: HEADER_BYTES - 4]) & 0xFFFFFFFF != stored:
        raise SegmentDamaged("segment header: magic %r or its CRC does not hold" % bytes(magic))
    return first, version, log_id


def scan_segment(data, first_sequence):
    """Yield (sequence, kind, payload, start, end) of every valid record in a segment's bytes, in order.

    first_sequence comes from the file's name, so that a damaged header costs no record. After a damaged record
    every later offset is tried; a record counts only if its sequence is later than the last one and could lie in
    this segment (no record is shorter than RECORD_BYTES), which leaves chance one in 2^32.
    """
    at = HEADER_BYTES
    expected = first_sequence
    highest = first_sequence + len(data) // RECORD_BYTES
    while at + RECORD_BYTES <= len(data):
        record = decode_record(data, at)
        if record is None or not expected <= record[0] <= highest:
            at += 1
            continue
        sequence, kind, payload, end = record
        yield sequence, kind, payload, at, end
        expected = sequence + 1
        at = end


def decode_cursor(data):
    """What encode_cursor() took, or None if the bytes are damaged."""
    if len(data) != 12 or data[:4] != CURSOR_MAGIC:
        return None
    up_to, stored = struct.unpack("<II", data[4:])
    return up_to if crc32(data[:8]) & 0xFFFFFFFF == stored else None


def find_segments(folder):
    """The first sequence number of each segment, by its file's name; oldest first. Raises OSError."""
    found = []
    for name in os.listdir(folder):
        if name.endswith(SUFFIX):
            try:
                found.append(int(name[: -len(SUFFIX)], 16))
            except ValueError:
                print("journal: ignoring a file that is not a segment:", name)
    return sorted(found)


def read_cursor(folder):
    """The sequence up to which (exclusive) everything is acknowledged; 0 without a valid cursor file."""
    try:
        with open(folder + "/" + CURSOR, "rb") as file:
            up_to = decode_cursor(file.read())
    except OSError:
        return 0
    if up_to is None:
        # Acknowledging anew is harmless; pruning by a wrong cursor would not be.
        print("journal: the cursor file is damaged; nothing counts as acknowledged")
        return 0
    return up_to


def recover(folder, segments):
    """(log id or None, next sequence number) from what survived. segments: what find_segments() found."""
    log_id = None
    for first in reversed(segments):
        data = _read_or_nothing(folder, first)
        if not data:
            # The power went between making the file and its first flush.
            continue
        try:
            _, _, log_id = decode_header(data)
            break
        except SegmentDamaged as damage:
            print("journal: %s in %s" % (damage, segment_path(folder, first)))
    if not segments:
        return None, 1
    first = segments[-1]
    data = _read_or_nothing(folder, first)
    end, following = HEADER_BYTES, first
    for sequence, _, _, _, after in scan_segment(data, first):
        end, following = after, sequence + 1
    if end < len(data):
        # Bytes that are no record: their number may have been handed out, so it is not used again.
        following += 1
    return log_id, following


def _read_or_nothing(folder, first):
    """A segment that the file system can't read holds nothing any more; it must not block what comes after."""
    path = segment_path(folder, first)
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        print("journal: %s can't be read: %s" % (path, error))
        return b""
