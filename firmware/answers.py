"""What the application does for a CALIBRATE, WALK_TEST or ANCHOR request. Loaded for it, and not kept.

device: a Device (app.py).
"""

import gc
import time

import machine

from firmware import load_seldom
from firmware.clock import EPOCH_2000_S
from firmware.gait import BACKWARD
from firmware.link import protocol


def calibrate(device, action):
    """Carry out a CALIBRATE request; returns the answer's body. Raises ValueError if it can't be."""
    if action == protocol.CALIBRATE_START:
        load_seldom("mountings").start_calibration(device)
    elif action == protocol.CALIBRATE_CANCEL:
        if device._calibration:
            device._calibration.cancel()
    elif action == protocol.CALIBRATE_CONFIRM:
        load_seldom("mountings").confirm_clip(device)
    elif action != protocol.CALIBRATE_ASK:
        raise ValueError("calibrate: expected action 0 to 3, got %d" % action)
    calibration = device._calibration
    quality = device._mounting.quality if device._mounting is not None else 0
    if calibration is None:
        return bytes((0, 0, quality))
    return bytes((calibration.state, min(calibration.steps, 255), quality)) + calibration.reason.encode()


def toggle_walk_test(device):
    """Begin a walk test, or cancel the one that is under way. Raises ValueError if none can begin."""
    walk_test(device, protocol.WALK_TEST_CANCEL if device.test else protocol.WALK_TEST_START)


def walk_test(device, action):
    """Carry out a WALK_TEST request; returns the answer's body. Raises ValueError if it can't be."""
    if action == protocol.WALK_TEST_START:
        device._need_samples()
        device._set_pace(0)
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


def keep_time(device):
    """A host told the time: keep it in the RTC too, which runs on through every reset but a power cut."""
    utc_s, ms = divmod(device.clock.utc_ms(), 1000)
    date = time.gmtime(utc_s - EPOCH_2000_S)
    machine.RTC().datetime((date[0], date[1], date[2], 0, date[3], date[4], date[5], ms * 1000))
    device.day_count.synced(device.logbook.counts()[BACKWARD])
