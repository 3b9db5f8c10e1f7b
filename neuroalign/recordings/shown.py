"""What was shown in a study, whoever says so: events of a BIDS dataset, or tables beside the responses."""

from __future__ import annotations

import pandas as pd

from neuroalign.recordings.formats import trials_of_all
from neuroalign.settings.config import Study
from neuroalign.settings.features import Features
from neuroalign.settings.responses import TABLED_KINDS
from neuroalign.stimuli.events import read_stimuli
from neuroalign.stimuli.listed import listed_stimuli
from neuroalign.stimuli.media import check_image, content_digest
from neuroalign.stimuli.recorded import check_recorded
from neuroalign.stimuli.sampled import sampled_stimuli


def shown(study: Study, index: pd.DataFrame, quickly: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Items and events of a study; see `stimuli.events.read_stimuli`.

    Parameters
    ----------
    study : Study
    index : DataFrame
        From `bids.index_study`.
    quickly : bool
        Whether files of images, sound and film are looked at by their headers only.

    Raises
    ------
    DataError
        A run has no stimuli, or a file is missing or cannot be read.
    """
    responses, task = study.responses, study.dataset.task
    if responses.kind == "array" and responses.series_of_sensors:
        rate = responses.sensors.sampling_hz
        assert rate is not None
        own = any(
            "{subject}" in network.path
            for network in study.networks.values()
            if isinstance(network, Features)
        )
        return sampled_stimuli(trials_of_all(study), task, rate, shared=not own)
    if responses.kind in TABLED_KINDS:
        look_at = check_image if quickly else content_digest
        return listed_stimuli(trials_of_all(study), task, look_at, study.label_columns())
    look = None
    if quickly:
        look = check_recorded if study.stimuli.has_steps else check_image
    people = study.subjects()
    return read_stimuli(index, study.dataset, study.stimuli, people, look, study.label_columns())
