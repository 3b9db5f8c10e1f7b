"""Scores of every penalty of a grid at once, from statistics: no prediction is formed.

In the eigenbasis of the centred training Gram matrix (eigenvalues λ), ridge with penalty α predicts
A diag(d) z, d_j = 1 / (λ_j + α), where z are the projected training responses and A the test features
in that basis. With c = A' y and M = A' A,

    y'ŷ = Σ_j d_j z_j c_j,     ŷ'ŷ = Σ_jk d_j d_k M_jk z_j z_k.

Since d_j d_k = (d_j − d_k) / (λ_k − λ_j), the antisymmetric C_jk = M_jk / (λ_k − λ_j) turns the double sum
into Σ_j d_j² M_jj z_j² + 2 Σ_j d_j z_j (C z)_j: one product C z serves the whole grid. Eigenvalues too near
each other to be divided by their difference use d_j d_k = (d_j² + d_k²) / 2 − (d_j − d_k)² / 2, whose last
term is below rounding error.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from neuroalign.encoders.solvers.compute import Array, Dtype

NEAR = {"float32": 3e-4, "float64": 1e-6}
"""Eigenvalues (plus the smallest penalty) are near below this relative difference; errs by its square / 2."""

FLAT = {"float32": 1e-6, "float64": 1e-13}
"""A sum of squares below this share of what it was computed from is rounding error: there is no variance."""

LEFT = {"float32": 1e-10, "float64": 1e-13}
"""The same of what is left of all samples when others are taken away."""

ROWS_BYTES = 2**19
"""Of a matrix worked on at once: less than a processor's cache."""


class GridScorer:
    """Pearson r and R² of every penalty on one test set, for any number of targets.

    Parameters
    ----------
    values : array (rank,)
        Eigenvalues λ, ascending, float64.
    moment : array (rank, rank) or None
        M above, with test features about the training mean, float64; None to form predictions instead.
    sums : array (rank,)
        A'1, float64.
    alphas : array (n_alphas,)
        Ascending.
    dtype : {"float32", "float64"}
        Of the products with targets.
    carry : array (n_test, rank), optional
        A above, to form predictions with: cheaper than C z where `forms_predictions` says so.
    """

    def __init__(
        self,
        values: Array,
        moment: Array | None,
        sums: Array,
        alphas: Array,
        dtype: Dtype,
        carry: Array | None = None,
    ) -> None:
        xp = array_namespace(values)
        self._xp, self._dtype, kind = xp, dtype, getattr(xp, dtype)
        shrink = 1.0 / (values + alphas[:, None])
        self._shrink = xp.astype(shrink, kind)
        self._total = xp.astype(shrink * sums, kind)
        self._carry = None if moment is not None else xp.astype(carry, kind)
        if moment is None:
            return
        levels = values + alphas[0]
        self._near = _with_neighbours(levels, NEAR[dtype])
        self._cauchy = _cauchy(moment, levels, NEAR[dtype], kind)
        self._squares = xp.astype(shrink**2 * xp.linalg.diagonal(moment), kind)
        # Any d_ref may be subtracted from d, since z'Cz = 0; the smallest leaves least to cancel.
        top = values[-1:]
        self._shift = xp.astype(2.0 * (top - values) * shrink / (top + alphas[:, None]), kind)
        if len(self._near):
            pairs = xp.take(xp.take(moment, self._near, axis=0), self._near, axis=1)
            kept = _close(xp.take(levels, self._near), xp.take(levels, self._near), NEAR[dtype])
            kept = kept & ~xp.eye(len(self._near), dtype=xp.bool, device=kept.device)
            self._pairs = xp.astype(xp.where(kept, pairs, 0.0), kind)
            self._near_squares = xp.astype(xp.take(shrink, self._near, axis=1) ** 2, kind)

    def scores(self, z: Array, c: Array, count: int, sums: Array, squares: Array) -> tuple[Array, Array]:
        """Pearson r and R².

        Parameters
        ----------
        z, c : arrays (rank, n_targets)
        count : int
            Number of test samples.
        sums, squares : arrays (n_targets,)
            Σ and Σ² of the test responses about the training mean, float64.

        Returns
        -------
        r, r2 : arrays (n_alphas, n_targets), float64
            R² is against the training mean. r is 0 where responses or predictions are constant, R² where
            the test responses never leave the training mean.
        """
        xp, flat = self._xp, FLAT[self._dtype]
        dot = xp.astype(self._shrink @ (z * c), xp.float64)
        norm = xp.astype(self._norms(z), xp.float64)
        total = xp.astype(self._total @ z, xp.float64)
        spread, moved = squares - sums**2 / count, norm - total**2 / count
        defined, varies = (spread > flat * squares) & (moved > flat * norm), squares > 0
        product = spread * moved
        r = xp.where(defined, dot - total * sums / count, 0.0) / xp.sqrt(xp.where(defined, product, 1.0))
        r2 = xp.where(varies, 2.0 * dot - norm, 0.0) / xp.where(varies, squares, 1.0)
        return xp.clip(r, -1.0, 1.0), r2

    def _norms(self, z: Array) -> Array:
        """Squared length of every prediction (n_alphas, n_targets)."""
        xp = self._xp
        if self._carry is not None:
            predictions = (self._carry @ (each[:, None] * z) for each in self._shrink)
            return xp.stack([xp.sum(each * each, axis=0) for each in predictions])
        norm = self._squares @ (z * z) + self._shift @ (z * (self._cauchy @ z))
        if len(self._near):
            near = xp.take(z, self._near, axis=0)
            norm = norm + self._near_squares @ (near * (self._pairs @ near))
        return norm


def _close(some: Array, others: Array, near: float) -> Array:
    """Which eigenvalues plus penalty (n,), (m,) are too near each other to be divided by their gap (n, m)."""
    xp = array_namespace(some)
    return xp.abs(others - some[:, None]) < near * xp.maximum(others, some[:, None])


def _with_neighbours(levels: Array, near: float) -> Array:
    """Indices of eigenvalues plus penalty (rank,), ascending, that have others too near them.

    These are in `_close` to a neighbour, or to one that is as near to the neighbour: hence (1 + 2 near).
    """
    xp = array_namespace(levels)
    next_to = xp.astype(levels[1:] - levels[:-1] < near * (1 + 2 * near) * levels[1:], xp.int8)
    none = xp.zeros((1,), dtype=xp.int8, device=levels.device)
    return xp.nonzero(xp.concat([next_to, none]) + xp.concat([none, next_to]))[0]


def _cauchy(moment: Array, levels: Array, near: float, kind: Any) -> Array:
    """C (rank, rank) above, zero for near pairs; some rows at a time, which stay in the cache."""
    xp = array_namespace(moment)
    out = xp.empty(moment.shape, dtype=kind, device=moment.device)
    rows = max(1, ROWS_BYTES // (8 * max(1, len(levels))))
    for start in range(0, len(levels), rows):
        part = slice(start, start + rows)
        gaps = levels - levels[part, None]
        gaps[_close(levels[part], levels, near)] = xp.inf
        out[part] = moment[part] / gaps
    return out


def forms_predictions(n_alphas: int, n_test: int, rank: int) -> bool:
    """Whether one product with the test features per penalty costs less than one with C for all."""
    return n_alphas * n_test <= rank


def without_flat(
    z: Array, sums: Array, squares: Array, count: int, dtype: Dtype, whole: Array | None = None
) -> Array:
    """Projections with those targets at 0 that do not vary in training, where only rounding is left.

    Parameters
    ----------
    z : array (rank, n_targets)
    sums, squares : arrays (n_targets,)
        Σ and Σ² of the training responses, float64.
    count : int
        Number of training samples.
    dtype : {"float32", "float64"}
    whole : array (n_targets,), optional
        Σ² of all responses, if those of the training responses are what others left of it.
    """
    xp = array_namespace(z)
    spread = squares - sums**2 / count
    flat = spread <= FLAT[dtype] * squares
    if whole is not None:
        flat = flat | (spread <= LEFT[dtype] * whole)
    return xp.where(flat, 0.0, z) if bool(xp.any(flat)) else z


def without_still(squares: Array, of: Array, dtype: Dtype) -> Array:
    """Σ² of test responses about the training mean, 0 where they only leave it by rounding errors.

    So it is where every run was standardised and a target is dead in one.

    Parameters
    ----------
    squares : array (n_targets,)
    of : array (n_targets,)
        What as many samples have on average.
    dtype : {"float32", "float64"}
    """
    xp = array_namespace(squares)
    return xp.where(squares <= FLAT[dtype] * of, 0.0, squares)
