"""Register-level model of InvenSense's MPU-6886: what differs from the MPU-6050.

Source: data sheet DS-000193 (MPU-6886), register map. Frames of the FIFO hold the temperature, 14 bytes,
whenever both sensors are in it; the FIFO can stop when full (CONFIG bit 6); a watermark raises
FIFO_WM_INT_STATUS and, with it, INT. Wake on motion compares each axis with the sample before
(ACCEL_INTEL_CTRL mode 1), 4 mg a unit.
"""

from micropython import const

from virtual import mpu6050
from virtual.mpu6050 import CONFIG, FIFO_EN, INT_ENABLE, INT_STATUS, USER_CTRL, WHO_AM_I

_ACCEL_CONFIG2 = const(0x1D)
_LP_MODE_CFG = const(0x1E)
_ACCEL_WOM_X_THR = const(0x20)
_FIFO_WM_INT_STATUS = const(0x39)
_FIFO_WM_TH1 = const(0x60)
_FIFO_WM_TH2 = const(0x61)
_ACCEL_INTEL_CTRL = const(0x69)
_MG_PER_WOM_UNIT = 4
_UG_PER_FEED_LSB = 488


class Chip(mpu6050.Chip):
    """One MPU-6886."""

    DEFAULTS = {CONFIG: 0x80, mpu6050.PWR_MGMT_1: 0x41, WHO_AM_I: 0x19}
    WRITABLE = dict(mpu6050.Chip.WRITABLE)
    WRITABLE.update(
        {
            CONFIG: 0xFF,
            mpu6050.GYRO_CONFIG: 0xFB,
            _ACCEL_CONFIG2: 0x3F,
            _ACCEL_WOM_X_THR: 0xFF,
            _ACCEL_WOM_X_THR + 1: 0xFF,
            _ACCEL_WOM_X_THR + 2: 0xFF,
            FIFO_EN: 0x18,
            INT_ENABLE: 0xF5,
            USER_CTRL: 0x45,
            _FIFO_WM_TH1: 0x03,
            _FIFO_WM_TH2: 0xFF,
            _ACCEL_INTEL_CTRL: 0xC3,
        }
    )
    STORED = ((_LP_MODE_CFG, _LP_MODE_CFG), (0x36, 0x36), (0x68, 0x68), (0x70, 0x70))

    def _configure(self):
        super()._configure()
        registers = self._registers
        acc_in, gyr_in = registers[FIFO_EN] & 0x08, registers[FIFO_EN] & 0x10
        self._lay_out(acc_in, acc_in and gyr_in, gyr_in)
        self._batching = bool(registers[USER_CTRL] & 0x40 and (acc_in or gyr_in))
        self._stops = bool(registers[CONFIG] & 0x40)
        # Bit 7 of CONFIG must be 0 for the watermark to work.
        watermark = (
            (registers[_FIFO_WM_TH1] << 8 | registers[_FIFO_WM_TH2]) if not registers[CONFIG] & 0x80 else 0
        )
        self._watermark_bytes = watermark
        self._active_level = 0 if registers[mpu6050.INT_PIN_CFG] & 0x80 else 1
        awake = registers[_ACCEL_INTEL_CTRL] & 0x80 and registers[INT_ENABLE] & 0xE0
        units = min(registers[_ACCEL_WOM_X_THR : _ACCEL_WOM_X_THR + 3])
        self._wake_lsb = units * _MG_PER_WOM_UNIT * 1000 // _UG_PER_FEED_LSB if awake else 0

    def _append(self, frames):
        if self._stops:
            room = self.CAPACITY_BYTES - len(self._fifo)
            if len(frames) > room:
                self._overrun = True
                frames = frames[:room]
            self._fifo += frames
        else:
            super()._append(frames)

    def _read_register(self, register):
        if register == _FIFO_WM_INT_STATUS:
            return 0x40 if 0 < self._watermark_bytes <= len(self._fifo) else 0
        if register == INT_STATUS and self._woken:
            self._woken = False
            return 0xE0 | self._read_status()
        return super()._read_register(register)
