"""A device's day for the log: bouts of steps, flushes, cues, anchors, acknowledgements; no sensor needed.

`Walker` drives the real Logbook with a stepped clock. The steps' states are drawn so that most of them change: the
worst case for the log's size.
"""

import random

from firmware import steplog, steplog_decoder
from firmware.logbook import Logbook

STEP_MS = 520


class Walker:
    def __init__(self, folder, seed, **options):
        random.seed(seed)
        self.now_ms = 0
        self.added = 0
        self.logbook = Logbook(
            folder, lambda: self.now_ms, 0xBEEF, 0, 0, "0.1.0", "physics-waist-1", "xiao_esp32s3", **options
        )

    def step(self):
        self.now_ms += STEP_MS + random.randrange(-40, 40)
        stability = random.randrange(0, 101)
        self.logbook.add_step(self.now_ms, random.randrange(4), random.randrange(40, 100), stability)
        self.added += 1
        self.logbook.flush_if_due()

    def bout(self, steps):
        first_ms = self.now_ms + STEP_MS
        if random.randrange(3) == 0:
            self.logbook.add_cue(self.now_ms, 0)
        for _ in range(steps):
            self.step()
        self.logbook.add_bout(random.randrange(4), 80, steps, first_ms, self.now_ms)

    def rest(self, ms):
        """Time without steps, in which the device looks once a second whether a flush is due."""
        end_ms = self.now_ms + ms
        while self.now_ms < end_ms:
            if self.logbook.flush_if_due():
                break
            self.now_ms += 1000
        self.now_ms = max(self.now_ms, end_ms)

    def day(self, bouts=150, steps=10_000):
        """Returns the number of flushes."""
        left, flushes = steps, self.logbook.flushes
        for number in range(bouts):
            share = left // (bouts - number)
            self.bout(share)
            left -= share
            self.rest(24 * 3600 * 1000 // bouts - share * STEP_MS)
            if number % 25 == 0:
                self.logbook.add_battery(3900)
            if number % 8 == 0:
                self.logbook.add_event(self.now_ms, 0, 60)
        return self.logbook.flushes - flushes


def count_steps(journal):
    """(number of steps in the journal, set of (first lost, last lost, steps) of its GAP records)."""
    steps, gaps = 0, set()
    for _, kind, payload in journal.records():
        if kind == steplog.STEPS:
            steps += steplog.step_span(payload)[0]
        elif kind == steplog.GAP:
            gap = steplog_decoder.decode(kind, payload)
            gaps.add((gap["first_lost"], gap["last_lost"], gap["steps"]))
    return steps, gaps


def lost_steps(gaps):
    """Steps in the gaps, and the last sequence they cover; each goes on where the one before ended or replaces it."""
    covered = steps = 0
    for first, last, count in sorted(gaps):
        assert first <= covered + 1
        steps = count if first <= 1 else steps + count
        covered = last
    return steps, covered
