"""Boards: every profile and its wiring, the same walk through every part, what ships compiled for both cores."""

import asyncio
import importlib.util
import json
import sys
from dataclasses import replace

import pytest
from conftest import sweep_size
from test_imu_drivers import BOARD_OF, make_image
from typer.testing import CliRunner

from firmware.gait.mounting import Mounting
from retrostep import cli, flash
from retrostep.bench import started
from retrostep.bench.wasm import WasmMissing
from retrostep.board import VirtualBoard, console
from retrostep.board.hand import felt
from retrostep.board.wiring import WIRINGS
from retrostep.cable import CableTransport
from retrostep.device_tree import device_files, device_root
from retrostep.history import read_history
from retrostep.link import Link
from retrostep.store import Store
from retrostep.sync import sync
from retrostep.walker import Walk

BOARDS = device_root() / "firmware" / "boards"
PROFILES = sorted(path.stem for path in BOARDS.glob("*.py") if path.stem not in ("__init__", "choice"))
FIELDS = (
    "NAME",
    "I2C_ID",
    "SDA_PIN",
    "SCL_PIN",
    "I2C_HZ",
    "IMU",
    "IMU_ADDRESS",
    "IMU_INT_PIN",
    "HAPTIC",
    "MOTOR_PIN",
    "BUTTON_PIN",
    "BUTTON_PULL_UP",
    "LED_PIN",
    "LED_ON",
    "BATTERY_PIN",
    "BATTERY_DIVIDER",
    "POWER_CHIP_ADDRESS",
)


@pytest.fixture(autouse=True)
def modules_of_the_esp32(monkeypatch):
    """Board files may import `machine`, which CPython has not."""
    monkeypatch.setitem(sys.modules, "machine", type(sys)("machine"))


def load(path):
    """A device file as a module of its own, whatever package it belongs to."""
    spec = importlib.util.spec_from_file_location(f"board_file_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", PROFILES)
def test_every_boards_profile_says_all_of_it_and_agrees_with_its_wiring(name):
    board = load(BOARDS / f"{name}.py")
    assert [field for field in FIELDS if not hasattr(board, field)] == []
    assert name == board.NAME
    assert (device_root() / "lib" / f"{board.IMU}.py").exists()
    assert board.HAPTIC in ("pwm", "drv2605l", "axp192", None)
    assert (board.HAPTIC == "pwm") == (board.MOTOR_PIN is not None)
    wiring = WIRINGS[name]
    sensor = wiring.chips[0]
    assert (sensor.model, sensor.sda, sensor.scl) == (board.IMU, board.SDA_PIN, board.SCL_PIN)
    assert sensor.address == board.IMU_ADDRESS
    assert sensor.int_pins == (() if board.IMU_INT_PIN is None else (board.IMU_INT_PIN,))
    assert wiring.button_pin == board.BUTTON_PIN
    assert wiring.button_pulled_up is not board.BUTTON_PULL_UP
    assert wiring.battery_pin == board.BATTERY_PIN
    power_chips = [chip.address for chip in wiring.chips if chip.model.startswith("axp")]
    assert power_chips == ([] if board.POWER_CHIP_ADDRESS is None else [board.POWER_CHIP_ADDRESS])


def walked(folder, name, recording, seconds):
    """The history after `recording` was walked on that board with a calibrated clip."""
    folder.mkdir()
    settings = folder / "settings.json"
    settings.write_text(json.dumps({"placement": "waist", "mounting": Mounting.clip().pack().hex()}))
    image = make_image(folder, name, (settings, "/settings.json"), without=())
    with VirtualBoard(image, walk=recording.samples, speed=0, wiring=WIRINGS[name]) as board:
        board.advance(seconds)
        board.set_speed(1.0)

        async def pull(store):
            async with CableTransport(board.port) as transport:
                status = await Link(transport).status()
                await sync(Link(transport), store)
                return status

        with Store(folder / "db.sqlite3") as store:
            status = asyncio.run(pull(store))
            return status, read_history(store)


def test_the_same_walk_gives_the_same_steps_on_all_boards(tmp_path, request):
    minutes = 10 if sweep_size(request.config, "boards") == "full" else 3
    walk = Walk(seed=12).stand(3)
    for _ in range(minutes):
        walk = walk.walk("forward", seconds=36).turn(180, seconds=3).walk("backward", seconds=16).stand(4)
    recording = walk.stand(4).recording("waist")
    seconds = recording.duration_s + 6
    counts = {}
    for part, name in BOARD_OF.items():
        status, history = walked(tmp_path / part, name, recording, seconds)
        assert status["board"] == name
        assert not history.problems
        counts[part] = {
            direction: sum(step.direction == direction for step in history.steps)
            for direction in ("forward", "backward", "sideways", "unknown")
        }
    print(counts)
    wanted = counts["lsm6dsox"]
    total = sum(wanted.values())
    assert wanted["forward"] > 50 * minutes
    assert wanted["backward"] > 20 * minutes
    for part, found in counts.items():
        # A part without gyroscope may differ by three times as much.
        share = 0.03 if part == "bma423" else 0.01
        assert abs(sum(found.values()) - total) <= share * total, part
        for direction in wanted:
            assert abs(found[direction] - wanted[direction]) <= max(share * total, 1), (part, direction)


@pytest.mark.parametrize(
    ("machine_name", "expected"),
    [
        ("Seeed XIAO ESP32S3 with ESP32-S3-FN8", "xiao_esp32s3"),
        ("Generic ESP32S3 module with ESP32S3", "xiao_esp32s3"),
        ("Generic ESP32 module with ESP32", "esp32_gy521"),
    ],
)
def test_without_a_choice_the_boards_own_name_decides(machine_name, expected, monkeypatch, tmp_path):
    choice = load(BOARDS / "choice.py")
    monkeypatch.setattr(choice, "CHOICE_FILE", str(tmp_path / "board.txt"))
    monkeypatch.setattr(choice.os, "uname", lambda: type("Uname", (), {"machine": machine_name}))
    assert choice._chosen()[0] == expected
    (tmp_path / "board.txt").write_text("twatch_s3\n")
    assert choice._chosen()[0] == "twatch_s3"


def test_a_board_that_is_not_there_is_named_with_what_to_do(tmp_path):
    image = make_image(tmp_path, "no_such_board")
    with VirtualBoard(image, speed=None) as board:
        board.wait_for_output(b">>> ", timeout_s=30)
        link = board.serial()
        console.enter(link, timeout_s=30)
        with pytest.raises(console.DeviceError, match=r"/board.txt names 'no_such_board': expected a file"):
            console.execute(link, "import firmware.boards")


# Most of the total is native code of the gait kernels, which is large on Xtensa.
MPY_LIMIT_BYTES = 200_000
# What every further board or sensor adds to.
MPY_DRIVERS_LIMIT_BYTES = 32_000


@pytest.mark.parametrize("arch", ["xtensawin", "rv32imc"])
def test_everything_for_all_boards_compiles_and_stays_small(arch, tmp_path):
    """Prints what the compiled firmware takes of the flash."""
    sizes = {}
    for path, target in device_files():
        compiled = flash.compile_file(path, target.strip("/"), tmp_path, arch)
        sizes[target] = compiled.stat().st_size
    total = sum(sizes.values())
    drivers = sum(size for target, size in sizes.items() if target.startswith(("/lib/", "/firmware/boards/")))
    print(f"{len(sizes)} .mpy files for {arch}: {total} bytes, of them lib and boards {drivers}")
    assert total < MPY_LIMIT_BYTES
    assert drivers < MPY_DRIVERS_LIMIT_BYTES


def test_the_application_starts_with_30_of_110_kb_free():
    """By halving what is free of 220 kB where words have 64 bits."""
    free, _, modules = started.free_taken_and_modules()
    print(f"{free} bytes of 220 kB are free after the start, {len(modules)} modules are loaded")
    assert "firmware.app" in modules
    assert "firmware.link.session" not in modules
    assert free >= started.FREE_LIMIT_BYTES


def test_in_32_bits_modules_take_less_than_in_64_and_more_than_half():
    """Objects shrink to half, bytecode and identifiers do not."""
    try:
        in_32, in_64 = started.heap_of_modules(["journal", "firmware.steplog"])
    except WasmMissing as missing:
        pytest.skip(f"{missing}: make setup")
    assert 3000 < in_64 / 2 < in_32 < in_64


def checked(board, *options):
    """What `retrostep board-check --json` says: {part: (outcome, seen)}, and the exit code."""
    board.set_speed(1.0)
    done = CliRunner().invoke(cli.app, ["board-check", "--port", board.port, "--json", *options])
    rows = json.loads(done.stdout)
    return {row["name"]: (row["outcome"], row["seen"]) for row in rows}, done.exit_code


def test_board_check_names_what_works_and_what_a_board_lacks(tmp_path):
    image = make_image(tmp_path, "esp32_gy521", without=())
    with VirtualBoard(image, speed=0, wiring=WIRINGS["esp32_gy521"]) as board:
        board.advance(5)
        found, exit_code = checked(board)
        restarted = board.wait_for("boot", cause="hard")
    assert found["board"] == ("ok", "esp32_gy521 on Generic ESP32 module with ESP32")
    assert found["bus"] == ("ok", "0x68 mpu6050")
    assert found["motion sensor"][0] == "ok"
    assert found["motion sensor"][1].startswith("mpu6050: self-test passed, ")
    assert found["its interrupt"][0] == "absent"
    assert found["battery"] == ("ok", "3900 mV")
    assert {found[part][0] for part in ("motor", "light", "button")} == {"look"}
    assert found["flash"][0] == "ok"
    # This board has no radio.
    assert found["radio"][0] == "failed"
    assert exit_code == 1
    assert restarted


def test_board_check_runs_the_motor_at_the_power_chip(tmp_path):
    image = make_image(tmp_path, "m5stack_core2", without=())
    with VirtualBoard(image, speed=0, wiring=WIRINGS["m5stack_core2"]) as board:
        board.advance(5)
        found, _ = checked(board)
        buzzes = felt(board.events, board.wiring.motor)
    assert found["bus"] == ("ok", "0x34 axp192, 0x68 mpu6886")
    assert found["motor"] == ("look", "ran for 0.4 s: did it buzz?")
    assert [buzz.lasts_s for buzz in buzzes] == [pytest.approx(0.45, abs=0.15)]


METERS = """
import time
from firmware.startup import power_meters
charging, battery_mv = power_meters()
while True:
    print("told", charging(), battery_mv())
    time.sleep_ms(1000)
"""


@pytest.mark.parametrize("name", ["m5stack_core2", "twatch_s3"])
def test_a_power_chip_tells_of_battery_and_charger_and_what_it_told_when_it_is_silent(name, tmp_path):
    main = tmp_path / "main.py"
    main.write_text(METERS)
    image = make_image(tmp_path, name, (main, "/main.py"))
    told = []
    with VirtualBoard(image, speed=0, wiring=WIRINGS[name], usb=False, battery_mv=3700) as board:
        for change in (
            lambda: board.set_usb(True),
            lambda: board.set_battery(4100),
            lambda: board.inject("nack", 3000),
            lambda: None,
        ):
            board.advance(3)
            told.append([line for line in bytes(board.console).split(b"\r\n") if line[:4] == b"told"][-1])
            change()
        board.advance(4)
        silent = [line for line in bytes(board.console).split(b"\r\n") if line[:4] == b"told"]
    # The AXP192 tells steps of 1.1 mV.
    voltages = [int(line.split()[2]) for line in told]
    # One failure of the bus is no cable that was pulled: the next look would take it for a charger just found.
    assert [line.split()[1] for line in told] == [b"False", b"True", b"True", b"True"]
    assert voltages == [pytest.approx(mv, abs=2) for mv in (3700, 3700, 4100, 0)]
    assert silent[-1].split()[1] == b"True"
    assert b"power chip: no answer" in board.console


@pytest.mark.parametrize("name", ["m5stack_core2", "twatch_s3"])
def test_board_check_and_status_tell_the_battery_that_the_power_chip_measures(name, tmp_path):
    image = make_image(tmp_path, name, without=())
    with VirtualBoard(image, speed=0, wiring=WIRINGS[name], battery_mv=3700) as board:
        board.advance(5)
        board.set_speed(1.0)
        status = json.loads(CliRunner().invoke(cli.app, ["status", "--port", board.port, "--json"]).stdout)
        found, _ = checked(board)
    assert status["device"]["battery_mv"] == pytest.approx(3700, abs=2)
    assert found["battery"][0] == "ok"


def test_board_check_finds_a_wire_that_is_missing_and_a_button_that_is_pressed(tmp_path):
    image = make_image(tmp_path, "xiao_esp32s3", without=())
    unwired = replace(
        WIRINGS["xiao_esp32s3"], chips=(replace(WIRINGS["xiao_esp32s3"].chips[0], int_pins=(7,)),)
    )
    with VirtualBoard(image, speed=0, wiring=unwired) as board:
        board.advance(5)
        board.on_event(lambda event: board.press(300) if event.data.get("name") == "led" else None)
        found, _ = checked(board, "--press")
    assert found["motion sensor"][0] == "ok"
    assert found["its interrupt"][0] == "failed"
    assert "check the wire to INT1" in found["its interrupt"][1]
    assert found["button"] == ("ok", "GPIO 2 was pressed and released")


def test_board_check_says_that_nothing_answers_where_the_sensor_is_not_connected(tmp_path):
    image = make_image(tmp_path, "xiao_esp32s3", without=())
    with VirtualBoard(image, speed=0, wiring=replace(WIRINGS["xiao_esp32s3"], chips=())) as board:
        board.advance(5)
        found, exit_code = checked(board)
    assert found["bus"] == ("failed", "nothing answers: check wiring and power")
    assert found["motion sensor"][0] == "failed"
    assert found["flash"][0] == "ok"
    assert exit_code == 1
