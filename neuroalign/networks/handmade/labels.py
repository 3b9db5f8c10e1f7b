"""The category of a stimulus as a network: one layer with one unit for every category."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from neuroalign.errors import DataError, NetworkError, choices
from neuroalign.networks.base import Window, kept_layers
from neuroalign.networks.own.named_items import NamedItems
from neuroalign.settings.features import Handmade
from neuroalign.stimuli.labels import PREFIX, levels


@dataclass(frozen=True, kw_only=True)
class LabelWindow(Window):
    """The category of a stimulus.

    Attributes
    ----------
    label : str
    """

    label: str


def label_table(settings: Handmade) -> NamedItems | None:
    """Read the table of labels; None where they stand in the events.

    Raises
    ------
    NetworkError
        There is no such table or column, or it has fewer than two categories.
    """
    assert settings.column is not None
    if settings.table is None:
        return None
    named = NamedItems(settings.table, "table")
    if settings.column not in named.table:
        raise NetworkError(
            f"table '{settings.table}': no column '{settings.column}': "
            f"{choices(settings.column, named.table.columns)}"
        )
    try:
        levels(named.table[settings.column].str.strip(), f"table '{settings.table}': '{settings.column}'")
    except DataError as error:
        raise NetworkError(str(error)) from None
    return named


class HandmadeLabels:
    """Categories, one-hot; see `base.OpenNetwork` for what it offers.

    Units are the categories of the stimuli at hand in alphabetical order; a stimulus without one has zeros.
    They are known once the items were checked.

    Parameters
    ----------
    settings : Handmade
        With the feature `category`.

    Raises
    ------
    NetworkError
        As `label_table`.
    """

    def __init__(self, settings: Handmade) -> None:
        assert settings.column is not None
        self.settings, self.column = settings, settings.column
        self.named = label_table(settings)
        self.layers: tuple[str, ...] = settings.features
        self.depth: tuple[float, ...] = (0.0,)
        self.kept = kept_layers(settings.layers, self.layers)
        self.levels: list[str] = []
        self.units: tuple[int, ...] = (0,)
        self.places: tuple[np.ndarray, ...] = ()
        self.token_units: tuple[int, ...] = ()
        self.provenance: dict[str, Any] = {
            "source": settings.named,
            "dtype": settings.dtype,
            "categories": self.levels,
            "versions": {},
        }

    def check_items(self, items: pd.DataFrame) -> None:
        """Raise a DataError if an item is not in the table, or all have the same category."""
        if items.empty:
            raise DataError("items: the table is empty; categories need at least two stimuli")
        self.levels[:] = levels(pd.Series(self._labels(items)), f"column '{self.column}'")
        self.units = (len(self.levels),)

    def windows(self, items: pd.DataFrame, rows: Sequence[int] | None = None) -> list[LabelWindow]:
        """The category of each of `rows` (all, when left out) of the items table."""
        shown = items.iloc[list(range(len(items)) if rows is None else rows)]
        content = shown["digest"] if "digest" in shown else shown["text"]
        return [
            LabelWindow(digest=_digest(f"{label}\n{what}"), label=label)
            for label, what in zip(self._labels(shown), content, strict=True)
        ]

    def run(
        self, windows: Sequence[LabelWindow], advance: Callable[[int], object] | None = None
    ) -> list[np.ndarray]:
        """Features (n_windows, n_categories), 1 for the category of the stimulus, as the one layer."""
        labels = np.array([window.label for window in windows])
        if advance is not None:
            advance(len(windows))
        return [(labels[:, None] == np.array(self.levels)).astype(self.settings.dtype)]

    def _labels(self, items: pd.DataFrame) -> list[str]:
        if self.named is not None:
            found = self.named.table[self.column].str.strip()
            return [str(found[row]) for row in self.named.find(items)]
        if f"{PREFIX}{self.column}" not in items:
            raise DataError(f"items: no column '{PREFIX}{self.column}'; make the table of stimuli again")
        return items[f"{PREFIX}{self.column}"].astype(str).tolist()


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
