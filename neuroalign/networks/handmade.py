"""Handmade features as a network: one layer for every set of features, no weights, no twin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from neuroalign.errors import DataError
from neuroalign.network_settings import IMAGE_FEATURES, TEXT_FEATURES, Handmade
from neuroalign.networks.base import kept_layers
from neuroalign.networks.sources import locate

if TYPE_CHECKING:
    from neuroalign.networks.base import OpenNetwork


def layer_names(settings: Handmade) -> list[str]:
    """List the feature sets, in the order of the config.

    Raises
    ------
    NetworkError
        The model of surprisal cannot be found.
    """
    if settings.model is not None:
        locate(settings.model, settings.revision, weights=False)
    return list(settings.features)


def open_network(settings: Handmade, seed: int = 0) -> OpenNetwork[Any]:
    """Prepare the features; nothing about them is random.

    Raises
    ------
    NetworkError
        A layer is not among the features, or the model of surprisal cannot be had.
    """
    kept_layers(settings.layers, settings.features)
    if settings.of_words:
        from neuroalign.networks.handmade_words import HandmadeWords

        return HandmadeWords(settings)
    from neuroalign.networks.handmade_images import HandmadeImages

    return HandmadeImages(settings)


def check_modality(settings: Handmade, items: pd.DataFrame) -> None:
    """Raise a DataError if there is no item, or one that these features are not made for."""
    expected, others = ("text", IMAGE_FEATURES) if settings.of_words else ("image", TEXT_FEATURES)
    if items.empty:
        raise DataError(f"items: the table is empty; features need at least one item of '{expected}'")
    wrong = sorted(set(items["modality"]) - {expected})
    if wrong:
        raise DataError(
            f"items: modality '{wrong[0]}' has no {', '.join(settings.features)}, which are features of "
            f"'{expected}'; choose others, such as {', '.join(others)}"
        )
