import random
import re

import pytest

from firmware import steplog
from retrostep.device_tree import device_root


def steps_payload(steps, boot_tag=7):
    chunk = steplog.StepChunk(boot_tag, 0, steplog.model_tag("physics-waist-1"))
    for step in steps:
        chunk.add(*step)
    return chunk.payload()


def test_steps_come_back_with_their_times_directions_and_levels():
    steps = [(5_000, 0, 100, None), (5_520, 1, 86, 50), (6_010, 3, 0, 0), (6_500, 2, 43, 100)]
    record = steplog.decode(steplog.STEPS, steps_payload(steps))
    assert record["boot_tag"] == 7
    assert record["placement"] == "waist"
    assert [step["uptime_ms"] for step in record["steps"]] == [5_000, 5_520, 6_010, 6_500]
    assert [step["direction"] for step in record["steps"]] == ["forward", "backward", "unknown", "sideways"]
    assert [step["confidence"] for step in record["steps"]] == pytest.approx([1, 6 / 7, 0, 3 / 7])
    assert [step["stability"] for step in record["steps"]] == pytest.approx([None, 50, 0, 100])


def test_a_long_pause_between_steps_is_kept_by_the_escape():
    steps = [(1_000, 0, 100, None), (3_540, 0, 100, None), (6_090, 0, 100, None), (3_606_090, 1, 100, None)]
    record = steplog.decode(steplog.STEPS, steps_payload(steps))
    assert [step["uptime_ms"] for step in record["steps"]] == [1_000, 3_540, 6_090, 3_606_090]


def test_rounded_step_times_do_not_drift():
    at, steps = 0.0, []
    for _ in range(120):
        at += 507.7
        steps.append((int(at), 0, 100, None))
    record = steplog.decode(steplog.STEPS, steps_payload(steps))
    assert max(abs(s["uptime_ms"] - w[0]) for s, w in zip(record["steps"], steps, strict=True)) < 10


def test_a_step_takes_two_bytes():
    one = steps_payload([(1_000, 0, 100, None)])
    many = steps_payload([(1_000 + 510 * n, 0, 100, None) for n in range(101)])
    assert len(many) - len(one) == 200


def test_a_chunk_says_it_is_full_before_a_record_is():
    chunk = steplog.StepChunk(1, 0, 0)
    rng = random.Random(1)
    at = 0
    while not chunk.full:
        at += rng.choice((500, 5_000))
        chunk.add(at, 1, 90, None)
    assert len(chunk.payload()) <= 512
    assert len(steplog.decode(steplog.STEPS, chunk.payload())["steps"]) == chunk.count


def test_anchor_holds_48_bit_times():
    record = steplog.decode(steplog.ANCHOR, steplog.encode_anchor(3, 2**40 + 5, 1_790_000_000_123, 17))
    assert record == {
        "kind": "anchor",
        "boot_tag": 3,
        "uptime_ms": 2**40 + 5,
        "utc_ms": 1_790_000_000_123,
        "uncertainty_ms": 17,
    }


def test_boot_fault_cue_and_gap_come_back():
    boot = steplog.decode(steplog.BOOT, steplog.encode_boot(2, 1, 12, "0.1.0", "physics-waist-1", "xiao"))
    assert (boot["cause"], boot["placement"], boot["model"]) == ("watchdog", "shoe", "physics-waist-1")
    fault = steplog.decode(steplog.FAULT, steplog.encode_fault(9, 12_340, steplog.FAULT_OVERRUN, 52))
    assert (fault["fault"], fault["count"], fault["uptime_ms"]) == ("samples lost", 52, 12_340)
    cue = steplog.decode(steplog.CUE, steplog.encode_cue(9, 10, 0))
    assert cue["pattern"] == "backward_started"
    gap = steplog.decode(steplog.GAP, steplog.encode_gap(9, 10, 4, 90))
    assert (gap["first_lost"], gap["last_lost"]) == (4, 90)


@pytest.mark.parametrize("kind", range(8))
def test_arbitrary_bytes_give_a_record_or_the_documented_error(kind):
    rng = random.Random(kind)
    for _ in range(300):
        payload = rng.randbytes(rng.randrange(60))
        try:
            steplog.decode(kind, payload)
        except steplog.RecordUnreadable as unreadable:
            assert f"type {kind}" in str(unreadable)


def test_totals_survive_as_a_checkpoint_and_refuse_a_damaged_one():
    totals = steplog.Totals()
    totals.add_payload(steps_payload([(1000 + 3000 * n, n % 2, 100, None) for n in range(7)]))
    assert totals.counts == [4, 3, 0, 0]
    saved = totals.checkpoint(55)
    again = steplog.Totals()
    assert again.restore(saved) == 55
    assert again.counts == [4, 3, 0, 0]
    for at in range(len(saved)):
        damaged = bytearray(saved)
        damaged[at] ^= 0x10
        assert again.restore(bytes(damaged)) == 0
        assert again.counts == [0, 0, 0, 0]


def test_the_example_of_the_documentation_decodes_as_told_there():
    from journal import decode_record

    page = (device_root() / "docs" / "log-format.md").read_text()
    (example,) = re.findall(r"^    ((?:[0-9a-f]{2} )+[0-9a-f]{2})$", page, re.MULTILINE)
    sequence, kind, payload, _ = decode_record(bytes.fromhex(example))
    record = steplog.decode(kind, payload)
    assert (sequence, record["boot_tag"], record["placement"]) == (7, 1, "waist")
    assert record["model_tag"] == steplog.model_tag("physics-waist-1")
    assert [(step["uptime_ms"], step["direction"]) for step in record["steps"]] == [
        (5_000, "forward"),
        (5_520, "forward"),
        (6_030, "backward"),
        (9_030, "backward"),
    ]
