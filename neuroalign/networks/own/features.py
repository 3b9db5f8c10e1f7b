"""Features made elsewhere as a network with one layer: rows of an array, found by the stimuli's names."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neuroalign.errors import DataError, NetworkError
from neuroalign.networks.base import Layer, kept_layers
from neuroalign.networks.own.feature_arrays import open_array
from neuroalign.networks.own.named_items import NamedItems
from neuroalign.networks.own.one_layer import OneLayer, RowWindow
from neuroalign.networks.own.sampled_features import SampledFeatures
from neuroalign.networks.own.timed_features import TimedFeatures
from neuroalign.settings.features import Features

LAYER = "features"

_ROWS_AT_ONCE = 1024


def layer_names(settings: Features) -> list[str]:
    """List the one layer.

    Raises
    ------
    NetworkError
        The array or the names of its rows are not there, or they do not fit each other.
    """
    if settings.items is not None:
        _open(settings)
    return [LAYER]


def layer_table(settings: Features) -> list[Layer]:
    """The one layer, with its units where one array has all of them.

    Raises
    ------
    NetworkError
        The array or the names of its rows are not there, or they do not fit each other.
    """
    kept_layers(settings.layers, [LAYER])
    units = None if settings.items is None else int(_open(settings)[0].shape[1])
    return [Layer(LAYER, 0.0, True, units)]


def open_network(settings: Features, seed: int = 0) -> OwnFeatures | SampledFeatures | TimedFeatures:
    """Open the array and the names of its rows, or files of runs later; nothing is random.

    Raises
    ------
    NetworkError
        One of them is not there, or they do not fit each other.
    """
    if settings.timed:
        return TimedFeatures(settings, LAYER)
    return SampledFeatures(settings, LAYER) if settings.sampled else OwnFeatures(settings)


class OwnFeatures(OneLayer):
    """Rows of one array, found by the stimuli's names; see `named_items.NamedItems`.

    Parameters
    ----------
    settings : Features
    """

    def __init__(self, settings: Features) -> None:
        assert settings.items is not None
        self.array, self.named = _open(settings)
        super().__init__(
            settings,
            LAYER,
            content_sha256=_content(Path(settings.path)),
            items_sha256=_content(Path(settings.items)),
            versions={"h5py": importlib.metadata.version("h5py")},
        )
        self.units = (int(self.array.shape[1]),)

    def check_items(self, items: pd.DataFrame) -> None:
        """Raise a DataError if a stimulus has no row, shares one with another, or its row is not finite."""
        if items.empty:
            raise DataError("items: the table is empty; features need at least one stimulus")
        if "start_s" in items and items["uri"].duplicated().any():
            raise DataError(
                f"'{self.settings.named}' has a row for every file, but stimuli are steps of files; set "
                "stimuli.step_s: whole, or leave this network out"
            )
        found = self.named.find(items)
        for start in range(0, len(rows := sorted(set(found))), _ROWS_AT_ONCE):
            some = rows[start : start + _ROWS_AT_ONCE]
            wrong = ~np.isfinite(self._read(self.settings.path, np.array(some))).all(axis=1)
            if wrong.any():
                raise DataError(
                    f"'{self.settings.named}': row {some[int(wrong.argmax())]} (from 0) holds values that "
                    f"are not numbers, or beyond {self.settings.dtype}; features must be finite"
                )
        self._refuse_two_rows_of_one_stimulus(items, found)

    def _refuse_two_rows_of_one_stimulus(self, items: pd.DataFrame, found: list[int]) -> None:
        if "digest" not in items:
            return
        pairs = pd.DataFrame({"digest": items["digest"].to_numpy(), "row": found}).drop_duplicates()
        for _, rows in pairs[pairs.duplicated("digest", keep=False)].groupby("digest")["row"]:
            values = self._read(self.settings.path, np.sort(rows))
            if (values != values[0]).any():
                names = list(self.named.rows)
                raise DataError(
                    f"'{self.settings.named}': '{names[min(rows)]}' and '{names[max(rows)]}' are the same "
                    "image but have different features; give them the same ones"
                )

    def windows(self, items: pd.DataFrame, rows: Sequence[int] | None = None) -> list[RowWindow]:
        """The row of the array of each of `rows` (all, when left out) of the items table."""
        picked = items.iloc[list(range(len(items)) if rows is None else rows)]
        return [
            RowWindow(digest=_digest(item), file=self.settings.path, row=row)
            for item, row in zip(picked.to_dict("records"), self.named.find(picked), strict=True)
        ]

    def _rows(self, file: str, rows: np.ndarray) -> Any:
        return self.array[rows.tolist()]


def _open(settings: Features) -> tuple[Any, NamedItems]:
    """The array, and the names of its rows."""
    assert settings.items is not None
    array, named = open_array(settings.path, settings.dataset), NamedItems(settings.items)
    if len(named.rows) != array.shape[0]:
        raise NetworkError(
            f"items '{settings.items}' names {len(named.rows)} stimuli, but '{settings.named}' has "
            f"{array.shape[0]} rows; give one name for each row"
        )
    return array, named


def _digest(item: dict[Any, Any]) -> int:
    if item["modality"] != "text":
        return int(item["digest"], 16)
    return int.from_bytes(hashlib.sha256(str(item["text"]).encode()).digest()[:8], "little")


def _content(path: Path) -> str:
    """The sha256 of a file, or of all files of a Zarr store in the order of their names."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(file.relative_to(path).as_posix().encode())
            with file.open("rb") as content:
                while block := content.read(1 << 24):
                    digest.update(block)
    return digest.hexdigest()
