"""Requests of every kind, most of them nonsense, for the device's own parsers, while somebody walks.

A seeded generator knows the messages: it makes valid requests, cuts them short, lengthens them, flips their bits,
and sends bytes that never were a request; on the way to the device packets are lost, doubled, swapped and mixed with
those of other messages, and lines of text are damaged. What must hold: each request that arrives gets exactly one
answer, with its tag; a valid one gets the right answer; no step is lost, no record changes, no memory is kept.
"""

import gc
import json
import random
import struct
import sys
import time
from array import array
from binascii import crc32

from journal import Journal, decode_record, encode_record
from ramflash import device_volume

import firmware.logbook
from firmware.calibration import Calibration
from firmware.clock import Clock
from firmware.daycount import DayCount
from firmware.link import packets, protocol
from firmware.link.framing import decode_line, encode_line
from firmware.link.session import Session
from firmware.link.windows import Windows
from firmware.logbook import Logbook
from firmware.settings import Settings
from firmware.update import Updater

HEAP = "8M"
REQUESTS = 100_000 if sys.argv[-1] == "full" else 6_000
BUDGET_BYTES = 60_000
UTC_MS = 1_790_000_000_000
PARTS = 10
# Of what a collection leaves, the least in the first parts and the least in the last: a stale pointer on the stack
# may keep some block alive for a while, but not for ever. The journal's list of segments has its ups and downs, too.
SLACK_BYTES = 2048


class KeptJournal(Journal):
    """Remembers the CRC of each record it was given, by its number."""

    kept = array("I", bytes(4 * 60_000))

    def append(self, kind, payload):
        sequence = super().append(kind, payload)
        self.kept[sequence] = crc32(encode_record(sequence, kind, payload))
        return sequence


class Device:
    """The log, the clock and the calibration of a device that somebody walks with; time moves when told."""

    def __init__(self):
        self.ticks_ms = 0
        self.clock = Clock(lambda: self.ticks_ms * 1000, lambda later, earlier: later - earlier)
        self.logbook = Logbook(
            "/log",
            self.clock.uptime_ms,
            77,
            0,
            0,
            "0.1.0",
            "physics-waist-1",
            "xiao_esp32s3",
            budget_bytes=BUDGET_BYTES,
        )
        self.calibration = Calibration("waist")
        self.settings = Settings("/settings.json")
        self.day_count = DayCount(0)
        self.radio = Windows(self, self.clock.uptime_ms, None, None)
        self.updater = Updater("00" * 32, self.restart)
        self.steps = [0, 0, 0, 0]
        self.walked = 0
        self._step_due_ms = 0
        self.buzzes = 0

    def walk(self):
        """A moment goes by, with a step in it now and then."""
        self.ticks_ms += random.randrange(120)
        if self.ticks_ms >= self._step_due_ms:
            self._step_due_ms = self.ticks_ms + random.randrange(450, 600)
            direction = random.randrange(4)
            self.steps[direction] += 1
            self.walked += 1
            self.logbook.add_step(self.ticks_ms, direction, random.randrange(101), random.randrange(101))
        self.logbook.flush_if_due()

    def status(self):
        journal = self.logbook.journal
        return {
            "protocol_version": protocol.PROTOCOL_VERSION,
            "device_id": "abc",
            "board": "xiao_esp32s3",
            "log_id": journal.log_id,
            "oldest_sequence": journal.oldest_sequence,
            "next_sequence": journal.next_sequence,
            "acknowledged": journal.acknowledged,
            "forward_steps": self.logbook.counts()[0],
        }

    def identify(self):
        self.buzzes += 1

    def walk_test(self, action):
        if action != protocol.WALK_TEST_ASK:
            raise ValueError("walk test: nobody walks it here")
        return bytes(1)

    def update(self, body):
        return self.updater.answer(body)

    def restart(self):
        raise AssertionError("an update that nobody signed was taken")

    def apply_settings(self, changes):
        """What is read from the settings when it is needed takes effect by itself."""

    def keep_time(self):
        time.gmtime(self.clock.utc_ms() // 1000)

    def calibrate(self, action):
        if action == protocol.CALIBRATE_START:
            self.calibration.start()
        elif action != protocol.CALIBRATE_ASK:
            raise ValueError("calibrate: expected action 0 or 1, got %d" % action)
        return bytes((self.calibration.state, 0, 0))


# -- the generator --------------------------------------------------------------------------------------------


def noise(length):
    return bytes([random.getrandbits(8) for _ in range(length)])


def u32(limit):
    return protocol.pack_u32(random.randrange(limit))


def valid_request(device):
    """A request that a well-behaved host could send now."""
    tag = random.randrange(1, 256)
    journal = device.logbook.journal
    kind = random.randrange(20)
    if kind < 5:
        return protocol.message(protocol.STATUS, tag)
    if kind < 6:
        changes = {"motor_percent": random.randrange(101)} if random.randrange(9) == 0 else None
        return protocol.message(protocol.SETTINGS, tag, json.dumps(changes).encode() if changes else b"")
    if kind < 9:
        return protocol.message(protocol.CLOCK, tag)
    if kind < 13:
        first = random.randrange(journal.flushed_sequence + 1)
        limit = random.choice((0, 200, 600, 1500, 20_000 if random.randrange(8) == 0 else 900))
        batches = bytes((random.randrange(1, 4),)) if random.randrange(3) else b""
        body = protocol.pack_u32(first) + protocol.pack_u32(limit) + batches
        return protocol.message(protocol.READ, tag, body)
    if kind < 15:
        body = u32(journal.flushed_sequence + 1) + protocol.pack_u32(journal.log_id)
        return protocol.message(protocol.ACK, tag, body)
    if kind < 16:
        uptime_ms = random.randrange(device.ticks_ms + 1)
        body = protocol.pack_u48(uptime_ms) + protocol.pack_u48(UTC_MS + uptime_ms) + b"\x05\x00"
        return protocol.message(protocol.ANCHOR, tag, body)
    opcode = random.choice((protocol.LIVE, protocol.RAW))
    if kind < 18:
        return protocol.message(opcode, tag, bytes((random.randrange(2),)))
    if kind < 19:
        return protocol.message(protocol.IDENTIFY, tag)
    return protocol.message(protocol.CALIBRATE, tag, bytes((protocol.CALIBRATE_ASK,)))


def flipped(data):
    """`data` with one to three bits turned over."""
    damaged = bytearray(data)
    for _ in range(random.randrange(1, 4)):
        if damaged:
            damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
    return bytes(damaged)


def odd_json():
    """A JSON value that may fit a setting or not, or is none."""
    texts = ("", "22:00", "aa:bb", ":::::", "waist", "\u00b9\u00b2:\u00b3\u2070", "00")
    return random.choice(
        (
            random.choice((None, True, -1, 50, 1 << 40, 0.5, [], {}, [[]], {"a": 1})),
            random.choice(texts),
            random.randrange(-1000, 100_000),
        )
    )


def odd_settings(device):
    """A SETTINGS request whose names, values or JSON are out of the ordinary."""
    names = list(device.settings.shown())
    changes = {random.choice(names): odd_json()}
    if random.randrange(4) == 0:
        changes[random.choice(("", "x", "placement", names[0] + "x"))] = odd_json()
    body = json.dumps(changes if random.randrange(5) else odd_json()).encode()
    return protocol.message(protocol.SETTINGS, random.randrange(1, 256), body)


def wrong_request(device):
    """A request that no well-behaved host would send."""
    kind = random.randrange(8)
    if kind == 7:
        body = bytes((random.randrange(6),)) + noise(random.choice((0, 4, 6, 32, random.randrange(200))))
        return protocol.message(protocol.UPDATE, random.randrange(1, 256), body)
    if kind == 6:
        return odd_settings(device)
    if kind == 0:
        return noise(random.randrange(40))
    if kind == 1:
        return noise(random.randrange(protocol.MAX_REQUEST_BYTES + 1))
    if kind == 2:
        # A known or nearly known opcode with any body.
        return bytes((random.randrange(0x18), random.randrange(256))) + noise(random.randrange(24))
    request = valid_request(device)
    if kind == 3:
        return request[: random.randrange(len(request))]
    if kind == 4:
        return request + noise(random.randrange(1, 30))
    return flipped(request)


def mistreated(parcels):
    """The packets of a message after what may happen to them on a bad way."""
    parcels = list(parcels)
    kind = random.randrange(6)
    at = random.randrange(len(parcels))
    if kind == 0:
        parcels.pop(at)
    elif kind == 1:
        parcels.insert(at, parcels[at])
    elif kind == 2:
        parcels[at] = flipped(parcels[at])
    elif kind == 3:
        other = random.randrange(len(parcels))
        parcels[at], parcels[other] = parcels[other], parcels[at]
    elif kind == 4:
        parcels.insert(at, noise(random.randrange(30)))
    else:
        parcels = parcels[:at]
    return parcels


# -- the two ways to the device -----------------------------------------------------------------------------


class Way:
    """One host's link: a session, and the answers it gave to the request that is being handled."""

    def __init__(self, device):
        self.session = Session(device, 200)
        self.answers = []

    async def hear(self, answer):
        self.answers.append(bytes(answer))

    async def deliver(self, message):
        """Handle one message that arrived; its answers."""
        self.answers = []
        await self.session.handle(message, self.hear)
        return self.answers


class PacketWay(Way):
    """By packets, as over the radio."""

    def __init__(self, device):
        super().__init__(device)
        self.inbox = packets.Assembler(protocol.MAX_REQUEST_BYTES)

    def arriving(self, message, whole):
        """The messages that come out at the other end of the way."""
        parcels = packets.split_message(message, random.choice((2, 20, 20, 100, 244)))
        for packet in parcels if whole else mistreated(parcels):
            arrived = self.inbox.add(packet)
            assert arrived is None or len(arrived) <= protocol.MAX_REQUEST_BYTES
            if arrived is not None:
                yield arrived


class LineWay(Way):
    """By lines of text, as over the cable."""

    def arriving(self, message, whole):
        line = encode_line(message)
        if not whole:
            line = flipped(line) if random.randrange(2) else line[: random.randrange(len(line))]
        arrived = decode_line(line)
        if arrived is not None:
            yield arrived


# -- what must hold ----------------------------------------------------------------------------------------------


def check_one_answer(request, answers):
    """Any request: records and their end, or one answer, or one error, with the request's tag."""
    assert answers, "no answer to %r" % request
    tag = request[1] if len(request) > 1 else 0
    for answer in answers:
        assert answer[1] == tag, (request, answer)
    for answer in answers[:-1]:
        assert answer[0] in (protocol.RECORDS, protocol.END)
    last = answers[-1][0]
    if last == protocol.END:
        assert request[0] == protocol.READ
    elif last == protocol.ERROR:
        assert len(answers) == 1
        assert answers[0][2] in (protocol.ERROR_UNKNOWN, protocol.ERROR_MALFORMED, protocol.ERROR_REFUSED)
    else:
        assert len(answers) == 1
        assert last == request[0] | protocol.ANSWER


def check_records(device, request, answers):
    """The answer to a valid READ: batches of whole records, in order, none too many, as they were written."""
    first, limit = struct.unpack_from("<II", request, 2)
    wanted = max(request[10], 1) if len(request) > 10 else 1
    batches = 0
    more = True
    data = b""
    for answer in answers:
        if answer[0] == protocol.RECORDS:
            data += answer[2:]
            continue
        assert more, "a batch after the last"
        following, more, sent = struct.unpack("<IBI", answer[2:])
        assert len(data) == sent
        check_batch(device.logbook.journal, first, limit, data, following, more)
        first = following
        data = b""
        batches += 1
    assert batches == wanted or not more


def check_batch(journal, first, limit, data, following, more):
    at = count = 0
    expected = max(first, journal.oldest_sequence)
    while at < len(data):
        sequence, _, _, end = decode_record(data, at)
        assert sequence == expected, (sequence, expected)
        assert crc32(data[at:end]) == journal.kept[sequence]
        expected = sequence + 1
        at = end
        count += 1
    assert count <= 1 or len(data) <= min(limit, protocol.MAX_READ_BYTES)
    if more:
        assert following == expected
    else:
        assert following == journal.flushed_sequence


def check_right_answer(device, request, acknowledged, answers):
    """The answer to a valid request. acknowledged: the cursor before it."""
    opcode = request[0]
    answer = answers[-1]
    body = answer[2:]
    if opcode == protocol.READ:
        assert answer[0] == protocol.END, answers
        check_records(device, request, answers)
        return
    assert answer[0] == opcode | protocol.ANSWER, (request, answer)
    if opcode == protocol.STATUS:
        assert body == protocol.encode_fields(device.status())
        assert device.logbook.counts() == device.steps
    elif opcode == protocol.CLOCK:
        assert protocol.join_u48(*struct.unpack("<IH", body)) == device.ticks_ms
    elif opcode == protocol.ACK:
        up_to, _ = struct.unpack("<II", request[2:10])
        assert struct.unpack("<I", body)[0] == max(up_to, acknowledged) == device.logbook.journal.acknowledged
    elif opcode == protocol.ANCHOR:
        assert struct.unpack("<I", body)[0] < device.logbook.journal.flushed_sequence
    elif opcode == protocol.SETTINGS:
        assert json.loads(body)["settings"] == device.settings.shown()
    elif opcode in (protocol.LIVE, protocol.RAW):
        assert body == request[2:3]


def check_log(logbook):
    """Every record that is still there is as it was written."""
    journal = logbook.journal
    found = 0
    for sequence, kind, payload in journal.records():
        assert crc32(encode_record(sequence, kind, payload)) == journal.kept[sequence]
        found += 1
    assert found == journal.flushed_sequence - journal.oldest_sequence


async def test_fuzz_any_request_gets_one_answer_and_costs_neither_steps_nor_memory():
    random.seed(8)
    firmware.logbook.Journal = KeptJournal
    flash = device_volume()
    device = Device()
    ways = (PacketWay(device), PacketWay(device), LineWay(device))
    sent = arrived = right = erased = 0
    in_use = []
    while sent < REQUESTS:
        way = ways[random.randrange(len(ways))]
        whole = random.randrange(3) > 0
        valid = random.randrange(4) == 0
        request = valid_request(device) if valid else wrong_request(device)
        sent += 1
        for message in way.arriving(request, whole):
            acknowledged = device.logbook.journal.acknowledged
            answers = await way.deliver(message)
            check_one_answer(message, answers)
            arrived += 1
            if answers[0][0] == protocol.ERASE | protocol.ANSWER:
                # By chance a request to erase the log is among the noise; that is no accident then.
                device.steps = [0, 0, 0, 0]
                erased += 1
            if valid and whole and message == request:
                check_right_answer(device, request, acknowledged, answers)
                right += 1
        device.walk()
        if sent % (REQUESTS // PARTS) == 0:
            answers = None
            for way in ways:
                way.answers = None
            gc.collect()
            in_use.append(gc.mem_alloc())
    assert min(in_use[PARTS // 2 :]) - min(in_use[: PARTS // 2]) < SLACK_BYTES, in_use
    device.logbook.flush()
    assert device.logbook.write_failures == 0
    assert flash.violations == 0
    check_log(device.logbook)
    device.logbook.close()
    again = Device()
    check_log(again.logbook)
    assert again.logbook.counts() == device.logbook.counts() == device.steps
    print("requests: %d, arrived: %d, valid and answered right: %d" % (sent, arrived, right))
    print("steps: %d, logs erased: %d, bytes in use: %s" % (device.walked, erased, in_use))
    assert arrived > REQUESTS // 2
    assert right > REQUESTS // 8
    assert device.walked > REQUESTS // 12
