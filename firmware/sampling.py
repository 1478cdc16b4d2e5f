"""Keeps samples coming from the IMU, whatever the sensor or the bus does.

Sleeps until the FIFO's watermark wakes the CPU, or waits for the time that a block takes if it has to stay awake,
reads blocks and hands them on. Every way a sensor fails has an outcome here: it is reported with a number, the sensor
is set up anew, and what came before stays counted.

    silent         the bus gives OSError or no sample comes: tried again at once, then with growing pauses
    stuck          two seconds of samples that do not differ by a single bit (noise alone would)
    unconfigured   the sensor is back at its power-on settings (brown-out)
    overrun        the FIFO lost samples because nobody read in time
"""

import asyncio
import time

from imu import WrongPart
from micropython import const

from firmware.steplog import (
    FAULT_OVERRUN,
    FAULT_SILENT,
    FAULT_STUCK,
    FAULT_UNCONFIGURED,
    FAULT_WRONG_PART,
)

_BUS_TRIES = const(3)
_EMPTY_WAITS = const(4)
_STUCK_BLOCKS = const(8)
_PAUSES_MS = (100, 500, 2000, 10_000)


class Sampler:
    """start_imu(): returns a driver object (imu.py) that samples, or raises OSError, WrongPart.

    may_sleep(): whether the CPU may sleep now; nap(imu): it does, until there is a block, and says True, unless that
    has changed. on_block(imu, count, looked_us): called for each block of samples. on_gap(): samples are
    missing from here on. on_fault(kind, count): see steplog.FAULTS. now_us: uptime function; looked_us: when the
    FIFO's newest sample was the newest.
    """

    def __init__(self, start_imu, may_sleep, nap, on_block, on_gap, on_fault, now_us):
        self._start_imu = start_imu
        self._may_sleep = may_sleep
        self._nap = nap
        self._on_block = on_block
        self._on_gap = on_gap
        self._on_fault = on_fault
        self._now_us = now_us
        self._still_blocks = 0
        self._held = (0, 0, 0, 0, 0, 0)
        self._overruns = self._turn = 0
        self.faults = 0
        # In a row, since the last good block.
        self.failures = 0

    def _fault(self, kind, count):
        self.faults += 1
        self._on_fault(kind, count)

    async def run(self):
        """Sample for ever; returns only by cancellation."""
        while True:
            try:
                imu = self._start_imu()
            except WrongPart as wrong:
                print("sampling:", wrong)
                await self._retry(FAULT_WRONG_PART)
                continue
            except OSError as silent:
                print("sampling: no answer from the IMU (%s); check its wiring and address" % silent)
                await self._retry(FAULT_SILENT)
                continue
            self._overruns = imu.overruns
            self._still_blocks = 0
            await self._retry(await self._read_until_failure(imu))

    async def _retry(self, kind):
        """Wait, longer each time. Only the first failure in a row is reported: a dead sensor must not fill a log."""
        if not self.failures:
            self._on_gap()
            self._fault(kind, 1)
        await asyncio.sleep_ms(_PAUSES_MS[min(self.failures, len(_PAUSES_MS) - 1)])
        self.failures += 1

    async def _wait(self, imu):
        if self._may_sleep():
            # The others have their turn before the CPU sleeps.
            await asyncio.sleep_ms(0)
            if self._nap(imu):
                return
        # At changing phases of the sensor: that shows the sample clock where they lie. (To wait for the interrupt
        # with a time limit would cost the CPU more than all else that it does for a block.)
        self._turn = (self._turn + 3) % 10
        await asyncio.sleep_ms(imu.watermark * imu.period_ns // 1_000_000 + self._turn)

    async def _read_until_failure(self, imu):
        """Hand on blocks; return the fault that ended it."""
        bus_errors = empty = 0
        gap_told = False
        while True:
            await self._wait(imu)
            try:
                while True:
                    count = imu.read_block()
                    if imu.overruns != self._overruns:
                        # How many are missing shows up to 32 samples later.
                        self._overruns = imu.overruns
                        gap_told = True
                        self._on_gap()
                    if not count:
                        break
                    bus_errors = empty = 0
                    looked_us = self._now_us() - time.ticks_diff(time.ticks_us(), imu.looked_us)
                    self._on_block(imu, count, looked_us)
                    if not imu.REST_REPEATS and self._stuck(imu.samples, count):
                        return FAULT_STUCK
                    if not self._still_blocks:
                        self.failures = 0
                    if not imu.waiting:
                        break
                    await asyncio.sleep_ms(0)
                lost = imu.lost_samples()
                if lost:
                    if not gap_told:
                        self._on_gap()
                    gap_told = False
                    self._fault(FAULT_OVERRUN, lost)
                if not count:
                    empty += 1
                if empty >= _EMPTY_WAITS:
                    return FAULT_SILENT if imu.configured() else FAULT_UNCONFIGURED
            except OSError as error:
                bus_errors += 1
                if bus_errors >= _BUS_TRIES:
                    print("sampling: the IMU does not answer (%s)" % error)
                    return FAULT_SILENT

    def _stuck(self, samples, count):
        """True once _STUCK_BLOCKS blocks in a row began, middled and ended with one and the same sample."""
        held = self._held
        last = 6 * (count - 1)
        same = True
        for axis in range(6):
            if not samples[axis] == samples[6 * (count // 2) + axis] == samples[last + axis] == held[axis]:
                same = False
        self._still_blocks = self._still_blocks + 1 if same else 0
        if not same:
            self._held = tuple([samples[last + axis] for axis in range(6)])
        return self._still_blocks >= _STUCK_BLOCKS
