"""The host's end of the link to a device: requests out, answers in, over any transport.

    async with CableTransport("/dev/ttyACM0") as transport:
        link = Link(transport)
        status = await link.status()

A transport has `send(message)` and `receive()` coroutines and moves whole messages of firmware/link/protocol.py.
`Link` matches answers to requests by tag, repeats a request that got no answer (all of them may be repeated), and
hands unasked LIVE_STEP messages to a callback.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from retrostep.device_tree import use_device_code
from retrostep.printable import printable

use_device_code()

from firmware import steplog, steplog_decoder, walktest  # noqa: E402
from firmware.calibration import STATES  # noqa: E402
from firmware.link import protocol  # noqa: E402
from firmware.steplog import DIRECTIONS, PATTERNS  # noqa: E402

ANSWER_TIMEOUT_S = 3.0
TRIES = 3
BUSY_PAUSE_S = 0.3
CLOCK_TRIES = 5
# More than what two clocks of this computer differ by in a round trip unless one was set.
CLOCK_SET_MS = 20
# Status fields that no sync can do without.
_ALWAYS_TOLD = (
    "device_id",
    "board",
    "firmware",
    "log_id",
    "oldest_sequence",
    "next_sequence",
    "acknowledged",
)
MAX_BODY_BYTES = protocol.MAX_REQUEST_BYTES - protocol.MESSAGE_HEADER_BYTES


class LinkError(Exception):
    """Talking to the device failed; the message says what to do."""


class NoAnswer(LinkError):
    """The device does not answer."""


class Refused(LinkError):
    """The device answered with an error."""


class Busy(Refused):
    """The device could not answer just now, whatever was tried."""


class AnswerUnreadable(LinkError):
    """The device answered what this protocol version does not know."""


class CalibrationFailed(LinkError):
    """The device could not learn its mounting; the message holds its reason."""


class Transport(Protocol):
    """Moves whole messages to and from one device."""

    name: str
    advice: str
    """What a user can do about a device that does not answer."""

    async def send(self, message: bytes) -> None:
        """Send one message. Raises LinkError."""

    async def receive(self) -> bytes:
        """The next message, whenever it comes. Raises LinkError if the link is gone."""
        ...


@dataclass(frozen=True)
class LiveStep:
    """A step as the device tells it while it is being walked."""

    uptime_s: float
    direction: str
    confidence: float
    stability: int | None


@dataclass(frozen=True)
class LiveCue:
    """A vibration pattern that the wearer felt, for what happened at that uptime."""

    uptime_s: float
    pattern: str


@dataclass(frozen=True)
class RawBlock:
    """Samples as the sensor gave them: little-endian int16, acc x y z, gyr x y z of each."""

    first_sample: int
    data: bytes


@dataclass(frozen=True)
class Mark:
    """The button was pressed while raw samples are sent."""

    next_sample: int
    presses: int


@dataclass(frozen=True)
class Batch:
    """Whole records as they lie in the log, numbered in [first, following), and whether there is more."""

    first: int
    data: bytes
    following: int
    more: bool

    def records(self) -> Iterator[tuple[int, int, bytes]]:
        """(sequence, kind, payload) of each record. Raises LinkError on damage, or on a number that can't be here."""
        expected = self.first
        for sequence, kind, payload in split_records(self.data):
            if not expected <= sequence < self.following:
                raise LinkError(
                    f"the device sent record {sequence}, expected one from {expected} on and before "
                    f"{self.following}: nothing of this batch was stored; restart the device and sync again"
                )
            expected = sequence + 1
            yield sequence, kind, payload


@dataclass(frozen=True)
class ClockReading:
    """One comparison of the device's uptime with the host's clock."""

    uptime_ms: int
    utc_ms: int
    uncertainty_ms: int


@dataclass(frozen=True)
class CalibrationState:
    """Where a device's calibration stands: state as in firmware/calibration.py; quality of the stored mounting."""

    state: str
    steps: int
    quality: int
    reason: str


@dataclass(frozen=True)
class DeviceSettings:
    """A device's settings by name (secret ones: whether they are set), and which count only after a restart."""

    values: dict[str, Any]
    restart: list[str]


@dataclass(frozen=True)
class UpdateState:
    """How far an update is: state as in firmware/update.py, and the bytes that the device wants next.

    mpy: the device's sys.implementation._mpy, which names its processor.
    """

    state: int
    manifest_bytes: int
    file: int
    offset: int
    mpy: int


@dataclass(frozen=True)
class WalkTestState:
    """Where a device's 3-metre test stands: one of walktest.STATES.

    result: the decoded record of one that is over.
    """

    state: str
    result: dict[str, Any] | None


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Around every look into what a device sent: bytes that make no sense are an AnswerUnreadable."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise AnswerUnreadable(
            f"the device's answer can't be read ({error}): device and tool do not fit together; update the older one"
        ) from error


@dataclass(frozen=True)
class TrustedHosts:
    """How many hosts a device trusts, numbered from the oldest bond (0) on, and which of them asks."""

    count: int
    own: int | None


def _named(names: tuple[str, ...], index: int) -> str:
    """A newer firmware may know more than this tool."""
    return names[index] if index < len(names) else f"number {index}"


def decode_fields(body: bytes) -> dict[str, Any]:
    """The dict that protocol.encode_fields() took; unknown keys are skipped. Raises MessageMalformed."""
    values: dict[str, Any] = {}
    known = {key: (name, layout) for key, name, layout in protocol.fields()}
    at = 0
    while at < len(body):
        if at + 2 > len(body) or at + 2 + body[at + 1] > len(body):
            raise protocol.MessageMalformed(f"fields: the last of {len(body)} bytes is cut off at {at}")
        key, length = body[at], body[at + 1]
        data = bytes(body[at + 2 : at + 2 + length])
        at += 2 + length
        if key in known:
            name, layout = known[key]
            if layout is None:
                values[name] = printable(data.decode())
            else:
                values[name] = protocol.unpack(layout, data)[0]
    return values


class Link:
    """Requests to one device. on_live and on_raw are called for what comes unasked while waiting."""

    def __init__(
        self,
        transport: Transport,
        on_live: Callable[[LiveStep | LiveCue], None] | None = None,
        on_raw: Callable[[RawBlock | Mark], None] | None = None,
        utc_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        monotonic_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
    ) -> None:
        self._transport = transport
        self.on_live = on_live
        self._on_raw = on_raw
        self._utc_ms = utc_ms
        self._monotonic_ms = monotonic_ms
        self._tag = 0

    async def _request(self, opcode: int, body: bytes) -> int:
        """Send a request; returns the tag that its answers will have."""
        self._tag = self._tag % 255 + 1
        tag = self._tag
        await self._transport.send(protocol.message(opcode, tag, body))
        return tag

    async def _collect(self, tag: int, last: int) -> list[tuple[int, bytes]]:
        """The answers to the request with that tag up to the one with opcode `last`. TimeoutError: silence."""
        answers: list[tuple[int, bytes]] = []
        clock = asyncio.get_running_loop()
        # Only answers put the end off, also those to an older request, with which the device is still busy: live
        # steps and samples come all the time.
        deadline = clock.time() + ANSWER_TIMEOUT_S
        while True:
            message = await asyncio.wait_for(self._transport.receive(), deadline - clock.time())
            with _reading():
                code, answered, content = protocol.split(message)
            if self._unasked(code, content):
                continue
            deadline = clock.time() + ANSWER_TIMEOUT_S
            if answered != tag:
                continue
            if code == protocol.ERROR:
                reason = printable(bytes(content[1:]).decode(errors="replace"))
                if content[:1] == bytes([protocol.ERROR_BUSY]):
                    raise Busy(f"{self._transport.name} refused: {reason}; ask again, or restart it")
                raise Refused(f"{self._transport.name} refused: {reason}")
            answers.append((code, content))
            if code == last:
                return answers

    def _silence(self) -> NoAnswer:
        return NoAnswer(
            f"no answer from {self._transport.name}: expected a Retrostep whose app is running; "
            f"{self._transport.advice}"
        )

    def _unasked(self, code: int, content: bytes) -> bool:
        """Hand on a message that answers no request; True if it was one."""
        if code == protocol.LIVE_STEP:
            self._live_step(content)
        elif code == protocol.LIVE_CUE:
            if self.on_live is not None:
                with _reading():
                    at_cs, pattern = protocol.unpack("<IB", content)
                self.on_live(LiveCue(at_cs / 100, _named(PATTERNS, pattern)))
        elif code == protocol.RAW_BLOCK:
            if self._on_raw is not None:
                with _reading():
                    (first,) = protocol.unpack("<I", content)
                self._on_raw(RawBlock(first, bytes(content[4:])))
        elif code == protocol.MARK:
            if self._on_raw is not None:
                with _reading():
                    mark = Mark(*protocol.unpack("<IB", content))
                self._on_raw(mark)
        else:
            return False
        return True

    def _live_step(self, content: bytes) -> None:
        if self.on_live is None:
            return
        with _reading():
            at_cs, direction, confidence, stability = protocol.unpack("<IBBB", content)
        self.on_live(
            LiveStep(
                at_cs / 100,
                _named(DIRECTIONS, direction),
                confidence / 100,
                None if stability == protocol.STABILITY_NONE else stability,
            )
        )

    async def _ask(self, opcode: int, body: bytes = b"") -> bytes:
        """The body of the answer to one request, which is sent again on silence, or where the device was busy."""
        failure: LinkError | None = None
        for _ in range(TRIES):
            tag = await self._request(opcode, body)
            try:
                return (await self._collect(tag, opcode | protocol.ANSWER))[-1][1]
            except asyncio.TimeoutError:
                continue
            except Busy as busy:
                failure = busy
                await asyncio.sleep(BUSY_PAUSE_S)
        raise failure or self._silence()

    async def status(self) -> dict[str, Any]:
        """The device's fields (names as in protocol.fields()). Raises LinkError."""
        body = await self._ask(protocol.STATUS)
        with _reading():
            status = decode_fields(body)
        version = status.get("protocol_version")
        if version != protocol.PROTOCOL_VERSION:
            raise LinkError(
                f"the device speaks protocol version {version}, this tool {protocol.PROTOCOL_VERSION}: "
                "update the older one"
            )
        missing = [name for name in _ALWAYS_TOLD if name not in status]
        if missing:
            raise AnswerUnreadable(
                f"the device does not tell its {', '.join(missing)}: device and tool do not fit together; "
                "update the older one"
            )
        return status

    async def batches(
        self, first_sequence: int, limit_bytes: int, next_sequence: int
    ) -> AsyncIterator[Batch]:
        """The log from `first_sequence` on, to its end; a batch has at most `limit_bytes`. Raises LinkError.

        The device sends the next batches while the caller is busy with one: as many as were asked for at once.
        next_sequence: of the status, which is asked again where a batch ends beyond it.
        """
        batch = Batch(first_sequence, b"", first_sequence, True)
        failure: LinkError | None = None
        tag, due, tries = None, 0, TRIES
        while batch.more:
            if tag is None:
                if not tries:
                    raise failure or self._silence()
                tries -= 1
                tag, due = await self._ask_for_batches(batch.following, limit_bytes)
            try:
                answers = await self._collect(tag, protocol.END)
            except asyncio.TimeoutError:
                tag = None
                continue
            except Busy as busy:
                failure, tag = busy, None
                await asyncio.sleep(BUSY_PAUSE_S)
                continue
            with _reading():
                following, more, sent = protocol.unpack("<IBI", answers[-1][1])
            data = b"".join(content for code, content in answers if code == protocol.RECORDS)
            if len(data) != sent:
                # What comes after it must not be stored without it.
                failure = LinkError(
                    f"{self._transport.name} loses messages: {len(data)} of {sent} bytes came; sync again"
                )
                tag = None
                continue
            if more and (following <= batch.following or not data):
                raise LinkError(
                    f"the device stays at record {batch.following}: it says there is more and sends none; restart it"
                )
            if following > next_sequence:
                # Batches that are on their way are not waited for.
                tag, due, next_sequence = None, 0, (await self.status())["next_sequence"]
            if not batch.following <= following <= next_sequence:
                raise LinkError(
                    f"the device says that record {following} is the next, expected {batch.following} to "
                    f"{next_sequence}: nothing of this batch was stored; restart the device and sync again"
                )
            batch = Batch(batch.following, data, following, bool(more))
            tries = TRIES
            if tag is not None:
                due -= 1
                if more and not due:
                    tag, due = await self._ask_for_batches(following, limit_bytes)
            yield batch

    async def _ask_for_batches(self, first_sequence: int, limit_bytes: int) -> tuple[int, int]:
        """(tag, number) of the batches that the device will send."""
        number = protocol.MAX_READ_BATCHES
        body = protocol.pack_u32(first_sequence) + protocol.pack_u32(limit_bytes) + bytes([number])
        return await self._request(protocol.READ, body), number

    async def acknowledge_soon(self, up_to: int, log_id: int) -> None:
        """As acknowledge(), but without waiting for the answer, while there are more to come. Raises LinkError."""
        await self._request(protocol.ACK, protocol.pack_u32(up_to) + protocol.pack_u32(log_id))

    async def acknowledge(self, up_to: int, log_id: int) -> int:
        """Tell the device that everything before `up_to` of that log is stored here; returns its cursor.

        Raises LinkError; Refused if the device has begun another log.
        """
        body = await self._ask(protocol.ACK, protocol.pack_u32(up_to) + protocol.pack_u32(log_id))
        with _reading():
            return protocol.unpack("<I", body)[0]

    async def read_clock(self) -> ClockReading:
        """Compare clocks a few times and keep the reading with the shortest round trip. Raises LinkError.

        Readings during which this computer's clock was set do not count.
        """
        best: ClockReading | None = None
        for _ in range(CLOCK_TRIES):
            began, before = self._monotonic_ms(), self._utc_ms()
            body = await self._ask(protocol.CLOCK)
            after, round_trip = self._utc_ms(), self._monotonic_ms() - began
            with _reading():
                low, high = protocol.unpack("<IH", body)
            if abs(after - before - round_trip) > CLOCK_SET_MS:
                continue
            reading = ClockReading(
                protocol.join_u48(low, high), before + round_trip // 2, (round_trip + 1) // 2
            )
            if best is None or reading.uncertainty_ms < best.uncertainty_ms:
                best = reading
        if best is None:
            raise LinkError(
                "this computer's clock was set while the device's was read, each of "
                f"{CLOCK_TRIES} times: expected a clock that runs evenly; wait until it is set and sync again"
            )
        return best

    async def anchor(self, reading: ClockReading) -> None:
        """Have the device log what time it is. Raises LinkError."""
        body = (
            protocol.pack_u48(reading.uptime_ms)
            + protocol.pack_u48(reading.utc_ms)
            + min(reading.uncertainty_ms, 0xFFFF).to_bytes(2, "little")
        )
        await self._ask(protocol.ANCHOR, body)

    async def live(self, on: bool) -> None:
        """Start (for a minute; ask again to go on) or stop LIVE_STEP messages. Raises LinkError."""
        await self._ask(protocol.LIVE, bytes([on]))

    async def identify(self) -> None:
        """Let the device buzz. Raises LinkError."""
        await self._ask(protocol.IDENTIFY)

    async def calibrate(self, action: int) -> CalibrationState:
        """Start, cancel or ask for a calibration (protocol.CALIBRATE_...). Raises LinkError."""
        answer = await self._ask(protocol.CALIBRATE, bytes([action]))
        with _reading():
            state, steps, quality = protocol.unpack("<BBB", answer)
            return CalibrationState(
                _named(STATES, state), steps, quality, printable(bytes(answer[3:]).decode())
            )

    async def settings(self, changes: dict[str, Any] | None = None) -> DeviceSettings:
        """Change these settings, all or none; the settings as they are then. Raises LinkError."""
        # MicroPython takes an escaped character beyond 16 bits for two.
        request = json.dumps(changes, ensure_ascii=False).encode() if changes else b""
        if len(request) > MAX_BODY_BYTES:
            raise LinkError(
                f"settings: expected at most {MAX_BODY_BYTES} bytes in one go, got {len(request)}: set fewer at once"
            )
        body = await self._ask(protocol.SETTINGS, request)
        with _reading():
            answer = json.loads(body)
            return DeviceSettings(answer["settings"], answer["restart"])

    async def erase(self, force: bool = False) -> int:
        """Have the device forget its log; the id of the new one. force: even what nobody stored. Raises LinkError."""
        body = await self._ask(protocol.ERASE, bytes([force]))
        with _reading():
            return protocol.unpack("<I", body)[0]

    async def bonds(self) -> TrustedHosts:
        """The hosts that the device trusts. Raises LinkError."""
        return self._bonds(await self._ask(protocol.BONDS))

    async def remove_bond(self, index: int) -> TrustedHosts:
        """Remove one (or protocol.BONDS_ALL); those that are left. A host's own ends the link. Raises LinkError."""
        return self._bonds(await self._ask(protocol.BONDS, bytes([index])))

    @staticmethod
    def _bonds(answer: bytes) -> TrustedHosts:
        with _reading():
            count, own = protocol.unpack("<BB", answer)
        return TrustedHosts(count, None if own == protocol.BOND_NONE else own)

    async def open_pairing(self) -> None:
        """Open the pairing window, as a hold of the button does. Raises LinkError."""
        await self._ask(protocol.PAIR)

    async def update(self, action: int, body: bytes = b"") -> UpdateState:
        """Take part in an update (firmware/update.py). Raises LinkError."""
        answer = await self._ask(protocol.UPDATE, bytes([action]) + body)
        with _reading():
            return UpdateState(*protocol.unpack("<BIHIH", answer))

    async def walk_test(self, action: int) -> WalkTestState:
        """Start, cancel or ask for a 3-metre test (protocol.WALK_TEST_...). Raises LinkError."""
        answer = await self._ask(protocol.WALK_TEST, bytes([action]))
        with _reading():
            state = _named(walktest.STATES, protocol.unpack("<B", answer)[0])
            result = None
            if state == "over":
                result = steplog_decoder.decode(steplog.WALK_TEST, bytes(answer[1:]))
            return WalkTestState(state, result)

    async def raw(self, on: bool) -> None:
        """Start (for a minute; ask again to go on) or stop raw samples and marks. Raises LinkError."""
        await self._ask(protocol.RAW, bytes([on]))

    async def listen(self) -> None:
        """Wait for live steps, raw samples and marks until cancelled. Raises LinkError."""
        while True:
            message = await self._transport.receive()
            with _reading():
                code, _, content = protocol.split(message)
            self._unasked(code, content)


def split_records(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(sequence, kind, payload) of each record in the bytes that read() gave. Raises LinkError on damage."""
    from journal import decode_record

    at = 0
    while at < len(data):
        record = decode_record(data, at)
        if record is None:
            raise LinkError(
                f"the device sent {len(data) - at} bytes that are no whole record; sync again (nothing was lost)"
            )
        sequence, kind, payload, at = record
        yield sequence, kind, payload
