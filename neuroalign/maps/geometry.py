"""Values of targets on their geometry: vertices of a surface, voxels of a volume, grayordinates."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neuroalign.errors import DataError

HEMISPHERES = {"L": "CortexLeft", "R": "CortexRight"}
"""BIDS hemisphere labels and what GIFTI calls them."""


def on_surface(summary: xr.Dataset, values: np.ndarray, hemi: str) -> np.ndarray:
    """Values (…, target) as (…, vertex) of one hemisphere ("L" or "R"), NaN where no target lies."""
    size = int(summary.attrs["vertices"][list(HEMISPHERES).index(hemi)])
    here = summary["hemi"].values.astype(str) == hemi
    vertex = summary["vertex"].values[here].astype(int)
    if vertex.size and (vertex.min() < 0 or vertex.max() >= size):
        raise DataError(
            f"maps: vertex {vertex.max()} of hemisphere {hemi} lies outside a mesh of {size} vertices"
        )
    out = np.full((*values.shape[:-1], size), np.nan, np.float32)
    out[..., vertex] = values[..., here]
    return out


def in_volume(summary: xr.Dataset, values: np.ndarray) -> np.ndarray:
    """Values (…, target) as (i, j, k, …), NaN outside the targets."""
    shape = tuple(int(size) for size in np.asarray(summary.attrs["shape"]).ravel()[:3])
    index = tuple(summary[axis].values.astype(int) for axis in "ijk")
    if any(at.size and (at.min() < 0 or at.max() >= size) for at, size in zip(index, shape, strict=True)):
        raise DataError(f"maps: targets lie outside the volume of shape {shape}")
    out = np.full((*shape, *values.shape[:-1]), np.nan, np.float32)
    out[index] = values.T
    return out


def affine(summary: xr.Dataset) -> np.ndarray:
    """The 4 × 4 matrix from voxel indices to millimetres."""
    return np.asarray(summary.attrs["affine"], float).reshape(4, 4)


def grayordinates(summary: xr.Dataset) -> Any:
    """The targets as nibabel's axis of a CIFTI file, one brain model per structure."""
    import nibabel

    places = summary["roi"].values.astype(str)
    begins = np.flatnonzero(np.r_[True, places[1:] != places[:-1]])
    whole = None
    for begin, end in zip(begins, [*begins[1:], len(places)], strict=True):
        part, hemi = slice(begin, end), str(summary["hemi"].values[begin])
        name = f"CIFTI_STRUCTURE_{places[begin]}"
        if hemi:
            size = int(summary.attrs["vertices"][list(HEMISPHERES).index(hemi)])
            model = nibabel.cifti2.BrainModelAxis.from_surface(summary["vertex"].values[part], size, name)
        else:
            voxels = np.column_stack([summary[axis].values[part] for axis in "ijk"])
            shape = tuple(int(size) for size in summary.attrs["shape"])
            model = nibabel.cifti2.BrainModelAxis(
                name, voxel=voxels, affine=affine(summary), volume_shape=shape
            )
        whole = model if whole is None else whole + model
    return whole
