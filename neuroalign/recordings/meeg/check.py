"""What is wrong with recordings of EEG, MEG and iEEG, from their headers and sidecars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from neuroalign import bids
from neuroalign.errors import NeuroalignError
from neuroalign.recordings.files import Recording
from neuroalign.recordings.meeg.channels import predicted_channels
from neuroalign.recordings.meeg.raw import open_raw, opening, used_rate
from neuroalign.recordings.meeg.steps import step_problems
from neuroalign.settings.config import Study
from neuroalign.settings.sensors import Sensors
from neuroalign.stimuli.events import events_path, read_run

if TYPE_CHECKING:
    import mne


def sensor_problems(index: pd.DataFrame, study: Study, recordings: Sequence[Recording]) -> Iterator[str]:
    """Find what would stop the recordings of one subject on their way to responses, a line each.

    Parameters
    ----------
    index : DataFrame
        The rows of this subject.
    study : Study
        Of a kind with BIDS names.
    recordings : sequence of Recording
    """
    first: tuple[str, list[str]] | None = None
    for recording in recordings:
        path = recording.paths[0]
        try:
            info, last_s = _header(recording, study)
            channels = predicted_channels(info, study.responses.sensors)
        except NeuroalignError as error:
            text = str(error)
            yield text if text.startswith(str(path)) else f"{path}: {text}"
            continue
        yield from (f"{path}: {problem}" for problem in step_problems(info, study.responses))
        first = first or (path.name, channels)
        if set(channels) != set(first[1]):
            other = sorted(set(channels) ^ set(first[1]))
            yield (
                f"{path}: {len(channels)} channels, '{first[0]}' has {len(first[1])} (different: "
                f"{', '.join(other[:5])}); name those that all runs have in responses.sensors.channels"
            )
        yield from _sidecar_problems(index, study, recording)
        yield from _event_problems(index, study, recording, last_s)


def count_samples(study: Study, recordings: Sequence[Recording]) -> int:
    """How many moments recordings have, by their headers; 0 for trials."""
    return 0 if study.responses.epoched else sum(len(open_raw(each.paths[0]).times) for each in recordings)


@dataclass(frozen=True)
class SensorSize:
    """How much a run holds, by its header.

    Attributes
    ----------
    samples : int
        Moments that are left after resampling; of trials 0, since events say how many there are.
    targets : int
    recorded : int
        Values of the recording as it is opened.
    """

    samples: int
    targets: int
    recorded: int


def sensor_size(study: Study, recording: Recording) -> SensorSize:
    """Tell the size of a run, and of what will become of it.

    Raises
    ------
    NeuroalignError
        The recording cannot be opened.
    """
    sensors, path = study.responses.sensors, recording.paths[0]
    if study.responses.kind == "epochs":
        import mne

        with opening(path):
            epochs = mne.read_epochs(path, preload=False, verbose="error")
        channels, held = predicted_channels(epochs.info, sensors), len(epochs) * len(epochs.times)
        rate = used_rate(float(epochs.info["sfreq"]), sensors)
        seconds = min(sensors.epoch_s[1], epochs.tmax) - max(sensors.epoch_s[0], epochs.tmin)
        return SensorSize(0, len(channels) * (round(seconds * rate) + 1), held * len(epochs.ch_names))
    raw = open_raw(path)
    channels, rate = predicted_channels(raw.info, sensors), used_rate(float(raw.info["sfreq"]), sensors)
    held = len(raw.times) * len(raw.ch_names)
    if not study.responses.epoched:
        return SensorSize(round(raw.times[-1] * rate) + 1, len(channels), held)
    return SensorSize(0, len(channels) * count_latencies(sensors, rate), held)


def count_latencies(sensors: Sensors, rate_hz: float) -> int:
    """How many latencies an epoch has."""
    return round((sensors.epoch_s[1] - sensors.epoch_s[0]) * rate_hz) + 1


def _header(recording: Recording, study: Study) -> tuple[mne.Info, float]:
    """What the recording says of itself, and the time (s) of its last sample; NaN of trials cut before."""
    path = recording.paths[0]
    if study.responses.kind == "epochs":
        import mne

        with opening(path):
            return mne.read_epochs(path, preload=False, verbose="error").info, np.nan
    raw = open_raw(path)
    return raw.info, float(raw.times[-1])


def _sidecar_problems(index: pd.DataFrame, study: Study, recording: Recording) -> Iterator[str]:
    if study.responses.kind == "epochs":
        return
    row = index[index["path"] == recording.names[0]].iloc[0].to_dict()
    try:
        known = bids.sidecar(index, study.dataset.path, row)
    except NeuroalignError as error:
        yield str(error)
        return
    if not known:
        path = recording.paths[0]
        name = f"{path.name.split('.', 1)[0]}.json"
        yield f"{path}: no sidecar '{name}', which BIDS asks for; add it (mne_bids.write_raw_bids writes it)"


def _event_problems(index: pd.DataFrame, study: Study, recording: Recording, last_s: float) -> Iterator[str]:
    """Stimuli of which none, or not most, lie within the recording."""
    try:
        shown = read_run(index, study.dataset, study.stimuli, recording.run)
    except NeuroalignError as error:
        yield from str(error).splitlines()
        return
    onsets = shown["onset"].to_numpy()
    outside = int(((onsets < 0) | (onsets > last_s)).sum()) if np.isfinite(last_s) else 0
    if 2 * outside > len(onsets):
        source = events_path(index, study.dataset, study.stimuli, recording.run)
        yield (
            f"{source}: {outside} of {len(onsets)} onsets lie outside the recording, which is {last_s:.1f} s "
            "long; give seconds from its first sample, or correct stimuli.offset_s"
        )
