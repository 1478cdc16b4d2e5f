"""Everything the gait code computes from a file of samples, as text lines that any interpreter must give alike.

A line a block: how many samples the front end took and checksums of its ring and of all that it remembers, so that a
difference shows where it arose; then the steps and events. As a script: gait_trace.py DEVICE_ROOT SAMPLES PLACEMENT
RATE_MILLIHZ MOUNTED.
"""

import sys
from array import array

BLOCK = 26


def checksum(words):
    total = 1
    for word in words:
        total = (total * 31 + (word & 0xFFFF)) % 16777213
    return total


def trace(samples, placement, rate_millihz, mounted):
    """samples: array('h'), six channels interleaved. Yields the lines."""
    from firmware.gait.mounting import Mounting
    from firmware.gait.pipeline import Pipeline

    pipeline = Pipeline(placement, Mounting.clip() if mounted else None, rate_millihz)
    front = getattr(pipeline._tracker, "front", None)
    before = 0
    total = len(samples) // 6
    for start in range(0, total, BLOCK):
        count = min(BLOCK, total - start)
        pipeline.process(samples[start * 6 : (start + count) * 6], count)
        if front:
            ring = front.state[-2 * 512 :]
            newest = [ring[(k % 512) * 2 + half] for k in range(before, front.index) for half in range(2)]
            newest += [word >> 16 for word in newest]
            before = front.index
            # The first word is the sign shift.
            track = pipeline._tracker._walk.track[1:]
            yield "block %d %d %d %d" % (
                before,
                checksum(newest),
                checksum(front.state[1:]),
                checksum(track),
            )
    pipeline.flush()
    for step in pipeline.take_steps():
        yield "step %d %d %d %d %s" % tuple(step)
    for index, kind, detail in pipeline.take_events():
        yield "event %d %s %s" % (index, kind, detail)


if __name__ == "__main__":
    root, path, placement, rate_millihz, mounted = sys.argv[1:]
    sys.path[:1] = [root, root + "/lib"]
    with open(path, "rb") as stream:
        data = array("h", stream.read())
    for line in trace(data, placement, int(rate_millihz), mounted == "1"):
        print(line)
