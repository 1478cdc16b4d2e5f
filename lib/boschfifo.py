"""What the drivers of Bosch's BMA423 and BMI270 share: their FIFO without headers, the INT1 pin, commands.

Sources: Bosch data sheets BST-BMA423-DS000 and BST-BMI270-DS000. Both parts have these registers at the same
places. A full FIFO overwrites its oldest frames; that it was full shows in INT_STATUS_1.
"""

from framefifo import FrameIMU
from micropython import const

_INT_STATUS_1 = const(0x1D)
_FIFO_LENGTH_0 = const(0x24)
_FIFO_DATA = const(0x26)
_FIFO_WTM_0 = const(0x46)
_FIFO_CONFIG_0 = const(0x48)
_FIFO_CONFIG_1 = const(0x49)
_INT1_IO_CTRL = const(0x53)
_INT_MAP_DATA = const(0x58)
_PWR_CONF = const(0x7C)
_PWR_CTRL = const(0x7D)
_CMD = const(0x7E)

_FULL = const(0x01)
_OUTPUT_ACTIVE_HIGH = const(0x0A)
_WATERMARK_ON_INT1 = const(0x02)
_SOFT_RESET = const(0xB6)
_FIFO_FLUSH = const(0xB0)
_RESET_TIME_MS = const(2)


class BoschIMU(FrameIMU):
    """A derived driver sets FIFO_BYTES, FIFO_WANTED (FIFO_CONFIG_1), POWER_WANTED (PWR_CTRL), and gives
    _set_up()."""

    FIFO_BYTES: int
    FIFO_WANTED: int
    POWER_WANTED: int
    FIFO_DATA = _FIFO_DATA
    SERVICE = "bosch_service"

    def __init__(self, i2c, address, block_samples=32):
        super().__init__(i2c, address, block_samples)
        self._length = bytearray(2)

    def start(self, watermark=26, sleep_ms=None):
        """Reset the sensor, then sample into the FIFO; INT1 goes high at `watermark` samples.

        sleep_ms: how to wait (default time.sleep_ms). Raises ValueError for a watermark that does not fit the
        FIFO, OSError from the bus.
        """
        most = self.FIFO_BYTES // self.LAYOUT[0] * 3 // 4
        if not 1 <= watermark <= most:
            raise ValueError("FIFO watermark: expected 1 to %d samples, got %d" % (most, watermark))
        if sleep_ms is None:
            from time import sleep_ms
        self.watermark = watermark
        self._write(_CMD, _SOFT_RESET)
        sleep_ms(_RESET_TIME_MS)
        # Without power save, or the FIFO can't be read.
        self._write(_PWR_CONF, 0)
        sleep_ms(1)
        self._set_up(sleep_ms)
        size = watermark * self.LAYOUT[0]
        self._write(_FIFO_WTM_0, size & 0xFF)
        self._write(_FIFO_WTM_0 + 1, size >> 8)
        self._write(_FIFO_CONFIG_0, 0)
        self._write(_FIFO_CONFIG_1, self.FIFO_WANTED)
        self._write(_INT1_IO_CTRL, _OUTPUT_ACTIVE_HIGH)
        self._write(_INT_MAP_DATA, _WATERMARK_ON_INT1)
        self._write(_PWR_CTRL, self.POWER_WANTED)
        self._begin()

    def _set_up(self, sleep_ms):
        """Rates and scales, and what must come before them."""
        raise NotImplementedError

    def _empty_fifo(self):
        self._write(_CMD, _FIFO_FLUSH)
        # Reading the status forgets that it was full.
        self._read(_INT_STATUS_1)

    def standby(self):
        """Sensors off, power save on. Raises OSError from the bus."""
        self._write(_PWR_CTRL, 0)
        self._write(_PWR_CONF, 1)

    def configured(self):
        """False if the sensor forgot what start() wrote, as after a brown-out. Raises OSError from the bus."""
        return self._read(_PWR_CTRL) == self.POWER_WANTED and self._read(_FIFO_CONFIG_1) == self.FIFO_WANTED

    def _frames_waiting(self, looked_before):
        length = self._length
        self._i2c.readfrom_mem_into(self._address, _FIFO_LENGTH_0, length)
        if self._read(_INT_STATUS_1) & _FULL:
            return self._overran(looked_before)
        return (length[0] | (length[1] & 0x3F) << 8) // self.LAYOUT[0]
