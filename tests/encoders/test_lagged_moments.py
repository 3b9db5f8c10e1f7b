"""Moments of lagged features, found without the lagged matrix, against the lagged matrix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroalign.encoders.lagging import moments as lagged_moments
from neuroalign.encoders.lagging.folds import LaggedSource, portions
from neuroalign.encoders.lagging.moments import LaggedFeatures
from neuroalign.encoders.solvers.compute import Compute, host

LAGS = {
    "now": [0],
    "past": [0, 1, 2, 3],
    "future": [-4, -3, -2, -1],
    "both": [-3, -2, -1, 0, 1, 2],
    "from later on": [3, 4, 5],
    "gaps": [-6, 0, 1, 9],
    "in no order": [4, -1, 2],
    "longer than a segment": list(range(-25, 40)),
    "beyond all": [100, 101],
}
LENGTHS = {"one": [60], "uneven": [5, 1, 30, 2, 22], "single samples": [1] * 60}


def lagged_matrix(features, outside, lags, lengths):
    """Row by row, looking up every value where it stands."""
    segment = np.repeat(np.arange(len(lengths)), lengths)
    rows = np.empty((len(features), len(lags), features.shape[1]))
    for t, lag in np.ndindex(len(features), len(lags)):
        source = t - lags[lag]
        inside = 0 <= source < len(features) and segment[source] == segment[t]
        rows[t, lag] = features[source] if inside else outside
    return rows.reshape(len(features), -1)


def lagged(features, outside, lags, lengths, compute=None):
    compute = compute or Compute.choose(threads=1)
    breaks = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    kind = str(features.dtype)
    return LaggedFeatures(
        compute.put(features, kind), compute.put(outside, kind), np.array(lags), breaks, compute
    )


def agrees(features, matrix, samples, responses):
    """Everything that is known of some samples, each taken once."""
    weights = np.bincount(samples, minlength=len(matrix))
    moments = features.moments(features.first_row(samples), weights)
    rows = matrix[samples]
    scale = np.abs(matrix).max() ** 2 * len(matrix)
    assert moments.count == len(samples)
    np.testing.assert_allclose(host(moments.gram), rows.T @ rows, atol=1e-13 * scale)
    np.testing.assert_allclose(host(moments.sums), rows.sum(axis=0), atol=1e-13 * scale)
    cross = features.cross(samples, features.compute.put(responses, "float64"))
    np.testing.assert_allclose(host(cross), rows.T @ responses[samples], atol=1e-12 * scale)


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("lags", LAGS.values(), ids=LAGS)
def test_moments_are_those_of_the_lagged_matrix(rng, lags, lengths, device):
    X, Y, outside = rng.standard_normal((60, 3)) + 2, rng.standard_normal((60, 4)), np.array([0.0, -1, 5])
    features = lagged(X, outside, lags, lengths, Compute.choose(device, threads=1))
    matrix = lagged_matrix(X, outside, lags, lengths)
    np.testing.assert_array_equal(host(features.rows(np.arange(60))), matrix)
    scattered = np.sort(rng.permutation(60)[:25])
    for samples in (np.arange(60), np.arange(7, 31), scattered, np.array([4])):
        agrees(features, matrix, samples, Y)


@settings(max_examples=40, deadline=None)
@given(
    lags=st.sets(st.integers(-12, 12), min_size=1, max_size=8),
    lengths=st.lists(st.integers(1, 15), min_size=1, max_size=6),
    seed=st.integers(0, 10**6),
    share=st.floats(0.05, 1.0),
)
def test_any_lags_segments_and_samples(lags, lengths, seed, share):
    rng, n = np.random.default_rng(seed), sum(lengths)
    X, Y, outside = rng.standard_normal((n, 2)), rng.standard_normal((n, 1)), rng.standard_normal(2)
    samples = np.flatnonzero(rng.uniform(size=n) < share)
    if not len(samples):
        samples = np.array([0])
    features = lagged(X, outside, sorted(lags), lengths)
    agrees(features, lagged_matrix(X, outside, sorted(lags), lengths), samples, Y)


@pytest.mark.parametrize("name", ["CHUNK", "EDGES"])
def test_the_size_of_chunks_does_not_matter(rng, monkeypatch, name):
    monkeypatch.setattr(lagged_moments, name, 64)
    X, Y = rng.standard_normal((90, 2)), rng.standard_normal((90, 3))
    features, matrix = (make(X, np.zeros(2), [0, 1, 2], [40, 50]) for make in (lagged, lagged_matrix))
    agrees(features, matrix, np.sort(rng.permutation(90)[:50]), Y)


def test_float32_features_are_summed_in_float64(rng):
    X = (rng.standard_normal((5000, 2)) + 100).astype(np.float32)
    features, matrix = (make(X, np.zeros(2), [0, 1, 2, 3], [5000]) for make in (lagged, lagged_matrix))
    everything = np.arange(5000)
    gram = features.moments(features.first_row(everything), np.ones(5000, int)).gram
    np.testing.assert_allclose(gram, matrix.T @ matrix, rtol=1e-13)


def test_folds_with_gaps_repeats_and_overlaps_have_their_own_moments(rng):
    X, Y, lags, lengths = rng.standard_normal((50, 2)), rng.standard_normal((50, 3)), [-1, 0, 1, 2], [20, 30]
    pairs = [
        (np.arange(15, 50), np.arange(10)),  # a gap
        (np.array([0, 0, 1, 5, 5, 5, 40]), np.array([7, 8, 30])),  # repeats, and most left out
        (rng.permutation(40), np.arange(40, 50)),
    ]
    features, matrix = (make(X, np.zeros(2), lags, lengths) for make in (lagged, lagged_matrix))
    source = LaggedSource(features, pairs)
    block = source.targets(Y)
    found = [(source.whole(), block.whole, np.arange(50))]
    for fold, (train, test) in enumerate(pairs):
        found.append((source.train(fold), block.trains[fold], train))
        found.append((source.test(fold), block.tests[fold], test))
    for moments, targets, samples in found:
        rows, responses = matrix[samples], Y[samples]
        assert moments.count == len(samples)
        np.testing.assert_allclose(moments.gram, rows.T @ rows, atol=1e-11)
        np.testing.assert_allclose(moments.sums, rows.sum(axis=0), atol=1e-11)
        np.testing.assert_allclose(targets.cross, rows.T @ responses, atol=1e-11)
        np.testing.assert_allclose(targets.sums, responses.sum(axis=0), atol=1e-11)
        np.testing.assert_allclose(targets.squares, (responses**2).sum(axis=0), atol=1e-11)


def test_portions_are_as_few_as_folds_can_tell_apart():
    blocks = [(np.r_[0:a, b:30], np.arange(a, b)) for a, b in [(0, 10), (10, 20), (20, 30)]]
    assert [each.samples.tolist() for each in portions(blocks, 30)] == [
        list(range(0, 10)),
        list(range(10, 20)),
        list(range(20, 30)),
    ]
    alternating = [(np.arange(0, 30, 2), np.arange(1, 30, 2))]
    assert [len(each.samples) for each in portions(alternating, 30)] == [15, 15]
