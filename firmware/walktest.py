"""The 3-metre backward walk test: times one walk from the first foot's lift to the last contact.

    test = WalkTest(placement)
    test.start(play, uptime_ms)                        # the countdown, then
    test.go(now_ms)                                    # the start signal
    test.process(samples, count, next_index)           # every block of samples from then on
    test.take_step(index, contact_ms, direction, stability)   # every settled step
    if test.judge(ms_at, now_ms): ...                  # test.outcome is known; test.encode(boot_tag)

The wearer stands with the heels at one line, waits for the long buzz and walks backward to the other line, 3 m away,
feet together at the end (docs/walk-test.md). Where the walk begins and ends the impacts of the feet tell
(gait/impacts.py), at the shoe its swings (gait/swings.py); the settled steps tell which way it went and how steady.

Times are uptime in ms. Outcomes:

    done          a walk that was backward, or of unknown direction (not calibrated, or too few steps to tell)
    not_backward  the steps went forward or sideways: timed all the same
    no_walk       no three contacts in a rhythm within 15 s of the start signal
    too_long      not at an end 60 s, or about a hundred steps, after the start signal
    false_start   the wearer was walking in the second before the start signal
    cancelled     by the wearer or the host
    samples_lost  the sensor failed meanwhile

The record of a test (steplog.WALK_TEST), little endian: u16 boot tag, u32 cs of the start signal, u8 outcome, u8
direction, u16 ms from the start signal to the first lift, u16 ms from there to the last contact (both 0xFFFF: there
was none), u8 contacts, u8 mean stability 0..100 or 255.

The device loads this module for a test and forgets it afterwards.
"""

import asyncio
import gc
import struct
import sys

from firmware.gait import BACKWARD, UNKNOWN
from firmware.link import protocol
from firmware.steplog import WALK_TEST

RECORD_LAYOUT = "<HIBBHHBB"
# Where a test stands, as a host hears it.
STATES = ("none", "countdown", "walking", "over")
OUTCOMES = ("done", "not_backward", "no_walk", "too_long", "false_start", "cancelled", "samples_lost")
DONE, NOT_BACKWARD, NO_WALK, TOO_LONG, FALSE_START, CANCELLED, SAMPLES_LOST = range(7)
NO_TIME_MS = 0xFFFF
NO_STABILITY = 255

_COUNTDOWN = 3
_COUNTDOWN_MS = 1000

_RATE_HZ = 104
_NO_WALK_MS = 15_000
_TOO_LONG_MS = 60_000
# The start signal, a buzz of 400 ms, shakes the clip itself; nobody's first step is over that soon.
_DEAF_MS = 500
_FALSE_START_MS = 200
_EARLY_MS = 1_000
# A step that is later than this behind the last one is no part of the walk; steps settle within 1.5 s.
_QUIET_MS = 2_500
_QUIET_STEPS_TENTHS = 24
# The signals' contacts and the step counter's differ by less.
_SAME_MS = 300


def carry_out(device, placement, action):
    """Do what a WALK_TEST request (link/protocol.py) asks for; returns the answer's body. Raises ValueError.

    device: has test, the WalkTest under way or None; tested, its record once it is over or None; buzz(pattern),
    clock (Clock) and logbook (Logbook).
    """
    if action == protocol.WALK_TEST_START:
        if device.test is None:
            device.tested = None
            test = WalkTest(placement)
            # Without memory for its countdown there is none.
            test.start(device.buzz, device.clock.uptime_ms)
            device.test = test
    elif action == protocol.WALK_TEST_CANCEL:
        if device.test is not None:
            device.test.finish(device, "cancelled")
    elif action != protocol.WALK_TEST_ASK:
        raise ValueError("walk test: expected action 0 to 2, got %d" % action)
    if device.test is not None:
        return bytes((1 if device.test.go_ms is None else 2,))
    _forget(__name__)
    return b"\0" if device.tested is None else b"\3" + device.tested


def _forget(name):
    """What was loaded for a test is not needed any more."""
    if sys.modules.pop(name, None):
        package, module = name.rsplit(".", 1)
        delattr(sys.modules[package], module)


class WalkTest:
    """One test. placement: as in steplog.PLACEMENTS.

    outcome: None while it lasts. reaction_ms: from the start signal to the first foot's lift; walk_ms: from there to
    the last contact; both None unless there was a walk. steps: contacts. direction: index into steplog.DIRECTIONS.
    stability: mean score 0..100 of its steps, or None.
    """

    def __init__(self, placement):
        if placement == "shoe":
            from firmware.gait.swings import Swings as Finder
        else:
            from firmware.gait.impacts import Impacts as Finder
        self._finder = Finder()
        self._deaf_samples = 0
        self._countdown = None
        # Of each settled step: index and uptime of the contact, direction, stability.
        self._settled = []
        self.go_ms = None
        self.outcome = None
        self.reaction_ms = self.walk_ms = None
        self.steps = 0
        self.direction = UNKNOWN
        self.stability = None

    def start(self, play, uptime_ms):
        """Begin the countdown in a task of its own. play(pattern) buzzes, uptime_ms() is the time."""
        self._countdown = asyncio.create_task(self._count_down(play, uptime_ms))

    async def _count_down(self, play, uptime_ms):
        """Three buzzes a second apart, then the start signal."""
        for _ in range(_COUNTDOWN):
            if self.outcome is not None:
                return
            play("countdown")
            await asyncio.sleep_ms(_COUNTDOWN_MS)
        if self.outcome is None:
            play("test_started")
            self.go(uptime_ms())

    def go(self, now_ms):
        """The start signal begins."""
        self.go_ms = now_ms
        self._deaf_samples = _DEAF_MS * _RATE_HZ // 1000

    def process(self, samples, count, next_index):
        """Take a block of samples whose last one has the index before `next_index`."""
        if self.go_ms is None or self.outcome is not None:
            return
        if self._deaf_samples > 0:
            self._deaf_samples -= count
            return
        self._finder.process(samples, count, next_index)

    def take_step(self, index, contact_ms, direction, stability):
        """A step settled."""
        self._settled.append((index, contact_ms, direction, stability))
        if self.go_ms is None:
            # Only what comes right before the start signal is of interest.
            del self._settled[:-1]

    def judge(self, ms_at, now_ms):
        """Whether the outcome is known now. ms_at(index): uptime in ms at which that sample was taken."""
        if self.outcome is not None or self.go_ms is None:
            return self.outcome is not None
        waited_ms = now_ms - self.go_ms
        if waited_ms < _QUIET_MS:
            return False
        after = [step for step in self._settled if step[1] > self.go_ms + _FALSE_START_MS]
        bounds = self._finder.bounds(after[0][0] if after else None)
        if bounds is None:
            if waited_ms < _NO_WALK_MS:
                return False
            self.outcome = NO_WALK
            return True
        first, last, contacts, step_samples = bounds
        first_ms, last_ms = ms_at(first), ms_at(last)
        step_ms = step_samples * 1000 // _RATE_HZ
        self.steps = contacts
        self.reaction_ms = max(first_ms - self.go_ms, 0)
        self.walk_ms = last_ms - self.go_ms - self.reaction_ms
        if now_ms - last_ms < max(_QUIET_MS, step_ms * _QUIET_STEPS_TENTHS // 10):
            if waited_ms < _TOO_LONG_MS and not self._finder.full:
                return False
            self.outcome = TOO_LONG
            return True
        self._look_at_steps(first_ms, last_ms)
        return True

    def _look_at_steps(self, first_ms, last_ms):
        """What the settled steps say of the walk between these times."""
        counts = [0] * (UNKNOWN + 1)
        score = scored = 0
        early = False
        for _, contact_ms, direction, stability in self._settled:
            if contact_ms < first_ms - _SAME_MS:
                early = early or contact_ms > self.go_ms - _EARLY_MS
            elif contact_ms <= last_ms + _SAME_MS:
                counts[direction] += 1
                if stability is not None:
                    score += stability
                    scored += 1
        if scored:
            self.stability = score // scored
        counts[UNKNOWN] = 0
        most = max(counts)
        if most >= 2:
            self.direction = counts.index(most)
        if early:
            self.outcome = FALSE_START
        elif self.direction in (BACKWARD, UNKNOWN):
            self.outcome = DONE
        else:
            self.outcome = NOT_BACKWARD

    def finish(self, device, outcome=None):
        """Log it and tell the wearer.

        outcome: None where it is over by itself, else "cancelled" or "samples_lost".
        """
        device.test = None
        if outcome:
            self.outcome = OUTCOMES.index(outcome)
        if self.go_ms is not None:
            device.tested = self.encode(device.logbook.boot_sequence & 0xFFFF)
            device.logbook.journal.append(WALK_TEST, device.tested)
            device.logbook.flush()
        device.buzz("test_ended" if self.outcome == DONE else "error")
        _forget(__name__)
        _forget(self._finder.__module__)
        gc.collect()

    def encode(self, boot_tag):
        """The payload of the WALK_TEST record."""
        timed = self.walk_ms is not None
        return struct.pack(
            RECORD_LAYOUT,
            boot_tag,
            self.go_ms // 10 & 0xFFFFFFFF,
            self.outcome,
            self.direction,
            min(self.reaction_ms, NO_TIME_MS - 1) if timed else NO_TIME_MS,
            min(self.walk_ms, NO_TIME_MS - 1) if timed else NO_TIME_MS,
            min(self.steps, 255),
            NO_STABILITY if self.stability is None else self.stability,
        )
