"""Responses of one subject to be predicted from EEG, MEG or iEEG: trials by latency, or time series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign import bids
from neuroalign.artefacts import arrays
from neuroalign.errors import DataError, NeuroalignError
from neuroalign.recordings.files import Recording, find_recordings
from neuroalign.recordings.joining import finish, join_runs
from neuroalign.recordings.meeg.channels import (
    DIGITISED,
    at_latencies,
    channel_table,
    place_channels,
    predicted_channels,
)
from neuroalign.recordings.meeg.epochs import Cut, cut, describe_dropped, from_epochs
from neuroalign.recordings.meeg.raw import open_raw, opening, prepare, used_rate
from neuroalign.recordings.meeg.steps import check_steps
from neuroalign.recordings.trials import scale_trials
from neuroalign.settings.dataset import Dataset
from neuroalign.settings.responses import Responses
from neuroalign.settings.sensors import Sensors


@dataclass(frozen=True)
class Sensed:
    """What one run gives.

    Attributes
    ----------
    data : array (n_samples, n_targets)
    samples : DataFrame (n_samples rows)
        `run`, `time_s` and, of trials, `event`.
    channels : DataFrame
        From `channel_table`.
    montage : str
        Where positions come from.
    sampling_hz : float
    latencies : array (n_latencies,) or None
    n_shown : int
        Stimuli, or samples before some were left out.
    dropped : Counter
        By reason.
    """

    data: np.ndarray
    samples: pd.DataFrame
    channels: pd.DataFrame
    montage: str
    sampling_hz: float
    latencies: np.ndarray | None
    n_shown: int
    dropped: Counter[str]


def read_sensors(
    index: pd.DataFrame, dataset: Dataset, settings: Responses, subject: str, events: pd.DataFrame
) -> xr.Dataset:
    """Read and prepare all runs of one subject.

    Parameters
    ----------
    index : DataFrame
        From `bids.index_study`.
    dataset : Dataset
    settings : Responses
        Of a kind in `SENSOR_KINDS`.
    subject : str
        Label without `sub-`.
    events : DataFrame
        The stimuli of this subject: `run`, `onset` (s from the first sample).

    Returns
    -------
    xr.Dataset
        `response` (sample, target), float32, z-scored within runs unless `standardize` is false. Targets
        are channels or, of trials, channels at latencies, those of one channel together; bad channels are
        invalid. Samples know `run` and `time_s`, of trials the number of the trial; `event` is the number of
        the stimulus within its run, since trials that were dropped leave gaps. Attributes: `sampling_hz`,
        `montage`, `n_channels`, of trials `n_latencies`, of time series `tr`; `n_shown` and `n_dropped`.

    Raises
    ------
    DataError
        Recordings are missing, damaged or do not fit together, or no trial is left.
    ConfigError
        A channel or a montage that the settings name is not there.
    """
    index = bids.select(index, subject=("", subject))
    recordings, problems = find_recordings(index, dataset, settings, subject)
    if problems:
        raise DataError("\n".join(problems))
    runs = [_read_run(each, settings, events[events["run"] == each.run.label]) for each in recordings]
    _must_agree(recordings, runs)
    first = runs[0]
    shown, dropped = sum(run.n_shown for run in runs), sum((run.dropped for run in runs), Counter[str]())
    targets = (
        first.channels.assign(name=first.channels["channel"], roi="")
        if first.latencies is None
        else at_latencies(first.channels, first.latencies)
    )
    attributes = {
        "subject": subject, "task": dataset.task, "kind": "sensors", "space": "",
        "sampling_hz": first.sampling_hz, "montage": first.montage, "n_channels": len(first.channels),
    }  # fmt: skip
    if first.latencies is None:
        attributes |= {"tr": 1 / first.sampling_hz}
    else:
        attributes |= {"samples": "trials", "n_latencies": len(first.latencies)}
    samples = pd.concat([run.samples for run in runs], ignore_index=True)
    data = join_runs([run.data for run in runs])
    found = arrays.build_responses(data, samples, targets, **attributes)
    if "event" in samples:
        found = found.assign_coords(event=("sample", samples["event"].to_numpy(np.int64)))
    found = finish(found, np.zeros((len(samples), 0)), [], _describe(settings, runs, dropped, shown), 0.0)
    return found.assign_attrs(n_shown=shown, n_dropped=sum(dropped.values()))


def _read_run(recording: Recording, settings: Responses, events: pd.DataFrame) -> Sensed:
    """Read one run; what is wrong with it is said with its file's name."""
    path = recording.paths[0]
    onsets = np.sort(events["onset"].to_numpy(float), kind="stable")
    try:
        if settings.kind == "epochs":
            return _trials_before(recording, settings, len(onsets))
        return _trials(recording, settings, onsets) if settings.epoched else _series(recording, settings)
    except NeuroalignError as error:
        text = str(error)
        raise type(error)(text if text.startswith(str(path)) else f"{path}: {text}") from None


def _trials(recording: Recording, settings: Responses, onsets: np.ndarray) -> Sensed:
    raw = open_raw(recording.paths[0])
    channels = predicted_channels(raw.info, settings.sensors)
    check_steps(raw.info, settings)
    montage = prepare(raw, settings.sensors)
    table = channel_table(raw.info, channels)
    return _of_trials(
        recording, settings, cut(raw, onsets, channels, settings.sensors), table, montage, len(onsets)
    )


def _trials_before(recording: Recording, settings: Responses, n_stimuli: int) -> Sensed:
    """Trials that were cut before: `-epo.fif`."""
    import mne

    path = recording.paths[0]
    with opening(path):
        epochs = mne.read_epochs(path, preload=True, verbose="error")
    channels = predicted_channels(epochs.info, settings.sensors)
    check_steps(epochs.info, settings)
    epochs.info["bads"] = list(dict.fromkeys([*epochs.info["bads"], *settings.sensors.bad]))
    montage = place_channels(epochs, settings.sensors.montage)
    made = from_epochs(epochs, n_stimuli, channels, settings.sensors)
    return _of_trials(recording, settings, made, channel_table(epochs.info, channels), montage, n_stimuli)


def _of_trials(
    recording: Recording, settings: Responses, made: Cut, channels: pd.DataFrame, montage: str, n_shown: int
) -> Sensed:
    data = scale_trials(made.data.reshape(len(made.data), -1), settings.standardize, recording.run)
    samples = pd.DataFrame(
        {"run": recording.run.label, "time_s": np.arange(len(data), dtype=float), "event": made.shown}
    )
    return Sensed(data, samples, channels, montage, made.sampling_hz, made.latencies, n_shown, made.dropped)


def _series(recording: Recording, settings: Responses) -> Sensed:
    """A whole run as a time series; samples that are annotated BAD, or trimmed, are left out."""
    raw = open_raw(recording.paths[0])
    channels = predicted_channels(raw.info, settings.sensors)
    check_steps(raw.info, settings)
    montage = prepare(raw, settings.sensors)
    rate = used_rate(float(raw.info["sfreq"]), settings.sensors)
    if rate < raw.info["sfreq"]:
        raw.resample(rate, verbose="error")
    table = channel_table(raw.info, channels)
    data = raw.get_data(picks=channels, reject_by_annotation="NaN", verbose="error").T
    times, (start, stop) = raw.times, settings.trim_s
    kept = np.isfinite(data).any(axis=1) & (times >= start) & (times <= times[-1] - stop)
    data[:, [name in raw.info["bads"] for name in channels]] = np.nan
    if kept.sum() < 3:
        raise DataError(
            f"{int(kept.sum())} of {len(kept)} samples are left of what is annotated BAD and trimmed; "
            "correct the annotations or responses.trim_s, or leave the run out"
        )
    dropped = +Counter({"are annotated BAD or trimmed": int((~kept).sum())})
    scaled = scale_trials(data[kept], settings.standardize, recording.run)
    samples = pd.DataFrame({"run": recording.run.label, "time_s": times[kept]})
    return Sensed(scaled, samples, table, montage, rate, None, len(kept), dropped)


def _must_agree(recordings: Sequence[Recording], runs: Sequence[Sensed]) -> None:
    """Refuse runs with other channels, rates or latencies than the first."""
    first = runs[0]
    for recording, run in zip(recordings, runs, strict=True):
        path = recording.paths[0]
        names, wanted = list(run.channels["channel"]), list(first.channels["channel"])
        if names != wanted:
            other = sorted(set(names) ^ set(wanted)) or ["their order"]
            raise DataError(
                f"{path}: {len(names)} channels, the first run has {len(wanted)} (different: "
                f"{', '.join(other[:5])}); name those that all runs have in responses.sensors.channels"
            )
        if not np.isclose(run.sampling_hz, first.sampling_hz) or run.data.shape[1] != first.data.shape[1]:
            raise DataError(
                f"{path}: {run.sampling_hz:g} samples a second, the first run has {first.sampling_hz:g}; set "
                "responses.sensors.resample_hz to a rate that all reach"
            )


def _describe(settings: Responses, runs: Sequence[Sensed], dropped: Counter[str], shown: int) -> str:
    """Say what was done to the recordings, in some sentences."""
    sensors, first = settings.sensors, runs[0]
    sentences = [
        *([] if settings.kind == "epochs" else _steps(sensors)),
        f"Responses have {first.sampling_hz:g} Hz.",
    ]
    if settings.epoched:
        low, high = first.latencies[[0, -1]] if first.latencies is not None else sensors.epoch_s
        sentences.append(f"Trials reach from {1000 * low:.0f} to {1000 * high:.0f} ms.")
        if settings.kind != "epochs" and sensors.baseline_s is not None:
            start, stop = (1000 * at for at in sensors.baseline_s)
            sentences.append(f"The mean from {start:.0f} to {stop:.0f} ms was taken off each.")
        if sensors.whiten:
            sentences.append("Noise was normalised by the covariance of the baseline, shrunk.")
        sentences.append(describe_dropped(shown, dropped))
    elif dropped:
        sentences.append(
            f"{sum(dropped.values())} of {shown} samples {next(iter(dropped))} and were left out."
        )
    places = {DIGITISED: "Positions came with the recording.", "": "No positions of channels are known."}
    sentences.append(places.get(first.montage, f"Positions are those of the montage {first.montage}."))
    if settings.standardize:
        sentences.append(
            f"Within each run, every target was z-scored{' over trials' if settings.epoched else ''}."
        )
    return " ".join(sentences)


def _steps(sensors: Sensors) -> list[str]:
    low, high = sensors.band_hz
    said = []
    if sensors.notch_hz:
        said.append(
            f"{', '.join(f'{line:g}' for line in sensors.notch_hz)} Hz and harmonics were notched out"
        )
    if low is not None or high is not None:
        band = (
            f"{low:g} to {high:g} Hz"
            if low and high
            else (f"from {low:g} Hz" if low else f"up to {high:g} Hz")
        )
        said.append(f"the band kept is {band}")
    if sensors.interpolate:
        said.append("bad channels were interpolated")
    if sensors.reference != "keep":
        reference = sensors.reference if isinstance(sensors.reference, str) else ", ".join(sensors.reference)
        said.append(f"EEG is referenced to {reference}")
    sentence = "; ".join(said)
    return [f"{sentence[0].upper()}{sentence[1:]}."] if sentence else []
