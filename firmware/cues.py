"""What the wearer feels: which event makes which vibration pattern, and the player that plays it.

`CuePolicy` is pure: events of the gait pipeline in, pattern numbers out (indices into steplog.PATTERNS); replay on a
laptop runs the same one. `CuePlayer` plays patterns on a motor and an LED without blocking anybody.
"""

import asyncio

from firmware.gait.direction import BACKWARD
from firmware.steplog import PATTERNS

BACKWARD_STARTED = PATTERNS.index("backward_started")
IDENTIFY = PATTERNS.index("identify")
ERROR = PATTERNS.index("error")
CALIBRATION_WANTED = PATTERNS.index("calibration_wanted")
CALIBRATING = PATTERNS.index("calibrating")
WALK_NOW = PATTERNS.index("walk_now")
CALIBRATED = PATTERNS.index("calibrated")
PAIRING_OPEN = PATTERNS.index("pairing_open")

# Each pattern: (on ms, off ms) pairs, in the order of PATTERNS. A bare motor needs about 50 ms to spin up, so
# nothing shorter is felt.
_SHAPES = (
    ((120, 0),),
    ((200, 100), (200, 100), (400, 0)),
    ((60, 60), (60, 60), (60, 60), (60, 0)),
    ((400, 200), (80, 80), (80, 0)),
    ((400, 0),),
    ((80, 80), (80, 0)),
    ((120, 80), (400, 0)),
    ((60, 60), (60, 60), (400, 0)),
)
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
        """Pattern number, or None. Arguments as Pipeline.take_events() gives them."""
        if kind == "bout_opened" and detail == BACKWARD:
            return BACKWARD_STARTED
        wanted = kind == "wrong_clip" or (kind == "bout_opened" and not self._calibrated)
        if wanted and index >= self._ask_at:
            self._ask_at = index + _ASK_AGAIN_SAMPLES
            return CALIBRATION_WANTED
        return None


class CuePlayer:
    """motor: has run(percent) and stop(). set_led(on): function. strength: %, 0 = no vibration."""

    def __init__(self, motor, set_led, strength):
        self._motor = motor
        self._set_led = set_led
        self.strength = strength
        self._waiting = []
        self._wake = asyncio.Event()

    def play(self, pattern):
        """Queue a pattern; True if it will be felt. Where too many wait it is dropped: late cues only confuse."""
        if len(self._waiting) >= _QUEUE_LENGTH:
            return False
        self._waiting.append(pattern)
        self._wake.set()
        return self.strength > 0

    async def run(self):
        """Play what is queued, for ever. Cancelling stops motor and LED."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    for on_ms, off_ms in _SHAPES[self._waiting.pop(0)]:
                        self._motor.run(self.strength)
                        self._set_led(True)
                        await asyncio.sleep_ms(on_ms)
                        self._motor.stop()
                        self._set_led(False)
                        await asyncio.sleep_ms(off_ms)
        finally:
            self._motor.stop()
            self._set_led(False)
