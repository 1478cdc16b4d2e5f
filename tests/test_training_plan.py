"""`retrostep plan` and `test3m`: the plan in the database, what it sends, and a test timed from the laptop."""

import json
import shutil
from datetime import date, timedelta

import pytest
from typer.testing import CliRunner

from firmware.gait.mounting import Mounting
from firmware.plan import fits
from retrostep import cli, exchange, training_plan
from retrostep.board import VirtualBoard, flash_image
from retrostep.radio_bench import installed_files
from retrostep.store import Store
from retrostep.training_plan import PlanRefused, TrainingPlan, keep, plans, weekdays_of
from retrostep.walker import Walk
from retrostep.wearers import add_wearer, find_wearer

MONDAY = date(2026, 11, 23)


def plan_from(first_day=MONDAY, first_minutes=5, minutes=18, weeks=6, weekdays=0b0010101, **more):
    values = {"steps": 0, "cadence_per_min": 0, "warm_up_min": 5, "cool_down": True, **more}
    return TrainingPlan(first_day, first_minutes, minutes, weeks, weekdays=weekdays, **values)


def test_minutes_grow_week_by_week_from_the_first_to_the_last_and_stay():
    plan = plan_from()
    by_week = [plan.minutes_of_week(week) for week in range(1, 9)]
    assert by_week == [5, 8, 10, 13, 15, 18, 18, 18]
    assert plan.wants(MONDAY) == 5
    assert plan.wants(MONDAY + timedelta(days=1)) == 0
    assert plan.wants(MONDAY + timedelta(days=9)) == 8
    assert plan.wants(MONDAY - timedelta(days=7)) == 0
    assert plan_from(weeks=1).wants(MONDAY) == 18


def test_the_device_gets_one_weeks_numbers_and_the_day_until_which_they_hold():
    plan = plan_from()
    assert plan.device_values(MONDAY + timedelta(days=6)) == [5, 0, 0b0010101, 0, 5, 1]
    assert plan.holds_until(MONDAY) == MONDAY + timedelta(days=6)
    assert plan.holds_until(MONDAY + timedelta(days=40)) is None
    slow = plan_from(first_minutes=5, minutes=6, weeks=9)
    # Four weeks and more with the same number.
    until = slow.holds_until(MONDAY)
    assert until is not None
    assert slow.device_values(until) == slow.device_values(MONDAY)
    assert slow.device_values(until + timedelta(days=1)) != slow.device_values(MONDAY)


@pytest.mark.parametrize("weekdays", [1, 127])
@pytest.mark.parametrize("minutes", [1, 20, 180])
def test_every_plan_that_can_be_made_is_one_that_the_device_takes(minutes, weekdays):
    plan = plan_from(first_minutes=1, minutes=minutes, weekdays=weekdays)
    assert all(fits(plan.device_values(MONDAY + timedelta(days=day))) for day in range(0, 70, 7))


@pytest.mark.parametrize(
    "values",
    [
        {"first_minutes": 0},
        {"first_minutes": 20},
        {"minutes": 200},
        {"weeks": 0},
        {"weekdays": 0},
        {"cadence_per_min": 201},
        {"warm_up_min": 31},
    ],
)
def test_a_plan_that_cannot_be_is_refused_when_it_is_made(values):
    with pytest.raises(PlanRefused):
        plan_from(**values)


def test_days_a_week_are_spread_and_days_by_name_are_taken():
    for count in range(1, 8):
        assert weekdays_of(str(count)).bit_count() == count
    assert weekdays_of("Monday, fri") == 0b0010001
    for wrong in ("0", "8", "someday", ""):
        with pytest.raises(PlanRefused, match="1 to 7 days"):
            weekdays_of(wrong)


def test_a_later_plan_takes_over_on_its_first_day_and_one_of_the_same_day_replaces(tmp_path):
    with Store(tmp_path / "db.sqlite3") as store:
        assert not plans(store, None)
        keep(store, None, plan_from(minutes=10))
        keep(store, None, plan_from())
        later = MONDAY + timedelta(days=14)
        keep(store, None, plan_from(first_day=later, first_minutes=2))
        found = plans(store, None)
        assert len(found.plans) == 2
        assert found(MONDAY + timedelta(days=7)) == 8
        assert found(later) == 2
        assert found.on(MONDAY - timedelta(days=30)) == plan_from()


def test_what_the_device_was_sent_holds_until_the_next_plan_begins_at_most(tmp_path):
    later = MONDAY + timedelta(days=10)
    with Store(tmp_path / "db.sqlite3") as store:
        keep(store, None, plan_from(minutes=5))
        assert plans(store, None).hold_until(MONDAY) is None
        keep(store, None, plan_from(first_day=later, first_minutes=2))
        found = plans(store, None)
    assert found.hold_until(MONDAY) == later - timedelta(days=1)
    assert found.hold_until(later) == plan_from(first_day=later, first_minutes=2).holds_until(later)
    assert training_plan.Plans(()).hold_until(MONDAY) is None


def test_plans_belong_to_wearers_and_the_only_one_has_those_of_nobody(tmp_path):
    with Store(tmp_path / "db.sqlite3") as store:
        keep(store, None, plan_from())
        add_wearer(store, "Ada")
        ada = find_wearer(store, "Ada")
        assert plans(store, ada).on(MONDAY) == plan_from()
        add_wearer(store, "Ben")
        ben = find_wearer(store, "Ben")
        assert not plans(store, ada)
        keep(store, ben, plan_from(minutes=9))
        assert plans(store, ben)(MONDAY + timedelta(days=56)) == 9
        assert not plans(store, ada)


def test_plans_travel_with_an_export(tmp_path):
    with Store(tmp_path / "db.sqlite3") as store:
        add_wearer(store, "Ada")
        keep(store, find_wearer(store, "Ada"), plan_from())
        lines = tmp_path / "export.jsonl"
        lines.write_text("\n".join(exchange.export_lines(store)) + "\n")
    with Store(tmp_path / "other.sqlite3") as other:
        add_wearer(other, "Eve")
        for _ in range(2):
            exchange.import_file(other, lines)
        assert plans(other, find_wearer(other, "Ada")).plans == (plan_from(),)
        assert not plans(other, find_wearer(other, "Eve"))


def invoke(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def test_a_plan_that_shrinks_is_refused_and_a_short_one_begins_no_longer_than_it_ends(tmp_path):
    db = ("--db", tmp_path / "db.sqlite3")
    refused = invoke("plan", "make", "--from-minutes", 10, "--minutes", 5, *db)
    assert isinstance(refused.exception, PlanRefused)
    short = json.loads(invoke("plan", "make", "--minutes", 3, "--json", *db).stdout)["plan"]
    assert (short["first_minutes"], short["minutes"]) == (3, 3)


def test_make_and_show_speak_json_and_say_who_should_not_walk_alone(tmp_path):
    db = tmp_path / "db.sqlite3"
    with Store(db):
        pass
    missing = invoke("plan", "show", "--db", db)
    assert isinstance(missing.exception, training_plan.NoPlan)
    made = invoke("plan", "make", "--db", db, "--days", "mon,wed", "--start", "2026-11-23", "--json")
    assert json.loads(made.stdout)["plan"]["minutes_by_week"] == [5, 7, 9, 11, 13, 15]
    shown = invoke("plan", "show", "--db", db)
    assert shown.exit_code == 0
    assert "not alone" in shown.stdout
    assert json.loads(invoke("plan", "show", "--db", db, "--json").stdout)["plan"]["weekdays"] == [
        "mon",
        "wed",
    ]


@pytest.fixture(scope="module")
def factory_image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("factory")
    settings = folder / "settings.json"
    settings.write_text(json.dumps({"placement": "waist", "mounting": Mounting.clip().pack().hex()}))
    image = folder / "flash.img"
    # Compiled, as on a device: to compile a test there takes more than is free.
    flash_image.create(image, [*installed_files(folder / "compiled"), (settings, "/settings.json")])
    return image


def test_a_plan_is_sent_to_the_device_with_the_wearers_offset_and_a_metronome(factory_image, tmp_path):
    db = tmp_path / "db.sqlite3"
    with Store(db) as store:
        add_wearer(store, "Ada", "Asia/Kolkata")
    image = shutil.copy(factory_image, tmp_path / "flash.img")
    invoke("plan", "make", "--db", db, "--cadence", 100, "--days", 7)
    with VirtualBoard(image, speed=0) as board:
        board.advance(1)
        board.set_speed(1.0)
        sent = invoke("plan", "send", "--db", db, "--port", board.port, "--metronome", "--json")
        assert sent.exit_code == 0, sent.output
        board.cut_power()
    settings = json.loads(flash_image.read(image, "/settings.json"))
    assert settings["plan"] == [5, 0, 127, 100, 5, 1]
    assert settings["utc_offset_min"] == 330
    assert settings["pace_per_min"] == 100
    assert json.loads(sent.stdout)["holds_until"] is not None


def test_a_plan_that_is_sent_before_it_begins_says_what_that_means(factory_image, tmp_path):
    db = tmp_path / "db.sqlite3"
    image = shutil.copy(factory_image, tmp_path / "flash.img")
    invoke("plan", "make", "--db", db, "--start", "2090-01-01")
    with VirtualBoard(image, speed=0) as board:
        board.advance(1)
        board.set_speed(1.0)
        sent = invoke("plan", "send", "--db", db, "--port", board.port)
    assert sent.exit_code == 0, sent.output
    assert "The plan begins on 2090-01-01, but the device goes by it from now on" in " ".join(
        sent.stdout.split()
    )


def test_a_test_started_on_the_laptop_is_timed_shown_synced_and_listed(factory_image, tmp_path):
    walk = Walk(12).stand(9).walk("backward", steps=8, step_m=0.43).stand(8)
    falls = walk.plan().footfalls
    image = shutil.copy(factory_image, tmp_path / "flash.img")
    db = tmp_path / "db.sqlite3"
    with VirtualBoard(image, walk=walk.recording("waist").samples, speed=0) as board:
        board.advance(2)
        board.set_speed(4.0)
        done = invoke("test3m", "start", "--port", board.port, "--json")
        assert done.exit_code == 0, done.output
        board.set_speed(1.0)
        assert invoke("sync", "--port", board.port, "--db", db).exit_code == 0
    result = json.loads(done.stdout)
    assert (result["outcome"], result["direction"], result["steps"]) == ("done", "backward", 8)
    assert result["walk_s"] == pytest.approx(falls[-1].contact_s - falls[0].lift_s, abs=0.3)
    assert result["from_signal_s"] > result["walk_s"]
    listed = json.loads(invoke("test3m", "show", "--db", db, "--json").stdout)
    assert [one["walk_s"] for one in listed["tests"]] == [result["walk_s"]]
    assert "no diagnosis" in listed["reference"]
    text = invoke("test3m", "show", "--db", db).stdout
    assert f"{result['walk_s']:.1f} s" in text
    assert "Polo-Ferrero" in text
