"""M5Stack M5StickS3: everything is on it but a motor, so nothing is felt; the LED is the power chip's and is
not driven.

BMI270 on the inner bus; it needs Bosch's configuration file (docs/porting.md); its interrupt goes to the
power chip. The front button is KEY1, GPIO 11. Not verified: that the power chip leaves the sensor's rail on,
as its maker says.
"""

NAME = "m5stick_s3"
I2C_ID = 0
SDA_PIN = 47
SCL_PIN = 48
I2C_HZ = 400_000
IMU = "bmi270"
IMU_ADDRESS = 0x68
IMU_INT_PIN = None
HAPTIC = None
MOTOR_PIN = None
BUTTON_PIN = 11
BUTTON_PULL_UP = True
LED_PIN = None
LED_ON = 1
BATTERY_PIN = None
BATTERY_DIVIDER = 2
POWER_CHIP_ADDRESS = None
