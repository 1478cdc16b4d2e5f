"""An application that fails never keeps the device from working: slots, trial, way back, watchdog, safe mode."""

import asyncio
import contextlib
import itertools
import json
import random
import shutil
from pathlib import Path

import pytest
from conftest import sweep_size
from typer.testing import CliRunner

from firmware.steplog import BOOT, STEPS
from retrostep import cli, flash, update
from retrostep.board import VirtualBoard, console, flash_image
from retrostep.cable import CableTransport
from retrostep.device_tree import device_files
from retrostep.link import Link, LinkError, UpdateState
from retrostep.logfiles import log_folder, read_log_files
from retrostep.store import Store
from retrostep.sync import sync
from retrostep.walker import demo_walk

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
        entries = [pair for pair in flash.installed_files() if pair[1] in ("/boot.py", "/main.py")]
        rest = [pair for pair in flash.installed_files() if pair not in entries]
        files = list(entries)
        slotted = [(here, there.removeprefix("/lib")) for here, there in rest]
        files += [(here, f"/a{there}") for here, there in slotted]
        files += [(here, f"/b{there}") for here, there in slotted if there != "/firmware/app.mpy"]
        (tmp_path / "app.py").write_text(source)
        (tmp_path / "slots").write_text(state)
        app = next(here for here, there in rest if there == "/firmware/app.mpy")
        files += [(tmp_path / "app.py", "/b/firmware/app.py"), (app, "/b/firmware/real.mpy")]
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


RARELY = """
import firmware.app
follow = firmware.app.Device._follow_local_time
def fail(self):
    follow(self)
    if self.clock.uptime_ms() > 100_000:
        raise RuntimeError("rare")
firmware.app.Device._follow_local_time = fail
"""


def test_crashes_with_a_healthy_minute_before_each_never_end_in_safe_mode(tmp_path):
    source = next(here for here, there in device_files() if there == "/main.py").read_text()
    start = "        from firmware.app import run\n"
    assert start in source
    (tmp_path / "rarely.py").write_text(RARELY)
    (tmp_path / "main.py").write_text(source.replace(start, "        import rarely\n" + start))
    image = tmp_path / "f.img"
    files = [pair for pair in flash.installed_files() if pair[1] != "/main.py"]
    flash_image.create(
        image, [*files, (tmp_path / "main.py", "/main.py"), (tmp_path / "rarely.py", "/lib/rarely.py")]
    )
    with VirtualBoard(image, speed=0) as board:
        board.advance(430)
        assert [event.data["cause"] for event in board.events if event.kind == "boot"] == ["power_on"] + [
            "hard"
        ] * 4
        assert b"safe mode" not in board.console


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


def test_three_hangs_in_a_row_end_in_safe_mode_although_nobody_could_count_them(slots_image):
    with VirtualBoard(slots_image(HANGS, "b b 0"), speed=0) as board:
        board.advance(110)
        assert [e.data["cause"] for e in board.events if e.kind == "boot"] == ["power_on"] + ["wdt"] * 3
        assert board.console.count(b"boot: safe mode") == 1


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


KEY = "5a" * 32


@pytest.fixture
def keyed(tmp_path):
    """An image of a device that has been paired, and the keys file of the computer that did."""
    image, settings, keys = tmp_path / "flash.img", tmp_path / "settings.json", tmp_path / "keys.json"
    settings.write_text(json.dumps({"update_key": KEY}))
    flash_image.create(image, [*flash.installed_files(), (settings, "/settings.json")])
    return image, keys


def device_id(board):
    return asyncio.run(over_cable(board, lambda link: link.status()))["device_id"]


async def over_cable(board, work, transport=CableTransport):
    async with transport(board.port) as cable:
        return await work(Link(cable))


def updated(board, keys):
    """Bring the board up to date over its cable; returns the bytes sent."""

    async def work(link):
        return await update.update(link, await link.status(), keys=keys)

    return asyncio.run(over_cable(board, work))


@contextlib.contextmanager
def newer_release(folder):
    """A release in which some files are others."""
    files = device_files()
    changed = {}
    for there in ("/firmware/clock.py", "/lib/journal.py"):
        source = next(here for here, where in files if where == there)
        changed[there] = folder / Path(there).name
        changed[there].write_text(source.read_text() + "\nRELEASE = 2\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            flash, "device_files", lambda: [(changed.get(there, here), there) for here, there in files]
        )
        yield


@pytest.fixture
def newer(tmp_path):
    with newer_release(tmp_path):
        yield


def test_an_update_over_the_link_restarts_into_the_new_slot_and_sends_only_what_is_new(
    keyed, newer, monkeypatch
):
    image, keys = keyed
    with VirtualBoard(image, speed=1.0) as board:
        keys.write_text(json.dumps({device_id(board): KEY}))
        with monkeypatch.context() as first:
            first.setattr(flash, "device_files", device_files)
            everything = updated(board, keys)
        board.wait_for("boot", cause="hard")
        board.set_speed(0)
        board.advance(TRUSTED_AFTER_S + 5)
        board.set_speed(1.0)
        # What the device has itself, it copies: of the application in the root only lib/ lies elsewhere.
        assert everything > 20_000
        assert 0 < updated(board, keys) < 10_000
        board.wait_for("boot", cause="hard")
        board.set_speed(0)
        board.advance(10)
        board.cut_power()
    assert slots(image) == "b a 2"
    assert "/b/firmware/clock.mpy" in flash_image.listing(image)


def test_an_update_that_is_not_signed_with_the_devices_key_is_refused_and_changes_nothing(keyed):
    image, keys = keyed
    with VirtualBoard(image, speed=1.0) as board:
        keys.write_text(json.dumps({device_id(board): "00" * 32}))
        with pytest.raises(LinkError, match="not signed with this device's key"):
            updated(board, keys)
    assert "/slots" not in flash_image.listing(image)
    assert not any(path.startswith(("/a/", "/b/")) for path in flash_image.listing(image))


def test_a_computer_without_the_key_is_told_to_flash_an_update_by_cable(keyed, tmp_path):
    image, _ = keyed
    with VirtualBoard(image, speed=1.0) as board, pytest.raises(LinkError, match="others flash by cable"):
        updated(board, tmp_path / "none.json")


XTENSAWIN = 10 << 10
OURS = XTENSAWIN | 3 << 8 | 6


class Stubborn:
    """A link whose device takes the manifest and then stays in one state, or goes round in the given ones."""

    def __init__(self, states, mpy=OURS):
        self._states = itertools.cycle(states)
        self._mpy = mpy

    async def update(self, action, body=b""):
        # Else a caller without end could not be cancelled.
        await asyncio.sleep(0)
        if action == update.MANIFEST:
            taken = int.from_bytes(body[:4], "little") + len(body) - 4
            return UpdateState(update.TAKING, taken, 0, 0, self._mpy)
        state, file, offset = next(self._states)
        return UpdateState(state, 0, file, offset, self._mpy)


@pytest.mark.parametrize(
    ("states", "says"),
    [
        ([(update.TAKING, 0, 0)], "does not get on: it was at byte 0 of file 0"),
        ([(update.TAKING, 0, 0), (update.TAKING, 0, 100)], "does not get on"),
        ([(update.COPYING, 3, 0)], "does not get on: it was at byte 0 of file 3"),
        ([(update.TAKING, 9_999, 0)], "wants file 9999, expected one of"),
    ],
)
def test_an_update_ends_although_the_device_does_not_get_on(tmp_path, states, says):
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"abc": KEY}))
    with pytest.raises(update.UpdateFailed, match=says):
        asyncio.run(asyncio.wait_for(update.update(Stubborn(states), {"device_id": "abc"}, keys=keys), 60))


@pytest.mark.parametrize(("mpy", "loads"), [(XTENSAWIN | 3 << 8 | 7, "7.3"), (XTENSAWIN | 1 << 8 | 6, "6.1")])
def test_a_device_that_cannot_load_what_the_compiler_makes_is_refused(tmp_path, mpy, loads):
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"abc": KEY}))
    link = Stubborn([(update.SWITCHED, 0, 0)], mpy)
    with pytest.raises(
        flash.FlashFailed, match=f"the device loads .mpy files of version {loads}, .* makes 6.3"
    ):
        asyncio.run(update.update(link, {"device_id": "abc"}, keys=keys))


def test_the_first_computer_sets_the_update_key_and_no_other_can_change_or_read_it(plain_image, tmp_path):
    image = shutil.copy(plain_image, tmp_path / "f.img")
    first, second = tmp_path / "first.json", tmp_path / "second.json"

    async def agree(link):
        name = (await link.status())["device_id"]
        ours = await update.agree_on_key(link, name, first), await update.agree_on_key(link, name, second)
        again = await update.agree_on_key(link, name, first)
        with pytest.raises(LinkError, match="set already"):
            await link.settings({"update_key": "11" * 32})
        return ours, again, (await link.settings()).values["update_key"]

    with VirtualBoard(image, speed=1.0) as board:
        assert asyncio.run(over_cable(board, agree)) == ((True, False), True, True)
    (key,) = json.loads(first.read_text()).values()
    assert first.stat().st_mode & 0o077 == 0
    assert json.loads(flash_image.read(image, "/settings.json"))["update_key"] == key


@pytest.fixture(scope="module")
def updated_image(tmp_path_factory):
    """A paired device that was updated once: a good application in slot a, steps in its log; its keys file."""
    folder = tmp_path_factory.mktemp("updated")
    image, settings, keys = folder / "flash.img", folder / "settings.json", folder / "keys.json"
    settings.write_text(json.dumps({"update_key": KEY, "placement": "pocket"}))
    flash_image.create(image, [*flash.installed_files(), (settings, "/settings.json")])
    with VirtualBoard(image, walk=demo_walk().recording("waist").samples, speed=0) as board:
        board.advance(120)
        board.set_speed(1.0)
        keys.write_text(json.dumps({device_id(board): KEY}))
        updated(board, keys)
        board.wait_for("boot", cause="hard")
        board.set_speed(0)
        board.advance(TRUSTED_AFTER_S + 5)
        board.cut_power()
    assert slots(image) == "a a 0"
    return image, keys


def records(image):
    with log_folder(image) as folder:
        log = read_log_files(folder)
    assert log.sound
    return list(log.records())


class PulledCable(CableTransport):
    """A cable that is pulled when `pulled_at` messages have been sent; None: never."""

    pulled_at: int | None = None
    sent = 0

    async def send(self, message):
        if self.sent == self.pulled_at:
            raise LinkError("the cable was pulled")
        self.sent += 1
        await super().send(message)


async def until_cut(board, keys, pulled_at=None):
    """Update until that is done, the board's power is off or the cable is pulled; returns the messages sent."""
    cable = PulledCable(board.port)
    cable.pulled_at = pulled_at

    async def work(link):
        return await update.update(link, await link.status(), keys=keys)

    task = asyncio.create_task(over_cable(board, work, lambda port: cable))
    while board.powered and not task.done():
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return cable.sent


@pytest.fixture(scope="module")
def undisturbed(updated_image, tmp_path_factory):
    """What an update to the newer release takes: flash operations, messages on the cable."""
    original, keys = updated_image
    folder = tmp_path_factory.mktemp("undisturbed")
    image = shutil.copy(original, folder / "flash.img")
    with newer_release(folder), VirtualBoard(image, speed=1.0) as board:
        before = board.flash_stats()
        messages = asyncio.run(until_cut(board, keys))
        board.wait_for("boot", cause="hard")
        after = board.flash_stats()
    return after.programs + after.erases - before.programs - before.erases, messages


KILLS = 120
PARTS = 10


@pytest.mark.parametrize("part", range(PARTS))
def test_power_or_cable_may_go_at_any_moment_of_an_update(
    part, updated_image, undisturbed, newer, tmp_path, request
):
    original, keys = updated_image
    operations, messages = undisturbed
    walked = records(original)
    assert sum(kind == STEPS for _, kind, _ in walked) > 0
    dice = random.Random(part)
    image = tmp_path / "f.img"
    kills = KILLS // PARTS if sweep_size(request.config, "update") == "full" else 1
    for number in range(part, part + kills):
        shutil.copy(original, image)
        with VirtualBoard(image, speed=1.0) as board:
            if number % 2:
                board.cut_at_flash_op(dice.randrange(1, operations + 1), torn=dice.random() < 0.5)
                asyncio.run(until_cut(board, keys))
            else:
                asyncio.run(until_cut(board, keys, pulled_at=dice.randrange(messages)))
            # Where it is still on, the transfer has ended: done, or its cable pulled.
            board.cut_power()
            started = starts(board)
            board.power_on()
            board.set_speed(0)
            board.advance(40)
            assert starts(board) == started + 1, bytes(board.console)[-500:]
            board.cut_power()
        # Never "a a 0 b": an application that had to be given up.
        assert slots(image) in ("a a 0", "b a 3", "b a 2", "b a 1")
        after = records(image)
        assert after[: len(walked)] == walked
        assert BOOT in [kind for _, kind, _ in after[len(walked) :]]
