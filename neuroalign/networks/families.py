"""Which module opens which family of networks; it is imported when one is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroalign.networks.base import Layer, OpenNetwork
    from neuroalign.settings.networks import Network

MODULES = {
    "text": "neuroalign.networks.language.text",
    "vision": "neuroalign.networks.vision.vision",
    "audio": "neuroalign.networks.audio.audio",
    "video": "neuroalign.networks.vision.video",
    "multimodal": "neuroalign.networks.language.multimodal",
    "module": "neuroalign.networks.own.module",
    "handmade": "neuroalign.networks.handmade.handmade",
    "features": "neuroalign.networks.own.features",
}
"""Family → the module that has `open_network` and `layer_names`."""


def open_network(settings: Network, seed: int = 0) -> OpenNetwork[Any]:
    """Load a network of any family.

    Parameters
    ----------
    settings : Network
    seed : int
        Draws the weights of a random network.

    Raises
    ------
    NetworkError
        The network cannot be had as asked for.
    """
    return import_module(MODULES[settings.family]).open_network(settings, seed)


def layer_names(settings: Network) -> list[str]:
    """List the layers of a network of any family, the first one the shallowest, without reading weights.

    Raises
    ------
    NetworkError
        The network cannot be found, or does not fit its family.
    """
    return list(import_module(MODULES[settings.family]).layer_names(settings))


def layer_table(settings: Network) -> list[Layer]:
    """List the layers of a network of any family, and what is known of each, without reading weights.

    Families that can say more than names have a function of this name themselves.

    Raises
    ------
    NetworkError
        The network cannot be found, does not fit its family, or has not the layers asked for.
    """
    module = import_module(MODULES[settings.family])
    if hasattr(module, "layer_table"):
        return list(module.layer_table(settings))
    from neuroalign.networks.base import Layer, kept_layers, relative_depth

    names = layer_names(settings)
    kept = kept_layers(settings.layers, names)
    return [
        Layer(name, depth, index in kept)
        for index, (name, depth) in enumerate(zip(names, relative_depth(names), strict=True))
    ]
