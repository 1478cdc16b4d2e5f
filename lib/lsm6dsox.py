"""LSM6DSOX or LSM6DSO 6-axis IMU over I2C: FIFO blocks at 104 Hz in the interface of imu.py.

Source: ST LSM6DSOX data sheet (DS12814) and application note AN5272; the LSM6DSO (DS12140) has the same
identity and the same registers, as far as they are used here. A FIFO overrun is found in read_block()
(`overruns`); how many samples are lost tell the time stamps that the sensor puts into the FIFO, up to 32
samples later (of what is lost before the first one, 0.3 s after a start, nothing tells). A sensor that lost
its configuration (brown-out) answers with an empty FIFO. The factory's trim of the oscillator is taken into
account (`period_ns`). Limits: 104 Hz only; accelerometer and gyroscope always
at the same rate.
"""

from array import array
from time import ticks_us

import micropython
from imu import IMU
from micropython import const

_FIFO_CTRL1 = const(0x07)
_FIFO_CTRL2 = const(0x08)
_FIFO_CTRL3 = const(0x09)
_FIFO_CTRL4 = const(0x0A)
_INT1_CTRL = const(0x0D)
_WHO_AM_I = const(0x0F)
_CTRL1_XL = const(0x10)
_CTRL2_G = const(0x11)
_CTRL3_C = const(0x12)
_CTRL10_C = const(0x19)
_FIFO_STATUS1 = const(0x3A)
_INTERNAL_FREQ_FINE = const(0x63)
_FIFO_DATA_OUT_TAG = const(0x78)

_IDENTITY = const(0x6C)
_ODR_104_HZ = const(0x40)
_FS_XL_16_G = const(0x04)
_FS_G_2000_DPS = const(0x0C)
_BDR_104_HZ_BOTH = const(0x44)
_CTRL3_BDU_IF_INC = const(0x44)
_CTRL3_SW_RESET = const(0x01)
_TIMESTAMP_EN = const(0x20)
_FIFO_BYPASS = const(0x00)
_FIFO_CONTINUOUS_TS_DEC_32 = const(0xC6)
_INT1_FIFO_TH = const(0x08)
_STATUS2_OVERRUN_LATCHED = const(0x08)

_WORD_BYTES = const(7)
_TS_DECIMATION = const(32)
_RESET_TIME_MS = const(10)

# 6667 Hz / 64. A time stamp tick is 25 us and comes from the same oscillator, so on every part there are 384 a
# sample (and half of that rounds).
_NOMINAL_PERIOD_NS = const(9_599_520)

# Slots of the unpacker's state.
_HAVE = const(0)
_HELD_AT = const(1)
_LAST_TS = const(2)
_TS_SEEN = const(3)
_SINCE_TS = const(4)
_LOST = const(5)
_HELD_SLOT = const(6)
_STATE_SLOTS = const(7)


@micropython.viper
def _unpack(words: ptr8, word_count: int, samples: ptr16, state: ptr32) -> int:
    """Sort tagged FIFO words into `samples`; return the number of complete samples.

    A sample is complete when both its words (gyroscope tag 1, accelerometer tag 2) of one time slot have come; half
    of one waits for the next call. A time stamp (tag 4) follows every 32nd sample: more of its ticks than samples
    since the one before means that samples were lost. Every value stays below 2^30: loads need no sign extension.
    """
    count = 0
    have = state[0]
    since = state[4]
    held_slot = state[6]
    if have != 0:
        held = state[1] * 6
        axis = 0
        while axis < 6:
            samples[axis] = samples[held + axis]
            axis += 1
    word = 0
    while word < word_count:
        at = word * 7
        tag = words[at] >> 3
        if tag == 1 or tag == 2:
            mask = 1
            base = count * 6
            if tag == 1:
                mask = 2
                base += 3
            slot = (words[at] >> 1) & 3
            if have != 0 and (have & mask or slot != held_slot):
                # The partner never came (an overrun cut between the two): this word starts the sample anew.
                have = 0
                state[5] = state[5] + 1
            samples[base] = words[at + 1] | (words[at + 2] << 8)
            samples[base + 1] = words[at + 3] | (words[at + 4] << 8)
            samples[base + 2] = words[at + 5] | (words[at + 6] << 8)
            have |= mask
            held_slot = slot
            if have == 3:
                have = 0
                count += 1
                since += 1
        elif tag == 4:
            high = (words[at + 3] | (words[at + 4] << 8)) & 0x3FFF
            stamp = words[at + 1] | (words[at + 2] << 8) | (high << 16)
            if state[3] != 0:
                passed = (((stamp - state[2]) & 0x3FFFFFFF) + 192) // 384
                if passed > since:
                    state[5] = state[5] + passed - since
            state[2] = stamp
            state[3] = 1
            since = 0
        word += 1
    state[0] = have
    state[1] = count
    state[4] = since
    state[6] = held_slot
    return count


class Driver(IMU):
    """One LSM6DSOX or LSM6DSO; address 0x6A or 0x6B (SA0 pin)."""

    PART = "lsm6dsox"
    IDENTITY = (_WHO_AM_I, _IDENTITY)
    RATE_MILLIHZ = 104_000
    FIFO_SAMPLES = 250
    SERVICE = "lsm6ds_service"

    def __init__(self, i2c, address=0x6A, block_samples=32):
        super().__init__(i2c, address, block_samples)
        self._max_words = 2 * block_samples + block_samples // _TS_DECIMATION + 1
        self._words = bytearray(_WORD_BYTES * self._max_words)
        self._words_view = memoryview(self._words)
        # Of each number of words that was read once: a look at the FIFO allocates nothing.
        self._views = [None] * (self._max_words + 1)
        self._status = bytearray(2)
        self._state = array("i", bytes(4 * _STATE_SLOTS))
        fine = self._read(_INTERNAL_FREQ_FINE)
        if fine > 127:
            fine -= 256
        # Each step of the factory's trim is 0.15 % of the rate.
        self.period_ns = _NOMINAL_PERIOD_NS * 10000 // (10000 + 15 * fine)

    def start(self, watermark=26, sleep_ms=None):
        """Reset the sensor, then sample into the FIFO; INT1 goes high at `watermark` samples.

        sleep_ms: how to wait for the reset (default time.sleep_ms). The running number of samples goes on; what
        was in the FIFO is gone. Raises ValueError for a watermark that doesn't fit the FIFO, OSError from the bus.
        """
        if not 1 <= watermark <= 250:
            raise ValueError("FIFO watermark: expected 1 to 250 samples, got %d" % watermark)
        if sleep_ms is None:
            from time import sleep_ms
        self.watermark = watermark
        words = 2 * watermark
        self._write(_CTRL3_C, _CTRL3_SW_RESET)
        sleep_ms(_RESET_TIME_MS)
        self._write(_CTRL3_C, _CTRL3_BDU_IF_INC)
        self._write(_CTRL10_C, _TIMESTAMP_EN)
        self._write(_FIFO_CTRL4, _FIFO_BYPASS)
        self._write(_FIFO_CTRL1, words & 0xFF)
        self._write(_FIFO_CTRL2, words >> 8)
        self._write(_FIFO_CTRL3, _BDR_104_HZ_BOTH)
        self._write(_INT1_CTRL, _INT1_FIFO_TH)
        self._write(_CTRL1_XL, _ODR_104_HZ | _FS_XL_16_G)
        self._write(_CTRL2_G, _ODR_104_HZ | _FS_G_2000_DPS)
        self._write(_FIFO_CTRL4, _FIFO_CONTINUOUS_TS_DEC_32)
        state = self._state
        state[_HAVE] = state[_TS_SEEN] = state[_SINCE_TS] = state[_LOST] = self._lost = 0

    def resume(self):
        """Blocks again after somebody else used the interrupt pin; what the FIFO lost meanwhile is no overrun.

        Raises OSError from the bus.
        """
        self.watermark = self.WATERMARK
        self._write(_INT1_CTRL, _INT1_FIFO_TH)
        # Reading the status clears the overrun that it latched.
        self._i2c.readfrom_mem_into(self._address, _FIFO_STATUS1, self._status)

    def standby(self):
        """Both sensors to power-down. Raises OSError from the bus."""
        self._write(_FIFO_CTRL4, _FIFO_BYPASS)
        self._write(_CTRL1_XL, 0)
        self._write(_CTRL2_G, 0)

    def configured(self):
        """False if the sensor forgot what start() wrote, as after a brown-out. Raises OSError from the bus."""
        return self._read(_CTRL1_XL) == _ODR_104_HZ | _FS_XL_16_G and self._read(_FIFO_CTRL4) == (
            _FIFO_CONTINUOUS_TS_DEC_32
        )

    def read_block(self):
        """As IMU.read_block: samples move into `samples`; how many. Raises OSError from the bus; nothing is
        then lost but what the FIFO overruns meanwhile.
        """
        self.looked_us = ticks_us()
        self._i2c.readfrom_mem_into(self._address, _FIFO_STATUS1, self._status)
        high = self._status[1]
        if high & _STATUS2_OVERRUN_LATCHED:
            self.overruns += 1
        words = self._status[0] | (high & 0x03) << 8
        self.waiting = max(words - self._max_words, 0) // 2
        words = min(words, self._max_words)
        self.first_index = self.next_index
        if not words:
            return 0
        view = self._views[words]
        if view is None:
            view = self._views[words] = self._words_view[: words * _WORD_BYTES]
        self._i2c.readfrom_mem_into(self._address, _FIFO_DATA_OUT_TAG, view)
        state = self._state
        count = _unpack(self._words, words, self.samples, state)
        self.next_index += count
        self._lost += state[_LOST]
        state[_LOST] = 0
        return count
