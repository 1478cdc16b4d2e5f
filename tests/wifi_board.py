"""A virtual board that visits the Wi-Fi: what the tests of the device's own publishing stand on."""

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from umqtt_source import umqtt_files

from firmware import steplog
from firmware.gait.mounting import Mounting
from firmware.logbook import Logbook
from retrostep.board import VirtualBoard, flash_image
from retrostep.flash import installed_files

DEVICE_ID = bytes.fromhex("a0b1c2d3e4f5")
LOG_ID = 77
# The first visit is due after a minute; loading, joining and some hundred messages fit into the rest.
VISITED_S = 90


def wifi_setting(port, **changes):
    """The setting `wifi` for a broker on this computer."""
    wifi = {"ssid": "home", "password": "pass", "host": "127.0.0.1", "port": port, "tls": False}
    return {**wifi, "user": None, "secret": None, "every_h": 1, "window_s": 60, **changes}


@functools.cache
def umqtt():
    """umqtt for a flash image."""
    return umqtt_files(Path(tempfile.mkdtemp(prefix="retrostep-umqtt-")))


def create_image(image, wifi, files=()):
    """A flash image with the device's files, umqtt, `files`, and a calibrated clip that is set up for `wifi`."""
    settings = image.with_suffix(".settings.json")
    settings.write_text(
        json.dumps({"placement": "waist", "mounting": Mounting.clip().pack().hex(), "wifi": wifi})
    )
    flash_image.create(image, [*installed_files(), *umqtt(), *files, (settings, "/settings.json")])
    return image


def board_of(image, air="there", **options):
    """A board that stands still but for advance(); the Wi-Fi is as `air` says (VirtualBoard.set_wifi)."""
    return VirtualBoard(
        image,
        speed=0,
        unique_id=DEVICE_ID,
        extra_modules=("network",),
        wifi=air,
        **options,
    )


def printed(board):
    """What it printed so far."""
    return bytes(board.console).decode()


def spans(board, radio):
    """[(on_us, off_us)] of "wifi" or "bluetooth"."""
    times = [event.us for event in board.events if event.kind == radio]
    return list(zip(times[::2], times[1::2], strict=True))


def run_command(folder, words, typed=""):
    """The command line in a process of its own, its configuration in `folder`: (exit code, all that it printed)."""
    own = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config"), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "from retrostep.cli import main; main()", "--debug", *words],
        check=False,
        input=typed,
        env={**os.environ, **own},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def write_log(folder, bouts, first_utc_ms):
    """A log as the device writes it, in the new `folder`: a bout and an event an hour; files for a flash image."""
    folder.mkdir()
    now_ms = [0]
    logbook = Logbook(
        str(folder), lambda: now_ms[0], LOG_ID, 0, 0, "0.1.0", "physics-waist-1", "xiao_esp32s3"
    )
    logbook.add_anchor(0, first_utc_ms, 5, steplog.SOURCE_HOST)
    for number in range(bouts):
        now_ms[0] += 3_600_000
        first_ms = now_ms[0]
        for step in range(10 + number):
            now_ms[0] = first_ms + step * 500
            logbook.add_step(now_ms[0], number % 2, 90, None)
        logbook.add_bout(number % 2, None, 10 + number, first_ms, now_ms[0])
        logbook.add_event(now_ms[0], 0, 70)
        logbook.flush()
    logbook.close()
    return [(path, f"/log/{path.name}") for path in folder.iterdir()]
