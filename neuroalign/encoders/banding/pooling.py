"""Which candidate every target takes: its own best, that of all targets, or the first one.

The more candidates a target may choose from, the more its folds flatter the chosen one; on short
recordings the choice costs more than it gains. Partial pooling ranks the candidates of a target by

    (1 − κ) · its own score + κ · the mean score of all targets,

from κ = 0, each its own best, to κ = 1, all the same; beyond that (`FIRST`), all keep the first candidate, in
which the bands weigh alike. κ is learned: every fold in turn is held out of the choice, which is then scored
on it. The most cautious κ counts from which the best one does not differ, over folds, by a paired t test.
Targets count by how well they are predicted, or the many that nothing predicts would decide for the few.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

FIRST = 2.0
"""In place of κ: no choice at all."""

DEGREES = (FIRST, 1.0, 0.9, 0.8, 0.65, 0.5, 0.3, 0.0)
"""The κ tried, the most cautious first."""

ENOUGH = 2e-4
"""Mean score that a shortlist of candidates may cost."""

CONFIDENCE = 0.975
"""With which a less cautious κ must be better, one-sided."""


@dataclass(frozen=True)
class Scores:
    """Cross-validated scores of candidates, each at the penalty that is best for it and the target.

    Attributes
    ----------
    mean : array (n_candidates, n_targets)
    folds : array (n_candidates, n_folds, n_targets)
    """

    mean: np.ndarray
    folds: np.ndarray

    def first(self, number: int) -> Scores:
        """Those of the first candidates."""
        return Scores(self.mean[:number], self.folds[:number])


def importance(scores: np.ndarray) -> np.ndarray:
    """How much each target counts (n_targets,), summing to 1, by its mean score over the candidates."""
    share = np.maximum(scores.mean(axis=0), 0.0)
    total = share.sum()
    return share / total if total > 0 else np.full(len(share), 1 / len(share))


def choose(scores: np.ndarray, degree: float, share: np.ndarray) -> np.ndarray:
    """The candidate (n_targets,) of every target; ties go to the one that is better for all targets.

    Parameters
    ----------
    scores : array (n_candidates, n_targets)
    degree : float
        κ, from 0 to 1, or `FIRST`.
    share : array (n_targets,)
        How much each target counts.
    """
    if degree == FIRST:
        return np.zeros(scores.shape[1], int)
    order = np.argsort(-(scores @ share), kind="stable")
    return order[_mixed(scores, degree, share)[order].argmax(axis=0)]


def shortlist(scores: np.ndarray, degree: float, share: np.ndarray) -> np.ndarray:
    """The few candidates that do for all targets nearly as well as all: arguments as for `choose`.

    Greedily, the one that adds most to the targets' mean comes next, until all the others would add less
    than `ENOUGH`.
    """
    if degree == FIRST:
        return np.zeros(1, int)
    mixed = _mixed(scores, degree, share)
    listed = [int((mixed @ share).argmax())]
    so_far = mixed[listed[0]]
    while (mixed.max(axis=0) - so_far) @ share > ENOUGH:
        listed.append(int((np.maximum(mixed, so_far) @ share).argmax()))
        so_far = np.maximum(so_far, mixed[listed[-1]])
    return np.array(listed)


def _mixed(scores: np.ndarray, degree: float, share: np.ndarray) -> np.ndarray:
    return (1 - degree) * scores + degree * (scores @ share)[:, None]


def learn_degree(scores: Scores) -> float:
    """How far to pool, from choices scored on the fold they have not seen; 0 if there is but one fold."""
    n_folds = scores.folds.shape[1]
    if n_folds < 2:
        return 0.0
    curve, targets = np.empty((len(DEGREES), n_folds)), np.arange(scores.mean.shape[1])
    for fold in range(n_folds):
        held = scores.folds[:, fold]
        others = (n_folds * scores.mean - held) / (n_folds - 1)
        share = importance(others)
        for row, degree in zip(curve, DEGREES, strict=True):
            row[fold] = held[choose(others, degree, share), targets] @ share
    lost = curve[curve.mean(axis=1).argmax()] - curve
    error = lost.std(axis=1, ddof=1) / np.sqrt(n_folds)
    return DEGREES[int((lost.mean(axis=1) <= stdtrit(n_folds - 1, CONFIDENCE) * error).argmax())]
