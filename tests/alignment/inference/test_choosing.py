"""The width of the null where folds choose layers, against folds of random features that do."""

import numpy as np
import pytest
import scipy.stats

from neuroalign.alignment.inference.choosing import null_scores, width


def test_one_layer_or_two_folds_have_pairs_to_share_and_nothing_else():
    assert width(7, 1) == width(2, 12) == pytest.approx(np.sqrt(2))
    assert null_scores(6, 1).var() == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize(("n_folds", "n_layers"), [(3, 3), (5, 12), (10, 6)])
def test_the_tail_is_that_of_regression_on_random_features(rng, n_folds, n_layers):
    """Written once more, fold by fold and with features: weights are the sum of the other folds'."""
    n, units, studies = 60, 12, 300
    scores = np.empty(studies)
    for study in range(studies):
        features = rng.standard_normal((n_layers, n_folds, n, units))
        observed = rng.standard_normal((n_folds, n))
        weights = np.einsum("lknu,kn->lku", features, observed)
        found = []
        for held in range(n_folds):
            rest = [fold for fold in range(n_folds) if fold != held]
            inner = [
                sum(
                    _r(
                        features[layer, one] @ weights[layer, [k for k in rest if k != one]].sum(0),
                        observed[one],
                    )
                    for one in rest
                )
                for layer in range(n_layers)
            ]
            layer = int(np.argmax(inner))
            found.append(_r(features[layer, held] @ weights[layer, rest].sum(axis=0), observed[held]))
        scores[study] = np.mean(found) * np.sqrt(n_folds * n)
    model = null_scores(n_folds, n_layers)
    assert scores.std() == pytest.approx(model.std(), rel=0.15)
    beyond = scipy.stats.norm.ppf(0.95) * width(n_folds, n_layers)
    assert (scores > beyond).mean() < 0.085
    assert (model > beyond).mean() <= 0.0501


def _r(one, other):
    return one @ other / np.sqrt((one @ one) * (other @ other))
