"""What `make bench` measures is measured right, and what got worse is named."""

import re
import sys

import numpy as np
import pytest

from retrostep import interpreter
from retrostep.bench import baseline, document, esp32, memory, stages, wasm
from retrostep.bench.__main__ import main
from retrostep.bench.figure import Figure
from retrostep.bench.stages import Cost
from retrostep.device_tree import device_root
from retrostep.instruction_count import ValgrindMissing, write_walk


def figure(value, **more):
    return Figure("speed", value, "instructions", **{"limit": None, "exact": True, **more})


def measure(monkeypatch, *measured):
    """Let the command find these figures instead of measuring any."""
    monkeypatch.setattr(sys.modules["retrostep.bench.__main__"], "exact_figures", lambda: iter(measured))


@pytest.mark.parametrize(("value", "held"), [(100.0, True), (105.0, True), (105.1, False), (40.0, True)])
def test_a_regression_is_more_than_five_percent(value, held):
    assert baseline.with_limit(figure(value), {"speed": 100.0}).held == held


def test_a_small_figure_may_grow_by_its_slack():
    assert baseline.with_limit(figure(130.0, slack=32.0), {"speed": 100.0}).held
    assert not baseline.with_limit(figure(133.0, slack=32.0), {"speed": 100.0}).held


def test_the_baseline_never_loosens_a_limit_of_its_own():
    assert baseline.with_limit(figure(100.0, limit=102.0), {"speed": 100.0}).limit == 102.0
    assert baseline.with_limit(figure(30.0, limit=20.0, at_least=True), {"speed": 30.0}).limit == 28.5
    assert baseline.with_limit(figure(20.5, limit=20.0, at_least=True), {"speed": 20.5}).limit == 20.0


def test_figures_that_depend_on_the_computer_are_not_compared():
    assert baseline.with_limit(figure(900.0, exact=False), {"speed": 100.0}).limit is None


def test_the_command_fails_and_names_what_got_worse(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(baseline, "FILE", tmp_path / "baseline.json")
    monkeypatch.setattr(baseline.read, "__defaults__", (baseline.FILE,))
    baseline.write([figure(100.0)], baseline.FILE)
    measure(monkeypatch, figure(104.0))
    assert main(["--exact"]) == 0
    measure(monkeypatch, figure(106.0))
    assert main(["--exact"]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1].split() == ["speed", "106", "instructions", "<=", "105", "MISSED"]
    assert "beyond the limit: speed" in printed.err


def test_the_baseline_in_the_project_knows_every_file_and_module():
    known = baseline.read()
    modules = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        for root, folder in ((device_root() / "lib", "."), (device_root(), "firmware"))
        for path in (root / folder).rglob("*.py")
    }
    named = {name.removeprefix("heap_") for name in known if name.startswith("heap_")}
    assert named - {"names", "of_all_modules"} <= modules
    assert {"instructions_a_sample_waist", "fuel_a_sample_shoe", "mpy_xtensawin"} <= known.keys()


@pytest.mark.parametrize("hop", [0, 3])
def test_the_pipeline_that_gait_is_compared_with_makes_92_features(tmp_path, hop):
    samples = write_walk(tmp_path / "samples", "waist")
    code = f"""
import json, sys
sys.path.insert(0, {str(wasm.SCRIPTS)!r})
from array import array
import har_features as har
with open({str(samples)!r}, "rb") as stream:
    words = array("h", stream.read())
windows = har.Windows()
for k in range({hop} + 2):
    windows.push(words, 6 * har.HOP * k)
print(json.dumps(har.Features().of(windows.axes)))
"""
    (tmp_path / "features.py").write_text(code)
    done = interpreter.run(tmp_path / "features.py", heap="8m")
    features = np.array(eval(done.stdout))
    assert features.shape == (92,)
    words = np.frombuffer(samples.read_bytes(), "<i2").reshape(-1, 6)[64 * hop : 64 * hop + 128]
    x = (words[:, 0] >> 6).astype(float)
    x[1:-1] = np.median(np.stack([x[:-2], x[1:-1], x[2:]]), axis=0)
    assert features[:3] == pytest.approx([x.mean(), x.max(), x.min()], rel=1e-4)
    assert features[8] == pytest.approx(x.std(), rel=1e-3)
    jerk = np.append(np.diff(x), 0)
    assert features[46:49] == pytest.approx([jerk.mean(), jerk.max(), jerk.min()], abs=1e-4)


def test_stages_add_up_to_the_whole():
    whole = {"front_end": Cost(1000, 0), "steps": Cost(1500, 26), "pipeline": Cost(1800, 26)}
    costs = stages.stage_costs(whole)
    assert {name: cost.spent for name, cost in costs.items()} == {
        "front_end": 1000,
        "steps": 500,
        "pipeline": 300,
    }
    assert all(cost.steps == 26 for cost in costs.values())


def test_a_strapdown_that_was_run_twice_is_counted_once():
    whole = {"stances": Cost(1000, 0), "strides": Cost(1600, 13), "strapdown_twice": Cost(2000, 13)}
    costs = stages.stage_costs(whole)
    assert {name: cost.spent for name, cost in costs.items()} == {
        "stances": 1000,
        "strapdown": 400,
        "strides": 200,
    }


def test_stages_see_the_steps_that_the_pipeline_sees(tmp_path):
    for placement, last in (("waist", "stability"), ("shoe", "strides")):
        samples = write_walk(tmp_path / "samples", placement)
        (tmp_path / "times").write_text("120")
        code = (
            f"import sys\nsys.path[:0] = [{str(wasm.SCRIPTS)!r}, {str(device_root())!r}, "
            f"{str(device_root() / 'lib')!r}]\nimport gait_stages as g\n"
            f"blocks = g.blocks_of({str(samples)!r})\n"
            f"print(g.run(blocks, 120, '{placement}', '{last}'), g.run(blocks, 120, '{placement}', 'pipeline'))\n"
        )
        (tmp_path / "count.py").write_text(code)
        done = interpreter.run(tmp_path / "count.py", heap="8m")
        stage, pipeline = map(int, done.stdout.split())
        assert stage == pipeline >= 20


def test_instructions_are_the_same_on_every_run():
    try:
        first, second = esp32.instructions_a_pass(), esp32.instructions_a_pass()
    except ValgrindMissing as missing:
        pytest.skip(str(missing))
    assert first == second > 10_000


def test_an_esp32_of_1200_passes_a_second_takes_a_second_for_them():
    scale = esp32.Scale(50_000 * 1200)
    assert scale.seconds(50_000 * 1200) == 1
    assert scale.share(50_000 * 12 / 104) == pytest.approx(1)


def test_the_bus_is_busy_nine_bits_a_byte():
    # 400 kHz carry 44,444 bytes a second.
    assert esp32.bus_share(444.44 / 104) == pytest.approx(1, rel=1e-3)


def test_every_module_of_the_device_is_weighed():
    heap = memory.module_heap()
    sources = [p for folder in ("lib", "firmware") for p in (device_root() / folder).rglob("*.py")]
    # All but the one that boards drops, and the names beside them.
    assert len(heap) == len(sources) - 1 + 1
    assert all(used >= 0 for used in heap.values())
    assert heap["firmware.gait.signals"] > 1000


def test_a_step_costs_no_more_than_its_tuple():
    for figure in memory.allocations():
        assert figure.held
        assert figure.limit == 64
        assert figure.value > 0


def test_the_page_says_what_is_an_estimate_and_shows_exact_figures_only():
    figures = [
        figure(2500.0, on_esp32="0.4 % of the CPU"),
        Figure("instructions_a_sample_waist", 2500.0, "instructions", 2600, exact=True, on_esp32="0.38 %"),
        Figure("esp32_share_of_sampling", 0.5, "% of the CPU", 1, exact=True, on_esp32="estimate"),
        Figure("radio_sync_day", 1.0, "s", 1.5),
    ]
    text = document.page(figures, 60_000)
    assert "is an estimate" in text
    assert re.search(
        r"\| instructions_a_sample_waist \| 2,500 \| instructions \| at most 2,600 \| 0\.38 % \|", text
    )
    assert "72.0 million" in text
    assert "radio_sync_day" not in text
