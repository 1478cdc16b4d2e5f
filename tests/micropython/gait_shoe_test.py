import gc
from array import array

import micropython

from firmware.gait.mounting import Mounting
from firmware.gait.pipeline import Pipeline

BLOCK = 26


def foot(count, rate):
    """A level foot that turns to and fro at this rate (LSB), and feels it a little."""
    samples = array("h", bytes(12 * count))
    for i in range(count):
        samples[6 * i] = 60 * (i % 2)
        samples[6 * i + 2] = 2049 + (i % 3) * rate // 16
        samples[6 * i + 4] = rate if i % 26 < 13 else -rate
    return samples


def allocates_nothing(pipeline, *blocks):
    micropython.heap_lock()
    try:
        for block in blocks:
            pipeline.process(block, BLOCK)
            pipeline.take_steps()
            pipeline.take_events()
    finally:
        micropython.heap_unlock()


def test_a_foot_that_stands_allocates_nothing():
    pipeline = Pipeline("shoe", Mounting.clip())
    still = foot(BLOCK, 0)
    pipeline.process(still, BLOCK)
    allocates_nothing(pipeline, *[still] * 40)


def test_a_foot_that_swings_allocates_nothing_until_it_rests():
    pipeline = Pipeline("shoe", Mounting.clip())
    still, swing = foot(BLOCK, 0), foot(BLOCK, 6000)
    for block in (still, still, swing):
        pipeline.process(block, BLOCK)
    # Longer than any stride: it is given up in between, and watched on.
    allocates_nothing(pipeline, *[swing] * 20)


def test_strides_that_came_before_do_not_make_standing_allocate():
    pipeline = Pipeline("shoe", Mounting.clip(), 52000)
    still, swing = foot(BLOCK, 0), foot(BLOCK, 6000)
    for block in (still, still, swing, still, swing, still):
        pipeline.process(block, BLOCK)
    # Half a second each: standing within the bout, the bout's end, which is an event, and standing after it.
    for blocks in (4, 20):
        pipeline.take_steps()
        pipeline.take_events()
        allocates_nothing(pipeline, *[still] * blocks)
        for _ in range(6):
            pipeline.process(still, BLOCK)


def test_a_pipeline_fits_into_a_small_part_of_the_devices_heap():
    # The first one loads the code.
    pipeline = Pipeline("shoe", Mounting.clip())
    pipeline = None
    gc.collect()
    before = gc.mem_alloc()
    pipeline = Pipeline("shoe", Mounting.clip())
    gc.collect()
    used = gc.mem_alloc() - before
    assert pipeline.sample_index == 0
    # Objects take half of this on the 32-bit device.
    assert used < 14000, used
