"""The virtual board starts, sleeps, resets and loses power like a device, and its time is exactly repeatable."""

import gc
import re
import tempfile
import time
from pathlib import Path

import pytest

from retrostep.board import BoardDied, BoardError, BoardTimeout, VirtualBoard, console, flash_image
from retrostep.board.supervisor import NAMES_HEAP

FIFO_APP = """
import asyncio
from machine import I2C, PWM, Pin

i2c = I2C(0, scl=Pin(6), sda=Pin(5))
for register, value in ((0x12, 0x44), (0x10, 0x44), (0x11, 0x4C), (0x07, 208), (0x09, 0x44), (0x0D, 8), (0x0A, 6)):
    i2c.writeto_mem(0x6A, register, bytes((value,)))
motor = PWM(Pin(3), freq=200, duty_u16=0)
full = asyncio.ThreadSafeFlag()
Pin(4, Pin.IN).irq(lambda pin: full.set(), Pin.IRQ_RISING)
words = 0


async def read():
    global words
    buf = bytearray(208 * 7)
    while True:
        await full.wait()
        i2c.readfrom_mem_into(0x6A, 0x78, buf)
        words += 208
        print(sum(buf) & 0xFFFF)


async def buzz():
    while True:
        await asyncio.sleep(7)
        motor.duty_u16(30000)
        await asyncio.sleep_ms(150)
        motor.duty_u16(0)


asyncio.create_task(buzz())
asyncio.run(read())
"""


@pytest.fixture
def image(tmp_path):
    """An image with the main.py (and boot.py) given as text."""

    def make(main="", boot=None):
        path = tmp_path / "flash.img"
        files = []
        for name, text in (("main.py", main), ("boot.py", boot)):
            if text is not None:
                (tmp_path / name).write_text(text)
                files.append((tmp_path / name, "/" + name))
        flash_image.create(path, files)
        return path

    return make


def causes(board):
    return [event.data["cause"] for event in board.events if event.kind == "boot"]


def printed(board):
    return bytes(board.console).decode().replace("\r\n", "\n")


# -- start ------------------------------------------------------------------------------------------------


def test_runs_boot_py_and_main_py_in_one_namespace_and_then_gives_a_prompt(image):
    with VirtualBoard(image("print('main', found)", "found = 'boot'"), speed=0) as board:
        board.wait_for_output(b">>> ")
    assert "main boot\nMicroPython v1." in printed(board)


def test_a_crash_of_main_py_prints_its_traceback_and_leaves_the_repl(image):
    with VirtualBoard(image("1 // 0"), speed=0) as board:
        link = board.serial()
        console.enter(link)
        assert console.execute(link, "print('alive')") == "alive\n"
    assert 'File "main.py", line 1' in printed(board)
    assert "ZeroDivisionError" in printed(board)


def test_an_erased_flash_is_formatted_at_the_first_start(tmp_path):
    with VirtualBoard(tmp_path / "new.img", speed=0) as board:
        link = board.serial()
        console.enter(link)
        console.execute(link, "with open('a', 'w') as file: file.write('kept')")
    assert flash_image.read(tmp_path / "new.img", "/a") == b"kept"


def test_an_interpreter_that_dies_is_reported_at_once_with_what_it_printed(image):
    started = time.monotonic()
    with pytest.raises(BoardDied, match="MemoryError"), VirtualBoard(image(), heap=-100_000) as board:
        board.advance(1)
    assert time.monotonic() - started < 5


def test_the_firmware_gets_the_heap_that_was_asked_for(image):
    with VirtualBoard(image("import gc; gc.collect(); print('free', gc.mem_free())"), speed=0) as board:
        board.wait_for_output(b">>> ")
    free = int(printed(board).split("free ")[1].split()[0])
    assert 0.95 * (220 * 1024 - NAMES_HEAP) < free <= 220 * 1024


def test_modules_the_board_does_not_have_are_missing(image):
    with VirtualBoard(image("import network"), speed=0) as board:
        board.wait_for_output(b">>> ")
    assert "ImportError: no module named 'network'" in printed(board)


def test_ctrl_c_interrupts_an_endless_loop_however_often_it_is_pressed(image):
    with VirtualBoard(image(), speed=0) as board:
        link = board.serial()
        console.enter(link)
        for _ in range(5):
            link.write(b"print('looping')\nwhile True: pass" + console.CTRL_D)
            link.read_until(b"looping")
            link.write(3 * console.CTRL_C)
            assert b"KeyboardInterrupt" in link.read_until(console.CTRL_D + b">", 30)
        assert console.execute(link, "print('alive')") == "alive\n"


# -- time -------------------------------------------------------------------------------------------------


def test_an_hour_of_reading_the_fifo_takes_seconds(image):
    with VirtualBoard(image(FIFO_APP), speed=0) as board:
        started = time.monotonic()
        board.advance(3600)
        assert time.monotonic() - started < 20
        link = board.serial()
        console.enter(link)
        assert int(console.execute(link, "print(words)")) == pytest.approx(3600 * 2 * 104.8, rel=0.001)


def test_the_same_seed_gives_the_same_events_output_and_flash(image):
    runs = []
    for _ in range(2):
        script = [(3000, "press", 100), (20_000, "inject", "nack", 1), (33_000, "press", 3000)]
        main = image(FIFO_APP.replace("motor =", "print(open('log', 'a').write('x'))\nmotor ="))
        with VirtualBoard(main, speed=0, seed=5, script=script) as board:
            board.advance(60)
        runs.append((board.events, bytes(board.console), main.read_bytes()))
    assert runs[0] == runs[1]
    assert len(runs[0][0]) > 20
    with VirtualBoard(image(FIFO_APP), speed=0, seed=6) as board:
        board.advance(60)
    assert bytes(board.console) != runs[0][1]


def test_advance_stops_at_its_target_and_events_carry_virtual_times(image):
    with VirtualBoard(image(FIFO_APP), speed=0) as board:
        board.advance(30)
        assert 30_000_000 <= board.now_us < 30_010_000
        buzzes = [event.us for event in board.events if event.kind == "pwm" and event.data["duty_u16"]]
    assert [round(us / 1e6, 2) for us in buzzes] == [7.0, 14.15, 21.3, 28.45]


def test_runs_at_the_speed_that_was_set(image):
    with VirtualBoard(image("import time\nwhile True: time.sleep_ms(10)"), speed=20) as board:
        started_us, started = board.now_us, time.monotonic()
        time.sleep(0.5)
        board.advance(0.001)
        ratio = (board.now_us - started_us) / 1e6 / (time.monotonic() - started)
    assert 14 < ratio < 26


def test_a_loop_that_only_watches_the_clock_comes_to_an_end(image):
    main = "from time import ticks_ms\nt = ticks_ms()\nwhile ticks_ms() - t < 20: pass\nprint('end')"
    with VirtualBoard(image(main), speed=0) as board:
        board.wait_for_output(b"end")


def test_a_loop_that_never_waits_is_named_when_advance_runs_out_of_time(image):
    with (
        VirtualBoard(image("while True: pass"), speed=0) as board,
        pytest.raises(BoardTimeout, match="never waits"),
    ):
        board.advance(1, timeout_s=0.5)


def test_the_calendar_starts_unset_in_2000_and_keeps_what_it_is_set_to(image):
    main = "import time, machine; print(time.gmtime()[:3], time.time() < 60)"
    with VirtualBoard(image(main), speed=0) as board:
        link = board.serial()
        console.enter(link)
        console.execute(link, "machine.RTC().datetime((2026, 3, 1, 6, 12, 30, 0, 0))")
        board.advance(90)
        assert console.execute(link, "print(machine.RTC().datetime()[:7])") == "(2026, 3, 1, 6, 12, 31, 30)\n"
        assert console.execute(link, "print(time.time())") == f"{1772368290 - 946684800}\n"
        link.write(b"machine.reset()\x04")
        board.wait_for("boot", cause="hard")
        console.enter(link)
        assert console.execute(link, "print(time.gmtime()[0])") == "2026\n"
    assert "(2000, 1, 1) True" in printed(board)


# -- resets -----------------------------------------------------------------------------------------------

COUNT_LIVES = """
import machine
rtc = machine.RTC()
life = len(rtc.memory())
print('life', life, machine.reset_cause(), machine.wake_reason())
rtc.memory(rtc.memory() + b'.')
"""


def test_every_reset_has_its_cause_and_rtc_memory_outlives_all_but_the_power_cut(image):
    main = COUNT_LIVES + (
        "import time\n"
        "if life == 0: machine.reset()\n"
        "if life == 1: machine.soft_reset()\n"
        "if life == 2:\n"
        "    machine.WDT(timeout=2000)\n"
        "    time.sleep(10)\n"
        "if life == 3: machine.deepsleep(5000)\n"
    )
    with VirtualBoard(image(main), speed=0) as board:
        board.advance(8)
        assert causes(board) == ["power_on", "hard", "soft", "wdt", "deepsleep"]
        assert [event.us for event in board.events if event.kind == "boot"][-2:] == [2_000_000, 7_000_000]
        board.cut_power()
        board.power_on()
        board.advance(8)
    lives = re.findall("life . . .", printed(board))
    assert lives == 2 * ["life 0 1 0", "life 1 2 0", "life 2 5 0", "life 3 3 0", "life 4 4 4"]


def test_a_fed_watchdog_does_not_bite(image):
    main = "import machine, time\ndog = machine.WDT(timeout=2000)\nwhile True:\n    time.sleep(1); dog.feed()"
    with VirtualBoard(image(main), speed=0) as board:
        board.advance(100)
        assert causes(board) == ["power_on"]


def test_a_button_wakes_from_deep_sleep(image):
    main = COUNT_LIVES + (
        "import esp32\n"
        "if life == 0:\n"
        "    esp32.wake_on_ext0(machine.Pin(2, machine.Pin.IN, machine.Pin.PULL_UP), esp32.WAKEUP_ALL_LOW)\n"
        "    machine.deepsleep()\n"
    )
    with VirtualBoard(image(main), speed=0, script=[(4000, "press", 200)]) as board:
        board.advance(3)
        assert causes(board) == ["power_on"]
        board.advance(3)
        assert causes(board) == ["power_on", "deepsleep"]
        assert [event.us for event in board.events if event.kind == "boot"][-1] == 4_000_000
    assert "life 1 4 2" in printed(board)


def test_light_sleep_goes_on_where_it_stopped(image):
    main = "import machine, time\na = time.ticks_ms()\nmachine.lightsleep(1500)\nprint('slept', time.ticks_ms() - a)"
    with VirtualBoard(image(main), speed=0) as board:
        board.advance(2)
        assert "slept 1500" in printed(board)


def test_nothing_of_the_firmware_runs_after_a_reset_not_even_finally(image):
    main = (
        "import machine\n"
        "if machine.reset_cause() == 1:\n"
        "    file = open('unflushed', 'w')\n"
        "    file.write('lost')\n"
        "    try:\n"
        "        machine.reset()\n"
        "    finally:\n"
        "        print('finally')\n"
    )
    path = image(main)
    with VirtualBoard(path, speed=0) as board:
        board.wait_for("boot", cause="hard")
        board.wait_for_output(b">>> ")
    assert "finally" not in printed(board)
    assert flash_image.listing(path).get("/unflushed", 0) == 0


# -- pins -------------------------------------------------------------------------------------------------


def test_the_button_interrupts_and_led_and_motor_are_reported(image):
    main = """
from machine import Pin, PWM
import time
led = Pin(21, Pin.OUT, value=1)
motor = PWM(Pin(3), freq=200, duty_u16=0)
def pressed(pin):
    led(0)
    motor.duty_u16(40000)
Pin(2, Pin.IN, Pin.PULL_UP).irq(pressed, Pin.IRQ_FALLING)
while True: time.sleep(1)
"""
    with VirtualBoard(image(main), speed=0, script=[(1500, "press", 100)]) as board:
        board.advance(2)
    shown = [
        (e.us, e.data["name"], e.data.get("value", e.data.get("duty_u16")))
        for e in board.events
        if "name" in e.data
    ]
    assert shown[-2:] == [(1_500_000, "led", 0), (1_500_000, "motor", 40000)]


def test_the_battery_is_seen_through_its_divider(image):
    with VirtualBoard(image(), speed=0, battery_mv=3700) as board:
        link = board.serial()
        console.enter(link)
        console.execute(link, "from machine import ADC, Pin; adc = ADC(Pin(1), atten=ADC.ATTN_11DB)")
        assert console.execute(link, "print(adc.read_uv())") == "1850000\n"
        assert int(console.execute(link, "print(adc.read_u16())")) == pytest.approx(
            65535 * 1850 / 3100, abs=20
        )
        board.set_battery(3300)
        assert console.execute(link, "print(adc.read_uv())") == "1650000\n"


@pytest.mark.parametrize(
    ("use", "error"),
    [
        ("machine.Pin(23)", "ValueError"),
        ("machine.Pin(2, 17)", "ValueError"),
        ("machine.Pin(2, machine.Pin.IN, colour=1)", "TypeError"),
        ("machine.I2C(7)", "ValueError"),
        ("machine.I2C(0, speed=1)", "TypeError"),
        ("machine.PWM(machine.Pin(3), duty_u16=70000)", "ValueError"),
        ("machine.UART(1)", "AttributeError"),
        ("machine.ADC(machine.Pin(40))", "ValueError"),
        ("machine.I2C(0).readfrom(0x6A, 1)", "ENODEV"),
    ],
)
def test_what_the_chip_cannot_do_raises(idle_board, use, error):
    with pytest.raises(console.DeviceError, match=error):
        console.execute(idle_board, "import machine; " + use)


@pytest.fixture(scope="module")
def idle_board(tmp_path_factory):
    with VirtualBoard(tmp_path_factory.mktemp("idle") / "flash.img", speed=0) as board:
        link = board.serial()
        console.enter(link)
        yield link


# -- flash and power --------------------------------------------------------------------------------------

WRITER = """
import os
n = 0
while True:
    with open('log', 'ab') as file:
        file.write(b'%06d\\n' % n)
    n += 1
    print('saved', n)
"""


def test_littlefs_never_programs_a_bit_from_0_to_1(image):
    with VirtualBoard(image(WRITER.replace("while True", "while n < 300")), speed=0) as board:
        board.wait_for_output(b"saved 300")
        stats = board.flash_stats()
    assert stats.violations == 0
    assert stats.programs > 300
    assert sum(stats.erases_per_block) == stats.erases > 0


def test_programming_a_bit_back_to_1_is_counted_and_does_not_work(image):
    code = """
device = __import__('virtual.flash', None, None, ['device']).device
device.ioctl(6, 500)
device.writeblocks(500, b'\\x0f', 0)
device.writeblocks(500, b'\\xf0', 0)
buf = bytearray(2); device.readblocks(500, buf, 0); print(buf)
"""
    with VirtualBoard(image(), speed=0) as board:
        link = board.serial()
        console.enter(link)
        assert console.execute(link, code) == "bytearray(b'\\x00\\xff')\n"
        assert board.flash_stats().violations == 1


@pytest.mark.parametrize("torn", [False, True])
def test_a_cut_in_any_flash_operation_loses_nothing_that_was_saved(image, torn):
    for operation in (3, 8, 13, 18, 23):
        path = image(WRITER)
        board = VirtualBoard(path, speed=0)
        board.cut_at_flash_op(operation, torn=torn)
        with board:
            board.wait_for("power_off")
            assert not board.powered
        saved = printed(board).count("saved")
        log = flash_image.read(path, "/log") if saved else b""
        assert log.startswith(b"".join(b"%06d\n" % n for n in range(saved)))
        assert board.flash_stats().violations == 0


def test_a_kill_at_any_time_leaves_a_flash_that_mounts(image):
    path = image(WRITER)
    with VirtualBoard(path, speed=0) as board:
        for _ in range(3):
            time.sleep(0.05)
            board.cut_power()
            board.power_on()
    saved = printed(board).count("saved")
    assert saved > 3
    assert len(flash_image.read(path, "/log")) >= 7 * 3


def test_power_cut_at_a_virtual_time_stops_the_board_there(image):
    main = "import time\nwhile True:\n    print(time.ticks_ms())\n    time.sleep(1)"
    with VirtualBoard(image(main), speed=0, script=[(4500, "cut_power")]) as board:
        board.advance(10)
        assert not board.powered
        assert board.now_us == 10_000_000
        off = [event.us for event in board.events if event.kind == "power_off"]
        assert off == [4_500_000]
        assert printed(board).split() == ["0", "1000", "2000", "3000", "4000"]
        board.power_on()
        board.advance(1)
        assert printed(board).split()[5:] == ["0", "1000"], "what happens at the last instant belongs to it"


def test_a_stopped_board_says_so(image):
    board = VirtualBoard(image(), speed=0)
    with pytest.raises(BoardError, match="start"):
        board.advance(1)
    with pytest.raises(BoardError, match="press"):
        VirtualBoard(image(), script=[(1, "push", 3)])


def test_a_board_that_was_never_started_leaves_no_file_behind(image, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    path = image()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    board = VirtualBoard(path, speed=0)
    assert list(temporary.iterdir())
    del board
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_stop_leaves_no_process_behind(image):
    def children():
        tasks = Path("/proc/self/task").iterdir()
        return {pid for task in tasks for pid in (task / "children").read_text().split()}

    before = children()
    board = VirtualBoard(image(), speed=0)
    board.start()
    assert children() - before
    board.stop()
    assert children() == before
