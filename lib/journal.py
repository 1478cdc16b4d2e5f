"""Append-only journal of records in segment files: survives power cuts, knows nothing of what it holds.

    journal = Journal("/log", format_version=1, log_id=urandom_u32)
    sequence = journal.append(RECORD_TYPE, payload)   # in RAM
    journal.flush()                                   # durable when this returns
    for sequence, kind, payload in journal.records(first_sequence): ...
    journal.acknowledge(sequence)                     # durable; what lies before may be pruned

Layout, little endian. A segment file is named by the sequence number of its first record (8 hex digits, `.seg`):
    header  20 bytes: magic "RJ01", u16 application format version, u16 zero, u32 log id, u32 first sequence,
            u32 CRC-32 of all before it
    record  11 bytes + payload: u16 payload length, u8 type, u32 sequence, payload, u32 CRC-32 of all before it
The log id is drawn when a journal begins, so that a reader can tell a new journal from the continued one.
Sequence numbers rise by one and outlive every reset. A reader believes a record only if its CRC holds and its
sequence is the expected one or later; after damage it looks for the next such record and so reports a gap in the
sequence instead of a wrong record. A torn tail is never written after: the next record opens a new segment.
The cursor (acknowledged up to) is a file of its own, replaced by write-and-rename. journal_opening.py reads both.

Runs on littlefs (where flush makes a prefix of the file durable) and, for tools, on any file system and CPython.
Limits: payload at most MAX_PAYLOAD_BYTES; one writer.
"""

import os
import struct
from binascii import crc32
from errno import EEXIST, ENOENT

MAGIC = b"RJ01"
CURSOR_MAGIC = b"RJC1"
HEADER = "<4sHHII"
RECORD = "<HBI"
HEADER_BYTES = 20
RECORD_HEADER_BYTES = 7
RECORD_BYTES = 11
MAX_PAYLOAD_BYTES = 512
# littlefs keeps a pointer in each of a file's blocks but the first: this fills two blocks of 4 KiB and not a third,
# and a small heap can take it in one piece.
SEGMENT_BYTES = 8188
# Of a segment that is read for a host, so much is in memory: a heap in use has no piece of a whole segment's size.
WINDOW_BYTES = 1024
LAST_SEQUENCE = 0xFFFF_FFFE
# MicroPython's errno has no name for it.
_ENOSPC = 28
SUFFIX = ".seg"
CURSOR = "cursor"


class JournalFull(Exception):
    """Nothing more can be pruned and the volume has no room, or the sequence numbers are used up."""


def encode_record(sequence, kind, payload):
    """One record as the bytes that lie in a segment and travel to the host."""
    body = struct.pack(RECORD, len(payload), kind, sequence) + payload
    return body + struct.pack("<I", crc32(body) & 0xFFFFFFFF)


def decode_record(data, at=0):
    """(sequence, kind, payload, end offset) of the record at `at`, or None if no valid record starts there."""
    if at + RECORD_BYTES > len(data):
        return None
    length, kind, sequence = struct.unpack_from(RECORD, data, at)
    end = at + RECORD_BYTES + length
    if length > MAX_PAYLOAD_BYTES or end > len(data):
        return None
    (stored,) = struct.unpack_from("<I", data, end - 4)
    if crc32(memoryview(data)[at : end - 4]) & 0xFFFFFFFF != stored:
        return None
    return sequence, kind, bytes(data[at + RECORD_HEADER_BYTES : end - 4]), end


def encode_header(first_sequence, format_version, log_id):
    """The 20 bytes that open a segment."""
    body = struct.pack(HEADER, MAGIC, format_version, 0, log_id, first_sequence)
    return body + struct.pack("<I", crc32(body) & 0xFFFFFFFF)


def encode_cursor(up_to):
    """The cursor file's bytes: everything before `up_to` is acknowledged."""
    body = CURSOR_MAGIC + struct.pack("<I", up_to)
    return body + struct.pack("<I", crc32(body) & 0xFFFFFFFF)


def segment_path(folder, first_sequence):
    """The file of the segment that begins with that record."""
    return "%s/%08x%s" % (folder, first_sequence, SUFFIX)


def write_atomically(path, data):
    """Replace the file at `path` with `data`: after a power cut it holds either the old or the new bytes."""
    temporary = path + ".new"
    with open(temporary, "wb") as file:
        file.write(data)
    try:
        os.rename(temporary, path)
    except OSError as error:
        # CPython on Windows refuses to rename onto a file; littlefs and POSIX replace it. Whatever else goes wrong,
        # as on a full volume, must not cost the old file.
        if error.errno != EEXIST:
            raise
        os.remove(path)
        os.rename(temporary, path)


class Journal:
    """The journal in `folder` (made if absent).

    log_id: used if the journal is new; one that exists keeps its own. segment_bytes: a segment is closed when the
    next record would take it past this. budget_bytes: total at which the oldest segments go, acknowledged or not.
    on_lost(first, last, records): called before unacknowledged records go, with their sequence numbers and (kind,
    payload) of each, read as they are asked for, so that the owner can append a record of what will be lost; that
    record becomes durable first, but on a volume without any room.
    Opening reads the last segment once. Raises OSError from the file system.
    """

    def __init__(
        self,
        folder,
        format_version,
        log_id,
        segment_bytes=SEGMENT_BYTES,
        budget_bytes=1_700_000,
        on_lost=None,
    ):
        self._folder = folder
        self._format_version = format_version
        self._segment_bytes = segment_bytes
        self._budget_bytes = budget_bytes
        self._on_lost = on_lost
        self._file = None
        self._pending = []
        # From the start: later, when the heap is in use, it may have no piece of this size any more.
        self._window = bytearray(WINDOW_BYTES)
        self._reader = None
        self._told = 0
        self._make_folder()
        # Needed once, and the heap is small: an owner may forget the module.
        import journal_opening as opening

        self._segments = opening.find_segments(folder)
        # Beside _segments, item by item: a dict would cost several times as much, and a long log has hundreds.
        self._sizes = [os.stat(self._path(first))[6] for first in self._segments]
        self.acknowledged = opening.read_cursor(folder)
        last_log_id, following = opening.recover(folder, self._segments)
        self.log_id = log_id if last_log_id is None else last_log_id
        self.next_sequence = max(self.acknowledged, following)
        self.flushed_sequence = self.next_sequence

    def _make_folder(self):
        try:
            os.mkdir(self._folder)
        except OSError as error:
            if error.errno != EEXIST:
                raise

    def _path(self, first):
        return segment_path(self._folder, first)

    @property
    def oldest_sequence(self):
        """Sequence number at which the oldest segment starts (next_sequence if there is none)."""
        return self._segments[0] if self._segments else self.next_sequence

    @property
    def bytes_used(self):
        """Size of all segments in bytes."""
        return sum(self._sizes)

    def append(self, kind, payload):
        """Take one record and return its sequence number; it is durable after the next flush() that returns.

        Raises ValueError for a payload that is too long, JournalFull if the sequence numbers are used up.
        """
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise ValueError("journal payload: expected at most 512 bytes, got %d" % len(payload))
        sequence = self.next_sequence
        if sequence > LAST_SEQUENCE:
            raise JournalFull("journal: sequence numbers are used up; sync the log, then erase it")
        self._pending.append(encode_record(sequence, kind, payload))
        self.next_sequence = sequence + 1
        return sequence

    @property
    def pending_bytes(self):
        """Size of the records that are not durable yet."""
        return sum(map(len, self._pending))

    def drop_pending(self):
        """Forget the records that are not durable yet; return (first, last, (kind, payload) of each), or None.

        Their numbers are not used again. For an owner whose RAM runs out on a volume that takes nothing.
        """
        if not self._pending:
            return None
        first = self.next_sequence - len(self._pending)
        # One by one: another list of them all may be more than the heap has.
        records = (decode_record(record)[1:3] for record in self._pending)
        self._pending = []
        return first, self.next_sequence - 1, records

    def flush(self):
        """Make every appended record durable, then prune what is over the budget.

        Records stay in RAM until this succeeded, so a failed flush can be repeated. Raises JournalFull if the
        volume has no room and nothing can be pruned; OSError or MemoryError if it fails otherwise: then nothing
        is pruned.
        """
        if not self._pending:
            return
        # What will be lost is told in the same flush, before it goes: a power cut in between loses neither.
        condemned = self._over_budget()
        for first in condemned:
            self._tell_lost(first)
        # (On a volume that other files have filled, the oldest segment has to go before anything can be written.)
        while True:
            try:
                self._write_pending()
                break
            except (OSError, MemoryError) as error:
                # What was written of them may be torn: leave that segment, write all again into a new one.
                self.close()
                self._drop_unflushed_segment()
                if isinstance(error, MemoryError) or error.errno != _ENOSPC:
                    raise
                if not self._segments:
                    raise JournalFull("journal: no room on the volume (%s) and nothing to prune" % error)
                oldest = self._segments[0]
                if oldest in condemned:
                    condemned.remove(oldest)
                else:
                    self._tell_lost(oldest)
                self._remove(oldest)
        for first in condemned:
            self._remove(first)

    def _write_pending(self):
        wanted = self.pending_bytes
        if self._file and self._sizes[-1] + wanted > self._segment_bytes:
            self.close()
        first_pending = self.next_sequence - len(self._pending)
        if not self._file:
            self._make_folder()
            self._file = open(self._path(first_pending), "wb")
            if first_pending not in self._segments[-1:]:
                self._segments.append(first_pending)
                self._sizes.append(0)
            self._sizes[-1] = HEADER_BYTES
            self._file.write(encode_header(first_pending, self._format_version, self.log_id))
        # Not in one piece: after a long wait the heap may have none of that size.
        for record in self._pending:
            self._file.write(record)
        self._file.flush()
        self._sizes[-1] += wanted
        self._pending = []
        self.flushed_sequence = self.next_sequence

    def _over_budget(self):
        """First sequences of the closed segments that have to go, oldest first, for what is pending to fit."""
        excess = self.bytes_used - self._budget_bytes + HEADER_BYTES + RECORD_BYTES + MAX_PAYLOAD_BYTES
        excess += self.pending_bytes
        closed = len(self._segments) - (1 if self._file else 0)
        at = 0
        while excess > 0 and at < closed:
            excess -= self._sizes[at]
            at += 1
        return self._segments[:at]

    def _tell_lost(self, first):
        """If the segment holds records that nobody acknowledged, tell the owner, who may append to that."""
        at = self._segments.index(first)
        following = self._segments[at + 1] if at + 1 < len(self._segments) else self.flushed_sequence
        first_lost = max(first, self.acknowledged, self._told)
        if following > first_lost and self._on_lost:
            lost = self._stored(first)
            records = ((kind, payload) for sequence, kind, payload in lost if sequence >= first_lost)
            self._on_lost(first_lost, following - 1, records)
            self._told = following

    def _remove(self, first):
        try:
            os.remove(self._path(first))
        except OSError as error:
            # Where the folder was lost, its files are gone already.
            if error.errno != ENOENT:
                raise
        self._forget(first)

    def _forget(self, first):
        at = self._segments.index(first)
        del self._segments[at]
        del self._sizes[at]

    def close(self):
        """Close the open segment without a flush; the next one opens a new segment."""
        if self._file:
            try:
                self._file.close()
            except OSError as error:
                print("journal: a segment did not close:", error)
            self._file = None

    def _drop_unflushed_segment(self):
        """Remove the last segment if nothing in it was ever durable: it only takes room."""
        if self._segments and self._segments[-1] >= self.flushed_sequence:
            first = self._segments[-1]
            try:
                self._remove(first)
            except OSError:
                # It never came to be a file.
                self._forget(first)

    def acknowledge(self, up_to):
        """Everything before `up_to` is safe elsewhere and may be pruned. Durable when this returns.

        Raises ValueError if `up_to` is beyond the last durable record. A lower number than before is no error and
        changes nothing.
        """
        if up_to > self.flushed_sequence:
            raise ValueError(
                "acknowledge: expected at most %d (durable so far), got %d" % (self.flushed_sequence, up_to)
            )
        if up_to <= self.acknowledged:
            return
        while True:
            try:
                write_atomically(self._folder + "/" + CURSOR, encode_cursor(up_to))
                break
            except OSError:
                # A full volume: what is safe elsewhere makes room for the cursor that says so.
                closed = self._segments[1] if len(self._segments) > 1 else self.next_sequence + 1
                if closed > up_to:
                    raise
                self._remove(self._segments[0])
        self.acknowledged = up_to

    def records(self, first_sequence=0):
        """Yield (sequence, kind, payload) of every durable record from `first_sequence` on, oldest first.

        Reads WINDOW_BYTES at a time; starts in the segment that holds `first_sequence`. What is flushed meanwhile
        comes too. Missing numbers mean damaged or pruned records.
        """
        last = -1
        while True:
            # Not a copy of the list: segments may be many, and come and go while the reader is busy.
            segment = None
            for first in self._segments:
                if first > last and (segment is None or first <= first_sequence):
                    segment = first
            if segment is None:
                return
            last = segment
            for sequence, kind, payload in self._stored(segment):
                if first_sequence <= sequence < self.flushed_sequence:
                    yield sequence, kind, payload
                    first_sequence = sequence + 1

    def _stored(self, first):
        """What scan_segment() (journal_opening.py) finds, as (sequence, kind, payload), through a window on the file.

        The file is opened anew for each window: it may be pruned while the reader is busy with what it got. All
        readers share the one window; one that finds another's bytes in it reads its own again.
        """
        view = memoryview(self._window)
        begin, filled, size, flushed = HEADER_BYTES, 0, 0, 0
        at = 0
        expected = first
        while True:
            mine = self._reader is view
            if not mine or (
                filled - at < RECORD_BYTES + MAX_PAYLOAD_BYTES
                and (begin + filled < size or flushed < self.flushed_sequence)
            ):
                self._reader = view
                kept = filled - at if mine else 0
                view[:kept] = view[at : at + kept]
                begin += at
                at = 0
                try:
                    with open(self._path(first), "rb") as file:
                        # The segment may have grown.
                        size = file.seek(0, 2)
                        flushed = self.flushed_sequence
                        highest = first + size // RECORD_BYTES
                        file.seek(begin + kept)
                        filled = kept + file.readinto(view[kept : max(min(WINDOW_BYTES, size - begin), kept)])
                except OSError:
                    # Pruned meanwhile: to the reader a gap like any other.
                    return
            if at + RECORD_BYTES > filled:
                return
            record = decode_record(view[:filled], at)
            if record is None or not expected <= record[0] <= highest:
                at += 1
                continue
            sequence, kind, payload, at = record
            expected = sequence + 1
            yield sequence, kind, payload
