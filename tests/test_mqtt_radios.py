"""Bluetooth and Wi-Fi on one small heap: windows and visits take turns; and what the charger starts."""

import contextlib
from itertools import pairwise

import pytest
from broker import Relay, Subscriber, free_port
from wifi_board import DEVICE_ID, board_of, create_image, printed, spans, wifi_setting

from retrostep.device_tree import device_root
from retrostep.flash import compile_file
from retrostep.walker import Walk

pytest.importorskip("bumble", reason="the virtual radio's Bluetooth stack needs Python 3.11 or newer")

from desk import HEARD_AT_ONCE_S, Desk, device_and_aioble, write_log

from retrostep.board.laptop import Laptop
from retrostep.board.radio import Air, BoardRadio

pytestmark = pytest.mark.services

# Added to the usual profile: the charger is taken for connected while the battery's voltage is above 4.1 V.
CHARGING = """
def charging():
    import machine
    battery = machine.ADC(machine.Pin(BATTERY_PIN), atten=machine.ADC.ATTN_11DB)
    return battery.read_uv() * BATTERY_DIVIDER > 4_100_000
"""
ON_CHARGER, OFF_CHARGER = ("set_battery", 4200), ("set_battery", 3900)
WALK_S = 40


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """aioble, a long log, and the profile of a board that can see its charger."""
    folder = tmp_path_factory.mktemp("files")
    profile = folder / "charging.py"
    profile.write_text((device_root() / "firmware" / "boards" / "xiao_esp32s3.py").read_text() + CHARGING)
    compiled = compile_file(profile, "firmware/boards/charging.py", folder, "x64")
    (folder / "board.txt").write_text("charging")
    write_log(folder / "log")
    return [
        *(entry for entry in device_and_aioble() if "/aioble/" in entry[1]),
        (compiled, "/firmware/boards/charging.mpy"),
        (folder / "board.txt", "/board.txt"),
        *((path, f"/log/{path.name}") for path in (folder / "log").iterdir()),
    ]


@pytest.fixture
def make_image(files, tmp_path):
    """make(port of the broker, hours between visits): an image that is set up for Wi-Fi."""

    def make(port, every_h=24):
        return create_image(tmp_path / "flash.img", wifi_setting(port, every_h=every_h), files)

    return make


@pytest.fixture
def start(tmp_path):
    """start(image, air, script=..., walk=...): a Desk whose board has run for a second."""
    with contextlib.ExitStack() as stack:
        space = stack.enter_context(Air(advertising_interval_s=HEARD_AT_ONCE_S))

        def start(image, air="there", **options):
            radio = BoardRadio(space)
            board = stack.enter_context(board_of(image, air, radio=radio, **options))
            stack.callback(lambda: print(printed(board)))
            board.advance(1)
            return Desk(board, radio, Laptop(space), tmp_path)

        yield start


def a_walk():
    return Walk(3).stand(1).walk("backward", seconds=WALK_S).stand(4).recording("waist").samples


def turns(board):
    """[(on_s, off_s, which radio)] in order."""
    found = [(on, off, which) for which in ("wifi", "bluetooth") for on, off in spans(board, which)]
    return [(on_us / 1e6, off_us / 1e6, which) for on_us, off_us, which in sorted(found)]


def never_together(board):
    found = turns(board)
    return all(before[1] <= after[0] for before, after in pairwise(found))


def done(listener):
    """That a visit has come to its end at the broker."""
    listener.wait_for(lambda messages: messages and messages[-1][1] == "offline")


def test_mqtt_radios_window_visit_window_within_the_heap_of_a_plain_esp32(server, make_image, start):
    """The heap is the default 220 kB, which stand for 110 KB of an ESP32 without PSRAM."""
    with Subscriber(server.port) as listener:
        desk = start(make_image(server.port, every_h=1), walk=a_walk(), walk_starts_s=300)
        desk.hold()
        desk.pair()
        stored = desk.sync().records
        assert stored > 200
        desk.board.advance(200)
        done(listener)
        for _ in range(2):
            desk.hold()
            stored += desk.sync().records
            desk.board.advance(3600)
            done(listener)
        desk.hold()
        stored += desk.sync().records
        desk.board.advance(200)
        text = printed(desk.board)
        desk.board.cut_power()
    assert [which for _, _, which in turns(desk.board)] == ["bluetooth", "wifi"] * 3 + ["bluetooth"]
    assert never_together(desk.board)
    assert "emory" not in text
    assert "wifi:" not in text
    (bout,) = listener.of("/bout")
    assert bout["steps"] > 60
    assert stored == len(desk.stored())


def test_mqtt_radios_the_charger_starts_a_visit_once_each_time_it_is_connected(server, make_image, start):
    script = ((600_000, *ON_CHARGER), (1_200_000, *OFF_CHARGER), (1_800_000, *ON_CHARGER))
    with Subscriber(server.port) as listener:
        desk = start(make_image(server.port), script=script)
        desk.board.advance(3600)
        done(listener)
    begins_s = [on_s for on_s, _, _ in turns(desk.board)]
    assert [which for _, _, which in turns(desk.board)] == ["wifi"] * 3
    assert begins_s == [pytest.approx(expected, abs=3) for expected in (61, 601, 1801)]


def test_mqtt_radios_a_device_that_starts_on_the_charger_visits_once(server, make_image, start):
    desk = start(make_image(server.port), battery_mv=ON_CHARGER[1])
    desk.board.advance(1800)
    ((on_s, _, which),) = turns(desk.board)
    assert (which, on_s) == ("wifi", pytest.approx(61, abs=3))


def test_mqtt_radios_on_the_charger_right_after_a_walk_first_the_host_then_the_broker(
    server, make_image, start
):
    """The window opens at once, the visit waits until it is over and the wearer has rested."""
    end_s = 300 + WALK_S
    script = ((1000 * (end_s + 10), *ON_CHARGER),)
    with Subscriber(server.port) as listener:
        desk = start(make_image(server.port), script=script, walk=a_walk(), walk_starts_s=300)
        desk.hold()
        desk.pair()
        desk.board.advance(600)
        done(listener)
    assert [which for _, _, which in turns(desk.board)] == ["bluetooth", "wifi", "bluetooth", "wifi"]
    assert never_together(desk.board)
    window, visit = turns(desk.board)[2:]
    assert window[0] == pytest.approx(end_s + 11, abs=3)
    assert visit[0] >= max(window[1], end_s + 55)
    assert visit[0] < end_s + 75
    assert listener.of("/bout")


def test_mqtt_radios_a_visit_under_way_ends_before_the_button_opens_a_window(make_image, start):
    desk = start(make_image(free_port()), "absent")
    desk.board.advance(69)
    desk.hold(10)
    assert desk.pair()["device_id"] == DEVICE_ID.hex()
    desk.board.advance(200)
    visit, window = turns(desk.board)
    assert (visit[2], window[2]) == ("wifi", "bluetooth")
    assert 72 < visit[1] < 75
    assert visit[1] <= window[0]


def test_mqtt_radios_a_visit_that_breaks_off_leaves_room_for_a_window(server, make_image, start):
    with Relay(server.port, 6000) as relay:
        desk = start(make_image(relay.port, every_h=1))
        desk.hold()
        desk.pair()
        desk.board.advance(200)
        assert "left early" in printed(desk.board)
        desk.hold()
        assert desk.sync().records > 200
        desk.board.advance(200)
    assert never_together(desk.board)
