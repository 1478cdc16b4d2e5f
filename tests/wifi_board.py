"""A virtual board that visits the Wi-Fi: what the tests of the device's own publishing stand on."""

import functools
import json
import tempfile
from pathlib import Path

from umqtt_source import umqtt_files

from firmware.gait.mounting import Mounting
from retrostep.board import VirtualBoard, flash_image
from retrostep.flash import installed_files

DEVICE_ID = bytes.fromhex("a0b1c2d3e4f5")
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


def board_of(image, air="there", script=(), **options):
    """A board that stands still but for advance(); the Wi-Fi is as `air` says (VirtualBoard.set_wifi)."""
    return VirtualBoard(
        image,
        speed=0,
        unique_id=DEVICE_ID,
        extra_modules=("network",),
        script=((0, "set_wifi", air), *script),
        **options,
    )


def printed(board):
    """What it printed so far."""
    return bytes(board.console).decode()


def spans(board, radio):
    """[(on_us, off_us)] of "wifi" or "bluetooth"."""
    times = [event.us for event in board.events if event.kind == radio]
    return list(zip(times[::2], times[1::2], strict=True))
