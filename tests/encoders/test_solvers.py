"""The scores of the whole grid, formed without predictions, against predictions that are formed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroalign.encoders import solvers
from neuroalign.metrics import pearson, r_squared

ALPHAS = np.logspace(-4, 5, 19)


def explicit(X, Y, train, test, alphas):
    """r and R² of every α by solving for every α."""
    mean_x, mean_y = X[train].mean(axis=0), Y[train].mean(axis=0)
    inside = X[train] - mean_x
    r, r2 = [], []
    for alpha in alphas:
        dual = np.linalg.solve(inside @ inside.T + alpha * np.eye(len(train)), Y[train] - mean_y)
        predicted = (X[test] - mean_x) @ inside.T @ dual + mean_y
        r.append(pearson(predicted, Y[test]))
        r2.append(r_squared(predicted, Y[test], mean_y))
    return np.array(r), np.array(r2)


def split_of(X, train, test, by):
    if by == "samples":
        return solvers.split_from_gram(solvers.gram(X), train, test)
    return solvers.split_from_features(X, train, test)


@pytest.mark.parametrize("by", ["samples", "features"])
@pytest.mark.parametrize(
    "case", ["tall", "wide", "repeated columns", "repeated rows", "equal spectrum", "one column"]
)
def test_grid_scores_equal_those_of_explicit_predictions(rng, by, case):
    n, p = {"tall": (60, 8), "wide": (40, 90), "one column": (30, 1)}.get(case, (48, 16))
    X = rng.standard_normal((n, p))
    if case == "repeated columns":
        X[:, p // 2 :] = X[:, : p // 2]
    if case == "repeated rows":
        X[1::2] = X[::2]
    train, test = np.arange(n - 12), np.arange(n - 12, n)
    if case == "equal spectrum":
        inside = np.linalg.qr(X[train] - X[train].mean(axis=0))[0]
        X[train] = inside - inside.mean(axis=0)
    Y = X @ rng.standard_normal((p, 5)) + rng.standard_normal((n, 5)) + 3
    scored = solvers.GridScorer(split_of(X, train, test, by), ALPHAS).scores(Y)
    for got, expected in zip(scored, explicit(X, Y, train, test, ALPHAS), strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-7)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(12, 40), p=st.integers(2, 60), scale=st.floats(-3, 3))
def test_scores_do_not_change_when_features_rotate(seed, n, p, scale):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * 10.0 ** (scale * rng.uniform(size=p))
    Y = rng.standard_normal((n, 3))
    rotation = np.linalg.qr(rng.standard_normal((p, p)))[0]
    train, test = np.arange(n - 4), np.arange(n - 4, n)
    plain, rotated = (
        solvers.GridScorer(split_of(data, train, test, "samples"), ALPHAS).scores(Y)[1]
        for data in (X, X @ rotation)
    )
    np.testing.assert_allclose(plain, rotated, rtol=1e-5, atol=1e-5)


def test_the_fallback_decomposes_where_the_fast_driver_fails(rng, monkeypatch):
    matrix = np.cov(rng.standard_normal((6, 30)))
    expected = np.linalg.eigvalsh(matrix)
    fast = solvers.scipy.linalg.eigh

    def failing(values, driver, **rest):
        if driver == "evd":
            raise np.linalg.LinAlgError("did not converge")
        return fast(values, driver=driver, **rest)

    monkeypatch.setattr(solvers.scipy.linalg, "eigh", failing)
    np.testing.assert_allclose(solvers.symmetric_eigen(matrix)[0], expected)


def test_constant_features_leave_the_training_mean(rng):
    Y = rng.standard_normal((20, 2))
    train, test = np.arange(15), np.arange(15, 20)
    r, r2 = solvers.GridScorer(split_of(np.ones((20, 3)), train, test, "samples"), ALPHAS).scores(Y)
    assert (r == 0).all()
    np.testing.assert_allclose(r2, 0, atol=1e-12)
