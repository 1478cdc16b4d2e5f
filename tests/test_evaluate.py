"""`retrostep evaluate`: pairing and intervals are exact, a folder is judged by what its labels say."""

import json
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations, pairwise

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from retrostep import recording
from retrostep.commands.evaluate import register
from retrostep.device_tree import device_root
from retrostep.evaluation import NoRecordings, document, evaluate, excerpts, goals, measures
from retrostep.evaluation.conditions import AS_RECORDED, NOT_CALIBRATED, YAW_30, YAW_90
from retrostep.evaluation.matching import constant_lag_s, pair
from retrostep.evaluation.origin import gait_digest
from retrostep.evaluation.scoring import Facts, Trial, score
from retrostep.evaluation.statistics import Figure, Part, poisson_rate, quantile, ratio, wilson
from retrostep.evaluation.tables import all_tables, text
from retrostep.replay import ReplayedStep
from retrostep.walker import Walk

BROWSER_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--dump-dom")
SHARED = device_root().parent / "shared/data/recordings"


def worn(walk, placement="waist", **meta):
    """A simulated walk labelled as if people had recorded it."""
    made = walk.recording(placement=placement)
    return replace(made, meta={**made.meta, "source": "lab", "virtual": False, "step_count": -1, **meta})


def unlabelled(one):
    """Without annotated contacts, as most people will record."""
    return replace(
        one, steps=one.steps[:0], truth=one.truth[:0], spans=one.spans[:0], span_label=one.span_label[:0]
    )


def test_the_page_of_the_accuracy_judges_the_gait_code_that_is_here():
    page = (device_root() / "docs" / "accuracy.md").read_text()
    assert f"gait code `{gait_digest()}`" in page, "the gait code has changed: make evaluate"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "waist").mkdir()
    (folder / "shoe").mkdir()
    for seed in (1, 2, 3):
        who = {"subject": f"p{seed}", "group": "young"}
        walk = Walk(seed).stand(3).walk("forward", steps=24).stand(3)
        recording.save(worn(walk, activity="there", **who), folder / f"waist/there_{seed}.npz")
        recording.save(
            worn(walk, "shoe", activity="there", frame="sensor", **who), folder / f"shoe/there_{seed}.npz"
        )
        again = Walk(seed + 10).stand(3).walk("forward", steps=24).stand(3)
        recording.save(
            worn(again, "shoe", activity="there", frame="sensor", **who), folder / f"shoe/again_{seed}.npz"
        )
        again = Walk(seed + 20).stand(3).walk("forward", steps=24).stand(3)
        recording.save(unlabelled(worn(again, activity="forward", **who)), folder / f"waist/again_{seed}.npz")
        back = Walk(seed).stand(3).walk("backward", steps=20).stand(3)
        recording.save(
            unlabelled(worn(back, activity="backward", **(who | {"step_count": 20}))),
            folder / f"waist/back_{seed}.npz",
        )
        idle = Walk(seed).stand(20).bend(3).stand(5)
        recording.save(unlabelled(worn(idle, activity="idle", **who)), folder / f"waist/idle_{seed}.npz")
    capture = Walk(7).stand(2).walk("backward", steps=16).stand(2).recording()
    recording.save(replace(capture, meta={**capture.meta, "source": "lab"}), folder / "waist/capture.npz")
    return folder


@pytest.fixture(scope="module")
def evaluation(folder):
    return evaluate(folder)


@pytest.fixture
def command(monkeypatch):
    app = typer.Typer()

    @app.callback()
    def several_commands():
        """With one command alone typer would drop its name."""

    register(app)

    def run(*arguments):
        words = ["evaluate", *map(str, arguments)]
        # The documents name the command line that made them.
        monkeypatch.setattr("sys.argv", ["retrostep", *words])
        return CliRunner().invoke(app, words)

    return run


def table(evaluation, key):
    (found,) = [one for one in all_tables(evaluation) if one.key == key]
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


# Pairing


@pytest.mark.parametrize(
    ("found", "true", "expected"),
    [
        ([1.0, 2.0], [1.05, 2.3], [(0, 0)]),
        ([], [1.0], []),
        ([1.0], [], []),
        # One found step serves one true one only: the nearer.
        ([1.0], [0.95, 1.02], [(0, 1)]),
        # More pairs are better than nearer ones: the nearest for 1.0 would leave 0.92 alone.
        ([0.92, 1.0], [0.99, 1.08], [(0, 0), (1, 1)]),
        # The same number of pairs: the smaller total difference.
        ([1.0, 1.05], [1.06], [(1, 0)]),
        ([1.0], [1.1], [(0, 0)]),
        ([1.0], [1.11], []),
    ],
)
def test_steps_are_paired_one_to_one_within_the_tolerance(found, true, expected):
    assert pair(found, true, 0.1001) == expected


def test_pairing_of_many_steps_is_as_good_as_trying_everything():
    rng = np.random.default_rng(4)
    for _ in range(60):
        found, true = np.sort(rng.uniform(0, 2, 5)), np.sort(rng.uniform(0, 2, 5))
        best = max(
            (size, -sum(abs(found[i] - true[j]) for i, j in zip(some, others, strict=True)))
            for size in range(6)
            for some in combinations(range(5), size)
            for others in combinations(range(5), size)
            if all(abs(found[i] - true[j]) <= 0.25 for i, j in zip(some, others, strict=True))
        )
        pairs = pair(found, true, 0.25)
        assert len(pairs) == best[0]
        assert sum(abs(found[i] - true[j]) for i, j in pairs) == pytest.approx(-best[1])


def test_the_constant_lag_ignores_steps_that_were_missed_or_invented():
    true = np.arange(1.0, 20.0, 0.55)
    found = np.delete(true + 0.08, [3, 9])
    found = np.sort(np.append(found, [4.0, 12.1]))
    assert constant_lag_s([(found, true), ([], [1.0])]) == pytest.approx(0.08, abs=0.005)
    assert constant_lag_s([]) == 0.0
    # Two steps that contradict each other: between them, rather than nothing.
    assert constant_lag_s([([1.3, 4.7], [1.0, 5.0])]) == pytest.approx(0.0)


# Intervals


def test_intervals_have_their_published_values():
    # Wilson: 8 of 10; Garwood: 0 and 10 events.
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=2e-4)
    assert wilson(0, 50) == pytest.approx((0.0, 0.0713), abs=2e-4)
    assert poisson_rate(0, 1.0) == pytest.approx((0.0, 3.689), abs=1e-3)
    assert poisson_rate(10, 2.0) == pytest.approx((4.795 / 2, 18.390 / 2), abs=1e-3)


def test_the_interval_of_a_share_comes_from_drawing_people():
    # Ten people of 100 steps: half always wrong, half always right. By steps it would be +-3 %, by people +-30 %.
    parts = [Part(f"p{i}", f"f{i}", 100 * (i % 2), 100) for i in range(10)]
    figure = ratio(parts, "%", scale=100)
    assert (figure.value, figure.n, figure.people, figure.interval) == (50, 1000, 10, "people")
    assert figure.low == pytest.approx(20, abs=6)
    assert figure.high == pytest.approx(80, abs=6)


def test_what_never_went_wrong_still_has_an_interval():
    figure = ratio([Part(f"p{i}", "f", 0, 30) for i in range(8)], "%", scale=100)
    assert (figure.value, figure.low, figure.interval) == (0, 0, "Wilson")
    assert 1 < figure.high < 3
    assert ratio([Part("p", "f", 0, 2.0)], "/h", kind="rate").high == pytest.approx(3.689 / 2, abs=1e-3)
    assert ratio([], "%") is None


def test_quantiles_are_of_all_cases():
    figure = quantile([("a", float(i)) for i in range(101)], 0.95, "s")
    assert (figure.value, figure.n, figure.people, figure.low) == (95, 101, 1, None)


def test_a_figure_is_shown_with_its_unit_and_interval():
    assert text(Figure(3.14159, "%", 10, 2, 1.0, 5.0)) == "3.1% (1.0-5.0)"
    assert text(Figure(0.5, "/1000", 10, 2)) == "0.5/1,000"
    assert text(Figure(1.234, "s", 10, 2)) == "1.23 s"
    assert text(None) == "-"


# Scoring


def scored(found, true, windows=((0.0, 10.0),), directions=None, **facts):
    given = Facts(
        file="f",
        source="s",
        placement="waist",
        group="",
        person="s/p",
        activity="",
        kind="",
        virtual=False,
        may_train=True,
        duration_s=20.0,
        true_s=tuple(true),
        true_directions=tuple(directions or ["forward"] * len(true)),
        windows=windows,
        falls_s=(),
        turns=(),
        parts=((0.0, 20.0, ""),),
        counted=None,
    )
    steps = [ReplayedStep(t, t + 0.5, direction, 0.9, None) for t, direction in found]
    return score(Trial(replace(given, **facts), AS_RECORDED, steps, "m"), 0.0)


def test_only_steps_inside_the_truth_windows_count():
    one = scored([(1.0, "forward"), (2.0, "forward"), (15.0, "forward")], [1.0, 2.2, 3.0])
    assert (one.true_steps, one.found_steps, one.hits_close, one.hits_near) == (3, 2, 1, 2)
    assert measures.count_error([one]).value == pytest.approx(100 / 3)
    assert measures.f1([one], near=False).value == pytest.approx(2 * 1 / 5)


def test_standing_is_what_lies_more_than_a_second_from_true_steps():
    one = scored([(0.5, "backward"), (2.4, "forward"), (8.0, "forward")], [2.0, 3.0, 4.0])
    # 0 to 1 s and 5 to 10 s.
    assert one.quiet_s == pytest.approx(6.0)
    assert one.quiet_found == Counter(backward=1, forward=1)


def test_a_step_through_a_turn_is_told_from_a_straight_one():
    times = [1.0, 2.0, 3.0, 4.0]
    one = scored([(t, "forward") for t in times], times, turns=((2.5, 2.7),))
    assert [step.turning for step in one.matched] == [False, False, True, False]


def test_labelled_spans_say_which_way_steps_go():
    parts = ((0.0, 5.0, "forward"), (6.0, 12.0, "backward"), (13.0, 20.0, "sitting, lying, bending"))
    found = [(1.0, "forward"), (7.0, "forward"), (8.0, "backward"), (15.0, "backward")]
    one = scored(found, [], windows=(), parts=parts)
    assert [(step.true, step.found) for step in one.presumed] == [
        ("forward", "forward"),
        ("backward", "forward"),
        ("backward", "backward"),
    ]
    assert (one.quiet_s, one.quiet_found) == (7.0, Counter(backward=1))


# Excerpts


def test_a_bout_has_exactly_its_steps_between_quiet_parts():
    walk = Walk(4).stand(3).walk("forward", steps=24).stand(3).recording()
    cuts = list(excerpts.bouts(walk, 5, most=2, seed=1))
    assert len(cuts) == 2
    for cut in cuts:
        times = cut.step_times_s()
        assert len(times) == 5
        assert times[0] > excerpts.QUIET_BEFORE_S - 0.5
        assert cut.duration_s - times[-1] > excerpts.QUIET_AFTER_S - 0.5
        # The steps between are those of the walk, at the same distances.
        gaps, all_gaps = np.diff(times), np.diff(walk.step_times_s())
        assert any(np.allclose(gaps, all_gaps[i : i + 4], atol=1e-3) for i in range(len(all_gaps) - 3))
    assert next(excerpts.bouts(walk, 5, most=2, seed=1)).meta == cuts[0].meta


def test_a_repeated_window_joins_without_a_jump():
    window = excerpts.cut(Walk(4).stand(3).walk("forward", steps=24).recording(), 5.0, 8.0)
    long = excerpts.repeated(window, 4)
    assert long.duration_s == pytest.approx(4 * 3.0 - 3 * excerpts.FADE_S, abs=0.05)
    jump = np.abs(np.diff(long.samples[:, 2].astype(int))).max()
    assert jump <= 1.3 * np.abs(np.diff(window.samples[:, 2].astype(int))).max() + 20
    assert len(long.steps) == len(long.truth) == 0


# A whole folder


def test_annotated_walks_are_scored_by_their_contacts(evaluation):
    (row,) = [row for row in table(evaluation, "steps") if (row["worn"], row["kind"]) == ("waist", "real")]
    assert (row["source"], row["people"], row["recordings"], row["true"]) == ("lab", 3, 3, 72)
    assert row["F1 0.25 s"].value > 0.9
    assert row["MAPE"].value < 10
    (row,) = [
        row
        for row in table(evaluation, "direction")
        if (row["worn"], row["kind"], row["true"]) == ("waist", "real", "forward")
    ]
    assert row["opposite"].value == 0


def test_a_label_and_a_count_by_hand_are_enough(evaluation):
    rows = [row for row in table(evaluation, "direction_labelled") if row["activity"] == "backward"]
    (row,) = rows
    assert (row["true"], row["people"]) == ("backward", 3)
    assert float(row["backward %"]) > 85
    (row,) = table(evaluation, "hand_counted")
    assert (row["counted"], row["recordings"]) == (60, 3)
    assert row["MAPE"].value < 15


def test_idle_recordings_count_false_steps_an_hour(evaluation):
    (row,) = [
        row for row in table(evaluation, "false_steps") if row["what went on"] == "sitting, lying, bending"
    ]
    assert (row["people"], row["steps"]) == (3, 0)
    assert row["an hour"].high > 0


def test_virtual_and_real_never_share_a_row(evaluation):
    for one in all_tables(evaluation):
        if "kind" in one.columns:
            assert {row[one.columns.index("kind")] for row in one.rows} <= {"real", "virtual"}
    people = sum(row["people"] for row in table(evaluation, "direction") if row["true"] == "backward")
    assert people == 1  # the virtual one; real backward walks carry no contacts


def test_a_turned_clip_still_counts_but_loses_the_direction(evaluation):
    straight = measures.f1(evaluation.select(placement="waist", virtual=False), near=True)
    turned = measures.f1(evaluation.select(YAW_90, placement="waist", virtual=False), near=True)
    assert turned.value > straight.value - 0.03
    back = evaluation.select(activity="backward")
    assert measures.called(back, "backward", "backward", 100).value > 85
    assert (
        measures.called(evaluation.select(YAW_90, activity="backward"), "backward", "backward", 100).value
        < 50
    )
    assert evaluation.select(YAW_30, activity="backward")


def test_without_a_mounting_no_direction_is_said(evaluation):
    scores = evaluation.select(NOT_CALIBRATED)
    assert {step.found for one in scores for step in one.judged} == {"unknown"}


def test_a_clip_that_sits_anyhow_knows_the_way_after_a_calibration_on_another_walk(evaluation):
    rows = {(row["worn"], row["true"]): row for row in table(evaluation, "direction_calibrated")}
    assert set(rows) == {("waist", "forward"), ("waist", "backward"), ("shoe", "forward")}
    for (_, true), row in rows.items():
        assert row["people"] == 3
        assert float(row[f"{true} %"]) > 80


def test_ten_steps_find_the_forward_axis(evaluation):
    (row,) = table(evaluation, "calibration")
    assert (row["people"], row["walks"], row["refused"]) == (3, 6, 0)
    assert row["error, median"].value < 15


def test_short_bouts_are_cut_from_longer_walks(evaluation):
    rows = [row for row in table(evaluation, "bouts") if row["condition"] == AS_RECORDED]
    assert [row["steps"] for row in rows] == [4, 5, 6]
    assert all(row["bouts"] == 6 for row in rows)


def test_equal_seeds_give_equal_evaluations(folder, evaluation):
    again = document.as_json(evaluate(folder, jobs=1), "retrostep evaluate")
    assert again == document.as_json(evaluation, "retrostep evaluate")


def test_every_goal_has_a_standing_and_a_missed_one_says_so(evaluation):
    seen = {one.goal.text: one for one in goals.standings(evaluation)}
    assert len(seen) > 40
    assert seen["ipol110: MAPE"].verdict == "not measured"
    goal = seen["ipol110: MAPE"].goal
    for value, verdict in ((1.9, "hoped for"), (3.0, "met"), (3.1, "missed")):
        assert goals.Standing(goal, Figure(value, "%", 74, 13)).verdict == verdict
    share = seen["ipol110: F1 at 0.1 s"].goal
    for value, verdict in ((0.97, "hoped for"), (0.94, "met"), (0.93, "missed")):
        assert goals.Standing(share, Figure(value, "", 2531, 13)).verdict == verdict


# The command


def test_json_keeps_its_promised_shape(command, folder, tmp_path):
    result = command(folder, "--quick", "--json", tmp_path / "out.json")
    assert result.exit_code == 0, result.output
    made = json.loads((tmp_path / "out.json").read_text())
    assert list(made) == [
        "format",
        "origin",
        "folder",
        "seed",
        "quick",
        "only",
        "goals",
        "tables",
        "lags_ms",
        "recordings",
        "skipped",
    ]
    assert made["format"] == "evaluation-1"
    assert list(made["origin"]) == ["retrostep", "command", "models", "gait_code"]
    assert list(made["goals"][0]) == ["section", "goal", "figure", "must", "hoped_for", "at_most", "verdict"]
    figures = [one["figure"] for one in made["goals"] if one["figure"]]
    assert list(figures[0]) == ["value", "unit", "n", "people", "low", "high", "interval"]
    for one in made["tables"]:
        assert list(one) == ["key", "title", "note", "columns", "rows"]
        assert all(len(row) == len(one["columns"]) for row in one["rows"])
    assert {one["file"] for one in made["recordings"]} <= {
        path.relative_to(folder).as_posix() for path in folder.rglob("*.npz")
    }


def test_markdown_names_its_command_and_opens_with_the_goals(command, folder, tmp_path):
    result = command(folder, "--quick", "--markdown", tmp_path / "accuracy.md")
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "accuracy.md").read_text().splitlines()
    assert lines[0] == "# Accuracy"
    assert lines[4].startswith("    retrostep ")
    sections = [line for line in lines if line.startswith("## ")]
    assert sections[0] == "## Goals"
    assert "## Steps found" in sections
    for before, line in pairwise(lines):
        if before.startswith("|") and line.startswith("|"):
            assert before.count("|") == line.count("|")


def test_a_folder_without_recordings_is_refused(command, tmp_path):
    result = command(tmp_path)
    assert result.exit_code == 2
    assert "no .npz file" in result.output
    with pytest.raises(NoRecordings, match="no such folder"):
        evaluate(tmp_path / "missing")
    (tmp_path / "walk.npz").touch()
    with pytest.raises(NoRecordings, match="a file, not a folder"):
        evaluate(tmp_path / "walk.npz")


def test_an_unknown_source_is_refused_with_those_there_are(command, folder):
    result = command(folder, "--only", "elsewhere")
    assert result.exit_code == 2
    assert "lab" in result.output


def test_a_file_that_is_no_recording_is_named_and_the_others_are_done(command, folder, tmp_path):
    shutil.copy(folder / "waist/there_1.npz", tmp_path / "good.npz")
    (tmp_path / "broken.npz").write_bytes(b"no recording")
    result = command(tmp_path, "--json", tmp_path / "out.json")
    assert result.exit_code == 2
    assert "broken.npz" in result.output
    made = json.loads((tmp_path / "out.json").read_text())
    assert [one["file"] for one in made["recordings"]] == ["good.npz"]
    assert len(made["skipped"]) == 1


class Outline(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = Counter()
        self.links = []

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.links += [
            value for name, value in attrs if name in ("src", "href") and not value.startswith("#")
        ]


@pytest.fixture(scope="module")
def page(folder, evaluation, tmp_path_factory):
    from retrostep.evaluation.page import as_page

    path = tmp_path_factory.mktemp("page") / "accuracy.html"
    path.write_text(as_page(evaluation, "retrostep evaluate '<there>'"), encoding="utf-8")
    return path


def test_the_page_needs_nothing_but_itself(page):
    html = page.read_text(encoding="utf-8")
    outline = Outline()
    outline.feed(html)
    assert outline.links == []
    assert outline.tags["svg"] >= 4
    assert outline.tags["table"] >= 8
    assert "&lt;there&gt;" in html
    assert "prefers-color-scheme: dark" in html


@pytest.mark.services
def test_the_page_opens_in_a_browser(page, tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium installed")
    done = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path}",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    outline = Outline()
    outline.feed(done.stdout)
    assert outline.tags["svg"] >= 4
    assert "Short bouts" in done.stdout


@pytest.mark.shared
def test_a_sample_of_the_real_recordings_is_evaluated_in_well_under_a_minute():
    evaluation = evaluate(SHARED, quick=True)
    assert not evaluation.skipped
    assert evaluation.took_s < 60
    assert {one.facts.source for one in evaluation.scores} >= {
        "ipol110",
        "uniss",
        "sisfall",
        "kuhar",
        "bandai",
    }
    walks = evaluation.select(source=("ipol110", "uniss"), placement="waist")
    assert measures.f1(walks, near=True).value > 0.9
    flat = [
        one for one in evaluation.select(source="sisfall") if one.facts.activity.startswith(("D01", "D02"))
    ]
    assert measures.called(flat, "forward", "backward").value < 5
    verdicts = Counter(one.verdict for one in goals.standings(evaluation))
    assert verdicts["not measured"] <= 4
