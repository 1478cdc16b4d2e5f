"""How the clip sits, and the gait pipeline that knows it: calibrated, trusted, renewed. Loaded for it, not kept.

device: a Device (app.py).
"""

import gc
from binascii import hexlify, unhexlify

from firmware.gait.mounting import Mounting
from firmware.gait.pipeline import Pipeline


def mounting_of(text):
    """The stored calibration, or None: not calibrated, or not readable (said so, then treated the same)."""
    if text is None:
        return None
    try:
        return Mounting.unpack(unhexlify(text))
    except ValueError as unreadable:
        print("app: the stored mounting can't be used (%s); calibrate again" % unreadable)
        return None


def make_pipeline(device, placement):
    """A Pipeline for the mounting there is now, with the wearer's baseline."""
    try:
        with open(device.BASELINE, "rb") as file:
            baseline = file.read()
    except OSError:
        # Nobody has walked yet.
        baseline = None
    try:
        return Pipeline(placement, device._mounting, device._rate_millihz, device._model, baseline)
    except ValueError as damaged:
        print("app:", damaged)
        return Pipeline(placement, device._mounting, device._rate_millihz, device._model)


def renew_pipeline(device):
    """Settle what is known and begin anew with the mounting there is now."""
    if device.test is not None:
        device.test.finish(device, "cancelled")
    device._pipeline.flush()
    if device._sample_clock is not None:
        device._take_results()
        device._sample_clock.restart()
    # The old one goes first: the heap has no room for both.
    placement, device._pipeline = device._pipeline.placement, None
    gc.collect()
    device._pipeline = make_pipeline(device, placement)


def trust_clip(device, mounting):
    """Keep `mounting` (None: nothing new) and ask for nothing any more."""
    if mounting is not None:
        device._mounting = mounting
        try:
            device.settings.change("mounting", hexlify(mounting.pack()).decode())
        except OSError as full:
            print("app: the mounting holds until the next reset; it could not be stored:", full)
    device._doubt_clip(False)


def confirm_clip(device):
    """The wearer says that the clip sits as it should."""
    trust_clip(device, device._pipeline.confirm_clip())
    device._cues.play("calibrated")


def start_calibration(device):
    """Begin a calibration, or begin it anew. Raises ValueError if it can't be."""
    device._need_samples()
    device._set_pace(0)
    if device.test is not None:
        device.test.finish(device, "cancelled")
    if device._calibration is None:
        from firmware.calibration import Calibration

        device._calibration = Calibration(device._pipeline.placement, device._rate_millihz)
    device._calibration.start()
    gc.collect()
    device._cues.play(device._calibration.cue)


def follow_calibration(device):
    """The calibration's state has changed: tell the wearer; keep and use a result."""
    calibration = device._calibration
    if calibration.mounting is not None:
        trust_clip(device, calibration.mounting)
        renew_pipeline(device)
    device._cues.play(calibration.cue)
