"""Time courses, peaks, onsets, generalisation, identification: planted times, nominal intervals, chance."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import xarray as xr

from neuroalign.alignment.evaluation.courses import Courses, Resampling, weighted_r
from neuroalign.alignment.evaluation.evaluate import evaluate
from neuroalign.alignment.fitting.ridge import FoldRidge
from neuroalign.alignment.inference.null import SHARED_PAIRS
from neuroalign.alignment.timing.epochs import generalisation, timing
from neuroalign.alignment.timing.group import combine_timing
from neuroalign.alignment.timing.identification import identify, similarity, told_apart
from neuroalign.alignment.timing.latencies import chance_band, depth_follows_time, of_layers, onsets, peaks
from neuroalign.errors import DataError
from neuroalign.settings.design import Design, Folds, Nuisance
from neuroalign.settings.statistics import Inference

LATENCIES = np.arange(-5, 15) * 0.02
BY_ITEM = Design(folds=Folds(by="item", n=4), nuisance=Nuisance(word_rate=False))
RIDGE = FoldRidge(np.logspace(-2, 4, 7))
SETTINGS = Inference(bootstraps=100, permutations=199)
PEAKS = (0.08, 0.14, 0.2)


def bump(at, width=0.03):
    return np.exp(-((LATENCIES - at) ** 2) / (2 * width**2))


def test_weights_are_the_same_as_drawing_samples_again(rng):
    one, other = rng.standard_normal((2, 30, 4))
    other[:, 0], other[:, 3] = one[:, 0] + 5, 2.0
    drawn = rng.integers(0, 30, (6, 30))
    weights = np.stack([np.bincount(draw, minlength=30) for draw in drawn]).astype(np.float32)
    found = weighted_r(weights, one, other)
    for draw, r in zip(drawn, found, strict=True):
        expected = [np.corrcoef(one[draw, at], other[draw, at])[0, 1] for at in range(3)]
        np.testing.assert_allclose(r, [*expected, 0.0], atol=1e-5)


def test_trials_of_one_item_are_drawn_together(rng, epochs):
    contents = np.repeat(np.arange(10), 3)
    responses = epochs(rng.standard_normal((30, 4, 20)), LATENCIES, contents)
    weights = Courses.of(responses, Resampling(50, 0)).weights(np.arange(30), 0)
    assert (weights[0] == 1).all()
    assert (weights[:, ::3] == weights[:, 1::3]).all()
    assert weights.sum(axis=1).tolist() == [30] + 50 * [27]
    assert len(np.unique(weights[1:], axis=0)) > 45


def test_invalid_channels_are_left_out_of_the_mean(rng, epochs):
    data = rng.standard_normal((40, 4, 20))
    data[:, 1, 7] = 0.0
    responses = epochs(data, LATENCIES)
    courses, valid = Courses.of(responses, Resampling(50, 0)), responses["valid"].values
    observed = responses["response"].values[:, valid]
    predicted = observed + rng.standard_normal(observed.shape)
    found = courses.fold(predicted, observed, np.arange(40), 0)[0]
    r = np.full(80, np.nan)
    r[valid] = [np.corrcoef(predicted[:, at], observed[:, at])[0, 1] for at in range(79)]
    np.testing.assert_allclose(found, np.nanmean(r.reshape(4, 20), axis=0), atol=1e-5)
    assert Courses.of(responses.drop_vars("latency"), Resampling(50, 0)) is None


def test_marks_of_a_known_course():
    assert peaks(bump(0.14), LATENCIES) == pytest.approx(0.14)
    fine = np.linspace(-0.1, 0.3, 4001)
    course = np.exp(-((fine - 0.14) ** 2) / (2 * 0.03**2))
    assert onsets(course, fine) == pytest.approx(0.14 - 0.03 * np.sqrt(2 * np.log(2)), abs=1e-4)
    straight = np.maximum(LATENCIES, 0)
    assert onsets(straight, LATENCIES) == pytest.approx(LATENCIES[-1] / 2)


def test_an_earlier_bump_of_less_than_half_is_no_onset():
    course = bump(0.16) + 0.4 * bump(0.0, 0.015)
    assert onsets(course, LATENCIES) == pytest.approx(0.16 - 0.03 * np.sqrt(2 * np.log(2)), abs=0.004)


@pytest.mark.parametrize("course", [np.ones(20), -bump(0.1), np.eye(20)[9], np.full(20, np.nan)])
def test_what_has_no_onset(course):
    """Above its half from the beginning, below zero, a spike of one sample, not finite."""
    assert np.isnan(onsets(course, LATENCIES))


def test_depth_and_latency():
    depth, latency = np.linspace(0, 1, 4), np.array([0.1, 0.12, np.nan, 0.2])
    draws = latency[:, None] + 0.001 * np.random.default_rng(0).standard_normal((4, 100))
    np.testing.assert_allclose(depth_follows_time(depth, latency, draws), 1.0)
    assert np.isnan(depth_follows_time(depth, np.array([0.1, 0.2, np.nan, np.nan]), draws)).all()
    assert np.isnan(depth_follows_time(depth, np.full(4, 0.1), draws)).all()


def predicted_and_observed(rng, n, amplitude, channels=8, at=0.1, width=0.06):
    """Predictions that correlate with responses by a bump over latencies; noise of neighbours is shared."""
    profile = amplitude * bump(at, width)
    predicted = np.repeat(rng.standard_normal((n, channels, 1)), len(LATENCIES), axis=2)
    noise = rng.standard_normal((n, channels, len(LATENCIES) + 4))
    noise = sum(noise[..., lag : lag + len(LATENCIES)] for lag in range(5)) / np.sqrt(5)
    return predicted, profile * predicted + np.sqrt(1 - profile**2) * noise


def marked(rng, epochs, amplitude, n=120, seed=0):
    predicted, observed = predicted_and_observed(rng, n, amplitude)
    courses = Courses.of(epochs(observed, LATENCIES), Resampling(100, seed))
    flat, fold = [side.reshape(n, -1) for side in (predicted, observed)], np.arange(n) % 4
    tests = [np.flatnonzero(fold == one) for one in range(4)]
    by_fold = [courses.fold(flat[0][test], flat[1][test], test, at) for at, test in enumerate(tests)]
    return np.mean(by_fold, axis=0)


def test_intervals_cover_the_planted_peak_and_onset(rng, epochs):
    held = {"peak": 0, "onset": 0}
    truth = {"peak": 0.1, "onset": 0.1 - 0.06 * np.sqrt(2 * np.log(2))}
    for seed in range(60):
        mean = marked(rng, epochs, 0.6, seed=seed)
        found = of_layers(mean[None, 0], mean[None, 1:], LATENCIES, np.zeros(1), SHARED_PAIRS)
        for name, value in truth.items():
            low, high = (found[f"{name}_{end}"][1][0] for end in ("low", "high"))
            held[name] += low - 1e-6 <= value <= high + 1e-6
    fewest, most = scipy.stats.binom.interval(0.99, 60, 0.95)
    assert fewest <= held["onset"] <= most
    assert held["peak"] >= fewest, "a peak lies on samples: its interval may cover too often"


def test_noise_leaves_the_band_no_more_often_than_nominal(rng, epochs):
    left = 0
    for seed in range(100):
        mean = marked(rng, epochs, 0.0, n=60, seed=seed)
        left += (mean[0] > chance_band(mean[0], mean[1:])).any()
    low, high = scipy.stats.binom.interval(0.99, 100, 0.05)
    assert low <= left <= high


def looking(rng, epochs, make_layers, strength, n_items=100, repeats=1, channels=8):
    """Epochs in which layer k predicts at `PEAKS[k]`, and the events and activations they follow."""
    values = rng.standard_normal((3, n_items, 5))
    shown = rng.permutation(np.repeat(np.arange(n_items), repeats))
    signal = sum(
        (values[layer] @ rng.standard_normal((5, channels)))[:, :, None] * bump(at) / np.sqrt(5)
        for layer, at in enumerate(PEAKS)
    )
    data = strength * signal[shown] + rng.standard_normal((len(shown), channels, len(LATENCIES)))
    events = pd.DataFrame({"subject": "01", "run": "run-1", "onset": np.arange(len(shown)) * 2.0})
    events = events.assign(duration=0.5, item=shown, content=shown)
    layers = make_layers(values, np.arange(n_items, dtype=np.uint64))
    return epochs(data, LATENCIES, shown), events, layers


def fitted(tmp_path, study, seed=0):
    responses, events, layers = study
    resampling = Resampling(SETTINGS.bootstraps, seed)
    made = evaluate(
        responses, events, layers, BY_ITEM, RIDGE, tmp_path / "partial", "same", resampling=resampling
    )
    return *made, responses


def test_layers_are_found_at_their_times(rng, epochs, make_layers, tmp_path):
    scores, predictions, responses = fitted(tmp_path, looking(rng, epochs, make_layers, 1.5, 150))
    r = scores["r"].mean("fold").values.reshape(3, 8, -1).mean(axis=1)
    np.testing.assert_allclose(scores["course"], r, atol=1e-5)
    assert scores["course_boot"].shape == (3, 100, 20)
    found = timing(scores, predictions, responses, SETTINGS, seed=0)
    np.testing.assert_allclose(found["peak"], PEAKS, atol=0.021)
    np.testing.assert_allclose(found["onset"], np.array(PEAKS) - 0.035, atol=0.02)
    assert (found["peak_low"] <= found["peak"]).all()
    assert (found["peak"] <= found["peak_high"]).all()
    np.testing.assert_allclose(found["depth_by_peak"], [1, 1, 1])
    assert found["depth_by_onset"].values[1] > 0
    chosen = found["chosen_course"].values
    assert chosen[:4].max() < found["chosen_band"] < chosen.max()
    told = found["identification"].values
    assert told[8:17].mean() > 0.75
    assert abs(told[:4].mean() - 0.5) < 0.05
    assert (found["identification_p_max"].values[9:15] <= 0.05).all()
    matrix = found["generalisation"].values
    np.testing.assert_allclose(np.diag(matrix), found["chosen_course"], atol=1e-5)
    near, far = matrix[9, 8:11].mean(), matrix[9, [0, 1, 15, 16]].mean()
    assert near > 0.3 > 0.1 > far
    # What the summary carries stays as it is for other recordings.
    assert scores.attrs["n_samples"] == 150


def test_generalisation_is_the_mean_correlation(rng):
    predicted, observed = rng.standard_normal((2, 20, 3, 4))
    fold = np.arange(20) % 2
    expected = np.mean(
        [
            [
                np.corrcoef(predicted[fold == one, channel].T, observed[fold == one, channel].T)[:4, 4:]
                for channel in range(3)
            ]
            for one in range(2)
        ],
        axis=(0, 1),
    )
    np.testing.assert_allclose(generalisation(predicted, observed, fold), expected, atol=1e-10)


def test_pairs_are_told_apart_as_by_hand(rng):
    predicted, observed = rng.standard_normal((2, 6, 5, 2))
    observed += 0.5 * predicted
    found = told_apart(similarity(predicted, observed), np.arange(6))
    for latency in range(2):
        right = []
        for one in range(6):
            for other in range(one):
                sides = (side[[one, other], :, latency] for side in (predicted, observed))
                r = np.corrcoef(*sides)[:2, 2:]
                right.append(r[0, 0] + r[1, 1] > r[0, 1] + r[1, 0])
        assert found[latency] == pytest.approx(np.mean(right))


def test_shuffled_data_are_at_chance_and_the_training_mean_is_why(rng):
    """Predictions that are nothing but training means: each fold's lies away from what it holds out."""
    observed = rng.standard_normal((60, 20, 3)) + 5 * rng.standard_normal((1, 20, 3))
    fold = np.arange(60) % 30
    predicted = np.stack([observed[fold != one].mean(axis=0) for one in fold])
    found = identify(predicted, observed, fold, np.arange(60), 0)
    np.testing.assert_allclose(found.accuracy, 0.5)
    across = told_apart(similarity(predicted, observed), np.arange(60))
    assert (across < 0.25).all()


def test_fitted_noise_stays_in_the_band(rng, epochs, make_layers, tmp_path):
    """Folds share their training data: without the factor of √2 nearly half of the layers leave the band."""
    left, without = [], []
    for seed in range(12):
        scores, *_ = fitted(tmp_path, looking(rng, epochs, make_layers, 0.0, n_items=60), seed)
        course, draws = (scores[name].values.astype(float) for name in ("course", "course_boot"))
        for factor, outside in ((SHARED_PAIRS, left), (1.0, without)):
            outside += (course > chance_band(course, draws, factor)[:, None]).any(axis=1).tolist()
    assert np.mean(left) < 0.17
    assert np.mean(without) > 0.25


def test_noise_is_identified_no_more_often_than_nominal(rng, epochs, make_layers, tmp_path):
    p, accuracy = [], []
    for seed in range(12):
        study = looking(rng, epochs, make_layers, 0.0, n_items=40, repeats=2)
        _, predictions, responses = fitted(tmp_path, study, seed)
        predicted, observed = (
            side.values.reshape(80, 8, -1) for side in (predictions["prediction"], responses["response"])
        )
        found = identify(predicted, observed, predictions["fold"].values, responses["content"].values, seed)
        p.append(found.p)
        accuracy.append(found.accuracy.mean())
        assert found.n_pairs == 4 * 45, "ten items a fold, none compared with its own repeat"
    assert np.mean(accuracy) == pytest.approx(0.5, abs=0.02)
    assert np.mean(np.array(p) <= 0.05) < 0.08


def test_identification_needs_channels_and_items(rng):
    two = rng.standard_normal((2, 10, 2, 3))
    assert identify(*two, np.arange(10) % 2, np.arange(10), 0) is None
    many = rng.standard_normal((2, 4, 6, 3))
    assert identify(*many, np.arange(4), np.arange(4), 0) is None


def test_volumes_have_no_time_course(rng, epochs):
    responses = epochs(rng.standard_normal((10, 4, 20)), LATENCIES).drop_vars("latency")
    with pytest.raises(DataError, match="only epochs have a time course"):
        timing(xr.Dataset(), xr.Dataset(), responses, SETTINGS, 0)


@pytest.fixture
def people(rng, epochs, make_layers, tmp_path):
    """Timing of so many subjects."""

    def make(n):
        parts = []
        for one in range(n):
            study = looking(rng, epochs, make_layers, 1.0, n_items=60)
            found = timing(*fitted(tmp_path, study), SETTINGS, seed=one)
            parts.append(found.assign_attrs(subject=f"{one + 1:02d}"))
        return parts

    return make


def test_the_group_draws_its_subjects(people):
    parts = people(6)
    found = combine_timing(parts, SETTINGS, seed=0)
    np.testing.assert_allclose(found["course"], np.mean([one["course"] for one in parts], axis=0), rtol=1e-5)
    np.testing.assert_allclose(found["peak"], PEAKS, atol=0.021)
    assert (found["course_low"] <= found["course"]).all()
    assert found["depth_by_peak"].values.tolist() == [1, 1, 1]
    assert found["subject_depth_by_peak"].sizes == {"person": 6}
    own = found["subject_depth_by_peak"].values
    assert (own > 0).sum() >= 5
    told = own[np.isfinite(own) & (own != 0)]
    expected = scipy.stats.binomtest(int((told > 0).sum()), len(told)).pvalue
    assert float(found["depth_by_peak_p"]) == pytest.approx(expected)
    assert (found["identification_p"].values[9:14] < 0.01).all()


def test_few_subjects_have_no_interval_of_the_group(people):
    parts = people(2)
    found = combine_timing(parts, SETTINGS, seed=0)
    np.testing.assert_allclose(found["peak"], PEAKS, atol=0.041)
    assert np.isnan(found["course_low"]).all()
    assert np.isnan(found["depth_by_peak"].values[1:]).all()
    bands = np.stack([one["band"].values for one in parts])
    np.testing.assert_allclose(found["band"], np.sqrt((bands**2).sum(axis=0)) / 2, rtol=1e-5)
    other = parts[1].assign_coords(latency=parts[1]["latency"] + 0.01)
    with pytest.raises(DataError, match="sub-02 has other latencies than sub-01"):
        combine_timing([parts[0], other], SETTINGS, seed=0)
