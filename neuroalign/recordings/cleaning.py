"""Cleaning of one run: ends trimmed, confounds and drifts out, targets on one scale."""

from __future__ import annotations

import warnings

import numpy as np
from nilearn.signal import clean, create_cosine_drift

from neuroalign.errors import ConfigError, DataError
from neuroalign.settings.responses import Responses

_BLOCK = 8192
"""Targets cleaned at once, in double precision: bounds the memory beside the data themselves."""

_ROUNDING = 1e-5
"""A target that keeps less than this share of its standard deviation was a confound, up to rounding."""


def clean_run(
    data: np.ndarray, confounds: np.ndarray, tr: float, settings: Responses, run: object
) -> np.ndarray:
    """Clean the responses of one run.

    The ends are trimmed first, so that volumes before the steady state bend no regression. Then
    confounds and a cosine basis of all periods above 1 / `high_pass_hz` are projected out in one step
    (nilearn.signal.clean; Lindquist et al. 2019 on why not one after the other); the design projects
    the same basis, over the same samples, out of the features. Last, every target is centred and,
    with `standardize`, divided by its standard deviation.

    Parameters
    ----------
    data : array (n_volumes, n_targets)
    confounds : array (n_volumes, n_confounds)
    tr : float
        Repetition time in seconds.
    settings : Responses
    run : bids.Run
        Named in error messages.

    Returns
    -------
    array (n_kept, n_targets) of float32
        All NaN for a target that is constant or not finite in this run, or that is nothing but
        confounds.

    Raises
    ------
    DataError
        The confounds do not fit the volumes, or `check_run` refuses.
    """
    if len(data) != len(confounds):
        raise DataError(f"{run}: {len(confounds)} rows of confounds for {len(data)} volumes; make them again")
    check_run(len(data), confounds.shape[1], tr, settings, run)
    kept = kept_volumes(len(data), tr, settings.trim_s)
    regressors = np.column_stack([confounds[kept], drifts(len(kept), tr, settings.high_pass_hz)])
    cleaned = np.full((len(kept), data.shape[1]), np.nan, np.float32)
    for start in range(0, data.shape[1], _BLOCK):
        block = slice(start, start + _BLOCK)
        cleaned[:, block] = _clean_block(data[kept, block], regressors, settings.standardize)
    return cleaned


def check_run(n_volumes: int, n_confounds: int, tr: float, settings: Responses, run: object) -> None:
    """Check, before anything is read, that cleaning will leave something of a run.

    Raises
    ------
    DataError
        Confounds and drifts are as many as the volumes, or fewer than three volumes outlast trimming.
    ConfigError
        The high-pass frequency lies above what the repetition time can resolve.
    """
    high_pass = settings.high_pass_hz
    if high_pass is not None and high_pass * tr >= 0.5:
        raise ConfigError(
            f"responses.high_pass_hz is {high_pass:g}, above the {0.5 / tr:g} Hz that volumes every "
            f"{tr:g} s resolve; give a frequency far below, such as 0.01"
        )
    n_kept = len(kept_volumes(n_volumes, tr, settings.trim_s))
    if n_kept < 3:
        trim = list(settings.trim_s)
        raise DataError(f"{run}: responses.trim_s {trim} leaves {n_kept} of {n_volumes} volumes; trim less")
    n_regressors = n_confounds + drifts(n_kept, tr, high_pass).shape[1]
    if n_regressors >= n_kept - 2:
        raise DataError(
            f"{run}: {n_regressors} confounds and drifts leave nothing of {n_kept} volumes; "
            "shorten responses.confounds or lower responses.high_pass_hz"
        )


def drifts(n_volumes: int, tr: float, high_pass_hz: float | None) -> np.ndarray:
    """Make the cosine basis of slow drifts, without its constant: array (n_volumes, n_drifts)."""
    if high_pass_hz is None or n_volumes < 2:
        return np.zeros((n_volumes, 0))
    return np.asarray(create_cosine_drift(high_pass_hz, np.arange(n_volumes) * tr)[:, :-1])


def kept_volumes(n_volumes: int, tr: float, trim_s: tuple[float, float]) -> np.ndarray:
    """List the volumes that lie wholly between the seconds trimmed at start and end."""
    begin = np.arange(n_volumes) * tr
    small = 1e-6 * tr
    return np.flatnonzero((begin >= trim_s[0] - small) & (begin + tr <= n_volumes * tr - trim_s[1] + small))


def describe(settings: Responses, confounds: list[str]) -> str:
    """Say in one English sentence what `clean_run` does."""
    steps, removed = [], []
    if any(settings.trim_s):
        steps.append(f"the first {settings.trim_s[0]:g} s and last {settings.trim_s[1]:g} s were dropped")
    if confounds:
        shown = ", ".join(confounds[:12]) + (
            f" and {len(confounds) - 12} more" if len(confounds) > 12 else ""
        )
        removed.append(f"{len(confounds)} confounds ({shown})")
    if settings.high_pass_hz is not None:
        removed.append(f"cosine drifts below {settings.high_pass_hz:g} Hz")
    steps.append(f"{' and '.join(removed)} were regressed out" if removed else "nothing was regressed out")
    steps.append(f"every target was {'z-scored' if settings.standardize else 'centred'}")
    return f"Within each run, {', '.join(steps[:-1])} and {steps[-1]}."


def describe_sampling(settings: Responses) -> str:
    """Say in a sentence that voxels were sampled at vertices; empty where they were not."""
    if settings.mesh is None:
        return ""
    return (
        f"Volumes were sampled at the vertices of {settings.mesh}, averaged from the white to the pial "
        "surface within the brain mask (nilearn's vol_to_surf). "
    )


def _clean_block(data: np.ndarray, regressors: np.ndarray, standardize: bool) -> np.ndarray:
    finite = np.isfinite(data).all(axis=0)
    signals = np.where(finite, data, 0.0).astype(float)
    signals -= signals.mean(axis=0)
    before = signals.std(axis=0)
    if regressors.shape[1]:
        with warnings.catch_warnings():
            # Announces how confounds will be scaled in nilearn 0.14: a projection does not depend on it.
            warnings.filterwarnings(
                "ignore", message=".*confounds will be standardized", category=DeprecationWarning
            )
            # The drifts go in as confounds: with filter="cosine" nilearn leaves all of them out as
            # soon as one confound happens to resemble a slow cosine.
            signals = clean(signals, detrend=False, standardize=None, confounds=regressors, filter=False)
    signals -= signals.mean(axis=0)
    scale = signals.std(axis=0)
    usable = finite & (np.ptp(data, axis=0) > 0) & (scale > _ROUNDING * before)
    if standardize:
        signals /= np.where(usable, scale, 1.0)
    return np.where(usable, signals, np.nan)
