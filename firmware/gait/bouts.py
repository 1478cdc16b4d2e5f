"""Runs of steps in one direction.

A bout opens when RUN_STEPS settled steps in a row have the same direction, and then began with the first of
them. It closes when another opens or walking ends. Stray steps in between belong to no bout.
"""

from array import array

import micropython
from micropython import const

from firmware.gait.direction import NO_SCORE

RUN_STEPS = const(3)

# Words: of the bout its direction or _NONE, steps, sum and number of the stability scores; the same of the run;
# whether there was a step since walking began; what the newest one was.
_DIRECTION = const(0)
_STEPS = const(1)
_SCORES = const(2)
_SCORED = const(3)
_RUN_DIRECTION = const(4)
_RUN_STEPS = const(5)
_RUN_SCORES = const(6)
_RUN_SCORED = const(7)
_ANY = const(8)
_WHAT = const(9)
_WORDS = const(10)
_NONE = const(4)
# As in direction.py.
_NO_SCORE = const(127)

# What a step is to the bouts.
_IN_BOUT = const(0)
_STRAY = const(1)
_FIRST_OF_RUN = const(2)
_OPENS = const(3)


@micropython.viper
def count_step(bout: ptr32, direction: int, score: int) -> int:
    """Take in a settled step. 0: it is one more of the bout; else BoutTracker.turn() sees to it."""
    words = bout
    bout[_ANY] = 1
    scored = 1
    if score == _NO_SCORE:
        score = 0
        scored = 0
    what = _IN_BOUT
    if direction == bout[_DIRECTION]:
        bout[_RUN_DIRECTION] = direction
    else:
        what = _STRAY
        if direction != bout[_RUN_DIRECTION]:
            what = _FIRST_OF_RUN
            bout[_RUN_DIRECTION] = direction
            bout[_RUN_STEPS] = 0
            bout[_RUN_SCORES] = 0
            bout[_RUN_SCORED] = 0
        bout = ptr32(int(bout) + 4 * _RUN_DIRECTION)
    bout[_STEPS] = bout[_STEPS] + 1
    bout[_SCORES] = bout[_SCORES] + score
    bout[_SCORED] = bout[_SCORED] + scored
    if what == _STRAY and bout[_STEPS] == RUN_STEPS:
        what = _OPENS
    words[_WHAT] = what
    return what


class BoutTracker:
    """Feed it settled steps; it appends (index, kind, detail) to `events`.

    "bout_opened": detail is the direction. "bout_closed": (direction, steps, first index, last index,
    mean stability or None). Who is in a hurry calls count_step() on `words`, and then turn() or sets `last`.
    """

    def __init__(self, events):
        self._events = events
        self.words = array("i", bytes(4 * _WORDS))
        self.words[_DIRECTION] = self.words[_RUN_DIRECTION] = _NONE
        # Index of the bout's newest step, of its first, and of the run's first.
        self.last = 0
        self._first = 0
        self._run_first = 0

    def feed(self, index, direction, stability=None):
        if count_step(self.words, direction, NO_SCORE if stability is None else stability):
            self.turn(index)
        else:
            self.last = index

    def turn(self, index):
        """A step that count_step() found not to be simply one more of the bout."""
        words = self.words
        if words[_WHAT] == _FIRST_OF_RUN:
            self._run_first = index
        elif words[_WHAT] == _OPENS:
            self._close(index)
            words[_DIRECTION:_RUN_DIRECTION] = words[_RUN_DIRECTION:_ANY]
            self._first = self._run_first
            self.last = index
            self._events.append((index, "bout_opened", words[_DIRECTION]))

    def end(self, index):
        """Walking has ended, if there was any since the last time."""
        words = self.words
        if words[_ANY]:
            words[_ANY] = 0
            self._close(index)
            words[_RUN_DIRECTION] = _NONE

    def _close(self, index):
        words = self.words
        direction, steps, scores, scored = words[:_RUN_DIRECTION]
        if direction != _NONE:
            detail = (direction, steps, self._first, self.last, scores // scored if scored else None)
            self._events.append((index, "bout_closed", detail))
            words[_DIRECTION] = _NONE
