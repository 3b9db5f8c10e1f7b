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

from typing import Literal

from array_api_compat import array_namespace

from neuroalign.encoders.solvers.compute import Array

NEAR = {"float32": 3e-4, "float64": 1e-6}
"""Eigenvalues (plus the smallest penalty) are near below this relative difference; errs by its square / 2."""

FLAT = {"float32": 1e-6, "float64": 1e-13}
"""A sum of squares below this share of what it was computed from is rounding error: there is no variance."""

LEFT = {"float32": 1e-10, "float64": 1e-13}
"""The same of what is left of all samples when others are taken away."""

Dtype = Literal["float32", "float64"]


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
        gaps = values[None, :] - values[:, None]
        close = xp.abs(gaps) < NEAR[dtype] * (values[None, :] + alphas[0])
        close = close | close.T
        self._near = xp.nonzero(xp.sum(xp.astype(close, xp.int32), axis=0) > 1)[0]
        gaps = xp.where(close, xp.asarray(xp.inf, dtype=xp.float64, device=gaps.device), gaps)
        self._cauchy = xp.astype(moment / gaps, kind)
        self._squares = xp.astype(shrink**2 * xp.linalg.diagonal(moment), kind)
        # Any d_ref may be subtracted from d, since z'Cz = 0; the smallest leaves least to cancel.
        top = values[-1:]
        self._shift = xp.astype(2.0 * (top - values) * shrink / (top + alphas[:, None]), kind)
        if len(self._near):
            pairs = xp.take(xp.take(moment, self._near, axis=0), self._near, axis=1)
            kept = xp.take(xp.take(close, self._near, axis=0), self._near, axis=1)
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
