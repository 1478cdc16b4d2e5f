"""How long syncs by Bluetooth take, for `make bench`: the whole chain on the virtual board and its paced radio.

The link carries PACKETS notifications of PACKET_BYTES in each connection interval, as a laptop and an ESP32 agree on
it; range, interference and what else the laptop's radio does are not in it. The computer's own speed is: on a busy
one the figures are worse.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from retrostep import flash, radio
from retrostep.board import VirtualBoard, flash_image
from retrostep.board.laptop import Laptop
from retrostep.board.radio import CONNECTION_INTERVAL_S, Air, BoardRadio, aioble_files
from retrostep.device_tree import use_device_code
from retrostep.flash import compile_file
from retrostep.link import Link
from retrostep.radio import Backend, RadioTransport
from retrostep.store import Store
from retrostep.sync import sync

use_device_code()

from firmware.logbook import Logbook  # noqa: E402

PACKETS = 4
PACKET_BYTES = 244
STEPS_A_DAY = 10_000
# Two months of log and the application do not fit the smallest partition.
FLASH_BLOCKS = 1024
_HOLD_MS = 3500
_MARCH = "x64"


@dataclass(frozen=True)
class SyncTime:
    """One whole sync: how long it took from the first request on, and the part of the link's bytes that was log."""

    seconds: float
    payload_of_link: float


def write_days(folder: Path, days: int | None = None, records: int | None = None) -> None:
    """A log of `days`, or of so many records, in the new `folder`, as the device writes it.

    The steps come in bouts of 5 to 125.
    """
    folder.mkdir()
    now_ms = 0
    logbook = Logbook(
        str(folder), lambda: now_ms, 77, 0, 0, "0.1.0", "physics-waist-1", "xiao_esp32s3", 16_000_000
    )
    chance = random.Random(2)
    steps = 0
    while steps < days * STEPS_A_DAY if days else logbook.journal.next_sequence <= (records or 0):
        direction = chance.randrange(3)
        count = chance.randrange(5, 126)
        first_ms = now_ms + 500
        for _ in range(count):
            now_ms += chance.randrange(460, 540)
            logbook.add_step(now_ms, direction, chance.randrange(60, 100), chance.randrange(50, 100))
            logbook.flush_if_due()
        logbook.add_bout(direction, 80, count, first_ms, now_ms)
        steps += count
        now_ms += 31_000
        logbook.flush_if_due()
        now_ms += chance.randrange(60_000, 900_000)
    logbook.close()


def installed_files(folder: Path) -> list[tuple[Path, str]]:
    """The device's files and aioble as `retrostep flash` and mip install them: compiled, aioble into `folder`."""
    files = list(flash.installed_files())
    for source, target in aioble_files():
        compiled = compile_file(source, target.lstrip("/"), folder, _MARCH)
        files.append((compiled, target.replace(".py", ".mpy")))
    return files


async def _sync(backend: Backend, database: Path, pair: bool) -> SyncTime | None:
    device = await radio.find(None, 5.0, backend)
    async with RadioTransport(device, backend, pair) as transport:
        link = Link(transport)
        if pair:
            await link.status()
            return None
        with Store(database) as store:
            started = time.perf_counter()
            result = await sync(link, store)
            seconds = time.perf_counter() - started
    capacity = PACKETS * PACKET_BYTES * seconds / CONNECTION_INTERVAL_S
    return SyncTime(seconds, result.payload_bytes / capacity)


def sync_time(days: int) -> SyncTime:
    """Sync a device that holds the log of so many days."""
    with tempfile.TemporaryDirectory(prefix="retrostep-bench-") as name:
        folder = Path(name)
        write_days(folder / "log", days=days)
        settings = folder / "settings.json"
        settings.write_text(json.dumps({"log_bytes": 2_000_000}))
        logs = [(path, f"/log/{path.name}") for path in (folder / "log").iterdir()]
        image = folder / "flash.img"
        files = [*installed_files(folder / "mpy"), (settings, "/settings.json"), *logs]
        flash_image.create(image, files, FLASH_BLOCKS)
        with Air(PACKETS) as air, VirtualBoard(image, speed=0, radio=BoardRadio(air)) as board:
            laptop = Laptop(air)
            backend = Backend(laptop.client, laptop.scanner)
            board.advance(1)
            board.press(_HOLD_MS)
            board.advance(5)
            asyncio.run(_sync(backend, folder / "db.sqlite3", pair=True))
            took = asyncio.run(_sync(backend, folder / "db.sqlite3", pair=False))
        assert took is not None
        return took
