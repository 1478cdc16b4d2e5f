"""What the models of Bosch's BMA423 and BMI270 share: the FIFO without headers, INT1, power-save, commands.

Sources: data sheets BST-BMA423-DS000 and BST-BMI270-DS000, chapters on FIFO, interrupts and register
description. Modelled: watermark and full interrupts on INT1, FIFO that overwrites its oldest frames or stops,
count, flush and soft-reset commands, advanced power save (the FIFO does not answer in it), sensor time of
39.0625 us, data-ready, self-test. Not modelled: headers and sensor-time frames (a FIFO with headers stays
empty here), INT2, down-sampling, features.
"""

from micropython import const

from virtual import clock, motionchip

CHIP_ID = const(0x00)
ERR_REG = const(0x02)
STATUS = const(0x03)
SENSORTIME_0 = const(0x18)
INT_STATUS_0 = const(0x1C)
INT_STATUS_1 = const(0x1D)
FIFO_LENGTH_0 = const(0x24)
FIFO_LENGTH_1 = const(0x25)
FIFO_DATA = const(0x26)
ACC_CONF = const(0x40)
ACC_RANGE = const(0x41)
FIFO_DOWNS = const(0x45)
FIFO_WTM_0 = const(0x46)
FIFO_WTM_1 = const(0x47)
FIFO_CONFIG_0 = const(0x48)
FIFO_CONFIG_1 = const(0x49)
INT1_IO_CTRL = const(0x53)
INT_MAP_DATA = const(0x58)
INIT_CTRL = const(0x59)
ACC_SELF_TEST = const(0x6D)
PWR_CONF = const(0x7C)
PWR_CTRL = const(0x7D)
CMD = const(0x7E)

# In INT_MAP_DATA and in INT_STATUS_1.
_FWM_INT1 = const(0x02)
_FULL_STATUS = const(0x01)
_FWM_STATUS = const(0x02)
_SOFT_RESET = const(0xB6)
_FIFO_FLUSH = const(0xB0)


class Chip(motionchip.MotionChip):
    """A derived class gives the layout, the bits, and which of ACC_SELF_TEST's bits mean what."""

    DATA_REGISTER = FIFO_DATA
    # Where the data registers begin, and the newest frame's part that they show.
    DATA_AT = 0
    DATA_BYTES = 0

    def _forget(self):
        self._started_us = clock.now_us
        self._ready_read = 0

    def _save_more(self):
        return [self._started_us]

    def _load_more(self, more):
        self._started_us = more[0]

    def _rate_of(self, conf):
        """Hz of an output data rate code: 8 is 100 Hz."""
        code = self._registers[conf] & 15
        return 100.0 * (1 << code) / 256 if 1 <= code <= 12 else 0

    def _configure_fifo(self, wanted):
        """wanted: whether FIFO_CONFIG_1 asks for exactly what the frames hold."""
        registers = self._registers
        self._batching = bool(wanted and not registers[FIFO_CONFIG_1] & 0x10)
        self._stops = bool(registers[FIFO_CONFIG_0] & 1)
        io = registers[INT1_IO_CTRL]
        self._active_level = 1 if io & 0x02 else 0
        self._threshold = registers[FIFO_WTM_0] | registers[FIFO_WTM_1] << 8
        self._watermark_bytes = self._threshold if io & 0x08 and registers[INT_MAP_DATA] & _FWM_INT1 else 0

    def _asleep(self):
        """In advanced power save the FIFO can't be read."""
        return self._registers[PWR_CONF] & 0x01

    def _after(self, register):
        return register if register == FIFO_DATA else (register + 1) & 0x7F

    def _read_burst(self, buf, at):
        if self._pointer == FIFO_DATA and self._asleep():
            return 0
        return super()._read_burst(buf, at)

    def _write_register(self, register, value):
        if register == CMD:
            if value == _SOFT_RESET:
                self._reset()
            elif value == _FIFO_FLUSH:
                self._fifo = bytearray()
                self._overrun = False
            return
        if self._keep(register, value):
            self._configure()

    def _read_register(self, register):
        registers = self._registers
        if register == STATUS:
            return 0x90 if self._done > self._ready_read else 0x10
        if self.DATA_AT <= register < self.DATA_AT + self.DATA_BYTES:
            self._ready_read = self._done
            return self._read_output(register - self.DATA_AT) if self._done else 0
        if SENSORTIME_0 <= register < SENSORTIME_0 + 3:
            ticks = int((clock.now_us - self._started_us) * self._clock_factor / 39.0625)
            return ticks >> (8 * (register - SENSORTIME_0)) & 255
        if register == INT_STATUS_1:
            status = _FULL_STATUS if self._overrun else 0
            status |= _FWM_STATUS if 0 < self._threshold <= len(self._fifo) else 0
            self._overrun = False
            return status
        if register == FIFO_LENGTH_0:
            return len(self._fifo) & 255
        if register == FIFO_LENGTH_1:
            return len(self._fifo) >> 8
        if register == FIFO_DATA:
            # Empty, or in power save: what Bosch's parts answer then.
            return 0x80
        return registers[register]
