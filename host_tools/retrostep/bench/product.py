"""Speed, log, sync and report of the whole product, measured on synthetic walks; none of them is an accuracy.

What takes time depends on the computer and on what else it does.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from retrostep import diary, energy, interpreter
from retrostep.bench.figure import Figure
from retrostep.board import VirtualBoard, flash_image
from retrostep.cable import CableTransport
from retrostep.demo import device_settings
from retrostep.device_tree import device_root
from retrostep.evaluation.timed_walks import TOLERANCE_S, timing_errors
from retrostep.flash import installed_files
from retrostep.history import read_history
from retrostep.link import Link
from retrostep.recording import Recording
from retrostep.replay import Replayer
from retrostep.store import Store
from retrostep.sync import sync
from retrostep.walker import Walk

# The command, start-up of the interpreter included.
RUN = "from retrostep.cli import main; main()"


def ten_minutes(placement: str) -> Recording:
    """A synthetic walk of ten minutes, a third of it backward."""
    walk = Walk(seed=9).stand(3)
    for _ in range(5):
        walk = walk.walk("forward", seconds=76).turn(180, seconds=3).walk("backward", seconds=36).stand(4)
    return walk.recording(placement)


def replay_speed(placement: str) -> Figure:
    """How much faster than life the gait code runs over a recording in MicroPython, start-up included."""
    recording = ten_minutes(placement)
    with Replayer() as replayer:
        started = time.perf_counter()
        replayer.replay(recording)
        took_s = time.perf_counter() - started
    return Figure(
        f"replay_speed_{placement}", recording.duration_s / took_s, "x real time", 200, at_least=True
    )


async def _sync(port: str, store: Store) -> tuple[int, float]:
    async with CableTransport(port) as transport:
        started = time.perf_counter()
        result = await sync(Link(transport), store)
        return result.payload_bytes, time.perf_counter() - started


def board_hour() -> Iterator[Figure]:
    """An hour of walking on the virtual board, then its sync by cable."""
    recording = ten_minutes("waist")
    with tempfile.TemporaryDirectory(prefix="retrostep-bench-") as name:
        folder = Path(name)
        settings = folder / "settings.json"
        settings.write_text(json.dumps(device_settings(recording)))
        image = folder / "flash.img"
        flash_image.create(image, [*installed_files(), (settings, "/settings.json")])
        took_s = 0.0
        with VirtualBoard(image, walk=recording.samples, speed=0) as board:
            started = time.perf_counter()
            board.advance(recording.duration_s)
            took_s += time.perf_counter() - started
            board.set_speed(1.0)
            with Store(folder / "db.sqlite3") as store:
                payload_bytes, sync_s = asyncio.run(_sync(board.port, store))
                steps = len(read_history(store).steps)
            flash = board.flash_stats()
    yield Figure("board_hour_wall", took_s * 3600 / recording.duration_s, "s", 60)
    yield Figure("log_bytes_per_step", payload_bytes / steps, "bytes", 2.8)
    yield Figure("cable_sync_ten_minutes", sync_s, "s", 1.5)
    yield Figure("flash_violations", flash.violations, "programs 0 to 1", 0)


def flash_wear(days: int = 365) -> Iterator[Figure]:
    """A year of 10,000 steps in 150 bouts a day, synced daily, on a 2 MiB volume of real littlefs."""
    script = device_root() / "tests" / "micropython" / "wear.py"
    done = interpreter.run(script, str(device_root()), str(days), heap="24M", timeout_s=600)
    year = json.loads(done.stdout)
    yield Figure("log_bytes_per_step_worst_case", year["bytes_per_step"], "bytes", 2.8)
    yield Figure("log_days_until_full", year["full_after_days"], "days", 60, at_least=True)
    yield Figure("log_flushes_a_day", year["flushes_a_day"], "flushes", 400)
    yield Figure("log_erases_per_flush", year["erases"] / year["flushes"], "erases", 1.3)
    ten_years = year["worst_block_erases"] * 3650 / year["days"]
    yield Figure("worst_block_in_ten_years", ten_years, "erases", 10_000)


def reports() -> Iterator[Figure]:
    """A report of a year and of ten, from raw records that nobody has looked at before."""
    for years, limit_s in ((1, 5), (10, 30)):
        with tempfile.TemporaryDirectory(prefix="retrostep-bench-") as name:
            database, page = Path(name) / "db.sqlite3", Path(name) / "report.html"
            with Store(database) as store:
                diary.fill(store, years)
            command = [sys.executable, "-c", RUN, "report", str(page), "--db", str(database)]
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            yield Figure(f"report_of_years_{years}", time.perf_counter() - started, "s", limit_s)
            yield Figure(f"report_page_of_years_{years}", page.stat().st_size / 1e6, "MB", 3)


def walk_tests(walks: int = 20) -> Iterator[Figure]:
    """How far the 3-metre test's start and end are from the truth, on simulated walks."""
    for placement in ("waist", "shoe"):
        errors = [
            max(abs(error.start_s or 0), abs(error.end_s or 0))
            for error in timing_errors(placement, range(1, walks + 1))
        ]
        yield Figure(f"walk_test_error_{placement}", statistics.median(errors), "s, median", 0.1)
        share = 100 * sum(error <= TOLERANCE_S for error in errors) / walks
        limit = 95 if placement == "waist" else 85
        yield Figure(f"walk_test_right_{placement}", share, "% within 0.3 s", limit, at_least=True)


def radio_syncs() -> Iterator[Figure]:
    """Syncs by Bluetooth; left out, with a word, where its virtual stack is not installed."""
    try:
        from retrostep.radio_bench import sync_time
    except ImportError as missing:
        print(f"syncs by Bluetooth not timed: {missing}", file=sys.stderr)
        return
    yield Figure("radio_sync_day", sync_time(1).seconds, "s", 1.5)
    two_months = sync_time(60)
    yield Figure("radio_sync_60_days", two_months.seconds, "s", 60)
    share = 100 * two_months.payload_of_link
    yield Figure("radio_payload_of_link", share, "% of its bytes", 85, at_least=True)


def battery() -> Iterator[Figure]:
    """How many days of the profile (energy.py) a cell of 500 mAh lasts, by the highest and the lowest currents."""
    life = energy.days_of_life(energy.profile_day())
    yield Figure("battery_days_at_least", life.low, "days", 7, at_least=True)
    yield Figure("battery_days_at_most", life.high, "days", None)


def figures() -> Iterator[Figure]:
    """All of them, measured one after the other."""
    for placement in ("waist", "shoe"):
        yield replay_speed(placement)
    yield from walk_tests()
    yield from board_hour()
    yield from radio_syncs()
    yield from flash_wear()
    yield from battery()
    yield from reports()
