"""From a motion to what a worn sensor reads: specific force and turn rate in the clip's axes, as recording-1.

Motion is computed at 416 Hz, four samples for one, and brought down to 104 Hz through the same band limit that
resampling a recording uses, as the part's own filter would. Offsets, noise and the clip's mounting angles come
from the seed.
"""

import numpy as np

from retrostep.recording import (
    ACC_BIAS_MG_MAX,
    ACC_LSB_G,
    ACC_NOISE_MG_RMS,
    DIRECTIONS,
    FORMAT,
    GYR_BIAS_DPS_MAX,
    GYR_LSB_DPS,
    GYR_NOISE_DPS_RMS,
    Recording,
    band_limited,
    to_int16,
)
from retrostep.walker.body import CLIP_M, add_pulse, mode_response, pelvis_motion
from retrostep.walker.curves import Floats, curvature, slope
from retrostep.walker.person import GRAVITY
from retrostep.walker.plan import FOOT_NAMES, Plan
from retrostep.walker.shoe import foot_motion

RATE_HZ = 104.0
INNER_RATE_HZ = 4 * RATE_HZ

# A shoe on the ground rings briefly after contact, and is stopped by it.
SHOE_HZ, SHOE_DAMPING, SHOE_PULSE_S = 22.0, 0.35, 0.016
SHOE_PUSH = 0.3  # of the speed that the foot still had


def worn_recording(plan: Plan, seed: int, placement: str, foot: str) -> Recording:
    """The recording of one sensor on the person who walks `plan`: at the "waist", or on one foot's "shoe"."""
    count = int(plan.duration_s * RATE_HZ)
    time_s = np.arange(count * 4) / INNER_RATE_HZ
    side = FOOT_NAMES.index(foot)
    if placement == "waist":
        # The same trunk whatever else is asked for: its wandering has a generator of its own.
        pelvis = pelvis_motion(plan, time_s, INNER_RATE_HZ, np.random.Generator(np.random.PCG64([seed, 3])))
        axes = axes_of(pelvis.roll, pelvis.pitch, pelvis.yaw)
        position = pelvis.position_m + axes @ CLIP_M
        angles = (pelvis.roll, pelvis.pitch, pelvis.yaw)
        falls = plan.footfalls
    else:
        track = foot_motion(plan, side, time_s)
        axes = axes_of(track.roll, track.pitch, track.yaw)
        position = track.position_m + _shoe_ringing(plan, side, time_s)
        angles = (track.roll, track.pitch, track.yaw)
        falls = [fall for fall in plan.footfalls if fall.foot == side]

    force = curvature(position, INNER_RATE_HZ) + np.array([0.0, 0.0, GRAVITY])
    acc_g = np.einsum("nji,nj->ni", axes, force) / GRAVITY
    gyr_dps = np.degrees(turn_rates(*angles, INNER_RATE_HZ))
    motion = np.hstack([acc_g @ _mounting(plan) / ACC_LSB_G, gyr_dps @ _mounting(plan) / GYR_LSB_DPS])
    words = band_limited(motion, INNER_RATE_HZ, RATE_HZ)
    samples, saturated = to_int16(words + _imperfections(seed, placement, side, len(words)))

    return Recording(
        samples=samples,
        steps=np.array(
            [(fall.contact_s, DIRECTIONS.index(fall.direction)) for fall in falls], np.float32
        ).reshape(-1, 2),
        truth=np.array([(0.0, plan.duration_s)], np.float32),
        spans=np.array([span[:2] for span in plan.spans], np.float32).reshape(-1, 2),
        span_label=np.array([span[2] for span in plan.spans], "<U24"),
        event_t=np.array([at_s for at_s, _ in plan.events], np.float32),
        event_kind=np.array([kind for _, kind in plan.events], "<U24"),
        meta={
            "format": FORMAT,
            "source": "synthetic",
            "subject": f"walker-{seed}",
            "group": "simulated",
            "activity": ", ".join(label for _, _, label in plan.spans),
            "placement": placement,
            "frame": "clip",
            "foot_of_this_sensor": foot if placement == "shoe" else None,
            "rate_hz": RATE_HZ,
            "acc_lsb_g": ACC_LSB_G,
            "gyr_lsb_dps": GYR_LSB_DPS,
            "has_gyro": True,
            "virtual": True,
            "may_train": True,
            "licence": "MIT (Retrostep's own simulator)",
            "directions": list(DIRECTIONS),
            "step_count": len(falls),
            "saturated": saturated,
            "person": {name: float(value) for name, value in vars(plan.person).items()},
            "note": "computed from a mechanical model of walking; no accuracy may be claimed from it",
        },
    )


def axes_of(roll: Floats, pitch: Floats, yaw: Floats) -> Floats:
    """Rotations (N, 3, 3) from body to ground axes: roll about x, then pitch about y, then yaw about z."""
    cr, sr, cp, sp, cy, sy = (f(angle) for angle in (roll, pitch, yaw) for f in (np.cos, np.sin))
    return np.stack(
        [
            np.stack([cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr], axis=-1),
            np.stack([sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr], axis=-1),
            np.stack([-sp, cp * sr, cp * cr], axis=-1),
        ],
        axis=-2,
    )


def turn_rates(roll: Floats, pitch: Floats, yaw: Floats, rate_hz: float) -> Floats:
    """Angular velocity (N, 3) in rad/s in body axes, from angles in rad."""
    roll_rate, pitch_rate, yaw_rate = (slope(angle, rate_hz) for angle in (roll, pitch, yaw))
    return np.column_stack(
        [
            roll_rate - yaw_rate * np.sin(pitch),
            pitch_rate * np.cos(roll) + yaw_rate * np.sin(roll) * np.cos(pitch),
            yaw_rate * np.cos(roll) * np.cos(pitch) - pitch_rate * np.sin(roll),
        ]
    )


def _mounting(plan: Plan) -> Floats:
    """Clip axes in body axes, as columns."""
    p = plan.person
    roll, pitch, yaw = (np.radians([a]) for a in (p.clip_roll_deg, p.clip_tilt_deg, p.clip_yaw_deg))
    return axes_of(roll, pitch, yaw)[0]


def _imperfections(seed: int, placement: str, side: int, count: int) -> Floats:
    """Offset and white noise (count, 6) in LSB."""
    rng = np.random.Generator(np.random.PCG64([seed, 4, placement == "shoe", side]))
    bias, noise = rng.uniform(-1, 1, 6), rng.standard_normal((count, 6))
    acc = (bias[:3] * ACC_BIAS_MG_MAX + noise[:, :3] * ACC_NOISE_MG_RMS) / 1000 / ACC_LSB_G
    gyr = (bias[3:] * GYR_BIAS_DPS_MAX + noise[:, 3:] * GYR_NOISE_DPS_RMS) / GYR_LSB_DPS
    return np.hstack([acc, gyr])


def _shoe_ringing(plan: Plan, side: int, time_s: Floats) -> Floats:
    """Displacement (N, 3) in m, ground frame, with which the shoe answers to its contacts."""
    pulses = np.zeros((len(time_s), 3))
    for fall in plan.footfalls:
        if fall.foot != side:
            continue
        manner = fall.manner
        size = SHOE_PUSH * fall.effort * fall.shock * plan.person.tread
        stride = fall.end_xy - fall.start_xy
        way = stride / max(float(np.hypot(*stride)), 0.1)
        push = (*(-size * manner.along_m_s * way), size * manner.down_m_s)
        add_pulse(pulses, time_s, fall.contact_s, push, SHOE_PULSE_S)
    return np.column_stack([mode_response(p, SHOE_HZ, SHOE_DAMPING, INNER_RATE_HZ) for p in pulses.T])
