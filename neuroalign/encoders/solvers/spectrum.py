"""Eigendecompositions of Gram matrices, ready for the grid of penalties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from array_api_compat import array_namespace
from scipy.linalg import lapack

from neuroalign.encoders.solvers.compute import Array, Dtype, host
from neuroalign.errors import DataError

DELICATE = 3e-4
"""Eigenvalue plus penalty, over the largest, below which float32 is too coarse for targets and weights."""

SINGULAR = 1e-10
"""A penalty below this share of the greatest eigenvalue is left to the eigendecomposition."""

CONSTANT = 1e-13
"""A variance below this share of what it was computed from is rounding error."""


def decompose(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues (rank,) above rounding error, ascending, and their vectors (n, rank).

    Divide and conquer is fastest; where it does not converge, as happens in rare cases and more often
    on GPUs, the QR iteration of LAPACK does.

    Raises
    ------
    DataError
        The matrix is not finite: the features are too large to be squared.
    """
    xp = array_namespace(matrix)
    if not bool(xp.all(xp.isfinite(matrix))):
        raise DataError("the features are too large to be squared in float64; scale them down")
    try:
        values, vectors = xp.linalg.eigh(matrix)
    except (np.linalg.LinAlgError, RuntimeError):
        slow = lapack.dsyev(host(matrix), lower=1)
        if slow[2]:
            raise DataError("the features' Gram matrix has no eigendecomposition; scale them") from None
        values, vectors = (xp.asarray(part, device=matrix.device) for part in slow[:2])
    floor = 4 * np.finfo(np.float64).eps * len(matrix) * max(float(values[-1]), 0.0)
    rank = int(xp.sum(xp.astype(values > floor, xp.int64)))
    start = len(values) - rank
    return values[start:], vectors[:, start:]


def whiten(matrix: Array, penalty: float) -> tuple[Array, Array] | None:
    """Vectors V (n, n) with V'(A + α) V = I, by Cholesky: far cheaper than eigenvectors, for one penalty.

    Returns
    -------
    extremes : array (2,)
        The least and the greatest eigenvalue, by power iterations: for `delicate`.
    vectors : array (n, n)
    None where A + α is too near singular for float64.
    """
    xp = array_namespace(matrix)
    diagonal = xp.linalg.diagonal(matrix)
    if not bool(xp.all(xp.isfinite(matrix)) & xp.any(diagonal > 0)):
        return None
    shifted = matrix + penalty * xp.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    start = xp.sqrt(diagonal + CONSTANT * xp.max(diagonal))
    greatest = _greatest(lambda vector: matrix @ vector, start)
    if penalty < SINGULAR * greatest:
        return None
    try:
        vectors = _inverse_transpose(xp.linalg.cholesky(shifted))
    except (np.linalg.LinAlgError, RuntimeError):
        return None
    least = 1.0 / _greatest(lambda vector: vectors @ (vectors.T @ vector), 1.0 / start) - penalty
    return xp.asarray([max(least, 0.0), greatest], dtype=matrix.dtype, device=matrix.device), vectors


def _inverse_transpose(lower: Array) -> Array:
    """Of a lower triangular matrix; on the host by LAPACK, whose general inverse takes four times as long."""
    if isinstance(lower, np.ndarray):
        return np.asarray(lapack.dtrtri(lower.T, lower=0, overwrite_c=1)[0])
    return array_namespace(lower).linalg.inv(lower).T


def _greatest(product: Callable[[Array], Array], vector: Array, steps: int = 20) -> float:
    """The greatest eigenvalue of a positive semidefinite matrix, within some percent from below.

    By power iterations from a vector, with the matrix known by its product.
    """
    xp = array_namespace(vector)
    for _ in range(steps):
        vector = product(vector / xp.linalg.vector_norm(vector))
    return float(xp.linalg.vector_norm(vector))


def delicate(values: Array, penalty: Array) -> Array:
    """Where ridge by these eigenvalues, ascending, amplifies rounding errors too much for float32.

    Errors of products are relative to the largest features, what the prediction owes to an eigenvector is
    relative to its own: they come out larger by √(λ_max / (λ_min + α)).
    """
    if not len(values):
        return penalty < 0
    return values[0] + penalty < DELICATE * values[-1]


def precision(values: Array, least: float, dtype: Dtype) -> Dtype:
    """The dtype that weights need for penalties as small as `least`, with data in `dtype`."""
    return "float64" if bool(delicate(values, least)) else dtype


def inverse_deviation(variance: Array, square: Array) -> Array:
    """What features are multiplied by to have unit variance; 1 where they do not vary.

    Parameters
    ----------
    variance, square : arrays (n_features,)
        Variances in some samples, and the mean squares that they were computed from.
    """
    xp = array_namespace(variance)
    varies = variance > CONSTANT * square
    return 1.0 / xp.sqrt(xp.where(varies, variance, 1.0))
