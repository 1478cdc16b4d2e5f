"""`retrostep watch`: the model of a walk, and what a terminal, a pipe and a program get from a virtual board."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest

from retrostep.board import VirtualBoard, flash_image
from retrostep.flash import installed_files
from retrostep.link import LiveCue, LiveStep
from retrostep.walker import Walk as SimulatedWalk
from retrostep.watching import SHOWN, Walk

START_S = 3
WATCH_S = 12


def steps(count, interval_s=0.5, start_s=0.0, direction="backward", stability=None):
    return [LiveStep(start_s + n * interval_s, direction, 0.9, stability) for n in range(count)]


def walked(events, **options):
    walk = Walk(**options)
    for event in events:
        walk.add(event)
    return walk


def test_watch_shows_nothing_known_before_the_first_step():
    walk = Walk()
    assert (walk.direction, walk.cadence_per_min, walk.stability, list(walk.lines)) == (None, None, None, [])


def test_watch_knows_direction_cadence_and_stability_of_the_last_steps():
    walk = walked([*steps(10, direction="forward"), *steps(10, 0.6, 5.1, stability=71)])
    assert (walk.direction, walk.cadence_per_min, walk.stability) == ("backward", 100, 71)
    assert walk.counts == {"forward": 10, "backward": 10}


def test_watch_takes_the_cadence_of_the_new_walk_after_a_pause():
    walk = walked([*steps(10), *steps(1, start_s=60)])
    assert walk.cadence_per_min is None
    assert walked([*steps(10), *steps(3, 0.75, 60)]).cadence_per_min == 80


def test_watch_counts_both_feet_of_a_device_at_the_shoe():
    assert walked(steps(6, 1.2), steps_per_contact=2).cadence_per_min == 100


def test_watch_keeps_the_last_events_and_each_with_the_cadence_of_its_time():
    walk = walked([*steps(5), *steps(2, 0.6, 30), LiveCue(31, "backward_started")])
    assert len(walk.lines) == SHOWN
    assert "120 steps/min" in walk.lines[4]
    assert "100 steps/min" in walk.lines[-2]
    assert walk.lines[-1].endswith("cue backward started")


@pytest.fixture(scope="module")
def walking_image(tmp_path_factory):
    image = tmp_path_factory.mktemp("watch") / "flash.img"
    settings = image.parent / "settings.json"
    settings.write_text(json.dumps({"placement": "pocket"}))
    flash_image.create(image, [*installed_files(), (settings, "/settings.json")])
    return image


@pytest.fixture
def walking_board(walking_image, tmp_path):
    walk = SimulatedWalk(seed=3).stand(START_S).walk("forward", seconds=40).recording("waist")
    image = tmp_path / "flash.img"
    image.write_bytes(walking_image.read_bytes())
    with VirtualBoard(image, speed=0, walk=walk.samples) as board:
        board.advance(START_S)
        board.set_speed(1.0)
        yield board


def command(board, *more):
    words = ["watch", "--port", board.port, "--seconds", str(WATCH_S), *more]
    return [sys.executable, "-c", "from retrostep.cli import main; main()", *words]


def test_watch_prints_json_lines_and_plain_lines_where_it_is_piped(walking_board):
    done = subprocess.run(
        command(walking_board, "--json"), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    told = [event for event in events if event["event"] == "step"]
    assert len(told) >= 8
    assert 80 < told[-1]["cadence_per_min"] < 150
    plain = subprocess.run(command(walking_board), capture_output=True, text=True, timeout=60, check=False)
    assert re.search(r"steps/min  stability", plain.stdout), plain.stdout + plain.stderr
    assert "\x1b" not in plain.stdout


def test_watch_draws_the_walk_on_a_terminal_and_leaves_it_tidy(walking_board):
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    watching = subprocess.Popen(command(walking_board), stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    drawn = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ready, _, _ = select.select([ours], [], [], 0.2)
        if ready:
            try:
                drawn += os.read(ours, 65536)
            except OSError:
                break
        elif watching.poll() is not None:
            break
    os.close(ours)
    assert watching.wait(10) == 0, drawn
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.decode())
    assert "waiting for steps" in text
    assert "steps/min" in text
    assert "Ctrl-C ends" in text
    # It redraws in place: the cursor goes up, and is visible again at the end.
    assert re.search(rb"\x1b\[\d*A", drawn)
    assert drawn.rfind(b"\x1b[?25h") > drawn.rfind(b"\x1b[?25l")
