from __future__ import annotations

import numpy as np
import pytest

from neuroalign.errors import ConfigError, DataError
from neuroalign.recordings.cleaning import clean_run, describe, drifts, kept_volumes
from neuroalign.settings import config

N = 120


def settings(**changes):
    return config.Responses(kind="parcels", **changes)


def data(rng, targets=5, n=N):
    return (1000 + 50 * rng.standard_normal((n, targets))).astype(np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def test_confounds_and_drifts_leave_no_trace(rng):
    confounds = rng.standard_normal((N, 3))
    raw = data(rng) + (confounds @ rng.standard_normal((3, 5)) * 80)
    cleaned = clean_run(raw, confounds, 2.0, settings(), "run")
    basis = np.column_stack([confounds, drifts(N, 2.0, 0.01), np.ones(N)])
    assert np.abs(basis.T @ cleaned).max() < 1e-3
    np.testing.assert_allclose(cleaned.std(axis=0), 1, atol=1e-5)
    # Second implementation: least squares with an intercept.
    residual = raw - basis @ np.linalg.lstsq(basis, raw, rcond=None)[0]
    np.testing.assert_allclose(cleaned, residual / residual.std(axis=0), atol=1e-4)


def test_drifts_go_even_where_a_confound_resembles_one(rng):
    """nilearn's own cosine filter is left out when a confound correlates with a slow cosine."""
    slow = drifts(N, 2.0, 0.01)
    confounds = slow[:, :1] + 0.01 * rng.standard_normal((N, 1))
    cleaned = clean_run(data(rng) + 500 * slow[:, 1:2], confounds, 2.0, settings(), "run")
    assert np.abs(slow.T @ cleaned).max() < 0.05


def test_nothing_asked_for_only_centres(rng):
    raw = data(rng)
    plain = settings(high_pass_hz=None, standardize=False)
    cleaned = clean_run(raw, np.zeros((N, 0)), 2.0, plain, "run")
    np.testing.assert_allclose(cleaned, raw - raw.mean(axis=0), atol=1e-3)
    assert describe(plain, []) == "Within each run, nothing was regressed out and every target was centred."


def test_ends_are_trimmed_before_the_regression(rng):
    raw, confounds = data(rng), rng.standard_normal((N, 2))
    trimmed = settings(standardize=False, trim_s=(5.0, 4.0))
    cleaned = clean_run(raw, confounds, 2.0, trimmed, "run")
    inside = clean_run(raw[3:-2], confounds[3:-2], 2.0, settings(standardize=False), "run")
    np.testing.assert_allclose(cleaned, inside, atol=1e-4)
    raw[:3] = 1e4
    np.testing.assert_array_equal(clean_run(raw, confounds, 2.0, trimmed, "run"), cleaned)
    scaled = clean_run(raw, confounds, 2.0, settings(trim_s=(5.0, 4.0)), "run")
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-5)
    assert "first 5 s and last 4 s were dropped" in describe(trimmed, ["a", "b"])


@pytest.mark.parametrize(
    ("tr", "trim", "kept"),
    [(2.0, (0, 0), (0, 9)), (2.0, (4, 2), (2, 8)), (1.1, (1.1, 1.2), (1, 7)), (2.0, (3, 0), (2, 9))],
)
def test_kept_volumes_lie_wholly_inside(tr, trim, kept):
    assert (kept_volumes(10, tr, trim)[[0, -1]] == kept).all()


def test_unusable_targets_are_nan_and_do_not_touch_the_others(rng):
    confounds = rng.standard_normal((N, 2))
    raw = data(rng, 6)
    expected = clean_run(raw[:, 3:], confounds, 2.0, settings(), "run")
    raw[:, 0] = 7.0
    raw[5, 1] = np.nan
    raw[:, 2] = 1000 + 30 * confounds[:, 0]
    cleaned = clean_run(raw, confounds, 2.0, settings(), "run")
    assert np.isnan(cleaned[:, :3]).all()
    np.testing.assert_array_equal(cleaned[:, 3:], expected)
    assert cleaned.dtype == np.float32


def test_blocks_change_nothing(rng, monkeypatch):
    raw, confounds = data(rng, 10), rng.standard_normal((N, 2))
    whole = clean_run(raw, confounds, 2.0, settings(), "run")
    monkeypatch.setattr("neuroalign.recordings.cleaning._BLOCK", 3)
    np.testing.assert_allclose(clean_run(raw, confounds, 2.0, settings(), "run"), whole, atol=1e-6)


def test_a_short_run_has_no_drift_to_remove(rng):
    assert drifts(10, 2.0, 0.01).shape == (10, 0)
    assert np.isfinite(clean_run(data(rng, n=10), np.zeros((10, 0)), 2.0, settings(), "run")).all()


@pytest.mark.parametrize(
    ("changes", "confounds", "error", "message"),
    [
        ({}, N, DataError, r"RUN: 124 confounds and drifts leave nothing of 120 volumes"),
        (
            {"trim_s": (200, 36)},
            2,
            DataError,
            r"RUN: responses\.trim_s \[200\.0, 36\.0\] leaves 2 of 120 volumes",
        ),
        ({"high_pass_hz": 0.3}, 2, ConfigError, r"high_pass_hz is 0\.3, above the 0\.25 Hz"),
    ],
)
def test_settings_that_leave_nothing(rng, changes, confounds, error, message):
    with pytest.raises(error, match=message):
        clean_run(data(rng), rng.standard_normal((N, confounds)), 2.0, settings(**changes), "RUN")


def test_confounds_of_another_length(rng):
    with pytest.raises(DataError, match="RUN: 119 rows of confounds for 120 volumes"):
        clean_run(data(rng), rng.standard_normal((N - 1, 2)), 2.0, settings(), "RUN")
