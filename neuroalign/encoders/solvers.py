"""The linear algebra of ridge regression, in float64, apart from any estimator.

With training features X (centred), one eigendecomposition of the Gram matrix X X' (samples ≥
features: X' X) gives the predictions of every regularisation strength α as

    ŷ(α) = A diag(1 / (λ + α)) P y

where the orthonormal rows of P project the training responses into the eigenbasis and A carries
the basis to the test samples; both cases share this one form. The scores of all α follow from
z = P y and c = A' y_test without forming a prediction: with d_j = 1 / (λ_j + α) and M = A' A,

    y'ŷ = Σ_j d_j z_j c_j,     ŷ'ŷ = Σ_j d_j² M_jj z_j² + 2 Σ_j d_j z_j (C z)_j,

where C_jk = M_jk / (λ_k − λ_j) is antisymmetric, because d_j d_k = (d_j − d_k) / (λ_k − λ_j).
One r × r product per fold thus serves the whole grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

CLUSTER_GAP = 1e-10
"""Eigenvalues nearer than this share of the largest are treated as one."""


@dataclass(frozen=True)
class Split:
    """One training and test split in the eigenbasis of its training features.

    Attributes
    ----------
    train, test : int arrays
        Sample indices.
    values : array (rank,)
        Eigenvalues λ of the centred training Gram matrix.
    project : array (rank, n_train)
        P above; y needs no centring beforehand, since every row sums to zero.
    carry : array (n_test, rank)
        A above.
    """

    train: np.ndarray
    test: np.ndarray
    values: np.ndarray
    project: np.ndarray
    carry: np.ndarray


def gram(features: np.ndarray) -> np.ndarray:
    """The matrix X X' (n, n) of samples, in float64."""
    features = np.asarray(features, np.float64)
    return features @ features.T


def split_from_gram(kernel: np.ndarray, train: np.ndarray, test: np.ndarray) -> Split:
    """Centre one split of a sample Gram matrix by algebra and decompose it (features ≥ samples).

    Parameters
    ----------
    kernel : array (n, n)
        X X' of all samples, not centred.
    train, test : int arrays
    """
    inner = kernel[np.ix_(train, train)]
    across = kernel[np.ix_(test, train)]
    column = inner.mean(axis=0)
    total = column.mean()
    values, vectors = symmetric_eigen(inner - column - column[:, None] + total)
    centred = across - across.mean(axis=1, keepdims=True) - column + total
    return Split(train, test, values, vectors.T.copy(), centred @ vectors)


def split_from_features(features: np.ndarray, train: np.ndarray, test: np.ndarray) -> Split:
    """Decompose one split by its feature Gram matrix X' X (samples ≥ features)."""
    inside = np.asarray(features[train], np.float64)
    mean = inside.mean(axis=0)
    inside = inside - mean
    values, vectors = symmetric_eigen(inside.T @ inside)
    root = np.sqrt(values)
    return Split(
        train, test, values, (inside @ (vectors / root)).T, (features[test] - mean) @ (vectors * root)
    )


def symmetric_eigen(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues above rounding error, ascending, and their vectors.

    Divide and conquer is fastest; where it does not converge, the slower QR iteration does.
    """
    try:
        values, vectors = scipy.linalg.eigh(matrix, driver="evd", check_finite=False)
    except np.linalg.LinAlgError:
        values, vectors = scipy.linalg.eigh(matrix, driver="ev", check_finite=False)
    floor = 4 * np.finfo(np.float64).eps * len(matrix) * max(values[-1], 0.0)
    kept = values > floor
    return values[kept], vectors[:, kept]


def separate_clusters(split: Split) -> Split:
    """Rotate within groups of equal eigenvalues so that A' A has no entries inside them.

    The scores divide by differences of eigenvalues; inside a group of equal ones any basis is as
    good, and in this one the terms that would be divided vanish.
    """
    values = split.values
    if len(values) < 2:
        return split
    breaks = np.flatnonzero(np.diff(values) > CLUSTER_GAP * values[-1]) + 1
    groups = [g for g in np.split(np.arange(len(values)), breaks) if len(g) > 1]
    if not groups:
        return split
    project, carry = split.project.copy(), split.carry.copy()
    for group in groups:
        block = carry[:, group]
        rotation = np.linalg.eigh(block.T @ block)[1]
        carry[:, group] = block @ rotation
        project[group] = rotation.T @ project[group]
    return Split(split.train, split.test, values, project, carry)


class GridScorer:
    """Scores of all regularisation strengths on one split, for any number of targets.

    Parameters
    ----------
    split : Split
    alphas : array (n_alphas,)
    precision : dtype
        Of the products with the responses. The antisymmetric form stays in float64: its entries are
        large where eigenvalues are near each other, and what they add up to is not.
    """

    def __init__(self, split: Split, alphas: np.ndarray, precision: np.dtype | type = np.float64) -> None:
        split = separate_clusters(split)
        values = split.values
        moment = split.carry.T @ split.carry
        gaps = values[None, :] - values[:, None]
        apart = np.abs(gaps) > CLUSTER_GAP * values.max(initial=0.0)
        shrink = 1.0 / (values + alphas[:, None])
        # d_j − d_ref without cancellation; any reference may be subtracted, since z'Cz = 0.
        middle = values[[len(values) // 2]] if len(values) else values
        shift = (middle - values) * shrink / (middle + alphas[:, None]) if len(values) else shrink
        self._cauchy = np.divide(moment, gaps, out=np.zeros_like(moment), where=apart)
        self._train, self._test = split.train, split.test
        self._project, self._carry = split.project.astype(precision), split.carry.T.astype(precision)
        self._shrink, self._shift = shrink.astype(precision), shift.astype(precision)
        self._squares = (shrink**2 * np.diag(moment)).astype(precision)
        self._sums = (shrink * split.carry.sum(axis=0)).astype(precision)

    def scores(self, responses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pearson r and R² on the test samples.

        Parameters
        ----------
        responses : array (n, n_targets)
            All samples, in the precision of the scorer; the split picks its own.

        Returns
        -------
        r, r2 : arrays (n_alphas, n_targets), float64
            R² is against the training mean. Both are 0 where the test responses are constant.
        """
        train, test = responses[self._train], responses[self._test]
        mean = train.mean(axis=0, dtype=np.float64).astype(responses.dtype)
        train, test = train - mean, test - mean
        n = len(test)
        z = self._project @ train
        dot = (self._shrink @ (z * (self._carry @ test))).astype(np.float64)
        crossed = z * (self._cauchy @ z.astype(np.float64)).astype(z.dtype)
        norm = (self._squares @ z**2).astype(np.float64) + 2 * (self._shift @ crossed)
        total = (self._sums @ z).astype(np.float64)
        sums, squares = (
            test.sum(axis=0, dtype=np.float64),
            np.einsum("nt,nt->t", test, test, dtype=np.float64),
        )
        covariance = dot - total * sums / n
        spread = np.maximum(norm - total**2 / n, 0) * np.maximum(squares - sums**2 / n, 0)
        tiny = np.finfo(np.float64).tiny
        r = np.divide(covariance, np.sqrt(spread), out=np.zeros_like(dot), where=spread > tiny)
        r2 = 1 - np.divide(squares - 2 * dot + norm, squares, out=np.ones_like(dot), where=squares > tiny)
        return np.clip(r, -1, 1), r2


def feature_basis(split: Split, features: np.ndarray) -> np.ndarray:
    """The matrix (n_features, rank) that turns eigenbasis weights into weights of features."""
    return np.asarray(features[split.train], np.float64).T @ split.project.T


def solve(split: Split, responses: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """Eigenbasis weights (rank, n_targets) for one α per target; predictions are A @ weights."""
    train = responses[split.train]
    z = split.project.astype(train.dtype) @ (train - train.mean(axis=0, dtype=np.float64).astype(train.dtype))
    return z / (split.values[:, None] + alphas).astype(train.dtype)
