"""Everything the gait code computes from a file of samples, as text lines that any interpreter must give alike.

A line for each block, or part of one, that the front end went through: checksums of what the band-passed ring got and
of the confirmed peaks, so that a difference shows where it arose; then the steps and events. As a script:
gait_trace.py DEVICE_ROOT SAMPLES PLACEMENT RATE_MILLIHZ MOUNTED.
"""

import sys
from array import array

BLOCK = 26


def checksum(words):
    total = 1
    for word in words:
        total = (total * 31 + (word & 0xFFFF)) % 16777213
    return total


def record(front, frames):
    """Have a line added to `frames` whenever `front` advances."""
    advance = front.advance

    def recorded(samples, count):
        before = front.index
        news = advance(samples, count)
        newest = [front.ring[(k % 512) * 4 + c] for k in range(before, front.index) for c in range(4)]
        line = [front.index, checksum(newest)]
        line.extend(checksum(finder.peaks) for finder in front.finders)
        frames.append("block " + " ".join([str(value) for value in line]))
        return news

    front.advance = recorded


def trace(samples, placement, rate_millihz, mounted):
    """samples: array('h'), six channels interleaved. Yields the lines."""
    from firmware.gait.mounting import Mounting
    from firmware.gait.pipeline import Pipeline

    pipeline = Pipeline(placement, Mounting.clip() if mounted else None, rate_millihz)
    frames = []
    front = getattr(pipeline._tracker, "front", None)
    if front:
        record(front, frames)
    total = len(samples) // 6
    for start in range(0, total, BLOCK):
        count = min(BLOCK, total - start)
        pipeline.process(samples[start * 6 : (start + count) * 6], count)
    pipeline.flush()
    yield from frames
    for step in pipeline.take_steps():
        yield "step %d %d %d %d" % tuple(step)[:4]
    for index, kind, detail in pipeline.take_events():
        yield "event %d %s %s" % (index, kind, detail)


if __name__ == "__main__":
    root, path, placement, rate_millihz, mounted = sys.argv[1:]
    sys.path[:1] = [root, root + "/lib"]
    with open(path, "rb") as stream:
        data = array("h", stream.read())
    for line in trace(data, placement, int(rate_millihz), mounted == "1"):
        print(line)
