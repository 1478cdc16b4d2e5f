"""Motion of the pelvis, from mechanics and the places where the feet come down.

Horizontally the body is a linear inverted pendulum: the centre of mass is accelerated away from the centre of
pressure, x'' = w^2 (x - p) with w^2 = g / height (Hof 2008; Kajita et al. 2001). For a given course of p there is
exactly one solution that neither falls nor runs away; it is found for the whole walk at once. Speed is then
highest in double support whichever way the person goes, sway has the frequency of the stride, and starts, stops,
turns and side steps need no rules of their own.

Vertically it rides on the leg in stance, a strut of leg length l on a rolling foot of radius R: its height is
R + (l - R) cos(d / l) at horizontal distance d (Kuo 2002; Zijlstra and Hof 2003 for the pendulum's excursion).
The kink between two arcs is the step-to-step transition; it is spread over the double support.

At a contact the leg's mass, 0.161 of the body's, loses the speed that its foot still has; that push goes through
leg and soft tissue, a damped spring, to the pelvis.
"""

from dataclasses import dataclass

import numpy as np

from retrostep.walker.curves import Floats, curvature, min_jerk, smoothed
from retrostep.walker.person import BACKWARD_ROCKER_PER_LEG, GRAVITY, LEG_MASS_SHARE, ROCKER_PER_LEG
from retrostep.walker.plan import JOG_STANCE, Plan
from retrostep.walker.shoe import foot_centres, side_of

# Where the clip sits from the middle of the pelvis: on the belt at the lower back.
CLIP_M = np.array([-0.11, 0.0, 0.04])

# Pelvic rotation per metre between the feet, list per unit of load moved, tilt per m/s^2 of fore-aft acceleration:
# about 5, 4 and 2 degrees to either side at an ordinary pace.
YAW_DEG_PER_M = 6.5
LIST_DEG = 4.0
TILT_DEG_PER_M_S2 = 0.8

# The rocker as a share of the leg. A jogger's leg is a spring, see _bouncing: no arc.
ROCKERS = {"backward": BACKWARD_ROCKER_PER_LEG, "jog": 1.0}
YIELD_LAG_S = 0.08  # the knee is bent most so long after contact

# Ringing after a contact. The vertical mode is the person's; these are assumed.
CONTACT_PULSE_S = 0.035
DAMPING = 0.22
FORE_AFT_HZ, SWAY_HZ, ROCK_HZ = 8.0, 9.0, 8.0
INWARD = 0.9  # the leg in front stands outward, so its push is also inward: share of the upward one
ROCK_DEG_S_PER_M_S = 700.0  # rotation that a push of 1 m/s gives the clip

# The clip on its belt: how it follows, and the acceleration beyond which it gives no further.
CLIP_HZ, CLIP_DAMPING = 4.0, 0.7
GIVE_M_S2 = 3.5

PAD_S = 4.0  # stillness before and after, many times the pendulum's 0.3 s


@dataclass(frozen=True)
class Pelvis:
    """Course of the clip's origin (N, 3) in m in the ground frame, and roll, pitch, yaw (N,) in radians."""

    position_m: Floats
    roll: Floats
    pitch: Floats
    yaw: Floats
    centre_m: Floats  # (N, 2) horizontal course of the centre of mass


def pelvis_motion(plan: Plan, time_s: Floats, rate_hz: float, rng: np.random.Generator) -> Pelvis:
    person = plan.person
    heading = _heading(plan, time_s, rate_hz)
    ahead = np.column_stack([np.cos(heading), np.sin(heading)])
    left = np.column_stack([-ahead[:, 1], ahead[:, 0]])

    pressure = _pressure(plan, time_s) + _quiet_sway(time_s, rng, 0.004)
    centre = balanced(pressure, GRAVITY / person.centre_m, rate_hz)
    bounced = _bouncing(plan, time_s)
    centre = centre + bounced[:, 0, None] * ahead
    trunk = {name: track.at(time_s) for name, track in plan.trunk.items()}
    height = _height(plan, time_s, centre, rate_hz) + bounced[:, 1] + trunk["up_m"]

    feet = foot_centres(plan, time_s)
    stride = np.sum((feet[:, 1] - feet[:, 0]) * ahead, axis=1)
    between = feet[:, 0] - feet[:, 1]
    load_left = np.sum((pressure - feet[:, 1]) * between, axis=1) / np.maximum(
        np.sum(between**2, axis=1), 1e-4
    )
    onto_left = smoothed(2 * np.clip(load_left, 0, 1) - 1, 0.10 * rate_hz)
    fore_aft = smoothed(np.sum(curvature(centre, rate_hz) * ahead, axis=1), 0.08 * rate_hz)
    wander = _quiet_sway(time_s, rng, 0.4)

    push, rock = _ringing(plan, time_s, rate_hz)
    yaw = heading + np.radians(YAW_DEG_PER_M * person.pelvis_turn * stride + trunk["yaw_deg"] + rock[:, 2])
    roll = np.radians(
        LIST_DEG * person.pelvis_turn * onto_left + trunk["roll_deg"] + wander[:, 0] + rock[:, 0]
    )
    pitch = np.radians(-TILT_DEG_PER_M_S2 * fore_aft + trunk["pitch_deg"] + wander[:, 1] + rock[:, 1])

    # The clip is heavy on its outer side: as the body is thrown up it lags and noses up, so far as the belt lets it.
    give = person.clip_give_deg * (2 * np.pi * CLIP_HZ) ** 2
    thrown = GIVE_M_S2 * np.tanh(curvature(height + push[:, 2], rate_hz) / GIVE_M_S2)
    pitch -= np.radians(mode_response(give * thrown, CLIP_HZ, CLIP_DAMPING, rate_hz))

    horizontal = centre + (trunk["forward_m"] + push[:, 0])[:, None] * ahead + push[:, 1, None] * left
    middle = np.column_stack([horizontal, height + push[:, 2]])
    return Pelvis(middle, roll, pitch, yaw, centre)


def balanced(pressure: Floats, w2: float, rate_hz: float) -> Floats:
    """The bounded solution x of x'' = w2 (x - pressure), sample by sample; it stands still before and after.

    In the frequency domain X = P w2 / (w2 + W^2), with W^2 as the three-point difference sees it. A straight
    line is its own solution and is taken off first, so that the ends meet.
    """
    pad = int(PAD_S * rate_hz)
    p = np.pad(pressure, ((pad, pad), (0, 0)), mode="edge")
    line = np.linspace(0, 1, len(p))[:, None] * (p[-1] - p[0]) + p[0]
    spectrum = np.fft.rfft(p - line, axis=0)
    omega2 = (2 - 2 * np.cos(2 * np.pi * np.fft.rfftfreq(len(p)))) * rate_hz**2
    x = np.fft.irfft(spectrum * (w2 / (w2 + omega2))[:, None], len(p), axis=0) + line
    return x[pad:-pad]


def _pressure(plan: Plan, time_s: Floats) -> Floats:
    knots = np.array(plan.pressure)
    return np.column_stack([np.interp(time_s, knots[:, 0], knots[:, k]) for k in (1, 2)])


def _heading(plan: Plan, time_s: Floats, rate_hz: float) -> Floats:
    knots = np.array(plan.heading)
    return smoothed(np.interp(time_s, knots[:, 0], knots[:, 1]), 0.35 * rate_hz)


def _quiet_sway(time_s: Floats, rng: np.random.Generator, size: float) -> Floats:
    """Slow random wandering (N, 2) of about this rms size, below about 1 Hz."""
    knots_s = np.arange(time_s[0] - 1, time_s[-1] + 2, 0.5)
    rate_hz = 1 / (time_s[1] - time_s[0])
    rough = [np.interp(time_s, knots_s, size * rng.standard_normal(len(knots_s))) for _ in range(2)]
    return np.column_stack([smoothed(r, 0.3 * rate_hz) for r in rough])


def _height(plan: Plan, time_s: Floats, centre: Floats, rate_hz: float) -> Floats:
    """Height of the pelvis (N,) in m over its height in standing."""
    leg = plan.person.leg_m
    feet = plan.feet_xy.copy()
    supports, rockers, middles, widths = [], [], [], []
    yielding = np.zeros_like(time_s)
    before_s = 0.0
    for fall in plan.footfalls:
        supports.append(feet[1 - fall.foot].copy())
        middles.append((fall.lift_s + fall.contact_s) / 2)
        widths.append(max(fall.double_support_s, 0.05))
        rockers.append(leg * ROCKERS.get(fall.gait, ROCKER_PER_LEG))
        period_s = min(fall.contact_s - before_s, 0.8)
        before_s = fall.contact_s
        low_s = fall.contact_s + YIELD_LAG_S
        part = slice(*np.searchsorted(time_s, [low_s - period_s / 2, low_s + period_s / 2]))
        turn = 2 * np.pi * (time_s[part] - low_s) / period_s
        yielding[part] -= fall.manner.yield_m / 2 * (1 + np.cos(turn))
        feet[fall.foot] = fall.end_xy
    if not supports:
        return np.zeros_like(time_s)
    supports.append(feet[plan.footfalls[-1].foot])
    rockers.append(rockers[-1])

    # Support k may carry from the middle of the swing before its own to the middle of the swing after it; of
    # the two that overlap the higher arc carries, and they cross in double support.
    height = np.full_like(time_s, -np.inf)
    bounds = np.searchsorted(time_s, [0.0, *middles, np.inf])
    for k, (foothold, rocker) in enumerate(zip(supports, rockers, strict=True)):
        part = slice(bounds[k], bounds[min(k + 2, len(bounds) - 1)])
        away = np.hypot(*(centre[part] - foothold).T)
        arc = (leg - rocker) * (np.cos(np.minimum(away / leg, 1.2)) - 1)
        height[part] = np.maximum(height[part], arc)
    spread = np.interp(time_s, middles, widths) * rate_hz
    return smoothed(height + yielding, spread)


def _bouncing(plan: Plan, time_s: Floats) -> Floats:
    """What jogging adds (N, 2), along the heading and up, in m: a spring leg in place of the pendulum.

    The leg pushes along itself with a half sine of force over the stance; between stances there is free flight.
    One step carries just the body's weight and keeps its speed.
    """
    out = np.zeros((len(time_s), 2))
    falls = plan.footfalls
    for begin, end in _jogs(plan):
        contacts = np.array([fall.contact_s for fall in falls[begin:end]])
        if len(contacts) < 3:
            continue
        part = slice(*np.searchsorted(time_s, contacts[[0, -1]]))
        t = time_s[part]
        periods = np.diff(contacts)
        phase = np.interp(t, contacts, np.arange(len(contacts)))
        period = np.interp(t, (contacts[:-1] + contacts[1:]) / 2, periods)
        step_m = np.linalg.norm(falls[begin].end_xy - falls[begin].start_xy)
        along, up = _spring_step(float(step_m) / plan.person.leg_m)
        grid = np.linspace(0, 1, len(up))
        fade = min_jerk((t - t[0]) / periods[0]) * min_jerk((t[-1] - t) / periods[-1])
        for k, course in enumerate((along, up)):
            out[part, k] = fade * period**2 * np.interp(phase % 1, grid, course)
    return out


def _jogs(plan: Plan) -> list[tuple[int, int]]:
    """First footfall, and the one after the last, of each run of jogging."""
    jogging = np.array([False, *(fall.gait == "jog" for fall in plan.footfalls), False])
    edges = np.flatnonzero(jogging[1:] != jogging[:-1])
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _spring_step(step_per_leg: float) -> tuple[Floats, Floats]:
    """Displacement along and up over one step of unit duration, from contact to contact, as two closed courses."""
    phase = np.linspace(0, 1, 4001)
    stance = phase / JOG_STANCE
    load = np.where(stance < 1, np.pi / 2 / JOG_STANCE * np.sin(np.pi * np.minimum(stance, 1)), 0.0)
    along = GRAVITY * load * step_per_leg * (phase - JOG_STANCE / 2)
    return _twice_integrated(along), _twice_integrated(GRAVITY * (load - 1))


def _twice_integrated(acceleration: Floats) -> Floats:
    """Twice the integral over one period of duration 1, without mean at either stage."""
    course = acceleration
    for _ in range(2):
        course = course - np.trapezoid(course, dx=1 / (len(course) - 1))
        course = np.concatenate([[0.0], np.cumsum((course[1:] + course[:-1]) / 2)]) / (len(course) - 1)
    return course


def _ringing(plan: Plan, time_s: Floats, rate_hz: float) -> tuple[Floats, Floats]:
    """What contacts and jolts add: displacement (N, 3) in m in the heading frame; rotation (N, 3) in degrees."""
    pulses = np.zeros((len(time_s), 3))
    for fall in plan.footfalls:
        manner = fall.manner
        way = {"forward": -1.0, "jog": -1.0, "backward": 1.0}.get(fall.gait, 0.0)
        size = LEG_MASS_SHARE * plan.person.tread * fall.shock * fall.effort
        side = side_of(fall.foot)
        sideways = -INWARD * size * manner.down_m_s * side
        push = (size * manner.along_m_s * way, sideways, size * manner.down_m_s)
        add_pulse(pulses, time_s, fall.contact_s, push, CONTACT_PULSE_S)
    for jolt in plan.jolts:
        add_pulse(pulses, time_s, jolt.time_s, jolt.push_m_s, jolt.duration_s)
    modes_hz = (FORE_AFT_HZ, SWAY_HZ, plan.person.stiffness_hz)
    moved = [mode_response(push, f, DAMPING, rate_hz) for push, f in zip(pulses.T, modes_hz, strict=True)]
    # A push to the side lists and turns the pelvis, one backward tips it forward.
    turned = pulses[:, [1, 0, 1]] * np.array([1.0, -1.0, 1.2]) * ROCK_DEG_S_PER_M_S
    rocked = [mode_response(spin, ROCK_HZ, DAMPING, rate_hz) for spin in turned.T]
    return np.column_stack(moved), np.column_stack(rocked)


def add_pulse(
    pulses: Floats,
    time_s: Floats,
    at_s: float,
    size: tuple[float, ...],
    duration_s: float,
) -> None:
    """Add a raised-cosine pulse of the given area from at_s on."""
    part = slice(*np.searchsorted(time_s, [at_s, at_s + duration_s]))
    shape = 1 - np.cos(2 * np.pi * (time_s[part] - at_s) / duration_s)
    pulses[part] += shape[:, None] / duration_s * np.array(size)


def mode_response(push: Floats, mode_hz: float, damping: float, rate_hz: float) -> Floats:
    """Displacement y (N,) of y'' + 2 z w y' + w^2 y = push."""
    n = len(push) + int(2 * rate_hz)
    s = 2j * np.pi * np.fft.rfftfreq(n, 1 / rate_hz)
    w = 2 * np.pi * mode_hz
    return np.fft.irfft(np.fft.rfft(push, n) / (s**2 + 2 * damping * w * s + w**2), n)[: len(push)]
