"""Adafruit QT Py ESP32-S3 with LSM6DSOX and DRV2605L on STEMMA QT: the reference build, without soldering the bus.

Wiring: both boards in a chain on the STEMMA QT connector (SDA GPIO 41, SCL GPIO 40); a coin motor (ERM, 3 V) at the
DRV2605L's terminals; button: BOOT on the board (GPIO 0). Optional: IMU INT1 to A0 (GPIO 18): the interrupt is not
needed, blocks are then read by the clock. The light on the board is a NeoPixel, which this firmware does not drive: a
LED with its resistor from A1 (GPIO 17) to ground tells the patterns. The board cannot measure its battery.
"""

NAME = "qtpy_esp32s3"
I2C_ID = 0
SDA_PIN = 41
SCL_PIN = 40
I2C_HZ = 400_000
IMU = "lsm6dsox"
IMU_ADDRESS = 0x6A
IMU_INT_PIN = None
HAPTIC = "drv2605l"
MOTOR_PIN = None
BUTTON_PIN = 0
BUTTON_PULL_UP = True
LED_PIN = 17
LED_ON = 1
BATTERY_PIN = None
BATTERY_DIVIDER = 2
POWER_CHIP_ADDRESS = None
