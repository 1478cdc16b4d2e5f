"""A made-up wearer's year, as the raw log of the device they did not wear, and their training plan.

The records are written by the firmware's own encoder (firmware/steplog.py), so all that reads a device's log reads
these: tests, `make bench` and `retrostep db demo` use them. The wearer is one that a physiotherapist would know: they
begin with a few minutes backward and work up to 18, train on most days of their plan, mornings and some evenings,
with a cold, a holiday and lazy weeks; over the year their backward steps grow quicker and steadier, stumbles rarer.
On Saturdays they clip the sensor to the shoe, which tells sideways steps. One boot loses its clock.

Everything is drawn from one seed. No figure in it was measured on anybody: it shows the tool, never a result.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from retrostep.device_tree import use_device_code
from retrostep.history import Record
from retrostep.store import Store, StoreError
from retrostep.training_plan import TrainingPlan, weekdays_of
from retrostep.training_plan import keep as keep_plan
from retrostep.wearers import add_wearer, assign, find_wearer

use_device_code()

from firmware import steplog, steplog_decoder, walktest  # noqa: E402

FORWARD, BACKWARD, SIDEWAYS, UNKNOWN = range(4)
ZONE = "Europe/Berlin"
WEARER = "Robin (made up)"
DEVICE = {"device_id": "demo", "board": "xiao_esp32s3", "firmware": "0.1.0"}
# 52 weeks: the same weekdays again in the next "year".
YEAR_DAYS = 364
LAST_DAY = date(2026, 11, 15)

_WAIST, _SHOE = steplog.PLACEMENTS.index("waist"), steplog.PLACEMENTS.index("shoe")
_MODELS = {_WAIST: "physics-waist-1", _SHOE: "physics-shoe-1"}
_POWER, _DEEP_SLEEP = steplog.RESET_CAUSES.index("power"), steplog.RESET_CAUSES.index("deep sleep")
_UNSTABLE, _STUMBLE, _, _CHANGED_GAIT, _ = range(len(steplog.EVENTS))
# A 30 ppm crystal.
_DRIFT = 1 - 30e-6


class _Log:
    """Writes records as the device does: steps wait up to 30 s for a record."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._sequence = 0
        self._chunk = steplog.StepChunk(0, 0)
        self._tag = 0

    def add(self, kind: int, payload: bytes) -> None:
        self._sequence += 1
        self.records.append((self._sequence, kind, payload))

    def boot(self, cause: int, placement: int) -> None:
        self.flush()
        model = _MODELS[placement]
        self._tag = (self._sequence + 1) & 0xFFFF
        self._chunk = steplog.StepChunk(self._tag, steplog.model_tag(model))
        self.add(
            steplog.BOOT,
            steplog.encode_boot(cause, placement, 0, DEVICE["firmware"], model, DEVICE["board"]),
        )

    def flush(self) -> None:
        if not self._chunk.empty:
            self.add(steplog.STEPS, self._chunk.payload())
            self._chunk.clear()

    def step(self, at_ms: int, direction: int, confidence: int, stability: int | None) -> None:
        if not self._chunk.empty and (
            self._chunk.full or at_ms - self._chunk.first_ms > steplog.FLUSH_AFTER_MS
        ):
            self.flush()
        self._chunk.add_step(at_ms, direction, confidence, stability)

    def cue(self, at_ms: int, pattern: str) -> None:
        self._chunk.add_cue(at_ms, steplog.PATTERNS.index(pattern))

    def anchor(self, uptime_ms: int, utc_ms: int, source: int) -> None:
        self.add(steplog.ANCHOR, steplog.encode_anchor(self._tag, uptime_ms, utc_ms, 5, source))
        self.flush()

    def event(self, at_ms: int, kind: int, strength: int) -> None:
        self.add(steplog.EVENT, steplog.encode_event(self._tag, at_ms, kind, strength))

    def battery(self, at_ms: int, battery_mv: int) -> None:
        self.add(steplog.BATTERY, steplog.encode_battery(self._tag, at_ms, battery_mv))

    def walk_test(self, go_ms: int, reaction_ms: int, walk_ms: int, steps: int, stability: int) -> None:
        test = walktest.WalkTest("waist")
        test.outcome, test.direction, test.go_ms = walktest.DONE, BACKWARD, go_ms
        test.reaction_ms, test.walk_ms, test.steps, test.stability = reaction_ms, walk_ms, steps, stability
        self.add(steplog.WALK_TEST, test.encode(self._tag))

    def fault(self, at_ms: int, kind: int, count: int) -> None:
        self.add(steplog.FAULT, steplog.encode_fault(self._tag, at_ms, kind, count))


@dataclass(frozen=True)
class _Shape:
    """How the wearer is on a day. progress: 0 at the beginning of the year, 1 at its end."""

    progress: float
    back_minutes: float
    form: float

    def cadence(self, direction: int) -> float:
        if direction == BACKWARD:
            return 86 + 16 * self.progress + 3 * self.form
        return 60.0 if direction == SIDEWAYS else 106 + 2 * self.form

    def stability(self, direction: int) -> float:
        return 58 + 24 * self.progress + 5 * self.form if direction == BACKWARD else 86 + 2 * self.form


class _Wearer:
    """Walks through the days and leaves records behind."""

    def __init__(self, seed: int, first: date, days: int) -> None:
        self._dice = random.Random(seed)
        self._numbers = np.random.default_rng(seed)
        self._log = _Log()
        self._first = first
        self._days = days
        self._zone = ZoneInfo(ZONE)
        self._battery_mv = 4_150
        self._tested = 0
        self._away = self._weeks_away()

    def _weeks_away(self) -> set[int]:
        """Days of a cold in the first half and of a holiday in the second."""
        cold = self._dice.randrange(40, max(41, self._days // 2))
        holiday = self._dice.randrange(max(60, self._days // 2), max(61, self._days - 30))
        return {*range(cold, cold + 9), *range(holiday, holiday + 13)}

    def live(self) -> list[Record]:
        """The records of all days."""
        clock_lost_on = self._days * 2 // 3
        for day in range(self._days):
            on = self._first + timedelta(days=day)
            weekday = on.weekday()
            lazy = 0.25 if day // 7 % 9 == 5 else 0.0
            if day in self._away or self._dice.random() > (0.12 if weekday == 6 else 0.9 - lazy):
                continue
            shape = self._shape(day)
            placement = _SHOE if weekday == 5 else _WAIST
            evening = self._dice.random() < 0.3
            self._session(on, time(7, self._dice.randrange(60)), shape, placement, day >= clock_lost_on)
            if day >= clock_lost_on:
                clock_lost_on = self._days
            if evening:
                self._session(on, time(18, self._dice.randrange(60)), shape, placement, False)
        self._log.flush()
        return self._log.records

    def _shape(self, day: int) -> _Shape:
        week = day // 7
        minutes = min(4 + 0.55 * week, 18) * self._dice.uniform(0.75, 1.2)
        # The form of a day follows the form of its week.
        form = 0.5 * np.sin(week * 1.7) + self._dice.gauss(0, 0.6)
        progress = 1 - np.exp(-2.5 * day / YEAR_DAYS)
        return _Shape(float(progress), minutes, float(form))

    def _session(self, on: date, at: time, shape: _Shape, placement: int, clock_lost: bool) -> None:
        log, dice = self._log, self._dice
        begin_utc_ms = round(datetime.combine(on, at, self._zone).timestamp() * 1000)
        log.boot(_POWER if clock_lost else _DEEP_SLEEP, placement)
        if not clock_lost:
            log.anchor(0, begin_utc_ms - dice.randrange(3_000), steplog.SOURCE_DEVICE)
        self._battery_mv = 4_150 if self._battery_mv < 3_600 else self._battery_mv - dice.randrange(10, 40)
        now_ms = 20_000
        log.battery(now_ms, self._battery_mv)
        if dice.random() < 0.01:
            log.fault(now_ms, steplog.FAULT_OVERRUN, dice.randrange(5, 90))
        now_ms = self._walk(now_ms, FORWARD, 60 * dice.uniform(2, 5), shape, placement)
        if placement == _WAIST and on.toordinal() - self._tested > 12 and at.hour < 12:
            self._tested = on.toordinal()
            now_ms = self._walk_test(now_ms + 40_000, shape)
        left_s = 60 * shape.back_minutes * (0.5 if at.hour > 12 else 1)
        while left_s > 20:
            block_s = min(left_s, 60 * dice.uniform(0.6, 2 + 3 * shape.progress))
            now_ms = self._walk(now_ms, BACKWARD, block_s, shape, placement)
            left_s -= block_s
            if placement == _SHOE and dice.random() < 0.6:
                now_ms = self._walk(now_ms, SIDEWAYS, dice.uniform(15, 40), shape, placement)
            now_ms = self._walk(now_ms, FORWARD, dice.uniform(20, 90), shape, placement)
        now_ms = self._walk(now_ms, FORWARD, 60 * dice.uniform(1, 4), shape, placement)
        log.flush()
        if not clock_lost and dice.random() < 0.5:
            # Synced when back at home.
            now_ms += dice.randrange(30_000, 400_000)
            log.anchor(round(now_ms * _DRIFT), begin_utc_ms + now_ms, steplog.SOURCE_HOST)

    def _walk_test(self, go_ms: int, shape: _Shape) -> int:
        """A 3-metre test; returns when it was over."""
        walk_ms = round(1000 * (7.4 - 2.9 * shape.progress - 0.25 * shape.form + self._dice.gauss(0, 0.2)))
        reaction_ms, steps = (
            self._dice.randrange(250, 700),
            round(walk_ms / 1000 * shape.cadence(BACKWARD) / 60),
        )
        stability = round(shape.stability(BACKWARD))
        self._log.flush()
        self._log.walk_test(go_ms, reaction_ms, walk_ms, steps, stability)
        return go_ms + reaction_ms + walk_ms

    def _walk(self, begin_ms: int, direction: int, seconds: float, shape: _Shape, placement: int) -> int:
        """Steps of one direction, after a pause or a turn; returns when the last one was."""
        log, dice, numbers = self._log, self._dice, self._numbers
        begin_ms += dice.randrange(600, 900) if dice.random() < 0.4 else dice.randrange(3_500, 25_000)
        steps = max(4, round(seconds * shape.cadence(direction) / 60))
        intervals = numbers.normal(60_000 / shape.cadence(direction), 22, steps).clip(300, 1_500)
        times = (begin_ms + intervals.cumsum()).astype(np.int64)
        ways = np.full(steps, direction)
        # Turning round at both ends, and a few steps in between that the device could not tell.
        ways[: dice.randrange(3)] = UNKNOWN
        ways[steps - dice.randrange(3) :] = UNKNOWN
        ways[numbers.random(steps) < (0.012 if direction == FORWARD else 0.02)] = UNKNOWN
        sure = np.where(ways == UNKNOWN, 45, np.where(numbers.random(steps) < 0.9, 93, 79))
        scores = (shape.stability(direction) + numbers.normal(0, 7, steps)).clip(0, 100).astype(int)
        told = scores.tolist() if placement == _WAIST else [None] * steps
        each = zip(times.tolist(), ways.tolist(), sure.tolist(), told, strict=True)
        for number, (at_ms, way, confidence, score) in enumerate(each):
            log.step(at_ms, way, confidence, score)
            if direction == BACKWARD and number == 3:
                log.cue(at_ms, "backward_started")
        if placement == _WAIST:
            a_minute = (0.2 * (1 - shape.progress) + 0.015) if direction == BACKWARD else 0.004
            for _ in range(int(numbers.poisson(a_minute * seconds / 60))):
                kind = _STUMBLE if dice.random() < 0.2 else _UNSTABLE
                log.event(int(times[dice.randrange(steps)]), kind, dice.randrange(40, 95))
            if dice.random() < 0.002:
                log.event(int(times[-1]), _CHANGED_GAIT, dice.randrange(40, 80))
        return int(times[-1])


def year_of_records(seed: int = 7, last: date = LAST_DAY) -> list[Record]:
    """The log (sequence, kind, payload) of a device that the made-up wearer wore for a year up to the day `last`."""
    return _Wearer(seed, last - timedelta(days=YEAR_DAYS - 1), YEAR_DAYS).live()


def later(records: list[Record], days: int) -> Iterator[Record]:
    """The same log so many days later: uptimes stay, the anchors move."""
    for sequence, kind, payload in records:
        yield sequence, kind, _moved(payload, days) if kind == steplog.ANCHOR else payload


def _moved(payload: bytes, days: int) -> bytes:
    anchor = steplog_decoder.decode(steplog.ANCHOR, payload)
    return steplog.encode_anchor(
        anchor["boot_tag"],
        anchor["uptime_ms"],
        anchor["utc_ms"] + days * 86_400_000,
        anchor["uncertainty_ms"],
        steplog.SOURCES.index(anchor["source"]),
    )


def fill(
    store: Store, years: int = 1, seed: int = 7, last: date = LAST_DAY, now_utc_ms: int | None = None
) -> int:
    """Put the made-up wearer into an empty database, up to the day `last`; returns the number of records.

    The last sync was on the evening of that day, but not after `now_utc_ms`.
    Each year is a log of its own, as after erasing the device; all years are the last one again. Raises StoreError if
    the database is not empty.
    """
    if store.devices():
        raise StoreError(f"{store.path} is not empty: name a new file for the made-up wearer")
    records = year_of_records(seed, last)
    added = 0
    for year in range(years):
        log, _ = store.open_log({**DEVICE, "log_id": seed * 100 + year})
        shift = (year - years + 1) * YEAR_DAYS
        added += store.add_batch(log, later(records, shift), records[-1][0] + 1)
    synced_utc_ms = round(datetime.combine(last, time(21), ZoneInfo(ZONE)).timestamp() * 1000)
    store.note_sync(DEVICE["device_id"], min(synced_utc_ms, now_utc_ms or synced_utc_ms))
    add_wearer(store, WEARER, ZONE)
    assign(store, WEARER, DEVICE["device_id"])
    first = last - timedelta(days=years * YEAR_DAYS - 1)
    # A little less than what they like to walk, six days a week.
    plan = TrainingPlan(first, 4, 14, 26, 0, weekdays_of("6"), 0, 3, True)
    keep_plan(store, find_wearer(store, WEARER), plan)
    return added
