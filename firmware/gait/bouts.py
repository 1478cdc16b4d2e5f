"""Runs of steps in one direction.

A bout opens when RUN_STEPS settled steps in a row have the same direction, and then began with the first of
them. It closes when another opens or walking ends. Stray steps in between belong to no bout.
"""

RUN_STEPS = 3


class BoutTracker:
    """Feed it settled steps; it appends (index, kind, detail) to `events`.

    "bout_opened": detail is the direction. "bout_closed": (direction, steps, first index, last index).
    """

    def __init__(self, events):
        self._events = events
        self._direction = None
        self._steps = self._first = self._last = 0
        self._run_direction = None
        self._run_steps = self._run_first = 0

    def feed(self, index, direction):
        if direction == self._direction:
            self._run_direction = direction
            self._steps += 1
            self._last = index
            return
        if direction != self._run_direction:
            self._run_direction = direction
            self._run_steps = 0
            self._run_first = index
        self._run_steps += 1
        if self._run_steps == RUN_STEPS:
            self._close(index)
            self._direction = direction
            self._steps = RUN_STEPS
            self._first = self._run_first
            self._last = index
            self._events.append((index, "bout_opened", direction))

    def end(self, index):
        """Walking has ended."""
        self._close(index)
        self._run_direction = None

    def _close(self, index):
        if self._direction is not None:
            detail = (self._direction, self._steps, self._first, self._last)
            self._events.append((index, "bout_closed", detail))
            self._direction = None
