"""The whole device on the virtual board: its own boot.py, main.py, lib/ and firmware/ in a real MicroPython."""

import asyncio
import json
import random
import shutil

import numpy as np
import pytest
from journal import Journal
from typer.testing import CliRunner

from firmware import steplog, steplog_decoder
from firmware.gait.mounting import Mounting
from retrostep import cli, flash, recording
from retrostep.board import VirtualBoard, flash_image
from retrostep.cable import CableTransport
from retrostep.flash import installed_files
from retrostep.history import read_history
from retrostep.link import Link
from retrostep.logfiles import log_folder, read_log_files
from retrostep.store import Store
from retrostep.sync import sync
from retrostep.walker import Walk, demo_walk

# A step settles within 1.5 s and waits at most 30 s for its flush.
UNFLUSHED_S = 32.0


@pytest.fixture(scope="session")
def factory_image(tmp_path_factory):
    """A flash image with the device's files and a calibrated clip, as after a first set-up."""
    folder = tmp_path_factory.mktemp("factory")
    settings = folder / "settings.json"
    settings.write_text(json.dumps({"placement": "waist", "mounting": Mounting.clip().pack().hex()}))
    image = folder / "flash.img"
    flash_image.create(image, [*installed_files(), (settings, "/settings.json")])
    return image


@pytest.fixture
def image(factory_image, tmp_path):
    return shutil.copy(factory_image, tmp_path / "flash.img")


@pytest.fixture(scope="session")
def two_minutes():
    return demo_walk().recording("waist")


async def _sync(port, store):
    async with CableTransport(port) as transport:
        return await sync(Link(transport), store)


def synced(board, tmp_path, name="db"):
    """The history after a sync over the board's serial port."""
    board.set_speed(1.0)
    with Store(tmp_path / f"{name}.sqlite3") as store:
        asyncio.run(_sync(board.port, store))
        return read_history(store)


def times_and_directions(history):
    return [(step.uptime_ms, step.direction) for step in history.steps]


def motor_starts(board):
    return [
        e.us / 1e6
        for e in board.events
        if e.kind == "pwm" and e.data["name"] == "motor" and e.data["duty_u16"]
    ]


def test_a_walk_becomes_steps_by_direction_a_buzz_and_a_log(image, tmp_path, two_minutes):
    with VirtualBoard(image, walk=two_minutes.samples, speed=0) as board:
        board.advance(two_minutes.duration_s + 4)
        history = synced(board, tmp_path)
        buzzes = motor_starts(board)
    assert not history.problems
    truth = {name: len(two_minutes.step_times_s(name)) for name in ("forward", "backward")}
    found = {name: sum(step.direction == name for step in history.steps) for name in truth}
    assert found["backward"] == pytest.approx(truth["backward"], rel=0.1)
    assert found["forward"] == pytest.approx(truth["forward"], rel=0.1)
    first_backward = two_minutes.step_times_s("backward")[0]
    # One medium when it has begun, two when it is over.
    assert len(buzzes) == 3
    assert first_backward < buzzes[0] < first_backward + 5
    last_backward = two_minutes.step_times_s("backward")[-1]
    assert last_backward < buzzes[1] < buzzes[2] < last_backward + 5


def test_step_times_in_the_log_follow_the_true_contacts_in_spite_of_a_wrong_sensor_clock(
    image, tmp_path, two_minutes
):
    with VirtualBoard(image, walk=two_minutes.samples, speed=0, clock_ppm=12_000) as board:
        board.advance(two_minutes.duration_s + 4)
        logged = [step.uptime_ms / 1000 for step in synced(board, tmp_path).steps]
    truth = two_minutes.step_times_s()
    late = sorted(min((at - true for true in truth), key=abs) for at in logged)
    # 1.2 % of two minutes would be 1.4 s.
    assert abs(late[len(late) // 2]) < 0.1
    near = [at for at in late if abs(at) < 0.15]
    assert len(near) >= 0.9 * len(late)


def test_the_same_seed_gives_the_same_log_to_the_byte(image, factory_image, tmp_path, two_minutes):
    logs = []
    for name in ("one", "two"):
        copy = shutil.copy(factory_image, tmp_path / name)
        with VirtualBoard(copy, walk=two_minutes.samples, speed=0, seed=5) as board:
            board.advance(90)
            board.cut_power()
        folder = tmp_path / f"{name}-files"
        logs.append({p.name: p.read_bytes() for p in flash_image.extract(copy, folder, "/log")})
    assert logs[0] == logs[1]
    assert any(name.endswith(".seg") for name in logs[0])


@pytest.fixture(scope="session")
def uncut_steps(factory_image, tmp_path_factory, two_minutes):
    """Every step of the two minutes as a device logs them whose power is never cut."""
    folder = tmp_path_factory.mktemp("uncut")
    with VirtualBoard(shutil.copy(factory_image, folder / "i"), walk=two_minutes.samples, speed=0) as board:
        board.advance(two_minutes.duration_s + 40)
        return times_and_directions(synced(board, folder))


@pytest.mark.parametrize("moment", range(10))
def test_a_power_cut_at_a_random_moment_loses_no_flushed_record(
    moment, image, tmp_path, two_minutes, uncut_steps
):
    cut_s = random.Random(moment).uniform(20, two_minutes.duration_s)
    with VirtualBoard(image, walk=two_minutes.samples, speed=0) as board:
        board.cut_at(round(cut_s * 1000))
        board.advance(cut_s + 1)
        assert not board.powered
        board.power_on()
        board.advance(5)
        history = synced(board, tmp_path)
    assert not history.problems
    first_boot = [step for step in history.steps if step.boot == history.boots[0].sequence]
    kept = [(step.uptime_ms, step.direction) for step in first_boot]
    assert kept == uncut_steps[: len(kept)]
    due = [step for step in uncut_steps if step[0] / 1000 <= cut_s - UNFLUSHED_S]
    assert len(kept) >= len(due)
    assert [boot.cause for boot in history.boots] == ["power", "power"]


@pytest.mark.parametrize(
    ("kind", "for_ms", "fault"),
    [
        ("nack", 3_000, "sensor silent"),
        ("bus_low", 3_000, "sensor silent"),
        ("stuck", 6_000, "sensor stuck"),
        ("brownout", 50, "sensor lost its settings"),
    ],
)
def test_a_failing_sensor_is_logged_and_counting_goes_on(kind, for_ms, fault, image, tmp_path):
    walk = Walk(seed=3).stand(3).walk("forward", seconds=60).stand(3).recording("waist")
    with VirtualBoard(image, walk=walk.samples, speed=0) as board:
        board.inject(kind, for_ms, at_ms=20_000)
        board.advance(walk.duration_s + 4)
        history = synced(board, tmp_path)
    assert any(fault in problem.text for problem in history.problems)
    at = [step.uptime_ms / 1000 for step in history.steps]
    assert sum(t < 20 for t in at) >= 0.9 * sum(walk.step_times_s() < 20)
    assert sum(t > 40 for t in at) >= 0.9 * sum(walk.step_times_s() > 40)
    assert len(at) <= len(walk.step_times_s()) + 1
    assert len(history.problems) <= 3


def test_a_device_without_calibration_counts_steps_but_claims_no_direction(factory_image, image, tmp_path):
    walk = Walk(seed=4).stand(2).walk("backward", seconds=20).stand(3).recording("waist")
    flash_image.create(image)
    with VirtualBoard(image, walk=walk.samples, speed=0) as board:
        board.advance(walk.duration_s + 4)
        history = synced(board, tmp_path)
        # It asks for a calibration, once: a long buzz and two short ones.
        assert len(motor_starts(board)) == 3
    assert {step.direction for step in history.steps} == {"unknown"}
    assert len(history.steps) == pytest.approx(len(walk.step_times_s()), rel=0.1)


def calibration_walk():
    """Stand, ten and more steps forward, stand, then some backward: as somebody does who was asked to calibrate."""
    walk = Walk(seed=4).stand(8).walk("forward", steps=14).stand(4).walk("backward", seconds=20).stand(3)
    return walk.recording("waist")


def test_three_presses_calibrate_the_clip_and_then_backward_steps_are_known(image, tmp_path):
    walk = calibration_walk()
    flash_image.create(image)
    presses = [(at_ms, "press", 80) for at_ms in (1_000, 1_250, 1_500)]
    with VirtualBoard(image, walk=walk.samples, speed=0, script=presses) as board:
        board.advance(walk.duration_s + 4)
        history = synced(board, tmp_path)
        board.cut_power()
    settings = json.loads(flash_image.read(image, "/settings.json"))
    mounting = Mounting.unpack(bytes.fromhex(settings["mounting"]))
    assert mounting.forward[0] > 0.97 * 16384
    backward = [step for step in history.steps if step.direction == "backward"]
    assert len(backward) >= 0.8 * len(walk.step_times_s("backward"))
    # The forward steps were walked before the mounting was known.
    assert sum(step.direction == "forward" for step in history.steps) <= 3


def test_an_app_that_is_ended_while_walking_leaves_motor_and_light_off_and_claims_no_cue(image):
    walk = Walk(seed=5).stand(4).walk("backward", seconds=30).recording("waist")
    with VirtualBoard(image, walk=walk.samples, speed=0) as board:
        board.advance(20)
        board.set_speed(1.0)
        serial = board.serial()
        serial.write(b"\x03")
        serial.read_until(b">>> ", timeout_s=5)
        felt = [e.data["duty_u16"] for e in board.events if e.kind == "pwm" and e.data["name"] == "motor"]
        light = [e.data["value"] for e in board.events if e.kind == "pin" and e.data["name"] == "led"]
        board.cut_power()
    assert max(felt) > 0
    assert felt[-1] == 0
    assert light[-1] == light[0]
    with log_folder(image) as folder:
        cues = [
            item[2]
            for _, kind, data in read_log_files(folder).records()
            if kind == steplog.STEPS
            for item in steplog.scan_steps(data)
            if item[0] == "cue"
        ]
    assert cues == [steplog.PATTERNS.index("backward_started")]


def test_a_calibration_without_steps_fails_with_its_reason_and_stores_nothing(image):
    flash_image.create(image)

    async def ask(port, action):
        async with CableTransport(port) as transport:
            return await Link(transport).calibrate(action)

    with VirtualBoard(image, speed=0) as board:
        board.advance(1)
        board.set_speed(1.0)
        assert asyncio.run(ask(board.port, 1)).state == "standing"
        board.set_speed(0)
        board.advance(70)
        board.set_speed(1.0)
        state = asyncio.run(ask(board.port, 0))
        assert (state.state, state.quality) == ("failed", 0)
        assert "walk ten steps" in state.reason
        board.cut_power()
    assert "/settings.json" not in flash_image.listing(image)


def taken_off_and_walked_again():
    """Ten steps and more, a minute on a table, and walking again: (samples, second at which it begins again)."""
    walk = Walk(seed=8).stand(4).walk("forward", seconds=20).stand(3).recording("waist").samples
    noise = np.random.default_rng(8).integers(-2, 3, (60 * 104, 6))
    table = (np.array([0, 0, 2049, 0, 0, 0]) + noise).astype(np.int16)
    return np.concatenate([walk, table, walk, walk]), (len(walk) + len(table)) / 104.17


def test_after_it_was_taken_off_the_device_asks_and_one_press_confirms_the_clip(image, tmp_path):
    samples, again_s = taken_off_and_walked_again()
    press = (round((again_s + 27) * 1000), "press", 80)
    with VirtualBoard(image, walk=samples, speed=0, script=[press]) as board:
        board.advance(len(samples) / 104 + 4)
        steps = synced(board, tmp_path).steps
        buzzes = motor_starts(board)
    before = [step.direction for step in steps if step.uptime_ms < (again_s - 60) * 1000]
    doubted = [step.direction for step in steps if 0 <= step.uptime_ms / 1000 - again_s < 27]
    confirmed = [step.direction for step in steps if step.uptime_ms / 1000 - again_s > 29]
    assert len(before) > 30
    assert set(before) == {"forward"}
    assert len(doubted) > 30
    assert set(doubted) == {"unknown"}
    assert confirmed.count("forward") >= 0.95 * len(confirmed) > 30
    asked = [at for at in buzzes if again_s < at < again_s + 27]
    # One long buzz and two short ones.
    assert len(asked) == 3


def test_one_press_tells_the_count_and_neither_it_nor_a_long_one_starts_a_calibration(image):
    flash_image.create(image)
    script = [(1_000, "press", 80), (3_000, "press", 3_500)]
    with VirtualBoard(image, speed=0, script=script) as board:
        board.advance(9)
        # None: medium, short, medium. There is no radio on this board for the long press.
        assert len(motor_starts(board)) == 3


def test_on_a_small_volume_old_steps_go_in_time_and_the_log_says_which(tmp_path):
    folder = tmp_path / "log"
    log = Journal(str(folder), steplog.FORMAT_VERSION, 7)
    log.append(steplog.BOOT, steplog.encode_boot(0, 0, 0, "0.1.0", "m", "b"))
    for number in range(600):
        chunk = steplog.StepChunk(1, 1)
        for step in range(100):
            chunk.add_step(number * 60_000 + step * 500, step % 2, 90, None)
        log.append(steplog.STEPS, chunk.payload())
        log.flush()
    log.close()
    image = tmp_path / "flash.img"
    files = [*installed_files(), *((path, f"/log/{path.name}") for path in folder.iterdir())]
    needed = sum(path.stat().st_size // 4096 + 1 for path, _ in files) + 16
    flash_image.create(image, files, blocks=needed)
    with VirtualBoard(image, speed=0) as board:
        board.advance(40)
        history = synced(board, tmp_path)
    gaps = [problem for problem in history.problems if problem.kind == "full"]
    lost = sum(gap.steps for gap in gaps)
    assert gaps[0].first == 1
    assert 0 < lost < 60_000
    assert lost + len(history.steps) == 60_000


def test_totals_survive_a_reset_and_a_power_cut(image, tmp_path, two_minutes):
    async def totals(port):
        async with CableTransport(port) as transport:
            status = await Link(transport).status()
            return [status[name + "_steps"] for name in ("forward", "backward", "sideways", "unknown")]

    with VirtualBoard(image, walk=two_minutes.samples, speed=0) as board:
        board.advance(two_minutes.duration_s + 40)
        board.set_speed(1.0)
        before = asyncio.run(totals(board.port))
        board.set_speed(0)
        board.cut_power()
        board.power_on()
        board.advance(2)
        board.set_speed(1.0)
        assert asyncio.run(totals(board.port)) == before
    assert sum(before) > 150


def test_after_a_reset_the_device_still_knows_the_time_and_after_a_power_cut_it_does_not_pretend(
    image, tmp_path, two_minutes
):
    with VirtualBoard(image, walk=two_minutes.samples, speed=0) as board:
        board.advance(20)
        synced(board, tmp_path)
        flash.mpremote(board.port, "reset")
        board.set_speed(0)
        board.advance(20)
        board.cut_power()
        board.power_on()
        board.advance(20)
        board.cut_power()
    with log_folder(image) as folder:
        records = [
            steplog_decoder.decode(kind, payload) for _, kind, payload in read_log_files(folder).records()
        ]
    boots = [record for record in records if record["kind"] in ("boot", "anchor")]
    assert [record.get("source", record["kind"]) for record in boots] == [
        "boot",
        "host",
        "boot",
        "device clock",
        "boot",
    ]
    host, own = boots[1], boots[3]
    # The reset came a moment after the sync; a busy machine lets the board's clock fall behind a little.
    assert -own["uncertainty_ms"] <= own["utc_ms"] - host["utc_ms"] < 30_000


def test_three_crashes_in_a_row_end_in_safe_mode_and_every_crash_is_kept(image):
    broken = image.parent / "app.py"
    broken.write_text("def run(safe):\n    raise RuntimeError('broken on purpose')\n")
    flash_image.install(image, [(broken, "/firmware/app.py")])
    with VirtualBoard(image, speed=0) as board:
        board.advance(30)
        boots = [event.data["cause"] for event in board.events if event.kind == "boot"]
        assert boots == ["power_on", "hard", "hard", "hard"]
        assert b"safe mode" in board.console
        board.cut_power()
    # Safe mode tried the application, too, without the sensor, and left the device to the REPL.
    assert flash_image.read(image, "/crash.log").count(b"broken on purpose") == 4


def test_the_command_line_syncs_shows_and_reports(image, tmp_path, two_minutes):
    db = str(tmp_path / "cli.sqlite3")
    runner = CliRunner()
    with VirtualBoard(image, walk=two_minutes.samples, speed=0) as board:
        board.advance(two_minutes.duration_s + 4)
        board.set_speed(1.0)
        done = runner.invoke(cli.app, ["sync", "--port", board.port, "--db", db, "--json"])
        assert done.exit_code == 0, done.output
        status = json.loads(
            runner.invoke(cli.app, ["status", "--port", board.port, "--db", db, "--json"]).stdout
        )
    report = json.loads(
        runner.invoke(cli.app, ["report", "--db", db, "--json", "--zone", "Europe/Berlin"]).stdout
    )
    assert status["device"]["acknowledged"] >= status["devices"][0]["records"]
    assert status["device"]["clock_set"] == 1
    (day,) = report["days"]
    assert day["steps"]["backward"] == status["device"]["backward_steps"]
    assert day["steps"]["forward"] == status["device"]["forward_steps"]
    text = runner.invoke(cli.app, ["report", str(tmp_path / "report.html"), "--db", db]).stdout
    assert "backward" in text


def test_a_recording_by_cable_holds_what_the_sensor_felt_labelled_by_presses(image, tmp_path):
    walk = Walk(seed=5).stand(2).walk("forward", seconds=20).recording("waist")
    out = tmp_path / "a07_mixed_1.npz"
    arguments = ["record", str(out), "--seconds", "6", "--labels", "forward,backward", "--subject", "a07"]
    with VirtualBoard(image, walk=walk.samples, speed=0, script=[(5_000, "press", 80)]) as board:
        board.advance(2)
        board.set_speed(1.0)
        done = CliRunner().invoke(cli.app, [*arguments, "--port", board.port, "--may-train"])
        assert done.exit_code == 0, done.output
        board.set_speed(0)
        board.advance(20)
        steps = synced(board, tmp_path).steps
    recorded = recording.load(out)
    assert recorded.duration_s == pytest.approx(6, abs=0.5)
    assert recorded.rate_hz == pytest.approx(104.17 * 1.006, rel=0.002)
    assert list(recorded.span_label) == ["forward", "backward"]
    assert recorded.spans[0][1] == pytest.approx(3, abs=0.8)
    assert recorded.meta["may_train"] is True
    # The same motion as the feed, but for the sensor's own clock.
    begin = round(2.0 * 104)
    felt = walk.samples[begin : begin + 5 * 104, 2].astype(float)
    assert np.std(recorded.samples[:, 2]) == pytest.approx(np.std(felt), rel=0.2)
    # Recording costs no step.
    assert len(steps) >= 0.9 * len(walk.step_times_s())


def test_an_hour_of_walking_takes_well_under_a_minute(image, tmp_path):
    import time

    walk = Walk(seed=6).stand(3).walk("forward", seconds=600).recording("waist")
    started = time.monotonic()
    with VirtualBoard(image, walk=walk.samples, speed=0) as board:
        board.advance(600)
        walked_s = time.monotonic() - started
        found = len(synced(board, tmp_path).steps)
    assert found > 900
    assert walked_s * 6 < 30
