"""The stage that runs a network over all stimuli."""

from __future__ import annotations

from neuroalign.artefacts import layout
from neuroalign.provenance.stamps import STAMP, stamp
from neuroalign.settings.config import Study
from neuroalign.stages.asked import known
from neuroalign.stages.opened import listed
from neuroalign.stages.places import path_of


def activations(study: Study, network: str) -> None:
    """Run one network over all words."""
    from neuroalign.activations import extract
    from neuroalign.artefacts import arrays

    settings = study.all_networks()[known(network, study.all_networks(), "network")]
    items = listed(study, layout.ITEMS)
    path = path_of(study, layout.ACTIVATIONS, network=network)
    extract(settings, network, items, path, study.seed, listed(study, layout.EVENTS))
    sources = [path_of(study, pattern) for pattern in (layout.ITEMS, layout.EVENTS)]
    made_by = stamp(study, "activations", sources, network=network)
    arrays.describe_activations(path, {STAMP: made_by})
