"""Folds never put neighbours in time, or one stimulus, on both sides."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroalign.design.folds import make_folds
from neuroalign.errors import DataError
from neuroalign.settings.design import Folds


def grid(lengths, tr=2.0):
    runs = np.concatenate([np.full(n, f"run-{place}", object) for place, n in enumerate(lengths)])
    return runs, np.concatenate([np.arange(n) * tr for n in lengths])


def assert_apart(one, other, runs, times, gap):
    for sample in one:
        near = other[runs[other] == runs[sample]]
        assert not len(near) or np.abs(times[near] - times[sample]).min() > gap - 1e-6


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(50, 90), min_size=1, max_size=4),
    n=st.integers(2, 5),
    gap=st.sampled_from([0.0, 4.0, 10.0]),
    by=st.sampled_from(["run", "block"]),
)
def test_every_sample_is_held_out_once_and_far_from_training(lengths, n, gap, by):
    runs, times = grid(lengths)
    if by == "run" and len(lengths) < 2:
        return
    folds = make_folds(runs, times, Folds(by=by, n=n, gap_s=gap), lag=gap)
    np.testing.assert_array_equal(
        np.sort(np.concatenate([fold.test for fold in folds])), np.arange(len(runs))
    )
    for fold in folds:
        assert_apart(fold.test, fold.train, runs, times, gap)
        for train, test in fold.inner:
            assert_apart(fold.train[test], fold.train[train], runs, times, gap)
        inner_tests = np.concatenate([test for _, test in fold.inner])
        np.testing.assert_array_equal(np.sort(inner_tests), np.arange(len(fold.train)))


def test_folds_by_run_hold_out_whole_runs():
    runs, times = grid([20, 30, 25])
    folds = make_folds(runs, times, Folds(), lag=8.0)
    assert [fold.label for fold in folds] == ["run-0", "run-1", "run-2"]
    for fold in folds:
        assert set(runs[fold.test]) == {fold.label}
        assert fold.label not in set(runs[fold.train])
        assert len(fold.inner) == 2


def test_runs_that_share_stimuli_are_held_out_together():
    runs, times = grid([20, 20, 20, 20])
    folds = make_folds(runs, times, Folds(), lag=8.0, linked=[("run-0", "run-2"), ("run-2", "run-3")])
    assert [fold.label for fold in folds] == ["run-0+run-2+run-3", "run-1"]


def test_two_runs_choose_inside_the_one_that_is_left():
    runs, times = grid([60, 60])
    folds = make_folds(runs, times, Folds(), lag=8.0)
    assert len(folds[0].inner) == 3


@pytest.mark.parametrize(
    ("lengths", "chosen", "linked", "message"),
    [
        ([50], Folds(), [], "at least two runs"),
        ([50, 50], Folds(), [("run-0", "run-1")], "share stimuli"),
        ([20], Folds(by="block", n=5, gap_s=30.0), [], "too little"),
    ],
)
def test_impossible_folds_say_what_to_do(lengths, chosen, linked, message):
    runs, times = grid(lengths)
    with pytest.raises(DataError, match=message):
        make_folds(runs, times, chosen, lag=8.0, linked=linked)
