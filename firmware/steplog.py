"""The step log: what the journal's records mean. Encoded here on the device, decoded here on the host.

Every record belongs to one boot of the device and tells time in that boot's uptime. A boot is named by the
sequence number of its BOOT record; records carry the low 16 bits of it (`boot_tag`). UTC is no part of the log:
ANCHOR records, written when a host tells the time, tie uptime to UTC, and the host does the sum.

Payloads, little endian (the journal adds length, type, sequence number and CRC-32; see lib/journal.py):

    BOOT    u8 reset cause, u8 placement, u8 model tag, u32 uptime ms, then three texts, each u8 length + UTF-8:
            firmware version, model id, board
    STEPS   u16 boot tag, u32 uptime of the first contact in cs, u8 placement, u8 model tag, then per step:
            u8 time since the previous contact in cs (0 for the first; 255: the next 4 bytes hold it as u32),
            u8 direction (bits 0-1), confidence level (bits 2-4), stability level (bits 5-7)
    ANCHOR  u16 boot tag, u48 uptime ms, u48 UTC ms since 1970, u16 uncertainty ms
    FAULT   u16 boot tag, u32 uptime cs, u8 kind, u32 count (samples lost, tries ...)
    CUE     u16 boot tag, u32 uptime cs, u8 pattern
    GAP     u16 boot tag, u32 uptime cs, u32 first sequence lost, u32 last sequence lost

cs = 10 ms. Times between contacts are differences of rounded times, so they do not add up to a drift. A level is a
seventh of the whole: confidence 0..100 % in levels 0..7; stability 0..100 in levels 0..6, 7 = not measured.
The model tag is the low byte of the model id's CRC-32. Decoders ignore bytes behind those they know, so a later
version may append; FORMAT_VERSION (in every segment's header) changes when the meaning of these bytes does.
"""

import struct
from binascii import crc32

FORMAT_VERSION = 1

BOOT = 1
STEPS = 2
ANCHOR = 3
FAULT = 4
CUE = 5
GAP = 6

DIRECTIONS = ("forward", "backward", "sideways", "unknown")
PLACEMENTS = ("waist", "shoe", "pocket")
RESET_CAUSES = ("power", "hard", "watchdog", "deep sleep", "soft", "other")
FAULTS = (
    "sensor silent",
    "sensor stuck",
    "sensor lost its settings",
    "samples lost",
    "wrong sensor",
    "log full",
)
PATTERNS = ("backward_started", "identify", "error")

FAULT_SILENT, FAULT_STUCK, FAULT_UNCONFIGURED, FAULT_OVERRUN, FAULT_WRONG_PART, FAULT_LOG_FULL = range(6)

STABILITY_NONE_LEVEL = 7
FLUSH_AFTER_MS = 30_000
MAX_STEPS_PER_RECORD = 128

_STEPS_HEADER = "<HIBB"
_STEPS_HEADER_BYTES = 8
_LONG = 255
# MicroPython's struct raises ValueError, CPython's has an exception of its own.
_UNPACK_ERRORS = (ValueError, IndexError, getattr(struct, "error", ValueError))


class RecordUnreadable(ValueError):
    """A record's payload is shorter than its type demands, or its type is not known here."""


def model_tag(model_id):
    """The byte that stands for a model id in STEPS records."""
    return crc32(model_id.encode()) & 0xFF


def confidence_level(percent):
    """0..100 % as a level 0..7 (rounded)."""
    return (percent * 7 + 50) // 100


def stability_level(score):
    """A score 0..100, or None, as a level 0..7."""
    return STABILITY_NONE_LEVEL if score is None else (score * 6 + 50) // 100


def _text(text):
    data = text.encode()[:255]
    return bytes([len(data)]) + data


def encode_boot(cause, placement, uptime_ms, firmware, model_id, board):
    """cause: index into RESET_CAUSES; placement: index into PLACEMENTS."""
    head = struct.pack("<BBBI", cause, placement, model_tag(model_id), uptime_ms & 0xFFFFFFFF)
    return head + _text(firmware) + _text(model_id) + _text(board)


def _u48(value):
    return struct.pack("<IH", value & 0xFFFFFFFF, value >> 32)


def encode_anchor(boot_tag, uptime_ms, utc_ms, uncertainty_ms):
    """At `uptime_ms` of this boot it was `utc_ms`, give or take `uncertainty_ms`."""
    return (
        struct.pack("<H", boot_tag)
        + _u48(uptime_ms)
        + _u48(utc_ms)
        + struct.pack("<H", min(uncertainty_ms, 0xFFFF))
    )


def encode_fault(boot_tag, uptime_ms, kind, count):
    """kind: index into FAULTS."""
    return struct.pack("<HIBI", boot_tag, uptime_ms // 10, kind, count)


def encode_cue(boot_tag, uptime_ms, pattern):
    """pattern: index into PATTERNS."""
    return struct.pack("<HIB", boot_tag, uptime_ms // 10, pattern)


def encode_gap(boot_tag, uptime_ms, first_lost, last_lost):
    """The records first_lost..last_lost were dropped, unsynced, for want of room."""
    return struct.pack("<HIII", boot_tag, uptime_ms // 10, first_lost, last_lost)


class StepChunk:
    """Collects steps for one STEPS record, in a buffer that is allocated once."""

    def __init__(self, boot_tag, placement, tag):
        self._buffer = bytearray(_STEPS_HEADER_BYTES + 6 * MAX_STEPS_PER_RECORD)
        self._boot_tag = boot_tag
        self._placement = placement
        self._tag = tag
        self._size = _STEPS_HEADER_BYTES
        self._previous_cs = 0
        self.count = 0
        self.counts = [0, 0, 0, 0]
        self.first_ms = 0

    @property
    def full(self):
        """True if one more step may not fit into a record."""
        return self.count >= MAX_STEPS_PER_RECORD or self._size > 480

    def add(self, contact_ms, direction, confidence, stability):
        """One settled step: uptime of its contact, index into DIRECTIONS, 0..100 %, score 0..100 or None."""
        at = contact_ms // 10
        buffer = self._buffer
        if not self.count:
            self.first_ms = contact_ms
            struct.pack_into(
                _STEPS_HEADER, buffer, 0, self._boot_tag, at & 0xFFFFFFFF, self._placement, self._tag
            )
            gap = 0
        else:
            gap = max(at - self._previous_cs, 0)
        size = self._size
        if gap < _LONG:
            buffer[size] = gap
        else:
            struct.pack_into("<BI", buffer, size, _LONG, gap)
            size += 4
        buffer[size + 1] = direction | confidence_level(confidence) << 2 | stability_level(stability) << 5
        self._size = size + 2
        self._previous_cs = at
        self.count += 1
        self.counts[direction] += 1

    def payload(self):
        """The STEPS payload of what was added."""
        return bytes(memoryview(self._buffer)[: self._size])

    def clear(self):
        """Start a new chunk."""
        self._size = _STEPS_HEADER_BYTES
        self.count = 0
        for direction in range(len(DIRECTIONS)):
            self.counts[direction] = 0


def _decode_boot(payload):
    cause, placement, tag, uptime_ms = struct.unpack_from("<BBBI", payload)
    texts, at = [], 7
    for _ in range(3):
        length = payload[at]
        texts.append(bytes(payload[at + 1 : at + 1 + length]).decode())
        at += 1 + length
    return {
        "kind": "boot",
        "cause": RESET_CAUSES[min(cause, len(RESET_CAUSES) - 1)],
        "placement": PLACEMENTS[placement],
        "model_tag": tag,
        "uptime_ms": uptime_ms,
        "firmware": texts[0],
        "model": texts[1],
        "board": texts[2],
    }


def _decode_steps(payload):
    boot_tag, at, placement, tag = struct.unpack_from(_STEPS_HEADER, payload)
    steps = []
    position = _STEPS_HEADER_BYTES
    while position + 2 <= len(payload):
        gap = payload[position]
        if gap == _LONG:
            (gap,) = struct.unpack_from("<I", payload, position + 1)
            position += 4
        packed = payload[position + 1]
        position += 2
        at += gap
        level = packed >> 5
        steps.append(
            {
                "uptime_ms": at * 10,
                "direction": DIRECTIONS[packed & 3],
                "confidence": (packed >> 2 & 7) / 7,
                "stability": None if level == STABILITY_NONE_LEVEL else level * 100 / 6,
            }
        )
    return {
        "kind": "steps",
        "boot_tag": boot_tag,
        "placement": PLACEMENTS[placement],
        "model_tag": tag,
        "steps": steps,
    }


def _decode_anchor(payload):
    boot_tag, up_low, up_high, utc_low, utc_high, uncertainty = struct.unpack_from("<HIHIHH", payload)
    return {
        "kind": "anchor",
        "boot_tag": boot_tag,
        "uptime_ms": up_high << 32 | up_low,
        "utc_ms": utc_high << 32 | utc_low,
        "uncertainty_ms": uncertainty,
    }


def _decode_fault(payload):
    boot_tag, at, kind, count = struct.unpack_from("<HIBI", payload)
    return {
        "kind": "fault",
        "boot_tag": boot_tag,
        "uptime_ms": at * 10,
        "fault": FAULTS[kind],
        "count": count,
    }


def _decode_cue(payload):
    boot_tag, at, pattern = struct.unpack_from("<HIB", payload)
    return {"kind": "cue", "boot_tag": boot_tag, "uptime_ms": at * 10, "pattern": PATTERNS[pattern]}


def _decode_gap(payload):
    boot_tag, at, first, last = struct.unpack_from("<HIII", payload)
    return {"kind": "gap", "boot_tag": boot_tag, "uptime_ms": at * 10, "first_lost": first, "last_lost": last}


_DECODERS = {
    BOOT: _decode_boot,
    STEPS: _decode_steps,
    ANCHOR: _decode_anchor,
    FAULT: _decode_fault,
    CUE: _decode_cue,
    GAP: _decode_gap,
}


def decode(kind, payload):
    """A record's payload as a dict; "kind" names its type, times are uptime in ms of the boot "boot_tag".

    A steps record's "steps" is a list of dicts: uptime_ms, direction, confidence 0..1, stability 0..100 or None.
    Raises RecordUnreadable.
    """
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise RecordUnreadable("record type %d is not known to log format %d" % (kind, FORMAT_VERSION))
    try:
        return decoder(payload)
    except _UNPACK_ERRORS as error:
        raise RecordUnreadable("record type %d, %d bytes: %s" % (kind, len(payload), error))


class Totals:
    """Steps by direction since the log began: the sum over all STEPS records ever written.

    Held as a checkpoint (counts of every record before `sequence`) plus what came after, so that a power cut costs
    no count and a restart reads at most the records behind the checkpoint.
    """

    _FORMAT = "<4sIIIII"
    _MAGIC = b"RST1"

    def __init__(self):
        self.counts = [0, 0, 0, 0]

    def add_payload(self, payload):
        """Count the steps of one STEPS payload."""
        position = _STEPS_HEADER_BYTES
        while position + 2 <= len(payload):
            if payload[position] == _LONG:
                position += 4
            self.counts[payload[position + 1] & 3] += 1
            position += 2

    def checkpoint(self, sequence):
        """The bytes of a checkpoint that holds all records before `sequence`."""
        body = struct.pack(self._FORMAT, self._MAGIC, sequence, *self.counts)
        return body + struct.pack("<I", crc32(body) & 0xFFFFFFFF)

    def restore(self, data):
        """Take over a checkpoint's counts; return its sequence, or 0 (and zero counts) if it is damaged."""
        size = struct.calcsize(self._FORMAT)
        if len(data) == size + 4:
            (stored,) = struct.unpack_from("<I", data, size)
            magic, sequence, *counts = struct.unpack_from(self._FORMAT, data)
            if magic == self._MAGIC and stored == crc32(data[:size]) & 0xFFFFFFFF:
                self.counts = list(counts)
                return sequence
        self.counts = [0, 0, 0, 0]
        return 0
