"""Cross-validated ridge as linear algebra: folds decomposed once, then any number of targets.

A problem answers for a block of targets how well every penalty does on every fold, and solves for the
weights. There are two kinds with one face: by features, whose moments add up over samples (no more
features than samples), and by samples, through the kernel X X' (more features than samples).

Features may come in bands, each multiplied by the square root of a weight of its own. The statistics of
features and targets do not depend on those weights; only eigendecompositions do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from neuroalign.encoders.solvers.compute import Array, Compute, Dtype
from neuroalign.encoders.solvers.dual import DualProblem
from neuroalign.encoders.solvers.primal import PrimalProblem, RowSource
from neuroalign.encoders.solvers.rows import FoldRows


class Scorer(Protocol):
    """One fold, ready to score blocks of targets."""

    def scores(self, block: Any) -> tuple[Array, Array]:
        """Pearson r and R² on the test samples, each (n_alphas, n_targets)."""


class Solver(Protocol):
    """All samples, ready to be solved for."""

    rank: int

    def precision(self, least: float) -> Dtype:
        """In which `basis` is formed for penalties as small as `least`."""

    def solve(self, block: Any, alphas: Array) -> Array:
        """Weights (rank, n_targets) for one penalty per target."""

    def basis(self, least: float = math.inf) -> Array:
        """The matrix (n_features, rank) that turns what `solve` returns into weights of features.

        In float64 where penalties as small as `least` need it.
        """


class Problem(Protocol):
    """What an encoder needs of its features."""

    compute: Compute
    dtype: Dtype
    n_folds: int
    order: int
    """Rows of the matrices that are decomposed."""

    def block(self, responses: Array, known: Any = None) -> Any:
        """Take in targets (n_samples, n_targets), about their means, in the dtype of the problem.

        What comes back holds all that is computed of them before penalties and band weights are known. Its
        attribute `known` spares work when the same targets are taken in again.
        """

    def scorer(self, fold: int, alphas: Array, weights: np.ndarray | None = None) -> Scorer:
        """Decompose the training samples of a fold; `alphas` ascending, `weights` one per band."""

    def solver(self, weights: np.ndarray | None = None, only: float | None = None) -> Solver:
        """Decompose all samples; more cheaply if `only` one penalty will be asked for."""


def problem_of(
    features: Array,
    folds: Sequence[FoldRows],
    compute: Compute,
    dtype: Dtype,
    bands: Sequence[np.ndarray] | None = None,
    scale: bool = False,
) -> Problem:
    """The cheaper kind of problem for features (n_samples, n_features) about their means.

    Parameters
    ----------
    features : array (n_samples, n_features)
        Here, in the dtype.
    folds : sequence of FoldRows
    compute : Compute
    dtype : {"float32", "float64"}
        Of products with targets.
    bands : sequence of int arrays, optional
        Columns of every band.
    scale : bool
        Divide every feature by its standard deviation in the training samples.
    """
    fewest = min((len(fold.train) for fold in folds), default=len(features))
    if features.shape[1] <= fewest:
        return PrimalProblem(RowSource(features, folds, compute), compute, dtype, bands, scale)
    return DualProblem(features, folds, compute, dtype, bands, scale)
