"""Seeed XIAO ESP32S3 with an LSM6DS3TR-C breakout: wired as in xiao_esp32s3.py."""

NAME = "xiao_esp32s3_ds3trc"
I2C_ID = 0
SDA_PIN = 5
SCL_PIN = 6
I2C_HZ = 400_000
IMU = "lsm6ds3trc"
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
