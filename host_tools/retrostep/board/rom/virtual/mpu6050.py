"""Register-level model of InvenSense's MPU-6050: sensors, FIFO of 1,024 bytes, interrupt status.

Source: register map RM-MPU-6000A revision 4.2 (registers 13 to 117) and product specification PS-MPU-6000A.
Modelled: identity and defaults (asleep), sample rate divider, full scales, FIFO in the order of the data
registers, high byte first, which loses its oldest bytes when full (so that frames no longer begin at a
multiple of their length), its count that is latched by the high byte, the overflow flag that reading
INT_STATUS clears, data-ready, device and FIFO reset, the self-test excitation. Not modelled: interrupt pin
(the part has none for a FIFO's filling), cycle mode, auxiliary bus, motion detection.
"""

from micropython import const

from virtual import motionchip
from virtual.motionchip import ABSENT

SELF_TEST_X = const(0x0D)
SELF_TEST_A = const(0x10)
SMPLRT_DIV = const(0x19)
CONFIG = const(0x1A)
GYRO_CONFIG = const(0x1B)
ACCEL_CONFIG = const(0x1C)
FIFO_EN = const(0x23)
INT_PIN_CFG = const(0x37)
INT_ENABLE = const(0x38)
INT_STATUS = const(0x3A)
ACCEL_XOUT_H = const(0x3B)
GYRO_XOUT_H = const(0x43)
GYRO_ZOUT_L = const(0x48)
USER_CTRL = const(0x6A)
PWR_MGMT_1 = const(0x6B)
PWR_MGMT_2 = const(0x6C)
FIFO_COUNTH = const(0x72)
FIFO_COUNTL = const(0x73)
FIFO_R_W = const(0x74)
WHO_AM_I = const(0x75)

_ACC_LSB_PER_G = (16384, 8192, 4096, 2048)
_GYR_LSB_PER_DPS = (131.0, 65.5, 32.8, 16.4)


class Chip(motionchip.MotionChip):
    """One MPU-6050."""

    DATA_REGISTER = FIFO_R_W
    BIG_ENDIAN = True
    # The factory's trim values, 5-bit codes of the self-test's response: accelerometer's high bits, gyroscope.
    DEFAULTS = {0x0D: 0x90, 0x0E: 0x91, 0x0F: 0x8F, 0x10: 0x15, PWR_MGMT_1: 0x40, WHO_AM_I: 0x68}
    WRITABLE = {
        SMPLRT_DIV: 0xFF,
        CONFIG: 0x3F,
        GYRO_CONFIG: 0xF8,
        ACCEL_CONFIG: 0xF8,
        FIFO_EN: 0xFF,
        INT_PIN_CFG: 0xFE,
        INT_ENABLE: 0x19,
        USER_CTRL: 0x77,
        PWR_MGMT_1: 0xEF,
        PWR_MGMT_2: 0xFF,
    }
    STORED = ((0x1F, 0x22), (0x24, 0x34), (0x63, 0x69))

    def _forget(self):
        self._count = 0
        self._last_byte = 0
        self._ready_read = 0

    def _asleep(self):
        return self._registers[PWR_MGMT_1] & 0x40

    def _configure(self):
        registers = self._registers
        if self._asleep():
            self._sample_at(0)
        else:
            base_hz = 8000 if registers[CONFIG] & 7 in (0, 7) else 1000
            self._sample_at(base_hz / (1 + registers[SMPLRT_DIV]))
        # Of the FIFO's switches only the ones for whole sensors make a layout here.
        wanted = registers[FIFO_EN]
        acc_in, gyr_in = wanted & 0x08, wanted & 0x70 == 0x70
        self._lay_out(acc_in, wanted & 0x80, gyr_in)
        self._batching = bool(registers[USER_CTRL] & 0x40 and (acc_in or gyr_in))
        self._excite()

    def _lay_out(self, acc_in, temperature_in, gyr_in):
        acc_bytes = 6 if acc_in else 0
        gyr_at = acc_bytes + (2 if temperature_in else 0)
        registers = self._registers
        self._frame(
            gyr_at + (6 if gyr_in else 0) or 6,
            0 if acc_in else ABSENT,
            _ACC_LSB_PER_G[registers[ACCEL_CONFIG] >> 3 & 3],
            gyr_at if gyr_in else ABSENT,
            _GYR_LSB_PER_DPS[registers[GYRO_CONFIG] >> 3 & 3],
        )

    def _excite(self):
        """Self-test: about what the trim values stand for at 8 g and 250 deg/s."""
        registers = self._registers
        acc = 2400 if registers[ACCEL_CONFIG] & 0xE0 else 0
        gyr = 5000 if registers[GYRO_CONFIG] & 0xE0 else 0
        self._self_test(acc, gyr)

    def _append(self, frames):
        """The oldest bytes go, wherever a frame begins."""
        self._fifo += frames
        over = len(self._fifo) - self.CAPACITY_BYTES
        if over > 0:
            self._overrun = True
            self._fifo = self._fifo[over:]

    def _after(self, register):
        return register if register == FIFO_R_W else (register + 1) & 0x7F

    def _write_register(self, register, value):
        if not self._keep(register, value):
            return
        if register == PWR_MGMT_1 and value & 0x80:
            self._reset()
            return
        if register == USER_CTRL and value & 0x04:
            self._fifo = bytearray()
            self._registers[USER_CTRL] &= ~0x04
        self._configure()

    def _read_register(self, register):
        if ACCEL_XOUT_H <= register <= GYRO_ZOUT_L:
            return self._read_output(register)
        if register == FIFO_COUNTH:
            self._count = len(self._fifo)
            return self._count >> 8
        if register == FIFO_COUNTL:
            return self._count & 255
        if register == FIFO_R_W:
            if self._fifo:
                self._last_byte = self._fifo[0]
                self._fifo = self._fifo[1:]
            return self._last_byte
        if register == INT_STATUS:
            return self._read_status()
        return self._registers[register]

    def _read_status(self):
        status = (0x10 if self._overrun else 0) | (0x01 if self._done > self._ready_read else 0)
        self._overrun = False
        self._ready_read = self._done
        return status

    def _read_output(self, register):
        """A byte of the data registers: the newest sample, in the order in which the FIFO has them too."""
        if self._asleep() or not self._done:
            return 0
        self._lay_out(True, True, True)
        frame = self._newest()
        self._configure()
        return frame[register - ACCEL_XOUT_H]
