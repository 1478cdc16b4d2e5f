"""What the wearer feels: which event makes which vibration pattern, and the player that plays it.

Patterns have names: those of steplog.PATTERNS, by whose numbers the log knows them. `CuePolicy` is pure: events of
the gait pipeline in, names out; replay on a laptop runs the same one. `CuePlayer` plays patterns on a motor and an
LED without blocking anybody. docs/wearing.md tells the wearer what each of them means.
"""

import asyncio

from micropython import const

from firmware.gait.direction import BACKWARD
from firmware.steplog import FAULT_MOTOR_SILENT, PATTERNS

# In the order of PATTERNS: a priority, then the shape. Priorities: 0 information, 1 goal, 2 pace, 3 an answer to what
# the wearer just did, 4 slow down, 5 unstable. In a shape . - = # are buzzes of 100, 200, 400 and 800 ms with a pause
# of 100 ms behind each; a blank makes the pause longer. A bare motor needs about 50 ms to spin up, so nothing much
# shorter than a dot is felt. One text, split when it is used, takes a quarter of the room of a tuple.
_FORMS = (
    "0-,3--=,3....,0= ..,3=,3..,3.=,3..=,"
    "5==,5== ==,4---,2.,1.-.-=,0--,3.-,0=-.,0-=-,"
    "3.,3=,3#.,0. -,0- .,3,3=.,3.-=,0-- "
)
_ANSWER = "3"
_BUZZ_MS = {".": 100, "-": 200, "=": 400, "#": 800}
_PAUSE_MS = const(100)
_LONG_PAUSE_MS = const(250)
_QUEUE_LENGTH = const(4)
# What could not begin for so long is no longer true.
_STALE_MS = const(5000)
_RETRY_STOP_MS = const(100)
_RETRY_MOTOR_MS = const(10_000)

_HOUR_MS = const(3_600_000)
# Unstable: not again so soon, nor more often in an hour, unless it is stronger by so much than the last one felt.
_UNSTABLE_AGAIN_MS = const(5000)
_UNSTABLE_AN_HOUR = const(12)
_STRONGER = const(20)
# Other patterns that would nag if each of their reasons were felt.
_AGAIN_MS = {
    "calibration_wanted": 1_800_000,
    "changed_gait": 600_000,
    "low_battery": 3_600_000,
    "error": 600_000,
    "fall": 10_000,
}


def _form(name):
    return _FORMS.split(",")[PATTERNS.index(name)]


def in_quiet_hours(now, quiet_from, quiet_to):
    """Whether "HH:MM" is in [quiet_from, quiet_to), which may span midnight; never if the two are alike."""
    return (now >= quiet_from) + (now < quiet_to) + (quiet_from > quiet_to) > 1


class CuePolicy:
    """Decides which pattern an event deserves, and keeps it from nagging.

    calibrated: whether the mounting is known, or need not be (in a pocket). at_ms: uptime, or any clock that only
    goes forward.
    """

    def __init__(self, calibrated):
        self._calibrated = calibrated
        self._again_ms = {}
        # Unstable: not before this time, what was felt last, and what is left until the hour is over.
        self._quiet_ms = self._strength = self._left = self._hour_ms = 0

    def trust(self, calibrated):
        """The mounting has become known, or doubtful: from now on that holds, and may be asked for at once."""
        self._calibrated = calibrated
        self._again_ms.pop("calibration_wanted", None)

    def on_event(self, at_ms, kind, detail=None):
        """Name of the pattern, or None. kind, detail: as Pipeline.take_events() gives them; or "error" and such."""
        if kind == "unstable" or kind == "stumble":
            return self._on_unstable(at_ms, detail or 0)
        if kind == "bout_opened":
            if detail == BACKWARD:
                return "backward_started"
            if self._calibrated:
                return None
            kind = "calibration_wanted"
        elif kind == "bout_closed":
            return "backward_ended" if detail[0] == BACKWARD else None
        elif kind == "wrong_clip":
            kind = "calibration_wanted"
        if kind not in _AGAIN_MS or at_ms < self._again_ms.get(kind, 0):
            return None
        self._again_ms[kind] = at_ms + _AGAIN_MS[kind]
        return kind

    def _on_unstable(self, at_ms, strength):
        if at_ms < self._quiet_ms and strength < self._strength + _STRONGER:
            return None
        if at_ms >= self._hour_ms:
            self._hour_ms = at_ms + _HOUR_MS
            self._left = _UNSTABLE_AN_HOUR
        self._left -= 1
        self._strength = strength
        self._quiet_ms = at_ms + _UNSTABLE_AGAIN_MS if self._left > 0 else self._hour_ms
        return "unstable"


class CuePlayer:
    """Plays one pattern at a time; a more urgent one ends it at once, others wait for it.

    A pattern that was interrupted is gone: half a message, told late, would be another message. One that waited for
    five seconds is gone, too. The light tells every pattern, also what may not vibrate.

    motor: has run(percent), stop() and standby(). They may raise OSError: then the light goes on alone, and the motor
    is tried again later. set_led(on), now_ms() (uptime), on_fault(kind, count) (told once, until it answers again):
    functions. `strength`: %, 0 = no vibration. `hushed`: quiet hours, in which only answers, and what is more urgent
    than they are, vibrate. `buzzed_ms`: how long the motor has run.
    """

    def __init__(self, motor, set_led, now_ms, on_fault):
        self._motor = motor
        self._set_led = set_led
        self._now_ms = now_ms
        self._on_fault = on_fault
        self.strength = 0
        self.hushed = False
        # What plays, "" = nothing.
        self.playing = ""
        self.buzzed_ms = 0
        self._at = self._due_ms = self._percent = 0
        self._buzzing = self._running = self._silent = False
        self._retry_ms = self._since_ms = 0
        self._waiting = []
        self._wake = asyncio.Event()

    def play(self, name, shape=""):
        """Play a pattern of steplog.PATTERNS, with `shape` behind its own; True if it will be felt."""
        form = _form(name) + shape
        now_ms = self._now_ms()
        waiting = self._waiting
        if not self.playing or form[0] > self.playing[0]:
            self._begin(form, now_ms)
            self._advance(now_ms)
        elif len(waiting) >= _QUEUE_LENGTH:
            return False
        else:
            at = len(waiting)
            while at and form[0] > waiting[at - 1][0][0]:
                at -= 1
            waiting.insert(at, (form, now_ms + _STALE_MS))
        self._wake.set()
        return self._percent_of(form) > 0 and not self._silent

    def update(self):
        """Do what is due; ms until something is due again, or -1 if nothing is."""
        now_ms = self._now_ms()
        self._advance(now_ms)
        wait_ms = self._due_ms - now_ms if self.playing else -1
        if self._running and not self._buzzing:
            # It was told to stop and did not hear.
            self._drive(0, now_ms)
            if self._running and not 0 <= wait_ms < _RETRY_STOP_MS:
                wait_ms = _RETRY_STOP_MS
        return wait_ms

    @property
    def active(self):
        """Whether motor or light are in use."""
        return bool(self.playing) or self._running

    async def run(self):
        """Play for ever. Cancelling stops motor and LED."""
        try:
            while True:
                wait_ms = self.update()
                if wait_ms < 0:
                    await self._wake.wait()
                else:
                    try:
                        await asyncio.wait_for_ms(self._wake.wait(), wait_ms)
                    except asyncio.TimeoutError:
                        pass
                self._wake.clear()
        finally:
            self._buzz(False, self._now_ms())

    def _percent_of(self, form):
        return 0 if self.hushed and form[0] < _ANSWER else self.strength

    def _begin(self, form, now_ms):
        self.playing = form
        self._at = 1
        self._due_ms = now_ms
        self._percent = self._percent_of(form)
        # What buzzes now goes over into the first buzz of this one.
        self._buzzing = False

    def _advance(self, now_ms):
        while self.playing and now_ms >= self._due_ms:
            if self._buzzing:
                self._buzz(False, now_ms)
                self._due_ms += _PAUSE_MS
            elif self._at < len(self.playing):
                sign = self.playing[self._at]
                self._at += 1
                if sign == " ":
                    self._due_ms += _LONG_PAUSE_MS
                else:
                    self._buzz(True, now_ms)
                    self._due_ms += _BUZZ_MS[sign]
            else:
                self.playing = ""
                while self._waiting and not self.playing:
                    form, stale_ms = self._waiting.pop(0)
                    if now_ms < stale_ms:
                        self._begin(form, now_ms)
                if not self.playing:
                    self._drive(-1, now_ms)

    def _buzz(self, on, now_ms):
        self._buzzing = on
        self._set_led(on)
        percent = self._percent if on else 0
        if on and percent:
            self._since_ms = now_ms
        elif self._running:
            self.buzzed_ms += now_ms - self._since_ms
        if percent or self._running:
            self._drive(percent, now_ms)

    def _drive(self, percent, now_ms):
        """Run the motor; 0: stop it; -1: nothing more to come."""
        if self._silent and not self._running and now_ms < self._retry_ms:
            return
        try:
            if percent > 0:
                self._motor.run(percent)
            elif percent:
                self._motor.standby()
            else:
                self._motor.stop()
        except OSError:
            self._retry_ms = now_ms + _RETRY_MOTOR_MS
            if not self._silent:
                self._silent = True
                self._on_fault(FAULT_MOTOR_SILENT, 1)
            return
        self._silent = False
        self._running = percent > 0
