"""What the wearer feels: which event makes which vibration pattern, and the player that plays it.

Patterns have names: those of steplog.PATTERNS, by whose numbers the log knows them. `CuePolicy` is pure: events of
the gait pipeline in, names out; replay on a laptop runs the same one. `CuePlayer` plays patterns on a motor and an
LED without blocking anybody.
"""

import asyncio

from micropython import const

from firmware.gait.direction import BACKWARD
from firmware.steplog import PATTERNS

# The shapes, in the order of PATTERNS: a buzz of 100 ms, 200 ms, 400 ms or 800 ms is . - = or #; a blank is a longer
# pause. A bare motor needs about 50 ms to spin up, so nothing much shorter than a dot is felt.
_SHAPES = (
    "-",
    "--=",
    "....",
    "= ..",
    "=",
    "..",
    ".=",
    "..=",
    "==",
    "== ==",
    "---",
    ".",
    ".-.-=",
    "--",
    ".-",
    "=-.",
    "-=-",
    ".",
    "=",
    "#.",
    ". -",
    "- .",
    "",
    "=.",
    ".-=",
)
_BUZZ_MS = {".": 100, "-": 200, "=": 400, "#": 800}
_PAUSE_MS = const(100)
_LONG_PAUSE_MS = const(250)
_OF_STABILITY = {
    "stumble": "unstable",
    "unstable": "unstable",
    "fall": "fall",
    "changed_gait": "changed_gait",
}
_QUEUE_LENGTH = 4
# Asking for a calibration at every bout would be a nag: once in half an hour of samples.
_ASK_AGAIN_SAMPLES = 30 * 60 * 104


class CuePolicy:
    """Decides which pattern an event of the pipeline deserves.

    calibrated: whether the mounting is known, or need not be (in a pocket).
    """

    def __init__(self, calibrated):
        self._calibrated = calibrated
        self._ask_at = 0

    def on_event(self, index, kind, detail):
        """Name of the pattern, or None. Arguments as Pipeline.take_events() gives them."""
        if kind == "bout_opened" and detail == BACKWARD:
            return "backward_started"
        if kind in _OF_STABILITY:
            return _OF_STABILITY[kind]
        wanted = kind == "wrong_clip" or (kind == "bout_opened" and not self._calibrated)
        if wanted and index >= self._ask_at:
            self._ask_at = index + _ASK_AGAIN_SAMPLES
            return "calibration_wanted"
        return None


class CuePlayer:
    """motor: has run(percent) and stop(). set_led(on): function. strength: %, 0 = no vibration."""

    def __init__(self, motor, set_led, strength):
        self._motor = motor
        self._set_led = set_led
        self.strength = strength
        self._waiting = []
        self._wake = asyncio.Event()

    def play(self, name):
        """Queue a pattern of steplog.PATTERNS; True if it will be felt.

        Where too many wait it is dropped: late cues only confuse.
        """
        if len(self._waiting) >= _QUEUE_LENGTH:
            return False
        self._waiting.append(_SHAPES[PATTERNS.index(name)])
        self._wake.set()
        return self.strength > 0

    async def run(self):
        """Play what is queued, for ever. Cancelling stops motor and LED."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    for sign in self._waiting.pop(0):
                        if sign != " ":
                            self._motor.run(self.strength)
                            self._set_led(True)
                            await asyncio.sleep_ms(_BUZZ_MS[sign])
                            self._motor.stop()
                            self._set_led(False)
                        await asyncio.sleep_ms(_LONG_PAUSE_MS if sign == " " else _PAUSE_MS)
        finally:
            self._motor.stop()
            self._set_led(False)
