"""Activity recognition as it is usually done in MicroPython, a measure for the gait code: 92 features of a window of
128 samples, every 64 samples.

Written anew from the description of a published pipeline (emlearn's MicroPython example of human activity
recognition, after Elsts and McConville 2021). Each axis of the acceleration goes through a median of three
samples; the differences between neighbours are the jerk. Of both, ten statistics for each of the three axes, and
eight, without the quartiles, for the sum of the axes' absolute values and for the sum of their squares: 2 * (3 *
10 + 2 * 8) = 92. The entropy among them is 0, as it is there. What a forest makes of the features is left out:
there it is compiled C.

All of it is ordinary bytecode. As a script: har_features.py SAMPLES. That is a file of 6-channel int16, of which
it takes the acceleration; the file "times" says how many windows. It prints how many features the last one had.
"""

import sys
from array import array

WINDOW = 128
HOP = 64
# 0.488 mg becomes a 32nd of 1 g, as in the published pipeline.
COARSER = 6

MEAN, MEDIAN, LOWER, UPPER, BETWEEN, LEAST, MOST, DEVIATION, ENERGY, ENTROPY = range(10)
OF_AN_AXIS = (MEAN, MOST, LEAST, MEDIAN, LOWER, UPPER, BETWEEN, ENERGY, DEVIATION, ENTROPY)
OF_A_NORM = (MEAN, LEAST, MOST, MEDIAN, BETWEEN, ENERGY, DEVIATION, ENTROPY)


def sum_of_squares(values):
    total = 0.0
    for value in values:
        total += value * value
    return total


def statistics(values, out):
    """The ten statistics of a signal into `out`."""
    count = len(values)
    ordered = sorted(values)
    mean = sum(ordered) / count
    square = sum_of_squares(ordered) / count
    out[MEAN] = mean
    out[MEDIAN] = ordered[count // 2]
    out[LOWER] = ordered[count // 4]
    out[UPPER] = ordered[3 * count // 4]
    out[BETWEEN] = ordered[3 * count // 4] - ordered[count // 4]
    out[LEAST] = ordered[0]
    out[MOST] = ordered[-1]
    out[DEVIATION] = max(square - mean * mean, 0.0) ** 0.5
    out[ENERGY] = square**0.5
    out[ENTROPY] = 0.0


def middle(a, b, c):
    """The second largest of three."""
    if a > b:
        a, b = b, a
    if b <= c:
        return b
    return a if a > c else c


def smooth(signal, out):
    """The median of each sample and its two neighbours."""
    out[0], out[-1] = signal[0], signal[-1]
    for k in range(1, len(signal) - 1):
        out[k] = middle(signal[k - 1], signal[k], signal[k + 1])


def differ(signal, out):
    """By how much each sample differs from the next."""
    for k in range(len(signal) - 1):
        out[k] = signal[k + 1] - signal[k]
    out[-1] = 0


def sum_of_sizes(x, y, z, out):
    for k in range(len(x)):
        out[k] = abs(x[k]) + abs(y[k]) + abs(z[k])


def square_of_length(x, y, z, out):
    for k in range(len(x)):
        out[k] = x[k] * x[k] + y[k] * y[k] + z[k] * z[k]


class Features:
    """Makes the features of windows; its buffers are allocated once."""

    def __init__(self):
        self._smooth = [array("i", range(WINDOW)) for _ in range(3)]
        self._sizes = array("i", range(WINDOW))
        self._squares = array("i", range(WINDOW))
        self._jerks = [array("i", range(WINDOW)) for _ in range(5)]
        self._statistics = array("f", range(10))

    def of(self, axes):
        """A list of the features of three signals of WINDOW samples each."""
        signals = self._smooth + [self._sizes, self._squares]
        for axis, signal in zip(axes, signals):
            smooth(axis, signal)
        sum_of_sizes(*self._smooth, self._sizes)
        square_of_length(*self._smooth, self._squares)
        for signal, jerk in zip(signals, self._jerks):
            differ(signal, jerk)
        features = []
        for five in (signals, self._jerks):
            for k in range(5):
                statistics(five[k], self._statistics)
                for which in OF_AN_AXIS if k < 3 else OF_A_NORM:
                    features.append(self._statistics[which])
        return features


class Windows:
    """The newest WINDOW samples of three axes."""

    def __init__(self):
        self.axes = [array("i", bytes(4 * WINDOW)) for _ in range(3)]

    def push(self, samples, first):
        """Take HOP samples, of which samples[first] is the first word."""
        for c in range(3):
            axis = self.axes[c]
            axis[: WINDOW - HOP] = axis[HOP:]
            for k in range(HOP):
                axis[WINDOW - HOP + k] = samples[first + 6 * k + c] >> COARSER


def run(samples, windows):
    """The features of the last of so many windows, HOP samples apart, of interleaved 6-channel `samples`."""
    features, window = Features(), Windows()
    last = []
    for k in range(windows):
        window.push(samples, 6 * HOP * k)
        last = features.of(window.axes)
    return last


if __name__ == "__main__":
    with open("times") as stream:
        times = int(stream.read())
    with open(sys.argv[1], "rb") as stream:
        print(len(run(array("h", stream.read()), times)))
