"""Stimuli on the clock of EEG and MEG: features that an encoder looks at from several lags.

Where a haemodynamic design makes a column of every delay, this one leaves lags to the encoder, which never
forms them. Only nuisance features, of which there are few, are also given at every lag.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign.encoders.lagged import lags_between
from neuroalign.errors import DataError
from neuroalign.settings.design import Lags

ONSETS = "onset"
"""Name of the nuisance feature that is 1 where a stimulus begins."""


@dataclass(frozen=True)
class Continuous:
    """How items reach the samples of a continuous recording.

    Attributes
    ----------
    n_samples : int
    rows, items : int arrays (n,)
        Which item counts in which sample: at its onset, or as long as it lasts.
    onsets : int array (n_events,)
        Samples in which an item begins.
    segments : int array (n_samples,)
        Samples of one number follow each other without a gap.
    lags : int array (n_lags,)
        In samples.
    lag : float
        How far apart samples must be to share nothing, in seconds.
    """

    n_samples: int
    rows: np.ndarray
    items: np.ndarray
    onsets: np.ndarray
    segments: np.ndarray
    lags: np.ndarray
    lag: float

    def features(self, activations: np.ndarray) -> np.ndarray:
        """Features (n_samples, n_units) of a layer's activations (n_items, n_units), at no lag yet."""
        found = np.zeros((self.n_samples, activations.shape[1]), np.float32)
        np.add.at(found, self.rows, activations[self.items].astype(np.float32))
        return found

    def at_all_lags(self, features: np.ndarray) -> np.ndarray:
        """Features (n_samples, n_lags · n_units) at every lag, zero beyond a segment's edges."""
        n_units = features.shape[1]
        found = np.zeros((self.n_samples, len(self.lags), n_units), np.float32)
        where = np.arange(self.n_samples)
        for number, lag in enumerate(self.lags):
            source = where - lag
            inside = (source >= 0) & (source < self.n_samples)
            inside[inside] = self.segments[source[inside]] == self.segments[inside]
            found[inside, number] = features[source[inside]]
        return found.reshape(self.n_samples, -1)


def continuous(responses: xr.Dataset, events: pd.DataFrame, settings: Lags) -> Continuous:
    """Place the events of a subject on the samples of its responses.

    Parameters
    ----------
    responses : Dataset
        Gives run and time of every sample; samples may have been left out.
    events : DataFrame
        Of this subject: run, onset, duration (s), item.
    settings : Lags

    Raises
    ------
    DataError
        A run has no event within its samples.
    """
    labels, times = responses["run"].values.astype(str), responses["time_s"].values
    step = float(responses.attrs["tr"])
    rows, items, onsets = [], [], []
    for run in dict.fromkeys(labels):
        samples = np.flatnonzero(labels == run)
        of_run = events[events["run"] == run].sort_values("onset", kind="stable")
        starts = _nearest(times[samples], of_run["onset"].to_numpy(float), step)
        there = starts >= 0
        if not there.any():
            raise DataError(
                f"sub-{responses.attrs['subject']}, {run}: {len(samples)} samples but no stimulus within "
                "them; look at the onsets in events.tsv and at stimuli.offset_s"
            )
        onsets.append(samples[starts[there]])
        shown = of_run["item"].to_numpy()
        if settings.features == "impulse":
            rows.append(samples[starts[there]])
            items.append(shown[there])
        else:
            ends = of_run["onset"].to_numpy(float) + of_run["duration"].to_numpy(float)
            held = _held(times[samples], of_run["onset"].to_numpy(float), ends, step)
            rows.append(samples[held >= 0])
            items.append(shown[held[held >= 0]])
    return Continuous(
        len(labels),
        np.concatenate(rows),
        np.concatenate(items),
        np.concatenate(onsets),
        segments_of(labels, times, step),
        lags_between(settings.start_s, settings.stop_s, 1 / step),
        settings.reach,
    )


def segments_of(runs: np.ndarray, times: np.ndarray, step: float) -> np.ndarray:
    """Number the stretches (n_samples,) of a run between which samples are missing."""
    breaks = (runs[1:] != runs[:-1]) | (np.diff(times) > 1.5 * step)
    return np.concatenate([[0], np.cumsum(breaks)]).astype(int)


def _nearest(times: np.ndarray, onsets: np.ndarray, step: float) -> np.ndarray:
    """The sample nearest to every onset; −1 where none is within a step."""
    after = np.clip(np.searchsorted(times, onsets), 0, len(times) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.where(np.abs(times[before] - onsets) <= np.abs(times[after] - onsets), before, after)
    return np.where(np.abs(times[nearer] - onsets) <= step, nearer, -1)


def _held(times: np.ndarray, onsets: np.ndarray, ends: np.ndarray, step: float) -> np.ndarray:
    """The event (n_samples,) that lasts at every sample, the latest where several do; −1 for none."""
    latest = np.searchsorted(onsets, times + step / 2) - 1
    lasts = (latest >= 0) & (times < ends[np.maximum(latest, 0)] - 1e-9)
    return np.where(lasts, latest, -1)
