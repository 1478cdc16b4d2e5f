"""Short bouts: stretches of exactly so many steps, cut from longer walks, and how many of them are reported."""

from collections.abc import Iterator
from dataclasses import dataclass

from retrostep.evaluation import excerpts
from retrostep.evaluation.conditions import (
    AS_RECORDED,
    CONDITIONS,
    YAW_30,
    seed_of,
)
from retrostep.evaluation.corpus import Corpus
from retrostep.evaluation.scoring import Facts
from retrostep.recording import Recording
from retrostep.replay import Replayer

BOUT_STEPS = (4, 5, 6)
BOUTS_PER_RECORDING = 2

# The excerpt, what is known of the whole recording, condition, steps.
Job = tuple[Recording, Facts, str, int]


@dataclass(frozen=True)
class Bout:
    """A stretch of exactly `steps` forward steps between quiet parts, and how many were found."""

    facts: Facts
    condition: str
    steps: int
    found: int


def cuts(loaded: Corpus, seed: int) -> Iterator[Job]:
    """Bouts from every real walk at the waist, straight and with the clip turned by 30 degrees."""
    for one, facts in loaded:
        if facts.virtual or one.placement != "waist" or not facts.true_s or not facts.windows:
            continue
        for steps in BOUT_STEPS:
            for cut in excerpts.bouts(one, steps, BOUTS_PER_RECORDING, seed_of(facts.file, seed) + steps):
                for condition in (AS_RECORDED, YAW_30):
                    yield cut, facts, condition, steps


def replayed(replayer: Replayer, job: Job, seed: int) -> Bout:
    """One bout through the firmware."""
    one, facts, condition, steps = job
    altered = CONDITIONS[condition](one, seed_of(facts.file, seed))
    return Bout(facts, condition, steps, len(replayer.replay(altered).steps))
