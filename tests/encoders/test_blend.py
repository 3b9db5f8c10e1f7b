"""Blends of two predictions: weights are those that were planted, and no better than they are known."""

import numpy as np

from neuroalign.encoders.blend import blend


def test_planted_weights_are_found(rng):
    planted = np.linspace(0, 1, 30)
    first, second = rng.standard_normal((2, 2000, 30))
    true = planted * first + (1 - planted) * second + 0.5 * rng.standard_normal((2000, 30))
    np.testing.assert_allclose(blend(first, second, true), planted, atol=0.06)


def test_few_samples_shrink_to_what_all_targets_get(rng):
    first, second = rng.standard_normal((2, 12, 400))
    true = 0.7 * first + 0.3 * second + 2 * rng.standard_normal((12, 400))
    weights = blend(first, second, true)
    assert abs(weights.mean() - 0.7) < 0.05
    apart = first - second
    alone = ((true - second) * apart).sum(axis=0) / (apart**2).sum(axis=0)
    assert weights.std() < 0.25 * alone.std()


def test_order_does_not_matter(rng):
    first, second, true = rng.standard_normal((3, 50, 6))
    np.testing.assert_allclose(blend(first, second, true), 1 - blend(second, first, true), atol=1e-12)


def test_targets_that_are_not_finite_or_predicted_alike(rng):
    first, second, true = rng.standard_normal((3, 50, 4))
    true[3, 0] = np.nan
    first[:, 1] = second[:, 1]
    weights = blend(first, second, true)
    assert np.isnan(weights[0])
    assert 0 <= weights[1] <= 1
    np.testing.assert_array_equal(blend(first, first, true[:, 1:2].repeat(4, axis=1)), np.full(4, 0.5))


def out_of_fold(X, Y, penalty, folds=5):
    """Predictions of ridge regression for samples held out in turn."""
    out = np.empty_like(Y)
    for test in np.array_split(np.arange(len(X)), folds):
        train = np.setdiff1d(np.arange(len(X)), test)
        gram = X[train].T @ X[train] + penalty * np.eye(X.shape[1])
        out[test] = X[test] @ np.linalg.solve(gram, X[train].T @ Y[train])
    return out


def test_weights_of_samples_held_out_in_turn_vary_as_much_as_is_said(rng):
    """Two encoders that both fit noise: what weights vary by beyond sampling is nothing."""
    Y = rng.standard_normal((60, 3000))
    first, second = (out_of_fold(rng.standard_normal((60, 20)), Y, 20.0) for _ in range(2))
    apart, wanted = first - second, Y - second
    own = (apart * wanted).sum(axis=0) / (apart**2).sum(axis=0)
    noise = ((wanted - own * apart) ** 2).sum(axis=0) / 59
    said = noise / (apart**2).sum(axis=0)
    beyond = own.var() / said.mean()
    assert 1.4 < beyond < 2.3, beyond
    spread = [blend(first, second, Y, in_turn=turn).std() for turn in (False, True)]
    assert spread[1] < 0.4 * spread[0]
