"""False positives of the whole way: fitted, chosen, scored and tested where there is nothing to find.

Predictions of different folds share their training data; a null that forgets this is too narrow.
"""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from neuroalign.alignment.evaluation.evaluate import evaluate
from neuroalign.alignment.fitting.banded_ridge import FoldBandedRidge
from neuroalign.alignment.fitting.ridge import FoldRidge
from neuroalign.alignment.inference import significance
from neuroalign.artefacts.arrays import build_responses
from neuroalign.settings.design import Design, Folds, Nuisance
from neuroalign.settings.statistics import Inference

TARGETS, WORDS_PER_S = 120, 1.5
RIDGE = FoldRidge(np.logspace(-1, 5, 7))
BANDED = FoldBandedRidge(np.logspace(-1, 5, 7), candidates=4, seed=0)


def autoregressive(rng, n, t, rho=0.5):
    noise = rng.standard_normal((n + 30, t))
    for row in range(1, len(noise)):
        noise[row] += rho * noise[row - 1]
    return noise[30:]


@pytest.fixture
def p_values(tmp_path, make_layers):
    """One row of p for each of eight studies."""

    def run(lengths, units, settings, method="circular_shift", rate=0.0, encoder=RIDGE):
        return np.stack(
            [
                _p_values(make_layers, seed, tmp_path, lengths, units, settings, method, rate, encoder)
                for seed in range(8)
            ]
        )

    return run


def _p_values(make_layers, seed, tmp_path, lengths, units, settings, method, rate, encoder):
    """p of targets that are noise, with a slow drift and, at `rate`, the haemodynamic word rate."""
    rng = np.random.default_rng(seed)
    runs = [f"run-{place}" for place in range(len(lengths))]
    events = pd.concat(
        pd.DataFrame({"run": run, "onset": np.sort(rng.uniform(0, 2 * n - 6, int(n * WORDS_PER_S)))})
        for run, n in zip(runs, lengths, strict=True)
    ).assign(subject="01", duration=0.3)
    events["item"] = np.arange(len(events))
    samples = pd.concat(
        pd.DataFrame({"run": run, "time_s": np.arange(n) * 2.0}) for run, n in zip(runs, lengths, strict=True)
    )
    data = np.concatenate([autoregressive(rng, n, TARGETS) for n in lengths])
    data += np.concatenate([np.linspace(0, 1, n)[:, None] * rng.standard_normal(TARGETS) for n in lengths])
    if rate:
        data += rate * np.concatenate(
            [_response_to_words(events[events["run"] == run], samples, run) for run in runs]
        )
    targets = pd.DataFrame({"name": [f"t{place}" for place in range(TARGETS)]})
    responses = build_responses(
        data, samples, targets, subject="01", kind="parcels", tr=2.0, high_pass_hz=0.0
    )
    responses["confound_value"] = (("sample", "confound"), np.empty((len(samples), 0), np.float32))
    # Every word brings a constant, so that word rate hides in the network's features as it does in real ones.
    values = rng.standard_normal((2, len(events), units)) + 1.0
    activations = make_layers(values, np.arange(len(events), dtype=np.uint64))
    _, predictions = evaluate(responses, events, activations, settings, encoder, tmp_path / "partial", "null")
    tested = significance.test(predictions, responses, Inference(method=method, permutations=199), seed)
    return tested["p"].values


def _response_to_words(events, samples, run):
    """Word rate through a double-gamma response with its undershoot (n_samples, 1), unit variance."""
    times = samples.loc[samples["run"] == run, "time_s"].to_numpy()
    since = times[:, None] - events["onset"].to_numpy()[None]
    shape = scipy.stats.gamma.pdf(since, 6) - 0.35 * scipy.stats.gamma.pdf(since, 12, scale=0.9)
    response = shape.sum(axis=1, keepdims=True)
    return (response - response.mean()) / response.std()


CASES = {
    "many features, four runs": ([70] * 4, 60, Design()),
    "few features, four runs": ([70] * 4, 2, Design(delays=(4.0,))),
    "two runs": ([110] * 2, 30, Design()),
    "uneven runs": ([40, 60, 90, 50, 50], 30, Design()),
    "blocks of one run": ([300], 30, Design(folds=Folds(by="block", n=5, gap_s=10))),
}


@pytest.mark.parametrize("method", ["circular_shift", "block"])
@pytest.mark.parametrize("case", CASES)
def test_noise_is_significant_no_more_often_than_nominal(p_values, case, method):
    shares = (p_values(*CASES[case], method) <= 0.05).mean(axis=1)
    # Targets of one study share its features, so the studies are the units of the interval.
    assert shares.mean() - 2.5 * shares.std(ddof=1) / np.sqrt(len(shares)) <= 0.05
    assert shares.mean() < 0.07


def test_word_rate_is_not_credited_to_the_network_by_banded_ridge_either(p_values):
    found = p_values(*CASES["many features, four runs"], rate=1.0, encoder=BANDED)
    assert (found <= 0.05).mean() < 0.07


def test_a_null_of_independent_folds_would_not_hold(p_values, monkeypatch):
    monkeypatch.setattr(significance, "SHARED_PAIRS", 1.0)
    assert (p_values(*CASES["many features, four runs"]) <= 0.05).mean() > 0.09


def test_word_rate_is_not_credited_to_the_network(p_values):
    assert (p_values(*CASES["many features, four runs"], rate=1.0) <= 0.05).mean() < 0.07


def test_word_rate_without_its_tail_would_be_credited(p_values):
    lengths, units, settings = CASES["many features, four runs"]
    short = settings.model_copy(update={"nuisance": Nuisance(delays=(4.0,))})
    assert (p_values(lengths, units, short, rate=1.0) <= 0.05).mean() > 0.2
