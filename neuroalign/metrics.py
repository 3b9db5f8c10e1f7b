"""How well predictions fit responses, target by target."""

from __future__ import annotations

import numpy as np

ROUNDING = 1e-5
"""A share of a column's norm that single precision leaves where nothing should be left."""


def pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson correlation (n_targets,) of matching columns of two arrays (n_samples, n_targets).

    NaN where either column is constant or not finite.
    """
    a = np.asarray(a, np.float64) - np.mean(a, axis=0, dtype=np.float64)
    b = np.asarray(b, np.float64) - np.mean(b, axis=0, dtype=np.float64)
    return cosine(a, b)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine similarity (n_targets,) of matching columns; NaN where one of them vanishes."""
    scale = np.sqrt(np.einsum("nt,nt->t", a, a) * np.einsum("nt,nt->t", b, b))
    product = np.einsum("nt,nt->t", a, b)
    return np.divide(product, scale, out=np.full(scale.shape, np.nan), where=scale > 1e-300)


def r_squared(predicted: np.ndarray, observed: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """R² (n_targets,): 1 − Σ(y − ŷ)² / Σ(y − reference)²; NaN where y equals the reference.

    Parameters
    ----------
    predicted, observed : arrays (n_samples, n_targets)
    reference : array (n_targets,)
        What R² is measured against: for held-out data the training mean.
    """
    observed = np.asarray(observed, np.float64)
    error = ((observed - predicted) ** 2).sum(axis=0)
    total = ((observed - reference) ** 2).sum(axis=0)
    return 1 - np.divide(error, total, out=np.full(total.shape, np.nan), where=total > 1e-300)


def product_measure(parts: np.ndarray, observed: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The R² of a sum of predictions, split among its parts: (n_parts, n_targets), summing to it.

    With y the response, ŷ = Σ_b ŷ_b its prediction, both about `reference`, and sums over samples, part b
    has Σ ŷ_b (2 y − ŷ) / Σ y² (Dupré la Tour et al. 2022, NeuroImage 264:119728). It may be negative. NaN
    where y equals the reference.

    Parameters
    ----------
    parts : array (n_parts, n_samples, n_targets)
        Predictions less the reference are their sum.
    observed : array (n_samples, n_targets)
    reference : array (n_targets,)
        As in `r_squared`.
    """
    observed = np.asarray(observed, np.float64) - reference
    weight = 2 * observed - parts.sum(axis=0, dtype=np.float64)
    total = np.einsum("nt,nt->t", observed, observed)
    explained = np.einsum("bnt,nt->bt", parts, weight)
    return np.divide(explained, total, out=np.full(explained.shape, np.nan), where=total > 1e-300)


def residual(values: np.ndarray, nuisance: np.ndarray) -> np.ndarray:
    """What is left of `values` (n_samples, n_targets) after a mean and the nuisance columns are fitted.

    Both sides of a partial correlation go through this before `cosine`. A column that the nuisance
    explains but for rounding becomes zero: a correlation would not see how little is left.
    """
    basis = nuisance_basis(nuisance)
    values = np.asarray(values, np.float64)
    left = values - basis @ (basis.T @ values)
    size = np.linalg.norm(values - values.mean(axis=0), axis=0)
    return left * (np.linalg.norm(left, axis=0) > ROUNDING * size)


def nuisance_basis(nuisance: np.ndarray) -> np.ndarray:
    """Orthonormal columns (n_samples, n_independent) that span a mean and the nuisance columns."""
    basis, triangle = np.linalg.qr(np.column_stack([np.ones(len(nuisance)), nuisance]))
    strength = np.abs(np.diag(triangle))
    return basis[:, strength > 1e-9 * strength.max()]
