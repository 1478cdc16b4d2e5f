"""The MicroPython side of `retrostep replay`: runs the firmware's gait code over raw samples.

Started as `micropython replay_device.py ROOT`, ROOT being the folder that holds firmware/ and lib/. Reads one
job a line from stdin, a JSON object:

    {"samples": PATH, "rate_millihz": R, "placement": P, "mounting": HEX or null}     replay
    {"samples": PATH, "rate_millihz": R, "placement": P, "calibrate": true}            learn the mounting

where PATH is a file of interleaved little-endian int16 samples. A replay may further have "model", the path of a
learned model, "features": true, "baseline", hex of what is usual for the wearer, or "go": the index at which the
start signal of a 3-metre test is given. Answers with JSON arrays, one a line, indices being sample numbers: ["step",
contact, decided, direction, confidence, stability], ["features", values or null] of that step if they were asked
for, ["event", index, kind], ["cue", index, pattern], ["walk_test", HEX of the record, whose times count from sample
0, samples taken until then], ["baseline", HEX] if enough was walked to learn it, ["mounting", HEX], ["failed",
reason]; after each job ["done", model].

The samples arrive in blocks of BLOCK, as the sensor's FIFO hands them over, so `decided` is when the device
would have known.
"""

import binascii
import json
import sys
from array import array

# The script's own folder is the host's; ".frozen" and the rest stay.
sys.path[:1] = [sys.argv[1], sys.argv[1] + "/lib"]

from firmware.cues import CuePolicy  # noqa: E402
from firmware.gait.calibrator import Calibrator  # noqa: E402
from firmware.gait.mounting import Mounting  # noqa: E402
from firmware.gait.pipeline import Pipeline  # noqa: E402
from firmware.walktest import WalkTest  # noqa: E402

BLOCK = 26
CHANNELS = 6


def feed(path, process):
    block = array("h", bytes(2 * CHANNELS * BLOCK))
    with open(path, "rb") as stream:  # noqa: PTH123 (MicroPython has no pathlib)
        while True:
            count = stream.readinto(block) // (2 * CHANNELS)
            if not count:
                return
            process(block, count)


class FeatureTap:
    """In the place of a model: agrees with physics and keeps the features of each step that settled."""

    def __init__(self):
        from firmware.gait import learned

        self.name = "tap"
        self._features = learned.features
        self._seen = []

    def weigh(self, verdict, step, before, after, front):
        # A step may be weighed again, or be dropped, before it is taken.
        if self._seen and not self._seen[-1][0].taken:
            self._seen.pop()
        self._seen.append((step, self._features(step, before, after, front)))
        return verdict

    def take(self):
        """Of the oldest settled step not asked for yet; None where it had no direction to weigh."""
        return self._seen.pop(0)[1] if self._seen and self._seen[0][0].taken else None


def chosen_model(job):
    if job.get("features"):
        return FeatureTap()
    if not job.get("model"):
        return None
    from firmware.installed_model import read

    return read(job["model"])


def replay(job):
    try:
        model = chosen_model(job)
    except Exception as reason:
        print(json.dumps(("failed", str(reason) or type(reason).__name__)))
        print(json.dumps(("done", "")))
        return
    mounting = job["mounting"] and Mounting.unpack(binascii.unhexlify(job["mounting"]))
    cues = CuePolicy(mounting is not None or job["placement"] == "pocket")
    baseline = job.get("baseline") and binascii.unhexlify(job["baseline"])
    pipeline = Pipeline(job["placement"], mounting, job["rate_millihz"], model, baseline)

    go = job.get("go")
    test = None if go is None else WalkTest(job["placement"])

    def ms_at(index):
        return index * 1_000_000 // job["rate_millihz"]

    def report():
        for step in pipeline.take_steps():
            contact, decided, direction, confidence, stability = step
            if test:
                test.take_step(contact, ms_at(contact), direction, stability)
            print(json.dumps(("step", contact, decided, direction, confidence, stability)))
            if job.get("features"):
                print(json.dumps(("features", model.take())))
        for index, kind, detail in pipeline.take_events():
            print(json.dumps(("event", index, kind)))
            pattern = cues.on_event(index * 1_000_000 // job["rate_millihz"], kind, detail)
            if pattern is not None:
                print(json.dumps(("cue", pipeline.sample_index, pattern)))

    def process(block, count):
        pipeline.process(block, count)
        report()
        if test and test.outcome is None:
            index = pipeline.sample_index
            if test.go_ms is None and index > go:
                test.go(ms_at(go))
            test.process(block, count, index)
            if test.judge(ms_at, ms_at(index)):
                print(json.dumps(("walk_test", binascii.hexlify(test.encode(0)).decode(), index)))

    feed(job["samples"], process)
    pipeline.flush()
    report()
    learned = pipeline.take_baseline()
    if learned:
        print(json.dumps(("baseline", binascii.hexlify(learned).decode())))
    print(json.dumps(("done", pipeline.model_id)))


def calibrate(job):
    calibrator = Calibrator(job["rate_millihz"], job["placement"])
    feed(job["samples"], calibrator.process)
    mounting = calibrator.mounting()
    if mounting:
        print(json.dumps(("mounting", binascii.hexlify(mounting.pack()).decode())))
    else:
        print(json.dumps(("failed", calibrator.reason)))
    print(json.dumps(("done", "calibration")))


for line in sys.stdin:
    job = json.loads(line)
    (calibrate if job.get("calibrate") else replay)(job)
