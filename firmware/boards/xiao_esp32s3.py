"""Seeed XIAO ESP32S3 with an LSM6DSOX breakout and a vibration motor behind a transistor.

Wiring: IMU SDA D4 (GPIO 5), SCL D5 (GPIO 6), INT1 D3 (GPIO 4); motor transistor D2 (GPIO 3); button from D1 (GPIO 2)
to ground; battery through a divider of two equal resistors to D0 (GPIO 1). The yellow LED is on the board.
"""

NAME = "xiao_esp32s3"
I2C_ID = 0
SDA_PIN = 5
SCL_PIN = 6
I2C_HZ = 400_000
IMU = "lsm6dsox"
IMU_ADDRESS = 0x6A
IMU_INT_PIN = 4
HAPTIC = "pwm"
MOTOR_PIN = 3
BUTTON_PIN = 2
BUTTON_PULL_UP = True
LED_PIN = 21
LED_ON = 0
BATTERY_PIN = 1
BATTERY_DIVIDER = 2
POWER_CHIP_ADDRESS = None
