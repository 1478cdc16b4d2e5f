"""Builder of a simulated walk: a list of what the person does, one call after the other.

    walk = Walk(seed=1).stand(3).walk("forward", seconds=40).turn(180).walk("backward", steps=30).stand(3)
    waist = walk.recording(placement="waist")
    shoe = walk.recording(placement="shoe", foot="left")

Both recordings show the same walk of the same person. Walking starts from standing and ends with the feet side by
side; the closing step is counted, as any other. What follows a `walk` in the same direction (also `stumble`,
`slip`, `fall` and `u_turn`) goes on without a stop.
"""

from dataclasses import dataclass

import numpy as np

from retrostep.recording import Recording
from retrostep.walker.person import GRAVITY, LEG_MASS_SHARE, Person
from retrostep.walker.plan import (
    FOOT_NAMES,
    JOG_STANCE,
    LEFT,
    RIGHT,
    Floats,
    Footfall,
    Jolt,
    Plan,
    ahead,
    leftward,
)
from retrostep.walker.sensor import worn_recording

# From standing, weight moves to the stance foot before the first one lifts.
SHIFT_S = 0.5
SETTLE_S = 0.45
# How far to either side of the middle of the foot the pressure travels in single support, in foot lengths.
ROLL_PER_FOOT = {"forward": 0.30, "backward": 0.10}
SIDE_STEP_PER_LEG = 0.40
TURN_STEP_S = 0.55
MIN_SWING_S = 0.18


class WalkError(ValueError):
    """A walk was asked for that cannot be walked."""


@dataclass
class _Gait:
    """What goes on at the moment, and the step that is still owed to it."""

    direction: str
    step_s: float
    step_m: float
    to_left: bool = False
    taken: int = 0
    owed: dict[str, float] | None = None  # how that step differs from the ordinary


class Walk:
    """See the module's text. Equal seeds and calls give equal recordings."""

    def __init__(self, seed: int = 1, person: Person | None = None):
        self.seed = seed
        self.person = person or Person.drawn(seed)
        self._rng = np.random.Generator(np.random.PCG64([seed, 2]))
        self._centre = np.zeros(2)
        self._heading = 0.0
        self._feet = np.array([self._foothold(LEFT), self._foothold(RIGHT)])
        self._foot_headings = [0.0, 0.0]
        self._next_foot = int(self._rng.integers(2))
        self._now_s = 0.0
        self._gait: _Gait | None = None
        self._span_from_s = 0.0
        self._plan = Plan(self.person, self._feet.copy())
        self._press(0.0, self._centre)
        self._plan.heading.append((0.0, 0.0))

    # --- what the person may do ---

    def stand(self, seconds: float) -> "Walk":
        """Stand still."""
        self._need(seconds > 0, f"stand({seconds})", "more than 0 seconds")
        self._stop()
        self._now_s += seconds
        return self._span("stand")

    def walk(
        self,
        direction: str,
        seconds: float | None = None,
        steps: int | None = None,
        *,
        to: str = "left",
        step_m: float | None = None,
        cadence_per_min: float | None = None,
    ) -> "Walk":
        """Walk "forward", "backward", "sideways" (`to` the left or right) or "in_place", so long or so many steps.

        The count is exact and takes in the first step and the closing one.
        """
        asked = f"walk({direction!r}, seconds={seconds}, steps={steps})"
        self._need(direction in ("forward", "backward", "sideways", "in_place"), asked, "a known direction")
        self._need((seconds is None) != (steps is None), asked, "either seconds or steps")
        self._need(steps is None or steps >= 2, asked, "at least 2 steps: one out, one to close")
        self._need(
            direction != "sideways" or steps is None or steps % 2 == 0, asked, "an even number of side steps"
        )
        self._need(to in ("left", "right"), f"to={to!r}", '"left" or "right"')
        return self._go(direction, seconds, steps, to == "left", step_m, cadence_per_min)

    def jog(self, seconds: float | None = None, steps: int | None = None) -> "Walk":
        """Jog forward, with both feet off the ground between steps; the last step stops it."""
        asked = f"jog(seconds={seconds}, steps={steps})"
        self._need((seconds is None) != (steps is None), asked, "either seconds or steps")
        self._need(steps is None or steps >= 4, asked, "at least 4 steps")
        return self._go("jog", seconds, steps)

    def turn(self, degrees: float, seconds: float | None = None) -> "Walk":
        """Turn on the spot by small steps; positive to the left."""
        self._need(0 < abs(degrees) <= 720, f"turn({degrees})", "an angle up to two full turns, not 0")
        self._need(seconds is None or seconds > 1, f"turn seconds={seconds}", "more than 1 second")
        self._stop()
        if seconds is None:
            steps = max(3, round(abs(degrees) / 40) + 1)
        else:
            steps = max(2, round((seconds - SHIFT_S - SETTLE_S) / TURN_STEP_S))
        gait = self._gait = _Gait("turn", TURN_STEP_S, 0.0)
        # The foot on the inner side opens the turn.
        self._next_foot = LEFT if degrees > 0 else RIGHT
        start = self._heading
        for k in range(1, steps + 1):
            self._heading = start + np.radians(degrees) * min(k / (steps - 1), 1.0)
            self._step(gait)
        self._settle()
        return self._span("turn")

    def u_turn(self, degrees: float = 180.0, steps: int = 4) -> "Walk":
        """While walking forward, walk round a bend; its steps are forward ones."""
        gait = self._walking(("forward",), "u_turn")
        self._need(steps >= 3, f"u_turn steps={steps}", "at least 3 steps")
        self._pay(closing=False)
        self._span("forward")
        start = self._heading
        for k in range(1, steps):
            self._heading = start + np.radians(degrees) * k / steps
            self._step(gait, length=0.6)
        self._heading = start + np.radians(degrees)
        gait.owed = {"length": 0.6}
        return self._span("u-turn")

    def stumble(self) -> "Walk":
        """While walking: the swinging foot is caught, comes down early and short, two quick steps restore balance."""
        gait = self._walking(("forward", "backward"), "stumble")
        self._pay(closing=False)
        way = 1.0 if gait.direction == "forward" else -1.0
        self._step(gait, time=0.75, length=0.45, shock=5.0)
        caught = self._plan.footfalls[-1]
        at_s = caught.lift_s + 0.55 * (caught.contact_s - caught.lift_s)
        self._plan.events.append((at_s, "stumble"))
        self._plan.jolts.append(Jolt(at_s, (-0.60 * way, 0.30 * self._either_side(), -0.25), 0.06))
        self._trunk_thrown(at_s, pitch_deg=22.0 * way, roll_deg=8.0 * self._either_side(), up_m=-0.045)
        self._step(gait, time=0.68, length=1.2, shock=5.0)
        gait.owed = {"time": 0.85, "length": 0.75, "shock": 2.0}
        return self

    def slip(self) -> "Walk":
        """While walking: the foot that comes down slides on in the direction of travel, two quick steps follow."""
        gait = self._walking(("forward", "backward"), "slip")
        self._pay(closing=False)
        way = 1.0 if gait.direction == "forward" else -1.0
        self._step(gait, slide_m=0.13)
        at_s = self._plan.footfalls[-1].contact_s
        self._plan.events.append((at_s, "slip"))
        self._plan.jolts.append(Jolt(at_s + 0.12, (0.35 * way, 0.35 * self._either_side(), -0.45), 0.08))
        self._trunk_thrown(
            at_s + 0.03, pitch_deg=-20.0 * way, roll_deg=10.0 * self._either_side(), up_m=-0.06
        )
        self._step(gait, time=0.62, length=0.5, shock=5.5)
        gait.owed = {"time": 0.9, "length": 0.8, "shock": 1.8}
        return self

    def fall(self, lie_s: float = 6.0) -> "Walk":
        """While walking: the swinging foot is caught, no step catches the body, which tips over where it was going.

        It falls as a rod does, hits the ground at 2.6 m/s, stops within 0.07 s, lies for lie_s and gets up again.
        """
        gait = self._walking(("forward", "backward"), "fall")
        self._need(lie_s >= 1, f"fall({lie_s})", "at least 1 second on the ground")
        self._pay(closing=False)
        way = 1.0 if gait.direction == "forward" else -1.0
        self._step(gait, time=0.75, length=0.45, shock=2.2)
        caught = self._plan.footfalls[-1]
        tips_s = caught.lift_s + 0.55 * (caught.contact_s - caught.lift_s)
        self._plan.jolts.append(Jolt(tips_s, (-0.25 * way, 0.12 * self._either_side(), -0.10), 0.06))
        hits_s = tips_s + 0.65
        self._plan.events.append((hits_s, "fall"))
        up, pitch = self._plan.trunk["up_m"], self._plan.trunk["pitch_deg"]
        for track, low, rate in ((up, -0.70, -2.6), (pitch, 78.0 * way, 200.0 * way)):
            track.knot(max(tips_s, track.last_s + 0.01), track.last_value)
            track.knot(hits_s, low, rate)
            track.knot(hits_s + 0.07, low + 0.035 * rate)
        self._plan.jolts.append(Jolt(hits_s, (0.0, 0.0, LEG_MASS_SHARE * 2.6), 0.04))
        self._stop()
        self._now_s = hits_s + lie_s + 3.0
        for track in (up, pitch):
            track.go(hits_s + lie_s, self._now_s - 0.2, 0.0)
        return self._span("fall")

    def sit(self, seconds: float = 5.0) -> "Walk":
        """Sit down on a chair, sit, stand up again."""
        self._need(seconds >= 4, f"sit({seconds})", "at least 4 seconds")
        self._stop()
        down, up = self._now_s + 1.6, self._now_s + seconds - 1.6
        trunk = self._plan.trunk
        for end_s, depth in ((down, 1.0), (up + 1.6, 0.0)):
            trunk["up_m"].go(end_s - 1.4, end_s, -0.42 * depth)
            trunk["forward_m"].go(end_s - 1.5, end_s, -0.30 * depth)
        pitch = trunk["pitch_deg"]
        pitch.go(down - 1.6, down - 0.7, 28.0)
        pitch.go(down - 0.65, down + 0.3, -12.0)
        pitch.go(up, up + 0.8, 30.0)
        pitch.go(up + 0.85, up + 1.6, 0.0)
        self._plan.jolts.append(Jolt(down, (0.0, 0.0, 0.12), 0.05))
        self._now_s += seconds
        return self._span("sit")

    def bend(self, seconds: float = 3.0) -> "Walk":
        """Bend down as if to pick something up, and straighten again."""
        self._need(seconds >= 2, f"bend({seconds})", "at least 2 seconds")
        self._stop()
        start_s, end_s = self._now_s, self._now_s + seconds
        for name, amount in (("pitch_deg", 55.0), ("forward_m", -0.12), ("up_m", -0.10)):
            self._plan.trunk[name].go(start_s, start_s + 0.4 * seconds, amount)
            self._plan.trunk[name].go(end_s - 0.4 * seconds, end_s, 0.0)
        self._now_s = end_s
        return self._span("bend")

    def shake(self, seconds: float = 5.0) -> "Walk":
        """Stand and wave or scrub with the arms, so that the trunk twists and rocks about twice a second."""
        self._need(seconds >= 2, f"shake({seconds})", "at least 2 seconds")
        self._stop()
        end_s = self._now_s + seconds
        side = 1.0
        at_s = self._now_s
        while at_s + 0.8 < end_s:
            stroke_s = self._rng.uniform(0.18, 0.35)
            size = side * self._rng.uniform(0.5, 1.2)
            self._plan.trunk["yaw_deg"].go(at_s, at_s + stroke_s, 9.0 * size)
            self._plan.trunk["roll_deg"].go(at_s, at_s + stroke_s, 2.5 * size)
            self._plan.trunk["forward_m"].go(at_s, at_s + stroke_s, 0.008 * size)
            at_s += stroke_s + 0.01
            side = -side
        for name in ("yaw_deg", "roll_deg", "forward_m"):
            self._plan.trunk[name].go(at_s, at_s + 0.4, 0.0)
        self._now_s = end_s
        return self._span("shake")

    def jump(self, height_m: float = 0.15) -> "Walk":
        """Jump up once and land on both feet; free fall while in the air."""
        self._need(0.03 <= height_m <= 0.5, f"jump({height_m})", "0.03 to 0.5 m")
        self._stop()
        speed = (2 * GRAVITY * height_m) ** 0.5
        crouch_m = 0.20
        low_s = self._now_s + 0.5
        off_s = low_s + 2.6 * crouch_m / speed
        land_s = off_s + 2 * speed / GRAVITY
        up = self._plan.trunk["up_m"]
        up.go(self._now_s, low_s, -crouch_m)
        up.knot(off_s, 0.0, speed, -GRAVITY)
        up.knot(land_s, 0.0, -speed, -GRAVITY)
        up.knot(land_s + 2.2 * crouch_m / speed, -crouch_m)
        up.knot(land_s + 2.2 * crouch_m / speed + 0.7, 0.0)
        feet = self._plan.feet_up
        feet.knot(off_s, 0.0)
        feet.knot((off_s + land_s) / 2, height_m, 0.0, -GRAVITY)
        feet.knot(land_s, 0.0)
        self._plan.jolts.append(Jolt(land_s, (0.0, 0.0, 0.161 * speed), 0.04))
        self._now_s = up.last_s + 0.5
        return self._span("jump")

    # --- what comes out ---

    def plan(self) -> Plan:
        """The finished plan; a walk that still goes on is brought to a stand."""
        self._stop()
        self._need(self._now_s >= 1, f"{self._now_s:.1f} s of walk", "at least 1 second")
        self._plan.duration_s = self._now_s
        return self._plan

    @property
    def distance_m(self) -> float:
        """Straight distance on the ground from where the person started."""
        return float(np.linalg.norm(self._centre))

    def recording(self, placement: str = "waist", foot: str = "right") -> Recording:
        """What a sensor worn at the waist (lower back), or on one shoe, would have recorded."""
        self._need(placement in ("waist", "shoe"), f"placement={placement!r}", '"waist" or "shoe"')
        self._need(foot in FOOT_NAMES, f"foot={foot!r}", '"left" or "right"')
        return worn_recording(self.plan(), self.seed, placement, foot)

    # --- how it is laid out ---

    def _go(
        self,
        direction: str,
        seconds: float | None,
        steps: int | None,
        to_left: bool = False,
        step_m: float | None = None,
        cadence_per_min: float | None = None,
    ) -> "Walk":
        """Step on; the last step is owed, since only what follows tells whether it closes."""
        gait = self._gait
        if gait is None or gait.direction != direction or gait.to_left != to_left:
            self._stop()
        else:
            self._pay(closing=False)
        gait = self._gait = self._gait or _Gait(direction, *self._pace(direction), to_left=to_left)
        if step_m is not None:
            gait.step_m = step_m
        if cadence_per_min is not None:
            gait.step_s = 60 / cadence_per_min
        end_s = self._now_s + (seconds or 0.0)
        count = 0
        while not self._is_last(gait, count, steps, end_s):
            self._step(gait)
            count += 1
        gait.owed = {}
        return self

    def _is_last(self, gait: _Gait, count: int, steps: int | None, end_s: float) -> bool:
        if steps is not None:
            return count == steps - 1
        side_by_side = gait.direction == "sideways" and gait.taken % 2 == 0
        enough = self._now_s + 1.5 * gait.step_s + SETTLE_S >= end_s
        return enough and gait.taken > 0 and not side_by_side

    @staticmethod
    def _need(holds: bool, seen: str, expected: str) -> None:
        if not holds:
            raise WalkError(f"{seen} cannot be simulated; expected {expected}")

    def _walking(self, directions: tuple[str, ...], what: str) -> _Gait:
        gait = self._gait
        if gait is None or gait.direction not in directions:
            raise WalkError(
                f"{what}() needs a person who walks; expected a walk {' or '.join(directions)} before it"
            )
        return gait

    def _pace(self, direction: str) -> tuple[float, float]:
        """Step time in s and step length in m."""
        p = self.person
        step_s = 60 / p.cadence_per_min
        if direction == "forward":
            return step_s, p.step_m
        if direction == "backward":
            return step_s / p.backward_cadence_ratio, p.step_m * p.backward_step_ratio
        if direction == "jog":
            return 60 / p.jog_cadence_per_min, p.jog_step_per_height * p.height_m
        if direction == "sideways":
            return step_s * 1.05, SIDE_STEP_PER_LEG * p.leg_m
        return step_s, 0.0

    def _support_ratio(self, direction: str) -> float:
        """Double support over step time; negative where both feet are in the air."""
        if direction == "jog":
            return JOG_STANCE - 1
        return self.person.double_support_ratio + (0.05 if direction == "backward" else 0.0)

    def _either_side(self) -> float:
        return float(self._rng.choice([-1.0, 1.0]))

    def _foothold(self, foot: int) -> Floats:
        side = 0.5 * self.person.step_width_m * (1 if foot == LEFT else -1)
        return self._centre + side * leftward(self._heading)

    def _variation(self, direction: str) -> tuple[float, float]:
        """This step's time and length, as factors."""
        more = 1.0 if direction == "forward" else self.person.backward_variation
        time, length = np.clip(self._rng.standard_normal(2), -2.5, 2.5)
        return 1 + more * self.person.step_time_cv * time, 1 + more * self.person.step_length_cv * length

    def _step(
        self,
        gait: _Gait,
        *,
        time: float = 1.0,
        length: float = 1.0,
        shock: float = 1.0,
        slide_m: float = 0.0,
        closing: bool = False,
    ) -> None:
        p = self.person
        direction = gait.direction
        first = gait.taken == 0
        if direction == "sideways":
            lead = LEFT if gait.to_left else RIGHT
            self._next_foot = lead if gait.taken % 2 == 0 else 1 - lead
        foot = self._next_foot
        by_time, by_length = self._variation(direction)
        step_s = gait.step_s * time * by_time * (1 + p.asymmetry * (1 if foot == LEFT else -1))
        step_m = gait.step_m * length * by_length
        support_s = step_s * self._support_ratio(direction)
        travel = self._travel(gait)
        if direction == "sideways":
            step_m *= gait.taken % 2 == 0
        if not closing:
            self._centre = self._centre + step_m * travel
        lift_s = self._now_s + (SHIFT_S if first else support_s)
        contact_s = max(self._now_s + step_s + (SHIFT_S if first else 0.0), lift_s + MIN_SWING_S)
        start_xy, end_xy = self._feet[foot].copy(), self._foothold(foot)
        if not closing:
            end_xy = end_xy + 0.01 * self._rng.standard_normal() * leftward(self._heading)
        stance_xy = self._feet[1 - foot]
        along = direction in ("forward", "backward", "jog")
        jogging = direction == "jog"
        roll = ROLL_PER_FOOT.get(direction, 0.0) * p.foot_m * travel
        if first:
            self._plan.heading.append((self._now_s + SHIFT_S / 2, self._plan.heading[-1][1]))
            middle = (start_xy + stance_xy) / 2
            self._press(self._now_s, middle)
            self._press(self._now_s + 0.25, middle + 0.25 * (start_xy - middle) - 0.25 * roll)
            self._press(lift_s, stance_xy)
        elif not jogging:
            self._press(lift_s, stance_xy - roll)
        if not jogging:
            self._press(contact_s, stance_xy + roll)
        elif not closing:
            # A spring leg leaves the speed to itself: on the average the pressure goes along with the body.
            self._press(contact_s + JOG_STANCE / 2 * step_s, self._centre)
        moved = float(np.linalg.norm(end_xy - start_xy)) / 2
        self._plan.footfalls.append(
            Footfall(
                foot=foot,
                lift_s=lift_s,
                contact_s=contact_s,
                start_xy=start_xy,
                end_xy=end_xy,
                start_heading=self._foot_headings[foot],
                end_heading=self._heading,
                gait=direction,
                double_support_s=support_s,
                effort=float(np.clip(moved / (gait.step_m if jogging else p.step_m), 0.3, 1.3))
                if along
                else by_length,
                shock=shock,
                slide_xy=slide_m * travel,
            )
        )
        self._plan.heading.append((contact_s, self._heading))
        self._feet[foot] = end_xy
        self._foot_headings[foot] = self._heading
        self._next_foot = 1 - foot
        self._now_s = contact_s
        gait.taken += 1

    def _press(self, time_s: float, xy: Floats) -> None:
        self._plan.pressure.append((time_s, float(xy[0]), float(xy[1])))

    def _travel(self, gait: _Gait) -> Floats:
        if gait.direction in ("forward", "jog"):
            return ahead(self._heading)
        if gait.direction == "backward":
            return -ahead(self._heading)
        if gait.direction == "sideways":
            return leftward(self._heading) * (1 if gait.to_left else -1)
        return np.zeros(2)

    def _pay(self, closing: bool) -> None:
        """Take the step that the last call left open, as one among others or as the closing one."""
        gait = self._gait
        if gait is not None and gait.owed is not None:
            how, gait.owed = gait.owed, None
            self._step(gait, closing=closing, **how)

    def _stop(self) -> None:
        gait = self._gait
        if gait is not None:
            self._pay(closing=True)
            self._settle()
            self._span(gait.direction.replace("_", " "))

    def _settle(self) -> None:
        """Weight back on both feet."""
        self._now_s += SETTLE_S
        self._press(self._now_s, self._feet.mean(axis=0))
        self._centre = self._feet.mean(axis=0)
        self._gait = None

    def _span(self, label: str) -> "Walk":
        if self._now_s > self._span_from_s:
            self._plan.spans.append((self._span_from_s, self._now_s, label))
            self._span_from_s = self._now_s
        return self

    def _trunk_thrown(self, at_s: float, pitch_deg: float, roll_deg: float, up_m: float) -> None:
        for name, amount in (("pitch_deg", pitch_deg), ("roll_deg", roll_deg), ("up_m", up_m)):
            track = self._plan.trunk[name]
            from_s = max(at_s, track.last_s + 0.01)
            track.go(from_s, from_s + 0.28, amount)
            track.go(from_s + 0.33, from_s + 0.95, 0.0)


def demo_walk(seed: int = 1) -> Walk:
    """The two-minute demonstration: stand, forward, turn, backward, forward with a bend, stand."""
    return (
        Walk(seed)
        .stand(4)
        .walk("forward", seconds=40)
        .turn(180, seconds=3.5)
        .walk("backward", seconds=30)
        .stand(2)
        .walk("forward", seconds=18)
        .u_turn()
        .walk("forward", seconds=16)
        .stand(4)
    )
