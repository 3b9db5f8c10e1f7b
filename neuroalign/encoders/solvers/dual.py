"""Ridge by samples: where features outnumber them, all that matters is the kernel X X'."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace

from neuroalign.encoders.solvers.compute import Array, Compute, Dtype, times
from neuroalign.encoders.solvers.moments import CHUNK, products, sums_and_squares
from neuroalign.encoders.solvers.rows import FoldRows
from neuroalign.encoders.solvers.scoring import (
    GridScorer,
    forms_predictions,
    without_flat,
    without_still,
)
from neuroalign.encoders.solvers.spectrum import decompose, inverse_deviation, precision, whiten


@dataclass(frozen=True)
class BlockRows:
    """A block of targets beside features that are known by their kernel.

    Attributes
    ----------
    responses : array (n_samples, n_targets)
    """

    responses: Array
    known: None = None


class DualProblem:
    """Ridge by samples, with the kernel in float64.

    Parameters
    ----------
    features : array (n_samples, n_features)
        About their means.
    folds : sequence of FoldRows
    compute : Compute
    dtype : {"float32", "float64"}
        Of products with targets.
    bands : sequence of int arrays, optional
        Columns of every band.
    scale : bool
        Divide every feature by its standard deviation in the training samples. The kernel is then formed
        anew for every fold.
    """

    def __init__(
        self,
        features: Array,
        folds: Sequence[FoldRows],
        compute: Compute,
        dtype: Dtype,
        bands: Sequence[np.ndarray] | None = None,
        scale: bool = False,
    ) -> None:
        self.compute, self.dtype, self.n_folds = compute, dtype, len(folds)
        self.order = len(features)
        self._features, self._folds, self._scale = features, folds, scale
        self._bands = [np.arange(features.shape[1])] if bands is None else list(bands)
        self._kernels = [] if scale else [kernel(self._columns(band), compute) for band in self._bands]

    def block(self, responses: Array, known: None = None) -> BlockRows:
        """Keep the targets (n_samples, n_targets): their products differ from fold to fold."""
        return BlockRows(responses)

    def scorer(self, fold: int, alphas: Array, weights: np.ndarray | None = None) -> DualScorer:
        """Decompose the training samples of a fold; `alphas` ascending, `weights` one per band."""
        rows = self._folds[fold]
        total = self._kernel(self._factors(rows.train, weights))
        return DualScorer(total, rows, self.compute, alphas, self.dtype)

    def solver(self, weights: np.ndarray | None = None, only: float | None = None) -> DualSolver:
        """Decompose all samples; more cheaply if `only` one penalty will be asked for."""
        factors = self._factors(np.arange(len(self._features)), weights)
        return DualSolver(self._kernel(factors), self._features, factors, self.dtype, only)

    def _columns(self, band: np.ndarray) -> Array:
        if len(band) == self._features.shape[1]:
            return self._features
        return self.compute.xp.take(self._features, self.compute.index(band), axis=1)

    def _factors(self, train: np.ndarray, weights: np.ndarray | None) -> Array:
        """What the square of every feature is multiplied by (n_features,)."""
        xp = self.compute.xp
        each = np.ones(self._features.shape[1])
        for band, weight in zip(self._bands, [] if weights is None else weights, strict=False):
            each[band] = weight
        factors = self.compute.put(each, "float64")
        if self._scale:
            rows = xp.take(self._features, self.compute.index(train), axis=0)
            rows = xp.astype(rows, xp.float64)
            scale = inverse_deviation(xp.var(rows, axis=0), xp.mean(rows * rows, axis=0))
            factors = factors * scale**2
        return factors

    def _kernel(self, factors: Array) -> Array:
        """The kernel of all samples with features multiplied by the roots of the factors."""
        xp = self.compute.xp
        if self._scale:
            return kernel(self._features, factors=xp.sqrt(factors))
        total = None
        for band, part in zip(self._bands, self._kernels, strict=True):
            weight = float(factors[int(band[0])]) if len(band) else 0.0
            if weight:
                total = weight * part if total is None else total + weight * part
        return 0.0 * self._kernels[0] if total is None else total


class DualScorer:
    """One fold by samples."""

    def __init__(self, total: Array, rows: FoldRows, compute: Compute, alphas: Array, dtype: Dtype) -> None:
        xp = array_namespace(total)
        low = getattr(xp, compute.scoring or dtype)
        self._dtype, self._train, self._test = dtype, compute.index(rows.train), compute.index(rows.test)
        columns = xp.take(total, self._train, axis=1)
        inner, across = xp.take(columns, self._train, axis=0), xp.take(columns, self._test, axis=0)
        centre = xp.mean(inner, axis=0)
        inner = inner - centre - centre[:, None] + xp.mean(centre)
        values, vectors = _decompose_centred(inner)
        carry = (across - xp.mean(across, axis=1, keepdims=True) - centre + xp.mean(centre)) @ vectors
        sums = xp.sum(carry, axis=0)
        explicit = forms_predictions(len(alphas), *carry.shape)
        moment = None if explicit else carry.T @ carry
        self._grid = GridScorer(values, moment, sums, alphas, dtype, carry)
        self._project, self._carry = xp.astype(vectors.T, low), xp.astype(carry.T, low)

    def scores(self, block: BlockRows) -> tuple[Array, Array]:
        """Pearson r and R² on the test samples, each (n_alphas, n_targets)."""
        xp = array_namespace(block.responses)
        train = xp.take(block.responses, self._train, axis=0)
        test = xp.take(block.responses, self._test, axis=0)
        sums, squares = sums_and_squares(train)
        mean = sums / len(train)
        z = without_flat(times(self._project, train), sums, squares, len(train), self._dtype)
        test -= xp.astype(mean, test.dtype)
        sums, about = sums_and_squares(test)
        about = without_still(about, about + len(test) / len(train) * squares, self._dtype)
        return self._grid.scores(z, times(self._carry, test), len(test), sums, about)


class DualSolver:
    """All samples, through their kernel."""

    def __init__(
        self, total: Array, features: Array, factors: Array, dtype: Dtype, only: float | None
    ) -> None:
        xp = array_namespace(total)
        kind = getattr(xp, dtype)
        centre = xp.mean(total, axis=0)
        centred = total - centre - centre[:, None] + xp.mean(centre)
        white = None if only is None else whiten(centred, only)
        self._whitened = white is not None
        values, vectors = _decompose_centred(centred) if white is None else white
        self._values, self._vectors = values, xp.astype(vectors, kind)
        self._features, self._factors, self._fine = features, factors, vectors
        self.rank, self._dtype = vectors.shape[1], dtype

    def solve(self, block: BlockRows, alphas: Array) -> Array:
        """Weights (rank, n_targets) for one penalty per target."""
        xp = array_namespace(self._values)
        z = self._vectors.T @ block.responses
        return z if self._whitened else z / xp.astype(self._values[:, None] + alphas, z.dtype)

    def dual(self, solved: Array) -> Array:
        """Dual weights (n_samples, n_targets), in float64, of what `solve` returns."""
        return self._fine @ array_namespace(solved).astype(solved, self._fine.dtype)

    def precision(self, least: float) -> Dtype:
        """In which `basis` is formed for penalties as small as `least`."""
        return precision(self._values, least, self._dtype)

    def basis(self, least: float = math.inf) -> Array:
        """The matrix (n_features, rank) that turns what `solve` returns into weights of features.

        In float64 where penalties as small as `least` need it.
        """
        xp = array_namespace(self._values)
        vectors = self._fine if self.precision(least) == "float64" else self._vectors
        basis = products(self._features, vectors)
        basis *= xp.astype(self._factors, vectors.dtype)[:, None]
        return basis


def _decompose_centred(centred: Array) -> tuple[Array, Array]:
    """Eigenvalues and vectors of a centred kernel; the vectors sum to 0 to the last digit."""
    values, vectors = decompose(centred)
    return values, vectors - array_namespace(vectors).mean(vectors, axis=0)


def kernel(features: Array, compute: Compute | None = None, factors: Array | None = None) -> Array:
    """X X' in float64, some columns at a time, so that no float64 copy of all is made.

    Shared out to the threads of `compute`, if given; `factors` (n_features,) multiply the features.
    """
    xp = array_namespace(features)
    at_once = max(1, CHUNK // len(features))

    def of_some(columns: slice) -> Array:
        total = 0.0
        for start in range(columns.start, columns.stop, at_once):
            inside = slice(start, min(start + at_once, columns.stop))
            part = xp.astype(features[:, inside], xp.float64, copy=False)
            if factors is not None:
                part = part * factors[inside]
            total += part @ part.T
        return total

    n_features = features.shape[1]
    return of_some(slice(0, n_features)) if compute is None else compute.summed(of_some, n_features)
