"""Blanks: what they are made of, that they leave others alone, and that they know how alike layers are."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from neuroalign.alignment.evaluation.evaluate import evaluate
from neuroalign.alignment.fitting.ridge import FoldRidge
from neuroalign.alignment.inference import blanks, significance
from neuroalign.alignment.inference.blanks import blanks_of, draw_blanks
from neuroalign.alignment.inference.choosing import width
from neuroalign.alignment.inference.moves import Segment, runs_held_out
from neuroalign.alignment.inference.null import Sides, null_scores
from neuroalign.settings.design import Design
from neuroalign.settings.statistics import Inference

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
from null_studies import Network, Story

RIDGE = FoldRidge(np.logspace(-1, 5, 7))


def fitted(study, layers, seed, folder):
    """Scores and predictions of a study without signal, of the activations that a function makes."""
    rng = np.random.default_rng(seed)
    null = study.draw(rng, 1)
    network = Network(layers(rng, null.network.values.shape[1:]), null.network.inputs)
    person = null.people[0]
    made = evaluate(person.fitted, person.events, network, null.design, RIDGE, folder / "partial", "blanks")
    return *made, person.fitted


def test_blanks_are_targets_moved_far_enough(rng):
    observed = rng.standard_normal((50, 3))
    segments = [[Segment(np.arange(30))], [Segment(np.arange(30, 50))]]
    made = draw_blanks(observed, segments)
    assert made.shape == (50, blanks_of(50))
    for blank in made.T[:40]:
        sources = [
            {
                (target, shift)
                for target in range(3)
                for shift in range(stop - start)
                if np.array_equal(np.roll(observed[start:stop, target], shift), blank[start:stop])
            }
            for start, stop in ((0, 30), (30, 50))
        ]
        ((one, shift), (other, later)) = (*sources[0], *sources[1])
        assert one == other
        assert 3 <= shift <= 27
        assert 2 <= later <= 18
    assert len(np.unique(made, axis=1).T) > 500


def test_long_recordings_have_fewer_blanks_and_none_are_drawn_of_nothing(rng):
    assert blanks_of(1000) == 1000 > blanks_of(50_000) > blanks_of(10**7) == 200
    assert draw_blanks(np.empty((30, 0)), [[Segment(np.arange(30))]]).shape == (30, 0)


def test_blanks_leave_the_scores_of_others_alone(planted, tmp_path, monkeypatch):
    given = (planted.responses, planted.events, planted.activations, Design(), RIDGE)
    many, _ = evaluate(*given, tmp_path / "many", "x")
    monkeypatch.setattr(blanks, "MOST", blanks.FEWEST)
    few, _ = evaluate(*given, tmp_path / "few", "x")
    for name in many.data_vars:
        np.testing.assert_allclose(many[name], few[name], atol=1e-5, err_msg=str(name))


def test_layers_that_are_alike_need_a_narrower_null_than_the_model_thinks(tmp_path):
    study = Story(lengths=(40,) * 6, targets=60)

    def alike(rng, shape):
        return rng.standard_normal(shape) + 0.2 * rng.standard_normal((8, *shape))

    def alone(rng, shape):
        return rng.standard_normal((8, *shape))

    near, far = (fitted(study, layers, 0, tmp_path)[1].attrs["width"] for layers in (alike, alone))
    assert np.sqrt(2) <= near < far
    assert near < 0.95 * width(6, 8)


def test_the_width_is_that_of_noise(tmp_path):
    """Of noise that is no blank, in studies of its own, one in twenty targets passes, not more."""
    study, shares = Story(lengths=(60,) * 4, targets=60), []
    for seed in range(6):
        _, predictions, responses = fitted(
            study, lambda rng, shape: rng.standard_normal((4, *shape)), seed, tmp_path
        )
        tested = significance.test(predictions, responses, Inference(permutations=199), seed)
        assert tested.attrs["inference_widened"] == pytest.approx(predictions.attrs["width"])
        shares.append((tested["p"].values <= 0.05).mean())
    assert 0.01 < np.mean(shares) < 0.08


def test_predictions_without_a_width_are_tested_by_the_model_of_layers(planted, tmp_path):
    scores = evaluate(
        planted.responses, planted.events, planted.activations, Design(), RIDGE, tmp_path / "partial", "x"
    )
    predictions = scores[1]
    measured = significance.test(predictions, planted.responses, Inference(permutations=199), 0)
    predictions_width = predictions.attrs.pop("width")
    modelled = significance.test(predictions, planted.responses, Inference(permutations=199), 0)
    assert modelled.attrs["inference_widened"] == pytest.approx(width(4, 4))
    wider = np.sign(width(4, 4) - predictions_width)
    less = wider * (modelled["p"] - measured["p"]).values
    assert (less >= 0)[measured["r_unique"].values > 0.02].all()
    assert (less > 0).any()


def test_noise_of_independent_folds_has_the_spread_of_a_normal_distribution(rng):
    """Predictions that share nothing: the width comes out as its least, √2, and the raw quantile as 1."""
    runs = np.repeat(["a", "b", "c", "d"], 60)
    fold = np.repeat(np.arange(4), 60)
    segments = runs_held_out(fold, runs)
    sides = Sides(*rng.standard_normal((2, 240, 2000)))
    assert blanks.width_of_blanks(sides, np.empty((240, 0)), segments) == pytest.approx(np.sqrt(2))
    doubled = Sides(sides.predicted, np.roll(sides.observed, 1, axis=0) + 0.1 * sides.predicted)
    assert blanks.width_of_blanks(doubled, np.empty((240, 0)), segments) > np.sqrt(2)
    moves = [[rng.integers(0, 60, 99)] for _ in range(4)]
    statistic, null = null_scores(sides, np.empty((240, 0)), segments, moves, 1.0)
    z = np.quantile(statistic / null.std(axis=0), 0.95) / scipy.stats.norm.ppf(0.95)
    assert z == pytest.approx(1, abs=0.07)
