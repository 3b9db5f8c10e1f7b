"""Banded ridge through nested cross-validation: what is parted is what was planted, and nothing leaks."""

from __future__ import annotations

import numpy as np
import pytest

from neuroalign import metrics
from neuroalign.alignment.ceiling.noise_ceiling import ceilings
from neuroalign.alignment.evaluation.evaluate import evaluate
from neuroalign.alignment.fitting.banded_ridge import FoldBandedRidge
from neuroalign.alignment.fitting.partition import PARTS, PRODUCT, WEIGHT, partition
from neuroalign.alignment.fitting.ridge import FoldRidge
from neuroalign.alignment.group import combine
from neuroalign.alignment.inference import significance
from neuroalign.alignment.layers import summarise
from neuroalign.design.folds import Fold
from neuroalign.settings.design import Design
from neuroalign.settings.statistics import Ceiling, Inference

ALPHAS = np.logspace(-2, 4, 13)
BANDED = FoldBandedRidge(ALPHAS, candidates=8, seed=0)
N, KINDS, EACH = 480, ("network", "nuisance", "common", "noise"), 25


def block_fold(held: int = 3, blocks: int = 4) -> Fold:
    """A quarter of the samples held out; the others in three inner folds."""
    group = np.arange(N) * blocks // N
    train = np.flatnonzero(group != held)
    inner = [
        (np.flatnonzero(group[train] != g), np.flatnonzero(group[train] == g)) for g in set(group[train])
    ]
    return Fold("held", train, np.flatnonzero(group == held), tuple(inner))


def planted_bands(seed: int, noise: float = 1.0):
    """Two nuisance features of their own and two that the network has too; targets of four kinds.

    Returns responses (n_samples, n_targets), nuisance, network, and the kind of every target.
    """
    rng = np.random.default_rng(seed)
    own, common, network_own = rng.standard_normal((3, N, 2))
    nuisance = np.concatenate([own, common], axis=1)
    more = rng.standard_normal((N, 20))
    network = np.concatenate([network_own, common, more], axis=1)
    sources = {"network": network_own, "nuisance": own, "common": common, "noise": np.zeros((N, 2))}
    signal = [source @ rng.uniform(0.5, 1.0, (2, EACH)) for source in sources.values()]
    observed = np.concatenate(signal, axis=1) + noise * rng.standard_normal((N, EACH * len(KINDS)))
    return observed.astype(np.float32), nuisance, network, np.repeat(KINDS, EACH)


@pytest.fixture(scope="module")
def parted():
    """One fold of planted bands: the fit, what went in, and the kinds of the targets."""
    observed, nuisance, network, kind = planted_bands(0)
    fold = block_fold()
    return BANDED.fit_fold(observed, nuisance, network, fold), (observed, nuisance, network, fold), kind


def test_every_kind_of_target_is_credited_to_its_source(parted):
    fitted, _, kind = parted
    mean = {name: {k: fitted.extras[name][kind == k].mean() for k in KINDS} for name in PARTS}
    assert mean["unique_network"]["network"] > 0.4
    assert abs(mean["unique_nuisance"]["network"]) < 0.02
    assert abs(mean["shared"]["network"]) < 0.03
    assert mean["unique_nuisance"]["nuisance"] > 0.4
    assert abs(mean["unique_network"]["nuisance"]) < 0.02
    assert mean["shared"]["common"] > 0.4
    assert abs(mean["unique_network"]["common"]) < 0.02
    assert abs(mean["unique_nuisance"]["common"]) < 0.05


def test_the_weight_of_the_network_goes_where_it_predicts(parted):
    """Targets may share their weights, so either kind is fitted by itself."""
    _, (observed, nuisance, network, fold), kind = parted
    weight = {}
    for source in ("network", "nuisance"):
        fitted = BANDED.fit_fold(observed[:, kind == source], nuisance, network, fold)
        weight[source] = fitted.extras[WEIGHT]
    assert all(((each >= 0) & (each <= 1)).all() for each in weight.values())
    assert weight["network"].mean() > weight["nuisance"].mean() + 0.3


def test_the_product_measure_credits_the_source(parted):
    fitted, _, kind = parted
    for source in ("network", "nuisance"):
        other = {"network": "nuisance", "nuisance": "network"}[source]
        assert fitted.extras[f"product_{source}"][kind == source].mean() > 0.4
        assert abs(fitted.extras[f"product_{other}"][kind == source].mean()) < 0.03


def test_both_splits_add_up_to_r_squared(parted):
    fitted, (observed, _, _, fold), _ = parted
    r2 = metrics.r_squared(fitted.predicted, observed[fold.test], observed[fold.train].mean(axis=0))
    np.testing.assert_allclose(sum(fitted.extras[name] for name in PARTS), r2, atol=1e-6)
    np.testing.assert_allclose(sum(fitted.extras[name] for name in PRODUCT), r2, atol=1e-4)


def test_what_the_network_adds_is_measured_against_the_control(parted):
    """The nuisance model of the partition is the control that goes through the same folds."""
    fitted, (observed, nuisance, _, fold), _ = parted
    control = BANDED.fit_fold(observed, nuisance, None, fold)
    plain = FoldRidge(ALPHAS).fit_fold(observed, nuisance, None, fold)
    np.testing.assert_array_equal(control.predicted, plain.predicted)
    held, reference = observed[fold.test], observed[fold.train].mean(axis=0)
    both, alone = (metrics.r_squared(each.predicted, held, reference) for each in (fitted, control))
    np.testing.assert_allclose(fitted.extras["unique_network"], both - alone, atol=1e-12)


def test_parts_of_noise_are_not_above_zero_on_average():
    """Held-out, so that features which only fit noise cost; clipped at zero, the mean would be positive."""
    found = []
    for seed in range(8):
        observed, nuisance, network, kind = planted_bands(seed)
        fitted = BANDED.fit_fold(observed, nuisance, network, block_fold(seed % 4))
        found.append([fitted.extras[name][kind == "noise"] for name in ("unique_network", "unique_nuisance")])
    # Targets of one study share its features, so the studies are the units.
    means = np.mean(found, axis=2)
    error = means.std(axis=0, ddof=1) / np.sqrt(len(means))
    assert (means.mean(axis=0) <= 2 * error).all()
    assert (means.mean(axis=0) > -0.02).all()
    assert (np.maximum(found, 0).mean(axis=(0, 2)) > means.mean(axis=0)).all()


def test_the_parts_are_those_of_three_models():
    rng = np.random.default_rng(0)
    both, network, nuisance = rng.standard_normal((3, 5, 7))
    parts = partition(both, network, nuisance)
    assert tuple(parts) == PARTS
    np.testing.assert_allclose(sum(parts.values()), both)
    np.testing.assert_allclose(parts["unique_network"] + parts["shared"], network)
    np.testing.assert_allclose(parts["unique_nuisance"] + parts["shared"], nuisance)


def run(planted, folder, activations="network", responses=None):
    return evaluate(
        planted.responses if responses is None else responses,
        planted.events,
        planted.activations if activations == "network" else activations,
        Design(),
        BANDED,
        folder / "partial",
        "made by this test",
    )


def test_planted_layers_and_word_rate_are_parted(planted, tmp_path):
    scores, _ = run(planted, tmp_path)
    layer, rate, silent = planted.layer, planted.layer == -1, planted.layer == -2
    assert scores.attrs["candidates"] == 8
    means = scores.mean("fold")
    for number in range(4):
        here = layer == number
        best = means["unique_network"].values[:, here].mean(axis=1)
        assert best.argmax() == number
        assert best[number] > 0.2
        assert abs(means["chosen_unique_nuisance"].values[here].mean()) < 0.03
    assert abs(means["chosen_unique_network"].values[rate].mean()) < 0.03
    assert means["chosen_unique_nuisance"].values[rate].mean() > 0.2
    assert means["chosen_unique_network"].values[silent].mean() < 0.005
    total = sum(scores[name] for name in PARTS)
    np.testing.assert_allclose(total, scores["r2"], atol=1e-5)
    np.testing.assert_allclose(
        sum(scores[f"chosen_{name}"] for name in PARTS), scores["chosen_r2"], atol=1e-5
    )


def test_the_control_has_no_parts(planted, tmp_path):
    control, _ = run(planted, tmp_path, activations=None)
    assert not {*PARTS, *PRODUCT, WEIGHT} & set(control.data_vars)
    assert {"r", "r2", "alpha", "cv_r", "chosen_r"} <= set(control.data_vars)


def test_parts_reach_the_summary_and_the_group(planted, tmp_path):
    scores, predictions = run(planted, tmp_path)
    control, _ = run(planted, tmp_path, activations=None)
    tested = significance.test(predictions, planted.responses, Inference(permutations=99), 0)
    ceiling = ceilings({"01": planted.responses}, planted.events, Ceiling(), 0)["01"]
    for each in (scores, control):
        each.attrs.update(network="net", encoder="banded_ridge")
    one = summarise(scores, control, tested, ceiling)
    for name in (*PARTS, *PRODUCT, WEIGHT):
        np.testing.assert_allclose(one[name], scores[name].mean("fold"), atol=1e-6)
        np.testing.assert_allclose(one[f"chosen_{name}"], scores[f"chosen_{name}"].mean("fold"), atol=1e-6)
    other = one.copy(deep=True)
    other["chosen_unique_network"] += 0.2
    group = combine([one, other], Inference(permutations=99), 0)
    np.testing.assert_allclose(group["chosen_unique_network"], one["chosen_unique_network"] + 0.1, atol=1e-6)
    np.testing.assert_allclose(group["shared"], one["shared"], atol=1e-6)
    assert PARTS[0] not in combine([summarise(control, control, None, ceiling)] * 2, Inference(), 0)


def test_held_out_data_change_no_choice_of_their_fold(planted, tmp_path, rng):
    """Leakage probe: other responses and activations in a run leave the choices of its fold alone."""
    before, _ = run(planted, tmp_path)
    held = planted.responses["run"].values == "run-2"
    other = planted.responses.copy(deep=True)
    other["response"].values[held] = rng.standard_normal((held.sum(), len(planted.layer)))
    words = (planted.events["run"] == "run-2").to_numpy()
    planted.activations.values[:, words] *= rng.standard_normal((words.sum(), 1)) * 10
    after, _ = run(planted, tmp_path, responses=other)
    for name in ("alpha", WEIGHT, "cv_r", "chosen_layer"):
        np.testing.assert_array_equal(after[name].sel(fold="run-2"), before[name].sel(fold="run-2"))
    assert not np.allclose(
        after["unique_network"].sel(fold="run-2"), before["unique_network"].sel(fold="run-2")
    )


def test_a_silent_subject_keeps_the_shape_of_the_others(planted, tmp_path):
    planted.responses["response"].values[:] = np.nan
    planted.responses["valid"][:] = False
    scores, _ = run(planted, tmp_path)
    assert set(PARTS) <= set(scores.data_vars)
    assert np.isnan(scores["chosen_unique_network"].values).all()
