"""The design of one subject: activations of items become features of samples, beside the nuisance.

Samples of a time series follow what was shown in the seconds before; a trial follows its own stimulus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign.artefacts.arrays import Activations
from neuroalign.design.lagged import ONSETS, Continuous, continuous
from neuroalign.design.resample import haemodynamic, lanczos, remove_drifts
from neuroalign.design.trials import are_trials, trial_events
from neuroalign.errors import DataError, choices
from neuroalign.settings.design import Design

HRF_REACH_S = 12.0
"""Seconds after which little of a haemodynamic response is left: the lag of the hrf design."""


@dataclass(frozen=True)
class RunWeights:
    """How the events of one run reach its samples.

    Attributes
    ----------
    samples : int array (n_samples of the run,)
        Where they stand among all samples of the subject.
    items : int array (n_events,)
    weights : array (n_delays, n_samples, n_events)
        Drifts already removed.
    """

    samples: np.ndarray
    items: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class TimeSeries:
    """How items reach the samples of a time series.

    Attributes
    ----------
    n_samples : int
    runs : tuple of RunWeights
    lag : float
        Longest delay in seconds.
    """

    n_samples: int
    runs: tuple[RunWeights, ...]
    lag: float

    def features(self, activations: np.ndarray) -> np.ndarray:
        """Features (n_samples, n_delays · n_units) of a layer's activations (n_items, n_units)."""
        n_delays = len(self.runs[0].weights)
        found = np.empty((self.n_samples, n_delays, activations.shape[1]), np.float32)
        for run in self.runs:
            found[run.samples] = np.swapaxes(run.weights @ activations[run.items].astype(np.float32), 0, 1)
        return found.reshape(self.n_samples, -1)


@dataclass(frozen=True)
class Trials:
    """How items reach trials: each is its own item's.

    Attributes
    ----------
    items : int array (n_samples,)
    """

    items: np.ndarray
    lag: float = 0.0

    def features(self, activations: np.ndarray) -> np.ndarray:
        """Features (n_samples, n_units) of a layer's activations (n_items, n_units)."""
        return activations[self.items].astype(np.float32)


@dataclass(frozen=True)
class SubjectDesign:
    """The design of a subject before any network.

    Attributes
    ----------
    shown : TimeSeries, Trials or Continuous
    nuisance : array (n_samples, n_nuisance)
        At every lag, where there are lags.
    nuisance_names : tuple of str
    unlagged : array (n_samples, n_features) or None
        Nuisance features at no lag yet, for encoders that make lags themselves.
    """

    shown: TimeSeries | Trials | Continuous
    nuisance: np.ndarray
    nuisance_names: tuple[str, ...]
    unlagged: np.ndarray | None = None

    @property
    def lag(self) -> float:
        """Longest delay in seconds."""
        return self.shown.lag

    def features(self, activations: np.ndarray) -> np.ndarray:
        """Features (n_samples, n_features) of a layer's activations (n_items, n_units)."""
        return self.shown.features(activations)


def design_subject(
    responses: xr.Dataset, events: pd.DataFrame, settings: Design, beside: Sequence[Activations] = ()
) -> SubjectDesign:
    """Place the events of a subject on the samples of its responses.

    Parameters
    ----------
    responses : Dataset
        Gives run and time of every sample, the confounds and the high-pass that was applied.
    events : DataFrame
        Those of this subject: run, onset, duration (s), item.
    settings : Design
    beside : sequence of Activations
        Networks whose features are nuisance, all layers of them.

    Raises
    ------
    DataError
        A run has no events, trials are not as many as events, or a nuisance column is not among the
        confounds.
    """
    shown: TimeSeries | Trials | Continuous
    empty = np.empty((responses.sizes["sample"], 0), np.float32)
    if are_trials(responses):
        shown = Trials(trial_events(responses, events)["item"].to_numpy())
        columns, names = [empty], list[str]()
    elif settings.lags is not None:
        shown = continuous(responses, events, settings.lags)
        columns, names = [empty], []
        if settings.nuisance.word_rate:
            columns, names = [np.zeros((shown.n_samples, 1), np.float32)], [ONSETS]
            np.add.at(columns[0][:, 0], shown.onsets, 1.0)
    else:
        shown, columns, names = _time_series(responses, events, settings)
    for network in beside:
        for number, layer in enumerate(network.layers):
            columns.append(shown.features(network.read(number)))
            label = f"{network.attributes['network']}:{layer}"
            names += [f"{label}:{unit}" for unit in range(columns[-1].shape[1])]
    nuisance = np.concatenate(columns, axis=1)
    if not isinstance(shown, Continuous):
        return SubjectDesign(shown, nuisance, tuple(names))
    step = float(responses.attrs["tr"])
    lagged = tuple(f"{name}_{lag * step:g}s" for lag in shown.lags for name in names)
    return SubjectDesign(shown, shown.at_all_lags(nuisance), lagged, nuisance)


def _time_series(
    responses: xr.Dataset, events: pd.DataFrame, settings: Design
) -> tuple[TimeSeries, list[np.ndarray], list[str]]:
    """How items reach samples, and the nuisance features of the time series themselves with their names."""
    labels = responses["run"].values.astype(str)
    times = responses["time_s"].values
    step = float(responses.attrs["tr"])
    cut = float(responses.attrs.get("high_pass_hz", 0.0)) if settings.filter else 0.0
    runs, rates = [], []
    for run in dict.fromkeys(labels):
        of_run = events[events["run"] == run]
        if of_run.empty:
            raise DataError(
                f"sub-{responses.attrs['subject']}, {run}: volumes but no events; add its events.tsv"
            )
        samples = np.flatnonzero(labels == run)
        raw = _weights(times[samples], of_run, settings, step, settings.delays)
        weights = np.stack([remove_drifts(part, cut, step) for part in raw]).astype(np.float32)
        runs.append(RunWeights(samples, of_run["item"].to_numpy(), weights))
        if settings.nuisance.word_rate:
            rate = _weights(times[samples], of_run, settings, step, settings.nuisance.delays)
            rates.append(remove_drifts(np.stack([part.sum(axis=1) for part in rate], axis=1), cut, step))
    columns, names = [np.empty((len(labels), 0), np.float32)], []
    if settings.nuisance.word_rate:
        word_rate = np.empty((len(labels), rates[0].shape[1]), np.float32)
        for run, values in zip(runs, rates, strict=True):
            word_rate[run.samples] = values
        columns.append(word_rate)
        delays = settings.nuisance.delays if settings.resample == "lanczos" else (0.0,)
        names += [f"word_rate_{delay:g}s" for delay in delays]
    if settings.nuisance.columns:
        confounds, found = _confounds(responses, settings.nuisance.columns)
        for run in runs:
            confounds[run.samples] = remove_drifts(confounds[run.samples], cut, step)
        columns.append(confounds)
        names += found
    lag = HRF_REACH_S if settings.resample == "hrf" else max(settings.delays)
    return TimeSeries(len(labels), tuple(runs), lag), columns, names


def _weights(
    times: np.ndarray, events: pd.DataFrame, settings: Design, step: float, delays: tuple[float, ...]
) -> list[np.ndarray]:
    """One matrix (samples, events) per delay in seconds; the HRF brings its own delay."""
    onsets = events["onset"].to_numpy(float)
    if settings.resample == "hrf":
        return [haemodynamic(times, onsets, events["duration"].to_numpy(float), step)]
    return [lanczos(times - delay, onsets, step, settings.lanczos_window) for delay in delays]


def _confounds(responses: xr.Dataset, patterns: tuple[str, ...]) -> tuple[np.ndarray, list[str]]:
    """The confound columns (n_samples, n_columns) that a name or pattern asks for."""
    known = [str(name) for name in responses["confound"].values]
    picked: list[str] = []
    for pattern in patterns:
        matches = [name for name in known if fnmatchcase(name, pattern)]
        if not matches:
            raise DataError(
                f"design.nuisance.columns: '{pattern}' is no confound of sub-{responses.attrs['subject']}: "
                + choices(pattern, known)
            )
        picked += [name for name in matches if name not in picked]
    return responses["confound_value"].sel(confound=picked).values.astype(np.float32), picked


def unit_band(features: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Scale a band by its training samples so that its columns' variances sum to one.

    Columns are z-scored and divided by √(number of columns): a band of five columns then weighs as
    much under one regularisation as a band of a thousand. Constant columns become zero.
    """
    if not features.shape[1]:
        return features
    inside = features[train]
    mean, spread = inside.mean(axis=0, dtype=np.float64), inside.std(axis=0, dtype=np.float64)
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-6 * max(spread.max(), 1e-30))
    scale /= np.sqrt(features.shape[1])
    return ((features - mean) * scale).astype(np.float32)
