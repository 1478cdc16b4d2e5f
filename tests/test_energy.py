"""What a charge is estimated to last: the sums, and what a real log tells of sleep."""

import asyncio
import json

import pytest
from typer.testing import CliRunner

from firmware.gait.mounting import Mounting
from retrostep import cli, energy
from retrostep.board import VirtualBoard, flash_image
from retrostep.cable import CableTransport
from retrostep.device_tree import device_root
from retrostep.energy import Residency
from retrostep.flash import installed_files
from retrostep.link import Link
from retrostep.store import Store
from retrostep.sync import sync
from retrostep.walker import Walk

NIGHT_S = 4 * 3600


def test_the_power_of_an_hour_in_each_state_is_its_current_and_the_sensors():
    for field, current in (
        ("awake_s", energy.AWAKE_MA),
        ("light_sleep_s", energy.LIGHT_SLEEP_MA),
        ("deep_sleep_s", energy.DEEP_SLEEP_MA),
        ("radio_s", energy.RADIO_MA),
    ):
        took = energy.charge_mah(Residency(**{field: 3600.0}))
        always = energy.SENSOR_MA + energy.BOARD_MA
        assert took.low == pytest.approx(current.low + always.low)
        assert took.high == pytest.approx(current.high + always.high)
    buzzing = energy.charge_mah(Residency(awake_s=3600.0, motor_s=36.0))
    assert buzzing.high == pytest.approx(33 + 0.55 + 0.1 + 0.8)


def test_power_for_twice_the_time_lasts_as_long_and_of_half_the_cell_half_as_long():
    one = Residency(100.0, 3000.0, 500.0, 20.0, 3.0)
    hours = energy.hours_per_charge(one)
    assert energy.hours_per_charge(one + one).high == pytest.approx(hours.high)
    assert energy.hours_per_charge(one, 250).low == pytest.approx(hours.low / 2)


def test_the_power_of_the_profiles_day_adds_up_to_a_day_and_lasts_a_week():
    parts = energy.profile_day()
    assert sum(part.hours for part in parts if part.name != "motor") == pytest.approx(24)
    life = energy.days_of_life(parts)
    assert life.low >= 7
    text = (device_root() / "docs" / "power.md").read_text()
    assert f"500 mAh last {life.low:.1f} to {life.high:.1f} such days" in text
    for part in parts:
        assert f"{part.hours:.2f} | {part.mah.low:.1f} | {part.mah.high:.1f} |" in text, part


async def _sync(port, store):
    async with CableTransport(port) as transport:
        return await sync(Link(transport), store)


def test_power_is_reckoned_from_the_sleep_that_a_devices_log_tells(tmp_path):
    stored = tmp_path / "settings.json"
    mounting = Mounting.clip().pack().hex()
    stored.write_text(json.dumps({"placement": "waist", "mounting": mounting, "still_after_min": 1}))
    image, db = tmp_path / "flash.img", tmp_path / "db.sqlite3"
    flash_image.create(image, [*installed_files(), (stored, "/settings.json")])
    walk = Walk(4).stand(2).walk("forward", seconds=60).stand(4).recording()
    with VirtualBoard(image, usb=False, speed=0) as board, Store(db) as store:

        def pull():
            board.set_speed(1.0)
            asyncio.run(_sync(board.port, store))
            board.set_speed(0)

        board.advance(12)
        pull()
        board.advance(90)
        began_us = next(event.us for event in board.events if event.kind == "deepsleep")
        board.advance(NIGHT_S)
        board.walk(walk.samples)
        board.advance(walk.duration_s + 120)
        slept_s = [event.us for event in board.events if event.kind == "boot"][1] - began_us
        board.press()
        board.advance(30)
        pull()
        found = energy.residency_of_log(store, store.devices()[0]["id"])
    assert found is not None
    assert found.deep_sleep_s == pytest.approx(slept_s / 1e6, abs=10)
    assert found.light_sleep_s > 50
    assert found.radio_s == 0
    shown = CliRunner().invoke(cli.app, ["power", "--db", str(db), "--battery-mah", "250", "--json"])
    (spent,) = json.loads(shown.stdout)["spent"].values()
    hours = energy.hours_per_charge(found, 250)
    assert spent["hours_per_charge"] == {"low": hours.low, "high": hours.high}
    text = " ".join(CliRunner().invoke(cli.app, ["power", "--db", str(db)]).stdout.split())
    assert "deep sleep 9" in text
    assert "500 mAh last" in text
