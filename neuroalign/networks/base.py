"""What every family of networks offers to the extraction, whatever it is shown.

A family is a module with `open_network`, which gives an `OpenNetwork`, and `layer_names`, which tells
its layers without reading weights; `families` lists them. Layers are numbered alike everywhere:
index 0 is the embedding, index k the output of block k, and relative depth is index / last index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import pandas as pd

from neuroalign.errors import NetworkError, choices


@dataclass(frozen=True, kw_only=True)
class Window:
    """What a network is shown for one item; each family adds its own content.

    Attributes
    ----------
    digest : int
        64-bit digest of the content: windows that share it get the same activations.
    truncated : bool
        Context was left out because the network takes no more.
    """

    digest: int
    truncated: bool = False


W = TypeVar("W", bound=Window)


class OpenNetwork(Protocol[W]):
    """A network in memory, ready to be shown windows.

    Attributes
    ----------
    layers : tuple of str
        Module paths of all layers, the embedding first.
    depth : tuple of float
        Relative depth of all layers, from 0 to 1.
    units : tuple of int
        Number of units of all layers.
    kept : tuple of int
        Indices of the layers asked for, ascending.
    places : tuple of arrays (n_tokens, n_axes)
        Where the tokens of every kept layer lie, such as (x, y) in shares of the image; empty where
        the network keeps no single tokens.
    token_units : tuple of int
        Number of units of a token of every kept layer, as many as there are `places`.
    provenance : dict
        Where the network comes from and how it is read: plain JSON values.
    """

    layers: tuple[str, ...]
    depth: tuple[float, ...]
    units: tuple[int, ...]
    kept: tuple[int, ...]
    places: tuple[np.ndarray, ...]
    token_units: tuple[int, ...]
    provenance: dict[str, Any]

    def check_items(self, items: pd.DataFrame) -> None:
        """Raise a DataError, before hours are spent, if an item cannot be shown to the network."""
        ...

    def windows(self, items: pd.DataFrame, rows: Sequence[int] | None = None) -> list[W]:
        """Show each of `rows` (all, when left out) of the items table to the network."""
        ...

    def run(self, windows: Sequence[W], advance: Callable[[int], object] | None = None) -> list[np.ndarray]:
        """Activations (n_windows, n_units) of every kept layer, in the order of `windows`.

        Where there are `places`, the tokens (n_windows, n_tokens, n_units) of every kept layer follow.
        `advance` is called with the number of windows finished, after every batch.
        """
        ...


@runtime_checkable
class OwnClock(Protocol):
    """A network whose items are not the stimuli of the study but rows with times of their own."""

    def time_course(self, events: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Items, and when they reach which recordings.

        Parameters
        ----------
        events : DataFrame
            Of the study: their subject, session, task and run say which runs there are.

        Returns
        -------
        items : DataFrame
            To be shown to the network.
        events : DataFrame
            Columns subject, session, task, run, onset (s), duration (s) and item.

        Raises
        ------
        NetworkError
            A run has no file, or it cannot be read.
        DataError
            Features are not finite.
        """
        ...


def relative_depth(layers: Sequence[str]) -> tuple[float, ...]:
    """Index over last index, for every layer; a single layer has depth 0."""
    last = max(len(layers) - 1, 1)
    return tuple(index / last for index in range(len(layers)))


def kept_layers(wanted: Literal["all"] | Sequence[str], layers: Sequence[str]) -> tuple[int, ...]:
    """Look up the indices of the layers asked for, in the order of depth.

    >>> kept_layers(["h.1", "wte"], ["wte", "h.0", "h.1"])
    (0, 2)

    Raises
    ------
    NetworkError
        A name is not among the layers.
    """
    if wanted == "all":
        return tuple(range(len(layers)))
    for name in wanted:
        if name not in layers:
            raise NetworkError(f"the network has no layer '{name}': {choices(name, layers)}")
    if not wanted:
        raise NetworkError(f"layers: none are asked for; write 'all' or some of {', '.join(layers)}")
    return tuple(sorted({layers.index(name) for name in wanted}))


@dataclass(frozen=True)
class Layer:
    """A layer as it is known before any weights are read.

    Attributes
    ----------
    name : str
    depth : float
        Relative depth, from 0 to 1.
    kept : bool
        The config asks for it.
    units : int or None
        None where that is known only from the weights.
    tokens : str
        What there is beside single vectors, such as "14 × 14 + 1" for patches and a class token.
    """

    name: str
    depth: float
    kept: bool
    units: int | None = None
    tokens: str = ""
