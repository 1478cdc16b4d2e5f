import json
import shutil

import pytest
from journal import Journal
from typer.testing import CliRunner

from firmware import steplog
from retrostep.board import flash_image
from retrostep.cli import app
from retrostep.logfiles import LogFilesError, log_folder, read_log_files, repair


def run(*args):
    return CliRunner().invoke(app, ["log", *map(str, args)])


@pytest.fixture
def folder(tmp_path):
    """A small log with records of several kinds in three segments."""
    log = Journal(str(tmp_path / "log"), steplog.FORMAT_VERSION, 0x1234, segment_bytes=400)
    log.append(steplog.BOOT, steplog.encode_boot(0, 0, 0, "0.1.0", "physics-waist-1", "xiao_esp32s3"))
    for number in range(12):
        chunk = steplog.StepChunk(1, 40)
        for step in range(40):
            chunk.add_step(number * 30_000 + step * 500, step % 2, 90, None)
        log.append(steplog.STEPS, chunk.payload())
        log.flush()
    log.append(steplog.ANCHOR, steplog.encode_anchor(1, 400_000, 1_790_000_000_000, 5, 0))
    log.flush()
    log.close()
    log.acknowledge(5)
    return tmp_path / "log"


def damage(folder, segment, at):
    path = sorted(folder.glob("*.seg"))[segment]
    data = bytearray(path.read_bytes())
    data[at] ^= 0x20
    path.write_bytes(data)


def test_a_sound_log_is_called_sound(folder):
    done = run("check", folder, "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found["sound"] is True
    assert found["acknowledged"] == 5
    assert sum(segment["records"] for segment in found["segments"]) == 14
    assert "sound" in run("check", folder).stdout


def test_damage_is_located_and_costs_one_record(folder):
    damage(folder, 1, 60)
    done = run("check", folder, "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["sound"] is False
    ((start, end),) = found["segments"][1]["damaged"]
    assert start <= 60 < end
    assert len(found["missing"]) == 1
    assert found["missing"][0][0] == found["missing"][0][1]


def test_a_damaged_header_is_told_and_costs_no_record(folder):
    damage(folder, 0, 2)
    found = json.loads(run("check", folder, "--json").stdout)
    assert (found["sound"], found["missing"]) == (False, [])
    assert found["segments"][0]["format"] is None


def test_repair_keeps_every_readable_record_and_leaves_the_source_alone(folder, tmp_path):
    damage(folder, 1, 60)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = run("repair", folder, "--to", tmp_path / "new")
    assert done.exit_code == 0
    assert "13 records" in done.stdout
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert run("check", tmp_path / "new").exit_code == 0
    repaired, source = read_log_files(tmp_path / "new"), read_log_files(folder)
    assert list(repaired.records()) == list(source.records())
    # A device goes on with it.
    again = Journal(str(tmp_path / "new"), steplog.FORMAT_VERSION, 9)
    assert (again.log_id, again.next_sequence, again.acknowledged) == (0x1234, 15, 5)


def test_repair_does_not_write_over_anything(folder):
    with pytest.raises(LogFilesError, match="not empty"):
        repair(read_log_files(folder), folder)


def test_dump_shows_every_record(folder):
    lines = run("dump", folder).stdout.splitlines()
    assert len(lines) == 14
    assert "boot (power), firmware 0.1.0" in lines[0]
    assert "20 forward, 20 backward" in lines[1]
    records = [json.loads(line) for line in run("dump", folder, "--json").stdout.splitlines()]
    assert [record["sequence"] for record in records] == list(range(1, 15))
    assert records[-1]["utc_ms"] == 1_790_000_000_000


def test_the_log_of_a_flash_image_is_read_where_it_lies(folder, tmp_path):
    image = tmp_path / "flash.img"
    flash_image.create(image, [(path, f"/log/{path.name}") for path in folder.iterdir()])
    with log_folder(image) as extracted:
        assert list(read_log_files(extracted).records()) == list(read_log_files(folder).records())
    assert run("check", image).exit_code == 0


@pytest.mark.parametrize("make", ["nothing", "empty folder"])
def test_a_place_without_a_log_is_an_error_that_says_what_was_expected(make, tmp_path):
    place = tmp_path / "place"
    if make == "empty folder":
        place.mkdir()
    with pytest.raises(LogFilesError, match="expected"), log_folder(place) as folder:
        read_log_files(folder)


def test_records_that_a_power_cut_left_twice_are_counted_once(folder, tmp_path):
    # A flush that failed half-way is written again into a new segment with the same numbers.
    last = sorted(folder.glob("*.seg"))[-1]
    first = int(last.stem, 16)
    records = read_log_files(folder).segments[-1].records
    shutil.copy(last, folder / f"{first + 1:08x}.seg")
    assert len(list(read_log_files(folder).records())) == 14
    assert records
