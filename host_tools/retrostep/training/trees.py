"""A few small decision trees in integers, each grown on another draw of people (bagging).

A tree asks at most DEPTH questions "feature k <= threshold?" and ends in a leaf with the shares of forward and
backward there, in percent; the answers of all trees are averaged. Grown greedily by the Gini index with sample
weights (L. Breiman et al., Classification and Regression Trees, 1984); the draw takes people, not steps, since
steps of one person resemble each other.
"""

import numpy as np

from retrostep.training.examples import BACKWARD, CLASSES, FORWARD, Examples
from retrostep.training.modelfile import Tables

TREES = 12
DEPTH = 4
LEAF_SHARE_MIN = 0.01
THRESHOLDS_MAX = 32

DECIDE = '''
def decide(features):
    """(direction, confidence 0 .. 100) of a step with these FEATURES."""
    forward = backward = 0
    for at in ROOTS:
        while at >= 0:
            at = NODES[at + 2 if features[NODES[at]] <= NODES[at + 1] else at + 3]
        forward += LEAVES[-2 * at - 2]
        backward += LEAVES[-2 * at - 1]
    forward //= len(ROOTS)
    backward //= len(ROOTS)
    neither = 100 - forward - backward
    most = max(forward, backward, neither)
    return DIRECTIONS[(forward, backward, neither).index(most)], most
'''


class _Grower:
    """Collects the nodes (feature, threshold, where if not above, where if above) and leaves of all trees."""

    def __init__(self, features: np.ndarray, labels: np.ndarray):
        self._features = features
        self._truth = np.eye(len(CLASSES))[labels]
        self.nodes: list[int] = []
        self.leaves: list[int] = []

    def grow(self, weights: np.ndarray, rows: np.ndarray, depth: int) -> int:
        """The subtree of these rows: the index of its first node, or the complement of its leaf's number."""
        mass = weights[rows] @ self._truth[rows]
        question = self._best(weights, rows, mass) if depth else None
        if question is None:
            shares = np.rint(100 * mass / mass.sum()).astype(int)
            self.leaves += [int(shares[FORWARD]), int(shares[BACKWARD])]
            return -(len(self.leaves) // 2)
        feature, threshold = question
        at = len(self.nodes)
        self.nodes += [feature, threshold, 0, 0]
        below = self._features[rows, feature] <= threshold
        self.nodes[at + 2] = self.grow(weights, rows[below], depth - 1)
        self.nodes[at + 3] = self.grow(weights, rows[~below], depth - 1)
        return at

    def _best(self, weights: np.ndarray, rows: np.ndarray, mass: np.ndarray) -> tuple[int, int] | None:
        """The question that leaves the least impurity; None where none helps."""
        best, least = None, _impurity(mass) - 1e-9
        weighed = weights[rows, None] * self._truth[rows]
        for feature in range(self._features.shape[1]):
            values = self._features[rows, feature]
            for threshold in _thresholds(values):
                below = weighed[values <= threshold].sum(axis=0)
                above = mass - below
                if min(below.sum(), above.sum()) < LEAF_SHARE_MIN:
                    continue
                impurity = _impurity(below) + _impurity(above)
                if impurity < least:
                    best, least = (feature, int(threshold)), impurity
        return best


def _impurity(mass: np.ndarray) -> float:
    total = mass.sum()
    return float(total - mass @ mass / total) if total > 0 else 0.0


def _thresholds(values: np.ndarray) -> np.ndarray:
    distinct = np.unique(values)[:-1]
    if len(distinct) <= THRESHOLDS_MAX:
        return distinct
    return distinct[np.linspace(0, len(distinct) - 1, THRESHOLDS_MAX).astype(int)]


def fit(train: Examples, limits: tuple[int, ...], seed: int) -> Tables:
    """The model of these examples; equal seeds give equal trees. limits: not needed, nothing is multiplied."""
    del limits
    rng = np.random.Generator(np.random.PCG64(seed))
    grower = _Grower(train.features, train.labels)
    people = np.unique(train.persons)
    roots = []
    for _ in range(TREES):
        drawn = np.bincount(rng.integers(0, len(people), len(people)), minlength=len(people))
        weights = train.weights() * drawn[np.searchsorted(people, train.persons)]
        if not weights.any():
            continue
        weights /= weights.sum()
        roots.append(grower.grow(weights, np.flatnonzero(weights), DEPTH))
    return Tables(
        {"ROOTS": tuple(roots), "NODES": tuple(grower.nodes), "LEAVES": tuple(grower.leaves)}, DECIDE
    )
