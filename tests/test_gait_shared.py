"""How well the firmware counts on real people and motion capture: figures that must not get worse.

Nothing is learned here: the thresholds stand in firmware/gait and are explained in docs/gait.md. Run with
`pytest tests/test_gait_shared.py -s` to see the table.
"""

import time
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from retrostep import recording
from retrostep.device_tree import device_root
from retrostep.replay import Replay, Replayer

pytestmark = pytest.mark.shared
FOLDER = device_root().parent / "shared/data/recordings"
# A contact at the edge of a truth window may be found on its other side.
EDGE_S = 0.2


@pytest.fixture(scope="module")
def replayer():
    with Replayer() as replayer:
        yield replayer


def load(pattern: str) -> list[recording.Recording]:
    found = [recording.load(path) for path in sorted(FOLDER.glob(pattern))]
    assert found, f"no recordings {pattern} in {FOLDER}"
    return found


def of_activity(pattern: str, *activities: str) -> list[recording.Recording]:
    return [one for one in load(pattern) if one.meta["activity"].startswith(activities)]


def replay_all(replayer, recordings) -> list[Replay]:
    return [replayer.replay(one) for one in recordings]


def directions(replays) -> Counter:
    return Counter(step.direction for one in replays for step in one.steps)


def share(counts: Counter, direction: str) -> float:
    """Of the steps whose direction is known."""
    decided = counts.total() - counts["unknown"]
    return counts[direction] / decided if decided else 0.0


def within(times, windows):
    return [t for t in times if any(start - EDGE_S <= t <= end + EDGE_S for start, end in windows)]


def count_error(one: recording.Recording, result: Replay) -> float:
    found = within([step.contact_s for step in result.steps], one.truth)
    true = within(one.step_times_s(), one.truth)
    return abs(len(found) - len(true)) / len(true)


def f1(recordings, replays, tolerance_s: float) -> float:
    hits = found_all = true_all = 0
    for one, result in zip(recordings, replays, strict=True):
        found = within([step.contact_s for step in result.steps], one.truth)
        free = within(one.step_times_s(), one.truth)
        found_all += len(found)
        true_all += len(free)
        for t in found:
            nearest = min(free, key=lambda u: abs(u - t), default=None)
            if nearest is not None and abs(nearest - t) <= tolerance_s:
                free.remove(nearest)
                hits += 1
    return 2 * hits / (found_all + true_all)


def show(name: str, **figures: float) -> None:
    print(f"{name:28s}", *(f"{key} {value:.3f}" for key, value in figures.items()))


def test_indoor_walks_of_healthy_people_are_counted_and_forward(replayer):
    recordings = load("waist/ipol110_*")
    replays = replay_all(replayer, recordings)
    mape = np.mean([count_error(*pair) for pair in zip(recordings, replays, strict=True)])
    close, near = f1(recordings, replays, 0.1), f1(recordings, replays, 0.25)
    forward = share(directions(replays), "forward")
    show("ipol110", mape=mape, f1_100ms=close, f1_250ms=near, forward=forward)
    assert mape <= 0.04
    assert close >= 0.93
    assert near >= 0.955
    assert forward >= 0.995


def test_steps_of_elderly_and_stroke_patients_are_counted(replayer):
    recordings = [one for one in load("waist/uniss_*") if len(one.steps)]
    replays = replay_all(replayer, recordings)
    mape = np.mean([count_error(*pair) for pair in zip(recordings, replays, strict=True)])
    forward = share(directions(replays), "forward")
    show("uniss", mape=mape, f1_250ms=f1(recordings, replays, 0.25), forward=forward)
    assert mape <= 0.02
    assert forward >= 0.99


def test_slow_and_limping_patients_and_daily_activities_are_counted(replayer):
    recordings = [one for one in load("waist/semio_*") + load("waist/mobgap_*") if len(one.steps)]
    replays = replay_all(replayer, recordings)
    mape = np.mean([count_error(*pair) for pair in zip(recordings, replays, strict=True)])
    show("semio, mobgap", mape=mape, f1_250ms=f1(recordings, replays, 0.25))
    assert mape <= 0.06


@pytest.mark.parametrize("worn", ["back", "hip"])
def test_backward_walking_from_motion_capture_is_backward(replayer, worn):
    counts = directions(replay_all(replayer, load(f"waist/*walk-back_*_waist_{worn}.npz")))
    show(f"bandai walk-back {worn}", steps=counts.total(), backward=share(counts, "backward"))
    assert share(counts, "backward") >= 0.97
    assert counts["backward"] >= 75


def test_real_backward_walking_is_backward(replayer):
    counts = directions(replay_all(replayer, of_activity("waist/kuhar_*", "12:")))
    show("kuhar backward", steps=counts.total(), backward=share(counts, "backward"))
    assert counts["backward"] >= 25
    assert counts["forward"] == 0


def test_backward_walking_stays_backward_with_sensor_noise_and_a_clip_not_straight(replayer):
    recordings = load("waist/*walk-back_*_waist_*.npz")
    for name, altered in (
        ("noise", [one.with_noise(seed) for seed, one in enumerate(recordings)]),
        ("yaw 30", [one.rotated(30, 10) for one in recordings]),
    ):
        counts = directions(replay_all(replayer, altered))
        show(f"bandai walk-back {name}", steps=counts.total(), backward=share(counts, "backward"))
        assert share(counts, "backward") >= 0.97
        assert counts["backward"] >= 140


@pytest.mark.parametrize("activity", ["D01", "D02"])
def test_walking_on_the_flat_is_never_backward(replayer, activity):
    counts = directions(replay_all(replayer, of_activity("waist/sisfall_D0*", activity)))
    show(f"sisfall {activity}", steps=counts.total(), forward=share(counts, "forward"))
    assert counts["backward"] <= 0.001 * counts.total()
    assert counts["forward"] >= 0.99 * counts.total()


@pytest.mark.parametrize("activity", ["D11", "D12"])
def test_sitting_down_and_lying_down_count_nothing_backward(replayer, activity):
    counts = directions(replay_all(replayer, of_activity("waist/sisfall_D1*", activity)))
    assert counts["backward"] == 0


@pytest.mark.parametrize(
    ("activity", "most"), [("D03", 0.002), ("D04", 0.002), ("D05", 0.003), ("D06", 0.03)]
)
def test_jogging_and_stairs_are_not_called_backward(replayer, activity, most):
    counts = directions(replay_all(replayer, of_activity("waist/sisfall_D0*", activity)))
    show(f"sisfall {activity}", steps=counts.total(), backward=counts["backward"] / counts.total())
    assert counts.total() > 100
    assert counts["backward"] <= most * counts.total()


def test_sitting_lying_and_bending_count_next_to_nothing(replayer):
    names = tuple(f"D{number:02d}" for number in range(7, 17))
    recordings = of_activity("waist/sisfall_D*", *names)
    counts = directions(replay_all(replayer, recordings))
    hours = sum(one.duration_s for one in recordings) / 3600
    show("sisfall D07-D16", false_steps_an_hour=counts.total() / hours)
    assert counts.total() / hours <= 5


def test_a_phone_in_pocket_bag_or_hand_counts(replayer):
    recordings = load("pocket/*")
    replays = replay_all(replayer, recordings)
    mape = np.mean([count_error(*pair) for pair in zip(recordings, replays, strict=True)])
    show("oxphone", mape=mape)
    assert mape <= 0.03
    assert set(directions(replays)) == {"unknown"}


def test_calibration_finds_forward_on_any_turn_of_the_clip(replayer):
    from firmware.gait.mounting import Mounting

    errors = []
    for one in load("waist/ipol110_*"):
        mounting = Mounting.unpack(replayer.calibrate(one))
        x, y, _ = mounting.forward
        errors.append(abs(np.degrees(np.arctan2(y, x))))
    show("calibration", median_deg=np.median(errors), p95_deg=np.percentile(errors, 95))
    assert np.median(errors) < 8
    assert np.percentile(errors, 95) < 25


def test_strides_at_the_shoe_are_counted_and_forward_once_calibrated(replayer):
    recordings = load("shoe/ipol110_*")
    replays = [replayer.replay(one, mounting=replayer.calibrate(one)) for one in recordings]
    mape = np.mean([count_error(*pair) for pair in zip(recordings, replays, strict=True)])
    counts = directions(replays)
    close, near = f1(recordings, replays, 0.1), f1(recordings, replays, 0.25)
    show("ipol110 shoe", mape=mape, f1_100ms=close, f1_250ms=near, forward=share(counts, "forward"))
    show("ipol110 shoe", backward=counts["backward"], sideways=counts["sideways"], unknown=counts["unknown"])
    assert mape <= 0.06
    assert near >= 0.95
    assert counts["forward"] >= 0.85 * counts.total()
    assert counts["backward"] <= 0.01 * counts.total()


@pytest.mark.parametrize(("style", "direction"), [("walk-back", "backward"), ("walk", "forward")])
def test_direction_at_the_shoe_is_right_in_motion_capture(replayer, style, direction):
    counts = directions(replay_all(replayer, load(f"shoe/*_{style}_*.npz")))
    show(f"bandai {style} shoe", steps=counts.total(), right=share(counts, direction))
    assert counts.total() >= 60
    assert share(counts, direction) >= 0.97


def test_steps_settle_within_about_a_second(replayer):
    waits = []
    for one in replay_all(replayer, load("waist/ipol110_*")):
        # What a chain brings back at the start of a bout is late by nature.
        known = [step for before, step in pairwise(one.steps) if step.decided_s != before.decided_s]
        waits += [step.decided_s - step.contact_s for step in known]
    show("settling", median_s=np.median(waits), p95_s=np.percentile(waits, 95))
    assert np.median(waits) <= 0.7
    assert np.percentile(waits, 95) <= 1.1


def test_replay_is_at_least_two_hundred_times_as_fast_as_walking(replayer):
    recordings = load("waist/ipol110_*")[:20]
    replayer.replay(recordings[0])
    start = time.perf_counter()
    replay_all(replayer, recordings)
    took = time.perf_counter() - start
    speed = sum(one.duration_s for one in recordings) / took
    show("speed", times_real_time=speed)
    assert speed >= 200
