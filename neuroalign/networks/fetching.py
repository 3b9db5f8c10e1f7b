"""Networks brought to this machine before they are needed, for nodes that cannot reach the hub."""

from __future__ import annotations

from pathlib import Path

from neuroalign.networks.sources import locate
from neuroalign.settings.config import Study


def fetch(study: Study) -> dict[str, Path]:
    """Download every network of a study that is not here yet.

    Parameters
    ----------
    study : Study

    Returns
    -------
    dict of str to Path
        Name in the study → folder; networks that come from no folder are left out.

    Raises
    ------
    NetworkError
        A network is not on the hub, or the hub cannot be reached.
    """
    found = {}
    for name, network in study.conditions().items():
        source = getattr(network, "source", None) or getattr(network, "model", None)
        if source:
            weights = getattr(network, "weights", "pretrained") == "pretrained"
            found[name] = locate(source, getattr(network, "revision", None), weights).folder
    return found
