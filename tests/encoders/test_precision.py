"""How far single and double precision are from the exact solution, where that is hard to find."""

import numpy as np
import pytest

from neuroalign.encoders import RidgeEncoder

SHAPES = {"tall": (300, 60), "nearly square": (200, 155), "by samples": (160, 150), "wide": (100, 300)}


def difficult(rng, n, p, decades, noise=0.3, shift=(0.0, 0.0), t=6):
    """Features with eigenvalues over decades, every eigenvector carrying its share of the signal."""
    inner = rng.standard_normal((n + 80, p))
    X = (inner * 10.0 ** -np.linspace(0, decades / 2, p)) @ np.linalg.qr(rng.standard_normal((p, p)))[0]
    Y = inner @ rng.standard_normal((p, t))
    Y += noise * Y.std() * rng.standard_normal(Y.shape)
    X, Y = X / X.std(), Y / Y.std()
    X, Y = X + shift[0] * X.std(axis=0), Y + shift[1]
    return (X[:n], Y[:n], X[n:]), np.linalg.eigvalsh(np.cov(X[:n].T))[-1] * n


def error(encoder, X, Y, more, textbook):
    """Largest error of predictions for new samples, of the largest prediction less the mean."""
    found = encoder.fit(X, Y).predict(more)
    (alpha,) = encoder.alphas
    mean = np.mean(Y, axis=0, dtype=float)
    expected = textbook.predict(X, Y, more, alpha)
    rounding = np.abs(expected) * np.finfo(found.dtype).eps
    wrong = np.clip(np.abs(found - expected) - rounding, 0, None)
    return wrong.max() / np.abs(expected - mean).max()


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("relative", [1e-8, 1e-6, 1e-4, 1e-2])
@pytest.mark.parametrize("decades", [0, 4, 8])
@pytest.mark.parametrize("shape", SHAPES)
def test_predictions_of_difficult_problems(rng, textbook, shape, decades, relative, device):
    data, largest = difficult(rng, *SHAPES[shape], decades)
    encoder = RidgeEncoder([relative * largest], 5, device=device)
    single = [a.astype(np.float32) for a in data]
    assert error(encoder, *single, textbook) < 1e-4
    assert encoder.predict(single[2]).dtype == np.float32
    assert error(encoder, *data, textbook) < (1e-8 if relative > 1e-8 else 1e-7)


@pytest.mark.parametrize("shift", [(1e3, 0.0), (0.0, 1e3), (1e3, 1e3)])
@pytest.mark.parametrize("decades", [0, 8])
@pytest.mark.parametrize("shape", SHAPES)
def test_large_means_cost_no_digits(rng, textbook, shape, decades, shift):
    data, largest = difficult(rng, *SHAPES[shape], decades, shift=shift)
    single = [a.astype(np.float32) for a in data]
    for relative in (1e-6, 1e-2):
        encoder = RidgeEncoder([relative * largest], 5)
        assert error(encoder, *single, textbook) < 1e-4
        assert error(encoder, *data, textbook) < 1e-8


@pytest.mark.parametrize("metric", ["r", "r2"])
@pytest.mark.parametrize("decades", [0, 4, 8])
@pytest.mark.parametrize("shape", SHAPES)
def test_single_precision_chooses_as_well_as_double(rng, shape, decades, metric):
    (X, Y, _), largest = difficult(rng, *SHAPES[shape], decades)
    alphas = largest * 10.0 ** np.arange(-6, 2)
    single = RidgeEncoder(alphas, 5, metric).fit(X.astype(np.float32), Y.astype(np.float32))
    double = RidgeEncoder(alphas, 5, metric).fit(X, Y)
    np.testing.assert_allclose(single.cv_scores_, double.cv_scores_, atol=3e-5)
    every = [RidgeEncoder([alpha], 5, metric).fit(X, Y).cv_scores_ for alpha in alphas]
    at_chosen = np.array(every)[np.searchsorted(alphas, single.best_alphas_), np.arange(Y.shape[1])]
    assert (at_chosen > double.cv_scores_ - 3e-5).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_half_precision_is_data_in_single_precision(rng, dtype):
    (X, Y, _), _ = difficult(rng, 80, 20, 2)
    half = [a.astype(np.float16) for a in (X, Y)]
    given = [a.astype(dtype) for a in half]
    encoder = RidgeEncoder([1.0, 10.0], 4).fit(*given)
    expected = RidgeEncoder([1.0, 10.0], 4).fit(*(a.astype(np.float32) for a in half))
    assert encoder.coef_.dtype == (np.float64 if dtype == "float64" else np.float32)
    np.testing.assert_allclose(encoder.predict(half[0]), expected.predict(half[0]), rtol=1e-4, atol=1e-5)


def test_one_side_in_double_precision_is_enough(rng):
    (X, Y, _), _ = difficult(rng, 80, 20, 2)
    mixed = RidgeEncoder([1.0, 10.0], 4).fit(X.astype(np.float32), Y)
    expected = RidgeEncoder([1.0, 10.0], 4).fit(X.astype(np.float32).astype(float), Y)
    assert mixed.coef_.dtype == np.float64
    np.testing.assert_array_equal(mixed.coef_, expected.coef_)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", [20, 200])
@pytest.mark.parametrize(
    "kind", ["repeated columns", "constant columns", "low rank", "all constant", "scales"]
)
def test_features_of_lower_rank(rng, textbook, kind, p, dtype):
    X = rng.standard_normal((90, p))
    if kind == "repeated columns":
        X[:, 1::2] = X[:, ::2]
    elif kind == "constant columns":
        X[:, ::3] = [0.0, 5.0, -1e3, 1e6][p % 4]
    elif kind == "low rank":
        X = X[:, :3] @ rng.standard_normal((3, p))
    elif kind == "all constant":
        X[:] = np.linspace(-1e3, 1e3, p)
    elif kind == "scales":
        X *= 10.0 ** np.linspace(-3, 3, p)
    X = X.astype(dtype)
    Y = (X @ rng.standard_normal((p, 4)) + rng.standard_normal((90, 4)) * X.std() + 1).astype(dtype)
    for scale in (False, True):
        encoder = RidgeEncoder([0.5], 4, scale=scale).fit(X[:70], Y[:70])
        deviation = X[:70].astype(float).std(axis=0)
        scaled = X / np.where(scale & (deviation > 0), deviation, 1)
        expected = textbook.predict(scaled[:70], Y[:70], scaled[70:], 0.5)
        wrong = np.abs(encoder.predict(X[70:]) - expected).max()
        assert wrong < (1e-4 if dtype == "float32" else 1e-8) * np.abs(expected).max()
        if kind == "constant columns":
            assert np.abs(encoder.coef_[::3]).max() < 1e-12 * np.abs(encoder.coef_).max()
        if kind == "repeated columns":
            within = (1e-4 if dtype == "float32" else 1e-9) * np.abs(encoder.coef_).max()
            np.testing.assert_allclose(encoder.coef_[1::2], encoder.coef_[::2], atol=within)
        if kind == "all constant":
            assert (encoder.coef_ == 0).all()
            np.testing.assert_allclose(encoder.predict(X[:2]), [Y[:70].mean(axis=0)] * 2, rtol=1e-6)


@pytest.mark.parametrize("p", [20, 200])
def test_scaling_finds_features_of_any_size(rng, p):
    X, Y = rng.standard_normal((90, p)), rng.standard_normal((90, 4))
    small = X * 10.0 ** np.linspace(-12, 12, p)
    expected = RidgeEncoder([1.0, 100.0], 4, scale=True).fit(X, Y)
    encoder = RidgeEncoder([1.0, 100.0], 4, scale=True).fit(small, Y)
    np.testing.assert_array_equal(encoder.best_alphas_, expected.best_alphas_)
    np.testing.assert_allclose(encoder.predict(small), expected.predict(X), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize(
    "folds", [5, [(np.arange(160), np.arange(165, 200)), (np.arange(40, 200), np.arange(9))]]
)
@pytest.mark.parametrize("p", [100, 190])
def test_only_delicate_targets_need_double_precision(rng, textbook, tmp_path, p, folds, scale, device):
    (X, Y, more), largest = difficult(rng, 200, p, 8, noise=0.01)
    Y[:, ::2] = rng.standard_normal((200, 3))
    X, Y, more = (a.astype(np.float32) for a in (X, Y, more))
    alphas = [3e-9 * largest, largest]
    encoder = RidgeEncoder(alphas, folds, "r", scale=scale, device=device)
    encoder.fit(X, Y, store=tmp_path / "ridge")
    assert {*encoder.best_alphas_[1::2]} == {alphas[0]}
    assert (encoder._basis.dtype, encoder._weights.dtype) == (np.float64, np.float32)
    deviation = X.std(axis=0, dtype=float) if scale else 1.0
    found = encoder.predict(more)
    for target, alpha in enumerate(encoder.best_alphas_):
        expected = textbook.predict(X / deviation, Y[:, [target]], more / deviation, alpha)[:, 0]
        assert np.abs(found[:, target] - expected).max() < 1e-4 * np.abs(expected).max()
