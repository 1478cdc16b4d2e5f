"""QMI8658 6-axis IMU over I2C: FIFO blocks at 112 Hz in the interface of imu.py.

Source: QST data sheet QMI8658A (registers in chapter 5, CTRL9 protocol in 5.10.1, FIFO in 8).
While its FIFO is being read (read mode) no sample enters it. So a reading begins just after a sample came and has
to end before the next one, 8.9 ms later: hence short blocks (24 samples take 7 ms at 400 kHz). The sensor's sample
counter tells if one was lost all the same.
Limits: that reading stops before the FIFO is empty, where many samples wait, is not described in the data sheet. With
INT2 not wired the sensor is read on a timer. The bus must run at 400 kHz.
"""

from time import ticks_us

from framefifo import FrameIMU
from micropython import const

_WHO_AM_I = const(0x00)
_CTRL1 = const(0x02)
_CTRL2 = const(0x03)
_CTRL3 = const(0x04)
_CTRL5 = const(0x06)
_CTRL7 = const(0x08)
_CTRL8 = const(0x09)
_CTRL9 = const(0x0A)
_FIFO_WTM_TH = const(0x13)
_FIFO_CTRL = const(0x14)
_FIFO_SMPL_CNT = const(0x15)
_FIFO_DATA = const(0x17)
_STATUSINT = const(0x2D)
_TIMESTAMP_L = const(0x30)
_RESET = const(0x60)

_SOFT_RESET = const(0xB0)
_RESET_TIME_MS = const(15)
# Addresses count up, low byte first, INT2 driven, FIFO on INT2.
_CTRL1_WANTED = const(0x50)
_16_G_112_HZ = const(0x36)
_2048_DPS_112_HZ = const(0x76)
_BOTH_LOW_PASS = const(0x11)
_BOTH_ON = const(0x03)
_HANDSHAKE_BY_STATUSINT = const(0x80)
_STREAM_128_SAMPLES = const(0x0E)
_COMMAND_ACK = const(0x00)
_COMMAND_RESET_FIFO = const(0x04)
_COMMAND_REQUEST_FIFO = const(0x05)
_COMMAND_DONE = const(0x80)
_OVERFLOW = const(0x20)
_LOOKS = const(200)
_BYTES_A_SAMPLE = const(12)
_COUNTER_MASK = const(0xFFFFFF)


class Driver(FrameIMU):
    """One QMI8658; address 0x6A or 0x6B (SA0 pin)."""

    PART = "qmi8658"
    IDENTITY = (_WHO_AM_I, 0x05)
    RATE_MILLIHZ = 112_100
    FIFO_SAMPLES = 128
    FIFO_DATA = _FIFO_DATA
    SERVICE = "qmi8658_service"
    WATERMARK = 13
    # 2048 LSB a g, 16 LSB a degree per second.
    LAYOUT = (12, 0, 16393, 6, 14629, 1)

    def __init__(self, i2c, address=0x6B, block_samples=24):
        super().__init__(i2c, address, block_samples)
        self._status = bytearray(2)
        self._stamp = bytearray(3)
        self._counted = 0

    def start(self, watermark=13, sleep_ms=None):
        """Reset the sensor, then sample into the FIFO; INT2 goes high at `watermark` samples.

        sleep_ms: how to wait for the reset (default time.sleep_ms). Raises ValueError for a watermark that
        does not fit the FIFO, OSError from the bus.
        """
        if not 1 <= watermark <= 96:
            raise ValueError("FIFO watermark: expected 1 to 96 samples, got %d" % watermark)
        if sleep_ms is None:
            from time import sleep_ms
        self.watermark = watermark
        self._write(_RESET, _SOFT_RESET)
        sleep_ms(_RESET_TIME_MS)
        self._write(_CTRL1, _CTRL1_WANTED)
        self._write(_CTRL8, _HANDSHAKE_BY_STATUSINT)
        self._write(_CTRL2, _16_G_112_HZ)
        self._write(_CTRL3, _2048_DPS_112_HZ)
        self._write(_CTRL5, _BOTH_LOW_PASS)
        self._write(_FIFO_WTM_TH, watermark)
        self._write(_CTRL7, _BOTH_ON)
        self._begin()

    def _command(self, command):
        """One round of the CTRL9 protocol. Raises OSError if the sensor does not confirm it."""
        self._write(_CTRL9, command)
        for _ in range(_LOOKS):
            if self._read(_STATUSINT) & _COMMAND_DONE:
                self._write(_CTRL9, _COMMAND_ACK)
                return
        raise OSError(110)

    def _empty_fifo(self):
        self._write(_FIFO_CTRL, _STREAM_128_SAMPLES)
        self._command(_COMMAND_RESET_FIFO)
        self._counted = self._counter()

    def _counter(self):
        """How many samples the sensor has taken, modulo 2^24."""
        stamp = self._stamp
        self._i2c.readfrom_mem_into(self._address, _TIMESTAMP_L, stamp)
        return stamp[0] | stamp[1] << 8 | stamp[2] << 16

    def standby(self):
        """Both sensors off. Raises OSError from the bus."""
        self._write(_CTRL7, 0)

    def configured(self):
        """False if the sensor forgot what start() wrote, as after a brown-out. Raises OSError from the bus."""
        return self._read(_CTRL7) == _BOTH_ON and self._read(_FIFO_CTRL) & 0x7F == _STREAM_128_SAMPLES

    def _look(self):
        """Samples in the FIFO, and whether it overflowed."""
        status = self._status
        self._i2c.readfrom_mem_into(self._address, _FIFO_SMPL_CNT, status)
        return 2 * (status[0] | (status[1] & 0x03) << 8) // _BYTES_A_SAMPLE, status[1] & _OVERFLOW

    def _frames_waiting(self, looked_before):
        there, overflow = self._look()
        if overflow:
            return self._overran(looked_before)
        if there < self.watermark:
            return 0
        # Begin just after a sample.
        for _ in range(_LOOKS):
            self.looked_us = ticks_us()
            now, overflow = self._look()
            if now != there:
                break
        return 0 if overflow else now

    def _overran(self, looked_before):
        """As that of FrameIMU, but exactly, by the sensor's counter."""
        self.overruns += 1
        before = self._counted
        self._empty_fifo()
        self._lost += (self._counted - before) & _COUNTER_MASK
        self.waiting, self._broke_off = 0, False
        return 0

    def _fetch(self, view):
        counter = self._counter()
        self._command(_COMMAND_REQUEST_FIFO)
        self._i2c.readfrom_mem_into(self._address, _FIFO_DATA, view)
        self._write(_FIFO_CTRL, _STREAM_128_SAMPLES)
        # What has been counted, is neither in this block nor waiting, is lost.
        taken = len(view) // _BYTES_A_SAMPLE + self.waiting
        missing = ((counter - self._counted) & _COUNTER_MASK) - taken
        self._counted = (counter - self.waiting) & _COUNTER_MASK
        if missing > 0:
            self._lost += missing
