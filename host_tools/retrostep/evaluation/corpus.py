"""The recordings of a folder with what is known of each; or a seeded sample of them."""

from collections import defaultdict
from pathlib import Path

import numpy as np

from retrostep import recording as recordings
from retrostep.evaluation import activities, excerpts
from retrostep.evaluation.scoring import Facts
from retrostep.recording import Recording, RecordingError

# Shorter ones without step truth are windows: too short to open a bout, so each is repeated.
WINDOW_S = 8.0
WINDOW_TIMES = 4
QUICK_PER_KIND = 2

Corpus = list[tuple[Recording, Facts]]


class NoRecordings(ValueError):
    """The folder holds nothing to evaluate: what was seen, what was expected, what to do."""


def load(folder: Path, only: tuple[str, ...]) -> tuple[Corpus, list[str]]:
    """The recordings below a folder in order of name, and why others could not be read. only: sources, or all."""
    files = sorted(folder.rglob("*.npz"))
    if not files:
        seen = "no .npz file in or below it"
        if not folder.is_dir():
            seen = "a file, not a folder" if folder.exists() else "no such folder"
        raise NoRecordings(
            f"{folder}: {seen}; expected recordings (recording-1). docs/recording.md tells how to make some."
        )
    loaded: Corpus = []
    skipped: list[str] = []
    sources = set()
    for path in files:
        try:
            one = recordings.load(path)
        except RecordingError as error:
            skipped.append(str(error))
            continue
        sources.add(one.meta["source"])
        if only and one.meta["source"] not in only:
            continue
        file = path.relative_to(folder).as_posix()
        window = not len(one.truth) and not len(one.steps) and one.duration_s < WINDOW_S
        if window and one.duration_s > 2 * excerpts.FADE_S:
            one = excerpts.repeated(one, WINDOW_TIMES)
        loaded.append((one, Facts.of(one, file, window)))
    if not loaded:
        seen = f"sources {', '.join(sorted(sources))}" if sources else f"no recording in {len(files)} files"
        wish = f"one of {', '.join(only)}" if only and sources else "recordings (recording-1)"
        first = f" First: {skipped[0]}" if skipped else ""
        raise NoRecordings(f"{folder}: {seen}; expected {wish}.{first}")
    return loaded, skipped


def sample(loaded: Corpus, seed: int) -> Corpus:
    """Up to QUICK_PER_KIND recordings of each activity, source, placement and group."""
    groups: dict[tuple[str, ...], Corpus] = defaultdict(list)
    for item in loaded:
        facts = item[1]
        groups[facts.source, facts.placement, facts.group, facts.activity.split(" ")[0]].append(item)
    rng = np.random.Generator(np.random.PCG64(seed))
    chosen: Corpus = []
    for group in groups.values():
        some = rng.permutation(len(group))[:QUICK_PER_KIND]
        chosen += [group[i] for i in sorted(some)]
    return chosen


def walks_forward(facts: Facts) -> bool:
    """Whether all of the recording is forward walking, so that it can teach the mounting."""
    if facts.true_s:
        return set(facts.true_directions) == {"forward"}
    return all(kind == activities.WALKING for _, _, kind in facts.parts)


def straight_beginning(one: Recording) -> Recording:
    """From the beginning to the first turn."""
    turns = [float(span[0]) for span, name in zip(one.spans, one.span_label, strict=True) if name == "uturn"]
    return excerpts.cut(one, 0.0, min(turns)) if turns else one
