"""One recording under one condition: what was walked, what was found, what agrees.

A Trial is the raw outcome. Once the constant lag of its source is known, `score` makes of it a Score, which
holds counts only; every table is made of Scores.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from retrostep.evaluation import activities
from retrostep.evaluation.matching import constant_lag_s, pair
from retrostep.recording import Recording
from retrostep.replay import Replay, ReplayedStep

CLOSE_S = 0.1
NEAR_S = 0.25
# A contact at the edge of a truth window may be found on its other side.
EDGE_S = 0.2
# Names of spans in which the walker turns round.
TURNS = ("uturn", "turn")
# Standing, as far as steps are concerned: further than this from any true step.
QUIET_S = 1.0
# After the impact of a fall nobody walks; the fall itself takes its time.
AFTER_FALL_S = 1.0

STANDING = "standing before, between and after walking"
GESTURE = "motion without a step"
AFTER_FALL = "after a fall while walking"


@dataclass(frozen=True)
class Matched:
    """A found step whose true direction is known. latency_s: from the contact to the settled direction."""

    true: str
    found: str
    confidence: float
    latency_s: float
    turning: bool = False  # the way to this contact led through a turn


@dataclass(frozen=True)
class Facts:
    """What is known of a recording before it is replayed; times in s."""

    file: str
    source: str
    placement: str
    group: str
    person: str
    activity: str
    kind: str
    virtual: bool
    may_train: bool
    duration_s: float
    true_s: tuple[float, ...]
    true_directions: tuple[str, ...]
    windows: tuple[tuple[float, float], ...]
    falls_s: tuple[float, ...]
    turns: tuple[tuple[float, float], ...]
    parts: tuple[tuple[float, float, str], ...]  # what is known without annotated contacts
    counted: int | None  # steps counted by hand, where no contact is annotated
    repeated: bool = False  # a window repeated so that it can open a bout

    @classmethod
    def of(cls, recording: Recording, file: str, repeated: bool = False) -> "Facts":
        meta = recording.meta
        return cls(
            file=file,
            source=meta["source"],
            placement=recording.placement,
            group=str(meta.get("group", "")),
            person=f"{meta['source']}/{meta['subject']}",
            activity=activities.label(recording),
            kind=activities.kind(recording),
            virtual=recording.virtual,
            may_train=recording.meta["may_train"],
            duration_s=recording.duration_s,
            true_s=tuple(map(float, recording.steps[:, 0])),
            true_directions=tuple(recording.directions[int(code)] for code in recording.steps[:, 1]),
            windows=tuple((float(start), float(end)) for start, end in recording.truth),
            falls_s=tuple(map(float, recording.event_t)),
            turns=tuple(
                (float(start), float(end))
                for (start, end), name in zip(recording.spans, recording.span_label, strict=True)
                if name in TURNS
            ),
            parts=activities.parts(recording),
            counted=_counted(recording),
            repeated=repeated,
        )


def _counted(recording: Recording) -> int | None:
    count = recording.meta.get("step_count", -1)
    known = isinstance(count, int) and count > 0 and not len(recording.truth) and not len(recording.steps)
    return count if known else None


@dataclass(frozen=True)
class Trial:
    facts: Facts
    condition: str
    steps: list[ReplayedStep]
    model: str

    @classmethod
    def of(cls, facts: Facts, condition: str, replayed: Replay) -> "Trial":
        return cls(facts, condition, replayed.steps, replayed.model)


@dataclass(frozen=True)
class Score:
    """true_steps, found_steps and hits count inside the truth windows; `found` counts all steps found."""

    facts: Facts
    condition: str
    found: Counter[str]
    true_steps: int
    found_steps: int
    hits_close: int
    hits_near: int
    hits_close_own_lag: int  # as hits_close, after removing the lag of this recording alone
    matched: list[Matched] = field(default_factory=list)
    presumed: list[Matched] = field(default_factory=list)  # no true steps, but the label tells the direction
    quiet: str = ""  # what went on where no step was walked
    quiet_s: float = 0.0
    quiet_found: Counter[str] = field(default_factory=Counter)

    @property
    def judged(self) -> list[Matched]:
        """Found steps whose true direction is known, from contacts or from the label."""
        return self.matched or self.presumed


def lags(trials: Iterable[Trial]) -> dict[tuple[str, str, str], float]:
    """The constant lag in s of each (source, placement, condition)."""
    times: dict[tuple[str, str, str], list] = {}
    for trial in trials:
        if trial.facts.true_s:
            found = [step.contact_s for step in trial.steps]
            times.setdefault(lag_key(trial), []).append((found, trial.facts.true_s))
    return {key: constant_lag_s(recordings) for key, recordings in times.items()}


def lag_key(trial: Trial) -> tuple[str, str, str]:
    return trial.facts.source, trial.facts.placement, trial.condition


def score(trial: Trial, lag_s: float) -> Score:
    facts = trial.facts
    contacts = [step.contact_s - lag_s for step in trial.steps]
    true_in = [t for t in facts.true_s if _inside(t, facts.windows)]
    found_in = [t for t in contacts if _inside(t, facts.windows)]
    own_s = constant_lag_s([(found_in, true_in)])
    quiet, seconds, at = _quiet(facts, contacts)
    return Score(
        facts,
        trial.condition,
        Counter(step.direction for step in trial.steps),
        true_steps=len(true_in),
        found_steps=len(found_in),
        hits_close=len(pair(found_in, true_in, CLOSE_S)),
        hits_near=len(pair(found_in, true_in, NEAR_S)),
        hits_close_own_lag=len(pair([t - own_s for t in found_in], true_in, CLOSE_S)),
        matched=[
            Matched(
                facts.true_directions[j],
                trial.steps[i].direction,
                trial.steps[i].confidence,
                trial.steps[i].decided_s - facts.true_s[j],
                _turning(facts, j),
            )
            for i, j in pair(contacts, facts.true_s, NEAR_S)
        ],
        presumed=_presumed(trial),
        quiet=quiet,
        quiet_s=seconds,
        quiet_found=Counter(trial.steps[i].direction for i in at),
    )


def known_direction(facts: Facts) -> bool:
    """Whether any found step can be judged: by annotated contacts or by labels."""
    return bool(facts.true_s) or any(kind in activities.DIRECTION for _, _, kind in facts.parts)


def _presumed(trial: Trial) -> list[Matched]:
    facts = trial.facts
    if facts.true_s or facts.windows:
        return []
    return [
        Matched(activities.DIRECTION[kind], step.direction, step.confidence, step.decided_s - step.contact_s)
        for step in trial.steps
        for start, end, kind in facts.parts
        if start <= step.contact_s < end and kind in activities.DIRECTION
    ]


def _turning(facts: Facts, at: int) -> bool:
    begun_s = facts.true_s[at - 1] if at else facts.true_s[at]
    return any(begun_s < end and start < facts.true_s[at] for start, end in facts.turns)


def _inside(t: float, windows: Iterable[tuple[float, float]], edge_s: float = EDGE_S) -> bool:
    return any(start - edge_s <= t <= end + edge_s for start, end in windows)


def _quiet(facts: Facts, contacts: list[float]) -> tuple[str, float, list[int]]:
    """What the quiet part is called, how long it is in s, and which found steps lie in it."""
    still = [part for part in facts.parts if part[2] in (*activities.NO_STEPS, activities.CAR)]
    if facts.windows:
        parts = _gaps(facts)
        name = STANDING if facts.true_s else GESTURE
    elif still:
        parts, name = [(start, end) for start, end, _ in still], still[0][2]
    elif facts.kind == activities.FALLING_WALKING and facts.falls_s:
        parts, name = [(max(facts.falls_s) + AFTER_FALL_S, facts.duration_s)], AFTER_FALL
    else:
        return "", 0.0, []
    seconds = sum(max(0.0, end - start) for start, end in parts)
    return name, seconds, [i for i, t in enumerate(contacts) if _inside(t, parts, 0.0)]


def _gaps(facts: Facts) -> list[tuple[float, float]]:
    """The parts of the truth windows further than QUIET_S from every true step."""
    gaps = []
    for start, end in facts.windows:
        busy = [(t - QUIET_S, t + QUIET_S) for t in facts.true_s]
        at = start
        for from_s, to_s in busy:
            if to_s <= at:
                continue
            if from_s >= end:
                break
            if from_s > at:
                gaps.append((at, min(from_s, end)))
            at = max(at, to_s)
        if at < end:
            gaps.append((at, end))
    return gaps
