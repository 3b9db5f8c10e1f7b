"""Where targets that are sensors lie: their channels, their latencies, and what MNE is told of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign.errors import DataError

if TYPE_CHECKING:
    import mne

MEG = ("mag", "grad")
INTRACRANIAL = ("ecog", "seeg", "dbs")

SAME_STEP = 0.01
"""Latencies whose steps differ by less than this share of a step are evenly spaced."""


def channels(dataset: xr.Dataset) -> pd.DataFrame:
    """The channels of a dataset with targets, in the order of the recording.

    Returns
    -------
    DataFrame
        `channel`, `channel_type`, `x`, `y`, `z` (m, head coordinates; NaN where unknown) and `valid`,
        whether any of its targets could be scored.
    """
    columns = ("channel", "channel_type", "x", "y", "z", "valid")
    known = {name: dataset[name].values for name in columns if name in dataset.coords}
    table = pd.DataFrame(
        {"channel_type": "eeg", "x": np.nan, "y": np.nan, "z": np.nan, "valid": True} | known
    )
    table["channel"] = table["channel"].astype(str)
    table["valid"] = table.groupby("channel")["valid"].transform("any").astype(bool)
    return table.drop_duplicates("channel", ignore_index=True)[list(columns)]


def latencies(dataset: xr.Dataset) -> np.ndarray | None:
    """The latencies (n_latencies,) in seconds, ascending; None where targets are channels alone."""
    return np.unique(dataset["latency"].values) if "latency" in dataset.coords else None


def gridded(dataset: xr.Dataset, values: np.ndarray) -> np.ndarray:
    """Values (…, target) as (…, channel, latency); NaN where there is no target.

    Of targets without a latency the last axis has one entry.

    Raises
    ------
    DataError
        Two targets are of the same channel and latency.
    """
    values = np.asarray(values)
    names = pd.Index(channels(dataset)["channel"])
    row = names.get_indexer(pd.Index(dataset["channel"].values.astype(str)))
    times = latencies(dataset)
    column = np.zeros_like(row) if times is None else np.searchsorted(times, dataset["latency"].values)
    n_times = 1 if times is None else len(times)
    if len(np.unique(row * n_times + column)) < len(row):
        raise DataError(
            f"sub-{dataset.attrs.get('subject')}: two targets are of the same channel and latency; "
            "give every channel a name of its own"
        )
    out = np.full((*values.shape[:-1], len(names), n_times), np.nan)
    out[..., row, column] = values
    return out


def datatype(types: pd.Series) -> str:
    """The BIDS folder of channels of these types: MEG with EEG beside it counts as MEG."""
    found = set(types)
    if found & set(MEG):
        return "meg"
    return "ieeg" if found & set(INTRACRANIAL) else "eeg"


def rate_of(times: np.ndarray, sampling_hz: float) -> float | None:
    """Samples a second of evenly spaced times (s), `sampling_hz` of a single one; None if they are uneven."""
    if len(times) < 2:
        return sampling_hz
    steps = np.diff(times)
    step = float(times[-1] - times[0]) / len(steps)
    return 1 / step if np.abs(steps - step).max() <= SAME_STEP * step else None


def info_of(table: pd.DataFrame, rate: float) -> mne.Info:
    """What MNE must know of channels to draw them.

    Parameters
    ----------
    table : DataFrame
        From `channels`; those that are not valid are marked bad, so that MNE leaves them out.
    rate : float
        Samples a second.
    """
    import mne

    info = mne.create_info(table["channel"].tolist(), rate, table["channel_type"].tolist())
    places = table[["x", "y", "z"]].to_numpy(float)
    if table["channel_type"].isin(MEG).any():
        # Positions are in head coordinates already: the helmet is where the head is.
        info["dev_head_t"] = mne.transforms.Transform("meg", "head", np.eye(4))
    # Not through a montage, for which MNE would make up landmarks of the head.
    for number in np.flatnonzero(np.isfinite(places).all(axis=1)):
        info["chs"][number]["loc"][:3] = places[number]
    info["bads"] = table["channel"][~table["valid"]].tolist()
    return info
