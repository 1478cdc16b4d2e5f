"""Self-test and wake-on-motion of the QMI8658.

Source: QST data sheet QMI8658A (accelerometer self-test: more than 200 mg on every axis; gyroscope self-test: more
than 300 dps; wake on motion, CTRL9 command 0x08, interrupt on INT2).
Only the accelerometer's self-test is run: the gyroscope's needs both sensors off before and after, for longer than
a check at the bench should take.
"""

from time import sleep_ms

from micropython import const

_CTRL2 = const(0x03)
_CTRL7 = const(0x08)
_CAL1_L = const(0x0B)
_FIFO_CTRL = const(0x14)
_STATUSINT = const(0x2D)
_DVX_L = const(0x51)

_SELF_TEST_16_G_1_KHZ = const(0xB3)
_RESULT_AVAILABLE = const(0x01)
_LOOKS = const(50)
# Signed, 5 integer and 11 fraction bits of a g.
_LSB_PER_G = const(2048)
_LEAST_MG = const(200)
_2_G_LOW_POWER_21_HZ = const(0x0D)
_ACC_ON = const(0x01)
_COMMAND_WRITE_WOM = const(0x08)
# INT2, first level low; ignore the first 32 samples.
_WOM_ON_INT2 = const(0x60)


def self_test(imu):
    """ "" if the accelerometer answers its excitation, else what is wrong."""
    imu.standby()
    imu._write(_CTRL2, _SELF_TEST_16_G_1_KHZ)
    for _ in range(_LOOKS):
        sleep_ms(10)
        if imu._read(_STATUSINT) & _RESULT_AVAILABLE:
            break
    else:
        return "accelerometer: its self-test never ends"
    data = bytearray(6)
    imu._i2c.readfrom_mem_into(imu._address, _DVX_L, data)
    imu._write(_CTRL2, 0)
    for axis in range(3):
        value = data[2 * axis] | data[2 * axis + 1] << 8
        moved_mg = abs(value - 65536 if value > 32767 else value) * 1000 // _LSB_PER_G
        if moved_mg < _LEAST_MG:
            return "accelerometer %s moved %d mg, expected %d or more" % ("xyz"[axis], moved_mg, _LEAST_MG)
    return ""


def wake_on_motion(imu, threshold_mg):
    """INT2 changes at a jerk of more than threshold_mg (1 to 255); the gyroscope is off. Call start() before."""
    imu.standby()
    imu._write(_FIFO_CTRL, 0)
    imu._write(_CTRL2, _2_G_LOW_POWER_21_HZ)
    imu._i2c.writeto_mem(imu._address, _CAL1_L, bytes((max(1, min(255, threshold_mg)), _WOM_ON_INT2)))
    imu._command(_COMMAND_WRITE_WOM)
    imu._write(_CTRL7, _ACC_ON)
