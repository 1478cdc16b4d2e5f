"""M5Stack Core2: everything is on it.

MPU-6886 and power chip on the inner bus (the sensor's interrupt is not wired); the motor hangs at the power chip's
LDO3 (AXP192), which tells of battery and charger, too. The Core2 v1.1 has another power chip (AXP2101): its motor is
not driven. There is no button of its own: a touch of the glass pulls the touch chip's interrupt line (GPIO 39) low.
Not verified: that line's behaviour while the glass stays touched. The LED is the power chip's.
"""

NAME = "m5stack_core2"
I2C_ID = 0
SDA_PIN = 21
SCL_PIN = 22
I2C_HZ = 400_000
IMU = "mpu6886"
IMU_ADDRESS = 0x68
IMU_INT_PIN = None
HAPTIC = "axp192"
MOTOR_PIN = None
BUTTON_PIN = 39
BUTTON_PULL_UP = False
LED_PIN = None
LED_ON = 1
BATTERY_PIN = None
BATTERY_DIVIDER = 2
POWER_CHIP_ADDRESS = 0x34
