"""Banded ridge against scikit-learn and himalaya, on planted bands, and its answers to difficult input."""

import itertools

import numpy as np
import pytest
from himalaya.ridge import solve_group_ridge_random_search
from himalaya.scoring import r2_score_split
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from neuroalign.encoders import BandedRidgeEncoder, RidgeEncoder
from neuroalign.encoders.banding import search, trials
from neuroalign.encoders.banding.candidates import informative, near, scattered
from neuroalign.encoders.banding.pooling import Scores, choose, importance, learn_degree, shortlist
from neuroalign.errors import DataError

ALPHAS = np.logspace(-1, 4, 8)
SHAPES = {"samples": (120, (10, 20, 5)), "square": (60, (30, 60)), "features": (50, (60, 100))}


def problem(rng, n=120, widths=(10, 20, 5), t=9, noise=4.0):
    X = rng.standard_normal((n, sum(widths)))
    W = rng.standard_normal((X.shape[1], t)) * (rng.random((X.shape[1], t)) < 0.4)
    return X, X @ W + noise * rng.standard_normal((n, t)) + 3


def planted(rng, n=400, widths=(30, 30)):
    """Targets driven by the first band, by the second, by both and by neither."""
    bands = [rng.standard_normal((n, width)) / np.sqrt(width) for width in widths]
    first, second = (
        band @ rng.standard_normal((width, 5)) for band, width in zip(bands, widths, strict=True)
    )
    driven = np.concatenate([first, second, first + second, np.zeros((n, 5))], axis=1)
    return np.concatenate(bands, axis=1), driven + 0.4 * rng.standard_normal(driven.shape)


def r2_about_training_mean(observed, predicted):
    """R² for himalaya, which has taken the training mean off both sides; alphas come first."""
    return 1 - ((observed - predicted) ** 2).sum(-2) / (observed**2).sum(-2)


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_are_those_of_scikit_learn_on_scaled_features(rng, shape):
    n, widths = SHAPES[shape]
    X, Y = problem(rng, n, widths)
    encoder = BandedRidgeEncoder(widths, ALPHAS, n_candidates=12).fit(X, Y)
    coef, intercept = encoder.coef_, encoder.intercept_
    for target, (alpha, gamma) in enumerate(zip(encoder.best_alphas_, encoder.band_weights_.T, strict=True)):
        scale = np.repeat(np.sqrt(gamma), widths)
        peer = Ridge(alpha=alpha).fit(X * scale, Y[:, target])
        np.testing.assert_allclose(coef[:, target], peer.coef_ * scale, atol=1e-9)
        np.testing.assert_allclose(intercept[target], peer.intercept_)
        np.testing.assert_allclose(encoder.predict(X)[:, target], peer.predict(X * scale))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_choice_is_that_of_himalaya_at_equal_candidates(rng, shape):
    n, widths = SHAPES[shape]
    X, Y = problem(rng, n, widths)
    gammas = rng.dirichlet(np.ones(len(widths)), 15)
    encoder = BandedRidgeEncoder(widths, ALPHAS, n_candidates=gammas, pooling=0).fit(X, Y)
    log_deltas, coef, scores, intercept = solve_group_ridge_random_search(
        np.split(X, np.cumsum(widths)[:-1], axis=1),
        Y,
        n_iter=gammas,
        alphas=ALPHAS,
        fit_intercept=True,
        return_weights=True,
        score_func=r2_about_training_mean,
        progress_bar=False,
        warn=False,
    )
    np.testing.assert_allclose(encoder.cv_scores_, scores.max(axis=0), atol=2e-9)
    np.testing.assert_allclose(encoder.band_weights_ / encoder.best_alphas_, np.exp(log_deltas))
    np.testing.assert_allclose(encoder.coef_, coef, atol=1e-9)
    np.testing.assert_allclose(encoder.intercept_, intercept)


@pytest.mark.parametrize("metric", ["r", "r2"])
def test_with_one_band_it_is_ridge(rng, metric):
    X, Y = problem(rng)
    banded = BandedRidgeEncoder([X.shape[1]], ALPHAS, metric=metric).fit(X, Y)
    ridge = RidgeEncoder(ALPHAS, metric=metric).fit(X, Y)
    for name in ("coef_", "intercept_", "best_alphas_", "cv_scores_", "cv_r_"):
        np.testing.assert_allclose(getattr(banded, name), getattr(ridge, name), atol=1e-9)
    np.testing.assert_array_equal(banded.candidates_, [[1.0]])


@pytest.mark.parametrize("pooling", [0, None])
def test_planted_bands_are_found(rng, pooling):
    X, Y = planted(rng)
    encoder = BandedRidgeEncoder({"first": slice(30), "second": slice(30, 60)}, ALPHAS / 100, pooling=pooling)
    weights = encoder.fit(X[:250], Y[:250]).band_weights_
    assert (weights[0, :5] > 0.9).all()
    assert (weights[1, 5:10] > 0.9).all()
    assert (weights[:, 10:15] > 0).all()
    scores = encoder.score_bands(X[250:], Y[250:])
    np.testing.assert_allclose(scores.sum(axis=0), encoder.score(X[250:], Y[250:], "r2"))
    assert (scores[0, :5] > 0.5).all()
    assert (np.abs(scores[1, :5]) < 0.05).all()
    assert (scores[:, 10:15] > 0.2).all()
    assert (np.abs(scores[:, 15:]) < 0.1).all()


def test_targets_of_one_kind_share_what_they_learn(rng):
    """On short recordings the pooled choice predicts better than each target's own, and pools all the way."""
    n, widths = 80, (40, 40, 40)
    X = rng.standard_normal((n + 500, 120)) / np.sqrt(40)
    W = rng.standard_normal((120, 200)) * np.repeat(np.sqrt([0.9, 0.1, 0.0]), 40)[:, None]
    Y = X @ W + 1.5 * rng.standard_normal((len(X), 200))
    learned, own = (
        BandedRidgeEncoder(widths, ALPHAS / 10, n_candidates=16, pooling=pooling).fit(X[:n], Y[:n])
        for pooling in (None, 0)
    )
    assert 0.8 <= learned.pooling_ <= 1
    assert own.pooling_ == 0
    means = [each.score(X[n:], Y[n:], "r2").mean() for each in (learned, own)]
    assert means[0] > means[1] + 0.01


def test_without_a_choice_it_is_ridge_on_bands_alike(rng):
    X, Y = problem(rng)
    banded = BandedRidgeEncoder((10, 20, 5), ALPHAS, n_candidates=8, pooling=2).fit(X, Y)
    ridge = RidgeEncoder(3 * ALPHAS).fit(X, Y)
    np.testing.assert_allclose(banded.band_weights_, 1 / 3)
    np.testing.assert_allclose(banded.coef_, ridge.coef_, atol=1e-9)
    np.testing.assert_allclose(banded.cv_scores_, ridge.cv_scores_)


def test_where_nothing_can_be_predicted_no_band_is_preferred(rng):
    X, Y = rng.standard_normal((60, 35)), rng.standard_normal((60, 20))
    assert BandedRidgeEncoder((10, 20, 5), ALPHAS, n_candidates=12).fit(X, Y).pooling_ == 2


@pytest.mark.parametrize(("common", "own"), [(0.2, 0.0), (0.0, 0.2), (0.02, 0.2)])
def test_what_is_learned_of_targets_is_what_they_have_in_common(rng, common, own):
    """Five candidates on five folds: the second is better for all, or every target prefers one of its own."""
    liked = rng.integers(0, 5, 300)
    scores = 0.3 + 0.05 * rng.standard_normal((5, 5, 300)) + own * (np.arange(5)[:, None] == liked)[:, None]
    scores[1] += common
    scores = Scores(scores.mean(axis=1), scores)
    chosen = choose(scores.mean, learn_degree(scores), importance(scores.mean))
    assert (chosen == (liked if own else 1)).mean() > 0.98


def test_chance_rarely_makes_a_choice(rng):
    draws = (0.3 + 0.05 * rng.standard_normal((5, 5, 50)) for _ in range(50))
    learned = [learn_degree(Scores(folds.mean(axis=1), folds)) for folds in draws]
    assert learned.count(2.0) > 40


def test_pooling_all_the_way_gives_every_target_the_same_bands(rng):
    X, Y = problem(rng)
    weights = BandedRidgeEncoder((10, 20, 5), ALPHAS, n_candidates=8, pooling=1).fit(X, Y).band_weights_
    assert (weights == weights[:, :1]).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_predictions_split_by_band(rng, shape):
    n, widths = SHAPES[shape]
    X, Y = problem(rng, n, widths)
    X += 5
    encoder = BandedRidgeEncoder(widths, ALPHAS, n_candidates=6).fit(X, Y)
    parts = encoder.predict(X, split=True)
    edges = np.cumsum([0, *widths])
    for part, start, stop in zip(parts, edges[:-1], edges[1:], strict=True):
        np.testing.assert_allclose(part, X[:, start:stop] @ encoder.coef_[start:stop], atol=1e-9)
    np.testing.assert_allclose(parts.sum(axis=0) + encoder.intercept_, encoder.predict(X))


def test_the_product_measure_is_that_of_himalaya(rng):
    X, Y = problem(rng)
    Y -= Y.mean(axis=0)
    X -= X.mean(axis=0)
    encoder = BandedRidgeEncoder((10, 20, 5), ALPHAS, n_candidates=6).fit(X, Y)
    np.testing.assert_allclose(
        encoder.score_bands(X, Y), r2_score_split(Y, encoder.predict(X, split=True)), atol=1e-12
    )


def test_a_band_of_weight_zero_is_left_out(rng):
    X, Y = problem(rng)
    encoder = BandedRidgeEncoder((10, 20, 5), ALPHAS, n_candidates=np.array([[0.5, 0.5, 0.0]])).fit(X, Y)
    assert (encoder.coef_[30:] == 0).all()
    without = BandedRidgeEncoder((10, 20), ALPHAS, n_candidates=np.array([[0.5, 0.5]])).fit(X[:, :30], Y)
    np.testing.assert_allclose(encoder.coef_[:30], without.coef_, atol=1e-10)
    assert (encoder.score_bands(X, Y)[2] == 0).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_order_of_bands_columns_and_targets_and_size_of_blocks_do_not_matter(rng, shape):
    n, widths = SHAPES[shape]
    X, Y = problem(rng, n, widths)
    gammas = rng.dirichlet(np.ones(len(widths)), 9)
    edges = np.cumsum([0, *widths])
    bands = {f"b{i}": np.arange(a, b) for i, (a, b) in enumerate(itertools.pairwise(edges))}
    whole = BandedRidgeEncoder(bands, ALPHAS, n_candidates=gammas).fit(X, Y)
    columns, targets = rng.permutation(X.shape[1]), rng.permutation(Y.shape[1])
    place = np.argsort(columns)
    moved = {name: place[bands[name]] for name in reversed(bands)}
    again = BandedRidgeEncoder(moved, ALPHAS, n_candidates=gammas[:, ::-1], block=2)
    again.fit(X[:, columns], Y[:, targets])
    np.testing.assert_allclose(again.coef_, whole.coef_[columns][:, targets], atol=1e-9)
    np.testing.assert_allclose(again.band_weights_, whole.band_weights_[::-1][:, targets])
    np.testing.assert_allclose(again.cv_scores_, whole.cv_scores_[targets])
    assert again.pooling_ == whole.pooling_


def test_statistics_that_are_not_kept_are_formed_anew(rng, monkeypatch):
    X, Y = problem(rng)
    kept = BandedRidgeEncoder((10, 20, 5), ALPHAS, n_candidates=20, block=2).fit(X, Y)
    monkeypatch.setattr(trials, "HELD_BYTES", 1)
    np.testing.assert_array_equal(
        BandedRidgeEncoder((10, 20, 5), ALPHAS, n_candidates=20, block=2).fit(X, Y).coef_, kept.coef_
    )


def test_a_sample_of_many_targets_finds_what_suits_all(rng, monkeypatch):
    X, Y = planted(rng)
    Y[4, [0, 7]] = np.nan
    gammas = np.concatenate([informative(2), scattered(2, 27, rng)])
    settings = {"bands": [30, 30], "alphas": ALPHAS / 100, "n_candidates": gammas, "pooling": 0}
    everything = BandedRidgeEncoder(**settings).fit(X, np.tile(Y, 3))
    monkeypatch.setattr(search, "SAMPLE", 25)
    encoder = BandedRidgeEncoder(**settings, block=7).fit(X, np.tile(Y, 3))
    lost = everything.cv_scores_ - encoder.cv_scores_
    np.testing.assert_array_equal(encoder.candidates_, gammas)
    assert len(np.unique(encoder.band_weights_[0])) < len(np.unique(everything.band_weights_[0]))
    assert np.nanmean(lost) < 5e-4
    assert np.isnan(encoder.band_weights_[0]).sum() == np.isnan(lost).sum() == 6


@pytest.mark.parametrize("degree", [0.0, 0.5, 1.0, 2.0])
def test_a_shortlist_serves_as_well_as_all(rng, degree):
    scores = rng.random((40, 1)) * 0.1 + rng.random((40, 300)) ** 2
    share = importance(scores)
    listed = shortlist(scores, degree, share)
    best, few = choose(scores, degree, share), listed[choose(scores[listed], degree, share)]
    common, targets = scores @ share, np.arange(300)
    mixed = (1 - degree) * scores + degree * common[:, None] if degree <= 1 else scores
    assert (mixed[best, targets] - mixed[few, targets]) @ share < 2e-4
    assert len(listed) == (1 if degree >= 1 else len(np.unique(listed)))


@pytest.mark.parametrize("shape", SHAPES)
def test_float32_agrees_with_float64(rng, shape):
    n, widths = SHAPES[shape]
    X, Y = problem(rng, n, widths)
    double = BandedRidgeEncoder(widths, ALPHAS, n_candidates=10).fit(X, Y).predict(X)
    X, Y = X.astype(np.float32), Y.astype(np.float32)
    encoder = BandedRidgeEncoder(widths, ALPHAS, n_candidates=10).fit(X, Y)
    single = encoder.predict(X)
    assert single.dtype == encoder.coef_.dtype == np.float32
    assert np.abs(single - double).max() < 1e-4 * np.abs(double).max()


@pytest.mark.parametrize("shape", SHAPES)
def test_torch_gives_the_same(rng, shape):
    n, widths = SHAPES[shape]
    X, Y = problem(rng, n, widths)
    plain = BandedRidgeEncoder(widths, ALPHAS, n_candidates=10).fit(X, Y)
    torch = BandedRidgeEncoder(widths, ALPHAS, n_candidates=10, device="cpu", threads=1).fit(X, Y)
    np.testing.assert_allclose(torch.coef_, plain.coef_, atol=1e-9)
    np.testing.assert_allclose(torch.predict(X), plain.predict(X))


def test_missing_and_constant_targets(rng):
    X, Y = problem(rng)
    clean = BandedRidgeEncoder((10, 20, 5), ALPHAS, n_candidates=8).fit(X, Y)
    holes = np.column_stack([Y[:, :4], np.full(len(Y), 7.0), Y[:, 4:], Y[:, 0]])
    holes[3, -1] = np.nan
    encoder = BandedRidgeEncoder((10, 20, 5), ALPHAS, n_candidates=8).fit(X, holes)
    for name in ("band_weights_", "best_alphas_", "cv_scores_", "cv_r_", "coef_", "intercept_"):
        found = getattr(encoder, name)
        assert np.isnan(found[..., -1]).all()
        np.testing.assert_allclose(np.delete(found, [4, 10], -1), getattr(clean, name), atol=1e-9)
    assert encoder.best_alphas_[4] == ALPHAS[-1]
    assert encoder.cv_scores_[4] == encoder.cv_r_[4] == 0
    np.testing.assert_allclose(encoder.predict(X)[:, 4], 7)
    assert np.isnan(encoder.score_bands(X, holes)[:, [4, 10]]).all()


def test_one_target_and_one_fold(rng):
    X, Y = problem(rng)
    fold = [next(iter(KFold(4).split(X)))]
    encoder = BandedRidgeEncoder((10, 20, 5), ALPHAS, fold, n_candidates=6).fit(X, Y[:, 0])
    assert encoder.pooling_ == 0
    assert encoder.predict(X).shape == (len(X),)
    assert encoder.predict(X, split=True).shape == (3, len(X))
    assert encoder.score_bands(X, Y[:, 0]).shape == (3, 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_saved_encoders_predict_as_before(rng, tmp_path, shape):
    n, widths = SHAPES[shape]
    X, Y = problem(rng, n, widths)
    edges = np.cumsum([0, *widths])
    bands = {f"b{i}": slice(int(edges[i]), int(edges[i + 1])) for i in range(len(widths))}
    gammas = rng.dirichlet(np.ones(len(widths)), 5)
    encoder = BandedRidgeEncoder(bands, ALPHAS, KFold(3).split(X), gammas).fit(X, Y)
    encoder.save(tmp_path / "encoder")
    loaded = BandedRidgeEncoder.load(tmp_path / "encoder")
    assert loaded.band_names_ == list(bands)
    assert loaded.pooling_ == encoder.pooling_
    np.testing.assert_array_equal(loaded.predict(X, split=True), encoder.predict(X, split=True))
    np.testing.assert_array_equal(loaded.score_bands(X, Y), encoder.score_bands(X, Y))
    np.testing.assert_array_equal(loaded.n_candidates, gammas)


def test_clones_fit_alike(rng):
    X, Y = problem(rng)
    encoder = BandedRidgeEncoder((10, 20, 5), ALPHAS, n_candidates=8)
    np.testing.assert_array_equal(clone(encoder).fit(X, Y).coef_, encoder.fit(X, Y).coef_)


@pytest.mark.parametrize("n_bands", [2, 3, 6])
def test_candidates_are_on_the_simplex(rng, n_bands):
    spread = scattered(n_bands, 200, rng)
    moved = near(informative(n_bands), np.ones(n_bands + 1), 50, 1.0, rng)
    for points in (informative(n_bands), spread, moved):
        assert (points >= 0).all()
        np.testing.assert_allclose(points.sum(axis=1), 1)
    np.testing.assert_allclose(spread.mean(axis=0), 1 / n_bands, atol=0.05)


def test_candidates_near_others_go_where_the_shares_are(rng):
    moved = near(np.eye(3), np.array([0.0, 1.0, 0.0]), 10, 0.3, rng)
    assert (moved[:, 1] > 0.98).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bands": [10, 20]}, "sum to 35"),
        ({"bands": [10, 25, 0]}, "positive widths"),
        ({"bands": {"a": slice(0, 10)}}, "25 columns of X are in no band"),
        ({"bands": {"a": slice(0, 35), "b": [3]}}, "1 columns of X are in several bands"),
        ({"bands": {"a": slice(0, 35), "b": [40]}}, "band 'b' does not fit the 35"),
        ({"bands": {"a": slice(0, 35), "b": []}}, "band 'b' has no columns"),
        ({"n_candidates": 0}, "n_candidates is 0"),
        ({"n_candidates": np.ones((2, 3))}, "off the simplex"),
        ({"n_candidates": np.ones((2, 2)) / 2}, r"expected \(n_candidates, 3\)"),
        ({"pooling": 1.5}, "pooling is 1.5"),
        ({"metric": "rho"}, "metric is 'rho'"),
        ({"alphas": [0.0]}, "positive finite"),
        ({"block": 0}, "block is 0"),
        ({"folds": 1}, "folds is 1"),
    ],
)
def test_what_cannot_be_fitted_is_said_in_one_line(rng, change, message):
    X, Y = problem(rng)
    with pytest.raises(DataError, match=message) as caught:
        BandedRidgeEncoder(**{"bands": [10, 20, 5], **change}).fit(X, Y)
    assert "\n" not in str(caught.value)


def test_features_are_checked(rng):
    X, Y = problem(rng)
    holes = X.copy()
    holes[0, 0] = np.inf
    encoder = BandedRidgeEncoder((10, 20, 5), ALPHAS, n_candidates=5)
    with pytest.raises(DataError, match="1 NaN or infinite"):
        encoder.fit(holes, Y)
    encoder.fit(X, Y)
    with pytest.raises(DataError, match="1 NaN or infinite"):
        encoder.predict(holes)
    with pytest.raises(DataError, match="3 features"):
        encoder.predict(X[:, :3])
