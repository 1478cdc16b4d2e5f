"""Self-test and wake-on-motion of the LSM6DSOX, LSM6DSO and LSM6DS3TR-C: their registers and limits are the same.

The LSM6DS3TR-C has no finer threshold than 1/64 of the full scale, too coarse at the 16 g that walking needs: it
can't watch for motion while it samples.

Sources: ST data sheets DS12814, DS12140 and DocID030071 (mechanical characteristics: self-test output change);
application notes AN5272 and AN5130 (procedures of self-test and wake-up).
"""

from time import sleep_ms

from micropython import const

_INT1_CTRL = const(0x0D)
_CTRL1_XL = const(0x10)
_CTRL2_G = const(0x11)
_CTRL5_C = const(0x14)
_OUTX_L_G = const(0x22)
_OUTX_L_A = const(0x28)
_TAP_CFG_OR_CFG2 = const(0x58)
_WAKE_UP_THS = const(0x5B)
_WAKE_UP_DUR = const(0x5C)
_MD1_CFG = const(0x5E)

_ODR_52_HZ_4_G = const(0x38)
_ODR_208_HZ_2000_DPS = const(0x5C)
_ODR_26_HZ_2_G = const(0x20)
_ST_XL_POSITIVE = const(0x01)
_ST_G_POSITIVE = const(0x04)
_INTERRUPTS_ENABLE = const(0x80)
_INT1_WAKE_UP = const(0x20)
# 2 g / 64 a unit.
_UG_PER_THRESHOLD = const(31_250)
_UG_PER_LSB_4_G = const(122)
_UDPS_PER_LSB = const(70_000)
# WAKE_THS_W: 16 g / 256 a unit.
_FINE_THRESHOLD = const(0x10)
_UG_PER_FINE_THRESHOLD = const(62_500)
_READINGS = const(5)


def _mean(imu, register):
    """The mean of some readings of three axes, raw."""
    data = bytearray(6)
    sums = [0, 0, 0]
    for _ in range(_READINGS):
        sleep_ms(25)
        imu._i2c.readfrom_mem_into(imu._address, register, data)
        for axis in range(3):
            value = data[2 * axis] | data[2 * axis + 1] << 8
            sums[axis] += value - 65536 if value > 32767 else value
    return [value // _READINGS for value in sums]


def _moved(imu, register, excite):
    """By how much the excitation moves each axis, raw."""
    sleep_ms(100)
    at_rest = _mean(imu, register)
    imu._write(_CTRL5_C, excite)
    sleep_ms(100)
    excited = _mean(imu, register)
    imu._write(_CTRL5_C, 0)
    return [abs(excited[axis] - at_rest[axis]) for axis in range(3)]


def self_test(imu):
    """ "" if both sensors answer their excitation within the data sheet's limits, else what is wrong."""
    imu.standby()
    imu._write(_CTRL1_XL, _ODR_52_HZ_4_G)
    imu._write(_CTRL2_G, _ODR_208_HZ_2000_DPS)
    for axis, moved in enumerate(_moved(imu, _OUTX_L_A, _ST_XL_POSITIVE)):
        moved_mg = moved * _UG_PER_LSB_4_G // 1000
        if not 50 <= moved_mg <= 1700:
            return "accelerometer %s moved %d mg, expected 50 to 1700" % ("xyz"[axis], moved_mg)
    for axis, moved in enumerate(_moved(imu, _OUTX_L_G, _ST_G_POSITIVE)):
        moved_dps = moved * _UDPS_PER_LSB // 1_000_000
        if not 150 <= moved_dps <= 700:
            return "gyroscope %s moved %d dps, expected 150 to 700" % ("xyz"[axis], moved_dps)
    imu.standby()
    return ""


def wake_on_motion(imu, threshold_mg):
    """INT1 goes high at a slope of more than threshold_mg (rounded to 31 mg); the gyroscope is off."""
    imu.standby()
    imu._write(_INT1_CTRL, 0)
    imu._write(_WAKE_UP_DUR, 0)
    imu._write(_WAKE_UP_THS, max(1, min(63, threshold_mg * 1000 // _UG_PER_THRESHOLD)))
    imu._write(_TAP_CFG_OR_CFG2, _INTERRUPTS_ENABLE)
    imu._write(_MD1_CFG, _INT1_WAKE_UP)
    imu._write(_CTRL1_XL, _ODR_26_HZ_2_G)


def watch_for_motion(imu, threshold_mg):
    """As wake_on_motion (rounded to 63 mg), but both sensors go on filling the FIFO. LSM6DSOX and LSM6DSO only."""
    if imu.PART != "lsm6dsox":
        wake_on_motion(imu, threshold_mg)
        return
    imu._write(_INT1_CTRL, 0)
    imu._write(_WAKE_UP_DUR, _FINE_THRESHOLD)
    imu._write(_WAKE_UP_THS, max(1, min(63, threshold_mg * 1000 // _UG_PER_FINE_THRESHOLD)))
    imu._write(_TAP_CFG_OR_CFG2, _INTERRUPTS_ENABLE)
    imu._write(_MD1_CFG, _INT1_WAKE_UP)


def resume(imu):
    """Back to blocks after watch_for_motion(), even across a reset of the processor; False: it does not sample."""
    if imu.PART != "lsm6dsox" or not imu.configured():
        return False
    imu._write(_MD1_CFG, 0)
    imu._write(_TAP_CFG_OR_CFG2, 0)
    imu.resume()
    return True
