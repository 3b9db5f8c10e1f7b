"""Handmade features of images as a network: places of the image are its tokens."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from neuroalign.errors import DataError
from neuroalign.networks.base import kept_layers, relative_depth
from neuroalign.networks.handmade.image_features import FEATURES, places
from neuroalign.networks.handmade.items import check_modality
from neuroalign.networks.vision.image_windows import ImageWindow, image_windows
from neuroalign.settings.features import Handmade
from neuroalign.stimuli.media import check_image, read_image


class HandmadeImages:
    """Feature sets of images; see `base.OpenNetwork` for what it offers.

    The layer of the Gabor pyramid is that of all places, one after the other; other layers are of the image
    as a whole. Tokens are the features of every place.

    Parameters
    ----------
    settings : Handmade
        With features of images.
    """

    def __init__(self, settings: Handmade) -> None:
        self.settings = settings
        self.layers: tuple[str, ...] = settings.features
        self.depth = relative_depth(self.layers)
        self.kept = kept_layers(settings.layers, self.layers)
        where = places(settings.grid)
        self.units = tuple(
            FEATURES[name].channels * (len(where) if FEATURES[name].spread else 1) for name in self.layers
        )
        self.places = tuple(where for _ in self.kept) if settings.tokens else ()
        channels = (FEATURES[self.layers[index]].channels for index in self.kept)
        self.token_units = tuple(channels) if settings.tokens else ()
        self.provenance: dict[str, Any] = {
            "source": settings.named,
            "grid": settings.grid,
            "keeps_tokens": settings.tokens,
            "dtype": settings.dtype,
            "versions": {"pillow": importlib.metadata.version("pillow")},
        }

    def check_items(self, items: pd.DataFrame) -> None:
        """Raise a DataError if an item is not an image, or the image is not there."""
        check_modality(self.settings, items)
        for uri in items["uri"].unique():
            check_image(uri)

    def windows(self, items: pd.DataFrame, rows: Sequence[int] | None = None) -> list[ImageWindow]:
        """The images of `rows` (all, when left out) of the items table."""
        return image_windows(items, rows)

    def run(
        self, windows: Sequence[ImageWindow], advance: Callable[[int], object] | None = None
    ) -> list[np.ndarray]:
        """Features (n_windows, n_units) of every kept layer, then those of places, if they are kept.

        Raises
        ------
        DataError
            An image cannot be read.
        """
        whole: list[list[np.ndarray]] = [[] for _ in self.kept]
        local: list[list[np.ndarray]] = [[] for _ in self.kept]
        for window in windows:
            pixels = read_image(window.uri)
            if min(pixels.shape[:2]) < self.settings.grid:
                raise DataError(
                    f"{window.uri}: {pixels.shape[1]} × {pixels.shape[0]} pixels are fewer than the "
                    f"{self.settings.grid} places along a side; lower grid"
                )
            for place, layer in enumerate(self.kept):
                name = self.layers[layer]
                grid, mean = FEATURES[name].compute(pixels, self.settings.grid)
                whole[place].append(grid.ravel() if FEATURES[name].spread else mean)
                if self.settings.tokens:
                    local[place].append(grid.reshape(-1, grid.shape[2]))
            if advance is not None:
                advance(1)
        kept = [*whole, *local] if self.settings.tokens else whole
        return [np.asarray(values, self.settings.dtype) for values in kept]
