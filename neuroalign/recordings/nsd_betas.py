"""Files of betas of the Natural Scenes Dataset: NIfTI, HDF5 as MATLAB writes it, and FreeSurfer's .mgh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np

from neuroalign.headers import open_mgh, own_member, reading

SCALE = 300
"""Betas that are stored as integers are this many times the percent signal change."""


def betas_shape(path: Path) -> tuple[int, ...]:
    """Read the shape of a session's betas from the header of its file: (i, j, k, trial).

    Raises
    ------
    DataError
        The file is missing or damaged.
    """
    if path.name.endswith(".mgh"):
        with open_mgh(path) as image:
            return tuple(int(size) for size in image.shape)
    with reading(path):
        if path.name.endswith(".hdf5"):
            # MATLAB wrote (i, j, k, trial), which Python reads from behind.
            with h5py.File(path) as file:
                return tuple(int(size) for size in file["betas"].shape[::-1])
        return tuple(int(size) for size in nib.load(path).shape)


def read_volume(path: Path, inside: np.ndarray) -> np.ndarray:
    """Read the betas (trial, voxel) of one session within a mask (i, j, k), in percent signal change.

    Raises
    ------
    DataError
        The file is damaged.
    """
    with reading(path):
        if path.name.endswith(".hdf5"):
            with h5py.File(path) as file:
                return _read_planes(own_member(file, "betas"), inside)
        return _percent(np.asanyarray(nib.load(path).dataobj)[inside].T)


def read_vertices(path: Path, inside: np.ndarray) -> np.ndarray:
    """Read the betas (trial, vertex) of one session and hemisphere within a mask (vertex,).

    Raises
    ------
    DataError
        The file is damaged.
    """
    with open_mgh(path) as image:
        return _percent(np.asarray(image.dataobj).reshape(len(inside), -1)[inside].T)


def read_labels(path: Path) -> np.ndarray:
    """Read the values (vertex,) of a surface, such as labels.

    Raises
    ------
    DataError
        The file is missing or damaged.
    """
    with open_mgh(path) as image:
        return np.asarray(image.dataobj).ravel()


def _read_planes(betas: Any, inside: np.ndarray) -> np.ndarray:
    """Read (trial, k, j, i) plane by plane, and of each only the box around the mask.

    Every voxel is a chunk of its own: what is not asked for costs nothing.
    """
    place = np.full(inside.shape, -1)
    place[inside] = np.arange(inside.sum())
    out = np.empty((betas.shape[0], int(inside.sum())), np.float32)
    for k in np.flatnonzero(inside.any(axis=(0, 1))):
        i, j = (_extent(np.asarray(inside[:, :, k].any(axis=axis))) for axis in (1, 0))
        here = inside[i, j, k]
        out[:, place[i, j, k][here]] = _percent(betas[:, k, j, i].transpose(0, 2, 1)[:, here])
    return out


def _extent(used: np.ndarray) -> slice:
    at = np.flatnonzero(used)
    return slice(int(at[0]), int(at[-1]) + 1)


def _percent(betas: np.ndarray) -> np.ndarray:
    """Betas in percent signal change, whatever they were stored as."""
    values = np.ascontiguousarray(betas, np.float32)
    return values / SCALE if betas.dtype.kind in "iu" else values
