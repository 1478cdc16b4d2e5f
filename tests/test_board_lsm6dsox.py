"""The virtual LSM6DSOX answers, register by register, as ST's data sheet says. Asked by MicroPython over its I2C."""

import itertools

import numpy as np
import pytest

from retrostep.board import VirtualBoard, console

EXACT_104_HZ_PPM = -1600
WALK = np.random.default_rng(7).integers(-3000, 3000, (2000, 6)).astype(np.int16)
DRIVER = """
import time
from machine import I2C, Pin
i2c = I2C(0, scl=Pin(6), sda=Pin(5), freq=400000)
def get(register, n=1):
    data = i2c.readfrom_mem(0x6A, register, n)
    return data[0] if n == 1 else data
def put(register, *values):
    i2c.writeto_mem(0x6A, register, bytes(values))
def count():
    low, high = get(0x3A, 2)
    return low | (high & 3) << 8
def words(n):
    data = get(0x78, 7 * n)
    return [data[i:i + 7] for i in range(0, 7 * n, 7)]
def int16(word):
    return [int.from_bytes(word[i:i + 2], "little") - (word[i + 1] >> 7 << 16) for i in (1, 3, 5)]
def stream(mode=6, watermark=0):
    put(0x0A, 0)
    put(0x07, watermark & 255, watermark >> 8)
    put(0x10, 0x44)
    put(0x11, 0x4C)
    put(0x09, 0x44)
    put(0x0A, mode)
"""


class Bench:
    """A board with an idle REPL, time under our control, and the register functions above loaded."""

    def __init__(self, image, **options):
        self.board = VirtualBoard(image, speed=0, **options)
        self.board.start()
        self.link = self.board.serial()
        console.enter(self.link)
        self.run(DRIVER)

    def run(self, code):
        return console.execute(self.link, code)

    def value(self, expression):
        return eval(self.run(f"print(({expression}))"))

    def close(self):
        self.board.stop()


@pytest.fixture
def bench(tmp_path):
    benches = []

    def make(**options):
        benches.append(
            Bench(tmp_path / "flash.img", **{"walk": WALK, "clock_ppm": EXACT_104_HZ_PPM, **options})
        )
        return benches[-1]

    yield make
    for one in benches:
        one.close()


def test_powers_on_with_the_identity_and_defaults_of_the_data_sheet(bench):
    imu = bench()
    assert imu.value("i2c.scan()") == [0x6A]
    assert imu.value("[get(r) for r in (0x0F, 0x12, 0x02, 0x18, 0x10, 0x11, 0x0A, 0x3A, 0x3B)]") == [
        *(0x6C, 0x04, 0x3F, 0xE0),
        *(0, 0, 0, 0, 0),
    ]


def test_refuses_writes_to_read_only_registers_and_counts_them(bench):
    imu = bench()
    imu.run("put(0x0F, 0); put(0x3A, 9); put(0x63, 1)")
    assert imu.value("get(0x0F)") == 0x6C
    assert imu.board.sensor_counts() == {"refused_writes": 3, "unmodelled_writes": 0}


def test_software_reset_ends_by_itself_with_defaults_and_an_empty_fifo(bench):
    imu = bench()
    imu.run("stream(); i2c = I2C(0, scl=Pin(6), sda=Pin(5), freq=2000000)")
    imu.board.advance(1)
    assert imu.value("(put(0x12, 0x45), get(0x12) & 1)") == (None, 1)
    imu.board.advance(0.0001)
    assert imu.value("get(0x12), get(0x10), get(0x0A), count()") == (0x04, 0, 0, 0)


def test_passes_the_feed_through_exactly_when_the_clocks_agree(bench):
    imu = bench()
    imu.run("stream()")
    imu.board.advance(1)
    words = imu.value("[(w[0] >> 3, int16(w)) for w in words(count())]")
    gyr = np.array([value for tag, value in words if tag == 1])
    acc = np.array([value for tag, value in words if tag == 2])
    first = int(np.flatnonzero((WALK[:, :3] == acc[0]).all(axis=1))[0])
    assert len(acc) in (103, 104)
    np.testing.assert_array_equal(acc, WALK[first : first + len(acc), :3])
    np.testing.assert_array_equal(gyr, WALK[first : first + len(gyr), 3:])


def test_interpolates_between_feed_samples_on_its_own_clock(bench):
    imu = bench(clock_ppm=6000)
    imu.run("stream()")
    imu.board.advance(1)
    acc = np.array(imu.value("[int16(w) for w in words(count()) if w[0] >> 3 == 2]"))
    rate_hz = 40000 * 1.006 / 384
    best = min(
        np.abs(acc - _interpolated((n0 + np.arange(len(acc))) * 104 / rate_hz)).max() for n0 in range(10)
    )
    assert best <= 1


def _interpolated(positions):
    return np.stack([np.interp(positions, np.arange(len(WALK)), WALK[:, axis]) for axis in range(3)], axis=1)


def test_full_scales_multiply_and_saturate(bench):
    imu = bench(walk=np.tile(np.array([[4000, -5000, 100, 1000, -3000, 7]], np.int16), (500, 1)))
    imu.run("stream(); put(0x10, 0x40); put(0x11, 0x42)")  # 2 g, 125 dps
    imu.board.advance(0.5)
    assert imu.value("int16(b' ' + get(0x28, 6)), int16(b' ' + get(0x22, 6))") == (
        [32000, -32768, 800],
        [16000, -32768, 112],
    )
    imu.run("put(0x10, 0x48); put(0x11, 0x48)")  # 4 g, 1000 dps
    imu.board.advance(0.5)
    assert imu.value("int16(b' ' + get(0x28, 6)), int16(b' ' + get(0x22, 6))") == (
        [16000, -20000, 400],
        [2000, -6000, 14],
    )


def test_tags_carry_an_even_parity_and_count_the_time_slots(bench):
    imu = bench()
    imu.run("stream()")
    imu.board.advance(0.2)
    tags = imu.value("[w[0] for w in words(count())]")
    assert all(tag.bit_count() % 2 == 0 for tag in tags)
    assert [tag >> 3 for tag in tags[:6]] == [1, 2, 1, 2, 1, 2]
    slots = [tag >> 1 & 3 for tag in tags[::2]]
    assert all((later - earlier) % 4 == 1 for earlier, later in itertools.pairwise(slots))


def test_int1_rises_at_the_watermark_and_falls_when_the_fifo_is_read(bench):
    imu = bench()
    imu.run(
        "pin = Pin(4, Pin.IN); edges = []; pin.irq(lambda p: edges.append(time.ticks_us()), Pin.IRQ_RISING)"
    )
    imu.run("start = time.ticks_us(); stream(watermark=52); put(0x0D, 0x08)")
    imu.board.advance(0.2)
    assert imu.value("pin(), edges") == (0, [])
    imu.board.advance(0.1)
    assert imu.value("pin(), len(edges), get(0x3B) >> 7") == (1, 1, 1)
    # 26 slots of two words: the 26th sample after the stream began, less than one sample early.
    assert 25 / 104 <= imu.value("edges[0] - start") / 1e6 <= 26 / 104
    imu.run("words(20)")
    assert imu.value("pin(), count() < 52") == (0, True)
    imu.board.advance(0.25)
    assert imu.value("len(edges)") == 2


def test_h_lactive_turns_the_interrupt_pin_over(bench):
    imu = bench()
    imu.run("pin = Pin(4, Pin.IN); put(0x12, 0x24); stream(watermark=10); put(0x0D, 0x08)")
    assert imu.value("pin()") == 1
    imu.board.advance(0.1)
    assert imu.value("pin()") == 0


def test_a_burst_wraps_over_the_seven_fifo_registers_and_reading_empties(bench):
    imu = bench()
    imu.run("stream()")
    imu.board.advance(0.5)
    imu.run("put(0x10, 0); put(0x11, 0)")  # no new words while we count
    n = imu.value("count()")
    imu.run("burst = words(10); single = get(0x78); byte_wise = bytes([get(0x78 + i) for i in range(7)])")
    assert imu.value("byte_wise[0] == single") is True
    assert imu.value("count()") == n - 11
    imu.run(f"rest = words({n - 11})")
    assert imu.value("count(), get(0x78)") == (0, 0)


def test_continuous_mode_keeps_the_newest_and_latches_the_overrun(bench):
    imu = bench()
    imu.run("stream()")
    imu.board.advance(5)
    status = imu.value("get(0x3B)")
    assert status & 0x78 == 0x68, "overrun, full and latched overrun"
    assert imu.value("count(), get(0x3B) & 0x08") == (512, 0)
    newest = imu.value("int16(words(512)[-1])")
    assert newest == imu.value("int16(b' ' + get(0x28, 6))")
    assert imu.value("get(0x3B) & 0x40") == 0


def test_fifo_mode_keeps_the_oldest_and_bypass_empties(bench):
    imu = bench()
    imu.run("stream(mode=1)")
    imu.board.advance(0.1)
    first = imu.value("int16(words(2)[1])")
    imu.board.advance(5)
    assert imu.value("count()") == 512
    second = imu.value("int16(words(2)[1])")
    at = int(np.flatnonzero((WALK[:, :3] == first).all(axis=1))[0])
    np.testing.assert_array_equal(second, WALK[at + 1, :3])
    imu.run("put(0x0A, 0)")
    assert imu.value("count(), get(0x3B)") == (0, 0)


def test_batches_each_sensor_at_its_own_rate(bench):
    imu = bench()
    imu.run("stream(); put(0x0A, 0); put(0x09, 0x34); put(0x0A, 6)")  # gyroscope 52 Hz, accelerometer 104 Hz
    imu.board.advance(1)
    tags = imu.value("[w[0] >> 3 for w in words(count())]")
    assert abs(tags.count(2) - 104) <= 1
    assert abs(tags.count(1) - 52) <= 1


@pytest.mark.parametrize(("code", "rate_hz"), [(1, 13), (2, 26), (5, 208), (6, 416)])
def test_output_rates_are_powers_of_two_apart(bench, code, rate_hz):
    imu = bench()
    imu.run(f"stream(); put(0x0A, 0); put(0x10, {code << 4}); put(0x11, 0); put(0x09, {code}); put(0x0A, 6)")
    imu.board.advance(1)
    assert abs(imu.value("count()") - rate_hz) <= 1


def test_stops_at_the_watermark_when_told_so(bench):
    imu = bench()
    imu.run("stream(); put(0x0A, 0); put(0x07, 30, 0x80); put(0x0A, 6)")
    imu.board.advance(2)
    assert imu.value("count()") == 30


def test_timestamps_count_25_us_and_come_as_fifo_words(bench):
    imu = bench(clock_ppm=0)
    imu.run("put(0x19, 0x20)")
    before = imu.value("int.from_bytes(get(0x40, 4), 'little')")
    imu.board.advance(1)
    assert abs(imu.value("int.from_bytes(get(0x40, 4), 'little')") - before - 40000) <= 20
    imu.run("put(0x42, 0xAA)")
    assert imu.value("int.from_bytes(get(0x40, 4), 'little')") < 20
    imu.run("stream(); put(0x0A, 0); put(0x0A, 0x46)")
    imu.board.advance(0.1)
    words = imu.value("[(w[0] >> 3, int.from_bytes(w[1:5], 'little')) for w in words(count())]")
    assert [tag for tag, _ in words[:3]] == [4, 1, 2]
    stamps = [stamp for tag, stamp in words if tag == 4]
    assert {later - earlier for earlier, later in itertools.pairwise(stamps)} == {384}


def test_batch_counter_interrupts_after_its_number_of_batches(bench):
    imu = bench()
    imu.run("pin = Pin(4, Pin.IN); edges = []; pin.irq(lambda p: edges.append(1), Pin.IRQ_RISING)")
    imu.run("stream(); put(0x0C, 26); put(0x0D, 0x40)")
    imu.board.advance(0.3)
    assert imu.value("len(edges), get(0x3B) & 0x10, pin()") == (1, 0x10, 0)


def test_data_ready_is_set_by_a_sample_and_cleared_by_reading_it(bench):
    imu = bench()
    imu.run("stream()")
    imu.board.advance(0.1)
    assert imu.value("get(0x1E) & 3, get(0x29) * 0, get(0x1E) & 3, get(0x23) * 0, get(0x1E) & 3") == (
        3,
        0,
        2,
        0,
        0,
    )


def test_data_ready_reaches_int1_once_a_sample(bench):
    imu = bench()
    imu.run("edges = []; pin = Pin(4, Pin.IN)")
    imu.run("def read(p):\n edges.append(1)\n get(0x28, 6)\npin.irq(read, Pin.IRQ_RISING)")
    imu.run("stream(); put(0x0D, 0x01)")
    imu.board.advance(1)
    assert abs(imu.value("len(edges)") - 104) <= 1


def test_block_data_update_keeps_both_bytes_of_one_sample(bench):
    low_high = np.zeros((3000, 6), np.int16)
    low_high[:, 0] = np.arange(3000) % 2 * 0x0101  # 0x0000 and 0x0101 in turns
    imu = bench(walk=low_high)
    for bdu, torn in ((0x44, False), (0x04, True)):
        imu.run(f"stream(); put(0x12, {bdu})")
        halves = []
        for _ in range(4):
            low = imu.value("get(0x28)")
            imu.board.advance(1 / 104)
            halves.append((low, imu.value("get(0x29)")))
        assert any(low != high for low, high in halves) is torn


@pytest.mark.parametrize("ppm", [-9000, 0, 4500, 6000])
def test_internal_freq_fine_tells_the_clock_error_in_steps_of_0_15_percent(bench, ppm):
    imu = bench(clock_ppm=ppm)
    fine = imu.value("get(0x63)")
    assert (fine - 256 if fine > 127 else fine) == ppm // 1500


def test_the_clock_is_about_0_6_percent_fast_and_depends_on_the_seed(bench, tmp_path):
    counts = []
    for seed in (1, 2):
        imu = bench(clock_ppm=None, seed=seed)
        imu.run("put(0x19, 0x20); start = time.ticks_us()")
        imu.board.advance(100)
        ticks = imu.value("int.from_bytes(get(0x40, 4), 'little')")
        counts.append(ticks / 4_000_000)
    assert all(1.0045 < count < 1.0075 for count in counts)
    assert abs(counts[0] - counts[1]) > 1e-5


def test_at_rest_no_two_samples_in_a_row_are_all_alike(bench):
    imu = bench(walk=None)
    imu.run("stream()")
    imu.board.advance(2)
    acc = np.array(imu.value("[int16(w) for w in words(count()) if w[0] >> 3 == 2]"))
    assert np.abs(acc - [0, 0, 2049]).max() <= 2
    assert acc.std(axis=0).min() > 0.5


def test_after_the_walk_it_lies_in_the_last_seconds_attitude(bench):
    walk = np.tile(np.array([[2049, 0, 0, 50, 0, 0]], np.int16), (208, 1))
    walk[-104:, :3] = [0, 2049, 0]
    imu = bench(walk=walk)
    imu.run("stream()")
    imu.board.advance(10)
    assert np.abs(np.array(imu.value("int16(b' ' + get(0x28, 6))")) - [0, 2049, 0]).max() <= 2
    assert np.abs(imu.value("int16(b' ' + get(0x22, 6))")).max() <= 2


def test_a_sensor_that_does_not_answer_raises_enodev(bench):
    imu = bench()
    imu.board.inject("nack", 1000)
    with pytest.raises(console.DeviceError, match=r"\[Errno 19\] ENODEV"):
        imu.run("get(0x0F)")
    imu.board.advance(1.1)
    assert imu.value("get(0x0F)") == 0x6C


def test_a_bus_held_low_times_out(bench):
    imu = bench()
    imu.board.inject("bus_low", 1000)
    with pytest.raises(console.DeviceError, match="ETIMEDOUT"):
        imu.run("get(0x0F)")


def test_a_stuck_sensor_goes_on_batching_one_value(bench):
    imu = bench()
    imu.run("stream()")
    imu.board.advance(0.5)
    imu.run("words(count())")
    imu.board.inject("stuck", 2000)
    imu.board.advance(1)
    words = imu.value("[tuple(w[1:]) for w in words(count()) if w[0] >> 3 == 2]")
    assert len(words) >= 103
    assert len(set(words)) == 1
    imu.board.advance(2)
    assert imu.value("len(set([w[1:] for w in words(count())][-100:]))") > 50


def test_a_brown_out_puts_registers_and_fifo_back_to_power_on(bench):
    imu = bench()
    imu.run("stream(watermark=10); put(0x0D, 8); pin = Pin(4, Pin.IN)")
    imu.board.advance(1)
    assert imu.value("pin()") == 1
    imu.board.inject("brownout", 1)
    imu.board.advance(0.1)
    assert imu.value("pin(), get(0x10), get(0x0A), count()") == (0, 0, 0, 0)


def test_goes_on_sampling_through_a_reset_of_the_processor_but_not_through_a_power_cut(bench):
    imu = bench()
    imu.run("stream()")
    imu.board.advance(0.5)
    imu.link.write(b"import machine; machine.reset()\x04")
    imu.board.wait_for("boot", cause="hard")
    console.enter(imu.link)
    imu.run(DRIVER)
    imu.board.advance(0.5)
    assert imu.value("get(0x10), count() > 190") == (0x44, True)
    imu.board.cut_power()
    imu.board.power_on()
    console.enter(imu.link)
    imu.run(DRIVER)
    assert imu.value("get(0x10), count()") == (0, 0)
