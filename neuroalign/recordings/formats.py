"""Which module reads which kind of recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings import files
from neuroalign.recordings.files import Recording, Source
from neuroalign.settings.config import Study
from neuroalign.settings.dataset import Dataset
from neuroalign.settings.responses import TABLED_KINDS, Responses


class TabledFormat(Protocol):
    """What a module does that reads a kind in `TABLED_KINDS`."""

    def find_recordings(
        self, dataset: Dataset, settings: Responses, subject: str
    ) -> tuple[list[Recording], list[str]]:
        """Find the recordings of a subject, one per run, and say what is wrong, a line each."""
        ...

    def open_source(self, dataset: Dataset, settings: Responses, recordings: Sequence[Recording]) -> Source:
        """Prepare the recordings of one subject to be read; headers only."""
        ...

    def list_trials(self, dataset: Dataset, settings: Responses, subject: str) -> pd.DataFrame:
        """List the trials of a subject: columns `run`, `trial` and `uri` or `text`."""
        ...


def find_recordings(
    index: pd.DataFrame, dataset: Dataset, settings: Responses, subject: str
) -> tuple[list[Recording], list[str]]:
    """Find the recordings of a subject, one per run, and say what is wrong, a line each.

    Parameters
    ----------
    index : DataFrame
        From `bids.index_study`.
    dataset : Dataset
    settings : Responses
    subject : str

    Returns
    -------
    recordings : list of Recording
    problems : list of str
    """
    if settings.kind not in TABLED_KINDS:
        return files.find_recordings(index, dataset, settings, subject)
    try:
        return _tabled(settings).find_recordings(dataset, settings, subject)
    except NeuroalignError as error:
        return [], str(error).splitlines()


def list_trials(dataset: Dataset, settings: Responses, subject: str) -> pd.DataFrame:
    """List what was shown in every trial of a subject, where the format of the responses says so.

    Parameters
    ----------
    dataset : Dataset
    settings : Responses
        Of a kind in `TABLED_KINDS`.
    subject : str

    Returns
    -------
    DataFrame
        One row per trial: `run` (as in the responses), `trial` (number within the run, from 0), and
        `uri` (address of an image, see `stimuli.media`) or `text`.

    Raises
    ------
    DataError
        A file is missing or damaged.
    """
    return _tabled(settings).list_trials(dataset, settings, subject)


def trials_of_all(study: Study) -> dict[str, pd.DataFrame]:
    """`list_trials` of every subject of a study."""
    return {name: list_trials(study.dataset, study.responses, name) for name in study.subjects()}


def open_source(
    index: pd.DataFrame, dataset: Dataset, settings: Responses, recordings: Sequence[Recording]
) -> Source:
    """Prepare the recordings of one subject to be read, whatever their kind; headers only.

    Raises
    ------
    DataError
        The recordings do not fit together; one line per problem.
    """
    if settings.kind in TABLED_KINDS:
        return _tabled(settings).open_source(dataset, settings, recordings)
    if settings.kind == "parcels":
        from neuroalign.recordings.tabular import open_parcels

        return open_parcels(settings, recordings)
    if settings.kind == "cifti":
        from neuroalign.recordings.cifti import open_ciftis

        return open_ciftis(settings, recordings)
    if settings.kind == "surface":
        from neuroalign.recordings.surface import open_surfaces

        return open_surfaces(dataset, settings, recordings)
    if settings.mesh is not None:
        from neuroalign.recordings.sampled import open_sampled

        return open_sampled(index, dataset, settings, recordings)
    from neuroalign.recordings.volume import open_volumes

    return open_volumes(index, dataset, settings, recordings)


def _tabled(settings: Responses) -> TabledFormat:
    from neuroalign.recordings import algonauts, array, glmsingle, nsd, things_eeg2
    from neuroalign.recordings.meeg import arrays as series

    if settings.series_of_sensors:
        return series
    formats: dict[str, TabledFormat] = {
        "array": array,
        "glmsingle": glmsingle,
        "nsd": nsd,
        "algonauts": algonauts,
        "things_eeg2": things_eeg2,
    }
    return formats[settings.kind]
