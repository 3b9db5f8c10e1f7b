"""EEG of people who look at images: every layer of a network shows at a latency and a place of its own.

The images are drawn in `pictures`, the electrodes stand in `head`, the responses are planted in
`planted_sources`, what goes on beside them is made in `ongoing`, people and recordings in `eeg_viewers`, the
files written in `eeg_files`.
"""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
from tqdm import tqdm

from neuroalign.recordings.simulated import eeg_files, planted_sources
from neuroalign.recordings.simulated.eeg_viewers import (
    EEGViewer,
    epoch_times,
    invite_eeg_viewer,
    record,
)
from neuroalign.recordings.simulated.head import Head, open_head
from neuroalign.recordings.simulated.image_files import write_image
from neuroalign.recordings.simulated.ongoing import Generators, open_generators
from neuroalign.recordings.simulated.pictures import draw
from neuroalign.recordings.simulated.planted_sources import SourcePlan, own_features, plan_sources
from neuroalign.recordings.simulated.shown import show
from neuroalign.recordings.simulated.study_files import StudyFiles
from neuroalign.settings.networks import Network
from neuroalign.settings.simulation import SimulateEEG

log = logging.getLogger(__name__)


def make(study: StudyFiles, settings: SimulateEEG, network: Network, seed: int) -> None:
    """Write images, events, recordings of every run, and the truth.

    Parameters
    ----------
    study : StudyFiles
        A folder that is not there yet.
    settings : SimulateEEG
        People, images, repeats and noise.
    network : Network
        The network whose layers are planted.
    seed : int

    Raises
    ------
    NetworkError
        The network cannot be opened.
    DataError
        It cannot be shown images, or pybv is not installed.
    """
    eeg_files.check_writable()
    study = dataclasses.replace(study, datatype="eeg")
    drawn = [draw(number, seed)[1] for number in range(settings.images)]
    paths = [write_image(pixels, number, study) for number, pixels in enumerate(drawn)]
    opened, layers = show(paths, network, seed, **({"tokens": False} if network.has_tokens else {}))
    head = open_head()
    plan = plan_sources(head, np.asarray(opened.depth))
    features = own_features(layers[: len(opened.kept)])
    generators = open_generators(head, np.random.default_rng((seed, 600)))
    n_layers = len(opened.depth)
    log.info("planting %d layers in the EEG of %d people", n_layers, settings.subjects)
    viewers = [invite_eeg_viewer(number + 1, n_layers, settings, seed) for number in range(settings.subjects)]
    people = {}
    for viewer in tqdm(viewers, "recordings", unit="subject", disable=None):
        people[viewer.label] = _record_all(study, viewer, (head, plan, generators), features, settings, seed)
    eeg_files.write_eeg_events_sidecar(study)
    made_from = {"network": network.named, "seed": seed, "repeats": settings.repeats}
    times = epoch_times(settings.sampling_hz)
    eeg_files.write_source_truth(study, plan, head, opened.layers, times, people, made_from)
    eeg_files.describe_eeg(study, viewers)


def _record_all(
    study: StudyFiles,
    viewer: EEGViewer,
    parts: tuple[Head, SourcePlan, Generators],
    features: np.ndarray,
    settings: SimulateEEG,
    seed: int,
) -> eeg_files.Heard:
    """Record and write all runs of one person; what can be known of the responses."""
    head, plan, generators = parts
    times = epoch_times(settings.sampling_hz)
    responses = planted_sources.respond(plan, features, viewer.gains, times)
    eeg_files.write_electrodes(study, viewer, head)
    noise = np.zeros(responses.shape[1:])
    for run in record(viewer, responses, generators, settings.sampling_hz, seed):
        eeg_files.write_run(study, viewer, run, head, settings.sampling_hz)
        noise += run.noise
    spread = planted_sources.spreads(plan, features, viewer.gains, times)
    return eeg_files.Heard(responses.var(axis=0), np.square(spread), noise / len(viewer.trials))
