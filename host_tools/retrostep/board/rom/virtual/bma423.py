"""Register-level model of Bosch's BMA423: an accelerometer of 12 bits, left-aligned, FIFO of 1,024 bytes.

Source: data sheet BST-BMA423-DS000, register description. See bosch.py for what is modelled of the FIFO.
Not modelled: the feature engine (its configuration file, step counter, any-motion), low-power averaging,
auxiliary bus.
"""

from virtual import bosch
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
    PWR_CONF,
    PWR_CTRL,
)
from virtual.motionchip import ABSENT


class Chip(bosch.Chip):
    """One BMA423."""

    CAPACITY_BYTES = 1024
    DATA_AT, DATA_BYTES = 0x12, 6
    DEFAULTS = {
        CHIP_ID: 0x13,
        ACC_CONF: 0xA8,
        ACC_RANGE: 0x01,
        FIFO_DOWNS: 0x80,
        FIFO_WTM_1: 0x02,
        FIFO_CONFIG_0: 0x02,
        FIFO_CONFIG_1: 0x10,
        INIT_CTRL: 0x90,
        PWR_CONF: 0x03,
    }
    WRITABLE = {
        ACC_CONF: 0xFF,
        ACC_RANGE: 0x03,
        FIFO_DOWNS: 0xF0,
        FIFO_WTM_0: 0xFF,
        FIFO_WTM_1: 0x1F,
        FIFO_CONFIG_0: 0x03,
        FIFO_CONFIG_1: 0x7C,
        INT1_IO_CTRL: 0x1F,
        INT_MAP_DATA: 0x77,
        ACC_SELF_TEST: 0x0D,
        PWR_CONF: 0x03,
        PWR_CTRL: 0x05,
    }
    STORED = ((0x44, 0x44), (0x4A, 0x4F), (0x54, 0x57), (0x59, 0x5E), (0x6A, 0x6B), (0x70, 0x73))

    def _configure(self):
        registers = self._registers
        self._sample_at(self._rate_of(ACC_CONF) if registers[PWR_CTRL] & 0x04 else 0)
        lsb_per_g = (16384, 8192, 4096, 2048)[registers[ACC_RANGE] & 3]
        self._frame(6, 0, lsb_per_g, ABSENT, 0, 0xFFF0)
        self._configure_fifo(registers[FIFO_CONFIG_1] & 0x60 == 0x40 and registers[PWR_CTRL] & 0x04)
        test = registers[ACC_SELF_TEST]
        # Enabled, high amplitude: a good 0.5 g to either side.
        shift = lsb_per_g * 6 // 10 if test & 0x01 else 0
        self._self_test(shift if test & 0x04 else -shift, 0)

    def _read_output(self, offset):
        return self._newest()[offset]
