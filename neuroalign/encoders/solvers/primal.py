"""Ridge by features: the Gram matrix of a training set is that of all samples less that of the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial, reduce
from operator import add
from typing import Any, Protocol

import numpy as np
from array_api_compat import array_namespace

from neuroalign.encoders.solvers.compute import Array, Compute, Dtype, times
from neuroalign.encoders.solvers.moments import Moments, TargetMoments
from neuroalign.encoders.solvers.rows import FoldRows, cover
from neuroalign.encoders.solvers.scoring import (
    GridScorer,
    forms_predictions,
    without_flat,
    without_still,
)
from neuroalign.encoders.solvers.spectrum import decompose, delicate, inverse_deviation, precision, whiten


class Source(Protocol):
    """Where the moments of features and targets come from."""

    n_folds: int

    def train(self, fold: int) -> Moments:
        """Of the training samples of a fold."""

    def test(self, fold: int) -> Moments:
        """Of its test samples."""

    def whole(self) -> Moments:
        """Of all samples."""

    def held(self, fold: int) -> Array | None:
        """The test features (n_test, n_features), or None where they are never formed."""

    def targets(self, responses: Array, whole: TargetMoments | None = None) -> BlockMoments:
        """Of features and a block of targets (n_samples, n_targets), for every fold; `whole` if known."""


@dataclass(frozen=True)
class BlockMoments:
    """A block of targets beside features that are known by their moments.

    Attributes
    ----------
    responses : array (n_samples, n_targets)
    whole : TargetMoments
        Of all samples.
    trains, tests : sequence of TargetMoments
        Of every fold.
    held : list of arrays (n_test, n_targets)
        The test responses of every fold.
    """

    responses: Array
    whole: TargetMoments
    trains: Sequence[TargetMoments]
    tests: Sequence[TargetMoments]
    held: list[Array]

    @property
    def known(self) -> TargetMoments:
        """What spares work when the same targets are taken in again."""
        return self.whole


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
        # Fewer samples than features: their moments are larger than they are, and quickly formed again.
        self._keep = all(held.shape[0] >= held.shape[1] for held in self._held)
        self._tests = compute.map(Moments.of, self._held) if self._keep else []
        summed = self._keep and self._cover
        self._whole = (
            reduce(add, self._tests)
            if summed
            else compute.summed(lambda rows: Moments.of(features[rows]), len(features))
        )
        self.n_folds = len(folds)

    def whole(self) -> Moments:
        """Of all samples."""
        return self._whole

    def test(self, fold: int) -> Moments:
        """Of the test samples of a fold."""
        return self._tests[fold] if self._keep else Moments.of(self._held[fold])

    def held(self, fold: int) -> Array:
        """The test features (n_test, n_features)."""
        return self._held[fold]

    def train(self, fold: int) -> Moments:
        """Of the training samples of a fold, by subtraction where that is possible."""
        rows = self._folds[fold]
        if not rows.apart:
            return Moments.of(self._features[rows.train])
        left = self._whole - self.test(fold)
        return left if rows.gap is None else left - Moments.of(self._features[rows.gap])

    def targets(self, responses: Array, whole: TargetMoments | None = None) -> BlockMoments:
        """Of features and a block of targets (n_samples, n_targets), in one pass over these.

        Where the moments of all samples are known, those of a fold are formed when it asks for them.
        """
        held = [responses[fold.held] for fold in self._folds]
        found = [cache(partial(TargetMoments.of, *sides)) for sides in zip(self._held, held, strict=True)]
        tests: Sequence[TargetMoments] = _WhenAsked(found)
        if whole is None:
            tests = list(tests)
            whole = reduce(add, tests) if self._cover else TargetMoments.of(self._features, responses)
        trains = [partial(self._train, fold, tests, responses, whole) for fold in range(self.n_folds)]
        return BlockMoments(responses, whole, _WhenAsked(trains), tests, held)

    def _train(
        self, fold: int, tests: Sequence[TargetMoments], responses: Array, whole: TargetMoments
    ) -> TargetMoments:
        rows = self._folds[fold]
        if not rows.apart:
            return TargetMoments.of(self._features[rows.train], responses[rows.train])
        left = whole - tests[fold]
        if rows.gap is None:
            return left
        return left - TargetMoments.of(self._features[rows.gap], responses[rows.gap])


class _WhenAsked(Sequence[TargetMoments]):
    """Moments formed when they are asked for."""

    def __init__(self, parts: Sequence[Callable[[], TargetMoments]]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, fold: Any) -> Any:
        return self._parts[fold]()


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
        self.order = len(source.whole().sums)
        self._source, self._bands, self._scale = source, bands, scale

    def block(self, responses: Array, known: TargetMoments | None = None) -> BlockMoments:
        """Take in targets (n_samples, n_targets), about their means, in the dtype of the problem."""
        return self._source.targets(responses, known)

    def scorer(self, fold: int, alphas: Array, weights: np.ndarray | None = None) -> PrimalScorer:
        """Decompose the training samples of a fold; `alphas` ascending, `weights` one per band."""
        eigen = eigenbasis(self._source.train(fold), partial(self._factors, weights=weights))
        return PrimalScorer(self, self._source, fold, eigen, alphas)

    def solver(self, weights: np.ndarray | None = None, only: float | None = None) -> PrimalSolver:
        """Decompose all samples; more cheaply if `only` one penalty will be asked for."""
        eigen = eigenbasis(self._source.whole(), partial(self._factors, weights=weights), only)
        return PrimalSolver(eigen, self._source, self.dtype)

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
            whole = self._source.whole()
            scale = inverse_deviation(variance, xp.linalg.diagonal(whole.gram) / whole.count)
            factors = scale if factors is None else factors * scale
        return factors


@dataclass(frozen=True)
class Eigenbasis:
    """Of a centred, scaled Gram matrix: eigenvectors, or vectors whitened for one penalty.

    Attributes
    ----------
    count : int
        Number of samples.
    mean : array (n_features,)
    values : array (rank,)
        Eigenvalues, ascending; of whitened vectors the least and the greatest.
    vectors : array (n_features, rank)
        Carrying the scaling already.
    whitened : bool
    """

    count: int
    mean: Array
    values: Array
    vectors: Array
    whitened: bool = False


def eigenbasis(
    moments: Moments, factors_of: Callable[[Moments], Array | None], only: float | None = None
) -> Eigenbasis:
    """Decompose what is known of some samples, with features multiplied by factors.

    Vectors are whitened where `only` one penalty is asked for.
    """
    count, mean, factors = moments.count, moments.sums / moments.count, factors_of(moments)
    gram = moments.about(mean)
    del moments  # as large as what comes
    if factors is not None:
        gram *= factors
        gram *= factors[:, None]
    white = None if only is None else whiten(gram, only)
    values, vectors = decompose(gram) if white is None else white
    if factors is not None:
        vectors = factors[:, None] * vectors
    return Eigenbasis(count, mean, values, vectors, white is not None)


def projected(moments: TargetMoments, project: Array, mean: Array) -> Array:
    """Vectors' times Σ (x − x̄) y for a block of targets."""
    xp = array_namespace(project)
    out = times(project, moments.cross)
    out -= mean[:, None] * xp.astype(moments.sums, out.dtype)
    return out


class PrimalScorer:
    """One fold by features."""

    def __init__(
        self, problem: PrimalProblem, source: Source, fold: int, eigen: Eigenbasis, alphas: Array
    ) -> None:
        xp = problem.compute.xp
        kind, low = getattr(xp, problem.dtype), getattr(xp, problem.compute.scoring or problem.dtype)
        vectors, held, carry = eigen.vectors, source.held(fold), None
        if held is not None and held.shape[0] < held.shape[1]:
            carry = xp.astype(held, xp.float64) @ vectors - eigen.mean @ vectors
            count, sums, moment = len(held), xp.sum(carry, axis=0), None
            if not forms_predictions(len(alphas), *carry.shape):
                moment = carry.T @ carry
        else:
            test = source.test(fold)
            count, sums = test.count, (test.sums - test.count * eigen.mean) @ vectors
            moment = vectors.T @ (test.about(eigen.mean) @ vectors)
        self._fold, self._dtype = fold, problem.dtype
        self._n_train, self._n_test = eigen.count, count
        self._grid = GridScorer(eigen.values, moment, sums, alphas, problem.dtype, carry)
        self._project = xp.astype(vectors.T, low)
        self._mean, self._sums = xp.astype(eigen.mean @ vectors, kind), xp.astype(sums, kind)
        self._carry = None if carry is None else xp.astype(carry.T, low)

    def scores(self, block: BlockMoments) -> tuple[Array, Array]:
        """Pearson r and R² on the test samples, each (n_alphas, n_targets)."""
        train, test = block.trains[self._fold], block.tests[self._fold]
        xp = array_namespace(train.cross)
        z = projected(train, self._project, self._mean)
        z = without_flat(z, train.sums, train.squares, self._n_train, self._dtype, block.whole.squares)
        mean = train.sums / self._n_train
        if self._carry is not None:
            c = times(self._carry, block.held[self._fold])
        else:
            c = projected(test, self._project, self._mean)
        c -= self._sums[:, None] * xp.astype(mean, c.dtype)
        sums, squares = test.about(mean, self._n_test)
        typical = test.squares + self._n_test / self._n_train * train.squares
        squares = without_still(squares, typical, self._dtype)
        return self._grid.scores(z, c, self._n_test, sums, squares)


class PrimalSolver:
    """All samples by features."""

    def __init__(self, eigen: Eigenbasis, source: Source, dtype: Dtype) -> None:
        xp = array_namespace(eigen.values)
        kind = getattr(xp, dtype)
        self._eigen, self._source, self._vectors = eigen, source, xp.astype(eigen.vectors, kind)
        self.rank, self._dtype = eigen.vectors.shape[1], dtype
        self._mean = eigen.mean @ eigen.vectors

    def solve(self, block: BlockMoments, alphas: Array) -> Array:
        """Weights (rank, n_targets) for one penalty per target."""
        xp = array_namespace(self._vectors)
        kind = self._vectors.dtype
        z = projected(block.whole, self._vectors.T, xp.astype(self._mean, kind))
        if kind != xp.float64:
            coarse = xp.nonzero(delicate(self._eigen.values, alphas))[0]
            if len(coarse):
                fine = xp.astype(xp.take(block.responses, coarse, axis=1), xp.float64)
                moments = self._source.targets(fine).whole
                z[:, coarse] = xp.astype(projected(moments, self._eigen.vectors.T, self._mean), kind)
        return z if self._eigen.whitened else z / xp.astype(self._eigen.values[:, None] + alphas, kind)

    def precision(self, least: float) -> Dtype:
        """In which `basis` is formed for penalties as small as `least`."""
        return precision(self._eigen.values, least, self._dtype)

    def basis(self, least: float = math.inf) -> Array:
        """The matrix (n_features, rank) that turns what `solve` returns into weights of features.

        In float64 where penalties as small as `least` need it.
        """
        return self._eigen.vectors if self.precision(least) == "float64" else self._vectors
