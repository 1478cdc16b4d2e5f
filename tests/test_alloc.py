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
from array import array
from firmware.gait.mounting import Mounting
from firmware.gait.resample import RATE_MILLIHZ, Resampler
from firmware.gait.trunk import TrunkTracker
import firmware.gait.stability
from walking_fifo import BLOCK, STEP, start, waist

decided = array("i", (0,))

def on_step(index, verdict):
    decided[0] += 1

def take_block():
    count = imu.read_block()
    while tracker.advance(imu.samples, count):
        pass
    EXTRA

imu = start(waist, 2 * STEP // BLOCK)
tracker = TrunkTracker(Resampler(RATE_MILLIHZ), on_step, Mounting.clip())
for _ in range(40):
    take_block()
    gc.collect()
print(tracker.walking)
decided[0] = 0
for _ in range(60):
    pointers.lock()
    take_block()
    pointers.unlock()
    gc.collect()
print(decided[0], sys.maxsize)
"""


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


def walked(tmp_path: Path, extra: str) -> list[str]:
    return run(tmp_path, WALK.replace("EXTRA", extra))


@pytest.mark.parametrize("placement", ["waist", "shoe", "pocket"])
def test_outside_of_kernels_nothing_is_allocated_while_nobody_moves(tmp_path, placement):
    assert run(tmp_path, REST.replace("PLACEMENT", placement)) == [str(26 * 26)]


def test_outside_of_kernels_a_walk_allocates_nothing_up_to_the_decision_on_each_step(tmp_path):
    walking, steps, largest = walked(tmp_path, "pass")
    assert walking == "True"
    assert int(largest) == 2**31 - 1
    assert 28 <= int(steps) <= 32


@pytest.mark.parametrize("extra", ["bytes(3)", "count << 26"])
def test_what_ordinary_code_allocates_on_the_way_is_noticed(tmp_path, extra):
    with pytest.raises(Exception, match="exited with code 1"):
        walked(tmp_path, extra)
