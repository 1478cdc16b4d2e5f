"""A clip that no longer sits as it was calibrated is noticed; one that sits well is left alone."""

from array import array

import numpy as np
import pytest

from firmware.gait.calibrator import Calibrator
from firmware.gait.mounting import Mounting
from firmware.gait.pipeline import BACKWARD, FORWARD, UNKNOWN, Pipeline
from retrostep.recording import Recording
from retrostep.walker import Walk

BLOCK = 26


def words(recording: Recording) -> array:
    return array("h", np.ascontiguousarray(recording.samples, "<i2").tobytes())


def run(recording: Recording, pipeline: Pipeline) -> tuple[list[int], list[tuple[str, object]]]:
    """Directions of the steps, and the events that concern the clip."""
    samples = words(recording)
    steps: list = []
    events: list = []
    for start in range(0, len(recording.samples), BLOCK):
        count = min(BLOCK, len(recording.samples) - start)
        pipeline.process(samples[start * 6 : (start + count) * 6], count)
        steps += pipeline.take_steps()
        events += pipeline.take_events()
    pipeline.flush()
    steps += pipeline.take_steps()
    events += pipeline.take_events()
    return [s.direction for s in steps], [(kind, d) for _, kind, d in events if kind == "wrong_clip"]


def walk(direction: str = "forward", steps: int = 40, seed: int = 4) -> Recording:
    return Walk(seed=seed).stand(2).walk(direction, steps=steps).stand(2).recording(placement="waist")


@pytest.fixture(scope="module")
def mounting() -> Mounting:
    taught = walk(seed=4, steps=16)
    calibrator = Calibrator()
    calibrator.process(words(taught), len(taught.samples))
    learned = calibrator.mounting()
    assert learned is not None, calibrator.reason
    return learned


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_clip_as_calibrated_is_left_alone(mounting, direction):
    _, events = run(walk(direction), Pipeline("waist", mounting))
    assert events == []


def test_bending_down_between_two_walks_is_not_taken_for_a_moved_clip(mounting):
    there = Walk(seed=4).stand(2).walk("forward", steps=16).stand(1).bend().bend().stand(1)
    recording = there.walk("forward", steps=16).stand(2).recording(placement="waist")
    _, events = run(recording, Pipeline("waist", mounting))
    assert events == []


@pytest.mark.parametrize("tilt_deg", [22, -22, 60])
def test_a_tilted_clip_is_told_once_and_its_steps_have_no_direction_from_then_on(mounting, tilt_deg):
    directions, events = run(walk().rotated(0, tilt_deg), Pipeline("waist", mounting))
    assert len(events) == 1
    kind, moved_deg = events[0]
    assert kind == "wrong_clip"
    assert abs(moved_deg - abs(tilt_deg)) <= 8
    assert len(directions) >= 20
    assert set(directions[-10:]) == {UNKNOWN}


def test_a_clip_confirmed_by_the_wearer_tells_direction_again(mounting):
    pipeline = Pipeline("waist", mounting)
    run(walk().rotated(0, 22), pipeline)
    pipeline.confirm_clip()
    directions, events = run(walk("backward").rotated(0, 22), pipeline)
    assert events == []
    assert directions.count(BACKWARD) >= 30


def test_a_clip_on_a_sloping_belly_worn_back_to_front_is_noticed():
    sloping = walk().rotated(0, 12)
    calibrator = Calibrator()
    calibrator.process(words(sloping), len(sloping.samples))
    learned = calibrator.mounting()
    assert learned is not None, calibrator.reason
    directions, events = run(walk().rotated(180, -12), Pipeline("waist", learned))
    assert [kind for kind, _ in events] == ["wrong_clip"]
    assert set(directions[-10:]) == {UNKNOWN}


def test_a_mounting_that_was_only_assumed_follows_any_tilt():
    directions, events = run(walk().rotated(0, 25), Pipeline("waist", Mounting.clip()))
    assert events == []
    assert directions.count(FORWARD) >= 35


def forward_deg(pipeline: Pipeline) -> float:
    """How far the forward axis in use has been turned to the left."""
    x, y, _ = pipeline._tracker.front.axis(0)
    return float(np.degrees(np.arctan2(y, x)))


def test_the_forward_axis_follows_a_clip_that_drifts(mounting):
    pipeline = Pipeline("waist", mounting)
    run(walk(), pipeline)
    before = forward_deg(pipeline)
    run(walk(steps=180).rotated(20, 0), pipeline)
    assert abs(forward_deg(pipeline) - before + 20) <= 8


def test_the_forward_axis_is_never_led_further_than_thirty_degrees(mounting):
    pipeline = Pipeline("waist", mounting)
    run(walk(), pipeline)
    before = forward_deg(pipeline)
    run(walk(steps=180).rotated(50, 0), pipeline)
    assert abs(forward_deg(pipeline) - before) <= 31


def test_walking_backward_for_long_does_not_turn_the_forward_axis(mounting):
    pipeline = Pipeline("waist", mounting)
    directions, _ = run(walk("backward", steps=200), pipeline)
    assert directions.count(BACKWARD) >= 180
    directions, _ = run(walk("forward", steps=20), pipeline)
    assert directions.count(FORWARD) >= 17
