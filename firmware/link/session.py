"""Answers one host's requests: the device's side of protocol.py, the same for every transport.

`Session.handle(message, send)` answers one request; `send` is the transport's coroutine that takes one message.
Unasked messages are made here too; `Session.wants_live` and `wants_raw` say whether this host
takes them. A malformed or unknown request gets an
ERROR and changes nothing.
"""

import gc

from journal import RECORD_BYTES, JournalFull, encode_record

from firmware import load_seldom
from firmware.link import protocol

# A host that wants live steps or raw samples says so again within this time; one that vanished stops costing.
LIVE_LEASE_MS = 60_000
_SELDOM = (
    protocol.ANCHOR,
    protocol.SETTINGS,
    protocol.ERASE,
    protocol.BONDS,
    protocol.PAIR,
    protocol.WALK_TEST,
)


class Session:
    """device: has logbook (Logbook), clock (Clock), settings (Settings), status() -> dict of protocol.fields() names,
    identify(), keep_time() (the clock was set), calibrate(action) and update(body) -> body of the answer,
    apply_settings(names) (these have changed), day_count (DayCount), radio (Windows).

    records_per_message_bytes: how many bytes of records fit one message of this transport.
    peer: the key of this host's bond (bonds.py), empty by cable.
    """

    def __init__(
        self,
        device,
        records_per_message_bytes=protocol.MAX_MESSAGE_BYTES - protocol.MESSAGE_HEADER_BYTES,
        peer=b"",
    ):
        self._device = device
        self._peer = peer
        self._limit = records_per_message_bytes
        self._live_until_ms = 0
        self._raw_until_ms = 0

    async def handle(self, data, send):
        """Answer one request; errors become ERROR messages, only the transport's own pass through."""
        tag = data[1] if len(data) > 1 else 0
        try:
            opcode, tag, body = protocol.split(data)
            if opcode == protocol.READ:
                await self._read(tag, body, send)
                return
            answer = self._administration(opcode) if opcode in _SELDOM else _ANSWERS.get(opcode)
            if answer is None:
                await self._refuse(send, tag, protocol.ERROR_UNKNOWN, "opcode 0x%02x is not known" % opcode)
                return
            reply = protocol.message(opcode | protocol.ANSWER, tag, answer(self, body))
        except protocol.MessageMalformed as malformed:
            await self._refuse(send, tag, protocol.ERROR_MALFORMED, str(malformed))
            return
        except MemoryError:
            gc.collect()
            await self._refuse(send, tag, protocol.ERROR_BUSY, "too little memory just now")
            return
        except (OSError, JournalFull) as full:
            self._device.logbook.write_failures += 1
            await self._refuse(
                send, tag, protocol.ERROR_REFUSED, "the flash took nothing (%s): sync again" % full
            )
            return
        except ValueError as refused:
            await self._refuse(send, tag, protocol.ERROR_REFUSED, str(refused))
            return
        await send(reply)

    def _administration(self, opcode):
        """The answer to a request that is seldom made: loaded for it, and not kept."""
        gc.collect()
        name = "anchoring" if opcode == protocol.ANCHOR else "administration"
        module = load_seldom("link." + name)
        return lambda self, body: module.answer(self._device, self._peer, opcode, body)

    async def _refuse(self, send, tag, code, text):
        await send(protocol.message(protocol.ERROR, tag, bytes([code]) + text.encode()))

    def _status(self, body):
        return protocol.encode_fields(self._device.status())

    def _acknowledge(self, body):
        up_to, log_id = protocol.unpack("<II", body)
        journal = self._device.logbook.journal
        if log_id != journal.log_id:
            raise ValueError(
                "acknowledge: log %d was erased meanwhile, now it is log %d: sync again"
                % (log_id, journal.log_id)
            )
        journal.acknowledge(up_to)
        return protocol.pack_u32(journal.acknowledged)

    def _clock(self, body):
        return protocol.pack_u48(self._device.clock.uptime_ms())

    def _live(self, body):
        (wanted,) = protocol.unpack("<B", body)
        self._live_until_ms = self._lease_end_ms(wanted)
        return bytes([1 if wanted else 0])

    def _raw(self, body):
        (wanted,) = protocol.unpack("<B", body)
        if wanted and self._peer:
            raise ValueError("raw samples come by cable only: the radio is too slow for them")
        self._raw_until_ms = self._lease_end_ms(wanted)
        return bytes([1 if wanted else 0])

    def _lease_end_ms(self, wanted):
        return self._device.clock.uptime_ms() + LIVE_LEASE_MS if wanted else 0

    def _identify(self, body):
        self._device.identify()
        return b""

    def _calibrate(self, body):
        (action,) = protocol.unpack("<B", body)
        return self._device.calibrate(action)

    def _update(self, body):
        return self._device.update(body)

    async def _read(self, tag, body, send):
        """Stream as many batches as the host has room for; END closes each and says where to go on."""
        first, limit = protocol.unpack("<II", body)
        batches = min(body[8], protocol.MAX_READ_BATCHES) if len(body) > 8 else 1
        limit = min(limit, protocol.MAX_READ_BYTES)
        while first is not None:
            first = await self._send_batch(tag, first, limit, send)
            batches -= 1
            if batches <= 0:
                break

    async def _send_batch(self, tag, first, limit, send):
        """Whole records from `first` on, cut into messages of one size; returns where to go on, None at the end."""
        self._device.logbook.flush()
        journal = self._device.logbook.journal
        # What is flushed while this batch is on its way belongs to the next one.
        end = journal.flushed_sequence
        if first > end:
            raise ValueError("read: expected at most %d (the log ends there), got %d" % (end, first))
        waiting = bytearray()
        taken = sent = 0
        following = max(first, journal.oldest_sequence)
        more = 0
        for sequence, kind, payload in journal.records(first):
            if sequence >= end:
                break
            taken += RECORD_BYTES + len(payload)
            if taken > limit and following > first:
                more = 1
                break
            waiting.extend(encode_record(sequence, kind, payload))
            while len(waiting) >= self._limit:
                await send(protocol.message(protocol.RECORDS, tag, waiting[: self._limit]))
                sent += self._limit
                waiting = waiting[self._limit :]
            following = sequence + 1
        if self._device.logbook.journal is not journal:
            raise ValueError("read: the log was erased meanwhile: sync again")
        if not more:
            following = end
        if waiting:
            await send(protocol.message(protocol.RECORDS, tag, waiting))
            sent += len(waiting)
        body = protocol.pack_u32(following) + bytes([more]) + protocol.pack_u32(sent)
        await send(protocol.message(protocol.END, tag, body))
        return following if more else None

    @property
    def wants_live(self):
        """Whether this host takes live steps and cues now."""
        return self._device.clock.uptime_ms() < self._live_until_ms

    @property
    def wants_raw(self):
        """Whether this host takes raw samples and marks now."""
        return self._device.clock.uptime_ms() < self._raw_until_ms

    @staticmethod
    def live_step(contact_ms, direction, confidence, stability):
        """The LIVE_STEP message for one settled step."""
        score = protocol.STABILITY_NONE if stability is None else stability
        body = protocol.pack_u32(contact_ms // 10) + bytes([direction, confidence, score])
        return protocol.message(protocol.LIVE_STEP, 0, body)

    @staticmethod
    def live_cue(at_ms, pattern):
        """The LIVE_CUE message for a pattern (index) that was played for what happened at `at_ms`."""
        return protocol.message(protocol.LIVE_CUE, 0, protocol.pack_u32(at_ms // 10) + bytes([pattern]))

    def raw_block(self, first_index, samples, count):
        """The RAW_BLOCK message for a block of samples."""
        block = memoryview(samples)[: count * protocol.CHANNELS]
        return protocol.message(protocol.RAW_BLOCK, 0, protocol.pack_u32(first_index) + bytes(block))

    def mark(self, next_index, presses):
        """The MARK message for a press of the button."""
        return protocol.message(protocol.MARK, 0, protocol.pack_u32(next_index) + bytes([min(presses, 255)]))


# What answers a request's body with the answer's; READ has more than one answer.
_ANSWERS = {
    protocol.STATUS: Session._status,
    protocol.ACK: Session._acknowledge,
    protocol.CLOCK: Session._clock,
    protocol.LIVE: Session._live,
    protocol.IDENTIFY: Session._identify,
    protocol.CALIBRATE: Session._calibrate,
    protocol.RAW: Session._raw,
    protocol.UPDATE: Session._update,
}
