"""The gait simulator: its truth is exact, its signals obey mechanics, and they resemble real walking."""

from collections import Counter
from dataclasses import astuple
from itertools import pairwise

import numpy as np
import pytest

from retrostep.device_tree import device_root
from retrostep.recording import load, save
from retrostep.walker import Person, Walk, WalkError, demo_walk
from retrostep.walker.body import balanced, pelvis_motion
from retrostep.walker.curves import Track, curvature, slope
from retrostep.walker.figures import shoe_figures, steady_window, waist_figures
from retrostep.walker.person import GRAVITY
from retrostep.walker.plan import BALL, FOOT_NAMES, HEEL
from retrostep.walker.sensor import axes_of, turn_rates
from retrostep.walker.shoe import SENSOR_PER_FOOT, SENSOR_UP_M, foot_motion

RATE_HZ = 416.0
SEEDS = (1, 2, 3, 4, 5)
SHARED = device_root().parent / "shared" / "data" / "recordings"


def bout(direction, seed=1, steps=24):
    return Walk(seed).stand(2).walk(direction, steps=steps).stand(2)


def motion(walk):
    """Plan, times, and the motion of the pelvis, free of any sensor."""
    plan = walk.plan()
    time_s = np.arange(0, plan.duration_s, 1 / RATE_HZ)
    return plan, time_s, pelvis_motion(plan, time_s, RATE_HZ, np.random.default_rng(0))


def part(time_s, from_s, to_s):
    return slice(*np.searchsorted(time_s, [from_s, to_s]))


# --- truth ---


def test_equal_seeds_give_equal_recordings_and_others_differ():
    first, second = demo_walk(3).recording(), demo_walk(3).recording()
    np.testing.assert_array_equal(first.samples, second.samples)
    np.testing.assert_array_equal(first.steps, second.steps)
    other = demo_walk(4).recording()
    assert len(other.steps) != len(first.steps) or np.any(other.steps != first.steps)
    assert other.meta["person"] != first.meta["person"]


@pytest.mark.parametrize("direction", ["forward", "backward", "sideways", "in_place"])
@pytest.mark.parametrize("steps", [2, 10])
def test_as_many_steps_as_asked_for_are_taken_and_told(direction, steps):
    recording = Walk(seed=2).stand(1).walk(direction, steps=steps).stand(1).recording()
    assert len(recording.steps) == recording.meta["step_count"] == steps
    assert len(recording.step_times_s(direction)) == steps
    assert np.diff(recording.steps[:, 0]).min() > 0.3


def test_a_walk_that_goes_on_has_the_steps_of_its_parts_and_closes_once():
    walk = (
        Walk(seed=5)
        .walk("forward", steps=6)
        .stumble()
        .walk("forward", steps=4)
        .slip()
        .walk("forward", steps=5)
    )
    plan = walk.plan()
    # A stumble and a slip are three steps each.
    assert len(plan.footfalls) == 6 + 3 + 4 + 3 + 5
    # At the end the feet stand side by side.
    last, before = plan.footfalls[-1], plan.footfalls[-2]
    assert abs(last.end_xy[0] - before.end_xy[0]) < 0.01
    apart = [abs(b.end_xy[0] - a.end_xy[0]) for a, b in pairwise(plan.footfalls[:-1])]
    assert min(apart) > 0.2


def test_each_shoe_lists_its_own_contacts_and_both_make_the_waists():
    walk = demo_walk(2)
    waist = walk.recording("waist")
    shoes = [walk.recording("shoe", foot) for foot in FOOT_NAMES]
    assert abs(len(shoes[0].steps) - len(shoes[1].steps)) <= 3
    both = np.concatenate([shoe.steps for shoe in shoes])
    np.testing.assert_array_equal(both[np.argsort(both[:, 0])], waist.steps)
    assert [shoe.meta["foot_of_this_sensor"] for shoe in shoes] == ["left", "right"]


def test_the_demo_lasts_two_minutes_and_says_what_it_is(tmp_path):
    recording = load(save(demo_walk().recording(), tmp_path / "demo.npz"))
    assert 115 < recording.duration_s < 125
    assert {*recording.span_label} == {"stand", "forward", "backward", "turn", "u-turn"}
    taken = Counter(recording.directions[int(code)] for code in recording.steps[:, 1])
    assert taken["backward"] > 40
    assert taken["forward"] > 100
    assert recording.virtual
    assert recording.meta["source"] == "synthetic"
    assert recording.meta["may_train"]
    assert "no accuracy" in recording.meta["note"]
    assert recording.saturated == 0


def test_spans_follow_one_another_without_a_gap():
    recording = (
        Walk(6)
        .stand(1)
        .walk("forward", seconds=6)
        .u_turn()
        .walk("forward", seconds=5)
        .sit(5)
        .bend()
        .recording()
    )
    assert recording.span_label.tolist() == ["stand", "forward", "u-turn", "forward", "sit", "bend"]
    np.testing.assert_array_equal(recording.spans[1:, 0], recording.spans[:-1, 1])
    assert recording.spans[-1, 1] == pytest.approx(recording.duration_s, abs=0.02)


@pytest.mark.parametrize("seconds", [6.0, 20.0])
def test_walking_takes_about_the_time_asked_for(seconds):
    for direction in ("forward", "backward", "sideways"):
        plan = Walk(seed=8).walk(direction, seconds=seconds).plan()
        assert plan.duration_s == pytest.approx(seconds, abs=1.2)


# --- mechanics ---


def test_the_balanced_body_obeys_the_pendulum_and_neither_falls_nor_runs_away():
    rng = np.random.default_rng(2)
    pressure = np.repeat(rng.uniform(-0.3, 0.3, (40, 2)), 100, axis=0).cumsum(axis=0) / 100
    w2 = GRAVITY / 0.95
    centre = balanced(pressure, w2, RATE_HZ)
    np.testing.assert_allclose(curvature(centre, RATE_HZ)[1:-1], w2 * (centre - pressure)[1:-1], atol=1e-6)
    assert np.abs(centre - pressure).max() < 1.0


@pytest.mark.parametrize("direction", ["forward", "backward", "sideways"])
def test_velocity_integrates_to_the_distance_between_the_footholds(direction):
    walk = bout(direction)
    plan, _, pelvis = motion(walk)
    travelled = slope(pelvis.centre_m, RATE_HZ).sum(axis=0) / RATE_HZ
    footholds = plan.footfalls[-2].end_xy + plan.footfalls[-1].end_xy
    np.testing.assert_allclose(travelled, footholds / 2, atol=0.03)
    axis, sign = {"forward": (0, 1), "backward": (0, -1), "sideways": (1, 1)}[direction]
    assert sign * travelled[axis] == pytest.approx(walk.distance_m, abs=0.03)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_body_is_fastest_and_lowest_in_double_support_whichever_way_it_goes(direction):
    plan, time_s, pelvis = motion(bout(direction))
    speed = np.linalg.norm(slope(pelvis.centre_m, RATE_HZ), axis=1)
    height = pelvis.position_m[:, 2]
    for before, after in zip(plan.footfalls[6:-5], plan.footfalls[7:-4], strict=True):
        double = part(time_s, before.contact_s, after.lift_s)
        middle = (after.lift_s + after.contact_s) / 2
        single = part(time_s, middle - 0.06, middle + 0.06)
        assert speed[double].min() > speed[single].max()
        assert height[double].max() < height[single].min()


@pytest.mark.parametrize(("direction", "low", "high"), [("forward", -1.0, -0.6), ("backward", 0.6, 1.0)])
def test_fore_aft_acceleration_tells_the_direction_at_the_waist(direction, low, high):
    for seed in SEEDS:
        recording = bout(direction, seed).recording()
        assert (
            low < waist_figures(recording, steady_window(recording, direction)).direction_correlation < high
        )


def test_jogging_flips_the_sign_and_leaves_the_ground():
    for seed in SEEDS:
        recording = Walk(seed).stand(1).jog(steps=24).stand(1).recording()
        figures = waist_figures(recording, steady_window(recording, "forward"))
        assert figures.direction_correlation > 0.5
        assert figures.vertical_rms_g > 0.5
        assert np.linalg.norm(recording.acc_g(), axis=1).min() < 0.25


def test_the_trunk_sways_at_the_stride_and_bobs_at_the_step():
    recording = bout("forward", seed=2, steps=40).recording()
    window = steady_window(recording, "forward")
    acc = recording.acc_g()[slice(*(int(t * 104) for t in window))]
    stride_hz = 1 / (2 * np.diff(recording.step_times_s()).mean())
    multiple = np.fft.rfftfreq(len(acc), 1 / 104) / stride_hz
    power = np.abs(np.fft.rfft(acc - acc.mean(axis=0), axis=0)) ** 2
    odd, even = (
        sum(power[np.abs(multiple - k) < 0.25].sum(axis=0) for k in range(first, 9, 2)) for first in (1, 2)
    )
    assert odd[1] > 2 * even[1]
    assert even[2] > 5 * odd[2]
    assert even[0] > 5 * odd[0]


@pytest.mark.parametrize("direction", ["forward", "backward", "sideways"])
def test_a_foot_in_stance_is_flat_and_does_not_move(direction):
    plan, time_s, _ = motion(bout(direction))
    for side in range(2):
        foot = foot_motion(plan, side, time_s)
        falls = [fall for fall in plan.footfalls if fall.foot == side]
        for fall, following in pairwise(falls):
            manner = following.manner
            stance = part(
                time_s, fall.contact_s + fall.manner.on_s + 0.01, following.lift_s - manner.off_s - 0.01
            )
            assert stance.stop - stance.start > 0.15 * RATE_HZ
            assert np.abs(slope(foot.position_m[stance], RATE_HZ)).max() < 1e-9
            assert np.abs(foot.pitch[stance]).max() < 1e-9


def test_a_foot_never_goes_through_the_ground():
    for direction in ("forward", "backward", "sideways", "in_place"):
        plan, time_s, _ = motion(bout(direction, seed=3))
        foot = foot_motion(plan, 0, time_s)
        for point in (HEEL, BALL):
            along = (SENSOR_PER_FOOT - point) * plan.person.foot_m
            sole = foot.position_m[:, 2] + along * np.sin(foot.pitch) - SENSOR_UP_M * np.cos(foot.pitch)
            assert sole.min() > -1e-3


@pytest.mark.parametrize(
    ("direction", "pitch_at_contact"), [("forward", (-35, -8)), ("backward", (10, 45)), ("sideways", (0, 15))]
)
def test_forward_lands_on_the_heel_and_backward_on_the_toe(direction, pitch_at_contact):
    plan, time_s, _ = motion(bout(direction))
    foot = foot_motion(plan, 0, time_s)
    contacts = [fall.contact_s for fall in plan.footfalls if fall.foot == 0][2:-2]
    pitch = np.degrees(np.interp(contacts, time_s, foot.pitch))
    assert np.all((pitch > pitch_at_contact[0]) & (pitch < pitch_at_contact[1]))


def rotation(turn):
    """Rotation matrix of a rotation vector in rad (Rodrigues)."""
    angle = np.linalg.norm(turn) + 1e-12
    x, y, z = turn / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def strides_by_dead_reckoning(recording):
    """Displacement (n, 2) in m along and to the left of the shoe between its stances, from the samples alone.

    A plain strapdown: attitude from gravity in stance, turned on by the gyroscope; velocity drift spread evenly.
    """
    dt = 1 / recording.rate_hz
    acc, gyr = (
        recording.acc_g() * GRAVITY,
        np.radians(recording.gyr_dps() - recording.gyr_dps()[:150].mean(axis=0)),
    )
    contacts = recording.step_times_s()
    # Some 0.2 s after contact the shoe has come to rest, whichever way it was set down.
    rests = [int((t + 0.21) * recording.rate_hz) for t in contacts]
    out = []
    for begin, end in pairwise(rests):
        up = acc[begin - 2 : begin + 3].mean(axis=0)
        up /= np.linalg.norm(up)
        ahead = np.array([1.0, 0, 0]) - up[0] * up
        ahead /= np.linalg.norm(ahead)
        axes = np.vstack([ahead, np.cross(up, ahead), up])
        velocity = [np.zeros(3)]
        for k in range(begin, end):
            axes = axes @ rotation(gyr[k] * dt)
            velocity.append(velocity[-1] + (axes @ acc[k] - [0, 0, GRAVITY]) * dt)
        course = np.array(velocity)
        course -= np.linspace(0, 1, len(course))[:, None] * course[-1]
        out.append(course.sum(axis=0)[:2] * dt)
    return np.array(out)


@pytest.mark.parametrize(
    ("direction", "axis", "sign"), [("forward", 0, 1), ("backward", 0, -1), ("sideways", 1, 1)]
)
def test_dead_reckoning_of_the_shoe_finds_the_declared_strides(direction, axis, sign):
    straight = Person(clip_yaw_deg=0.0)
    walk = Walk(seed=4, person=straight).stand(2).walk(direction, steps=20).stand(1)
    recording = walk.recording("shoe", "left")
    falls = [fall for fall in walk.plan().footfalls if fall.foot == 0]
    declared = np.array([fall.end_xy - fall.start_xy for fall in falls[1:]])
    found = strides_by_dead_reckoning(recording)
    np.testing.assert_allclose(found, declared, atol=0.08)
    assert np.all(sign * found[1:-1, axis] > 0.2)


def test_turn_rates_are_those_of_the_axes():
    t = np.arange(0, 3, 1 / RATE_HZ)
    roll, pitch, yaw = 0.3 * np.sin(3 * t), 0.5 * np.sin(2 * t + 1), 1.5 * np.sin(t)
    axes = axes_of(roll, pitch, yaw)
    spin = np.einsum("nji,njk->nik", axes, slope(axes, RATE_HZ))
    expected = np.column_stack([spin[:, 2, 1], spin[:, 0, 2], spin[:, 1, 0]])
    np.testing.assert_allclose(turn_rates(roll, pitch, yaw, RATE_HZ)[2:-2], expected[2:-2], atol=2e-4)


def test_turning_on_the_spot_turns_the_gyroscope_by_that_angle():
    for degrees in (180, -90):
        walk = Walk(1, Person()).stand(2).turn(degrees).stand(1)
        recording = walk.recording()
        bias = recording.gyr_dps()[:150].mean(axis=0)
        # The trunk bends and lists on its way round, which shifts a little of the turn onto the other axes.
        assert (recording.gyr_dps() - bias)[:, 2].sum() / 104 == pytest.approx(degrees, abs=4)
        assert {recording.directions[int(code)] for code in recording.steps[:, 1]} == {"turn"}


# --- what must count nothing ---


def test_standing_reads_one_g_and_no_rotation():
    recording = Walk(3).stand(5).recording()
    force = np.linalg.norm(recording.acc_g(), axis=1)
    assert force.mean() == pytest.approx(1.0, abs=0.03)
    assert force.std() < 0.01
    assert np.abs(recording.gyr_dps()).max() < 4


@pytest.mark.parametrize("height_m", [0.1, 0.25])
def test_a_jump_is_free_fall_for_as_long_as_its_height_takes(height_m):
    recording = Walk(2).stand(1).jump(height_m).stand(1).recording()
    falling = np.linalg.norm(recording.acc_g(), axis=1) < 0.3
    assert np.count_nonzero(falling) / 104 == pytest.approx(2 * np.sqrt(2 * height_m / GRAVITY), abs=0.07)
    assert np.linalg.norm(recording.acc_g(), axis=1).max() > 2
    assert len(recording.steps) == 0


def test_sitting_bending_and_shaking_move_the_trunk_and_take_no_step():
    for activity in (Walk(2).sit(6), Walk(2).bend(), Walk(2).shake(4)):
        waist = activity.recording("waist")
        assert len(waist.steps) == 0
        assert np.abs(waist.gyr_dps()).max() > 30
        shoe = activity.recording("shoe")
        assert np.abs(shoe.acc_g() - np.median(shoe.acc_g(), axis=0)).max() < 0.02


def test_one_activity_may_follow_another_at_once():
    walk = Walk(4).sit(5).bend().shake(3).jump().sit(4).walk("in_place", steps=4).jog(steps=6).turn(-90)
    for placement in ("waist", "shoe"):
        recording = walk.recording(placement)
        assert np.linalg.norm(recording.acc_g(), axis=1).max() < 14


# --- losing balance ---


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("kind", ["stumble", "slip"])
def test_losing_balance_is_an_event_that_stands_out_from_the_walk(direction, kind):
    for seed in SEEDS:
        walk = Walk(seed).stand(1).walk(direction, steps=16)
        getattr(walk, kind)()
        recording = walk.walk(direction, steps=8).recording()
        assert recording.event_kind.tolist() == [kind]
        force = np.linalg.norm(recording.acc_g(), axis=1)
        swings = [np.ptp(force[k : k + 62]) for k in range(0, len(force) - 62, 10)]
        at = int((recording.event_t[0] + 0.1) * 104)
        assert np.ptp(force[at - 20 : at + 62]) > 1.6 * np.median(swings)
        assert len(recording.steps) == 16 + 3 + 8


def test_a_slipping_foot_slides_on_after_contact():
    plan = Walk(3).walk("forward", steps=8).slip().plan()
    fall = next(fall for fall in plan.footfalls if np.any(fall.slide_xy))
    time_s = np.array([fall.contact_s + 0.09, fall.contact_s + 0.10])
    foot = foot_motion(plan, fall.foot, time_s)
    assert np.linalg.norm(np.diff(foot.position_m[:, :2], axis=0)) * 100 > 0.5
    assert plan.events[0] == (pytest.approx(fall.contact_s), "slip")


# --- what cannot be walked ---


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: Walk().walk("up", steps=4), "a known direction"),
        (lambda: Walk().walk("forward"), "either seconds or steps"),
        (lambda: Walk().walk("forward", seconds=3, steps=4), "either seconds or steps"),
        (lambda: Walk().walk("forward", steps=1), "at least 2 steps"),
        (lambda: Walk().walk("sideways", steps=5), "an even number of side steps"),
        (lambda: Walk().walk("sideways", steps=4, to="up"), '"left" or "right"'),
        (lambda: Walk().stumble(), r"stumble\(\) needs a person who walks"),
        (lambda: Walk().walk("sideways", steps=4).slip(), r"slip\(\) needs"),
        (lambda: Walk().walk("backward", steps=4).u_turn(), "expected a walk forward before it"),
        (lambda: Walk().stand(0), "more than 0 seconds"),
        (lambda: Walk().turn(0), "not 0"),
        (lambda: Walk().jump(2.0), "0.03 to 0.5 m"),
        (lambda: Walk().recording(), "at least 1 second"),
        (lambda: Walk().stand(2).recording("wrist"), '"waist" or "shoe"'),
        (lambda: Walk().stand(2).recording("shoe", "third"), '"left" or "right"'),
    ],
)
def test_what_cannot_be_walked_is_said_plainly(ask, message):
    with pytest.raises(WalkError, match=message):
        ask()


def test_a_track_passes_its_knots_with_their_rates():
    track = Track()
    track.knot(1.0, 2.0, 0.5)
    track.knot(1.5, -1.0, -3.0, 4.0)
    track.knot(2.5, 0.0)
    t = np.array([1.0, 1.5, 2.5])
    np.testing.assert_allclose(track.at(t), [2.0, -1.0, 0.0], atol=1e-12)
    rates = (track.at(t + 1e-6) - track.at(t - 1e-6)) / 2e-6
    assert rates[1] == pytest.approx(-3.0, abs=1e-4)
    np.testing.assert_array_equal(track.at(np.array([0.0, 9.0])), [2.0, 0.0])
    with pytest.raises(ValueError, match="is not after"):
        track.knot(2.5, 1.0)


# --- beside real walking ---


def spread(figures):
    """5th, 50th and 95th percentile of each figure; names as rows would carry them."""
    names = figures[0].__dataclass_fields__
    rows = np.array([np.hstack([np.atleast_1d(value) for value in astuple(f)]) for f in figures])
    labels = [f"{name}{axis}" for name in names for axis in ("xyz" if name.endswith("rms_dps") else ("",))]
    return {label: np.percentile(rows[:, k], [5, 50, 95]) for k, label in enumerate(labels)}


def real_straight_walks(placement, least_steps):
    """The way out, before the turn, of every walk of 10 m, at the lower back or on a shoe."""
    for path in sorted((SHARED / placement).glob("ipol110_*.npz")):
        recording = load(path)
        labels = recording.span_label.tolist()
        if "uturn" not in labels:
            continue
        turn_s = recording.spans[labels.index("uturn"), 0]
        times = recording.step_times_s()
        if np.count_nonzero(times < turn_s) >= least_steps:
            yield recording, (float(times[2 if placement == "waist" else 1]), float(turn_s) - 0.2)


@pytest.mark.shared
def test_simulated_walking_lies_within_the_range_of_real_walking_at_the_waist():
    real = spread([waist_figures(*walk) for walk in real_straight_walks("waist", 9)])
    recordings = [bout("forward", seed).recording() for seed in range(1, 25)]
    simulated = spread([waist_figures(r, steady_window(r, "forward")) for r in recordings])
    for name, (_, median, _) in simulated.items():
        low, _, high = real[name]
        assert low - 0.1 * abs(low) <= median <= high + 0.1 * abs(high), name


@pytest.mark.shared
def test_simulated_walking_lies_within_the_range_of_real_walking_at_the_shoe():
    real = spread([shoe_figures(*walk) for walk in real_straight_walks("shoe", 5)])
    recordings = [bout("forward", seed).recording("shoe") for seed in range(1, 25)]
    simulated = spread([shoe_figures(r, steady_window(r, "forward")) for r in recordings])
    for name in ("swing_peak_dps", "peak_g", "stride_s"):
        low, _, high = real[name]
        assert low <= simulated[name][1] <= high, name
    # The simulated sole is flat and rigid, so it rests longer than a real one.
    assert real["still_s"][0] < simulated["still_s"][1] < 1.5 * real["still_s"][2]
