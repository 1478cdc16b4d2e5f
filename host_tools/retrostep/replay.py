"""Runs the firmware's own gait code, in MicroPython, over recordings.

A Replayer holds one interpreter and replays any number of recordings through it; see replay_device.py for the
other side. Results carry times in s from the first sample.
"""

import json
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from retrostep import interpreter
from retrostep.device_tree import device_root, use_device_code
from retrostep.recording import MAX_RATE_HZ, MIN_RATE_HZ, Recording

HEAP = "8m"
# The events that `replay` reports; bouts are bookkeeping.
EVENT_KINDS = ("unstable", "stumble", "fall", "changed_gait", "wrong_clip", "sensor_fault")
DIRECTIONS = ("forward", "backward", "sideways", "unknown")


class ReplayError(RuntimeError):
    """A recording could not be replayed: what was seen, what was expected, what to do."""


@dataclass(frozen=True)
class ReplayedStep:
    """contact_s: when the foot touched down; decided_s: when the firmware had settled it."""

    contact_s: float
    decided_s: float
    direction: str
    confidence: float
    stability: float | None


@dataclass(frozen=True)
class Replay:
    """What the firmware made of one recording. events and cues are (time in s, name).

    baseline: what it learned of the wearer, bytes to hand to the next replay; None where that was too little.
    """

    duration_s: float
    placement: str
    model: str
    steps: list[ReplayedStep] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)
    cues: list[tuple[float, str]] = field(default_factory=list)
    baseline: bytes | None = None

    def counts(self) -> dict[str, int]:
        directions = [step.direction for step in self.steps]
        return {name: directions.count(name) for name in DIRECTIONS}

    def as_json(self, file: str) -> dict[str, Any]:
        """The object that `retrostep replay --json` prints for `file`."""
        return {
            "file": file,
            "duration_s": round(self.duration_s, 3),
            "placement": self.placement,
            "model": self.model,
            "steps": [
                {
                    "t": round(step.contact_s, 3),
                    "decided_t": round(step.decided_s, 3),
                    "direction": step.direction,
                    "confidence": step.confidence,
                    "stability": step.stability,
                }
                for step in self.steps
            ],
            "counts": self.counts(),
            "events": [{"t": round(t, 3), "kind": kind} for t, kind in self.events],
            "cues": [{"t": round(t, 3), "pattern": pattern} for t, pattern in self.cues],
        }


class Replayer:
    """One MicroPython interpreter for many recordings. Use it in a `with` statement.

    model: the file of a learned model (docs/training.md) that has a say at the waist; ReplayError at the first replay
    if the firmware refuses it.
    """

    def __init__(self, model: Path | None = None) -> None:
        use_device_code()
        from firmware.gait.mounting import Mounting

        self._clip = Mounting.clip().pack()
        self._model = None if model is None else str(model.resolve())
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "Replayer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def calibrate(self, recording: Recording, placement: str | None = None) -> bytes:
        """The packed mounting learned from a recording of forward walking."""
        job = {"calibrate": True, "placement": placement or recording.placement}
        for answer in self._ask(recording, job):
            if answer[0] == "mounting":
                return bytes.fromhex(answer[1])
            if answer[0] == "failed":
                raise ReplayError(f"{_name(recording)}: cannot calibrate: {answer[1]}")
        raise ReplayError(f"{_name(recording)}: calibration gave no answer")

    def replay(
        self,
        recording: Recording,
        placement: str | None = None,
        mounting: bytes | None = None,
        baseline: bytes | None = None,
    ) -> Replay:
        """What the device would have made of `recording`.

        placement: default, the recording's. mounting: a packed mounting; default, a straight clip where the
        recording is in the clip's frame, unknown otherwise. baseline: what is usual for the wearer (Replay.baseline).
        """
        placement = placement or recording.placement
        job = self._job(recording, placement, mounting)
        if baseline:
            job["baseline"] = baseline.hex()
        if self._model and placement == "waist":
            job["model"] = self._model
        rate = recording.rate_hz
        model = ""
        steps: list[ReplayedStep] = []
        events: list[tuple[float, str]] = []
        cues: list[tuple[float, str]] = []
        learned = None
        for kind, *values in self._ask(recording, job):
            if kind == "step":
                steps.append(_step(values, rate))
            elif kind == "event" and values[1] in EVENT_KINDS:
                events.append((values[0] / rate, values[1]))
            elif kind == "cue":
                cues.append((values[0] / rate, values[1]))
            elif kind == "baseline":
                learned = bytes.fromhex(values[0])
            elif kind == "done":
                model = values[0]
            elif kind == "failed":
                raise ReplayError(f"{self._model}: the firmware refuses this model: {values[0]}")
        return Replay(recording.duration_s, placement, model, steps, events, cues, learned)

    def walk_test(
        self, recording: Recording, go_s: float, placement: str | None = None, mounting: bytes | None = None
    ) -> dict[str, Any]:
        """The decoded WALK_TEST record of a 3-metre test whose start signal comes at `go_s`.

        With "known_s", when the device knew. Its uptime is the time from the first sample. The other arguments are
        those of replay(). Raises ReplayError if the recording ends before the test does.
        """
        from firmware import steplog, steplog_decoder

        job = self._job(recording, placement or recording.placement, mounting)
        for kind, *values in self._ask(recording, {**job, "go": round(go_s * recording.rate_hz)}):
            if kind == "walk_test":
                record = steplog_decoder.decode(steplog.WALK_TEST, bytes.fromhex(values[0]))
                return {**record, "known_s": values[1] / recording.rate_hz}
        raise ReplayError(
            f"{_name(recording)}: the walk test is not over after {recording.duration_s:.1f} s; "
            "expected 3 s of standing after the walk, or 15 s without one"
        )

    def features(self, recording: Recording) -> list[tuple[ReplayedStep, list[int] | None]]:
        """The settled steps of a recording from the waist, each with what a learned model would be shown of it.

        None where a step has no features: it opens a bout, or the mounting was not known then.
        """
        job = {**self._job(recording, "waist", None), "features": True}
        found: list[tuple[ReplayedStep, list[int] | None]] = []
        for kind, *values in self._ask(recording, job):
            if kind == "step":
                found.append((_step(values, recording.rate_hz), None))
            elif kind == "features":
                found[-1] = (found[-1][0], values[0])
        return found

    def _job(self, recording: Recording, placement: str, mounting: bytes | None) -> dict[str, Any]:
        if mounting is None and recording.frame == "clip":
            mounting = self._clip
        return {"placement": placement, "mounting": mounting.hex() if mounting else None}

    def _ask(self, recording: Recording, job: dict[str, Any]) -> list[list[Any]]:
        if not MIN_RATE_HZ <= recording.rate_hz <= MAX_RATE_HZ:
            raise ReplayError(
                f"{_name(recording)}: sampled at {recording.rate_hz:g} Hz; the firmware expects "
                f"{MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz; resample it with --rate-hz"
            )
        process = self._start()
        assert process.stdin is not None and process.stdout is not None
        answers: list[list[Any]] = []
        with tempfile.TemporaryDirectory(prefix="retrostep-") as folder:
            samples = Path(folder) / "samples"
            samples.write_bytes(np.ascontiguousarray(recording.samples, "<i2").tobytes())
            job = {**job, "samples": str(samples), "rate_millihz": round(recording.rate_hz * 1000)}
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            while not answers or answers[-1][0] != "done":
                line = process.stdout.readline()
                if not line.startswith("["):
                    said = (line + process.stdout.read()).strip()
                    self.close()
                    raise ReplayError(f"{_name(recording)}: MicroPython stopped: {said or 'no message'}")
                answers.append(json.loads(line))
        return answers

    def _start(self) -> "subprocess.Popen[str]":
        if self._process is None:
            root = device_root()
            script = Path(__file__).with_name("replay_device.py")
            self._process = subprocess.Popen(
                interpreter.command(script, str(root), heap=HEAP),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        return self._process

    def close(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            with process:
                if process.stdin is not None:
                    process.stdin.close()


def _step(values: list[Any], rate_hz: float) -> ReplayedStep:
    contact, decided, direction, confidence, stability = values
    return ReplayedStep(
        contact / rate_hz,
        decided / rate_hz,
        DIRECTIONS[direction],
        confidence / 100,
        None if stability is None else stability / 100,
    )


def _name(recording: Recording) -> str:
    return str(recording.path or "recording")
