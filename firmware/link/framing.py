"""Messages on a serial line that also carries a REPL and printed text: one message a text line.

A line is "~" + base64(message + CRC-32 of it, little endian) + newline. Base64 holds no Ctrl-C (0x03), which would
interrupt the firmware, nor anything a REPL acts on; lines of other text are told apart by their first byte and the
CRC, and are left to whoever wants to read them.
"""

import struct
from binascii import a2b_base64, b2a_base64, crc32

MARK = b"~"


def encode_line(message):
    """The line that carries `message`, newline included."""
    return MARK + b2a_base64(message + struct.pack("<I", crc32(message) & 0xFFFFFFFF))


def decode_line(line):
    """The message in `line` (bytes, with or without its line end), or None if the line carries none."""
    line = line.strip()
    if line[:1] != MARK:
        return None
    try:
        data = a2b_base64(line[1:])
    except ValueError:
        return None
    if len(data) < 4:
        return None
    (stored,) = struct.unpack_from("<I", data, len(data) - 4)
    message = bytes(data[:-4])
    return message if crc32(message) & 0xFFFFFFFF == stored else None
