"""Syncs over the virtual radio that break at every place where they can: nothing is lost, doubled or pruned too soon.

A sync that broke is resumed by the next one, which breaks one packet later, and so on to the end of the log: each cut
meets the real link, and each resumes what the cut before it left behind. In full with `make test K=dropsweep`, else
a seeded sample.
"""

import asyncio
import random
import shutil
from dataclasses import dataclass

import pytest
from conftest import sweep_size

from firmware import steplog
from retrostep.board import VirtualBoard
from retrostep.link import Link
from retrostep.logfiles import read_log_files
from retrostep.radio import LinkLost
from retrostep.store import Store
from retrostep.sync import sync

pytest.importorskip("bumble", reason="the virtual radio's Bluetooth stack needs Python 3.11 or newer")

from desk import HEARD_AT_ONCE_S, Desk, logged, make_image

from retrostep.board.laptop import Laptop
from retrostep.board.radio import Air, BoardRadio
from retrostep.radio_bench import write_days

RECORDS = 2000
SAMPLE_RECORDS = 250
# STATUS, five CLOCKs, ANCHOR, STATUS: a packet each, before the first of the log.
GREETING_PACKETS = 8
BATCH_PACKETS = 70


@pytest.fixture
def full(request):
    return sweep_size(request.config, request.node.name) == "full"


@dataclass
class Days:
    """An image with a log of some days on it, and the records of that log."""

    image: object
    records: list


@pytest.fixture
def days(tmp_path, full, spare_bytes):
    """spare_bytes: what the log's budget leaves free."""
    folder = tmp_path / "made"
    folder.mkdir()
    write_days(folder / "log", records=RECORDS if full else SAMPLE_RECORDS)
    log_bytes = sum(path.stat().st_size for path in (folder / "log").iterdir())
    make_image(tmp_path / "flash.img", folder, log_bytes=max(log_bytes + spare_bytes, 65_536))
    return Days(tmp_path / "flash.img", list(read_log_files(folder / "log").records()))


@pytest.fixture
def air():
    with Air(advertising_interval_s=HEARD_AT_ONCE_S) as space:
        yield space


@pytest.fixture
def desk(days, air, tmp_path):
    board_radio = BoardRadio(air)
    with VirtualBoard(days.image, speed=0, radio=board_radio) as board:
        board.advance(1)
        yield Desk(board, board_radio, Laptop(air), tmp_path)
        print(board.console.decode(errors="replace")[-4000:])


class Home:
    """The wearer's database, and what must hold of it whenever a sync has ended, however it did."""

    def __init__(self, path, known):
        self._path = path
        self._known = known
        self.cursor = 0

    async def resume(self, transport):
        """One more sync; before it, the device takes nothing for safe, and has pruned nothing, that is not."""
        link = Link(transport)
        status = await link.status()
        assert status["acknowledged"] <= max(self.cursor, 1)
        assert status["oldest_sequence"] <= max(self.cursor, 1)
        with Store(self._path) as store:
            return await sync(link, store)

    def stored(self):
        with Store(self._path) as store:
            return [record for log in store.logs() for record in store.records(log["id"])]

    def check(self):
        """The log so far, without hole or duplicate, and as the device wrote it."""
        stored = self.stored()
        with Store(self._path) as store:
            self.cursor = max((log["next_sequence"] for log in store.logs()), default=0)
        assert [sequence for sequence, _, _ in stored] == list(range(1, self.cursor or 1))
        assert stored[: len(self._known)] == self._known[: len(stored)]


def assert_home_has_the_whole_log(home, image):
    """Every record that lies on the device, and before the oldest of them nothing that is not at home."""
    stored, on_device = home.stored(), logged(image)
    common = [record for record in on_device if record[0] < home.cursor]
    assert stored[-len(common) :] == common
    # What the device wrote after the sync's last batch: the battery's voltage, if anything.
    assert len(on_device) - len(common) <= 1
    assert not [kind for _, kind, _ in stored if kind == steplog.GAP]
    return on_device


# The anchors of the sweep fill what is spare: then the device has to prune, and may only what is acknowledged.
@pytest.mark.parametrize("spare_bytes", [12_000])
def test_ble_dropsweep_link_cut_at_every_packet_of_a_sync_loses_and_doubles_nothing(desk, days, air, full):
    chance = random.Random(6)
    desk.hold()
    desk.pair()
    home = Home(desk.db, days.records)
    cuts = 0
    packet = 0 if full else chance.randrange(GREETING_PACKETS)
    while True:
        before = home.cursor
        packet += 1 if full else chance.randrange(1, BATCH_PACKETS // 2)
        # One status more than a sync has, in resume().
        air.cut_after(1 + packet)
        try:
            desk.over(home.resume)
        except LinkLost:
            cuts += 1
        else:
            home.check()
            break
        home.check()
        if before < home.cursor < len(days.records):
            # A batch is home: the next sync begins with the one behind it, whose greeting has been cut enough.
            packet = GREETING_PACKETS
    desk.board.cut_power()
    on_device = assert_home_has_the_whole_log(home, days.image)
    print(f"{cuts} cuts, {len(home.stored())} records home, {len(on_device)} of them still on the device")
    assert cuts >= (900 if full else 6)
    if full:
        assert len(on_device) < len(home.stored()), (
            "the device never had to prune: the sweep proves less than it says"
        )


@pytest.mark.parametrize("spare_bytes", [500_000])
def test_ble_dropsweep_power_cut_at_random_points_of_a_sync_loses_and_doubles_nothing(
    days, air, full, tmp_path
):
    chance = random.Random(7)
    cuts = 0
    while cuts < (200 if full else 6):
        # From the same image and with an empty database, until a sync comes to the log's end before the cut.
        image = shutil.copy(days.image, tmp_path / "round.img")
        board_radio = BoardRadio(air)
        with VirtualBoard(image, speed=0, radio=board_radio) as board:
            desk = Desk(board, board_radio, Laptop(air), tmp_path)
            home = Home(tmp_path / f"home{cuts}.sqlite3", days.records)
            board.advance(1)
            desk.hold()
            desk.pair()
            while not resumed_up_to_the_end(desk, air, home, chance):
                cuts += 1
                board.power_on()
                board.advance(1)
                desk.hold()
            board.cut_power()
            asyncio.run(desk.laptop.switch_off())
        assert_home_has_the_whole_log(home, image)
    print(f"{cuts} cuts")


def resumed_up_to_the_end(desk, air, home, chance):
    """One more sync with a cut at a random point; True if its end came first."""
    left = None
    if chance.randrange(3):
        left = chance.randrange(1, GREETING_PACKETS + BATCH_PACKETS)
    else:
        desk.board.cut_at_flash_op(chance.randrange(1, 25), torn=bool(chance.randrange(2)))

    def cut_when_due(controller):
        nonlocal left
        left = None if left is None else left - 1
        if left == 0:
            desk.board.cut_power()

    air.on_sent(cut_when_due)
    try:
        desk.over(home.resume)
    except LinkLost:
        assert not desk.board.powered
    left = None
    home.check()
    return desk.board.powered
