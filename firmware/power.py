"""How the device saves its battery: when the CPU may sleep, how fast it runs, how long each state has lasted.

    walking     light sleep between two looks into the FIFO, woken by its watermark: a cue is not late
    idle        after a minute without a step the same, but woken only before the FIFO is full
    still       taken off for `still_after_min`: deep sleep, the sensor watches for motion (rest.py)
    awake       whatever would suffer: radio, motor, light, button, a calibration, a test, an update, a computer at
                the cable, a charger; and in any case the first ten seconds after a start and a minute after a press

In light sleep nothing is lost: what happens is in the FIFO when the CPU wakes. The setting `sleep` is "auto": only
where the board can tell that no computer is at its USB cable, which would lose it; "always"; or "never".
"""

import esp32
import machine
from micropython import const

from firmware.usb import UsbHost

_AWAKE_AFTER_START_MS = const(10_000)
_AWAKE_AFTER_PRESS_MS = const(60_000)
_IDLE_AFTER_MS = const(60_000)
# How long an idle CPU sleeps at most: cues of what begins then are late by so much.
_IDLE_NAP_MS = const(1000)
# Enough for the gait code many times over, and half the current.
_SLOW_HZ = const(80_000_000)


class Power:
    """settings: has "sleep"; now_ms: uptime function; button: Button; button_pin, int_pin: machine.Pin (int_pin: or
    None); charging: function or None; busy(): whether anything would suffer from a sleeping CPU; radio_on().

    charged: what charging() said a second ago. light_sleep_ms, radio_ms: how long these lasted since the start.
    """

    def __init__(self, settings, now_ms, button, button_pin, int_pin, charging, busy, radio_on):
        self._settings = settings
        self._now_ms = now_ms
        self._button = button
        self._button_pin = button_pin
        self._int_pin = int_pin
        self._charging = charging
        self.charged = bool(charging and charging())
        self._busy = busy
        self._radio_on = radio_on
        self._usb = UsbHost()
        self._fast_hz = machine.freq()
        self._awake_until_ms = now_ms() + _AWAKE_AFTER_START_MS
        self._ticked_ms = self._step_ms = now_ms()
        self._armed = None
        self.light_sleep_ms = self.radio_ms = 0

    def note_step(self, at_ms):
        """Somebody walks."""
        self._step_ms = at_ms

    def note_press(self):
        """The button was pressed: whoever did that may want the cable."""
        self._awake_until_ms = self._now_ms() + _AWAKE_AFTER_PRESS_MS

    def may_sleep(self):
        """Whether the CPU may stop now, for a short time or a long one."""
        wanted = self._settings["sleep"]
        attached = self._usb.attached
        if attached is None and self._charging:
            # Without power at USB there is no computer at it.
            attached = self.charged
        return not (
            wanted == "never"
            or attached
            or (attached is None and wanted != "always")
            or self._now_ms() < self._awake_until_ms
            or self.charged
            or self._radio_on()
            or self._busy()
        )

    @property
    def fed(self):
        """Whether the board has power from elsewhere than its battery, as far as anybody can tell."""
        return self.charged or bool(self._usb.attached)

    def nap(self, imu):
        """Light sleep until the sensor has a block, if that may be; False: not slept, or woken by the button.

        The block is one of imu.watermark samples, or, while nobody walks, as many as are safe in its FIFO.
        """
        if not self.may_sleep():
            return False
        started_ms = self._now_ms()
        samples = imu.watermark
        by_pin = self._int_pin is not None
        if started_ms - self._step_ms >= _IDLE_AFTER_MS:
            samples = max(samples, imu.FIFO_SAMPLES * 6 // 10)
            by_pin = False
        self.arm(by_pin)
        wait_ms = samples * (imu.period_ns // 1000) // 1000
        machine.lightsleep(min(2 * wait_ms if by_pin else wait_ms, _IDLE_NAP_MS))
        self.light_sleep_ms += self._now_ms() - started_ms
        if self._button_pin.value():
            return True
        # In light sleep its edge was lost. While it is held down, sleep ends at once: there is no block yet.
        self._button.wake()
        return False

    def arm(self, by_pin):
        """The button wakes the CPU; so does the sensor's interrupt, if by_pin."""
        if by_pin == self._armed:
            return
        self._armed = by_pin
        esp32.wake_on_ext0(self._button_pin, 0)
        esp32.wake_on_ext1((self._int_pin,) if by_pin else (), esp32.WAKEUP_ANY_HIGH)

    def tick(self):
        """To be called about once a second."""
        now_ms = self._now_ms()
        passed_ms, self._ticked_ms = now_ms - self._ticked_ms, now_ms
        self._usb.look()
        self.charged = bool(self._charging and self._charging())
        on = self._radio_on()
        if on:
            self.radio_ms += passed_ms
        wanted_hz = self._fast_hz if on or not self.may_sleep() else _SLOW_HZ
        if machine.freq() != wanted_hz:
            machine.freq(wanted_hz)
