"""One penalty is fitted without eigenvectors, and the same comes out as with them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from neuroalign.encoders import LaggedRidgeEncoder, RidgeEncoder
from neuroalign.encoders.solvers import spectrum


@pytest.mark.parametrize("n_features", [5, 40])
@pytest.mark.parametrize("alpha_per", ["target", "all"])
def test_one_alpha_needs_no_folds(rng, n_features, alpha_per):
    X, Y = rng.standard_normal((30, n_features)), rng.standard_normal((30, 3))
    Y[4, 1] = np.nan
    encoder = RidgeEncoder([2.0], folds=None, alpha_per=alpha_per).fit(X, Y)
    peer = Ridge(alpha=2.0).fit(X, Y[:, [0, 2]])
    np.testing.assert_allclose(encoder.coef_[:, [0, 2]], peer.coef_.T, atol=1e-12)
    np.testing.assert_array_equal(encoder.best_alphas_, [2.0, np.nan, 2.0])
    assert np.isnan(encoder.coef_[:, 1]).all()
    assert np.isnan(encoder.cv_scores_).all()
    assert np.isnan(encoder.cv_r_).all()


@pytest.mark.parametrize("n_samples", [12, 60])
def test_one_alpha_needs_no_folds_with_lags(rng, n_samples):
    X, Y = rng.standard_normal((n_samples, 4)), rng.standard_normal((n_samples, 2))
    alone = LaggedRidgeEncoder(range(5), [2.0], folds=None).fit(X, Y)
    chosen = LaggedRidgeEncoder(range(5), [2.0]).fit(X, Y)
    np.testing.assert_allclose(alone.coef_, chosen.coef_, atol=1e-12)


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("n_features", [8, 60])
@pytest.mark.parametrize("alpha", [1e-9, 1e-3, 1.0, 1e8])
def test_features_of_any_scale_are_fitted_as_by_scikit_learn(rng, n_features, alpha, device):
    X = rng.standard_normal((40, n_features)) * np.geomspace(1, 1e-3, n_features)
    X[:, 3] = X[:, 2]
    Y = X @ rng.standard_normal((n_features, 3)) + rng.standard_normal((40, 3))
    fitted = RidgeEncoder([alpha], folds=None, device=device).fit(X, Y).predict(X)
    np.testing.assert_allclose(fitted, Ridge(alpha=alpha, solver="svd").fit(X, Y).predict(X), atol=1e-8)


@pytest.mark.parametrize("n_features", [30, 300])
@pytest.mark.parametrize("alpha", [1e-2, 1e3])
def test_float32_predicts_as_float64_does(rng, n_features, alpha):
    X = rng.standard_normal((200, n_features)) * np.geomspace(1, 1e-2, n_features)
    Y = X @ rng.standard_normal((n_features, 4)) + rng.standard_normal((200, 4))
    fine = RidgeEncoder([alpha], folds=None).fit(X, Y).predict(X)
    coarse = RidgeEncoder([alpha], folds=None).fit(X.astype("float32"), Y.astype("float32")).predict(X)
    assert np.linalg.norm(coarse - fine) < 1e-4 * np.linalg.norm(fine)


@pytest.mark.parametrize("n_features", [10, 60])
def test_the_features_are_scaled_as_with_folds(rng, n_features):
    X, Y = rng.standard_normal((40, n_features)) * np.arange(1, n_features + 1), rng.standard_normal((40, 2))
    alone = RidgeEncoder([3.0], folds=None, scale=True).fit(X, Y)
    several = RidgeEncoder([3.0, 3.0 * (1 + 1e-13)], scale=True).fit(X, Y)
    np.testing.assert_allclose(alone.coef_, several.coef_, atol=1e-10)


def test_whitened_vectors_and_the_extremes_of_the_spectrum(rng):
    basis = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    values = np.geomspace(1e-4, 10, 30)
    matrix = (basis * values) @ basis.T
    extremes, vectors = spectrum.whiten(matrix, 1e-3)
    np.testing.assert_allclose(vectors.T @ (matrix + 1e-3 * np.eye(30)) @ vectors, np.eye(30), atol=1e-9)
    np.testing.assert_allclose(extremes + 1e-3, values[[0, -1]] + 1e-3, rtol=0.05)
    assert spectrum.whiten(matrix, 1e-11) is None
