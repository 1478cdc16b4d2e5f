"""MPU-6886 6-axis IMU over I2C: what differs from the MPU-6050 (mpu6050.py).

Source: InvenSense data sheet DS-000193. A frame of its FIFO holds the temperature too, 14 bytes, so a full
FIFO is 73 samples; a watermark raises INT.
"""

import mpu6050
from micropython import const

_CONFIG = const(0x1A)
_ACCEL_CONFIG2 = const(0x1D)
_INT_PIN_CFG = const(0x37)
_FIFO_WM_TH1 = const(0x60)
_FIFO_WM_TH2 = const(0x61)
_WHO_AM_I = const(0x75)
_DLPF_44_HZ = const(0x03)
_FIFO_ACC_AND_GYR = const(0x18)


class Driver(mpu6050.Driver):
    """One MPU-6886; address 0x68 or 0x69 (AD0 pin)."""

    PART = "mpu6886"
    IDENTITY = (_WHO_AM_I, 0x19)
    FIFO_SAMPLES = 73
    LAYOUT = (14, 0, 16393, 8, 14272, 0)
    FIFO_WANTED = _FIFO_ACC_AND_GYR

    def _arrange(self, watermark):
        """Its own filter for the accelerometer; the watermark on INT, active high."""
        # Bit 7 of CONFIG, set by a reset, would keep the watermark from working.
        self._write(_CONFIG, _DLPF_44_HZ)
        self._write(_ACCEL_CONFIG2, _DLPF_44_HZ)
        self._write(_INT_PIN_CFG, 0)
        size = watermark * self.LAYOUT[0]
        self._write(_FIFO_WM_TH1, size >> 8)
        self._write(_FIFO_WM_TH2, size & 0xFF)
