"""THINGS-EEG2 as it is distributed: trials cut, filtered and noise-normalised, a file per part and subject.

Gifford et al. (2022), NeuroImage 264:119754. Training images are shown a few times each, test images often;
the two parts become the runs `training` and `test`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neuroalign import bids
from neuroalign.errors import DataError, choices
from neuroalign.recordings.files import Recording, Source
from neuroalign.recordings.meeg.arrays import standard_places
from neuroalign.recordings.meeg.channels import at_latencies
from neuroalign.recordings.plain_pickles import read_plain_dictionary
from neuroalign.recordings.trial_tables import trial_recording
from neuroalign.settings.dataset import Dataset
from neuroalign.settings.responses import Responses
from neuroalign.stimuli.images import address

PARTS = ("training", "test")
METADATA = "stimuli/image_metadata.npy"


def find_recordings(dataset: Dataset, settings: Responses, subject: str) -> tuple[list[Recording], list[str]]:
    """Find the parts of a subject, one recording each, and say what is wrong, a line each."""
    shown = _images(dataset)
    recordings, problems = [], list[str]()
    for part in _parts(dataset):
        path = Path(dataset.path, f"sub-{subject}", f"preprocessed_eeg_{part}.npy")
        if not path.is_file():
            problems.append(f"sub-{subject}: no file '{path}'; add it, or leave the part out in dataset.runs")
            continue
        try:
            images, repeats = _read(path)["preprocessed_eeg_data"].shape[:2]
        except DataError as error:
            problems.append(str(error))
            continue
        if images != len(shown[part]):
            problems.append(
                f"{path}: {images} images, but '{METADATA}' lists {len(shown[part])}; copy both again"
            )
        run = bids.Run(subject, "", dataset.task, part)
        recordings.append(trial_recording(run, (path,), images * repeats, ""))
    return recordings, problems


def list_trials(dataset: Dataset, settings: Responses, subject: str) -> pd.DataFrame:
    """List the trials of a subject, repeats of an image together: columns `run`, `trial` and `uri`."""
    recordings, problems = find_recordings(dataset, settings, subject)
    if problems:
        raise DataError("\n".join(problems))
    shown, tables = _images(dataset), []
    for recording in recordings:
        images = shown[recording.run.run_entity]
        repeats = int(recording.n_volumes[0]) // len(images)
        uri = np.repeat(np.array(images, object), repeats)
        tables.append(pd.DataFrame({"run": recording.run.label, "trial": np.arange(len(uri)), "uri": uri}))
    return pd.concat(tables, ignore_index=True)


def open_source(dataset: Dataset, settings: Responses, recordings: Sequence[Recording]) -> Source:
    """Prepare the parts of one subject to be read; targets are channels at latencies.

    Raises
    ------
    DataError
        The parts differ in channels or latencies.
    """
    first = _read(recordings[0].paths[0])
    names, times = [str(name) for name in first["ch_names"]], np.asarray(first["times"], float)
    for recording in recordings[1:]:
        other = _read(recording.paths[0])
        if [str(name) for name in other["ch_names"]] != names or len(other["times"]) != len(times):
            raise DataError(
                f"{recording.paths[0]}: other channels or latencies than '{recordings[0].paths[0]}'"
            )
    places = standard_places(names, settings.sensors.montage)
    channels = pd.DataFrame({"channel": names, "channel_type": "eeg"})
    channels = pd.concat([channels, pd.DataFrame(places, columns=["x", "y", "z"])], axis=1)
    montage = settings.sensors.montage if np.isfinite(places).any() else ""
    rate = float(np.round(1 / np.median(np.diff(times)), 6))
    attributes = {"kind": "sensors", "sampling_hz": rate, "montage": montage}
    attributes |= {"n_channels": len(names), "n_latencies": len(times)}

    def read(recording: Recording) -> np.ndarray:
        data = _read(recording.paths[0])["preprocessed_eeg_data"]
        return np.asarray(data, np.float32).reshape(data.shape[0] * data.shape[1], -1)

    return Source(at_latencies(channels, times), attributes, read)


def _parts(dataset: Dataset) -> list[str]:
    if dataset.runs == "all":
        return list(PARTS)
    for name in dataset.runs:
        if name not in PARTS:
            raise DataError(f"dataset.runs: THINGS-EEG2 has no part '{name}': {choices(name, PARTS)}")
    return list(dataset.runs)


def _images(dataset: Dataset) -> dict[str, list[str]]:
    """The files of the images of every part, in the order of their conditions."""
    path = Path(dataset.path, METADATA)
    if not path.is_file():
        raise DataError(f"dataset.path: no file '{path}'; give the folder that holds the data of THINGS-EEG2")
    content = read_plain_dictionary(path)
    found = {}
    for part, short in zip(PARTS, ("train", "test"), strict=True):
        try:
            pairs = zip(content[f"{short}_img_concepts"], content[f"{short}_img_files"], strict=True)
            folder = path.parent / f"{part}_images"
            found[part] = [address(f"{concept}/{file}", folder, path.parent) for concept, file in pairs]
        except (KeyError, ValueError) as error:
            raise DataError(
                f"{path}: does not list the images of {part} ({error}); copy the file again"
            ) from None
    return found


def _read(path: Path) -> dict[str, Any]:
    content = read_plain_dictionary(path)
    data = content.get("preprocessed_eeg_data")
    named = {"ch_names", "times"} <= set(content)
    if not isinstance(data, np.ndarray) or data.ndim != 4 or not named:
        raise DataError(
            f"{path}: expected preprocessed_eeg_data (image, repeat, channel, latency), ch_names and "
            "times; copy the file again"
        )
    if data.shape[2:] != (len(content["ch_names"]), len(content["times"])):
        raise DataError(
            f"{path}: data {data.shape} do not fit {len(content['ch_names'])} channels × "
            f"{len(content['times'])} latencies; copy the file again"
        )
    return content
