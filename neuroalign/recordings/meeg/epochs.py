"""Trials: recordings cut around the onsets of stimuli, by MNE, with a count of what is dropped and why."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from neuroalign.errors import DataError
from neuroalign.recordings.meeg.raw import used_rate
from neuroalign.settings.sensors import Sensors

if TYPE_CHECKING:
    import mne

OUTSIDE, ANNOTATED, REJECTED, BEFORE = (
    "reach beyond the recording",
    "are annotated BAD",
    "have an amplitude out of bounds",
    "were dropped before",
)
"""Why a trial is dropped."""


@dataclass(frozen=True)
class Cut:
    """The trials of one run that are left.

    Attributes
    ----------
    data : array (n_trials, n_channels, n_latencies)
        In volts or tesla; NaN for bad channels.
    shown : int array (n_trials,)
        Which stimulus of the run each of them is a response to, from 0.
    latencies : array (n_latencies,)
        Seconds after the onset.
    sampling_hz : float
    dropped : Counter
        How many stimuli have no trial, by reason.
    """

    data: np.ndarray
    shown: np.ndarray
    latencies: np.ndarray
    sampling_hz: float
    dropped: Counter[str]


def cut(raw: mne.io.BaseRaw, onsets: np.ndarray, channels: list[str], settings: Sensors) -> Cut:
    """Cut a prepared recording around the onsets of its stimuli.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        From `raw.prepare`; resampled in place where its rate is no multiple of the one asked for.
    onsets : array (n_stimuli,)
        Seconds from the first sample, ascending.
    channels : list of str
        Those to be predicted.
    settings : Sensors

    Returns
    -------
    Cut

    Raises
    ------
    DataError
        Two stimuli begin at one sample, or no trial is left.
    """
    import mne

    rate = used_rate(float(raw.info["sfreq"]), settings)
    step = round(raw.info["sfreq"] / rate)
    if not np.isclose(raw.info["sfreq"], step * rate):
        raw.resample(rate, verbose="error")
        step = 1
    samples = np.round(np.asarray(onsets) * raw.info["sfreq"]).astype(int) + raw.first_samp
    twice = np.flatnonzero(np.diff(samples) == 0)
    if len(twice):
        raise DataError(
            f"stimuli {twice[0] + 1} and {twice[0] + 2} begin at the same sample ({onsets[twice[0]]:g} s); "
            "mend the onsets, or name one of them in stimuli.skip"
        )
    inside = (samples >= raw.first_samp) & (samples <= raw.last_samp)
    events = np.column_stack([samples, np.zeros_like(samples), np.arange(len(samples)) + 1])[inside]
    if not len(events):
        raise DataError(_none_left(len(samples), Counter({OUTSIDE: len(samples)})))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of trials dropped, which are counted
        epochs = mne.Epochs(
            raw,
            events,
            tmin=settings.epoch_s[0],
            tmax=settings.epoch_s[1],
            baseline=settings.baseline_s,
            reject=dict(settings.reject) or None,
            flat=dict(settings.flat) or None,
            picks="all",
            decim=step,
            preload=True,
            verbose="error",
        )
    dropped = _reasons(log for log in epochs.drop_log if log)
    dropped = +(dropped + Counter({OUTSIDE: int((~inside).sum())}))
    if not len(epochs):
        raise DataError(_none_left(len(samples), dropped))
    shown = np.flatnonzero(inside)[epochs.selection]
    return Cut(_data(epochs, channels, settings), shown, epochs.times, float(rate), dropped)


def from_epochs(epochs: mne.BaseEpochs, n_stimuli: int, channels: list[str], settings: Sensors) -> Cut:
    """Trials that were cut before, of which some may have been dropped.

    Parameters
    ----------
    epochs : mne.BaseEpochs
        Loaded; cropped and resampled in place as the settings say.
    n_stimuli : int
        How many stimuli the run has.
    channels : list of str
    settings : Sensors

    Raises
    ------
    DataError
        There are neither as many trials as stimuli, nor as many before some were dropped; or none.
    """
    if len(epochs.drop_log) == n_stimuli:
        shown = np.asarray(epochs.selection)
    elif len(epochs) == n_stimuli:
        shown = np.arange(n_stimuli)
    else:
        raise DataError(
            f"{len(epochs)} trials ({len(epochs.drop_log)} before some were dropped), but {n_stimuli} "
            "stimuli; give the epochs of this run's stimuli, or name in stimuli.skip what has none"
        )
    dropped = Counter({BEFORE: n_stimuli - len(shown)})
    if not len(epochs):
        raise DataError(_none_left(n_stimuli, dropped))
    start, stop = settings.epoch_s
    epochs.crop(max(start, epochs.tmin), min(stop, epochs.tmax), verbose="error")
    rate = used_rate(float(epochs.info["sfreq"]), settings)
    if rate < epochs.info["sfreq"]:
        epochs.resample(rate, verbose="error")
    return Cut(_data(epochs, channels, settings), shown, epochs.times, rate, +dropped)


def describe_dropped(n_stimuli: int, dropped: Counter[str]) -> str:
    """Say how many trials are left and why others are not, in a sentence."""
    total = sum(dropped.values())
    if not total:
        return f"All {n_stimuli} trials were kept."
    reasons = ", ".join(f"{count} that {reason}" for reason, count in dropped.most_common())
    return f"{total} of {n_stimuli} trials were dropped: {reasons}."


def _data(epochs: mne.BaseEpochs, channels: list[str], settings: Sensors) -> np.ndarray:
    """Trials (trial, channel, latency), with bad channels NaN, noise-normalised where asked for."""
    data = epochs.get_data(picks=channels, copy=True)
    good = np.array([name not in epochs.info["bads"] for name in channels])
    if settings.whiten:
        data[:, good] = _whitened(
            epochs, [name for name, use in zip(channels, good, strict=True) if use], settings
        )
    data[:, ~good] = np.nan
    return data


def _whitened(epochs: mne.BaseEpochs, names: list[str], settings: Sensors) -> np.ndarray:
    """Trials of some channels (trial, channel, latency) less the spatial structure of their noise.

    The covariance is that of the baseline, shrunk after Ledoit and Wolf: no stimulus has a part in it
    (Guggenmos et al. 2018 on why).
    """
    import mne

    assert settings.baseline_s is not None
    start, stop = settings.baseline_s
    own = epochs.copy().pick(names, verbose="error")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few samples, which shrinking is for
        noise = mne.compute_covariance(
            own, tmin=start, tmax=stop, method="ledoit_wolf", rank="info", verbose="error"
        )
        whitener, _ = mne.cov.compute_whitener(noise, own.info, rank="info", pca=False, verbose="error")
    return np.einsum("cd,ndt->nct", whitener, own.get_data(copy=False), optimize=True)


def _reasons(logs: Iterable[tuple[str, ...]]) -> Counter[str]:
    """Count what MNE wrote about trials dropped, by our own reasons."""
    found: Counter[str] = Counter()
    for log in logs:
        first = log[0]
        if first in ("TOO_SHORT", "NO_DATA"):
            found[OUTSIDE] += 1
        elif first.upper().startswith("BAD"):
            found[ANNOTATED] += 1
        elif first in ("USER", "IGNORED"):
            found[BEFORE] += 1
        else:
            found[REJECTED] += 1
    return found


def _none_left(n_stimuli: int, dropped: Counter[str]) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common())
    return (
        f"no trial is left of {n_stimuli} ({reasons}); correct responses.sensors (epoch_s, reject, flat), "
        "the annotations or the onsets, or leave the run out"
    )
