"""Ridge by features: the Gram matrix of a training set is that of all samples less that of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Protocol

import numpy as np
from array_api_compat import array_namespace

from neuroalign.encoders.compute import Array, Compute
from neuroalign.encoders.moments import Moments, TargetMoments
from neuroalign.encoders.rows import FoldRows, cover
from neuroalign.encoders.scoring import Dtype, GridScorer, forms_predictions, without_flat
from neuroalign.encoders.spectrum import decompose, inverse_deviation


class Source(Protocol):
    """Where the moments of features and targets come from."""

    n_folds: int

    def train(self, fold: int) -> Moments: ...
    def test(self, fold: int) -> Moments: ...
    def whole(self) -> Moments: ...
    def held(self, fold: int) -> Array | None:
        """The test features (n_test, n_features), or None where they are never formed."""

    def targets(self, responses: Array) -> BlockMoments: ...


@dataclass(frozen=True)
class BlockMoments:
    """A block of targets beside features that are known by their moments.

    Attributes
    ----------
    responses : array (n_samples, n_targets)
    whole : TargetMoments
        Of all samples.
    tests, trains : list of TargetMoments
        Of every fold.
    held : list of arrays (n_test, n_targets)
        The test responses of every fold.
    """

    responses: Array
    whole: TargetMoments
    trains: list[TargetMoments]
    tests: list[TargetMoments]
    held: list[Array]


class RowSource:
    """Moments of features that stand in memory, row by row.

    Parameters
    ----------
    features : array (n_samples, n_features)
        About their means.
    folds : list of FoldRows
    compute : Compute
    """

    def __init__(self, features: Array, folds: Sequence[FoldRows], compute: Compute) -> None:
        self._features, self._folds = features, folds
        self._cover = cover(folds, len(features))
        self._held = [features[fold.held] for fold in folds]
        self._tests = compute.map(Moments.of, self._held)
        self._whole = reduce(add, self._tests) if self._cover else Moments.of(features)
        self.n_folds = len(folds)

    def whole(self) -> Moments:
        return self._whole

    def test(self, fold: int) -> Moments:
        return self._tests[fold]

    def held(self, fold: int) -> Array:
        return self._held[fold]

    def train(self, fold: int) -> Moments:
        rows = self._folds[fold]
        if not rows.apart:
            return Moments.of(self._features[rows.train])
        left = self._whole - self._tests[fold]
        return left if rows.gap is None else left - Moments.of(self._features[rows.gap])

    def targets(self, responses: Array) -> BlockMoments:
        held = [responses[fold.held] for fold in self._folds]
        tests = [TargetMoments.of(*sides) for sides in zip(self._held, held, strict=True)]
        whole = reduce(add, tests) if self._cover else TargetMoments.of(self._features, responses)
        trains = [self._train(*each, responses, whole) for each in zip(self._folds, tests, strict=True)]
        return BlockMoments(responses, whole, trains, tests, held)

    def _train(
        self, rows: FoldRows, test: TargetMoments, responses: Array, whole: TargetMoments
    ) -> TargetMoments:
        if not rows.apart:
            return TargetMoments.of(self._features[rows.train], responses[rows.train])
        left = whole - test
        if rows.gap is None:
            return left
        return left - TargetMoments.of(self._features[rows.gap], responses[rows.gap])


class PrimalProblem:
    """Ridge by features: the Gram matrix of a training set is that of all samples less the others'.

    Parameters
    ----------
    source : Source
        Of features about their means.
    compute : Compute
    dtype : {"float32", "float64"}
        Of products with targets; moments of features are float64.
    bands : sequence of int arrays, optional
        Columns of every band.
    scale : bool
        Divide every feature by its standard deviation in the training samples, by algebra.
    """

    def __init__(
        self,
        source: Source,
        compute: Compute,
        dtype: Dtype,
        bands: Sequence[np.ndarray] | None = None,
        scale: bool = False,
    ) -> None:
        self.compute, self.dtype, self.n_folds = compute, dtype, source.n_folds
        self._source, self._bands, self._scale = source, bands, scale

    def block(self, responses: Array) -> BlockMoments:
        return self._source.targets(responses)

    def scorer(self, fold: int, alphas: Array, weights: np.ndarray | None = None) -> PrimalScorer:
        train, test = self._source.train(fold), self._source.test(fold)
        eigen = _PrimalEigen(train, self._factors(train, weights))
        return PrimalScorer(fold, eigen, train.count, test, self._source.held(fold), alphas, self.dtype)

    def solver(self, weights: np.ndarray | None = None) -> PrimalSolver:
        whole = self._source.whole()
        return PrimalSolver(_PrimalEigen(whole, self._factors(whole, weights)), self.dtype)

    def _factors(self, train: Moments, weights: np.ndarray | None) -> Array | None:
        """What every feature is multiplied by, or None for 1."""
        xp = self.compute.xp
        factors = None
        if weights is not None and self._bands is not None:
            each = np.zeros(len(train.sums))
            for columns, weight in zip(self._bands, weights, strict=True):
                each[columns] = np.sqrt(weight)
            factors = self.compute.put(each, "float64")
        if self._scale:
            variance = xp.linalg.diagonal(train.gram) / train.count - (train.sums / train.count) ** 2
            scale = inverse_deviation(variance)
            factors = scale if factors is None else factors * scale
        return factors


class _PrimalEigen:
    """The eigenbasis of the centred, scaled Gram matrix: vectors already carry the scaling."""

    def __init__(self, train: Moments, factors: Array | None) -> None:
        self.mean = train.sums / train.count
        gram = train.about(self.mean)
        if factors is not None:
            gram = factors[:, None] * gram * factors
        self.values, self.vectors = decompose(gram)
        if factors is not None:
            self.vectors = factors[:, None] * self.vectors

    def project(self, moments: TargetMoments, project: Array, mean: Array) -> Array:
        """Vectors' times Σ (x − x̄) y for a block of targets, in the dtype of `project`."""
        xp = array_namespace(project)
        out = project @ moments.cross
        out -= mean[:, None] * xp.astype(moments.sums, project.dtype)
        return out


class PrimalScorer:
    """One fold by features."""

    def __init__(
        self,
        fold: int,
        eigen: _PrimalEigen,
        n_train: int,
        test: Moments,
        held: Array | None,
        alphas: Array,
        dtype: Dtype,
    ) -> None:
        xp = array_namespace(eigen.values)
        kind = getattr(xp, dtype)
        vectors, rank = eigen.vectors, len(eigen.values)
        self._fold, self._eigen, self._dtype = fold, eigen, dtype
        self._n_train, self._n_test = n_train, test.count
        sums = (test.sums - test.count * eigen.mean) @ vectors
        moment = carry = None
        if held is not None and test.count < len(vectors):
            carry = xp.astype(held, xp.float64) @ vectors - eigen.mean @ vectors
        if carry is None or not forms_predictions(len(alphas), test.count, rank):
            moment = carry.T @ carry if carry is not None else vectors.T @ (test.about(eigen.mean) @ vectors)
        self._grid = GridScorer(eigen.values, moment, sums, alphas, dtype, carry)
        self._project = xp.astype(vectors.T, kind)
        self._mean, self._sums = xp.astype(eigen.mean @ vectors, kind), xp.astype(sums, kind)
        self._carry = None if carry is None else xp.astype(carry.T, kind)

    def scores(self, block: BlockMoments) -> tuple[Array, Array]:
        """Pearson r and R² on the test samples, each (n_alphas, n_targets)."""
        train, test = block.trains[self._fold], block.tests[self._fold]
        xp = array_namespace(train.cross)
        z = self._eigen.project(train, self._project, self._mean)
        z = without_flat(z, train.sums, train.squares, self._n_train)
        mean = train.sums / self._n_train
        if self._carry is not None:
            c = self._carry @ block.held[self._fold]
        else:
            c = self._eigen.project(test, self._project, self._mean)
        c -= self._sums[:, None] * xp.astype(mean, c.dtype)
        return self._grid.scores(z, c, self._n_test, *test.about(mean, self._n_test))


class PrimalSolver:
    """All samples by features."""

    def __init__(self, eigen: _PrimalEigen, dtype: Dtype) -> None:
        xp = array_namespace(eigen.values)
        kind = getattr(xp, dtype)
        self._eigen, self._vectors = eigen, xp.astype(eigen.vectors, kind)
        self._mean = xp.astype(eigen.mean @ eigen.vectors, kind)

    def solve(self, block: BlockMoments, alphas: Array) -> Array:
        """Weights (rank, n_targets) for one penalty per target."""
        xp = array_namespace(self._vectors)
        z = self._eigen.project(block.whole, self._vectors.T, self._mean)
        return z / xp.astype(self._eigen.values[:, None] + alphas, z.dtype)

    def basis(self) -> Array:
        """The matrix (n_features, rank) that turns what `solve` returns into weights of features."""
        return self._vectors
