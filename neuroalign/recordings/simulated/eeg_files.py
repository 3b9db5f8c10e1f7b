"""The files of a simulated EEG study: BrainVision recordings with the sidecars of BIDS, and the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign.artefacts import arrays, layout
from neuroalign.errors import DataError
from neuroalign.recordings.simulated.eeg_viewers import EPOCH_S, SHOWN_S, EEGRun, EEGViewer
from neuroalign.recordings.simulated.head import Head
from neuroalign.recordings.simulated.image_files import image_name
from neuroalign.recordings.simulated.planted_sources import SourcePlan
from neuroalign.recordings.simulated.study_files import (
    StudyFiles,
    write_descriptions,
    write_events,
    write_json,
)

SPACE = "CapTrak"
"""The coordinates of BIDS that are MNE's head coordinates: the axes go through ears and nasion."""

EYE = "VEOG"
_RESOLUTION_UV = 0.1
"""Recordings are rounded to this, as amplifiers do."""

_MIDLINE_M = 0.005
"""Electrodes that are nearer to the midline belong to both sides."""

_README = """\
Simulated EEG of viewers of images
==================================

Nobody was recorded: neuroalign drew these images and made the recordings. The events say which image
was shown when, `stimuli` holds the images. Two dipoles in a spherical head follow what each layer of a
network knows of an image, the deeper the layer the later and the further to the front; the rest is
background, alpha and blinks. What was planted is told in derivatives/truth, from which settings in
its desc-truth_statmap.json.
"""


def check_writable() -> None:
    """Raise a DataError, before anything is made, where BrainVision files cannot be written."""
    try:
        import pybv  # noqa: F401
    except ImportError:
        raise DataError(
            "simulate: kind eeg writes BrainVision files with the package pybv, which is not installed; "
            "pip install 'neuroalign[demo]', or pip install pybv"
        ) from None


def write_run(study: StudyFiles, viewer: EEGViewer, run: EEGRun, head: Head, sampling_hz: int) -> None:
    """Recording, events and sidecars of one run of one person."""
    import pybv

    path = study.recorded(viewer.label, run.label, "eeg.vhdr")
    onsets = run.trials["onset"].to_numpy()
    markers = np.stack([onsets, np.ones_like(onsets)], axis=1)
    pybv.write_brainvision(
        data=np.concatenate([run.eeg, run.eye[None]]),
        sfreq=sampling_hz,
        ch_names=[*head.channels, EYE],
        fname_base=path.stem,
        folder_out=path.parent,
        events=markers,
        resolution=_RESOLUTION_UV,
        unit="µV",
        fmt="binary_int16",
    )
    events = pd.DataFrame(
        {
            "onset": onsets / sampling_hz,
            "duration": SHOWN_S,
            "sample": onsets,
            "trial_type": "image",
            "stim_file": [image_name(number) for number in run.trials["image"]],
            "repeat": run.trials["repeat"],
        }
    )
    write_events(study, viewer.label, run.label, events, decimals=7)
    _write_channels(study, viewer, run, head, sampling_hz)
    about = {
        "TaskName": study.task,
        "SamplingFrequency": sampling_hz,
        "PowerLineFrequency": "n/a",
        "EEGReference": "average of all electrodes",
        "SoftwareFilters": "n/a",
        "EEGChannelCount": len(head.channels),
        "EOGChannelCount": 1,
        "RecordingDuration": run.eeg.shape[1] / sampling_hz,
        "RecordingType": "continuous",
    }
    write_json(about, study.recorded(viewer.label, run.label, "eeg.json"))


def _write_channels(study: StudyFiles, viewer: EEGViewer, run: EEGRun, head: Head, sampling_hz: int) -> None:
    names = [*head.channels, EYE]
    table = pd.DataFrame(
        {
            "name": names,
            "type": ["EEG"] * len(head.channels) + ["VEOG"],
            "units": "µV",
            "sampling_frequency": sampling_hz,
            "status": "good",
        }
    )
    path = study.recorded(viewer.label, run.label, "channels.tsv")
    table.to_csv(path, sep="\t", index=False, lineterminator="\n")


def write_electrodes(study: StudyFiles, viewer: EEGViewer, head: Head) -> None:
    """Where the electrodes of a person are, and the landmarks of the head, in metres."""
    folder = study.root / f"sub-{viewer.label}" / study.datatype
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"sub-{viewer.label}_space-{SPACE}"
    table = pd.DataFrame({"name": head.channels, **dict(zip("xyz", head.places.T, strict=True))})
    table = table.assign(impedance="n/a")
    path = folder / f"{stem}_electrodes.tsv"
    table.to_csv(path, sep="\t", index=False, float_format="%.6f", lineterminator="\n")
    landmarks = {name: [round(float(at), 6) for at in place] for name, place in head.landmarks.items()}
    about = {
        "EEGCoordinateSystem": SPACE,
        "EEGCoordinateUnits": "m",
        "EEGCoordinateSystemDescription": "x from the left to the right ear, y through the nasion, z up",
        "AnatomicalLandmarkCoordinates": landmarks,
        "AnatomicalLandmarkCoordinateSystem": SPACE,
        "AnatomicalLandmarkCoordinateUnits": "m",
    }
    write_json(about, folder / f"{stem}_coordsystem.json")


def write_eeg_events_sidecar(study: StudyFiles) -> None:
    """What the columns of the events mean."""
    write_json(
        {
            "onset": {"Description": "When the image appeared", "Units": "s"},
            "duration": {"Description": "How long it stayed", "Units": "s"},
            "sample": {"Description": "The same onset as a number of the recording's samples, from 0"},
            "trial_type": {"Description": "What was shown", "Levels": {"image": "a drawn image"}},
            "stim_file": {"Description": "The image, relative to the folder stimuli"},
            "repeat": {"Description": "How often the subject has seen the image, this time included"},
        },
        study.root / f"task-{study.task}_events.json",
    )


@dataclass(frozen=True)
class Heard:
    """What of the responses of one person can be known.

    Attributes
    ----------
    power : array (channel, time)
        Variance of responses over images, V².
    parts : array (layer, channel, time)
        The same of the part of each layer alone.
    noise : array (channel, time)
        Variance of what is no response in single trials, V².
    """

    power: np.ndarray
    parts: np.ndarray
    noise: np.ndarray


def write_source_truth(
    study: StudyFiles,
    plan: SourcePlan,
    head: Head,
    layers: Sequence[str],
    times: np.ndarray,
    people: dict[str, Heard],
    made_from: dict[str, Any],
) -> None:
    """When and where every layer was planted, and ceilings for every channel at every latency."""
    n_targets = len(head.channels) * len(times)
    repeats = int(made_from["repeats"])
    ceilings = {
        name: np.stack([_reached(p.power, p, n).reshape(n_targets) for p in people.values()])
        for name, n in (("ceiling", 1), ("ceiling_of_means", repeats))
    }
    own = np.mean([_reached(p.parts, p, repeats) for p in people.values()], axis=0)
    parts = np.mean([p.parts for p in people.values()], axis=0)
    driven = parts.max(axis=0) > 0
    depth = np.where(driven, plan.depth[parts.argmax(axis=0)], np.nan)
    channel = np.repeat(np.asarray(head.channels, object), len(times))
    latency = np.tile(times, len(head.channels))
    truth = xr.Dataset(
        {
            "depth": ("target", depth.reshape(n_targets)),
            **{name: (("subject", "target"), values) for name, values in ceilings.items()},
            "layer_r": (("layer", "target"), own.reshape(len(layers), n_targets).astype(np.float32)),
            "peak_s": ("layer", plan.peak_s),
            "peak_channel": (("layer", "side"), _best_channels(own, head)),
        },
        {
            "subject": np.asarray(list(people), object),
            "layer": np.asarray(layers, object),
            "layer_depth": ("layer", plan.depth),
            "side": np.asarray(["left", "right"], object),
            "channel": ("target", channel),
            "latency": ("target", latency),
            **{
                axis: ("target", np.repeat(values, len(times)))
                for axis, values in zip("xyz", head.places.T, strict=True)
            },
        },
        {
            "kind": "sensors",
            **made_from,
            "description": "Relative depth of the layer that drives a channel at a latency most; seconds at "
            "which the response that follows a layer peaks, and the channel of each side, the midline "
            "included, where it can be read best; "
            "the highest correlation that a model can reach in each subject with single trials (ceiling) and "
            "with their mean over all repeats of an image (ceiling_of_means), and that the part of a layer "
            "alone can reach with that mean, averaged over subjects (layer_r). Noise is that in epochs of "
            f"{EPOCH_S[0]:g} to {EPOCH_S[1]:g} s against the average of electrodes, less their mean up to "
            "the onset, without a filter",
        },
    )
    arrays.save_arrays(truth, study.root / layout.TRUTH)


def _reached(power: np.ndarray, person: Heard, repeats: int) -> np.ndarray:
    """The correlation that a signal of this variance reaches with means over so many trials."""
    return np.asarray(np.sqrt(power / (person.power + person.noise / repeats)))


def _best_channels(own: np.ndarray, head: Head) -> np.ndarray:
    """Names (layer, side) of the channels, left and right, where layers are read best."""
    highest = own.max(axis=2)
    x = head.places[:, 0]
    sides = [x < _MIDLINE_M, x > -_MIDLINE_M]
    best = np.stack([np.where(side, highest, -1.0).argmax(axis=1) for side in sides], axis=1)
    return np.asarray(head.channels, object)[best]


def describe_eeg(study: StudyFiles, viewers: Sequence[EEGViewer]) -> None:
    """The files that tell what the dataset is."""
    labels, noise = [viewer.label for viewer in viewers], [viewer.noise for viewer in viewers]
    write_descriptions(study, "Simulated EEG of viewers of images", _README, labels, noise)
