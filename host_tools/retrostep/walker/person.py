"""Who walks: body, gait and the way the clip is worn, drawn from a seed.

Segment lengths and masses are fractions of body height and mass (Winter, Biomechanics and Motor Control of Human
Movement, anthropometric table). Gait parameters are drawn from ranges of healthy adults at a comfortable pace:
100 to 120 steps/min, a step of 0.38 to 0.44 body heights, 2 to 3 % variation of the step time. Backward steps
are shorter at about the same cadence, with a longer double support (Laufer 2005), and vary more. Jogging:
150 to 170 steps/min, 0.48 to 0.58 body heights.
"""

from dataclasses import dataclass

import numpy as np

GRAVITY = 9.80665

LEG_PER_HEIGHT = 0.530  # greater trochanter above the ground
FOOT_PER_HEIGHT = 0.152
LEG_MASS_SHARE = 0.161  # one whole leg, of body mass
BODY_CENTRE_PER_HEIGHT = 0.55
# Foot and ankle roll like an arc of this radius in leg lengths (McGeer 1990; Adamczyk, Collins and Kuo 2006).
ROCKER_PER_LEG = 0.3
# Set down on its toe, a foot does not roll from heel to ball: assumed not to roll at all.
BACKWARD_ROCKER_PER_LEG = 0.0


@dataclass(frozen=True)
class Person:
    """One simulated walker with one clip."""

    height_m: float = 1.72
    cadence_per_min: float = 110.0
    step_per_height: float = 0.41
    step_width_m: float = 0.10
    backward_step_ratio: float = 0.76
    backward_cadence_ratio: float = 0.97
    jog_cadence_per_min: float = 160.0
    jog_step_per_height: float = 0.53
    double_support_ratio: float = 0.22  # of the step time; walking backward adds 0.05
    step_time_cv: float = 0.025
    step_length_cv: float = 0.03
    backward_variation: float = 1.8  # times the variation of walking forward
    asymmetry: float = 0.01  # left step time over right, minus one, halved
    stiffness_hz: float = 6.5  # leg and soft tissue between foot and pelvis
    tread: float = 1.0  # how hard the foot comes down, times the ordinary
    foot_swing: float = 1.1  # how far the foot tips, times the ordinary
    pelvis_turn: float = 1.0  # how far the pelvis turns and lists, times the ordinary
    clip_give_deg: float = 0.6  # how far belt and skin let the clip nod, per m/s^2 of vertical acceleration
    clip_yaw_deg: float = 0.0
    clip_tilt_deg: float = 0.0
    clip_roll_deg: float = 0.0

    @property
    def leg_m(self) -> float:
        return LEG_PER_HEIGHT * self.height_m

    @property
    def foot_m(self) -> float:
        return FOOT_PER_HEIGHT * self.height_m

    @property
    def centre_m(self) -> float:
        """Height of the body's centre of mass above the ground, standing."""
        return BODY_CENTRE_PER_HEIGHT * self.height_m

    @property
    def step_m(self) -> float:
        return self.step_per_height * self.height_m

    @staticmethod
    def drawn(seed: int) -> "Person":
        """A person drawn from the ranges above; equal seeds give equal persons."""
        rng = np.random.Generator(np.random.PCG64([seed, 1]))
        draw = rng.uniform
        return Person(
            height_m=draw(1.52, 1.92),
            cadence_per_min=draw(100, 120),
            step_per_height=draw(0.38, 0.44),
            step_width_m=draw(0.07, 0.13),
            backward_step_ratio=draw(0.65, 0.88),
            backward_cadence_ratio=draw(0.90, 1.04),
            jog_cadence_per_min=draw(150, 170),
            jog_step_per_height=draw(0.48, 0.58),
            double_support_ratio=draw(0.20, 0.25),
            step_time_cv=draw(0.02, 0.03),
            step_length_cv=draw(0.02, 0.04),
            backward_variation=draw(1.5, 2.2),
            asymmetry=draw(-0.02, 0.02),
            stiffness_hz=draw(5.5, 8.0),
            tread=draw(0.6, 1.7),
            foot_swing=draw(0.9, 1.4),
            pelvis_turn=draw(0.7, 1.3),
            clip_give_deg=draw(0.3, 1.8),
            clip_yaw_deg=draw(-8, 8),
            clip_tilt_deg=draw(-10, 15),
            clip_roll_deg=draw(-4, 4),
        )
