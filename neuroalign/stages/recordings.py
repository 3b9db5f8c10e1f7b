"""The stage that reads and cleans the recordings of a subject."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from neuroalign.artefacts import layout
from neuroalign.provenance.stamps import STAMP, stamp
from neuroalign.settings.config import Study
from neuroalign.settings.responses import TABLED_KINDS
from neuroalign.stages.asked import asked_for
from neuroalign.stages.opened import events_of, listed, responses_of
from neuroalign.stages.places import path_of

if TYPE_CHECKING:
    import xarray as xr


def responses(study: Study, subject: str) -> None:
    """Read and clean the recordings of one subject; of the subject 'average', join everybody's."""
    from neuroalign.artefacts import arrays

    asked_for(study, subject=subject)
    if subject == layout.AVERAGE:
        stage, made = "average", _averaged(study)
        sources = [path_of(study, layout.RESPONSES, subject=someone) for someone in study.subjects()]
    else:
        stage, made = "responses", _read(study, subject)
        opened = [layout.INDEX, *([layout.EVENTS] if study.responses.needs_events else [])]
        sources = [path_of(study, pattern) for pattern in opened]
        if study.responses.kind not in TABLED_KINDS:
            _speak_of_runs_without_recording(study, subject, set(made["run"].values.astype(str)))
    lost = int((~made["valid"]).sum())
    if lost:
        note = "sub-%s: %d of %d targets are constant or not finite; they stay in the maps, without a score"
        logging.getLogger("neuroalign").warning(note, subject, lost, made.sizes["target"])
    made.attrs[STAMP] = stamp(study, stage, sources)
    arrays.save_arrays(made, path_of(study, layout.RESPONSES, subject=subject))


def _averaged(study: Study) -> xr.Dataset:
    """The mean of everybody's responses."""
    from neuroalign.recordings.fmri import average_responses

    return average_responses([responses_of(study, someone) for someone in study.subjects()])


def _read(study: Study, subject: str) -> xr.Dataset:
    """The responses of one subject, by the kind of recording."""
    if study.responses.series_of_sensors and not study.responses.reads_bids_sensors:
        from neuroalign.recordings.meeg.arrays import read_series

        return read_series(study.dataset, study.responses, subject)
    table = listed(study, layout.INDEX)
    if study.responses.reads_bids_sensors:
        from neuroalign.recordings.meeg.responses import read_sensors

        return read_sensors(table, study.dataset, study.responses, subject, events_of(study, subject))
    from neuroalign.recordings.fmri import read_responses

    events = events_of(study, subject) if study.responses.glm else None
    return read_responses(table, study.dataset, study.responses, subject, events)


def _speak_of_runs_without_recording(study: Study, subject: str, recorded: set[str]) -> None:
    """Say which runs have events but no recording: they are not studied."""
    from neuroalign import bids

    own = bids.select(listed(study, layout.INDEX), subject=subject, suffix="events", extension=".tsv")
    runs = sorted(set(bids.select_runs(own, study.dataset)["run"]) - recorded)
    if runs:
        note = "sub-%s: events but no recording of %s; left out (add them, or choose dataset.runs)"
        logging.getLogger("neuroalign").warning(note, subject, ", ".join(runs))
