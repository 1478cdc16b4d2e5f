"""A declared calibration, step by step: stand still for three seconds, then walk ten steps forward.

Blocks of samples in; `state` tells where it stands, `mounting` holds the result. Standing makes sure that the clip
sits quietly on an upright wearer before anything is learned; the axis itself is learned from the steps
(gait/mounting.py).
Nothing is learned from steps that nobody declared to be forward.
"""

import gc

from micropython import const

IDLE, STANDING, WALKING, DONE, FAILED = range(5)
STATES = ("idle", "standing", "walking", "done", "failed")
# The pattern (steplog.PATTERNS) that tells the wearer of each state.
_CUES = (None, "calibrating", "walk_now", "calibrated", "error")

_STAND_S = const(3)
_STAND_LIMIT_S = const(30)
_WALK_LIMIT_S = const(60)
# Someone who stands still sways by some mg and a few deg/s; a step is ten times that. Raw units.
_STILL_ACC = 120 * 1000 // 488
_STILL_GYR = 20 * 1000 // 70
_CHANNELS = const(6)


class Calibration:
    """One at a time; `start()` begins anew. placement: "waist" or "shoe". rate_millihz: of the samples."""

    def __init__(self, placement, rate_millihz=104_000):
        self._placement = placement
        self._rate_millihz = rate_millihz
        self._calibrator = None
        self._samples = 0
        self._still_samples = 0
        self.state = IDLE
        self.reason = ""
        self.mounting = None

    @property
    def active(self):
        """True while it waits for the wearer to stand or to walk."""
        return self.state in (STANDING, WALKING)

    @property
    def cue(self):
        """Name of the pattern that tells of the present state."""
        return _CUES[self.state]

    @property
    def steps(self):
        """Forward steps (at the shoe: strides) seen so far."""
        return self._calibrator.steps if self._calibrator else 0

    def start(self):
        """Begin: the wearer is asked to stand still. Raises ValueError where a calibration means nothing."""
        if self._placement == "pocket":
            raise ValueError("calibrate: a device in a pocket turns freely; expected placement waist or shoe")
        self.state = STANDING
        self.reason = ""
        self.mounting = self._calibrator = None
        self._samples = self._still_samples = 0

    def cancel(self):
        """Stop without a result; what was stored before stays."""
        self.state = IDLE
        self._calibrator = None

    def process(self, samples, count):
        """Take a block as Pipeline.process does; True if the state changed."""
        self._samples += count
        if self.state == STANDING:
            return self._stand(samples, count)
        if self.state == WALKING:
            return self._walk(samples, count)
        return False

    def _stand(self, samples, count):
        self._still_samples = self._still_samples + count if _still(samples, count) else 0
        if self._still_samples * 1000 >= _STAND_S * self._rate_millihz:
            self.state = WALKING
            self._samples = 0
            gc.collect()
            try:
                # Loaded only now: a device that is not calibrating has no heap to spare for it.
                from firmware.gait.calibrator import Calibrator

                self._calibrator = Calibrator(self._rate_millihz, self._placement)
            except MemoryError:
                self.state = FAILED
                self.reason = "too little memory just now: restart the device and calibrate at once"
            return True
        return self._late(_STAND_LIMIT_S, "never still for 3 s: stand still after the first buzz")

    def _walk(self, samples, count):
        calibrator = self._calibrator
        calibrator.process(samples, count)
        if calibrator.steps >= calibrator.steps_min:
            self.mounting = calibrator.mounting()
            if self.mounting:
                self.state = DONE
                self._calibrator = None
                return True
        return self._late(_WALK_LIMIT_S, calibrator.reason)

    def _late(self, limit_s, reason):
        if self._samples * 1000 < limit_s * self._rate_millihz:
            return False
        self.state = FAILED
        self.reason = reason
        self._calibrator = None
        return True


def _still(samples, count):
    """Whether no channel of the block moves by more than a standing person's sway."""
    for channel in range(_CHANNELS):
        low = high = samples[channel]
        for at in range(channel, _CHANNELS * count, _CHANNELS):
            value = samples[at]
            if value < low:
                low = value
            elif value > high:
                high = value
        if high - low > (_STILL_ACC if channel < 3 else _STILL_GYR):
            return False
    return True
