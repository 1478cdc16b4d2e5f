"""A vibration motor (ERM) behind a transistor, driven by PWM.

motor = PWMMotor(Pin(3))
motor.run(80)      # percent of full strength
motor.stop()
"""

from micropython import const

_FREQUENCY_HZ = const(20_000)
_FULL_U16 = const(65535)


class PWMMotor:
    """pin: machine.Pin of the transistor's gate or base. pwm: the PWM class (default machine.PWM).

    20 kHz: above hearing, and far above the motor's own mechanics, which average it.
    """

    def __init__(self, pin, pwm=None):
        if pwm is None:
            from machine import PWM as pwm  # noqa: N811
        self._pwm = pwm(pin, freq=_FREQUENCY_HZ, duty_u16=0)

    def run(self, percent):
        """Run at 0..100 % until told otherwise. Raises ValueError outside that range."""
        if not 0 <= percent <= 100:
            raise ValueError("motor strength: expected 0 to 100 %%, got %r" % (percent,))
        self._pwm.duty_u16(_FULL_U16 * percent // 100)

    def stop(self):
        """Stop the motor."""
        self._pwm.duty_u16(0)

    def standby(self):
        """Nothing to play for a while: a stopped motor behind a transistor takes no current anyway."""
        self.stop()

    def deinit(self):
        """Stop and give the PWM channel back."""
        self.stop()
        self._pwm.deinit()
