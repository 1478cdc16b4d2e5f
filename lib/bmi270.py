"""BMI270 6-axis IMU over I2C: FIFO blocks at 100 Hz in the interface of imu.py.

Source: Bosch data sheet BST-BMI270-DS000 (initialisation in chapter 4, registers in 5).
After every power-on the part wants a configuration of 8,192 bytes before it works. It is Bosch's and not part
of this project: take `bmi270_config_file` from Bosch's published sensor API, write its bytes as they are to a
file, and put it on the device as /bmi270.cfg (docs/porting.md). It is sent piece by piece, so it costs no
heap.
"""

from boschfifo import BoschIMU
from imu import WrongPart
from micropython import const

_CHIP_ID = const(0x00)
_INTERNAL_STATUS = const(0x21)
_ACC_CONF = const(0x40)
_ACC_RANGE = const(0x41)
_GYR_CONF = const(0x42)
_GYR_RANGE = const(0x43)
_INIT_CTRL = const(0x59)
_INIT_ADDR_0 = const(0x5B)
_INIT_DATA = const(0x5E)

_CONFIGURATION_BYTES = const(8192)
_PIECE_BYTES = const(64)
_LOADED = const(1)
_LOAD_LOOKS = const(15)
_LOAD_LOOK_MS = const(10)
_ACC_100_HZ_FILTERED = const(0xA8)
_GYR_100_HZ_FILTERED = const(0xE8)
_16_G = const(0x03)
_2000_DPS = const(0x00)

CONFIGURATION_FILE = "/bmi270.cfg"


class Driver(BoschIMU):
    """One BMI270; address 0x68 or 0x69 (SDO pin)."""

    PART = "bmi270"
    IDENTITY = (_CHIP_ID, 0x24)
    RATE_MILLIHZ = 100_000
    FIFO_SAMPLES = 170
    FIFO_BYTES = 2048
    FIFO_WANTED = 0xC0
    POWER_WANTED = 0x06
    # 2048 LSB a g, 16.384 LSB a degree per second; the gyroscope comes first.
    LAYOUT = (12, 6, 16393, 0, 14286, 1)

    def __init__(self, i2c, address=0x68, block_samples=32):
        super().__init__(i2c, address, block_samples)

    def _set_up(self, sleep_ms):
        self._load_configuration(sleep_ms)
        self._write(_ACC_CONF, _ACC_100_HZ_FILTERED)
        self._write(_ACC_RANGE, _16_G)
        self._write(_GYR_CONF, _GYR_100_HZ_FILTERED)
        self._write(_GYR_RANGE, _2000_DPS)

    def _load_configuration(self, sleep_ms):
        """Send the vendor's file. Raises WrongPart if it is missing or is not taken."""
        piece = bytearray(_PIECE_BYTES)
        word_at = bytearray(2)
        self._write(_INIT_CTRL, 0)
        sent = 0
        try:
            with open(CONFIGURATION_FILE, "rb") as file:
                while file.readinto(piece) == _PIECE_BYTES:
                    words = sent // 2
                    word_at[0], word_at[1] = words & 0x0F, words >> 4
                    self._i2c.writeto_mem(self._address, _INIT_ADDR_0, word_at)
                    self._i2c.writeto_mem(self._address, _INIT_DATA, piece)
                    sent += _PIECE_BYTES
        except OSError as error:
            if error.errno != 2:
                raise
            raise WrongPart(
                "BMI270: no %s found, and without Bosch's configuration file the sensor does not work; "
                "docs/porting.md tells where it comes from" % CONFIGURATION_FILE
            )
        if sent != _CONFIGURATION_BYTES:
            raise WrongPart(
                "BMI270: %s holds %d bytes, expected %d; copy the configuration anew"
                % (CONFIGURATION_FILE, sent, _CONFIGURATION_BYTES)
            )
        self._write(_INIT_CTRL, 1)
        for _ in range(_LOAD_LOOKS):
            sleep_ms(_LOAD_LOOK_MS)
            if self._read(_INTERNAL_STATUS) & 0x0F == _LOADED:
                return
        raise WrongPart(
            "BMI270: the sensor did not take %s (INTERNAL_STATUS 0x%02x, expected 1); is it the file for this part?"
            % (CONFIGURATION_FILE, self._read(_INTERNAL_STATUS))
        )
