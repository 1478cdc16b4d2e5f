"""How well strides at the shoe are counted, and their direction told, on real people and in motion capture.

Nothing is learned here: the thresholds stand in firmware/gait/shoe*.py and are explained in docs/gait-shoe.md. The
times of contacts are compared after the lag of the source's own convention is taken out. Run with `pytest
tests/test_gait_shoe_shared.py -s` to see the figures.
"""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from test_gait_shared import load, show, within

from retrostep.evaluation.matching import constant_lag_s, pair
from retrostep.replay import Replayer, ReplayError

pytestmark = pytest.mark.shared
QUIET_S = 1.0


@pytest.fixture(scope="module")
def replayer():
    with Replayer() as replayer:
        yield replayer


@pytest.fixture(scope="module")
def ipol(replayer):
    recordings = load("shoe/ipol110_*")
    return recordings, [replayer.replay(one) for one in recordings]


def paired(recordings, replays, tolerance_s):
    """(recording, true stride, found stride) of each pair; and how many strides there are of either kind."""
    both = list(zip(recordings, replays, strict=True))
    times = [([s.contact_s for s in result.steps], one.step_times_s()) for one, result in both]
    lag_s = constant_lag_s(times)
    pairs, strides = [], 0
    for one, result in both:
        found = within([s.contact_s - lag_s for s in result.steps], one.truth)
        true = within(one.step_times_s(), one.truth)
        kept = [s for s in result.steps if s.contact_s - lag_s in found]
        at = {t: j for j, t in enumerate(one.step_times_s())}
        pairs += [(one, at[true[j]], kept[i]) for i, j in pair(found, true, tolerance_s)]
        strides += len(found) + len(true)
    return pairs, strides


def f1(recordings, replays, tolerance_s):
    pairs, strides = paired(recordings, replays, tolerance_s)
    return 2 * len(pairs) / strides


def count_error(recordings, replays):
    errors = []
    for one, result in zip(recordings, replays, strict=True):
        true = len(within(one.step_times_s(), one.truth))
        if true:
            found = len(within([s.contact_s for s in result.steps], one.truth))
            errors.append(abs(found - true) / true)
    return float(np.mean(errors))


def walked_straight(recordings, replays):
    """Directions of the strides within the spans that are marked as walking."""
    return Counter(
        stride.direction
        for one, j, stride in paired(recordings, replays, 0.25)[0]
        for (start, end), label in zip(one.spans, one.span_label, strict=True)
        if label == "walk" and start <= one.step_times_s()[j] <= end
    )


def by_truth(recordings, replays):
    counts: dict[str, Counter] = {}
    for one, j, stride in paired(recordings, replays, 0.25)[0]:
        counts.setdefault(one.directions[int(one.steps[j, 1])], Counter())[stride.direction] += 1
    return counts


def unmounted(recordings):
    """As if nobody knew how the clip sits."""
    return [
        replace(turned, meta={**turned.meta, "frame": "sensor"})
        for turned in (one.rotated(70, 15) for one in recordings)
    ]


def test_strides_of_healthy_people_are_counted(ipol):
    recordings, replays = ipol
    mape = count_error(recordings, replays)
    close, near = f1(recordings, replays, 0.1), f1(recordings, replays, 0.25)
    show("ipol110 shoe", mape=mape, f1_100ms=close, f1_250ms=near)
    assert mape <= 0.025
    assert close >= 0.955
    assert near >= 0.978


def test_strides_of_elderly_people_are_counted(replayer):
    recordings = [one for one in load("shoe/marpino_*") if len(one.truth)]
    replays = [replayer.replay(one) for one in recordings]
    mape = count_error(recordings, replays)
    close, near = f1(recordings, replays, 0.1), f1(recordings, replays, 0.25)
    show("marpino shoe", mape=mape, f1_100ms=close, f1_250ms=near)
    assert mape <= 0.055
    assert close >= 0.90
    assert near >= 0.948


@pytest.mark.parametrize("rate_hz", [52, 26])
def test_half_and_a_quarter_of_the_rate_count_as_well(replayer, ipol, rate_hz):
    recordings, replays = ipol
    slow = [replayer.replay(one.resampled(rate_hz)) for one in recordings]
    losses = [f1(recordings, replays, t) - f1(recordings, slow, t) for t in (0.1, 0.25)]
    show(f"ipol110 shoe {rate_hz} Hz", loss_100ms=losses[0], loss_250ms=losses[1])
    assert max(losses) <= 0.01


def test_walking_straight_is_forward_without_calibration_and_never_backward(ipol):
    counts = walked_straight(*ipol)
    show("straight, not calibrated", forward=counts["forward"] / counts.total(), strides=counts.total())
    assert counts["backward"] == counts["sideways"] == 0
    assert counts["forward"] >= 0.985 * counts.total()


def test_walking_straight_is_forward_with_another_walks_calibration(replayer, ipol):
    recordings, _ = ipol
    first: dict[str, bytes] = {}
    replays = []
    for one in recordings:
        name = one.path.stem
        foot = name.split("-")[0] + name[-3:]
        if foot not in first:
            first[foot] = replayer.calibrate(one)
        replays.append(replayer.replay(one, mounting=first[foot]))
    counts = walked_straight(recordings, replays)
    told = sum(any(kind == "wrong_clip" for _, kind in one.events) for one in replays)
    show("straight, first walk's clip", forward=counts["forward"] / counts.total(), clip_moved=told)
    assert counts["backward"] + counts["sideways"] <= 0.002 * counts.total()
    assert counts["forward"] >= 0.985 * counts.total()


def test_a_walks_own_calibration_is_never_doubted(replayer, ipol):
    for one in ipol[0][::4]:
        result = replayer.replay(one, mounting=replayer.calibrate(one))
        assert not [kind for _, kind in result.events if kind == "wrong_clip"], one.path


@pytest.mark.parametrize("tilt_deg", [20, 30, 45])
def test_a_clip_that_slips_on_a_real_shoe_is_told(replayer, ipol, tilt_deg):
    waits_s = []
    for one in ipol[0][::10]:
        half = len(one.samples) // 2
        samples = np.vstack([one.samples[:half], one.rotated(0, tilt_deg).samples[half:]])
        result = replayer.replay(replace(one, samples=samples), mounting=replayer.calibrate(one))
        told = [t for t, kind in result.events if kind == "wrong_clip"]
        assert told, one.path
        waits_s.append(told[0] - half / one.rate_hz)
    show(f"clip slips {tilt_deg} deg", median_s=np.median(waits_s), most_s=max(waits_s))
    assert min(waits_s) > 0
    assert np.median(waits_s) < 6


@pytest.mark.parametrize("yaw_deg", [90, 180])
def test_a_clip_turned_round_is_told_and_calls_no_real_stride_backward(replayer, ipol, yaw_deg):
    counts, told, walks = Counter(), 0, ipol[0][::6]
    for one in walks:
        result = replayer.replay(one.rotated(yaw_deg), mounting=replayer.calibrate(one))
        counts.update(step.direction for step in result.steps)
        told += any(kind == "wrong_clip" for _, kind in result.events)
    show(
        f"clip turned {yaw_deg} deg", told=told / len(walks), backward=counts["backward"], all=counts.total()
    )
    assert told == len(walks)
    assert counts["backward"] + counts["sideways"] <= 0.01 * counts.total()


def test_a_curve_walked_in_a_small_room_is_forward(replayer):
    counts: Counter = Counter()
    recordings = load("shoe/pyshoe_*")
    for one, other in zip(recordings, recordings[1:] + recordings[:1], strict=True):
        try:
            mounting = replayer.calibrate(other)
        except ReplayError:
            mounting = None
        counts.update(step.direction for step in replayer.replay(one, mounting=mounting).steps)
    show("pyshoe", forward=counts["forward"] / counts.total(), strides=counts.total())
    assert counts["backward"] == counts["sideways"] == 0
    assert counts["forward"] >= 0.97 * counts.total()


def test_in_motion_capture_backward_is_backward_and_forward_is_forward(replayer):
    recordings = [
        one for pattern in ("*_walk_*", "*walk-back*", "cmu_exp*") for one in load(f"shoe/{pattern}.npz")
    ]
    for name, altered in (
        ("as it is", recordings),
        ("with noise", [one.with_noise(seed) for seed, one in enumerate(recordings)]),
    ):
        counts = by_truth(altered, [replayer.replay(one) for one in altered])
        right = counts["backward"]["backward"] / counts["backward"].total()
        wrong = counts["forward"]["backward"] / counts["forward"].total()
        show(f"motion capture {name}", backward=right, forward_called_backward=wrong)
        assert counts["backward"].total() >= 80
        assert right >= 0.97
        assert wrong <= 0.002


def test_without_calibration_no_backward_stride_is_called_anything_else(replayer):
    recordings = unmounted(load("shoe/*walk-back*.npz"))
    counts = Counter(step.direction for one in recordings for step in replayer.replay(one).steps)
    show("walk-back, not calibrated", strides=counts.total(), unknown=counts["unknown"])
    assert counts.total() >= 70
    assert counts["forward"] == counts["sideways"] == 0


@pytest.mark.parametrize("offset_dps", [(10, 0, 0), (0, 10, 0), (0, 0, 10)])
def test_an_offset_of_the_gyroscope_costs_nothing(replayer, ipol, offset_dps):
    recordings, replays = ipol
    offset = np.r_[0, 0, 0, np.rint(np.array(offset_dps) / 0.07)].astype(np.int32)
    for one, plain in list(zip(recordings, replays, strict=True))[::10]:
        samples = np.clip(one.samples + offset, -32768, 32767).astype(np.int16)
        result = replayer.replay(replace(one, samples=samples))
        assert abs(len(result.steps) - len(plain.steps)) <= 1


def test_a_confidence_of_ninety_percent_is_right_nine_times_in_ten(replayer, ipol):
    bins: dict[int, list[int]] = {}
    virtual = [one for pattern in ("bandai*", "cmu_exp*") for one in load(f"shoe/{pattern}")]
    for recordings, replays in (ipol, (virtual, [replayer.replay(one) for one in virtual])):
        for one, j, stride in paired(recordings, replays, 0.25)[0]:
            if stride.direction != "unknown":
                hits = bins.setdefault(min(9, int(stride.confidence * 10)), [0, 0])
                hits[0] += stride.direction == one.directions[int(one.steps[j, 1])]
                hits[1] += 1
    for tenth, (hits, strides) in sorted(bins.items()):
        show(f"confidence {tenth / 10:.1f}", right=hits / strides, strides=strides)
        # What so few strides leave open is allowed for.
        assert hits / strides >= tenth / 10 - 1.5 / np.sqrt(strides)
    assert bins[9][0] / bins[9][1] >= 0.99


def test_few_strides_are_seen_where_none_is_marked(ipol):
    """Most of these are real: feet that turn on the spot or shift after stopping, and were not marked."""
    strides = seconds = 0.0
    standing = 0
    for one, result in zip(*ipol, strict=True):
        true = one.step_times_s()
        grid = np.arange(0, one.duration_s, 0.05)
        seconds += 0.05 * np.count_nonzero(np.abs(grid[:, None] - true).min(axis=1) > QUIET_S)
        far = [np.abs(true - step.contact_s).min() for step in result.steps]
        strides += sum(away > QUIET_S for away in far)
        standing += sum(away > 3 * QUIET_S for away in far)
    show("unmarked strides", an_hour=strides * 3600 / seconds, standing_for_3_s=standing)
    assert strides * 3600 / seconds <= 50
    assert standing <= 1


def test_calibration_finds_the_same_toe_on_two_walks_of_one_wearing(replayer):
    errors = []
    for one in load("shoe/ipol110_*-1_?f.npz"):
        other = next(iter(load(f"shoe/{one.path.name.replace('-1_', '-2_')}")), None)
        axes = [np.frombuffer(replayer.calibrate(walk)[6:12], "<i2") / 16384 for walk in (one, other)]
        errors.append(np.degrees(np.arccos(np.clip(axes[0] @ axes[1], -1, 1))))
    show("calibration at the shoe", median_deg=np.median(errors), p95_deg=np.percentile(errors, 95))
    assert np.median(errors) <= 4


def test_a_stride_is_settled_within_half_a_second(replayer, ipol):
    recordings, _ = ipol
    waits = []
    for one in recordings[::3]:
        result = replayer.replay(one, mounting=replayer.calibrate(one))
        waits += [step.decided_s - step.contact_s for step in result.steps]
    show("settling, calibrated", median_s=np.median(waits), p95_s=np.percentile(waits, 95))
    assert np.median(waits) <= 0.45
    assert np.percentile(waits, 95) <= 0.6
