"""The step log: what the journal's records mean, and how the device writes them. steplog_decoder.py reads them.

Every record belongs to one boot of the device and tells time in that boot's uptime. A boot is named by the
sequence number of its BOOT record; records carry the low 16 bits of it (the boot tag). UTC is no part of the log:
ANCHOR records tie uptime to UTC, and the host does the sum.

Payloads, little endian (the journal adds length, type, sequence number and CRC-32; see lib/journal.py). `cs` is 10 ms
of uptime; times of contacts are rounded before they are subtracted, so they do not add up to a drift.

    BOOT     u8 format version, u8 reset cause, u8 placement, u32 uptime ms, then three texts, each u8 length + UTF-8:
             firmware version, model id, board
    STEPS    u16 boot tag, u32 uptime cs, u8 model tag, then items in order of time:
               step    u8: low 7 bits = cs since the item before, bit 7 = a state byte follows; else the state
                       is that of the step before (at the start of a record: of no step, so the bit is set)
                       low bits 120..126: one more byte follows, time = 120 + (bits - 120) * 256 + byte
               127     no step: u8 kind, then
                 0     u32 cs: time goes on by so much
                 1     a bout ended: u8 direction (bits 0-1) and mean stability level (5-7),
                       u16 steps, u16 duration in 0.1 s
                 2     a cue: u8 pattern
             state: direction (bits 0-1), confidence level (bits 2-4), stability level (bits 5-7)
    ANCHOR   u16 boot tag, u48 uptime ms, u48 UTC ms since 1970, u16 uncertainty ms, u8 source
    FAULT    u16 boot tag, u32 cs, u8 kind, u32 count (samples lost, tries ...)
    EVENT    u16 boot tag, u32 cs, u8 kind, u8 strength 0..100
    BATTERY  u16 boot tag, u32 cs, u16 mV, then what this boot has spent so far: u32 s in light sleep, u32 s of radio,
             u32 ms of motor (may be missing)
    GAP      u16 boot tag, u32 cs, u32 first and u32 last sequence number that were dropped unsynced, u32 steps in
             them, u16 boot tag and u32 cs of the first of these steps, u16 boot tag and u32 cs of the last
    CRASH    u16 boot tag, u32 cs of the next start, u16 how often, UTF-8 traceback
    WALK_TEST  u16 boot tag, u32 cs of the start signal, then what walktest.py says

A level is a part of the whole: confidence 0..100 % in sevenths 0..7; stability 0..100 in sixths 0..6, 7 = not
measured. The model tag is the low byte of the model id's CRC-32. Decoders ignore bytes behind those they know.
FORMAT_VERSION stands in every segment's header and first in every BOOT record, and holds for all that follows it.
"""

import struct
from binascii import crc32

from micropython import const

FORMAT_VERSION = 1

BOOT = 1
STEPS = 2
ANCHOR = 3
FAULT = 4
EVENT = 5
BATTERY = 6
GAP = 7
WALK_TEST = 8
CRASH = 9

DIRECTIONS = ("forward", "backward", "sideways", "unknown")
PLACEMENTS = ("waist", "shoe", "pocket")
RESET_CAUSES = ("power", "hard", "watchdog", "deep sleep", "soft", "other")
FAULTS = (
    "sensor silent",
    "sensor stuck",
    "sensor lost its settings",
    "samples lost",
    "wrong sensor",
    "motor silent",
)
EVENTS = ("unstable", "stumble", "fall", "changed_gait", "wrong_clip")
PATTERNS = (
    "backward_started",
    "identify",
    "error",
    "calibration_wanted",
    "calibrating",
    "walk_now",
    "calibrated",
    "pairing_open",
    "unstable",
    "fall",
    "slow_down",
    "pace",
    "goal",
    "backward_ended",
    "paired",
    "low_battery",
    "changed_gait",
    "countdown",
    "test_started",
    "test_ended",
    "warm_up",
    "cool_down",
    "count",
    "cues_off",
    "cues_on",
    "progress",
)
SOURCES = ("host", "device clock")

(
    FAULT_SILENT,
    FAULT_STUCK,
    FAULT_UNCONFIGURED,
    FAULT_OVERRUN,
    FAULT_WRONG_PART,
    FAULT_MOTOR_SILENT,
) = range(6)
SOURCE_HOST, SOURCE_DEVICE = range(2)

STABILITY_NONE_LEVEL = 7
FLUSH_AFTER_MS = 30_000

STEPS_HEADER = "<HIB"
ANCHOR_LAYOUT = "<HIHIHHB"
FAULT_LAYOUT = "<HIBI"
EVENT_LAYOUT = "<HIBB"
BATTERY_LAYOUT = "<HIH"
SPENT_LAYOUT = "<III"
GAP_LAYOUT = "<HIIIIHIHI"
CRASH_LAYOUT = "<HIH"
BOOT_LAYOUT = "<BBBI"
_STEPS_HEADER_BYTES = const(7)
_STEPS_LIMIT_BYTES = const(480)
_STATE_FOLLOWS = const(0x80)
_TIME_BITS = const(0x7F)
_LONGER = const(120)
_LONGEST = const(_LONGER + 7 * 256)
_NO_STEP = const(127)
_ITEM_TIME = const(0)
_ITEM_BOUT = const(1)
_ITEM_CUE = const(2)
# MicroPython's struct raises ValueError, CPython's has an exception of its own.
UNPACK_ERRORS = (ValueError, IndexError, getattr(struct, "error", ValueError))


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
    head = struct.pack(BOOT_LAYOUT, FORMAT_VERSION, cause, placement, uptime_ms & 0xFFFFFFFF)
    return head + _text(firmware) + _text(model_id) + _text(board)


def _cs(uptime_ms):
    """Uptime in cs, modulo 2^32 (497 days): the host, which reads in order, adds the wraps."""
    return uptime_ms // 10 & 0xFFFFFFFF


def _halves(value):
    """A 48-bit value as its low 32 and high 16 bits."""
    return value & 0xFFFFFFFF, value >> 32


def encode_anchor(boot_tag, uptime_ms, utc_ms, uncertainty_ms, source):
    """At `uptime_ms` of this boot it was `utc_ms`, give or take `uncertainty_ms`; source: index into SOURCES."""
    return struct.pack(
        ANCHOR_LAYOUT, boot_tag, *_halves(uptime_ms), *_halves(utc_ms), min(uncertainty_ms, 0xFFFF), source
    )


def encode_fault(boot_tag, uptime_ms, kind, count):
    """kind: index into FAULTS."""
    return struct.pack(FAULT_LAYOUT, boot_tag, _cs(uptime_ms), kind, count)


def encode_event(boot_tag, uptime_ms, kind, strength):
    """kind: index into EVENTS; strength 0..100."""
    return struct.pack(EVENT_LAYOUT, boot_tag, _cs(uptime_ms), kind, strength)


def encode_battery(boot_tag, uptime_ms, battery_mv, light_sleep_ms=0, radio_ms=0, motor_ms=0):
    """The battery's voltage at that time, and how long light sleep, radio and motor have lasted in this boot."""
    spent = light_sleep_ms // 1000, radio_ms // 1000, motor_ms
    return struct.pack(BATTERY_LAYOUT, boot_tag, _cs(uptime_ms), battery_mv) + struct.pack(
        SPENT_LAYOUT, *spent
    )


def encode_crash(boot_tag, uptime_ms, count, text):
    """The app crashed before this boot, in the same way `count` times; text: the traceback, bytes."""
    return struct.pack(CRASH_LAYOUT, boot_tag, _cs(uptime_ms), min(count, 0xFFFF)) + text


def encode_gap(boot_tag, uptime_ms, first_lost, last_lost, steps, first_step, last_step):
    """Records first_lost..last_lost were dropped, unsynced, for want of room.

    steps: how many steps they held; first_step, last_step: (boot tag, cs) of the first and the last of them.
    """
    return struct.pack(
        GAP_LAYOUT, boot_tag, _cs(uptime_ms), first_lost, last_lost, steps, *(first_step + last_step)
    )


class StepChunk:
    """Collects steps, bouts and cues for one STEPS record, in a buffer that is allocated once."""

    def __init__(self, boot_tag, tag):
        self._buffer = bytearray(_STEPS_LIMIT_BYTES + 32)
        self._boot_tag = boot_tag
        self._tag = tag
        self.counts = [0] * len(DIRECTIONS)
        self.clear()

    def clear(self):
        """Start a new chunk."""
        self._size = 0
        self._at_cs = 0
        self._state = -1
        self.first_ms = 0
        for direction in range(len(DIRECTIONS)):
            self.counts[direction] = 0

    @property
    def empty(self):
        """True if nothing was added since clear()."""
        return not self._size

    @property
    def full(self):
        """True if one more item may not fit into a record."""
        return self._size > _STEPS_LIMIT_BYTES

    def _advance(self, uptime_ms):
        """Begin the record if it is empty; return the cs since the item before. Time never runs backward."""
        now_cs = uptime_ms // 10
        if not self._size:
            self.first_ms = uptime_ms
            self._at_cs = now_cs
            struct.pack_into(STEPS_HEADER, self._buffer, 0, self._boot_tag, now_cs & 0xFFFFFFFF, self._tag)
            self._size = _STEPS_HEADER_BYTES
            return 0
        gap_cs = max(now_cs - self._at_cs, 0)
        self._at_cs += gap_cs
        return gap_cs

    def _put(self, layout, *values):
        struct.pack_into(layout, self._buffer, self._size, *values)
        self._size += struct.calcsize(layout)

    def add_step(self, contact_ms, direction, confidence, stability):
        """One settled step: uptime of its contact, index into DIRECTIONS, 0..100 %, score 0..100 or None."""
        gap_cs = self._advance(contact_ms)
        if gap_cs >= _LONGEST:
            self._put("<BBI", _NO_STEP, _ITEM_TIME, gap_cs)
            gap_cs = 0
        state = direction | confidence_level(confidence) << 2 | stability_level(stability) << 5
        flag = 0 if state == self._state else _STATE_FOLLOWS
        if gap_cs < _LONGER:
            self._put("B", gap_cs | flag)
        else:
            more = gap_cs - _LONGER
            self._put("BB", _LONGER + (more >> 8) | flag, more & 0xFF)
        if flag:
            self._put("B", state)
            self._state = state
        self.counts[direction] += 1

    def add_bout(self, direction, stability, steps, duration_ms, end_ms):
        """A bout ended with the step whose contact was at end_ms."""
        gap_cs = self._advance(end_ms)
        if gap_cs:
            self._put("<BBI", _NO_STEP, _ITEM_TIME, gap_cs)
        state = direction | stability_level(stability) << 5
        self._put("<BBBHH", _NO_STEP, _ITEM_BOUT, state, min(steps, 0xFFFF), min(duration_ms // 100, 0xFFFF))

    def add_cue(self, uptime_ms, pattern):
        """A pattern (index into PATTERNS) was played."""
        gap_cs = self._advance(uptime_ms)
        if gap_cs:
            self._put("<BBI", _NO_STEP, _ITEM_TIME, gap_cs)
        self._put("BBB", _NO_STEP, _ITEM_CUE, pattern)

    def payload(self):
        """The STEPS payload of what was added."""
        return bytes(memoryview(self._buffer)[: self._size])


def scan_steps(payload):
    """Yield (kind, cs, value, steps, duration) of every item of a STEPS payload.

    kind "step": value is the state; "cue": the pattern; "bout": the state, and only here steps and duration (in
    0.1 s) are not 0. Raises ValueError or IndexError (and on CPython struct.error) where the payload ends too early
    or holds what cannot be.
    """
    _, at_cs, _ = struct.unpack_from(STEPS_HEADER, payload)
    position = _STEPS_HEADER_BYTES
    state = -1
    while position < len(payload):
        first = payload[position]
        position += 1
        gap_cs = first & _TIME_BITS
        if gap_cs == _NO_STEP:
            kind = payload[position]
            position += 1
            if kind == _ITEM_TIME:
                at_cs += struct.unpack_from("<I", payload, position)[0]
                position += 4
            elif kind == _ITEM_BOUT:
                value, steps, duration = struct.unpack_from("<BHH", payload, position)
                yield "bout", at_cs, value, steps, duration
                position += 5
            elif kind == _ITEM_CUE:
                yield "cue", at_cs, payload[position], 0, 0
                position += 1
            else:
                raise ValueError("item %d is not known" % kind)
            continue
        if gap_cs >= _LONGER:
            gap_cs = _LONGER + ((gap_cs - _LONGER) << 8) + payload[position]
            position += 1
        if first & _STATE_FOLLOWS:
            state = payload[position]
            position += 1
        elif state < 0:
            raise ValueError("the first step has no state")
        at_cs += gap_cs
        yield "step", at_cs, state, 0, 0


def step_span(payload):
    """(steps, cs of the first, cs of the last) in a STEPS payload; raises like scan_steps."""
    steps = first_cs = last_cs = 0
    for item in scan_steps(payload):
        if item[0] == "step":
            if not steps:
                first_cs = item[1]
            last_cs = item[1]
            steps += 1
    return steps, first_cs, last_cs


def gap_span(payload):
    """(first sequence lost, steps, (boot tag, cs) of the first step, the same of the last) in a GAP payload."""
    values = struct.unpack_from(GAP_LAYOUT, payload)
    return values[2], values[4], values[5:7], values[7:9]


def boot_tag_of(payload):
    """The boot tag that opens every payload but BOOT's."""
    return struct.unpack_from("<H", payload)[0]


class Totals:
    """Steps by direction since the log began: the sum over all STEPS records ever written.

    Held as a checkpoint (counts of every record before `sequence`) plus what came after, so that a power cut costs
    no count and a restart reads at most the records behind the checkpoint.
    """

    _FORMAT = "<4sIIIII"
    _MAGIC = b"RST1"

    def __init__(self):
        self.counts = [0] * len(DIRECTIONS)

    def add_payload(self, payload):
        """Count the steps of one STEPS payload, as far as it is readable."""
        try:
            for item in scan_steps(payload):
                if item[0] == "step":
                    self.counts[item[2] & 3] += 1
        except UNPACK_ERRORS as error:
            print("steplog: a STEPS record ends early:", error)

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
        self.counts = [0] * len(DIRECTIONS)
        return 0
