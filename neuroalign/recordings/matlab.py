"""Matrices in MATLAB files: numbers only, of any version of the format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from neuroalign.errors import DataError
from neuroalign.headers import own_member, reading


def read_matrix(path: Path) -> np.ndarray:
    """Read the one matrix (row, column) of a `.mat` file.

    Raises
    ------
    DataError
        The file is damaged, or holds no matrix of numbers or several.
    """
    with reading(path):
        found = _of_hdf5(path) if _is_hdf5(path) else _of_version_5(path)
    if len(found) != 1:
        names = ", ".join(sorted(found)) or "none"
        raise DataError(f"{path}: {len(found)} matrices of numbers ({names}); save one alone")
    return next(iter(found.values()))


def _is_hdf5(path: Path) -> bool:
    import h5py

    return bool(h5py.is_hdf5(path))


def _of_version_5(path: Path) -> dict[str, np.ndarray]:
    import scipy.io

    return {name: value for name, value in scipy.io.loadmat(path).items() if _is_matrix(value)}


def _of_hdf5(path: Path) -> dict[str, np.ndarray]:
    """Matrices of version 7.3, which lie there with columns and rows exchanged."""
    import h5py

    with h5py.File(path, "r") as stored:
        members = {name: own_member(stored, name) for name in stored}
        at_top = {name: each[()].T for name, each in members.items() if isinstance(each, h5py.Dataset)}
    return {name: value for name, value in at_top.items() if _is_matrix(value)}


def _is_matrix(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind in "iuf" and value.size > 1
