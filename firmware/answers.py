"""What the application answers and does seldom, on behalf of a Device (app.py). Loaded for it, and not kept."""

import gc

from firmware import load_seldom
from firmware.link import protocol


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
        load_seldom("mountings").confirm_clip(device)
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
        mountings = load_seldom("mountings")
        mountings.trust_clip(device, calibration.mounting)
        mountings.renew_pipeline(device)
    device._cues.play(calibration.cue)


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
        mountings = load_seldom("mountings")
        device._mounting = mountings.mounting_of(device.settings["mounting"])
        device._doubt_clip(False)
        mountings.renew_pipeline(device)


def _follow_plan(device):
    if device.settings["plan"]:
        from firmware.plan import Plan

        device._plan = Plan(device.settings, device.clock)
    else:
        device._plan = None
