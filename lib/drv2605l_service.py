"""Calibration and diagnosis of a DRV2605L with its motor: needed once, when a device is built.

    motor = DRV2605L(i2c)
    if not drv2605l_service.diagnose(motor):
        motor.calibration = drv2605l_service.calibrate(motor)    # three bytes: keep them

Source: TI DRV2605L data sheet SLOS854D, section 8.5.6 (auto-calibration procedure), 8.6 (STATUS, MODE). The motor
must sit in its case while it is calibrated, and the case lie on something soft or be held.
"""

from time import sleep_ms

from micropython import const

_STATUS = const(0x00)
_MODE = const(0x01)
_GO = const(0x0C)
_A_CAL_COMP = const(0x18)
_A_CAL_BEMF = const(0x19)
_FEEDBACK = const(0x1A)
_CONTROL_4 = const(0x1E)

_MODE_DIAGNOSE = const(0x06)
_MODE_CALIBRATE = const(0x07)
_DIAG_RESULT = const(0x08)
_OVER_TEMPERATURE = const(0x02)
_OVER_CURRENT = const(0x01)
# The longest calibration: 1 to 1.2 s.
_AUTO_CAL_TIME_LONG = const(0x30)
_POLL_MS = const(20)
_LIMIT_MS = const(2000)


class CalibrationFailed(Exception):
    """The chip could not calibrate the motor; the message says what to look at."""


def _carry_out(motor, mode):
    """Let the chip do that; its STATUS afterwards. Raises CalibrationFailed if it never ends."""
    motor._write(_MODE, mode)
    motor._write(_GO, 1)
    for _ in range(_LIMIT_MS // _POLL_MS):
        sleep_ms(_POLL_MS)
        if not motor.playing():
            break
    else:
        raise CalibrationFailed("the chip is still at it after %d ms; check its supply" % _LIMIT_MS)
    status = motor._read(_STATUS)
    motor._write(_MODE, 0)
    return status


def diagnose(motor):
    """ "" if a motor is there and moves, else what is wrong. Runs it for a moment."""
    motor.set_up()
    status = _carry_out(motor, _MODE_DIAGNOSE)
    motor.standby()
    if status & _OVER_CURRENT:
        return "over-current: the motor's wires are shorted, or it needs more than 250 mA"
    if status & _OVER_TEMPERATURE:
        return "the driver chip is too hot"
    if status & _DIAG_RESULT:
        return "no motor found: open, shorted, stuck, or out of range"
    return ""


def calibrate(motor):
    """Let the chip learn the motor; returns three bytes for DRV2605L(calibration=...). Raises CalibrationFailed."""
    motor.calibration = None
    motor.set_up(closed_loop=True)
    motor._write(_CONTROL_4, _AUTO_CAL_TIME_LONG)
    status = _carry_out(motor, _MODE_CALIBRATE)
    if status & _DIAG_RESULT:
        motor.standby()
        raise CalibrationFailed(
            "the motor did not converge: expected one for the voltages given, in its case, free to move"
        )
    result = bytes((motor._read(_A_CAL_COMP), motor._read(_A_CAL_BEMF), motor._read(_FEEDBACK) & 3))
    motor.standby()
    return result
