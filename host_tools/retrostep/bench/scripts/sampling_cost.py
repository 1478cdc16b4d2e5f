"""The way of samples up to the gait code: sampling_cost.py DEVICE_ROOT STAGE.

STAGE: "fifo" reads blocks of the LSM6DSOX's FIFO through its driver; "wakeup" does so from the Sampler's task, after
a nap for each block, "awake" after waiting for as long as a block takes; "clock" follows the sensor's clock; "wear"
watches whether the device is worn. The file "times" says how many blocks. Prints how many bytes the bus carried,
addresses and register numbers included.
"""

import sys

sys.path[:1] = [sys.argv[1], sys.argv[1] + "/lib"]

import asyncio
from array import array

BLOCK = 26
WORD_BYTES = 7
PERIOD_US = 250_000
FIFO_STATUS, WHO_AM_I, TRIM, FIFO_DATA = 0x3A, 0x0F, 0x63, 0x78


class Bus:
    """An I2C bus with an LSM6DSOX on it, whose FIFO always holds one block, and a time stamp every 32 samples."""

    def __init__(self):
        self.bytes = 0
        self._samples = 0
        self._words = bytearray(WORD_BYTES * (2 * BLOCK + 1))
        for word in range(2 * BLOCK):
            self._words[WORD_BYTES * word] = (1 + word % 2) << 3
            # Otherwise the sensor would pass for stuck.
            self._words[WORD_BYTES * word + 1] = word
        self._words[WORD_BYTES * 2 * BLOCK] = 4 << 3
        self._view = memoryview(self._words)
        self._waiting = 0

    def readfrom_mem_into(self, address, register, into):
        # The address, the register, the address again.
        self.bytes += 3 + len(into)
        if register == FIFO_DATA:
            self._words[1] ^= 1
            into[:] = self._view[: len(into)]
            self._waiting = 0
        elif register == FIFO_STATUS:
            into[0] = self._waiting
            into[1] = 0
        else:
            into[0] = 0x6C if register == WHO_AM_I else 0

    def writeto_mem(self, address, register, data):
        pass

    def fill(self):
        """A block has come into the FIFO."""
        self._samples += BLOCK
        self._waiting = 2 * BLOCK
        if self._samples >= 32:
            self._samples -= 32
            self._waiting += 1


class Enough(Exception):
    """All blocks were read."""


def read_fifo(bus, blocks):
    from lsm6dsox import Driver

    imu = Driver(bus)
    imu.start(BLOCK, lambda ms: None)
    bus.bytes = 0
    for _ in range(blocks):
        bus.fill()
        imu.read_block()


class Chip:
    """In place of the modules machine, esp32 and os, and of a pin: whatever is asked for answers 1, at once."""

    # Of an ESP32 nobody can tell whether a computer is at its USB.
    machine = "ESP32"

    def uname(self):
        return self

    def __getattr__(self, name):
        return lambda *arguments: 1


def wake_up(bus, blocks, radio_on=False):
    sys.modules["machine"] = sys.modules["esp32"] = sys.modules["os"] = chip = Chip()
    from lsm6dsox import Driver

    from firmware.power import Power
    from firmware.sampling import Sampler

    left = [blocks]
    now_ms = [0]
    power = Power(
        {"sleep": "always"},
        lambda: now_ms[0],
        None,
        chip,
        chip,
        None,
        lambda: False,
        lambda: radio_on,
    )
    # The first seconds after a start are over.
    now_ms[0] = 20_000

    def start_imu():
        imu = Driver(bus)
        imu.start(imu.WATERMARK, lambda ms: None)
        # It waits for some milliseconds instead of 250: that costs as many instructions.
        imu.period_ns = 0
        bus.fill()
        return imu

    def on_block(imu, count, looked_us):
        bus.fill()
        left[0] -= 1
        if not left[0]:
            raise Enough

    sampler = Sampler(start_imu, power.may_sleep, power.nap, on_block, print, print, lambda: 0)
    try:
        asyncio.run(sampler.run())
    except Enough:
        pass


def stay_awake(bus, blocks):
    wake_up(bus, blocks, True)


def follow_clock(bus, blocks):
    from sampleclock import SampleClock

    clock = SampleClock(9_599_520)
    for block in range(1, blocks + 1):
        # Looks come late by up to a millisecond, at changing phases.
        clock.observe(BLOCK * block, block * PERIOD_US + block * 389 % 1000)


def watch_wear(bus, blocks):
    from firmware.wear import WearWatch

    wear = WearWatch()
    samples = array("h", [(7 * k) % 500 for k in range(6 * BLOCK)])
    for _ in range(blocks):
        wear.process(samples, BLOCK)


STAGES = {
    "fifo": read_fifo,
    "wakeup": wake_up,
    "awake": stay_awake,
    "clock": follow_clock,
    "wear": watch_wear,
}

if __name__ == "__main__":
    with open("times") as stream:
        times = int(stream.read())
    bus = Bus()
    STAGES[sys.argv[2]](bus, times)
    print(bus.bytes)
