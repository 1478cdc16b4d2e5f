"""`retrostep replay`: the firmware over recordings, as a person and as a program see it."""

import json

import pytest
import typer
from typer.testing import CliRunner

from retrostep import recording
from retrostep.commands.replay import register
from retrostep.replay import Replayer, ReplayError
from retrostep.walker import Walk


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    walk = Walk(seed=3).stand(2).walk("forward", steps=14).stand(1).walk("backward", steps=14).stand(2)
    recording.save(walk.recording(placement="waist"), folder / "both.npz")
    forward = Walk(seed=5).stand(3).walk("forward", steps=16).stand(1)
    recording.save(forward.recording(placement="waist"), folder / "forward.npz")
    recording.save(Walk(seed=1).stand(5).recording(placement="waist"), folder / "standing.npz")
    (folder / "broken.npz").write_bytes(b"no recording")
    return folder


@pytest.fixture
def replay():
    app = typer.Typer()
    register(app)

    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


def objects(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_json_has_one_object_a_file_with_the_promised_keys(replay, folder):
    result = replay("--json", folder / "both.npz", folder / "standing.npz")
    assert result.exit_code == 0, result.output
    both, standing = objects(result)
    assert list(both) == ["file", "duration_s", "placement", "model", "steps", "counts", "events", "cues"]
    assert both["file"] == str(folder / "both.npz")
    assert both["placement"] == "waist"
    assert both["model"] == "physics-waist-3"
    assert list(both["counts"]) == ["forward", "backward", "sideways", "unknown"]
    assert sum(both["counts"].values()) == len(both["steps"])
    assert both["counts"]["backward"] >= 10
    assert both["counts"]["forward"] >= 10
    for step in both["steps"]:
        assert list(step) == ["t", "decided_t", "direction", "confidence", "stability"]
        assert 0 <= step["t"] < step["decided_t"] <= both["duration_s"]
        assert 0 <= step["confidence"] <= 1
    assert standing["steps"] == []


def test_a_step_is_known_at_the_end_of_a_fifo_block_or_of_the_recording(replay, folder):
    (both,) = objects(replay("--json", folder / "both.npz"))
    for step in both["steps"]:
        samples = round(step["decided_t"] * 104)
        assert samples % 26 == 0 or abs(step["decided_t"] - both["duration_s"]) < 0.01


def test_times_are_those_of_the_contacts(replay, folder):
    truth = recording.load(folder / "both.npz").step_times_s()
    (both,) = objects(replay("--json", folder / "both.npz"))
    near = [step for step in both["steps"] if min(abs(truth - step["t"])) < 0.15]
    assert len(near) >= 0.9 * len(both["steps"])


def test_backward_walking_is_felt_as_a_cue(replay, folder):
    (both,) = objects(replay("--json", folder / "both.npz"))
    assert [cue["pattern"] for cue in both["cues"]] == ["backward_started", "backward_ended"]


def test_a_turned_clip_is_right_once_calibrated(replay, folder):
    turned = ("--json", "--yaw-deg", 180, "--tilt-deg", 10)
    (wrong,) = objects(replay(*turned, folder / "both.npz"))
    assert wrong["counts"]["forward"] + wrong["counts"]["backward"] > 0
    from_the_truth = recording.load(folder / "forward.npz").rotated(180, 10)
    recording.save(from_the_truth, folder / "turned.npz")
    (right,) = objects(replay(*turned, "--calibrate", folder / "turned.npz", folder / "both.npz"))
    assert right["counts"]["backward"] >= 10
    assert right["counts"]["forward"] >= 10


def test_a_recording_of_unknown_mounting_counts_without_direction(replay, folder):
    clip = recording.load(folder / "both.npz")
    clip.meta["frame"] = "sensor"
    recording.save(clip, folder / "sensor.npz")
    (result,) = objects(replay("--json", folder / "sensor.npz"))
    assert result["counts"]["unknown"] == len(result["steps"]) >= 20


@pytest.mark.parametrize(
    "options", [("--rate-hz", 52), ("--noise", 7), ("--placement", "pocket"), ("--jobs", 2)]
)
def test_options_still_count_the_walk(replay, folder, options):
    result = replay("--json", *options, folder / "both.npz", folder / "both.npz")
    assert result.exit_code == 0, result.output
    first, second = objects(result)
    assert first == second
    assert len(first["steps"]) >= 20


def test_a_file_that_is_no_recording_is_named_and_the_others_are_done(replay, folder):
    result = replay("--json", folder / "broken.npz", folder / "missing.npz", folder / "both.npz")
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert str(folder / "broken.npz") in lines[0]
    assert str(folder / "missing.npz") in lines[1]
    assert len(objects(result)) == 1


def test_calibrating_on_standing_says_why_not(replay, folder):
    result = replay("--json", "--calibrate", folder / "standing.npz", folder / "both.npz")
    assert result.exit_code == 2
    assert "0 steps seen, expected at least 10" in result.stderr
    assert result.stdout == ""


def test_an_unknown_placement_is_a_usage_error(replay, folder):
    result = replay("--placement", "hat", folder / "both.npz")
    assert result.exit_code == 2
    assert "expected one of waist, shoe, pocket" in result.stderr


def test_without_json_a_table_is_printed(replay, folder):
    result = replay(folder / "both.npz")
    assert result.exit_code == 0
    assert "backward" in result.stdout
    assert "both.npz" in result.stdout


def test_a_crash_of_the_firmware_is_reported_and_the_next_recording_starts_afresh(folder):
    good = recording.load(folder / "both.npz")
    with Replayer() as replayer:
        with pytest.raises(ReplayError, match=r"(?s)MicroPython stopped: .*ValueError: mounting"):
            replayer.replay(good, mounting=b"\0" * 13)
        assert len(replayer.replay(good).steps) >= 20
