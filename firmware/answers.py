"""What the application answers and does seldom, on behalf of a Device (app.py). Loaded for it, and not kept."""

import gc
import time
from binascii import hexlify
from sys import implementation

import machine
from micropython import const

from firmware import VERSION, load_seldom, steplog
from firmware.boards import board
from firmware.gait import BACKWARD
from firmware.link import protocol

# The seconds of an ESP32's module time count from 2000.
_EPOCH_2000_S = const(946_684_800)


def status(device):
    """The values of protocol.fields()."""
    gc.collect()
    journal = device.logbook.journal
    forward, backward, sideways, unknown = device.logbook.counts()
    status = {
        "protocol_version": protocol.PROTOCOL_VERSION,
        "device_id": hexlify(machine.unique_id()).decode(),
        "firmware": VERSION,
        "model": device._pipeline.model_id,
        "board": board.NAME,
        "log_id": journal.log_id,
        "log_format": steplog.FORMAT_VERSION,
        "boot_sequence": device.logbook.boot_sequence,
        "oldest_sequence": journal.oldest_sequence,
        "next_sequence": journal.next_sequence,
        "acknowledged": journal.acknowledged,
        "uptime_s": device.clock.uptime_ms() // 1000,
        "placement": device._pipeline.placement,
        "calibrated": 1 if device._mounting is not None else 0,
        "forward_steps": forward,
        "backward_steps": backward,
        "sideways_steps": sideways,
        "unknown_steps": unknown,
        "sensor_faults": device._sampler.faults,
        "write_failures": device.logbook.write_failures,
        "log_bytes": journal.bytes_used,
        "battery_mv": device._battery_mv(),
        "clock_set": 1 if device.clock.utc_ms() is not None else 0,
        "sample_period_ns": device._sample_clock.period_ns if device._sample_clock is not None else 0,
        "samples": device._pipeline.sample_index & 0xFFFFFFFF,
        "micropython": "%d.%d.%d" % implementation.version[:3],
        "light_sleep_s": device.power.light_sleep_ms // 1000,
        "radio_s": device.power.radio_ms // 1000,
        "motor_ms": device._cues.buzzed_ms,
        "free_heap": gc.mem_free(),
    }
    if device._plan is not None:
        status["plan_backward_s"] = device._plan.backward_ms // 1000
        status["plan_steps"] = device._plan.backward_steps
    return status


def calibrate(device, action):
    """Carry out a CALIBRATE request; returns the answer's body. Raises ValueError if it can't be."""
    calibration = device._calibration
    if action == protocol.CALIBRATE_START:
        device._need_samples()
        if device.test is not None:
            device.test.finish(device, "cancelled")
        if calibration is None:
            from firmware.calibration import Calibration

            calibration = Calibration(device._pipeline.placement, device._rate_millihz)
            device._calibration = calibration
        calibration.start()
        gc.collect()
        device._cues.play(calibration.cue)
    elif action == protocol.CALIBRATE_CANCEL:
        if calibration:
            calibration.cancel()
    elif action == protocol.CALIBRATE_CONFIRM:
        device._confirm_clip()
    elif action != protocol.CALIBRATE_ASK:
        raise ValueError("calibrate: expected action 0 to 3, got %d" % action)
    quality = device._mounting.quality if device._mounting is not None else 0
    if calibration is None:
        return bytes((0, 0, quality))
    return bytes((calibration.state, min(calibration.steps, 255), quality)) + calibration.reason.encode()


def follow_calibration(device):
    """The calibration's state has changed: tell the wearer; keep and use a result."""
    calibration = device._calibration
    if calibration.mounting is not None:
        device._trust_clip(calibration.mounting)
        device._renew_pipeline()
    device._cues.play(calibration.cue)


def keep_time(device):
    """A host told the time: keep it in the RTC too, which runs on through every reset but a power cut."""
    utc_s, ms = divmod(device.clock.utc_ms(), 1000)
    date = time.gmtime(utc_s - _EPOCH_2000_S)
    machine.RTC().datetime((date[0], date[1], date[2], 0, date[3], date[4], date[5], ms * 1000))
    device.day_count.synced(device.logbook.counts()[BACKWARD])


def trust_application(device):
    """True: /slots says that what runs here is the good application."""
    slots = load_seldom("slots")
    failed = slots.read()[3]
    try:
        slots.confirm()
    except OSError as full:
        print("app: the application stays on trial:", full)
        return False
    if failed:
        device.logbook.add_crash(1, b"update in slot %s was given up" % failed.encode())
    return True


def walk_test(device, action):
    """Carry out a WALK_TEST request; returns the answer's body. Raises ValueError if it can't be."""
    if action == protocol.WALK_TEST_START:
        device._need_samples()
        if device._calibration:
            device._calibration.cancel()
    gc.collect()
    try:
        from firmware import walktest

        return walktest.carry_out(device, device._pipeline.placement, action)
    except MemoryError:
        print("app: too little memory for a walk test: restart the device and try at once")
        device.buzz("error")
        return b"\0"


def apply_settings(device, names):
    """A host has changed these settings: tell whoever keeps one (but those of setting_rules.AT_START)."""
    device._cues.strength = 0 if device.settings["cues_off"] else device.settings["motor_percent"]
    if "plan" in names:
        _follow_plan(device)
    if "mounting" in names:
        device._mounting = load_seldom("startup").mounting_of(device.settings["mounting"])
        device._doubt_clip(False)
        device._renew_pipeline()


def _follow_plan(device):
    if device.settings["plan"]:
        from firmware.plan import Plan

        device._plan = Plan(device.settings, device.clock)
    else:
        device._plan = None
