"""What a network answers to the images of a simulated study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from neuroalign.networks.base import OpenNetwork
from neuroalign.networks.families import open_network
from neuroalign.settings.networks import Network
from neuroalign.stimuli.media import content_digest


def show(
    paths: Sequence[Path], network: Network, seed: int, **changes: object
) -> tuple[OpenNetwork[Any], list[np.ndarray]]:
    """Show images to all layers of a network, in float32.

    Parameters
    ----------
    paths : sequence of Path
        Files of the images.
    network : Network
    seed : int
        Draws the weights of a random network.
    **changes
        Settings of the network that are to be others here.

    Returns
    -------
    opened : OpenNetwork
    activations : list of array
        What `OpenNetwork.run` gives: (image, unit) for every layer, then tokens where they are kept.

    Raises
    ------
    NetworkError
        The network cannot be opened.
    DataError
        It cannot be shown images.
    """
    opened = open_network(network.model_copy(update={"layers": "all", "dtype": "float32", **changes}), seed)
    items = pd.DataFrame({"uri": [str(path) for path in paths], "text": "", "modality": "image"})
    items = items.assign(item=range(len(items)), passage=range(len(items)), position=0, sentence=0)
    items["digest"] = items["uri"].map(content_digest)
    opened.check_items(items)
    with tqdm(total=len(items), desc="activations", unit="image", disable=None) as bar:
        return opened, opened.run(opened.windows(items), bar.update)
