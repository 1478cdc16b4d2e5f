"""What the application asks once, when it starts: loaded for that, and not kept (app.py)."""

import os

import machine
from micropython import const

from firmware.boards import board

# Room left for settings, crash log, an update's changed files, and littlefs itself, which copies before it erases.
_RESERVE_BYTES = const(131_072)
_LEAST_LOG_BYTES = const(32_768)


def reset_cause():
    """Index into steplog.RESET_CAUSES."""
    names = ("PWRON_RESET", "HARD_RESET", "WDT_RESET", "DEEPSLEEP_RESET", "SOFT_RESET")
    cause = machine.reset_cause()
    for index, name in enumerate(names):
        if cause == getattr(machine, name):
            return index
    return len(names)


def installed_model(placement):
    """The learned model (docs/training.md) for the waist; None: there is none, or it can't be used."""
    try:
        os.stat("/model.py")
    except OSError:
        return None
    if placement != "waist":
        return None
    from firmware.installed_model import load

    return load()


def make_motor():
    """What vibrates on this board, or stands in for it: run(percent), stop(), deinit()."""
    if board.HAPTIC == "pwm":
        from pwm_motor import PWMMotor

        return PWMMotor(machine.Pin(board.MOTOR_PIN))
    from no_motor import NoMotor

    return NoMotor()


def log_budget(wanted_bytes, folder):
    """`wanted_bytes`, or less where the volume is smaller: so that what must go is told before it goes."""
    _, fragment_bytes, blocks, free = os.statvfs("/")[:4]
    if free > blocks:
        # littlefs may count blocks twice, and then says that less than none is free.
        free = 0
    try:
        used = sum([os.stat(folder + "/" + name)[6] for name in os.listdir(folder)])
    except OSError:
        # There is no log yet.
        used = 0
    return min(wanted_bytes, max(used + free * fragment_bytes - _RESERVE_BYTES, _LEAST_LOG_BYTES))
