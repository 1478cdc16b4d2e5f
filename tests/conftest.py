"""Runs tests/micropython/*_test.py in real MicroPython, one fresh interpreter a test, beside the ordinary tests.

Such a file is a MicroPython module; each function `test_...` (plain or async) is an item, its `HEAP` (optional,
default the device's) the interpreter's heap. Its sys.argv ends with "full" if the test was asked for by a word of
SWEEPS (`make test K=powercut`), else with "sample": then a sweep takes a seeded sample of its cases.
"""

import ast
import tempfile
from pathlib import Path

import pytest

from retrostep import interpreter
from retrostep.device_tree import device_root, use_device_code

use_device_code()

MICROPYTHON_TESTS = Path(__file__).parent / "micropython"
SHARED = device_root().parent / "shared"
SWEEPS = (
    "update",
    "mpremote",
    "powercut",
    "bitrot",
    "fullvolume",
    "dropsweep",
    "fuzz",
    "boards",
    "alloc",
    "soak",
    "mqtt",
)


def sweep_size(config, test_name):
    """ "full" if one of the words that picked the tests names the sweep that this test is, else "sample"."""
    asked = config.getoption("keyword") or ""
    return "full" if any(word in asked and word in test_name for word in SWEEPS) else "sample"


def pytest_collect_file(file_path, parent):
    if file_path.parent == MICROPYTHON_TESTS and file_path.name.endswith("_test.py"):
        return MicroPythonFile.from_parent(parent, path=file_path)
    return None


def pytest_collection_modifyitems(items):
    """Tests marked `shared` need the real recordings beside the project."""
    if SHARED.exists():
        return
    skip = pytest.mark.skip(
        reason="no ../shared with real recordings here; run where it lies beside the project"
    )
    for item in items:
        if "shared" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def temporary_files(tmp_path_factory):
    """What tests, and programs that they kill, leave among temporary files lies in the folder that pytest prunes."""
    folder = str(tmp_path_factory.mktemp("temporary"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TMPDIR", folder)
        patched.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(scope="session")
def mosquitto():
    """Path of an installed broker."""
    from broker import find_mosquitto

    executable = find_mosquitto()
    if executable is None:
        pytest.fail(
            "no mosquitto is installed: `apt-get install mosquitto`, or deselect with -m 'not services'"
        )
    return executable


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """Folder with what make_certificates() makes."""
    from broker import make_certificates

    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.fixture
def server(mosquitto, tmp_path):
    """A running broker that lets everybody in."""
    from broker import Mosquitto

    folder = tmp_path / "broker"
    folder.mkdir()
    with Mosquitto(mosquitto, folder) as running:
        yield running


class MicroPythonFile(pytest.File):
    def collect(self):
        tree = ast.parse(self.path.read_text(), str(self.path))
        heap = interpreter.DEVICE_HEAP
        for node in tree.body:
            if isinstance(node, ast.Assign) and [getattr(t, "id", None) for t in node.targets] == ["HEAP"]:
                heap = ast.literal_eval(node.value)
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                yield MicroPythonItem.from_parent(self, name=node.name, heap=heap, line=node.lineno)


class MicroPythonFailure(Exception):
    pass


class MicroPythonItem(pytest.Item):
    def __init__(self, *, heap, line, **kwargs):
        super().__init__(**kwargs)
        self._heap = heap
        self._line = line

    def runtest(self):
        done = interpreter.run(
            MICROPYTHON_TESTS / "runner.py",
            str(device_root()),
            self.path.stem,
            self.name,
            sweep_size(self.config, self.name),
            heap=self._heap,
            timeout_s=480,
        )
        output = done.stdout.decode(errors="replace")
        self.add_report_section("call", "stdout", output)
        if done.returncode or "PASSED" not in output:
            raise MicroPythonFailure(output + done.stderr.decode(errors="replace"))

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, MicroPythonFailure):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        return self.path, self._line - 1, f"{self.path.stem}.{self.name} (MicroPython)"
