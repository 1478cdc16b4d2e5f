"""The device's own visits to the Wi-Fi: real umqtt in the virtual board, a real broker, a network that misbehaves."""

import json
import re

import pytest
from broker import PASSWORD, USER, CaptiveNetwork, Mosquitto, Relay, Subscriber, free_port
from journal import Journal
from repl_board import repl_board
from wifi_board import (
    DEVICE_ID,
    LOG_ID,
    VISITED_S,
    board_of,
    create_image,
    printed,
    spans,
    wifi_setting,
    write_log,
)

from firmware import mqtt_payloads, steplog, steplog_decoder
from firmware.settings import SettingRefused, Settings
from retrostep.board import flash_image
from retrostep.flash import installed_files
from retrostep.logfiles import log_folder, read_log_files
from retrostep.walker import Walk, demo_walk

pytestmark = pytest.mark.services

# 2026-11-20 12:00 UTC.
NOON_MS = 1_795_176_000_000
BOUTS = 40


@pytest.fixture(scope="session")
def log(tmp_path_factory):
    """The files of a log of BOUTS bouts."""
    return write_log(tmp_path_factory.mktemp("device") / "log", BOUTS, NOON_MS)


@pytest.fixture
def make_image(tmp_path):
    """make(port of the broker, the log, its authority, fields of the setting): a flash image."""

    def make(port, log=(), authority=None, **wifi):
        more = [(authority, "/mqtt_ca.der")] if authority else []
        return create_image(tmp_path / "flash.img", wifi_setting(port, **wifi), [*log, *more])

    return make


def wifi_spans(board):
    return spans(board, "wifi")


def test_mqtt_device_publishes_its_log_in_order_and_the_radio_is_off_afterwards(server, make_image, log):
    with Subscriber(server.port) as listener, board_of(make_image(server.port, log)) as board:
        board.advance(VISITED_S)
        listener.wait_for(lambda messages: messages and messages[-1][1] == "offline")
        spans = wifi_spans(board)
        text = printed(board)
    assert len(spans) == 1, text
    assert spans[0][0] >= 60_000_000
    bouts = listener.of("/bout")
    assert [bout["steps"] for bout in bouts] == list(range(10, 10 + BOUTS))
    assert bouts[0]["utc"] == "2026-11-20T13:00:04Z"
    assert len(listener.of("/event")) == BOUTS
    assert [day["day"] for day in listener.of("/day")] == ["2026-11-20", "2026-11-21", "2026-11-22"]
    assert sum(day["forward"] + day["backward"] for day in listener.of("/day")) == sum(range(10, 10 + BOUTS))
    assert len(set(listener.ids())) == len(listener.ids())
    configs = [topic for topic, _, _ in listener.messages if topic.endswith("/config")]
    assert len(configs) == 13
    with Subscriber(server.port, "retrostep/#", "later") as later:
        later.wait_for(lambda messages: len(messages) >= 4)
    assert later.of("/day")[0]["day"] == "2026-11-22"
    assert (f"retrostep/{DEVICE_ID.hex()}/availability", "offline", True) in later.messages


def test_mqtt_device_makes_the_payloads_that_the_host_makes(server, make_image, log):
    with Subscriber(server.port) as listener, board_of(make_image(server.port, log)) as board:
        board.advance(VISITED_S)
        listener.wait_for(lambda messages: messages and messages[-1][1] == "offline")

    folder = log[0][0].parent
    digest = mqtt_payloads.Digest(
        DEVICE_ID.hex(),
        LOG_ID,
        lambda tag, sequence, uptime_ms: NOON_MS + uptime_ms,
        mqtt_payloads.fixed_days(0),
    )
    expected = []
    for record in Journal(str(folder), steplog.FORMAT_VERSION, LOG_ID).records():
        expected += [(topic, json.loads(text)) for topic, text, _ in digest.take(*record)]
    told = [(topic, json.loads(text)) for topic, text, _ in listener.messages if text.startswith("{")]
    told = [message for message in told if message[0].startswith("retrostep/")]
    assert told[: len(expected)] == expected


def test_mqtt_device_sends_after_a_broken_connection_what_was_not_confirmed(server, make_image, log):
    """The network swallows everything in the middle of the first visit; the next one, an hour later, has the rest."""
    with Subscriber(server.port) as listener, Relay(server.port, 16_000) as relay:
        image = make_image(relay.port, log)
        with board_of(image) as board:
            board.advance(VISITED_S)
            first = list(listener.ids())
            assert "left early" in printed(board)
            relay.left_bytes = 1 << 30
            board.advance(3600)
            listener.wait_for(
                lambda messages: messages[-1][1] == "offline" and len(listener.of("/event")) >= BOUTS
            )
            spans = wifi_spans(board)
    assert 0 < len(first) < 2 * BOUTS
    assert len(spans) == 2
    unique = list(dict.fromkeys(listener.ids()))
    assert [one for one in unique if re.fullmatch(r"\w+-0000004d-\d+-1", one)] == [
        bout["id"] for bout in {bout["id"]: bout for bout in listener.of("/bout")}.values()
    ]
    assert len({bout["id"] for bout in listener.of("/bout")}) == BOUTS
    assert len(listener.ids()) - len(unique) <= 40


def test_mqtt_device_whose_power_is_cut_in_a_visit_is_told_offline_and_goes_on_where_it_was(
    server, make_image, log
):
    with Subscriber(server.port) as listener, board_of(make_image(server.port, log)) as board:
        board.cut_at(63_300)
        board.advance(VISITED_S)
        # Nobody has said goodbye: the broker speaks the will.
        listener.wait_for(lambda messages: messages and messages[-1][1] == "offline")
        assert 0 < len(listener.of("/event")) < BOUTS
        board.power_on()
        board.advance(VISITED_S)
        listener.wait_for(
            lambda messages: messages[-1][1] == "offline" and len(listener.of("/event")) >= BOUTS
        )
        assert "left early" not in printed(board)
    bouts = {bout["id"]: bout["steps"] for bout in listener.of("/bout")}
    assert list(bouts.values()) == list(range(10, 10 + BOUTS))
    events = [event["id"] for event in listener.of("/event")]
    assert len(set(events)) == BOUTS
    # The place is noted every 32 records.
    assert len(events) - BOUTS <= 32


@pytest.mark.parametrize("air", ["absent", "refuses"])
def test_mqtt_device_leaves_a_network_that_is_not_there_within_its_window(make_image, air):
    with board_of(make_image(free_port()), air) as board:
        board.advance(150)
        ((on_us, off_us),) = wifi_spans(board)
        text = printed(board)
    assert off_us - on_us <= 61_000_000
    assert "not done within 60 s" in text
    assert ("refuses the password" in text) == (air == "refuses")


def test_mqtt_device_ends_a_visit_before_a_held_button_opens_bluetooth(make_image):
    with board_of(make_image(free_port()), "absent") as board:
        board.advance(70)
        board.press(3500)
        board.advance(10)
        ((_, off_us),) = wifi_spans(board)
        board.wait_for_output(b"radio: off (no module named 'aioble')")
    assert 73_000_000 < off_us < 75_000_000


def test_mqtt_device_tidies_up_after_a_wifi_that_does_not_even_start(tmp_path):
    setup = (
        "import asyncio, gc, network, sys\nfrom firmware import wifi\n"
        "class Failing(network.WLAN):\n"
        "    def active(self, on=None):\n"
        "        print('active', on)\n"
        "        if on:\n            raise OSError('WiFi Out of Memory')\n"
        "network.WLAN = Failing\ngc.threshold(12288)\nimport firmware.steplog_decoder"
    )
    wifi = wifi_setting(free_port())
    image = tmp_path / "flash.img"
    flash_image.create(image, [pair for pair in installed_files() if pair[1] != "/main.py"])
    with repl_board(image, setup, extra_modules=("network",)) as (_, run):
        printed = run(
            f"asyncio.run(wifi.visit(None, {wifi!r}))\n"
            "print(gc.threshold(), 'firmware.steplog_decoder' in sys.modules)"
        )
    assert "left early: OSError('WiFi Out of Memory',)" in printed
    assert printed.split("\n")[-2:] == ["active False", "12288 False"]


def test_mqtt_device_is_never_in_the_wifi_unless_it_was_set_up(tmp_path):
    with board_of(create_image(tmp_path / "flash.img", None)) as board:
        board.advance(300)
        assert wifi_spans(board) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 0},
        {"tls": 1},
        {"host": None},
        {"ssid": ""},
        {"every_h": 200},
        {"window_s": 5},
        {"window_s": True},
        {"secret": 7},
        {"more": 1},
    ],
)
def test_mqtt_device_refuses_a_wrong_setting_without_repeating_it(wrong, tmp_path):
    settings = Settings(str(tmp_path / "settings.json"))
    right = wifi_setting(1883)
    settings.change("wifi", right)
    assert settings.shown()["wifi"] is True
    with pytest.raises(SettingRefused, match=r"wifi: expected .*, got a bad value"):
        settings.change("wifi", {**right, **wrong})
    assert settings["wifi"] == right


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("answer", [b"HTTP/1.1 302 Found\r\n\r\n", b""])
def test_mqtt_device_leaves_a_captive_network_at_once(make_image, certificates, answer, tls):
    with (
        CaptiveNetwork(answer) as network,
        board_of(make_image(network.port, authority=certificates / "ca.der", tls=tls)) as board,
    ):
        board.advance(100)
        ((on_us, off_us),) = wifi_spans(board)
        assert "left early" in printed(board)
    assert off_us - on_us < 10_000_000


def test_mqtt_device_does_not_hear_out_a_network_that_says_anything_but_the_answer(make_image):
    """CONNACK, then PINGRESP without end: umqtt takes each for a reason to wait on. In real time, as its waits."""
    with (
        CaptiveNetwork(b"\x20\x02\x00\x00", b"\xd0\x00" * 1000) as network,
        board_of(make_image(network.port)) as board,
    ):
        board.advance(59)
        board.set_speed(1.0)
        board.wait_for_output(b"left early", 30)
        board.wait_for("wifi", on=False)
        ((on_us, off_us),) = wifi_spans(board)
    assert off_us - on_us < 10_000_000


def test_mqtt_device_tells_of_a_wrong_password_and_never_the_password(mosquitto, make_image, tmp_path, log):
    folder = tmp_path / "broker"
    folder.mkdir()
    with Mosquitto(mosquitto, folder, password=True) as server:
        with board_of(make_image(server.port, log, user=USER, secret="guessed")) as board:
            board.advance(VISITED_S)
            text = printed(board)
        assert "is the password right?" in text or "wrong user or password" in text
        assert "guessed" not in text
        login = {"user": USER, "password": PASSWORD}
        with (
            Subscriber(server.port, **login) as listener,
            board_of(make_image(server.port, log, user=USER, secret=PASSWORD)) as board,
        ):
            board.advance(VISITED_S)
            listener.wait_for(lambda messages: messages and messages[-1][1] == "offline")


def test_mqtt_device_believes_a_broker_of_its_authority_and_no_other(
    mosquitto, make_image, certificates, log
):
    authority = certificates / "ca.der"
    for name, believed in (("broker", True), ("elsewhere", False), ("wrong", False)):
        with (
            Mosquitto(mosquitto, certificates, name) as server,
            board_of(make_image(server.port, log, authority, tls=True, host="localhost")) as board,
        ):
            board.advance(VISITED_S)
            text = printed(board)
        assert ("not accepted" in text) != believed, (name, text)
        assert ("left early" in text) != believed, (name, text)


def logged(image):
    """(steps, faults) in an image's log."""
    with log_folder(image) as folder:
        records = [steplog_decoder.decode(*record[1:]) for record in read_log_files(folder).records()]
    steps = [step for record in records if record["kind"] == "steps" for step in record["steps"]]
    return steps, [record for record in records if record["kind"] == "fault"]


def test_mqtt_device_waits_with_its_visit_until_the_wearer_rests(server, make_image):
    with board_of(
        make_image(server.port), walk=demo_walk().recording("waist").samples, walk_starts_s=20
    ) as board:
        board.advance(260)
        ((on_us, _),) = wifi_spans(board)
    # The walk takes two minutes; the wearer must have rested for one.
    assert on_us > (20 + 120 + 55) * 1_000_000


def test_mqtt_device_loses_no_step_of_a_walk_that_begins_while_the_network_swallows_everything(
    server, make_image
):
    """In real time, so that the pause in which umqtt waits for the broker's word costs the sensor's FIFO as much."""
    walk = Walk(3).stand(1).walk("backward", seconds=20).stand(4).recording("waist").samples
    counted = []
    for limit_bytes in (3000, 1 << 30):
        with Relay(server.port, limit_bytes) as relay:
            image = make_image(relay.port)
            with board_of(image, walk=walk, walk_starts_s=59) as board:
                board.advance(59)
                board.set_speed(1.0)
                if limit_bytes == 3000:
                    board.wait_for_output(b"left early", 30)
                board.wait_for("wifi", 30, on=False)
                board.set_speed(0)
                board.advance(60)
        counted.append(logged(image))
    (swallowed, swallowed_faults), (passed, passed_faults) = counted
    assert swallowed_faults == passed_faults == []
    assert len(swallowed) > 30
    assert [step["direction"] for step in swallowed] == [step["direction"] for step in passed]
    # How well the sensor's clock is known depends on when its FIFO was read.
    assert all(
        abs(one["uptime_ms"] - other["uptime_ms"]) <= 30 for one, other in zip(swallowed, passed, strict=True)
    )
