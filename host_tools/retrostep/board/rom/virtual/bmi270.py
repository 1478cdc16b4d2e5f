"""Register-level model of Bosch's BMI270: both sensors, FIFO of 2,048 bytes, the configuration load that it
demands.

Source: data sheet BST-BMI270-DS000, chapters 4.5 (device initialisation), 4.7 (FIFO) and 5 (registers).
Modelled beside what bosch.py says: without a configuration of 8,192 bytes, written through INIT_ADDR and
INIT_DATA while INIT_CTRL is 0 and with power save off, INTERNAL_STATUS never says ready and the sensors stay
off. What the configuration holds is not looked at; only that every byte of it came, once, in its place.
Any-motion of the feature page wakes INT1.
"""

from micropython import const

from virtual import bosch, clock
from virtual.bosch import (
    ACC_CONF,
    ACC_RANGE,
    ACC_SELF_TEST,
    CHIP_ID,
    FIFO_CONFIG_0,
    FIFO_CONFIG_1,
    FIFO_DOWNS,
    FIFO_WTM_0,
    FIFO_WTM_1,
    INIT_CTRL,
    INT1_IO_CTRL,
    INT_MAP_DATA,
    INT_STATUS_0,
    PWR_CONF,
    PWR_CTRL,
)

_INTERNAL_STATUS = const(0x21)
_FEAT_PAGE = const(0x2F)
_FEATURES = const(0x30)
_GYR_CONF = const(0x42)
_GYR_RANGE = const(0x43)
_AUX_CONF = const(0x44)
_INT1_MAP_FEAT = const(0x56)
_INIT_ADDR_0 = const(0x5B)
_INIT_ADDR_1 = const(0x5C)
_INIT_DATA = const(0x5E)
_GYR_SELF_TEST_AXES = const(0x6E)

_CONFIGURATION_BYTES = const(8192)
_READY_AFTER_US = const(20000)
_ANY_MOTION = const(0x40)
_PAGES = const(8)


class Chip(bosch.Chip):
    """One BMI270."""

    CAPACITY_BYTES = 2048
    DATA_AT, DATA_BYTES = 0x0C, 12
    DEFAULTS = {
        CHIP_ID: 0x24,
        ACC_CONF: 0xA8,
        ACC_RANGE: 0x02,
        _GYR_CONF: 0xA9,
        _AUX_CONF: 0x46,
        FIFO_DOWNS: 0x88,
        FIFO_WTM_1: 0x02,
        FIFO_CONFIG_0: 0x02,
        FIFO_CONFIG_1: 0x10,
        PWR_CONF: 0x03,
    }
    WRITABLE = {
        ACC_CONF: 0xFF,
        ACC_RANGE: 0x03,
        _GYR_CONF: 0xFF,
        _GYR_RANGE: 0x0F,
        FIFO_DOWNS: 0xFF,
        FIFO_WTM_0: 0xFF,
        FIFO_WTM_1: 0x1F,
        FIFO_CONFIG_0: 0x03,
        FIFO_CONFIG_1: 0xFF,
        INT1_IO_CTRL: 0x1E,
        INT_MAP_DATA: 0xFF,
        _INT1_MAP_FEAT: 0xFF,
        _FEAT_PAGE: 0x07,
        INIT_CTRL: 0xFF,
        _INIT_ADDR_0: 0x0F,
        _INIT_ADDR_1: 0xFF,
        ACC_SELF_TEST: 0x0D,
        PWR_CONF: 0x03,
        PWR_CTRL: 0x0F,
    }
    STORED = ((0x44, 0x44), (0x4B, 0x4F), (0x54, 0x55), (0x57, 0x57), (0x68, 0x6C), (0x6E, 0x77))

    def _forget(self):
        super()._forget()
        self._loaded = bytearray(_CONFIGURATION_BYTES // 8)
        self._loaded_bytes = 0
        self._misplaced = False
        self._ready_us = None
        self._features = bytearray(16 * _PAGES)

    def _save_more(self):
        return [super()._save_more(), bytes(self._features).hex(), self._ready_us]

    def _load_more(self, more):
        super()._load_more(more[0])
        self._features = bytearray(bytes.fromhex(more[1]))
        self._ready_us = more[2]

    def _ready(self):
        return self._ready_us is not None and clock.now_us >= self._ready_us

    def _configure(self):
        registers = self._registers
        on = registers[PWR_CTRL] if self._ready_us is not None else 0
        rates = self._rate_of(ACC_CONF) if on & 4 else 0, self._rate_of(_GYR_CONF) if on & 2 else 0
        self._sample_at(max(rates))
        lsb_per_g = (16384, 8192, 4096, 2048)[registers[ACC_RANGE] & 3]
        lsb_per_dps = 16.384 * (1 << min(registers[_GYR_RANGE] & 7, 4))
        # The gyroscope comes first in a frame without header.
        self._frame(12, 6, lsb_per_g, 0, lsb_per_dps)
        wanted = registers[FIFO_CONFIG_1] & 0xE0 == 0xC0 and rates[0] == rates[1] > 0
        self._configure_fifo(wanted)
        test = registers[ACC_SELF_TEST]
        # Enabled with high amplitude: 18 g / 16 to either side on every axis, y turned over.
        shift = lsb_per_g * 9 if test & 0x01 else 0
        self._self_test(shift if test & 0x04 else -shift, 0)
        any_motion = self._features[16 + 0x0C : 16 + 0x10]
        threshold = any_motion[2] | (any_motion[3] & 0x07) << 8
        armed = (
            any_motion[3] & 0x80
            and registers[_INT1_MAP_FEAT] & _ANY_MOTION
            and registers[INT1_IO_CTRL] & 0x08
        )
        # 1 g / 2048 a unit, which is the feed's unit.
        self._wake_lsb = max(threshold, 1) if armed and rates[0] else 0

    def _write_register(self, register, value):
        if register == _INIT_DATA:
            self._load_byte()
            return
        if _FEATURES <= register < _FEATURES + 16:
            if self._ready():
                self._features[16 * self._registers[_FEAT_PAGE] + register - _FEATURES] = value
                self._configure()
            else:
                self.refused_writes += 1
            return
        if register == _GYR_SELF_TEST_AXES:
            # Bit 0 starts the gyroscope's own test; done, x, y, z good are there at the next look.
            self._registers[register] = 0x0F if value & 1 and self._ready() else 0
            return
        super()._write_register(register, value)
        if register == INIT_CTRL:
            if value == 0:
                self._loaded_bytes = 0
                self._misplaced = False
            elif value & 1:
                whole = self._loaded_bytes == _CONFIGURATION_BYTES and not self._misplaced
                self._ready_us = clock.now_us + _READY_AFTER_US if whole else None
                self._configure()

    def _load_byte(self):
        """One byte of the configuration; INIT_ADDR counts words and moves on by itself within a burst."""
        registers = self._registers
        if registers[INIT_CTRL] or registers[PWR_CONF] & 1:
            self.refused_writes += 1
            return
        if self._burst_at is None:
            at = 2 * (registers[_INIT_ADDR_0] | registers[_INIT_ADDR_1] << 4)
            self._misplaced = self._misplaced or at != self._loaded_bytes
            self._burst_at = at
        self._burst_at += 1
        self._loaded_bytes += 1

    def write(self, data):
        self._burst_at = None
        super().write(data)

    def _after(self, register):
        return register if register == _INIT_DATA else super()._after(register)

    def _read_register(self, register):
        if register == _INTERNAL_STATUS:
            if self._registers[INIT_CTRL] & 1:
                return 1 if self._ready() else 2 if self._ready_us is None else 0
            return 0
        if _FEATURES <= register < _FEATURES + 16:
            return self._features[16 * self._registers[_FEAT_PAGE] + register - _FEATURES]
        if register == INT_STATUS_0:
            woken, self._woken = self._woken, False
            return _ANY_MOTION if woken else 0
        return super()._read_register(register)

    def _read_output(self, offset):
        """The data registers have the accelerometer first, the FIFO has it last."""
        return self._newest()[(offset + 6) % 12]
