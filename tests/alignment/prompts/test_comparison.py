"""Prompts beside each other: planted preferences come back, and noise prefers nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neuroalign import metrics
from neuroalign.alignment.evaluation.evaluate import evaluate
from neuroalign.alignment.fitting.ridge import FoldRidge
from neuroalign.alignment.prompts.comparison import Condition, combine_prompts, compare_prompts, preferences
from neuroalign.alignment.prompts.partition import BandSettings
from neuroalign.artefacts.arrays import build_responses
from neuroalign.design.features import design_subject
from neuroalign.errors import DataError
from neuroalign.settings.design import Design
from neuroalign.settings.statistics import Inference

PROMPTS = ("describe", "count", "feel")
RUNS, N, WORDS, UNITS, LAYERS, EACH = 4, 100, 160, 4, 2, 6
KINDS = np.repeat([*PROMPTS, "shared", "rate", "noise"], EACH)
ALPHAS = np.logspace(-2, 4, 7)
TESTS = Inference(permutations=199)
BANDS = BandSettings(ALPHAS, 8, 0)


def planted(make_layers, seed: int = 0, subject: str = "01", signal: float = 1.0):
    """Responses of which targets follow one prompt's own units in layer 1, those of all, or nothing."""
    shared, own = np.random.default_rng(5), np.random.default_rng(seed)
    n_words = RUNS * WORDS
    inputs = np.arange(n_words, dtype=np.uint64)
    same = shared.standard_normal((LAYERS, n_words, UNITS))
    stores, unique = {}, {}
    for place, name in enumerate(PROMPTS):
        unique[name] = shared.standard_normal((LAYERS, n_words, UNITS))
        stores[name] = make_layers(np.concatenate([same, unique[name]], axis=2), inputs + place * n_words)
    unique["shared"] = same
    events = pd.DataFrame(
        {
            "subject": subject,
            "run": np.repeat([f"run-{place}" for place in range(RUNS)], WORDS),
            "onset": np.sort(shared.uniform(0, N * 2 - 8, (RUNS, WORDS)), axis=1).ravel(),
            "duration": 0.3,
            "item": np.arange(n_words),
        }
    )
    samples = pd.DataFrame(
        {
            "run": np.repeat([f"run-{place}" for place in range(RUNS)], N),
            "time_s": np.tile(np.arange(N) * 2.0, RUNS),
        }
    )
    names = pd.DataFrame({"name": [f"{kind} {place}" for place, kind in enumerate(KINDS)]})
    noise = own.standard_normal((RUNS * N, len(KINDS)))

    def label(data):
        made = build_responses(
            data, samples, names, subject=subject, kind="parcels", tr=2.0, high_pass_hz=0.0
        )
        made["confound_value"] = (("sample", "confound"), np.empty((RUNS * N, 0), np.float32))
        return made

    design = design_subject(label(noise), events, Design())
    driven = np.zeros_like(noise)
    for target, kind in enumerate(KINDS):
        if kind in unique:
            driven[:, target] = design.features(unique[kind][1]) @ shared.standard_normal(UNITS * 4)
        elif kind == "rate":
            driven[:, target] = design.nuisance @ shared.uniform(0.5, 1, design.nuisance.shape[1])
    scale = np.where(driven.std(axis=0) > 0, driven.std(axis=0), 1)
    return label(signal * driven / scale + noise), events, stores


def compared(responses, events, stores, partial, design=None, **keys):
    design = design or Design()
    conditions = {}
    for name, store in stores.items():
        scores, predictions = evaluate(
            responses, events, store, design, FoldRidge(ALPHAS), partial / name, "x"
        )
        conditions[name] = Condition(f"{name}!", scores, predictions, store)
    found = compare_prompts(responses, events, conditions, design, keys.pop("tests", TESTS), BANDS, **keys)
    return found.assign_attrs(network="net", encoder="ridge"), conditions


@pytest.fixture(scope="module")
def found(make_layers, tmp_path_factory):
    study = planted(make_layers)
    return (*compared(*study, tmp_path_factory.mktemp("partial")), study)


def test_targets_prefer_the_prompt_that_drives_them(found):
    comparison, _, _ = found
    assert comparison["prompt"].values.tolist() == list(PROMPTS)
    assert comparison["text"].values.tolist() == ["describe!", "count!", "feel!"]
    for place, name in enumerate(PROMPTS):
        here = comparison.sel(target=name == KINDS)
        assert (here["preferred"].values == place).all()
        assert here["significant"].values.all()
        assert (here["margin"].values > 0.1).all()
        assert (here["stability"].values == 1).all()
        np.testing.assert_allclose(here["preferred_r"], here["r"][place], atol=1e-6)
    for kind in ("rate", "noise"):
        assert comparison["significant"].values[kind == KINDS].mean() <= 0.2


def test_unique_variance_goes_to_the_prompt_that_drives_a_target(found):
    comparison, _, _ = found
    unique = {
        kind: comparison["unique"].values[:, kind == KINDS].mean(axis=1) for kind in dict.fromkeys(KINDS)
    }
    for place, name in enumerate(PROMPTS):
        assert unique[name][place] > 0.25
        assert (np.abs(np.delete(unique[name], place)) < 0.03).all()
    shared = {kind: float(comparison["shared"].values[kind == KINDS].mean()) for kind in dict.fromkeys(KINDS)}
    assert shared["shared"] > 0.25
    # What the prompts cost where they help nothing is theirs together.
    assert all(-0.1 < value < 0.04 for kind, value in shared.items() if kind != "shared")
    assert (np.abs(unique["shared"]) < 0.03).all()
    nuisance = comparison["nuisance_r2"].values
    assert nuisance[KINDS == "rate"].mean() > 0.25
    assert np.abs(nuisance[KINDS == "shared"]).max() < 0.1


def test_parts_add_up(found):
    comparison, _, _ = found
    total = comparison["nuisance_r2"] + comparison["shared"] + comparison["unique"].sum("prompt")
    np.testing.assert_allclose(total, comparison["r2"], atol=1e-5)


def test_unique_agrees_with_a_second_implementation(found):
    """Plain ridge with all bands at one weight, at the penalty that suits each model best."""
    comparison, _, (responses, events, stores) = found
    design = design_subject(responses, events, Design())
    runs, observed = responses["run"].values, responses["response"].values

    def r2(names, alpha):
        bands = [design.nuisance, *(design.features(stores[name].values[1]) for name in names)]
        features, out = np.concatenate(bands, axis=1), []
        for run in np.unique(runs):
            train, test = runs != run, runs == run
            x = (features - features[train].mean(0)) / features[train].std(0)
            reference = observed[train].mean(0)
            gram = x[train].T @ x[train] + alpha * np.eye(x.shape[1])
            weights = np.linalg.solve(gram, x[train].T @ (observed[train] - reference))
            out.append(metrics.r_squared(x[test] @ weights + reference, observed[test], reference))
        return np.mean(out, axis=0)

    def best(names):
        return np.max([r2(names, alpha) for alpha in (10, 30, 100, 300)], axis=0)

    whole = best(PROMPTS)
    for place, name in enumerate(PROMPTS):
        truth = whole - best([other for other in PROMPTS if other != name])
        assert np.corrcoef(truth, comparison["unique"].values[place])[0, 1] > 0.95
        assert np.abs(truth - comparison["unique"].values[place]).mean() < 0.05


def test_noise_prefers_no_prompt_and_has_no_unique_part(make_layers, tmp_path):
    preferred, unique, passed = [], [], []
    for seed in range(3):
        responses, events, stores = planted(make_layers, 100 + seed, signal=0.0)
        comparison, _ = compared(responses, events, stores, tmp_path / str(seed))
        preferred.append(np.bincount(comparison["preferred"].values, minlength=3) / len(KINDS))
        unique.append(comparison["unique"].values.mean(axis=1))
        passed.append((comparison["p"].values < 0.05).mean())
    # Each prompt is preferred as often as by chance, give or take what 108 targets allow.
    assert (np.abs(np.mean(preferred, axis=0) - 1 / 3) < 0.12).all()
    assert np.abs(np.mean(unique, axis=0)).max() < 0.01
    assert np.mean(unique) < 0.002
    assert np.mean(passed) < 0.1


def test_the_held_out_data_have_no_say():
    rng = np.random.default_rng(0)

    def scores(inner):
        shape = (2, 3, 50)
        held = rng.standard_normal(shape[1:])
        return xr.Dataset(
            {"cv_r": (("layer", "fold", "target"), inner), "chosen_r": (("fold", "target"), held)}
        )

    inner = rng.standard_normal((2, 2, 3, 50))
    before = preferences([scores(each) for each in inner])
    after = preferences([scores(each) for each in inner])
    for name in ("preferred", "chosen", "margin", "stability", "train_r"):
        np.testing.assert_array_equal(before[name], after[name])
    assert not np.allclose(before["preferred_r"], after["preferred_r"])
    # By hand, for one target.
    best = inner[:, :, :, 7].max(axis=1)
    assert before["chosen"][:, 7].tolist() == (best[1] > best[0]).astype(int).tolist()
    assert before["preferred"][7] == int(best[1].mean() > best[0].mean())
    assert before["margin"][7] == pytest.approx(abs(best[1].mean() - best[0].mean()))


def test_the_group_prefers_what_its_subjects_do(make_layers, tmp_path):
    people = []
    for seed, subject in enumerate(("01", "02", "03")):
        responses, events, stores = planted(make_layers, seed, subject)
        people.append(compared(responses, events, stores, tmp_path / subject)[0])
    group = combine_prompts(people, TESTS, 0)
    assert (group.attrs["subject"], group.attrs["group_method"]) == ("group", "stouffer")
    for place, name in enumerate(PROMPTS):
        assert (group["preferred"].values[name == KINDS] == place).all()
        assert group["significant"].values[name == KINDS].all()
        assert (group["stability"].values[name == KINDS] == 1).all()
    expected = np.mean([one["unique"].values for one in people], axis=0)
    np.testing.assert_allclose(group["unique"], expected, atol=1e-6)


def test_targets_that_are_not_valid_stay_empty(make_layers, tmp_path):
    responses, events, stores = planted(make_layers)
    data = responses["response"].values.copy()
    data[:, 3] = 1.0
    constant = build_responses(
        data,
        pd.DataFrame({"run": responses["run"].values, "time_s": responses["time_s"].values}),
        pd.DataFrame({"name": responses["name"].values}),
        **{key: responses.attrs[key] for key in ("subject", "kind", "tr", "high_pass_hz")},
    )
    constant["confound_value"] = responses["confound_value"]
    comparison, _ = compared(constant, events, stores, tmp_path)
    assert comparison["preferred"].values[3] == -1
    assert np.isnan(comparison["unique"].values[:, 3]).all()
    assert not comparison["significant"].values[3]
    assert comparison["preferred"].values[0] == 0


def test_prompts_of_other_folds_are_refused(found):
    _, conditions, (responses, events, _) = found
    other = dict(conditions)
    scores = other["feel"].scores.assign_coords(fold=["a", "b", "c", "d"])
    other["feel"] = Condition("feel!", scores, other["feel"].predictions, other["feel"].activations)
    with pytest.raises(DataError, match="sub-01: the prompts were scored through different folds"):
        compare_prompts(responses, events, other, Design(), TESTS, BANDS)
