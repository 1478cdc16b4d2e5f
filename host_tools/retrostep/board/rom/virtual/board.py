"""The board as a whole: why it started, how it sleeps and dies, and what outlives that.

A reset of any kind ends this process; the supervisor starts the next one with the state saved here. Chips on the
bus, the clock, RTC memory, the button and running faults go through it; a power cut takes all but the flash.
"""

import gc

from virtual import bus, channel, clock, pins

rtc_memory = b""
reset_cause = 1
wake_reason = 0
unique_id = b""
mcu = "ESP32S3"
machine_name = ""
usb_attached = False
# What the Wi-Fi is like (network.py).
air = "absent"
cpu_hz = 160000000
wake_ext0 = None
wake_ext1 = None
# A light sleep that is longer is told: those between two looks into a FIFO would be all that is.
_TOLD_MS = 5000
# Kept for the end of a life, whose state must be told, however scattered the firmware has left the heap.
_RESERVE_BYTES = 32768
_reserve = None

_CAUSES = {"power_on": 1, "hard": 2, "wdt": 3, "deepsleep": 4, "soft": 5}

_battery_mv = 0
_battery_pin = None
_battery_divider = 1
_chips = []
_feed = None
_persistent = []
_soft_reset_mode = "friendly"


class Button:
    """A push button to ground: drives its net low while pressed; pulled_up: a resistor on the board pulls it up."""

    def __init__(self, net, released_us, pulled_up):
        self._net = net
        self._released = 1 if pulled_up else None
        self.due_us = released_us
        net.drive(0 if released_us < clock.NEVER else self._released)

    def press(self, command):
        self.due_us = clock.now_us + command["ms"] * 1000
        channel.send({"event": "button", "us": clock.now_us, "ms": command["ms"]})
        self._net.drive(0)

    def fire(self):
        self.due_us = clock.NEVER
        self._net.drive(self._released)


class Script:
    """Commands due at given virtual times: [[at_us, command], ...], sorted."""

    def __init__(self, entries, done):
        self._entries = entries
        self.done = done
        self._arm()

    def _arm(self):
        self.due_us = self._entries[self.done][0] if self.done < len(self._entries) else clock.NEVER

    def add(self, command):
        entry = command["entry"]
        at = self.done
        while at < len(self._entries) and self._entries[at][0] <= entry[0]:
            at += 1
        self._entries.insert(at, entry)
        self._arm()

    def fire(self):
        command = self._entries[self.done][1]
        self.done += 1
        self._arm()
        channel.obey(command)


class Faults:
    """Faults under way: [[end_us, kind], ...]."""

    def __init__(self, active):
        self.active = []
        self.due_us = clock.NEVER
        for end_us, kind in active:
            self._begin(kind, end_us)

    def inject(self, command):
        kind = command["kind"]
        channel.send({"event": "fault", "us": clock.now_us, "kind": kind, "for_ms": command["for_ms"]})
        if kind == "brownout":
            for chip in _chips:
                chip.power_on()
        self._begin(kind, clock.now_us + command["for_ms"] * 1000)

    def _begin(self, kind, end_us):
        self.active.append([end_us, kind])
        self._set(kind, True)
        self.due_us = min([end for end, _ in self.active])

    def _set(self, kind, on):
        if kind == "stuck":
            for chip in _chips:
                chip.set_stuck(on)
            return
        for one in bus.all_buses():
            if kind == "bus_low":
                one.held_low = on
            elif kind == "torn":
                one.torn = on
            elif kind in ("nack", "brownout"):
                one.nack = set(one.chips) if on else set()

    def fire(self):
        ended = [fault for fault in self.active if fault[0] <= clock.now_us]
        self.active = [fault for fault in self.active if fault[0] > clock.now_us]
        for _, kind in ended:
            if kind not in [other for _, other in self.active]:
                self._set(kind, False)
        self.due_us = min([end for end, _ in self.active]) if self.active else clock.NEVER


_button = None
_script = None
_faults = None


def start(life, chips):
    """Wire everything up. `life` is the supervisor's description of this start; `chips` are on their buses."""
    global rtc_memory, reset_cause, wake_reason, unique_id, mcu, machine_name, _chips
    global \
        _reserve, \
        _feed, \
        usb_attached, \
        air, \
        _battery_mv, \
        _battery_pin, \
        _battery_divider, \
        _button, \
        _script, \
        _faults
    _reserve = bytearray(_RESERVE_BYTES)
    channel.reserve_last_line()
    state = life["state"]
    wiring = life["wiring"]
    rtc_memory = bytes.fromhex(state["rtc_memory"])
    reset_cause = _CAUSES[life["cause"]]
    wake_reason = state["wake_reason"]
    unique_id = bytes.fromhex(life["unique_id"])
    mcu = wiring["mcu"]
    machine_name = wiring["machine_name"]
    usb_attached = state["usb"]
    air = state["air"]
    _feed = state["feed"]
    _battery_mv = state["battery_mv"]
    _battery_pin = wiring["battery_pin"]
    _battery_divider = wiring["battery_divider"]
    _chips = chips
    _button = Button(pins.net(wiring["button_pin"]), state["button_released_us"], wiring["button_pulled_up"])
    _script = Script(life["script"], state["script_done"])
    _faults = Faults(state["faults"])
    _persistent.extend(chips)
    _persistent.extend([_button, _script, _faults])
    for source in _persistent:
        clock.add_source(source)
    channel.on("press", _button.press)
    channel.on("script_add", _script.add)
    channel.on("inject", _faults.inject)
    channel.on("cut", _cut)
    channel.on("battery", _on_battery)
    channel.on("usb", _on_usb)
    channel.on("feed", _on_feed)
    channel.on("sensor_counts", _on_sensor_counts)


def _cut(command):
    channel.send({"event": "cut", "us": clock.now_us})
    channel.halt()


def _on_battery(command):
    global _battery_mv
    _battery_mv = command["mv"]


def _on_usb(command):
    global usb_attached
    usb_attached = command["attached"]


def _on_feed(command):
    global _feed
    _feed = command["feed"]
    _feed["starts_us"] = clock.now_us
    for chip in _chips:
        if hasattr(chip, "set_feed"):
            chip.set_feed(_feed)


def _on_sensor_counts(command):
    refused = sum([chip.refused_writes for chip in _chips])
    unmodelled = sum([chip.unmodelled_writes for chip in _chips])
    channel.send({"event": "sensor_counts", "refused_writes": refused, "unmodelled_writes": unmodelled})


def battery_mv():
    """Voltage of the battery."""
    return _battery_mv


def pin_mv(number):
    """Voltage at an analogue pin."""
    return _battery_mv // _battery_divider if number == _battery_pin else 0


def save():
    """What the next life starts from."""
    state = clock.save()
    state["rtc_memory"] = rtc_memory.hex()
    state["wake_reason"] = wake_reason
    state["battery_mv"] = _battery_mv
    state["usb"] = usb_attached
    state["air"] = air
    state["feed"] = _feed
    state["button_released_us"] = _button.due_us
    state["script_done"] = _script.done
    state["faults"] = _faults.active
    state["chips"] = [chip.save() for chip in _chips]
    return state


def leave(cause, repl="friendly"):
    """End this life now: "hard", "soft", "wdt" or "deepsleep". Does not return."""
    global wake_reason, _reserve
    clock.drop_sources(())
    pins.release_all()
    _reserve = None
    gc.collect()
    if cause != "deepsleep":
        wake_reason = 0
    if cause != "soft":
        clock.boot_us = clock.now_us
    channel.send_last({"event": "reset", "us": clock.now_us, "cause": cause, "repl": repl, "state": save()})
    channel.halt()


def _woken():
    """The wake source that is active now, as machine.wake_reason() numbers it, else 0."""
    if wake_ext0 and wake_ext0[0].level() == wake_ext0[1]:
        return 2
    if wake_ext1:
        nets, any_high = wake_ext1
        high = [net.level() for net in nets]
        if (any_high and any(high)) or (not any_high and not any(high)):
            return 3
    return 0


def _sleep(time_ms):
    global wake_reason
    deadline_us = clock.now_us + int(time_ms) * 1000 if time_ms else clock.NEVER
    clock.wait(deadline_us, None, None, _woken)
    wake_reason = _woken() or 4


def deep_sleep(time_ms):
    """CPU and RAM off until the timer or a wake pin; chips on the bus stay powered."""
    clock.drop_sources(_persistent)
    pins.release_all()
    channel.send({"event": "deepsleep", "us": clock.now_us, "ms": time_ms})
    _sleep(time_ms)
    leave("deepsleep")


def light_sleep(time_ms):
    """Pauses the CPU only; everything is as before afterwards, but what happened at the pins meanwhile is lost."""
    if not time_ms or time_ms > _TOLD_MS:
        channel.send({"event": "lightsleep", "us": clock.now_us, "ms": time_ms})
    pins.asleep = True
    try:
        _sleep(time_ms)
    finally:
        pins.asleep = False
