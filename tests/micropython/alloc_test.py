"""From the FIFO to the decision on a step nothing is allocated: kernels as machine code, the heap locked.

tests/test_alloc.py has the same of everything outside of kernels, with the device's word size.
"""

from array import array

import micropython
from walking_fifo import BLOCK, STEP, start, still, waist

from firmware.gait.mounting import Mounting
from firmware.gait.pipeline import Pipeline
from firmware.gait.resample import RATE_MILLIHZ, Resampler
from firmware.gait.trunk import TrunkTracker
from firmware.wear import WearWatch

# All sources are compiled here.
HEAP = "2m"
# All strides of the walk are alike every so many blocks.
ROUND = 2 * STEP // BLOCK


def watch_a_walk(mounting=None, in_pocket=False, rate_millihz=RATE_MILLIHZ):
    """Lock the heap while somebody walks on; how many steps were decided meanwhile."""
    decided = array("i", (0,))

    def on_step(index, verdict):
        decided[0] += 1

    imu = start(waist, ROUND)
    tracker = TrunkTracker(Resampler(rate_millihz), on_step, mounting, in_pocket)
    for _ in range(10 * ROUND):
        while tracker.advance(imu.samples, imu.read_block()):
            pass
    assert tracker.walking
    decided[0] = 0
    micropython.heap_lock()
    try:
        for _ in range(20 * ROUND):
            count = imu.read_block()
            while tracker.advance(imu.samples, count):
                pass
    finally:
        micropython.heap_unlock()
    return decided[0]


def test_from_the_fifo_to_the_decision_on_a_step_nothing_is_allocated_while_somebody_walks():
    steps = watch_a_walk(Mounting.clip())
    assert 2 * 20 - 2 <= steps <= 2 * 20 + 2, steps


def test_a_walk_allocates_nothing_where_forward_is_unknown_in_a_pocket_or_at_another_rate():
    for steps in (
        watch_a_walk(),
        watch_a_walk(in_pocket=True),
        watch_a_walk(Mounting.clip(), rate_millihz=103742),
    ):
        assert 2 * 20 - 2 <= steps <= 2 * 20 + 2, steps


def test_from_the_fifo_to_the_end_of_a_block_nothing_is_allocated_while_nobody_moves():
    for placement in ("waist", "shoe", "pocket"):
        imu = start(still, 3)
        pipeline, wear = Pipeline(placement, Mounting.clip()), WearWatch()
        for _ in range(10):
            pipeline.process(imu.samples, imu.read_block())
        micropython.heap_lock()
        try:
            for _ in range(40):
                count = imu.read_block()
                pipeline.process(imu.samples, count)
                wear.process(imu.samples, count)
                pipeline.take_steps()
                pipeline.take_events()
        finally:
            micropython.heap_unlock()


def test_what_is_allocated_is_noticed():
    imu = start(waist, ROUND)
    micropython.heap_lock()
    try:
        imu.read_block()
        bytes(BLOCK)
    except MemoryError:
        return
    finally:
        micropython.heap_unlock()
    raise AssertionError("the heap was locked, and yet something was allocated")
