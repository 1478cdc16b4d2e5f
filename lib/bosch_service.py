"""Self-test and wake-on-motion of the BMA423 and BMI270.

Sources: Bosch data sheets BST-BMA423-DS000 and BST-BMI270-DS000 (self-test of the accelerometer: the two signs of the
excitation must differ by a minimum; the BMI270 tests its gyroscope itself; any-motion on feature page 1).
The BMA423's any-motion needs the vendor's configuration, which its driver does without.
"""

from time import sleep_ms

from imu import WrongPart
from micropython import const

_ACC_X_BMI270 = const(0x0C)
_ACC_X_BMA423 = const(0x12)
_FEAT_PAGE = const(0x2F)
_ANYMO_1 = const(0x3C)
_ACC_CONF = const(0x40)
_ACC_RANGE = const(0x41)
_INT1_IO_CTRL = const(0x53)
_INT1_MAP_FEAT = const(0x56)
_INT_MAP_DATA = const(0x58)
_ACC_SELF_TEST = const(0x6D)
_GYR_SELF_TEST_AXES = const(0x6E)
_PWR_CONF = const(0x7C)
_PWR_CTRL = const(0x7D)

_1600_HZ = const(0xAC)
_BMA423_8_G = const(0x02)
_BMI270_16_G = const(0x03)
# Enabled, high amplitude; bit 2 is the sign.
_EXCITE = const(0x09)
_POSITIVE = const(0x04)
_LEAST_DIFFERENCE_MG = const(800)
_GYRO_DONE_AND_GOOD = const(0x0F)
_ACC_ON = const(0x04)
_BOTH_ON = const(0x06)
_OUTPUT_ACTIVE_HIGH = const(0x0A)
_ANY_MOTION = const(0x40)
# All axes, 20 ms; enabled.
_ANYMO_1_WANTED = const(0xE001)
_ANYMO_2_ENABLE = const(0x8000)


def _reading(imu, register):
    data = bytearray(6)
    imu._i2c.readfrom_mem_into(imu._address, register, data)
    values = [data[2 * axis] | data[2 * axis + 1] << 8 for axis in range(3)]
    return [value - 65536 if value > 32767 else value for value in values]


def self_test(imu):
    """ "" if the sensors answer their excitation, else what is wrong. start() must have been called before."""
    whole = imu.HAS_GYROSCOPE
    register = _ACC_X_BMI270 if whole else _ACC_X_BMA423
    imu._write(_PWR_CONF, 0)
    imu._write(_PWR_CTRL, _ACC_ON)
    imu._write(_ACC_RANGE, _BMI270_16_G if whole else _BMA423_8_G)
    imu._write(_ACC_CONF, _1600_HZ)
    sleep_ms(5)
    imu._write(_ACC_SELF_TEST, _EXCITE | _POSITIVE)
    sleep_ms(60)
    up = _reading(imu, register)
    imu._write(_ACC_SELF_TEST, _EXCITE)
    sleep_ms(60)
    down = _reading(imu, register)
    imu._write(_ACC_SELF_TEST, 0)
    lsb_per_g = 2048 if whole else 4096
    for axis in range(3):
        moved_mg = abs(up[axis] - down[axis]) * 1000 // lsb_per_g
        if moved_mg < _LEAST_DIFFERENCE_MG:
            return "accelerometer %s moved %d mg, expected %d or more" % (
                "xyz"[axis],
                moved_mg,
                _LEAST_DIFFERENCE_MG,
            )
    if whole:
        imu._write(_PWR_CTRL, _BOTH_ON)
        sleep_ms(50)
        imu._write(_GYR_SELF_TEST_AXES, 1)
        sleep_ms(100)
        answer = imu._read(_GYR_SELF_TEST_AXES)
        if answer & _GYRO_DONE_AND_GOOD != _GYRO_DONE_AND_GOOD:
            return "gyroscope: its own test answers 0x%02x, expected 0x0f" % answer
    return ""


def wake_on_motion(imu, threshold_mg):
    """INT1 goes high at a slope of more than threshold_mg; the gyroscope is off. start() must have been called."""
    if not imu.HAS_GYROSCOPE:
        raise WrongPart("bma423: any-motion needs the vendor's configuration; let a timer wake instead")
    imu._write(_INT_MAP_DATA, 0)
    imu._write(_FEAT_PAGE, 1)
    # 1 g / 2048 a unit, 11 bits.
    threshold = _ANYMO_2_ENABLE | max(1, min(2047, threshold_mg * 2048 // 1000))
    imu._i2c.writeto_mem(
        imu._address,
        _ANYMO_1,
        bytes((_ANYMO_1_WANTED & 0xFF, _ANYMO_1_WANTED >> 8, threshold & 0xFF, threshold >> 8)),
    )
    imu._write(_FEAT_PAGE, 0)
    imu._write(_INT1_MAP_FEAT, _ANY_MOTION)
    imu._write(_INT1_IO_CTRL, _OUTPUT_ACTIVE_HIGH)
    imu._write(_PWR_CTRL, _ACC_ON)
