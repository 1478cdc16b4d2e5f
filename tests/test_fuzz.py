"""Nonsense on the link, both ways: from a paired host to a device that counts steps, and from a device that lies.

The device's parsers alone, with many more requests: micropython/fuzz_test.py. In full with `make test K=fuzz`.
"""

import asyncio
import contextlib
import random
import shutil
import struct

import pytest
from conftest import sweep_size
from hypothesis import example, given, settings
from hypothesis import strategies as st
from journal import encode_record

from firmware import steplog
from firmware.link import packets, protocol
from retrostep.board import VirtualBoard
from retrostep.history import read_history
from retrostep.link import Link, LinkError, decode_fields, split_records
from retrostep.printable import printable
from retrostep.store import Store
from retrostep.sync import sync
from retrostep.walker import Walk

# -- a paired host that sends nonsense ---------------------------------------------------------------------

# A trusted host may do these, and they change what is counted: the sweep leaves them out.
MEANT_TO_CHANGE = ("CALIBRATE", "SETTINGS", "ERASE", "BONDS", "PAIR", "WALK_TEST")
STEADY_OPCODES = (
    protocol.STATUS,
    protocol.READ,
    protocol.ACK,
    protocol.CLOCK,
    protocol.LIVE,
    protocol.RAW,
    protocol.IDENTIFY,
)
QUESTION_EVERY = 25
# The first tags of a Link: its answers must not be mistaken for those to the nonsense before.
QUESTION_TAGS = [bytes([tag]) for tag in range(1, 16)]


def nonsense(chance, changing):
    """Packets for the request characteristic: noise, broken requests, pieces of messages in any order."""
    while True:
        opcode = chance.choice((*STEADY_OPCODES, chance.randrange(256)))
        body = chance.randbytes(chance.choice((0, 1, 4, 8, 8, 14, chance.randrange(240))))
        message = protocol.message(opcode, chance.randrange(256), body)
        if chance.randrange(3) == 0:
            message = chance.randbytes(chance.randrange(244))
        parcels = list(packets.split_message(message, chance.choice((20, 100, 244))))
        kind = chance.randrange(5)
        if kind == 0:
            chance.shuffle(parcels)
        elif kind == 1:
            parcels = parcels[: chance.randrange(len(parcels) + 1)]
        elif kind == 2:
            parcels.insert(chance.randrange(len(parcels) + 1), chance.randbytes(chance.randrange(20)))
        for packet in parcels:
            opcode_and_tag = packet[1:3]
            if opcode_and_tag[:1] in changing or opcode_and_tag[1:] in QUESTION_TAGS:
                continue
            yield packet


def steps_of_this_boot(history):
    boot = history.boots[-1].sequence
    return [step for step in history.steps if step.boot == boot]


def test_ble_fuzz_nonsense_from_a_paired_host_costs_no_step_and_no_sample(tmp_path, request):
    pytest.importorskip("bumble", reason="the virtual radio's Bluetooth stack needs Python 3.11 or newer")
    from desk import Desk, make_image

    from retrostep.board.laptop import Laptop
    from retrostep.board.radio import Air, BoardRadio

    full = sweep_size(request.config, request.node.name) == "full"
    requests = 2000 if full else 300
    walk = Walk(seed=5).stand(6).walk("forward", seconds=70).stand(4).recording("waist").samples
    changing = {bytes([getattr(protocol, name)]) for name in MEANT_TO_CHANGE if hasattr(protocol, name)}
    chance = random.Random(9)
    questions = 0

    async def babble(transport):
        nonlocal questions
        for number, packet in enumerate(nonsense(chance, changing)):
            if number == requests:
                return
            await transport._client.write_gatt_char(packets.REQUEST, packet, response=True)
            if number % QUESTION_EVERY == 0:
                # Whatever was left unfinished before: a question of its own is understood and answered right.
                link = Link(transport)
                before = await link.read_clock()
                status = await link.status()
                assert before.uptime_ms // 1000 <= status["uptime_s"]
                assert status["sensor_faults"] == 0
                questions += 1

    make_image(tmp_path / "flash.img", tmp_path)
    undisturbed = shutil.copy(tmp_path / "flash.img", tmp_path / "undisturbed.img")
    with Air() as air:
        desk = {}
        for image in (tmp_path / "flash.img", undisturbed):
            board_radio = BoardRadio(air)
            with VirtualBoard(image, speed=0, radio=board_radio, walk=walk, seed=3) as board:
                desk[image] = Desk(board, board_radio, Laptop(air), tmp_path / image.stem)
                (tmp_path / image.stem).mkdir()
                board.advance(1)
                desk[image].hold()
                desk[image].pair()
                if image is not undisturbed:
                    desk[image].over(babble)
                assert board.now_us < 76e6, "the walk was over before the nonsense"
                board.advance(110 - board.now_us / 1e6)
                desk[image].hold()
                desk[image].sync()
                assert not [event for event in board.events if event.kind == "reset"]
                assert b"Traceback" not in board.console, board.console.decode(errors="replace")
    for one in desk.values():
        assert not one.history().problems
        assert not [kind for _, kind, _ in one.stored() if kind == steplog.FAULT]
    disturbed, quiet = (steps_of_this_boot(one.history()) for one in desk.values())
    assert [step.direction for step in disturbed] == [step.direction for step in quiet]
    assert [step.uptime_ms for step in disturbed] == pytest.approx([step.uptime_ms for step in quiet], abs=20)
    assert len(quiet) > 100
    assert questions == -(-requests // QUESTION_EVERY)


# -- a device that lies ----------------------------------------------------------------------------------------


class Liar:
    """A transport whose device answers what was made up: `replies` are functions of the request's tag."""

    name = "liar"
    advice = "throw it away"

    def __init__(self, replies):
        self._replies = list(replies)
        self._tag = 0

    async def send(self, message):
        self._tag = message[1]

    async def receive(self):
        if not self._replies:
            raise LinkError("gone")
        return self._replies.pop(0)(self._tag)


def answer(opcode, body):
    return lambda tag: protocol.message(opcode, tag, body)


KINDS = [
    opcode | protocol.ANSWER
    for opcode in (
        protocol.STATUS,
        protocol.READ,
        protocol.ACK,
        protocol.CLOCK,
        protocol.ANCHOR,
        protocol.LIVE,
    )
] + [0x87, 0x88, 0x89, 0x8A]
UNASKED = [protocol.LIVE_STEP, protocol.RAW_BLOCK, protocol.MARK]

u32 = st.integers(0, 2**32 - 1)
fields = st.lists(
    st.tuples(st.integers(0, 40), st.binary(max_size=12)).map(
        lambda one: bytes((one[0], len(one[1]))) + one[1]
    ),
    max_size=12,
).map(b"".join)
plausible_status = st.fixed_dictionaries(
    {"protocol_version": st.just(protocol.PROTOCOL_VERSION)},
    optional={
        name: st.text(max_size=8)
        if layout is None
        else st.integers(0, 2 ** (8 * struct.calcsize(layout)) - 1)
        for _, name, layout in list(protocol.fields())[1:]
    },
).map(protocol.encode_fields)
records = st.lists(st.tuples(u32, st.integers(0, 255), st.binary(max_size=60)), max_size=4).map(
    lambda some: b"".join(encode_record(*one) for one in some)
)
ends = st.tuples(u32, st.integers(0, 2), u32)
bodies = st.one_of(
    st.binary(max_size=40),
    fields,
    plausible_status,
    records,
    ends.map(lambda end: struct.pack("<IBI", *end)),
    st.sampled_from([b"{}", b"[1]"]),
)
replies = st.one_of(
    st.binary(max_size=20).map(lambda data: lambda tag: data),
    st.tuples(
        st.sampled_from([*KINDS, *UNASKED, protocol.RECORDS, protocol.END, protocol.ERROR]), bodies
    ).map(lambda one: answer(*one)),
)


async def all_batches(link):
    return [batch async for batch in link.batches(0, 16_384, 2**31)]


ASKED = {
    "status": lambda link: link.status(),
    "batches": all_batches,
    "acknowledge": lambda link: link.acknowledge(5, 1),
    "read_clock": lambda link: link.read_clock(),
    "live": lambda link: link.live(True),
    "calibrate": lambda link: link.calibrate(protocol.CALIBRATE_ASK),
    "listen": lambda link: link.listen(),
    "settings": lambda link: link.settings(),
}


def heard(made_up, asked):
    """What the host makes of the made-up replies: a result, or a LinkError."""
    unasked = []
    link = Link(Liar(made_up), unasked.append, unasked.append)
    try:
        return asyncio.run(asked(link))
    except LinkError as error:
        return error


@pytest.mark.parametrize("name", ASKED)
@settings(max_examples=300, deadline=None)
@given(made_up=st.lists(replies, max_size=6))
def test_fuzz_host_meets_only_the_documented_error_whatever_a_device_answers(name, made_up):
    heard(made_up, ASKED[name])


@pytest.mark.parametrize(
    ("name", "opcode", "body"),
    [
        ("status", protocol.STATUS | protocol.ANSWER, b"\x02\x02\xff\xff"),
        ("status", protocol.STATUS | protocol.ANSWER, b"\x01\x01\x01"),
        ("acknowledge", protocol.ACK | protocol.ANSWER, b"\x01"),
        ("batches", protocol.END, b""),
        ("calibrate", protocol.CALIBRATE | protocol.ANSWER, b"\x00\x00\x00\xff"),
        ("settings", 0x8A, b"[1]"),
        ("listen", protocol.LIVE_STEP, b"\x00"),
    ],
)
def test_fuzz_answer_that_cannot_be_read_says_so_and_what_to_do(name, opcode, body):
    error = heard([answer(opcode, body)], ASKED[name])
    assert isinstance(error, LinkError)
    assert "update the older one" in str(error)


@settings(max_examples=200, deadline=None)
@given(
    status=st.one_of(plausible_status, fields),
    batches=st.lists(st.tuples(records, ends, st.booleans()), max_size=4),
)
@example(status=protocol.encode_fields({"protocol_version": 1}), batches=[])
def test_fuzz_sync_with_a_lying_device_ends_and_leaves_a_database_that_can_be_read(
    tmp_path_factory, status, batches
):
    replies = [answer(0x81, status)]
    replies += [answer(0x84, bytes(6))] * 5 + [answer(0x85, bytes(4)), answer(0x81, status)]
    for data, (following, more, lie), honest in batches:
        end = struct.pack("<IBI", following, more, len(data) if honest else lie)
        replies += [answer(protocol.RECORDS, data), answer(protocol.END, end), answer(0x83, bytes(4))]
    path = tmp_path_factory.mktemp("liar") / "db.sqlite3"
    with Store(path) as store:
        with contextlib.suppress(LinkError):
            asyncio.run(sync(Link(Liar(replies)), store))
        read_history(store)


@given(st.one_of(st.binary(max_size=300), st.tuples(records, st.binary(max_size=30)).map(b"".join)))
def test_fuzz_bytes_that_are_no_records_are_a_link_error(data):
    try:
        for sequence, kind, payload in split_records(data):
            assert 0 <= sequence < 2**32
            assert 0 <= kind < 256
            assert len(payload) <= 512
    except LinkError as error:
        assert "no whole record" in str(error)


def test_fuzz_texts_of_a_device_steer_no_terminal(tmp_path):
    hostile = "v1\x1b]0;owned\x07\x9b2J\u202e"
    body = protocol.encode_fields({"protocol_version": 1, "firmware": hostile})
    assert decode_fields(body)["firmware"] == "v1\ufffd]0;owned\ufffd\ufffd2J\ufffd"
    assert printable("one\ntwo\x1b", keep="\n") == "one\ntwo\ufffd"
