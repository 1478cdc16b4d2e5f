"""A virtual board with its radio, and the laptop beside it: what the tests of the Bluetooth link stand on."""

import asyncio
import functools
import json
import random
import tempfile
from pathlib import Path

from firmware.gait.mounting import Mounting
from firmware.logbook import Logbook
from retrostep import radio
from retrostep.board import flash_image
from retrostep.board.laptop import Laptop
from retrostep.history import read_history
from retrostep.link import Link
from retrostep.logfiles import log_folder, read_log_files
from retrostep.radio import Backend, RadioTransport
from retrostep.radio_bench import installed_files
from retrostep.store import Store
from retrostep.sync import sync

HOLD_MS = 3500
LOGGED_STEPS = 12_000
# How often a board is heard that advertises: more often than it asks for, or tests would mostly wait for that.
HEARD_AT_ONCE_S = 0.02


def write_log(folder):
    """A log of nearly two hours' steps without a rest, as the device writes it, in the new folder `folder`."""
    folder.mkdir()
    now_ms = [0]
    logbook = Logbook(str(folder), lambda: now_ms[0], 77, 0, 0, "0.1.0", "physics-waist-1", "xiao_esp32s3")
    directions = random.Random(1)
    for _ in range(LOGGED_STEPS):
        now_ms[0] += directions.randrange(400, 700)
        logbook.add_step(now_ms[0], directions.randrange(4), directions.randrange(60, 100), None)
        logbook.flush_if_due()
    logbook.close()


def make_image(image, folder, **settings):
    """A flash image with the device's files, aioble, a calibrated clip, `settings`, and the log in `folder`."""
    stored = folder / "settings.json"
    values = {"placement": "waist", "mounting": Mounting.clip().pack().hex(), **settings}
    stored.write_text(json.dumps(values))
    logs = [(path, f"/log/{path.name}") for path in folder.glob("log/*")]
    flash_image.create(image, [*device_and_aioble(), (stored, "/settings.json"), *logs])


@functools.cache
def device_and_aioble():
    return installed_files(Path(tempfile.mkdtemp(prefix="retrostep-compiled-")))


class Desk:
    """A board with its radio, and the laptop beside it."""

    def __init__(self, board, board_radio, laptop, tmp_path):
        self.board = board
        self.radio = board_radio
        self.laptop = laptop
        self.backend = Backend(laptop.client, laptop.scanner)
        self.db = tmp_path / "radio.sqlite3"

    def hold(self, wait_s=5.0):
        """Hold the button until the window opens."""
        self.board.press(HOLD_MS)
        self.board.advance(wait_s)

    async def _over(self, work, pair, backend):
        device = await radio.find(None, 2.0, backend)
        async with RadioTransport(device, backend, pair) as transport:
            return await work(transport)

    def over(self, work, pair=False, backend=None):
        """Run work(transport) on a link to the board."""
        return asyncio.run(self._over(work, pair, backend or self.backend))

    def pair(self, backend=None):
        return self.over(lambda transport: Link(transport).status(), pair=True, backend=backend)

    def sync(self, on_progress=lambda done, total: None):
        with Store(self.db) as store:
            return self.over(lambda transport: sync(Link(transport), store, on_progress))

    def stored(self):
        with Store(self.db) as store:
            (log,) = store.logs()
            return list(store.records(log["id"]))

    def history(self):
        with Store(self.db) as store:
            return read_history(store)


def logged(image):
    with log_folder(image) as folder:
        return list(read_log_files(folder).records())


def bonded_peers(image):
    """How many peers the board's bonds file holds."""
    if "/bonds.json" not in flash_image.listing(image):
        return 0
    return len({key for _, key, _ in json.loads(flash_image.read(image, "/bonds.json"))})


def stranger(air):
    laptop = Laptop(air, "D0:00:00:00:00:02")
    return Backend(laptop.client, laptop.scanner)
