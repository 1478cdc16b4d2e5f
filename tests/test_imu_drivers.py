"""Every motion sensor's driver against its register-level model: samples, times, faults; asked by MicroPython."""

from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
from conftest import sweep_size
from repl_board import repl_board

from retrostep.board import flash_image
from retrostep.board.wiring import WIRINGS
from retrostep.flash import installed_files

# Each part on one of its boards.
BOARD_OF = {
    "lsm6dsox": "xiao_esp32s3",
    "lsm6ds3trc": "xiao_esp32s3_ds3trc",
    "mpu6050": "esp32_gy521",
    "mpu6886": "m5stickc_plus2",
    "bmi270": "m5stick_s3",
    "bma423": "twatch_s3",
    "qmi8658": "waveshare_lcd169",
}
PARTS = list(BOARD_OF)
RATE_HZ = {"lsm6dsox": 40000 / 384, "lsm6ds3trc": 104, "qmi8658": 112.1}
# Raw units (0.488 mg, 70 mdps) that a number may be off by: each part's own step, rounded twice; the feed's noise.
ACC_STEP = {"bma423": 8}

SETUP = """
from machine import I2C, Pin
import time
from time import sleep_ms, ticks_ms
from firmware.boards import board, i2c_bus
from imu import WrongPart
i2c = i2c_bus()
Driver = __import__(board.IMU).Driver
def new():
    return Driver(i2c, board.IMU_ADDRESS)
def drain(imu):
    found = 0
    while True:
        n = imu.read_block()
        found += n
        if n < imu.watermark: return found
"""


def configuration_standin(folder):
    """8,192 bytes of our own in the place of the vendor's configuration of the BMI270."""
    path = folder / "bmi270.cfg"
    path.write_bytes(bytes(range(256)) * 32)
    return path


def make_image(folder, board, *more, without=("/main.py",)):
    """A flash image for a board profile; without main.py no app runs."""
    chosen = folder / "board.txt"
    chosen.write_text(board)
    files = [pair for pair in installed_files() if pair[1] not in without]
    files += [(chosen, "/board.txt"), (configuration_standin(folder), "/bmi270.cfg"), *more]
    image = folder / "flash.img"
    flash_image.create(image, files)
    return image


@pytest.fixture
def bench(tmp_path):
    """Makes a board with one part on it, no app, and a function that runs code there."""
    with ExitStack() as boards:

        def make(part, **options):
            image = make_image(tmp_path, BOARD_OF[part])
            options = {"wiring": WIRINGS[BOARD_OF[part]], **options}
            return boards.enter_context(repl_board(image, SETUP, **options))

        yield make


def numbers(text):
    return [int(word) for word in text.split()]


@pytest.mark.parametrize("part", PARTS)
def test_the_boards_driver_gives_samples_in_the_units_of_the_gait_code(part, bench):
    still = np.tile(np.array([[1500, -2049, 300, 1000, -700, 28000]], np.int16), (3000, 1))
    _, run = bench(part, walk=still)
    printed = run(
        "imu = new()\nimu.start()\nsleep_ms(2000)\ndrain(imu)\nsleep_ms(200)\nn = imu.read_block()\n"
        "print(n, *imu.samples[6:12])"
    )
    count, *sample = numbers(printed)
    assert count > 10
    expected = still[0].copy()
    if part == "bma423":
        expected[3:] = 0
    tolerance = np.array([ACC_STEP.get(part, 1)] * 3 + [1] * 3)
    assert (np.abs(np.array(sample) - expected) <= tolerance).all(), sample


@pytest.mark.parametrize("part", PARTS)
def test_the_boards_driver_saturates_instead_of_turning_the_sign_over(part, bench):
    hit = np.tile(np.array([[32767, -32768, 0, 32767, -32768, 0]], np.int16), (3000, 1))
    _, run = bench(part, walk=hit)
    sample = numbers(
        run("imu = new()\nimu.start()\nsleep_ms(500)\nimu.read_block()\nprint(*imu.samples[6:12])")
    )
    assert sample[0] > 16000
    assert sample[1] < -16000
    if part != "bma423":
        assert sample[3] > 28000
        assert sample[4] < -28000


@pytest.mark.parametrize("part", PARTS)
def test_another_part_at_the_boards_address_is_named(part, bench):
    _, run = bench(part)
    printed = run(
        "class Other:\n    def readfrom_mem_into(self, address, register, buffer):\n        buffer[0] = 0xEE\n"
        "try:\n    Driver(Other(), 0x6B)\nexcept WrongPart as wrong:\n    print(wrong)"
    )
    assert printed.startswith(f"{part} expected at 0x6b: register 0x")
    assert "found 0xee; check the board file's IMU" in printed


@pytest.mark.parametrize("part", PARTS)
def test_a_watermark_beyond_the_fifo_is_refused_on_all_boards(part, bench):
    _, run = bench(part)
    printed = run("imu = new()\ntry:\n    imu.start(2000)\nexcept ValueError as refused:\n    print(refused)")
    assert printed.startswith("FIFO watermark: expected 1 to ")


@pytest.mark.parametrize("part", PARTS)
def test_an_overrun_on_any_board_is_noticed_counted_and_over(part, bench):
    _, run = bench(part, clock_ppm=0)
    printed = run(
        "imu = new()\nimu.start()\nsleep_ms(300)\nfound = drain(imu)\nfirst = imu.overruns\nsleep_ms(9000)\n"
        "found += drain(imu)\nlost = imu.lost_samples()\n"
        "for _ in range(12):\n    sleep_ms(100)\n    found += imu.read_block()\n    lost += imu.lost_samples()\n"
        "print(first, imu.overruns, found, lost, imu.next_index)"
    )
    before, overruns, found, lost, next_index = numbers(printed)
    assert before == 0
    assert overruns >= 1
    passed = 10.5 * RATE_HZ.get(part, 100)
    assert lost > 400
    assert found + lost == pytest.approx(passed, abs=16)
    assert next_index == found + lost


@pytest.mark.parametrize("part", PARTS)
def test_a_brown_out_on_any_board_is_told_by_the_lost_settings_and_start_repairs_it(part, bench):
    board, run = bench(part)
    assert (
        run("imu = new()\nimu.start()\nsleep_ms(300)\nprint(imu.configured(), drain(imu) > 20)")
        == "True True"
    )
    board.inject("brownout", 1)
    assert run("sleep_ms(50)\nprint(imu.configured())") == "False"
    assert run("imu.start()\nsleep_ms(300)\nprint(imu.configured(), drain(imu) > 20)") == "True True"


@pytest.mark.parametrize("part", PARTS)
def test_a_bus_fault_on_any_board_loses_nothing_that_the_fifo_holds(part, bench):
    board, run = bench(part, clock_ppm=0, speed=1.0)
    run("imu = new()\nimu.start()\nfound = 0\nbegin = ticks_ms()")
    board.inject("nack", 300)
    printed = run(
        "errors = 0\n"
        "for _ in range(6):\n    sleep_ms(100)\n    try:\n        found += imu.read_block()\n"
        "    except OSError:\n        errors += 1\n"
        "sleep_ms(200)\nfound += drain(imu)\n"
        "print(errors, found, imu.lost_samples(), imu.overruns, ticks_ms() - begin)"
    )
    errors, found, lost, overruns, passed_ms = numbers(printed)
    assert errors >= 2
    assert (lost, overruns) == (0, 0)
    assert found == pytest.approx(passed_ms / 1000 * RATE_HZ.get(part, 100), abs=16)


@pytest.mark.parametrize("part", PARTS)
def test_after_a_burst_that_broke_off_any_board_gives_true_samples_and_counts_the_lost_ones(part, bench):
    still = np.tile(np.array([[1500, -2049, 300, 1000, -700, 28000]], np.int16), (3000, 1))
    board, run = bench(part, walk=still, clock_ppm=0, speed=1.0)
    run(
        "imu = new()\nimu.start()\nbegin = ticks_ms()\nfound = lost = errors = wrong = 0\n"
        "def look():\n"
        "    global found, lost, errors, wrong\n"
        "    try:\n        n = imu.read_block()\n"
        "    except OSError:\n        errors += 1\n        return\n"
        "    found += n\n    lost += imu.lost_samples()\n"
        "    wrong += sum([abs(imu.samples[at] - true[at % 6]) > 8 for at in range(6 * n)])\n"
        # The LSM6DSOX tells a loss by its time stamps: one has to be there.
        "for _ in range(4):\n    sleep_ms(100)\n    found += imu.read_block()\ntrue = list(imu.samples[6:12])"
    )
    board.inject("torn", 300)
    printed = run(
        "for _ in range(20):\n    sleep_ms(100)\n    look()\n"
        "print(errors, wrong, found, lost, imu.overruns, ticks_ms() - begin)"
    )
    errors, wrong, found, lost, overruns, passed_ms = numbers(printed)
    assert errors >= 1
    assert wrong == 0
    assert lost > 0
    # The LSM6DSOX's words say which they are: nothing has to go but what the burst took.
    assert (overruns > 0) == (part != "lsm6dsox")
    assert found + lost == pytest.approx(passed_ms / 1000 * RATE_HZ.get(part, 100), abs=32)


@pytest.mark.parametrize("part", PARTS)
def test_in_standby_no_board_samples_any_more(part, bench):
    _, run = bench(part)
    assert run("imu = new()\nimu.start()\nsleep_ms(300)\nimu.standby()\nprint(imu.configured())") == "False"


def test_sorting_a_block_of_any_board_allocates_nothing(bench):
    _, run = bench("mpu6886")
    printed = run(
        "import micropython\nfrom framefifo import _unpack\n"
        "imu = new()\nimu.start()\nsleep_ms(300)\nimu.read_block()\n"
        "micropython.heap_lock()\n_unpack(imu._frames, 26, imu.samples, imu._layout)\nmicropython.heap_unlock()\n"
        "print('sorted')"
    )
    assert printed == "sorted"


def test_the_bmi270_says_what_it_lacks_and_takes_only_a_whole_configuration(bench, tmp_path):
    _, run = bench("bmi270")
    attempt = (
        "try:\n    new().start()\n    print('started')\nexcept WrongPart as missing:\n    print(missing)"
    )
    assert run(attempt) == "started"
    short = "f = open('/bmi270.cfg', 'wb')\nf.write(bytes(4096))\nf.close()\n"
    assert run(short + attempt).startswith("BMI270: /bmi270.cfg holds 4096 bytes, expected 8192")
    assert run("import os\nos.remove('/bmi270.cfg')\n" + attempt).startswith("BMI270: no /bmi270.cfg found")


@pytest.mark.parametrize("part", PARTS)
def test_the_self_test_of_all_boards_passes_and_a_dead_axis_fails(part, bench):
    _, run = bench(part)
    run("imu = new()\nimu.start()\nsleep_ms(100)\nservice = __import__(imu.SERVICE)")
    assert run("print(repr(service.self_test(imu)))") == "''"
    assert run("imu.start()\nsleep_ms(300)\nprint(drain(imu) > 20)") == "True"
    # The bus answers, the sensor does not move: every byte reads 0 but the identity and ready flags.
    dead = run(
        "read = imu._i2c\n"
        "class Dead:\n"
        "    def readfrom_mem_into(self, address, register, buffer):\n"
        "        read.readfrom_mem_into(address, register, buffer)\n"
        "        if len(buffer) >= 6:\n"
        "            for i in range(len(buffer)): buffer[i] = 0\n"
        "    def writeto_mem(self, *args):\n        read.writeto_mem(*args)\n"
        "imu._i2c = Dead()\nprint(service.self_test(imu))"
    )
    assert dead.startswith("accelerometer x moved 0 mg, expected ")


@pytest.mark.parametrize("part", [part for part in PARTS if part not in ("mpu6050", "bma423")])
def test_a_jerk_wakes_a_board_that_lay_still_and_stillness_does_not(part, bench):
    jerk_s = 20
    lying = np.tile(np.array([[0, 0, 2049, 0, 0, 0]], np.int16), (104 * 60, 1))
    lying[:, 0] = np.arange(len(lying)) % 3
    lying[104 * jerk_s : 104 * jerk_s + 20, 0] = 900
    name = BOARD_OF[part]
    # Wire the interrupt pin on the boards that leave it open.
    chips = tuple(replace(chip, int_pins=(chip.int_pins or (18,))) for chip in WIRINGS[name].chips)
    _, run = bench(part, walk=lying, speed=None, wiring=replace(WIRINGS[name], chips=chips))
    printed = run(
        f"pin = Pin({chips[0].int_pins[0]}, Pin.IN)\n"
        "imu = new()\nimu.start()\n__import__(imu.SERVICE).wake_on_motion(imu, 100)\n"
        "before = pin.value()\nwoken_ms = None\n"
        "pin.irq(lambda pin: globals().update(woken_ms=woken_ms or ticks_ms()), Pin.IRQ_RISING | Pin.IRQ_FALLING)\n"
        f"sleep_ms({(jerk_s - 5) * 1000} - ticks_ms())\nquiet = woken_ms is None\nsleep_ms(10000)\n"
        "print(int(quiet), woken_ms)"
    )
    quiet, woken_ms = numbers(printed)
    assert quiet == 1
    assert 0 <= woken_ms - jerk_s * 1000 < 200


@pytest.mark.parametrize("part", ["mpu6050", "bma423"])
def test_boards_whose_part_cannot_wake_say_so(part, bench):
    _, run = bench(part)
    printed = run(
        "imu = new()\nimu.start()\n"
        "try:\n    __import__(imu.SERVICE).wake_on_motion(imu, 100)\nexcept WrongPart as cannot:\n    print(cannot)"
    )
    assert printed.startswith(f"{part}: ")


# A sawtooth whose value tells the feed's row, and so the time at which it was felt.
SLOPE = 250
# 104 rows a second: it falls once a second.
ROWS = 104
CLOCK_CHECK = """
import asyncio, esp32, machine, micropython
from array import array
from firmware.sampling import Sampler
from firmware.clock import Clock
from sampleclock import SampleClock
offset_us = time.ticks_us()
clock = Clock(time.ticks_us, time.ticks_diff)
taken = 0
worst_us = 0
jumps = 0
faults = []
sample_clock = None
last = 1 << 20
checked = 0
def make():
    global sample_clock
    imu = new()
    sample_clock = SampleClock(imu.period_ns)
    imu.start(imu.WATERMARK)
    return imu
def check(imu, count, looked_us):
    global taken, worst_us, jumps, last, checked
    taken += count
    sample_clock.observe(taken + imu.waiting - 1, looked_us)
    for at in range(count):
        row = (imu.samples[6 * at] + {half}) % {span}
        # Where the sawtooth falls, what is interpolated says nothing.
        rises = row - last
        last = row
        if rises > {most_step}: jumps += 1
        if at == count - 1 and {least_step} < rises < {least_step} + 40:
            told_us = sample_clock.us_at(taken - 1) + offset_us
            off = (told_us - row * 1000000 // ({slope} * 104)) % {period_us}
            if off > {period_us} // 2: off -= {period_us}
            checked += 1
            if told_us > {settled_us}: worst_us = max(worst_us, abs(off))
def gap(): pass
def fault(kind, count): faults.append((kind, count))
wired = board.IMU_INT_PIN is not None
if wired:
    esp32.wake_on_ext1((Pin(board.IMU_INT_PIN, Pin.IN),), esp32.WAKEUP_ANY_HIGH)
def nap(imu):
    machine.lightsleep(500)
    return True
async def main(seconds):
    task = asyncio.create_task(Sampler(make, lambda: wired, nap, check, gap, fault, clock.uptime_us).run())
    await asyncio.sleep_ms(seconds * 1000)
    task.cancel()
"""


@pytest.mark.parametrize("clock_ppm", [-20_000, 20_000])
@pytest.mark.parametrize("part", PARTS)
def test_on_all_boards_no_sample_is_lost_and_times_are_true_to_a_millisecond(part, clock_ppm, bench, request):
    seconds = 3600 if sweep_size(request.config, "boards") == "full" else 180
    rows = np.arange(104 * (seconds + 20))
    sawtooth = np.zeros((len(rows), 6), np.int16)
    sawtooth[:, 0] = rows % ROWS * SLOPE - ROWS * SLOPE // 2
    sawtooth[:, 2] = rows * 7 % 900
    _, run = bench(part, walk=sawtooth, clock_ppm=clock_ppm)
    rate_hz = RATE_HZ.get(part, 100) * (1 + clock_ppm / 1e6)
    span = ROWS * SLOPE
    run(
        CLOCK_CHECK.format(
            half=span // 2,
            span=span,
            slope=SLOPE,
            period_us=ROWS * 1_000_000 // 104,
            settled_us=40_000_000,
            least_step=int(SLOPE * 104 / rate_hz) - 20,
            most_step=int(1.7 * SLOPE * 104 / rate_hz),
        )
    )
    printed = run(
        f"asyncio.run(main({seconds}))\nprint(taken, checked, jumps, worst_us, len(faults), sample_clock.period_ns)"
    )
    taken, checked, jumps, worst_us, faults, period_ns = numbers(printed)
    assert (faults, jumps) == (0, 0)
    assert checked > 3 * seconds
    assert taken == pytest.approx(rate_hz * seconds, abs=80)
    assert period_ns == pytest.approx(1e9 / rate_hz, rel=3e-5)
    assert worst_us < 1000
