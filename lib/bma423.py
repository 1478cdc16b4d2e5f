"""BMA423 accelerometer over I2C: FIFO blocks at 100 Hz in the interface of imu.py; the gyroscope's columns
are zeros.

Source: Bosch data sheet BST-BMA423-DS000. The full scale is 8 g (enough at the waist): its 12 bits are then
steps of 3.9 mg, coarser than its noise, so that at rest it may repeat one sample for long. Left-aligned, they
read as 4096 a g. The feature engine, which would need a file from the vendor, is not used; so it can't wake
on motion.
"""

from boschfifo import BoschIMU
from micropython import const

_CHIP_ID = const(0x00)
_ACC_CONF = const(0x40)
_ACC_RANGE = const(0x41)
_100_HZ_FILTERED = const(0xA8)
_8_G = const(0x02)


class Driver(BoschIMU):
    """One BMA423; address 0x18 or 0x19 (SDO pin)."""

    PART = "bma423"
    IDENTITY = (_CHIP_ID, 0x13)
    RATE_MILLIHZ = 100_000
    FIFO_SAMPLES = 170
    FIFO_BYTES = 1024
    FIFO_WANTED = 0x40
    POWER_WANTED = 0x04
    HAS_GYROSCOPE = False
    REST_REPEATS = True
    LAYOUT = (6, 0, 8197, 255, 0, 1)

    def __init__(self, i2c, address=0x19, block_samples=32):
        super().__init__(i2c, address, block_samples)

    def _set_up(self, sleep_ms):
        self._write(_ACC_CONF, _100_HZ_FILTERED)
        self._write(_ACC_RANGE, _8_G)
