"""The simulated visual brain: which voxel looks where in the image, through which layer, for what.

Everything varies smoothly over a small brain of one grid, that of all subjects. A voxel driven by the network
reads the tokens about its receptive field, at the layers about its planted depth, by a tuning of its own;
others follow the mean luminance of the image, or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from neuroalign.recordings.simulated.fields import even_ranks, smooth_fields, whitened

SPACE = "T1w"
SHAPE = (16, 16, 10)
AFFINE = np.array([[3.0, 0, 0, -22.5], [0, 3.0, 0, -22.5], [0, 0, 3.0, -13.5], [0, 0, 0, 1]])
"""Voxels of 3 mm, x to the right, y to the front, z up; (0, 0, 0) mm is the middle."""

REGIONS = ("early", "middle", "late", "luminance", "noise")
DRIVEN = ("early", "middle", "late")
"""Regions driven by the network: thirds of the planted depth, from the back of the brain to the front."""

COMPONENTS = 8
"""Principal components of the tokens of each layer that reach the brain."""

TUNING_WIDTH = 0.1
"""Standard deviation, in relative depth, of the bump of layers that drive one voxel."""

SIZES = (0.08, 0.25)
"""Receptive fields of the shallowest and of the deepest voxel: standard deviation in shares of the image."""

# Places in a brain whose half axes are 1, and the share of its voxels about them.
_PATCHES = {"luminance": ((0.0, -0.55, -0.7), 0.08), "noise": ((0.0, 0.15, 1.0), 0.32)}


@dataclass(frozen=True)
class Brain:
    """The voxels of the simulated brain, an ellipsoid.

    Attributes
    ----------
    mask : array of bool, of SHAPE
    voxels : array (voxel, 3) of int
        i, j, k of the voxels inside.
    places : array (voxel, 3)
        Where they are, from −1 to 1 along each half axis.
    """

    mask: np.ndarray
    voxels: np.ndarray
    places: np.ndarray


@dataclass(frozen=True)
class VoxelPlan:
    """What is planted in every voxel.

    Attributes
    ----------
    roi : array (voxel,) of str
        One of REGIONS.
    depth : array (voxel,)
        Relative depth of the driving layer; NaN where no network drives.
    centre : array (voxel, 2)
        x and y of the receptive field in shares of the image, from the upper left; NaN likewise.
    size : array (voxel,)
        Its standard deviation; NaN likewise.
    strength : array (voxel,)
        Standard deviation of the signal over that of a noise of 1; 0 where there is no signal.
    tuning : array (layer, component, voxel)
        Weights of the components of tokens.
    """

    roi: np.ndarray
    depth: np.ndarray
    centre: np.ndarray
    size: np.ndarray
    strength: np.ndarray
    tuning: np.ndarray


def open_brain() -> Brain:
    """The ellipsoid that fills the grid, less half a voxel at every side."""
    indices = np.moveaxis(np.indices(SHAPE), 0, -1)
    half = np.array(SHAPE) / 2
    places = (indices + 0.5 - half) / half
    mask = (places**2).sum(axis=-1) < 1
    return Brain(mask, np.argwhere(mask), places[mask])


def plan_voxels(brain: Brain, n_layers: int, rng: np.random.Generator) -> VoxelPlan:
    """Decide where which layer drives the brain, through which receptive field and how strongly.

    Depth rises from the back to the front. Within each region, x and y of receptive fields are ranks of
    smooth maps, so that all of the image is looked at; their size grows with depth.
    """
    roi = np.full(len(brain.voxels), "driven", object)
    for name, (landmark, share) in _PATCHES.items():
        free = np.flatnonzero(roi == "driven")
        distance = np.linalg.norm(brain.places[free] - landmark, axis=1)
        roi[free[np.argsort(distance, kind="stable")[: round(share * len(roi))]]] = name
    driven = roi == "driven"
    axis = brain.places[:, 1] + 0.15 * smooth_fields(brain.places, 1, 0.4, rng)[0]
    depth, size = np.full((2, len(roi)), np.nan)
    depth[driven] = even_ranks(axis[driven])
    roi[driven] = np.asarray(DRIVEN, object)[np.minimum((depth[driven] * 3).astype(int), 2)]
    centre = np.full((len(roi), 2), np.nan)
    for name in DRIVEN:
        inside = roi == name
        for axis_of_image, field in enumerate(smooth_fields(brain.places, 2, 0.4, rng)):
            centre[inside, axis_of_image] = 0.05 + 0.9 * even_ranks(field[inside])
    spread = np.exp(0.1 * smooth_fields(brain.places, 1, 0.4, rng)[0])
    size[driven] = (SIZES[0] + (SIZES[1] - SIZES[0]) * depth[driven]) * spread[driven]
    signal = roi != "noise"
    ceiling = np.zeros(len(roi))
    quality = smooth_fields(brain.places, 1, 0.35, rng)[0]
    ceiling[signal] = np.clip(0.55 + 0.1 * ndtri(even_ranks(quality[signal])), 0.3, 0.75)
    tuning = smooth_fields(brain.places, n_layers * COMPONENTS, 0.25, rng)
    return VoxelPlan(
        roi,
        depth,
        centre,
        size,
        ceiling / np.sqrt(1 - ceiling**2),
        tuning.reshape(n_layers, COMPONENTS, len(roi)),
    )


def token_features(tokens: np.ndarray) -> np.ndarray:
    """The first principal components (image, token, component) of tokens (image, token, unit), whitened.

    Each place keeps no mean of its own: what all images have in common there is no response to any.
    """
    centred = np.asarray(tokens, float) - tokens.mean(axis=0, dtype=float)
    return whitened(centred.reshape(-1, tokens.shape[2]), COMPONENTS).reshape(*tokens.shape[:2], COMPONENTS)


def receptive_fields(plan: VoxelPlan, places: np.ndarray) -> np.ndarray:
    """Weights (token, voxel) of tokens at `places` (token, 2): Gaussians that sum to 1.

    They are 0 in voxels that no network drives.
    """
    apart = ((places[:, None] - np.nan_to_num(plan.centre)) ** 2).sum(axis=2)
    window = np.exp(-apart / (2 * np.nan_to_num(plan.size, nan=1.0) ** 2)) * np.isfinite(plan.depth)
    total = window.sum(axis=0)
    return np.divide(window, total, out=np.zeros_like(window), where=total > 0)


def plant_voxels(
    plan: VoxelPlan,
    layers: Sequence[np.ndarray],
    places: Sequence[np.ndarray],
    layer_depth: np.ndarray,
    luminance: np.ndarray,
) -> np.ndarray:
    """The noise-free response (image, voxel) of variance 1 over all images.

    At a driven voxel of planted depth d it is Σ_l exp(-(l - d)² / 2 w²) Σ_t window_t features_lt · tuning_l,
    with l the relative depth of a layer and w TUNING_WIDTH, each layer's part having variance 1 before it is
    weighed; in the region luminance it is the image's mean luminance.

    Parameters
    ----------
    plan : VoxelPlan
    layers : sequence of array (image, token, component)
        From `token_features`.
    places : sequence of array (token, 2)
        x and y of the tokens of every layer.
    layer_depth : array (layer,)
        Relative depth of every layer, 0 to 1.
    luminance : array (image,)
    """
    signal = np.zeros((len(luminance), len(plan.roi)))
    for features, where, at, tuning in zip(layers, places, layer_depth, plan.tuning, strict=True):
        window = receptive_fields(plan, where)
        # The tokens of an image are weighed for one component at a time, which bounds the memory.
        part = sum(features[:, :, c] @ window * tuning[c] for c in range(len(tuning)))
        signal += np.exp(-0.5 * ((at - np.nan_to_num(plan.depth)) / TUNING_WIDTH) ** 2) * _standard(part)
    signal[:, plan.roi == "luminance"] = luminance[:, None]
    return _standard(signal)


def _standard(values: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and variance 1; those that do not vary become 0."""
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-9)
