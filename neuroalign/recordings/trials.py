"""Responses to trials: one volume per presentation of a stimulus, such as the betas of a GLM."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign.artefacts import arrays
from neuroalign.errors import DataError
from neuroalign.recordings.cleaning import describe_sampling
from neuroalign.recordings.files import Recording, Source
from neuroalign.recordings.joining import finish, join_runs
from neuroalign.settings.dataset import Dataset
from neuroalign.settings.responses import Responses

_BLOCK = 8192
"""Targets scaled at once, in double precision: bounds the memory beside the data themselves."""


def read_trials(
    source: Source, recordings: Sequence[Recording], dataset: Dataset, settings: Responses, made: str = ""
) -> xr.Dataset:
    """Read the responses to all trials of one subject.

    Parameters
    ----------
    source : Source
    recordings : sequence of Recording
    dataset : Dataset
    settings : Responses
    made : str
        How the responses were made of recordings, in a sentence; empty where they are read.

    Returns
    -------
    xr.Dataset
        As `fmri.read_responses` returns it, but `time_s` is the trial's number within its run, from 0,
        there are no confounds and no `tr`, and the attribute `samples` is "trials".

    Raises
    ------
    DataError
        A file is damaged, or a run has too few trials to be scaled.
    """
    data, samples = [], []
    for recording in recordings:
        data.append(scale_trials(source.read(recording), settings.standardize, recording.run))
        numbers = np.arange(len(data[-1]), dtype=float)
        samples.append(pd.DataFrame({"run": recording.run.label, "time_s": numbers}))
    first = recordings[0]
    place = {"subject": first.run.subject, "task": dataset.task, "kind": settings.kind, "space": first.space}
    found = arrays.build_responses(
        join_runs(data),
        pd.concat(samples, ignore_index=True),
        source.targets,
        **(place | source.attributes),
        samples="trials",
    )
    scaled = (
        "Within each run, every target was z-scored over trials."
        if settings.standardize
        else "Responses to trials were taken as they are."
    )
    cleaning = f"{describe_sampling(settings)}{made} {scaled}".strip()
    return finish(found, np.zeros((found.sizes["sample"], 0)), [], cleaning, 0.0)


def scale_trials(data: np.ndarray, standardize: bool, run: object) -> np.ndarray:
    """Bring the responses to the trials of one run to one scale.

    Parameters
    ----------
    data : array (n_trials, n_targets)
    standardize : bool
        Z-score every target over the trials of the run.
    run : bids.Run
        Named in the error message.

    Returns
    -------
    array (n_trials, n_targets) of float32
        All NaN for a target that is not finite or, where it is to be z-scored, constant in this run.

    Raises
    ------
    DataError
        A run of fewer than three trials is to be z-scored: they would all become -1 or 1.
    """
    if standardize and len(data) < 3:
        raise DataError(
            f"{run}: {len(data)} trials are too few to z-score within the run; "
            "set responses.standardize to false, or leave the run out"
        )
    scaled = np.full(data.shape, np.nan, np.float32)
    for start in range(0, data.shape[1], _BLOCK):
        part = data[:, start : start + _BLOCK].astype(float)
        usable = np.isfinite(part).all(axis=0)
        if standardize:
            part = np.where(usable, part, 0.0)
            usable &= np.ptp(part, axis=0) > 0
            part -= part.mean(axis=0)
            part /= np.where(usable, part.std(axis=0), 1.0)
        scaled[:, start : start + _BLOCK] = np.where(usable, part, np.nan)
    return scaled
