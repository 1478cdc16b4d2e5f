"""What is known of a recording from its label alone: whether, and which way, somebody walked.

Only where every step of a recording, or of a labelled span of it, goes the same way, or none is walked at all, can
its found steps be judged without annotated contacts. Labels are those of the sources, or the plain names of
docs/recording.md.
"""

from retrostep.recording import Recording

# Kinds in which each step found goes forward.
WALKING = "forward"
JOGGING = "run"
STAIRS = "stairs"
STAIRS_DOWN = "stairs down"
BACKWARD = "backward"
SIDEWAYS = "sideways"
TURNING = "turn"
# Kinds in which no step is walked.
RESTING = "sitting, lying, bending"
JUMPING = "jumping"
FALLING = "fall without walking"
EXERCISE = "exercise"
# Kinds in which steps of any direction may be walked.
CAR = "getting into a car"
FALLING_WALKING = "fall while walking"
STUMBLE = "stumble"
UNKNOWN = ""

NO_STEPS = (RESTING, JUMPING, FALLING, EXERCISE)

# Which way each step goes; running and climbing go forward.
DIRECTION = {
    WALKING: "forward",
    JOGGING: "forward",
    STAIRS: "forward",
    STAIRS_DOWN: "forward",
    BACKWARD: "backward",
    SIDEWAYS: "sideways",
}

PLAIN = {
    "forward": WALKING,
    "backward": BACKWARD,
    "sideways": SIDEWAYS,
    "turn": TURNING,
    "stairs": STAIRS,
    "run": JOGGING,
    "idle": RESTING,
}

SISFALL = {
    "D01": WALKING,
    "D02": WALKING,
    "D03": JOGGING,
    "D04": JOGGING,
    "D05": STAIRS,
    "D06": STAIRS,
    **{f"D{number:02d}": RESTING for number in range(7, 17)},
    "D17": CAR,
    "D18": STUMBLE,
    "D19": JUMPING,
    **{f"F{number:02d}": FALLING_WALKING for number in range(1, 8)},
    **{f"F{number:02d}": FALLING for number in range(8, 16)},
}

KUHAR = {
    **dict.fromkeys((0, 1, 2, 3, 4, 5, 6, 7), RESTING),
    8: JUMPING,
    **dict.fromkeys((9, 10, 17), EXERCISE),
    11: WALKING,
    12: BACKWARD,
    13: WALKING,
    14: JOGGING,
    15: STAIRS,
    16: STAIRS_DOWN,
}


def label(recording: Recording) -> str:
    """The source's own name of the activity."""
    return str(recording.meta.get("activity", ""))


def kind(recording: Recording) -> str:
    """One of the kinds above."""
    name = label(recording)
    source = recording.meta["source"]
    if source == "sisfall":
        return SISFALL.get(name.split(" ")[0], UNKNOWN)
    if source == "kuhar":
        return KUHAR.get(int(name.split(":")[0]), UNKNOWN) if name.split(":")[0].isdigit() else UNKNOWN
    return PLAIN.get(name.split(" ")[0], UNKNOWN)


def parts(recording: Recording) -> tuple[tuple[float, float, str], ...]:
    """(from, to, kind) in s: the spans with a plain name, or else the whole recording."""
    spans = tuple(
        (float(start), float(end), PLAIN[str(name)])
        for (start, end), name in zip(recording.spans, recording.span_label, strict=True)
        if str(name) in PLAIN
    )
    if spans and recording.meta["source"] not in ("sisfall", "kuhar"):
        return spans
    return ((0.0, recording.duration_s, kind(recording)),)
