"""Publishes a database's records over MQTT, as a device with Wi-Fi publishes its own (firmware/mqtt_payloads.py).

What was taken by the broker is remembered in a file beside the database, so each run goes on where the last one got
to. Should a run die between the broker's word and the file, the same messages go out again, with the same ids.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from retrostep.broker import Broker, BrokerSettings
from retrostep.history import StoredRecords, Timeline
from retrostep.periods import Calendar
from retrostep.store import Store
from retrostep.wearers import wearers

from firmware import mqtt_payloads  # isort: skip

# Sent together, and then the place is noted.
PORTION_MESSAGES = 64
_DAY_MS = 86_400_000

Message = tuple[str, str, bool]


class Progress:
    """How far each device's records have been published: the file beside the database."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".mqtt.json")
        self._known: dict[str, dict[str, Any]] = {}
        if self._path.exists():
            try:
                found = json.loads(self._path.read_text())
            except ValueError:
                found = None
            # Damaged: everything goes out again, under the ids that it had.
            self._known = found if isinstance(found, dict) else {}

    def of(self, device_id: str, log_id: int) -> dict[str, Any] | None:
        """The state to go on from."""
        state = self._known.get(device_id)
        if state is None:
            return None
        return {**state, "log": log_id, "next": state["logs"].get(str(log_id), 0)}

    def note(self, device_id: str, state: dict[str, Any]) -> None:
        """Keep a Digest's state, at once."""
        logs = self._known.get(device_id, {"logs": {}})["logs"]
        kept = {name: value for name, value in state.items() if name not in ("log", "next")}
        self._known[device_id] = {**kept, "logs": {**logs, str(state["log"]): state["next"]}}
        new = self._path.with_name(self._path.name + ".new")
        new.write_text(json.dumps(self._known))
        new.replace(self._path)


@dataclass(frozen=True)
class Published:
    """What one run published of a device."""

    device_id: str
    records: int
    messages: int


def _day_of(zone: tzinfo | None) -> Callable[[int], tuple[str, int, int]]:
    calendar = Calendar(zone)

    def day_of(utc_ms: int) -> tuple[str, int, int]:
        day = calendar.day(utc_ms)
        following = calendar.midnight_utc_ms(day + timedelta(days=1))
        return day.isoformat(), calendar.midnight_utc_ms(day), following

    return day_of


def _digest(
    store: Store, log: dict[str, Any], zone: tzinfo | None, progress: Progress, now_utc_ms: int
) -> mqtt_payloads.Digest:
    timeline = Timeline(StoredRecords(store, log["id"]))
    day_of = _day_of(zone)
    latest_utc_ms = now_utc_ms + _DAY_MS

    def utc_of(boot_tag: int, sequence: int, uptime_ms: int) -> int | None:
        utc_ms = timeline.boot_of(boot_tag, sequence).utc_at(uptime_ms)
        # A clock that was wrong by years must not open a day that keeps all real ones closed.
        return None if utc_ms is None or utc_ms > latest_utc_ms else utc_ms

    state = progress.of(log["device_id"], log["log_id"])
    return mqtt_payloads.Digest(log["device_id"], log["log_id"], utc_of, day_of, state)


def zone_of(store: Store, device_id: str, now_utc_ms: int) -> tzinfo | None:
    """The stored time zone of who wears the device now; None: none is stored, this computer's."""
    for wearer in wearers(store):
        if wearer.zone and wearer.wore(device_id, now_utc_ms):
            return ZoneInfo(wearer.zone)
    return None


def _portions(
    store: Store, log: dict[str, Any], digest: mqtt_payloads.Digest
) -> Iterator[tuple[list[Message], int]]:
    """(messages, number of records) up to a place that can be noted."""
    waiting: list[Message] = []
    records = 0
    for sequence, kind, payload in StoredRecords(store, log["id"]).since(digest.next_sequence):
        waiting += digest.take(sequence, kind, payload)
        records += 1
        if len(waiting) >= PORTION_MESSAGES:
            yield waiting, records
            waiting, records = [], 0
    yield waiting, records


def publish_device(
    store: Store, device: dict[str, Any], settings: BrokerSettings, zone: tzinfo | None = None
) -> Published:
    """Publish what is new of one device (a row of Store.devices). zone: of its days, None: its wearer's.

    Raises BrokerError, StoreError.
    """
    device_id = device["id"]
    now_utc_ms = round(time.time() * 1000)
    zone = zone or zone_of(store, device_id, now_utc_ms)
    progress = Progress(store.path)
    records = messages = 0
    with Broker(
        settings, f"retrostep-host-{device_id}", mqtt_payloads.topic(device_id, "availability")
    ) as broker:
        broker.deliver(list(mqtt_payloads.discovery(device_id, device["board"], device["firmware"])))
        digest = None
        for log in (log for log in store.logs() if log["device_id"] == device_id):
            digest = _digest(store, log, zone, progress, now_utc_ms)
            for portion, count in _portions(store, log, digest):
                broker.deliver(portion)
                progress.note(device_id, digest.state())
                records += count
                messages += len(portion)
        if digest is not None:
            today = list(digest.today())
            broker.deliver(today)
            messages += len(today)
    return Published(device_id, records, messages)


def publish(store: Store, settings: BrokerSettings, zone: tzinfo | None = None) -> list[Published]:
    """Publish what is new of every device in the database."""
    return [publish_device(store, device, settings, zone) for device in store.devices()]
