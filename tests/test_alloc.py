"""From the FIFO to the decision on a step nothing is allocated outside of kernels, where words have 32 bits.

What kernels themselves do is shown in tests/micropython/alloc_test.py, where they are machine code, and in
tests/test_gait_ranges.py.
"""

from pathlib import Path

import pytest

from retrostep.bench import wasm
from retrostep.device_tree import device_root

FIFO = Path(__file__).parent / "micropython" / "walking_fifo.py"
LIB = device_root() / "lib"
# The collector runs between two blocks, at the top level, where all is seen.
WALK = """
import pointers
import walking_fifo as fifo
from array import array
from firmware.gait.mounting import Mounting
from firmware.gait.resample import RATE_MILLIHZ, Resampler
from firmware.gait.shoe import StrideTracker
from firmware.gait.trunk import TrunkTracker
import firmware.gait.stability

decided = array("i", (0,))

def on_step(index, verdict):
    decided[0] += 1

def take_block():
    count = imu.read_block()
    while tracker.advance(imu.samples, count):
        pass
    EXTRA

resampler = Resampler(RATE_MILLIHZ)
imu, tracker = TRACKER
for _ in range(UNWATCHED):
    take_block()
    gc.collect()
print(tracker.walking)
decided[0] = 0
for _ in range(WATCHED):
    pointers.lock()
    take_block()
    pointers.unlock()
    gc.collect()
print(decided[0], sys.maxsize)
"""
WAIST = (
    "fifo.start(fifo.waist, 2 * fifo.STEP // fifo.BLOCK), TrunkTracker(resampler, on_step, Mounting.clip())"
)
SHOE = (
    "fifo.start(fifo.foot(*fifo.MOTIONS), fifo.blocks(fifo.MOTIONS)), "
    "StrideTracker(resampler, on_step, MOUNTING)"
)


REST = """
import pointers
from firmware.gait.mounting import Mounting
from firmware.gait.pipeline import Pipeline
from walking_fifo import start, still

def take_block():
    pipeline.process(imu.samples, imu.read_block())
    pipeline.take_steps()
    pipeline.take_events()

imu = start(still, 3)
pipeline = Pipeline("PLACEMENT", Mounting.clip())
for _ in range(6):
    take_block()
    gc.collect()
for _ in range(20):
    pointers.lock()
    take_block()
    pointers.unlock()
    gc.collect()
print(pipeline.sample_index)
"""


def run(tmp_path: Path, code: str) -> list[str]:
    wasm.copy_device_code(tmp_path, FIFO, LIB / "imu.py", LIB / "lsm6dsox.py")
    return wasm.run(code, tmp_path)[0].split()


def walked(
    tmp_path: Path, tracker: str, extra: str = "pass", unwatched: int = 40, watched: int = 60
) -> list[str]:
    """Whether somebody walked before what was watched, how many steps were decided in that, the largest integer."""
    code = WALK.replace("TRACKER", tracker).replace("EXTRA", extra)
    return run(tmp_path, code.replace("UNWATCHED", str(unwatched)).replace("WATCHED", str(watched)))


@pytest.mark.parametrize("placement", ["waist", "shoe", "pocket"])
def test_outside_of_kernels_nothing_is_allocated_while_nobody_moves(tmp_path, placement):
    assert run(tmp_path, REST.replace("PLACEMENT", placement)) == [str(26 * 26)]


def test_outside_of_kernels_a_walk_allocates_nothing_up_to_the_decision_on_each_step(tmp_path):
    walking, steps, largest = walked(tmp_path, WAIST)
    assert walking == "True"
    assert int(largest) == 2**31 - 1
    assert 28 <= int(steps) <= 32


# What a foot does, whether the toe axis is known, blocks before and while it is watched, and strides then.
STRIDES = {
    "forward": ("FORWARD", True, 12, 16, 4),
    "backward": ("BACKWARD", True, 12, 16, 4),
    "held in mid-swing": ("HELD", True, 12, 18, 3),
    "forward, toe unknown": ("FORWARD", False, 12, 16, 4),
    "backward, toe unknown": ("BACKWARD", False, 28, 16, 4),
    "two short ones": ("PAIR", True, 30, 30, 2),
    "two short ones, toe unknown": ("PAIR", False, 30, 30, 2),
}


@pytest.mark.parametrize("name", STRIDES)
def test_outside_of_kernels_nothing_is_allocated_up_to_the_decision_on_each_stride(tmp_path, name):
    motions, mounted, unwatched, watched, expected = STRIDES[name]
    tracker = SHOE.replace("MOTIONS", motions)
    tracker = tracker.replace("MOUNTING", "Mounting.clip()" if mounted else "None")
    _, strides, largest = walked(tmp_path, tracker, unwatched=unwatched, watched=watched)
    assert int(largest) == 2**31 - 1
    assert int(strides) == expected


@pytest.mark.parametrize("extra", ["bytes(3)", "count << 26"])
def test_what_ordinary_code_allocates_on_the_way_is_noticed(tmp_path, extra):
    with pytest.raises(Exception, match="exited with code 1"):
        walked(tmp_path, WAIST, extra)
