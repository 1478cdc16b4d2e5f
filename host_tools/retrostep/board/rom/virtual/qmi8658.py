"""Register-level model of QST's QMI8658: both sensors in 6DOF mode, FIFO of 1,536 bytes with its read mode,
INT2.

Source: data sheet QMI8658A revision A (registers in chapter 5, CTRL9 protocol in 5.10, FIFO in 8). Modelled:
identity, rates from the gyroscope's 7,174.4 Hz, full scales, byte order, FIFO of 16 to 128 samples (FIFO and
stream mode), its count in words of two bytes, watermark, full and overflow flags, the CTRL9 handshake through
STATUSINT, read mode (FIFO data appears only in it, and no sample enters the FIFO while it is on), sample
counter, watermark interrupt, reset, the accelerometer's self-test, wake on motion. Not modelled: locking,
low-pass filters, motion engines other than wake on motion, exact rates of the accelerometer alone.
"""

from micropython import const

from virtual import motionchip

_WHO_AM_I = const(0x00)
_REVISION_ID = const(0x01)
_CTRL1 = const(0x02)
_CTRL2 = const(0x03)
_CTRL3 = const(0x04)
_CTRL5 = const(0x06)
_CTRL7 = const(0x08)
_CTRL8 = const(0x09)
_CTRL9 = const(0x0A)
_CAL1_L = const(0x0B)
_CAL1_H = const(0x0C)
_CAL4_H = const(0x12)
_FIFO_WTM_TH = const(0x13)
_FIFO_CTRL = const(0x14)
_FIFO_SMPL_CNT = const(0x15)
_FIFO_STATUS = const(0x16)
_FIFO_DATA = const(0x17)
_STATUSINT = const(0x2D)
_STATUS0 = const(0x2E)
_STATUS1 = const(0x2F)
_TIMESTAMP_L = const(0x30)
_AX_L = const(0x35)
_GZ_H = const(0x40)
_DVX_L = const(0x51)
_DVZ_H = const(0x56)
_RESET_STATE = const(0x4D)
_RESET = const(0x60)

_CMD_RESET_FIFO = const(0x04)
_CMD_REQUEST_FIFO = const(0x05)
_CMD_WRITE_WOM = const(0x08)
_READ_MODE = const(0x80)


class Chip(motionchip.MotionChip):
    """One QMI8658; int_nets[0] is INT2, where the FIFO's interrupt comes out unless CTRL1 says INT1."""

    DATA_REGISTER = _FIFO_DATA
    DEFAULTS = {_WHO_AM_I: 0x05, _REVISION_ID: 0x7C, _CTRL1: 0x20, _RESET_STATE: 0x80}
    WRITABLE = {
        _CTRL1: 0xFD,
        _CTRL2: 0xFF,
        _CTRL3: 0xFF,
        _CTRL5: 0x77,
        _CTRL7: 0xB3,
        _CTRL8: 0xDF,
        _FIFO_WTM_TH: 0xFF,
        _FIFO_CTRL: 0x8F,
    }
    STORED = ((0x05, 0x05), (0x07, 0x07))

    def _forget(self):
        self._done_flag = False
        self._wake_mg = 0
        self._motion = False
        self._tested = False
        self._ready_read = 0

    def _save_more(self):
        return [self._done_flag, self._wake_mg]

    def _load_more(self, more):
        self._done_flag, self._wake_mg = more

    def _configure(self):
        registers = self._registers
        on = registers[_CTRL7] & 3
        code = registers[_CTRL3] & 15
        acc_code = registers[_CTRL2] & 15
        if registers[_CTRL1] & 1 or not on:
            self._sample_at(0)
        elif on == 1:
            # Alone, the accelerometer has rates of its own; the low-power ones from code 12 on.
            self._sample_at(
                {12: 128.0, 13: 21.0, 14: 11.0, 15: 3.0}.get(acc_code, 1000.0 / (1 << max(acc_code - 3, 0)))
            )
        else:
            self._sample_at(7174.4 / (1 << code) if code <= 8 else 0)
        self.BIG_ENDIAN = bool(registers[_CTRL1] & 0x20)
        lsb_per_g = 16384 >> (registers[_CTRL2] >> 4 & 3)
        lsb_per_dps = 2048 >> (registers[_CTRL3] >> 4 & 7)
        self._frame(12, 0, lsb_per_g, 6, lsb_per_dps)
        mode = registers[_FIFO_CTRL] & 3
        self.CAPACITY_BYTES = 12 * (16 << (registers[_FIFO_CTRL] >> 2 & 3))
        reading = registers[_FIFO_CTRL] & _READ_MODE
        self._batching = mode in (1, 2) and on == 3 and not reading
        self._stops = mode == 1
        if mode == 0:
            self._fifo = bytearray()
            self._overrun = False
        self._threshold = 12 * registers[_FIFO_WTM_TH]
        on_int2 = registers[_CTRL1] & 0x10 and not registers[_CTRL1] & 0x04
        self._watermark_bytes = self._threshold if on_int2 and mode and not reading else 0
        self._wake_lsb = self._wake_mg * 1000 // 488 if on == 1 else 0

    def _pin_active(self):
        return bool(0 < self._watermark_bytes <= len(self._fifo)) or self._woken

    def _after(self, register):
        if register == _FIFO_DATA or not self._registers[_CTRL1] & 0x40:
            return register
        return (register + 1) & 0x7F

    def _read_burst(self, buf, at):
        if not self._registers[_FIFO_CTRL] & _READ_MODE:
            return 0
        return super()._read_burst(buf, at)

    def _write_register(self, register, value):
        if register == _RESET:
            if value == 0xB0:
                self._reset()
            return
        if register == _CTRL9:
            self._command(value)
            return
        if _CAL1_L <= register <= _CAL4_H:
            self._registers[register] = value
            return
        if self._keep(register, value):
            if register == _CTRL2 and value & 0x80:
                # The accelerometer's self-test: its result lies in dVX .. dVZ until the bit is cleared.
                self._tested = True
            self._configure()

    def _command(self, value):
        if value == _CMD_REQUEST_FIFO:
            self._registers[_FIFO_CTRL] |= _READ_MODE
        elif value == _CMD_RESET_FIFO:
            self._fifo = bytearray()
            self._overrun = False
        elif value == _CMD_WRITE_WOM:
            self._wake_mg = self._registers[_CAL1_L]
        self._done_flag = value != 0
        self._configure()

    def _read_register(self, register):
        registers = self._registers
        words = len(self._fifo) // 2
        if register == _FIFO_SMPL_CNT:
            return words & 255
        if register == _FIFO_STATUS:
            status = words >> 8 & 3
            status |= 0x80 if len(self._fifo) >= self.CAPACITY_BYTES else 0
            status |= 0x40 if 0 < self._threshold <= len(self._fifo) else 0
            status |= 0x20 if self._overrun else 0
            self._overrun = False
            return status | (0x10 if words else 0)
        if register == _STATUSINT:
            return (0x80 if self._done_flag else 0) | (1 if self._tested else 0)
        if register == _STATUS0:
            return 3 if self._done > self._ready_read else 0
        if register == _STATUS1:
            woken, self._woken = self._woken, False
            return 0x04 if woken else 0
        if _TIMESTAMP_L <= register < _TIMESTAMP_L + 3:
            return self._done >> (8 * (register - _TIMESTAMP_L)) & 255
        if _AX_L <= register <= _GZ_H:
            self._ready_read = self._done
            return self._newest()[register - _AX_L] if self._done else 0
        if _DVX_L <= register <= _DVZ_H:
            # U5.11: 0.4 g; more than 0.2 g is good.
            value = 819 if registers[_CTRL2] & 0x80 else 0
            return value >> (8 * ((register - _DVX_L) & 1)) & 255
        return registers[register]
