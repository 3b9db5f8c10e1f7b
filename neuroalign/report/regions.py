"""Regions of targets: which there are, and means over all of them in one pass over the targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

ALL = "all targets"
"""Name of the region that holds every target."""

MANY_PARCELS = 1000
"""Parcels above which a single one is no region of its own: tables and panels of them would be endless."""

MAX_REGIONS = 23
"""Regions that get a panel of their own; tables hold all."""

TYPES = {
    "eeg": "EEG",
    "mag": "magnetometers",
    "grad": "gradiometers",
    "ecog": "ECoG",
    "seeg": "sEEG",
    "dbs": "DBS",
}
"""What types of channels are called."""


def are_many(dataset: xr.Dataset) -> bool:
    """Whether the targets are parcels, and more of them than can be shown one by one."""
    return dataset.attrs.get("kind") == "parcels" and dataset.sizes["target"] > MANY_PARCELS


def labels(dataset: xr.Dataset) -> np.ndarray:
    """Region of every target: its name for parcels, else `roi`, or a type of channel, else one of all."""
    if dataset.attrs.get("kind") == "parcels" and "name" in dataset.coords and not are_many(dataset):
        return dataset["name"].values.astype(str)
    known = dataset["roi"].values.astype(str) if "roi" in dataset.coords else np.array([""])
    if dataset.attrs.get("kind") == "sensors" and not (known != "").any():
        types = dataset["channel_type"].values.astype(str)
        return pd.Series(types).replace(TYPES).to_numpy(str)
    if "roi" in dataset.coords and (known != "").any():
        return np.where(known == "", "unlabelled", known)
    return np.full(dataset.sizes["target"], ALL)


def region_names(datasets: Sequence[xr.Dataset]) -> list[str]:
    """Every parcel, or the regions in which anyone has a scored target, in alphabetical order.

    Those of sensors are their types; a type that is the only one is not named.
    """
    first = datasets[0]
    if first.attrs.get("kind") == "parcels" and not are_many(first):
        return list(dict.fromkeys(labels(first).tolist()))
    found: set[str] = set()
    for dataset in datasets:
        found.update(pd.unique(labels(dataset)[np.isfinite(dataset["chosen_r"].values)]).tolist())
    names = sorted(found - {ALL})
    return [] if first.attrs.get("kind") == "sensors" and len(names) < 2 else names


@dataclass(frozen=True)
class Regions:
    """Which region every target of a dataset is in.

    Attributes
    ----------
    names : tuple of str (n_regions,)
        `ALL` first.
    codes : int array (target,)
        Number of its region; 0 where it is in none.
    """

    names: tuple[str, ...]
    codes: np.ndarray

    @classmethod
    def of(cls, dataset: xr.Dataset, names: Iterable[str]) -> Regions:
        """The regions with these names of a dataset."""
        named = (ALL, *names)
        codes = pd.Index(named).get_indexer(pd.Index(labels(dataset)))
        return cls(named, np.maximum(codes, 0).astype(np.int32))

    def mean(self, values: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
        """Means (…, region) over the finite values (…, target) of every region; NaN where it has none.

        Parameters
        ----------
        values : array (…, target)
        where : bool array (target,), optional
            Targets that count.
        """
        rows = np.asarray(values).reshape(-1, len(self.codes))
        out = np.empty((len(rows), len(self.names)))
        for place, row in enumerate(rows):  # one at a time: a row may be of 300,000 targets
            kept = np.isfinite(row) if where is None else np.isfinite(row) & where
            total, count = self._sums(np.where(kept, row, 0)), self._sums(kept)
            out[place] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return out.reshape(*np.shape(values)[:-1], len(self.names))

    def count(self, where: np.ndarray) -> np.ndarray:
        """How many of these targets (target,) are in every region (region,)."""
        return self._sums(where).astype(int)

    def within(self, name: str) -> np.ndarray:
        """Targets (target,) of a region; all of them where it is `ALL`."""
        if name == ALL:
            return np.ones(len(self.codes), bool)
        return np.asarray(self.codes == self.names.index(name))

    def _sums(self, row: np.ndarray) -> np.ndarray:
        sums = np.bincount(self.codes, row, len(self.names))
        sums[0] = row.sum(dtype=float)
        return sums


def highest(names: Sequence[str], scores: Any, count: int = MAX_REGIONS) -> list[str]:
    """The names of the highest scores, in their own order; all where there are no more."""
    if len(names) <= count:
        return list(names)
    order = np.argsort(-np.nan_to_num(np.asarray(scores, float), nan=-np.inf), kind="stable")[:count]
    return [names[place] for place in sorted(order)]
