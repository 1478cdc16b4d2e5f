"""The link protocol between device and host, whatever carries it. Imported by both sides.

A message is bytes: u8 opcode, u8 tag, body. The host asks, with a tag of its choice; every answer repeats the tag.
A transport (cable.py) delimits messages and makes sure that one is whole. Little endian.

    opcode   request body                              answer body
    STATUS   -                                         fields (below)
    READ     u32 first sequence, u32 byte limit,       a batch: RECORDS messages, then END;
              u8 batches (may be left out: 1)          then the next, as long as there is more
    ACK      u32 sequence: all before it is stored,    u32 acknowledged up to
              u32 id of the log that was read
    CLOCK    -                                         u48 uptime ms
    ANCHOR   u48 uptime ms, u48 UTC ms, u16 +- ms      u32 sequence of the ANCHOR record
    LIVE     u8 1 on, 0 off                            u8 the same; then LIVE_STEP and LIVE_CUE messages, tag 0
    IDENTIFY -                                         - (the motor buzzes)
    CALIBRATE u8 0 ask, 1 start, 2 cancel,             u8 state (calibration.STATES), u8 steps so far, u8 quality
              3 the clip sits as it did                of the stored mounting, UTF-8 reason of a failure
    RAW      u8 1 on, 0 off                            u8 the same; then RAW_BLOCK and MARK messages, tag 0
    SETTINGS - (read), or a JSON object: change these  JSON {"settings": all of them, "restart": [names of those
                                                       that were changed and count only after a restart]}
    ERASE    - or u8 1: also what nobody has stored    u32 id of the log that begins
    BONDS    - (list), or u8 index to remove, 255 all  u8 how many are left, oldest first; u8 index of the asking
                                                       host's own, 255 if it has none
    PAIR     -                                         - (the pairing window opens)
    UPDATE   u8 action ... (firmware/update.py)        u8 state, u32, u16, u32, u16: what is wanted next
    WALK_TEST u8 0 ask, 1 start (unless one is under    u8 state: 0 none, 1 countdown, 2 walking,
              way), 2 cancel                           3 over; if over, the payload of its record (walktest.py)
    RECORDS  (answer to READ) a piece of the journal records as they lie in the log, each with its own CRC-32;
             the pieces up to END, put together, are whole records: a batch
    END      (answer to READ) u32 sequence behind the batch, u8 1 if there is more now, u32 bytes of its records
    LIVE_STEP (unasked) u32 uptime of the contact in cs, u8 direction, u8 confidence %, u8 stability or 255
    LIVE_CUE (unasked) u32 uptime of what it was played for in cs, u8 pattern (index into steplog.PATTERNS)
    RAW_BLOCK (unasked) u32 number of the first sample, then int16 acc x y z, gyr x y z of each (0.488 mg, 70 mdps)
    MARK     (unasked) u32 number of the next sample, u8 presses: the button was pressed while RAW is on
    ERROR    u8 code, UTF-8 text: what was seen, expected, to do

An answer's opcode is the request's plus 0x80. Fields are u8 key, u8 length, value; unknown keys are skipped, so
fields can be added within a protocol version. All requests may be repeated at any
time: reading and acknowledging give the same result, ANCHOR logs one anchor more, CALIBRATE start begins anew.
"""

import struct

PROTOCOL_VERSION = 1

STATUS = 0x01
READ = 0x02
ACK = 0x03
CLOCK = 0x04
ANCHOR = 0x05
LIVE = 0x06
IDENTIFY = 0x07
CALIBRATE = 0x08
RAW = 0x09
SETTINGS = 0x0A
ERASE = 0x0B
BONDS = 0x0C
PAIR = 0x0D
WALK_TEST = 0x0E
UPDATE = 0x10
ANSWER = 0x80
RECORDS = 0x90
END = 0x91
LIVE_STEP = 0x92
RAW_BLOCK = 0x93
MARK = 0x94
LIVE_CUE = 0x95
ERROR = 0xFF

ERROR_UNKNOWN = 1
ERROR_MALFORMED = 2
ERROR_REFUSED = 3
# Ask again a moment later.
ERROR_BUSY = 4

CALIBRATE_ASK, CALIBRATE_START, CALIBRATE_CANCEL, CALIBRATE_CONFIRM = range(4)
WALK_TEST_ASK, WALK_TEST_START, WALK_TEST_CANCEL = range(3)

MESSAGE_HEADER_BYTES = 2
MAX_MESSAGE_BYTES = 560
MAX_REQUEST_BYTES = 512
MAX_READ_BYTES = 16384
MAX_READ_BATCHES = 4
CHANNELS = 6
STABILITY_NONE = 255
BONDS_ALL = 255
BOND_NONE = 255

# Status fields: key, name, format as of struct (none: UTF-8 text). One text takes much less room than tuples.
_FIELDS = (
    "1 protocol_version B,2 device_id,3 firmware,4 model,5 board,6 log_id I,7 log_format H,"
    "8 boot_sequence I,9 oldest_sequence I,10 next_sequence I,11 acknowledged I,12 uptime_s I,"
    "13 placement,14 calibrated B,15 forward_steps I,16 backward_steps I,17 sideways_steps I,"
    "18 unknown_steps I,19 sensor_faults I,20 write_failures I,21 log_bytes I,22 battery_mv H,"
    "23 clock_set B,24 sample_period_ns I,25 samples I,26 micropython,27 plan_backward_s I,"
    "28 plan_steps I,29 light_sleep_s I,30 radio_s I,31 motor_ms I,32 free_heap I"
)


class MessageMalformed(ValueError):
    """A message is too short or its body does not fit its opcode."""


def message(opcode, tag, body=b""):
    """The bytes of one message."""
    return bytes((opcode, tag)) + body


def split(data):
    """(opcode, tag, body) of a message. Raises MessageMalformed."""
    if len(data) < 2:
        raise MessageMalformed("message: expected at least 2 bytes, got %d" % len(data))
    return data[0], data[1], data[2:]


def unpack(layout, body):
    """struct.unpack of a body that must have at least that size. Raises MessageMalformed."""
    size = struct.calcsize(layout)
    if len(body) < size:
        raise MessageMalformed("message body: expected %d bytes, got %d" % (size, len(body)))
    return struct.unpack_from(layout, body)


def pack_u32(value):
    """4 bytes, little endian."""
    return struct.pack("<I", value & 0xFFFFFFFF)


def pack_u48(value):
    """6 bytes, little endian."""
    return struct.pack("<IH", value & 0xFFFFFFFF, value >> 32)


def join_u48(low, high):
    """The value whose halves unpack("<IH") gave."""
    return high << 32 | low


def fields():
    """(key, name, layout) of each status field; layout: as of struct, None for UTF-8 text."""
    for field in _FIELDS.split(","):
        key, name, *layout = field.split(" ")
        yield int(key), name, "<" + layout[0] if layout else None


def encode_fields(values):
    """A dict of field name -> int or text as bytes, in the order of fields(). Other names are a KeyError."""
    encoded = bytearray()
    found = 0
    for key, name, layout in fields():
        if name in values:
            value = values[name]
            data = value.encode() if layout is None else struct.pack(layout, value)
            encoded.append(key)
            encoded.append(len(data))
            encoded.extend(data)
            found += 1
    if found != len(values):
        raise KeyError("status: expected names of fields(), got %s" % ", ".join(values))
    return bytes(encoded)
