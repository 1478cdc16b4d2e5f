"""The one connection of the radio: what is known of the host at its other end, and the messages to it."""

import asyncio
from errno import ENOMEM

from micropython import const

from firmware.link import packets, protocol
from firmware.link.session import Session

# The device takes an MTU up to this (247 + 3 bytes fill one packet of the link layer); before it is exchanged, 23.
MTU = 247
_DEFAULT_MTU = const(23)
_BACK_OFF_MS = const(5)
# A host that takes nothing for so long has lost its link.
_STALLED_MS = const(10_000)
# A host may send 50 packets a second for long, and as many more at once.
_PACE_MS = const(20)
_BURST_MS = const(1000)


class PeerGone(Exception):
    """The host is gone in the middle of an answer."""


class Peer:
    """handle: the stack's number of the connection. now_ms: uptime function. connection: aioble's, once it is known.

    trusted: see trust.py. refused: to be sent away. leaving: refused, but an answer may still be on its way.
    """

    def __init__(self, handle, now_ms):
        self.handle = handle
        self._now_ms = now_ms
        self.heard_ms = self._paced_ms = now_ms()
        self.connection = None
        self.mtu = _DEFAULT_MTU
        self.knows_secret = self.trusted = self.refused = self.leaving = self.gone = False
        self.bond = b""
        self.paired_until_ms = -1
        self._session = None
        self.inbox = packets.Assembler(protocol.MAX_REQUEST_BYTES)

    @property
    def served(self):
        """Whether its requests are answered."""
        return self.trusted and not self.refused and not self.gone

    @property
    def _packet_bytes(self):
        """Size of the packets that fit this link's notifications."""
        return min(self.mtu, MTU) - packets.ATT_HEADER_BYTES

    @property
    def wants_live(self):
        """Whether it takes live steps and cues between its answers."""
        return self._session is not None and self._session.wants_live

    async def pace(self):
        """Wait before its next packet is looked at: a flood delays only its own answers."""
        now_ms = self._now_ms()
        self._paced_ms = max(self._paced_ms, now_ms - _BURST_MS) + _PACE_MS
        await asyncio.sleep_ms(max(self._paced_ms - now_ms, 0))

    def open_session(self, device):
        """Begin to answer, at the first request: only then is the MTU known.

        Each message with records fills one packet: nothing is left free, and no buffer is larger than that.
        """
        if self._session is None:
            message_bytes = self._packet_bytes - packets.HEADER_BYTES
            self._session = Session(device, message_bytes - protocol.MESSAGE_HEADER_BYTES, self.bond)
        return self._session

    async def send(self, data, message):
        """Send one message by the characteristic `data`, waiting where no buffer is free. Raises PeerGone."""
        for packet in packets.split_message(message, self._packet_bytes):
            give_up_ms = self._now_ms() + _STALLED_MS
            while not self._notify(data, packet):
                if self._now_ms() >= give_up_ms:
                    self.refused = True
                    raise PeerGone
                await asyncio.sleep_ms(_BACK_OFF_MS)
            # Between two packets the sampler gets its turn.
            await asyncio.sleep_ms(0)

    def _notify(self, data, packet):
        """Hand one packet to the stack; False if no buffer is free. Raises PeerGone."""
        if self.gone or not self.trusted or self.connection is None or not self.connection.is_connected():
            raise PeerGone
        try:
            data.notify(self.connection, packet)
        except OSError as error:
            if error.errno != ENOMEM:
                raise PeerGone
            return False
        return True

    def tell(self, data, message):
        """Send a message in one packet, between others; dropped if the radio is busy: the log has it anyway."""
        (packet,) = packets.split_message(message, self._packet_bytes)
        try:
            self._notify(data, packet)
        except PeerGone:
            return
