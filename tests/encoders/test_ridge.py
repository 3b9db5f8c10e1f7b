"""The ridge estimator against scikit-learn and himalaya, and what must not change its answers."""

import numpy as np
import pandas as pd
import pytest
from himalaya.kernel_ridge import KernelRidgeCV
from himalaya.ridge import RidgeCV as HimalayaRidgeCV
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, LeaveOneOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neuroalign.encoders import RidgeEncoder, ridge
from neuroalign.encoders.solvers import fitting
from neuroalign.errors import DataError

ALPHAS = np.logspace(-1, 4, 11)
FOUND = ("coef_", "intercept_", "best_alphas_", "cv_scores_", "cv_r_", "x_mean_", "y_mean_")
KINDS = ["random", "ill-conditioned", "repeated columns"]


def problem(rng, n=60, p=12, t=6, noise=3.0, kind="random"):
    X = rng.standard_normal((n, p))
    if kind == "ill-conditioned":
        X = X * np.logspace(2, -3, p) @ np.linalg.qr(rng.standard_normal((p, p)))[0]
    elif kind == "repeated columns":
        X[:, p // 2 :] = X[:, : p - p // 2]
    signal = X @ rng.standard_normal((p, t))
    return X, signal + noise / 3.5 * signal.std() * rng.standard_normal((n, t)) + 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("p", [12, 150])
def test_weights_are_those_of_scikit_learn_at_the_chosen_alpha(rng, p, kind):
    X, Y = problem(rng, p=p, kind=kind)
    encoder = RidgeEncoder(ALPHAS, folds=4).fit(X, Y)
    for target, alpha in enumerate(encoder.best_alphas_):
        peer = Ridge(alpha=alpha, solver="svd").fit(X, Y[:, target])
        np.testing.assert_allclose(encoder.coef_[:, target], peer.coef_, atol=1e-9 * np.abs(Y).max())
        np.testing.assert_allclose(encoder.intercept_[target], peer.intercept_)
        np.testing.assert_allclose(encoder.predict(X)[:, target], peer.predict(X), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("p", [12, 150])
def test_alphas_by_correlation_are_those_of_scikit_learn(rng, p, kind):
    X, Y = problem(rng, p=p, kind=kind)
    folds = list(KFold(4).split(X))

    def r(model, features, response):
        return np.corrcoef(model.predict(features), response)[0, 1]

    peers = [RidgeCV(ALPHAS, cv=folds, scoring=r).fit(X, response) for response in Y.T]
    encoder = RidgeEncoder(ALPHAS, folds, metric="r").fit(X, Y)
    np.testing.assert_array_equal(encoder.best_alphas_, [peer.alpha_ for peer in peers])
    np.testing.assert_allclose(encoder.cv_scores_, [peer.best_score_ for peer in peers])


@pytest.mark.parametrize("p", [12, 150])
def test_leaving_one_out_is_that_of_scikit_learn(rng, p):
    """Where all responses are 1 or -1, as often, the mean of R² over samples is one less squared error."""
    X, Y = problem(rng, p=p, t=8)
    Y = np.where(np.median(Y, axis=0) < Y, 1.0, -1.0)
    peer = RidgeCV(ALPHAS, alpha_per_target=True, gcv_mode="eigen").fit(X, Y)
    encoder = RidgeEncoder(ALPHAS, LeaveOneOut().split(X)).fit(X, Y)
    np.testing.assert_array_equal(encoder.best_alphas_, peer.alpha_)
    np.testing.assert_allclose(encoder.cv_scores_, 1 + peer.best_score_ * (59 / 60) ** 2)
    np.testing.assert_allclose(encoder.coef_, peer.coef_.T, atol=1e-9)
    np.testing.assert_allclose(encoder.intercept_, peer.intercept_, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("p", [12, 150])
def test_alphas_and_weights_are_those_of_himalaya(rng, p, kind):
    X, Y = problem(rng, p=p, kind=kind)
    folds = KFold(4)
    peer = HimalayaRidgeCV(
        ALPHAS,
        fit_intercept=True,
        cv=folds,
        solver_params={"score_func": _r2_of_training_mean, "warn": False},
    ).fit(X, Y)
    ours = RidgeEncoder(ALPHAS, list(folds.split(X)), metric="r2").fit(X, Y)
    np.testing.assert_allclose(ours.best_alphas_, peer.best_alphas_)
    np.testing.assert_allclose(ours.coef_, peer.coef_, atol=1e-9 * np.abs(Y).max())
    np.testing.assert_allclose(ours.intercept_, peer.intercept_)


def _r2_of_training_mean(observed, predicted):
    """R² for himalaya, which has taken the training mean off both sides; alphas come first."""
    return 1 - ((observed - predicted) ** 2).sum(-2) / (observed**2).sum(-2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("p", [12, 150])
def test_alphas_and_weights_are_those_of_himalaya_by_kernels(rng, p, kind):
    """It has no intercept: every sample comes with its opposite, so that all means are 0."""
    X, Y = problem(rng, n=40, p=p, kind=kind)
    X, Y = (np.stack([a, -a], axis=1).reshape(80, -1) for a in (X, Y - 5))
    params = {"score_func": _r2_of_training_mean}
    peer = KernelRidgeCV(ALPHAS, cv=KFold(4), solver_params=params, warn=False).fit(X, Y)
    ours = RidgeEncoder(ALPHAS, 4).fit(X, Y)
    np.testing.assert_allclose(ours.best_alphas_, peer.best_alphas_)
    np.testing.assert_allclose(ours.cv_scores_, peer.cv_scores_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(ours.coef_, peer.get_primal_coef(), atol=1e-8 * np.abs(Y).max())


@pytest.mark.parametrize("metric", ["r", "r2"])
@pytest.mark.parametrize("p", [12, 150])
def test_scaling_is_that_of_a_pipeline_in_every_fold(rng, p, metric):
    X, Y = problem(rng, p=p)
    X = X * np.logspace(-3, 3, p) + np.linspace(0, 5, p)
    X[:, 3] = 2.0
    folds = list(KFold(4).split(X))
    encoder = RidgeEncoder(ALPHAS, folds, metric, scale=True).fit(X, Y)
    scores = np.empty((len(ALPHAS), Y.shape[1]))
    for row, alpha in zip(scores, ALPHAS, strict=True):
        made = make_pipeline(StandardScaler(), Ridge(alpha=alpha))
        row[:] = np.mean([_score(made, X, Y, *fold, metric) for fold in folds], axis=0)
    np.testing.assert_array_equal(encoder.best_alphas_, ALPHAS[scores.argmax(axis=0)])
    np.testing.assert_allclose(encoder.cv_scores_, scores.max(axis=0), atol=1e-10)
    for target, alpha in enumerate(encoder.best_alphas_):
        made = make_pipeline(StandardScaler(), Ridge(alpha=alpha)).fit(X, Y[:, target])
        np.testing.assert_allclose(encoder.predict(X)[:, target], made.predict(X), rtol=1e-8)


def _score(model, X, Y, train, test, metric):
    predicted = model.fit(X[train], Y[train]).predict(X[test])
    if metric == "r":
        return [np.corrcoef(a, b)[0, 1] for a, b in zip(predicted.T, Y[test].T, strict=True)]
    return 1 - ((Y[test] - predicted) ** 2).sum(0) / ((Y[test] - Y[train].mean(0)) ** 2).sum(0)


@pytest.mark.parametrize("metric", ["r", "r2"])
@pytest.mark.parametrize("labels", ["all", [0, 1, 0, 1, 2, 1], list("aaabbb"), [5, 4, 3, 2, 1, 0]])
def test_targets_share_the_alpha_that_is_best_on_average(rng, textbook, labels, metric):
    X, Y = problem(rng, p=40)
    folds = list(KFold(4).split(X))
    scores = textbook.grid(X, Y, folds, ALPHAS, metric)
    encoder = RidgeEncoder(ALPHAS, folds, metric, alpha_per=labels, block=4).fit(X, Y)
    groups = np.zeros(6) if isinstance(labels, str) else np.asarray(labels)
    for group in np.unique(groups):
        inside = groups == group
        best = scores[:, inside].mean(axis=1).argmax()
        assert (encoder.best_alphas_[inside] == ALPHAS[best]).all()
        np.testing.assert_allclose(encoder.cv_scores_[inside], scores[best, inside], atol=1e-10)
    for target, alpha in enumerate(encoder.best_alphas_):
        expected = textbook.predict(X, Y[:, [target]], X, alpha)[:, 0]
        np.testing.assert_allclose(encoder.predict(X)[:, target], expected)


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("held", [None, 1, 2**31])
def test_layers_are_fitted_as_each_alone(rng, monkeypatch, tmp_path, held, scale):
    Y = problem(rng, t=9)[1]
    if held:  # as many layers side by side, of responses that are read from a file
        monkeypatch.setattr(ridge, "HELD_BYTES", held)
        np.save(tmp_path / "y.npy", Y)
        Y = np.load(tmp_path / "y.npy", mmap_mode="r")
    layers = [rng.standard_normal((60, p)) for p in (3, 12, 70, 1)]
    encoder = RidgeEncoder(ALPHAS, 4, alpha_per=np.arange(9) % 2, block=4, scale=scale)
    found = encoder.fit_layers(layers, Y)
    assert not hasattr(encoder, "x_mean_")
    for layer, fitted in zip(layers, found, strict=True):
        alone = clone(encoder).fit(layer, Y)
        for name in FOUND:
            np.testing.assert_array_equal(getattr(fitted, name), getattr(alone, name))
        np.testing.assert_array_equal(fitted.predict(layer), alone.predict(layer))


OVERLAPPING = [(np.arange(20, 60), np.arange(0, 15)), (np.r_[0:30, 45:60], np.arange(30, 40))]


@pytest.mark.parametrize("metric", ["r", "r2"])
@pytest.mark.parametrize("alpha_per", ["target", "all"])
@pytest.mark.parametrize("p", [12, 48, 150])
@pytest.mark.parametrize("folds", [5, OVERLAPPING, [(np.r_[0:30, 0:5], np.arange(30, 60))]])
def test_a_few_folds_at_a_time_find_what_all_together_do(rng, monkeypatch, folds, p, alpha_per, metric):
    X, Y = problem(rng, p=p)
    Y[3, 2] = np.nan
    encoder = RidgeEncoder(ALPHAS, folds, metric, alpha_per=alpha_per, block=4)
    together = clone(encoder).fit(X, Y)
    order = min(p, 60)
    for at_once in (1, 2):
        monkeypatch.setattr(fitting, "WORK_BYTES", at_once * 8 * fitting.WORK_MATRICES * order**2)
        apart = clone(encoder).fit(X, Y)
        for name in FOUND:
            np.testing.assert_allclose(getattr(apart, name), getattr(together, name), rtol=1e-9, atol=1e-12)


def test_layers_take_folds_that_can_be_read_once(rng):
    X, Y = problem(rng)
    folds = KFold(4).split(X)
    first, second = RidgeEncoder(ALPHAS, folds).fit_layers(np.stack([X, X]), Y)
    np.testing.assert_array_equal(first.coef_, second.coef_)
    np.testing.assert_array_equal(first.coef_, RidgeEncoder(ALPHAS, 4).fit(X, Y).coef_)


@pytest.mark.parametrize("p", [12, 150])
def test_block_size_and_order_of_targets_do_not_matter(rng, p):
    X, Y = problem(rng, t=7, p=p)
    whole = RidgeEncoder(ALPHAS, folds=3).fit(X, Y)
    order = rng.permutation(7)
    for block in (1, 2, 100):
        pieces = RidgeEncoder(ALPHAS, folds=3, block=block).fit(X, Y[:, order])
        np.testing.assert_array_equal(pieces.best_alphas_, whole.best_alphas_[order])
        np.testing.assert_allclose(pieces.coef_, whole.coef_[:, order], atol=1e-13)
        np.testing.assert_allclose(pieces.cv_scores_, whole.cv_scores_[order], atol=1e-13)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), p=st.integers(1, 50), factor=st.floats(-2, 2), scale=st.booleans())
def test_moving_and_stretching_data_moves_and_stretches_the_fit(seed, p, factor, scale):
    rng = np.random.default_rng(seed)
    X, Y = rng.standard_normal((30, p)), rng.standard_normal((30, 3))
    plain = RidgeEncoder([1.0, 10.0], 3, scale=scale).fit(X, Y)
    factor = 10.0**factor
    alphas = np.array([1.0, 10.0]) * (1 if scale else factor**2)
    changed = RidgeEncoder(alphas, 3, scale=scale).fit(factor * X + rng.uniform(-5, 5, p), 3 - 2 * Y)
    np.testing.assert_allclose(changed.cv_scores_, plain.cv_scores_, atol=1e-9)
    np.testing.assert_allclose(changed.coef_, -2 * plain.coef_ / factor, rtol=1e-7, atol=1e-9 / factor)
    np.testing.assert_allclose(changed.y_mean_, 3 - 2 * plain.y_mean_, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), p=st.integers(1, 50))
def test_rotating_features_rotates_weights(seed, p):
    rng = np.random.default_rng(seed)
    X, Y = rng.standard_normal((30, p)), rng.standard_normal((30, 3))
    rotation = np.linalg.qr(rng.standard_normal((p, p)))[0]
    plain, turned = (RidgeEncoder([1.0, 10.0], 3).fit(data, Y) for data in (X, X @ rotation))
    np.testing.assert_allclose(turned.coef_, rotation.T @ plain.coef_, atol=1e-9)
    np.testing.assert_allclose(turned.cv_r_, plain.cv_r_, atol=1e-9)


@pytest.mark.parametrize("p", [12, 150])
def test_doubled_samples_halve_the_penalty(rng, p):
    X, Y = problem(rng, p=p)
    folds = [(train, test) for train, test in KFold(4).split(X)]
    twice = [(np.append(train, train + 60), np.append(test, test + 60)) for train, test in folds]
    plain = RidgeEncoder(ALPHAS, folds).fit(X, Y)
    doubled = RidgeEncoder(2 * ALPHAS, twice).fit(np.tile(X, (2, 1)), np.tile(Y, (2, 1)))
    np.testing.assert_allclose(doubled.best_alphas_, 2 * plain.best_alphas_)
    np.testing.assert_allclose(doubled.coef_, plain.coef_, atol=1e-11)
    np.testing.assert_allclose(doubled.cv_scores_, plain.cv_scores_, atol=1e-11)


def test_ties_go_to_the_larger_alpha(rng):
    X, Y = problem(rng)
    assert (RidgeEncoder(ALPHAS, 3).fit(np.ones((60, 4)), Y).best_alphas_ == ALPHAS[-1]).all()
    shared = RidgeEncoder(ALPHAS, 3, alpha_per="all").fit(X, np.ones((60, 2)))
    assert (shared.best_alphas_ == ALPHAS[-1]).all()


def test_alphas_need_no_order(rng):
    X, Y = problem(rng)
    expected = RidgeEncoder(ALPHAS, 3).fit(X, Y)
    for alphas in (ALPHAS[::-1], rng.permutation(np.repeat(ALPHAS, 2)), list(ALPHAS), tuple(ALPHAS)):
        np.testing.assert_array_equal(RidgeEncoder(alphas, 3).fit(X, Y).coef_, expected.coef_)
    assert (RidgeEncoder(10.0, 3).fit(X, Y).best_alphas_ == 10).all()


def test_features_may_be_lists_and_tables(rng):
    X, Y = problem(rng)
    expected = RidgeEncoder(ALPHAS, 3).fit(X, Y)
    table = pd.DataFrame(X, columns=[f"unit {i}" for i in range(12)])
    for features in (X.tolist(), table, np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2]):
        encoder = RidgeEncoder(ALPHAS, 3).fit(features, Y)
        np.testing.assert_array_equal(encoder.coef_, expected.coef_)
        np.testing.assert_array_equal(encoder.predict(features), expected.predict(X))


def test_it_is_scored_by_either_metric(rng):
    X, Y = problem(rng)
    Y[:, 2] = 4.0
    encoder = RidgeEncoder(ALPHAS, 3).fit(X, Y)
    predicted = encoder.predict(X)
    r = [np.corrcoef(predicted[:, i], Y[:, i])[0, 1] if i != 2 else np.nan for i in range(6)]
    np.testing.assert_allclose(encoder.score(X, Y), r)
    r2 = 1 - ((Y - predicted) ** 2).sum(0) / np.where(np.arange(6) == 2, np.nan, Y.var(0) * 60)
    np.testing.assert_allclose(encoder.score(X, Y, metric="r2"), r2)


def test_it_follows_scikit_learns_conventions(rng):
    encoder = RidgeEncoder(alphas=[1.0], folds=3, metric="r", block=5)
    assert clone(encoder).get_params() == encoder.get_params()
    X, Y = problem(rng)
    with pytest.raises(NotFittedError):
        encoder.predict(X)
    for name in ("coef_", "intercept_"):
        with pytest.raises(NotFittedError):
            getattr(encoder, name)
    assert encoder.fit(X, Y) is encoder
    assert encoder.fit(X, Y[:, 0]).coef_.shape == (12, 1)
    assert cross_val_predict(make_pipeline(StandardScaler(), encoder), X, Y).shape == Y.shape
    search = GridSearchCV(encoder, {"scale": [True, False]}, scoring="r2").fit(X, Y)
    assert search.best_estimator_.coef_.shape == (12, 6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.full((60, 3), np.nan)}, "180 NaN or infinite"),
        ({"X": np.where(np.eye(60, 3), np.inf, 1)}, "3 NaN or infinite"),
        ({"X": np.full((60, 3), 1.7e308)}, "too large"),
        ({"X": np.eye(60, 3) * 1e200}, "too large"),
        ({"X": np.zeros(60)}, r"expected \(n_samples, n_features\)"),
        ({"X": np.zeros((60, 2, 2))}, r"expected \(n_samples, n_features\)"),
        ({"X": np.zeros((60, 0))}, "a minimum of 1 is required"),
        ({"X": np.zeros((0, 4)), "Y": np.zeros((0, 4))}, "a minimum of 1 is required"),
        ({"X": np.ones((1, 4)), "Y": np.ones((1, 4))}, "expected 2 to 1 .n_samples = 1"),
        ({"X": np.full((60, 2), "a")}, "expected numbers"),
        ({"X": None}, "X"),
        ({"Y": np.zeros((5, 2))}, r"expected \(60, n_targets\)"),
        ({"alphas": [0.0, 1.0]}, "positive"),
        ({"alphas": [-1.0]}, "positive"),
        ({"alphas": [np.nan, 1.0]}, "positive"),
        ({"alphas": [np.inf]}, "positive"),
        ({"alphas": []}, "positive"),
        ({"alphas": None}, "positive"),
        ({"alphas": ["a", "b"]}, "positive"),
        ({"metric": "mse"}, "metric is 'mse'; expected 'r2' or 'r'"),
        ({"metric": None}, "metric is"),
        ({"alpha_per": "voxel"}, "alpha_per is 'voxel'"),
        ({"alpha_per": [0, 1]}, r"alpha_per has shape \(2,\)"),
        ({"alpha_per": None}, "alpha_per"),
        ({"block": 0}, "block is 0"),
        ({"block": 1.5}, "block is 1.5"),
        ({"block": "all"}, "block is"),
    ],
)
@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
def test_bad_input_is_one_clear_line(rng, change, message):
    X, Y = problem(rng)
    given = {"X": X, "Y": Y, "alphas": ALPHAS, "folds": 3} | change
    X, Y = given.pop("X"), given.pop("Y")
    with pytest.raises(DataError, match=message) as caught:
        RidgeEncoder(**given).fit(X, Y)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda e, X, Y: e.predict(X[:, :5]), "X has 5 features, but RidgeEncoder is expecting 12"),
        (lambda e, X, Y: e.predict(X[0]), "Reshape your data"),
        (lambda e, X, Y: e.predict(np.where(X > 2, np.nan, X)), "NaN or infinite"),
        (lambda e, X, Y: e.score(X, Y[:30]), "Y has shape"),
        (lambda e, X, Y: e.score(X, Y[:, :2]), "Y has"),
        (lambda e, X, Y: e.score(X, Y, metric="mse"), "metric is 'mse'"),
        (lambda e, X, Y: e.fit_layers([], Y), "there are no layers"),
        (lambda e, X, Y: e.fit_layers([X, X[:30]], Y), "expected as many in all"),
        (lambda e, X, Y: e.fit_layers([X, X[0]], Y), "Reshape your data"),
    ],
)
def test_bad_questions_are_one_clear_line(rng, ask, message):
    X, Y = problem(rng)
    encoder = RidgeEncoder(ALPHAS, 3).fit(X, Y)
    with pytest.raises(DataError, match=message) as caught:
        ask(encoder, X, Y)
    assert "\n" not in str(caught.value)
