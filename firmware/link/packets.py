"""Messages of protocol.py over the radio: the service's UUIDs, and messages cut into packets and put together again.

A packet is u8 header and a piece of a message: bit 7 set in a message's first packet, bit 6 in its last, bits 0 to 5
count the packets of the message, modulo 64. A message in one packet has both bits set and may come between two
packets of another one, so that a live step does not wait for the end of a long answer. Each side sends packets that
fit one notification or one write (ATT MTU less 3 bytes). The link layer neither loses nor reorders packets while it
lasts; the count is there to notice software that does.
"""

from micropython import const

SERVICE = "3d9a0001-7c52-4e0b-8a6f-9b2f5ce4d1a7"
REQUEST = "3d9a0002-7c52-4e0b-8a6f-9b2f5ce4d1a7"
DATA = "3d9a0003-7c52-4e0b-8a6f-9b2f5ce4d1a7"
STATUS = "3d9a0004-7c52-4e0b-8a6f-9b2f5ce4d1a7"
LIVE = "3d9a0005-7c52-4e0b-8a6f-9b2f5ce4d1a7"
SETTINGS = "3d9a0006-7c52-4e0b-8a6f-9b2f5ce4d1a7"
NAME = "Retrostep"

ATT_HEADER_BYTES = 3
HEADER_BYTES = 1
MAX_PACKET_BYTES = 256

_FIRST = const(0x80)
_LAST = const(0x40)
_COUNT = const(0x3F)


def split_message(message, packet_bytes):
    """The packets of at most `packet_bytes` that carry `message`, one after the other."""
    piece = packet_bytes - HEADER_BYTES
    count = 0
    at = 0
    while True:
        end = at + piece
        header = (_FIRST if at == 0 else 0) | (_LAST if end >= len(message) else 0) | count & _COUNT
        yield bytes((header,)) + bytes(message[at:end])
        if end >= len(message):
            return
        at = end
        count += 1


class Assembler:
    """Puts the packets of one link together. Messages longer than `limit_bytes` are dropped."""

    def __init__(self, limit_bytes):
        self._limit = limit_bytes
        self._message = None
        self._count = 0
        self.dropped = 0

    def add(self, packet):
        """The message that `packet` completes, or None. What does not fit together is dropped and counted."""
        if not packet:
            return None
        header = packet[0]
        if header & _FIRST and header & _LAST:
            return self._within_limit(bytes(packet[1:]))
        if header & _FIRST:
            if self._message is not None:
                self.dropped += 1
            self._message = bytearray()
            self._count = 0
        if self._message is None:
            return None
        if header & _COUNT != self._count & _COUNT or len(self._message) + len(packet) > self._limit:
            self._message = None
            self.dropped += 1
            return None
        self._message.extend(packet[1:])
        self._count += 1
        if not header & _LAST:
            return None
        message, self._message = bytes(self._message), None
        return message

    def _within_limit(self, message):
        if len(message) > self._limit:
            self.dropped += 1
            return None
        return message
