"""Nothing is found where there is nothing: small studies of every kind, by the way that a workflow goes.

`benchmarks/nulls.py` does the same with more studies and says how often each statistic errs.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from neuroalign.alignment.ceiling import noise_ceiling
from neuroalign.alignment.group import combine
from neuroalign.alignment.inference import null, significance

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
from null_studies import Epochs, Ongoing, Shown, Story
from nulls import INFERENCE, fit, summaries, told

STUDIES = 12
CASES = {
    "story": (Story(lengths=(50,) * 4, word_rate=1.0), 1),
    "trials": (Shown(repeats=(1, 2, 3), items=60), 2),
    "epochs": (Epochs(items=60), 1),
    "continuous": (Ongoing(lengths=(640,) * 4, units=4, word_rate=0.5), 1),
}


@cache
def people(case):
    """Everybody fitted, and whether means over repeats were predicted; fitted once for all tests."""
    study, n_people = CASES[case]
    nulls = [study.draw(np.random.default_rng(seed), n_people) for seed in range(STUDIES)]
    return [(fit(null), null.design.repeats == "average") for null in nulls]


def judged(case):
    return [summaries(*one, seed) for seed, one in enumerate(people(case))]


def check(summaries_of_studies):
    """Raises AssertionError where p, a correction or ceilings are off by more than chance explains.

    Of twelve studies four or more find something in one of 450 sets at the level.
    """
    found = [told(one) for one in summaries_of_studies]
    assert 0.01 < np.mean([one.p for one in found]) < 0.08
    assert np.sum([one.any_fdr for one in found]) <= 3
    assert np.sum([one.any_max for one in found]) <= 3
    limited = [one.ceiling for one in found if np.isfinite(one.ceiling)]
    assert not limited or np.mean(limited) < 0.06


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_found(case):
    check([one[0] for one in judged(case)])


def test_nothing_is_found_in_groups():
    check([combine(one, INFERENCE, seed) for seed, one in enumerate(judged("trials"))])


@pytest.mark.parametrize("case", ["story", "trials", "epochs"])
def test_a_null_of_independent_folds_fails(case, monkeypatch):
    monkeypatch.setattr(significance, "SHARED_PAIRS", 1.0)
    with pytest.raises(AssertionError):
        check([one[0] for one in judged(case)])


def test_a_group_of_p_values_of_independent_folds_fails(monkeypatch):
    monkeypatch.setattr(significance, "SHARED_PAIRS", 1.0)
    with pytest.raises(AssertionError):
        check([combine(one, INFERENCE, seed) for seed, one in enumerate(judged("trials"))])


def test_ceilings_that_are_above_chance_by_their_estimate_fail(monkeypatch):
    def middle(values, tail):
        return np.percentile(np.nan_to_num(values), [50, 50], axis=0)

    monkeypatch.setattr(noise_ceiling, "_percentiles", middle)
    with pytest.raises(AssertionError):
        check([one[0] for one in judged("trials")])


def test_a_network_that_knows_word_rate_alone_has_nothing_of_its_own():
    for study in (Story(word_rate=1.0, only_rate=True), Ongoing(word_rate=0.5, only_rate=True)):
        (one,) = fit(study.draw(np.random.default_rng(0), 1))
        assert one.scores["chosen_r"].mean() > 0.1
        assert not one.scores["chosen_r_unique"].any()
        (summary,) = summaries([one], False, 0)
        assert (summary["p"] == 1).all()


def test_no_layer_is_best_more_often_than_others():
    shares = np.array([told(one[0]).layers for case in ("story", "trials", "epochs") for one in judged(case)])
    error = shares.std(axis=0, ddof=1) / np.sqrt(len(shares))
    assert (np.abs(shares.mean(axis=0) - 1 / shares.shape[1]) < 3.5 * error).all()


def test_a_null_that_forgets_what_nuisance_takes_fails(monkeypatch):
    """Of runs of 30 samples the nuisance takes ten."""
    study = Story(lengths=(30,) * 8, word_rate=1.0, memory=(0.7,))
    made = [fit(study.draw(np.random.default_rng(seed), 1)) for seed in range(STUDIES)]

    def shares():
        return [told(summaries(one, False, seed)[0]).p for seed, one in enumerate(made)]

    counted = np.mean(shares())
    monkeypatch.setattr(null, "_left", lambda parts, observed, orders, nuisance: 1.0)
    assert np.mean(shares()) > 1.3 * counted
