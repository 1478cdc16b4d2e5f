import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware import steplog, steplog_decoder
from retrostep.device_tree import device_root


def steps_payload(steps, boot_tag=7):
    chunk = steplog.StepChunk(boot_tag, steplog.model_tag("physics-waist-1"))
    for step in steps:
        chunk.add_step(*step)
    return chunk.payload()


def test_steps_come_back_with_their_times_directions_and_levels():
    steps = [(5_000, 0, 100, None), (5_520, 1, 86, 50), (6_010, 3, 0, 0), (6_500, 2, 43, 100)]
    record = steplog_decoder.decode(steplog.STEPS, steps_payload(steps))
    assert record["boot_tag"] == 7
    assert record["model_tag"] == steplog.model_tag("physics-waist-1")
    assert [step["uptime_ms"] for step in record["steps"]] == [5_000, 5_520, 6_010, 6_500]
    assert [step["direction"] for step in record["steps"]] == ["forward", "backward", "unknown", "sideways"]
    assert [step["confidence"] for step in record["steps"]] == pytest.approx([1, 6 / 7, 0, 3 / 7])
    assert [step["stability"] for step in record["steps"]] == pytest.approx([None, 50, 0, 100])


pauses_cs = st.one_of(st.integers(0, 130), st.integers(110, 2000), st.integers(0, 5_000_000))
states = st.tuples(st.integers(0, 3), st.integers(0, 100), st.one_of(st.none(), st.integers(0, 100)))


@given(st.integers(0, 2**31), st.lists(st.tuples(pauses_cs, states), min_size=1, max_size=60))
def test_any_steps_with_any_pauses_come_back(start_cs, walk):
    at_cs, steps = start_cs, []
    for pause_cs, (direction, confidence, stability) in walk:
        at_cs += pause_cs
        steps.append((at_cs * 10 + 3, direction, confidence, stability))
    decoded = steplog_decoder.decode(steplog.STEPS, steps_payload(steps))["steps"]
    assert [step["uptime_ms"] for step in decoded] == [step[0] // 10 * 10 for step in steps]
    assert [step["direction"] for step in decoded] == [steplog.DIRECTIONS[step[1]] for step in steps]
    for found, (_, _, confidence, stability) in zip(decoded, steps, strict=True):
        assert abs(found["confidence"] * 100 - confidence) <= 100 / 14 + 0.5
        assert (found["stability"] is None) == (stability is None)


def test_bouts_and_cues_keep_their_place_among_the_steps():
    chunk = steplog.StepChunk(7, 1)
    chunk.add_step(5_000, 1, 90, None)
    chunk.add_cue(5_900, 0)
    chunk.add_step(6_000, 1, 90, None)
    chunk.add_bout(1, None, 2, 1_000, 6_000)
    chunk.add_step(30_000, 0, 90, None)
    record = steplog_decoder.decode(steplog.STEPS, chunk.payload())
    assert [step["uptime_ms"] for step in record["steps"]] == [5_000, 6_000, 30_000]
    assert record["cues"] == [{"uptime_ms": 5_900, "pattern": "backward_started"}]
    assert record["bouts"] == [
        {"end_ms": 6_000, "direction": "backward", "stability": None, "steps": 2, "duration_ms": 1_000}
    ]


def test_a_bout_that_ends_after_a_flush_is_kept():
    chunk = steplog.StepChunk(7, 1)
    chunk.add_bout(0, 50, 40, 20_000, 61_000)
    (bout,) = steplog_decoder.decode(steplog.STEPS, chunk.payload())["bouts"]
    assert (bout["end_ms"], bout["steps"], bout["stability"]) == (61_000, 40, 50)


def test_rounded_step_times_do_not_drift():
    at, steps = 0.0, []
    for _ in range(120):
        at += 507.7
        steps.append((int(at), 0, 100, None))
    record = steplog_decoder.decode(steplog.STEPS, steps_payload(steps))
    assert max(abs(s["uptime_ms"] - w[0]) for s, w in zip(record["steps"], steps, strict=True)) < 10


def test_a_step_takes_two_bytes_at_most_and_one_if_nothing_changed():
    steady = steps_payload([(1_000 + 510 * n, 0, 100, None) for n in range(101)])
    restless = steps_payload([(1_000 + 510 * n, n % 2, 100, None) for n in range(101)])
    first = len(steps_payload([(1_000, 0, 100, None)]))
    assert len(steady) - first == 100
    assert len(restless) - first == 200


def test_a_chunk_says_it_is_full_before_a_record_is():
    chunk = steplog.StepChunk(1, 0)
    rng = random.Random(1)
    at = count = 0
    while not chunk.full:
        at += rng.choice((500, 5_000, 50_000))
        chunk.add_step(at, rng.randrange(4), 90, None)
        count += 1
    assert len(chunk.payload()) <= 512
    assert len(steplog_decoder.decode(steplog.STEPS, chunk.payload())["steps"]) == count


def test_uptime_beyond_32_bits_is_kept_modulo():
    wrapped = (2**32 + 7) * 10
    assert steplog_decoder.decode(steplog.FAULT, steplog.encode_fault(1, wrapped, 0, 1))["uptime_ms"] == 70
    assert (
        steplog_decoder.decode(steplog.STEPS, steps_payload([(wrapped, 0, 1, None)]))["steps"][0]["uptime_ms"]
        == 70
    )


def test_anchor_holds_48_bit_times():
    record = steplog_decoder.decode(
        steplog.ANCHOR, steplog.encode_anchor(3, 2**40 + 5, 1_790_000_000_123, 17, 0)
    )
    assert record == {
        "kind": "anchor",
        "boot_tag": 3,
        "uptime_ms": 2**40 + 5,
        "utc_ms": 1_790_000_000_123,
        "uncertainty_ms": 17,
        "source": "host",
    }


def test_boot_fault_event_battery_and_gap_come_back():
    boot = steplog_decoder.decode(
        steplog.BOOT, steplog.encode_boot(2, 1, 12, "0.1.0", "physics-shoe-1", "xiao")
    )
    assert (boot["cause"], boot["placement"], boot["model"]) == ("watchdog", "shoe", "physics-shoe-1")
    assert boot["version"] == steplog.FORMAT_VERSION
    fault = steplog_decoder.decode(steplog.FAULT, steplog.encode_fault(9, 12_340, steplog.FAULT_OVERRUN, 52))
    assert (fault["fault"], fault["count"], fault["uptime_ms"]) == ("samples lost", 52, 12_340)
    event = steplog_decoder.decode(steplog.EVENT, steplog.encode_event(9, 10, 2, 80))
    assert (event["event"], event["strength"]) == ("fall", 80)
    assert (
        steplog_decoder.decode(steplog.BATTERY, steplog.encode_battery(9, 10, 3_912))["battery_mv"] == 3_912
    )
    gap = steplog_decoder.decode(steplog.GAP, steplog.encode_gap(9, 10, 4, 90, 1234, (1, 50), (9, 70)))
    assert (gap["first_lost"], gap["last_lost"], gap["steps"]) == (4, 90, 1234)
    assert (gap["first_step"], gap["last_step"]) == ((1, 500), (9, 700))


def test_a_log_from_a_newer_firmware_is_refused_with_what_to_do():
    payload = bytearray(steplog.encode_boot(0, 0, 0, "9.0", "m", "b"))
    payload[0] = steplog.FORMAT_VERSION + 1
    with pytest.raises(steplog_decoder.RecordUnreadable, match="update retrostep"):
        steplog_decoder.decode(steplog.BOOT, bytes(payload))


def test_names_of_a_newer_firmware_are_shown_as_numbers():
    assert steplog_decoder.decode(steplog.EVENT, steplog.encode_event(9, 10, 200, 1))["event"] == "number 200"


@given(st.integers(0, 9), st.binary(max_size=80))
def test_arbitrary_bytes_give_a_record_or_the_documented_error(kind, payload):
    try:
        steplog_decoder.decode(kind, payload)
    except steplog_decoder.RecordUnreadable as unreadable:
        assert f"type {kind}" in str(unreadable)


@given(st.integers(0, 8), st.data())
def test_a_record_cut_anywhere_gives_a_record_or_the_documented_error(cut, data):
    whole = data.draw(
        st.sampled_from(
            (
                (steplog.STEPS, steps_payload([(9, 0, 9, None), (9_999, 1, 9, 5), (99_999, 2, 0, None)])),
                (steplog.BOOT, steplog.encode_boot(0, 0, 0, "0.1.0", "m", "b")),
                (steplog.GAP, steplog.encode_gap(9, 10, 4, 90, 1, (1, 5), (9, 7))),
            )
        )
    )
    try:
        steplog_decoder.decode(whole[0], whole[1][: max(len(whole[1]) - cut, 0)])
    except steplog_decoder.RecordUnreadable:
        assert cut > 0


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
    record = steplog_decoder.decode(kind, payload)
    assert (sequence, record["boot_tag"]) == (7, 1)
    assert record["model_tag"] == steplog.model_tag("physics-waist-1")
    assert [(step["uptime_ms"], step["direction"]) for step in record["steps"]] == [
        (5_000, "forward"),
        (5_520, "forward"),
        (6_030, "backward"),
        (9_030, "backward"),
    ]
