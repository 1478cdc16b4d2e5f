"""MPU-6050 6-axis IMU over I2C: FIFO blocks at 100 Hz in the interface of imu.py.

Source: InvenSense register map RM-MPU-6000A (registers 25 to 117), product specification PS-MPU-6000A.
A full FIFO (85 samples, 0.85 s) drops its oldest bytes, not frames: after an overflow it is emptied.
Limits: there is no interrupt for the FIFO's filling, so it is read on a timer; the clock is the gyroscope's,
within 1 % or so. Clones with another WHO_AM_I (MPU-6500: 0x70) are refused.
"""

from framefifo import FrameIMU
from micropython import const

_SMPLRT_DIV = const(0x19)
_CONFIG = const(0x1A)
_GYRO_CONFIG = const(0x1B)
_ACCEL_CONFIG = const(0x1C)
_FIFO_EN = const(0x23)
_INT_STATUS = const(0x3A)
_USER_CTRL = const(0x6A)
_PWR_MGMT_1 = const(0x6B)
_FIFO_COUNTH = const(0x72)
_FIFO_R_W = const(0x74)
_WHO_AM_I = const(0x75)

_DIVIDE_BY_10 = const(9)
_DLPF_44_HZ = const(0x03)
_FS_2000_DPS = const(0x18)
_FS_16_G = const(0x18)
_FIFO_ACC_AND_GYR = const(0x78)
_USER_FIFO_EN = const(0x40)
_USER_FIFO_RESET = const(0x04)
_DEVICE_RESET = const(0x80)
_SLEEP = const(0x40)
_CLOCK_GYRO_X = const(0x01)
_FIFO_OVERFLOW = const(0x10)
_RESET_TIME_MS = const(100)
_FIFO_BYTES = const(1024)


class Driver(FrameIMU):
    """One MPU-6050; address 0x68 or 0x69 (AD0 pin)."""

    PART = "mpu6050"
    IDENTITY = (_WHO_AM_I, 0x68)
    RATE_MILLIHZ = 100_000
    FIFO_SAMPLES = 85
    FIFO_DATA = _FIFO_R_W
    SERVICE = "mpu_service"
    # 2048 LSB a g, 16.4 LSB a degree per second.
    LAYOUT = (12, 0, 16393, 6, 14272, 0)
    FIFO_WANTED = _FIFO_ACC_AND_GYR

    def __init__(self, i2c, address=0x68, block_samples=32):
        super().__init__(i2c, address, block_samples)
        self._status = bytearray(2)

    def start(self, watermark=26, sleep_ms=None):
        """Reset the sensor, then sample into the FIFO. watermark: samples that shall make a block.

        sleep_ms: how to wait for the reset (default time.sleep_ms). Raises ValueError for a watermark that
        does not fit the FIFO, OSError from the bus.
        """
        most = _FIFO_BYTES // self.LAYOUT[0] * 3 // 4
        if not 1 <= watermark <= most:
            raise ValueError("FIFO watermark: expected 1 to %d samples, got %d" % (most, watermark))
        if sleep_ms is None:
            from time import sleep_ms
        self.watermark = watermark
        self._write(_PWR_MGMT_1, _DEVICE_RESET)
        sleep_ms(_RESET_TIME_MS)
        self._write(_PWR_MGMT_1, _CLOCK_GYRO_X)
        self._write(_SMPLRT_DIV, _DIVIDE_BY_10)
        self._write(_CONFIG, _DLPF_44_HZ)
        self._write(_GYRO_CONFIG, _FS_2000_DPS)
        self._write(_ACCEL_CONFIG, _FS_16_G)
        self._arrange(watermark)
        self._write(_FIFO_EN, self.FIFO_WANTED)
        self._begin()

    def _arrange(self, watermark):
        """What a part of the family has beyond this one."""

    def _empty_fifo(self):
        self._write(_USER_CTRL, _USER_FIFO_RESET)
        self._write(_USER_CTRL, _USER_FIFO_EN)
        # Reading the status forgets an overflow.
        self._read(_INT_STATUS)

    def standby(self):
        """Both sensors asleep. Raises OSError from the bus."""
        self._write(_PWR_MGMT_1, _SLEEP)

    def configured(self):
        """False if the sensor forgot what start() wrote, as after a brown-out. Raises OSError from the bus."""
        return (
            self._read(_PWR_MGMT_1) == _CLOCK_GYRO_X
            and self._read(_ACCEL_CONFIG) == _FS_16_G
            and self._read(_USER_CTRL) == _USER_FIFO_EN
        )

    def _frames_waiting(self, looked_before):
        # Its count first: an overflow after this look waits in the flag for the next one.
        status = self._status
        self._i2c.readfrom_mem_into(self._address, _FIFO_COUNTH, status)
        there = status[0] << 8 | status[1]
        if self._read(_INT_STATUS) & _FIFO_OVERFLOW or there >= _FIFO_BYTES:
            return self._overran(looked_before)
        return there // self.LAYOUT[0]
