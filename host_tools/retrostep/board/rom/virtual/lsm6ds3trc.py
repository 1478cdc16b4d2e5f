"""Register-level model of ST's LSM6DS3TR-C: sensors, its FIFO of 4 KiB without tags, INT1.

Source: ST data sheet LSM6DS3TR-C (DocID030071, registers in chapters 8 and 9) and application note AN5130
(FIFO, chapter 8). Modelled: identity and defaults, output rates, full scales, FIFO of 16-bit words in sets of
three (gyroscope, then accelerometer), its modes bypass, FIFO and continuous, count of unread words, pattern
(which word of the sequence comes next), watermark, overrun and empty flags, read address that rolls over
between its two data registers, stop on watermark, time stamp of 6.4 ms or 25 us, software reset, self-test,
wake-up by slope on INT1. Not modelled: decimation other than none, data sets 3 and 4, compression of high
bytes, embedded functions, INT2. A full FIFO loses whole sets of six words here, so its count stays a multiple
of six.
"""

from micropython import const

from virtual import clock, motionchip

_FIFO_CTRL1 = const(0x06)
_FIFO_CTRL2 = const(0x07)
_FIFO_CTRL3 = const(0x08)
_FIFO_CTRL4 = const(0x09)
_FIFO_CTRL5 = const(0x0A)
_INT1_CTRL = const(0x0D)
_INT2_CTRL = const(0x0E)
_WHO_AM_I = const(0x0F)
_CTRL1_XL = const(0x10)
_CTRL2_G = const(0x11)
_CTRL3_C = const(0x12)
_CTRL5_C = const(0x14)
_CTRL10_C = const(0x19)
_WAKE_UP_SRC = const(0x1B)
_STATUS_REG = const(0x1E)
_OUT_TEMP_L = const(0x20)
_OUTX_L_G = const(0x22)
_OUTZ_H_XL = const(0x2D)
_FIFO_STATUS1 = const(0x3A)
_FIFO_STATUS4 = const(0x3D)
_FIFO_DATA_OUT_L = const(0x3E)
_FIFO_DATA_OUT_H = const(0x3F)
_TIMESTAMP0 = const(0x40)
_TIMESTAMP2 = const(0x42)
_TAP_CFG = const(0x58)
_WAKE_UP_THS = const(0x5B)
_WAKE_UP_DUR = const(0x5C)
_MD1_CFG = const(0x5E)

_IF_INC = const(0x04)
_ACC_FULL_SCALE_G = (2, 16, 4, 8)
_GYR_UDPS_PER_LSB = (8750, 17500, 35000, 70000)
# Sensitivities of the data sheet, chapter 4.1: ug per LSB at 2, 16, 4, 8 g.
_ACC_UG_PER_LSB = (61, 488, 122, 244)
_FIFO_BYTES = const(4096)


class Chip(motionchip.MotionChip):
    """One LSM6DS3TR-C."""

    DATA_REGISTER = _FIFO_DATA_OUT_L
    CAPACITY_BYTES = _FIFO_BYTES // 12 * 12
    DEFAULTS = {_WHO_AM_I: 0x6A, _CTRL3_C: 0x04, 0x18: 0xE0}
    WRITABLE = {
        _FIFO_CTRL1: 0xFF,
        _FIFO_CTRL2: 0xCF,
        _FIFO_CTRL3: 0x3F,
        _FIFO_CTRL4: 0xFF,
        _FIFO_CTRL5: 0x7F,
        _INT1_CTRL: 0xFF,
        _CTRL1_XL: 0xFF,
        _CTRL2_G: 0xFE,
        _CTRL3_C: 0xFF,
        _CTRL5_C: 0xFF,
        _CTRL10_C: 0xBF,
        _TAP_CFG: 0xFF,
        _WAKE_UP_THS: 0xFF,
        _WAKE_UP_DUR: 0xFF,
        _MD1_CFG: 0xFF,
    }
    STORED = (
        (0x01, 0x01),
        (0x04, 0x05),
        (0x0B, 0x0B),
        (0x0E, 0x0E),
        (0x13, 0x13),
        (0x15, 0x18),
        (0x1A, 0x1A),
        (0x59, 0x5A),
        (0x5D, 0x5D),
        (0x5F, 0x5F),
        (0x73, 0x75),
    )

    def _forget(self):
        self._words_read = 0
        self._xl_read = self._g_read = 0
        self._started_us = clock.now_us

    def _configure(self):
        registers = self._registers
        codes = registers[_CTRL1_XL] >> 4, registers[_CTRL2_G] >> 4
        code = max(codes)
        self._sample_at(0 if not code else 6656.0 / (1 << (10 - code)) if code <= 10 else 0)
        both = registers[_FIFO_CTRL3] == 0x09 and codes[0] == codes[1] == registers[_FIFO_CTRL5] >> 3
        mode = registers[_FIFO_CTRL5] & 7
        self._batching = bool(both and mode in (1, 6))
        self._stops = mode == 1
        if mode == 0:
            self._fifo = bytearray()
            self._overrun = False
            self._words_read = 0
        self._frame(
            12,
            6,
            1000000 / _ACC_UG_PER_LSB[registers[_CTRL1_XL] >> 2 & 3],
            0,
            1000000 / _GYR_UDPS_PER_LSB[registers[_CTRL2_G] >> 2 & 3],
        )
        test = registers[_CTRL5_C]
        # Typical outputs of the self-test: 0.5 g and 250 dps.
        acc = 500000 // _ACC_UG_PER_LSB[registers[_CTRL1_XL] >> 2 & 3]
        gyr = 250000000 // _GYR_UDPS_PER_LSB[registers[_CTRL2_G] >> 2 & 3]
        self._self_test((0, acc, -acc, 0)[test & 3], (0, gyr, 0, -gyr)[test >> 2 & 3])
        self._threshold = 2 * (registers[_FIFO_CTRL1] | (registers[_FIFO_CTRL2] & 7) << 8)
        self._watermark_bytes = self._threshold if registers[_INT1_CTRL] & 0x08 else 0
        self._active_level = 0 if registers[_CTRL3_C] & 0x20 else 1
        wakes = registers[_TAP_CFG] & 0x80 and registers[_MD1_CFG] & 0x20
        full_scale_mg = 1000 * _ACC_FULL_SCALE_G[registers[_CTRL1_XL] >> 2 & 3]
        self._wake_lsb = (registers[_WAKE_UP_THS] & 0x3F) * full_scale_mg * 1000 // (64 * 488) if wakes else 0

    def _save_more(self):
        return [self._words_read, self._started_us]

    def _load_more(self, more):
        self._words_read, self._started_us = more

    def _read_burst(self, buf, at):
        """Whole words: the address goes from FIFO_DATA_OUT_H back to FIFO_DATA_OUT_L."""
        if self._pointer != _FIFO_DATA_OUT_L or not self._registers[_CTRL3_C] & _IF_INC:
            return 0
        n = min(len(buf) - at, len(self._fifo)) & ~1
        buf[at : at + n] = self._fifo[:n]
        self._pop(n)
        return n

    def _pop(self, n):
        self._fifo = self._fifo[n:]
        self._words_read += n // 2
        self._overrun = False

    def _after(self, register):
        if not self._registers[_CTRL3_C] & _IF_INC:
            return register
        return _FIFO_DATA_OUT_L if register == _FIFO_DATA_OUT_H else (register + 1) & 0x7F

    def _write_register(self, register, value):
        if register == _TIMESTAMP2:
            if value == 0xAA:
                self._started_us = clock.now_us
            return
        if not self._keep(register, value):
            return
        if register == _CTRL3_C and value & 0x81:
            if value & 0x01:
                self._reset()
            self._registers[_CTRL3_C] &= ~0x81
            return
        self._configure()

    def _read_register(self, register):
        if _FIFO_STATUS1 <= register <= _FIFO_STATUS4:
            return self._read_fifo_status(register - _FIFO_STATUS1)
        if register in (_FIFO_DATA_OUT_L, _FIFO_DATA_OUT_H):
            return self._read_fifo_byte(register - _FIFO_DATA_OUT_L)
        if _OUT_TEMP_L <= register <= _OUTZ_H_XL:
            return self._read_output(register)
        if register == _STATUS_REG:
            xl = self._registers[_CTRL1_XL] >> 4 and self._done > self._xl_read
            g = self._registers[_CTRL2_G] >> 4 and self._done > self._g_read
            return (1 if xl else 0) | (2 if g else 0)
        if _TIMESTAMP0 <= register <= _TIMESTAMP2:
            if not self._registers[_CTRL10_C] & 0x20:
                return 0
            tick_us = 25 if self._registers[_WAKE_UP_DUR] & 0x10 else 6400
            ticks = int((clock.now_us - self._started_us) * self._clock_factor / tick_us)
            return ticks >> (8 * (register - _TIMESTAMP0)) & 255
        if register == _WAKE_UP_SRC:
            woken, self._woken = self._woken, False
            return 0x08 if woken else 0
        return self._registers[register]

    def _read_fifo_byte(self, high):
        if not self._fifo:
            return 0
        value = self._fifo[high]
        if high:
            self._pop(2)
        return value

    def _read_fifo_status(self, offset):
        words = len(self._fifo) // 2
        if offset == 0:
            return words & 255
        if offset == 1:
            status = words >> 8 & 7
            status |= 0x80 if 0 < self._threshold <= len(self._fifo) else 0
            status |= 0x40 if self._overrun else 0
            status |= 0x20 if len(self._fifo) >= self.CAPACITY_BYTES else 0
            return status | (0 if words else 0x10)
        pattern = self._words_read % 6
        return pattern if offset == 2 else 0

    def _read_output(self, register):
        gyr = register < 0x28
        on = self._registers[_CTRL2_G if gyr else _CTRL1_XL] >> 4
        if register < _OUTX_L_G or not on or not self._done:
            return 0
        if gyr:
            self._g_read = self._done
        else:
            self._xl_read = self._done
        return self._newest()[register - _OUTX_L_G]
