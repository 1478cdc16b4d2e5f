"""What the application does once, when it starts. Loaded then, and not kept."""

import os
import time

import machine
from micropython import const

from firmware import boards, steplog
from firmware.boards import board
from firmware.clock import EPOCH_2000_S

# Room left for settings, crash log, an update's changed files, and littlefs itself, which copies before it erases.
_RESERVE_BYTES = const(131_072)
_LEAST_LOG_BYTES = const(32_768)
# A clock that was never set shows 2000.
_FIRST_YEAR = const(2025)
# How far off the RTC may be: awake it runs on the crystal, asleep on an RC oscillator for hours.
_RTC_AWAKE_MS = const(1000)
_RTC_ASLEEP_MS = const(60_000)
_HAPTIC_CALIBRATION = "/haptic.cal"
_CRASH_LOG = "/crash.log"


def reset_cause():
    """Index into steplog.RESET_CAUSES."""
    names = ("PWRON_RESET", "HARD_RESET", "WDT_RESET", "DEEPSLEEP_RESET", "SOFT_RESET")
    cause = machine.reset_cause()
    for index, name in enumerate(names):
        if cause == getattr(machine, name):
            return index
    return len(names)


def woken():
    """Whether the device lay in deep sleep."""
    return machine.reset_cause() == machine.DEEPSLEEP_RESET


def woken_by_timer():
    """Whether it woke because its time was over, not because something moved."""
    return woken() and machine.wake_reason() == machine.TIMER_WAKE


def exists(path):
    """Whether there is a file."""
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def installed_model(placement):
    """The learned model (docs/training.md) for the waist; None: there is none, or it can't be used."""
    if placement != "waist" or not exists("/model.py"):
        return None
    from firmware.installed_model import load

    return load()


def _haptic_calibration():
    """What drv2605l_service.calibrate() found for this motor (docs/build.md), or None."""
    try:
        with open(_HAPTIC_CALIBRATION, "rb") as file:
            found = file.read()
    except OSError:
        return None
    return found if len(found) == 3 else None


def _motor():
    if board.HAPTIC == "pwm":
        from pwm_motor import PWMMotor

        return PWMMotor(machine.Pin(board.MOTOR_PIN))
    if board.HAPTIC == "drv2605l":
        from drv2605l import DRV2605L

        return DRV2605L(boards.i2c_bus(), calibration=_haptic_calibration())
    if board.HAPTIC == "axp192":
        from axp192_motor import AXP192Motor

        return AXP192Motor(boards.i2c_bus())
    from no_motor import NoMotor

    return NoMotor()


def make_motor():
    """What vibrates on this board, or stands in for it: run(percent), stop(), standby(), deinit(). It lies still."""
    motor = _motor()
    try:
        # A chip goes on with the buzz in which a reset came.
        motor.standby()
    except OSError:
        # The first cue tells that nobody answers.
        pass
    return motor


def power_meters():
    """Whether a charger feeds the board, and the battery's voltage in mV: functions; None for what it can't tell."""
    charging = getattr(board, "charging", None)
    if board.BATTERY_PIN is not None:
        converter = machine.ADC(machine.Pin(board.BATTERY_PIN), atten=machine.ADC.ATTN_11DB)
        return charging, lambda: converter.read_uv() // 1000 * board.BATTERY_DIVIDER
    if board.POWER_CHIP_ADDRESS is None:
        return charging, None
    from power_chip import PowerChip

    chip = PowerChip(boards.i2c_bus(), board.POWER_CHIP_ADDRESS)
    return chip.charging, chip.battery_mv


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


def recall_time(clock, logbook):
    """After a reset the RTC may still know the time; the host prefers its own anchors to this one."""
    date = machine.RTC().datetime()
    if date[0] < _FIRST_YEAR:
        return
    uptime_ms = clock.uptime_ms()
    utc_s = time.mktime((date[0], date[1], date[2], date[4], date[5], date[6], 0, 0)) + EPOCH_2000_S
    utc_ms = utc_s * 1000 + date[7] // 1000
    uncertainty_ms = _RTC_ASLEEP_MS if woken() else _RTC_AWAKE_MS
    clock.set_anchor(uptime_ms, utc_ms)
    logbook.add_anchor(uptime_ms, utc_ms, uncertainty_ms, steplog.SOURCE_DEVICE)


def tell_crash(logbook):
    """Log the crash that came before this start, if there was one."""
    if not exists(_CRASH_LOG):
        return
    from firmware.crashes import take

    crash = take()
    if crash:
        logbook.add_crash(*crash)
