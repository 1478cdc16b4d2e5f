"""The device saves its battery and loses nothing by it: light sleep, deep sleep, waking, an empty battery."""

import json
import shutil
from array import array

import numpy as np
import pytest
from typer.testing import CliRunner

from firmware import steplog_decoder
from firmware.gait.mounting import Mounting
from firmware.wear import WearWatch
from retrostep import cli
from retrostep.board import VirtualBoard, flash_image
from retrostep.board.wiring import WIRINGS
from retrostep.device_tree import device_root
from retrostep.flash import installed_files
from retrostep.logfiles import log_folder, read_log_files
from retrostep.walker import Walk

STILL_MIN = 1
FLUSHED_S = 35


@pytest.fixture(scope="module")
def factory(tmp_path_factory):
    """make(settings) -> flash image of a calibrated device."""

    def make(folder, *more, **settings):
        stored = folder / "settings.json"
        values = {
            "placement": "waist",
            "mounting": Mounting.clip().pack().hex(),
            "still_after_min": STILL_MIN,
        }
        stored.write_text(json.dumps({**values, **settings}))
        image = folder / "flash.img"
        flash_image.create(image, [*installed_files(), (stored, "/settings.json"), *more])
        return image

    return make


@pytest.fixture(scope="module")
def walk():
    return (
        Walk(5).stand(14).walk("forward", steps=30).turn(180).walk("backward", steps=30).stand(6).recording()
    )


def records(image):
    with log_folder(image) as folder:
        found = read_log_files(folder)
    assert found.sound
    return [steplog_decoder.decode(kind, payload) for _, kind, payload in found.records()]


def steps(image):
    return [
        (step["uptime_ms"], step["direction"])
        for record in records(image)
        if record["kind"] == "steps"
        for step in record["steps"]
    ]


def spent(image):
    """What the last BATTERY record says."""
    return [record for record in records(image) if record["kind"] == "battery"][-1]


def faults(image):
    """What the device logged as faults."""
    return [record for record in records(image) if record["kind"] == "fault"]


def kinds(board, kind):
    return [event for event in board.events if event.kind == kind]


def causes(board):
    return [event.data["cause"] for event in kinds(board, "boot")]


@pytest.fixture(scope="module")
def awake(factory, walk, tmp_path_factory):
    """What is logged of the walk by a device that hangs at a computer."""
    image = factory(tmp_path_factory.mktemp("awake"), still_after_min=0)
    with VirtualBoard(image, walk=walk.samples, speed=0) as board:
        board.advance(walk.duration_s + FLUSHED_S)
    return steps(image)


def test_a_walk_is_the_same_whether_the_cpu_sleeps_between_blocks_or_not(factory, walk, awake, tmp_path):
    image = factory(tmp_path)
    with VirtualBoard(image, walk=walk.samples, usb=False, speed=0) as board:
        board.advance(walk.duration_s + FLUSHED_S + 60 * STILL_MIN + 20)
        assert kinds(board, "misuse") == []
        assert causes(board) == ["power_on"]
        assert len(kinds(board, "deepsleep")) == 1
    asleep = steps(image)
    assert [direction for _, direction in asleep] == [direction for _, direction in awake]
    assert len(asleep) >= 60
    assert max(abs(one[0] - other[0]) for one, other in zip(asleep, awake, strict=True)) <= 10
    assert not [record for record in records(image) if record["kind"] == "fault"]
    last = spent(image)
    # But for ten seconds at the start and the buzzes of two bouts.
    assert 0.75 < last["light_sleep_s"] / (last["uptime_ms"] / 1000) < 0.98
    assert 300 <= last["motor_ms"] <= 1200


@pytest.mark.parametrize(
    ("usb", "setting", "sleeps"),
    [(True, "auto", False), (True, "always", False), (False, "never", False), (False, "auto", True)],
)
def test_the_cpu_sleeps_only_where_no_computer_is_at_the_cable_and_the_setting_lets_it(
    factory, tmp_path, usb, setting, sleeps
):
    image = factory(tmp_path, sleep=setting)
    with VirtualBoard(image, usb=usb, speed=0) as board:
        board.advance(60 * STILL_MIN + 60)
        assert bool(kinds(board, "deepsleep")) == sleeps


def test_a_cable_that_is_plugged_in_keeps_the_cpu_awake_from_the_next_second_on(factory, tmp_path):
    image = factory(tmp_path)
    with VirtualBoard(image, usb=False, speed=0) as board:
        board.advance(30)
        board.set_usb(True)
        board.advance(60 * STILL_MIN + 60)
        assert kinds(board, "deepsleep") == []
        board.set_usb(False)
        board.advance(60)
        assert len(kinds(board, "deepsleep")) == 1


def test_idle_blocks_are_as_long_as_the_fifo_allows_and_the_first_step_after_them_is_counted(
    factory, tmp_path
):
    sitting = Walk(3).stand(150).walk("backward", steps=20).stand(4).recording()
    # Breathing: nobody lies as still as a table.
    breath = (30 * np.sin(np.arange(len(sitting.samples)) / 104 * 2)).astype(np.int16)
    samples = sitting.samples.copy()
    samples[:, 0] += breath
    image = factory(tmp_path)
    with VirtualBoard(image, walk=samples, usb=False, speed=0) as board:
        board.advance(sitting.duration_s + FLUSHED_S)
        assert kinds(board, "deepsleep") == []
    found = [direction for _, direction in steps(image)]
    assert found[:20] == ["backward"] * 20
    # Standing still again may count as one more.
    assert found[20:] in ([], ["unknown"])
    assert not [record for record in records(image) if record["kind"] == "fault"]


def worn_for(samples, block):
    """After how many samples the watch says that the device was taken off; None: never."""
    watch = WearWatch()
    for at in range(0, len(samples) - block + 1, block):
        if watch.process(array("h", samples[at : at + block].tobytes()), block):
            return at + block
    return None


@pytest.mark.parametrize("block", [26, 64])
def test_lying_still_is_told_from_breathing_whatever_the_blocks(block):
    noise = np.random.default_rng(2)
    lying = np.tile(np.array([-300, 20, 2010, -5, 3, 0], np.int16), (3_000, 1))
    lying = lying + noise.integers(-6, 7, lying.shape).astype(np.int16)
    assert 1_040 <= worn_for(lying, block) < 1_040 + block
    breathing = lying.copy()
    breathing[:, 0] += (30 * np.sin(np.arange(3_000) / 104 * 1.5)).astype(np.int16)
    assert worn_for(breathing, block) is None


# A start that takes as long as one on a real chip may.
SLOW_BOOT = "\nimport time as _time\n_time.sleep_ms(1500)\n"


@pytest.fixture
def slow_boot(tmp_path):
    boot = tmp_path / "boot.py"
    boot.write_text((device_root() / "boot.py").read_text() + SLOW_BOOT)
    return boot, "/boot.py"


def lie_down(board):
    """Until it sleeps deeply."""
    board.advance(60 * STILL_MIN + 20)
    assert kinds(board, "deepsleep")


def test_what_is_in_the_fifo_when_motion_wakes_the_device_is_counted(factory, slow_boot, tmp_path):
    image = factory(tmp_path, slow_boot)
    picked_up = Walk(8).stand(1).walk("backward", steps=40).stand(8).recording()
    with VirtualBoard(image, usb=False, speed=0) as board:
        lie_down(board)
        board.advance(3 * 3600)
        assert causes(board) == ["power_on"]
        board.walk(picked_up.samples)
        board.advance(picked_up.duration_s + FLUSHED_S)
        assert causes(board) == ["power_on", "deepsleep"]
    # Lying there made it doubt the clip: the steps are counted, their direction is unknown.
    found = steps(image)
    assert [direction for _, direction in found] == ["unknown"] * len(found)
    assert len(found) == 40
    truth_ms = picked_up.step_times_s() * 1000
    off_ms = np.array([at_ms for at_ms, _ in found]) - truth_ms
    assert np.ptp(off_ms) < 150
    assert not [record for record in records(image) if record["kind"] == "fault"]


def test_a_clip_that_was_taken_off_is_doubted_through_deep_sleep_until_a_press(factory, tmp_path):
    image = factory(tmp_path)
    walk = Walk(8).stand(1).walk("forward", steps=20).stand(4).recording()
    with VirtualBoard(image, usb=False, speed=0) as board:
        lie_down(board)
        board.walk(walk.samples)
        board.advance(walk.duration_s + 4)
        board.advance(FLUSHED_S)
        assert "/clip.doubted" in flash_image.listing(image)
        board.press()
        board.advance(2)
        board.cut_power()
        assert "/clip.doubted" not in flash_image.listing(image)
        board.power_on()
        board.walk(walk.samples)
        board.advance(walk.duration_s + FLUSHED_S)
        assert causes(board) == ["power_on", "deepsleep", "power_on"]
    directions = [direction for _, direction in steps(image)]
    first = directions.index("forward")
    assert directions == ["unknown"] * first + ["forward"] * (len(directions) - first)
    assert first >= 19 <= len(directions) - first


def test_the_button_wakes_the_device_from_both_sleeps(factory, tmp_path):
    image = factory(tmp_path, radio_after_walk_min=0)
    with VirtualBoard(image, usb=False, speed=0) as board:
        board.advance(30)
        before = len(kinds(board, "pwm"))
        board.press()
        board.advance(3)
        # Today's count is buzzed out.
        assert len(kinds(board, "pwm")) > before
        board.advance(60)
        lie_down(board)
        board.press()
        board.advance(3)
        assert causes(board) == ["power_on", "deepsleep"]


def test_a_window_of_the_radio_is_waited_for_in_deep_sleep_and_the_device_rests_again(factory, tmp_path):
    bonds = tmp_path / "bonds.json"
    bonds.write_text("[]")
    image = factory(tmp_path, (bonds, "/bonds.json"), radio_every_min=30)
    with VirtualBoard(image, usb=False, speed=0) as board:
        lie_down(board)
        first_us = kinds(board, "deepsleep")[0].us
        board.advance(31 * 60)
        boots = [event.us for event in kinds(board, "boot")][1:]
        assert [round((us - first_us) / 60e6, 1) for us in boots] == [30.0]
        assert len(kinds(board, "deepsleep")) == 2
        # Ten seconds awake, then as long as it takes to see that it still lies there.
        assert kinds(board, "deepsleep")[1].us - boots[0] < 40e6


def test_an_empty_battery_switches_the_device_off_with_its_log_flushed(factory, walk, tmp_path):
    image = factory(tmp_path, still_after_min=0)
    script = [(int(walk.duration_s * 1000) - 2_000, "set_battery", 3100)]
    with VirtualBoard(image, walk=walk.samples, usb=False, speed=0, script=script) as board:
        board.advance(walk.duration_s - 1)
        assert kinds(board, "deepsleep") == []
        board.advance(250)
        (asleep,) = kinds(board, "deepsleep")
        assert b"the battery is empty" in board.console
        board.advance(24 * 3600)
        assert causes(board) == ["power_on"]
        board.set_battery(3900)
        board.press()
        board.advance(15)
        assert causes(board) == ["power_on", "deepsleep"]
    assert len(steps(image)) >= 60
    assert spent(image)["battery_mv"] == 3100
    assert asleep.us < (walk.duration_s + 250) * 1e6


def test_a_battery_that_sags_for_a_moment_switches_nothing_off(factory, tmp_path):
    script = [(50_000 + 60_000 * n, "set_battery", mv) for n, mv in enumerate((3100, 3900) * 4)]
    image = factory(tmp_path, still_after_min=0)
    with VirtualBoard(image, usb=False, speed=0, script=script) as board:
        board.advance(600)
        assert kinds(board, "deepsleep") == []


def test_steps_and_cues_of_a_sleeping_device_are_in_time(factory, walk, tmp_path):
    image = factory(tmp_path)
    with VirtualBoard(image, walk=walk.samples, usb=False, speed=0) as board:
        board.advance(walk.duration_s + 4)
        first = next(e.us / 1e6 for e in kinds(board, "pwm") if e.data["duty_u16"])
    third_step_back_s = walk.step_times_s("backward")[2]
    assert third_step_back_s < first < third_step_back_s + 2.0


def test_the_cpu_is_slow_while_it_sleeps_between_blocks_and_fast_at_the_cable(factory, tmp_path):
    tell = tmp_path / "boot.py"
    tell.write_text(
        (device_root() / "boot.py").read_text()
        + "\nmachine.Timer(1).init(period=5000, callback=lambda t: print('MHz', machine.freq() // 1000000))\n"
    )
    image = factory(tmp_path, (tell, "/boot.py"))
    with VirtualBoard(shutil.copy(image, tmp_path / "a.img"), usb=False, speed=0) as board:
        board.advance(21)
        assert b"MHz 160" in board.console
        assert board.console.rstrip().endswith(b"MHz 80")
    with VirtualBoard(image, speed=0) as board:
        board.advance(21)
        assert b"MHz 80" not in board.console


@pytest.mark.parametrize("profile", ["xiao_esp32s3", "xiao_esp32s3_ds3trc"])
def test_a_press_in_light_sleep_costs_no_sample(factory, tmp_path, profile):
    (tmp_path / "board.txt").write_text(profile)
    image = factory(tmp_path, (tmp_path / "board.txt", "/board.txt"), still_after_min=0)
    sitting = Walk(5).stand(5).walk("forward", steps=20).stand(300).recording()
    # At changing phases of the sleep between two blocks.
    presses = [(90_000 + 65_137 * number, "press", 100) for number in range(4)]
    with VirtualBoard(
        image, walk=sitting.samples, usb=False, speed=0, script=presses, wiring=WIRINGS[profile]
    ) as board:
        board.advance(350)
        assert len(kinds(board, "button")) == 4
    assert faults(image) == []


@pytest.mark.parametrize(
    ("profile", "settings"), [("esp32_gy521", {}), ("xiao_esp32s3", {"sleep": "never"})], ids=["ESP32", "S3"]
)
def test_an_empty_battery_switches_off_whatever_the_setting_sleep_says(factory, tmp_path, profile, settings):
    (tmp_path / "board.txt").write_text(profile)
    image = factory(tmp_path, (tmp_path / "board.txt", "/board.txt"), **settings)
    with VirtualBoard(image, usb=False, speed=0, battery_mv=3100, wiring=WIRINGS[profile]) as board:
        board.advance(400)
        assert b"the battery is empty" in board.console
        assert [event.us // 1_000_000 for event in kinds(board, "deepsleep")] == [pytest.approx(180, abs=5)]


def test_a_battery_that_is_empty_at_a_computer_charges_on(factory, tmp_path):
    image = factory(tmp_path)
    with VirtualBoard(image, usb=True, speed=0, battery_mv=3100) as board:
        board.advance(400)
        assert kinds(board, "deepsleep") == []


def test_where_a_power_chip_sees_no_usb_the_cpu_sleeps_and_wakes_at_the_cable(factory, tmp_path):
    (tmp_path / "board.txt").write_text("m5stack_core2")
    image = factory(tmp_path, (tmp_path / "board.txt", "/board.txt"))
    with VirtualBoard(image, usb=False, speed=0, wiring=WIRINGS["m5stack_core2"]) as board:
        board.advance(100)
        board.set_usb(True)
        board.advance(100)
        board.set_speed(1.0)
        told = json.loads(CliRunner().invoke(cli.app, ["status", "--port", board.port, "--json"]).stdout)
    # Ten seconds after the start it is awake, and a hundred at the cable.
    assert 75 < told["device"]["light_sleep_s"] < 95
