"""Register-level model of X-Powers' power chip AXP2101, as in LilyGO's T-Watch S3.

Source: X-Powers AXP2101 data sheet, registers 00H (status), 03H (identity), 30H (what is measured), 34H and 35H
(battery voltage, 13 bits of 1 mV), 90H (linear regulators on and off), 97H (voltage of BLDO2). What BLDO2 feeds, the
haptic chip, has power here whatever these say. That nothing is measured at power-on is the harder case for a driver.
"""

from micropython import const

from virtual.xpowers import PowerChip

_CHIP_ID = const(0x03)
_MEASURED = const(0x30)
_LDO_ON = const(0x90)
_BLDO2_VOLTAGE = const(0x97)


class Chip(PowerChip):
    """As every power chip."""

    NAME = "axp2101"
    POWER_ON = {_CHIP_ID: 0x4A, _MEASURED: 0x00, _LDO_ON: 0x00, _BLDO2_VOLTAGE: 0x00}
    FIXED = (_CHIP_ID,)
    MEASURED = (_MEASURED, 0x01)
    VOLTAGE = (0x34, 0x35)

    def _voltage(self, mv):
        return mv >> 8 & 0x1F, mv & 0xFF
