"""Recordings of a worn sensor in the format "recording-1": reading, writing and altering them.

A recording is one `.npz` file (numpy, no pickled objects) with these arrays:

    samples     int16 (N, 6)     acc x y z (0.488 mg per LSB, +-16 g), gyr x y z (70 mdps per LSB, +-2000
                                 dps): the words an LSM6DSOX FIFO delivers. Sample k is taken at k / rate_hz s
    steps       float32 (n, 2)   time of a foot contact in s; code, an index into meta["directions"]
    truth       float32 (k, 2)   windows [from, to] in s in which `steps` is complete; none: no step truth
    spans       float32 (m, 2)   [from, to] in s of a state or an activity, named by
    span_label  text (m,)
    event_t     float32 (e,)     time in s of a single event (a stumble, a fall), named by
    event_kind  text (e,)
    meta        JSON text        see META_KEYS; other keys are kept

Axes where meta["frame"] is "clip": x forward (at the shoe: toe), y left, z up, so a level clip at rest reads
+1 g on z; where it is "sensor" the mounting is unknown. A recording from a shoe lists the contacts of that
shoe only.

The transforms (`rotated`, `resampled`, `with_noise`) return a new recording and keep every truth time. Each
leaves a line in meta["transforms"]; values that no longer fit int16 are held at full scale and counted in
meta["saturated"].
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = "recording-1"
ACC_LSB_G = 0.000488
GYR_LSB_DPS = 0.07
DIRECTIONS = ("forward", "backward", "sideways", "turn", "in_place", "unknown")

PLACEMENTS = ("waist", "shoe", "pocket")
FRAMES = ("clip", "sensor")
META_KEYS: dict[str, type | tuple[type, ...]] = {
    "format": str,
    "rate_hz": (int, float),
    "acc_lsb_g": (int, float),
    "gyr_lsb_dps": (int, float),
    "directions": list,
    "placement": str,  # one of PLACEMENTS
    "frame": str,  # one of FRAMES
    "has_gyro": bool,
    "virtual": bool,  # computed rather than measured
    "may_train": bool,  # numbers learned from it may be published
    "licence": str,
    "source": str,
    "subject": str,
}

MIN_RATE_HZ = 20.0
MAX_RATE_HZ = 250.0

# with_noise(): the width of each imperfection. Offsets and noise are of the size that the LSM6DSOX data sheet
# gives in its table of mechanical characteristics; the angles are how straight a person clips it on.
ACC_NOISE_MG_RMS = 2.0
ACC_BIAS_MG_MAX = 20.0
GYR_NOISE_DPS_RMS = 0.1
GYR_BIAS_DPS_MAX = 1.0
MOUNTING_DEG_MAX = 4.0

# resampled(): a sinc kernel of this many zero crossings a side under a Kaiser window (leakage about -70 dB),
# half amplitude at this part of the lower Nyquist rate.
_ZERO_CROSSINGS = 16
_KAISER_BETA = 7.0
_CUTOFF = 0.9
_BLOCK = 8192

Array = NDArray[Any]


class RecordingError(ValueError):
    """A recording cannot be read, written or altered: what was seen, what was expected, what to do."""

    def __init__(self, where: object, seen: str, expected: str, remedy: str):
        super().__init__(f"{where}: {seen}; expected {expected}. {remedy}")
        self.where = where
        self.seen = seen
        self.expected = expected
        self.remedy = remedy


def _no_times() -> Array:
    return np.zeros((0, 2), np.float32)


def _no_text() -> Array:
    return np.zeros(0, "<U1")


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording; the module's text gives the arrays. Treat the arrays as read-only."""

    samples: Array
    meta: dict[str, Any]
    steps: Array = field(default_factory=_no_times)
    truth: Array = field(default_factory=_no_times)
    spans: Array = field(default_factory=_no_times)
    span_label: Array = field(default_factory=_no_text)
    event_t: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    event_kind: Array = field(default_factory=_no_text)
    path: Path | None = None

    @property
    def rate_hz(self) -> float:
        return float(self.meta["rate_hz"])

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.rate_hz

    @property
    def placement(self) -> str:
        return self.meta["placement"]

    @property
    def frame(self) -> str:
        return self.meta["frame"]

    @property
    def virtual(self) -> bool:
        return self.meta["virtual"]

    @property
    def has_gyro(self) -> bool:
        return self.meta["has_gyro"]

    @property
    def directions(self) -> tuple[str, ...]:
        return tuple(self.meta["directions"])

    @property
    def saturated(self) -> int:
        """How many values the transforms so far had to hold at full scale."""
        return int(self.meta.get("saturated", 0))

    def acc_g(self) -> Array:
        """Specific force in g, float64 (N, 3)."""
        return self.samples[:, :3] * ACC_LSB_G

    def gyr_dps(self) -> Array:
        """Angular rate in degrees a second, float64 (N, 3)."""
        return self.samples[:, 3:] * GYR_LSB_DPS

    def step_times_s(self, direction: str | None = None) -> Array:
        """Times in s of the foot contacts, of one direction or of all; float64 (n,)."""
        times = self.steps[:, 0].astype(np.float64)
        if direction is None:
            return times
        return times[self.steps[:, 1] == self.directions.index(direction)]

    def rotated(self, yaw_deg: float = 0.0, tilt_deg: float = 0.0) -> "Recording":
        """What the same clip would have read, had it been put on turned and tilted.

        The clip is first turned by yaw_deg about its z axis (positive: to the left, seen from above), then by
        tilt_deg about its own y axis (positive: its x axis dips), so a level clip at rest afterwards reads
        -sin(tilt) g on x and cos(tilt) g on z. Accelerometer and gyroscope turn together.
        """
        for name, angle in (("yaw_deg", yaw_deg), ("tilt_deg", tilt_deg)):
            if not np.isfinite(angle):
                raise RecordingError(
                    self._name(), f"{name} = {angle}", "an angle in degrees", "Give a number."
                )
        return self._altered(
            self._turned(yaw_deg, tilt_deg), f"rotated yaw {yaw_deg:g} tilt {tilt_deg:g} deg"
        )

    def resampled(self, rate_hz: float) -> "Recording":
        """The same motion sampled at another rate (20 to 250 Hz), band-limited to the lower of both rates."""
        if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
            raise RecordingError(
                self._name(),
                f"a rate of {rate_hz} Hz was asked for",
                f"{MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz",
                "Choose a rate that a supported sensor has.",
            )
        values = band_limited(self.samples.astype(np.float64), self.rate_hz, float(rate_hz))
        return self._altered(values, f"resampled from {self.rate_hz:g} Hz", rate_hz=float(rate_hz))

    def with_noise(self, seed: int) -> "Recording":
        """The same motion as a real sensor, worn by a person, delivers it. Equal seeds give equal samples.

        Adds what recordings computed from motion capture lack: a mounting off by up to 4 degrees in yaw and
        in tilt, per axis a constant offset of up to 20 mg and 1 deg/s, and white noise of 2 mg and 0.1 deg/s
        rms. It does not add the rattle of a loose clip. Without a gyroscope its columns stay as they are.
        """
        rng = np.random.Generator(np.random.PCG64(seed))
        yaw_deg, tilt_deg = rng.uniform(-MOUNTING_DEG_MAX, MOUNTING_DEG_MAX, 2)
        acc_bias_g = rng.uniform(-ACC_BIAS_MG_MAX, ACC_BIAS_MG_MAX, 3) / 1000
        gyr_bias_dps = rng.uniform(-GYR_BIAS_DPS_MAX, GYR_BIAS_DPS_MAX, 3)
        noise = rng.standard_normal(self.samples.shape)
        values = self._turned(yaw_deg, tilt_deg)
        values[:, :3] += (acc_bias_g + noise[:, :3] * ACC_NOISE_MG_RMS / 1000) / ACC_LSB_G
        if self.has_gyro:
            values[:, 3:] += (gyr_bias_dps + noise[:, 3:] * GYR_NOISE_DPS_RMS) / GYR_LSB_DPS
        return self._altered(values, f"noise seed {seed}")

    def _turned(self, yaw_deg: float, tilt_deg: float) -> Array:
        yaw, tilt = np.radians([yaw_deg, tilt_deg])
        about_z = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
        about_y = np.array([[np.cos(tilt), 0, -np.sin(tilt)], [0, 1, 0], [np.sin(tilt), 0, np.cos(tilt)]])
        turn = (about_y @ about_z).T
        values = self.samples.astype(np.float64)
        return np.hstack([values[:, :3] @ turn, values[:, 3:] @ turn])

    def _altered(self, values: Array, what: str, **meta: Any) -> "Recording":
        samples, saturated = to_int16(values)
        return replace(
            self,
            samples=samples,
            meta={
                **self.meta,
                **meta,
                "transforms": [*self.meta.get("transforms", []), what],
                "saturated": self.saturated + saturated,
            },
        )

    def _name(self) -> str:
        return str(self.path) if self.path else f"recording of {self.meta.get('source', 'unnamed source')}"


def to_int16(values: Array) -> tuple[Array, int]:
    """Sensor words from values in LSB: rounded, held at full scale; and how many had to be held."""
    rounded = np.rint(values)
    held = np.clip(rounded, -32768, 32767)
    return held.astype(np.int16), int(np.count_nonzero(held != rounded))


def band_limited(values: Array, from_hz: float, to_hz: float) -> Array:
    """`values` (N, c) at from_hz, at the instants k / to_hz; beyond its ends it stays as it is there."""
    cutoff = _CUTOFF * min(1.0, to_hz / from_hz)
    reach = int(np.ceil(_ZERO_CROSSINGS / cutoff))
    count = int(len(values) * to_hz / from_hz)
    padded = np.pad(values, ((reach, reach + 1), (0, 0)), mode="edge")
    around = np.arange(-reach, reach + 1)
    out = np.empty((count, values.shape[1]))
    for start in range(0, count, _BLOCK):
        at = np.arange(start, min(start + _BLOCK, count)) * (from_hz / to_hz)
        nearest = np.rint(at).astype(np.int64)
        offset = around - (at - nearest)[:, None]
        window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1 - (offset / (reach + 0.5)) ** 2, 0, 1)))
        weights = np.sinc(offset * cutoff) * window
        weights /= weights.sum(axis=1, keepdims=True)
        out[start : start + _BLOCK] = np.einsum(
            "kj,kjc->kc", weights, padded[nearest[:, None] + around + reach]
        )
    return out


def load(path: str | Path) -> Recording:
    """Read one recording; RecordingError if the file is not a sound recording-1."""
    path = Path(path)
    arrays = _arrays(path)
    recording = Recording(
        samples=arrays["samples"],
        meta=_meta(path, arrays["meta"]),
        steps=arrays["steps"],
        truth=arrays["truth"],
        spans=arrays["spans"],
        span_label=arrays["span_label"],
        event_t=arrays["event_t"],
        event_kind=arrays["event_kind"],
        path=path,
    )
    check(recording)
    return recording


def save(recording: Recording, path: str | Path) -> Path:
    """Write one recording, replacing the file as a whole or not at all; equal recordings give equal bytes."""
    path = Path(path)
    check(recording)
    unfinished = path.with_name(path.name + ".part")
    try:
        with unfinished.open("wb") as stream:
            np.savez_compressed(
                stream,
                allow_pickle=False,
                samples=recording.samples,
                steps=recording.steps,
                truth=recording.truth,
                spans=recording.spans,
                span_label=recording.span_label,
                event_t=recording.event_t,
                event_kind=recording.event_kind,
                meta=np.array(json.dumps(recording.meta)),
            )
        unfinished.replace(path)
    except OSError as cause:
        unfinished.unlink(missing_ok=True)
        raise RecordingError(
            path, f"writing failed ({cause})", "a folder that can be written to", "Choose another place."
        ) from cause
    return path


def check(recording: Recording) -> None:
    """RecordingError unless every array and the meta data are as the format says."""
    where = recording.path or "recording"
    _check_meta(where, recording.meta)
    _check_array(where, "samples", recording.samples, "int16", (None, 6))
    if not len(recording.samples):
        raise RecordingError(where, "samples is empty", "at least one sample", "Record it again.")
    for name in ("steps", "truth", "spans"):
        _check_array(where, name, getattr(recording, name), "float32", (None, 2))
    _check_array(where, "span_label", recording.span_label, "text", (len(recording.spans),))
    _check_array(where, "event_t", recording.event_t, "float32", (None,))
    _check_array(where, "event_kind", recording.event_kind, "text", (len(recording.event_t),))
    steps = recording.steps
    if np.any(np.diff(steps[:, 0]) < 0):
        at = int(np.argmax(np.diff(steps[:, 0]) < 0)) + 1
        raise RecordingError(
            where, f"step {at} is earlier than the one before it", "steps in order of time", "Sort the steps."
        )
    codes = steps[:, 1]
    known = len(recording.directions)
    if np.any((codes < 0) | (codes >= known) | (codes != np.floor(codes))):
        raise RecordingError(
            where,
            f"step code {codes[(codes < 0) | (codes >= known) | (codes != np.floor(codes))][0]:g}",
            f"a whole number from 0 to {known - 1} (meta.directions)",
            "Correct the codes or the list of directions.",
        )


def _arrays(path: Path) -> dict[str, Array]:
    wanted = ("samples", "steps", "truth", "spans", "span_label", "event_t", "event_kind", "meta")
    try:
        # numpy leaves a file open that it opened and could not read.
        with path.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                raise RecordingError(
                    path, "a single numpy array", "an .npz archive", "Save it as recording-1."
                )
            missing = [name for name in wanted if name not in loaded.files]
            if missing:
                raise RecordingError(
                    path,
                    f"no array {', '.join(missing)} (there is {', '.join(sorted(loaded.files)) or 'none'})",
                    f"the arrays {', '.join(wanted)}",
                    "Save it again as recording-1.",
                )
            return {name: loaded[name] for name in wanted}
    except RecordingError:
        raise
    except FileNotFoundError as cause:
        raise RecordingError(path, "no such file", "a recording (.npz)", "Check the path.") from cause
    # A damaged archive raises what it likes: zipfile, zlib and numpy have some ten kinds between them.
    except Exception as cause:
        raise RecordingError(
            path,
            f"not readable as an .npz archive without pickled objects ({type(cause).__name__})",
            f"a whole {FORMAT} file",
            "Copy or convert it again.",
        ) from cause


def _meta(path: Path, text: Array) -> dict[str, Any]:
    expected = "one JSON object as text in meta"
    if text.dtype.kind != "U" or text.ndim != 0:
        raise RecordingError(path, f"meta is {text.dtype} {text.shape}", expected, "Save it again.")
    try:
        meta = json.loads(str(text))
    except ValueError as cause:
        raise RecordingError(path, f"meta is not JSON ({cause})", expected, "Save it again.") from cause
    if not isinstance(meta, dict):
        raise RecordingError(path, f"meta is a JSON {type(meta).__name__}", expected, "Save it again.")
    return meta


def _check_meta(where: object, meta: dict[str, Any]) -> None:
    remedy = "Convert the file, or correct its meta data."
    if meta.get("format") != FORMAT:
        raise RecordingError(where, f"format {meta.get('format')!r}", f"{FORMAT!r}", remedy)
    for key, kind in META_KEYS.items():
        value = meta.get(key)
        # bool is an int to Python; a rate of True is not a rate.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            name = kind.__name__ if isinstance(kind, type) else "number"
            raise RecordingError(where, f"meta.{key} is {value!r}", f"a {name}", remedy)
    for key, allowed in (("placement", PLACEMENTS), ("frame", FRAMES)):
        if meta[key] not in allowed:
            raise RecordingError(where, f"meta.{key} is {meta[key]!r}", " or ".join(allowed), remedy)
    # Everything downstream reads sensor words at this scale.
    for key, scale in (("acc_lsb_g", ACC_LSB_G), ("gyr_lsb_dps", GYR_LSB_DPS)):
        if meta[key] != scale:
            raise RecordingError(where, f"meta.{key} is {meta[key]!r}", f"{scale!r}", remedy)
    if not 1 <= meta["rate_hz"] <= 10_000:
        raise RecordingError(where, f"meta.rate_hz is {meta['rate_hz']!r}", "1 to 10000 Hz", remedy)
    if not meta["directions"] or not all(isinstance(name, str) for name in meta["directions"]):
        raise RecordingError(where, f"meta.directions is {meta['directions']!r}", "a list of names", remedy)


def _check_array(where: object, name: str, array: Array, kind: str, shape: Sequence[int | None]) -> None:
    right_kind = array.dtype.kind == "U" if kind == "text" else array.dtype == np.dtype(kind)
    right_shape = array.ndim == len(shape) and all(
        want in (None, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if not (right_kind and right_shape):
        sizes = ", ".join("any" if want is None else str(want) for want in shape)
        raise RecordingError(
            where,
            f"{name} is {array.dtype} {array.shape}",
            f"{kind} ({sizes})",
            "Save it again as recording-1.",
        )
    if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        raise RecordingError(
            where, f"{name} holds NaN or infinity", "finite times in seconds", "Remove those entries."
        )
