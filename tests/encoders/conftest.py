"""Ridge by the textbook, in float64, one penalty and one fold at a time: what encoders are held against."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from neuroalign.metrics import pearson, r_squared


def solve(X, Y, alpha):
    """Means and weights (n_features, n_targets) from the singular values of the centred features."""
    X, Y = np.asarray(X, float), np.asarray(Y, float)
    left, singular, right = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    shrunk = (singular / (singular**2 + alpha))[:, None] * (left.T @ (Y - Y.mean(axis=0)))
    return X.mean(axis=0), Y.mean(axis=0), right.T @ shrunk


def predict(X, Y, at, alpha):
    """Predictions at other features."""
    mean_x, mean_y, weights = solve(X, Y, alpha)
    return (np.asarray(at, float) - mean_x) @ weights + mean_y


def scores(X, Y, train, test, alphas, scale=False):
    """r and R² (n_alphas, n_targets) on the test samples of one fold; 0 where they are not defined."""
    X, Y = np.asarray(X, float), np.asarray(Y, float)
    if scale:
        deviation = X[train].std(axis=0)
        X = X / np.where(deviation > 1e-7 * deviation.max(), deviation, 1.0)
    r, r2 = [], []
    for alpha in alphas:
        predicted = predict(X[train], Y[train], X[test], alpha)
        r.append(pearson(predicted, Y[test]))
        r2.append(r_squared(predicted, Y[test], Y[train].mean(axis=0)))
    return np.nan_to_num(r), np.nan_to_num(r2)


def grid(X, Y, pairs, alphas, metric="r2", scale=False):
    """Mean scores over the folds (n_alphas, n_targets)."""
    each = [scores(X, Y, train, test, alphas, scale)[metric == "r2"] for train, test in pairs]
    return np.mean(each, axis=0)


def with_spectrum(rng, n, values, n_more=0):
    """Features of n samples whose centred Gram matrix has these eigenvalues, and more samples like them."""
    p = len(values)
    left = np.linalg.qr(np.column_stack([np.ones(n), rng.standard_normal((n, p))]))[0][:, 1:]
    left = np.concatenate([left, rng.standard_normal((n_more, p)) / np.sqrt(n)])
    return left * np.sqrt(values) @ np.linalg.qr(rng.standard_normal((p, p)))[0]


@pytest.fixture(scope="session")
def textbook() -> SimpleNamespace:
    """Ridge by the textbook."""
    return SimpleNamespace(
        solve=solve, predict=predict, scores=scores, grid=grid, with_spectrum=with_spectrum
    )
