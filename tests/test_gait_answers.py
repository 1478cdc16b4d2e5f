"""What the waist answers to the gaits that its page (docs/gait.md) defines an answer for; simulated walkers."""

from array import array
from dataclasses import replace

import numpy as np
import pytest

from firmware.gait.direction import decide
from firmware.gait.mounting import Mounting
from firmware.gait.pipeline import BACKWARD, FORWARD, UNKNOWN, Pipeline, Step
from firmware.gait.rhythm import Footfall
from firmware.gait.signals import (
    S_EDGE,
    S_EDGE2,
    S_FORWARD2,
    S_FORWARD_VELOCITY,
    S_VELOCITY2,
    S_VERTICAL2,
    W_SAMPLES,
)
from retrostep.walker import Person, Walk

SEEDS = range(6)


def steps_of(walk: Walk, seed: int = 0) -> list[Step]:
    recording = walk.recording(placement="waist").with_noise(seed)
    samples = array("h", np.ascontiguousarray(recording.samples, "<i2").tobytes())
    pipeline = Pipeline("waist", Mounting.clip())
    steps: list[Step] = []
    for start in range(0, len(recording.samples), 26):
        count = min(26, len(recording.samples) - start)
        pipeline.process(samples[start * 6 : (start + count) * 6], count)
        steps += pipeline.take_steps()
    pipeline.flush()
    return steps + list(pipeline.take_steps())


def count(steps: list[Step], direction: int) -> int:
    return sum(step.direction == direction for step in steps)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_bout_of_five_steps_is_reported_in_its_direction(seed, direction):
    steps = steps_of(Walk(seed=seed).stand(3).walk(direction, steps=5).stand(3), seed)
    assert 4 <= len(steps) <= 6
    assert count(steps, FORWARD if direction == "forward" else BACKWARD) >= 4


@pytest.mark.parametrize("seed", SEEDS)
def test_a_step_every_second_and_a_half_as_soft_as_a_twentieth_of_gravity_counts(seed):
    person = replace(Person.drawn(seed), cadence_per_min=43.0, step_per_height=0.25, tread=1.0)
    steps = steps_of(Walk(seed=seed, person=person).stand(3).walk("forward", steps=20).stand(3), seed)
    assert 17 <= len(steps) <= 21
    assert count(steps, BACKWARD) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_walking_on_after_a_turn_has_no_step_backward(seed):
    steps = steps_of(
        Walk(seed=seed).stand(2).walk("forward", steps=12).u_turn().walk("forward", steps=12).stand(2), seed
    )
    assert count(steps, BACKWARD) == 0
    assert count(steps, FORWARD) >= 20


@pytest.mark.parametrize("seed", SEEDS)
def test_turning_on_the_spot_after_a_walk_is_never_backward(seed):
    steps = steps_of(Walk(seed=seed).stand(2).walk("forward", steps=12).stand(1).turn(180).stand(2), seed)
    assert count(steps, BACKWARD) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_jogging_counts_and_has_no_direction_but_forward(seed):
    steps = steps_of(Walk(seed=seed).stand(2).jog(seconds=12).stand(2), seed)
    assert len(steps) >= 20
    assert count(steps, BACKWARD) == 0


def test_most_steps_settle_before_the_next_one_and_all_within_a_second_and_a_half_of_the_gate():
    steps = steps_of(Walk(seed=1).stand(2).walk("backward", steps=40).stand(2), 1)
    waits = [(step.decided_index - step.contact_index) / 104 for step in steps[6:]]
    assert np.median(waits) <= 0.7
    assert max(waits) <= 1.7


def footfall(rho: int, edge: int, ratio: float = 1.0, bounce_g: float = 0.2, samples: int = 57) -> Footfall:
    """A step with the given evidence, percent."""
    unit = int(bounce_g / 0.001952) ** 2 * samples
    step = Footfall(0, 2000)
    step.words[W_SAMPLES] = samples
    forward2 = int(unit * ratio**2)
    step.sums[S_VERTICAL2], step.sums[S_FORWARD2], step.sums[S_VELOCITY2] = unit, forward2, unit
    step.sums[S_FORWARD_VELOCITY] = int(rho / 100 * ratio * unit)
    step.sums[S_EDGE2] = unit
    step.sums[S_EDGE] = int(edge / 100 * unit)
    return step


def test_the_confidence_of_backward_grows_with_each_witness():
    sure = [decide(footfall(rho, 20), None, None) for rho in range(40, 100, 5)]
    assert {direction for direction, _ in sure} == {BACKWARD}
    assert [confidence for _, confidence in sure] == sorted(confidence for _, confidence in sure)
    sure = [decide(footfall(95, 40, ratio / 100), None, None)[1] for ratio in range(58, 90, 4)]
    assert sure == sorted(sure)
    assert 60 <= min(sure) < max(sure) <= 97


def test_the_confidence_of_forward_grows_with_rho():
    sure = [decide(footfall(-rho, -20), None, None) for rho in range(20, 100, 10)]
    assert {direction for direction, _ in sure} == {FORWARD}
    assert [confidence for _, confidence in sure] == sorted(confidence for _, confidence in sure)


@pytest.mark.parametrize(
    ("why", "step"),
    [
        ("the braking says forward", footfall(70, -10)),
        ("stairs: up and down rather than to and fro", footfall(70, 20, ratio=0.5)),
        ("a run: a strong bounce at a quick step", footfall(80, 20, ratio=0.65, bounce_g=0.5, samples=46)),
        ("150 steps a minute", footfall(80, 20, samples=41)),
        ("hardly any motion to and fro", footfall(80, 20, bounce_g=0.03)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_backward_needs_both_witnesses_and_no_run_or_stairs(why, step):
    assert decide(step, None, None) == (UNKNOWN, 0)
