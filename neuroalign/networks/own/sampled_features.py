"""Features made elsewhere at the rate of the recording: row after row goes with sample after sample."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from neuroalign.errors import DataError
from neuroalign.networks.own.feature_arrays import open_array
from neuroalign.networks.own.one_layer import OneLayer, RowWindow
from neuroalign.networks.own.run_files import file_of_run
from neuroalign.settings.features import Features


class SampledFeatures(OneLayer):
    """Files of features, one for every run; see `base.OpenNetwork` for what it offers.

    Parameters
    ----------
    settings : Features
        Without `items`; its `path` holds `{run}` or `{subject}`.
    layer : str
        Name of the one layer.
    """

    def __init__(self, settings: Features, layer: str) -> None:
        super().__init__(settings, layer)
        self._arrays: dict[str, Any] = {}

    def check_items(self, items: pd.DataFrame) -> None:
        """Raise a DataError if a run has no file, or one of another width or with too few rows."""
        if items.empty or not (items["modality"] == "sample").all():
            raise DataError(
                f"'{self.settings.named}' has a row for every sample, which goes with responses.kind array "
                "and samples: time; give `items`, a table that names the stimulus of every row"
            )
        width = None
        for uri, needed in (items.groupby("uri")["position"].max() + 1).items():
            path = self._path(str(uri))
            array = self._open(path)
            if array.shape[0] < needed:
                raise DataError(
                    f"'{path}' has {array.shape[0]} rows, but its run has {needed} samples; give features "
                    "at the rate of the recording"
                )
            width = width or array.shape[1]
            if array.shape[1] != width:
                raise DataError(
                    f"'{path}' has {array.shape[1]} columns, other runs have {width}; give as many"
                )
            if not np.isfinite(self._in_precision(array[:needed])).all():
                raise DataError(
                    f"'{path}' holds values that are not numbers, or beyond {self.settings.dtype}; features "
                    "must be finite"
                )
        assert width is not None
        self.units = (int(width),)

    def windows(self, items: pd.DataFrame, rows: Sequence[int] | None = None) -> list[RowWindow]:
        """The row of each of `rows` (all, when left out) of the items table."""
        picked = items if rows is None else items.iloc[list(rows)]
        paths = {uri: self._path(uri) for uri in picked["uri"].unique()}
        found = []
        for uri, position in zip(picked["uri"], picked["position"], strict=True):
            text = f"{paths[uri]}\n{position}".encode()
            digest = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
            found.append(RowWindow(digest=digest, file=paths[uri], row=int(position)))
        return found

    def _rows(self, file: str, rows: np.ndarray) -> Any:
        return self._open(file)[rows]

    def _path(self, uri: str) -> str:
        subject, _, run = uri.partition("/")
        return file_of_run(self.settings.path, {"subject": subject, "run": run})

    def _open(self, path: str) -> Any:
        if path not in self._arrays:
            self._arrays[path] = open_array(path, self.settings.dataset)
        return self._arrays[path]
