"""Runs of steps in one direction.

A bout opens when RUN_STEPS settled steps in a row have the same direction, and then began with the first of
them. It closes when another opens or walking ends. Stray steps in between belong to no bout.
"""

RUN_STEPS = 3


class BoutTracker:
    """Feed it settled steps; it appends (index, kind, detail) to `events`.

    "bout_opened": detail is the direction. "bout_closed": (direction, steps, first index, last index,
    mean stability or None).
    """

    def __init__(self, events):
        self._events = events
        self._direction = None
        self._steps = self._first = self._last = 0
        # Sum and number of the stability scores: of the bout, and of the run.
        self._scores = self._scored = 0
        self._run_direction = None
        self._run_steps = self._run_first = self._run_scores = self._run_scored = 0

    def feed(self, index, direction, stability=None):
        if direction == self._direction:
            self._run_direction = direction
            self._steps += 1
            self._last = index
            if stability is not None:
                self._scores += stability
                self._scored += 1
            return
        if direction != self._run_direction:
            self._run_direction = direction
            self._run_steps = self._run_scores = self._run_scored = 0
            self._run_first = index
        self._run_steps += 1
        if stability is not None:
            self._run_scores += stability
            self._run_scored += 1
        if self._run_steps == RUN_STEPS:
            self._close(index)
            self._direction = direction
            self._steps = RUN_STEPS
            self._first = self._run_first
            self._scores = self._run_scores
            self._scored = self._run_scored
            self._last = index
            self._events.append((index, "bout_opened", direction))

    def end(self, index):
        """Walking has ended."""
        self._close(index)
        self._run_direction = None

    def _close(self, index):
        if self._direction is not None:
            stability = self._scores // self._scored if self._scored else None
            detail = (self._direction, self._steps, self._first, self._last, stability)
            self._events.append((index, "bout_closed", detail))
            self._direction = None
