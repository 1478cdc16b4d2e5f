"""Waveshare ESP32-S3-Touch-LCD-1.69 with a vibration motor behind a transistor.

QMI8658 on the board (SDA GPIO 11, SCL GPIO 10), read on a timer; the button is BOOT (GPIO 0). To be wired:
motor transistor at GPIO 17. Not verified: the sensor's interrupt pin, the battery's divider, and that GPIO 17
is free on yours.
"""

NAME = "waveshare_lcd169"
I2C_ID = 0
SDA_PIN = 11
SCL_PIN = 10
I2C_HZ = 400_000
IMU = "qmi8658"
IMU_ADDRESS = 0x6B
IMU_INT_PIN = None
HAPTIC = "pwm"
MOTOR_PIN = 17
BUTTON_PIN = 0
BUTTON_PULL_UP = True
LED_PIN = None
LED_ON = 1
BATTERY_PIN = None
BATTERY_DIVIDER = 2
POWER_CHIP_ADDRESS = None
