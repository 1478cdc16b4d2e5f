"""The 3-metre backward walk test: how well it times a walk, what ends it, and what host and log say of it."""

import asyncio
import json
import shutil
from array import array
from types import SimpleNamespace

import numpy as np
import pytest

from firmware import steplog, steplog_decoder, walktest
from firmware.clock import Clock
from firmware.gait.impacts import Impacts
from firmware.gait.mounting import Mounting
from firmware.gait.swings import Swings
from firmware.link import protocol
from retrostep.board import VirtualBoard, flash_image
from retrostep.cable import CableTransport
from retrostep.evaluation.timed_walks import TOLERANCE_S, timed_walk, timing_error, timing_errors
from retrostep.link import Link, Refused
from retrostep.logfiles import log_folder, read_log_files
from retrostep.radio_bench import installed_files
from retrostep.replay import Replayer
from retrostep.walker import Walk

SAMPLE_WALKS, ALL_WALKS = 24, 250
COUNTDOWN_S = 3.0


@pytest.fixture
def walks(request):
    """How many walks: all of them if this was asked for by its word."""
    return ALL_WALKS if "walktest" in (request.config.getoption("keyword") or "") else SAMPLE_WALKS


def within(errors):
    return [max(abs(error.start_s), abs(error.end_s)) <= TOLERANCE_S for error in errors]


def figures(values):
    sizes = np.abs(values)
    return f"median {np.median(sizes):.3f} s, 95 % {np.percentile(sizes, 95):.3f} s, most {sizes.max():.3f} s"


# --- how well it times ---


@pytest.mark.parametrize(
    ("placement", "share"),
    # One shoe must guess from its own swings whether the other foot began or closed the walk.
    [("waist", 0.99), ("shoe", 0.9)],
)
def test_start_and_end_are_within_0_3_s_of_the_truth_at_any_pace_and_number_of_steps(placement, share, walks):
    errors = list(timing_errors(placement, range(1, walks + 1)))
    assert {error.outcome for error in errors} == {"done"}
    print(f"{walks} walks, {placement}: start {figures([error.start_s for error in errors])};")
    print(f"end {figures([error.end_s for error in errors])}; all right {np.mean(within(errors)):.1%}")
    assert np.mean(within(errors)) >= share
    assert np.median(np.abs([error.start_s for error in errors])) < 0.05
    assert np.median(np.abs([error.end_s for error in errors])) < 0.06
    assert np.mean([error.steps == 0 for error in errors]) >= share


def test_direction_is_forward_for_a_walk_forward_and_never_backward(walks):
    errors = list(timing_errors("waist", range(1, walks // 2 + 1), "forward"))
    assert {error.direction for error in errors} <= {"forward", "unknown"}
    told = [error for error in errors if error.direction == "forward"]
    assert len(told) >= 0.4 * len(errors)
    assert {error.outcome for error in told} == {"not_backward"}


def test_a_test_whose_countdown_finds_no_memory_is_none(monkeypatch):
    def full(countdown):
        countdown.close()
        raise MemoryError

    device = SimpleNamespace(test=None, tested=None, buzz=None, clock=Clock(lambda: 0, lambda a, b: a - b))
    monkeypatch.setattr(walktest.asyncio, "create_task", full)
    with pytest.raises(MemoryError):
        walktest.carry_out(device, "waist", protocol.WALK_TEST_START)
    assert device.test is None


def test_the_device_knows_three_seconds_after_the_last_contact():
    with Replayer() as replayer:
        walk = timed_walk(3, "waist")
        found = replayer.walk_test(walk.recording, walk.go_s)
        assert 2.4 < found["known_s"] - walk.last_contact_s < 3.0


def test_a_test_without_a_walk_ends_after_15_seconds_and_one_that_does_not_end_after_60():
    with Replayer() as replayer:
        still = Walk(seed=2).stand(20).recording("waist")
        found = replayer.walk_test(still, 2.0)
        assert (found["outcome"], found["walk_ms"], found["reaction_ms"]) == ("no_walk", None, None)
        assert found["known_s"] == pytest.approx(17, abs=0.5)
        endless = Walk(seed=2).stand(3).walk("backward", seconds=70).stand(2).recording("waist")
        found = replayer.walk_test(endless, 2.0)
        assert found["outcome"] == "too_long"
        assert 50 < found["known_s"] < 62.5


def test_walking_before_the_start_signal_is_a_false_start():
    walk = Walk(seed=4).stand(3).walk("backward", seconds=9).stand(4)
    with Replayer() as replayer:
        assert replayer.walk_test(walk.recording("waist"), 7.0)["outcome"] == "false_start"


def test_without_a_calibration_the_walk_is_timed_and_its_direction_unknown():
    walk = timed_walk(8, "waist")
    unknown = type(walk.recording)(
        **{**vars(walk.recording), "meta": {**walk.recording.meta, "frame": "sensor"}}
    )
    with Replayer() as replayer:
        error = timing_error(replayer, type(walk)(**{**vars(walk), "recording": unknown}))
    assert (error.outcome, error.direction) == ("done", "unknown")
    assert error.within_tolerance


# --- the finders ---


def found_bounds(finder, samples, begin=0):
    words = array("h", np.ascontiguousarray(samples, "<i2").tobytes())
    for start in range(begin, len(samples), 26):
        count = min(26, len(samples) - start)
        finder.process(words[start * 6 : (start + count) * 6], count, start + count)
    return finder.bounds()


@pytest.mark.parametrize(("placement", "finder"), [("waist", Impacts), ("shoe", Swings)])
def test_the_finders_give_the_same_on_cpython_and_on_micropython(placement, finder):
    walk = timed_walk(5, placement)
    with Replayer() as replayer:
        found = replayer.walk_test(walk.recording, walk.go_s)
    go = round(walk.go_s * 104)
    # The device begins with the first whole block after the buzz.
    begin = (go // 26 + 2) * 26
    first, last, contacts, _ = found_bounds(finder(), walk.recording.samples, begin)
    device_first_ms = found["uptime_ms"] + found["reaction_ms"]
    assert first * 1000 / 104 == pytest.approx(device_first_ms, abs=60)
    assert last * 1000 / 104 == pytest.approx(device_first_ms + found["walk_ms"], abs=60)
    assert contacts == found["steps"]


def test_bumps_while_standing_are_no_walk():
    walk = Walk(seed=3).stand(3).jump().stand(2).bend().stand(3)
    assert found_bounds(Impacts(), Walk(seed=3).stand(12).recording("waist").samples) is None
    assert found_bounds(Swings(), Walk(seed=3).stand(12).recording("shoe").samples) is None
    assert found_bounds(Impacts(), walk.recording("waist").samples) is None


# --- on the device ---


@pytest.fixture(scope="module")
def factory_image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("factory")
    settings = folder / "settings.json"
    settings.write_text(json.dumps({"placement": "waist", "mounting": Mounting.clip().pack().hex()}))
    image = folder / "flash.img"
    # Compiled, as on a device: to compile a test there takes more than is free.
    flash_image.create(image, [*installed_files(folder / "compiled"), (settings, "/settings.json")])
    return image


@pytest.fixture
def image(factory_image, tmp_path):
    return shutil.copy(factory_image, tmp_path / "flash.img")


def logged_tests(image):
    with log_folder(image) as folder:
        records = [steplog_decoder.decode(kind, data) for _, kind, data in read_log_files(folder).records()]
    return [record for record in records if record["kind"] == "walk_test"]


def motor_starts(board):
    return [
        event.us / 1e6
        for event in board.events
        if event.kind == "pwm" and event.data["name"] == "motor" and event.data["duty_u16"]
    ]


def double_press(at_s):
    return [(round(at_s * 1000), "press", 80), (round(at_s * 1000) + 250, "press", 80)]


def three_metres(direction="backward", seed=12):
    """Stands 8 s, walks 3 m, stands: a walk, and when the foot lifts and the last contact is."""
    walk = Walk(seed).stand(8).walk(direction, steps=8, step_m=0.43).stand(6)
    falls = walk.plan().footfalls
    return walk.recording("waist"), falls[0].lift_s, falls[-1].contact_s


def test_a_double_press_counts_down_by_buzzes_times_the_walk_and_logs_it(image):
    walk, lift_s, last_s = three_metres()
    with VirtualBoard(image, walk=walk.samples, speed=0, script=double_press(2)) as board:
        board.advance(walk.duration_s + 2)
        buzzes = motor_starts(board)
        board.cut_power()
    countdown = [at for at in buzzes if at < lift_s]
    assert np.diff(countdown[:4]) == pytest.approx([1, 1, 1], abs=0.02)
    assert countdown[0] < 3
    # Nothing is felt while walking; at the end the test says so.
    assert not [at for at in buzzes if lift_s < at < last_s]
    assert last_s + 2 < min(at for at in buzzes if at > last_s) < last_s + 4
    (found,) = logged_tests(image)
    assert (found["outcome"], found["direction"], found["steps"]) == ("done", "backward", 8)
    started_ms = found["uptime_ms"] + found["reaction_ms"]
    # The sensor's first sample comes some ms after the boot.
    assert started_ms / 1000 == pytest.approx(lift_s, abs=TOLERANCE_S)
    assert found["walk_ms"] / 1000 == pytest.approx(last_s - lift_s, abs=TOLERANCE_S)
    assert found["uptime_ms"] / 1000 == pytest.approx(countdown[3], abs=0.05)


def ask(board, action):
    async def _ask():
        async with CableTransport(board.port) as transport:
            return await Link(transport).walk_test(action)

    board.set_speed(1.0)
    state = asyncio.run(_ask())
    board.set_speed(0)
    return state


def test_a_host_starts_the_test_asks_and_gets_the_result(image):
    walk, lift_s, last_s = three_metres()
    with VirtualBoard(image, walk=walk.samples, speed=0) as board:
        board.advance(2)
        assert ask(board, protocol.WALK_TEST_ASK).state == "none"
        assert ask(board, protocol.WALK_TEST_START).state == "countdown"
        # A request may be repeated: it starts no second test.
        assert ask(board, protocol.WALK_TEST_START).state == "countdown"
        board.advance(4)
        assert ask(board, protocol.WALK_TEST_ASK).state == "walking"
        board.advance(walk.duration_s - 6)
        state = ask(board, protocol.WALK_TEST_ASK)
        board.cut_power()
    assert state.state == "over"
    assert state.result is not None
    assert state.result["walk_ms"] / 1000 == pytest.approx(last_s - lift_s, abs=TOLERANCE_S)
    assert len(logged_tests(image)) == 1


def test_a_second_double_press_cancels_and_a_cancelled_countdown_leaves_no_record(image):
    script = double_press(1) + double_press(2.5) + double_press(6) + double_press(11)
    with VirtualBoard(image, speed=0, script=script) as board:
        board.advance(16)
        assert ask(board, protocol.WALK_TEST_CANCEL).state == "over"
        board.cut_power()
    (found,) = logged_tests(image)
    assert (found["outcome"], found["walk_ms"], found["steps"]) == ("cancelled", None, 0)


def test_a_host_that_cancels_a_countdown_is_not_given_the_test_before(image):
    script = double_press(1) + double_press(6) + double_press(10) + double_press(11.5)
    with VirtualBoard(image, speed=0, script=script) as board:
        board.advance(7)
        assert ask(board, protocol.WALK_TEST_ASK).state == "over"
        board.advance(6)
        assert ask(board, protocol.WALK_TEST_ASK).state == "none"


def test_in_safe_mode_neither_a_test_nor_a_calibration_begins_since_nothing_would_end_it(image):
    with VirtualBoard(image, speed=0, script=[(500, "press", 60_000)]) as board:
        board.advance(1)
        board.set_speed(1.0)
        serial = board.serial()
        serial.write(b"\x03")
        serial.read_until(b">>> ", timeout_s=5)
        serial.write(b"import machine; machine.reset()\r")
        serial.read_until(b"safe mode", timeout_s=5)
        board.set_speed(0)
        board.advance(5)
        with pytest.raises(Refused, match="nothing is measured"):
            ask(board, protocol.WALK_TEST_START)
        assert ask(board, protocol.WALK_TEST_ASK).state == "none"
        board.set_speed(1.0)
        with pytest.raises(Refused, match="nothing is measured"):
            asyncio.run(calibration_begun(board))


async def calibration_begun(board):
    async with CableTransport(board.port) as transport:
        return await Link(transport).calibrate(protocol.CALIBRATE_START)


def test_a_walk_forward_by_mistake_is_timed_and_called_not_backward(image):
    walk, _, _ = three_metres("forward")
    with VirtualBoard(image, walk=walk.samples, speed=0, script=double_press(2)) as board:
        board.advance(walk.duration_s + 2)
        board.cut_power()
    (found,) = logged_tests(image)
    assert (found["outcome"], found["direction"]) == ("not_backward", "forward")
    assert found["walk_ms"] > 2000


def test_a_calibration_ends_a_test_and_a_test_ends_a_calibration(image):
    presses = [(at_ms, "press", 80) for at_ms in (7_000, 7_250, 7_500)]
    with VirtualBoard(image, speed=0, script=double_press(1) + presses + double_press(9)) as board:
        board.advance(8.5)
        assert ask(board, protocol.WALK_TEST_ASK).state == "over"
        board.advance(30)
        board.cut_power()
    assert [found["outcome"] for found in logged_tests(image)] == ["cancelled", "no_walk"]


def test_after_a_test_its_heap_is_free_again(image):
    with VirtualBoard(image, speed=0, script=double_press(3)) as board:
        board.advance(30)
        board.set_speed(1.0)
        serial = board.serial()
        serial.write(b"\x03")
        serial.read_until(b">>> ", timeout_s=5)
        serial.write(b"import sys; print(sorted(n for n in sys.modules if 'test' in n or 'impacts' in n))\r")
        assert b"[]" in serial.read_until(b">>> ", timeout_s=5)


# --- the record ---


def test_a_record_holds_what_the_test_found_and_what_it_can_not_say_is_none():
    test = walktest.WalkTest("waist")
    test.go(123_456)
    test.outcome = walktest.OUTCOMES.index("cancelled")
    record = steplog_decoder.decode(steplog.WALK_TEST, test.encode(7))
    assert record == {
        "kind": "walk_test",
        "boot_tag": 7,
        "uptime_ms": 123_450,
        "outcome": "cancelled",
        "direction": "unknown",
        "reaction_ms": None,
        "walk_ms": None,
        "steps": 0,
        "stability": None,
    }
    with pytest.raises(steplog_decoder.RecordUnreadable):
        steplog_decoder.decode(steplog.WALK_TEST, test.encode(7)[:-1])
