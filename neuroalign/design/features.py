"""The design of one subject: activations of items become features of samples, beside the nuisance.

Samples of a time series follow what was shown in the seconds before; a trial follows its own stimulus.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd
import xarray as xr
from scipy import sparse

from neuroalign.artefacts.arrays import Activations
from neuroalign.design.clocks import reaching
from neuroalign.design.lagged import ONSETS, Continuous, continuous
from neuroalign.design.resample import haemodynamic, lanczos, remove_drifts
from neuroalign.design.trials import are_trials, trial_events
from neuroalign.errors import DataError, choices
from neuroalign.settings.design import Design

HRF_REACH_S = 12.0
"""Seconds after which little of a haemodynamic response is left: the lag of the hrf design."""


EVENTS_AT_ONCE = 4096
"""Events whose weights are formed together: of features over time there may be a hundred each second."""


@dataclass(frozen=True)
class RunWeights:
    """How the events of one run reach its samples.

    Attributes
    ----------
    samples : int array (n_samples of the run,)
        Where they stand among all samples of the subject.
    items : int array (n_events,)
    weights : tuple of sparse arrays (n_samples, n_events), one per delay
        An event reaches few samples.
    high_pass_hz : float
        Of the responses; 0 leaves drifts in place.
    step : float
        Seconds between samples.
    """

    samples: np.ndarray
    items: np.ndarray
    weights: tuple[sparse.csr_array, ...]
    high_pass_hz: float
    step: float

    def features(self, activations: np.ndarray) -> np.ndarray:
        """Features (n_samples, n_delays, n_units) of a layer's activations (n_items, n_units)."""
        of_events = activations[self.items].astype(np.float32)
        found = np.stack([part @ of_events for part in self.weights], axis=1)
        flat = found.reshape(len(found), -1)
        return remove_drifts(flat, self.high_pass_hz, self.step).reshape(found.shape)


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
            found[run.samples] = run.features(activations)
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


Shown = TimeSeries | Trials | Continuous


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

    shown: Shown
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
    responses: xr.Dataset,
    events: pd.DataFrame,
    settings: Design,
    beside: Sequence[Activations] = (),
    network: Activations | None = None,
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
    network : Activations, optional
        The one that is fitted: where it has a clock of its own, features are placed by that.

    Raises
    ------
    DataError
        A run has no events, trials are not as many as events, or a nuisance column is not among the
        confounds.
    """

    def placed(one: Activations | None) -> Shown:
        return _placed(responses, reaching(events, one), settings)

    shown = placed(network)
    columns, names = _nuisance_of_words(responses, events, settings)
    for each in beside:
        by = placed(each) if each.timed or (network is not None and network.timed) else shown
        for number, layer in enumerate(each.layers):
            columns.append(by.features(each.read(number)))
            label = f"{each.attributes['network']}:{layer}"
            names += [f"{label}:{unit}" for unit in range(columns[-1].shape[1])]
    nuisance = np.concatenate(columns, axis=1)
    if not isinstance(shown, Continuous):
        return SubjectDesign(shown, nuisance, tuple(names))
    step = float(responses.attrs["tr"])
    lagged = tuple(f"{name}_{lag * step:g}s" for lag in shown.lags for name in names)
    return SubjectDesign(shown, shown.at_all_lags(nuisance), lagged, nuisance)


def _placed(responses: xr.Dataset, events: pd.DataFrame, settings: Design) -> Shown:
    """How items reach samples, by the events that are theirs."""
    if are_trials(responses):
        return Trials(trial_events(responses, events)["item"].to_numpy())
    if settings.lags is not None:
        return continuous(responses, events, settings.lags)
    lag = HRF_REACH_S if settings.resample == "hrf" else max(settings.delays)
    labels = responses["run"].values.astype(str)
    return TimeSeries(len(labels), tuple(_run_weights(responses, events, settings, settings.delays)), lag)


def _nuisance_of_words(
    responses: xr.Dataset, events: pd.DataFrame, settings: Design
) -> tuple[list[np.ndarray], list[str]]:
    """Nuisance features that come from what was shown and from confounds, with their names."""
    n_samples = responses.sizes["sample"]
    columns, names = [np.empty((n_samples, 0), np.float32)], list[str]()
    if are_trials(responses) or not (settings.nuisance.word_rate or settings.nuisance.columns):
        return columns, names
    if settings.lags is not None:
        if settings.nuisance.word_rate:
            columns, names = [np.zeros((n_samples, 1), np.float32)], [ONSETS]
            np.add.at(columns[0][:, 0], continuous(responses, events, settings.lags).onsets, 1.0)
        return columns, names
    runs = list(_run_weights(responses, events, settings, settings.nuisance.delays))
    if settings.nuisance.word_rate:
        rate = np.empty((n_samples, len(runs[0].weights)), np.float32)
        for run in runs:
            rate[run.samples] = run.features(np.ones((int(events["item"].max()) + 1, 1)))[..., 0]
        columns.append(rate)
        delays = settings.nuisance.delays if settings.resample == "lanczos" else (0.0,)
        names += [f"word_rate_{delay:g}s" for delay in delays]
    if settings.nuisance.columns:
        confounds, found = _confounds(responses, settings.nuisance.columns)
        for run in runs:
            confounds[run.samples] = remove_drifts(confounds[run.samples], run.high_pass_hz, run.step)
        columns.append(confounds)
        names += found
    return columns, names


def _run_weights(
    responses: xr.Dataset, events: pd.DataFrame, settings: Design, delays: tuple[float, ...]
) -> Iterator[RunWeights]:
    """How the events reach the samples of every run."""
    labels, times = responses["run"].values.astype(str), responses["time_s"].values
    step = float(responses.attrs["tr"])
    cut = float(responses.attrs.get("high_pass_hz", 0.0)) if settings.filter else 0.0
    for run in dict.fromkeys(labels):
        of_run = events[events["run"] == run]
        if of_run.empty:
            raise DataError(
                f"sub-{responses.attrs['subject']}, {run}: volumes but no events; add its events.tsv"
            )
        samples = np.flatnonzero(labels == run)
        parts = [
            _weights(times[samples], of_run.iloc[start : start + EVENTS_AT_ONCE], settings, step, delays)
            for start in range(0, len(of_run), EVENTS_AT_ONCE)
        ]
        weights = tuple(
            sparse.hstack([sparse.csr_array(each.astype(np.float32)) for each in of_delay], format="csr")
            for of_delay in zip(*parts, strict=True)
        )
        yield RunWeights(samples, of_run["item"].to_numpy(), weights, cut, step)


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
