"""An image as a network is shown it: by its address, and known by its content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from neuroalign.networks.base import Window


@dataclass(frozen=True, kw_only=True)
class ImageWindow(Window):
    """An image.

    Attributes
    ----------
    uri : str
        Its address, see `stimuli.media`.
    """

    uri: str


def image_windows(items: pd.DataFrame, rows: Sequence[int] | None = None) -> list[ImageWindow]:
    """Show each of `rows` (all, when left out) of the items table: images of equal content are equal."""
    shown = items if rows is None else items.iloc[list(rows)]
    return [
        ImageWindow(digest=int(digest, 16), uri=uri)
        for digest, uri in zip(shown["digest"], shown["uri"], strict=True)
    ]
