"""What can be wrong with a clip: the conditions under which recordings are replayed again.

Each makes of a recording the same walk as the clip would have seen it. Signs and seeds follow from the file's
name and the evaluation's seed, so that equal calls give equal figures.
"""

import zlib
from collections.abc import Callable
from dataclasses import replace

from retrostep.recording import Recording

AS_RECORDED = "as recorded"
CALIBRATED = "calibrated on another walk"
NOT_CALIBRATED = "not calibrated"
NOISE = "sensor noise"
YAW_30 = "yaw 30"
YAW_90 = "yaw 90"
RATE_52 = "52 Hz"

Alter = Callable[[Recording, int], Recording]


def _yaw(degrees: float) -> Alter:
    return lambda recording, seed: recording.rotated(yaw_deg=degrees if seed % 2 else -degrees)


def _rate(rate_hz: float) -> Alter:
    return lambda recording, _seed: recording.resampled(rate_hz)


# The frame decides whether the mounting is known.
CONDITIONS: dict[str, Alter] = {
    AS_RECORDED: lambda recording, _seed: recording,
    NOISE: lambda recording, seed: recording.with_noise(seed),
    "yaw 15": _yaw(15),
    YAW_30: _yaw(30),
    "yaw 45": _yaw(45),
    YAW_90: _yaw(90),
    "tilt 15": lambda recording, seed: recording.rotated(tilt_deg=15 if seed % 2 else -15),
    RATE_52: _rate(52),
    "26 Hz": _rate(26),
    NOT_CALIBRATED: lambda recording, _seed: replace(recording, meta={**recording.meta, "frame": "sensor"}),
}


def seed_of(name: str, seed: int) -> int:
    """A number that depends on the file's name and the evaluation's seed only."""
    return zlib.crc32(f"{seed}:{name}".encode())


def wanted(recording: Recording, known_direction: bool) -> list[str]:
    """The conditions that mean something for this recording.

    known_direction: there are true steps, or the label tells which way every step went.
    """
    names = [AS_RECORDED]
    if recording.virtual:
        names.append(NOISE)
    if recording.placement == "waist":
        names.append(YAW_30)
        if known_direction:
            names += ["yaw 15", "yaw 45", YAW_90, "tilt 15"]
    if len(recording.truth):
        names += [RATE_52, "26 Hz"]
    if recording.frame == "clip" and known_direction:
        names.append(NOT_CALIBRATED)
    return names
