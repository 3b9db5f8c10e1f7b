"""Time-lagged ridge in nested cross-validation, against ridge on the lagged matrix itself."""

from __future__ import annotations

import numpy as np
import pytest

from neuroalign.alignment.fitting.lagged_ridge import FoldLaggedRidge
from neuroalign.design.folds import Fold
from neuroalign.encoders.ridge import RidgeEncoder

RUNS, LENGTH, LAGS = 3, 120, np.arange(-2, 6)
N = RUNS * LENGTH
SEGMENTS = np.repeat(np.arange(RUNS), LENGTH)


def fold_of(test_run):
    test = np.flatnonzero(test_run == SEGMENTS)
    train = np.flatnonzero(test_run != SEGMENTS)
    inner = [np.flatnonzero(SEGMENTS[train] == run) for run in range(RUNS) if run != test_run]
    return Fold("run", train, test, ((inner[0], inner[1]), (inner[1], inner[0])))


def lagged(features):
    """The matrix that is never formed, sample by sample."""
    found = np.zeros((N, len(LAGS), features.shape[1]))
    for row in range(N):
        for place, lag in enumerate(LAGS):
            source = row - lag
            if 0 <= source < N and SEGMENTS[source] == SEGMENTS[row]:
                found[row, place] = features[source]
    return found.reshape(N, -1)


@pytest.fixture
def planted():
    rng = np.random.default_rng(0)
    network, nuisance = rng.standard_normal((N, 4)).astype(np.float32), rng.random((N, 1)).astype(np.float32)
    response = np.zeros((N, 5))
    for run in range(RUNS):
        at = np.flatnonzero(run == SEGMENTS)
        response[at[3:], 0] = network[at[:-3], 1]
        response[at[2:], 1] = nuisance[at[:-2], 0] * 3
    return network, nuisance, response + 0.4 * rng.standard_normal(response.shape)


def encoder(alphas=(0.01, 0.1, 1.0), components=None):
    return FoldLaggedRidge(list(alphas), LAGS, 0.01, SEGMENTS, components)


def test_predictions_are_those_of_ridge_on_the_lagged_matrix(planted):
    network, nuisance, observed = planted
    fold, alpha = fold_of(1), 0.03
    ours = encoder(alphas=[alpha])
    fitted = ours.fit_fold(observed, nuisance, network, fold)
    matrix = lagged(ours._features(nuisance, network, fold.train))
    plain = RidgeEncoder([alpha], folds=None).fit(matrix[fold.train], observed[fold.train])
    np.testing.assert_allclose(fitted.predicted, plain.predict(matrix[fold.test]), atol=2e-4)


def test_the_kernel_peaks_at_the_planted_lag(planted):
    network, nuisance, observed = planted
    both = encoder().fit_fold(observed, nuisance, network, fold_of(0))
    alone = encoder().fit_fold(observed, nuisance, None, fold_of(0))
    assert LAGS[both.extras["kernel"][:, 0].argmax()] == 3
    assert LAGS[np.abs(alone.extras["kernel"][:, 1]).argmax()] == 2
    assert np.corrcoef(both.predicted[:, 0], observed[fold_of(0).test, 0])[0, 1] > 0.9


def test_held_out_responses_change_nothing_but_scores(planted):
    network, nuisance, observed = planted
    fold = fold_of(2)
    other = observed.copy()
    other[fold.test] = np.random.default_rng(9).standard_normal(other[fold.test].shape)
    one, two = (encoder(components=2).fit_fold(y, nuisance, network, fold) for y in (observed, other))
    np.testing.assert_array_equal(one.predicted, two.predicted)


def test_held_out_features_change_no_scale_and_no_component(planted):
    network, nuisance, _ = planted
    fold = fold_of(2)
    other = network.copy()
    other[fold.test] *= 100
    one, two = (
        encoder(components=2)._features(nuisance, x, fold.train)[fold.train] for x in (network, other)
    )
    np.testing.assert_array_equal(one, two)


def test_components_keep_what_matters(planted):
    network, nuisance, observed = planted
    wide = np.concatenate([network, network @ np.random.default_rng(1).standard_normal((4, 30))], axis=1)
    fitted = encoder(components=4).fit_fold(observed, nuisance, wide.astype(np.float32), fold_of(0))
    assert np.corrcoef(fitted.predicted[:, 0], observed[fold_of(0).test, 0])[0, 1] > 0.85


def test_a_gap_in_time_ends_a_segment():
    around = FoldLaggedRidge([1.0], LAGS, 0.01, SEGMENTS, None)
    np.testing.assert_array_equal(around.joined(np.array([0, 1, 2, 10, 11, 120, 121])), [0, 0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(around.around(np.array([50])), np.arange(45, 56))
