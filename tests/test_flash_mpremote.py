"""`retrostep flash` with the real mpremote: what travels, what is verified, what stays, what a person is told."""

import asyncio
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import sweep_size

from retrostep import flash
from retrostep.board import VirtualBoard, flash_image
from retrostep.board.radio import aioble_files
from retrostep.device_tree import device_files, device_root
from retrostep.logfiles import log_folder, read_log_files
from retrostep.walker import demo_walk


@pytest.fixture(scope="module")
def factory(tmp_path_factory):
    path = tmp_path_factory.mktemp("flash") / "flash.img"
    flash_image.create(path)
    return path


@pytest.fixture
def image(factory, tmp_path):
    return shutil.copy(factory, tmp_path / "flash.img")


@pytest.fixture
def newer_clock(monkeypatch, tmp_path):
    """A release in which one file is another."""
    changed = tmp_path / "clock.py"
    files = device_files()
    source = next(here for here, there in files if there == "/firmware/clock.py")
    changed.write_text(source.read_text() + "\nRELEASE = 2\n")
    monkeypatch.setattr(
        flash,
        "device_files",
        lambda: [(changed if there == "/firmware/clock.py" else here, there) for here, there in files],
    )


def test_flashed_by_mpremote_it_runs_from_a_slot_and_only_what_changed_travels(
    image, newer_clock, monkeypatch
):
    with VirtualBoard(image, walk=demo_walk().recording("waist").samples, speed=0) as board:
        board.advance(70)
        board.set_speed(1.0)
        with monkeypatch.context() as first:
            first.setattr(flash, "device_files", device_files)
            one = flash.flash(board.port, libraries=False)
            assert one.slot == "a"
            assert one.processor == "x64"
            again = flash.flash(board.port, libraries=False)
            assert (again.slot, again.sent) == ("", [])
            board.set_speed(0)
            board.advance(301)
            board.set_speed(1.0)
        two = flash.flash(board.port, libraries=False)
        assert two.slot == "b"
        assert two.sent == ["firmware/clock.mpy"]
        board.set_speed(0)
        board.advance(1)
    assert flash_image.read(image, "/slots") == b"b a 2"
    files = flash_image.listing(image)
    # The installation in the root is no longer needed once a slot is good.
    assert "/boot.py" in files
    assert "/a/firmware/app.mpy" in files
    assert "/b/journal.mpy" in files
    with log_folder(image) as folder:
        log = read_log_files(folder)
    assert log.sound
    assert sum(kind == 1 for _, kind, _ in log.records()) >= 4


def test_after_make_logs_the_app_runs_again(image, tmp_path):
    programs = Path(sys.executable).parent
    make = ["make", "-f", device_root() / "Makefile", "-o", ".venv/.ready", f"BIN={programs}", "logs"]
    with VirtualBoard(image, walk=demo_walk().recording("waist").samples, speed=1.0) as board:
        done = subprocess.run(
            [*make, f"PORT={board.port}"],
            check=False,
            capture_output=True,
            cwd=tmp_path,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert asyncio.run(flash._wait_for_samples(board.port)) is None
    assert "no crash log on the device" in done.stdout
    assert "Error" not in done.stdout + done.stderr
    assert list((tmp_path / "build" / "logs" / "log").iterdir())


def test_an_empty_device_is_flashed_by_mpremote(tmp_path):
    image = tmp_path / "empty.img"
    flash_image.create(image, [])
    # Compiling on the device takes the heap of one with PSRAM.
    with VirtualBoard(image, speed=1.0, heap="600k") as board:
        assert flash.flash(board.port, libraries=False, sources=True).slot == "a"
    assert flash_image.read(image, "/slots") == b"a a 0"
    assert flash_image.read(image, "/boot.py") == next(
        here.read_bytes() for here, there in device_files() if there == "/boot.py"
    )


def test_folders_that_an_installation_left_in_the_root_are_nothing_to_go_back_to(tmp_path):
    (tmp_path / "rest.py").write_text("")
    image = tmp_path / "tidied.img"
    flash_image.create(image, [(tmp_path / "rest.py", "/firmware/boards/rest.py")])
    with VirtualBoard(image, speed=1.0, heap="600k") as board:
        assert flash.flash(board.port, libraries=False, sources=True).slot == "a"
    assert flash_image.read(image, "/slots") == b"a a 0"


@pytest.fixture
def mip_index(tmp_path):
    """An index as mip fetches from, on this computer, with a package `aioble`."""
    root = tmp_path / "index"
    hashes = []
    for here, there in aioble_files():
        content = here.read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:8]
        (root / "file" / digest[:2]).mkdir(parents=True, exist_ok=True)
        (root / "file" / digest[:2] / digest).write_bytes(content)
        hashes.append([there.removeprefix("/lib/"), digest])
    for name, listed in (("aioble", hashes), ("umqtt.simple", [])):
        for version in ("6", "py"):
            folder = root / "package" / version / name
            folder.mkdir(parents=True)
            (folder / "latest.json").write_text(
                json.dumps({"v": 1, "version": "1", "hashes": listed, "deps": []})
            )

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=root))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_what_is_missing_is_installed_by_mip_through_mpremote(image, mip_index):
    with VirtualBoard(image, speed=1.0) as board:
        done = flash.flash(board.port, mip_index=mip_index)
        assert done.libraries == ["aioble", "umqtt.simple"]
        assert done.warnings == []
    assert "/lib/aioble/core.py" in flash_image.listing(image)


def test_without_the_internet_mpremote_still_flashes_and_says_that_there_is_no_radio(image):
    with VirtualBoard(image, speed=1.0) as board:
        done = flash.flash(board.port, mip_index="http://127.0.0.1:9")
    assert done.slot == "a"
    assert len(done.warnings) == 1
    assert "no radio yet" in done.warnings[0]


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"version": [1, 19, 1], "mpy": 10 << 10, "platform": "esp32"}, "expected 1.24 or newer"),
        ({"version": [1, 28, 0], "mpy": 0, "platform": "webassembly"}, "expected an ESP32"),
    ],
)
def test_a_device_that_cannot_run_the_firmware_is_refused_before_mpremote_copies(found, told):
    with pytest.raises(flash.FlashFailed, match=told):
        flash._check("/dev/x", found)


def test_files_that_the_device_could_not_load_are_refused_before_mpremote_copies(image, monkeypatch):
    ask = flash._ask

    def newer(port, script, *before):
        found = ask(port, script, *before)
        return {**found, "mpy": found["mpy"] + 1} if "mpy" in found else found

    monkeypatch.setattr(flash, "_ask", newer)
    says = r"loads \.mpy files of version 7\.3, .* makes 6\.3"
    with VirtualBoard(image, speed=1.0) as board, pytest.raises(flash.FlashFailed, match=says):
        flash.flash(board.port, libraries=False)
    assert not any(path.startswith("/a/") for path in flash_image.listing(image))


def test_byte_code_without_machine_code_is_loaded_whatever_its_second_number(tmp_path):
    path = tmp_path / "one.mpy"
    byte_code, older, same = (tmp_path / f"{name}.mpy" for name in ("byte_code", "older", "same"))
    for path, flags in ((byte_code, 0), (older, 10 << 2 | 2), (same, 10 << 2 | 3)):
        path.write_bytes(bytes([ord("M"), 6, flags, 31]))
    device = 10 << 10 | 3 << 8 | 6
    flash.check_compiled("/dev/x", {"byte_code.mpy": byte_code, "same.mpy": same}, device)
    with pytest.raises(flash.FlashFailed, match=r"makes 6\.2 \(older\.mpy\)"):
        flash.check_compiled("/dev/x", {"older.mpy": older}, device)


def test_every_file_compiles_for_the_processors_of_the_boards_that_mpremote_flashes(tmp_path):
    for march in ("xtensawin", "rv32imc"):
        files = flash.compile_application(tmp_path / march, march)
        assert len(files) == len(device_files()) - 2


# What a computer runs when it flashes a release in which three files are others; killed with all that it started.
FLASH = """
import sys
from pathlib import Path
from retrostep import flash
from retrostep.device_tree import device_files
folder, port = Path(sys.argv[1]), sys.argv[2]
files = device_files()
flash.device_files = lambda: [
    (folder / Path(there).name if (folder / Path(there).name).exists() else here, there) for here, there in files
]
flash.flash(port, libraries=False)
"""


@pytest.fixture(scope="module")
def in_use(factory, tmp_path_factory):
    """An image with a good application in slot a and steps in its log."""
    image = tmp_path_factory.mktemp("used") / "flash.img"
    shutil.copy(factory, image)
    with VirtualBoard(image, walk=demo_walk().recording("waist").samples, speed=0) as board:
        board.advance(100)
        board.set_speed(1.0)
        flash.flash(board.port, libraries=False)
        board.set_speed(0)
        board.advance(301)
        board.cut_power()
    assert flash_image.read(image, "/slots") == b"a a 0"
    return image


def other_release(folder):
    """The files that are others in the newer release, boot.py among them, in a new folder below `folder`."""
    folder = folder / "release"
    folder.mkdir()
    for there in ("/boot.py", "/firmware/clock.py", "/lib/journal.py"):
        source = next(here for here, where in device_files() if where == there)
        (folder / source.name).write_text(source.read_text() + "\nRELEASE = 2\n")
    return folder


@pytest.fixture
def release(tmp_path):
    return other_release(tmp_path)


def records(image):
    with log_folder(image) as folder:
        log = read_log_files(folder)
    assert log.sound
    return list(log.records())


def flashing(board, release):
    command = [sys.executable, "-c", FLASH, str(release), board.port]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def killed(process):
    # It may be done.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def operations(board):
    """How often the board has erased or programmed its flash."""
    stats = board.flash_stats()
    return stats.programs + stats.erases


@pytest.fixture(scope="module")
def undisturbed(in_use, tmp_path_factory):
    """Flash operations that it takes to flash the other release."""
    folder = tmp_path_factory.mktemp("undisturbed")
    image = shutil.copy(in_use, folder / "flash.img")
    with VirtualBoard(image, speed=0) as board:
        board.advance(2)
        before = operations(board)
        assert flashing(board, other_release(folder)).wait() == 0
        board.cut_power()
        assert flash_image.read(image, "/slots").split()[0] == b"b"
        return operations(board) - before


KILLS = 120
PARTS = 10


@pytest.mark.parametrize("part", range(PARTS))
def test_power_or_cable_may_go_at_any_moment_while_mpremote_flashes(
    part, in_use, undisturbed, release, tmp_path, request
):
    dice = random.Random(part)
    image = tmp_path / "f.img"
    walked = records(in_use)
    kills = KILLS // PARTS if sweep_size(request.config, "mpremote") == "full" else 1
    for number in range(part, part + kills):
        shutil.copy(in_use, image)
        moment = dice.randrange(1, undisturbed + 1)
        with VirtualBoard(image, speed=0) as board:
            board.advance(2)
            assert board.console.count(b"Retrostep ") == 1
            if number % 2:
                board.cut_at_flash_op(moment, torn=dice.random() < 0.5)
            last = operations(board) + moment
            process = flashing(board, release)
            while board.powered and process.poll() is None and operations(board) < last:
                time.sleep(0.001)
            # The cable, with all that ran at its other end.
            killed(process)
            board.cut_power()
            started = board.console.count(b"Retrostep ")
            board.power_on()
            board.advance(10)
            assert board.console.count(b"Retrostep ") == started + 1, bytes(board.console)[-500:]
            board.cut_power()
        # Never "a a 0 b": an application that had to be given up.
        assert flash_image.read(image, "/slots") in (b"a a 0", b"b a 3", b"b a 2", b"b a 1")
        assert records(image)[: len(walked)] == walked
