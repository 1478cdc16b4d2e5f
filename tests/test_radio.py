"""The link over Bluetooth, end to end: the firmware's radio code on the virtual board, bleak on a virtual laptop."""

import asyncio
import json
import random
import shutil
import threading
import time

import pytest
from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from firmware import steplog
from firmware.charge import charge_percent
from firmware.gait.mounting import Mounting
from firmware.link import packets, protocol
from firmware.link.bonds import LIMIT, Bonds
from firmware.link.windows import TRUST_MS, WINDOW_MS
from retrostep import radio
from retrostep.board import BoardError, VirtualBoard, flash_image
from retrostep.cable import CableTransport
from retrostep.cli import app
from retrostep.link import Link, LinkError, TrustedHosts, decode_fields
from retrostep.radio import Backend, DeviceNotFound, LinkLost
from retrostep.walker import Walk

pytest.importorskip("bumble", reason="the virtual radio's Bluetooth stack needs Python 3.11 or newer")

from desk import (
    HEARD_AT_ONCE_S,
    HOLD_MS,
    Desk,
    bonded_peers,
    device_and_aioble,
    logged,
    make_image,
    stranger,
    write_log,
)

from retrostep.board.laptop import Laptop
from retrostep.board.radio import STANDIN, Air, BoardRadio, aioble_files
from retrostep.radio_bench import installed_files

FOUR_PER_INTERVAL = 4
CADENCE = "00002a53-0000-1000-8000-00805f9b34fb"
CADENCE_FEATURE = "00002a54-0000-1000-8000-00805f9b34fb"
MODEL_NUMBER = "00002a24-0000-1000-8000-00805f9b34fb"
NOTIFIED = (packets.DATA, packets.LIVE, CADENCE)


@pytest.fixture(scope="session")
def radio_image(tmp_path_factory):
    """A flash image with a long log."""
    folder = tmp_path_factory.mktemp("radio")
    write_log(folder / "log")
    make_image(folder / "flash.img", folder)
    return folder / "flash.img"


@pytest.fixture
def image(radio_image, tmp_path):
    return shutil.copy(radio_image, tmp_path / "flash.img")


@pytest.fixture
def air():
    with Air(advertising_interval_s=HEARD_AT_ONCE_S) as space:
        yield space


@pytest.fixture
def desk(image, air, tmp_path):
    board_radio = BoardRadio(air)
    with VirtualBoard(image, speed=0, radio=board_radio) as board:
        board.advance(1)
        yield Desk(board, board_radio, Laptop(air), tmp_path)
        print(board.console.decode(errors="replace"))


def heard(desk, seconds=0.6):
    return asyncio.run(radio.scan(seconds, desk.backend))


def test_ble_is_silent_but_for_a_minute_after_the_button_was_held(desk):
    assert heard(desk) == []
    desk.hold()
    assert [one.name for one in heard(desk)] == ["Retrostep"]
    desk.board.advance(WINDOW_MS / 1000)
    assert heard(desk) == []
    desk.hold()
    assert len(heard(desk)) == 1
    desk.board.advance(WINDOW_MS / 1000)
    with pytest.raises(DeviceNotFound, match="hold its button for 3 s"):
        asyncio.run(radio.find(None, 0.5, desk.backend))


def test_ble_sync_brings_home_exactly_the_log_of_the_device(desk, image):
    desk.hold()
    desk.pair()
    result = desk.sync()
    desk.board.cut_power()
    stored = desk.stored()
    assert len(stored) == result.records > 200
    assert stored == logged(image)[: len(stored)]
    # What the device logged after the sync, if anything, is all that the host has not.
    assert len(logged(image)) - len(stored) <= 1


def test_ble_bond_survives_a_power_cut_and_needs_no_second_pairing(desk, image):
    desk.hold()
    desk.pair()
    desk.board.cut_power()
    assert bonded_peers(image) == 1
    desk.board.power_on()
    desk.board.advance(1)
    desk.hold()
    assert desk.sync().records > 200


def test_ble_bond_lost_on_the_device_is_an_error_that_says_so(desk, image):
    desk.hold()
    desk.pair()
    desk.board.cut_power()
    (bonds := image.parent / "bonds.json").write_text("[]")
    flash_image.install(image, [(bonds, "/bonds.json")])
    desk.board.power_on()
    desk.board.advance(1)
    desk.hold()
    with pytest.raises(LinkLost, match="lost the bond"):
        desk.sync()


def test_ble_status_can_be_read_by_a_bonded_host_and_says_what_the_status_request_says(desk):
    desk.hold()
    desk.pair()

    async def read():
        device = await radio.find(None, 2.0, desk.backend)
        async with BleakClient(device, backend=desk.backend.client) as client:
            await asyncio.sleep(0.2)
            return decode_fields(bytes(await client.read_gatt_char(packets.STATUS)))

    status = asyncio.run(read())
    assert status["device_id"] == desk.board.unique_id.hex()
    assert status["next_sequence"] > 200


def test_ble_two_hosts_each_pair_in_a_window_of_their_own_and_both_come_back(desk, image, air):
    other = stranger(air)
    desk.hold()
    desk.pair()
    desk.board.advance(130)
    desk.hold()
    desk.pair(backend=other)
    # Neither of these links can pair any more: they are known by their keys.
    assert desk.sync().records > 200
    assert desk.over(lambda transport: Link(transport).status(), backend=other)["acknowledged"] > 200
    desk.board.cut_power()
    assert bonded_peers(image) == 2


def test_ble_power_cut_in_the_middle_of_a_sync_costs_nothing(desk, image):
    desk.hold()
    desk.pair()
    with pytest.raises(LinkLost):
        desk.sync(lambda done, total: desk.board.cut_power())
    before = desk.stored()
    desk.board.power_on()
    desk.board.advance(1)
    desk.hold()
    desk.sync()
    desk.board.cut_power()
    stored = desk.stored()
    assert 0 < len(before) < len(stored)
    assert stored == logged(image)[: len(stored)]


def test_ble_nonsense_from_a_bonded_host_costs_at_most_its_answer(desk):
    desk.hold()
    desk.pair()
    nonsense = random.Random(4)

    async def babble(transport):
        client = transport._client
        for _ in range(150):
            junk = nonsense.randbytes(nonsense.randrange(1, 200))
            await client.write_gatt_char(packets.REQUEST, junk, response=True)
        return await Link(transport).status()

    assert desk.over(babble)["uptime_s"] > 0
    assert b"Traceback" not in desk.board.console
    assert desk.sync().records > 200


def test_ble_refuses_to_pair_outside_the_window_at_once_and_keeps_no_bond(desk, image, air):
    desk.hold()
    desk.pair()
    # The link that paired has ended: the device can be reached for a while, but nobody can pair any more.
    other = stranger(air)
    started = time.monotonic()
    with pytest.raises(LinkError):
        desk.pair(backend=other)
    assert time.monotonic() - started < 4
    assert desk.sync().records > 200
    desk.board.cut_power()
    assert bonded_peers(image) == 1


def test_ble_stranger_that_pairs_outside_the_window_is_told_nothing(desk, air):
    desk.hold()
    desk.pair()
    other = stranger(air)

    async def pry():
        device = await radio.find(None, 2.0, other)
        got = []
        async with BleakClient(device, backend=other.client) as client:
            await client.start_notify(packets.DATA, lambda _, data: got.append(bytes(data)))
            try:
                await client.pair()
                (packet,) = packets.split_message(protocol.message(protocol.STATUS, 1), 200)
                await client.write_gatt_char(packets.REQUEST, packet, response=True)
                got.append(bytes(await client.read_gatt_char(packets.STATUS)))
            except BleakError:
                pass
            await asyncio.sleep(0.5)
            return got, client.is_connected

    got, still_connected = asyncio.run(pry())
    assert [data for data in got if data] == []
    assert not still_connected


def test_ble_impostor_with_the_address_of_a_bonded_host_neither_gets_in_nor_ends_the_bond(desk, image, air):
    desk.hold()
    desk.pair()
    asyncio.run(desk.laptop.switch_off())
    impostor = Laptop(air, desk.laptop.address)
    with pytest.raises(LinkError):
        desk.pair(backend=Backend(impostor.client, impostor.scanner))
    asyncio.run(impostor.switch_off())
    assert desk.sync().records > 200
    desk.board.cut_power()
    assert bonded_peers(image) == 1


def test_ble_link_that_is_never_encrypted_is_ended_by_the_device(desk):
    desk.hold()

    async def linger():
        device = await radio.find(None, 2.0, desk.backend)
        gone = asyncio.Event()
        async with BleakClient(
            device, disconnected_callback=lambda _: gone.set(), backend=desk.backend.client
        ):
            began = time.monotonic()
            await asyncio.wait_for(gone.wait(), TRUST_MS / 1000 + 5)
            return time.monotonic() - began

    assert asyncio.run(linger()) == pytest.approx(TRUST_MS / 1000, abs=2)


def test_ble_request_written_just_before_a_disconnect_is_not_answered_on_the_next_link(desk):
    desk.hold()
    desk.pair()
    body = protocol.pack_u32(0) + protocol.pack_u32(4096)
    (request,) = packets.split_message(protocol.message(protocol.READ, 7, body), 200)

    async def leave_and_listen():
        device = await radio.find(None, 2.0, desk.backend)
        async with BleakClient(device, backend=desk.backend.client) as client:
            await client.write_gatt_char(packets.REQUEST, request, response=True)
        device = await radio.find(None, 2.0, desk.backend)
        got = []
        async with BleakClient(device, backend=desk.backend.client) as client:
            await client.start_notify(packets.DATA, lambda _, data: got.append(data))
            await asyncio.sleep(0.5)
            leaked = list(got)
            (status,) = packets.split_message(protocol.message(protocol.STATUS, 8), 200)
            await client.write_gatt_char(packets.REQUEST, status, response=True)
            await asyncio.sleep(0.5)
            return leaked, got

    leaked, got = asyncio.run(leave_and_listen())
    assert leaked == []
    assert got


def steps_of_this_boot(desk):
    """The steps since the last start, after a look that no sample was lost and nothing is wrong with the log."""
    history = desk.history()
    assert not history.problems
    assert not [kind for _, kind, _ in desk.stored() if kind == steplog.FAULT]
    return [step for step in history.steps if step.boot == history.boots[-1].sequence]


def test_ble_sync_at_full_speed_in_the_middle_of_a_walk_costs_no_sample_and_no_step(image, tmp_path):
    walk = Walk(seed=3).stand(8).walk("forward", seconds=40).stand(3).recording("waist")
    steps = {}
    for syncs in (True, False):
        folder = tmp_path / ("synced" if syncs else "quiet")
        folder.mkdir()
        here = shutil.copy(image, folder / "flash.img")
        with Air(FOUR_PER_INTERVAL) as air:
            board_radio = BoardRadio(air, buffers=2)
            with VirtualBoard(here, speed=0, radio=board_radio, walk=walk.samples, seed=3) as board:
                desk = Desk(board, board_radio, Laptop(air), folder)
                board.advance(1)
                desk.hold()
                desk.pair()
                board.advance(15 - board.now_us / 1e6)
                before = air.notifications
                if syncs:
                    result = desk.sync()
                    packets_sent = air.notifications - before
                    assert board_radio.refusals > 0
                    # 244 bytes fit a packet of this link; the rest went into headers, clock readings and statuses.
                    assert result.payload_bytes > 0.85 * 244 * packets_sent
                    assert board.now_us < 45e6, "the walk was over before the sync"
                board.advance(60 - board.now_us / 1e6)
                desk.hold()
                desk.sync()
        steps[syncs] = steps_of_this_boot(desk)
    assert [step.direction for step in steps[True]] == [step.direction for step in steps[False]]
    times_ms = [step.uptime_ms for step in steps[False]]
    assert [step.uptime_ms for step in steps[True]] == pytest.approx(times_ms, abs=20)
    assert len(times_ms) == pytest.approx(len(walk.step_times_s()), abs=2)


def test_ble_tells_steps_live_to_a_host_that_asks(image, air, tmp_path):
    walk = Walk(seed=3).stand(8).walk("forward", seconds=20).stand(3).recording("waist")
    board_radio = BoardRadio(air)
    steps = []

    async def watch(transport):
        link = Link(transport, steps.append)
        await link.live(True)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(link.listen(), 4)

    with VirtualBoard(image, speed=0, radio=board_radio, walk=walk.samples) as board:
        desk = Desk(board, board_radio, Laptop(air), tmp_path)
        board.advance(1)
        desk.hold()
        desk.pair()
        board.advance(8)
        desk.over(watch)
    assert {step.direction for step in steps} == {"forward"}
    assert len(steps) >= 4


def test_ble_fitness_app_that_is_trusted_gets_cadence_and_a_simple_app_the_live_steps(image, air, tmp_path):
    walk = Walk(seed=3).stand(8).walk("forward", seconds=25).stand(3).recording("waist")
    board_radio = BoardRadio(air)
    told = {uuid: [] for uuid in NOTIFIED}
    read = {}

    async def listen(desk):
        device = await radio.find(None, 2.0, desk.backend)
        async with BleakClient(device, backend=desk.backend.client) as client:
            for uuid, values in told.items():
                await client.start_notify(uuid, lambda _, data, to=values: to.append(bytes(data)))
            await asyncio.sleep(6)
            for uuid in (packets.SETTINGS, CADENCE_FEATURE, MODEL_NUMBER):
                read[uuid] = bytes(await client.read_gatt_char(uuid))

    with VirtualBoard(image, speed=0, radio=board_radio, walk=walk.samples) as board:
        desk = Desk(board, board_radio, Laptop(air), tmp_path)
        board.advance(1)
        desk.hold()
        desk.pair()
        board.advance(6)
        asyncio.run(listen(desk))
    # Nobody has asked for live messages between the answers.
    assert told[packets.DATA] == []
    assert {message[0] for message in told[packets.LIVE]} == {protocol.LIVE_STEP}
    assert len(told[packets.LIVE]) >= 4
    per_min = [measurement[3] for measurement in told[CADENCE]]
    assert len(per_min) >= 4 and 90 < max(per_min) < 140
    assert json.loads(read[packets.SETTINGS])["placement"] == "waist"
    assert (read[CADENCE_FEATURE], read[MODEL_NUMBER]) == (b"\0\0", b"Retrostep")


def test_ble_pairing_that_fails_ends_within_two_seconds_on_both_sides(desk, image):
    desk.hold()

    async def fail():
        device = await radio.find(None, 2.0, desk.backend)
        gone = asyncio.Event()
        async with BleakClient(
            device, disconnected_callback=lambda _: gone.set(), backend=desk.backend.client
        ) as client:
            await desk.laptop.refuse_to_pair()
            began = time.monotonic()
            with pytest.raises(BleakError):
                await client.pair()
            refused_s = time.monotonic() - began
            await asyncio.wait_for(gone.wait(), 5)
            return refused_s, time.monotonic() - began

    refused_s, gone_s = asyncio.run(fail())
    assert refused_s < 2 and gone_s < 2
    # The window is still open: nobody has paired in it.
    other = Laptop(desk.laptop.air, "D0:00:00:00:00:05")
    desk.pair(backend=Backend(other.client, other.scanner))
    assert bonded_peers(image_of_running(desk, image)) == 1


def test_ble_flood_of_requests_is_answered_later_and_costs_only_its_own_link(desk):
    desk.hold()
    desk.pair()

    async def flood(transport):
        link = Link(transport)
        began = time.monotonic()
        for _ in range(100):
            await link.identify()
        return time.monotonic() - began

    # Fifty at once, then fifty a second.
    assert 0.8 < desk.over(flood) < 5
    assert desk.sync().records > 200


def test_ble_window_after_a_walk_serves_the_bonded_host_and_pairs_nobody(image, air, tmp_path):
    flash_image.install(image, [(settings_of(tmp_path, radio_after_walk_min=1), "/settings.json")])
    walk = Walk(seed=3).stand(200).walk("forward", seconds=80).stand(30).recording("waist")
    board_radio = BoardRadio(air)
    with VirtualBoard(image, speed=0, radio=board_radio, walk=walk.samples) as board:
        desk = Desk(board, board_radio, Laptop(air), tmp_path)
        board.advance(1)
        desk.hold()
        desk.pair()
        board.advance(180)
        assert heard(desk) == []
        board.advance(175)
        assert len(heard(desk)) == 1
        with pytest.raises(LinkError):
            desk.pair(backend=stranger(air))
        assert desk.sync().records > 200
        board.advance(100)
        assert heard(desk) == []


def test_ble_sync_that_waits_finds_the_next_window(desk, tmp_path, monkeypatch):
    monkeypatch.setattr("retrostep.commands.radio.BACKEND", desk.backend)
    desk.hold()
    desk.pair()
    desk.board.advance(130)
    assert heard(desk) == []
    soon = threading.Timer(2.0, desk.hold)
    soon.start()
    done = CliRunner().invoke(
        app, ["sync", "--wait", "--timeout", "60", "--db", str(tmp_path / "wait.sqlite3"), "--json"]
    )
    soon.join()
    assert json.loads(done.stdout)["records"] > 200, done.output
    assert "waiting for the device's next window" in done.stderr
    desk.board.advance(130)
    done = CliRunner().invoke(app, ["sync", "--wait", "--timeout", "1", "--db", str(tmp_path / "w")])
    assert isinstance(done.exception, DeviceNotFound)


def settings_of(folder, **changes):
    """The settings file of a calibrated device, with changes."""
    path = folder / "settings.json"
    path.write_text(json.dumps({"placement": "waist", "mounting": Mounting.clip().pack().hex(), **changes}))
    return path


def test_ble_without_aioble_is_off_and_the_cable_goes_on(tmp_path, air):
    image = tmp_path / "flash.img"
    flash_image.create(image, [pair for pair in device_and_aioble() if "/aioble/" not in pair[1]])

    async def status(port):
        async with CableTransport(port) as transport:
            return await Link(transport).status()

    with VirtualBoard(image, speed=0, radio=BoardRadio(air)) as board:
        board.advance(1)
        board.press(HOLD_MS)
        board.advance(5)
        assert b"mip install aioble" in board.console
        board.set_speed(1.0)
        assert asyncio.run(status(board.port))["board"] == "xiao_esp32s3"


def test_ble_radio_is_off_once_the_app_was_stopped(desk):
    desk.hold()
    serial = desk.board.serial()
    serial.write(b"\x03")
    serial.read_until(b">>> ", timeout_s=5)
    assert heard(desk) == []


def test_ble_commands_scan_pair_and_sync(desk, tmp_path, monkeypatch):
    from retrostep.commands import radio as commands

    monkeypatch.setattr(commands, "BACKEND", desk.backend)
    runner = CliRunner()
    desk.hold()
    found = json.loads(runner.invoke(app, ["scan", "--seconds", "0.6", "--json"]).stdout)
    assert [one["name"] for one in found] == ["Retrostep"]
    paired = runner.invoke(app, ["pair", found[0]["address"]])
    assert "paired with device" in paired.stdout, paired.output
    db = str(tmp_path / "cli.sqlite3")
    done = runner.invoke(app, ["sync", "--address", found[0]["address"], "--db", db, "--json"])
    assert json.loads(done.stdout)["records"] > 200, done.output
    assert runner.invoke(app, ["sync", "--db", db]).exit_code == 2


def test_ble_host_that_removes_its_bond_gets_the_answer_and_is_then_a_stranger(desk, image):
    desk.hold()
    desk.pair()

    async def leave(transport):
        link = Link(transport)
        assert await link.bonds() == TrustedHosts(1, 0)
        assert await link.remove_bond(0) == TrustedHosts(0, None)
        with pytest.raises(LinkError):
            await asyncio.wait_for(link.listen(), 3)

    desk.over(leave)
    assert bonded_peers(image_of_running(desk, image)) == 0
    with pytest.raises(LinkLost, match="lost the bond"):
        desk.sync()


def image_of_running(desk, image):
    """The image as it is once the board has lost its power; it is switched on again."""
    desk.board.cut_power()
    desk.board.power_on()
    desk.board.advance(1)
    desk.hold()
    return image


def test_ble_trusted_host_opens_the_window_for_another_one_and_it_feels_like_a_hold(desk, image, air):
    desk.hold()
    desk.pair()
    other = stranger(air)
    with pytest.raises(LinkError):
        desk.pair(backend=other)
    desk.over(lambda transport: Link(transport).open_pairing())
    desk.pair(backend=other)
    assert desk.over(lambda transport: Link(transport).bonds(), backend=other) == TrustedHosts(2, 1)
    # That window has made its bond.
    third = Laptop(air, "D0:00:00:00:00:03")
    with pytest.raises(LinkError):
        desk.pair(backend=Backend(third.client, third.scanner))
    assert bonded_peers(image_of_running(desk, image)) == 2


def test_ble_bond_removed_by_cable_ends_the_link_of_its_host(desk):
    desk.hold()
    desk.pair()
    desk.board.set_speed(1.0)

    async def remove():
        async with CableTransport(desk.board.port) as cable:
            return await Link(cable).remove_bond(protocol.BONDS_ALL)

    async def linger(transport):
        assert await remove() == TrustedHosts(0, None)
        with pytest.raises(LinkLost):
            await asyncio.wait_for(Link(transport).listen(), 5)

    desk.over(linger)


def test_ble_commands_unpair_on_both_sides_erase_and_settings(desk, tmp_path, monkeypatch, image):
    monkeypatch.setattr("retrostep.commands.radio.BACKEND", desk.backend)

    def run(*words):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        return done.stdout

    desk.hold()
    run("pair")
    assert json.loads(run("bonds", "--radio", "--json")) == {"bonds": 1, "own": 0}
    changed = json.loads(run("settings", "set", "motor_percent=0", "--radio", "--json"))
    assert changed["settings"]["motor_percent"] == 0
    db = str(tmp_path / "cli.sqlite3")
    assert "erased" in run("erase", "--yes", "--radio", "--db", db)
    status = json.loads(run("status", "--radio", "--db", db, "--json"))
    assert status["devices"][0]["records"] > 200 > status["device"]["next_sequence"]
    assert "both sides" in run("unpair")
    # Neither side remembers: the same computer pairs anew.
    assert bonded_peers(image_of_running(desk, image)) == 0
    run("pair")


def test_ble_every_image_gets_the_aioble_that_was_named(tmp_path, monkeypatch):
    shutil.copytree(STANDIN / "aioble", tmp_path / "aioble")
    (tmp_path / "aioble" / "extra.py").write_text("")
    monkeypatch.setenv("RETROSTEP_AIOBLE", str(tmp_path))
    named = {target: here for here, target in aioble_files()}
    assert named["/lib/aioble/extra.py"] == tmp_path / "aioble" / "extra.py"
    installed = [target for _, target in installed_files(tmp_path / "mpy")]
    assert "/lib/aioble/extra.mpy" in installed


def test_ble_folder_without_aioble_is_refused_with_what_was_expected(tmp_path, monkeypatch):
    monkeypatch.setenv("RETROSTEP_AIOBLE", str(tmp_path))
    with pytest.raises(BoardError, match="expected a folder that holds aioble/"):
        aioble_files()


@given(
    message=st.binary(max_size=600), packet_bytes=st.integers(min_value=2, max_value=244), live=st.booleans()
)
def test_ble_packets_carry_any_message_even_with_a_live_step_between(message, packet_bytes, live):
    inbox = packets.Assembler(600)
    (between,) = packets.split_message(b"live", 20)
    got = []
    for packet in packets.split_message(message, packet_bytes):
        assert len(packet) <= packet_bytes
        if live:
            assert inbox.add(between) == b"live"
        if (whole := inbox.add(packet)) is not None:
            got.append(whole)
    assert got == [message]


@given(st.lists(st.binary(max_size=40), max_size=30))
def test_ble_assembler_takes_any_packets_and_keeps_within_its_limit(sent):
    inbox = packets.Assembler(64)
    for packet in sent:
        message = inbox.add(packet)
        assert message is None or len(message) <= 64


def test_ble_assembler_drops_a_message_with_a_packet_missing():
    inbox = packets.Assembler(600)
    first, _, last = packets.split_message(bytes(50), 20)
    assert inbox.add(first) is None
    assert inbox.add(last) is None
    assert inbox.dropped == 1


class Dropped:
    """A client as bleak leaves it after a link was lost. failure: of every call."""

    def __init__(self, failure):
        self.failure = failure

    @property
    def services(self):
        raise self.failure

    async def connect(self):
        pass

    async def start_notify(self, characteristic, callback):
        raise self.failure

    async def disconnect(self):
        raise self.failure


@pytest.mark.parametrize(
    "failure",
    [BleakError("Service Discovery has not been performed yet"), asyncio.TimeoutError(), OSError("gone")],
)
def test_ble_link_that_drops_before_a_request_is_told_as_lost(monkeypatch, failure):
    monkeypatch.setattr(radio, "BleakClient", lambda *args, **options: Dropped(failure))
    transport = radio.RadioTransport(BLEDevice("AA", "Retrostep", None))
    with pytest.raises(LinkLost, match=f"took no request: {str(failure) or 'no answer'}"):
        asyncio.run(transport.send(b"abc"))
    with pytest.raises(LinkLost, match="lost while connecting"):
        asyncio.run(transport.__aenter__())


def test_ble_keeps_at_most_four_bonds_and_the_oldest_goes_first(tmp_path):
    path = str(tmp_path / "bonds.json")
    bonds = Bonds(path)
    for peer in range(LIMIT + 1):
        for kind in (1, 2):
            bonds.put(kind, bytes([peer] * 7), bytes([kind]))
    bonds.save()
    again = Bonds(path)
    assert len(again) == LIMIT
    assert again.get(1, 0, bytes(7)) is None
    assert again.get(2, 0, bytes([4] * 7)) == b"\x02"
    assert [again.get(1, index, None) is not None for index in range(LIMIT + 1)] == [True] * LIMIT + [False]


def test_ble_damaged_bonds_count_as_none(tmp_path, capsys):
    path = tmp_path / "bonds.json"
    path.write_text('[[1, "00"')
    assert len(Bonds(str(path))) == 0
    assert "pair again" in capsys.readouterr().out


@pytest.mark.parametrize(("mv", "percent"), [(2900, 0), (3300, 0), (3700, 30), (3950, 80), (4300, 100)])
def test_ble_battery_level_follows_the_cell(mv, percent):
    assert charge_percent(mv) == percent
