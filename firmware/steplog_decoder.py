"""Reads the step log's records (steplog.py defines them). For the host; the app never loads it."""

import struct

from firmware import walktest
from firmware.steplog import (
    ANCHOR,
    ANCHOR_LAYOUT,
    BATTERY,
    BATTERY_LAYOUT,
    BOOT,
    BOOT_LAYOUT,
    CRASH,
    CRASH_LAYOUT,
    DIRECTIONS,
    EVENT,
    EVENT_LAYOUT,
    EVENTS,
    FAULT,
    FAULT_LAYOUT,
    FAULTS,
    FORMAT_VERSION,
    GAP,
    GAP_LAYOUT,
    PATTERNS,
    PLACEMENTS,
    RESET_CAUSES,
    SOURCES,
    SPENT_LAYOUT,
    STABILITY_NONE_LEVEL,
    STEPS,
    STEPS_HEADER,
    UNPACK_ERRORS,
    WALK_TEST,
    scan_steps,
)


class RecordUnreadable(ValueError):
    """A record's payload does not fit its type, or its type is not known here."""


def _score(level):
    return None if level == STABILITY_NONE_LEVEL else level * 100 / 6


def _name(names, index):
    """A later version may know more names than this one."""
    return names[index] if index < len(names) else "number %d" % index


def _decode_boot(payload):
    version, cause, placement, uptime_ms = struct.unpack_from(BOOT_LAYOUT, payload)
    if not 1 <= version <= FORMAT_VERSION:
        raise ValueError("log format %d, known are 1 to %d: update retrostep" % (version, FORMAT_VERSION))
    texts, at = [], 7
    for _ in range(3):
        length = payload[at]
        text = payload[at + 1 : at + 1 + length]
        if len(text) < length:
            raise ValueError("a text is cut off")
        texts.append(bytes(text).decode())
        at += 1 + length
    return {
        "kind": "boot",
        "version": version,
        "cause": _name(RESET_CAUSES, cause),
        "placement": _name(PLACEMENTS, placement),
        "uptime_ms": uptime_ms,
        "firmware": texts[0],
        "model": texts[1],
        "board": texts[2],
    }


def _decode_steps(payload):
    boot_tag, _, tag = struct.unpack_from(STEPS_HEADER, payload)
    steps, bouts, cues = [], [], []
    for item, at_cs, value, count, duration in scan_steps(payload):
        uptime_ms = at_cs * 10
        if item == "step":
            steps.append(
                {
                    "uptime_ms": uptime_ms,
                    "direction": DIRECTIONS[value & 3],
                    "confidence": (value >> 2 & 7) / 7,
                    "stability": _score(value >> 5),
                }
            )
        elif item == "bout":
            bouts.append(
                {
                    "end_ms": uptime_ms,
                    "direction": DIRECTIONS[value & 3],
                    "stability": _score(value >> 5),
                    "steps": count,
                    "duration_ms": duration * 100,
                }
            )
        else:
            cues.append({"uptime_ms": uptime_ms, "pattern": _name(PATTERNS, value)})
    return {
        "kind": "steps",
        "boot_tag": boot_tag,
        "model_tag": tag,
        "steps": steps,
        "bouts": bouts,
        "cues": cues,
    }


def _decode_anchor(payload):
    boot_tag, up_low, up_high, utc_low, utc_high, uncertainty, source = struct.unpack_from(
        ANCHOR_LAYOUT, payload
    )
    return {
        "kind": "anchor",
        "boot_tag": boot_tag,
        "uptime_ms": up_high << 32 | up_low,
        "utc_ms": utc_high << 32 | utc_low,
        "uncertainty_ms": uncertainty,
        "source": _name(SOURCES, source),
    }


def _decode_fault(payload):
    boot_tag, at_cs, kind, count = struct.unpack_from(FAULT_LAYOUT, payload)
    return {
        "kind": "fault",
        "boot_tag": boot_tag,
        "uptime_ms": at_cs * 10,
        "fault": _name(FAULTS, kind),
        "count": count,
    }


def _decode_event(payload):
    boot_tag, at_cs, kind, strength = struct.unpack_from(EVENT_LAYOUT, payload)
    return {
        "kind": "event",
        "boot_tag": boot_tag,
        "uptime_ms": at_cs * 10,
        "event": _name(EVENTS, kind),
        "strength": strength,
    }


def _decode_battery(payload):
    boot_tag, at_cs, battery_mv = struct.unpack_from(BATTERY_LAYOUT, payload)
    found = {"kind": "battery", "boot_tag": boot_tag, "uptime_ms": at_cs * 10, "battery_mv": battery_mv}
    at = struct.calcsize(BATTERY_LAYOUT)
    if len(payload) >= at + struct.calcsize(SPENT_LAYOUT):
        spent = struct.unpack_from(SPENT_LAYOUT, payload, at)
        found["light_sleep_s"], found["radio_s"], found["motor_ms"] = spent
    return found


def _decode_gap(payload):
    values = struct.unpack_from(GAP_LAYOUT, payload)
    return {
        "kind": "gap",
        "boot_tag": values[0],
        "uptime_ms": values[1] * 10,
        "first_lost": values[2],
        "last_lost": values[3],
        "steps": values[4],
        "first_step": (values[5], values[6] * 10),
        "last_step": (values[7], values[8] * 10),
    }


def _decode_crash(payload):
    boot_tag, at_cs, count = struct.unpack_from(CRASH_LAYOUT, payload)
    text = bytes(payload[struct.calcsize(CRASH_LAYOUT) :]).decode("utf-8", "replace")
    return {"kind": "crash", "boot_tag": boot_tag, "uptime_ms": at_cs * 10, "count": count, "traceback": text}


def _decode_walk_test(payload):
    boot_tag, at_cs, outcome, direction, reaction_ms, walk_ms, steps, stability = struct.unpack_from(
        walktest.RECORD_LAYOUT, payload
    )
    timed = walk_ms != walktest.NO_TIME_MS
    return {
        "kind": "walk_test",
        "boot_tag": boot_tag,
        "uptime_ms": at_cs * 10,
        "outcome": _name(walktest.OUTCOMES, outcome),
        "direction": _name(DIRECTIONS, direction),
        "reaction_ms": reaction_ms if timed else None,
        "walk_ms": walk_ms if timed else None,
        "steps": steps,
        "stability": None if stability == walktest.NO_STABILITY else stability,
    }


_DECODERS = {
    BOOT: _decode_boot,
    STEPS: _decode_steps,
    ANCHOR: _decode_anchor,
    FAULT: _decode_fault,
    EVENT: _decode_event,
    BATTERY: _decode_battery,
    GAP: _decode_gap,
    CRASH: _decode_crash,
    WALK_TEST: _decode_walk_test,
}


def decode(kind, payload):
    """A record's payload as a dict; "kind" names its type, times are uptime in ms of the boot "boot_tag".

    A steps record's "steps" is a list of dicts: uptime_ms, direction, confidence 0..1, stability 0..100 or None.
    Raises RecordUnreadable, and nothing else.
    """
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise RecordUnreadable("record type %d is not known to log format %d" % (kind, FORMAT_VERSION))
    try:
        return decoder(payload)
    except UNPACK_ERRORS as error:
        raise RecordUnreadable("record type %d, %d bytes: %s" % (kind, len(payload), error))
