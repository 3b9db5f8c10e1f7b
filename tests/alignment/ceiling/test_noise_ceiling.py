"""Ceilings against planted signal-to-noise, for listeners, repeats and the mean of listeners."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from neuroalign.alignment.ceiling.noise_ceiling import ceilings
from neuroalign.alignment.ceiling.synchrony import Shifts
from neuroalign.artefacts.arrays import build_responses
from neuroalign.artefacts.layout import AVERAGE
from neuroalign.settings.statistics import Ceiling

T = 300


def noisy(rng, signal, ceiling):
    """Responses that a perfect model of the signal would correlate with at `ceiling`."""
    noise = rng.standard_normal(signal.shape)
    return ceiling * signal + np.sqrt(1 - ceiling**2) * noise


def response(data, subject, runs=("run-1",)):
    n = len(data) // len(runs)
    samples = pd.DataFrame({"run": np.repeat(runs, n), "time_s": np.tile(np.arange(n) * 2.0, len(runs))})
    targets = pd.DataFrame({"name": [f"t{place}" for place in range(data.shape[1])]})
    return build_responses(data, samples, targets, subject=subject, kind="parcels", tr=2.0)


def words(subjects, runs=("run-1",), items=None):
    rows = [
        {
            "subject": subject,
            "run": run,
            "onset": float(place),
            "duration": 0.3,
            "item": place if items is None else items[run],
        }
        for subject in subjects
        for run in runs
        for place in range(5)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("n", [2, 3, 8])
def test_ceilings_of_listeners_are_the_planted_ones(rng, n):
    signal = rng.standard_normal((400, T))
    planted = np.full(n, 0.6) if n == 2 else np.linspace(0.5, 0.8, n)
    data = {
        f"{place:02d}": response(noisy(rng, signal, c), f"{place:02d}") for place, c in enumerate(planted)
    }
    found = ceilings(data, words(data), Ceiling(bootstraps=60), seed=0)
    for c, one in zip(planted, found.values(), strict=True):
        assert abs(one["ceiling"].median() - c) < 0.025
        inside = (one["ceiling_low"] <= c) & (c <= one["ceiling_high"])
        assert inside.mean() > 0.9  # of a nominal .95
        assert one["above_chance"].all()
        assert one.attrs["method"] == "subjects"


def test_the_raw_correlation_is_that_with_the_mean_of_the_others(rng):
    signal = rng.standard_normal((200, 5))
    data = {label: response(noisy(rng, signal, 0.7), label) for label in ("a", "b", "c")}
    found = ceilings(data, words(data), Ceiling(bootstraps=50), seed=0)
    z = {
        label: (one.response - one.response.mean("sample")) / one.response.std("sample")
        for label, one in data.items()
    }
    mean = (z["b"] + z["c"]) / 2
    expected = [np.corrcoef(z["a"][:, t], mean[:, t])[0, 1] for t in range(5)]
    np.testing.assert_allclose(found["a"]["raw_r"], expected, atol=1e-5)


def test_noise_is_above_chance_no_more_often_than_nominal(rng):
    data = {label: response(rng.standard_normal((300, 2000)), label) for label in ("a", "b", "c")}
    found = ceilings(data, words(data), Ceiling(bootstraps=200, block_s=20), seed=0)
    for one in found.values():
        assert one["above_chance"].mean() < 0.04


@pytest.mark.parametrize("blocks", [6, 12])
def test_noise_of_two_listeners_in_few_blocks_is_above_chance_no_more_often(rng, blocks):
    data = {label: response(rng.standard_normal((10 * blocks, 1500)), label) for label in ("a", "b")}
    found = ceilings(data, words(data), Ceiling(bootstraps=400, block_s=20), seed=0)
    share = found["a"]["above_chance"].values.mean()
    assert scipy.stats.binom.interval(0.999, 1500, 0.025)[1] / 1500 > share > 0.005


def test_repeated_runs_give_the_ceiling_of_one_run(rng):
    signal = rng.standard_normal((300, T))
    runs = ("run-1", "run-2", "run-3")
    data = {"01": response(np.concatenate([noisy(rng, signal, 0.65) for _ in runs]), "01", runs)}
    found = ceilings(data, words(data, runs), Ceiling(bootstraps=50), seed=0)["01"]
    assert found.attrs["method"] == "repeats"
    assert abs(found["ceiling"].mean() - 0.65) < 0.02


def test_the_mean_of_listeners_has_a_higher_ceiling(rng):
    signal = rng.standard_normal((400, T))
    people = {str(place): response(noisy(rng, signal, 0.5), str(place)) for place in range(6)}
    mean = np.mean([one["response"].values for one in people.values()], axis=0)
    found = ceilings(
        people | {AVERAGE: response(mean, AVERAGE)}, words(people), Ceiling(bootstraps=50), seed=0
    )
    expected = np.corrcoef(mean[:, 0], signal[:, 0])[0, 1]
    assert abs(found[AVERAGE]["ceiling"].mean() - expected) < 0.03
    assert found[AVERAGE]["ceiling"].mean() > found["0"]["ceiling"].mean() + 0.2


def test_other_stimuli_leave_no_ceiling_and_say_why(rng):
    data = {label: response(rng.standard_normal((100, 4)), label) for label in ("a", "b")}
    events = words(data)
    events.loc[events["subject"] == "b", "item"] += 100
    found = ceilings(data, events, Ceiling(), seed=0)["a"]
    assert found.attrs["method"] == "none"
    assert "no other subject" in found.attrs["reason"]
    assert np.isnan(found["ceiling"]).all()
    assert not found["above_chance"].any()


def test_a_silent_subject_is_left_out_of_the_others(rng):
    signal = rng.standard_normal((400, T))
    data = {label: response(noisy(rng, signal, 0.6), label) for label in ("a", "b", "c")}
    data["d"] = response(np.zeros((400, T)), "d")
    found = ceilings(data, words(data), Ceiling(bootstraps=50), seed=0)
    assert abs(found["a"]["ceiling"].mean() - 0.6) < 0.03
    assert np.isnan(found["d"]["ceiling"]).all()


def slow(rng, lengths, columns):
    """1/f noise, run after run: it outlasts any block of half a minute."""
    parts = []
    for n in lengths:
        spectrum = np.fft.rfft(rng.standard_normal((n, columns)), axis=0)
        spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))[:, None]
        parts.append(np.fft.irfft(spectrum, n, axis=0))
    return np.concatenate(parts)


@pytest.mark.parametrize("lengths", [(160,), (90,) * 3])
@pytest.mark.parametrize("n", [2, 3])
def test_slow_noise_of_listeners_is_above_chance_no_more_often_than_nominal(rng, lengths, n):
    runs = tuple(f"run-{place}" for place in range(len(lengths)))
    people = [str(place) for place in range(n)]
    data = {label: response(slow(rng, lengths, 1500), label, runs) for label in people}
    found = ceilings(data, words(data, runs), Ceiling(bootstraps=200), seed=0)
    most = scipy.stats.binom.interval(0.999, 1500, 0.025)[1] / 1500
    assert most > found["0"]["above_chance"].values.mean() > 0


def test_slow_noise_of_the_mean_of_listeners_is_not_above_chance_either(rng):
    people = {label: response(slow(rng, (160,), 1000), label) for label in ("a", "b", "c", "d")}
    mean = np.mean([one["response"].values for one in people.values()], axis=0)
    found = ceilings(people | {AVERAGE: response(mean, AVERAGE)}, words(people), Ceiling(bootstraps=50), 0)
    most = scipy.stats.binom.interval(0.999, 1000, 0.025)[1] / 1000
    assert most > found[AVERAGE]["above_chance"].values.mean() > 0.004


def test_shifts_are_as_if_series_were_rolled(rng):
    series = [slow(rng, (12, 7), 5) for _ in range(3)]
    shifts = Shifts.draw((12, 7), 3, 0.4, 40, rng)
    null = np.zeros((40, 5))
    for draw in range(40):
        moved = [
            np.concatenate(
                [
                    np.roll(part, shifts.amounts[place, run, draw], axis=0)
                    for run, part in enumerate(np.split(one, [12]))
                ]
            )
            for place, one in enumerate(series)
        ]
        null[draw] = (moved[0] * moved[1] + moved[0] * moved[2] + moved[1] * moved[2]).sum(axis=0)
    observed = (series[0] * series[1] + series[0] * series[2] + series[1] * series[2]).sum(axis=0)
    p = (1 + (null >= observed).sum(axis=0)) / 41
    assert (shifts.above_chance(series) == (p <= 0.4)).all()
    assert 0 < (p <= 0.4).sum() < 5
