"""Days of wearing at a stretch: walks, rests, nights, syncs and faults at random; nothing leaks, nothing is lost.

`make test K=soak` lives 14 days, plain `make test` two.
"""

import asyncio
import json
import random

import numpy as np
import pytest
from conftest import sweep_size

from firmware.gait.mounting import Mounting
from retrostep.board import VirtualBoard, flash_image
from retrostep.cable import CableTransport
from retrostep.flash import installed_files
from retrostep.history import read_history
from retrostep.link import Link
from retrostep.store import Store
from retrostep.sync import sync
from retrostep.walker import Walk

MINUTE_S = 60
RATE_HZ = 104
FAULTS = ("nack", "bus_low", "stuck", "brownout")
FAULT_MS = (300, 3_000)
# A fault costs the samples until the sensor answers again, and the walk's first steps after that.
AFTER_FAULT_S = 25
HEAP_SLACK_BYTES = 2_048
MOST_MISSED_A_WALK = 3


def sitting(seconds, seed):
    """Somebody sits: breathing, and now and then a shift on the chair; no step."""
    dice = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    samples = np.tile(np.array([-300, -45, 2030, 0, 0, 0], np.int16), (len(t), 1))
    samples[:, 0] += (30 * np.sin(1.6 * t)).astype(np.int16)
    return samples + dice.integers(-3, 4, samples.shape).astype(np.int16)


class Wearer:
    """Lives with the board, and remembers what was walked and done to it."""

    def __init__(self, board, store, seed):
        self.board = board
        self.store = store
        self.dice = random.Random(seed)
        self.walks = []
        self.free_heap = []
        self.pressed = 0
        self._seed = seed

    def feel(self, samples):
        self.board.walk(samples)
        self.board.advance(len(samples) / RATE_HZ, timeout_s=600)

    def sit(self, minutes):
        for _ in range(minutes // 10):
            self._seed += 1
            self.feel(sitting(10 * MINUTE_S, self._seed))

    def walk(self):
        """A walk, forward or backward or both, perhaps with a fault of the sensor after it has begun."""
        self._seed += 1
        walk = Walk(self._seed).stand(3)
        for direction in self.dice.choice((("forward",), ("backward",), ("forward", "backward"))):
            walk = walk.walk(direction, seconds=self.dice.randrange(30, 180))
        recording = walk.stand(5).recording()
        truth_s = recording.step_times_s()
        fault = None
        if self.dice.randrange(6) == 0:
            after_ms = int(1000 * self.dice.uniform(10, truth_s[-1]))
            fault = after_ms / 1000, self.dice.randrange(*FAULT_MS)
            at_ms = self.board.now_us // 1000 + after_ms
            self.board.inject(self.dice.choice(FAULTS), fault[1], at_ms=at_ms)
        self.walks.append((len(truth_s), fault, truth_s))
        self.feel(recording.samples)

    def lie(self, hours):
        self.board.walk(None)
        self.board.advance(hours * 3600, timeout_s=600)

    def press(self):
        """The clip sits as it did."""
        self.board.press()
        self.pressed += 1
        self.board.advance(3)

    def sync(self):
        async def pull():
            async with CableTransport(self.board.port) as transport:
                link = Link(transport)
                await sync(link, self.store)
                return await link.status()

        self.board.set_speed(1.0)
        status = asyncio.run(pull())
        self.board.set_speed(0)
        self.board.advance(2)
        return status

    def day(self):
        """Worn three times, with an hour's walking in all, synced twice; between that, and at night, on the table."""
        for at in range(3):
            self.press()
            for _ in range(7):
                self.walk()
            self.sit(30)
            if at:
                # The cable is plugged in; a press keeps it awake until it is seen.
                self.press()
                status = self.sync()
            self.lie(6)
        self.free_heap.append(status["free_heap"])


def missed(walks, logged):
    """Steps that are missing beyond what the faults explain."""
    allowed = 0
    for _, fault, truth_s in walks:
        allowed += MOST_MISSED_A_WALK
        if fault:
            begin, lasts_ms = fault
            end = begin + lasts_ms / 1000 + AFTER_FAULT_S
            allowed += int(np.count_nonzero((truth_s >= begin - 3) & (truth_s <= end)))
    return sum(count for count, _, _ in walks) - logged - allowed


@pytest.mark.timeout(480)
def test_soak_days_of_walks_rests_nights_syncs_and_faults_leak_nothing_and_lose_nothing(tmp_path, request):
    days = 14 if sweep_size(request.config, "soak") == "full" else 2
    stored = tmp_path / "settings.json"
    stored.write_text(json.dumps({"placement": "waist", "mounting": Mounting.clip().pack().hex()}))
    image = tmp_path / "flash.img"
    flash_image.create(image, [*installed_files(), (stored, "/settings.json")])
    with VirtualBoard(image, usb=False, speed=0) as board, Store(tmp_path / "db.sqlite3") as store:
        wearer = Wearer(board, store, seed=5)
        board.advance(5)
        for _ in range(days):
            wearer.day()
        board.walk(sitting(60, 1))
        board.advance(10)
        wearer.press()
        wearer.sync()
        boots = [event.data["cause"] for event in board.events if event.kind == "boot"]
        faults = [event for event in board.events if event.kind == "fault"]
        history = read_history(store)
    # A reset that nobody wanted would be "hard" or "wdt"; the nights end in a start from deep sleep.
    assert boots == ["power_on"] + ["deepsleep"] * 3 * days
    assert b"Traceback" not in board.console
    assert abs(wearer.free_heap[-1] - wearer.free_heap[0]) <= HEAP_SLACK_BYTES, wearer.free_heap
    walked = sum(count for count, _, _ in wearer.walks)
    print(
        f"{days} days, {walked} steps, {len(history.steps)} logged, {len(faults)} faults, {wearer.free_heap}"
    )
    assert len(faults) >= days
    assert missed(wearer.walks, len(history.steps)) <= 0
    assert len(history.steps) <= walked * 1.02
    told = [problem.kind for problem in history.problems]
    print(told)
    # Nothing but what was done to it: no press and no night is taken for a sensor that fails.
    assert told.count("fault") <= len(faults)
    assert set(told) <= {"fault"}


@pytest.mark.parametrize("directions", [("backward", "forward")])
def test_soak_of_an_hour_of_walking_without_a_pause_keeps_its_heap(tmp_path, directions):
    """No night clears this heap: what leaks at each step shows."""
    stored = tmp_path / "settings.json"
    stored.write_text(json.dumps({"placement": "waist", "mounting": Mounting.clip().pack().hex()}))
    image = tmp_path / "flash.img"
    flash_image.create(image, [*installed_files(), (stored, "/settings.json")])
    walk = Walk(3)
    for direction in directions:
        walk = walk.walk(direction, seconds=300)
    samples = walk.recording().samples
    with VirtualBoard(image, speed=0) as board, Store(tmp_path / "db.sqlite3") as store:
        wearer = Wearer(board, store, seed=1)
        free = []
        for _ in range(6):
            wearer.feel(samples)
            free.append(wearer.sync()["free_heap"])
    assert min(free[1:]) >= free[0] - HEAP_SLACK_BYTES, free
