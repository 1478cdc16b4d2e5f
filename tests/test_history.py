"""From records to UTC, days and minutes, on the host."""

import time
from datetime import date, datetime, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journal import RECORD_BYTES, encode_header, encode_record
from journal_opening import scan_segment

from firmware import steplog
from retrostep.history import ListedRecords, read_log, stream_log
from retrostep.periods import days
from retrostep.stretches import stretches_of

UTC_0_MS = 1_790_000_000_000
BERLIN = ZoneInfo("Europe/Berlin")


class Log:
    """Builds (sequence, kind, payload) records as a device writes them."""

    def __init__(self):
        self.records = []
        self.tag = 0

    def add(self, kind, payload):
        self.records.append((len(self.records) + 1, kind, payload))
        return self

    def boot(self, cause=0):
        self.tag = len(self.records) + 1
        return self.add(steplog.BOOT, steplog.encode_boot(cause, 0, 0, "0.1.0", "physics-waist-1", "x"))

    def anchor(self, uptime_ms, utc_ms, source=steplog.SOURCE_HOST):
        return self.add(steplog.ANCHOR, steplog.encode_anchor(self.tag, uptime_ms, utc_ms, 5, source))

    def steps(self, *uptimes_ms, direction=0):
        chunk = steplog.StepChunk(self.tag, 1)
        for uptime_ms in uptimes_ms:
            chunk.add_step(uptime_ms, direction, 90, None)
        return self.add(steplog.STEPS, chunk.payload())

    def read(self):
        return read_log("device", 7, ListedRecords(self.records))

    def days(self, zone):
        return days(stretches_of(self.read().blocks), zone)


def test_between_two_anchors_the_drift_of_the_crystal_is_removed():
    # The device's clock loses 50 ppm: 1 h of UTC are 3,599.82 s of uptime.
    log = Log().boot().anchor(0, UTC_0_MS).steps(1_799_910).anchor(3_599_820, UTC_0_MS + 3_600_000)
    (step,) = log.read().steps
    assert step.utc_ms == pytest.approx(UTC_0_MS + 1_800_000, abs=10)


def test_two_syncs_of_one_boot_may_lie_months_apart():
    day_ms = 86_400_000
    walked = [day * day_ms for day in (1, 10, 36, 150, 299)]
    log = Log().boot().anchor(0, UTC_0_MS)
    for uptime_ms in walked:
        log.steps(uptime_ms)
    # 10 ppm slow.
    log.anchor(300 * day_ms, UTC_0_MS + 300 * day_ms + 259_200)
    told = [step.utc_ms - UTC_0_MS for step in log.read().steps]
    assert told == [uptime_ms + uptime_ms // 100_000 for uptime_ms in walked]


@pytest.mark.parametrize("source", [steplog.SOURCE_HOST, steplog.SOURCE_DEVICE])
@pytest.mark.parametrize(
    ("uptime_ms", "utc_ms"),
    [
        (0, 2**48 - 1),
        (0, 253_370_764_800_000),
        (0, 4_102_444_800_000),
        (0, 1_735_689_599_999),
        (2**48 - 1, UTC_0_MS),
    ],
)
def test_an_anchor_of_a_time_that_cannot_be_dates_nothing_and_is_told(uptime_ms, utc_ms, source):
    log = Log().boot().anchor(uptime_ms, utc_ms, source).steps(1_000)
    assert [day.day for day in log.days(BERLIN)] == [None]
    (problem,) = log.read().problems
    assert (problem.kind, problem.sequence) == ("anchor", 2)
    assert f"{utc_ms} ms UTC" in problem.text
    log.anchor(2_000, UTC_0_MS)
    assert [step.utc_ms for step in log.read().steps] == [UTC_0_MS - 1_000]


def test_outside_the_anchors_the_nearest_one_counts():
    log = (
        Log().boot().steps(10_000).anchor(60_000, UTC_0_MS).anchor(120_000, UTC_0_MS + 60_000).steps(200_000)
    )
    before, after = log.read().steps
    assert (before.utc_ms, after.utc_ms) == (UTC_0_MS - 50_000, UTC_0_MS + 140_000)


def test_a_host_clock_that_was_set_back_between_two_syncs_does_not_stretch_the_steps():
    log = Log().boot().anchor(0, UTC_0_MS).steps(100_000, 1_000_000).anchor(1_200_000, UTC_0_MS - 2_400_000)
    early, late = log.read().steps
    assert (early.utc_ms, late.utc_ms) == (UTC_0_MS + 100_000, UTC_0_MS - 2_600_000)


def test_a_hosts_anchor_beats_the_devices_own_clock():
    log = Log().boot().anchor(0, UTC_0_MS - 7_000, steplog.SOURCE_DEVICE).steps(5_000)
    assert log.read().steps[0].utc_ms == UTC_0_MS - 2_000
    log.anchor(10_000, UTC_0_MS + 10_000)
    assert log.read().steps[0].utc_ms == UTC_0_MS + 5_000


def test_a_boot_without_anchor_is_bounded_by_its_neighbours():
    log = Log().boot().anchor(0, UTC_0_MS).steps(100_000)
    log.boot(cause=2).steps(20_000, 50_000)
    log.boot().anchor(30_000, UTC_0_MS + 1_000_000)
    _, first, second = log.read().steps
    assert first.utc_ms is None
    assert (first.earliest_utc_ms, first.latest_utc_ms) == (UTC_0_MS + 120_000, UTC_0_MS + 940_000)
    assert (second.earliest_utc_ms, second.latest_utc_ms) == (UTC_0_MS + 150_000, UTC_0_MS + 970_000)


def log_whose_tag_came_back(boot_records=True):
    """Two boots of which the second, a year later, has the tag of the first; without their BOOT records if asked."""
    found = []
    for first, utc_ms in ((100, UTC_0_MS), (100 + 65_536, UTC_0_MS + 365 * 86_400_000)):
        log = Log()
        log.tag = 100
        log.anchor(0, utc_ms).steps(5_000, 5_600)
        if boot_records:
            found.append((first, *Log().boot().records[0][1:]))
        found += [(first + number, kind, payload) for number, kind, payload in log.records]
    return found


def test_a_boot_tag_that_comes_back_names_the_boot_of_its_own_time():
    steps = read_log("device", 7, ListedRecords(log_whose_tag_came_back())).steps
    year_ms = 365 * 86_400_000
    assert [step.boot for step in steps] == [100, 100, 65_636, 65_636]
    assert [step.utc_ms - UTC_0_MS for step in steps] == [5_000, 5_600, year_ms + 5_000, year_ms + 5_600]
    assert list(stream_log("device", 7, ListedRecords(log_whose_tag_came_back()))) == steps


def test_a_boot_without_its_record_has_the_number_that_its_tag_tells():
    later = [record for record in log_whose_tag_came_back(boot_records=False) if record[0] > 65_536]
    steps = read_log("device", 7, ListedRecords(later)).steps
    assert [step.boot for step in steps] == [65_636, 65_636]


def test_bounded_steps_count_on_a_day_only_if_both_bounds_lie_on_it():
    noon = round(datetime(2026, 6, 1, 12, tzinfo=BERLIN).timestamp() * 1000)
    log = Log().boot().anchor(0, noon).steps(1_000).boot().steps(1_000, 1_500)
    log.boot().anchor(0, noon + 3_600_000)
    (day,) = log.days(BERLIN)
    assert (day.day, day.counts["forward"], day.bounded_steps) == (date(2026, 6, 1), 3, 2)
    late = Log().boot().anchor(0, noon).steps(1_000).boot().steps(1_000, 1_500)
    late.boot().anchor(0, noon + 24 * 3_600_000)
    dated, undated = late.days(BERLIN)
    assert (dated.counts["forward"], dated.bounded_steps) == (1, 0)
    assert (undated.day, undated.counts["forward"]) == (None, 2)


def test_days_are_cut_at_the_wearers_midnight_through_a_clock_change():
    # On 2026-10-25 Berlin's clocks go back: that day has 25 hours.
    begin = round(datetime(2026, 10, 24, 22, tzinfo=timezone.utc).timestamp() * 1000)
    hours = [hour * 3_600_000 + 60_000 for hour in range(26)]
    log = Log().boot().anchor(0, begin).steps(*hours)
    assert {day.day: day.counts["forward"] for day in log.days(BERLIN)} == {
        date(2026, 10, 25): 25,
        date(2026, 10, 26): 1,
    }


def test_the_computers_own_zone_is_asked_for_each_day_not_for_today(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        # 22:30 UTC is past midnight in Berlin's summer, and before it in winter.
        summer = round(datetime(2026, 7, 15, 22, 30, tzinfo=timezone.utc).timestamp() * 1000)
        winter = round(datetime(2026, 1, 15, 22, 30, tzinfo=timezone.utc).timestamp() * 1000)
        log = Log().boot().anchor(0, winter).steps(1_000).boot().anchor(0, summer).steps(1_000)
        assert [day.day for day in log.days(None)] == [date(2026, 1, 15), date(2026, 7, 16)]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_two_logs_of_one_device_stay_apart():
    log = Log().boot().anchor(0, UTC_0_MS).steps(*range(0, 60_001, 500))
    (day,) = days(stretches_of(log.read().blocks + log.read().blocks), timezone.utc)
    assert day.bouts == 2
    assert day.minutes["forward"] == pytest.approx(2.0)


def test_uptime_that_wraps_in_the_log_goes_on_counting():
    wrap_ms = 10 * 2**32
    log = Log().boot().anchor(wrap_ms - 5_000, UTC_0_MS).steps(wrap_ms - 1_000, wrap_ms + 1_000)
    log.steps(wrap_ms + 2_000)
    assert [step.utc_ms - UTC_0_MS for step in log.read().steps] == [4_000, 6_000, 7_000]


def test_steps_are_in_order_although_a_fault_was_logged_before_them():
    log = Log().boot().anchor(0, UTC_0_MS)
    log.add(steplog.FAULT, steplog.encode_fault(log.tag, 30_000, steplog.FAULT_OVERRUN, 9)).steps(10_000)
    history = log.read()
    assert history.steps[0].utc_ms == UTC_0_MS + 10_000
    assert [problem.text for problem in history.problems] == ["samples lost (9)"]


def test_a_gap_record_explains_missing_numbers_and_is_told_once():
    log = Log().boot()
    gap = steplog.encode_gap(1, 0, 2, 40, 700, (1, 5), (1, 9))
    log.records += [(41, steplog.GAP, gap), (42, steplog.GAP, gap)]
    history = log.read()
    (problem,) = history.problems
    assert (problem.kind, problem.first, problem.last, problem.steps) == ("full", 2, 40, 700)
    assert "700 steps" in history.problems[0].text


@pytest.mark.parametrize(
    "twice", [[(2, 9), (10, 40)], [(2, 9), (10, 19), (20, 40)], [(2, 9), (2, 30), (25, 40)]]
)
def test_gaps_told_one_after_the_other_explain_the_hole_that_they_make_together(twice):
    log = Log().boot()
    for number, (first, last) in enumerate(twice, 41):
        log.records.append((number, steplog.GAP, steplog.encode_gap(1, 0, first, last, 7, (1, 5), (1, 9))))
    assert {problem.kind for problem in log.read().problems} == {"full"}


def test_a_hole_between_two_gaps_is_told():
    log = Log().boot()
    for number, (first, last) in ((41, (2, 9)), (42, (11, 40))):
        log.records.append((number, steplog.GAP, steplog.encode_gap(1, 0, first, last, 7, (1, 5), (1, 9))))
    assert [problem.kind for problem in log.read().problems] == ["missing", "full", "full"]


def test_missing_numbers_that_nobody_explains_are_told():
    log = Log().boot()
    log.records.append((9, steplog.BATTERY, steplog.encode_battery(1, 0, 3_900)))
    assert [problem.text for problem in log.read().problems] == ["records 2 to 8 are missing"]


def test_minutes_are_walked_time_and_a_pause_begins_a_new_bout():
    log = Log().boot().anchor(0, UTC_0_MS)
    log.steps(*range(0, 60_001, 500), direction=1).steps(*range(100_000, 130_001, 500), direction=0)
    (day,) = log.days(timezone.utc)
    assert day.bouts == 2
    assert day.minutes["backward"] == pytest.approx(1.0)
    assert day.minutes["forward"] == pytest.approx(0.5)


def test_steps_streamed_are_the_steps_read_at_once():
    wrap_ms = 10 * 2**32
    log = Log().steps(700, 1_300).boot().anchor(0, UTC_0_MS).steps(100_000, 100_500, direction=1)
    log.boot(cause=2).steps(20_000, 50_000).boot().anchor(30_000, UTC_0_MS + 1_000_000)
    log.boot().anchor(wrap_ms - 5_000, UTC_0_MS + 2_000_000).steps(wrap_ms - 1_000, wrap_ms + 1_000).steps(
        wrap_ms + 2_000
    )
    assert list(stream_log("device", 7, ListedRecords(log.records))) == log.read().steps


@given(st.binary(max_size=600), st.integers(0, 2**32 - 600))
def test_any_bytes_are_read_to_their_end_and_numbers_only_rise(data, first):
    last = first - 1
    for sequence, _, payload, start, end in scan_segment(data, first):
        assert last < sequence
        assert end - start == RECORD_BYTES + len(payload)
        last = sequence


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=512)), max_size=8), st.binary(max_size=40))
def test_any_records_come_back_whatever_follows_them(records, tail):
    data = encode_header(5, 1, 9)
    for offset, record in enumerate(records):
        data += encode_record(5 + offset, *record)
    found = [(kind, payload) for _, kind, payload, _, _ in scan_segment(data + tail, 5)]
    assert found[: len(records)] == records
