"""Continuous recordings in plain arrays (time, channel), a file for every run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign.artefacts import arrays
from neuroalign.errors import ConfigError, DataError
from neuroalign.recordings.array import array_shape, read_rows
from neuroalign.recordings.files import Recording, Source
from neuroalign.recordings.joining import finish, join_runs
from neuroalign.recordings.patterns import find_by_pattern
from neuroalign.recordings.tabular import read_header
from neuroalign.recordings.trial_tables import trial_recording
from neuroalign.recordings.trials import scale_trials
from neuroalign.settings.dataset import Dataset
from neuroalign.settings.responses import Responses


def find_recordings(dataset: Dataset, settings: Responses, subject: str) -> tuple[list[Recording], list[str]]:
    """Find the arrays of a subject, one recording per run, and what is wrong with them."""
    assert settings.path is not None
    recordings, problems = [], list[str]()
    for run, path in find_by_pattern(dataset, "responses.path", settings.path, subject).items():
        try:
            recordings.append(trial_recording(run, (path,), array_shape(path)[0], ""))
        except DataError as error:
            problems.append(str(error))
    return recordings, problems


def list_trials(dataset: Dataset, settings: Responses, subject: str) -> pd.DataFrame:
    """List the samples of a subject: columns `run` and `trial`, the number of the sample within it."""
    recordings, problems = find_recordings(dataset, settings, subject)
    if problems:
        raise DataError("\n".join(problems))
    return pd.concat(
        [
            pd.DataFrame({"run": each.run.label, "trial": np.arange(int(each.n_volumes[0]))})
            for each in recordings
        ],
        ignore_index=True,
    )


def open_source(dataset: Dataset, settings: Responses, recordings: Sequence[Recording]) -> Source:
    """Prepare arrays to be read; their columns are channels.

    Raises
    ------
    DataError
        Files differ in their channels.
    ConfigError
        `responses.sensors.channels` names more or fewer.
    """
    paths = [recording.paths[0] for recording in recordings]
    counts = [array_shape(path)[1] for path in paths]
    for path, count in zip(paths, counts, strict=True):
        if count != counts[0]:
            raise DataError(
                f"{path}: {count} channels, not the {counts[0]} of '{paths[0].name}'; every run needs the "
                "same channels in the same order"
            )
    targets = _targets(paths[0], counts[0], settings)
    return Source(targets, {"kind": "sensors"}, lambda recording: read_rows(recording.paths[0], slice(None)))


def read_series(dataset: Dataset, settings: Responses, subject: str) -> xr.Dataset:
    """Read all runs of one subject; nothing is filtered.

    Returns
    -------
    xr.Dataset
        As `responses.read_sensors` returns time series.

    Raises
    ------
    DataError
        Files are missing, damaged or do not fit together.
    """
    recordings, problems = find_recordings(dataset, settings, subject)
    if problems:
        raise DataError("\n".join(problems))
    source, rate = open_source(dataset, settings, recordings), settings.sensors.sampling_hz
    assert rate is not None
    data, samples = [], []
    for recording in recordings:
        values = source.read(recording)
        times, (start, stop) = np.arange(len(values)) / rate, settings.trim_s
        kept = (times >= start) & (times <= times[-1] - stop)
        data.append(scale_trials(values[kept], settings.standardize, recording.run))
        samples.append(pd.DataFrame({"run": recording.run.label, "time_s": times[kept]}))
    attributes = {
        "subject": subject, "task": dataset.task, "kind": "sensors", "space": "", "sampling_hz": rate,
        "montage": _montage(source.targets, settings), "n_channels": len(source.targets), "tr": 1 / rate,
    }  # fmt: skip
    table = pd.concat(samples, ignore_index=True)
    found = arrays.build_responses(join_runs(data), table, source.targets, **attributes)
    scaled = "z-scored" if settings.standardize else "taken as it is"
    said = f"Arrays of {rate:g} Hz; within each run, every channel was {scaled}."
    return finish(found, np.zeros((len(table), 0)), [], said, 0.0)


def _targets(path: Path, count: int, settings: Responses) -> pd.DataFrame:
    """Channels by the names in the config, those of a table, or numbers; positions by the montage."""
    given = settings.sensors.channels
    names = read_header(path) if path.suffix == ".tsv" else [str(number) for number in range(count)]
    if given != "data":
        if len(given) != count:
            raise ConfigError(
                f"responses.sensors.channels names {len(given)} channels, but '{path}' has {count} columns; "
                "name every column, in order"
            )
        names = list(given)
    places = np.full((count, 3), np.nan)
    if given != "data" or path.suffix == ".tsv":
        places = standard_places(names, settings.sensors.montage)
    table = pd.DataFrame({"name": names, "channel": names, "channel_type": "eeg", "roi": ""})
    return pd.concat([table, pd.DataFrame(places, columns=["x", "y", "z"])], axis=1)


def standard_places(names: Sequence[str], montage: str) -> np.ndarray:
    """Positions (channel, 3) in metres, in head coordinates, of channels that a montage knows."""
    import mne

    from neuroalign.recordings.meeg.channels import place_channels, positions

    info = mne.create_info(list(names), 100.0, "eeg")
    raw = mne.io.RawArray(np.zeros((len(names), 1)), info, verbose="error")
    place_channels(raw, montage)
    return positions(raw.info, names)


def _montage(targets: pd.DataFrame, settings: Responses) -> str:
    return settings.sensors.montage if np.isfinite(targets["x"]).any() else ""
