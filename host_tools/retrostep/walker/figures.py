"""Figures by which a recording of straight walking can be held against another, real or simulated.

They are what gait papers and the project's own study of real recordings report; none is a detector. Each takes a
recording with step truth and a window [from, to] in s of steady walking, in the clip's frame for the waist.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from retrostep.recording import Recording
from retrostep.walker.curves import Floats

BAND_HZ = (0.7, 3.0)
STILL_DPS = 40.0


@dataclass(frozen=True)
class WaistFigures:
    vertical_rms_g: float
    fore_aft_rms_g: float
    sideways_rms_g: float
    # Fore-aft acceleration against vertical velocity, both 0.7-3 Hz: negative forward, positive backward.
    direction_correlation: float
    fore_aft_over_vertical: float  # rms, both 0.7-3 Hz
    step_s: float  # median
    step_time_cv: float
    turn_rate_rms_dps: tuple[float, float, float]
    # Vertical: share of the power within 0.15 of a multiple of the step frequency, up to 20 Hz.
    harmonic_share: float


@dataclass(frozen=True)
class ShoeFigures:
    swing_peak_dps: float  # median over strides of the peak turn rate
    toe_down_dps: float  # the 95th percentile of the highest and of the lowest pitch rate of a stride
    toe_up_dps: float
    still_s: float  # median time of a stride below 40 deg/s
    peak_g: float
    stride_s: float


def steady_window(recording: Recording, direction: str, margin: int = 3) -> tuple[float, float]:
    """From the third to the third last step of a direction (of a recording with one bout of it)."""
    times = recording.step_times_s(direction)
    return float(times[margin - 1]), float(times[-margin])


def waist_figures(recording: Recording, window_s: tuple[float, float]) -> WaistFigures:
    rate = recording.rate_hz
    part = slice(*(int(t * rate) for t in window_s))
    acc, gyr = recording.acc_g()[part], recording.gyr_dps()[part]
    up = acc.mean(axis=0) / np.linalg.norm(acc.mean(axis=0))
    ahead = np.array([1.0, 0.0, 0.0]) - up[0] * up
    ahead /= np.linalg.norm(ahead)
    axes = np.column_stack([ahead, np.cross(up, ahead), up])
    level = acc @ axes - [0.0, 0.0, 1.0]
    fore_aft, vertical = (_in_band(level[:, k], rate) for k in (0, 2))
    velocity = _integrated(vertical, rate)
    times = recording.step_times_s()
    steps = np.diff(times[(times >= window_s[0]) & (times <= window_s[1])])
    return WaistFigures(
        vertical_rms_g=float(level[:, 2].std()),
        fore_aft_rms_g=float(level[:, 0].std()),
        sideways_rms_g=float(level[:, 1].std()),
        direction_correlation=float(np.corrcoef(fore_aft, velocity)[0, 1]),
        fore_aft_over_vertical=float(fore_aft.std() / vertical.std()),
        step_s=float(np.median(steps)),
        step_time_cv=float(steps.std() / steps.mean()),
        turn_rate_rms_dps=tuple((gyr @ axes).std(axis=0).tolist()),
        harmonic_share=_harmonic_share(level[:, 2], rate, 1 / float(np.mean(steps))),
    )


def shoe_figures(recording: Recording, window_s: tuple[float, float]) -> ShoeFigures:
    """Pitch rates are those about y, so they mean something only in the clip's frame."""
    rate = recording.rate_hz
    turn, force = recording.gyr_dps(), np.linalg.norm(recording.acc_g(), axis=1)
    speed = np.linalg.norm(turn, axis=1)
    times = recording.step_times_s()
    times = times[(times >= window_s[0]) & (times <= window_s[1])]
    strides = [slice(int(a * rate), int(b * rate)) for a, b in pairwise(times) if b - a < 1.8]
    return ShoeFigures(
        swing_peak_dps=float(np.median([speed[s].max() for s in strides])),
        toe_down_dps=float(np.percentile([turn[s, 1].max() for s in strides], 95)),
        toe_up_dps=float(np.percentile([turn[s, 1].min() for s in strides], 5)),
        still_s=float(np.median([np.count_nonzero(speed[s] < STILL_DPS) / rate for s in strides])),
        peak_g=float(np.median([force[s].max() for s in strides])),
        stride_s=float(np.median([(s.stop - s.start) / rate for s in strides])),
    )


def _in_band(values: Floats, rate_hz: float) -> Floats:
    spectrum = np.fft.rfft(values - values.mean())
    frequency = np.fft.rfftfreq(len(values), 1 / rate_hz)
    spectrum[(frequency < BAND_HZ[0]) | (frequency > BAND_HZ[1])] = 0
    return np.fft.irfft(spectrum, len(values))


def _integrated(values: Floats, rate_hz: float) -> Floats:
    spectrum = np.fft.rfft(values)
    frequency = np.fft.rfftfreq(len(values), 1 / rate_hz)
    spectrum[1:] /= 2j * np.pi * frequency[1:]
    spectrum[0] = 0
    return np.fft.irfft(spectrum, len(values))


def _harmonic_share(values: Floats, rate_hz: float, step_hz: float) -> float:
    power = np.abs(np.fft.rfft((values - values.mean()) * np.hanning(len(values)))) ** 2
    multiple = np.fft.rfftfreq(len(values), 1 / rate_hz) / step_hz
    counted = (multiple > 0.5) & (multiple * step_hz < 20)
    near = np.abs(multiple - np.rint(multiple)) < 0.15
    return float(power[counted & near].sum() / power[counted].sum())
