"""Register-level model of TI's DRV2605L haptic driver with the board's motor (vibration.py) at its outputs.

Source: TI data sheet SLOS854D, section 8.6 (registers), 8.3 and 8.5 (modes, voltages, calibration).

Modelled: identity and defaults, standby and device reset, real-time playback in both data formats, internal trigger
with the waveform sequencer, GO, auto-calibration and diagnosis with their durations and results, ERM and LRA in open
and closed loop with rated voltage and overdrive clamp, the LRA period and supply registers, address increment.
Not modelled: the shapes of the library's effects, which TI does not publish (each drives at full strength for
EFFECT_MS), external trigger, PWM, analog and audio input (`unmodelled_writes`), OTP, over-current.

A use that the data sheet warns of, or that no motor would survive, is told as an event "misuse".
"""

from math import sqrt

from micropython import const

from virtual import channel, clock, vibration

_STATUS = const(0x00)
_MODE = const(0x01)
_RTP_INPUT = const(0x02)
_LIBRARY = const(0x03)
_WAVEFORM_1 = const(0x04)
_WAVEFORM_8 = const(0x0B)
_GO = const(0x0C)
_RATED_VOLTAGE = const(0x16)
_OD_CLAMP = const(0x17)
_A_CAL_COMP = const(0x18)
_A_CAL_BEMF = const(0x19)
_FEEDBACK = const(0x1A)
_CONTROL_3 = const(0x1D)
_CONTROL_4 = const(0x1E)
_VBAT = const(0x21)
_LRA_PERIOD = const(0x22)
_LAST = const(0x22)

_DEFAULTS = {
    _STATUS: 0xE0,
    _MODE: 0x40,
    _LIBRARY: 0x01,
    _WAVEFORM_1: 0x01,
    0x11: 0x05,
    0x12: 0x19,
    0x13: 0xFF,
    0x14: 0x19,
    0x15: 0xFF,
    _RATED_VOLTAGE: 0x3E,
    _OD_CLAMP: 0x8C,
    _A_CAL_COMP: 0x0C,
    _A_CAL_BEMF: 0x6C,
    _FEEDBACK: 0x36,
    0x1B: 0x93,
    0x1C: 0xF5,
    _CONTROL_3: 0xA0,
    _CONTROL_4: 0x20,
    0x1F: 0x80,
}
_READ_ONLY = (_STATUS, _VBAT, _LRA_PERIOD)

_DEV_RESET = const(0x80)
_STANDBY = const(0x40)
_INTERNAL_TRIGGER, _REAL_TIME, _DIAGNOSE, _CALIBRATE = 0, 5, 6, 7
_DIAG_RESULT = const(0x08)
_N_ERM_LRA = const(0x80)
_ERM_OPEN_LOOP = const(0x20)
_UNSIGNED_RTP = const(0x08)
_LRA_OPEN_LOOP = const(0x01)
_OTP_PROGRAM = const(0x01)

EFFECT_MS = 100
_SUPPLY_MV = 3300
_WAIT_MS = 10
_DIAGNOSE_MS = 150
_CALIBRATE_MS = (350, 450, 700, 1200)
# A motor is made for 10 or 20 % above its rating.
_TOO_MUCH = 1.25
# A motor of the other kind hardly moves.
_WRONG_KIND = 0.1


class Chip:
    """fitted, feed, int_nets: as every chip of the board gets them; only its place on the bus matters here."""

    def __init__(self, fitted, feed, int_nets):
        self.due_us = clock.NEVER
        self.refused_writes = 0
        self.unmodelled_writes = 0
        self._registers = bytearray(_LAST + 1)
        self._pointer = 0
        self._queue = []
        self._driven = False

    # -- power and state ----------------------------------------------------------------------------------

    def power_on(self):
        """Registers at their defaults: in standby."""
        for register in range(_LAST + 1):
            self._registers[register] = _DEFAULTS.get(register, 0)
        self._pointer = 0
        self._end()
        self._output(0, False)

    def save(self):
        return {"registers": self._registers.hex(), "pointer": self._pointer}

    def load(self, saved):
        self._registers = bytearray(bytes.fromhex(saved["registers"]))
        self._pointer = saved["pointer"]
        self._drive()

    def set_stuck(self, stuck):
        """That is a motion sensor's fault."""

    # -- the bus ------------------------------------------------------------------------------------------

    def write(self, data):
        if not len(data):
            return
        self._pointer = data[0]
        for value in memoryview(data)[1:]:
            self._write_register(self._pointer, value)
            self._pointer = (self._pointer + 1) & 0xFF

    def read_into(self, buf):
        for at in range(len(buf)):
            buf[at] = self._read_register(self._pointer)
            self._pointer = (self._pointer + 1) & 0xFF

    def _read_register(self, register):
        if register > _LAST:
            return 0
        if register == _VBAT:
            return _SUPPLY_MV * 255 // 5600
        if register == _LRA_PERIOD and self._is_lra() and self._driven and vibration.motor:
            return int(1000000 / vibration.motor.frequency_hz / 98.46 + 0.5)
        return self._registers[register]

    def _write_register(self, register, value):
        if register > _LAST or register in _READ_ONLY:
            self.refused_writes += 1
            return
        registers = self._registers
        if register == _MODE:
            self._write_mode(value)
            return
        if register == _GO:
            self._write_go(value & 1)
            return
        if register == _CONTROL_4 and value & _OTP_PROGRAM:
            self._misuse("programming the one-time memory")
            value &= ~_OTP_PROGRAM
        registers[register] = value
        if register == _RTP_INPUT or register >= _RATED_VOLTAGE:
            self._drive()

    def _write_mode(self, value):
        if value & _DEV_RESET:
            self.power_on()
            return
        mode = value & 7
        if mode in (1, 2, 3, 4):
            self.unmodelled_writes += 1
        if self._registers[_GO] and mode in (_DIAGNOSE, _CALIBRATE):
            self._misuse("mode changed while GO is set")
        self._registers[_MODE] = value & (_STANDBY | 7)
        self._end()
        self._drive()

    def _write_go(self, go):
        registers = self._registers
        self._end()
        if not go:
            self._drive()
            return
        if registers[_MODE] & _STANDBY:
            self._misuse("GO in standby")
            return
        mode = registers[_MODE] & 7
        if mode == _INTERNAL_TRIGGER:
            if not registers[_LIBRARY] & 7:
                self._misuse("GO with an empty library")
                return
            for register in range(_WAVEFORM_1, _WAVEFORM_8 + 1):
                effect = registers[register]
                if not effect:
                    break
                if effect & 0x80:
                    self._queue.append((0, (effect & 0x7F) * _WAIT_MS))
                else:
                    self._queue.append((effect, EFFECT_MS))
        elif mode == _DIAGNOSE:
            self._queue.append((-1, _DIAGNOSE_MS))
        elif mode == _CALIBRATE:
            self._queue.append((-1, _CALIBRATE_MS[registers[_CONTROL_4] >> 4 & 3]))
        else:
            self._misuse("GO in a mode that knows none")
            return
        registers[_GO] = 1
        self._next()

    # -- what plays ---------------------------------------------------------------------------------------

    def _next(self):
        """Begin the next thing of the queue, or be done."""
        if not self._queue:
            self._end()
            self._drive()
            return
        effect, ms = self._queue.pop(0)
        self.due_us = clock.now_us + ms * 1000
        if effect > 0:
            channel.send({"event": "effect", "us": clock.now_us, "number": effect})
        self._output(1.0 if effect else 0.0, not self._open_loop())

    def _end(self):
        self._queue = []
        self._registers[_GO] = 0
        self.due_us = clock.NEVER

    def fire(self):
        """The present effect, wait, diagnosis or calibration is over."""
        mode = self._registers[_MODE] & 7
        if mode in (_DIAGNOSE, _CALIBRATE):
            self._tell_result(mode)
        self._next()

    def _tell_result(self, mode):
        registers = self._registers
        good = vibration.motor is not None and self._is_lra() == vibration.motor.is_lra
        if mode == _CALIBRATE:
            good = good and registers[_RATED_VOLTAGE] > 0 and not self._open_loop()
            if good:
                registers[_A_CAL_COMP] = 0x0E
                registers[_A_CAL_BEMF] = registers[_RATED_VOLTAGE] // 2 + 0x40
                registers[_FEEDBACK] = registers[_FEEDBACK] & 0xFC | (2 if self._is_lra() else 1)
        registers[_STATUS] = _DEFAULTS[_STATUS] | (0 if good else _DIAG_RESULT)

    # -- the output ---------------------------------------------------------------------------------------

    def _is_lra(self):
        return bool(self._registers[_FEEDBACK] & _N_ERM_LRA)

    def _open_loop(self):
        return bool(self._registers[_CONTROL_3] & (_LRA_OPEN_LOOP if self._is_lra() else _ERM_OPEN_LOOP))

    def _full_mv(self):
        """The voltage of a full-scale input: equations 2 to 5, at the default sample time."""
        registers = self._registers
        if self._is_lra():
            hz = vibration.motor.frequency_hz
            if self._open_loop():
                return 21.32 * registers[_OD_CLAMP] * sqrt(1 - hz * 0.0008)
            return 20.58 * registers[_RATED_VOLTAGE] / sqrt(1 - 0.0015 * hz)
        return 21.18 * registers[_OD_CLAMP if self._open_loop() else _RATED_VOLTAGE]

    def _drive(self):
        """Set the output after a change of mode, input or settings."""
        registers = self._registers
        if registers[_GO]:
            return
        if registers[_MODE] & _STANDBY or registers[_MODE] & 7 != _REAL_TIME:
            self._output(0.0, False)
            return
        value = registers[_RTP_INPUT]
        if registers[_CONTROL_3] & _UNSIGNED_RTP:
            value -= 128
        elif value > 127:
            value -= 256
        self._output(value / 127, not self._open_loop())

    def _output(self, part, closed_loop):
        """Drive the motor at a part of full scale."""
        self._driven = part > 0
        motor = vibration.motor
        if not motor or motor.pin is not None:
            return
        level = part * self._full_mv() / motor.rated_mv
        if part and self._is_lra() != motor.is_lra:
            self._misuse("an %s is driven as %s" % (("ERM", "LRA") if self._is_lra() else ("LRA", "ERM")))
            level *= _WRONG_KIND
        if level > _TOO_MUCH:
            self._misuse("the motor gets %d %% of its rated voltage" % (level * 100))
        motor.drive(level, closed_loop)

    def _misuse(self, what):
        channel.send({"event": "misuse", "us": clock.now_us, "chip": "drv2605l", "what": what})
