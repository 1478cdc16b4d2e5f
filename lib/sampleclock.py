"""Sample numbers to uptime: follows a sensor's own, slightly wrong clock from the moments of its block reads.

    clock = SampleClock(period_ns)
    clock.observe(index, now_us)      # at each look into the FIFO: number of its newest sample
    clock.ms_at(index)                # uptime at which that sample was taken

The newest sample was taken before the look, by less than a period where the CPU looks on a timer, by next to
nothing where an interrupt wakes it; never after. So the line of true sample times touches the looks, (index,
time), from below: it is an edge of their lower convex hull, and the edge over the middle of the last minute
or so has the slope of the sensor's clock. A look that comes late lies above the hull and moves nothing. (The
same line finds the skew of two computers' clocks from one-way delays: Moon, Skelly, Towsley 1999.) After
restart() the period learned so far holds until half as much has been seen again.

Error: the delay of the least late look. Below 1 ms, half a minute after the start, where an interrupt wakes
the CPU, or where looks come at changing phases of the sensor; then a sensor that is off by 2 % costs nothing.
Integers only; some tens of bytes are allocated a look. Times in us or ms of the caller's uptime, which may
exceed 2^30.
"""

from micropython import const

# Looks over so many samples (40 to 80 s) make the hull.
_SPAN = const(4096)
# Fewer samples than this tell less than the nominal period does.
_FIRST_SPAN = const(100)
_MOST_OFF = const(20)


class SampleClock:
    """period_ns: time between two samples, nominal at first, then as measured so far."""

    def __init__(self, period_ns):
        self.period_ns = period_ns
        self._enough = _FIRST_SPAN
        self.restart()

    def restart(self):
        """Forget the phase, keep the period: after the sensor was configured anew or samples were lost."""
        self._hull = []

    def observe(self, index, now_us):
        """Sample number `index` was the newest one in the FIFO at `now_us`."""
        hull = self._hull
        if hull and index <= hull[-1][0]:
            # Nothing new since the last look, which was earlier and so tells more.
            return
        anew = not hull
        while len(hull) > 1:
            first, first_us = hull[-2]
            last, last_us = hull[-1]
            if (last_us - first_us) * (index - first) < (now_us - first_us) * (last - first):
                break
            # It lies on or above the line to the new look.
            anew |= hull.pop()[0] == self._index
        hull.append((index, now_us))
        while index - hull[0][0] > 2 * _SPAN and len(hull) > 2:
            anew |= hull.pop(0)[0] == self._index
        span = index - hull[0][0]
        if span >= self._enough:
            at = 1
            while hull[at][0] < index - span // 2:
                at += 1
            measured_ns = (hull[at][1] - hull[at - 1][1]) * 1000 // (hull[at][0] - hull[at - 1][0])
            # No sensor is off by more: that edge ends at a look that was very late.
            if abs(measured_ns - self.period_ns) * _MOST_OFF < self.period_ns:
                anew |= measured_ns != self.period_ns
                self.period_ns = measured_ns
                self._enough = min(max(self._enough, span // 2), _SPAN)
        # The line of that slope touches the hull where this is least: where it did before, or at the new look.
        period_ns = self.period_ns
        if anew:
            self._least_us, self._index, self._us = min(
                [(us - at * period_ns // 1000, at, us) for at, us in hull]
            )
        else:
            least_us = now_us - index * period_ns // 1000
            if least_us < self._least_us:
                self._least_us, self._index, self._us = least_us, index, now_us

    def us_at(self, index):
        """Uptime in us at which sample `index` was taken; before any observation, 0."""
        return self._us + (index - self._index) * self.period_ns // 1000 if self._hull else 0

    def ms_at(self, index):
        """Uptime in ms at which sample `index` was taken."""
        return self.us_at(index) // 1000
