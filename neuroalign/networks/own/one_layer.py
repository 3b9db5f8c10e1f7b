"""What all networks have in common whose one layer is rows of files that were made elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroalign.networks.base import Window, kept_layers
from neuroalign.settings.features import Features


@dataclass(frozen=True, kw_only=True)
class RowWindow(Window):
    """One row of one file.

    Attributes
    ----------
    file : str
        As the network knows it.
    row : int
    """

    file: str
    row: int


class OneLayer(ABC):
    """Rows of files as activations; see `base.OpenNetwork` for what it offers.

    Parameters
    ----------
    settings : Features
    layer : str
        Name of the one layer.
    **provenance
        What is to be known of the files.
    """

    def __init__(self, settings: Features, layer: str, **provenance: Any) -> None:
        self.settings = settings
        self.layers: tuple[str, ...] = (layer,)
        self.kept = kept_layers(settings.layers, self.layers)
        self.depth = (0.0,)
        self.units: tuple[int, ...] = ()
        self.places: tuple[np.ndarray, ...] = ()
        self.token_units: tuple[int, ...] = ()
        common = {"source": settings.named, "dtype": settings.dtype, "versions": {}}
        self.provenance: dict[str, Any] = common | provenance

    def run(
        self, windows: Sequence[RowWindow], advance: Callable[[int], object] | None = None
    ) -> list[np.ndarray]:
        """Features (n_windows, n_units), as the one layer."""
        values = np.empty((len(windows), self.units[0]), self.settings.dtype)
        files = np.array([window.file for window in windows])
        rows = np.array([window.row for window in windows])
        for file in dict.fromkeys(files):
            of_file = files == file
            wanted, place = np.unique(rows[of_file], return_inverse=True)
            values[of_file] = self._read(file, wanted)[place]
        if advance is not None:
            advance(len(windows))
        return [values]

    @abstractmethod
    def _rows(self, file: str, rows: np.ndarray) -> Any:
        """Some rows (row, unit), ascending, as they stand in a file."""

    def _read(self, file: str, rows: np.ndarray) -> np.ndarray:
        """Some rows (row, unit), ascending, as they are stored."""
        return self._in_precision(self._rows(file, rows))

    def _in_precision(self, values: Any) -> np.ndarray:
        """Values as they are stored: what float16 cannot hold is infinite, to be refused by `check_items`."""
        with np.errstate(over="ignore"):
            return np.asarray(values).astype(self.settings.dtype)
