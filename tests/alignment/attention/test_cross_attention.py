"""Cross-attention through the folds of a study: what was planted comes back, and nothing leaks."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest

from neuroalign.alignment.attention import fold as module
from neuroalign.alignment.attention.evaluate import TOGETHER, evaluate_attention
from neuroalign.alignment.attention.fold import FoldAttention, FoldNuisance
from neuroalign.alignment.attention.looked_at import looked_at, read_layers, words_before
from neuroalign.alignment.ceiling.noise_ceiling import ceilings
from neuroalign.alignment.evaluation.evaluate import evaluate
from neuroalign.alignment.group import combine
from neuroalign.alignment.inference import significance
from neuroalign.alignment.layers import summarise
from neuroalign.artefacts.arrays import open_arrays, save_arrays
from neuroalign.errors import DataError
from neuroalign.maps.derivatives import write_maps
from neuroalign.metrics import pearson
from neuroalign.settings.design import Design, Folds
from neuroalign.settings.encoders import CrossAttention
from neuroalign.settings.statistics import Ceiling, Inference

RUNS, N, EACH = 3, 60, 3
KINDS = np.repeat(["block.0", "block.1", "rate", "noise"], EACH)
LAG_S = 4.0
ALPHAS = np.logspace(-2, 4, 7)
QUICK = CrossAttention(window_s=8.0, width=8, embedding=8, steps=30)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def listener(heard):
    return heard()


def run(people, folder, settings=QUICK, design=None, fingerprint="made by this test"):
    """Scores and predictions by subject; what was kept of them is removed."""
    given = {name: (each.responses, each.events) for name, each in people.items()}
    first = next(iter(people.values()))
    found = evaluate_attention(
        given,
        first.activations,
        design or Design(),
        FoldAttention(settings, ALPHAS, 0),
        folder / "partial",
        fingerprint,
    )
    shutil.rmtree(folder / "partial", ignore_errors=True)
    return found


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, heard, one_thread):
    """One listener, fitted for long enough to find what was planted: data, scores and predictions."""
    listener = heard()
    settings = QUICK.model_copy(update={"steps": 200})
    return listener, *run({"01": listener}, tmp_path_factory.mktemp("fit"), settings)["01"]


def control(listener, folder):
    """Scores of the nuisance features alone, and their predictions."""
    given = (listener.responses, listener.events, None, Design(), FoldNuisance(ALPHAS))
    return evaluate(*given, folder / "control", "made by this test")


def mean_of(scores, name, kind):
    """Mean over folds and the targets of a kind."""
    return scores[name].mean("fold").values[..., kind == KINDS].mean(axis=-1)


def test_planted_layers_and_delays_are_found(fitted):
    _, scores, _ = fitted
    assert scores["layer"].values.tolist() == [TOGETHER]
    assert np.isnan(scores["depth"].values).all()
    assert "alpha" not in scores
    for place, kind in enumerate(("block.0", "block.1")):
        assert mean_of(scores, "chosen_r", kind) > 0.4
        importance = mean_of(scores, "importance", kind)
        assert importance[place] > importance[1 - place] + 0.2
        curve = scores["delay"].values[:, kind == KINDS].mean(axis=1)
        assert abs(scores["lag"].values[curve.argmax()] - LAG_S) <= 1
    np.testing.assert_allclose(scores["delay"].sum("lag"), 1, atol=1e-5)
    assert (scores["chosen_layer"].values == 0).all()


def test_the_word_rate_is_the_nuisance_features_own(fitted, tmp_path):
    """What they predict is fitted first and stays: scores compare with those of ridge regression."""
    listener, scores, _ = fitted
    alone, _ = control(listener, tmp_path)
    assert "alpha" not in alone
    assert mean_of(alone, "chosen_r", "rate") > 0.8
    assert mean_of(scores, "chosen_r", "rate") > mean_of(alone, "chosen_r", "rate") - 0.03
    assert abs(mean_of(scores, "chosen_r_unique", "rate")) < 0.15
    assert abs(mean_of(scores, "chosen_r", "noise")) < 0.15


def test_scores_are_those_of_the_held_out_predictions(fitted):
    listener, scores, predictions = fitted
    observed = listener.responses["response"].values
    for number in range(RUNS):
        held = predictions["fold"].values == number
        r = pearson(predictions["prediction"].values[held], observed[held])
        np.testing.assert_allclose(scores["chosen_r"].values[number], r, atol=1e-5)
        inner = predictions["inner_fold"].values == number
        rows = predictions["inner_sample"].values[inner]
        assert not np.isin(rows, np.flatnonzero(held)).any(), "training is stopped by training samples"
        r = pearson(predictions["inner_prediction"].values[inner], observed[rows])
        np.testing.assert_allclose(scores["cv_r"].values[0, number], r, atol=1e-5)


def test_held_out_data_change_nothing_that_is_fitted(listener, tmp_path, rng):
    """Leakage probe: another response and other words in a run leave what its fold learns alone."""
    before = run({"01": listener}, tmp_path)["01"]
    held = listener.responses["run"].values == "run-1"
    other = listener.responses.copy(deep=True)
    other["response"].values[held] = 5 * rng.standard_normal((held.sum(), len(KINDS)))
    words = (listener.events["run"] == "run-1").to_numpy()
    listener.activations.values[:, words] *= 10
    after = run({"01": dataclasses.replace(listener, responses=other)}, tmp_path)["01"]
    fold = 1
    assert before[0]["fold"].values[fold] == "run-1"
    np.testing.assert_array_equal(after[0]["cv_r"].values[0, fold], before[0]["cv_r"].values[0, fold])
    of = before[1]["inner_fold"].values == fold
    for name in ("inner_prediction", "inner_sample"):
        np.testing.assert_array_equal(after[1][name].values[of], before[1][name].values[of])
    assert not np.allclose(after[0]["r"].values[0, fold], before[0]["r"].values[0, fold])


def test_a_killed_job_goes_on_with_the_next_fold(listener, tmp_path, monkeypatch):
    undisturbed = run({"01": listener}, tmp_path)["01"]
    real, calls = FoldAttention.fit_fold, []

    def killed_in_the_third(self, listeners, number, state):
        calls.append(number)
        if calls == [0, 1, 2]:
            raise KeyboardInterrupt
        return real(self, listeners, number, state)

    monkeypatch.setattr(FoldAttention, "fit_fold", killed_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        run({"01": listener}, tmp_path)
    resumed = run({"01": listener}, tmp_path)["01"]
    assert calls == [0, 1, 2, 2]
    for one, other in zip(resumed, undisturbed, strict=True):
        assert one.identical(other)


def test_folds_of_another_fit_are_not_taken_up(listener, tmp_path, monkeypatch):
    real, calls = FoldAttention.fit_fold, []

    def killed_in_the_second(self, listeners, number, state):
        calls.append(number)
        if calls == [0, 1]:
            raise KeyboardInterrupt
        return real(self, listeners, number, state)

    monkeypatch.setattr(FoldAttention, "fit_fold", killed_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        run({"01": listener}, tmp_path, fingerprint="old")
    run({"01": listener}, tmp_path, fingerprint="new")
    assert calls == [0, 1, 0, 1, 2]


def test_a_fold_that_was_killed_goes_on_inside(listener, tmp_path, monkeypatch):
    """Training is taken up where it was; a state of other data is not."""
    from neuroalign.encoders.attention import checkpoint

    monkeypatch.setattr(checkpoint, "APART_S", 0.0)
    undisturbed = run({"01": listener}, tmp_path)["01"]
    real, looked = checkpoint.Checkpoint.evaluated, []

    def killed(self, mean, r):
        real(self, mean, r)
        looked.append(self.step)
        if len(looked) == 10:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.Checkpoint, "evaluated", killed)
    with pytest.raises(KeyboardInterrupt):
        run({"01": listener}, tmp_path)
    assert (tmp_path / "partial" / "made by this test" / "fold-000_state").is_dir()
    resumed = run({"01": listener}, tmp_path)["01"]
    assert looked[10] == looked[9] + 1, "it did not begin anew"
    assert resumed[0].identical(undisturbed[0])
    looked.clear()
    with pytest.raises(KeyboardInterrupt):
        run({"01": listener}, tmp_path)
    other = listener.responses.copy(deep=True)
    other["response"].values[:] += np.linspace(0, 1, RUNS * N)[:, None].astype(np.float32)
    run({"01": dataclasses.replace(listener, responses=other)}, tmp_path)
    assert looked[10] == looked[0], "it began anew"


def test_it_goes_all_the_way_to_maps(fitted, tmp_path):
    listener, scores, predictions = fitted
    alone, _ = control(listener, tmp_path)
    tested = significance.test(predictions, listener.responses, Inference(permutations=99), 0)
    ceiling = ceilings({"01": listener.responses}, listener.events, Ceiling(), 0)["01"]
    for each in (scores, alone):
        each.attrs.update(network="net", encoder="cross_attention")
    one = summarise(scores, alone, tested, ceiling)
    assert one["significant"].values[np.isin(KINDS, ["block.0", "block.1"])].mean() > 0.5
    np.testing.assert_allclose(one["importance"], scores["importance"].mean("fold"), atol=1e-6)
    assert "alpha" not in one.coords
    assert np.isnan(one["best_depth"].values).all()
    assert np.nanmean(one["importance_depth"].values[KINDS == "block.0"]) < 0.4
    assert np.nanmean(one["importance_depth"].values[KINDS == "block.1"]) > 0.6
    save_arrays(one, tmp_path / "one.nc")
    one = open_arrays(tmp_path / "one.nc")
    other = one.copy(deep=True).assign_attrs(subject="02")
    other["importance"] += 0.5
    group = combine([one, other], Inference(permutations=99), 0)
    np.testing.assert_allclose(group["importance"], one["importance"] + 0.25, atol=1e-6)
    np.testing.assert_allclose(group["delay"], one["delay"], atol=1e-6)
    paths = write_maps([one, group], tmp_path / "maps", "a study")
    columns = pd.read_csv(paths[0], sep="\t").columns
    assert {"r", "importanceByLayer:block.1", "importanceDepth", "peakDelay"} <= set(columns)
    assert "bestDepth" not in columns
    silent = summarise(alone, alone, None, ceiling)
    assert "alpha_count" not in silent


def test_words_before_a_sample_are_its_tokens(listener):
    layers = read_layers(["block.1"], listener.activations)
    tokens = words_before(listener.responses, listener.events, layers.values, 8.0)
    events, times = listener.events, listener.responses["time_s"].values
    runs = listener.responses["run"].values
    for sample in (0, 30, N, 2 * N + 59):
        ago = times[sample] - events["onset"].to_numpy()
        wanted = np.flatnonzero((events["run"] == runs[sample]).to_numpy() & (ago >= 0) & (ago < 8))
        index = tokens.index[sample]
        assert index[index >= 0].tolist() == wanted.tolist()
        np.testing.assert_allclose(tokens.positions["block.1"][sample][index >= 0, 0], ago[wanted], atol=1e-5)
    assert tokens.layers["block.1"].dtype == np.float16, "held as they were stored"
    late = listener.events.assign(onset=listener.events["onset"] + 1000)
    with pytest.raises(DataError, match=r"no word began in the 8 s before any sample; look at onsets"):
        words_before(listener.responses, late, layers.values, 8.0)


def test_layers_that_a_network_lacks_are_refused_only_where_none_is_left():
    assert looked_at("all", ["a", "b"]) == [0, 1]
    assert looked_at(["b", "c"], ["a", "b"]) == [1]
    with pytest.raises(DataError, match="have none of block: did you mean"):
        looked_at(["block"], ["block.0", "block.1"])


def test_a_silent_subject_is_reported_and_costs_nothing(listener, tmp_path):
    listener.responses["response"].values[:] = np.nan
    listener.responses["valid"][:] = False
    scores, predictions = run({"01": listener}, tmp_path)["01"]
    assert np.isnan(scores["chosen_r"].values).all()
    assert (scores["chosen_layer"].values == -1).all()
    assert scores["importance"].shape == (2, RUNS, len(KINDS))
    assert "no target that varies" in scores.attrs["warnings"][0]
    assert np.isnan(predictions["prediction"].values).all()


def test_without_nuisance_features_the_training_mean_is_what_they_predict(listener, tmp_path):
    design = Design(nuisance={"word_rate": False})
    scores, _ = run({"01": listener}, tmp_path, design=design)["01"]
    assert np.isfinite(scores["chosen_r"].values).all()
    assert scores.attrs["nuisance"] == []


def test_one_network_for_several(heard, tmp_path):
    people = {name: heard(seed, name) for seed, name in enumerate(("01", "02"))}
    people["03"] = heard(3, "03")
    people["03"].responses["valid"][:] = False
    found = run(people, tmp_path, QUICK.model_copy(update={"universal": True}))
    assert list(found) == ["01", "02", "03"]
    for name, (scores, predictions) in found.items():
        assert scores.attrs["subject"] == predictions.attrs["subject"] == name
        assert scores.attrs["universal"] == 1
    assert np.isnan(found["03"][0]["chosen_r"].values).all()
    alone = run({"01": people["01"]}, tmp_path)["01"][0]
    assert not np.allclose(alone["chosen_r"], found["01"][0]["chosen_r"]), "they share a network"


def test_subjects_of_one_network_hold_out_the_same(heard, tmp_path):
    people = {name: heard(0, name) for name in ("01", "02")}
    swapped = {"run-0": "run-1", "run-1": "run-0", "run-2": "run-2"}
    crossed = people["02"].events.assign(run=people["02"].events["run"].map(swapped))
    crossed = crossed.sort_values(["run", "onset"]).reset_index(drop=True)
    people["02"] = dataclasses.replace(people["02"], events=crossed)
    with pytest.raises(DataError, match="that fold run-0 holds out of one subject are in the training data"):
        run(people, tmp_path)
    run(people, tmp_path, design=Design(folds=Folds(shared_items="allow")))
    fewer = people["01"].responses.isel(sample=slice(0, 2 * N))
    people["02"] = dataclasses.replace(people["01"], responses=fewer)
    with pytest.raises(DataError, match="sub-02 holds out run-0, run-1, sub-01 run-0, run-1, run-2"):
        run(people, tmp_path)


def test_a_gpu_is_used_where_there_is_one(monkeypatch):
    import torch

    for there, place in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert module._device("auto") == place
    assert module._device("cuda") == "cuda"
