"""Parts of lib/ on their own."""

import errno
import os
import random

import pytest
from journal import write_atomically
from sampleclock import SampleClock

from retrostep.board import VirtualBoard, console, flash_image
from retrostep.device_tree import device_files

PERIOD_NS = 9_599_520


def followed(true_period_ns, blocks, latency_us, restart_at=None):
    """Greatest error in us of a SampleClock over the last half of the blocks."""
    clock = SampleClock(PERIOD_NS)
    worst = 0
    for block in range(1, blocks + 1):
        index = 26 * block
        taken_us = 5_000_000 + index * true_period_ns // 1000
        if block == restart_at:
            clock.restart()
        clock.observe(index, taken_us + latency_us(block))
        if block > blocks // 2:
            worst = max(worst, abs(clock.us_at(index) - taken_us))
    return worst


def test_sample_times_follow_a_sensor_that_is_off_by_one_percent():
    for true_period_ns in (PERIOD_NS * 99 // 100, PERIOD_NS, PERIOD_NS * 101 // 100):
        assert followed(true_period_ns, 2_000, lambda block: 300) < 5_000


def test_a_cpu_that_wakes_late_now_and_then_does_not_move_the_samples():
    rng = random.Random(1)
    assert followed(PERIOD_NS, 2_000, lambda block: 90_000 if rng.random() < 0.05 else 400) < 20_000


def test_sample_times_are_right_again_at_once_after_a_gap():
    clock = SampleClock(PERIOD_NS)
    clock.observe(26, 1_000_000)
    clock.restart()
    clock.observe(52, 9_000_000)
    assert clock.us_at(52) == 9_000_000
    assert clock.ms_at(26) == (9_000_000 - 26 * PERIOD_NS // 1000) // 1000


def test_a_backlog_in_the_fifo_spoils_neither_phase_nor_period():
    clock = SampleClock(PERIOD_NS)
    clock.observe(26, 1_000_000)
    clock.restart()
    # 250 samples wait; the reader tells a block of 64 of them as if it were the newest.
    taken_us = 10_000_000
    clock.observe(1064, taken_us)
    worst = 0
    for block in range(1, 400):
        index = 1250 + 26 * block
        at_us = taken_us + 26 * block * PERIOD_NS // 1000
        clock.observe(index, at_us + 300)
        worst = max(worst, abs(clock.us_at(index) - at_us))
    assert worst < 20_000


@pytest.fixture
def driver(tmp_path):
    """Runs code on a virtual board that has lib/ and no app; `imu` is a driver made and started there."""
    image = tmp_path / "flash.img"
    flash_image.create(image, [pair for pair in device_files() if pair[1].startswith("/lib/")])
    with VirtualBoard(image, speed=None) as board:
        link = board.serial()
        console.enter(link)
        console.execute(
            link,
            "from machine import I2C, Pin\nfrom time import sleep_ms, ticks_ms\n"
            "from lsm6dsox import Driver\nfrom imu import WrongPart\n"
            "i2c = I2C(0, scl=Pin(6), sda=Pin(5), freq=400000)\nimu = Driver(i2c)\n",
        )
        yield lambda code: console.execute(link, code).strip()


def test_blocks_hold_the_samples_of_the_time_that_passed(driver):
    printed = driver(
        "imu.start(26)\nsleep_ms(1000)\nfound = 0\n"
        "while True:\n    n = imu.read_block()\n    if not n: break\n    found += n\n"
        "print(found, imu.overruns, imu.lost_samples(), imu.samples[2])\n"
    )
    found, overruns, lost, gravity = (int(word) for word in printed.split())
    assert found == pytest.approx(104, abs=4)
    assert (overruns, lost) == (0, 0)
    # 1 g in units of 0.488 mg.
    assert gravity == pytest.approx(2049, abs=60)


def test_an_overrun_is_noticed_and_its_length_is_known_from_the_sensors_own_time(driver):
    printed = driver(
        "imu.start(26)\nbegin = ticks_ms()\nsleep_ms(500)\nfirst = imu.read_block()\nsleep_ms(6000)\n"
        "found = 0\nfor _ in range(20):\n"
        "    n = imu.read_block()\n    found += n\n    if not n: break\n"
        "overruns = imu.overruns\nsleep_ms(700)\nfound += sum([imu.read_block() for _ in range(4)])\n"
        "print(first, found, overruns, imu.lost_samples(), ticks_ms() - begin)\n"
    )
    first, found, overruns, lost, passed_ms = (int(word) for word in printed.split())
    assert overruns >= 1
    assert lost > 300
    # The board's sensor runs about 0.6 % fast.
    assert first + found + lost == pytest.approx(passed_ms * 0.1048, abs=6)


def test_another_chip_at_the_address_is_named(driver):
    printed = driver(
        "class Other:\n    def readfrom_mem_into(self, address, register, buffer):\n        buffer[0] = 0x69\n"
        "try:\n    Driver(Other(), 0x6B)\nexcept WrongPart as wrong:\n    print(wrong)\n"
    )
    assert printed.startswith("lsm6dsox expected at 0x6b: register 0x0f reads 0x6c there, found 0x69")


def test_a_watermark_that_does_not_fit_is_refused(driver):
    printed = driver("try:\n    imu.start(300)\nexcept ValueError as refused:\n    print(refused)\n")
    assert printed == "FIFO watermark: expected 1 to 250 samples, got 300"


def test_a_motor_strength_outside_its_range_is_refused(driver):
    printed = driver(
        "from pwm_motor import PWMMotor\nm = PWMMotor(Pin(3))\nm.run(50)\n"
        "try:\n    m.run(101)\nexcept ValueError as refused:\n    print(refused)\n"
    )
    assert "expected 0 to 100 %, got 101" in printed


def test_a_file_that_a_full_volume_can_not_replace_keeps_what_it_held(tmp_path, monkeypatch):
    path = tmp_path / "settings.json"
    path.write_bytes(b"old")

    def full(source, target):
        raise OSError(errno.ENOSPC, "no room for the entry")

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(OSError, match="no room"):
        write_atomically(str(path), b"new")
    assert path.read_bytes() == b"old"
