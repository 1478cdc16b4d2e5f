"""Steps to learn from: what the firmware finds in recordings, with features, true direction and person.

Input: a folder of recordings (recording-1). Output: Examples. Only recordings from the waist whose mounting is known
and whose meta.may_train is true are taken; the others are counted by source and reason.

The steps are those that the firmware finds, with firmware/gait/learned.py's features of each, computed in
MicroPython. The true direction comes from the nearest annotated contact within 0.25 s, after the source's constant
lag is removed; or, where no contact is annotated, from the activity or the span in which the step lies
(evaluation/activities.py). Side steps, turns, steps on the spot and steps found in an exercise without any are
NEITHER. Windows shorter than 8 s are played four times over, as `retrostep evaluate` does.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retrostep.evaluation import activities, corpus, runs
from retrostep.evaluation.corpus import Corpus, NoRecordings
from retrostep.evaluation.matching import constant_lag_s, pair
from retrostep.evaluation.scoring import NEAR_S, Facts
from retrostep.recording import Recording
from retrostep.replay import ReplayedStep, Replayer
from retrostep.training.errors import TrainingError

CLASSES: tuple[str, ...] = ("forward", "backward", "neither")
FORWARD, BACKWARD, NEITHER = range(len(CLASSES))
_CLASS_OF = {
    "forward": FORWARD,
    "backward": BACKWARD,
    "sideways": NEITHER,
    "turn": NEITHER,
    "in_place": NEITHER,
}


@dataclass(frozen=True, eq=False)
class Examples:
    """n steps. features int (n, k); labels int (n,), index into CLASSES; person and virtual of each."""

    features: np.ndarray
    labels: np.ndarray
    persons: np.ndarray
    virtual: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, mask: np.ndarray) -> "Examples":
        return Examples(self.features[mask], self.labels[mask], self.persons[mask], self.virtual[mask])

    def without(self, person: str) -> "Examples":
        """The steps of all other people."""
        return self.only(self.persons != person)

    def weights(self) -> np.ndarray:
        """Each class that is there weighs alike, within it each person, and of a person each step; sum 1."""
        weights = np.zeros(len(self))
        present = np.unique(self.labels)
        for label in present:
            of_class = self.labels == label
            people = np.unique(self.persons[of_class])
            for person in people:
                his = of_class & (self.persons == person)
                weights[his] = 1 / (len(present) * len(people) * np.count_nonzero(his))
        return weights

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """{"real" | "virtual": {class: {"people": .., "steps": ..}}}"""
        return {
            name: {
                CLASSES[label]: {
                    "people": len(np.unique(self.persons[chosen])),
                    "steps": int(np.count_nonzero(chosen)),
                }
                for label in range(len(CLASSES))
                for chosen in [(self.virtual == virtual) & (self.labels == label)]
                if chosen.any()
            }
            for name, virtual in (("real", False), ("virtual", True))
            if (self.virtual == virtual).any()
        }


def load(folders: Sequence[Path]) -> tuple[Corpus, Counter[str]]:
    """The recordings to learn from in all folders, in order of name, and how many others there are, by reason."""
    taken: Corpus = []
    refused: Counter[str] = Counter()
    for folder in folders:
        try:
            loaded, unreadable = corpus.load(folder, ())
        except NoRecordings as nothing:
            raise TrainingError(str(nothing)) from nothing
        refused.update({"not readable": len(unreadable)} if unreadable else {})
        for one, facts in loaded:
            reason = _why_not(one)
            if reason:
                refused[f"{facts.source}: {reason}"] += 1
            else:
                taken.append((one, facts))
    if not taken:
        seen = "; ".join(f"{count} of {reason}" for reason, count in sorted(refused.items()))
        raise TrainingError(
            f"nothing to learn from in {', '.join(map(str, folders))}: {seen}; expected recordings from the waist in "
            "the clip's frame with meta.may_train true. docs/recording.md tells how to make some."
        )
    return taken, refused


def _why_not(one: Recording) -> str:
    if not one.meta["may_train"]:
        return "may_train is false"
    if one.placement != "waist":
        return f"not from the waist but {one.placement}"
    return "" if one.frame == "clip" else "mounting unknown"


def examples(taken: Corpus, jobs: int) -> Examples:
    """The labelled steps that the firmware finds in the recordings."""
    found = [(facts, steps) for (_, facts), steps in runs.each(taken, _features, jobs)]
    lag_s = {
        source: constant_lag_s(
            ([step.contact_s for step, _ in steps], facts.true_s)
            for facts, steps in found
            if facts.source == source and facts.true_s
        )
        for source in {facts.source for facts, _ in found}
    }
    rows: list[tuple[list[int], int, str, bool]] = []
    for facts, steps in found:
        for (_, values), label in zip(steps, _labels(facts, steps, lag_s[facts.source]), strict=True):
            if values is not None and label is not None:
                rows.append((values, label, facts.person, facts.virtual))
    if not rows:
        raise TrainingError(
            f"no labelled step in {len(taken)} recordings; expected contacts in `steps`, or an activity or spans "
            "with the words of docs/recording.md (forward, backward, sideways ...)"
        )
    # Sums of floats depend on the order of their terms; the names of the files must not.
    rows.sort()
    return Examples(
        np.array([row[0] for row in rows]),
        np.array([row[1] for row in rows]),
        np.array([row[2] for row in rows]),
        np.array([row[3] for row in rows]),
    )


_Found = list[tuple[ReplayedStep, list[int] | None]]


def _features(replayer: Replayer, item: tuple[Recording, Facts]) -> _Found:
    return replayer.features(item[0])


def _labels(facts: Facts, steps: _Found, lag_s: float) -> list[int | None]:
    """The class of each found step; None where it is not known."""
    labels: list[int | None] = [None] * len(steps)
    if facts.true_s:
        for i, j in pair([step.contact_s - lag_s for step, _ in steps], facts.true_s, NEAR_S):
            labels[i] = _CLASS_OF.get(facts.true_directions[j])
        return labels
    for i, (step, _) in enumerate(steps):
        for start, end, kind in facts.parts:
            if start <= step.contact_s < end:
                labels[i] = _class_of_kind(kind)
    return labels


def _class_of_kind(kind: str) -> int | None:
    if kind in activities.NO_STEPS or kind == activities.TURNING:
        return NEITHER
    return _CLASS_OF.get(activities.DIRECTION.get(kind, ""))


def digest(recordings: Iterable[Recording]) -> str:
    """SHA-256 over what the recordings hold, whatever their files and folders are called; hexadecimal."""
    each = []
    for one in recordings:
        hashed = hashlib.sha256(json.dumps(one.meta, sort_keys=True).encode())
        for array in (one.samples, one.steps, one.truth, one.spans, one.span_label):
            hashed.update(
                repr((array.shape, array.tolist())).encode() if array.dtype.kind == "U" else array.tobytes()
            )
        each.append(hashed.hexdigest())
    return hashlib.sha256("".join(sorted(each)).encode()).hexdigest()
