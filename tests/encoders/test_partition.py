"""Variance partition on planted bands, and its identities."""

import numpy as np
import pytest

from neuroalign.encoders import BandedRidgeEncoder
from neuroalign.encoders.partition import partition_variance
from neuroalign.errors import DataError

ALPHAS = np.logspace(-3, 3, 7)


def halves(X, Y):
    return X[::2], Y[::2], X[1::2], Y[1::2]


def test_orthogonal_bands_explain_what_was_planted(rng):
    """Response variance: 40 % of the first band, 30 % of the second, nothing of the third."""
    X = rng.standard_normal((6000, 9))
    mix = rng.standard_normal((9, 4)) * np.repeat(np.sqrt([0.4, 0.3, 0.0]), 3)[:, None]
    mix /= np.linalg.norm(mix.reshape(3, 3, 4), axis=1).repeat(3, axis=0).clip(1e-300)
    mix *= np.repeat(np.sqrt([0.4, 0.3, 0.0]), 3)[:, None]
    Y = X @ mix + np.sqrt(0.3) * rng.standard_normal((6000, 4))
    parts = partition_variance(BandedRidgeEncoder([3, 3, 3], ALPHAS, n_candidates=6), *halves(X, Y))
    np.testing.assert_allclose(parts.unique, np.tile([[0.4], [0.3], [0.0]], 4), atol=0.04)
    np.testing.assert_allclose(parts.shared, 0, atol=0.04)
    np.testing.assert_allclose(parts.whole, 0.7, atol=0.04)


def test_a_signal_in_two_bands_is_shared(rng):
    common, noise = rng.standard_normal((2, 3000, 1))
    X = np.column_stack(
        [common + 0.1 * rng.standard_normal((3000, 2)), common, rng.standard_normal((3000, 2))]
    )
    bands = {"sound": [0, 1], "words": [2], "colour": [3, 4]}
    parts = partition_variance(BandedRidgeEncoder(bands, ALPHAS, n_candidates=8), *halves(X, common + noise))
    np.testing.assert_allclose(parts.part("sound", "words"), 0.5, atol=0.05)
    np.testing.assert_allclose(parts.shared, 0.5, atol=0.05)
    np.testing.assert_allclose(parts.unique, 0, atol=0.02)


@pytest.mark.parametrize("p", [4, 30])
def test_all_parts_add_up_and_subsets_are_models_of_their_own(rng, p):
    X = rng.standard_normal((80, 3 * p))
    Y = X @ rng.standard_normal((3 * p, 5)) + 3 * rng.standard_normal((80, 5))
    names = ("a", "b", "c")
    bands = {name: slice(p * number, p * number + p) for number, name in enumerate(names)}
    encoder = BandedRidgeEncoder(bands, ALPHAS, n_candidates=8)
    X_train, Y_train, X_test, Y_test = halves(X, Y)
    parts = partition_variance(encoder, X_train, Y_train, X_test, Y_test)
    subsets = [("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"), names]
    assert list(parts.r2) == subsets
    np.testing.assert_allclose(sum(parts.part(*subset) for subset in subsets), parts.whole)
    np.testing.assert_allclose(parts.unique[1], parts.whole - parts.r2["a", "c"])
    np.testing.assert_allclose(parts.unique.sum(axis=0) + parts.shared, parts.whole)
    whole = encoder.fit(X_train, Y_train).score(X_test, Y_test, "r2")
    np.testing.assert_allclose(parts.whole, whole)
    pair = BandedRidgeEncoder([p, p], ALPHAS, n_candidates=8).fit(X_train[:, : 2 * p], Y_train)
    np.testing.assert_allclose(parts.r2["a", "b"], pair.score(X_test[:, : 2 * p], Y_test, "r2"))


def test_two_bands_share_what_either_alone_explains_beyond_both(rng):
    X = rng.standard_normal((60, 5))
    Y = X[:, :2] + rng.standard_normal((60, 2))
    parts = partition_variance(BandedRidgeEncoder([3, 2], ALPHAS, n_candidates=5), *halves(X, Y))
    alone = parts.r2[("band0",)] + parts.r2[("band1",)]
    np.testing.assert_allclose(parts.shared, alone - parts.whole)
    np.testing.assert_allclose(parts.part("band0", "band1"), parts.shared)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bands": [1] * 9}, "9 bands have 511 subsets"),
        ({"bands": [4, 5], "n_candidates": np.array([[0.5, 0.5]])}, "n_candidates holds candidates"),
    ],
)
def test_what_cannot_be_partitioned_is_said(rng, change, message):
    X = rng.standard_normal((40, 9))
    with pytest.raises(DataError, match=message):
        partition_variance(BandedRidgeEncoder(**change), *halves(X, X))


def test_an_unknown_band_is_named(rng):
    X = rng.standard_normal((40, 2))
    parts = partition_variance(BandedRidgeEncoder([1, 1], ALPHAS, n_candidates=3), *halves(X, X))
    with pytest.raises(DataError, match="no band 'tone'; the bands are band0, band1"):
        parts.part("tone")
