"""Floating-point operations of neuroalign's own algorithms; a multiplication and an addition count two.

Only what the algorithm needs: symmetric products once, thin products as they are, nothing elementwise. An
eigendecomposition by divide and conquer counts 14/3 n³ (reduction 4/3, tree 4/3, back-transformation 2).
What runs in float64 counts like the rest, although it runs at half the rate.
"""

from __future__ import annotations

from problem import Shape

EIGEN = 14 / 3
THIN = 4  # products of the alphas with z c, M z², z (C z) and the sums that r needs


def ridge(shape: Shape, primal: bool = True) -> float:
    """One fit per layer, by features or by samples, whichever are fewer."""
    n, p = shape.samples, shape.features
    one = _by_features(shape, n * p**2, p) if p <= n else _by_samples(shape, n, p, primal)
    return shape.layers * one


def lagged(shape: Shape) -> float:
    """As by features, with the Gram matrix from one row of cross-correlations."""
    width = shape.features * shape.lags
    return _by_features(shape, 2 * shape.samples * shape.features * width, width)


def _by_features(shape: Shape, gram: float, p: int) -> float:
    held = shape.samples // shape.folds
    carried = min(held, p)
    fold = EIGEN * p**3 + 2 * held * p * carried + carried * p**2
    fold += shape.targets * _scored(shape, p, p, carried)
    refit = EIGEN * p**3 + 4 * p * p * shape.targets
    return gram + 2 * shape.samples * p * shape.targets + shape.folds * fold + refit


def _by_samples(shape: Shape, n: int, p: int, primal: bool) -> float:
    held = n // shape.folds
    train = n - held
    fold = EIGEN * train**3 + 2 * held * train**2 + held * train**2
    fold += shape.targets * _scored(shape, train, train, held)
    refit = EIGEN * n**3 + 2 * n * n * shape.targets
    return n * n * p + shape.folds * fold + refit + (2 * n * p * shape.targets if primal else 0)


def _scored(shape: Shape, rows: int, rank: int, carried: int) -> float:
    """Per target and fold: z, C z, c, and the alphas."""
    return 2 * rank * (rows + rank + carried) + 2 * THIN * len(shape.alphas) * rank
