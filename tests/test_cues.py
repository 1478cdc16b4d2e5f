"""What the wearer feels: which pattern when, how it plays, and what the motor's shaking does to the sensor."""

import json
import re
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from errno import ENODEV
from itertools import pairwise

import pytest
from repl_board import repl_board

from firmware import steplog_decoder
from firmware.cues import CuePlayer, CuePolicy, in_quiet_hours
from firmware.daycount import DayCount
from firmware.gait import BACKWARD, FORWARD
from firmware.gait.mounting import Mounting
from firmware.gestures import count_shape
from firmware.steplog import FAULT_MOTOR_SILENT, PATTERNS
from retrostep.board import VirtualBoard, console, flash_image
from retrostep.board.hand import felt, strength_mg
from retrostep.board.wiring import LRA, M5STACK_CORE2, QTPY_ESP32S3, WIRINGS, XIAO_ESP32S3, Chip, Motor
from retrostep.device_tree import device_root
from retrostep.flash import installed_files
from retrostep.logfiles import log_folder, read_log_files
from retrostep.walker import Walk

# Of the M5Stack Core2 v1.1, at the place of the other one.
AXP2101 = Chip("axp2101", sda=21, scl=22, address=0x34)
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


# -- the policy ------------------------------------------------------------------------------------------


def test_cues_tell_where_a_backward_bout_begins_and_ends_and_nothing_of_a_forward_one():
    policy = CuePolicy(True)
    assert policy.on_event(0, "bout_opened", BACKWARD) == "backward_started"
    assert policy.on_event(9_000, "bout_closed", (BACKWARD, 12, 0, 900)) == "backward_ended"
    assert policy.on_event(9_100, "bout_opened", FORWARD) is None
    assert policy.on_event(20_000, "bout_closed", (FORWARD, 12, 900, 1900)) is None


def test_unstable_cues_come_at_once_and_again_only_after_five_seconds_or_if_it_gets_worse():
    policy = CuePolicy(True)
    assert policy.on_event(1_000, "stumble", 50) == "unstable"
    assert policy.on_event(1_300, "unstable", 60) is None
    assert policy.on_event(1_600, "unstable", 70) == "unstable"
    assert policy.on_event(6_500, "unstable", 50) is None
    assert policy.on_event(6_600, "unstable", 50) == "unstable"


def test_unstable_cues_never_come_more_than_twelve_times_an_hour_unless_it_gets_worse():
    policy = CuePolicy(True)
    told = [at_ms for at_ms in range(0, HOUR_MS, 10_000) if policy.on_event(at_ms, "unstable", 40)]
    assert len(told) == 12
    assert policy.on_event(HOUR_MS - 1, "stumble", 61) == "unstable"
    assert policy.on_event(HOUR_MS + 10_000, "unstable", 40) == "unstable"


@pytest.mark.parametrize(
    ("kind", "name", "pause_ms"),
    [
        ("fall", "fall", 10_000),
        ("changed_gait", "changed_gait", 600_000),
        ("wrong_clip", "calibration_wanted", 1_800_000),
        ("low_battery", "low_battery", HOUR_MS),
        ("error", "error", 600_000),
    ],
)
def test_cues_that_would_nag_come_again_only_after_a_pause(kind, name, pause_ms):
    policy = CuePolicy(True)
    assert policy.on_event(5, kind) == name
    assert policy.on_event(4 + pause_ms, kind) is None
    assert policy.on_event(5 + pause_ms, kind) == name


def test_cues_ask_for_a_calibration_once_in_half_an_hour_and_at_once_when_the_clip_is_doubted_anew():
    policy = CuePolicy(False)
    assert policy.on_event(0, "bout_opened", FORWARD) == "calibration_wanted"
    assert policy.on_event(60_000, "bout_opened", FORWARD) is None
    policy.trust(True)
    assert policy.on_event(120_000, "bout_opened", FORWARD) is None
    policy.trust(False)
    assert policy.on_event(180_000, "bout_opened", FORWARD) == "calibration_wanted"


@pytest.mark.parametrize(
    ("now", "quiet"),
    [("21:59", False), ("22:00", True), ("23:59", True), ("00:00", True), ("06:59", True), ("07:00", False)],
)
def test_cues_know_quiet_hours_that_span_midnight(now, quiet):
    assert in_quiet_hours(now, "22:00", "07:00") is quiet
    assert in_quiet_hours(now, "07:00", "22:00") is not quiet
    assert not in_quiet_hours(now, now, now)


# -- numbers in buzzes, and today ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "shape"),
    [
        (0, "-.-"),
        (3, "..."),
        (10, "-"),
        (47, "---- ......."),
        (100, "="),
        (105, "="),
        (347, "=== ----"),
        (2_240, "## =="),
        (2_005, "##"),
        (123_456, "######### ========="),
    ],
)
def test_cues_buzz_the_two_highest_places_of_a_count(count, shape):
    assert count_shape(count) == shape


def test_cues_count_today_from_local_midnight_through_resets_and_midnights(tmp_path):
    path = str(tmp_path / "day")
    noon_ms = 20_000 * DAY_MS + DAY_MS // 2
    first = DayCount(500, path)
    first.observe(noon_ms, 60_000, 510)
    assert first.today(True, 530) == 30
    after_reset = DayCount(530, path)
    after_reset.observe(noon_ms + HOUR_MS, 10_000, 530)
    assert after_reset.today(True, 540) == 40
    after_reset.observe(noon_ms + 12 * HOUR_MS, 11 * HOUR_MS, 700)
    assert after_reset.today(True, 705) == 5


def test_cues_count_all_of_a_day_whose_clock_was_set_late(tmp_path):
    count = DayCount(500, str(tmp_path / "day"))
    count.observe(20_000 * DAY_MS + 9 * HOUR_MS, 2 * HOUR_MS, 620)
    assert count.today(True, 620) == 120


def test_cues_leave_steps_out_of_today_that_may_be_yesterdays(tmp_path):
    count = DayCount(500, str(tmp_path / "day"))
    count.observe(20_000 * DAY_MS + HOUR_MS, 3 * HOUR_MS, 620)
    assert count.today(True, 625) == 5


def test_cues_count_since_the_last_sync_while_the_clock_is_unset(tmp_path):
    path = str(tmp_path / "day")
    DayCount(0, path).synced(900)
    assert DayCount(950, path).today(False, 960) == 60


@pytest.mark.parametrize("content", ["", "1 2", "x y z", "1 2 3 4"])
def test_cues_survive_a_damaged_file_of_the_day(tmp_path, content):
    path = tmp_path / "day"
    path.write_text(content)
    assert DayCount(10, str(path)).today(True, 15) == 5


def test_cues_count_an_erased_log_from_nothing(tmp_path):
    count = DayCount(500, str(tmp_path / "day"))
    assert count.today(True, 7) == 7


# -- the player ------------------------------------------------------------------------------------------


class Bench:
    """A player with motor and light in hand, in a time of its own. `history`: (ms, "motor" or "led", value)."""

    def __init__(self, strength=80):
        self.now_ms = 1000
        self.history = []
        self.faults = []
        self.dead = False
        self.player = CuePlayer(
            self, self.set_led, lambda: self.now_ms, lambda kind, count: self.faults.append(kind)
        )
        self.player.strength = strength

    def run(self, percent):
        self._tell("motor", percent)

    def stop(self):
        self._tell("motor", 0)

    def standby(self):
        if self.dead:
            raise OSError(ENODEV)

    def _tell(self, what, value):
        if self.dead:
            raise OSError(ENODEV)
        self.history.append((self.now_ms, what, value))

    def set_led(self, on):
        self.history.append((self.now_ms, "led", on))

    def advance(self, ms):
        """Let time pass as the player's task would."""
        end_ms = self.now_ms + ms
        while True:
            wait_ms = self.player.update()
            if wait_ms < 0 or self.now_ms + wait_ms > end_ms:
                break
            self.now_ms += wait_ms
        self.now_ms = end_ms

    def buzzes(self, what="motor"):
        """(begin, length in ms) of each buzz or light."""
        found, began = [], None
        for ms, which, value in self.history:
            if which != what:
                continue
            if value and began is None:
                began = ms
            elif not value and began is not None:
                found.append((began, ms - began))
                began = None
        return found


def test_every_cue_has_a_priority_and_a_shape_and_only_beats_and_begins_share_one():
    bench = Bench()
    shapes = Counter()
    for name in PATTERNS:
        if name in ("count", "progress"):
            # A number follows.
            continue
        bench.history.clear()
        bench.player.play(name)
        bench.advance(10_000)
        begin = bench.buzzes()[0][0]
        shapes[tuple((at - begin, length) for at, length in bench.buzzes())] += 1
        assert bench.buzzes() == bench.buzzes("led")
    assert sorted(shapes.values())[-2:] == [2, 2]
    assert len(shapes) == len(PATTERNS) - 4


def test_every_cue_that_the_firmware_plays_is_one_of_the_log_formats():
    played = set()
    for path in (device_root() / "firmware").rglob("*.py"):
        played |= set(re.findall(r"(?:play|buzz)\(\"(\w+)\"", path.read_text()))
    assert len(played) > 8
    assert played <= set(PATTERNS)


def test_cues_begin_within_the_call_that_asks_for_them():
    bench = Bench()
    assert bench.player.play("unstable")
    assert bench.history == [(1000, "led", True), (1000, "motor", 80)]


def test_a_more_urgent_cue_ends_the_one_that_plays_and_that_one_does_not_come_back():
    bench = Bench()
    bench.player.play("goal")
    bench.advance(150)
    bench.player.play("unstable")
    bench.advance(10_000)
    assert bench.buzzes() == [(1000, 100), (1150, 400), (1650, 400)]


def test_less_urgent_cues_wait_in_order_of_urgency_and_late_ones_are_dropped():
    bench = Bench()
    bench.player.play("unstable")
    for name in ("backward_started", "goal", "slow_down"):
        assert bench.player.play(name)
    bench.advance(10_000)
    lengths = [length for _, length in bench.buzzes()]
    assert lengths == [400, 400, 200, 200, 200, 100, 200, 100, 200, 400, 200]
    bench.history.clear()
    bench.player.play("count", "#" * 9)
    bench.player.play("backward_ended")
    bench.advance(30_000)
    assert [length for _, length in bench.buzzes()] == [800] * 9


def test_cues_beyond_what_can_wait_are_refused():
    bench = Bench()
    bench.player.play("identify")
    assert [bench.player.play("backward_started") for _ in range(5)] == [True] * 4 + [False]


def test_in_quiet_hours_cues_of_safety_and_answers_vibrate_and_the_rest_only_lights():
    bench = Bench()
    bench.player.hushed = True
    for name, felt_ in (
        ("goal", False),
        ("pace", False),
        ("backward_started", False),
        ("identify", True),
        ("slow_down", True),
        ("unstable", True),
    ):
        bench.history.clear()
        assert bench.player.play(name) is felt_, name
        bench.advance(5_000)
        assert bool(bench.buzzes()) is felt_, name
        assert bench.buzzes("led"), name


def test_cues_at_no_strength_are_light_alone_and_not_called_felt():
    bench = Bench(strength=0)
    assert bench.player.play("unstable") is False
    bench.advance(5_000)
    assert bench.buzzes() == []
    assert len(bench.buzzes("led")) == 2


def test_a_silent_motor_is_told_once_and_the_light_goes_on_and_the_motor_is_tried_again():
    bench = Bench()
    bench.dead = True
    for _ in range(3):
        assert bench.player.play("backward_ended") is False
        bench.advance(2_000)
    assert bench.faults == [FAULT_MOTOR_SILENT]
    assert len(bench.buzzes("led")) == 6
    bench.dead = False
    bench.advance(11_000)
    bench.player.play("unstable")
    bench.advance(2_000)
    assert len(bench.buzzes()) == 2
    bench.dead = True
    bench.player.play("unstable")
    assert len(bench.faults) == 2


def test_a_motor_that_did_not_hear_the_end_of_a_cue_is_stopped_as_soon_as_it_does():
    bench = Bench()
    bench.player.play("backward_started")
    bench.advance(100)
    bench.dead = True
    bench.advance(700)
    bench.dead = False
    bench.advance(200)
    ((began, length),) = bench.buzzes()
    assert (began, length) == (1000, pytest.approx(800, abs=110))


# -- the haptic chip and its model -----------------------------------------------------------------------

CHIP = """
from machine import I2C, Pin
from time import sleep_ms, ticks_ms
from drv2605l import DRV2605L
import drv2605l_service as service
i2c = I2C(0, sda=Pin(41), scl=Pin(40))
def peek(register):
    return i2c.readfrom_mem(0x5A, register, 1)[0]
"""


def make_image(folder, profile, without=(), **settings):
    chosen, stored = folder / "board.txt", folder / "settings.json"
    chosen.write_text(profile)
    stored.write_text(
        json.dumps({"placement": "waist", "mounting": Mounting.clip().pack().hex(), **settings})
    )
    files = [pair for pair in installed_files() if pair[1] not in without]
    image = folder / f"{len(list(folder.iterdir()))}.img"
    flash_image.create(image, [*files, (chosen, "/board.txt"), (stored, "/settings.json")])
    return image


@pytest.fixture
def chip(tmp_path):
    """Makes a QT Py without an app, with that motor, and a function that runs code there."""
    image = make_image(tmp_path, "qtpy_esp32s3", without=("/main.py",))
    with ExitStack() as boards:

        def make(motor=None):
            wiring = replace(QTPY_ESP32S3, motor=motor or Motor())
            return boards.enter_context(repl_board(image, CHIP, wiring=wiring))

        yield make


def misuses(board):
    return [event.data["what"] for event in board.events if event.kind == "misuse"]


def test_cues_of_the_haptic_chip_shake_an_erm_as_long_as_they_run_and_sleep_afterwards(chip):
    board, run = chip()
    printed = run(
        "m = DRV2605L(i2c)\nm.run(100)\nsleep_ms(300)\nm.run(70)\nsleep_ms(300)\nm.stop()\n"
        "sleep_ms(200)\nm.standby()\nprint(peek(1), peek(0) >> 5)"
    )
    assert printed == "64 7"
    (buzz,) = felt(board.events, board.wiring.motor)
    assert buzz.lasts_s == pytest.approx(0.66, abs=0.05)
    assert buzz.peak_mg == pytest.approx(900, rel=0.05)
    assert strength_mg(board.events, board.wiring.motor, buzz.starts_s + 0.55) == pytest.approx(
        900 * 0.49, rel=0.08
    )
    assert misuses(board) == []


def test_a_calibrated_erm_starts_and_stops_sooner_so_that_cues_are_crisp(chip):
    board, run = chip()
    code = "m.run(80)\nsleep_ms(100)\nm.stop()\nsleep_ms(400)\n"
    printed = run("m = DRV2605L(i2c)\n" + code + "m.calibration = service.calibrate(m)\nprint(m.calibration)")
    assert len(eval(printed)) == 3
    calibrating = len(felt(board.events, board.wiring.motor))
    run("sleep_ms(500)\nm = DRV2605L(i2c, calibration=m.calibration)\n" + code)
    buzzes = felt(board.events, board.wiring.motor)
    assert calibrating == 2
    open_loop, closed_loop = buzzes[0], buzzes[-1]
    assert closed_loop.peak_mg > open_loop.peak_mg
    assert closed_loop.lasts_s < open_loop.lasts_s
    assert misuses(board) == []


def test_cues_of_an_lra_follow_its_resonance(chip):
    board, run = chip(LRA)
    printed = run(
        "m = DRV2605L(i2c, lra_hz=175, rated_mv=2000, overdrive_mv=2500)\nm.run(100)\nsleep_ms(300)\n"
        "print(peek(0x22), peek(0x1A) >> 7)\nm.stop()\nsleep_ms(300)\nm.standby()\n"
        "m.calibration = service.calibrate(m)\nprint(service.diagnose(m) or 'well')"
    )
    period, _, well = printed.partition("\n")
    assert int(period.split()[0]) == pytest.approx(1e6 / 175 / 98.46, abs=1)
    assert period.split()[1] == "1"
    assert well.strip() == "well"
    assert felt(board.events, LRA)[0].peak_mg == pytest.approx(1000, rel=0.05)
    assert misuses(board) == []


def test_the_haptic_chips_library_plays_a_sequence_with_a_wait(chip):
    board, run = chip()
    printed = run(
        "m = DRV2605L(i2c)\nm.play(1, -300, 47)\nbegin = ticks_ms()\nwhile m.playing():\n    sleep_ms(5)\n"
        "print(ticks_ms() - begin)\nfor wrong in ((), (0,), (124,), tuple(range(1, 10)), (-2000,)):\n"
        "    try:\n        m.play(*wrong)\n    except ValueError:\n        print('refused')"
    )
    lasted, *refused = printed.split()
    assert int(lasted) == pytest.approx(500, abs=30)
    assert refused == ["refused"] * 5
    assert [event.data["number"] for event in board.events if event.kind == "effect"] == [1, 47]
    assert len(felt(board.events, board.wiring.motor)) == 2


def test_a_wrong_use_of_the_haptic_chip_is_visible(chip):
    board, run = chip()
    run("m = DRV2605L(i2c, lra_hz=175)\nm.run(100)\nm.stop()")
    assert set(misuses(board)) == {"an ERM is driven as LRA"}
    run("DRV2605L(i2c, rated_mv=5000).run(100)")
    run("i2c.writeto_mem(0x5A, 1, bytes((0x40,)))")
    run("i2c.writeto_mem(0x5A, 12, bytes((1,)))")
    assert any("of its rated voltage" in what for what in misuses(board))
    assert "GO in standby" in misuses(board)
    printed = run(
        "try:\n    service.calibrate(DRV2605L(i2c, lra_hz=175))\n"
        "except service.CalibrationFailed as failed:\n    print(failed)"
    )
    assert "did not converge" in printed


def test_a_haptic_chip_that_forgot_its_settings_is_set_up_anew(chip):
    board, run = chip(LRA)
    run("m = DRV2605L(i2c, lra_hz=175, rated_mv=2000, overdrive_mv=2500)\nm.run(100)\nm.stop()\nm.standby()")
    board.inject("brownout", 50)
    printed = run(
        "sleep_ms(100)\nbefore = peek(0x1A)\nm.run(100)\nsleep_ms(200)\nm.stop()\nprint(before, peek(0x1A))"
    )
    before, after = printed.split()
    assert int(before) == 0x36
    assert int(after) & 0x80
    assert felt(board.events, LRA)[-1].peak_mg == pytest.approx(1000, rel=0.05)


def test_another_chip_in_the_place_of_the_haptic_one_is_named(chip):
    _, run = chip()
    printed = run("try:\n    DRV2605L(i2c, address=0x6A).run(50)\nexcept OSError as wrong:\n    print(wrong)")
    assert "device id 7 or 3, found 0" in printed


# -- the power chip that feeds a motor ---------------------------------------------------------------------

POWER_CHIP = """
from machine import I2C, Pin
from time import sleep_ms
from axp192_motor import AXP192Motor
i2c = I2C(0, sda=Pin(21), scl=Pin(22))
def peek(register):
    return i2c.readfrom_mem(0x34, register, 1)[0]
m = AXP192Motor(i2c)
"""


@pytest.fixture
def core2(tmp_path):
    """An M5Stack Core2 without an app, and a function that runs code there."""
    image = make_image(tmp_path, "m5stack_core2", without=("/main.py",))
    with repl_board(image, POWER_CHIP, wiring=M5STACK_CORE2) as board_and_run:
        yield board_and_run


def test_cues_of_the_power_chip_are_as_strong_as_its_voltage_and_touch_no_other_supply(core2):
    board, run = core2
    before = run("print(peek(0x12), peek(0x28))")
    printed = run(
        "m.run(80)\nprint(peek(0x12), peek(0x28))\nsleep_ms(300)\nm.run(20)\nprint(peek(0x28))\n"
        "sleep_ms(300)\nm.stop()\nprint(peek(0x12))\nsleep_ms(300)\nm.standby()"
    )
    assert before.split() == [str(0x47), str(0xCF)]
    assert printed.split() == [str(0x4F), str(0xCC), str(0xC3), str(0x47)]
    motor = board.wiring.motor
    (buzz,) = felt(board.events, motor)
    assert buzz.lasts_s == pytest.approx(0.66, abs=0.05)
    # 3.0 V is what it is rated for, 2.1 V is 0.7 of that.
    assert buzz.peak_mg == pytest.approx(900, rel=0.05)
    assert strength_mg(board.events, motor, buzz.starts_s + 0.55) == pytest.approx(900 * 0.7**2, rel=0.05)
    assert misuses(board) == []


def test_a_power_chip_that_does_not_hear_the_end_of_a_buzz_hears_the_next_stop(core2):
    board, run = core2
    run("m.run(100)")
    board.inject("nack", 100)
    printed = run("try:\n    m.stop()\nexcept OSError:\n    print('unheard')\nsleep_ms(200)\nm.stop()")
    assert printed == "unheard"
    assert run("print(peek(0x12))") == str(0x47)


def test_the_power_chip_of_another_revision_is_named_and_left_as_it_is(core2):
    board, run = core2
    printed = run(
        "try:\n    AXP192Motor(i2c, address=0x68).run(50)\nexcept OSError as wrong:\n    print(wrong)"
    )
    assert "AXP192 expected at 0x68: chip id 0x03, found 0x00" in printed
    counts = board.sensor_counts()
    assert counts["refused_writes"] == counts["unmodelled_writes"] == 0


def test_a_wrong_use_of_the_power_chip_is_visible(core2):
    board, run = core2
    run("i2c.writeto_mem(0x34, 0x12, bytes((0x46,)))")
    assert misuses(board) == ["DC-DC1, which feeds the processor, is switched off"]


@pytest.mark.parametrize(
    ("profile", "setup", "begin", "register", "running", "still"),
    [
        ("qtpy_esp32s3", CHIP, "DRV2605L(i2c).run(100)", 0x01, 0x05, 0x40),
        ("m5stack_core2", POWER_CHIP, "m.run(100)", 0x12, 0x4F, 0x47),
    ],
)
def test_a_chips_motor_that_a_reset_left_running_is_stopped_at_the_start(
    tmp_path, profile, setup, begin, register, running, still
):
    image = make_image(tmp_path, profile, without=("/main.py",))
    with repl_board(image, setup, wiring=WIRINGS[profile]) as (board, run):
        run(f"{begin}\nsleep_ms(300)")
        link = board.serial()
        link.write(b"import machine; machine.reset()" + console.CTRL_D)
        link.read_until(b">>> ", timeout_s=30)
        console.enter(link, timeout_s=30)
        look = f"print(peek({register}))\n"
        told = console.execute(
            link, f"{setup}\n{look}from firmware.startup import make_motor\nmake_motor()\n{look}"
        )
        assert [int(value) for value in told.split()] == [running, still]
        assert [event.data["cause"] for event in board.events if event.kind == "boot"] == ["power_on", "hard"]


# -- the whole device ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def short_walk():
    """Some forward, some backward, and a long stand."""
    walk = Walk(seed=4).stand(4).walk("forward", steps=20).stand(3).walk("backward", steps=30).stand(50)
    return walk.recording("waist")


def live(folder, recording, wiring, profile="xiao_esp32s3", script=(), more_s=2.0, **settings):
    """The board after its walk: (steps as (uptime in ms, direction), board)."""
    image = make_image(folder, profile, **settings)
    with VirtualBoard(image, walk=recording.samples, speed=0, wiring=wiring, script=list(script)) as board:
        board.advance(recording.duration_s + more_s)
    with log_folder(image) as log:
        records = [
            steplog_decoder.decode(kind, payload) for _, kind, payload in read_log_files(log).records()
        ]
    steps = [
        (step["uptime_ms"], step["direction"])
        for one in records
        if one["kind"] == "steps"
        for step in one["steps"]
    ]
    return steps, board


@pytest.fixture(scope="module")
def undisturbed(short_walk, tmp_path_factory):
    steps, board = live(
        tmp_path_factory.mktemp("still"),
        short_walk,
        replace(XIAO_ESP32S3, motor=Motor(pin=3)),
        motor_percent=0,
    )
    assert felt(board.events, Motor(pin=3)) == []
    return steps


# The motor at 80 % of 3.3 V turns at 0.88 of its rated speed. 208 Hz is twice the sample rate: it looks like a
# displacement that stays.
@pytest.mark.parametrize("running_hz", [150, 175, 206.5, 208])
@pytest.mark.parametrize("axes", [(0, 1), (1, 2)])
def test_cues_shake_the_sensor_and_change_no_step(short_walk, undisturbed, tmp_path, running_hz, axes):
    motor = Motor(pin=3, frequency_hz=running_hz / 0.88, axes=axes)
    presses = [(int((short_walk.duration_s - 45 + 15 * n) * 1000), "press", 80) for n in range(3)]
    steps, board = live(tmp_path, short_walk, replace(XIAO_ESP32S3, motor=motor), script=presses)
    buzzes = felt(board.events, motor)
    assert len(buzzes) >= 3
    assert max(buzz.peak_mg for buzz in buzzes) > 600
    assert steps == undisturbed


def test_a_paced_walk_has_the_same_cues_and_steps_but_for_its_end(short_walk, undisturbed, tmp_path):
    motor = Motor(pin=3)
    steps, board = live(
        tmp_path, short_walk, replace(XIAO_ESP32S3, motor=motor), motor_percent=100, pace_per_min=110
    )
    ended_ms = undisturbed[-1][0]
    assert [step for step in steps if step[0] <= ended_ms] == undisturbed
    # The shaking can pass for one step or two of somebody who has just stopped; then it is noticed.
    assert len(steps) - len(undisturbed) <= 2
    beats = [buzz.starts_s for buzz in felt(board.events, motor) if buzz.lasts_s < 0.25]
    gaps = [after - before for before, after in pairwise(beats)]
    assert sum(abs(gap - 60 / 110) < 0.06 for gap in gaps) >= 5
    assert max(beats) < ended_ms / 1000 + 5


@pytest.mark.parametrize("presses", [2, 3], ids=["walk test", "calibration"])
def test_the_pace_ends_with_what_is_asked_for_in_the_middle_of_a_walk(short_walk, tmp_path, presses):
    motor = Motor(pin=3)
    begun_s = short_walk.step_times_s("backward")[0]
    script = [(int(begun_s * 1000) + 6_000 + 300 * number, "press", 80) for number in range(presses)]
    _, board = live(
        tmp_path,
        short_walk,
        replace(XIAO_ESP32S3, motor=motor),
        script=script,
        more_s=100,
        motor_percent=100,
        pace_per_min=110,
    )
    beats = [buzz.starts_s for buzz in felt(board.events, motor) if buzz.lasts_s < 0.25]
    paced = [after for before, after in pairwise(beats) if abs(after - before - 60 / 110) < 0.06]
    assert len(paced) >= 4
    assert max(paced) < begun_s + 8


def test_cues_of_the_reference_build_are_felt_like_those_of_a_bare_motor(short_walk, undisturbed, tmp_path):
    steps, board = live(tmp_path, short_walk, QTPY_ESP32S3, profile="qtpy_esp32s3")
    truth = short_walk.step_times_s("backward")
    buzzes = felt(board.events, QTPY_ESP32S3.motor)
    assert len(buzzes) == 3
    assert truth[0] < buzzes[0].starts_s < truth[0] + 5
    assert truth[-1] < buzzes[1].starts_s < truth[-1] + 5
    assert [way for _, way in steps] == [way for _, way in undisturbed]
    assert misuses(board) == []


def test_cues_of_a_core2_are_felt_and_change_no_step(short_walk, tmp_path):
    undisturbed, _ = live(tmp_path, short_walk, M5STACK_CORE2, profile="m5stack_core2", motor_percent=0)
    steps, board = live(tmp_path, short_walk, M5STACK_CORE2, profile="m5stack_core2")
    buzzes = felt(board.events, M5STACK_CORE2.motor)
    truth = short_walk.step_times_s("backward")
    assert len(buzzes) == 3
    assert truth[0] < buzzes[0].starts_s < truth[0] + 5
    assert truth[-1] < buzzes[1].starts_s < truth[-1] + 5
    assert strength_mg(board.events, M5STACK_CORE2.motor, board.now_us / 1e6) == 0
    assert [way for _, way in steps] == [way for _, way in undisturbed]
    assert misuses(board) == []


def test_a_missing_haptic_chip_costs_cues_and_no_steps_and_is_told_once(short_walk, undisturbed, tmp_path):
    wiring = replace(QTPY_ESP32S3, chips=QTPY_ESP32S3.chips[:1])
    steps, board = live(tmp_path, short_walk, wiring, profile="qtpy_esp32s3")
    assert [way for _, way in steps] == [way for _, way in undisturbed]
    assert bytes(board.console).count(b"motor silent") == 1
    assert (
        sum(e.kind == "pin" and e.data["name"] == "led" and e.data["value"] == 1 for e in board.events) == 3
    )


@pytest.mark.parametrize(
    ("profile", "chips"),
    [("qtpy_esp32s3", QTPY_ESP32S3.chips[:1]), ("m5stack_core2", (*M5STACK_CORE2.chips[:1], AXP2101))],
    ids=["no haptic chip", "another power chip"],
)
def test_a_motor_chip_that_never_answers_keeps_nobody_out(tmp_path, profile, chips):
    wiring = replace(QTPY_ESP32S3 if profile == "qtpy_esp32s3" else M5STACK_CORE2, chips=chips, motor=None)
    with VirtualBoard(make_image(tmp_path, profile), speed=0, wiring=wiring) as board:
        board.advance(20)
        board.set_speed(1.0)
        link = board.serial()
        console.enter(link, timeout_s=20)
        assert console.execute(link, "print(6 * 7)") == "42\n"
        assert [event.data["cause"] for event in board.events if event.kind == "boot"] == ["power_on"]
    assert b"stopped by Ctrl-C" in board.console


def test_one_press_buzzes_todays_count_of_backward_steps_out_and_five_switch_cues_off(short_walk, tmp_path):
    ends_ms = int(short_walk.duration_s * 1000)
    five = [(ends_ms - 25_000 + 250 * n, "press", 60) for n in range(5)]
    script = [(ends_ms - 40_000, "press", 80), *five, (ends_ms - 15_000, "press", 80)]
    steps, board = live(tmp_path, short_walk, XIAO_ESP32S3, script=script)
    backward = sum(way == "backward" for _, way in steps)
    assert 27 <= backward <= 33
    buzzes = [b for b in felt(board.events, XIAO_ESP32S3.motor) if b.starts_s * 1000 > ends_ms - 41_000]
    counted = [b.lasts_s for b in buzzes if b.starts_s * 1000 < ends_ms - 26_000]
    assert sum(lasts > 0.2 for lasts in counted) == backward // 10
    assert sum(lasts < 0.2 for lasts in counted) == backward % 10
    # The last thing that is felt: long, short. The count after it is light alone.
    assert len(buzzes) == len(counted) + 2
    lights = [
        e.us for e in board.events if e.kind == "pin" and e.data["name"] == "led" and not e.data["value"]
    ]
    assert sum(us / 1000 > ends_ms - 15_500 for us in lights) == len(counted)


def test_a_low_battery_is_a_cue_and_none_is_none(tmp_path):
    walk = Walk(seed=1).stand(10)
    for mv, cues in ((3_400, 3), (3_900, 0)):
        folder = tmp_path / str(mv)
        folder.mkdir()
        image = make_image(folder, "xiao_esp32s3")
        with VirtualBoard(image, walk=walk.recording("waist").samples, speed=0, battery_mv=mv) as board:
            board.advance(8)
        assert len(felt(board.events, XIAO_ESP32S3.motor)) == cues, mv


def test_a_sensor_that_dies_is_told_by_a_cue(tmp_path):
    walk = Walk(seed=1).stand(10)
    image = make_image(tmp_path, "xiao_esp32s3")
    recording = walk.recording("waist")
    with VirtualBoard(
        image, walk=recording.samples, speed=0, script=[(4_000, "inject", "nack", 8_000)]
    ) as board:
        board.advance(12)
    assert len(felt(board.events, XIAO_ESP32S3.motor)) == 4
