"""Multinomial logistic regression in integers.

    score of a class = bias + sum of weight x feature
    confidence       = 1 / (1 + sum over the other classes of exp(their score - the best score))

Fitted on standardised features by Newton's method with a ridge penalty; the weights then take the scaling in and are
rounded to units of 2^-shift, where shift is the largest that keeps every sum within 30 bits for the largest
features there can be. exp() is a table in quarters.
"""

import numpy as np

from retrostep.training.errors import TrainingError
from retrostep.training.examples import CLASSES, Examples
from retrostep.training.modelfile import Tables

RIDGE = 1e-3
NEWTON_STEPS = 30
CONVERGED = 1e-9
SHIFT_MAX = 16
SHIFT_MIN = 6
# exp(-7.5) of 1024 rounds to 1; a class that was not among the examples stays further behind than that.
EXP_LENGTH = 7
NEVER = 16
# A feature that never varies tells nothing; this keeps it from being divided by zero.
_LEAST_SPREAD = 1.0

DECIDE = '''
def decide(features):
    """(direction, confidence 0 .. 100) of a step with these FEATURES."""
    scores = []
    for row in WEIGHTS:
        score = row[0]
        for k in range(len(FEATURES)):
            score += row[k + 1] * features[k]
        scores.append(score >> SHIFT - 2)
    most = max(scores)
    rest = 0
    for score in scores:
        behind = most - score
        if behind < len(EXP):
            rest += EXP[behind]
    return DIRECTIONS[scores.index(most)], 100 * EXP[0] // rest
'''


def fit(train: Examples, limits: tuple[int, ...], seed: int) -> Tables:
    """The model of these examples. limits: the largest value of each feature. The seed has no part in it."""
    del seed
    mean = train.features.mean(axis=0)
    spread = np.maximum(train.features.std(axis=0), _LEAST_SPREAD)
    inputs = np.hstack([np.ones((len(train), 1)), (train.features - mean) / spread])
    present = np.unique(train.labels)
    truth = (train.labels[:, None] == present).astype(float)
    found = _newton(inputs, truth, train.weights())
    weights = np.zeros((len(CLASSES), inputs.shape[1]))
    weights[:, 0] = -np.inf
    weights[present] = found.T
    slopes = weights[:, 1:] / spread
    bias = weights[:, 0] - slopes @ mean
    return _integers(np.column_stack([bias, slopes]), np.array(limits))


def _newton(inputs: np.ndarray, truth: np.ndarray, sample_weights: np.ndarray) -> np.ndarray:
    """Coefficients (inputs, classes) of the least penalised cross-entropy."""
    count, classes = inputs.shape[1], truth.shape[1]
    penalty = np.full(count, RIDGE)
    penalty[0] = RIDGE / 100
    coefficients = np.zeros((count, classes))
    for _ in range(NEWTON_STEPS):
        shares = _softmax(inputs @ coefficients)
        gradient = inputs.T @ (sample_weights[:, None] * (shares - truth)) + penalty[:, None] * coefficients
        hessian = np.zeros((count * classes, count * classes))
        for a in range(classes):
            for b in range(classes):
                curve = sample_weights * shares[:, a] * ((a == b) - shares[:, b])
                block = inputs.T @ (curve[:, None] * inputs)
                if a == b:
                    block += np.diag(penalty)
                hessian[a * count : (a + 1) * count, b * count : (b + 1) * count] = block
        step = np.linalg.solve(hessian, gradient.T.ravel()).reshape(classes, count).T
        # Damped far from the solution, where the quadratic is a poor picture.
        coefficients -= step * min(1.0, 2.0 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < CONVERGED:
            break
    return coefficients


def _softmax(scores: np.ndarray) -> np.ndarray:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def _integers(weights: np.ndarray, limits: np.ndarray) -> Tables:
    """weights: (classes, 1 + features), a class that was never seen with a bias of minus infinity."""
    seen = np.isfinite(weights[:, 0])
    reach = np.abs(weights[seen, 0]) + np.abs(weights[seen, 1:]) @ limits
    # Rounding adds at most one half times each feature.
    shift = SHIFT_MAX
    while 3 * (reach.max() * 2**shift + limits.sum()) + NEVER * 2**shift >= 2**30:
        shift -= 1
    if shift < SHIFT_MIN:
        raise TrainingError(
            f"weights up to {np.abs(weights[seen]).max():.3g} do not fit 31 bits; expected moderate ones. "
            "Are two classes told apart by a single feature? Give recordings of more people."
        )
    rounded = np.zeros(weights.shape, int)
    rounded[seen] = np.rint(weights[seen] * 2**shift).astype(int)
    rounded[~seen, 0] = -int(2 * (reach.max() * 2**shift + limits.sum()) + NEVER * 2**shift)
    exp = np.rint(1024 * np.exp(-np.arange(4 * EXP_LENGTH) / 4)).astype(int)
    rows = tuple(tuple(int(value) for value in row) for row in rounded)
    return Tables({"WEIGHTS": rows, "SHIFT": shift, "EXP": tuple(int(value) for value in exp)}, DECIDE)
