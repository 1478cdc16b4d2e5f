"""What is told over MQTT: topics, payloads and Home Assistant's discovery. docs/mqtt.md shows each.

A device with Wi-Fi (publish.py) and the host's `retrostep mqtt` make their messages here, from the same records of
the step log. A message is (topic, payload, retain): text, JSON text, bool. What comes from a record carries an id
made of device, log and sequence number: whoever sees an id twice has seen the same thing twice.

Nothing here knows a socket or a clock: dates come in as functions.
"""

import json

from firmware import steplog
from firmware.charge import charge_percent

ONLINE, OFFLINE = "online", "offline"
_DAY_MS = 86_400_000
_DISCOVERY = "homeassistant/%s/retrostep_%s/%s/config"
_TEST, _BATTERY, _FIRMWARE = "test3m", "battery", "firmware"
_RECORDS_TOLD = (steplog.BOOT, steplog.EVENT, steplog.BATTERY, steplog.WALK_TEST)
# object, name, topic, value, and what Home Assistant makes of it.
_COUNT = {"state_class": "total_increasing", "unit_of_measurement": "steps", "icon": "mdi:shoe-print"}
_SENSORS = (
    ("backward", "Steps backward today", "day", "backward", _COUNT),
    ("forward", "Steps forward today", "day", "forward", _COUNT),
    ("sideways", "Steps sideways today", "day", "sideways", _COUNT),
    ("unknown", "Steps of unknown direction today", "day", "unknown", _COUNT),
    (
        "backward_time",
        "Walked backward today",
        "day",
        "backward_s",
        {"device_class": "duration", "state_class": "total_increasing", "unit_of_measurement": "s"},
    ),
    (
        "bout",
        "Last bout",
        "bout",
        "steps",
        {"state_class": "measurement", "unit_of_measurement": "steps", "icon": "mdi:walk"},
    ),
    ("bout_end", "Last bout ended", "bout", "utc", {"device_class": "timestamp"}),
    (
        "test3m",
        "3-metre backward walk",
        _TEST,
        "walk_s",
        {"device_class": "duration", "state_class": "measurement", "unit_of_measurement": "s"},
    ),
    (
        "battery",
        "Battery",
        _BATTERY,
        "percent",
        {
            "device_class": "battery",
            "state_class": "measurement",
            "unit_of_measurement": "%",
            "entity_category": "diagnostic",
        },
    ),
    (
        "voltage",
        "Battery voltage",
        _BATTERY,
        "battery_mv",
        {
            "device_class": "voltage",
            "state_class": "measurement",
            "unit_of_measurement": "mV",
            "entity_category": "diagnostic",
        },
    ),
    ("firmware", "Firmware", _FIRMWARE, "firmware", {"entity_category": "diagnostic"}),
)


def topic(device_id, name):
    """The topic of one of: availability, day, bout, test3m, event, battery, firmware."""
    return "retrostep/%s/%s" % (device_id, name)


def day_text(day):
    """ "YYYY-MM-DD" of a number of days since 1970-01-01 (Gregorian; for years from 1970 on)."""
    # Years begin in March here, so that the leap day is the last.
    day += 719_468
    era, day = divmod(day, 146_097)
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    month = month + 3 if month < 10 else month - 9
    return "%04d-%02d-%02d" % (era * 400 + year + (month <= 2), month, day + 1)


def utc_text(utc_ms):
    """ISO 8601 with seconds of UTC in ms since 1970; None stays None."""
    if utc_ms is None:
        return None
    day, ms = divmod(utc_ms, _DAY_MS)
    seconds = ms // 1000
    return "%sT%02d:%02d:%02dZ" % (day_text(day), seconds // 3600, seconds // 60 % 60, seconds % 60)


def fixed_days(utc_offset_min):
    """The `day_of` of Digest for a zone that is always `utc_offset_min` ahead of UTC."""
    offset_ms = utc_offset_min * 60_000

    def day_of(utc_ms):
        day = (utc_ms + offset_ms) // _DAY_MS
        begin_ms = day * _DAY_MS - offset_ms
        return day_text(day), begin_ms, begin_ms + _DAY_MS

    return day_of


def discovery(device_id, board, firmware):
    """Yield the messages by which Home Assistant learns of the device and its entities.

    No sensor has an availability topic: the radio is off nearly always, and what was told last is still true.
    """
    device = {
        "identifiers": ["retrostep_" + device_id],
        "name": "Retrostep " + device_id[-6:],
        "manufacturer": "Retrostep",
        "model": board,
        "sw_version": firmware,
    }

    def config(component, key, name, about, more):
        entity = {"name": name, "unique_id": "retrostep_%s_%s" % (device_id, key), "device": device}
        entity["state_topic"] = topic(device_id, about)
        entity.update(more)
        return _DISCOVERY % (component, device_id, key), json.dumps(entity), True

    for key, name, about, value, kind in _SENSORS:
        more = dict(kind)
        more["value_template"] = "{{ value_json.%s }}" % value
        more["json_attributes_topic"] = topic(device_id, about)
        yield config("sensor", key, name, about, more)
    yield config("event", "event", "Gait event", "event", {"event_types": list(steplog.EVENTS)})
    link = {"device_class": "connectivity", "entity_category": "diagnostic"}
    link["payload_on"], link["payload_off"] = ONLINE, OFFLINE
    yield config("binary_sensor", "link", "Publishing", "availability", link)


class Digest:
    """Turns the records of one log, taken in order, into messages, and adds up days.

    utc_of(boot_tag, sequence, uptime_ms): UTC ms or None where no clock dates it: such steps count on no day.
    day_of(utc_ms): (name of the local day, its begin and its end in UTC ms).
    state: what state() gave before, to go on from there. Of another log, only its day goes on; None: nothing does.
    """

    def __init__(self, device_id, log_id, utc_of, day_of, state=None):
        self._device_id = device_id
        self._log_id = log_id
        self._utc_of = utc_of
        self._day_of = day_of
        if not state:
            state = {"log": None, "day": None, "counts": [0] * len(steplog.DIRECTIONS), "backward_ms": 0}
        self.next_sequence = state["next"] if state["log"] == log_id else 0
        self._day = state["day"]
        self._counts = list(state["counts"])
        self._backward_ms = state["backward_ms"]
        self._begin_ms = self._end_ms = 0
        # What is taken now is of a day before `_day`, which is over.
        self._past = False

    def state(self):
        """What has to be kept for the next time, as JSON can hold it; true between two records."""
        return {
            "log": self._log_id,
            "next": self.next_sequence,
            "day": self._day,
            "counts": list(self._counts),
            "backward_ms": self._backward_ms,
        }

    def take(self, sequence, kind, payload):
        """Yield the messages of one record; whoever stops early takes up from an earlier state().

        A record that can't be read is passed over.
        """
        try:
            if kind == steplog.STEPS:
                for message in self._steps(sequence, payload):
                    yield message
            elif kind in _RECORDS_TOLD:
                yield self._told(sequence, kind, payload)
        except steplog.UNPACK_ERRORS as unreadable:
            print("mqtt: record %d can't be read: %s" % (sequence, unreadable))
        self.next_sequence = sequence + 1

    def today(self):
        """Yield the message with the totals of the last day that steps were counted on, if there is one."""
        if self._day is not None:
            yield self._day_message(self.next_sequence - 1)

    def _id(self, sequence):
        return "%s-%08x-%d" % (self._device_id, self._log_id, sequence)

    def _message(self, name, content, retain=True):
        return topic(self._device_id, name), json.dumps(content), retain

    def _day_message(self, sequence):
        content = dict(zip(steplog.DIRECTIONS, self._counts))
        content["id"] = "%s-%s" % (self._id(sequence), self._day)
        content["day"] = self._day
        content["backward_s"] = self._backward_ms // 1000
        return self._message("day", content)

    def _turn_day(self, sequence, utc_ms):
        """Be at the day of `utc_ms`; the message of the day that is over by that, or None."""
        day, self._begin_ms, self._end_ms = self._day_of(utc_ms)
        # A clock that was set back, or an older log, does not open a day again, nor count on a later one.
        self._past = self._day is not None and day < self._day
        if self._past or day == self._day:
            return None
        over = None if self._day is None else self._day_message(sequence)
        self._day = day
        self._counts = [0] * len(steplog.DIRECTIONS)
        self._backward_ms = 0
        return over

    def _steps(self, sequence, payload):
        base_ms = first_cs = None
        number = 0
        for kind, at_cs, value, steps, duration in steplog.scan_steps(payload):
            if first_cs is None:
                first_cs = at_cs
                base_ms = self._utc_of(steplog.boot_tag_of(payload), sequence, at_cs * 10)
            utc_ms = None if base_ms is None else base_ms + (at_cs - first_cs) * 10
            if kind == "cue":
                continue
            if utc_ms is not None and not self._begin_ms <= utc_ms < self._end_ms:
                over = self._turn_day(sequence, utc_ms)
                if over:
                    yield over
            direction = value & 3
            if kind == "step":
                if utc_ms is not None and not self._past:
                    self._counts[direction] += 1
                continue
            if utc_ms is not None and not self._past and steplog.DIRECTIONS[direction] == "backward":
                self._backward_ms += duration * 100
            number += 1
            yield self._message(
                "bout",
                {
                    "id": "%s-%d" % (self._id(sequence), number),
                    "utc": utc_text(utc_ms),
                    "direction": steplog.DIRECTIONS[direction],
                    "steps": steps,
                    "duration_s": duration / 10,
                    "cadence_per_min": (steps - 1) * 600 // duration if duration and steps else None,
                },
            )

    def _told(self, sequence, kind, payload):
        # Loaded only where there is something to tell.
        from firmware.steplog_decoder import decode

        record = decode(kind, payload)
        content = {"id": self._id(sequence)}
        if kind == steplog.BOOT:
            for key in ("firmware", "model", "board", "placement"):
                content[key] = record[key]
            return self._message(_FIRMWARE, content)
        content["utc"] = utc_text(self._utc_of(record["boot_tag"], sequence, record["uptime_ms"]))
        if kind == steplog.EVENT:
            content["event_type"] = record["event"]
            content["strength"] = record["strength"]
            return self._message("event", content, False)
        if kind == steplog.BATTERY:
            content["battery_mv"] = record["battery_mv"]
            content["percent"] = charge_percent(record["battery_mv"])
            return self._message(_BATTERY, content)
        for key in ("outcome", "direction", "steps", "stability"):
            content[key] = record[key]
        for key, ms in (("reaction_s", record["reaction_ms"]), ("walk_s", record["walk_ms"])):
            content[key] = None if ms is None else ms / 1000
        return self._message(_TEST, content)
