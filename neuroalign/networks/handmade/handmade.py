"""Handmade features as a network: one layer for every set of features, no weights, no twin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neuroalign.networks.base import kept_layers
from neuroalign.networks.sources import locate
from neuroalign.settings.features import Handmade

if TYPE_CHECKING:
    from neuroalign.networks.base import OpenNetwork


def layer_names(settings: Handmade) -> list[str]:
    """List the feature sets, in the order of the config.

    Raises
    ------
    NetworkError
        The model of surprisal, or the table of categories, cannot be found.
    """
    if settings.column is not None:
        from neuroalign.networks.handmade.labels import label_table

        label_table(settings)
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
    if settings.column is not None:
        from neuroalign.networks.handmade.labels import HandmadeLabels

        return HandmadeLabels(settings)
    if settings.of_words:
        from neuroalign.networks.handmade.words import HandmadeWords

        return HandmadeWords(settings)
    if settings.of != "image":
        from neuroalign.networks.handmade.clips import HandmadeClips

        return HandmadeClips(settings)
    from neuroalign.networks.handmade.of_images import HandmadeImages

    return HandmadeImages(settings)
