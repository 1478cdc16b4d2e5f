"""Recordings: what is written can be read, what is unsound is refused, and transforms do what they say."""

import asyncio
import json
import math
import signal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from retrostep import cli
from retrostep import recording as recordings
from retrostep.commands import record as record_command
from retrostep.device_tree import device_root
from retrostep.link import LinkError, Mark, RawBlock
from retrostep.outfile import OutputFailed, OutputRefused
from retrostep.recorder import Capture, RecordingBroken
from retrostep.recording import Recording, RecordingError, load, save
from retrostep.walker import Walk

RATE_HZ = 104.0


@pytest.fixture(scope="module")
def walk():
    return (
        Walk(seed=3)
        .stand(2)
        .walk("forward", seconds=8)
        .stumble()
        .walk("forward", steps=3)
        .stand(1)
        .recording()
    )


def still(seconds=2.0, **meta):
    """A level clip at rest."""
    samples = np.zeros((int(seconds * RATE_HZ), 6), np.int16)
    samples[:, 2] = round(1 / recordings.ACC_LSB_G)
    base = Walk(seed=1).stand(1).recording().meta
    return Recording(samples=samples, meta={**base, **meta})


def tone(frequency_hz, amplitude=8000.0, seconds=6.0):
    quiet = still(seconds)
    t = np.arange(len(quiet.samples)) / RATE_HZ
    samples = quiet.samples.copy()
    samples[:, 0] = np.rint(amplitude * np.sin(2 * np.pi * frequency_hz * t))
    return Recording(samples=samples, meta=quiet.meta)


def rewritten(tmp_path, walk, **arrays):
    """A file like `walk`'s with some arrays replaced, or left out where the value is None."""
    path = save(walk, tmp_path / "good.npz")
    with np.load(path) as good:
        content = {name: good[name] for name in good.files} | arrays
    bad = tmp_path / "bad.npz"
    np.savez(bad, **{name: value for name, value in content.items() if value is not None})
    return bad


def with_meta(walk, **changes):
    meta = {key: value for key, value in (walk.meta | changes).items() if value is not None}
    return np.array(json.dumps(meta))


def test_what_is_saved_is_what_is_loaded(tmp_path, walk):
    back = load(save(walk, tmp_path / "walk.npz"))
    for name in ("samples", "steps", "truth", "spans", "span_label", "event_t", "event_kind"):
        np.testing.assert_array_equal(getattr(back, name), getattr(walk, name), err_msg=name)
        assert getattr(back, name).dtype.kind == getattr(walk, name).dtype.kind
    assert back.meta == walk.meta
    assert back.path == tmp_path / "walk.npz"
    assert back.duration_s == pytest.approx(len(walk.samples) / 104)


def test_equal_recordings_are_equal_bytes_and_leave_nothing_behind(tmp_path, walk):
    first, second = save(walk, tmp_path / "a.npz"), save(walk, tmp_path / "b.npz")
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_a_folder_that_cannot_be_written_is_a_recording_error(tmp_path, walk):
    with pytest.raises(RecordingError, match="Choose another place"):
        save(walk, tmp_path / "missing" / "walk.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"steps": None}, "no array steps"),
        (
            {"samples": np.zeros((10, 6), np.float32)},
            r"samples is float32 \(10, 6\); expected int16 \(any, 6\)",
        ),
        ({"samples": np.zeros((10, 3), np.int16)}, r"samples is int16 \(10, 3\)"),
        ({"samples": np.zeros((0, 6), np.int16)}, "samples is empty"),
        ({"steps": np.array([[1.0, np.nan]], np.float32)}, "steps holds NaN"),
        ({"steps": np.array([[2.0, 0], [1.0, 0]], np.float32)}, "step 1 is earlier"),
        ({"steps": np.array([[1.0, 6]], np.float32)}, "step code 6; expected a whole number from 0 to 5"),
        ({"span_label": np.array(["a"] * 9)}, r"span_label is <U1 \(9,\)"),
        (
            {"event_t": np.array([np.inf], np.float32), "event_kind": np.array(["fall"])},
            "event_t holds NaN or inf",
        ),
        ({"meta": np.array("{")}, "meta is not JSON"),
        ({"meta": np.array("[]")}, "meta is a JSON list"),
        ({"meta": np.array(7)}, "expected one JSON object as text"),
        ({"event_kind": np.array([{}], dtype=object)}, "without pickled objects"),
    ],
)
def test_an_unsound_array_is_named_with_what_was_expected(tmp_path, walk, arrays, message):
    path = rewritten(tmp_path, walk, **arrays)
    with pytest.raises(RecordingError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "recording-2"}, "format 'recording-2'; expected 'recording-1'"),
        ({"format": None}, "format None"),
        ({"rate_hz": "fast"}, "meta.rate_hz is 'fast'; expected a number"),
        ({"rate_hz": True}, "meta.rate_hz is True"),
        ({"rate_hz": 0}, "meta.rate_hz is 0; expected 1 to 10000 Hz"),
        ({"placement": "wrist"}, "meta.placement is 'wrist'; expected waist or shoe or pocket"),
        ({"acc_lsb_g": 0.001}, "meta.acc_lsb_g is 0.001; expected 0.000488"),
        ({"may_train": None}, "meta.may_train is None; expected a bool"),
        ({"directions": []}, "meta.directions"),
    ],
)
def test_unsound_meta_data_is_named_with_what_was_expected(tmp_path, walk, changes, message):
    with pytest.raises(RecordingError, match=message):
        load(rewritten(tmp_path, walk, meta=with_meta(walk, **changes)))


def test_a_file_that_is_no_archive_is_a_recording_error(tmp_path, walk):
    absent = tmp_path / "absent.npz"
    with pytest.raises(RecordingError, match="no such file"):
        load(absent)
    with pytest.raises(RecordingError, match="not readable"):
        load(tmp_path)
    whole = save(walk, tmp_path / "whole.npz").read_bytes()
    for name, content in (
        ("empty", b""),
        ("text", b"time,ax,ay\n1,2,3\n"),
        ("cut", whole[: len(whole) // 2]),
    ):
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        with pytest.raises(RecordingError, match="not readable"):
            load(path)
    single = tmp_path / "single.npy"
    np.save(single, walk.samples)
    with pytest.raises(RecordingError, match="a single numpy array"):
        load(single)


def test_a_damaged_byte_never_shows_numpys_own_exception(tmp_path, walk):
    whole = save(walk, tmp_path / "whole.npz").read_bytes()
    rng = np.random.default_rng(7)
    path = tmp_path / "damaged.npz"
    refused = 0
    for position in rng.integers(0, len(whole), 150):
        content = bytearray(whole)
        content[position] ^= 0xFF
        path.write_bytes(content)
        try:
            load(path)
        except RecordingError:
            refused += 1
    assert refused > 100


def test_a_tilted_clip_reads_gravity_on_its_tilted_axes():
    turned = still().rotated(tilt_deg=30)
    x, y, z = turned.acc_g()[0]
    assert (x, y, z) == pytest.approx((-math.sin(math.radians(30)), 0, math.cos(math.radians(30))), abs=1e-3)


def test_a_clip_turned_to_the_left_sees_forward_on_its_right():
    turned = tone(1.0).rotated(yaw_deg=90)
    np.testing.assert_array_equal(turned.samples[:, 1], -tone(1.0).samples[:, 0])
    assert np.all(turned.samples[:, 0] == 0)


@settings(max_examples=40, deadline=None)
@given(yaw=st.floats(-180, 180), tilt=st.floats(-180, 180))
def test_rotation_keeps_lengths_and_turns_both_sensors_alike(yaw, tilt):
    rng = np.random.default_rng(5)
    half = rng.integers(-9000, 9000, (60, 3)).astype(np.int16)
    source = Recording(samples=np.hstack([half, half]), meta=still().meta)
    turned = source.rotated(yaw, tilt)
    np.testing.assert_array_equal(turned.samples[:, :3], turned.samples[:, 3:])
    np.testing.assert_allclose(
        np.linalg.norm(turned.samples[:, :3].astype(float), axis=1),
        np.linalg.norm(half.astype(float), axis=1),
        atol=1,
    )
    assert turned.saturated == 0


def test_rotating_back_restores_the_samples_within_rounding(walk):
    back = walk.rotated(yaw_deg=35).rotated(yaw_deg=-35)
    assert np.abs(back.samples.astype(int) - walk.samples).max() <= 2
    assert back.meta["transforms"] == ["rotated yaw 35 tilt 0 deg", "rotated yaw -35 tilt 0 deg"]
    assert "transforms" not in walk.meta


def test_values_beyond_the_sensors_range_are_held_and_counted():
    loud = still(1.0)
    samples = loud.samples.copy()
    samples[10:14, :2] = 32767
    turned = Recording(samples=samples, meta=loud.meta).rotated(yaw_deg=-45)
    assert turned.samples[10:14, 1].tolist() == [32767] * 4
    assert turned.saturated == 4


def test_an_angle_that_is_no_number_is_refused(walk):
    with pytest.raises(RecordingError, match="tilt_deg = nan"):
        walk.rotated(tilt_deg=float("nan"))


@pytest.mark.parametrize("rate_hz", [20.0, 26.0, 52.0, 100.0, 208.0, 250.0])
def test_resampling_keeps_a_slow_motion_and_its_time(rate_hz):
    motion = tone(2.0).resampled(rate_hz)
    t = np.arange(len(motion.samples)) / rate_hz
    inside = (t > 1) & (t < 5)
    expected = 8000 * np.sin(2 * np.pi * 2.0 * t)
    assert np.abs(motion.samples[inside, 0] - expected[inside]).max() < 25
    assert motion.rate_hz == rate_hz
    assert motion.duration_s == pytest.approx(6.0, abs=1 / rate_hz)


@pytest.mark.parametrize(("frequency_hz", "rate_hz"), [(20.0, 20.0), (35.0, 26.0), (40.0, 52.0)])
def test_resampling_down_lets_nothing_fold_back(frequency_hz, rate_hz):
    folded = tone(frequency_hz).resampled(rate_hz).samples[:, 0].astype(float)
    inside = folded[int(rate_hz) : -int(rate_hz)]
    assert np.abs(inside).max() < 8000 * 0.002


def test_a_constant_stays_that_constant_at_any_rate():
    for rate_hz in (20.0, 33.3, 250.0):
        assert np.unique(still().resampled(rate_hz).samples, axis=0).tolist() == still().samples[:1].tolist()


@pytest.mark.parametrize("rate_hz", [19.9, 251.0, float("nan"), -52.0])
def test_a_rate_no_sensor_has_is_refused(walk, rate_hz):
    with pytest.raises(RecordingError, match="expected 20 to 250 Hz"):
        walk.resampled(rate_hz)


def test_transforms_leave_truth_alone(walk):
    for altered in (walk.rotated(20, 5), walk.resampled(52), walk.with_noise(1)):
        for name in ("steps", "truth", "spans", "span_label", "event_t", "event_kind"):
            np.testing.assert_array_equal(getattr(altered, name), getattr(walk, name))


def test_noise_is_of_the_documented_size():
    spread, offsets, turns = [], [], []
    for seed in range(25):
        noisy = still(4.0).with_noise(seed)
        spread.append(np.hstack([noisy.acc_g().std(axis=0) * 1000, noisy.gyr_dps().std(axis=0)]))
        offsets.append(np.hstack([noisy.acc_g().mean(axis=0), noisy.gyr_dps().mean(axis=0)]))
        turns.append(np.degrees(np.arctan2(-noisy.acc_g()[:, 0].mean(), noisy.acc_g()[:, 2].mean())))
    np.testing.assert_allclose(np.mean(spread, axis=0), [2.0] * 3 + [0.1] * 3, rtol=0.05)
    assert np.abs(np.array(offsets)[:, 3:]).max() <= 1.02
    assert np.abs(np.array(offsets)[:, 1]).max() <= 0.0202
    assert 3.0 < np.abs(turns).max() < 5.2


def test_noise_depends_on_the_seed_alone(walk):
    np.testing.assert_array_equal(walk.with_noise(4).samples, walk.with_noise(4).samples)
    assert np.any(walk.with_noise(4).samples != walk.with_noise(5).samples)


def test_without_a_gyroscope_no_gyroscope_noise_appears():
    assert not np.any(still(has_gyro=False).with_noise(2).samples[:, 3:])


@pytest.mark.shared
def test_real_recordings_load():
    paths = sorted((device_root().parent / "shared" / "data" / "recordings").rglob("*.npz"))[::25]
    assert len(paths) > 50
    for path in paths:
        assert load(path).duration_s > 0


def taken(*messages, labels=("stand", "forward", "backward")):
    capture = Capture(labels, 100.0)
    for message in messages:
        capture.take(message)
    return capture


def block(first, samples=100):
    return RawBlock(first, bytes(12 * samples))


@pytest.mark.parametrize(
    ("messages", "names", "ends"),
    [
        ((block(0), Mark(100, 1), block(100), Mark(150, 1)), ["stand", "forward", "backward"], [1, 1.5, 2]),
        ((Mark(0, 1), block(0), Mark(50, 1)), ["forward", "backward"], [0.5, 1]),
        ((Mark(3, 1), block(7)), ["forward"], [1]),
        ((block(0), Mark(50, 2)), ["stand", "backward"], [0.5, 1]),
        ((block(0), Mark(50, 9), Mark(50, 1)), ["stand", "backward"], [0.5, 1]),
    ],
)
def test_the_label_that_was_shown_is_the_one_that_is_saved(messages, names, ends):
    capture = taken(*messages)
    spans, found = capture.spans()
    assert found.tolist() == names
    assert spans[:, 1].tolist() == ends
    assert capture.label == names[-1]


class Cable:
    """In place of the cable and the link: three blocks and a press come, then the recording ends."""

    pulled: bool

    def __init__(self, *arguments, on_raw=None):
        self.on_raw = on_raw

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc_info):
        pass

    async def status(self):
        return {"sample_period_ns": 10_000_000, "placement": "waist", "device_id": "abc", "firmware": "0.1.0"}

    async def raw(self, on):
        pass

    async def listen(self):
        for message in (block(0), Mark(100, 1), block(100), block(200)):
            self.on_raw(message)
        if self.pulled:
            raise LinkError("abc was disconnected")
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(60)


@pytest.mark.parametrize(("pulled", "says"), [(True, "was disconnected"), (False, "stopped by hand")])
def test_a_recording_that_ends_early_is_saved_and_says_why(tmp_path, monkeypatch, pulled, says):
    monkeypatch.setattr(Cable, "pulled", pulled, raising=False)
    monkeypatch.setattr(record_command, "Link", Cable)
    monkeypatch.setattr(record_command.cable, "CableTransport", Cable)
    out = tmp_path / "walk.npz"
    command = ["record", str(out), "--port", "x", "--subject", "a", "--labels", "forward,backward"]
    with pytest.raises(RecordingBroken, match=rf"after 3.0 of 60 s: .*{says}.* is saved in"):
        CliRunner().invoke(cli.app, command, catch_exceptions=False)
    kept = load(out)
    assert kept.duration_s == 3.0
    assert kept.span_label.tolist() == ["forward", "backward"]
    with pytest.raises(OutputRefused, match="exists already"):
        CliRunner().invoke(cli.app, command, catch_exceptions=False)
    command[1] = str(tmp_path / "no" / "walk.npz")
    with pytest.raises(OutputFailed, match="can't be written"):
        CliRunner().invoke(cli.app, command, catch_exceptions=False)
