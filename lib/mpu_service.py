"""Self-test and wake-on-motion of the MPU-6050 and MPU-6886.

Sources: register map RM-MPU-6000A (self-test registers 13 to 16) and product specification (response); data sheet
DS-000193 (self-test, wake on motion). The factory's own trim of each part is not compared: a response of the usual
size says that the sensor moves and is read. The MPU-6050's register map does not describe wake on motion.
"""

from time import sleep_ms

from imu import WrongPart
from micropython import const

_SMPLRT_DIV = const(0x19)
_GYRO_CONFIG = const(0x1B)
_ACCEL_CONFIG = const(0x1C)
_ACCEL_WOM_X_THR = const(0x20)
_FIFO_EN = const(0x23)
_INT_ENABLE = const(0x38)
_ACCEL_XOUT_H = const(0x3B)
_ACCEL_INTEL_CTRL = const(0x69)
_USER_CTRL = const(0x6A)
_PWR_MGMT_1 = const(0x6B)
_PWR_MGMT_2 = const(0x6C)

_CLOCK_GYRO_X = const(0x01)
_ALL_AXES = const(0xE0)
_8_G = const(0x10)
_250_DPS = const(0x00)
_GYRO_OFF = const(0x07)
_COMPARE_WITH_PREVIOUS = const(0xC0)
_WOM_ALL_AXES = const(0xE0)
_MG_PER_THRESHOLD = const(4)
_READINGS = const(5)
# At 8 g: 4096 LSB a g; at 250 dps: 131 LSB a degree per second. The ranges that the trim codes span.
_LEAST_ACC_MG, _MOST_ACC_MG = const(300), const(3000)
_LEAST_DPS, _MOST_DPS = const(10), const(220)


def _means(imu):
    """Means of some readings: acceleration x y z, rate x y z, raw."""
    data = bytearray(14)
    sums = [0] * 7
    for _ in range(_READINGS):
        sleep_ms(12)
        imu._i2c.readfrom_mem_into(imu._address, _ACCEL_XOUT_H, data)
        for i in range(7):
            value = data[2 * i] << 8 | data[2 * i + 1]
            sums[i] += value - 65536 if value > 32767 else value
    return [value // _READINGS for value in sums]


def self_test(imu):
    """ "" if both sensors answer their excitation, else what is wrong."""
    imu._write(_USER_CTRL, 0)
    imu._write(_FIFO_EN, 0)
    imu._write(_PWR_MGMT_1, _CLOCK_GYRO_X)
    imu._write(_ACCEL_CONFIG, _8_G)
    imu._write(_GYRO_CONFIG, _250_DPS)
    sleep_ms(50)
    at_rest = _means(imu)
    imu._write(_ACCEL_CONFIG, _ALL_AXES | _8_G)
    imu._write(_GYRO_CONFIG, _ALL_AXES | _250_DPS)
    sleep_ms(50)
    excited = _means(imu)
    imu.standby()
    for axis in range(3):
        moved_mg = abs(excited[axis] - at_rest[axis]) * 1000 // 4096
        if not _LEAST_ACC_MG <= moved_mg <= _MOST_ACC_MG:
            return "accelerometer %s moved %d mg, expected 300 to 3000" % ("xyz"[axis], moved_mg)
        moved_dps = abs(excited[4 + axis] - at_rest[4 + axis]) // 131
        if not _LEAST_DPS <= moved_dps <= _MOST_DPS:
            return "gyroscope %s moved %d dps, expected 10 to 220" % ("xyz"[axis], moved_dps)
    return ""


def wake_on_motion(imu, threshold_mg):
    """INT goes high at a jerk of more than threshold_mg (rounded to 4 mg); the gyroscope is off."""
    if imu.PART == "mpu6050":
        raise WrongPart("mpu6050: its register map describes no wake on motion; let a timer wake instead")
    imu._write(_USER_CTRL, 0)
    imu._write(_FIFO_EN, 0)
    imu._write(_PWR_MGMT_1, 0)
    imu._write(_PWR_MGMT_2, _GYRO_OFF)
    threshold = max(1, min(255, threshold_mg // _MG_PER_THRESHOLD))
    for axis in range(3):
        imu._write(_ACCEL_WOM_X_THR + axis, threshold)
    imu._write(_INT_ENABLE, _WOM_ALL_AXES)
    imu._write(_ACCEL_INTEL_CTRL, _COMPARE_WITH_PREVIOUS)
