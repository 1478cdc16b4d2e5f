"""Motion of the feet: stance flat and still, roll-off over one pivot, swing, roll-on over another.

Between leaving and meeting the ground the sensor goes over from hanging on the old pivot to hanging on the new
one, along a minimum-jerk course; while a pivot is on the ground it does not move. So the motion has continuous
acceleration throughout, a foot in stance has exactly no velocity, and the displacement of a stride is exactly
the distance between two footholds.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from retrostep.walker.curves import Floats, Track, min_jerk
from retrostep.walker.plan import BALL, HEEL, LEFT, Footfall, Plan

# The sensor sits on the laces: ahead of the middle of the foot, this high above the sole.
SENSOR_PER_FOOT = 0.10
SENSOR_UP_M = 0.07
SLIDE_S = 0.18
SWING_ROLL_DEG = 8.0


@dataclass(frozen=True)
class Foot:
    """Course of the sensor on one shoe (N, 3) in m in the ground frame, and roll, pitch, yaw (N,) in radians."""

    position_m: Floats
    roll: Floats
    pitch: Floats
    yaw: Floats


def foot_motion(plan: Plan, foot: int, time_s: Floats) -> Foot:
    falls = [fall for fall in plan.footfalls if fall.foot == foot]
    pitch = np.radians(_pitch_track(falls, plan.person.foot_swing).at(time_s))
    roll, heading = np.zeros_like(time_s), np.zeros_like(time_s)
    xy = np.tile(plan.feet_xy[foot], (len(time_s), 1))
    up = np.full_like(time_s, SENSOR_UP_M) + plan.feet_up.at(time_s)
    length = plan.person.foot_m

    # Each step covers the time from the middle of the stance before it to the middle of the one after it.
    bounds = [0.0, *((a.contact_s + b.lift_s) / 2 for a, b in pairwise(falls)), np.inf]
    for fall, (begin, end) in zip(falls, pairwise(bounds), strict=False):
        part = slice(*np.searchsorted(time_s, [begin, end]))
        t, tilt, manner = time_s[part], pitch[part], fall.manner
        swing = min_jerk((t - fall.lift_s) / (fall.contact_s - fall.lift_s))
        slid = min_jerk((t - fall.contact_s) / SLIDE_S)[:, None] * fall.slide_xy
        old_along, old_up = _about_pivot(tilt, manner.off_pivot, length)
        new_along, new_up = _about_pivot(tilt, manner.on_pivot, length)
        old = fall.start_xy + old_along[:, None] * _unit(fall.start_heading)
        new = fall.end_xy - fall.slide_xy + slid + new_along[:, None] * _unit(fall.end_heading)
        xy[part] = old + swing[:, None] * (new - old)
        # Lifted so far that the sole clears the ground by what it should, all along the swing.
        phase = np.clip((t - fall.lift_s) / (fall.contact_s - fall.lift_s), 0, 1)
        hump = 64 * (phase * (1 - phase)) ** 3
        hung = old_up + swing * (new_up - old_up)
        lowest = np.maximum(_about_pivot(tilt, BALL, length)[1], _about_pivot(tilt, HEEL, length)[1])
        needed = np.max((lowest - hung)[hump > 1e-3] / hump[hump > 1e-3], initial=0.0)
        up[part] += hung + (needed + manner.clearance_m) * hump - SENSOR_UP_M
        roll[part] = np.radians(SWING_ROLL_DEG) * side_of(foot) * fall.effort * hump
        heading[part] = fall.start_heading + swing * (fall.end_heading - fall.start_heading)
    if not falls:
        xy += SENSOR_PER_FOOT * length * _unit(0.0)
    return Foot(np.column_stack([xy, up]), roll, pitch, heading)


def foot_centres(plan: Plan, time_s: Floats) -> Floats:
    """Horizontal positions (N, 2 feet, 2) of the middle of each foot, for what the pelvis does with them."""
    out = np.empty((len(time_s), 2, 2))
    for foot in range(2):
        out[:, foot] = plan.feet_xy[foot]
        falls = [fall for fall in plan.footfalls if fall.foot == foot]
        bounds = np.searchsorted(time_s, [*(fall.lift_s for fall in falls), np.inf])
        for fall, (begin, end) in zip(falls, pairwise(bounds), strict=True):
            swing = min_jerk((time_s[begin:end] - fall.lift_s) / (fall.contact_s - fall.lift_s))
            out[begin:end, foot] = fall.start_xy + swing[:, None] * (fall.end_xy - fall.start_xy)
    return out


def side_of(foot: int) -> float:
    """+1 for the left foot, -1 for the right one: the sign of y."""
    return 1.0 if foot == LEFT else -1.0


def _pitch_track(falls: list[Footfall], foot_swing: float) -> Track:
    track = Track()
    flat_s = 0.0
    for k, fall in enumerate(falls):
        manner, size = fall.manner, fall.effort * foot_swing
        off_s = min(manner.off_s, 0.6 * (fall.lift_s - flat_s))
        track.knot(fall.lift_s - off_s, 0.0)
        track.knot(fall.lift_s, manner.off_deg * size, manner.off_deg_s * size)
        track.knot(fall.contact_s, manner.on_deg * size, manner.on_deg_s * size)
        stance_s = falls[k + 1].lift_s - fall.contact_s if k + 1 < len(falls) else np.inf
        flat_s = fall.contact_s + min(manner.on_s, 0.3 * stance_s)
        track.knot(flat_s, 0.0)
    return track


def _about_pivot(pitch: Floats, pivot: float, foot_m: float) -> tuple[Floats, Floats]:
    """The sensor's place along the foot's heading from its flat middle, and its height, as the foot tips."""
    along, up = (SENSOR_PER_FOOT - pivot) * foot_m, SENSOR_UP_M
    cos, sin = np.cos(pitch), np.sin(pitch)
    return pivot * foot_m + along * cos + up * sin, up * cos - along * sin


def _unit(heading: float) -> Floats:
    return np.array([np.cos(heading), np.sin(heading)])
