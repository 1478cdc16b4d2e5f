"""TI DRV2605L haptic driver over I2C: runs an ERM or an LRA motor in real time, or plays the chip's own effects.

    motor = DRV2605L(i2c)                        # a coin motor (ERM) of 3 V
    motor = DRV2605L(i2c, lra_hz=175, rated_mv=2000, overdrive_mv=2500)
    motor.run(80)                                # percent of full strength, until told otherwise
    motor.stop()                                 # and, where the loop is closed, brake
    motor.standby()                              # 2 uA instead of half a milliampere
    motor.play(1, 10)                            # library effects one after the other, at most eight

The interface of pwm_motor.py, plus play(). The constructor writes nothing: a chip that is missing costs whoever runs
it an OSError, nothing else. After an OSError, and where the chip has forgotten its settings (brown-out),
the next run() sets it up anew.

An LRA runs in closed loop: the chip finds the resonance. An ERM runs in open loop, and in closed loop, with overdrive
at the start and braking at the end, once it was calibrated: `calibration` is what drv2605l_service.calibrate() gave.

Source: TI DRV2605L data sheet SLOS854D; sections 8.5.2 (rated voltage and overdrive clamp), 8.6 (registers). The
DRV2605 (device id 3 instead of 7) is driven the same.
"""

from micropython import const

_STATUS = const(0x00)
_MODE = const(0x01)
_RTP_INPUT = const(0x02)
_LIBRARY = const(0x03)
_WAVEFORM_1 = const(0x04)
_GO = const(0x0C)
_RATED_VOLTAGE = const(0x16)
_OD_CLAMP = const(0x17)
_A_CAL_COMP = const(0x18)
_A_CAL_BEMF = const(0x19)
_FEEDBACK = const(0x1A)
_CONTROL_1 = const(0x1B)
_CONTROL_3 = const(0x1D)

_MODE_INTERNAL_TRIGGER = const(0x00)
_MODE_REAL_TIME = const(0x05)
_STANDBY = const(0x40)
# Brake factor 4x, loop gain medium, both as after a reset; the low two bits are the back-EMF gain.
_FEEDBACK_KEPT = const(0x34)
_GAIN_DEFAULT = const(0x02)
_N_ERM_LRA = const(0x80)
_CONTROL_3_CLOSED_LOOP = const(0x80)
_CONTROL_3_ERM_OPEN_LOOP = const(0xA0)
_STARTUP_BOOST = const(0x80)
_DRIVE_TIME_ERM = const(0x13)
_LIBRARY_ERM_A = const(1)
_LIBRARY_LRA = const(6)
_DEVICE_IDS = (3, 7)
_MOST_EFFECTS = const(8)
_LAST_EFFECT = const(123)


def _byte(value):
    return min(max(int(value + 0.5), 0), 255)


class WrongChip(OSError):
    """What answers at the address is no DRV2605 or DRV2605L."""


class DRV2605L:
    """i2c: machine.I2C or SoftI2C. lra_hz: the resonance of an LRA; 0: an ERM.

    rated_mv: what the motor may get for long (an LRA: RMS); overdrive_mv: at most, for a moment (an LRA: peak).
    calibration: three bytes, or None. Every method but the constructor may raise OSError from the bus.
    """

    def __init__(self, i2c, address=0x5A, lra_hz=0, rated_mv=3000, overdrive_mv=3300, calibration=None):
        self._i2c = i2c
        self._address = address
        self._lra_hz = lra_hz
        self._rated_mv = rated_mv
        self._overdrive_mv = overdrive_mv
        self.calibration = calibration
        self._one = bytearray(1)
        self._drive = bytearray(2)
        self._ready = False
        # A reset of the processor leaves the chip as it was.
        self._asleep = False

    def _read(self, register):
        self._i2c.readfrom_mem_into(self._address, register, self._one)
        return self._one[0]

    def _write(self, register, value):
        self._one[0] = value
        self._i2c.writeto_mem(self._address, register, self._one)

    def set_up(self, closed_loop=None):
        """Write all settings; the chip is awake and drives nothing. closed_loop: None = as the class says."""
        self._ready = False
        self._write(_MODE, _MODE_INTERNAL_TRIGGER)
        found = self._read(_STATUS) >> 5
        if found not in _DEVICE_IDS:
            raise WrongChip(
                "DRV2605L expected at 0x%02x: device id 7 or 3, found %d; check the board file's HAPTIC"
                % (self._address, found)
            )
        lra_hz = self._lra_hz
        if closed_loop is None:
            closed_loop = bool(lra_hz or self.calibration)
        if lra_hz:
            # Equations 3 and 6, at the sample time of 300 us that a reset leaves.
            rated = self._rated_mv * (1 - 0.0015 * lra_hz) ** 0.5 / 20.58
            clamp = self._overdrive_mv / 21.22
            drive_time = _byte((500_000 / lra_hz - 500) / 100) & 0x1F
        else:
            rated = self._rated_mv / 21.18
            # Equation 5 at the times that a reset leaves: the drive is on for 4.5 of 4.95 ms.
            clamp = self._overdrive_mv / (21.64 * 4.5 / 4.95) if closed_loop else self._rated_mv / 21.18
            drive_time = _DRIVE_TIME_ERM
        gain = _GAIN_DEFAULT
        if self.calibration:
            compensation, back_emf, gain = self.calibration
            self._write(_A_CAL_COMP, compensation)
            self._write(_A_CAL_BEMF, back_emf)
        self._write(_RATED_VOLTAGE, _byte(rated))
        self._write(_OD_CLAMP, _byte(clamp))
        self._feedback = (_N_ERM_LRA if lra_hz else 0) | _FEEDBACK_KEPT | gain
        self._write(_FEEDBACK, self._feedback)
        self._write(_CONTROL_1, _STARTUP_BOOST | drive_time)
        self._write(_CONTROL_3, _CONTROL_3_CLOSED_LOOP if closed_loop else _CONTROL_3_ERM_OPEN_LOOP)
        self._write(_LIBRARY, _LIBRARY_LRA if lra_hz else _LIBRARY_ERM_A)
        self._ready = True
        self._asleep = False

    def _wake(self):
        """Ready to drive, whatever happened since the last time."""
        if self._ready and self._asleep:
            # A brown-out leaves the settings of a reset.
            self._ready = False
            self._ready = self._read(_FEEDBACK) == self._feedback and self._read(_LIBRARY) != 0
        if not self._ready:
            self.set_up()

    def run(self, percent):
        """Run at 0..100 % until told otherwise. Raises ValueError outside that range."""
        if not 0 <= percent <= 100:
            raise ValueError("motor strength: expected 0 to 100 %%, got %r" % (percent,))
        self._wake()
        self._real_time(percent * 127 // 100)

    def stop(self):
        """Stop the motor; in closed loop it is braked."""
        if self._asleep:
            return
        self._real_time(0)

    def _real_time(self, value):
        """Drive at 0..127 of full: mode and value in one transfer."""
        self._asleep = False
        self._ready, ready = False, self._ready
        self._drive[0] = _MODE_REAL_TIME
        self._drive[1] = value
        self._i2c.writeto_mem(self._address, _MODE, self._drive)
        self._ready = ready

    def play(self, *effects):
        """Begin to play effects 1..123 of the library one after the other; a negative number waits so many ms.

        A wait is at most 1270 ms, in steps of 10 ms. Raises ValueError for what the sequencer can't hold.
        """
        if not 1 <= len(effects) <= _MOST_EFFECTS:
            raise ValueError("effects: expected 1 to 8, got %d" % len(effects))
        sequence = bytearray(_MOST_EFFECTS)
        for at, effect in enumerate(effects):
            if not -1270 <= effect <= _LAST_EFFECT or not effect:
                raise ValueError(
                    "effect: expected 1 to 123, or a wait of -10 to -1270 ms, got %r" % (effect,)
                )
            sequence[at] = effect if effect > 0 else 0x80 | -effect // 10
        self._wake()
        self._write(_MODE, _MODE_INTERNAL_TRIGGER)
        self._i2c.writeto_mem(self._address, _WAVEFORM_1, sequence)
        self._write(_GO, 1)
        self._asleep = False

    def playing(self):
        """Whether effects that play() began are not over yet."""
        return self._read(_GO) & 1 == 1

    def standby(self):
        """Nothing to play for a while. What runs is cut off, without braking."""
        if not self._asleep:
            self._write(_MODE, _STANDBY)
            self._asleep = True

    def deinit(self):
        """Stop for good."""
        self.stop()
        self.standby()
