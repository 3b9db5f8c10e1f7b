"""Simulated people who look at images: who sees which one when, and how their voxels respond."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from neuroalign.recordings.simulated.fields import smooth_fields
from neuroalign.recordings.simulated.planted_voxels import SHAPE, Brain
from neuroalign.settings.simulation import SimulateImages

FIRST_S, EVERY_S, SHOWN_S = 6.0, 4.0, 3.0
"""When the first image of a run appears, how often one does, and how long it stays."""

_MEAN = 1.0
"""Mean response to an image, in percent."""

_SMOOTH = 0.6
"""How far noise reaches: standard deviation in voxels."""

_STEP = 1 / 256
"""Responses are rounded to this, which shortens the files."""


@dataclass(frozen=True)
class Viewer:
    """What stays the same in a person.

    Attributes
    ----------
    label : str
        BIDS subject label.
    noise : float
        Standard deviation of the noise, relative to the average person.
    gain : array (voxel,)
        Smooth map about 1 that multiplies the signal.
    trials : DataFrame
        Columns run (label), onset (s), image (number) and repeat (1 for the first time), in order.
    """

    label: str
    noise: float
    gain: np.ndarray
    trials: pd.DataFrame


@dataclass(frozen=True)
class Viewed:
    """The responses of one person.

    Attributes
    ----------
    betas : array (trial, voxel) of float32
        In percent.
    ceiling : array (voxel,)
        Correlation that the true signal reaches with the responses to single trials.
    ceiling_of_means : array (voxel,)
        The same with the mean over all repeats of an image.
    """

    betas: np.ndarray
    ceiling: np.ndarray
    ceiling_of_means: np.ndarray


def count_images(settings: SimulateImages) -> int:
    """How many images are drawn: the shared ones, and every subject's own."""
    return settings.shared + settings.subjects * (settings.images - settings.shared)


def invite_viewer(brain: Brain, number: int, settings: SimulateImages, seed: int) -> Viewer:
    """Make the person `number` (1 is the first), always the same for a seed.

    Every image is seen once, in random order, before any is seen again; the trials are then cut into runs.
    """
    rng = np.random.default_rng((seed, 400, number))
    private = settings.images - settings.shared
    own = settings.shared + (number - 1) * private + np.arange(private)
    seen = np.concatenate([np.arange(settings.shared), own])
    order = np.concatenate([rng.permutation(seen) for _ in range(settings.repeats)])
    parts = np.array_split(np.arange(len(order)), settings.runs)
    run = np.repeat([str(label) for label in range(1, settings.runs + 1)], [len(part) for part in parts])
    within = np.concatenate([np.arange(len(part)) for part in parts])
    trials = pd.DataFrame(
        {
            "run": run,
            "onset": FIRST_S + EVERY_S * within,
            "image": order,
            "repeat": np.repeat(np.arange(settings.repeats) + 1, settings.images),
        }
    )
    gain = np.exp(0.12 * smooth_fields(brain.places, 1, 0.5, rng)[0])
    return Viewer(f"{number:02d}", settings.noise[(number - 1) % len(settings.noise)], gain, trials)


def view(viewer: Viewer, brain: Brain, signal: np.ndarray, strength: np.ndarray, seed: int) -> Viewed:
    """The responses of a person to all trials.

    data = 1 + strength · gain · signal + noise · (smooth white noise of variance 1)

    Parameters
    ----------
    viewer : Viewer
    brain : Brain
    signal : array (image, voxel)
        Of variance 1 over all images, see `planted_voxels.plant_voxels`.
    strength : array (voxel,)
        Standard deviation of the signal over that of the noise in the average person.
    seed : int

    Returns
    -------
    Viewed
        The ceiling is √(signal variance / (signal variance + noise variance)).
    """
    rng = np.random.default_rng((seed, 500, int(viewer.label)))
    seen = (signal * strength * viewer.gain)[viewer.trials["image"]]
    added = viewer.noise * _noise(len(seen), brain, rng)
    betas = np.round((_MEAN + seen + added) / _STEP) * _STEP
    power, noise = seen.var(axis=0), viewer.noise**2
    repeats = int(viewer.trials["repeat"].max())
    return Viewed(
        betas.astype(np.float32),
        np.sqrt(power / (power + noise)),
        np.sqrt(power / (power + noise / repeats)),
    )


def _noise(n: int, brain: Brain, rng: np.random.Generator) -> np.ndarray:
    """Noise (trial, voxel) of variance 1: white over trials, smooth in space."""
    reach = (0, _SMOOTH, _SMOOTH, _SMOOTH)
    single = np.zeros((1, *SHAPE))
    single[(0, *(size // 2 for size in SHAPE))] = 1
    # Beyond one edge the grid goes on at the other, so that the variance is the same everywhere.
    kept = np.sqrt((gaussian_filter(single, reach, mode="wrap") ** 2).sum())
    white = rng.standard_normal((n, *SHAPE))
    return gaussian_filter(white, reach, mode="wrap")[:, brain.mask] / kept
