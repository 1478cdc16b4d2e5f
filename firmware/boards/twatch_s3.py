"""LilyGO T-Watch S3, worn at the belt: everything is on it. No gyroscope: for the waist and the pocket only.

BMA423 on the inner bus, interrupt GPIO 14; DRV2605 on the same bus, its rail is BLDO2 of the power chip
(AXP2101), which tells of battery and charger. A touch of the glass pulls GPIO 16 low; it is the button. Not
verified: that line's behaviour while the glass stays touched. The crown is the power chip's.
"""

import machine
from micropython import const

_AXP2101 = const(0x34)
_LDO_ONOFF_0 = const(0x90)
_BLDO2_VOLTAGE = const(0x97)
_BLDO2_ON = const(0x20)
# 0.5 V and 0.1 V a step.
_3_3_V = const(28)

NAME = "twatch_s3"
I2C_ID = 0
SDA_PIN = 10
SCL_PIN = 11
I2C_HZ = 400_000
IMU = "bma423"
IMU_ADDRESS = 0x19
IMU_INT_PIN = 14
HAPTIC = "drv2605l"
MOTOR_PIN = None
BUTTON_PIN = 16
BUTTON_PULL_UP = True
LED_PIN = None
LED_ON = 1
BATTERY_PIN = None
BATTERY_DIVIDER = 2
POWER_CHIP_ADDRESS = 0x34


def power_up():
    """Switch the motor chip's rail on."""
    bus = machine.I2C(I2C_ID, scl=machine.Pin(SCL_PIN), sda=machine.Pin(SDA_PIN), freq=I2C_HZ)
    try:
        bus.writeto_mem(_AXP2101, _BLDO2_VOLTAGE, bytes((_3_3_V,)))
        on = bus.readfrom_mem(_AXP2101, _LDO_ONOFF_0, 1)[0]
        bus.writeto_mem(_AXP2101, _LDO_ONOFF_0, bytes((on | _BLDO2_ON,)))
    except OSError as error:
        print("boards: the power chip does not answer (%s): the motor stays without power" % error)
