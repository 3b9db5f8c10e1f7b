"""From events at any time to samples on the grid of the recording.

A resampling is a matrix (samples × events) per delay: features of samples are that matrix times
features of events. It depends on times alone, so one matrix serves all layers of all networks.
"""

from __future__ import annotations

import numpy as np


def lanczos(sample_times: np.ndarray, event_times: np.ndarray, step: float, lobes: int = 3) -> np.ndarray:
    """Weights (n_samples, n_events) of a Lanczos filter that cuts at the samples' Nyquist frequency.

    Every event is an impulse; a sample sums sinc(x) sinc(x / lobes) over the events, with x the
    distance in samples (Huth et al. 2016, Nature 532:453).

    Parameters
    ----------
    sample_times, event_times : arrays, seconds
    step : float
        Seconds between samples.
    lobes : int
        Half-width of the kernel in samples.
    """
    x = (sample_times[:, None] - event_times[None, :]) / step
    return np.where(np.abs(x) < lobes, np.sinc(x) * np.sinc(x / lobes), 0.0)


def haemodynamic(
    sample_times: np.ndarray, event_times: np.ndarray, durations: np.ndarray, step: float
) -> np.ndarray:
    """Weights (n_samples, n_events): each event as a boxcar convolved with Glover's (1999) HRF.

    The weight of an event is the integral of the HRF over the time during which the event was on,
    seen from the sample; a long event approaches 1. The kernel is nilearn's `glover_hrf`.

    Parameters
    ----------
    sample_times, event_times, durations : arrays, seconds
    step : float
        Seconds between samples.
    """
    from nilearn.glm.first_level import glover_hrf

    oversampling = max(1, int(np.ceil(step / 0.05)))
    kernel = glover_hrf(step, oversampling=oversampling)
    grid = np.arange(len(kernel) + 1) * step / oversampling
    cumulative = np.concatenate([[0.0], np.cumsum(kernel)]) / kernel.sum()
    since_onset = sample_times[:, None] - event_times[None, :]
    since_end = since_onset - durations[None, :]
    return np.interp(since_onset, grid, cumulative) - np.interp(since_end, grid, cumulative)


def remove_drifts(weights: np.ndarray, high_pass_hz: float, step: float) -> np.ndarray:
    """Project the slow cosines of the responses' own high-pass out of the samples of one run.

    Being linear over samples it may be applied to resampling weights instead of to features.

    Parameters
    ----------
    weights : array (n_samples, n_columns)
    high_pass_hz : float
        Cut-off of the filter; 0 leaves everything in place.
    step : float
        Seconds between samples.
    """
    if high_pass_hz <= 0:
        return weights
    from nilearn.signal import create_cosine_drift

    drifts = create_cosine_drift(high_pass_hz, np.arange(len(weights)) * step)
    basis = np.linalg.qr(drifts)[0]
    return weights - basis @ (basis.T @ weights)
