"""`retrostep flash` with the real mpremote: what travels, what is verified, what stays, what a person is told."""

import hashlib
import json
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from retrostep import flash
from retrostep.board import VirtualBoard, flash_image
from retrostep.board.radio import aioble_files
from retrostep.device_tree import device_files
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


def test_an_empty_device_is_flashed_by_mpremote(tmp_path):
    image = tmp_path / "empty.img"
    flash_image.create(image, [])
    with VirtualBoard(image, speed=1.0) as board:
        assert flash.flash(board.port, libraries=False, sources=True).slot == "a"
    assert flash_image.read(image, "/slots") == b"a a 0"
    assert flash_image.read(image, "/boot.py") == next(
        here.read_bytes() for here, there in device_files() if there == "/boot.py"
    )


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


def test_every_file_compiles_for_the_processors_of_the_boards_that_mpremote_flashes(tmp_path):
    for march in ("xtensawin", "rv32imc"):
        files = flash.compile_application(tmp_path / march, march)
        assert len(files) == len(device_files()) - 2
