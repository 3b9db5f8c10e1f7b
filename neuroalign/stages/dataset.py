"""The stages that list a dataset: its files, and what was shown or said when."""

from __future__ import annotations

from neuroalign.artefacts import layout
from neuroalign.provenance.stamps import STAMP, stamp
from neuroalign.settings.config import Study
from neuroalign.stages.opened import listed
from neuroalign.stages.places import path_of


def index(study: Study) -> None:
    """List the files of the dataset, once for all stages."""
    from neuroalign import bids
    from neuroalign.artefacts import arrays

    found = bids.index_study(study)
    found.attrs[STAMP] = stamp(study, "index")
    arrays.save_table(found, path_of(study, layout.INDEX))


def stimuli(study: Study) -> None:
    """Read which words were presented when."""
    from neuroalign.artefacts import arrays
    from neuroalign.recordings.shown import shown

    items, events = shown(study, listed(study, layout.INDEX))
    made_by = stamp(study, "stimuli", [path_of(study, layout.INDEX)])
    items.attrs[STAMP] = events.attrs[STAMP] = made_by
    arrays.save_table(items, path_of(study, layout.ITEMS))
    arrays.save_table(events, path_of(study, layout.EVENTS))
