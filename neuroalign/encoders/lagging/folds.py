"""Moments of the folds of time-lagged features, each a sum over portions that folds share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from neuroalign.encoders.lagging.moments import FirstRow, LaggedFeatures
from neuroalign.encoders.solvers.compute import Array, Dtype, host
from neuroalign.encoders.solvers.dual import DualProblem
from neuroalign.encoders.solvers.features import centre
from neuroalign.encoders.solvers.moments import Moments, TargetMoments, sums_and_squares
from neuroalign.encoders.solvers.primal import BlockMoments, PrimalProblem
from neuroalign.encoders.solvers.problems import Problem
from neuroalign.encoders.solvers.rows import FoldRows, Pairs, contiguous


@dataclass(frozen=True)
class Portion:
    """Samples that every fold uses alike.

    Attributes
    ----------
    samples : int array
        Ascending.
    uses : int array (2 · n_folds,)
        How often each occurs in the training and test samples of the first fold, of the second, and so on.
    """

    samples: np.ndarray
    uses: np.ndarray


def portions(pairs: Pairs, n_samples: int) -> list[Portion]:
    """The fewest portions that make up all samples, in the order of their first samples."""
    if not pairs:
        return [Portion(np.arange(n_samples), np.empty(0, int))]
    sides = [side for pair in pairs for side in pair]
    counted = partial(np.bincount, minlength=n_samples)
    differs = np.zeros(n_samples, bool)
    differs[0] = True
    for side in sides:
        differs[1:] |= np.diff(counted(side)) != 0
    starts = np.flatnonzero(differs)
    uses = np.stack([counted(side)[starts] for side in sides], axis=1)
    kinds, first, of_run = np.unique(uses, axis=0, return_index=True, return_inverse=True)
    of_sample = np.repeat(of_run.reshape(-1), np.diff(np.append(starts, n_samples)))
    return [Portion(np.flatnonzero(of_sample == kind), kinds[kind]) for kind in np.argsort(first)]


class LaggedSource:
    """Where a problem by features gets its moments from when features are lagged: no row is formed.

    Parameters
    ----------
    features : LaggedFeatures
    pairs : list of (train, test) index arrays
    """

    def __init__(self, features: LaggedFeatures, pairs: Pairs) -> None:
        self.n_folds = len(pairs)
        self._features, self._pairs = features, pairs
        self._portions = portions(pairs, len(features.places))
        self._uses = np.stack([each.uses for each in self._portions], axis=1)
        samples = [each.samples for each in self._portions]
        self._rows = features.compute.map(features.first_row, samples)

    def train(self, fold: int) -> Moments:
        """Of the training samples of a fold."""
        return self._moments(self._uses[2 * fold], self._pairs[fold][0])

    def test(self, fold: int) -> Moments:
        """Of the test samples of a fold."""
        return self._moments(self._uses[2 * fold + 1], self._pairs[fold][1])

    def whole(self) -> Moments:
        """Of all samples."""
        return self._moments(np.ones(len(self._portions), int), np.arange(len(self._features.places)))

    def held(self, fold: int) -> None:
        """No test features: they are never formed."""

    def targets(self, responses: Array, whole: TargetMoments | None = None) -> BlockMoments:
        """Of all samples and folds with a block of targets (n_samples, n_targets)."""
        parts = [self._target_moments(each.samples, responses) for each in self._portions]
        whole = sum(parts[1:], parts[0]) if whole is None else whole
        trains, tests = ([_total(parts, uses, whole) for uses in self._uses[side::2]] for side in (0, 1))
        return BlockMoments(responses, whole, trains, tests, [])

    def _moments(self, uses: np.ndarray, samples: np.ndarray) -> Moments:
        rows = [(int(times), row) for times, row in zip(uses, self._rows, strict=True) if times]
        row = FirstRow(
            sum(times * each.sums for times, each in rows), sum(times * each.products for times, each in rows)
        )
        return self._features.moments(row, np.bincount(samples, minlength=len(self._features.places)))

    def _target_moments(self, samples: np.ndarray, responses: Array) -> TargetMoments:
        rows = contiguous(samples)
        here = responses[rows if isinstance(rows, slice) else self._features.compute.index(rows)]
        return TargetMoments(self._features.cross(samples, responses), *sums_and_squares(here))


def _total(parts: Sequence[TargetMoments], uses: np.ndarray, whole: TargetMoments) -> TargetMoments:
    """Each part as often as it is used, counted from nothing or from all, whichever is nearer."""
    from_whole = np.count_nonzero(uses - 1) < np.count_nonzero(uses)
    changes = uses - 1 if from_whole else uses
    weighted = [_times(part, int(count)) for part, count in zip(parts, changes, strict=True) if count]
    return sum(weighted, whole) if from_whole else sum(weighted[1:], weighted[0])


def _times(part: TargetMoments, count: int) -> TargetMoments:
    if count == 1:
        return part
    return TargetMoments(count * part.cross, count * part.sums, count * part.squares)


def lagged_problem(features: LaggedFeatures, pairs: Pairs, dtype: Dtype) -> tuple[Problem, np.ndarray]:
    """Cross-validated ridge on lagged features, and the means of their columns (n_columns,).

    By moments; but by samples where there are fewer in a training set than columns, since the lagged matrix
    then is smaller than the Gram matrix of its columns.
    """
    n_samples = len(features.places)
    if features.n_columns <= min((len(train) for train, _ in pairs), default=n_samples):
        source = LaggedSource(features, pairs)
        whole = source.whole()
        return PrimalProblem(source, features.compute, dtype), host(whole.sums) / whole.count
    matrix, mean = centre(features.rows(np.arange(n_samples)), features.compute, dtype)
    folds = [FoldRows.of(*pair, n_samples) for pair in pairs]
    return DualProblem(matrix, folds, features.compute, dtype), mean
