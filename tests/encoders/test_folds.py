"""Folds of any kind score as if every fold had been fitted on its own."""

import numpy as np
import pytest
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneOut,
    RepeatedKFold,
    ShuffleSplit,
    TimeSeriesSplit,
)

from neuroalign.encoders import RidgeEncoder
from neuroalign.encoders.solvers.rows import FoldRows, check_folds, cover
from neuroalign.errors import DataError

ALPHAS = np.logspace(-2, 4, 7)
N = 48


def interleaved():
    return [(np.flatnonzero(np.arange(N) % 4 != k), np.arange(k, N, 4)) for k in range(4)]


def with_gaps():
    """Four samples on either side of the test samples are left out."""
    found = []
    for start in range(0, N, 12):
        far = (np.arange(N) < start - 4) | (np.arange(N) >= start + 16)
        found.append((np.flatnonzero(far), np.arange(start, start + 12)))
    return found


def bootstrap(rng):
    drawn = [rng.integers(0, 36, 40) for _ in range(4)]
    return [(train, np.setdiff1d(np.arange(N), train)) for train in drawn]


def in_any_order(rng):
    return [(rng.permutation(train), rng.permutation(test)) for train, test in KFold(4).split(np.empty(N))]


def as_masks():
    return [(np.arange(N) % 3 != k, np.arange(N) % 3 == k) for k in range(3)]


def repeated_test_samples(rng):
    return [(np.arange(30), rng.integers(30, N, 25)), (np.arange(20, N), rng.integers(0, 20, 9))]


def kinds(rng):
    rows = np.empty(N)
    runs = np.repeat(np.arange(6), N // 6)
    return {
        "contiguous": list(KFold(5).split(rows)),
        "interleaved": interleaved(),
        "gaps": with_gaps(),
        "bootstrap": bootstrap(rng),
        "any order": in_any_order(rng),
        "masks": as_masks(),
        "overlapping": list(ShuffleSplit(5, test_size=0.25, random_state=0).split(rows)),
        "small training sets": list(ShuffleSplit(3, train_size=0.3, random_state=0).split(rows)),
        "repeated": list(RepeatedKFold(n_splits=3, n_repeats=2, random_state=0).split(rows)),
        "time series": list(TimeSeriesSplit(4).split(rows)),
        "runs": list(GroupKFold(3).split(rows, groups=runs)),
        "one": [(np.arange(30), np.arange(30, N))],
        "leave one out": list(LeaveOneOut().split(rows)),
        "repeated test samples": repeated_test_samples(rng),
        "negative": [(np.arange(-30, 0), np.arange(10))],
        "lists": [([int(i) for i in train], [int(i) for i in test]) for train, test in interleaved()],
    }


KINDS = list(kinds(np.random.default_rng(0)))


@pytest.mark.parametrize("p", [5, 80])
@pytest.mark.parametrize("kind", KINDS)
def test_folds_score_as_explicit_fits(rng, textbook, kind, p):
    X = rng.standard_normal((N, p)) + 1
    Y = X @ rng.standard_normal((p, 4)) + 3 * rng.standard_normal((N, 4)) + np.linspace(0, 9, N)[:, None]
    pairs = kinds(rng)[kind]
    indices = [(np.arange(N)[np.asarray(a)], np.arange(N)[np.asarray(b)]) for a, b in pairs]
    for metric in ("r2", "r"):
        scores = textbook.grid(X, Y, indices, ALPHAS, metric)
        encoder = RidgeEncoder(ALPHAS, iter(pairs), metric).fit(X, Y)
        np.testing.assert_allclose(encoder.cv_scores_, scores.max(axis=0), rtol=1e-8, atol=1e-9)
        for target, alpha in enumerate(encoder.best_alphas_):
            at_chosen = scores[alpha == ALPHAS, target]
            np.testing.assert_allclose(at_chosen, scores[:, target].max(), rtol=1e-8, atol=1e-9)


def test_a_number_of_folds_is_as_many_contiguous_blocks():
    found = check_folds(np.int64(3), 10)
    for (train, test), (other_train, other_test) in zip(found, KFold(3).split(np.empty(10)), strict=True):
        np.testing.assert_array_equal(train, other_train)
        np.testing.assert_array_equal(test, other_test)


def test_what_is_known_of_all_is_used_where_it_may_be():
    def fold(train, test):
        return FoldRows.of(np.asarray(train), np.asarray(test), 10)

    plain = fold(range(4, 10), range(4))
    assert plain.apart
    assert plain.held == slice(0, 4)
    assert plain.gap is None
    spaced = fold(range(4, 10), range(3))
    assert spaced.apart
    assert spaced.gap == slice(3, 4)
    assert not fold([5, 6, 7, 8, 9, 9], range(4)).apart
    assert not fold(range(8, 10), range(4)).apart
    assert cover([fold([6, 7, 8, 9], range(6)), fold(range(6), [9, 7, 8, 6])], 10)
    assert not cover([fold([6, 7, 8, 9], range(6)), fold(range(6), [9, 7, 8, 8])], 10)


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        (1, "expected 2 to 48"),
        (49, "expected 2 to 48"),
        (0, "expected 2 to 48"),
        (True, "folds"),
        (2.5, "folds"),
        ("five", "folds"),
        (None, "folds is None with 7 alphas; give one alpha"),
        ([], "folds is empty"),
        ([3, 4], "folds"),
        ([(np.arange(10),)], "folds"),
        ([(np.arange(10), np.arange(10, 12), np.arange(3))], "folds"),
        ([(np.arange(10), np.arange(5, 15))], "must be apart"),
        ([(np.arange(10), np.arange(-43, -40))], "must be apart"),
        ([(np.arange(1), np.arange(5, 15))], "it needs both"),
        ([(np.arange(5, 15), [])], "it needs both"),
        ([(np.arange(40), [48])], "beyond 48 samples"),
        ([(np.arange(40), [-49])], "beyond 48 samples"),
        ([(np.arange(10), [20.0, 21.0])], "folds"),
        ([(np.arange(10), ["a"])], "folds"),
        ([(np.arange(10), np.zeros(7, bool))], "folds"),
        ([(np.arange(10).reshape(5, 2), np.arange(20, 30))], "folds"),
    ],
)
def test_folds_that_are_none_are_one_clear_line(rng, folds, message):
    X = rng.standard_normal((N, 3))
    with pytest.raises(DataError, match=message) as caught:
        RidgeEncoder(ALPHAS, folds).fit(X, X)
    assert "\n" not in str(caught.value)


def test_a_repeated_training_sample_weighs_twice(rng):
    X, Y = rng.standard_normal((30, 4)), rng.standard_normal((30, 2))
    train, test = np.arange(20), np.arange(20, 30)
    once, twice = ([(rows, test)] for rows in (train, np.concatenate([train, train])))
    plain = RidgeEncoder([2.0], once).fit(X, Y)
    doubled = RidgeEncoder([4.0], twice).fit(X, Y)
    np.testing.assert_allclose(doubled.cv_scores_, plain.cv_scores_, atol=1e-12)
