"""Stability at the waist: what raises an alarm, what does not, and what the score says. Picked by K=stability."""

import json
import math
import shutil
import sys
from array import array
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from firmware import steplog_decoder
from firmware.gait import BACKWARD, FORWARD, signals, stability, walk
from firmware.gait.bouts import BoutTracker
from firmware.gait.mounting import Mounting
from firmware.gait.pipeline import Pipeline
from firmware.gait.resample import Resampler
from retrostep import interpreter
from retrostep.board import VirtualBoard, flash_image
from retrostep.device_tree import device_root
from retrostep.evaluation import stability as judged
from retrostep.evaluation.scoring import Facts
from retrostep.flash import installed_files
from retrostep.logfiles import log_folder, read_log_files
from retrostep.recording import Recording
from retrostep.replay import Replay, Replayer
from retrostep.walker import Person, Walk

sys.path.append(str(Path(__file__).parent / "micropython"))
from gait_trace import trace

ALARMS = ("stumble", "unstable", "fall")


@pytest.fixture(scope="module")
def replayer():
    with Replayer() as replayer:
        yield replayer


def alarms(replay: Replay) -> list[tuple[float, str]]:
    return [(at_s, kind) for at_s, kind in replay.events if kind in ALARMS]


def words(recording: Recording) -> array:
    return array("h", np.ascontiguousarray(recording.samples, "<i2").tobytes())


def mishap(kind: str, direction: str, seed: int) -> Recording:
    walked = getattr(Walk(seed).stand(2).walk(direction, steps=14), kind)()
    if kind != "fall":
        walked = walked.walk(direction, steps=10)
    return walked.stand(2).recording(placement="waist")


def limp(person: Person) -> Person:
    return replace(person, asymmetry=0.25, step_time_cv=0.08, step_length_cv=0.2)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_stability_tells_a_stumble_within_half_a_second(replayer, direction, seed):
    recording = mishap("stumble", direction, seed)
    told = alarms(replayer.replay(recording))
    assert len(told) == 1
    assert told[0][1] in ("stumble", "unstable")
    assert -0.1 < told[0][0] - recording.event_t[0] < 0.5


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_stability_tells_a_slip_forward(replayer, seed):
    recording = mishap("slip", "forward", seed)
    told = alarms(replayer.replay(recording))
    assert [kind for _, kind in told if kind != "fall"]
    assert abs(told[0][0] - recording.event_t[0]) < 0.6


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_stability_suspects_a_fall_within_a_second_of_the_impact(replayer, direction, seed):
    recording = mishap("fall", direction, seed)
    falls = [at_s for at_s, kind in replayer.replay(recording).events if kind == "fall"]
    assert len(falls) == 1
    assert 0.4 < falls[0] - recording.event_t[0] < 1.0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_stability_is_silent_while_nothing_happens(replayer, seed):
    walked = Walk(seed).stand(2).walk("forward", steps=20).u_turn().walk("forward", steps=10).stand(2)
    walked = walked.turn(180).walk("backward", steps=20).stand(2).sit().bend().shake().jump().jump()
    walked = walked.walk("forward", steps=12).bend().stand(2)
    assert not alarms(replayer.replay(walked.recording(placement="waist")))


def test_stability_says_nothing_at_the_shoe_or_in_a_pocket(replayer):
    walked = Walk(2).stand(2).walk("forward", steps=14).stumble().walk("forward", steps=10).stand(2)
    for worn, placement in ((walked.recording(placement="shoe"), "shoe"), (walked.recording(), "pocket")):
        replay = replayer.replay(worn, placement=placement)
        assert replay.steps
        assert {step.stability for step in replay.steps} == {None}
        assert not replay.events


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_stability_score_tells_a_limp_from_an_even_walk(replayer, direction):
    for seed in (1, 2, 3):
        scores = []
        for person in (Person.drawn(seed), limp(Person.drawn(seed))):
            recording = Walk(seed, person).stand(2).walk(direction, steps=30).stand(2).recording()
            found = [
                step.stability for step in replayer.replay(recording).steps if step.stability is not None
            ]
            assert len(found) > 15
            scores.append(np.mean(found))
        assert scores[1] < scores[0] - 0.1


def test_the_stability_score_of_a_stumble_is_nought_and_of_the_steps_long_before_it_is_not(replayer):
    recording = mishap("stumble", "forward", 5)
    steps = replayer.replay(recording).steps
    at_s = recording.event_t[0]
    near = [step.stability for step in steps if abs(step.contact_s - at_s) < 0.5]
    before = [step.stability for step in steps if step.contact_s < at_s - 2 and step.stability is not None]
    assert 0 in near
    assert min(before) > 0.4


def test_a_wearers_own_changed_gait_is_told_and_a_change_of_speed_is_not(replayer):
    person = Person.drawn(4)
    usual = Walk(4, person).stand(2).walk("forward", steps=160).stand(2).recording()
    first = replayer.replay(usual)
    assert first.baseline is not None

    def notices(walked: Walk) -> int:
        replay = replayer.replay(walked.stand(2).recording(), baseline=first.baseline)
        return [kind for _, kind in replay.events].count("changed_gait")

    assert notices(Walk(5, limp(person)).stand(2).walk("forward", steps=90)) == 1
    assert notices(Walk(5, person).stand(2).walk("forward", steps=90)) == 0
    for cadence in (85, 100, 130):
        assert notices(Walk(5, person).stand(2).walk("forward", steps=90, cadence_per_min=cadence)) == 0


def test_what_is_usual_in_stability_goes_through_bytes_unchanged():
    recording = Walk(1).stand(2).walk("forward", steps=60).walk("backward", steps=60).stand(2).recording()
    pipeline = Pipeline("waist", Mounting.clip())
    assert pipeline.take_baseline() is None
    pipeline.process(words(recording), len(recording.samples))
    pipeline.flush()
    learned = pipeline.take_baseline()
    assert learned is not None and len(learned) == stability.BASELINE_BYTES
    assert pipeline.take_baseline() is None
    again = Pipeline("waist", Mounting.clip(), baseline=learned)
    track = again._tracker._walk.track
    assert array("H", learned[1:]) == array("H", track[stability._BASELINE : stability._END])
    forward, backward = track[stability._STEPS], track[stability._STEPS + stability._DIRECTION_WORDS]
    assert min(forward, backward) >= 32


@pytest.mark.parametrize("damaged", [b"\1", bytes(61), b"\2" * 61, b"\1" * 62])
def test_damaged_bytes_are_no_stability_baseline(damaged):
    with pytest.raises(
        ValueError, match=r"baseline: \d+ bytes, expected 61 of version 1; it is learned anew"
    ):
        Pipeline("waist", Mounting.clip(), baseline=damaged)


def test_stability_levels_are_logarithms_exact_to_two_units():
    front = signals.FrontEnd(Resampler(104000))
    track = walk.Walk(front).track
    for value in (1, 2, 255, 256, 257, 1000, 65535, 65536, 16777216, 2**31 - 1):
        for at in range(stability._TIME, stability._LEVEL):
            track[at] = value
        stability._look_back(20, stability._TIME, 0, track, front.state)
        assert abs(track[stability._TIME] - 256 * math.log2(value)) <= 2, value
        assert len(set(track[stability._TIME : stability._LEVEL])) == 1


def test_a_stability_window_holds_the_largest_swing_of_its_five_frames():
    front = signals.FrontEnd(Resampler(104000))
    track = walk.Walk(front).track
    for frame in range(32):
        at = signals._EXTREMES + 3 * frame
        front.state[at : at + 3] = array("i", (1000 * 1000, 900 * 900, 64))
    front.state[signals._EXTREMES + 3 * 10] = 3000 * 3000
    front.state[signals._EXTREMES + 3 * 12 + 1] = 100 * 100
    front.state[signals._EXTREMES + 3 * 13 + 2] = 512 * 512
    stability._look_back(14, stability._LEVEL, 0, track, front.state)
    assert abs(track[stability._LEVEL] - 256 * math.log2(2900)) <= 2
    assert abs(track[stability._LEVEL + 1] - 256 * math.log2(512)) <= 2
    stability._look_back(9, stability._LEVEL, 0, track, front.state)
    assert abs(track[stability._LEVEL] - 256 * math.log2(100)) <= 2


@pytest.mark.parametrize("kind", ["stumble", "fall"])
def test_stability_is_the_same_on_cpython_and_micropython(kind, tmp_path):
    samples = words(mishap(kind, "backward", 3))
    path = tmp_path / "samples"
    path.write_bytes(samples.tobytes())
    script = Path(__file__).parent / "micropython" / "gait_trace.py"
    done = interpreter.run(script, str(device_root()), str(path), "waist", "104000", "1", heap="8m")
    here = list(trace(samples, "waist", 104000, True))
    assert done.stdout.decode().splitlines() == here
    assert any(line.startswith("event") and line.split()[2] in ALARMS for line in here)


def test_stability_without_a_gyroscope_still_tells_a_stumble(replayer):
    recording = mishap("stumble", "backward", 3)
    samples = recording.samples.copy()
    samples[:, 3:] = 0
    told = alarms(replayer.replay(replace(recording, samples=samples)))
    assert [kind for _, kind in told] == ["stumble"]


def watched(activity, person="a", events=(), score=None, peak_s=5.0):
    """A recording of sisfall's kind, with what the device told of it."""
    recording = Walk(1).stand(2).recording()
    meta = {**recording.meta, "source": "sisfall", "subject": person, "activity": activity}
    return judged.Watched(Facts.of(replace(recording, meta=meta), activity), list(events), score, peak_s)


def test_evaluated_stability_counts_a_stumble_as_told_only_near_its_peak():
    trials = [
        watched("D18 Stumble", "a", [(4.75, "stumble")]),
        watched("D18 Stumble", "b", [(2.0, "unstable"), (7.5, "stumble")]),
        watched("D18 Stumble", "c", [(5.25, "changed_gait")]),
    ]
    told = judged.told(judged.stumbles(trials))
    assert told is not None
    assert (round(told.value, 1), told.n, told.people) == (33.3, 3, 3)
    late = judged.lateness(trials, 0.5)
    assert late is not None
    assert late.value == pytest.approx(-0.25)


def test_evaluated_stability_blames_alarms_where_nobody_stumbled_only():
    some = [
        watched("D01 Walking slowly", "a", [(1.0, "stumble"), (1.5, "changed_gait")]),
        watched("D18 Stumble", "a", [(5.0, "stumble")]),
        watched("F01 Fall", "a", [(5.0, "fall")]),
    ]
    false = judged.alarms_an_hour(judged.without_stumbles(some))
    assert false is not None
    assert false.n == 1
    assert false.value == pytest.approx(3600 / some[0].facts.duration_s)


def test_an_alarm_long_before_a_fall_does_not_tell_it():
    at_s = 10.0
    trials = [
        replace(one, facts=replace(one.facts, falls_s=(at_s,)))
        for one in (
            watched("F01 Fall", "a", [(at_s - 5, "unstable")]),
            watched("F01 Fall", "b", [(at_s - 1, "unstable")]),
            watched("F01 Fall", "c", [(at_s + 0.75, "fall")]),
            watched("F01 Fall", "d", [(at_s + 1.25, "fall")]),
        )
    ]
    told = judged.falls_told(trials, judged.ALARMS)
    assert told is not None
    assert (told.value, told.n, told.people) == (50.0, 4, 4)
    told = judged.falls_told(trials, ("fall",))
    assert told is not None
    assert told.value == 25.0


def test_evaluated_stability_scores_separate_groups_by_their_order_alone():
    low = [watched("D01", person, score=score) for person, score in (("a", 0.2), ("b", 0.5))]
    high = [watched("D01", person, score=score) for person, score in (("c", 0.4), ("d", 0.9), ("e", None))]
    area = judged.separation(low, high)
    assert area is not None
    assert (area.value, area.n, area.people) == (0.75, 4, 4)
    assert judged.separation(low, []) is None


@pytest.fixture(scope="module")
def calibrated_image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stability")
    settings = folder / "settings.json"
    settings.write_text(json.dumps({"placement": "waist", "mounting": Mounting.clip().pack().hex()}))
    image = folder / "flash.img"
    flash_image.create(image, [*installed_files(), (settings, "/settings.json")])
    return image


def test_a_stability_alarm_is_logged_and_felt_within_300_ms(calibrated_image, tmp_path):
    """The part that waits for the next look into the FIFO, up to 250 ms, is in it."""
    image = shutil.copy(calibrated_image, tmp_path / "flash.img")
    recording = mishap("stumble", "backward", 3)
    with VirtualBoard(image, walk=recording.samples, speed=0) as board:
        board.advance(recording.duration_s + 40)
        felt = [
            event.us / 1000
            for event in board.events
            if event.kind == "pwm" and event.data["name"] == "motor" and event.data["duty_u16"]
        ]
    with log_folder(image) as folder:
        records = [
            steplog_decoder.decode(kind, payload) for _, kind, payload in read_log_files(folder).records()
        ]
    logged = [one for one in records if one["kind"] == "event" and one["event"] in ALARMS]
    assert len(logged) == 1
    visible_ms = logged[0]["uptime_ms"]
    assert visible_ms / 1000 == pytest.approx(float(recording.event_t[0]), abs=0.8)
    delays = [ms - visible_ms for ms in felt if ms > visible_ms - 10]
    assert delays
    assert delays[0] <= 300


def test_a_device_keeps_what_is_usual_in_stability_through_a_reset(calibrated_image, tmp_path):
    image = shutil.copy(calibrated_image, tmp_path / "flash.img")
    recording = Walk(1).stand(2).walk("forward", steps=130).stand(4).recording()
    with VirtualBoard(image, walk=recording.samples, speed=0) as board:
        board.advance(recording.duration_s + 4)
    kept = flash_image.read(image, "/baseline.bin")
    track = Pipeline("waist", Mounting.clip(), baseline=kept)._tracker._walk.track
    assert track[stability._STEPS] >= 32
    with VirtualBoard(image, walk=recording.samples, speed=0) as board:
        board.advance(recording.duration_s + 35)
        assert b"baseline:" not in board.console
    assert flash_image.read(image, "/baseline.bin") != kept
    with log_folder(image) as folder:
        found = [steplog_decoder.decode(kind, data) for _, kind, data in read_log_files(folder).records()]
    logged = [record for record in found if record["kind"] == "steps"]
    steps = [step["stability"] for record in logged for step in record["steps"]]
    scores = [score for score in steps if score is not None]
    bouts = [bout["stability"] for record in logged for bout in record["bouts"]]
    assert len(scores) > 100
    # Both are kept in sixths.
    assert all(abs(score - np.mean(scores)) <= 100 / 6 for score in bouts)
    assert len(bouts) == 1


def test_a_bout_has_the_mean_stability_of_its_own_steps():
    events = []
    bouts = BoutTracker(events)
    for index, (direction, score) in enumerate(
        [(FORWARD, 40), (FORWARD, None), (FORWARD, 60), (BACKWARD, 0), (FORWARD, 80)] + [(BACKWARD, 30)] * 3
    ):
        bouts.feed(index, direction, score)
    bouts.end(9)
    closed = [detail for _, kind, detail in events if kind == "bout_closed"]
    assert closed == [(FORWARD, 4, 0, 4, 60), (BACKWARD, 3, 5, 7, 30)]
    events.clear()
    for index in range(3):
        bouts.feed(index, FORWARD, None)
    bouts.end(3)
    assert events[-1] == (3, "bout_closed", (FORWARD, 3, 0, 2, None))
