"""What cross-attention looks at: the words before a sample and how long ago, or the patches of its image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign.artefacts.arrays import Activations
from neuroalign.design.trials import are_trials, trial_events
from neuroalign.encoders.attention.tokens import Tokens, grid, recent
from neuroalign.errors import DataError, choices

LAGS = 41
"""Points of a delay curve, from now to the beginning of the window."""

FIELD = grid(12, 12)
"""Places (place, 2) of an image, x and y in shares of it, at which receptive fields are read."""

HELD_BYTES = 4 * 2**30
"""Patches of all layers up to so many bytes are held in memory; more are read batch by batch."""


@dataclass(frozen=True)
class Layers:
    """The layers of a network that are looked at.

    Attributes
    ----------
    values : mapping of str to array
        (n_items, n_units), or (n_items, n_tokens, n_units) for single tokens, in the stored precision.
    places : mapping of str to array (n_tokens, n_axes)
        Where single tokens lie; empty where there are none.
    """

    values: Mapping[str, Any]
    places: Mapping[str, np.ndarray]


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


def read_layers(
    wanted: Literal["all"] | Sequence[str], activations: Activations, trials: bool = False
) -> Layers:
    """The layers that are looked at; of trials their single tokens.

    Raises
    ------
    DataError
        The network has none of the layers, or kept no single tokens.
    """
    numbers = looked_at(wanted, activations.layers)
    if not trials:
        return Layers({activations.layers[number]: activations.read(number) for number in numbers}, {})
    if not activations.has_tokens:
        name = activations.attributes.get("network", activations.path.stem)
        raise DataError(
            f"cross_attention looks at the patches of an image, but network {name} kept none; set "
            f"networks.{name}.tokens: true, or leave cross_attention out"
        )
    stored = {activations.layers[number]: activations.tokens(number) for number in numbers}
    held = sum(array.nbytes for array, _ in stored.values()) <= HELD_BYTES
    values = {name: np.asarray(array) if held else array for name, (array, _) in stored.items()}
    return Layers(values, {name: places for name, (_, places) in stored.items()})


def tokens_of(responses: xr.Dataset, events: pd.DataFrame, layers: Layers, window_s: float) -> Tokens:
    """Every sample's tokens: the patches of its image, or the words of the last seconds.

    Parameters
    ----------
    responses : Dataset
        Gives run and time of every sample.
    events : DataFrame
        Of this subject: run, onset (s), item.
    layers : Layers
        See `read_layers`.
    window_s : float
        How long ago words may have begun.

    Raises
    ------
    DataError
        No sample of any run has a word before it.
    """
    if are_trials(responses):
        items = trial_events(responses, events)["item"].to_numpy()
        return Tokens(layers.values, positions=layers.places).at(items)
    return words_before(responses, events, layers.values, window_s)


def reach(responses: xr.Dataset, window_s: float) -> np.ndarray:
    """Where fields are read (n_places, n_axes): lags in seconds, or places of an image."""
    return FIELD if are_trials(responses) else np.linspace(0, window_s, LAGS)[:, None]


def words_before(
    responses: xr.Dataset, events: pd.DataFrame, layers: Mapping[str, np.ndarray], window_s: float
) -> Tokens:
    """Every sample's words, placed by their lag.

    Words are looked up by their number when a batch is read: their activations are held once, for whatever
    number of samples and subjects.
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
