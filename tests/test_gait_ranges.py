"""No intermediate of the gait code leaves the device's words, whatever the samples, so none is allocated.

The sources are rewritten so that every operation is checked while they run on CPython, whose integers never overflow:
in viper functions each result must fit 32 bits signed, the ESP32's word; elsewhere 31 bits, beyond which the ESP32
allocates. The sign shift is set to 0, as it is there. Recordings of people are all run through when the test is asked
for in full (`make test K=alloc`), else a seeded sample.
"""

import ast
import random
import sys
import types
from array import array
from dataclasses import replace

import numpy as np
import pytest
from conftest import sweep_size

from retrostep import recording
from retrostep.device_tree import device_root
from retrostep.walker import Person, Walk

VIPER_BITS, ORDINARY_BITS = 31, 30
MODULES = (
    ("fixedpoint", "lib/fixedpoint.py"),
    ("firmware.gait.resample", "firmware/gait/resample.py"),
    ("firmware.gait.signals", "firmware/gait/signals.py"),
    ("firmware.gait.direction", "firmware/gait/direction.py"),
    ("firmware.gait.clip", "firmware/gait/clip.py"),
    ("firmware.gait.stability", "firmware/gait/stability.py"),
    ("firmware.gait.rhythm", "firmware/gait/rhythm.py"),
    ("firmware.gait.walk", "firmware/gait/walk.py"),
    ("firmware.gait.steps", "firmware/gait/steps.py"),
    ("firmware.gait.shoe_vectors", "firmware/gait/shoe_vectors.py"),
    ("firmware.gait.shoe_stance", "firmware/gait/shoe_stance.py"),
    ("firmware.gait.shoe_strapdown", "firmware/gait/shoe_strapdown.py"),
    ("firmware.gait.shoe_toe", "firmware/gait/shoe_toe.py"),
    ("firmware.gait.shoe", "firmware/gait/shoe.py"),
    ("firmware.gait.trunk", "firmware/gait/trunk.py"),
    ("firmware.gait.mounting", "firmware/gait/mounting.py"),
    ("firmware.gait.bouts", "firmware/gait/bouts.py"),
    ("firmware.gait.calibrator", "firmware/gait/calibrator.py"),
    ("firmware.gait.pipeline", "firmware/gait/pipeline.py"),
    ("firmware.gait.impacts", "firmware/gait/impacts.py"),
    ("firmware.gait.swings", "firmware/gait/swings.py"),
    ("firmware.wear", "firmware/wear.py"),
)


class OutOfRange(AssertionError):
    pass


def checked(value, bits, where):
    if isinstance(value, int) and not -(1 << bits) <= value < 1 << bits:
        raise OutOfRange(f"{where}: {value} needs more than {bits + 1} bits")
    return value


class _Checks(ast.NodeTransformer):
    def __init__(self, file):
        self._file = file
        self._bits = 0

    def visit_FunctionDef(self, node):
        viper = any(isinstance(d, ast.Attribute) and d.attr == "viper" for d in node.decorator_list)
        outer, self._bits = self._bits, VIPER_BITS if viper else ORDINARY_BITS
        node.body = [self.visit(statement) for statement in node.body]
        self._bits = outer
        return node

    def _check(self, value, at):
        if not self._bits:
            return value  # at module level: once, at import
        where = ast.Constant(f"{self._file}:{at.lineno}")
        taken = value
        if self._bits == VIPER_BITS:
            taken = ast.Name("_taken", ast.Load())
        check = ast.Call(ast.Name("_checked", ast.Load()), [taken, ast.Constant(self._bits), where], [])
        if self._bits != VIPER_BITS:
            return check
        # Kernels know nothing but integers: compared in place, which is three times as fast as a call.
        least, most = ast.Constant(-(1 << VIPER_BITS)), ast.Constant((1 << VIPER_BITS) - 1)
        within = ast.Compare(
            least, [ast.LtE(), ast.LtE()], [ast.NamedExpr(ast.Name("_taken", ast.Store()), value), most]
        )
        return ast.IfExp(within, taken, check)

    def visit_BinOp(self, node):
        self.generic_visit(node)
        return self._check(node, node)

    def visit_UnaryOp(self, node):
        return self.visit_BinOp(node)

    def visit_AugAssign(self, node):
        self.generic_visit(node)
        source = ast.parse(ast.unparse(node.target), mode="eval").body
        return ast.Assign([node.target], self._check(ast.BinOp(source, node.op, node.value), node))


@pytest.fixture(scope="module")
def gait():
    """The modules with checks, under their own names while this module's tests run."""
    kept = {name: sys.modules.pop(name, None) for name, _ in MODULES}
    try:
        for name, path in MODULES:
            tree = _Checks(path).visit(ast.parse((device_root() / path).read_text()))
            module = types.ModuleType(name)
            module.__dict__["_checked"] = checked
            sys.modules[name] = module
            exec(compile(ast.fix_missing_locations(tree), path, "exec"), module.__dict__)
            if name == "fixedpoint":
                module.__dict__["WORD_SHIFT"] = 0
        yield [sys.modules["firmware.gait." + name] for name in ("pipeline", "mounting", "calibrator")]
    finally:
        for name, module in kept.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module


def drive(gait, samples, placement="waist", rate_millihz=104000):
    pipeline_module, mounting_module, calibrator_module = gait
    pipeline = pipeline_module.Pipeline(placement, mounting_module.Mounting.clip(), rate_millihz)
    calibrator = calibrator_module.Calibrator(rate_millihz, placement)
    module, name = ("swings", "Swings") if placement == "shoe" else ("impacts", "Impacts")
    finder = getattr(sys.modules["firmware.gait." + module], name)()
    wear = sys.modules["firmware.wear"].WearWatch()
    words = array("h", np.ascontiguousarray(samples, "<i2").tobytes())
    for start in range(0, len(samples), 26):
        count = min(26, len(samples) - start)
        block = words[start * 6 : (start + count) * 6]
        pipeline.process(block, count)
        calibrator.process(block, count)
        wear.process(block, count)
        finder.process(block, count, start + count)
    finder.bounds()
    pipeline.flush()
    calibrator.mounting()
    return len(pipeline.take_steps())


def waves(period, phases, count=1200):
    at = np.arange(count)[:, None]
    return np.where(((at + np.array(phases)) // period) % 2, 32767, -32768).astype(np.int16)


def gait_at_full_scale(count=1500):
    """Regular enough to open the gate, as large as the sensor can say."""
    phase = 2 * np.pi * np.arange(count) / 52
    acc = np.stack([-7.5 * np.cos(phase), 2 * np.cos(phase / 2), 1 + 7.5 * np.sin(phase)], axis=1)
    samples = np.zeros((count, 6))
    samples[:, :3] = acc / 0.000488
    return np.clip(samples, -32768, 32767).astype(np.int16)


def foot_at_full_scale(count=1500):
    """Still for 0.4 s, then 0.6 s of the largest rates and accelerations, which come back to where they began."""
    samples = np.zeros((count, 6), np.int16)
    samples[:, 2] = 2049
    for start in range(42, count - 62, 104):
        out = np.r_[np.ones(15), -np.ones(31), np.ones(16)] * 32767
        samples[start : start + 62] = np.stack([out, -out, out, -out, out, out], axis=1)
    return samples


EXTREMES = {
    "random": lambda: np.random.default_rng(2).integers(-32768, 32768, (1500, 6)).astype(np.int16),
    "saturated high": lambda: np.full((400, 6), 32767, np.int16),
    "saturated low": lambda: np.full((400, 6), -32768, np.int16),
    "zero": lambda: np.zeros((200, 6), np.int16),
    "one sample high among low": lambda: np.where(np.arange(900)[:, None] % 100 == 0, 32767, -32768).repeat(
        6, 1
    ),
    "square, 1 sample": lambda: waves(1, [0] * 6),
    "square, the filters' resonance": lambda: waves(36, [0] * 6),
    "square, step rate": lambda: waves(26, [0, 13, 26, 0, 0, 0]),
    "square, 2 s": lambda: waves(104, [0, 52, 104, 0, 0, 0]),
    "gait at full scale": gait_at_full_scale,
    "foot at full scale": foot_at_full_scale,
}


@pytest.mark.parametrize("placement", ["waist", "shoe"])
@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_samples_need_no_word_that_is_allocated(gait, name, placement):
    drive(gait, EXTREMES[name](), placement)


def test_a_walking_shoe_needs_no_word_that_is_allocated(gait):
    walk = Walk(seed=4).stand(1).walk("forward", steps=12).walk("backward", steps=8).stand(1)
    assert drive(gait, walk.recording(placement="shoe").samples, "shoe") >= 6


def test_a_foot_thrown_at_full_scale_needs_no_word_that_is_allocated(gait):
    assert drive(gait, foot_at_full_scale(), "shoe") >= 5


def test_a_gait_at_full_scale_needs_no_word_that_is_allocated(gait):
    assert drive(gait, gait_at_full_scale()) >= 10


@pytest.mark.parametrize("rate_millihz", [20000, 103742, 250000])
def test_resampling_extreme_samples_needs_no_word_that_is_allocated(gait, rate_millihz):
    drive(gait, EXTREMES["random"](), rate_millihz=rate_millihz)


def test_walking_needs_no_word_that_is_allocated(gait):
    walk = Walk(seed=4).stand(1).walk("forward", steps=12).walk("backward", steps=8).stand(1)
    assert drive(gait, walk.recording(placement="waist").samples) >= 15


@pytest.mark.parametrize("kind", ["stumble", "fall"])
def test_the_stability_of_a_mishap_needs_no_word_that_is_allocated(gait, kind):
    walk = getattr(Walk(seed=3).stand(1).walk("backward", steps=14), kind)().stand(2)
    assert drive(gait, walk.recording(placement="waist").samples) >= 12


def test_a_slow_walk_needs_no_word_that_is_allocated(gait):
    slow = replace(Person.drawn(1), cadence_per_min=43.0, step_per_height=0.25)
    walk = Walk(seed=1, person=slow).stand(1).walk("forward", steps=16).turn(180).stand(1)
    assert drive(gait, walk.recording(placement="waist").samples) >= 5


def test_the_check_itself_notices_a_word_that_is_allocated(gait):
    signals = sys.modules["firmware.gait.signals"]
    with pytest.raises(OutOfRange, match=r"signals\.py"):
        front = signals.FrontEnd(sys.modules["firmware.gait.resample"].Resampler(104000))
        for i in range(signals._RING, signals.STATE_WORDS):
            front.state[i] = 0x7FFF7FFF
        words = array("i", [0] * signals.STEP_WORDS)
        words[signals.W_INDEX] = 156
        front.measure(words, 0)


def test_indices_are_not_allocated_after_a_hundred_days(gait):
    resampler = sys.modules["firmware.gait.resample"].Resampler(103742)
    hundred_days = 100 * 86400 * 104
    assert resampler.input_index(hundred_days) == hundred_days * 103742 // 104000


PARTS = 12
SAMPLED = 3


def real_recordings(part, asked):
    """Paths and placements of every PARTS-th recording, or of SAMPLED of them unless all are asked for."""
    folder = device_root().parent / "shared/data/recordings"
    found = [
        (path, place)
        for place in ("waist", "shoe", "pocket")
        for path in sorted((folder / place).glob("*.npz"))
    ]
    chosen = found[part::PARTS]
    return chosen if asked == "full" else random.Random(part).sample(chosen, SAMPLED)


@pytest.mark.shared
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
def test_real_motion_needs_no_word_that_is_allocated(gait, part, request):
    asked = sweep_size(request.config, request.node.name)
    for path, placement in real_recordings(part, asked):
        recorded = recording.load(path)
        samples = recorded.samples if asked == "full" else recorded.samples[:3000]
        try:
            drive(gait, samples, placement, round(recorded.rate_hz * 1000))
        except OutOfRange as beyond:
            raise OutOfRange(f"{placement}/{path.name}: {beyond}") from beyond
