"""How long a charge lasts: currents of the parts, and how long the firmware says each state lasted.

Currents are published ones, lowest to highest; nothing here was measured on a device of ours. Sources: Espressif's
ESP32-S3 data sheet and measurements of ESP32-S3 modules by others (awake without radio, light and deep sleep), ST's
LSM6DSOX data sheet (both sensors, high performance), TI's and motor makers' data sheets (DRV2605L with an ERM).
The estimate is for an ESP32-S3 with an LSM6DSOX, the build that docs/build.md describes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from retrostep.device_tree import use_device_code
from retrostep.history import StoredRecords, Timeline
from retrostep.store import Store

use_device_code()

from firmware import steplog, steplog_decoder  # noqa: E402


@dataclass(frozen=True)
class Range:
    """The least and the most."""

    low: float
    high: float

    def __mul__(self, factor: float) -> Range:
        return Range(self.low * factor, self.high * factor)

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.high + other.high)


AWAKE_MA = Range(20.0, 33.0)
"""At 80 MHz. Others measured 31.7 to 33 mA on modules that idle at 160 MHz."""
LIGHT_SLEEP_MA = Range(0.24, 0.8)
DEEP_SLEEP_MA = Range(0.008, 0.010)
RADIO_MA = Range(40.0, 100.0)
MOTOR_MA = Range(60.0, 80.0)
SENSOR_MA = Range(0.55, 0.55)
BOARD_MA = Range(0.02, 0.1)
"""Regulator, and the divider in front of the converter."""

CAPACITY_MAH = 500.0

# What keeps the CPU awake for a block of samples, at 80 MHz.
_SAMPLES_A_SECOND = 104.0
_BITS_A_SAMPLE = 2 * 7 * 9 + 4
_BUS_HZ = 400_000
_GAIT_SHARE = Range(0.015, 0.03)
_WAKE_S = Range(0.002, 0.005)


@dataclass(frozen=True)
class Residency:
    """Seconds spent in each state. Awake and light sleep: without a radio. motor_s is part of awake_s."""

    awake_s: float = 0.0
    light_sleep_s: float = 0.0
    deep_sleep_s: float = 0.0
    radio_s: float = 0.0
    motor_s: float = 0.0

    @property
    def total_s(self) -> float:
        """The time that all of it took."""
        return self.awake_s + self.light_sleep_s + self.deep_sleep_s + self.radio_s

    def __add__(self, other: Residency) -> Residency:
        return Residency(
            *(getattr(self, field.name) + getattr(other, field.name) for field in fields(Residency))
        )


def charge_mah(spent: Residency) -> Range:
    """What these states take out of the battery."""
    total = (
        AWAKE_MA * spent.awake_s + LIGHT_SLEEP_MA * spent.light_sleep_s + DEEP_SLEEP_MA * spent.deep_sleep_s
    )
    total = total + RADIO_MA * spent.radio_s + MOTOR_MA * spent.motor_s
    return (total + (SENSOR_MA + BOARD_MA) * spent.total_s) * (1 / 3600)


def hours_per_charge(spent: Residency, capacity_mah: float = CAPACITY_MAH) -> Range:
    """How long a full battery lasts if it goes on like that."""
    took = charge_mah(spent) * (3600 / spent.total_s)
    return Range(capacity_mah / took.high, capacity_mah / took.low)


def awake_share(blocks_a_second: float) -> Range:
    """Which part of the time the CPU is awake for samples: bus transfers, gait code, waking up."""
    bus = _SAMPLES_A_SECOND * _BITS_A_SAMPLE / _BUS_HZ
    return _GAIT_SHARE + _WAKE_S * blocks_a_second + Range(bus, bus)


@dataclass(frozen=True)
class DayPart:
    """A state of the profile's day: how long, and what it takes."""

    name: str
    hours: float
    mah: Range


def profile_day(
    worn_h: float = 14.0, walking_h: float = 2.0, syncs: int = 3, sync_s: float = 60.0, cues: int = 100
) -> list[DayPart]:
    """The day of somebody who wears it so long and walks so long of that; the rest of the day it lies still."""
    sync_h = syncs * sync_s / 3600
    cue_s = 0.6
    parts = []
    for name, hours, blocks_a_second in (
        ("walking", walking_h, 4.0),
        ("worn, not walking", worn_h - walking_h - sync_h, 1.0),
    ):
        share = awake_share(blocks_a_second)
        asleep = Residency(light_sleep_s=3600.0 * hours)
        awake = replace(asleep, awake_s=asleep.light_sleep_s, light_sleep_s=0.0)
        parts.append(DayPart(name, hours, _mixed(charge_mah(asleep), charge_mah(awake), share)))
    parts.append(
        DayPart("lying still", 24 - worn_h, charge_mah(Residency(deep_sleep_s=3600.0 * (24 - worn_h))))
    )
    parts.append(DayPart("radio", sync_h, charge_mah(Residency(radio_s=3600 * sync_h))))
    parts.append(DayPart("motor", cues * cue_s / 3600, MOTOR_MA * (cues * cue_s / 3600)))
    return parts


def _mixed(asleep: Range, awake: Range, share: Range) -> Range:
    return Range(
        asleep.low * (1 - share.low) + awake.low * share.low,
        asleep.high * (1 - share.high) + awake.high * share.high,
    )


def days_of_life(parts: list[DayPart], capacity_mah: float = CAPACITY_MAH) -> Range:
    """How many such days a full battery lasts."""
    low, high = sum(part.mah.low for part in parts), sum(part.mah.high for part in parts)
    return Range(capacity_mah / high, capacity_mah / low)


def residency_of_status(status: dict[str, Any]) -> Residency | None:
    """What a device has spent since its start, from its status; None: it does not say."""
    if "light_sleep_s" not in status or not status.get("uptime_s"):
        return None
    asleep, radio = status["light_sleep_s"], status.get("radio_s", 0)
    awake = max(status["uptime_s"] - asleep - radio, 0)
    return Residency(awake, asleep, 0.0, radio, status.get("motor_ms", 0) / 1000)


def residency_of_log(store: Store, device_id: str) -> Residency | None:
    """What a device has spent as far as its synced log tells: whole boots, and deep sleep between dated ones.

    None: no record counts anything, as in a log that was made up.
    """
    total = Residency()
    for log in store.logs():
        if log["device_id"] != device_id:
            continue
        records = StoredRecords(store, log["id"])
        timeline = Timeline(records)
        latest = _last_spent(records, timeline)
        for boot, following in zip(timeline.boots, [*timeline.boots[1:], None], strict=True):
            found = latest.get(id(boot))
            if found is None:
                continue
            uptime_s, asleep, radio, motor = found
            slept = 0.0
            if following is not None and following.cause == "deep sleep":
                ended, began = boot.utc_at(boot.last_uptime_ms), following.utc_at(0)
                if ended is not None and began is not None and began > ended:
                    slept = (began - ended) / 1000
            total += Residency(max(uptime_s - asleep - radio, 0), asleep, slept, radio, motor)
    return total if total.light_sleep_s or total.radio_s or total.motor_s else None


def _last_spent(records: StoredRecords, timeline: Timeline) -> dict[int, tuple[float, float, float, float]]:
    """By boot (its id()): uptime, light sleep, radio, motor in s, as its last BATTERY record tells."""
    found = {}
    for sequence, kind, payload in records.landmarks():
        if kind != steplog.BATTERY:
            continue
        try:
            record = steplog_decoder.decode(kind, payload)
        except (steplog_decoder.RecordUnreadable, *steplog.UNPACK_ERRORS):
            continue
        if "light_sleep_s" in record:
            boot = timeline.boot_of(record["boot_tag"], sequence)
            spent = record["light_sleep_s"], record["radio_s"], record["motor_ms"] / 1000
            found[id(boot)] = (record["uptime_ms"] / 1000, *spent)
    return found
