"""Recordings cut and joined on the fly; they live in memory only.

Each returns a Recording of its own with the true steps that remain, its origin in meta["transforms"].
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from retrostep.recording import Recording, to_int16

FADE_S = 0.25
# A bout stands between quiet parts of these lengths.
QUIET_BEFORE_S = 2.0
QUIET_AFTER_S = 3.5
BOUT_FADE_S = 0.15


def cut(recording: Recording, from_s: float, to_s: float) -> Recording:
    """The part from from_s to to_s, its own clock starting at 0."""
    rate = recording.rate_hz
    first, last = max(0, round(from_s * rate)), round(to_s * rate)
    start_s = first / rate
    inside = (recording.steps[:, 0] >= start_s) & (recording.steps[:, 0] <= to_s)
    steps = recording.steps[inside].copy()
    steps[:, 0] -= start_s
    return _excerpt(recording, recording.samples[first:last], steps, f"cut {start_s:.2f} to {to_s:.2f} s")


def repeated(recording: Recording, times: int = 4) -> Recording:
    """The same window again and again, each joint cross-faded over FADE_S: long enough to open a bout."""
    fade = round(FADE_S * recording.rate_hz)
    samples = recording.samples.astype(np.float64)
    joined = samples
    for _ in range(times - 1):
        joined = joined_by_fade(joined, samples, fade)
    return _excerpt(recording, to_int16(joined)[0], recording.steps[:0], f"repeated {times} times")


def joined_by_fade(first: np.ndarray, second: np.ndarray, fade: int) -> np.ndarray:
    """second after first, overlapping by `fade` samples with a linear cross-fade."""
    weight = (np.arange(1, fade + 1) / (fade + 1))[:, None]
    overlap = first[len(first) - fade :] * (1 - weight) + second[:fade] * weight
    return np.concatenate([first[: len(first) - fade], overlap, second[fade:]])


def bouts(recording: Recording, steps: int, most: int, seed: int) -> Iterator[Recording]:
    """Up to `most` disjoint stretches of exactly `steps` forward steps, each between quiet parts.

    Quiet is the calmest second of the recording. Drawn from stretches within one truth window.
    """
    rate = recording.rate_hz
    times = recording.step_times_s()
    codes = recording.steps[:, 1]
    rng = np.random.Generator(np.random.PCG64(seed))
    starts = [
        first
        for first in range(len(times) - steps)
        if np.all(codes[first : first + steps + 1] == recording.directions.index("forward"))
        and np.all(np.diff(times[first : first + steps + 1]) < 2.0)
        and _in_one_window(recording, times[first], times[first + steps])
    ]
    rng.shuffle(starts)
    taken: list[int] = []
    quiet = calmest_second(recording)
    for first in starts:
        if len(taken) == most:
            return
        if any(abs(first - other) < steps for other in taken):
            continue
        taken.append(first)
        step_s = float(np.median(np.diff(times[first : first + steps + 1])))
        # Half a step before the first contact the leg swings; half a step after the last the next one does.
        begin = times[first] - 0.5 * step_s
        end = times[first + steps - 1] + 0.5 * step_s
        inner = recording.samples[max(0, round(begin * rate)) : round(end * rate)].astype(np.float64)
        fade = round(BOUT_FADE_S * rate)
        if len(inner) <= 2 * fade:
            continue
        before = _stretched(quiet, round(QUIET_BEFORE_S * rate))
        after = _stretched(quiet, round(QUIET_AFTER_S * rate))
        samples = joined_by_fade(joined_by_fade(before, inner, fade), after, fade)
        shift = (len(before) - fade) / rate - max(0.0, begin)
        kept = recording.steps[first : first + steps].copy()
        kept[:, 0] += shift
        yield _excerpt(recording, to_int16(samples)[0], kept, f"bout of {steps} steps from {begin:.2f} s")


def calmest_second(recording: Recording) -> np.ndarray:
    """The second with the least spread of acceleration, float64 (rate, 6)."""
    size = round(recording.rate_hz)
    samples = recording.samples.astype(np.float64)
    if len(samples) <= size:
        return samples
    spreads = [
        samples[at : at + size, :3].var(axis=0).sum() for at in range(0, len(samples) - size, size // 4)
    ]
    at = int(np.argmin(spreads)) * (size // 4)
    return samples[at : at + size]


def _stretched(quiet: np.ndarray, count: int) -> np.ndarray:
    """Played forwards and backwards in turn, so there is no jump at a joint."""
    there_and_back = np.concatenate([quiet, quiet[::-1]])
    return np.tile(there_and_back, (count // len(there_and_back) + 1, 1))[:count]


def _in_one_window(recording: Recording, from_s: float, to_s: float) -> bool:
    return any(start - 0.05 <= from_s and to_s <= end + 0.05 for start, end in recording.truth)


def _excerpt(recording: Recording, samples: np.ndarray, steps: np.ndarray, what: str) -> Recording:
    duration = len(samples) / recording.rate_hz
    return replace(
        recording,
        samples=samples,
        steps=steps,
        truth=np.array([[0.0, duration]], np.float32) if len(steps) else recording.truth[:0],
        spans=recording.spans[:0],
        span_label=recording.span_label[:0],
        event_t=recording.event_t[:0],
        event_kind=recording.event_kind[:0],
        meta={**recording.meta, "transforms": [*recording.meta.get("transforms", []), what]},
    )
