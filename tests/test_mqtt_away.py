"""A broker that is away: what the device, and a sync that publishes, tell it once it is back."""

import asyncio
import functools
import json
from itertools import pairwise

import pytest
from broker import Mosquitto, Subscriber
from conftest import sweep_size
from wifi_board import (
    DEVICE_ID,
    LOG_ID,
    VISITED_S,
    board_of,
    create_image,
    run_command,
    spans,
    wifi_setting,
    write_log,
)

from firmware import mqtt_payloads, steplog, steplog_decoder
from retrostep.cable import CableTransport
from retrostep.link import ClockReading, Link
from retrostep.logfiles import log_folder, read_log_files
from retrostep.walker import Walk

pytestmark = pytest.mark.services

# 2026-11-20 12:00 UTC, and the same time three days later, when the device starts anew.
NOON_MS = 1_795_176_000_000
START_MS = NOON_MS + 3 * 86_400_000
BOUTS = 20


@pytest.fixture(scope="session")
def log(tmp_path_factory):
    return write_log(tmp_path_factory.mktemp("away") / "log", BOUTS, NOON_MS)


def a_walk(seed):
    return Walk(seed).stand(1).walk("backward", seconds=15 + seed).stand(4).recording("waist").samples


def set_clock(board, utc_ms):
    """As a sync does, but to a date that is always the same."""

    async def anchor():
        async with CableTransport(board.port) as transport:
            link = Link(transport)
            await link.anchor(ClockReading((await link.read_clock()).uptime_ms, utc_ms, 5))

    board.set_speed(1.0)
    asyncio.run(anchor())
    board.set_speed(0)


def expected_of(image):
    """The messages of every record in an image's log, each boot dated by its anchor."""
    with log_folder(image) as folder:
        records = list(read_log_files(folder).records())
    anchors = [
        steplog_decoder.decode(kind, payload) for _, kind, payload in records if kind == steplog.ANCHOR
    ]
    offset_ms = {one["boot_tag"]: one["utc_ms"] - one["uptime_ms"] for one in anchors}
    digest = mqtt_payloads.Digest(
        DEVICE_ID.hex(),
        LOG_ID,
        lambda boot_tag, sequence, uptime_ms: offset_ms[boot_tag] + uptime_ms,
        mqtt_payloads.fixed_days(0),
    )
    return [message for record in records for message in digest.take(*record)] + list(digest.today())


def by_day(messages):
    """The totals that were told last of each day: {day: payload without its id}."""
    days = [json.loads(text) for topic, text, _ in messages if topic.endswith("/day")]
    return {day["day"]: {key: value for key, value in day.items() if key != "id"} for day in days}


def of_records(messages):
    """[(topic, payload)] of what is told once, in order."""
    mine = [(topic, text) for topic, text, _ in messages if topic.startswith("retrostep/") and text[0] == "{"]
    return [(topic, json.loads(text)) for topic, text in mine if not topic.endswith("/day")]


def test_mqtt_away_for_a_day_then_the_device_delivers_everything_in_order_and_each_id_once(
    mosquitto, tmp_path, log, request
):
    """A day in virtual time where the test was asked for (K=mqtt), else some hours.

    A walk every third hour; between them the device lies in deep sleep and wakes for its visits.
    """
    hours = 24 if sweep_size(request.config, request.node.name) == "full" else 7
    folder = tmp_path / "broker"
    folder.mkdir()
    server = Mosquitto(mosquitto, folder)
    image = create_image(tmp_path / "flash.img", wifi_setting(server.port), log)
    with server, Subscriber(server.port) as listener, board_of(image, usb=False) as board:
        board.advance(2)
        set_clock(board, START_MS)
        board.advance(VISITED_S)
        listener.wait_for(lambda messages: messages and messages[-1][1] == "offline")
        told_before = len(listener.messages)
        server.stop()
        for hour in range(hours):
            if hour % 3 == 0:
                board.walk(a_walk(hour))
            board.advance(3600)
        missed = spans(board, "wifi")[1:]
        server.start()
        board.advance(3700)
        listener.wait_for(lambda messages: messages[-1][1] == "offline" and len(messages) > told_before + 15)
        board.cut_power()
    assert len([event for event in board.events if event.kind == "deepsleep"]) > hours
    # Once an hour: waking for a walk is no reason to visit, and a broker that refuses must not keep the radio on.
    # Each begins a few seconds after it is due, so that a day may see one less.
    assert hours - 1 <= len(missed) <= hours
    begins_s = [on_us / 1e6 for on_us, _ in missed]
    assert all(3590 < after - before < 3720 for before, after in pairwise(begins_s))
    assert max(off_us - on_us for on_us, off_us in missed) < 10_000_000
    expected = expected_of(image)
    told = of_records(listener.messages)
    # What the last visit did not know yet.
    assert told == of_records(expected)[: len(told)]
    assert len(of_records(expected)) - len(told) <= 2
    bouts = listener.of("/bout")
    assert len(bouts) == BOUTS + (hours + 2) // 3
    assert None not in [bout["utc"] for bout in bouts]
    records = [one["id"] for _, one in told]
    assert len(records) == len(set(records))
    assert by_day(listener.messages) == by_day(expected)
    assert len(by_day(listener.messages)) == (4 if hours == 24 else 3)


def test_mqtt_away_a_sync_that_publishes_keeps_what_it_brought_home_and_tells_it_later(
    mosquitto, tmp_path, log
):
    run = functools.partial(run_command, tmp_path)
    folder = tmp_path / "broker"
    folder.mkdir()
    database = str(tmp_path / "walks.sqlite3")
    server = Mosquitto(mosquitto, folder)
    image = create_image(tmp_path / "flash.img", None, log)
    with server, Subscriber(server.port) as listener, board_of(image) as board:
        code, text = run(("mqtt", "setup", "127.0.0.1", "--port", str(server.port), "--no-tls"))
        assert code == 0, text
        board.advance(2)
        board.set_speed(1.0)
        sync = ("sync", "--port", board.port, "--mqtt", "--db", database)
        code, text = run(sync)
        assert code == 0, text
        assert "messages published" in text
        listener.wait_for(lambda messages: messages and messages[-1][1] == "offline")
        assert len(listener.of("/bout")) == BOUTS
        server.stop()
        board.set_speed(0)
        board.walk(a_walk(5))
        board.advance(120)
        board.set_speed(1.0)
        code, text = run(sync)
        assert code == 1
        assert " new records" in text
        assert "no broker answers" in text
        server.start()
        code, text = run(("mqtt", "--db", database))
        assert code == 0, text
        listener.wait_for(lambda messages: len([one for one in messages if one[0].endswith("/bout")]) > BOUTS)
        listener.wait_for(lambda messages: messages[-1][1] == "offline")
        board.cut_power()
    assert len(listener.of("/bout")) == BOUTS + 1
    records = [one["id"] for _, one in of_records(listener.messages)]
    assert len(records) == len(set(records))
