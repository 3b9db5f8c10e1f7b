"""Ridge regression and cross-attention stacked: the one that predicts is listened to, and nothing leaks."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from neuroalign import metrics
from neuroalign.alignment.evaluation.evaluate import evaluate
from neuroalign.alignment.evaluation.held_out import held_out
from neuroalign.alignment.evaluation.stack import STACK, WEIGHT, Parts, evaluate_stack, weigh
from neuroalign.alignment.fitting.ridge import FoldRidge, refitted
from neuroalign.alignment.group import combine
from neuroalign.alignment.layers import summarise
from neuroalign.encoders.ridge import RidgeEncoder
from neuroalign.maps.derivatives import write_maps
from neuroalign.maps.scores import score_maps
from neuroalign.settings.design import Design
from neuroalign.settings.statistics import Inference

WINDOW_S = 8.0
ALPHAS = np.logspace(-2, 4, 7)
KNOWN, RIDGES, BOTH = (slice(0, 3), slice(3, 6), slice(6, 9))


def ridge_of(listener, folder):
    """Scores and predictions of ridge regression."""
    given = (listener.responses, listener.events, listener.activations, Design(), FoldRidge(ALPHAS))
    return evaluate(*given, folder / "ridge", "made by this test")


def attending(listener, quality, seed=0) -> xr.Dataset:
    """Predictions in the format of cross-attention: the response and as much noise as `quality` says."""
    observed = listener.responses["response"].values
    noise = np.random.default_rng(seed).standard_normal(observed.shape)
    predicted = quality * observed + (1 - quality) * noise
    folds, _ = held_out(listener.responses, listener.events, listener.activations, Design(), WINDOW_S)
    rows = [fold.train[fold.inner[0][1]] for fold in folds]
    return xr.Dataset(
        {
            "prediction": (("sample", "target"), predicted),
            "inner_prediction": (("inner", "target"), np.concatenate([predicted[each] for each in rows])),
            "inner_sample": ("inner", np.concatenate(rows)),
            "inner_fold": ("inner", np.repeat(np.arange(len(rows)), [len(each) for each in rows])),
        }
    )


def stacked(listener, ridge, attention):
    given = (listener.responses, listener.events, listener.activations, Design())
    return evaluate_stack(*given, Parts(*ridge, attention), WINDOW_S)


@pytest.fixture
def listener(heard):
    return heard()


@pytest.fixture
def quality(listener):
    """Cross-attention knows the first three targets and nothing of the others."""
    found = np.zeros(listener.responses.sizes["target"])
    found[KNOWN] = 0.9
    return found


def test_every_target_listens_to_what_predicts_it(listener, quality, tmp_path):
    ridge, attention = ridge_of(listener, tmp_path), attending(listener, quality)
    scores, predictions = stacked(listener, ridge, attention)
    assert scores["layer"].values.tolist() == [STACK]
    weight = scores[WEIGHT].values
    assert ((weight >= 0) & (weight <= 1)).all()
    assert weight[:, KNOWN].min() > 0.7
    assert weight[:, 6:9].max() < 0.3, "of these ridge knows the word rate"
    best = np.maximum(ridge[0]["chosen_r"].mean("fold"), attended_r(listener, attention, predictions))
    assert (scores["chosen_r"].mean("fold") > best - 0.05).all()
    for number in range(scores.sizes["fold"]):
        held = predictions["fold"].values == number
        mixed = weight[number] * attention["prediction"].values[held]
        mixed += (1 - weight[number]) * ridge[1]["prediction"].values[held]
        np.testing.assert_allclose(predictions["prediction"].values[held], mixed, atol=1e-5)


def attended_r(listener, attention, predictions):
    """Mean over folds of r with cross-attention alone (target,)."""
    observed, fold = listener.responses["response"].values, predictions["fold"].values
    predicted = attention["prediction"].values
    return np.mean([metrics.pearson(predicted[fold == n], observed[fold == n]) for n in range(3)], axis=0)


def test_held_out_data_change_no_weight(listener, quality, tmp_path, rng):
    """Leakage probe: another response and other predictions in a run leave the weights of its fold alone."""
    ridge, attention = ridge_of(listener, tmp_path), attending(listener, quality)
    before, _ = stacked(listener, ridge, attention)
    held = listener.responses["run"].values == "run-1"
    listener.responses["response"].values[held] = rng.standard_normal((held.sum(), len(quality)))
    for part in (attention, ridge[1]):
        part["prediction"].values[held] *= -1
    after, _ = stacked(listener, ridge, attention)
    assert before["fold"].values[1] == "run-1"
    for name in (WEIGHT, "cv_r"):
        np.testing.assert_array_equal(after[name].values[..., 1, :], before[name].values[..., 1, :])
    assert not np.allclose(after["r"].values[0, 1], before["r"].values[0, 1])


def test_an_encoder_that_predicts_nothing_is_not_mixed_in():
    """Shares of seeds in which anything is mixed in; by weights alone it would be nearly all."""
    mixed, useful = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        signal, noise = rng.standard_normal((2, 60, 8))
        observed, ridge = signal + 2 * noise, 0.1 * rng.standard_normal((60, 8))
        mixed.append(weigh(rng.standard_normal((60, 8)), ridge, observed).any())
        useful.append(weigh(signal, ridge, observed).mean())
    assert np.mean(mixed) < 0.25
    assert np.median(useful) > 0.5


def test_ridge_is_fitted_without_what_weighs_it(rng):
    X, Y = rng.standard_normal((60, 5)), rng.standard_normal((60, 4))
    train, alphas = np.arange(40), np.array([1.0, 10.0, 1.0, 100.0])
    found = refitted(X, Y, train, alphas)
    for target, alpha in enumerate(alphas):
        alone = RidgeEncoder([alpha], folds=None).fit(X[:40], Y[:40, target]).predict(X)
        np.testing.assert_allclose(found[:, target], alone, atol=1e-5)


def test_weights_reach_summaries_the_group_and_maps(listener, quality, tmp_path):
    ridge, attention = ridge_of(listener, tmp_path), attending(listener, quality)
    scores, _ = stacked(listener, ridge, attention)
    scores.attrs.update(network="net", encoder="stack")
    n = scores.sizes["target"]
    empty = {name: ("target", np.full(n, np.nan)) for name in ("ceiling_low", "ceiling_high", "raw_r")}
    ceiling = xr.Dataset(
        {**empty, "ceiling": ("target", np.full(n, 0.5)), "above_chance": ("target", np.ones(n, bool))},
        attrs={"method": "none", "reason": "", "n": 0, "confidence": 0.95},
    )
    tests = {name: ("target", np.full(n, 0.01)) for name in ("p", "q", "p_max")}
    tested = xr.Dataset({**tests, "significant": ("target", np.ones(n, bool))})
    one = summarise(scores, ridge[0], tested, ceiling)
    np.testing.assert_allclose(one[WEIGHT], scores[WEIGHT].mean("fold"), atol=1e-6)
    group = combine([one, one.assign_attrs(subject="02")], Inference(permutations=99), 0)
    np.testing.assert_allclose(group[WEIGHT], one[WEIGHT], atol=1e-6)
    assert [each.stat for each in score_maps(group) if "eight" in each.stat] == ["attentionWeight"]
    write_maps([one, group], tmp_path / "maps", "a study")
    for path in (tmp_path / "maps").rglob("*_statmap.json"):
        about = json.loads(path.read_text(), parse_constant=pytest.fail)
        assert (about["Layers"], about["Depths"]) == (["stack"], [None])


def test_a_silent_subject_costs_nothing(listener, quality, tmp_path):
    listener.responses["response"].values[:] = np.nan
    listener.responses["valid"][:] = False
    ridge, attention = ridge_of(listener, tmp_path), attending(listener, quality)
    attention = attention.drop_vars([name for name in attention if str(name).startswith("inner")])
    scores, _ = stacked(listener, ridge, attention)
    assert np.isnan(scores[WEIGHT].values).all()
    assert "no target that varies" in scores.attrs["warnings"][0]
