"""A vibration motor (ERM) at LDO3 of X-Powers' power chip AXP192, as in the M5Stack Core2.

    motor = AXP192Motor(i2c)
    motor.run(80)      # percent: of the way from 1.8 V, 0 %, to 3.3 V
    motor.stop()

The interface of pwm_motor.py; only the voltage makes it stronger. Nothing is written before the chip has said that it
is an AXP192: the AXP2101 of later boards answers at the same address and has other supplies behind these registers.

Source: X-Powers AXP192 data sheet, registers 12H (supplies on and off) and 28H (voltages of LDO2 and LDO3).
"""

from micropython import const

_CHIP_ID = const(0x03)
_SUPPLIES = const(0x12)
_LDO23_VOLTAGE = const(0x28)

_AXP192 = const(0x03)
_LDO3_ON = const(0x08)
_LDO3_VOLTAGE = const(0x0F)


class WrongChip(OSError):
    """What answers at the address is no AXP192."""


class AXP192Motor:
    """i2c: machine.I2C or SoftI2C. Every method but the constructor may raise OSError from the bus."""

    def __init__(self, i2c, address=0x34):
        self._i2c = i2c
        self._address = address
        self._one = bytearray(1)
        self._known = False
        # A reset of the processor leaves the chip as it was.
        self._on = True

    def _read(self, register):
        self._i2c.readfrom_mem_into(self._address, register, self._one)
        return self._one[0]

    def _change(self, register, mask, value):
        """Give the bits of `mask` that value; the others are other supplies, the processor's own among them."""
        if not self._known:
            found = self._read(_CHIP_ID)
            if found != _AXP192:
                raise WrongChip(
                    "AXP192 expected at 0x%02x: chip id 0x03, found 0x%02x; its motor is not driven"
                    % (self._address, found)
                )
            self._known = True
        self._one[0] = self._read(register) & ~mask | value
        self._i2c.writeto_mem(self._address, register, self._one)

    def run(self, percent):
        """Run at 0..100 % until told otherwise, 0: stop. Raises ValueError outside that range."""
        if not 0 <= percent <= 100:
            raise ValueError("motor strength: expected 0 to 100 %%, got %r" % (percent,))
        if not percent:
            self.stop()
            return
        self._change(_LDO23_VOLTAGE, _LDO3_VOLTAGE, _LDO3_VOLTAGE * percent // 100)
        self._on = True
        self._change(_SUPPLIES, _LDO3_ON, _LDO3_ON)

    def stop(self):
        """Stop the motor."""
        if self._on:
            self._change(_SUPPLIES, _LDO3_ON, 0)
            self._on = False

    def standby(self):
        """Nothing to play for a while: a supply that is off takes no current."""
        self.stop()

    def deinit(self):
        """Stop for good."""
        self.stop()
