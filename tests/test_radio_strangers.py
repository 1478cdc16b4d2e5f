"""What a peer that is not bonded gets from the device: at every characteristic, in and outside the pairing window."""

import asyncio
import time

import pytest
from bleak import BleakClient
from bleak.exc import BleakError

from firmware.link import cadence, packets, protocol
from retrostep import radio
from retrostep.board import VirtualBoard
from retrostep.link import LinkError
from retrostep.radio import Backend

pytest.importorskip("bumble", reason="the virtual radio's Bluetooth stack needs Python 3.11 or newer")

from bumble import pairing
from desk import HEARD_AT_ONCE_S, Desk, bonded_peers, make_image

from retrostep.board.laptop import Laptop
from retrostep.board.radio import Air, BoardRadio

# Both sides must be done with a pairing that failed so soon.
SOON_S = 2.0


def short(number):
    """The 128-bit text of a 16-bit UUID."""
    return f"0000{number:04x}-0000-1000-8000-00805f9b34fb"


BATTERY_LEVEL = short(0x2A19)
# Characteristic, and what becomes of a read and of a write. A write without response and a subscription tell nothing
# either way: they must have no effect, so that nothing is ever notified.
TABLE = {
    packets.REQUEST: ("refused", "refused"),
    packets.DATA: ("refused", "refused"),
    packets.LIVE: ("refused", "refused"),
    packets.STATUS: ("refused", "refused"),
    packets.SETTINGS: ("refused", "refused"),
    BATTERY_LEVEL: ("given", "refused"),
    short(0x2A24): ("refused", "refused"),
    short(0x2A26): ("refused", "refused"),
    short(cadence.MEASUREMENT): ("refused", "refused"),
    short(cadence.FEATURE): ("refused", "refused"),
}
# What every Bluetooth device has: its name and looks (those all devices share), and whether its services changed.
OF_THE_STACK = {short(0x2A00), short(0x2A01), short(0x2A05), short(0x2B29), short(0x2B2A), short(0x2B3A)}


@pytest.fixture
def air():
    with Air(advertising_interval_s=HEARD_AT_ONCE_S) as space:
        yield space


@pytest.fixture
def desk(air, tmp_path):
    make_image(tmp_path / "flash.img", tmp_path)
    board_radio = BoardRadio(air)
    with VirtualBoard(tmp_path / "flash.img", speed=0, radio=board_radio) as board:
        board.advance(1)
        yield Desk(board, board_radio, Laptop(air), tmp_path)
        print(board.console.decode(errors="replace"))


@pytest.fixture(params=["pairing window", "minute after a sync"])
def reachable(request, desk):
    """The device can be connected to: it would pair, or it would not."""
    desk.hold()
    if request.param == "minute after a sync":
        desk.pair()
    return desk


@pytest.fixture
def stranger(air):
    return Laptop(air, "D0:00:00:00:00:02")


def backend_of(laptop):
    return Backend(laptop.client, laptop.scanner)


async def attempt(work, yes):
    try:
        await work
    except BleakError:
        return "refused"
    return yes


async def probe(client, characteristic, heard):
    """The outcome of a read and of a write; then whatever else a peer can do."""
    (request,) = packets.split_message(protocol.message(protocol.STATUS, 1), 200)
    read = await attempt(client.read_gatt_char(characteristic), "given")
    write = await attempt(client.write_gatt_char(characteristic, request, response=True), "taken")
    await attempt(client.write_gatt_char(characteristic, request, response=False), "sent")

    def on_notification(_, data):
        heard.append((characteristic.uuid, bytes(data)))

    await attempt(client.start_notify(characteristic, on_notification), "subscribed")
    return read, write


def test_ble_stranger_gets_nothing_private_from_any_characteristic(reachable, stranger):
    async def pry():
        device = await radio.find(None, 2.0, backend_of(stranger))
        heard, outcomes = [], {}
        async with BleakClient(device, backend=stranger.client) as client:
            for characteristic in client.services.characteristics.values():
                if characteristic.uuid not in OF_THE_STACK:
                    outcomes[characteristic.uuid] = await probe(client, characteristic, heard)
            # Subscribed wherever that is possible, ask once more.
            for characteristic in client.services.characteristics.values():
                if characteristic.uuid not in OF_THE_STACK:
                    await probe(client, characteristic, heard)
            await asyncio.sleep(0.5)
        return outcomes, heard

    outcomes, heard = asyncio.run(pry())
    assert outcomes == TABLE
    assert heard == []


def test_ble_stranger_pairs_in_the_window_and_is_then_answered(desk, stranger):
    desk.hold()
    assert desk.pair(backend=backend_of(stranger))["device_id"] == desk.board.unique_id.hex()


class SecondThoughts(pairing.PairingDelegate):
    """A user who breaks the pairing off when asked to confirm it."""

    def __init__(self):
        super().__init__(pairing.PairingDelegate.NO_OUTPUT_NO_INPUT)

    async def confirm(self, auto=False):
        return False


async def pair_and_wait(laptop):
    """How an attempt to pair ended: (error or None, seconds it took, seconds until the device had ended the link)."""
    device = await radio.find(None, 2.0, backend_of(laptop))
    gone = asyncio.Event()
    async with BleakClient(
        device, disconnected_callback=lambda _: gone.set(), backend=laptop.client
    ) as client:
        began = time.monotonic()
        failure = None
        try:
            await client.pair()
        except BleakError as error:
            failure = error
        took_s = time.monotonic() - began
        await asyncio.wait_for(gone.wait(), 12)
        return failure, took_s, time.monotonic() - began


def test_ble_pairing_outside_the_window_fails_within_two_seconds_on_both_sides(desk, stranger):
    desk.hold()
    desk.pair()
    # The stranger's own stack may take the pairing for done; what counts is that the device ends the link.
    _, took_s, ended_s = asyncio.run(pair_and_wait(stranger))
    assert took_s < SOON_S
    assert ended_s < SOON_S
    asyncio.run(stranger.switch_off())
    fresh = Laptop(stranger.air, "D0:00:00:00:00:03")
    began = time.monotonic()
    with pytest.raises(LinkError):
        desk.pair(backend=backend_of(fresh))
    assert time.monotonic() - began < SOON_S
    desk.board.cut_power()
    assert bonded_peers(desk.board.image) == 1


def test_ble_pairing_that_is_broken_off_ends_within_two_seconds_and_the_next_one_succeeds(desk, stranger):
    desk.hold()

    async def doubt():
        async def configure():
            device = await stranger.device()
            device.pairing_config_factory = lambda connection: pairing.PairingConfig(
                sc=True, mitm=False, bonding=True, delegate=SecondThoughts()
            )

        await stranger.run(configure())
        return await pair_and_wait(stranger)

    failure, took_s, ended_s = asyncio.run(doubt())
    assert failure is not None
    assert took_s < SOON_S
    assert ended_s < SOON_S
    assert desk.pair()["device_id"] == desk.board.unique_id.hex()
    desk.board.cut_power()
    assert bonded_peers(desk.board.image) == 1
