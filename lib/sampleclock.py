"""Sample numbers to uptime: follows a sensor's own, slightly wrong clock from the moments of its block reads.

    clock = SampleClock(period_ns)
    clock.observe(next_index, now_us)     # after each block read
    clock.ms_at(index)                    # uptime at which that sample was taken

The newest sample of a block was taken shortly before the block was read: never after. So an observation that is
earlier than predicted is certain and moves the clock at once; a later one (the CPU woke late) moves it by 1/64
of the difference. The period follows the slope over the last minute or so, which removes the sensor's rate error
(1.5 % by the data sheet, 0.1 % after its trim value) without learning from single late wake-ups.
Integers only; a few bytes allocated a block at most. Times in us or ms of the caller's uptime, which may exceed
2^30; index differences must stay below 2^20 (2.8 h at 104 Hz).
"""

_SLOPE_SAMPLES = 2048
_LATE_SHIFT = 6
_EARLY_US = 3_000


class SampleClock:
    """period_ns: nominal time between two samples."""

    def __init__(self, period_ns):
        self._period_ns = period_ns
        self._index = None
        self._us = 0
        self._slope_index = 0
        self._slope_us = 0

    @property
    def period_ns(self):
        """Time between two samples as measured so far."""
        return self._period_ns

    def restart(self):
        """Forget the phase, keep the period: after the sensor was configured anew or samples were lost."""
        self._index = None

    def observe(self, index, now_us):
        """The sample before number `index` was the newest one in the FIFO at `now_us`."""
        if self._index is None:
            self._index, self._us = index, now_us
            self._slope_index, self._slope_us = index, now_us
            return
        predicted_us = self._us + (index - self._index) * self._period_ns // 1000
        late_us = now_us - predicted_us
        self._index = index
        self._us = now_us if late_us < 0 else predicted_us + (late_us >> _LATE_SHIFT)
        if late_us < -_EARLY_US:
            # The phase was wrong until now, and so was the slope's start.
            self._slope_index, self._slope_us = index, self._us
            return
        samples = index - self._slope_index
        if samples >= _SLOPE_SAMPLES:
            measured_ns = (self._us - self._slope_us) * 1000 // samples
            self._period_ns += (measured_ns - self._period_ns) >> 1
            self._slope_index, self._slope_us = index, self._us

    def us_at(self, index):
        """Uptime in us at which sample `index` was taken; before any observation, 0."""
        if self._index is None:
            return 0
        return self._us + (index - self._index) * self._period_ns // 1000

    def ms_at(self, index):
        """Uptime in ms at which sample `index` was taken."""
        return self.us_at(index) // 1000
