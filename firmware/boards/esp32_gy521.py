"""ESP32 DevKit with a GY-521 breakout (MPU-6050) and a vibration motor behind a transistor.

Wiring: IMU SDA GPIO 21, SCL GPIO 22 (its INT stays open: the part has none for a FIFO's filling); motor
transistor GPIO 25; button from GPIO 27 to ground; battery through a divider of two equal resistors to GPIO
35. The LED at GPIO 2 is on most of these boards.
"""

NAME = "esp32_gy521"
I2C_ID = 0
SDA_PIN = 21
SCL_PIN = 22
I2C_HZ = 400_000
IMU = "mpu6050"
IMU_ADDRESS = 0x68
IMU_INT_PIN = None
HAPTIC = "pwm"
MOTOR_PIN = 25
BUTTON_PIN = 27
BUTTON_PULL_UP = True
LED_PIN = 2
LED_ON = 1
BATTERY_PIN = 35
BATTERY_DIVIDER = 2
POWER_CHIP_ADDRESS = None
