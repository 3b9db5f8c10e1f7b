"""Handmade features as a network: one layer for every set of features, no weights, no twin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from neuroalign.errors import DataError
from neuroalign.networks.base import kept_layers
from neuroalign.networks.sources import locate
from neuroalign.settings.features import FEATURES_OF, Handmade

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
    if settings.of != "image":
        from neuroalign.networks.handmade_clips import HandmadeClips

        return HandmadeClips(settings)
    from neuroalign.networks.handmade_images import HandmadeImages

    return HandmadeImages(settings)


def check_modality(settings: Handmade, items: pd.DataFrame) -> None:
    """Raise a DataError if there is no item, or one that these features are not made for."""
    if items.empty:
        raise DataError(f"items: the table is empty; features need at least one item of '{settings.of}'")
    # A film has a sound track.
    fitting = {"audio", "video"} if settings.of == "audio" else {settings.of}
    wrong = sorted(set(items["modality"]) - fitting)
    if wrong:
        raise DataError(
            f"items: modality '{wrong[0]}' has no {', '.join(settings.features)}, which are features of "
            f"'{settings.of}'; choose others, such as {', '.join(FEATURES_OF[wrong[0]])}"
        )
