"""Scores against numpy, scikit-learn and the textbook's partial correlation."""

import numpy as np
import pytest
from sklearn.metrics import r2_score

from neuroalign.metrics import cosine, pearson, product_measure, r_squared, residual


@pytest.fixture
def pair(rng):
    observed = rng.standard_normal((50, 4))
    return observed + rng.standard_normal((50, 4)), observed


def test_pearson_is_that_of_numpy(pair):
    predicted, observed = pair
    expected = [np.corrcoef(p, o)[0, 1] for p, o in zip(predicted.T, observed.T, strict=True)]
    np.testing.assert_allclose(pearson(predicted, observed), expected)


def test_r_squared_is_that_of_scikit_learn(pair):
    predicted, observed = pair
    expected = r2_score(observed, predicted, multioutput="raw_values")
    np.testing.assert_allclose(r_squared(predicted, observed, observed.mean(axis=0)), expected)


def test_the_product_measure_is_that_of_himalaya_and_sums_to_r_squared(rng):
    from himalaya.scoring import r2_score_split

    parts, observed = rng.standard_normal((3, 50, 4)), rng.standard_normal((50, 4))
    reference = observed.mean(axis=0)
    found = product_measure(parts, observed, reference)
    np.testing.assert_allclose(found, r2_score_split(observed - reference, parts))
    other = reference + 0.3
    total = r_squared(parts.sum(axis=0) + other, observed, other)
    np.testing.assert_allclose(product_measure(parts, observed, other).sum(axis=0), total)


def test_constant_columns_have_no_score(pair):
    predicted, observed = pair
    observed[:, 1] = 3.0
    assert np.isnan(pearson(predicted, observed)[1])
    assert np.isnan(r_squared(predicted, observed, observed.mean(axis=0))[1])
    assert np.isnan(product_measure(predicted[None], observed, observed.mean(axis=0))[0, 1])
    assert np.isfinite(pearson(predicted, observed)[[0, 2, 3]]).all()


def test_residuals_give_the_partial_correlation(rng):
    nuisance = rng.standard_normal(200)
    a, b = nuisance + rng.standard_normal(200), nuisance + rng.standard_normal(200)
    r_ab, r_an, r_bn = np.corrcoef([a, b, nuisance])[[0, 0, 1], [1, 2, 2]]
    expected = (r_ab - r_an * r_bn) / np.sqrt((1 - r_an**2) * (1 - r_bn**2))
    left = [residual(side[:, None], nuisance[:, None]) for side in (a, b)]
    np.testing.assert_allclose(cosine(*left), expected)


def test_repeated_nuisance_columns_do_no_harm(rng):
    nuisance = rng.standard_normal((60, 2))
    values = rng.standard_normal((60, 3))
    np.testing.assert_allclose(
        residual(values, np.hstack([nuisance, nuisance])), residual(values, nuisance), atol=1e-12
    )


@pytest.mark.parametrize("nuisances", [1, 9])
def test_what_single_precision_leaves_is_nothing(rng, nuisances):
    nuisance = rng.standard_normal((80, nuisances)).astype(np.float32)
    inside = nuisance @ rng.standard_normal((nuisances, 30)).astype(np.float32) + np.float32(3)
    assert not residual(inside, nuisance).any()
    faint = inside + 1e-3 * rng.standard_normal(inside.shape)
    assert residual(faint, nuisance).any(axis=0).all()
