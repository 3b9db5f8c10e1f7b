"""How large a study is: told from headers, events and the descriptions of networks, without any data."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from neuroalign import bids
from neuroalign.errors import NeuroalignError
from neuroalign.networks.families import layer_table
from neuroalign.recordings.files import Recording
from neuroalign.recordings.formats import find_recordings, open_source
from neuroalign.recordings.meeg.check import count_latencies, sensor_size
from neuroalign.recordings.shown import shown
from neuroalign.settings.config import Study
from neuroalign.settings.networks import Network
from neuroalign.settings.simulation import SimulateEEG, SimulateImages, SimulateStory

CUSTOMARY_UNITS, CUSTOMARY_WEIGHTS = 1024, 400 * 2**20
"""Units of a layer and bytes of weights, where a network does not tell them before it is loaded."""

FSAVERAGE5 = 20484
"""Vertices of both hemispheres."""

ELECTRODES = 64
"""Channels of simulated EEG."""


@dataclass(frozen=True)
class SubjectSize:
    """How much was recorded of a subject.

    Attributes
    ----------
    samples : int
        Volumes or trials.
    fitted : int
        Samples that are fitted: fewer where repeats are averaged.
    targets : int
    longest : int
        Samples of the longest run, as they are read.
    runs : int
    shown : int
        Different stimuli.
    recorded : int
        Values of the longest run as EEG and MEG were recorded; 0 of anything else.
    """

    samples: int
    fitted: int
    targets: int
    longest: int
    runs: int
    shown: int
    recorded: int = 0


@dataclass(frozen=True)
class NetworkSize:
    """How much a network holds and answers.

    Attributes
    ----------
    units : tuple of int
        Of every layer that is kept.
    tokens : tuple of int
        Values of single tokens of every layer that is kept, 0 without.
    weights : int
        Bytes.
    """

    units: tuple[int, ...]
    tokens: tuple[int, ...]
    weights: int

    @property
    def values(self) -> int:
        """Values kept of an item, all layers together."""
        return sum(self.units) + sum(self.tokens)


@dataclass(frozen=True)
class Sizes:
    """How large a study is.

    Attributes
    ----------
    subjects : dict of str to SubjectSize
    networks : dict of str to NetworkSize
        Under each prompt, and untrained twins.
    items : int
        Different stimuli.
    events : int
        Of all subjects.
    """

    subjects: dict[str, SubjectSize]
    networks: dict[str, NetworkSize]
    items: int
    events: int


def measure(study: Study) -> Sizes:
    """Find out how large a study is, from headers.

    Raises
    ------
    NeuroalignError
        The data or a network cannot be found or read.
    """
    simulated = (
        study.simulate is not None and not Path(study.dataset.path, "dataset_description.json").exists()
    )
    subjects, items, events = _to_be_simulated(study) if simulated else _recorded(study)
    found = {name: _network(network) for name, network in study.all_networks().items()}
    return Sizes(subjects, found, items, events)


def _recorded(study: Study) -> tuple[dict[str, SubjectSize], int, int]:
    data, settings = study.dataset, study.responses
    index = bids.index_study(study)
    items, events = shown(study, index, quickly=True)
    found = {}
    for subject in study.subjects():
        own = bids.select(index, subject=("", subject))
        recordings, problems = find_recordings(own, data, settings, subject)
        if problems:
            raise NeuroalignError(problems[0])
        seen = events[events["subject"] == subject]
        different = int(seen["item"].nunique())
        averaged = study.responses.samples == "trials" and study.design.repeats == "average"
        if settings.reads_bids_sensors:
            found[subject] = _sensed(study, recordings, seen["run"], different, averaged)
            continue
        targets = len(open_source(own, data, settings, recordings).targets)
        read = [int(np.nanmax(recording.n_volumes)) for recording in recordings]
        samples = len(seen) if settings.glm is not None else sum(read)
        fitted = different if averaged else samples
        found[subject] = SubjectSize(samples, fitted, targets, max(read), len(read), different)
    return found, len(items), len(events)


def _sensed(
    study: Study, recordings: list[Recording], of_run: pd.Series[str], different: int, averaged: bool
) -> SubjectSize:
    """The size of a subject's EEG or MEG, of which events say how many trials there are."""
    sizes = [sensor_size(study, recording) for recording in recordings]
    read = [
        size.samples or int((of_run == recording.run.label).sum())
        for size, recording in zip(sizes, recordings, strict=True)
    ]
    samples = sum(read)
    return SubjectSize(
        samples,
        different if averaged else samples,
        max(size.targets for size in sizes),
        max(read),
        len(read),
        different,
        max(size.recorded for size in sizes),
    )


def _to_be_simulated(study: Study) -> tuple[dict[str, SubjectSize], int, int]:
    asked = study.simulate
    if isinstance(asked, SimulateStory):
        from neuroalign.recordings.simulated.narration import tell

        runs = tell(asked.runs, asked.tr, study.seed)
        volumes, words = [run.n_volumes for run in runs], sum(len(run.words) for run in runs)
        size = SubjectSize(sum(volumes), sum(volumes), FSAVERAGE5, max(volumes), len(runs), words)
        return dict.fromkeys(study.subjects(), size), words, words * asked.subjects
    if isinstance(asked, SimulateEEG):
        from neuroalign.recordings.simulated.eeg_viewers import EVERY_S

        sensors, trials = study.responses.sensors, asked.images * asked.repeats
        rate = asked.sampling_hz
        targets = ELECTRODES * count_latencies(sensors, min(rate, sensors.resample_hz or rate))
        seconds = EVERY_S[1] * trials / asked.runs
        size = SubjectSize(
            trials,
            asked.images if study.design.repeats == "average" else trials,
            targets,
            math.ceil(trials / asked.runs),
            asked.runs,
            asked.images,
            round(ELECTRODES * seconds * rate),
        )
        return dict.fromkeys(study.subjects(), size), asked.images, trials * asked.subjects
    assert isinstance(asked, SimulateImages)
    from neuroalign.recordings.simulated.planted_voxels import open_brain

    trials = asked.images * asked.repeats
    fitted = asked.images if study.design.repeats == "average" else trials
    voxels = int(open_brain().mask.sum())
    size = SubjectSize(trials, fitted, voxels, math.ceil(trials / asked.runs), asked.runs, asked.images)
    items = asked.shared + (asked.images - asked.shared) * asked.subjects
    return dict.fromkeys(study.subjects(), size), items, trials * asked.subjects


def _network(network: Network) -> NetworkSize:
    kept = [layer for layer in layer_table(network) if layer.kept]
    units = tuple(layer.units or CUSTOMARY_UNITS for layer in kept)
    tokens = tuple(_places(layer.tokens) * size for layer, size in zip(kept, units, strict=True))
    return NetworkSize(units, tokens if network.has_tokens else (0,) * len(units), _weights(network))


def _places(described: str) -> int:
    """How many tokens "8 × 8 + 1" are that have a place."""
    grid = re.match(r"(\d+)(?: × (\d+))?", described)
    return 0 if grid is None else math.prod(int(part) for part in grid.groups(default="1"))


def _weights(network: Network) -> int:
    """Bytes of the weights: of the file where it is there, or counted from the description."""
    if network.family in ("handmade", "features"):
        return 0
    if own := getattr(network, "file", None):
        return Path(own).stat().st_size if Path(own).is_file() else CUSTOMARY_WEIGHTS
    source = getattr(network, "source", None)
    if source is None:
        return CUSTOMARY_WEIGHTS
    from neuroalign.networks.sources import locate

    folder = locate(source, getattr(network, "revision", None), weights=False).folder
    written = sum(path.stat().st_size for path in folder.glob("model*.safetensors"))
    return written or _counted(folder)


def _counted(folder: Path) -> int:
    """Bytes of the parameters in float32, from the description of a model."""
    import torch
    import transformers

    try:
        configuration = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        with torch.device("meta"):
            model = transformers.AutoModel.from_config(configuration)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, AttributeError):
        return CUSTOMARY_WEIGHTS
    return 4 * sum(parameter.numel() for parameter in model.parameters())
