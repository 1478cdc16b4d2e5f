"""M5Stack M5StickC Plus2: everything is on it but a motor, so cues are light only.

MPU-6886 on the inner bus (its interrupt is not wired); button A (GPIO 37), pulled up on the board; red LED
GPIO 19; battery behind a divider of two at GPIO 38. GPIO 4 must be held high, or the board switches itself
off.
"""

import machine

NAME = "m5stickc_plus2"
I2C_ID = 0
SDA_PIN = 21
SCL_PIN = 22
I2C_HZ = 400_000
IMU = "mpu6886"
IMU_ADDRESS = 0x68
IMU_INT_PIN = None
HAPTIC = None
MOTOR_PIN = None
BUTTON_PIN = 37
BUTTON_PULL_UP = False
LED_PIN = 19
LED_ON = 1
BATTERY_PIN = 38
BATTERY_DIVIDER = 2
POWER_CHIP_ADDRESS = None


def power_up():
    """Hold the power on."""
    machine.Pin(4, machine.Pin.OUT, value=1)
