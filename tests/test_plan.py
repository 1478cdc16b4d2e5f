"""The training plan on the device: progress, its days, and what it lets the wearer feel."""

import asyncio
import json

import numpy as np
import pytest

from firmware import steplog_decoder
from firmware.clock import Clock
from firmware.gait import BACKWARD, FORWARD
from firmware.gait.mounting import Mounting
from firmware.plan import Plan, fits
from firmware.settings import SettingRefused, Settings
from retrostep import flash
from retrostep.board import VirtualBoard, flash_image
from retrostep.cable import CableTransport
from retrostep.flash import installed_files
from retrostep.link import Link
from retrostep.logfiles import log_folder, read_log_files
from retrostep.store import Store
from retrostep.sync import sync
from retrostep.walker import Walk

EVERY_DAY = 127
MIDNIGHT_UTC_MS = 1_795_478_400_000  # Tuesday, 24 November 2026
DAY_MS = 86_400_000


class Wearer:
    """Walks before a Plan whose clock is a counter of ms."""

    def __init__(self, folder, values, placement="waist", utc_ms=MIDNIGHT_UTC_MS + DAY_MS // 2, offset=0):
        self.settings = {"plan": values, "placement": placement, "utc_offset_min": offset}
        self.now_ms = 1_000
        self.told = []
        self._clock = Clock(lambda: self.now_ms * 1000, lambda new, old: new - old)
        if utc_ms is not None:
            self.tell_time(utc_ms)
        self._path = str(folder / "plan.today")
        self.restart()

    def tell_time(self, utc_ms):
        self._clock.set_anchor(self._clock.uptime_ms(), utc_ms)

    def restart(self):
        self.plan = Plan(self.settings, self._clock, self._path)

    def walk(self, direction, seconds, step_ms=500):
        """The cues that so many seconds of steps call for; progress goes to `told`."""
        cues = []
        for _ in range(seconds * 1000 // step_ms):
            self.now_ms += step_ms
            cue = self.plan.take_step(self.now_ms, direction)
            if cue == "progress":
                self.told.append((self.now_ms, self.plan.quarters))
            elif cue:
                cues.append(cue)
        return cues

    def rest(self, seconds):
        self.now_ms += seconds * 1000


def plan_of(minutes=0, steps=0, weekdays=EVERY_DAY, cadence=0, warm_up=0, cool_down=0):
    return [minutes, steps, weekdays, cadence, warm_up, cool_down]


def test_the_goal_is_felt_once_when_minutes_and_steps_are_both_reached(tmp_path):
    wearer = Wearer(tmp_path, plan_of(minutes=2, steps=300))
    assert wearer.walk(BACKWARD, 119) == []
    # Two minutes are over, but at 120 steps a minute only 240 steps are taken.
    assert wearer.walk(BACKWARD, 25) == []
    assert wearer.walk(BACKWARD, 10) == ["goal"]
    assert wearer.walk(BACKWARD, 300) == []


def test_each_quarter_of_the_way_to_the_goal_is_told_once(tmp_path):
    wearer = Wearer(tmp_path, plan_of(minutes=4))
    assert wearer.walk(BACKWARD, 239) == []
    # The first step has no length.
    assert wearer.told == [(61_500, 1), (121_500, 2), (181_500, 3)]
    wearer.restart()
    assert wearer.walk(BACKWARD, 62) == ["goal"]
    assert [quarters for _, quarters in wearer.told] == [1, 2, 3]


def test_progress_is_that_of_minutes_or_steps_whichever_is_behind(tmp_path):
    wearer = Wearer(tmp_path, plan_of(minutes=4, steps=1000))
    wearer.walk(BACKWARD, 130)
    assert wearer.told == [(126_000, 1)]


def test_progress_is_not_told_on_other_weekdays(tmp_path):
    wearer = Wearer(tmp_path, plan_of(minutes=4, weekdays=EVERY_DAY - 2))
    wearer.walk(BACKWARD, 200)
    assert wearer.told == []


def test_only_backward_steps_count_and_a_pause_is_no_walking(tmp_path):
    wearer = Wearer(tmp_path, plan_of(minutes=1))
    assert wearer.walk(FORWARD, 200) == []
    for _ in range(5):
        assert wearer.walk(BACKWARD, 10) == []
        wearer.rest(20)
    # The first step after a pause has no length.
    assert wearer.plan.backward_ms == 10_000 + 4 * 9_500
    assert wearer.walk(BACKWARD, 30) == ["goal"]


def test_a_new_local_day_begins_anew(tmp_path):
    an_hour_before_midnight = MIDNIGHT_UTC_MS + DAY_MS - 3_600_000
    wearer = Wearer(tmp_path, plan_of(minutes=1), utc_ms=an_hour_before_midnight - 3_600_000, offset=60)
    assert wearer.walk(BACKWARD, 90) == ["goal"]
    wearer.rest(3_600)
    assert wearer.walk(BACKWARD, 90) == ["goal"]
    assert wearer.plan.backward_ms == 89_500


def test_progress_survives_a_restart_and_no_goal_is_felt_twice(tmp_path):
    wearer = Wearer(tmp_path, plan_of(minutes=3))
    wearer.walk(BACKWARD, 130)
    wearer.restart()
    # Less than a minute is lost.
    assert wearer.walk(BACKWARD, 70) == ["goal"] or wearer.walk(BACKWARD, 55) == ["goal"]
    wearer.restart()
    assert wearer.plan.reached
    assert wearer.walk(BACKWARD, 400) == []


def test_what_was_walked_before_the_clock_was_set_belongs_to_the_day_it_shows(tmp_path):
    wearer = Wearer(tmp_path, plan_of(minutes=3))
    wearer.walk(BACKWARD, 65)
    unset = Wearer(tmp_path, plan_of(minutes=3), utc_ms=None)
    assert unset.walk(BACKWARD, 30) == []
    unset.tell_time(MIDNIGHT_UTC_MS + DAY_MS // 2)
    unset.walk(BACKWARD, 1)
    # 60 s were kept, and 31 s but the first step came since.
    assert unset.plan.backward_ms == 60_000 + 30_500
    tomorrow = Wearer(tmp_path, plan_of(minutes=3), utc_ms=MIDNIGHT_UTC_MS + 3 * DAY_MS // 2)
    assert tomorrow.plan.backward_ms == 0


def test_without_a_clock_the_time_since_the_start_is_the_day(tmp_path):
    wearer = Wearer(tmp_path, plan_of(minutes=1), utc_ms=None)
    assert wearer.walk(BACKWARD, 90) == ["goal"]
    assert not (tmp_path / "plan.today").exists()


def test_on_other_weekdays_nothing_is_felt_and_all_is_counted(tmp_path):
    tuesday = 1 << 1
    wearer = Wearer(tmp_path, plan_of(minutes=1, weekdays=EVERY_DAY - tuesday, cadence=60, warm_up=2))
    assert wearer.walk(BACKWARD, 120) == []
    assert wearer.plan.backward_ms == 119_500
    assert Wearer(tmp_path, plan_of(minutes=1, weekdays=tuesday)).walk(BACKWARD, 120) == ["goal"]


def test_who_walks_backward_before_warming_up_is_told_once_a_session(tmp_path):
    wearer = Wearer(tmp_path, plan_of(minutes=60, warm_up=3))
    assert wearer.walk(BACKWARD, 20) == ["warm_up"]
    assert wearer.walk(FORWARD, 10) == []
    assert wearer.walk(BACKWARD, 20) == []
    wearer.rest(700)
    assert wearer.walk(FORWARD, 181) == []
    assert wearer.walk(BACKWARD, 60) == []
    wearer.rest(700)
    assert wearer.walk(FORWARD, 60) == []
    assert wearer.walk(BACKWARD, 20) == ["warm_up"]


def test_the_cool_down_is_asked_for_ten_seconds_after_the_goal(tmp_path):
    wearer = Wearer(tmp_path, plan_of(minutes=1, cool_down=1))
    assert wearer.walk(BACKWARD, 61) == ["goal"]
    assert wearer.walk(FORWARD, 8) == []
    assert wearer.walk(FORWARD, 3) == ["cool_down"]
    assert wearer.walk(FORWARD, 60) == []


@pytest.mark.parametrize(("placement", "step_ms"), [("waist", 500), ("shoe", 1000)])
def test_a_cadence_far_above_the_target_slows_the_wearer_down_at_most_every_30_s(
    tmp_path, placement, step_ms
):
    # 120 steps a minute: more than 15 % above 100, not above 105.
    quick = Wearer(tmp_path, plan_of(minutes=60, cadence=100), placement)
    assert quick.walk(BACKWARD, 29, step_ms) == ["slow_down"]
    assert quick.walk(BACKWARD, 60, step_ms) == ["slow_down"] * 2
    right = Wearer(tmp_path, plan_of(minutes=60, cadence=105), placement)
    assert right.walk(BACKWARD, 60, step_ms) == []
    # Forward nobody is slowed down.
    assert quick.walk(FORWARD, 60, 300) == []


def test_strides_of_one_shoe_are_two_steps_each(tmp_path):
    wearer = Wearer(tmp_path, plan_of(steps=100), "shoe")
    assert wearer.walk(BACKWARD, 49, 1000) == []
    assert wearer.walk(BACKWARD, 1, 1000) == ["goal"]


def test_a_damaged_file_of_today_costs_today_and_nothing_else(tmp_path, capsys):
    (tmp_path / "plan.today").write_text('[1, "x"')
    assert Wearer(tmp_path, plan_of(minutes=1)).walk(BACKWARD, 90) == ["goal"]
    assert "plan.today" in capsys.readouterr().out


@pytest.mark.parametrize(
    "value",
    [
        [0, 0, 127, 0, 0, 0],
        [15, 0, 128, 0, 0, 0],
        [15, 0, 127, 0, 0],
        [15, 0, 127, 0, 0, True],
        [-1, 10, 127, 0, 0, 0],
        "15",
        {"minutes": 15},
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(tmp_path, value):
    assert not fits(value)
    settings = Settings(str(tmp_path / "settings.json"))
    with pytest.raises(SettingRefused, match="training-plan"):
        settings.change("plan", value)
    settings.change("plan", [15, 0, 127, 0, 3, 1])
    settings.change("plan", None)


def test_on_the_device_the_goal_is_felt_logged_and_remembered_over_a_reset(tmp_path):
    walk = Walk(seed=4).stand(3).walk("backward", steps=40).stand(4).recording("waist")
    settings = tmp_path / "settings.json"
    plan = plan_of(steps=20)
    settings.write_text(
        json.dumps({"placement": "waist", "mounting": Mounting.clip().pack().hex(), "plan": plan})
    )
    image = tmp_path / "flash.img"
    flash_image.create(image, [*installed_files(), (settings, "/settings.json")])
    with VirtualBoard(image, walk=np.concatenate([walk.samples] * 3), speed=0) as board:
        board.advance(1)
        board.set_speed(1.0)
        with Store(tmp_path / "db.sqlite3") as store:
            asyncio.run(_sync(board.port, store))
        board.set_speed(0)
        board.advance(walk.duration_s)
        flash.mpremote(board.port, "reset")
        board.set_speed(0)
        board.advance(2 * walk.duration_s)
        board.cut_power()
    with log_folder(image) as folder:
        records = [steplog_decoder.decode(kind, data) for _, kind, data in read_log_files(folder).records()]
    cues = [cue["pattern"] for record in records if record["kind"] == "steps" for cue in record["cues"]]
    assert cues.count("goal") == 1
    assert cues.count("progress") == 3
    assert [record["cause"] for record in records if record["kind"] == "boot"][1:] in (["soft"], ["hard"])
    _, _, steps, reached = json.loads(flash_image.read(image, "/plan.today"))
    assert (steps >= 20, reached) == (True, True)


async def _sync(port, store):
    async with CableTransport(port) as transport:
        await sync(Link(transport), store)
