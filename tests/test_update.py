"""An application that fails never keeps the device from working: slots, trial, way back, watchdog, safe mode."""

import asyncio
import json
import shutil

import pytest
from typer.testing import CliRunner

from retrostep import cli
from retrostep.board import VirtualBoard, console, flash_image
from retrostep.cable import CableTransport
from retrostep.device_tree import device_files
from retrostep.link import Link
from retrostep.store import Store
from retrostep.sync import sync

TRUSTED_AFTER_S = 5 * 60
HANGS = "def run(safe=False):\n    while True:\n        import time\n        time.sleep_ms(100)\n"
CRASHES = "def run(safe=False):\n    raise RuntimeError('broken on purpose')\n"
WORKS = (
    "def run(safe=False):\n    print('version', __file__)\n    from firmware.real import run\n    run(safe)\n"
)


@pytest.fixture(scope="module")
def plain_image(tmp_path_factory):
    path = tmp_path_factory.mktemp("update") / "flash.img"
    flash_image.create(path)
    return path


@pytest.fixture
def slots_image(plain_image, tmp_path):
    """make(active app's source, state of /slots): the good application in /a, another one in /b, none in the root."""

    def make(source, state):
        image = tmp_path / "slots.img"
        entries = [pair for pair in device_files() if pair[1] in ("/boot.py", "/main.py")]
        rest = [pair for pair in device_files() if pair not in entries]
        files = list(entries)
        slotted = [(here, there.removeprefix("/lib")) for here, there in rest]
        files += [(here, f"/a{there}") for here, there in slotted]
        files += [(here, f"/b{there}") for here, there in slotted if there != "/firmware/app.py"]
        (tmp_path / "app.py").write_text(source)
        (tmp_path / "slots").write_text(state)
        app = next(here for here, there in rest if there == "/firmware/app.py")
        files += [(tmp_path / "app.py", "/b/firmware/app.py"), (app, "/b/firmware/real.py")]
        files.append((tmp_path / "slots", "/slots"))
        flash_image.create(image, files)
        return image

    return make


def slots(image):
    return flash_image.read(image, "/slots").decode()


def starts(board):
    """How often the good application, the real one, said its name."""
    return board.console.count(b"Retrostep ")


def test_without_slots_the_application_in_the_root_starts(plain_image, tmp_path):
    with VirtualBoard(shutil.copy(plain_image, tmp_path / "f.img"), speed=0) as board:
        board.advance(5)
        assert starts(board) == 1


def test_a_good_update_is_trusted_after_five_minutes_of_measuring(slots_image):
    image = slots_image(WORKS, "b a 3")
    with VirtualBoard(image, speed=0) as board:
        board.advance(TRUSTED_AFTER_S - 10)
        assert b"version /b/firmware/app.py" in board.console
        board.cut_power()
    assert slots(image) == "b a 2"
    with VirtualBoard(image, speed=0) as board:
        board.advance(TRUSTED_AFTER_S + 20)
        board.cut_power()
    assert slots(image) == "b b 0"


@pytest.mark.parametrize(
    "source", [CRASHES, "this is not Python\n", HANGS], ids=["crashes", "damaged", "hangs"]
)
def test_an_update_that_fails_three_starts_gives_way_to_the_good_one(slots_image, tmp_path, source):
    image = slots_image(source, "b a 3")
    with VirtualBoard(image, speed=0) as board:
        board.advance(200 + TRUSTED_AFTER_S)
        causes = [event.data["cause"] for event in board.events if event.kind == "boot"]
        assert causes == ["power_on"] + ["wdt" if source == HANGS else "hard"] * 3
        assert starts(board) == 1
        assert b"back to a" in board.console
        board.set_speed(1.0)

        async def pull():
            async with CableTransport(board.port) as transport:
                with Store(tmp_path / "db.sqlite3") as store:
                    await sync(Link(transport), store)

        asyncio.run(pull())
        board.cut_power()
    assert slots(image) == "a a 0"
    told = json.loads(
        CliRunner().invoke(cli.app, ["crashes", "--db", str(tmp_path / "db.sqlite3"), "--json"]).stdout
    )
    assert "update in slot b was given up" in [crash["traceback"] for crash in told]


def test_an_application_that_hangs_later_is_reset_by_the_watchdog(slots_image):
    hang = WORKS.replace(
        "    run(safe)\n",
        "    import asyncio, time\n    def hang(*a):\n        while True: time.sleep_ms(50)\n"
        "    import firmware.logbook\n    firmware.logbook.Logbook.add_battery = hang\n    run(safe)\n",
    )
    with VirtualBoard(slots_image(hang, "b b 0"), speed=0) as board:
        board.advance(100)
        print(board.console)
        resets = [event.data["cause"] for event in board.events if event.kind == "reset"]
        assert resets[:2] == ["wdt", "wdt"]


def test_the_watchdog_is_fed_while_the_repl_is_used(plain_image, tmp_path):
    with VirtualBoard(shutil.copy(plain_image, tmp_path / "f.img"), speed=1.0) as board:
        board.wait_for_output(b"Retrostep")
        board.set_speed(20.0)
        link = board.serial()
        link.write(b"\r\x03")
        link.read_until(b">>> ")
        board.set_speed(0)
        board.advance(300)
        assert [event for event in board.events if event.kind == "reset"] == []
        # mpremote's soft reset, which stops every timer.
        board.set_speed(1.0)
        link.write(b"\x01")
        link.read_until(console.PROMPT)
        link.write(b"\x04")
        link.read_until(b"soft reboot")
        board.set_speed(0)
        board.advance(300)
        resets = [event.data["cause"] for event in board.events if event.kind == "reset"]
        assert resets == ["soft"]


def test_in_safe_mode_the_log_can_be_read_and_nothing_is_measured(plain_image, tmp_path):
    image = shutil.copy(plain_image, tmp_path / "f.img")
    with VirtualBoard(image, speed=0, script=[(500, "press", 60_000)]) as board:
        board.advance(1)
        board.set_speed(1.0)
        serial = board.serial()
        serial.write(b"\x03")
        serial.read_until(b">>> ")
        serial.write(b"import machine; machine.reset()\r")
        serial.read_until(b"safe mode")
        board.set_speed(0)
        board.advance(40)
        leds = [event for event in board.events if event.kind == "pin" and event.data["name"] == "led"]
        assert len(leds) > 10
        board.set_speed(1.0)

        async def ask():
            async with CableTransport(board.port) as transport:
                return await Link(transport).status()

        status = asyncio.run(ask())
        assert status["samples"] == 0
        assert status["next_sequence"] > 0


def test_a_crash_is_logged_with_its_traceback_and_told_again_at_powers_of_two(plain_image, tmp_path):
    image = shutil.copy(plain_image, tmp_path / "f.img")
    (tmp_path / "crash.log").write_text("Traceback (most recent call last):\n  File ...\nValueError: odd\n")
    counts = []
    for _ in range(5):
        flash_image.install(image, [(tmp_path / "crash.log", "/crash.log")])
        with VirtualBoard(image, speed=0) as board:
            board.advance(40)
            board.cut_power()
        assert "/crash.log" not in flash_image.listing(image)
    done = CliRunner().invoke(cli.app, ["log", "dump", str(image), "--json"])
    for line in done.stdout.splitlines():
        record = json.loads(line)
        if record["kind"] == "crash":
            counts.append(record["count"])
            assert "ValueError: odd" in record["traceback"]
    assert counts == [1, 2, 4]
