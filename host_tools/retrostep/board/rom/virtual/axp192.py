"""Register-level model of X-Powers' power chip AXP192 with the board's motor (vibration.py) at LDO3.

Source: X-Powers AXP192 data sheet, registers 00H (power status), 12H (supplies on and off), 28H (voltages of LDO2 and
LDO3), 78H and 79H (battery voltage, 12 bits of 1.1 mV), 82H (what is measured); the identity in 03H is the one that
other drivers of the chip look for.

Modelled: these, and what LDO3 does to the motor. Which supplies are on at power-on is set at the factory; here it is
what an M5Stack Core2 needs.

Switching off what feeds the processor is told as an event "misuse".
"""

from micropython import const

from virtual import channel, clock, vibration
from virtual.xpowers import PowerChip

_CHIP_ID = const(0x03)
_SUPPLIES = const(0x12)
_LDO23_VOLTAGE = const(0x28)
_MEASURED = const(0x82)

_DC_DC1 = const(0x01)
_LDO3 = const(0x08)


class Chip(PowerChip):
    """As every power chip."""

    NAME = "axp192"
    # EXTEN, LDO2, DC-DC3, DC-DC1; LDO2 at 3.0 V, LDO3 at 3.3 V.
    POWER_ON = {_CHIP_ID: 0x03, _SUPPLIES: 0x47, _LDO23_VOLTAGE: 0xCF, _MEASURED: 0x83}
    FIXED = (_CHIP_ID,)
    MEASURED = (_MEASURED, 0x80)
    VOLTAGE = (0x78, 0x79)

    def _voltage(self, mv):
        value = min(mv * 10 // 11, 0xFFF)
        return value >> 4, value & 0x0F

    def _drive(self):
        supplies = self._registers[_SUPPLIES]
        if not supplies & _DC_DC1:
            what = "DC-DC1, which feeds the processor, is switched off"
            channel.send({"event": "misuse", "us": clock.now_us, "chip": self.NAME, "what": what})
        motor = vibration.motor
        if motor and motor.pin is None:
            mv = 1800 + 100 * (self._registers[_LDO23_VOLTAGE] & 0x0F) if supplies & _LDO3 else 0
            motor.drive(mv / motor.rated_mv, False)
