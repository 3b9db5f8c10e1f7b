"""People who look at images: what was planted in their voxels, and the responses to every trial.

The images are drawn in `pictures`, the signal made in `planted_voxels`, people and noise in `viewers`, the
files written in `image_files`.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from tqdm import tqdm

from neuroalign.networks.handmade.image_features import luminance
from neuroalign.recordings.simulated import planted_voxels
from neuroalign.recordings.simulated.image_files import (
    describe_viewers,
    write_events_sidecar,
    write_image,
    write_trials,
    write_voxel_truth,
)
from neuroalign.recordings.simulated.pictures import KINDS, draw
from neuroalign.recordings.simulated.shown import show
from neuroalign.recordings.simulated.study_files import StudyFiles
from neuroalign.recordings.simulated.viewers import count_images, invite_viewer, view
from neuroalign.settings.networks import Network
from neuroalign.settings.simulation import SimulateImages

log = logging.getLogger(__name__)


def make(study: StudyFiles, settings: SimulateImages, network: Network, seed: int) -> None:
    """Write images, events, responses to every trial, and the truth.

    Each voxel that the network drives reads its tokens about a receptive field, at the layers about a
    planted depth; all people share that signal up to a smooth gain, and each adds noise of their own.

    Parameters
    ----------
    study : StudyFiles
        A folder that is not there yet.
    settings : SimulateImages
        People, images, repeats and noise.
    network : Network
        The network whose tokens are planted.
    seed : int

    Raises
    ------
    NetworkError
        The network cannot be opened.
    DataError
        It cannot be shown images.
    """
    drawn = [draw(number, seed) for number in range(count_images(settings))]
    kinds = [kind for kind, _ in drawn]
    paths = [write_image(pixels, number, study) for number, (_, pixels) in enumerate(drawn)]
    layers, places, depth = _features(paths, network, seed)
    log.info("planting %d layers in the voxels of %d people", len(layers), settings.subjects)
    brain = planted_voxels.open_brain()
    plan = planted_voxels.plan_voxels(brain, len(layers), np.random.default_rng((seed, 0)))
    light = np.array([luminance(pixels, 1)[1][0] for _, pixels in drawn])
    signal = planted_voxels.plant_voxels(plan, layers, places, depth, light)
    viewers = [invite_viewer(brain, number + 1, settings, seed) for number in range(settings.subjects)]
    people = {}
    for viewer in tqdm(viewers, "responses", unit="subject", disable=None):
        people[viewer.label] = view(viewer, brain, signal, plan.strength, seed)
        write_trials(study, viewer, people[viewer.label], brain, kinds)
    write_events_sidecar(study, list(KINDS))
    made_from = {"network": network.named, "seed": seed, "repeats": settings.repeats}
    write_voxel_truth(study, plan, brain, people, made_from)
    describe_viewers(study, viewers)


def _features(
    paths: list[Path], network: Network, seed: int
) -> tuple[list[np.ndarray], tuple[np.ndarray, ...], np.ndarray]:
    """Components of tokens (image, token, component) and their places for every layer; relative depths."""
    opened, found = show(paths, network, seed)
    tokens = found[len(opened.kept) :]
    return [planted_voxels.token_features(each) for each in tokens], opened.places, np.asarray(opened.depth)
