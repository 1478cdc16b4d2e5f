"""Makes a model of all people, and tests the recipe on each person with a model of all the others.

The held-out test is what the summary tells: a model is as good as it is on people it has never seen. It gives the
confusion of the model by itself, and physics alone against physics with the model, each person's recordings replayed
through the firmware with the model that was made without that person.
"""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retrostep.evaluation import corpus
from retrostep.evaluation.corpus import Corpus, NoRecordings
from retrostep.training import comparison, examples, logistic, modelfile, trees
from retrostep.training.comparison import Row, Said
from retrostep.training.errors import TrainingError
from retrostep.training.examples import CLASSES, Examples
from retrostep.training.modelfile import LearnedModel, Tables, learned

KINDS: dict[str, Callable[[Examples, tuple[int, ...], int], Tables]] = {
    "logistic": logistic.fit,
    "trees": trees.fit,
}
CLASS_OF_DIRECTION = {modelfile.FORWARD: 0, modelfile.BACKWARD: 1, modelfile.UNKNOWN: 2}


@dataclass(frozen=True)
class Trained:
    """text: the model file. summary: what it says of itself. held_out: physics against physics with the model.

    not_tested: people without whom too little was left to learn from. refused: recordings, by reason.
    """

    text: str
    summary: dict[str, Any]
    held_out: list[Row]
    not_tested: list[str]
    refused: Counter[str]


def train(
    folders: Sequence[Path],
    *,
    kind: str = "logistic",
    seed: int = 1,
    jobs: int = 2,
    progress: Callable[[str], None] = lambda _: None,
) -> Trained:
    """A model from all recordings in the folders that may be used. Raises TrainingError."""
    if kind not in KINDS:
        raise TrainingError(f"kind {kind!r}; expected one of {', '.join(KINDS)}")
    taken, refused = examples.load(folders)
    progress(f"replaying {len(taken)} recordings")
    found = examples.examples(taken, jobs)
    _need_two_classes(found)
    progress("testing on people held out")
    confusion, held_out, not_tested = _cross_validated(taken, found, kind, seed, jobs)
    summary = {
        "kind": kind,
        "seed": seed,
        "data": examples.digest(one for one, _ in taken),
        "steps": found.counts(),
        "people": sorted({person_code(person) for person in found.persons}),
        "held_out": confusion,
    }
    progress("fitting all people")
    text = modelfile.source(kind, KINDS[kind](found, learned.LIMITS, seed), summary)
    return Trained(text, summary, held_out, not_tested, refused)


def person_code(person: str) -> str:
    """Stands for a person in a model file: enough to leave them out of a comparison, without a name."""
    return hashlib.sha256(person.encode()).hexdigest()[:8]


def _need_two_classes(found: Examples) -> None:
    present = [CLASSES[label] for label in np.unique(found.labels)]
    if "forward" not in present or "backward" not in present:
        raise TrainingError(
            f"{len(found)} steps, all of them {' or '.join(present)}; expected forward and backward ones, "
            "to tell them apart"
        )


def _cross_validated(
    taken: Corpus, found: Examples, kind: str, seed: int, jobs: int
) -> tuple[dict[str, dict[str, dict[str, int]]], list[Row], list[str]]:
    confusion: dict[str, dict[str, dict[str, int]]] = {}
    physics: list[Said] = []
    with_model: list[Said] = []
    not_tested = []
    with tempfile.TemporaryDirectory(prefix="retrostep-") as folder:
        for person in sorted({facts.person for _, facts in taken}):
            others = found.without(person)
            if not {examples.FORWARD, examples.BACKWARD} <= set(others.labels):
                not_tested.append(person)
                continue
            tables = KINDS[kind](others, learned.LIMITS, seed)
            model = modelfile.write(Path(folder) / "model.py", modelfile.source(kind, tables, {}))
            his = found.only(found.persons == person)
            for values, label, virtual in zip(his.features.tolist(), his.labels, his.virtual, strict=True):
                said = CLASS_OF_DIRECTION[model.decide(values)[0]]
                counts = confusion.setdefault(
                    "virtual" if virtual else "real",
                    {true: dict.fromkeys(CLASSES, 0) for true in CLASSES},
                )
                counts[CLASSES[label]][CLASSES[said]] += 1
            recordings = [item for item in taken if item[1].person == person]
            physics += comparison.replayed(recordings, None, jobs)
            with_model += comparison.replayed(recordings, model.path, jobs)
    return confusion, comparison.rows(physics, with_model), not_tested


def strangers(model: LearnedModel, folders: Sequence[Path]) -> tuple[Corpus, list[str]]:
    """Recordings from the waist of people from whom the model was not made, and who was left out.

    May hold recordings that must not be learned from: judging is not learning.
    """
    loaded: Corpus = []
    for folder in folders:
        try:
            loaded += corpus.load(folder, ())[0]
        except NoRecordings as nothing:
            raise TrainingError(str(nothing)) from nothing
    loaded = [item for item in loaded if item[0].placement == "waist" and item[0].frame == "clip"]
    known = set(model.summary["people"])
    seen = sorted({facts.person for _, facts in loaded if person_code(facts.person) in known})
    unseen = [item for item in loaded if item[1].person not in seen]
    if not unseen:
        raise TrainingError(
            f"nobody to compare on in {', '.join(map(str, folders))}: the model was made from {len(seen)} of the "
            "people there; expected recordings from the waist of other people"
        )
    return unseen, seen
