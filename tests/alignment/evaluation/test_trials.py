"""Trials: folds by item, ceilings of repeats, and p-values that are nominal where there is nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from neuroalign.alignment.ceiling.noise_ceiling import ceilings
from neuroalign.alignment.ceiling.repeats import repeat_ceiling
from neuroalign.alignment.evaluation.evaluate import evaluate
from neuroalign.alignment.evaluation.held_out import held_out, sample_of_event
from neuroalign.alignment.fitting.ridge import FoldRidge
from neuroalign.alignment.inference import moves, null, significance
from neuroalign.artefacts.arrays import build_responses
from neuroalign.design.features import design_subject
from neuroalign.design.trials import AVERAGED, average_repeats, trial_events, with_contents
from neuroalign.errors import DataError
from neuroalign.settings.design import Design, Folds, Nuisance
from neuroalign.settings.statistics import Ceiling, Inference

BY_ITEM = Design(folds=Folds(by="item", n=4), nuisance=Nuisance(word_rate=False))
RIDGE = FoldRidge(np.logspace(-2, 4, 7))


def shown(rng, n_items=80, repeats=(3,), runs=4, subject="01"):
    """Events of items shown up to three times, in random order over some runs."""
    counts = np.resize(repeats, n_items)
    order = rng.permutation(np.repeat(np.arange(n_items), counts))
    of_run = np.sort(np.arange(len(order)) % runs)
    onset = np.concatenate([4.0 * np.arange((of_run == run).sum()) for run in range(runs)])
    contents = np.random.default_rng(3).permutation(n_items)
    return pd.DataFrame(
        {
            "subject": subject,
            "run": [f"run-{run + 1}" for run in of_run],
            "onset": onset,
            "duration": 3.0,
            "item": order,
            "content": contents[order],
        }
    )


def respond(events, data, subject="01"):
    """Responses to these events, in their order."""
    samples = events[["run"]].assign(time_s=events.groupby("run").cumcount().astype(float))
    targets = pd.DataFrame({"name": [f"t{place}" for place in range(data.shape[1])]})
    found = build_responses(data, samples, targets, subject=subject, kind="parcels")
    return found.assign_attrs(samples="trials")


def planted(rng, strength, n_targets=40, units=6, **given):
    """Trials of which the first half of targets follow layer 0 of two, the others nothing."""
    events = shown(rng, **given)
    n_items = events["item"].max() + 1
    values = rng.standard_normal((2, n_items, units))
    tuning = rng.standard_normal((units, n_targets))
    signal = values[0] @ tuning / np.sqrt(units) * (np.arange(n_targets) < n_targets // 2) * strength
    noise = rng.standard_normal((len(events), n_targets))
    return events, values, signal, respond(events, signal[events["item"]] + noise)


def test_a_trial_shows_the_event_of_its_place_in_the_run(rng):
    events = shown(rng)
    responses = respond(events, rng.standard_normal((len(events), 2)))
    mixed = events.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(trial_events(responses, mixed), events)
    np.testing.assert_array_equal(sample_of_event(mixed, responses), mixed.index)
    design = design_subject(responses, mixed, BY_ITEM)
    values = rng.standard_normal((80, 3))
    np.testing.assert_allclose(design.features(values), values[events["item"]], rtol=1e-6)


def test_as_many_trials_as_events_are_asked_for(rng):
    events = shown(rng)
    responses = respond(events, rng.standard_normal((len(events), 2)))
    with pytest.raises(DataError, match=r"run-1: 60 trials but 59 events"):
        design_subject(responses, events.drop(index=3), BY_ITEM)


def test_folds_by_item_keep_repeats_and_subjects_together(rng, make_layers):
    folds, contents = {}, {}
    for subject, n_items in (("01", 80), ("02", 50)):
        events = shown(rng, n_items=n_items, subject=subject)
        events["content"] = events["item"]
        responses = respond(events, rng.standard_normal((len(events), 2)), subject)
        layers = make_layers(np.zeros((1, 80, 2)), np.arange(80, dtype=np.uint64))
        folds[subject], warnings = held_out(responses, events, layers, BY_ITEM, 0.0)
        contents[subject] = events["content"].to_numpy()
        assert not warnings
    for subject, found in folds.items():
        seen = contents[subject]
        np.testing.assert_array_equal(
            np.sort(np.concatenate([fold.test for fold in found])), np.arange(len(seen))
        )
        for number, fold in enumerate(found):
            assert not set(seen[fold.train]) & set(seen[fold.test])
            for train, test in fold.inner:
                assert not set(seen[fold.train[train]]) & set(seen[fold.train[test]])
            for other in folds:
                assert not set(seen[fold.test]) & set(contents[other][folds[other][number].train])


def test_equal_content_under_two_names_is_refused_on_both_sides(rng, make_layers):
    events = shown(rng)
    responses = respond(events, rng.standard_normal((len(events), 2)))
    same = np.arange(80, dtype=np.uint64) // 2
    with pytest.raises(DataError, match="stand in both training and test data"):
        held_out(responses, events, make_layers(np.zeros((1, 80, 2)), same), BY_ITEM, 0.0)


def test_planted_layers_are_found_with_their_score(rng, make_layers, tmp_path):
    events, values, signal, responses = planted(rng, 1.5)
    layers = make_layers(values, np.arange(80, dtype=np.uint64))
    responses = with_contents(responses, events)
    scores, predictions = evaluate(responses, events, layers, BY_ITEM, RIDGE, tmp_path / "p", "f")
    driven = np.arange(40) < 20
    assert (scores["chosen_layer"].values[:, driven] == 0).mean() > 0.95
    limit = [
        np.corrcoef(signal[events["item"], target], responses["response"].values[:, target])[0, 1]
        for target in range(20)
    ]
    found = scores["chosen_r"].mean("fold").values
    np.testing.assert_allclose(found[driven], limit, atol=0.12)
    tested = significance.test(predictions, responses, Inference(permutations=500), 0)
    assert (tested["significant"].values[driven]).mean() > 0.95
    assert (tested["significant"].values[~driven]).mean() < 0.1
    assert tested.attrs["inference_method"] == "item"


@pytest.mark.parametrize(("repeats", "units"), [((1,), 6), ((3,), 6), ((1, 2, 3), 60)])
def test_false_positives_are_nominal(rng, make_layers, tmp_path, repeats, units):
    """Noise that is the same in all trials of an item is no signal of the network either."""
    rate = []
    for study in range(6):
        events, values, _, responses = planted(rng, 0.0, n_targets=150, units=units, repeats=repeats)
        steady = rng.standard_normal((80, 150))
        responses = with_contents(responses + steady[events["item"]], events).assign_attrs(responses.attrs)
        layers = make_layers(values, np.arange(80, dtype=np.uint64))
        _, predictions = evaluate(responses, events, layers, BY_ITEM, RIDGE, tmp_path / str(study), "f")
        tested = significance.test(predictions, responses, Inference(permutations=400), study)
        rate.append((tested["p"].values <= 0.05).mean())
    assert 0.01 < np.mean(rate) < 0.075, np.mean(rate)


def test_the_null_is_that_of_items_in_another_order(rng):
    """Every shift is a permutation of items, computed here one by one."""
    contents = np.array([5, 5, 2, 2, 9, 9, 7])
    fold = np.zeros(7, np.int16)
    (segments,) = moves.items_held_out(fold, contents, np.random.default_rng(1))
    assert sorted(len(each) for each in segments) == [1, 3]
    for each in segments:
        predicted, observed = rng.standard_normal((2, 7, 4))
        predicted = predicted[[0, 0, 2, 2, 4, 4, 6]]
        one, other = each.joined(predicted[each.samples], observed[each.samples])
        n = len(each)
        found = null._products(one, other, np.arange(n))
        for shift in range(n):
            moved = np.roll(observed[each.samples].reshape(n, each.repeats, 4), shift, axis=0).reshape(-1, 4)
            wanted = (predicted[each.samples] * moved).sum(axis=0)
            np.testing.assert_allclose(found[shift], wanted, atol=1e-10)


@pytest.mark.parametrize("formula", ["signal_power", "nsd", "split_half"])
@pytest.mark.parametrize("repeats", [(3,), (1, 2, 3)])
@pytest.mark.parametrize("averaged", [False, True])
def test_ceilings_of_repeats_are_the_planted_ones(rng, formula, repeats, averaged):
    events = shown(rng, n_items=600, repeats=repeats)
    power = np.repeat([0.25, 1.0, 4.0], 20)
    signal = rng.standard_normal((600, 60)) * np.sqrt(power)
    responses = respond(events, signal[events["item"]] + rng.standard_normal((len(events), 60)))
    found, reliability = repeat_ceiling(responses, events, Ceiling(repeats=formula), averaged, rng)
    left = np.mean(1 / np.resize(repeats, 600)) if averaged else 1.0
    # Halves leave a third of the trials of three out, and so are less precise.
    near = 0.15 if formula == "split_half" else 0.11
    np.testing.assert_allclose(found[0], np.sqrt(power / (power + left)), atol=near)
    np.testing.assert_allclose(found[0].mean(), np.sqrt(power / (power + left)).mean(), atol=0.02)
    np.testing.assert_allclose(reliability[0].mean(), (power / (power + 1)).mean(), atol=0.02)
    if averaged:
        joined, _ = average_repeats(responses, events)
        perfect = [
            np.corrcoef(signal[np.unique(events["item"])][:, target], _by_item(joined, events)[:, target])[
                0, 1
            ]
            for target in range(60)
        ]
        np.testing.assert_allclose(found[0].mean(), np.mean(perfect), atol=0.02)


def _by_item(joined, events):
    """Means over repeats in the order of item numbers."""
    first = events.drop_duplicates("content")
    return joined["response"].values[np.argsort(first["item"].to_numpy())]


def test_halves_agree_with_correlating_them_one_split_at_a_time(rng):
    events = shown(rng, n_items=400, repeats=(4,))
    signal = rng.standard_normal((400, 3))
    data = signal[events["item"]] + rng.standard_normal((len(events), 3))
    found, reliability = repeat_ceiling(
        respond(events, data), events, Ceiling(repeats="split_half"), True, np.random.default_rng(0)
    )
    by_item = np.stack([data[events["item"] == item] for item in range(400)])
    expected = []
    for _ in range(100):
        trials = rng.permuted(np.tile(np.arange(4), (400, 1)), axis=1)
        mixed = np.take_along_axis(by_item, trials[:, :, None], axis=1)
        halves = mixed[:, :2].mean(axis=1), mixed[:, 2:].mean(axis=1)
        r = np.array([np.corrcoef(halves[0][:, one], halves[1][:, one])[0, 1] for one in range(3)])
        expected.append(2 * r / (1 + r))
    np.testing.assert_allclose(found[0], np.sqrt(np.mean(expected, axis=0)), atol=0.01)
    assert (reliability[0] < found[0] ** 2).all(), "single trials are less reliable than their means"


def test_the_signal_power_is_unbiased_where_there_is_none(rng):
    """With three trials of 30 items: the mean over many targets is zero within its error."""
    events = shown(rng, n_items=30)
    responses = respond(events, rng.standard_normal((len(events), 4000)))
    of = events["item"].to_numpy()
    data = responses["response"].values.astype(float)
    from neuroalign.alignment.ceiling.repeats import variances

    sums = np.stack([data[of == item].sum(axis=0) for item in range(30)])
    squares = np.stack([(data[of == item] ** 2).sum(axis=0) for item in range(30)])
    signal, noise = variances(np.ones((1, 30)), np.full(30, 3), sums, squares, "signal_power")
    assert abs(signal.mean()) < 4 * signal.std() / np.sqrt(4000)
    assert abs(noise.mean() - 1) < 0.01


def test_ceilings_are_labelled_with_their_way_and_reason(rng):
    events = shown(rng)
    steady = rng.standard_normal((80, 3))
    data = steady[events["item"]] + rng.standard_normal((len(events), 3))
    found = ceilings({"01": respond(events, data)}, events, Ceiling(), 0)["01"]
    assert found.attrs["method"] == "repeated trials (signal_power)"
    assert found["above_chance"].values.all()
    once = shown(rng, repeats=(1,))
    none = ceilings({"01": respond(once, data[:80])}, once, Ceiling(), 0)["01"]
    assert none.attrs["method"] == "none"
    assert none.attrs["reason"] == "no stimulus was shown twice"
    assert np.isnan(none["ceiling"].values).all()


def test_noise_is_above_chance_no_more_often_than_nominal(rng):
    events = shown(rng)
    found = ceilings({"01": respond(events, rng.standard_normal((len(events), 800)))}, events, Ceiling(), 0)
    assert found["01"]["above_chance"].values.mean() < 0.06


def test_repeats_are_joined_into_their_mean(rng):
    events = shown(rng, repeats=(1, 2, 3))
    responses = respond(events, rng.standard_normal((len(events), 5)))
    joined, kept = average_repeats(responses, events)
    assert len(kept) == joined.sizes["sample"] == 80
    assert set(kept["run"]) == {AVERAGED}
    np.testing.assert_array_equal(joined["content"].values, events["content"].drop_duplicates())
    for row, content in enumerate(kept["content"]):
        mean = responses["response"].values[events["content"] == content].mean(axis=0)
        np.testing.assert_allclose(joined["response"].values[row], mean, rtol=1e-5)
    pd.testing.assert_frame_equal(trial_events(joined, kept), kept)
