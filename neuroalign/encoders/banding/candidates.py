"""Weights of bands to try: points of the simplex, first spread over it, then drawn near good ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaincinv

from neuroalign.errors import DataError

CONCENTRATIONS = (1.0, 0.3)
"""Of the Dirichlet distributions that scattered points follow in turn: all over, and near the edges."""

DROPPED = 1e-5
"""A band with less weight than this gets none."""

WOKEN = 1e-3
"""Weight from which a band without any sets out when it is moved."""


def check_candidates(candidates: Any, n_bands: int) -> int | np.ndarray:
    """How many candidates to try, or those to try.

    Raises
    ------
    DataError
        No positive whole number, and no points (n_candidates, n_bands) of the simplex.
    """
    given = np.asarray(candidates, float)
    if given.ndim == 0:
        if not given >= 1 or given % 1:
            raise DataError(f"n_candidates is {candidates}; expected a positive whole number")
        return int(given)
    if given.ndim != 2 or given.shape[1] != n_bands or not len(given):
        raise DataError(f"n_candidates has shape {given.shape}; expected (n_candidates, {n_bands})")
    if not (given >= 0).all() or not np.allclose(given.sum(axis=1), 1):
        raise DataError("n_candidates has rows off the simplex; expected weights from 0 that sum to 1")
    return given


def informative(n_bands: int) -> np.ndarray:
    """All bands alike, then every band alone: (n_bands + 1, n_bands), or (1, 1) for a single band."""
    if n_bands == 1:
        return np.ones((1, 1))
    return np.concatenate([np.full((1, n_bands), 1 / n_bands), np.eye(n_bands)])


def scattered(n_bands: int, number: int, rng: np.random.Generator) -> np.ndarray:
    """Points (number, n_bands) that follow Dirichlet distributions more evenly than independent draws.

    Normalised gamma variates are Dirichlet's; here their quantiles come from an additive recurrence whose
    steps are powers of the generalised golden ratio, so that few points leave no large gap.
    """
    golden = 2.0
    for _ in range(50):
        golden = (1 + golden) ** (1 / (n_bands + 1))
    steps = golden ** -np.arange(1.0, n_bands + 1)
    quantiles = (rng.random(n_bands) + np.arange(1, number + 1)[:, None] * steps) % 1
    shapes = np.resize(CONCENTRATIONS, number)[:, None]
    return on_simplex(gammaincinv(shapes, np.clip(quantiles, 1e-6, 1 - 1e-6)))


def near(
    points: np.ndarray, shares: np.ndarray, number: int, spread: float, rng: np.random.Generator
) -> np.ndarray:
    """Points (number, n_bands) around others, as many around each as its share says.

    Parameters
    ----------
    points : array (n_points, n_bands)
    shares : array (n_points,)
        Not negative; they need not sum to 1.
    number : int
    spread : float
        Standard deviation of the change of log γ.
    """
    places = (np.arange(number) + rng.random()) / number
    parents = np.searchsorted(np.cumsum(shares) / np.sum(shares), places)
    start = np.maximum(points[np.minimum(parents, len(points) - 1)], WOKEN)
    return on_simplex(start * np.exp(spread * rng.standard_normal(start.shape)))


def on_simplex(weights: np.ndarray) -> np.ndarray:
    """Rows scaled to sum to 1, what is negligible in them at 0."""
    weights = weights / weights.sum(axis=1, keepdims=True)
    weights = np.where(weights < DROPPED, 0.0, weights)
    return weights / weights.sum(axis=1, keepdims=True)
