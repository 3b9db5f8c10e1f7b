"""The words before every sample, as tokens of cross-attention: which ones, and how long ago."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign.arrays import Activations
from neuroalign.encoders.attention.tokens import Tokens, recent
from neuroalign.errors import DataError, choices


def looked_at(wanted: Literal["all"] | Sequence[str], layers: Sequence[str]) -> list[int]:
    """Places among a network's layers of those that are looked at: the ones it has.

    Raises
    ------
    DataError
        It has none of them.
    """
    if wanted == "all":
        return list(range(len(layers)))
    found = [place for place, name in enumerate(layers) if name in wanted]
    if not found:
        raise DataError(
            f"cross_attention.layers: the activations have none of {', '.join(wanted)}: "
            f"{choices(wanted[0], layers)}"
        )
    return found


def read_layers(wanted: Literal["all"] | Sequence[str], activations: Activations) -> dict[str, np.ndarray]:
    """The layers (n_items, n_units) that are looked at, in the precision they were stored in."""
    return {
        activations.layers[place]: activations.read(place) for place in looked_at(wanted, activations.layers)
    }


def words_before(
    responses: xr.Dataset, events: pd.DataFrame, layers: Mapping[str, np.ndarray], window_s: float
) -> Tokens:
    """Every sample's tokens: the words that began in the last seconds, placed by their lag.

    Words are looked up by their number when a batch is read: their activations are held once, for whatever
    number of samples and subjects.

    Parameters
    ----------
    responses : Dataset
        Gives run and time of every sample.
    events : DataFrame
        Of this subject: run, onset (s), item.
    layers : mapping of str to array (n_items, n_units)
        See `read_layers`.
    window_s : float

    Raises
    ------
    DataError
        No sample of any run has a word before it.
    """
    labels, times = responses["run"].values.astype(str), responses["time_s"].values
    found = []
    for run in dict.fromkeys(labels):
        heard = events[events["run"] == run].sort_values("onset", kind="stable")
        samples = np.flatnonzero(labels == run)
        before = recent(heard["onset"].to_numpy(float), times[samples], window_s)
        index = before["index"]
        items = np.append(heard["item"].to_numpy(np.int64), -1)[index]
        found.append((samples, items, before["positions"]))
    width = max(items.shape[1] for _, items, _ in found)
    index = np.full((len(labels), width), -1, np.int64)
    lags = np.full((len(labels), width, 1), np.nan, np.float32)
    for samples, items, positions in found:
        # The latest word stands last.
        index[samples, width - items.shape[1] :] = items
        lags[samples, width - items.shape[1] :] = positions
    if (index < 0).all():
        raise DataError(
            f"sub-{responses.attrs['subject']}: no word began in the {window_s:g} s before any sample; "
            "look at onsets and stimuli.offset_s"
        )
    return Tokens(layers, index=index, positions=lags)
