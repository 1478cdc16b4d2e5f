"""The host's sync against the device's own session and journal, joined in one process."""

import asyncio
import struct
from datetime import timezone

import pytest
from journal import encode_record

from firmware import steplog, steplog_decoder
from firmware.clock import Clock
from firmware.daycount import DayCount
from firmware.link import cable, protocol
from firmware.link.framing import decode_line, encode_line
from firmware.link.session import LIVE_LEASE_MS, Session
from firmware.logbook import Logbook
from retrostep.cable import CableTransport
from retrostep.history import read_history
from retrostep.link import Busy, Link, LinkError, NoAnswer, Refused, decode_fields
from retrostep.periods import days
from retrostep.store import Store, StoreError
from retrostep.stretches import stretches_of
from retrostep.sync import LogWentBack, sync

UTC_0_MS = 1_790_000_000_000
STANDING_CLOCK = {"utc_ms": lambda: UTC_0_MS, "monotonic_ms": lambda: 0}


class SteppedTicks:
    """Time that moves only when told."""

    def __init__(self):
        self.ms = 0

    def ticks_us(self):
        return self.ms * 1000

    @staticmethod
    def ticks_diff(later, earlier):
        return later - earlier


class DeviceUnderTest:
    """The device's real log, clock and session, without pins and sensors."""

    def __init__(self, folder, log_id=77):
        self.ticks = SteppedTicks()
        self.clock = Clock(self.ticks.ticks_us, self.ticks.ticks_diff)
        self.logbook = Logbook(
            str(folder), self.clock.uptime_ms, log_id, 0, 0, "0.1.0", "physics-waist-1", "xiao_esp32s3"
        )
        self.session = Session(self)
        self.day_count = DayCount(0, str(folder) + ".day")
        self.buzzes = 0

    def identify(self):
        self.buzzes += 1

    def keep_time(self):
        self.time_kept_ms = self.clock.utc_ms()

    def status(self):
        journal = self.logbook.journal
        return {
            "protocol_version": protocol.PROTOCOL_VERSION,
            "device_id": "abc",
            "firmware": "0.1.0",
            "board": "xiao_esp32s3",
            "log_id": journal.log_id,
            "oldest_sequence": journal.oldest_sequence,
            "next_sequence": journal.next_sequence,
            "acknowledged": journal.acknowledged,
        }

    def walk(self, steps, direction=0):
        for _ in range(steps):
            self.ticks.ms += 510
            self.logbook.add_step(self.clock.uptime_ms(), direction, 95, None)
            self.logbook.flush_if_due()


class Joined:
    """Transport that hands each message to the session; `drop_after` messages from the device it loses the link."""

    name = "joined"

    def __init__(self, session, drop_after=None):
        self._session = session
        self._incoming = asyncio.Queue()
        self._left = drop_after

    async def _deliver(self, message):
        line = encode_line(message)
        await self._incoming.put(decode_line(line))

    async def send(self, message):
        await self._session.handle(decode_line(encode_line(message)), self._deliver)

    async def receive(self):
        if self._left is not None:
            if not self._left:
                raise LinkError("dropped")
            self._left -= 1
        return await self._incoming.get()


@pytest.fixture
def make_device(tmp_path):
    made = []

    def make(name, log_id=77):
        made.append(DeviceUnderTest(tmp_path / name, log_id))
        return made[-1]

    yield make
    for device in made:
        device.logbook.close()


@pytest.fixture
def device(make_device):
    return make_device("log")


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "db.sqlite3") as opened:
        yield opened


def run_sync(device, store, drop_after=None):
    return asyncio.run(sync(Link(Joined(device.session, drop_after), **STANDING_CLOCK), store))


def synced_records(store):
    return [record for log in store.logs() for record in store.records(log["id"])]


def device_records(device):
    device.logbook.flush()
    return [(s, k, bytes(p)) for s, k, p in device.logbook.journal.records()]


def test_sync_brings_every_record_and_acknowledges_it(device, store):
    device.walk(400)
    result = run_sync(device, store)
    assert synced_records(store) == device_records(device)
    assert result.records == len(device_records(device))
    assert device.logbook.journal.acknowledged == result.next_sequence


def test_a_second_sync_brings_only_what_is_new(device, store):
    device.walk(100)
    run_sync(device, store)
    device.walk(100)
    before = len(synced_records(store))
    result = run_sync(device, store)
    assert result.records == len(synced_records(store)) - before
    assert synced_records(store) == device_records(device)


def test_a_link_that_drops_at_any_message_loses_and_doubles_nothing(device, store):
    device.walk(6_000)
    for drop_after in range(80):
        try:
            run_sync(device, store, drop_after)
        except LinkError:
            there = [sequence for sequence, _, _ in synced_records(store)]
            assert there == list(range(1, len(there) + 1))
            assert device.logbook.journal.acknowledged <= len(there) + 1
    run_sync(device, store)
    assert synced_records(store) == device_records(device)


def test_steps_flushed_while_a_batch_is_on_its_way_are_neither_lost_nor_skipped(device, store):
    class Busy(Joined):
        """The device walks on between the messages of its answer."""

        async def _deliver(self, message):
            device.walk(70)
            await super()._deliver(message)

    device.walk(3_000)
    asyncio.run(sync(Link(Busy(device.session), **STANDING_CLOCK), store))
    there = [sequence for sequence, _, _ in synced_records(store)]
    assert there == list(range(1, len(there) + 1))
    assert device.logbook.journal.acknowledged == len(there) + 1
    run_sync(device, store)
    assert synced_records(store) == device_records(device)


class Lying(Joined):
    """Says that the next record is another than it is, or sends records with other numbers."""

    def __init__(self, session, following=None, numbers=()):
        super().__init__(session)
        self._following = following
        self._numbers = numbers

    async def _deliver(self, message):
        if message[0] == protocol.RECORDS and self._numbers:
            sent = b"".join(encode_record(number, steplog.CRASH, b"x") for number in self._numbers)
            message = protocol.message(protocol.RECORDS, message[1], sent)
            self._bytes = len(sent)
        elif message[0] == protocol.END:
            following, more, sent = struct.unpack("<IBI", message[2:])
            end = self._following or following, more, self._bytes if self._numbers else sent
            message = protocol.message(protocol.END, message[1], struct.pack("<IBI", *end))
        await super()._deliver(message)


@pytest.mark.parametrize(
    ("lie", "says"),
    [
        ({"following": 0xFFFF_FFFF}, "record 4294967295 is the next, expected 3 to 4"),
        ({"following": 2}, "record 2 is the next, expected 3 to 4"),
        ({"numbers": [5_000]}, "sent record 5000, expected one from 3 on and before 4"),
        ({"numbers": [1]}, "sent record 1, expected"),
        ({"numbers": [3, 3]}, "sent record 3, expected one from 4"),
    ],
)
def test_records_that_cannot_be_there_are_refused_and_none_is_stored(device, store, lie, says):
    run_sync(device, store)
    kept = synced_records(store), store.logs()
    assert store.logs()[0]["next_sequence"] == 3
    with pytest.raises(LinkError, match=says):
        asyncio.run(sync(Link(Lying(device.session, **lie), **STANDING_CLOCK), store))
    assert (synced_records(store), store.logs()) == kept
    run_sync(device, store)
    assert synced_records(store) == device_records(device)


def test_a_log_that_has_grown_since_its_status_is_read_to_its_end(device):
    device.walk(3_000)

    async def read(link):
        return [record async for batch in link.batches(1, 512, 2) for record in batch.records()]

    assert asyncio.run(read(Link(Joined(device.session)))) == device_records(device)


def clocks(device, steps_ms):
    """A link whose computer has a wall clock that is set by `steps_ms` at its n-th look; a round trip takes 10 ms."""
    now_ms = 0
    looks = 0
    set_by_ms = 0

    def monotonic_ms():
        nonlocal now_ms
        now_ms += 5
        return now_ms

    def utc_ms():
        nonlocal looks, set_by_ms
        looks += 1
        set_by_ms += steps_ms.get(looks, 0)
        return UTC_0_MS + now_ms + set_by_ms

    return Link(Joined(device.session), utc_ms=utc_ms, monotonic_ms=monotonic_ms)


@pytest.mark.parametrize("step_ms", [-2_000, 2_000])
def test_a_clock_that_is_set_while_clocks_are_compared_spoils_only_that_reading(device, step_ms):
    reading = asyncio.run(clocks(device, {4: step_ms}).read_clock())
    assert reading.uncertainty_ms == 3
    assert reading.utc_ms - UTC_0_MS < 60
    with pytest.raises(LinkError, match="clock was set"):
        asyncio.run(clocks(device, dict.fromkeys(range(2, 11, 2), step_ms)).read_clock())


@pytest.mark.parametrize("lost", range(4))
def test_a_message_that_is_lost_on_the_line_is_asked_for_again(device, store, lost):
    class Lossy(Joined):
        """Loses one RECORDS message, as a disturbed line does whose CRC does not hold."""

        seen = 0

        async def _deliver(self, message):
            if message[0] == protocol.RECORDS:
                self.seen += 1
                if self.seen == lost + 1:
                    return
            await super()._deliver(message)

    device.walk(3_000)
    asyncio.run(sync(Link(Lossy(device.session), **STANDING_CLOCK), store))
    assert synced_records(store) == device_records(device)


def test_an_answer_that_never_comes_ends_although_live_messages_do(monkeypatch):
    monkeypatch.setattr("retrostep.link.ANSWER_TIMEOUT_S", 0.05)

    class Chatty:
        name = advice = "/dev/chatty"

        async def send(self, message):
            pass

        async def receive(self):
            await asyncio.sleep(0.01)
            return protocol.message(protocol.LIVE_STEP, 0, bytes(7))

    with pytest.raises(NoAnswer):
        asyncio.run(asyncio.wait_for(Link(Chatty()).raw(False), 5))


def test_a_missing_database_is_an_error_for_those_who_only_read(tmp_path):
    with pytest.raises(StoreError, match="sync a device first"):
        Store(tmp_path / "typo.sqlite3", create=False)
    assert not (tmp_path / "typo.sqlite3").exists()


def test_a_database_that_another_program_holds_is_an_error_that_says_so(tmp_path):
    with Store(tmp_path / "db.sqlite3") as first, Store(tmp_path / "db.sqlite3") as second:
        second._db.execute("PRAGMA busy_timeout = 10")
        first._db.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="no other program"):
            second.open_log({"device_id": "a", "board": "b", "firmware": "c", "log_id": 1})


def test_a_device_with_a_new_log_starts_a_log_of_its_own(device, store, make_device):
    device.walk(50)
    run_sync(device, store)
    fresh = make_device("fresh", log_id=78)
    fresh.walk(50)
    run_sync(fresh, store)
    assert [log["log_id"] for log in store.logs()] == [77, 78]
    assert len(read_history(store).steps) == 100


def test_a_log_that_went_back_is_refused_and_nothing_changes(device, store, make_device):
    device.walk(3_000)
    run_sync(device, store)
    kept = synced_records(store)
    restored = make_device("restored")
    with pytest.raises(LogWentBack, match="restored from an older copy"):
        run_sync(restored, store)
    assert synced_records(store) == kept


def test_days_and_minutes_come_from_anchored_uptime(device, store):
    device.walk(120, direction=1)
    device.ticks.ms += 60_000
    device.walk(60, direction=0)
    run_sync(device, store)
    (day,) = days(stretches_of(read_history(store).blocks), timezone.utc)
    assert day.counts == {"forward": 60, "backward": 120, "sideways": 0, "unknown": 0}
    assert day.bouts == 2
    assert day.minutes["backward"] == pytest.approx(119 * 0.51 / 60, abs=0.01)
    last = max(step.utc_ms for step in read_history(store).steps)
    assert last == pytest.approx(UTC_0_MS, abs=10)


def test_steps_of_a_boot_without_anchor_have_no_day(device, store):
    device.walk(10)
    device.logbook.flush()
    log, _ = store.open_log(device.status())
    store.add_batch(log, device_records(device), 99)
    (day,) = days(stretches_of(read_history(store).blocks), timezone.utc)
    assert day.day is None
    assert day.counts["forward"] == 10


def ask(device, data):
    """The answers of the session to one raw message."""
    answers = []

    async def collect(message):
        answers.append(protocol.split(message))

    asyncio.run(device.session.handle(data, collect))
    return answers


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", protocol.ERROR_MALFORMED),
        (b"\x02", protocol.ERROR_MALFORMED),
        (protocol.message(0x55, 9), protocol.ERROR_UNKNOWN),
        (protocol.message(protocol.READ, 9, b"\x01"), protocol.ERROR_MALFORMED),
        (protocol.message(protocol.ACK, 9, b"\x01\x00\x00\x00"), protocol.ERROR_MALFORMED),
        (protocol.message(protocol.ACK, 9, b"\xff\xff\xff\x7f\x4d\x00\x00\x00"), protocol.ERROR_REFUSED),
        (protocol.message(protocol.ACK, 9, b"\x01\x00\x00\x00\x4e\x00\x00\x00"), protocol.ERROR_REFUSED),
        (protocol.message(protocol.ANCHOR, 9, b"\xff" * 14), protocol.ERROR_REFUSED),
    ],
)
def test_a_bad_request_gets_an_error_and_changes_nothing(device, data, code):
    before = device_records(device)
    ((opcode, _, body),) = ask(device, data)
    assert opcode == protocol.ERROR
    assert body[0] == code
    assert device_records(device) == before
    assert device.logbook.journal.acknowledged == 0


def test_a_refusal_reaches_the_user_with_its_reason(device):
    link = Link(Joined(device.session))
    with pytest.raises(Refused, match="expected at most"):
        asyncio.run(link.acknowledge(1_000_000, 77))


def test_the_longest_request_fits_a_line_of_the_cable():
    line = encode_line(bytes(protocol.MAX_REQUEST_BYTES))
    assert len(line) == cable.MAX_LINE_BYTES + 1


def test_raw_samples_are_refused_by_bluetooth(device):
    bonded = Session(device, peer=b"key")
    answers = []

    async def send(message):
        answers.append(protocol.split(message))

    asyncio.run(bonded.handle(protocol.message(protocol.RAW, 9, b"\x01"), send))
    ((opcode, _, body),) = answers
    assert (opcode, body[0]) == (protocol.ERROR, protocol.ERROR_REFUSED)
    assert b"by cable only" in body
    assert not bonded.wants_raw


def test_silence_is_an_error_that_says_what_to_do(monkeypatch):
    monkeypatch.setattr("retrostep.link.ANSWER_TIMEOUT_S", 0.01)

    class Silent:
        name = "/dev/nothing"
        advice = CableTransport("/dev/nothing").advice

        async def send(self, message):
            pass

        async def receive(self):
            await asyncio.Event().wait()

    with pytest.raises(NoAnswer, match="mpremote connect /dev/nothing reset"):
        asyncio.run(Link(Silent()).status())


def test_live_steps_stop_when_the_host_no_longer_asks_for_them(device):
    assert not device.session.wants_live
    ask(device, protocol.message(protocol.LIVE, 1, b"\x01"))
    assert device.session.wants_live
    device.ticks.ms += LIVE_LEASE_MS
    assert not device.session.wants_live


def test_unknown_status_fields_are_skipped():
    body = (
        protocol.encode_fields({"board": "x"})
        + bytes([200, 3, 1, 2, 3])
        + protocol.encode_fields({"uptime_s": 5})
    )
    assert decode_fields(body) == {"board": "x", "uptime_s": 5}


def test_text_on_the_line_is_no_message_and_damage_is_noticed():
    line = encode_line(b"\x01\x02hello")
    assert b"\x03" not in line
    assert decode_line(line) == b"\x01\x02hello"
    assert decode_line(b"Traceback (most recent call last):\r\n") is None
    damaged = bytearray(line)
    damaged[5] ^= 1
    assert decode_line(bytes(damaged)) is None


def test_steps_are_in_the_totals_before_and_after_a_restart(device, make_device):
    device.walk(130, direction=1)
    assert device.logbook.counts() == [0, 130, 0, 0]
    device.logbook.close()
    again = make_device("log")
    again.walk(5, direction=0)
    assert again.logbook.counts() == [5, 130, 0, 0]


def test_counting_a_log_without_its_totals_keeps_the_watchdog_fed(device, make_device, tmp_path):
    device.walk(3_000)
    device.logbook.close()
    records = sum(1 for _ in device.logbook.journal.records())
    (tmp_path / "log" / "totals").unlink()
    fed = []
    again = Logbook(str(tmp_path / "log"), lambda: 0, 77, 0, 0, "0", "m", "b", alive=lambda: fed.append(1))
    assert again.counts() == [3_000, 0, 0, 0]
    assert len(fed) >= records > 20
    again.close()


def test_at_most_thirty_seconds_of_steps_wait_in_ram(device):
    device.walk(500)
    stored = sum(
        len(steplog_decoder.decode(kind, payload)["steps"])
        for _, kind, payload in device.logbook.journal.records()
        if kind == steplog.STEPS
    )
    assert 500 - stored <= 30_000 // 510 + 1


def test_a_device_that_is_busy_is_asked_again_and_told_of_if_it_stays_so(device, monkeypatch):
    monkeypatch.setattr("retrostep.link.BUSY_PAUSE_S", 0.0)

    class Cramped(Joined):
        """A device whose heap has no room for the first answers."""

        def __init__(self, session, refusals):
            super().__init__(session)
            self._refusals = refusals

        async def send(self, message):
            if self._refusals:
                self._refusals -= 1
                busy = bytes([protocol.ERROR_BUSY]) + b"too little memory just now"
                await self._deliver(protocol.message(protocol.ERROR, message[1], busy))
            else:
                await super().send(message)

    device.walk(100)
    assert asyncio.run(Link(Cramped(device.session, 2)).status())["board"] == "xiao_esp32s3"
    with pytest.raises(Busy, match="too little memory"):
        asyncio.run(Link(Cramped(device.session, 3)).status())
