"""The real mpremote, unchanged, works on the virtual board as on a device; each call has a time limit."""

import hashlib
import subprocess
import sys
import time

import pytest

from retrostep.board import VirtualBoard, console, flash_image

LIMIT_S = 20
APP = """
import asyncio, time
async def main():
    while True:
        await asyncio.sleep_ms(200)
        print('app', time.ticks_ms())
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    (folder / "main.py").write_text(APP)
    flash_image.create(folder / "flash.img", [(folder / "main.py", "/main.py")])
    with VirtualBoard(folder / "flash.img") as board:
        yield board


@pytest.fixture
def mpremote(board):
    def call(*arguments, check=True, stdin=None):
        done = subprocess.run(
            [sys.executable, "-m", "mpremote", "connect", board.port, *map(str, arguments)],
            check=False,
            capture_output=True,
            timeout=LIMIT_S,
            text=True,
            input=stdin,
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done if not check else done.stdout

    return call


def test_exec_interrupts_the_running_app_and_prints(mpremote):
    assert mpremote("exec", "print('hello'); print(6 * 7)") == "hello\n42\n"


def test_eval_gives_the_value(mpremote):
    assert mpremote("eval", "2 ** 70") == f"{2**70}\n"


def test_run_executes_a_local_file(mpremote, tmp_path):
    (tmp_path / "job.py").write_text(
        "import sys\nfor i in range(3):\n    print(i, sys.implementation.name)\n"
    )
    assert mpremote("run", tmp_path / "job.py") == "".join(f"{i} micropython\n" for i in range(3))


def test_an_error_gives_its_traceback_and_exit_code_1(mpremote):
    done = mpremote("exec", "def f():\n    return [][1]\nf()", check=False)
    assert done.returncode == 1
    assert "IndexError" in done.stdout + done.stderr
    assert "line 2, in f" in done.stdout + done.stderr


def test_copies_files_and_folders_both_ways_unchanged(mpremote, tmp_path):
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    content = bytes(range(256)) * 40
    (tree / "binary.bin").write_bytes(content)
    (tree / "deep" / "note.txt").write_text("a\nb\n")
    mpremote("cp", "-r", tree, ":")
    assert "binary.bin" in mpremote("ls", ":tree")
    assert mpremote("cat", ":tree/deep/note.txt") == "a\nb\n"
    assert hashlib.sha256(content).hexdigest() in mpremote("sha256sum", ":tree/binary.bin")
    mpremote("cp", ":tree/binary.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == content
    assert "note.txt" in mpremote("tree", ":tree")
    mpremote("rm", "-r", ":tree")
    assert "tree" not in mpremote("ls", ":")


def test_mkdir_touch_rmdir(mpremote):
    mpremote("mkdir", ":folder", "+", "touch", ":folder/empty")
    assert "0 empty" in mpremote("ls", ":folder")
    mpremote("rm", ":folder/empty", "+", "rmdir", ":folder")


def test_df_shows_the_size_of_the_flash(mpremote):
    assert "2097152" in mpremote("df")


def test_rtc_can_be_set_from_the_host(mpremote):
    mpremote("rtc", "--set")
    assert str(time.localtime().tm_year) in mpremote("rtc")


def test_mounts_a_local_folder(mpremote, tmp_path):
    (tmp_path / "from_host.py").write_text("ANSWER = 41\n")
    printed = mpremote(
        "mount", tmp_path, "exec", "import from_host, os; print(from_host.ANSWER + 1, os.listdir())"
    )
    assert "42 ['from_host.py']" in printed


def test_resume_keeps_the_state_and_soft_reset_drops_it(mpremote):
    mpremote("exec", "kept = 5")
    assert mpremote("resume", "exec", "print(kept)") == "5\n"
    mpremote("soft-reset")
    assert mpremote("resume", "exec", "print('kept' in globals())") == "False\n"


def test_reset_starts_the_app_again(mpremote, board):
    def boots():
        return sum(event.data.get("cause") == "hard" for event in board.events if event.kind == "boot")

    before = boots()
    mpremote("reset")
    deadline = time.monotonic() + LIMIT_S
    while boots() == before and time.monotonic() < deadline:
        time.sleep(0.02)
    board.wait_for_output(b"app ")
    assert boots() == before + 1


def test_an_endless_loop_is_interrupted_by_the_next_command(mpremote, board):
    link = board.serial()
    link.write(b"\r\x03")
    link.read_until(b">>> ")
    link.write(b"while True: pass\r\r")
    link.read_until(b"... ")
    assert mpremote("exec", "print('still there')") == "still there\n"


BUSY = """
import time
torn = False
print("begun")
def work():
    global torn
    while True:
        torn = True
        pieces = [bytearray(64) for i in range(200)]
        torn = False
        time.sleep_ms(1)
work()
"""


def test_ctrl_c_strikes_where_the_code_waits_and_never_in_the_middle_of_an_allocation(board):
    link = board.serial()
    console.enter(link)
    for _ in range(20):
        link.write(BUSY.encode() + console.CTRL_D)
        link.read_until(b"begun")
        link.write(console.CTRL_C)
        link.read_until(b"KeyboardInterrupt")
        link.read_until(b"\x04>")
        assert console.execute(link, "print(torn, len(bytearray(1000)))") == "False 1000\n"
    link.write(console.CTRL_B)


def test_ctrl_c_in_the_moment_of_a_start_is_not_lost(tmp_path):
    (tmp_path / "boot.py").write_text("import time; time.sleep_ms(20)\n")
    (tmp_path / "main.py").write_text(APP)
    flash_image.create(tmp_path / "flash.img", [(tmp_path / n, f"/{n}") for n in ("boot.py", "main.py")])
    for _ in range(8):
        with VirtualBoard(tmp_path / "flash.img") as board:
            console.enter(board.serial())


def test_code_that_waits_for_a_line_of_the_terminal_is_interrupted(board):
    link = board.serial()
    console.enter(link)
    link.write(b"import sys; print('begun'); sys.stdin.read(1)" + console.CTRL_D)
    link.read_until(b"begun")
    link.write(console.CTRL_C)
    link.read_until(b"KeyboardInterrupt")
    link.write(console.CTRL_B)


def test_time_runs_at_wall_speed_while_the_port_is_open_whatever_was_asked(mpremote, board):
    board.set_speed(None)
    try:
        printed = mpremote(
            "exec", "import time; t = time.ticks_ms(); time.sleep(0.6); print(time.ticks_ms() - t)"
        )
        started = time.monotonic()
        mpremote("exec", "import time; time.sleep(0.6)")
        assert 0.6 <= time.monotonic() - started < 3
        assert 600 <= int(printed) < 700
    finally:
        board.set_speed(1.0)
