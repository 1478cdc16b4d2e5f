"""The application: puts sensor, gait, log, cues and links together and runs them side by side.

Block of samples -> gait pipeline -> settled steps -> step log, live link, cues. Nothing here knows how a step is
found, how a record looks or how a message travels; each of those is a module of its own.
"""

import asyncio
import gc
import os
import random
import time

import machine
from journal import write_atomically
from micropython import const
from sampleclock import SampleClock

from firmware import VERSION, boards, load_seldom, steplog
from firmware.boards import board
from firmware.button import Button
from firmware.clock import Clock
from firmware.cues import CuePlayer, CuePolicy, in_quiet_hours
from firmware.daycount import DayCount
from firmware.gait import BACKWARD
from firmware.link.cable import CableLink
from firmware.link.windows import Windows
from firmware.logbook import Logbook
from firmware.power import Power
from firmware.sampling import Sampler
from firmware.settings import Settings
from firmware.wear import WearWatch

LOG_FOLDER = "/log"
# There while the wearer has not said that the clip, which was taken off, sits as it did.
_DOUBT = "/clip.doubted"
_HEALTHY_AFTER_MS = const(60_000)
# An application on trial is the good one after so long.
_TRUSTED_AFTER_MS = const(5 * 60_000)
# Longer than any garbage collection, flash erase or import; the housekeeping feeds it every second.
_WATCHDOG_MS = const(30_000)
_HOUSEKEEPING_MS = const(1000)
# Collecting seldom would scatter what stays over the whole heap, until no large piece is left in it.
_COLLECT_EVERY_BYTES = const(8192)
_UPDATE_IDLE_MS = const(60_000)
_BATTERY_MS = const(4 * 3600 * 1000)
# The converter of a board whose battery is not fitted reads next to nothing.
_NO_BATTERY_MV = const(2000)
_BATTERY_LOOK_MS = const(60_000)
_EMPTY_LOOKS = const(3)
# In a row, of the housekeeping.
_MOST_FAILURES = const(60)
# After deep sleep the uptime begins here: the sensor's FIFO holds what came before the start.
_BEFORE_WAKING_MS = const(5_000)
# Woken for a window of the radio, a device that still lies there rests again so soon.
_REST_AGAIN_SAMPLES = const(2_000)
_SAMPLES_A_MINUTE = const(6_240)
_DANGERS = ("unstable", "stumble", "fall")


def mark(path, there):
    """Make an empty file, or remove it; what can't be is printed."""
    try:
        if there:
            open(path, "w").close()
        else:
            os.remove(path)
    except OSError as error:
        print("app: %s: %s" % (path, error))


class Device:
    """Everything that runs on one board. safe: nothing is measured; cable, radio and log work."""

    # What is usual in the wearer's gait (gait/stability.py).
    BASELINE = "/baseline.bin"

    def __init__(self, safe=False):
        startup = load_seldom("startup")
        mountings = load_seldom("mountings")
        self._watchdog = machine.WDT(timeout=_WATCHDOG_MS)
        self._safe = safe
        self.settings = Settings()
        self._woken = startup.woken()
        self.clock = Clock(time.ticks_us, time.ticks_diff, _BEFORE_WAKING_MS if self._woken else 0)
        placement = self.settings["placement"]
        self._mounting = mountings.mounting_of(self.settings["mounting"])
        # Only the driver of the part that the board has is loaded.
        self._driver = __import__(board.IMU).Driver
        self._rate_millihz = self._driver.RATE_MILLIHZ
        self._model = None
        if self._driver.HAS_GYROSCOPE:
            self._model = startup.installed_model(placement)
        elif placement == "shoe":
            print("app: a shoe's steps need a gyroscope; %s has none" % board.IMU)
        self._pipeline = mountings.make_pipeline(self, placement)
        self.logbook = Logbook(
            LOG_FOLDER,
            self.clock.uptime_ms,
            random.getrandbits(32),
            startup.reset_cause(),
            steplog.PLACEMENTS.index(placement),
            VERSION,
            self._pipeline.model_id,
            board.NAME,
            startup.log_budget(self.settings["log_bytes"], LOG_FOLDER),
            alive=self._watchdog.feed,
        )
        self._led = None
        if board.LED_PIN is not None:
            self._led = machine.Pin(board.LED_PIN, machine.Pin.OUT, value=1 - board.LED_ON)
        self._motor = startup.make_motor()
        self._cues = CuePlayer(self._motor, self._set_led, self.clock.uptime_ms, self._on_fault)
        self._pace = None
        self.day_count = DayCount(self.logbook.counts()[BACKWARD])
        # Made when the first one begins.
        self._calibration = None
        # The 3-metre test that is under way; the record of the last one, until the next begins.
        self.test = self.tested = None
        self._plan = None
        self.apply_settings(("plan",))
        self._wear = WearWatch()
        self._clip_doubted = startup.exists(_DOUBT)
        if self._clip_doubted:
            self._pipeline.doubt_clip()
        self._cue_policy = CuePolicy(self._clip_known())
        button_pin = boards.button_pin()
        self._button = Button(button_pin, self._on_presses, self._on_hold)
        charging, self._meter = startup.power_meters()
        int_pin = None
        if board.IMU_INT_PIN is not None:
            int_pin = machine.Pin(board.IMU_INT_PIN, machine.Pin.IN)
        self._sample_clock = None
        self.imu = None
        self.power = Power(
            self.settings,
            self.clock.uptime_ms,
            self._button,
            button_pin,
            int_pin,
            charging,
            self._busy,
            lambda: self.radio.busy,
        )
        self.radio = Windows(
            self, self.clock.uptime_ms, self._cues.play, charging and (lambda: self.power.charged)
        )
        self._rests = int_pin is not None
        self._sampler = Sampler(
            self._start_imu,
            self.power.may_sleep,
            self.power.nap,
            self._on_block,
            self._on_gap,
            self._on_fault,
            self.clock.uptime_us,
        )
        self._link = CableLink(self)
        self._updater = None
        self._restart_wanted = False
        startup.recall_time(self.clock, self.logbook)
        startup.tell_crash(self.logbook)
        self._woken_by_timer = startup.woken_by_timer()
        if self._woken:
            self.radio.wake(self._woken_by_timer)

    def _busy(self):
        """Whether anything would suffer if the CPU slept now."""
        return bool(
            self._safe
            or self._cues.active
            or self._button.busy
            or self._pace
            or self.test
            or self._updater
            or self._restart_wanted
            or (self._calibration and self._calibration.active)
        )

    def _clip_known(self):
        return (self._mounting is not None and not self._clip_doubted) or self._pipeline.placement == "pocket"

    def _on_presses(self, presses):
        try:
            load_seldom("gestures").act(self, presses)
        except MemoryError:
            print("app: too little memory for %d presses" % presses)
            self._cues.play("error")

    def _on_hold(self):
        self.power.note_press()
        self.radio.open_pairing()

    def _doubt_clip(self, doubted):
        """Whether the wearer has to say that the clip sits as it should; kept through resets."""
        if doubted != self._clip_doubted:
            self._clip_doubted = doubted
            mark(_DOUBT, doubted)
        self._cue_policy.trust(self._clip_known())

    def _need_samples(self):
        """Raises ValueError if none come: what waits for the wearer to move would wait for ever."""
        if self._safe or self._sampler.failures:
            raise ValueError("nothing is measured: safe mode, or the sensor fails; restart the device")

    def _keep_baseline(self):
        baseline = self._pipeline.take_baseline()
        if baseline:
            try:
                write_atomically(self.BASELINE, baseline)
            except OSError as full:
                print("app: what is usual for the wearer could not be stored:", full)

    def apply_settings(self, names):
        """A host has changed these settings: tell whoever keeps one (but those of setting_rules.AT_START)."""
        load_seldom("applying").apply(self, names)

    @property
    def cable_used(self):
        """Whether a host has spoken at the cable."""
        return self._link.used

    def status(self):
        """The values of protocol.fields()."""
        return load_seldom("status").values(self)

    def calibrate(self, action):
        """Carry out a CALIBRATE request; returns the answer's body. Raises ValueError if it can't be."""
        return load_seldom("answers").calibrate(self, action)

    def keep_time(self):
        """A host told the time."""
        load_seldom("answers").keep_time(self)

    def walk_test(self, action):
        """Carry out a WALK_TEST request; returns the answer's body. Raises ValueError if it can't be."""
        return load_seldom("answers").walk_test(self, action)

    def _set_led(self, on):
        if self._led:
            self._led.value(board.LED_ON if on else 1 - board.LED_ON)

    def _start_imu(self):
        woken, self._woken = self._woken, False
        if self.imu is None:
            self.imu = self._driver(boards.i2c_bus(), board.IMU_ADDRESS)
            self._sample_clock = SampleClock(self.imu.period_ns)
        if not (woken and load_seldom("rest").resume(self.imu)):
            self.imu.start(self.imu.WATERMARK)
        return self.imu

    def _on_block(self, imu, count, looked_us):
        self._pipeline.process(imu.samples, count)
        # Samples that still wait in the FIFO are newer than this block.
        self._sample_clock.observe(self._pipeline.sample_index + imu.waiting - 1, looked_us)
        self._take_results()
        self._link.raw_block(imu.first_index, imu.samples, count)
        calibration = self._calibration
        if calibration and calibration.active and calibration.process(imu.samples, count):
            load_seldom("mountings").follow_calibration(self)
        if self._wear.process(imu.samples, count) and self._pipeline.doubt_clip():
            # Taken off: when walking begins again, the wearer is asked whether it sits as it did.
            self._doubt_clip(True)
        if self.test is not None:
            self.test.process(imu.samples, count, self._pipeline.sample_index)
            if self.test.judge(self._sample_clock.ms_at, self.clock.uptime_ms()):
                self.test.finish(self)
        self.logbook.flush_if_due()

    def _take_results(self):
        for contact_index, _, direction, confidence, stability in self._pipeline.take_steps():
            contact_ms = max(self._sample_clock.ms_at(contact_index), 0)
            self.logbook.add_step(contact_ms, direction, confidence, stability)
            self.power.note_step(contact_ms)
            if self.test is not None:
                self.test.take_step(contact_index, contact_ms, direction, stability)
            if self._plan is not None:
                pattern = self._plan.take_step(contact_ms, direction)
                shape = "." * self._plan.quarters if pattern == "progress" else ""
                if pattern and self.test is None and self._cues.play(pattern, shape):
                    self._note_cue(contact_ms, pattern)
            self._link.live_step(contact_ms, direction, confidence, stability)
            self.radio.live_step(contact_ms, direction, confidence, stability)
        for index, kind, detail in self._pipeline.take_events():
            if kind == "bout_closed":
                direction, steps, first_index, last_index, stability = detail
                first_ms, last_ms = (
                    self._sample_clock.ms_at(first_index),
                    self._sample_clock.ms_at(last_index),
                )
                self.logbook.add_bout(direction, stability, steps, max(first_ms, 0), max(last_ms, 0))
                self.radio.note_bout(last_ms - first_ms)
                self._keep_baseline()
                self._set_pace(0)
            elif kind in steplog.EVENTS:
                at_ms = max(self._sample_clock.ms_at(index), 0)
                self.logbook.add_event(at_ms, steplog.EVENTS.index(kind), min(detail or 0, 100))
            if kind == "wrong_clip":
                self._doubt_clip(True)
            if (self.test or (self._calibration and self._calibration.active)) and kind not in _DANGERS:
                # A buzz would disturb the wearer, and shake the clip.
                continue
            self._cue(max(self._sample_clock.ms_at(index), 0), kind, detail)
            if kind == "bout_opened" and detail == BACKWARD and self.settings["pace_per_min"]:
                self._set_pace(self.settings["pace_per_min"])

    def _cue(self, at_ms, kind, detail=None):
        """Let the wearer feel what happened at that uptime, if the policy wants it."""
        pattern = self._cue_policy.on_event(at_ms, kind, detail)
        if pattern is not None and self._cues.play(pattern):
            self._note_cue(at_ms, pattern)

    def _note_cue(self, at_ms, pattern):
        """The wearer felt a pattern for what happened at `at_ms`: log it, tell who listens."""
        number = steplog.PATTERNS.index(pattern)
        self.logbook.add_cue(at_ms, number)
        self._link.live_cue(at_ms, number)
        self.radio.live_cue(at_ms, number)

    def _set_pace(self, steps_per_min):
        """Beat so many steps a minute from now on; 0: no more."""
        if self._pace:
            self._pace.cancel()
            self._pace = None
        if not steps_per_min:
            return
        try:
            beat = load_seldom("metronome").beat(self._cues, self.clock.uptime_ms, steps_per_min)
            self._pace = asyncio.create_task(beat)
        except MemoryError:
            print("app: too little memory for the pace")

    def _on_gap(self):
        """Samples are missing: settle what is known with the times known so far, then start anew."""
        if self.test is not None:
            self.test.finish(self, "samples_lost")
        self._pipeline.restart()
        if self._sample_clock is not None:
            self._take_results()
            self._sample_clock.restart()

    def _on_fault(self, kind, count):
        print("app: fault: %s (%d)" % (steplog.FAULTS[kind], count))
        self.logbook.add_fault(kind, count)
        if kind in (steplog.FAULT_SILENT, steplog.FAULT_WRONG_PART):
            self._cue(self.clock.uptime_ms(), "error")

    def _battery_mv(self):
        return self._meter() if self._meter else 0

    def buzz(self, name):
        """Play a pattern of steplog.PATTERNS."""
        self._cues.play(name)

    def identify(self):
        """Buzz so that the wearer knows which device this is."""
        self._cues.play("identify")

    def update(self, body):
        """Carry out an UPDATE request; returns the answer's body. Raises ValueError if it can't be."""
        if self._updater is None:
            gc.collect()
            self._updater = load_seldom("update").Updater(self.settings["update_key"], self._want_restart)
        self._updater.heard_ms = self.clock.uptime_ms()
        return self._updater.answer(body)

    def _want_restart(self):
        self._restart_wanted = True

    async def _housekeeping(self):
        """Flush in time even while no samples come; log the battery; after a healthy minute forget crashes.

        Feeds the watchdog: whatever keeps this task from running for long is a hang.
        """
        healthy = trusted = self._safe
        battery_due_ms = 0
        look_ms = self.clock.uptime_ms() + _BATTERY_LOOK_MS
        empty_looks = failures = 0
        while True:
            self._watchdog.feed()
            if self._safe and self._led:
                self._set_led(self._led.value() != board.LED_ON)
            await asyncio.sleep_ms(_HOUSEKEEPING_MS)
            try:
                self.logbook.flush_if_due()
                self.logbook.remove_erased()
                self.power.tick()
                self.radio.tick()
                if self.clock.uptime_ms() >= battery_due_ms:
                    battery_due_ms = self.clock.uptime_ms() + _BATTERY_MS
                    if self._is_below(self.note_battery(), "low_battery_mv"):
                        self._cue(self.clock.uptime_ms(), "low_battery")
                if self.clock.uptime_ms() >= look_ms:
                    look_ms = self.clock.uptime_ms() + _BATTERY_LOOK_MS
                    # A buzz, or the radio, pulls the voltage down for a moment.
                    empty = self._is_below(self._battery_mv(), "empty_battery_mv")
                    empty_looks = empty_looks + 1 if empty else 0
                    if empty_looks >= _EMPTY_LOOKS and self._may_shut_down():
                        load_seldom("rest").shut_down(self)
                if self._is_still() and self.power.may_sleep():
                    load_seldom("rest").lie_still(self)
                self._follow_local_time()
                if not healthy and self.clock.uptime_ms() >= _HEALTHY_AFTER_MS:
                    machine.RTC().memory(b"")
                    healthy = True
                if self._updater and self.clock.uptime_ms() >= self._updater.heard_ms + _UPDATE_IDLE_MS:
                    self._updater.close()
                    self._updater = None
                if not trusted and self._measured_ms() >= _TRUSTED_AFTER_MS:
                    trusted = self._trust_application()
                failures = 0
            except (MemoryError, OSError) as error:
                # A second later there may be room; what never works is ended by a restart.
                failures += 1
                if failures >= _MOST_FAILURES:
                    raise
                print("app: housekeeping:", error)
                gc.collect()
            if self._restart_wanted and self.test is None:
                # The answer to whoever asked for it is on its way.
                await asyncio.sleep_ms(_HOUSEKEEPING_MS)
                self.close()
                machine.reset()

    def _may_shut_down(self):
        """Whether the battery, which is empty, is all there is, and nothing is under way that must not be cut."""
        return not (self.power.fed or self.radio.busy or self._updater or self._restart_wanted)

    def _trust_application(self):
        """True: /slots says that what runs here is the good application."""
        try:
            given_up = load_seldom("slots").confirm()
        except OSError as full:
            print("app: the application stays on trial:", full)
            return False
        if given_up:
            self.logbook.add_crash(1, b"update in slot %s was given up" % given_up.encode())
        return True

    def note_battery(self):
        """Log the battery's voltage and what the states have cost so far; returns the voltage in mV, 0: unknown."""
        battery_mv = self._battery_mv()
        if self._meter:
            spent = self.power.light_sleep_ms, self.power.radio_ms, self._cues.buzzed_ms
            self.logbook.add_battery(battery_mv, *spent)
        return battery_mv

    def _is_below(self, battery_mv, setting):
        return _NO_BATTERY_MV < battery_mv < self.settings[setting]

    def _is_still(self):
        """Whether the device has been taken off for so long that it may sleep deeply."""
        after_min = self.settings["still_after_min"]
        if not (self._rests and after_min and not self._sampler.failures):
            return False
        samples = _REST_AGAIN_SAMPLES if self._woken_by_timer else after_min * _SAMPLES_A_MINUTE
        return self._wear.quiet_samples >= samples

    def _follow_local_time(self):
        """See whether a new day has begun, and whether these are quiet hours; while the clock is unset, neither."""
        utc_ms = self.clock.utc_ms()
        if utc_ms is None:
            return
        local_ms = utc_ms + self.settings["utc_offset_min"] * 60_000
        now = "%02d:%02d" % divmod(local_ms // 60_000 % 1440, 60)
        self._cues.hushed = in_quiet_hours(now, self.settings["quiet_from"], self.settings["quiet_to"])
        self.day_count.observe(local_ms, self.clock.uptime_ms(), self.logbook.counts()[BACKWARD])

    def _measured_ms(self):
        """For how long samples have come."""
        return self._pipeline.sample_index * 1_000_000 // self._rate_millihz if self._pipeline else 0

    async def run(self):
        """Run until a task fails; its exception passes through."""
        await asyncio.gather(
            *([] if self._safe else [self._sampler.run()]),
            self._cues.run(),
            self._link.run(),
            self._button.run(),
            self._housekeeping(),
        )

    def close(self):
        """Settle the last steps, make the log durable, switch motor, light and radio off: before a planned end."""
        # What the last steps call for is not felt: nobody would end the buzz.
        self._cues.strength = 0
        try:
            if self._pipeline is not None and self._sample_clock is not None:
                self._pipeline.flush()
                self._take_results()
        finally:
            # Whatever fails: the steps in RAM are not its victims, and the end comes all the same.
            self._set_led(False)
            for end in (self.logbook.close, self._motor.stop, self.radio.close):
                try:
                    end()
                except (OSError, MemoryError) as error:
                    print("app: while it ends:", error)


def run(safe=False):
    """Start the device and run it; safe: without the sensor.

    KeyboardInterrupt and crashes pass through, after the log is closed.
    """
    print("Retrostep %s on %s" % (VERSION, board.NAME))
    device = Device(safe)
    # It has run for the only time, and its code takes more room than any other's.
    delattr(Device, "__init__")
    gc.collect()
    gc.threshold(_COLLECT_EVERY_BYTES)
    try:
        asyncio.run(device.run())
    finally:
        # Ctrl-C leaves asyncio.run() without cancelling any task: closing is done here, not in a task.
        device.close()
        asyncio.new_event_loop()
