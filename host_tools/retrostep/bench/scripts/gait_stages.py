"""The gait code up to one of its stages, over a walk: gait_stages.py DEVICE_ROOT SAMPLES PLACEMENT STAGE.

SAMPLES: a file of 6-channel int16 at 104 Hz; how many blocks of it, says the file "times". STAGE is one of
STAGES[PLACEMENT]; each of them does what those before it do, and more, so that differences are the cost of a
stage. What comes later is replaced by something that does nothing. Prints how many steps came out. STAGE may be
"allocated", too: then it prints how many bytes all of them allocate over the second half, and its steps.
"""

import gc
import sys
from array import array

import micropython

BLOCK = 26
SAMPLE_BYTES = 12


@micropython.viper
def pass_over(context, state: int, news: int, verdict: int) -> int:
    """Nobody attends to what the front end found."""
    return 0


class NoStability:
    """In place of a Stability: nobody watches how steady the walk is."""

    def __init__(self, track, baseline):
        pass

    def restart(self):
        pass


def front_end(found):
    """Filters and peak finders."""
    from firmware.gait.mounting import Mounting
    from firmware.gait.resample import RATE_MILLIHZ, Resampler
    from firmware.gait.signals import FrontEnd

    front = FrontEnd(Resampler(RATE_MILLIHZ), Mounting.clip())
    front.attend(pass_over, None, None)
    return front.advance


def trunk(found, direction, stability):
    from firmware.gait import trunk
    from firmware.gait.mounting import Mounting
    from firmware.gait.resample import RATE_MILLIHZ, Resampler

    class Aimless(trunk.Walk):
        def know_forward(self, known):
            super().know_forward(False)

    if not direction:
        trunk.Walk = Aimless
    if not stability:
        trunk.Stability = NoStability
    return trunk.TrunkTracker(Resampler(RATE_MILLIHZ), found, Mounting.clip()).advance


def steps(found):
    """And which peaks are steps."""
    return trunk(found, False, False)


def direction(found):
    """And which way they went, and whether the clip sits right."""
    return trunk(found, True, False)


def stability(found):
    """And how steady they were."""
    return trunk(found, True, True)


def strides(found, tracker=None, measure=None):
    """Shoe: all of a stride."""
    from firmware.gait import shoe
    from firmware.gait.mounting import Mounting
    from firmware.gait.resample import RATE_MILLIHZ, Resampler

    if measure:
        shoe.measure = measure(shoe.measure)
    kind = tracker(shoe.StrideTracker) if tracker else shoe.StrideTracker
    return kind(Resampler(RATE_MILLIHZ), found, Mounting.clip()).advance


def stances(found):
    """Shoe: rest and swings."""

    def without_strides(base):
        class Standing(base):
            def _swing(self, at):
                pass

        return Standing

    return strides(found, tracker=without_strides)


def strapdown_twice(found):
    """Shoe: all of a stride, and the strapdown once more, which changes nothing."""

    def twice(measure):
        def measure_twice(ring, at, stride, words, track):
            measure(ring, at, stride, words, track)
            measure(ring, at, stride, words, track)

        return measure_twice

    return strides(found, measure=twice)


STAGES = {
    "waist": (front_end, steps, direction, stability),
    "shoe": (stances, strides, strapdown_twice),
}


_kept = []


def fill_holes():
    """Keep so many small objects that what is allocated from here on finds no hole: where it does, costs vary.

    For an interpreter in which collecting is not safe, since it can't see what the machine's registers hold.
    """
    _kept.append([None] * 1500)
    for k in range(1500):
        _kept[0][k] = []


def run(blocks, times, placement, stage, tidy=gc.collect):
    """How many steps a stage finds in so many of these blocks; "pipeline" is the last stage, with bouts and events.

    tidy: called when everything is loaded; what it costs depends on all blocks, not on `times`.
    """
    count = 0
    size = BLOCK
    if stage == "pipeline":
        from firmware.gait.mounting import Mounting
        from firmware.gait.pipeline import Pipeline

        pipeline = Pipeline(placement, Mounting.clip())
        process, take_steps, take_events = pipeline.process, pipeline.take_steps, pipeline.take_events
        tidy()
        for block in blocks[:times]:
            process(block, size)
            steps = take_steps()
            if steps:
                count += len(steps)
            take_events()
        return count
    found = [0]

    def on_step(*step):
        found[0] += 1

    for start in STAGES[placement]:
        if start.__name__ == stage:
            advance = start(on_step)
    tidy()
    for block in blocks[:times]:
        while advance(block, size):
            pass
    return found[0]


def allocated(blocks, times, placement):
    """Bytes that a Pipeline allocates over the second half of so many blocks, and the steps that come out of it."""
    from firmware.gait.mounting import Mounting
    from firmware.gait.pipeline import Pipeline

    pipeline = Pipeline(placement, Mounting.clip())
    for block in blocks[: times // 2]:
        pipeline.process(block, BLOCK)
        pipeline.take_steps()
        pipeline.take_events()
    gc.collect()
    gc.disable()
    used = count = 0
    for block in blocks[times // 2 : times]:
        before = gc.mem_alloc()
        pipeline.process(block, BLOCK)
        used += gc.mem_alloc() - before
        count += len(pipeline.take_steps())
        pipeline.take_events()
    return used, count


def blocks_of(path):
    """The samples of a file, a block each."""
    blocks = []
    with open(path, "rb") as stream:
        while True:
            data = stream.read(SAMPLE_BYTES * BLOCK)
            if len(data) < SAMPLE_BYTES * BLOCK:
                return blocks
            blocks.append(array("h", data))


if __name__ == "__main__":
    root, path, placement, stage = sys.argv[1:]
    sys.path[:1] = [root, root + "/lib"]
    with open("times") as stream:
        times = int(stream.read())
    if stage == "allocated":
        print(*allocated(blocks_of(path), times, placement))
    else:
        print(run(blocks_of(path), times, placement, stage))
