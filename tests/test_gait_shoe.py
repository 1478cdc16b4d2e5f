"""A clip on the shoe: which strides count, which way they went, and when it says that it does not know."""

from array import array
from dataclasses import replace

import numpy as np
import pytest
from test_gait import BLOCK, run, trace, trace_in_32_bits, words

from firmware.gait import shoe
from firmware.gait.calibrator import Calibrator
from firmware.gait.mounting import Mounting
from firmware.gait.pipeline import BACKWARD, DIRECTIONS, FORWARD, SIDEWAYS, UNKNOWN, Pipeline
from firmware.gait.resample import Resampler
from firmware.gait.shoe_stance import stance_up, take_samples
from firmware.gait.shoe_strapdown import measure
from retrostep.recording import ACC_LSB_G, GYR_LSB_DPS, Recording
from retrostep.walker import Walk

SEEDS = range(4)
G_MM_S2 = 9806.65
YAW_DEG, TILT_DEG = 110, 20


def worn(walk: Walk, foot: str = "left") -> Recording:
    return walk.recording(placement="shoe", foot=foot)


def counted(recording: Recording, mounting: Mounting | None) -> tuple[dict[int, int], list[str]]:
    """Strides of each direction, and the kinds of event."""
    rate_millihz = round(recording.rate_hz * 1000)
    steps, events = run(words(recording), Pipeline("shoe", mounting, rate_millihz))
    counts = dict.fromkeys(range(len(DIRECTIONS)), 0)
    for step in steps:
        counts[step.direction] += 1
    return counts, [kind for _, kind, _ in events]


def calibrated(recording: Recording) -> Mounting:
    calibrator = Calibrator(placement="shoe")
    calibrator.process(words(recording), len(recording.samples))
    mounting = calibrator.mounting()
    assert mounting is not None, calibrator.reason
    return mounting


def every_way(seed: int) -> Walk:
    walk = Walk(seed=seed).stand(2).walk("forward", steps=14).stand(1)
    return walk.walk("backward", steps=12).stand(1).walk("sideways", steps=10).stand(2)


def true_strides(recording: Recording) -> dict[int, int]:
    return {d: len(recording.step_times_s(DIRECTIONS[d])) for d in (FORWARD, BACKWARD, SIDEWAYS)}


def with_offset(recording: Recording, offset_dps: tuple[float, float, float]) -> Recording:
    samples = recording.samples.astype(np.int32)
    samples[:, 3:] += np.rint(np.array(offset_dps) / GYR_LSB_DPS).astype(int)
    return replace(recording, samples=np.clip(samples, -32768, 32767).astype(np.int16))


def slipped_in_the_middle(recording: Recording, yaw_deg: float, tilt_deg: float) -> Recording:
    half = len(recording.samples) // 2
    after = recording.rotated(yaw_deg, tilt_deg).samples[half:]
    return replace(recording, samples=np.vstack([recording.samples[:half], after]))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("foot", ["left", "right"])
def test_a_calibrated_clip_tells_forward_backward_and_sideways(seed, foot):
    forward = worn(Walk(seed=seed).stand(2).walk("forward", steps=16).stand(1), foot)
    mounting = calibrated(forward.rotated(YAW_DEG, TILT_DEG))
    recording = worn(every_way(seed), foot)
    counts, events = counted(recording.rotated(YAW_DEG, TILT_DEG), mounting)
    assert {d: counts[d] for d in (FORWARD, BACKWARD, SIDEWAYS)} == true_strides(recording)
    assert counts[UNKNOWN] == 0
    assert "wrong_clip" not in events


@pytest.mark.parametrize("seed", SEEDS)
def test_without_calibration_forward_strides_are_forward_however_the_clip_sits(seed):
    recording = worn(Walk(seed=seed).stand(2).walk("forward", steps=16).stand(2))
    counts, _ = counted(recording.rotated(YAW_DEG, TILT_DEG), None)
    assert counts[FORWARD] == len(recording.step_times_s("forward"))
    assert counts[BACKWARD] == counts[SIDEWAYS] == 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("first", ["backward", "sideways"])
def test_without_calibration_a_walk_that_does_not_begin_forward_is_never_given_a_direction(seed, first):
    second = "backward" if first == "sideways" else "sideways"
    walk = Walk(seed=seed).stand(2).walk(first, steps=14).stand(1).walk(second, steps=14).stand(2)
    counts, _ = counted(worn(walk).rotated(YAW_DEG, TILT_DEG), None)
    assert counts[FORWARD] == counts[BACKWARD] == counts[SIDEWAYS] == 0
    assert counts[UNKNOWN] == 14


@pytest.mark.parametrize("seed", SEEDS)
def test_five_push_offs_show_the_toe_and_then_backward_is_told_without_calibration(seed):
    recording = worn(every_way(seed))
    counts, _ = counted(recording.rotated(YAW_DEG, TILT_DEG), None)
    assert {d: counts[d] for d in (FORWARD, BACKWARD, SIDEWAYS)} == true_strides(recording)


def test_two_push_offs_do_not_suffice_to_call_a_stride_backward():
    walk = Walk(seed=1).stand(2).walk("forward", steps=6).stand(1).walk("backward", steps=12).stand(2)
    counts, _ = counted(worn(walk).rotated(YAW_DEG, TILT_DEG), None)
    assert counts[BACKWARD] == 0
    assert counts[UNKNOWN] == 6


@pytest.mark.parametrize("tilt_deg", [20, 30, 50])
def test_a_clip_that_slips_is_told_and_its_calibration_no_longer_trusted(tilt_deg):
    forward = worn(Walk(seed=2).stand(2).walk("forward", steps=20).stand(1))
    walk = Walk(seed=2).stand(2).walk("forward", steps=24).stand(2).walk("backward", steps=24).stand(2)
    recording = worn(walk)
    counts, events = counted(slipped_in_the_middle(recording, 180, tilt_deg), calibrated(forward))
    assert events.count("wrong_clip") == 1
    # Turned round as it slipped, the calibration would call backward forward.
    assert counts[FORWARD] <= len(recording.step_times_s("forward"))
    assert counts[UNKNOWN] >= 8


def test_a_clip_that_tilts_a_little_is_left_alone():
    forward = worn(Walk(seed=2).stand(2).walk("forward", steps=20).stand(1))
    recording = worn(Walk(seed=2).stand(2).walk("forward", steps=14).stand(1).walk("backward", steps=14))
    counts, events = counted(slipped_in_the_middle(recording, 0, 10), calibrated(forward))
    assert "wrong_clip" not in events
    assert counts[BACKWARD] == len(recording.step_times_s("backward"))


@pytest.mark.parametrize("yaw_deg", [90, 180])
def test_a_clip_put_on_the_wrong_way_round_is_noticed_by_push_off(yaw_deg):
    recording = worn(Walk(seed=3).stand(2).walk("forward", steps=24).stand(2))
    counts, events = counted(recording.rotated(yaw_deg, 0), Mounting.clip())
    assert events.count("wrong_clip") == 1
    assert counts[BACKWARD] == counts[SIDEWAYS] == 0


def test_a_clip_that_is_assumed_straight_may_be_tilted():
    recording = worn(every_way(1))
    counts, events = counted(recording.rotated(0, 35), Mounting.clip())
    assert "wrong_clip" not in events
    assert {d: counts[d] for d in (FORWARD, BACKWARD, SIDEWAYS)} == true_strides(recording)


def test_calibration_leaves_out_the_steps_of_a_turn():
    walk = (
        Walk(seed=5).stand(2).walk("forward", steps=12).stand(1).turn(180).stand(1).walk("forward", steps=12)
    )
    x, y, _ = calibrated(worn(walk)).forward
    assert abs(np.degrees(np.arctan2(y, x))) < 6


@pytest.mark.parametrize("offset_dps", [(10, 0, 0), (0, 10, 0), (0, 0, 10), (-8, 8, 8)])
def test_an_offset_of_the_gyroscope_changes_no_stride(offset_dps):
    walk = Walk(seed=4).stand(2).walk("forward", steps=12).stand(1)
    recording = worn(walk.walk("backward", steps=14, step_m=0.25).stand(2))
    plain, _ = counted(recording, Mounting.clip())
    assert plain[BACKWARD] == len(recording.step_times_s("backward"))
    assert counted(with_offset(recording, offset_dps), Mounting.clip())[0] == plain


@pytest.mark.parametrize("rate_hz", [26, 52, 208])
def test_other_rates_count_the_same(rate_hz):
    recording = worn(every_way(2))
    assert counted(recording.resampled(rate_hz), Mounting.clip())[0] == counted(recording, Mounting.clip())[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_jogging_counts_though_the_foot_never_rests(seed):
    recording = worn(Walk(seed=seed).stand(2).jog(steps=30).stand(2))
    counts, _ = counted(recording, Mounting.clip())
    assert abs(counts[FORWARD] - len(recording.steps)) <= 1
    assert counts[BACKWARD] == counts[SIDEWAYS] == counts[UNKNOWN] == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_turning_on_the_spot_and_marching_have_no_direction(seed):
    walk = Walk(seed=seed).stand(2).turn(360).stand(1).walk("in_place", steps=12).stand(1).turn(-180).stand(1)
    counts, _ = counted(worn(walk), Mounting.clip())
    assert counts[FORWARD] == counts[BACKWARD] == counts[SIDEWAYS] == 0


def test_standing_and_shifting_the_foot_once_count_nothing():
    counts, _ = counted(worn(Walk(seed=3).stand(20)), Mounting.clip())
    assert sum(counts.values()) == 0


def test_contacts_lie_at_the_landing():
    for seed in SEEDS:
        recording = worn(Walk(seed=seed).stand(2).walk("forward", steps=16).stand(2))
        steps, _ = run(words(recording), Pipeline("shoe", Mounting.clip()))
        late_s = (
            np.array([step.contact_index for step in steps]) / recording.rate_hz - recording.step_times_s()
        )
        assert np.all(np.abs(late_s) < 0.1)


def test_a_stride_is_settled_within_half_a_second_or_three_while_the_toe_is_unknown():
    recording = worn(Walk(seed=1).stand(2).walk("backward", steps=20).stand(4))
    for mounting, most_s in ((Mounting.clip(), 0.6), (None, 3.4)):
        # The first stride of a bout may wait for the second.
        steps, _ = run(words(recording), Pipeline("shoe", mounting))
        waits = [(step.decided_index - step.contact_index) / recording.rate_hz for step in steps]
        assert max(waits) <= most_s


def test_strides_that_find_no_room_to_wait_are_settled_in_their_order():
    settled = []
    tracker = shoe.StrideTracker(
        Resampler(104000), lambda index, verdict: settled.append((index, verdict >> 7 & 3))
    )
    track = tracker.track
    for index in range(50):
        stride = track[shoe._NEXT]
        track[stride + shoe._S_LENGTH] = 1000
        track[stride + shoe._S_CONTACT] = index
        track[stride + shoe._S_VERDICT] = shoe._UNDECIDED
        tracker._count(stride)
    assert len(settled) == 50 - 16
    tracker.finish()
    assert settled == [(index, UNKNOWN) for index in range(50)]


def test_confidence_is_lower_where_the_way_was_short():
    recording = worn(Walk(seed=1).stand(2).walk("backward", steps=16, step_m=0.15).stand(2))
    short, _ = run(words(recording), Pipeline("shoe", Mounting.clip()))
    usual, _ = run(
        words(worn(Walk(seed=1).stand(2).walk("backward", steps=16))), Pipeline("shoe", Mounting.clip())
    )
    assert max(s.confidence for s in short if s.direction == BACKWARD) < 90
    assert sorted(s.confidence for s in usual)[len(usual) // 2] >= 95


def flight(way_mm: tuple[float, float, float], swing_s: float, pitch_deg: float, offset_dps: float) -> array:
    """0.3 s at rest, a minimum-jerk way with a pitch to and fro, 0.3 s at rest; as words of a level clip."""
    rate_hz, fine = 104, 32
    t = np.arange(-0.3, swing_s + 0.3, 1 / rate_hz / fine)
    s = np.clip(t / swing_s, 0, 1)
    place = np.outer(s**3 * (10 - 15 * s + 6 * s * s), way_mm)
    pitch = np.radians(pitch_deg) * 64 * (s * (1 - s)) ** 3
    dt = t[1] - t[0]
    force = np.gradient(np.gradient(place, dt, axis=0), dt, axis=0) / G_MM_S2 + [0, 0, 1]
    cos, sin = np.cos(pitch), np.sin(pitch)
    acc = np.stack(
        [cos * force[:, 0] - sin * force[:, 2], force[:, 1], sin * force[:, 0] + cos * force[:, 2]], axis=1
    )
    gyr = np.degrees(np.gradient(pitch, dt))[:, None] * [0, 1, 0] + offset_dps
    signals = np.hstack([acc / ACC_LSB_G, gyr / GYR_LSB_DPS])
    whole = signals[: len(t) // fine * fine].reshape(-1, fine, 6).mean(axis=1)
    return array("h", np.rint(whole).astype(np.int16).tobytes())


@pytest.mark.parametrize("way_mm", [(1300, 0, 0), (-700, 0, 0), (0, 350, 0), (900, -400, 120)])
@pytest.mark.parametrize("offset_dps", [0, 8])
def test_the_strapdown_finds_length_and_direction_of_a_known_way(way_mm, offset_dps):
    samples = flight(way_mm, 0.7, 50, offset_dps)
    tracker = shoe.StrideTracker(Resampler(104000))
    words, track, ring = tracker.words, tracker.track, tracker.arrays[1]
    frames = len(samples) // 6 // 13
    for k in range(frames):
        take_samples(samples[k * 78 : (k + 1) * 78], 13, 0, words, tracker.arrays)
    swing, stride = shoe._SWINGS, shoe._STRIDES
    words[swing + shoe._FIRST], words[swing + shoe._LAST] = 29, frames * 13 - 1
    stance_up(ring, 29, stride + shoe._S_UP, track)
    measure(ring, swing, stride, words, track)
    level = np.array([*way_mm[:2], 0])
    length = np.linalg.norm(level)
    assert track[stride + shoe._S_LENGTH] == pytest.approx(length, rel=0.02)
    ahead = track[stride + shoe._S_AHEAD : stride + shoe._S_HALF_TURN]
    assert np.dot(ahead, level) / length / 16384 > np.cos(np.radians(2))
    assert track[stride + shoe._S_HALF_TURN] < 300


def test_a_32_bit_interpreter_agrees_on_every_stride(tmp_path):
    walk = Walk(seed=3).stand(1).walk("forward", steps=6).walk("backward", steps=6).stand(1)
    samples = words(worn(walk))
    lines, word = trace_in_32_bits(samples, "shoe", tmp_path)
    assert word == 2**31 - 1
    assert lines == list(trace(samples, "shoe", 104000, True))
    assert len(lines) >= 6


def test_the_size_of_the_blocks_changes_no_stride():
    samples = words(worn(every_way(3)))
    found = {}
    for block in (1, 7, BLOCK, 511):
        steps, _ = run(samples, Pipeline("shoe", None), block)
        found[block] = [(s.contact_index, s.direction, s.confidence) for s in steps]
    assert found[1] == found[7] == found[BLOCK] == found[511]
    assert found[1]
