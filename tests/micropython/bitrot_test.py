"""Every byte of a segment is damaged in turn: no wrong record is believed, and only the damaged one is lost."""

import random
import sys

from journal import HEADER_BYTES, Journal, encode_header, encode_record
from journal_opening import scan_segment
from ramflash import RamFlash, mount

from firmware import steplog

HEAP = "32M"
FULL = sys.argv[-1] == "full"
FIRST = 1000


def segment():
    """(bytes of a segment, [(start, end, (sequence, kind, payload))]) with records of every kind and size."""
    random.seed(4)
    payloads = [
        (steplog.BOOT, steplog.encode_boot(0, 0, 5, "0.1.0", "physics-waist-1", "xiao_esp32s3")),
        (steplog.ANCHOR, steplog.encode_anchor(1000, 5, 1_790_000_000_000, 3, 0)),
        (steplog.FAULT, steplog.encode_fault(1000, 900, 3, 40)),
        (steplog.BATTERY, steplog.encode_battery(1000, 901, 3_900)),
        (steplog.GAP, steplog.encode_gap(1000, 902, 3, 9, 44, (1, 2), (3, 4))),
        (200, b""),
    ]
    at_ms = 1000
    for steps in (1, 5, 60, 200):
        chunk = steplog.StepChunk(1000, 40)
        for _ in range(steps):
            at_ms += 520
            chunk.add_step(at_ms, random.randrange(4), random.randrange(101), None)
        payloads.append((steplog.STEPS, chunk.payload()))
    # A payload that holds copies of earlier records, as a log of a log would.
    payloads.append((201, encode_record(FIRST + 5, 200, b"") + encode_record(FIRST + 3, 1, b"copy")))
    payloads.append((steplog.EVENT, steplog.encode_event(1000, 903, 0, 70)))
    data = bytearray(encode_header(FIRST, 1, 7))
    spans = []
    for offset, (kind, payload) in enumerate(payloads):
        record = encode_record(FIRST + offset, kind, payload)
        spans.append((len(data), len(data) + len(record), (FIRST + offset, kind, payload)))
        data.extend(record)
    return data, spans


def test_bitrot_of_any_byte_costs_at_most_the_record_it_lies_in():
    data, spans = segment()
    damages = 0
    for at in range(len(data)):
        if not FULL and at % 7:
            continue
        for flip in (0xFF, 1, 2, 4, 8, 16, 32, 64, 128) if FULL else (0xFF, 1 << at % 8):
            data[at] ^= flip
            found = [(sequence, kind, payload) for sequence, kind, payload, _, _ in scan_segment(data, FIRST)]
            assert found == [record for start, end, record in spans if not start <= at < end], (at, flip)
            data[at] ^= flip
            damages += 1
    assert damages > (9 * len(data) - 1 if FULL else 100)
    print("damages:", damages)


def test_bitrot_is_survived_by_the_journal_itself():
    data, spans = segment()
    random.seed(5)
    for trial in range(60 if FULL else 10):
        mount(RamFlash(), "/rot%d" % trial)
        journal = Journal("/rot%d/log" % trial, 1, 7)
        at = random.randrange(len(data))
        damaged = bytearray(data)
        damaged[at] ^= 1 << random.randrange(8)
        with open("/rot%d/log/%08x.seg" % (trial, FIRST), "wb") as file:
            file.write(damaged)
        journal = Journal("/rot%d/log" % trial, 1, 7)
        journal.append(9, b"goes on")
        journal.flush()
        found = list(journal.records())
        assert found[-1][2] == b"goes on"
        numbers = [sequence for sequence, _, _ in found]
        assert numbers == sorted(set(numbers))
        lost = [record[0] for start, end, record in spans if start <= at < end]
        assert [record[0] for _, _, record in spans if record[0] not in numbers] == lost
        assert at >= HEADER_BYTES or lost == []
