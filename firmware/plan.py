"""The training plan on the device: how much was walked backward today, and what the wearer should feel about it.

    plan = Plan(settings, clock)
    name = plan.take_step(contact_ms, direction)      # every settled step; the cue that it calls for, or None

The setting "plan" is six whole numbers: minutes and steps backward a day (0 = does not matter), the weekdays (1
Monday, 2 Tuesday, 4 Wednesday ... 64 Sunday, added up), the target cadence in steps a minute (0 = any), minutes of
warm-up, and 1 if a cool-down is wanted.

Cues, patterns of steplog.PATTERNS:

    goal        once a day: minutes and steps of the day are reached
    progress    a quarter, a half, three quarters of the way there; `quarters` says which
    cool_down   ten seconds later, or at the next step after that
    warm_up     once a session: walking backward began before the wearer had walked for the minutes of warm-up
    slow_down   the last eight steps were 15 % quicker than the target, at most every 30 s

A session ends with ten minutes without a step. A backward step lasts from the step before it, if that is at most 3 s
earlier. Nothing is felt on other weekdays.

Today ends at local midnight, as far as the clock is set; what was walked before it was set belongs to the day that it
then shows, and while it is not, to the time since the start. Progress is kept in a file, written after every minute
walked backward and at the goal: a restart costs less than a minute of it. What was walked is
recorded by the log, not by this.
"""

import json

from journal import write_atomically
from micropython import const

from firmware.gait import BACKWARD

PATH = "/plan.today"
# What each of the numbers may be.
_MOST = (180, 20_000, 127, 200, 30, 1)

_BOUT_GAP_MS = const(3_000)
_SESSION_PAUSE_MS = const(600_000)
_SAVE_MS = const(60_000)
_COOL_DOWN_AFTER_MS = const(10_000)
_SLOW_DOWN_PAUSE_MS = const(30_000)
_TOO_QUICK_PERCENT = const(115)
_CADENCE_STEPS = const(8)
_QUARTERS = const(4)
# Fewer backward steps in a row may be a mistake.
_RUN_STEPS = const(6)
_NEVER_MS = const(-1_000_000)


def fits(values):
    """Whether the setting "plan" may have that value (null, no plan, is not asked here)."""
    if not isinstance(values, list) or len(values) != len(_MOST):
        return False
    for value, most in zip(values, _MOST):
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            return False
    return values[0] + values[1] > 0


class Plan:
    """settings: has "plan", "placement" and "utc_offset_min"; clock: has utc_ms(), None while it is not set."""

    def __init__(self, settings, clock, path=PATH):
        self._settings = settings
        self._clock = clock
        self._path = path
        minutes, self._steps, self._weekdays, self._cadence, warm_up, self._cool_down = settings["plan"]
        self._goal_ms = minutes * 60_000
        self._warm_up_ms = warm_up * 60_000
        # One shoe's stride is two steps.
        self._steps_each = 2 if settings["placement"] == "shoe" else 1
        self._day = None
        self.backward_ms = self.backward_steps = 0
        self.reached = False
        self.quarters = 0
        self._unsaved_ms = 0
        self._last_ms = _NEVER_MS
        self._walked_ms = 0
        self._warned = False
        self._run_steps = self._run_ms = 0
        self._slowed_ms = _NEVER_MS
        self._cool_down_ms = None
        self._kept = self._load()
        self._look_at_clock()

    def take_step(self, at_ms, direction):
        """A step settled: uptime of its contact. Returns the name of a pattern, or None."""
        self._look_at_clock()
        gap_ms = at_ms - self._last_ms
        self._last_ms = at_ms
        if gap_ms > _SESSION_PAUSE_MS:
            self._walked_ms = 0
            self._warned = False
        if gap_ms > _BOUT_GAP_MS:
            gap_ms = self._run_steps = self._run_ms = 0
        name = None
        if direction == BACKWARD:
            name = self._step_back(at_ms, gap_ms)
        else:
            self._run_steps = self._run_ms = 0
        self._walked_ms += gap_ms
        if name is None and self._cool_down_ms is not None and at_ms >= self._cool_down_ms:
            self._cool_down_ms = None
            name = "cool_down"
        return name if self._is_planned() else None

    def _step_back(self, at_ms, gap_ms):
        self.backward_ms += gap_ms
        self.backward_steps += self._steps_each
        self._unsaved_ms += gap_ms
        self._run_steps += 1
        # The latest steps weigh as much as eight.
        if self._run_steps > _CADENCE_STEPS + 1:
            self._run_ms -= self._run_ms // _CADENCE_STEPS
        self._run_ms += gap_ms
        if self._unsaved_ms >= _SAVE_MS:
            self._save()
        if (
            not self.reached
            and self.backward_ms >= self._goal_ms
            and self.backward_steps >= self._steps
            and self._is_planned()
        ):
            self.reached = True
            self._save()
            if self._cool_down:
                self._cool_down_ms = at_ms + _COOL_DOWN_AFTER_MS
            return "goal"
        if self._run_steps == _RUN_STEPS and not self._warned and not self.reached:
            self._warned = True
            if self._walked_ms < self._warm_up_ms:
                return "warm_up"
        quarters = self._quarters()
        if quarters > self.quarters and not self.reached:
            self.quarters = quarters
            return "progress"
        if self._too_quick() and at_ms - self._slowed_ms >= _SLOW_DOWN_PAUSE_MS:
            self._slowed_ms = at_ms
            return "slow_down"
        return None

    def _quarters(self):
        """How many quarters of minutes and of steps are both done, at most the four of the goal."""
        quarters = _QUARTERS
        if self._goal_ms:
            quarters = min(quarters, self.backward_ms * _QUARTERS // self._goal_ms)
        if self._steps:
            quarters = min(quarters, self.backward_steps * _QUARTERS // self._steps)
        return quarters

    def _too_quick(self):
        if not self._cadence or self._run_steps <= _CADENCE_STEPS or not self._run_ms:
            return False
        cadence = 60_000 * _CADENCE_STEPS * self._steps_each // self._run_ms
        return cadence * 100 > self._cadence * _TOO_QUICK_PERCENT

    def _is_planned(self):
        """Whether today is one of the plan's weekdays; a day that is not known is."""
        # Day 0, the 1st of January 1970, was a Thursday.
        return self._day is None or self._weekdays >> (self._day + 3) % 7 & 1 == 1

    def _look_at_clock(self):
        """Turn to a new day if there is one."""
        utc_ms = self._clock.utc_ms()
        if utc_ms is None:
            return
        day = (utc_ms // 60_000 + self._settings["utc_offset_min"]) // 1440
        if day == self._day:
            return
        if self._day is not None:
            self.backward_ms = self.backward_steps = 0
            self.reached = False
            self.quarters = 0
            self._cool_down_ms = None
        elif self._kept[0] == day:
            self.backward_ms += self._kept[1]
            self.backward_steps += self._kept[2]
            self.reached = self.reached or self._kept[3]
            self.quarters = self._quarters()
        self._day = day

    def _load(self):
        """[day, ms, steps, whether the goal was reached] as they were kept."""
        try:
            with open(self._path) as file:
                day, backward_ms, steps, reached = json.load(file)
            return int(day), int(backward_ms), int(steps), bool(reached)
        except OSError:
            pass  # the first day of a plan
        except (ValueError, TypeError) as error:
            print("plan: %s can't be read (%s): today begins anew" % (self._path, error))
        return -1, 0, 0, False

    def _save(self):
        if self._day is None:
            # Of which day it is nobody knows: the log has it.
            return
        self._unsaved_ms = 0
        today = (self._day, self.backward_ms, self.backward_steps, self.reached)
        try:
            write_atomically(self._path, json.dumps(today).encode())
        except OSError as error:
            print("plan: today's progress was not saved:", error)
