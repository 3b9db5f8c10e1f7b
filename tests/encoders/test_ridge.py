"""The ridge estimator against scikit-learn and himalaya, and its answers to difficult input."""

import numpy as np
import pytest
from himalaya.ridge import RidgeCV as HimalayaRidgeCV
from sklearn.base import clone
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import KFold

from neuroalign.encoders import RidgeEncoder
from neuroalign.errors import DataError

ALPHAS = np.logspace(-1, 4, 11)


def problem(rng, n=60, p=12, t=6, noise=3.0):
    X = rng.standard_normal((n, p))
    return X, X @ rng.standard_normal((p, t)) + noise * rng.standard_normal((n, t)) + 5


@pytest.mark.parametrize("p", [12, 150])
def test_weights_are_those_of_scikit_learn_at_the_chosen_alpha(rng, p):
    X, Y = problem(rng, p=p)
    encoder = RidgeEncoder(ALPHAS, folds=4).fit(X, Y)
    for target, alpha in enumerate(encoder.best_alphas_):
        peer = Ridge(alpha=alpha).fit(X, Y[:, target])
        np.testing.assert_allclose(encoder.coef_[:, target], peer.coef_, atol=1e-9)
        np.testing.assert_allclose(encoder.intercept_[target], peer.intercept_)
        np.testing.assert_allclose(encoder.predict(X)[:, target], peer.predict(X))


@pytest.mark.parametrize("p", [12, 150])
def test_alphas_by_correlation_are_those_of_scikit_learn(rng, p):
    X, Y = problem(rng, p=p)
    folds = list(KFold(4).split(X))

    def r(model, features, response):
        return np.corrcoef(model.predict(features), response)[0, 1]

    peer = [RidgeCV(ALPHAS, cv=folds, scoring=r).fit(X, response).alpha_ for response in Y.T]
    np.testing.assert_array_equal(RidgeEncoder(ALPHAS, folds, metric="r").fit(X, Y).best_alphas_, peer)


@pytest.mark.parametrize("p", [12, 150])
def test_alphas_and_weights_are_those_of_himalaya(rng, p):
    X, Y = problem(rng, p=p)
    folds = KFold(4)
    peer = HimalayaRidgeCV(
        ALPHAS,
        fit_intercept=True,
        cv=folds,
        solver_params={"score_func": _r2_of_training_mean, "warn": False},
    ).fit(X, Y)
    ours = RidgeEncoder(ALPHAS, list(folds.split(X)), metric="r2").fit(X, Y)
    np.testing.assert_allclose(ours.best_alphas_, peer.best_alphas_)
    np.testing.assert_allclose(ours.coef_, peer.coef_, atol=1e-9)


def _r2_of_training_mean(observed, predicted):
    """R² for himalaya, which has taken the training mean off both sides; alphas come first."""
    return 1 - ((observed - predicted) ** 2).sum(-2) / (observed**2).sum(-2)


def test_float32_agrees_with_float64(rng):
    X, Y = problem(rng, p=150)
    single = RidgeEncoder(ALPHAS, folds=4).fit(X.astype(np.float32), Y.astype(np.float32))
    double = RidgeEncoder(ALPHAS, folds=4).fit(X, Y)
    expected = double.predict(X)
    assert single.predict(X.astype(np.float32)).dtype == np.float32
    assert np.abs(single.predict(X) - expected).max() < 1e-4 * np.abs(expected).max()


def test_block_size_and_order_of_targets_do_not_matter(rng):
    X, Y = problem(rng, t=7)
    whole = RidgeEncoder(ALPHAS, folds=3).fit(X, Y)
    order = rng.permutation(7)
    pieces = RidgeEncoder(ALPHAS, folds=3, block=2).fit(X, Y[:, order])
    np.testing.assert_allclose(pieces.coef_, whole.coef_[:, order])
    np.testing.assert_allclose(pieces.cv_scores_, whole.cv_scores_[order])


def test_ties_go_to_the_larger_alpha_and_constant_targets_are_defined(rng):
    X, Y = problem(rng)
    Y[:, 2] = 4.0
    encoder = RidgeEncoder(ALPHAS, folds=3).fit(X, Y)
    assert encoder.best_alphas_[2] == ALPHAS[-1]
    np.testing.assert_allclose(encoder.predict(X)[:, 2], 4.0)
    assert np.isnan(encoder.score(X, Y)[2])
    assert np.isfinite(encoder.score(X, Y)[[0, 1, 3, 4, 5]]).all()


def test_a_nan_target_stays_in_its_own_column(rng):
    X, Y = problem(rng)
    clean = RidgeEncoder(ALPHAS, folds=3).fit(X, Y)
    Y[3, 1] = np.nan
    encoder = RidgeEncoder(ALPHAS, folds=3).fit(X, Y)
    assert np.isnan(encoder.coef_[:, 1]).all()
    assert np.isnan([encoder.best_alphas_[1], encoder.cv_scores_[1], encoder.intercept_[1]]).all()
    others = [0, 2, 3, 4, 5]
    np.testing.assert_allclose(encoder.coef_[:, others], clean.coef_[:, others])


@pytest.mark.parametrize("p", [12, 150])
def test_a_saved_encoder_predicts_as_before(rng, tmp_path, p):
    X, Y = problem(rng, p=p)
    encoder = RidgeEncoder(ALPHAS, folds=3).fit(X, Y)
    encoder.save(tmp_path / "ridge")
    loaded = RidgeEncoder.load(tmp_path / "ridge")
    np.testing.assert_allclose(loaded.predict(X), encoder.predict(X))
    np.testing.assert_allclose(loaded.intercept_, encoder.intercept_)
    np.testing.assert_array_equal(loaded.best_alphas_, encoder.best_alphas_)
    assert loaded.get_params()["alphas"] == list(ALPHAS)


def test_loading_something_else_is_one_clear_line(tmp_path):
    with pytest.raises(DataError, match="not a saved RidgeEncoder"):
        RidgeEncoder.load(tmp_path)


def test_it_follows_scikit_learns_conventions(rng):
    encoder = RidgeEncoder(alphas=[1.0], folds=3, metric="r", block=5)
    assert clone(encoder).get_params() == encoder.get_params()
    X, Y = problem(rng)
    assert encoder.fit(X, Y) is encoder
    assert encoder.fit(X, Y[:, 0]).coef_.shape == (12, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(X=np.full((60, 3), np.nan)), "NaN or infinite"),
        (dict(X=np.zeros(60)), r"expected \(n_samples, n_features\)"),
        (dict(X=np.full((60, 2), "a")), "expected numbers"),
        (dict(Y=np.zeros((5, 2))), r"expected \(60, n_targets\)"),
        (dict(alphas=[0.0, 1.0]), "positive"),
        (dict(alphas=[]), "positive"),
        (dict(folds=1), "expected 2 to 60"),
        (dict(folds=[]), "folds is empty"),
        (dict(folds=[(np.arange(10), np.arange(5, 15))]), "must be apart"),
        (dict(folds=[(np.arange(1), np.arange(5, 15))]), "it needs both"),
    ],
)
def test_bad_input_is_one_clear_line(rng, change, message):
    X, Y = problem(rng)
    given = {"X": X, "Y": Y, "alphas": ALPHAS, "folds": 3} | change
    with pytest.raises(DataError, match=message) as caught:
        RidgeEncoder(given["alphas"], given["folds"]).fit(given["X"], given["Y"])
    assert "\n" not in str(caught.value)
