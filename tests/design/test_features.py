"""Features of samples: right words at right delays, nuisance beside them, scaled on training data."""

import numpy as np
import pandas as pd
import pytest

from neuroalign.artefacts.arrays import build_responses
from neuroalign.design.features import design_subject, unit_band
from neuroalign.design.resample import lanczos, remove_drifts
from neuroalign.errors import DataError
from neuroalign.settings.design import Design, Nuisance


def study(rng, n=60, tr=2.0, high_pass_hz=0.0):
    samples = pd.DataFrame({"run": ["run-1"] * n + ["run-2"] * n, "time_s": list(np.arange(n) * tr) * 2})
    responses = build_responses(
        rng.standard_normal((2 * n, 3)),
        samples,
        pd.DataFrame({"name": list("abc")}),
        subject="01",
        kind="parcels",
        tr=tr,
        high_pass_hz=high_pass_hz,
    )
    responses["confound_value"] = (("sample", "confound"), rng.standard_normal((2 * n, 2)).astype(np.float32))
    responses = responses.assign_coords(confound=["loudness", "trans_x"])
    onsets = np.sort(rng.uniform(0, n * tr - 10, (2, 40)), axis=1)
    events = pd.DataFrame(
        {
            "run": np.repeat(["run-1", "run-2"], 40),
            "onset": onsets.ravel(),
            "duration": 0.3,
            "item": np.arange(80),
        }
    )
    return responses, events


def test_features_are_delayed_sums_of_the_words_of_the_same_run(rng):
    responses, events = study(rng)
    activations = rng.standard_normal((80, 5))
    design = design_subject(responses, events, Design(delays=(2.0, 5.0)))
    features = design.features(activations)
    assert features.shape == (120, 10)
    second = slice(60, 120)
    times, onsets = np.arange(60) * 2.0, events["onset"].to_numpy()[40:]
    for place, delay in enumerate((2.0, 5.0)):
        expected = lanczos(times - delay, onsets, 2.0) @ activations[40:]
        np.testing.assert_allclose(features[second, place * 5 : place * 5 + 5], expected, atol=1e-5)


def test_features_lose_the_drifts_that_the_responses_lost(rng):
    responses, events = study(rng, high_pass_hz=0.02)
    activations = rng.standard_normal((80, 5))
    plain = design_subject(responses, events, Design(filter=False)).features(activations)
    filtered = design_subject(responses, events, Design()).features(activations)
    expected = np.concatenate([remove_drifts(half, 0.02, 2.0) for half in (plain[:60], plain[60:])])
    np.testing.assert_allclose(filtered, expected, atol=1e-4)


def test_word_rate_is_the_resampled_count_of_words(rng):
    responses, events = study(rng)
    settings = Design(delays=(2.0, 4.0), nuisance=Nuisance(delays=(2.0, 4.0)))
    design = design_subject(responses, events, settings)
    assert design.nuisance_names == ("word_rate_2s", "word_rate_4s")
    np.testing.assert_allclose(design.nuisance, design.features(np.ones((80, 1))), atol=1e-5)


def test_confounds_become_nuisance_by_name_or_pattern(rng):
    responses, events = study(rng)
    settings = Design(nuisance=Nuisance(word_rate=False, columns=("loud*",)))
    design = design_subject(responses, events, settings)
    assert design.nuisance_names == ("loudness",)
    np.testing.assert_allclose(design.nuisance[:, 0], responses["confound_value"][:, 0])


def test_an_unknown_nuisance_column_names_the_nearest(rng):
    responses, events = study(rng)
    with pytest.raises(DataError, match="did you mean 'loudness'"):
        design_subject(responses, events, Design(nuisance=Nuisance(columns=("loudnes",))))


def test_a_run_without_events_is_named(rng):
    responses, events = study(rng)
    with pytest.raises(DataError, match="sub-01, run-2: volumes but no events"):
        design_subject(responses, events[events["run"] == "run-1"], Design())


def test_a_band_has_unit_variance_on_training_samples_only(rng):
    features = rng.standard_normal((100, 8)) * np.arange(1, 9) + 5
    features[:, 3] = 1.0
    train = np.arange(60)
    band = unit_band(features, train)
    np.testing.assert_allclose(band[train].var(axis=0).sum(), 7 / 8, rtol=1e-5)
    np.testing.assert_allclose(band[train].mean(axis=0), 0, atol=1e-6)
    assert (band[:, 3] == 0).all()
    changed = features.copy()
    changed[60:] *= 100
    np.testing.assert_array_equal(unit_band(changed, train)[train], band[train])
