"""Resampling against signals that are known, nilearn's regressor and nilearn's filter."""

import numpy as np
import pytest
from nilearn.glm.first_level import compute_regressor
from nilearn.signal import clean

from neuroalign.design.resample import haemodynamic, lanczos, remove_drifts


def test_lanczos_reproduces_a_slow_signal_from_fast_events():
    events = np.arange(0, 100, 0.25)
    samples = np.arange(10, 90, 2.0)
    signal = np.sin(2 * np.pi * events / 23)
    values = lanczos(samples, events, step=2.0) @ signal / 8
    np.testing.assert_allclose(values, np.sin(2 * np.pi * samples / 23), atol=0.02)


def test_lanczos_removes_what_the_samples_cannot_carry():
    events = np.arange(0, 100, 0.25)
    fast = np.sin(2 * np.pi * events / 2.5)
    assert np.abs(lanczos(np.arange(10, 90, 2.0), events, step=2.0) @ fast / 8).max() < 0.1


def test_lanczos_reaches_no_further_than_its_lobes():
    weights = lanczos(np.arange(0, 40, 2.0), np.array([20.0]), step=2.0, lobes=3)[:, 0]
    assert weights[10] == 1
    assert (weights[np.abs(np.arange(20) - 10) >= 3] == 0).all()


@pytest.mark.parametrize("duration", [0.4, 6.0, 22.5])
def test_the_haemodynamic_weight_is_nilearns_regressor(duration):
    times = np.arange(0, 120, 2.5)
    onsets = np.array([7.5, 60.0])
    ours = haemodynamic(times, onsets, np.full(2, duration), step=2.5).sum(axis=1)
    condition = np.array([onsets, [duration] * 2, [1, 1]])
    theirs = compute_regressor(condition, "glover", times, oversampling=200)[0][:, 0]
    assert np.corrcoef(ours, theirs)[0, 1] > 0.999


def test_a_long_event_approaches_one():
    weights = haemodynamic(np.array([0.0, 20.0, 39.0]), np.array([0.0]), np.array([40.0]), step=2.0)[:, 0]
    np.testing.assert_allclose(weights[[0, 2]], [0, 1], atol=0.02)


@pytest.mark.filterwarnings("ignore:From release 0.14.0:DeprecationWarning")
def test_drift_removal_is_nilearns_cosine_filter(rng):
    values = rng.standard_normal((150, 4))
    theirs = clean(values, detrend=False, standardize=None, filter="cosine", high_pass=0.01, t_r=2.0)
    np.testing.assert_allclose(remove_drifts(values, 0.01, 2.0), theirs - theirs.mean(axis=0), atol=1e-6)
    assert remove_drifts(values, 0.0, 2.0) is values
