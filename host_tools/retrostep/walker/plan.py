"""A planned walk: which foot comes down where and when, and what the trunk does besides.

A plan is what the builder (walk.py) writes and what the body (body.py) and the shoes (shoe.py) are computed from.
Ground frame: x, y horizontal, z up, metres; headings in radians, positive to the left. Foot 0 is the left one.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retrostep.walker.curves import Track
from retrostep.walker.person import Person

Floats = NDArray[np.float64]

LEFT, RIGHT = 0, 1
FOOT_NAMES = ("left", "right")
# Along the foot, as shares of its length, from its middle: the points it rolls over.
HEEL, BALL = -0.45, 0.22
# A jogger's foot is on the ground for this share of the time from contact to contact.
JOG_STANCE = 0.70


@dataclass(frozen=True)
class Manner:
    """How a foot leaves and meets the ground, for a step of ordinary length.

    Pitch is positive toe-down. The foot first rolls off over one pivot, swings, and rolls on over another. A
    pitch rate of zero at contact means that the foot is set down, not slapped.
    """

    off_deg: float
    off_deg_s: float
    off_s: float
    off_pivot: float
    on_deg: float
    on_deg_s: float
    on_s: float
    on_pivot: float
    clearance_m: float
    # What the foot still has of its swing when it meets the ground, m/s.
    down_m_s: float
    along_m_s: float
    # How far the knee yields under the load, beyond what pendulum and rocker do.
    yield_m: float = 0.0


MANNERS = {
    # Heel first. Angles and times as in ordinary gait: about 50 degrees toe-down at toe-off with the pitch rate
    # near its peak, 20 degrees toe-up at heel contact, flat some 95 ms later.
    "forward": Manner(42, 420, 0.25, BALL, -20, 0, 0.095, HEEL, 0.02, 0.40, 0.35),
    # Toe first. Backward walking runs much like forward walking in reverse (Winter, Pluck and Yang 1989):
    # the toe meets the ground, the heel is lowered, and at the end the foot leaves over its heel.
    "backward": Manner(-15, 0, 0.14, HEEL, 30, -400, 0.09, BALL, 0.03, 0.25, 0.15, yield_m=0.006),
    "jog": Manner(60, 520, 0.15, BALL, -8, 0, 0.05, HEEL, 0.12, 0.45, 0.30),
    "sideways": Manner(20, 100, 0.15, BALL, 8, 0, 0.08, BALL, 0.05, 0.22, 0.15, yield_m=0.010),
    "turn": Manner(25, 140, 0.16, BALL, 5, 0, 0.08, BALL, 0.04, 0.22, 0.05, yield_m=0.008),
    "in_place": Manner(32, 200, 0.18, BALL, 16, -100, 0.10, BALL, 0.12, 0.25, 0.0, yield_m=0.016),
}


@dataclass(frozen=True)
class Footfall:
    """One step: a foot lifts, swings and comes down."""

    foot: int
    lift_s: float
    contact_s: float
    start_xy: Floats
    end_xy: Floats
    start_heading: float
    end_heading: float
    gait: str  # a key of MANNERS
    double_support_s: float  # after the contact before it; negative: both feet were off the ground
    effort: float  # its length over the person's ordinary forward step: scales angles and impacts
    shock: float = 1.0  # impact, times the ordinary one
    slide_xy: Floats = field(default_factory=lambda: np.zeros(2))  # slipped so far, after contact

    @property
    def manner(self) -> Manner:
        return MANNERS[self.gait]

    @property
    def direction(self) -> str:
        """One of recording.DIRECTIONS."""
        return "forward" if self.gait == "jog" else self.gait


@dataclass(frozen=True)
class Jolt:
    """A short push on the trunk, in its heading frame: m/s gained along x, y, z, within duration_s."""

    time_s: float
    push_m_s: tuple[float, float, float]
    duration_s: float


TRUNK_CHANNELS = ("forward_m", "up_m", "roll_deg", "pitch_deg", "yaw_deg")


@dataclass
class Plan:
    person: Person
    feet_xy: Floats  # (2, 2) where both feet stand at time 0
    footfalls: list[Footfall] = field(default_factory=list)
    pressure: list[tuple[float, float, float]] = field(default_factory=list)  # time, x, y under the feet
    heading: list[tuple[float, float]] = field(default_factory=list)  # time, radians
    trunk: dict[str, Track] = field(default_factory=lambda: {name: Track() for name in TRUNK_CHANNELS})
    feet_up: Track = field(default_factory=Track)  # both feet off the ground, m
    jolts: list[Jolt] = field(default_factory=list)
    spans: list[tuple[float, float, str]] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)
    duration_s: float = 0.0


def ahead(heading: float) -> Floats:
    """Unit vector (2,) along a heading."""
    return np.array([np.cos(heading), np.sin(heading)])


def leftward(heading: float) -> Floats:
    """Unit vector to the left of a heading."""
    return np.array([-np.sin(heading), np.cos(heading)])
