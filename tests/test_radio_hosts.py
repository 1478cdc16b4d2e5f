"""Several hosts, several devices, erased flash, restored copies: what the databases hold then, by the real chain."""

import asyncio
import shutil

import pytest

from retrostep import radio
from retrostep.board import VirtualBoard
from retrostep.link import Link
from retrostep.radio import Backend, RadioTransport
from retrostep.store import Store
from retrostep.sync import LogWentBack, sync

pytest.importorskip("bumble", reason="the virtual radio's Bluetooth stack needs Python 3.11 or newer")

from desk import HEARD_AT_ONCE_S, HOLD_MS, logged, make_image

from retrostep.board.laptop import Laptop
from retrostep.board.radio import Air, BoardRadio
from retrostep.radio_bench import write_days

RECORDS = 250
OTHER_ADDRESS = "C0:34:85:18:AA:02"
SAME_ID = bytes.fromhex("348518000001")


@pytest.fixture
def air():
    with Air(advertising_interval_s=HEARD_AT_ONCE_S) as space:
        yield space


@pytest.fixture
def image(tmp_path):
    write_days(tmp_path / "log", records=RECORDS)
    make_image(tmp_path / "flash.img", tmp_path)
    return tmp_path / "flash.img"


class Host:
    """A computer with Bluetooth and a database."""

    def __init__(self, air, path, address="D0:00:00:00:00:01"):
        laptop = Laptop(air, address)
        self._backend = Backend(laptop.client, laptop.scanner)
        self.path = path

    def sync(self, board_radio, pair=False):
        async def run():
            device = await radio.find(board_radio.address, 2.0, self._backend)
            async with RadioTransport(device, self._backend, pair) as transport:
                with Store(self.path) as store:
                    return await sync(Link(transport), store)

        return asyncio.run(run())

    def logs(self):
        """{(device, log id): its records}"""
        with Store(self.path) as store:
            return {(log["device_id"], log["log_id"]): list(store.records(log["id"])) for log in store.logs()}

    def records(self):
        """Of the only log there is."""
        ((_, records),) = self.logs().items()
        return records


def start(image, board_radio, **options):
    return VirtualBoard(image, speed=0, radio=board_radio, **options)


def open_window(board):
    board.advance(1)
    board.press(HOLD_MS)
    board.advance(5)


def sequences(records):
    return [sequence for sequence, _, _ in records]


def test_ble_two_hosts_each_get_the_whole_log_whoever_acknowledged_first(image, air, tmp_path):
    first = Host(air, tmp_path / "first.sqlite3")
    second = Host(air, tmp_path / "second.sqlite3", "D0:00:00:00:00:02")
    board_radio = BoardRadio(air)
    with start(image, board_radio) as board:
        for host in (first, second):
            open_window(board)
            host.sync(board_radio, pair=True)
            board.advance(130)
        for host in (first, second, first):
            open_window(board)
            assert host.sync(board_radio).missing == 0
            board.advance(70)
        board.cut_power()
    on_device = logged(image)
    for host in (first, second):
        records = host.records()
        assert records == on_device[: len(records)]
        assert len(records) > RECORDS


def test_ble_host_that_comes_late_is_told_how_much_was_pruned_as_another_had_it(tmp_path, air):
    write_days(tmp_path / "log", records=900)
    log_bytes = sum(path.stat().st_size for path in (tmp_path / "log").iterdir())
    image = tmp_path / "flash.img"
    make_image(image, tmp_path, log_bytes=log_bytes + 1500)
    first = Host(air, tmp_path / "first.sqlite3")
    late = Host(air, tmp_path / "late.sqlite3", "D0:00:00:00:00:02")
    board_radio = BoardRadio(air)
    with start(image, board_radio) as board:
        open_window(board)
        first.sync(board_radio, pair=True)
        for _ in range(40):
            # Each sync logs an anchor: what is acknowledged has to make room.
            first.sync(board_radio)
        board.advance(130)
        open_window(board)
        result = late.sync(board_radio, pair=True)
        board.cut_power()
    assert result.missing > 0
    assert sequences(first.records()) == list(range(1, len(first.records()) + 1))
    assert sequences(late.records())[0] == result.missing + 1
    assert late.records()[: len(logged(image))] == logged(image)[: len(late.records())]


def test_ble_two_devices_in_one_database_keep_a_log_each(image, air, tmp_path):
    other_image = shutil.copy(image, tmp_path / "other.img")
    host = Host(air, tmp_path / "home.sqlite3")
    radios = (BoardRadio(air), BoardRadio(air, address=OTHER_ADDRESS))
    with start(image, radios[0], seed=1) as one, start(other_image, radios[1], seed=2) as other:
        for board in (one, other):
            open_window(board)
        for board_radio in radios:
            assert host.sync(board_radio, pair=True).records > RECORDS
        for board in (one, other):
            board.cut_power()
        logs = host.logs()
        assert {device for device, _ in logs} == {board.unique_id.hex() for board in (one, other)}
        for board, path in ((one, image), (other, other_image)):
            (records,) = (found for (device, _), found in logs.items() if device == board.unique_id.hex())
            assert records == logged(path)[: len(records)]


def test_ble_device_whose_flash_was_erased_begins_a_log_of_its_own_and_the_old_one_stays(
    image, air, tmp_path
):
    host = Host(air, tmp_path / "home.sqlite3")
    board_radio = BoardRadio(air)
    with start(image, board_radio, unique_id=SAME_ID) as board:
        open_window(board)
        host.sync(board_radio, pair=True)
    old = host.records()
    (tmp_path / "empty").mkdir()
    make_image(tmp_path / "new.img", tmp_path / "empty")
    # The bonds went with the flash: the host, too, has to forget and pair anew.
    again = Host(air, host.path, "D0:00:00:00:00:02")
    with start(tmp_path / "new.img", board_radio, unique_id=SAME_ID) as board:
        open_window(board)
        again.sync(board_radio, pair=True)
        board.cut_power()
    logs = host.logs()
    assert {device for device, _ in logs} == {SAME_ID.hex()}
    kept, new = logs.values()
    assert kept == old
    assert new == logged(tmp_path / "new.img")[: len(new)]
    assert sequences(new)[0] == 1


def test_ble_database_restored_from_a_backup_gets_again_what_it_has_lost(image, air, tmp_path):
    host = Host(air, tmp_path / "home.sqlite3")
    board_radio = BoardRadio(air)
    with start(image, board_radio) as board:
        open_window(board)
        host.sync(board_radio, pair=True)
        shutil.copy(host.path, tmp_path / "backup.sqlite3")
        before = len(host.records())
        for _ in range(5):
            host.sync(board_radio)
        newest = host.records()
        shutil.copy(tmp_path / "backup.sqlite3", host.path)
        assert len(host.records()) == before
        assert host.sync(board_radio).records > len(newest) - before
        board.cut_power()
    assert host.records()[: len(newest)] == newest
    assert host.records() == logged(image)[: len(host.records())]


def test_ble_device_restored_from_an_older_copy_is_refused_and_the_database_stays(image, air, tmp_path):
    host = Host(air, tmp_path / "home.sqlite3")
    board_radio = BoardRadio(air)
    with start(image, board_radio, unique_id=SAME_ID) as board:
        open_window(board)
        host.sync(board_radio, pair=True)
        board.cut_power()
        shutil.copy(image, tmp_path / "older.img")
        board.power_on()
        open_window(board)
        for _ in range(5):
            host.sync(board_radio)
    newest = host.records()
    with start(tmp_path / "older.img", board_radio, unique_id=SAME_ID) as board:
        open_window(board)
        with pytest.raises(LogWentBack, match="restored from an older copy"):
            host.sync(board_radio)
    assert host.records() == newest
