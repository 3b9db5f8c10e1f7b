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
