"""How ten steps forward teach the mounting.

The Calibrator finds it from at least STEPS_MIN steps declared to be forward (strides, at the shoe). At the shoe
forward is the mean of where the strides went. At the waist, over each step the horizontal acceleration is
correlated with the vertical velocity. Walking forward that correlation is negative along the direction of
travel and small across it, so the axis is minus the vector of correlations. (Sway, the largest horizontal
motion of many patients, does not correlate with the vertical at this frequency; that is why this works where
the principal component of the acceleration fails.)

Limits: the steps must really be forward, and walked: running turns the sign round.
"""

from array import array

from fixedpoint import ONE_Q14, isqrt, percent_of_root, percent_of_roots, unit_q14

from firmware.gait.mounting import Mounting
from firmware.gait.resample import Resampler
from firmware.gait.signals import (
    FORWARD_ACC,
    LEFT_ACC,
    S_FORWARD2,
    S_FORWARD_VELOCITY,
    S_LEFT2,
    S_LEFT_VELOCITY,
    S_VELOCITY2,
    S_VERTICAL2,
    VERTICAL_ACC,
    FrontEnd,
)
from firmware.gait.steps import StepDetector
from firmware.gait.walk import Walk

# A step is run, not walked, where the vertical rms exceeds 0.38 g (ring units) and the horizontal one is less than
# 60 percent of it.
_RUN_RMS = 195
_RUN_RATIO = 60


class Calibrator:
    """Learns a Mounting from a wearer who stands still for a moment and then walks forward.

    calibrator = Calibrator()
    calibrator.process(samples, count)      # as Pipeline.process
    if calibrator.steps >= Calibrator.STEPS_MIN: ...
    mounting = calibrator.mounting()        # None: see calibrator.reason
    """

    STEPS_MIN = 10
    # One foot makes every other step.
    STRIDES_MIN = 5
    # Steps whose axes agree perfectly give 100; random directions give about 100 / sqrt(steps).
    QUALITY_MIN = 40

    def __init__(self, rate_millihz=104000, placement="waist"):
        self._front = FrontEnd(Resampler(rate_millihz))
        self._front.attend(self._look, None, None)
        self._walk = Walk(self._front)
        self._detector = StepDetector(self._front, self._walk)
        self._strides = []
        self._tracker = None
        if placement == "shoe":
            from firmware.gait.shoe import StrideTracker

            self._tracker = StrideTracker(Resampler(rate_millihz), strides=self._strides)
        self.steps_min = self.STRIDES_MIN if self._tracker else self.STEPS_MIN
        self.steps = 0
        self.reason = "no steps yet: walk ten steps straight ahead"
        self._axis = [0, 0, 0]
        self._up = [0, 0, 0]
        self._weight = 0
        self._run_steps = 0

    def process(self, samples, count):
        if self._tracker:
            while self._tracker.advance(samples, count):
                pass
            while self._strides:
                self._learn_stride(*self._strides.pop())
            return
        self._front.advance(samples, count)

    def mounting(self):
        """The mounting learned so far, or None and the reason in `reason`."""
        while self._walk.waiting:
            self._learn(self._walk.take())
        if self.steps < self.steps_min:
            self.reason = "%d steps seen, expected at least %d: walk on straight ahead" % (
                self.steps,
                self.steps_min,
            )
            return None
        if self._run_steps * 4 > self.steps:
            self.reason = "this was running, expected walking: walk at your usual pace"
            return None
        up, forward = array("i", (0, 0, 0)), array("i", (0, 0, 0))
        unit_q14(self._up[0], self._up[1], self._up[2], up)
        length = unit_q14(self._axis[0], self._axis[1], self._axis[2], forward)
        quality = min(100, length // max(1, self._weight // 100))
        if quality < self.QUALITY_MIN:
            self.reason = (
                "the steps disagree about forward (quality %d, expected %d): "
                "fasten the clip and walk straight ahead" % (quality, self.QUALITY_MIN)
            )
            return None
        self.reason = ""
        return Mounting(up, forward, quality)

    def _look(self, _context, _state, news, _verdict):
        self._detector.feed(news)
        # The newest step may still be replaced by a larger peak.
        while self._walk.waiting > 1:
            self._learn(self._walk.take())
        return 0

    def _learn_stride(self, level, up):
        direction = array("i", (0, 0, 0))
        if not unit_q14(level[0], level[1], level[2], direction):
            return
        self.steps += 1
        self._add(direction, 100, up)

    def _learn(self, step):
        if not step.samples:
            return
        sums = step.sums
        self.steps += 1
        horizontal2 = (sums[S_FORWARD2] >> 2) + (sums[S_LEFT2] >> 2)
        if (
            isqrt(sums[S_VERTICAL2] // step.samples) > _RUN_RMS
            and percent_of_root(horizontal2, sums[S_VERTICAL2] >> 2) < _RUN_RATIO
        ):
            self._run_steps += 1
        direction = array("i", (0, 0, 0))
        length = unit_q14(-sums[S_FORWARD_VELOCITY], -sums[S_LEFT_VELOCITY], 0, direction)
        weight = percent_of_roots(
            length >> 2, (sums[S_FORWARD2] + sums[S_LEFT2]) >> 2, sums[S_VELOCITY2] >> 2
        )
        forward = self._front.axis(FORWARD_ACC)
        left = self._front.axis(LEFT_ACC)
        axis = [(direction[0] * forward[i] + direction[1] * left[i]) >> 14 for i in range(3)]
        self._add(axis, weight, self._front.axis(VERTICAL_ACC))

    def _add(self, axis, weight, up):
        for i in range(3):
            self._axis[i] += (axis[i] * weight) >> 7
            self._up[i] += up[i] >> 4
        self._weight += (ONE_Q14 * weight) >> 7
