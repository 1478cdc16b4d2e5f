"""LSM6DS3TR-C 6-axis IMU over I2C: FIFO blocks at 104 Hz in the interface of imu.py.

Source: ST LSM6DS3TR-C data sheet (DocID030071) and application note AN5130. Its FIFO of 4 KiB (341 samples)
has no tags: words come in the order gyroscope x y z, acceleration x y z, and FIFO_PATTERN tells where in that
order the next one lies. A read that broke off in the middle of a sample leaves it elsewhere than at 0: then
the FIFO begins anew.
"""

from framefifo import FrameIMU
from micropython import const

_FIFO_CTRL1 = const(0x06)
_FIFO_CTRL2 = const(0x07)
_FIFO_CTRL3 = const(0x08)
_FIFO_CTRL5 = const(0x0A)
_INT1_CTRL = const(0x0D)
_WHO_AM_I = const(0x0F)
_CTRL1_XL = const(0x10)
_CTRL2_G = const(0x11)
_CTRL3_C = const(0x12)
_FIFO_STATUS1 = const(0x3A)
_FIFO_DATA_OUT_L = const(0x3E)

_ODR_104_HZ_16_G = const(0x44)
_ODR_104_HZ_2000_DPS = const(0x4C)
_CTRL3_BDU_IF_INC = const(0x44)
_CTRL3_SW_RESET = const(0x01)
_BOTH_UNDECIMATED = const(0x09)
_FIFO_BYPASS = const(0x00)
_FIFO_104_HZ_CONTINUOUS = const(0x26)
_INT1_FIFO_TH = const(0x08)
_STATUS2_OVERRUN = const(0x40)
_STATUS2_FULL = const(0x20)
_RESET_TIME_MS = const(10)
_WORDS_A_SAMPLE = const(6)


class Driver(FrameIMU):
    """One LSM6DS3TR-C; address 0x6A or 0x6B (SA0 pin)."""

    PART = "lsm6ds3trc"
    IDENTITY = (_WHO_AM_I, 0x6A)
    RATE_MILLIHZ = 104_000
    FIFO_SAMPLES = 341
    FIFO_DATA = _FIFO_DATA_OUT_L
    SERVICE = "lsm6ds_service"
    LAYOUT = (12, 6, 16384, 0, 16384, 1)

    def __init__(self, i2c, address=0x6A, block_samples=32):
        super().__init__(i2c, address, block_samples)
        self._status = bytearray(4)

    def start(self, watermark=26, sleep_ms=None):
        """Reset the sensor, then sample into the FIFO; INT1 goes high at `watermark` samples.

        sleep_ms: how to wait for the reset (default time.sleep_ms). Raises ValueError for a watermark that
        does not fit the FIFO, OSError from the bus.
        """
        if not 1 <= watermark <= 250:
            raise ValueError("FIFO watermark: expected 1 to 250 samples, got %d" % watermark)
        if sleep_ms is None:
            from time import sleep_ms
        self.watermark = watermark
        words = _WORDS_A_SAMPLE * watermark
        self._write(_CTRL3_C, _CTRL3_SW_RESET)
        sleep_ms(_RESET_TIME_MS)
        self._write(_CTRL3_C, _CTRL3_BDU_IF_INC)
        self._write(_FIFO_CTRL1, words & 0xFF)
        self._write(_FIFO_CTRL2, words >> 8)
        self._write(_FIFO_CTRL3, _BOTH_UNDECIMATED)
        self._write(_INT1_CTRL, _INT1_FIFO_TH)
        self._write(_CTRL1_XL, _ODR_104_HZ_16_G)
        self._write(_CTRL2_G, _ODR_104_HZ_2000_DPS)
        self._begin()

    def _empty_fifo(self):
        self._write(_FIFO_CTRL5, _FIFO_BYPASS)
        self._write(_FIFO_CTRL5, _FIFO_104_HZ_CONTINUOUS)

    def standby(self):
        """Both sensors to power-down. Raises OSError from the bus."""
        self._write(_FIFO_CTRL5, _FIFO_BYPASS)
        self._write(_CTRL1_XL, 0)
        self._write(_CTRL2_G, 0)

    def configured(self):
        """False if the sensor forgot what start() wrote, as after a brown-out. Raises OSError from the bus."""
        return (
            self._read(_CTRL1_XL) == _ODR_104_HZ_16_G and self._read(_FIFO_CTRL5) == _FIFO_104_HZ_CONTINUOUS
        )

    def _frames_waiting(self, looked_before):
        status = self._status
        self._i2c.readfrom_mem_into(self._address, _FIFO_STATUS1, status)
        if status[1] & (_STATUS2_OVERRUN | _STATUS2_FULL) or status[2] or status[3] & 3:
            return self._overran(looked_before)
        return (status[0] | (status[1] & 0x07) << 8) // _WORDS_A_SAMPLE
