"""When the radio is on by itself, and what fitness apps are told: decided by the device's own code, time injected."""

import pytest

from firmware.link.cadence import Cadence
from firmware.link.windows import Windows


class DeviceOnADesk:
    """What a window's decision looks at: settings and a charger."""

    def __init__(self, **settings):
        self.settings = {"radio_every_min": 0, "radio_after_walk_min": 5, "step_length_mm": 0, **settings}
        self.now_ms = 0
        self.on_charger = False
        self.windows = Windows(self, lambda: self.now_ms, lambda pattern: None, lambda: self.on_charger)

    def due_within(self, minutes):
        """The minutes at which a window opens in so many minutes from now."""
        begin_ms = self.now_ms
        found = []
        for _ in range(minutes * 60):
            self.now_ms += 1000
            if self.windows.due():
                found.append((self.now_ms - begin_ms) / 60_000)
        return found

    def walk(self, minutes):
        for _ in range(minutes * 120):
            self.now_ms += 500
            self.windows.live_step(self.now_ms, 0, 90, None)
            assert not self.windows.due()
        self.windows.note_bout(minutes * 60_000)


def test_window_does_not_open_by_itself_on_a_device_that_rests():
    assert DeviceOnADesk().due_within(600) == []


def test_window_opens_a_minute_after_a_walk_that_was_long_enough():
    device = DeviceOnADesk()
    device.walk(6)
    assert device.due_within(30) == [pytest.approx(1, abs=0.05)]


def test_window_opens_after_short_walks_that_add_up_but_not_after_one():
    device = DeviceOnADesk()
    device.walk(3)
    assert device.due_within(30) == []
    device.walk(3)
    assert len(device.due_within(30)) == 1


def test_window_after_a_walk_can_be_switched_off():
    device = DeviceOnADesk(radio_after_walk_min=0)
    device.walk(60)
    assert device.due_within(60) == []


def test_window_opens_at_regular_times_if_that_is_set():
    assert DeviceOnADesk(radio_every_min=30).due_within(100) == [30, 60, 90]


def test_window_opens_once_when_the_charger_is_connected():
    device = DeviceOnADesk()
    device.due_within(5)
    device.on_charger = True
    assert len(device.due_within(60)) == 1
    device.on_charger = False
    assert device.due_within(60) == []


class Wearer:
    def __init__(self, steps_per_contact=1, step_length_mm=0):
        self.cadence = Cadence(steps_per_contact, {"step_length_mm": step_length_mm})

    def walk(self, contacts, interval_ms, start_ms=0):
        for number in range(contacts):
            self.cadence.add_step(start_ms + number * interval_ms)
        return start_ms + (contacts - 1) * interval_ms


@pytest.mark.parametrize(("interval_ms", "per_min"), [(500, 120), (600, 100), (1200, 50)])
def test_cadence_is_the_steps_a_minute_of_the_last_steps(interval_ms, per_min):
    wearer = Wearer()
    last_ms = wearer.walk(20, interval_ms)
    assert wearer.cadence.per_min(last_ms + 1500) == per_min


def test_cadence_at_the_shoe_counts_both_feet():
    wearer = Wearer(steps_per_contact=2)
    assert wearer.cadence.per_min(wearer.walk(10, 1100)) == 109


def test_cadence_of_somebody_who_has_stopped_is_none_and_a_pause_does_not_slow_the_next_steps():
    wearer = Wearer()
    last_ms = wearer.walk(10, 500)
    assert wearer.cadence.per_min(last_ms + 5000) == 0
    again_ms = wearer.walk(2, 600, last_ms + 20_000)
    assert wearer.cadence.per_min(again_ms) == 100


@pytest.mark.parametrize(("step_length_mm", "speed"), [(0, 0), (600, 307), (1500, 768)])
def test_cadence_measurement_has_a_speed_only_where_the_step_length_is_known(step_length_mm, speed):
    wearer = Wearer(step_length_mm=step_length_mm)
    measurement = wearer.cadence.measurement(wearer.walk(10, 500))
    assert measurement == bytes([0, speed & 255, speed >> 8, 120])
