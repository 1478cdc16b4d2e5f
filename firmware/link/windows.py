"""When the radio is on. It is off most of the day: it opens in windows, and is loaded for the first of them.

    button held 3 s, or PAIR   60 s; one host may pair
    after a walk               30 s, once somebody who walked radio_after_walk_min in all has rested for a minute
    every radio_every_min      30 s
    put on the charger         30 s, where the board can tell

The Wi-Fi's visits (visits.py) are between windows: one is put off while the other lasts, but a held button ends a
visit.

In the windows without a button nobody can pair, and they open only if there is a host that was paired: a device that
never was costs nothing. radio.py adds a minute after each link to a trusted host, so that a dropped sync goes on.
"""

import asyncio
import gc
import os

from micropython import const

from firmware import load_seldom

WINDOW_MS = 60_000
QUIET_WINDOW_MS = 30_000
# After a link to a trusted host, so that a dropped sync goes on.
RESUME_MS = 60_000
# A peer that is not trusted by then is sent away, and so is one that asks for nothing in so long.
TRUST_MS = 10_000
IDLE_MS = 120_000
_BONDS = "/bonds.json"
# Collecting often while modules load keeps what stays together, as in main.py.
_COLLECT_EVERY_BYTES = const(4096)
_MINUTE_MS = const(60_000)
_DAY_MS = const(86_400_000)
_LEAST_REST_MS = const(1000)


class Windows:
    """device: see Session. now_ms: uptime function. play(pattern): as CuePlayer has it. charging() or None."""

    def __init__(self, device, now_ms, play, charging):
        self._device = device
        self._now_ms = now_ms
        self._play = play
        self._bonds = None
        self._radio = None
        self._charging = charging
        self._charged = bool(charging and charging())
        self._walked_ms = 0
        self._step_ms = 0
        self._window_ms = 0
        self._visits = None
        self._woken = False

    def note_bout(self, duration_ms):
        """Somebody has walked for so long."""
        self._walked_ms += duration_ms

    def due(self):
        """Whether a window opens by itself now. To be asked about once a second."""
        settings = self._device.settings
        now_ms = self._now_ms()
        charged, self._charged = self._charged, bool(self._charging and self._charging())
        after_min = settings["radio_after_walk_min"]
        every_min = settings["radio_every_min"]
        if (
            (self._charged and not charged)
            or (
                after_min
                and self._walked_ms >= after_min * _MINUTE_MS
                and now_ms - self._step_ms >= _MINUTE_MS
            )
            or (every_min and now_ms - self._window_ms >= every_min * _MINUTE_MS)
        ):
            self._walked_ms = 0
            self._window_ms = now_ms
            return True
        return False

    def _load_bonds(self):
        if self._bonds is None:
            from firmware.link.bonds import Bonds

            self._bonds = Bonds(_BONDS)
        return self._bonds

    def _load(self):
        """The radio, loaded at its first use; None, with the reason printed, if it can't be."""
        if self._radio is None:
            gc.collect()
            threshold = gc.threshold()
            gc.threshold(_COLLECT_EVERY_BYTES)
            try:
                for name in ("packets", "cadence", "peer", "trust"):
                    __import__("firmware.link." + name)
                    gc.collect()
                from firmware.link.radio import RadioLink

                self._radio = RadioLink(self._device, self._load_bonds(), self._now_ms, self._play)
            except MemoryError:
                gc.collect()
                print("radio: off, too little memory just now; hold the button again")
                return None
            finally:
                gc.threshold(threshold)
            self._task = asyncio.create_task(self._radio.run())
        return self._radio

    def _unload(self):
        """Unload the radio, which is closed; False: it was not loaded. What goes is gone after a turn of the loop."""
        unload_radio = load_seldom("link.unloading").unload_radio
        if self._radio is not None:
            self._task.cancel()
            self._radio = self._task = None
        if self._bonds is not None and not self._bonds.changed:
            # Those that could not be stored are kept.
            self._bonds = None
        return unload_radio(self._device.cable_used)

    @property
    def busy(self):
        """Whether Bluetooth or Wi-Fi is on, or about to be."""
        return bool(self._radio and self._radio.busy) or bool(self._visits and self._visits.busy)

    def wake(self, by_timer):
        """The device lay in deep sleep. by_timer: nobody walks; what was due may begin at once."""
        self._woken = True
        if by_timer:
            self._step_ms = -_MINUTE_MS
            self._window_ms = -_DAY_MS

    def due_in_ms(self):
        """After how long a window or a visit is due by itself; None: never."""
        every_min = self._device.settings["radio_every_min"]
        waits_ms = [every_min * _MINUTE_MS] if every_min else []
        if self._visits:
            waits_ms.append(max(self._visits.left_ms(), _LEAST_REST_MS))
        return min(waits_ms) if waits_ms else None

    def open_pairing(self):
        """Let one host pair for a minute: the button was held, or a host that is trusted asks for it."""
        if self._visits and self._visits.end(self.open_pairing):
            return
        radio = self._load()
        if radio:
            radio.open_window(True)

    def tick(self):
        """To be called about once a second."""
        if self._visits is None and self._device.settings["wifi"]:
            self._visits = load_seldom("visits").Visits(
                self._device, self._now_ms, self._charging, self._unload, self._woken
            )
        if self._visits and self._visits.under_way(self._step_ms, self._radio and self._radio.busy):
            return
        if self.due() and self._anybody():
            radio = self._load()
            if radio:
                radio.open_window(False)
        if self._radio:
            self._radio.tell_cadence()

    def _anybody(self):
        """Whether a host has been paired: else nobody could use a window without pairing."""
        if self._bonds is None:
            try:
                os.stat(_BONDS)
            except OSError:
                return False
        return bool(self._load_bonds())

    def peers(self):
        """The key of each bonded host, the one that came first in front."""
        return self._load_bonds().peers()

    def forget(self, peer):
        """Remove a host's bond and end its link, if it has one. Raises OSError if that can't be stored."""
        bonds = self._load_bonds()
        bonds.forget(peer)
        bonds.save()
        if self._radio:
            self._radio.dismiss(peer)

    def live_cue(self, at_ms, pattern):
        """Tell a listening host of a pattern (index) that was played."""
        if self._radio:
            from firmware.link.session import Session

            self._radio.live(Session.live_cue(at_ms, pattern))

    def live_step(self, contact_ms, direction, confidence, stability):
        """A step was settled: tell a listening host."""
        self._step_ms = contact_ms
        if self._radio:
            from firmware.link.session import Session

            self._radio.cadence.add_step(contact_ms)
            self._radio.live(Session.live_step(contact_ms, direction, confidence, stability))

    def close(self):
        """Switch the radio off: before a planned end of the app."""
        if self._radio:
            self._radio.close()
