"""Which module opens which family of networks; it is imported when one is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroalign.network_settings import Network
    from neuroalign.networks.base import OpenNetwork

MODULES = {
    "text": "neuroalign.networks.text",
    "vision": "neuroalign.networks.vision",
    "module": "neuroalign.networks.module",
    "handmade": "neuroalign.networks.handmade",
    "features": "neuroalign.networks.features",
}
"""Family → the module that has `open_network` and `layer_names`."""


def open_network(settings: Network, seed: int = 0) -> OpenNetwork[Any]:
    """Load a network of any family.

    Parameters
    ----------
    settings : network_settings.Network
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
