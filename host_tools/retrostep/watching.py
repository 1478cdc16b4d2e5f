"""What `retrostep watch` knows of a walk that is going on: live steps and cues in, what is worth showing out."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from retrostep.link import LiveCue, LiveStep

SHOWN = 8
"""So many of the last steps and cues are shown."""
CADENCE_STEPS = 5
PAUSE_S = 2.5
"""Contacts further apart are two walks (at the shoe one foot's contacts are seen: twice that)."""


@dataclass
class Walk:
    """The walk so far. steps_per_contact: 2 for a device at the shoe, else 1."""

    steps_per_contact: int = 1
    counts: Counter[str] = field(default_factory=Counter)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=SHOWN))
    """The last steps and cues, as_line() of each."""
    _contacts_s: deque[float] = field(default_factory=lambda: deque(maxlen=CADENCE_STEPS))
    _last: LiveStep | None = None

    def add(self, event: LiveStep | LiveCue) -> None:
        """A step or a cue, as it comes from the link."""
        if isinstance(event, LiveStep):
            self._add_step(event)
        self.lines.append(as_line(event, self.cadence_per_min))

    def _add_step(self, event: LiveStep) -> None:
        self.counts[event.direction] += 1
        if self._contacts_s and event.uptime_s - self._contacts_s[-1] > PAUSE_S * self.steps_per_contact:
            self._contacts_s.clear()
        self._contacts_s.append(event.uptime_s)
        self._last = event

    @property
    def direction(self) -> str | None:
        """Of the last step."""
        return self._last.direction if self._last else None

    @property
    def stability(self) -> int | None:
        """Of the last step, 0 to 100; None where the device does not know it."""
        return self._last.stability if self._last else None

    @property
    def cadence_per_min(self) -> int | None:
        """Steps a minute over the last few steps; None before there are two."""
        if len(self._contacts_s) < 2:
            return None
        span_s = self._contacts_s[-1] - self._contacts_s[0]
        return (
            round(60 * (len(self._contacts_s) - 1) * self.steps_per_contact / span_s) if span_s > 0 else None
        )


def as_fields(event: LiveStep | LiveCue, cadence_per_min: int | None) -> dict[str, object]:
    """One event as a flat object for `--json`, with the cadence as it is after it."""
    if isinstance(event, LiveCue):
        return {"event": "cue", "uptime_s": event.uptime_s, "pattern": event.pattern}
    return {
        "event": "step",
        "uptime_s": event.uptime_s,
        "direction": event.direction,
        "confidence": event.confidence,
        "stability": event.stability,
        "cadence_per_min": cadence_per_min,
    }


def as_line(event: LiveStep | LiveCue, cadence_per_min: int | None) -> str:
    """One event as a line of text."""
    if isinstance(event, LiveCue):
        return f"{event.uptime_s:10.2f} s  cue {event.pattern.replace('_', ' ')}"
    cadence = "-" if cadence_per_min is None else str(cadence_per_min)
    stability = "-" if event.stability is None else str(event.stability)
    return (
        f"{event.uptime_s:10.2f} s  {event.direction:<8}  {event.confidence:4.0%} sure  "
        f"{cadence:>3} steps/min  stability {stability:>3}"
    )
