"""The null is calibrated for autocorrelated responses, and planted effects are found."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import xarray as xr

from neuroalign.alignment.inference import null, significance
from neuroalign.artefacts.arrays import build_responses, open_arrays, save_arrays
from neuroalign.metrics import pearson
from neuroalign.settings.statistics import Inference


def autoregressive(rng, n, t, rho=0.6):
    noise = rng.standard_normal((n + 50, t))
    for row in range(1, len(noise)):
        noise[row] += rho * noise[row - 1]
    return noise[50:]


def study(rng, signal, n=100, t=40, runs=2):
    """Predictions and responses of autocorrelated noise; the first `signal` targets are predicted.

    The predictions are given, not fitted, so that these folds are independent of each other.
    """
    shared = autoregressive(rng, n * runs, t)
    prediction = shared + 0.5 * autoregressive(rng, n * runs, t)
    observed = autoregressive(rng, n * runs, t)
    observed[:, :signal] += shared[:, :signal]
    samples = pd.DataFrame(
        {
            "run": np.repeat([f"run-{place}" for place in range(runs)], n),
            "time_s": np.tile(np.arange(n) * 2.0, runs),
        }
    )
    targets = pd.DataFrame({"name": [f"t{place}" for place in range(t)]})
    responses = build_responses(observed, samples, targets, subject="01", kind="parcels", tr=2.0)
    predictions = xr.Dataset(
        {
            "prediction": (("sample", "target"), prediction),
            "nuisance": (("sample", "feature"), rng.standard_normal((n * runs, 1))),
            "fold": ("sample", np.repeat(np.arange(runs), n)),
        },
        {"run": responses["run"], "time_s": responses["time_s"]},
    )
    return predictions, responses


@pytest.mark.parametrize("method", ["circular_shift", "block"])
def test_false_positives_are_nominal_for_independent_folds(rng, method, monkeypatch):
    monkeypatch.setattr(significance, "SHARED_PAIRS", 1.0)
    settings = Inference(method=method, permutations=199)
    p = np.concatenate([significance.test(*study(rng, 0), settings, seed)["p"].values for seed in range(25)])
    low, high = scipy.stats.binom.interval(0.999, len(p), 0.05)
    assert low <= (p <= 0.05).sum() <= high
    assert abs(p.mean() - 0.5) < 0.03


@pytest.mark.parametrize("method", ["circular_shift", "block"])
def test_planted_targets_are_found_and_others_are_not(rng, method):
    result = significance.test(*study(rng, 10), Inference(method=method, permutations=499), seed=1)
    assert result["significant"].values[:10].all()
    assert result["significant"].values[10:].sum() <= 2
    assert (result["p_max"].values >= result["p"].values - 1e-6).all()
    expected = scipy.stats.false_discovery_control(result["p"].values)
    np.testing.assert_allclose(result["q"], expected, rtol=1e-5)


def test_files_are_read_block_by_block_with_the_same_result(rng, tmp_path, monkeypatch):
    sides = study(rng, 5)
    dead = [3, 4, 5, 6, 17]  # a block without any target that could be tested, and gaps in others
    sides[1]["valid"][dead] = False
    settings = Inference(permutations=99)
    expected = significance.test(*sides, settings, seed=1)
    assert np.isnan(expected["p"].values[dead]).all()
    for side, name in zip(sides, ("predictions", "responses"), strict=True):
        save_arrays(side, tmp_path / name)
    widths, taken = [], significance._of

    def noted(array, targets):
        widths.append(len(targets))
        return taken(array, targets)

    monkeypatch.setattr(significance, "_of", noted)
    monkeypatch.setattr(significance, "BLOCK", 4)
    browsed = [open_arrays(tmp_path / name, lazily=True) for name in ("predictions", "responses")]
    xr.testing.assert_allclose(significance.test(*browsed, settings, seed=1), expected)
    assert set(widths) == {4, 3}
    assert not any(
        side[name]._in_memory for side, name in zip(browsed, ("prediction", "response"), strict=True)
    )
    for side in browsed:
        side.close()


def test_the_statistic_is_the_mean_partial_correlation_over_folds(rng):
    predictions, responses = study(rng, 5)
    expected = []
    for run in (slice(0, 100), slice(100, 200)):
        nuisance = np.column_stack([np.ones(100), predictions["nuisance"].values[run]])
        left = [
            side[run] - nuisance @ np.linalg.lstsq(nuisance, side[run], rcond=None)[0]
            for side in (predictions["prediction"].values, responses["response"].values)
        ]
        expected.append(pearson(*left))
    result = significance.test(predictions, responses, Inference(permutations=99), seed=0)
    np.testing.assert_allclose(result["r_unique"], np.mean(expected, axis=0), atol=1e-5)


def test_a_shift_moves_the_response_in_a_circle(rng):
    predicted, observed = rng.standard_normal((2, 30, 3))
    products = null._products(predicted, observed, np.array([0, 7]))
    np.testing.assert_allclose(products[0], (predicted * observed).sum(axis=0))
    np.testing.assert_allclose(products[1], (predicted * np.roll(observed, 7, axis=0)).sum(axis=0))


def test_blocks_change_places_and_the_rest_stays(rng):
    predicted, observed = rng.standard_normal((2, 32, 2))
    products = null._products(predicted, observed, np.array([[2, 0, 1]]))
    moved = np.concatenate([observed[20:30], observed[:10], observed[10:20], observed[30:]])
    np.testing.assert_allclose(products[0], (predicted * moved).sum(axis=0))


def test_targets_that_do_not_vary_are_nan_and_never_significant(rng):
    predictions, responses = study(rng, 5)
    responses["valid"][3] = False
    result = significance.test(predictions, responses, Inference(permutations=99), seed=0)
    assert np.isnan([result[name].values[3] for name in ("p", "q", "p_max", "r_unique")]).all()
    assert not result["significant"].values[3]


def test_the_same_seed_gives_the_same_p(rng):
    predictions, responses = study(rng, 5)
    one, other = (
        significance.test(predictions, responses, Inference(permutations=99), seed=4) for _ in range(2)
    )
    assert one.equals(other)
