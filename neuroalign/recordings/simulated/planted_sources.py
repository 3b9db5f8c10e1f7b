"""The sources of simulated EEG: two dipoles for every layer of a network, the deeper the layer the later.

A dipole in each hemisphere follows what its layer knows of an image and other layers know least. Sources lie
at the back of the head for the first layer, and further to the sides and to the front for deeper ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuroalign.recordings.simulated.fields import whitened
from neuroalign.recordings.simulated.head import Head, fields_of

PEAKS_S = (0.09, 0.35)
"""When the response peaks that follows the first layer, and the last, after the onset of the image."""

WIDTH_S = 0.025
"""Standard deviation of the Gaussian course of a response, which is 0 four of these from its peak."""

SIDES = (-1.0, 1.0)
"""The hemispheres of the two sources of a layer: x of the left one is negative."""

COMPONENTS = 26
"""Principal components of a layer that its sources choose from, at most; and one for eight images."""

_ANGLES = (20.0, 125.0)
"""Angle about the vertical axis from the back of the head, of the sources of the first and last layer."""

_HEIGHT = 0.15
"""Height of the sources above the centre of the sphere, relative to their distance from the axis."""

_DEPTH = 0.5
"""Distance of the sources from the centre, in radii."""

_MEAN = 1.0
"""Mean of a response over images, in its standard deviations: what an average over trials shows."""


@dataclass(frozen=True)
class SourcePlan:
    """Where and when every layer shows.

    Attributes
    ----------
    depth : array (layer,)
        Relative depth of the layers, 0 to 1.
    peak_s : array (layer,)
        Seconds after onset at which the response that follows a layer is largest.
    fields : array (channel, layer, side)
        What the electrodes see of each source, 1 where it is largest.
    """

    depth: np.ndarray
    peak_s: np.ndarray
    fields: np.ndarray


def plan_sources(head: Head, depth: np.ndarray) -> SourcePlan:
    """Decide where and when the layers of these relative depths show."""
    angle = np.deg2rad(np.interp(depth, (0, 1), _ANGLES))
    directions = np.stack(
        [
            np.stack([side * np.sin(angle), -np.cos(angle), np.full(len(depth), _HEIGHT)], axis=-1)
            for side in SIDES
        ],
        axis=1,
    )
    fields = fields_of(head, directions.reshape(-1, 3), _DEPTH)
    return SourcePlan(depth, np.interp(depth, (0, 1), PEAKS_S), fields.reshape(-1, len(depth), len(SIDES)))


def courses(plan: SourcePlan, times: np.ndarray) -> np.ndarray:
    """The course (layer, time) of responses: 1 at the peak, exactly 0 up to the onset and where it has ended.

    >>> plan = SourcePlan(np.zeros(1), np.array([0.1]), np.zeros((0, 1, 2)))
    >>> courses(plan, np.array([0.0, 0.1, 0.2])).round(2).tolist()
    [[0.0, 1.0, 0.0]]
    """
    after = times - plan.peak_s[:, None]
    bump = np.exp(-0.5 * (after / WIDTH_S) ** 2)
    return np.where((times > 0) & (np.abs(after) < 4 * WIDTH_S), bump, 0.0)


def own_features(layers: Sequence[np.ndarray]) -> np.ndarray:
    """What each layer knows of images that other layers know least (image, layer, side), variance 1.

    Of the first principal components of a layer, whitened, these are the two directions w that make the sum
    over all other layers m of |P_m X w|² / |X w|² smallest, with P_m the projection on the components of m:
    the variance that another layer explains of them. A layer of one component has the same on both sides.

    Parameters
    ----------
    layers : sequence of array (image, unit)

    Returns
    -------
    array (image, layer, side)
        Signs are such that the largest value is positive.
    """
    components = min(COMPONENTS, max(len(layers[0]) // 8, len(SIDES)))
    bases = [_basis(layer, components) for layer in layers]
    found = np.zeros((len(layers[0]), len(layers), len(SIDES)))
    for number, own in enumerate(bases):
        others = [own.T @ other for place, other in enumerate(bases) if place != number]
        shared = sum((each @ each.T for each in others), np.zeros((own.shape[1], own.shape[1])))
        chosen = own @ np.linalg.eigh(shared)[1][:, : len(SIDES)]
        chosen *= np.sign(np.take_along_axis(chosen, np.abs(chosen).argmax(axis=0)[None], axis=0))
        found[:, number] = chosen * np.sqrt(len(own))
    return found


def _basis(layer: np.ndarray, components: int) -> np.ndarray:
    """Orthonormal scores (image, component) of a layer, those of no variance left out."""
    centred = np.asarray(layer, float) - layer.mean(axis=0)
    spread = np.linalg.svd(centred, compute_uv=False)
    rank = int((spread > 1e-6 * spread[0]).sum())
    return whitened(layer, min(components, rank)) / np.sqrt(len(layer))


def respond(plan: SourcePlan, features: np.ndarray, gains: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The response (image, channel, time) to every image, without noise, in units of its sources.

    Σ_layer course(time) Σ_side gain · field(channel) · (feature(image) + mean), whose sign changes from layer
    to layer as that of the waves of an evoked response does.

    Parameters
    ----------
    plan : SourcePlan
    features : array (image, layer, side)
        From `own_features`.
    gains : array (layer, side)
        How strong the sources of a person are.
    times : array (time,)
        Seconds after onset.
    """
    sign = np.where(np.arange(len(plan.depth)) % 2, -1.0, 1.0)[:, None]
    moments = (features + _MEAN * sign) * gains
    seen = np.einsum("nls,cls->ncl", moments, plan.fields)
    return np.asarray(seen @ courses(plan, times))


def spreads(plan: SourcePlan, features: np.ndarray, gains: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Standard deviation over images (layer, channel, time) of what each layer alone adds to the response."""
    seen = np.einsum("nls,ls,cls->ncl", features, gains, plan.fields).std(axis=0)
    return seen.T[:, :, None] * courses(plan, times)[:, None]
