"""Nested cross-validation finds the planted layers, looks at nothing it should not, and resumes."""

import numpy as np
import pytest

from neuroalign.alignment.ceiling.noise_ceiling import ceilings
from neuroalign.alignment.evaluation import evaluate as module
from neuroalign.alignment.evaluation.evaluate import evaluate
from neuroalign.alignment.fitting.fold import fit_widening
from neuroalign.alignment.fitting.ridge import FoldRidge
from neuroalign.alignment.inference import significance
from neuroalign.alignment.layers import summarise
from neuroalign.artefacts.arrays import open_arrays, save_arrays
from neuroalign.encoders.ridge import RidgeEncoder
from neuroalign.errors import DataError
from neuroalign.metrics import pearson
from neuroalign.settings.design import Design, Folds
from neuroalign.settings.statistics import Ceiling, Inference

RIDGE = FoldRidge(np.logspace(-2, 4, 13))


def run(planted, tmp_path, activations="network", settings=None, events=None, responses=None):
    return evaluate(
        planted.responses if responses is None else responses,
        planted.events if events is None else events,
        planted.activations if activations == "network" else activations,
        settings or Design(),
        RIDGE,
        tmp_path / "partial",
        "made by this test",
    )


def summary(planted, tmp_path):
    scores, predictions = run(planted, tmp_path)
    nuisance, _ = run(planted, tmp_path, activations=None)
    tested = significance.test(predictions, planted.responses, Inference(permutations=299), 0)
    ceiling = ceilings({"01": planted.responses}, planted.events, Ceiling(), 0)["01"]
    return summarise(scores, nuisance, tested, ceiling)


def test_planted_layers_are_found_and_nothing_else_is_credited(planted, tmp_path):
    result = summary(planted, tmp_path)
    driven = planted.layer >= 0
    assert (result["best_layer"].values[driven] == planted.layer[driven]).mean() >= 0.95
    assert result["significant"].values[driven].all()
    assert np.corrcoef(result["centroid"].values[driven], planted.layer[driven])[0, 1] > 0.95
    rate, silent = planted.layer == -1, planted.layer == -2
    assert result["nuisance_r"].values[rate].min() > 0.4
    assert result["significant"].values[rate | silent].mean() <= 0.07
    assert abs(result["chosen_r_unique"].values[rate | silent].mean()) < 0.05
    assert result["chosen_r"].values[rate].mean() > result["nuisance_r"].values[rate].mean() - 0.05
    assert result["stability"].values[driven].min() > 0.7
    assert result["alpha_count"].sum() == len(planted.layer) * 4


def test_scores_are_those_of_the_held_out_predictions(planted, tmp_path):
    scores, predictions = run(planted, tmp_path)
    observed = planted.responses["response"].values
    for number in range(4):
        held = predictions["fold"].values == number
        r = pearson(predictions["prediction"].values[held], observed[held])
        np.testing.assert_allclose(scores["chosen_r"].values[number], r, atol=1e-5)


def test_held_out_data_change_nothing_but_their_own_scores(planted, tmp_path, rng):
    """Leakage probe: other responses and activations in a run leave the choices of its fold alone."""
    before, _ = run(planted, tmp_path)
    held = planted.responses["run"].values == "run-2"
    other = planted.responses.copy(deep=True)
    other["response"].values[held] = rng.standard_normal((held.sum(), len(planted.layer)))
    words = (planted.events["run"] == "run-2").to_numpy()
    planted.activations.values[:, words] *= rng.standard_normal((words.sum(), 1)) * 10
    after, _ = run(planted, tmp_path, responses=other)
    for name in ("alpha", "cv_r", "chosen_layer"):
        np.testing.assert_array_equal(after[name].sel(fold="run-2"), before[name].sel(fold="run-2"))
    assert not np.allclose(after["r"].sel(fold="run-2"), before["r"].sel(fold="run-2"))


def test_the_best_layer_of_noise_is_not_rewarded(planted, tmp_path):
    scores, _ = run(planted, tmp_path)
    silent = planted.layer == -2
    assert scores["r"].max("layer").values[:, silent].mean() > 0.03
    assert abs(scores["chosen_r"].values[:, silent].mean()) < 0.03


def test_a_killed_fit_goes_on_and_ends_the_same(planted, tmp_path, monkeypatch):
    undisturbed, predictions = run(planted, tmp_path)
    real, calls = module._fit_layer, []

    def killed_in_the_third(task, activations, number, partial):
        calls.append(number)
        if number == 2 and calls.count(2) == 1:
            raise KeyboardInterrupt
        return real(task, activations, number, partial)

    monkeypatch.setattr(module, "_fit_layer", killed_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        run(planted, tmp_path)
    resumed, again = run(planted, tmp_path)
    assert calls == [0, 1, 2, 2, 3]
    assert resumed.identical(undisturbed)
    assert again.identical(predictions)
    assert not (tmp_path / "partial").exists()


def test_layers_of_another_fit_are_not_taken_up(planted, tmp_path, monkeypatch):
    evaluate_as = lambda name: evaluate(  # noqa: E731
        planted.responses, planted.events, planted.activations, Design(), RIDGE, tmp_path / "partial", name
    )
    monkeypatch.setattr(module, "_chosen_predictions", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        evaluate_as("old")
    seen = []
    real = module._fit_layer
    monkeypatch.setattr(module, "_fit_layer", lambda *args: (seen.append(args[2]), real(*args))[1])
    with pytest.raises(KeyboardInterrupt):
        evaluate_as("new")
    assert seen == [0, 1, 2, 3]


def test_equal_runs_are_held_out_together(planted, tmp_path):
    planted.activations.inputs[200:400] = planted.activations.inputs[:200]
    scores, _ = run(planted, tmp_path)
    assert list(scores["fold"].values) == ["run-0+run-1", "run-2", "run-3"]


def test_shared_stimuli_are_refused_unless_allowed(planted, tmp_path):
    planted.activations.inputs[:] = np.tile(np.arange(8, dtype=np.uint64), 100)
    with pytest.raises(DataError, match="shared_items: allow"):
        run(planted, tmp_path)
    scores, _ = run(planted, tmp_path, settings=Design(folds=Folds(shared_items="allow")))
    assert "8 of 8 stimuli stand in both" in scores.attrs["warnings"][0]


def test_a_stimulus_repeated_across_blocks_is_refused(planted, tmp_path):
    blocks = Design(folds=Folds(by="block", n=4, gap_s=8.0))
    run(planted, tmp_path, settings=blocks)
    planted.activations.inputs[150] = planted.activations.inputs[3]
    with pytest.raises(DataError, match="1 stimuli stand in both"):
        run(planted, tmp_path, settings=blocks)


def test_silent_targets_keep_their_place(planted, tmp_path):
    planted.responses["response"].values[:, 4] = np.nan
    planted.responses["valid"][4] = False
    result = summary(planted, tmp_path)
    assert result.attrs["n_excluded"] == 1
    assert result["best_layer"].values[4] == -1
    assert np.isnan(
        [result[name].values[4] for name in ("chosen_r", "centroid", "best_depth", "p", "stability")]
    ).all()
    assert np.isfinite(result["chosen_r"].values[5:]).all()


def test_a_silent_subject_is_reported_and_costs_nothing(planted, tmp_path):
    planted.responses["response"].values[:] = np.nan
    planted.responses["valid"][:] = False
    result = summary(planted, tmp_path)
    assert result.attrs["n_valid"] == 0
    assert "no target that varies" in result.attrs["warnings"][0]
    save_arrays(result, tmp_path / "summary.nc")
    assert open_arrays(tmp_path / "summary.nc").attrs["n_valid"] == 0


def test_scores_survive_the_disk_and_equal_scores_give_equal_bytes(planted, tmp_path):
    for name in ("one", "two"):
        scores, _ = run(planted, tmp_path)
        save_arrays(scores, tmp_path / f"{name}.nc")
    assert (tmp_path / "one.nc").read_bytes() == (tmp_path / "two.nc").read_bytes()
    assert open_arrays(tmp_path / "one.nc")["r"].equals(scores["r"])


def test_a_grid_that_is_too_high_is_widened(rng):
    X = rng.standard_normal((120, 10))
    Y = X @ rng.standard_normal((10, 20)) + 0.1 * rng.standard_normal((120, 20))
    folds = [(np.arange(60), np.arange(60, 120)), (np.arange(60, 120), np.arange(60))]
    encoder = fit_widening(lambda grid: RidgeEncoder(grid, folds).fit(X, Y), [1e3, 1e4, 1e5])
    assert min(encoder.alphas) < 10
    assert (encoder.best_alphas_ < 100).all()
    np.testing.assert_allclose(np.diff(np.log10(encoder.alphas)), 1)


def test_noise_does_not_widen_the_grid(rng):
    folds = [(np.arange(30), np.arange(30, 60)), (np.arange(30, 60), np.arange(30))]
    X, Y = rng.standard_normal((60, 5)), rng.standard_normal((60, 50))
    encoder = fit_widening(lambda grid: RidgeEncoder(grid, folds).fit(X, Y), [1.0, 1e3, 1e8])
    assert len(encoder.alphas) <= 5
