"""From the FIFO to the decision on a step nothing is allocated: kernels as machine code, the heap locked.

tests/test_alloc.py has the same of everything outside of kernels, with the device's word size.
"""

from array import array

import micropython
import walking_fifo as fifo
from walking_fifo import BLOCK, STEP, start, still, waist

from firmware.gait.mounting import Mounting
from firmware.gait.pipeline import Pipeline
from firmware.gait.resample import RATE_MILLIHZ, Resampler
from firmware.gait.shoe import StrideTracker
from firmware.gait.trunk import TrunkTracker
from firmware.wear import WearWatch

# All sources are compiled here.
HEAP = "2m"
# All strides of the walk are alike every so many blocks.
ROUND = 2 * STEP // BLOCK


def take_blocks(imu, tracker, blocks):
    """How many bytes driver and tracker took from the heap, if only for a moment, as for many variables."""
    used = 0
    for _ in range(blocks):
        before = micropython.mem_total()
        count = imu.read_block()
        while tracker.advance(imu.samples, count):
            pass
        used += micropython.mem_total() - before
    return used


def watch_a_walk(imu, blocks, build):
    """Have so many blocks come out of the FIFO, unwatched, and twice more; how many steps were decided each time.

    build(on_step): the tracker. Where the heap is locked a function's variables go to the stack, so what it uses is
    counted before that.
    """
    decided = array("i", (0,))

    def on_step(index, verdict):
        decided[0] += 1

    tracker = build(on_step)
    take_blocks(imu, tracker, blocks)
    decided[0] = 0
    used = take_blocks(imu, tracker, blocks)
    assert used == 0, used
    steps = decided[0]
    micropython.heap_lock()
    try:
        take_blocks(imu, tracker, blocks)
    finally:
        micropython.heap_unlock()
    assert decided[0] == 2 * steps, (steps, decided[0])
    return steps


def watch_a_waist(mounting=None, in_pocket=False, rate_millihz=RATE_MILLIHZ):
    """How many steps are decided in 40."""

    def build(on_step):
        return TrunkTracker(Resampler(rate_millihz), on_step, mounting, in_pocket)

    return watch_a_walk(start(waist, ROUND), 20 * ROUND, build)


def watch_a_shoe(motions, mounting=None, rate_millihz=RATE_MILLIHZ):
    """How many strides are decided where these motions come 20 times."""

    def build(on_step):
        return StrideTracker(Resampler(rate_millihz), on_step, mounting)

    blocks = fifo.blocks(motions)
    return watch_a_walk(start(fifo.foot(*motions), blocks), 20 * blocks, build)


def test_from_the_fifo_to_the_decision_on_a_step_nothing_is_allocated_while_somebody_walks():
    steps = watch_a_waist(Mounting.clip())
    assert 2 * 20 - 2 <= steps <= 2 * 20 + 2, steps


def test_a_walk_allocates_nothing_where_forward_is_unknown_in_a_pocket_or_at_another_rate():
    for steps in (
        watch_a_waist(),
        watch_a_waist(in_pocket=True),
        watch_a_waist(Mounting.clip(), rate_millihz=103742),
    ):
        assert 2 * 20 - 2 <= steps <= 2 * 20 + 2, steps


def test_at_the_shoe_nothing_is_allocated_up_to_the_decision_on_a_stride_whichever_way_it_went():
    for motions in (fifo.FORWARD, fifo.BACKWARD, fifo.HELD):
        for rate_millihz in (RATE_MILLIHZ, 103742):
            strides = watch_a_shoe(motions, Mounting.clip(), rate_millihz)
            assert strides == 20, (motions, rate_millihz, strides)


def test_strides_that_wait_for_the_toe_axis_or_for_another_to_count_allocate_nothing():
    for motions, mounting, expected in (
        (fifo.FORWARD, None, 20),
        (fifo.BACKWARD, None, 20),
        (fifo.PAIR, Mounting.clip(), 40),
        (fifo.PAIR, None, 40),
    ):
        strides = watch_a_shoe(motions, mounting)
        assert strides == expected, (motions, strides)


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
