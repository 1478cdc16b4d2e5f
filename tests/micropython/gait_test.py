import gc
from array import array

import micropython

from firmware.gait.mounting import Mounting
from firmware.gait.pipeline import Pipeline


def bumpy(count):
    """A clip shaken without rhythm: the signals are busy, but nothing is a step."""
    samples = array("h", bytes(12 * count))
    noise = 1
    for i in range(count):
        for c in range(6):
            noise = (noise * 1103515245 + 12345) & 0x7FFFFFFF
            samples[6 * i + c] = (noise >> 16) % 100 - 50
        samples[6 * i + 2] += 2049
    return samples


def test_a_block_without_peaks_allocates_nothing():
    pipeline = Pipeline("waist", Mounting.clip())
    block = bumpy(26)
    pipeline.process(block, 26)
    micropython.heap_lock()
    try:
        for _ in range(40):
            pipeline.process(block, 26)
            pipeline.take_steps()
            pipeline.take_events()
    finally:
        micropython.heap_unlock()


def test_resampling_allocates_nothing_either():
    pipeline = Pipeline("waist", Mounting.clip(), 52000)
    block = bumpy(26)
    pipeline.process(block, 26)
    micropython.heap_lock()
    try:
        for _ in range(40):
            pipeline.process(block, 26)
    finally:
        micropython.heap_unlock()


def test_a_pipeline_fits_into_a_small_part_of_the_devices_heap():
    # The first one loads the code that is worn, which stays.
    Pipeline("waist", Mounting.clip())
    gc.collect()
    before = gc.mem_alloc()
    pipeline = Pipeline("waist", Mounting.clip())
    gc.collect()
    used = gc.mem_alloc() - before
    assert pipeline.sample_index == 0
    # Objects take half of this on the 32-bit device.
    assert used < 16000, used
