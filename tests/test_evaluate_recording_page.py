"""docs/recording.md keeps its word: its command makes a recording on the board, and the evaluation knows it."""

import re
import shlex

import pytest
from typer.testing import CliRunner

from retrostep import cli, recording
from retrostep.board import VirtualBoard, flash_image
from retrostep.device_tree import device_root
from retrostep.evaluation import activities, evaluate
from retrostep.evaluation.activities import PLAIN
from retrostep.walker import Walk

PAGE = device_root() / "docs" / "recording.md"
SECONDS = 6


def test_the_command_of_the_page_records_what_the_board_felt(tmp_path, monkeypatch):
    (line,) = re.findall(r"^    retrostep (record .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    flash_image.create(tmp_path / "flash.img")
    walk = Walk(5).stand(1).walk("backward", steps=40).stand(30).recording()
    monkeypatch.chdir(tmp_path)
    with VirtualBoard(tmp_path / "flash.img", walk=walk.samples) as board:
        words = shlex.split(line.replace("PORT", board.port).replace("--seconds 60", f"--seconds {SECONDS}"))
        done = CliRunner().invoke(cli.app, words)
        assert done.exit_code == 0, done.output
    made = recording.load(tmp_path / "a07_backward_1.npz")
    assert (made.meta["subject"], made.frame, made.meta["may_train"]) == ("a07", "clip", True)
    assert activities.kind(made) == activities.BACKWARD
    assert made.duration_s == pytest.approx(SECONDS, abs=1)
    # Upright and alive.
    assert 0.9 < made.acc_g()[:, 2].mean() < 1.1
    evaluation = evaluate(tmp_path)
    assert [one.facts.kind for one in evaluation.select()] == [activities.BACKWARD]


def test_the_page_names_every_activity_that_the_evaluation_knows():
    named = set(re.findall(r"^\| `a07_\w+` \| (\w+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert named - {"mixed"} == set(PLAIN)
