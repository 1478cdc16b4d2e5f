"""docs/recording.md keeps its word: its scripts run as they stand, from the board to a judged recording."""

import re
import subprocess
import sys

import pytest

from retrostep import recording
from retrostep.board import VirtualBoard, flash_image
from retrostep.device_tree import device_root
from retrostep.evaluation import activities, evaluate
from retrostep.evaluation.activities import PLAIN
from retrostep.walker import Walk

PAGE = device_root() / "docs" / "recording.md"
SECONDS = 10


@pytest.fixture(scope="module")
def scripts():
    capture, convert = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert "SECONDS = 60" in capture
    return capture.replace("SECONDS = 60", f"SECONDS = {SECONDS}"), convert


def test_the_scripts_make_a_recording_of_what_the_board_felt(scripts, tmp_path):
    capture, convert = scripts
    (tmp_path / "capture.py").write_text(capture)
    (tmp_path / "convert.py").write_text(convert)
    flash_image.create(tmp_path / "flash.img")
    walk = Walk(5).stand(3).walk("backward", steps=40).stand(30).recording()
    printed = tmp_path / "a07_backward_1.txt"
    with VirtualBoard(tmp_path / "flash.img", walk=walk.samples) as board, printed.open("w") as out:
        subprocess.run(
            [sys.executable, "-m", "mpremote", "connect", board.port, "run", str(tmp_path / "capture.py")],
            stdout=out,
            timeout=90,
            check=True,
        )
    subprocess.run([sys.executable, str(tmp_path / "convert.py"), str(printed)], timeout=60, check=True)
    made = recording.load(printed.with_suffix(".npz"))
    assert made.meta["subject"] == "a07"
    assert activities.kind(made) == activities.BACKWARD
    assert made.duration_s == pytest.approx(SECONDS, abs=1)
    # Upright and alive.
    assert 0.9 < made.acc_g()[:, 2].mean() < 1.1
    evaluation = evaluate(tmp_path)
    assert [one.facts.kind for one in evaluation.select()] == [activities.BACKWARD]


def test_the_page_names_every_activity_that_the_evaluation_knows():
    named = set(re.findall(r"^\| `a07_\w+` \| (\w+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert named - {"mixed"} == set(PLAIN)
