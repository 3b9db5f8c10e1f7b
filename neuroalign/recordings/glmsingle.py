"""Betas as GLMsingle writes them (Prince et al. 2022): HDF5 of its Python or of its MATLAB version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from neuroalign.errors import ConfigError, DataError
from neuroalign.headers import own_member, reading
from neuroalign.recordings.array import name_regions
from neuroalign.recordings.files import Recording, Source
from neuroalign.recordings.grids import grid_of, must_share_grid, open_images, values_of, voxels_within
from neuroalign.recordings.trial_tables import block_recordings, find_blocks, trials_of
from neuroalign.recordings.volume import region_names
from neuroalign.settings.dataset import Dataset
from neuroalign.settings.responses import Responses

BETAS = ("betasmd", "modelmd")
"""What the single-trial betas are called by GLMsingle in Python and in MATLAB."""


def find_recordings(dataset: Dataset, settings: Responses, subject: str) -> tuple[list[Recording], list[str]]:
    """Find the files of a subject, one recording per run, and what is wrong with them."""
    blocks = find_blocks(dataset, settings, subject)
    return block_recordings(blocks, lambda path: betas_shape(path)[-1], settings)


def list_trials(dataset: Dataset, settings: Responses, subject: str) -> pd.DataFrame:
    """List the trials of a subject: columns `run`, `trial` and `uri` or `text`."""
    return trials_of(find_blocks(dataset, settings, subject))


def open_source(dataset: Dataset, settings: Responses, recordings: Sequence[Recording]) -> Source:
    """Prepare betas to be read: within a mask where they have a grid, else as a table of targets.

    Returns
    -------
    Source
        As of volumes, where `responses.mask` is set; else as of arrays.

    Raises
    ------
    ConfigError
        The betas have a grid, and no `responses.mask` says where it lies.
    DataError
        Files differ in their shape, or do not fit mask and regions.
    """
    blocks = find_blocks(dataset, settings, recordings[0].run.subject)
    rows = {block.run: block.rows for block in blocks}
    shapes = {block.path: betas_shape(block.path)[:-1] for block in blocks}
    first = next(iter(shapes))
    for path, shape in shapes.items():
        if shape != shapes[first]:
            raise DataError(f"{path}: betas of shape {shape}, those of '{first.name}' {shapes[first]}")
    if settings.mask is not None:
        inside, targets, place = _voxels(dataset, settings, recordings, shapes[first])
    else:
        if max(shapes[first]) != np.prod(shapes[first]):
            raise ConfigError(
                f"responses.mask is missing: betas of {' × '.join(map(str, shapes[first]))} voxels need an "
                "image on their grid that says which to take and where they lie"
            )
        inside, place = np.ones(shapes[first], bool), {"kind": "parcels"}
        targets = pd.DataFrame({"name": pd.Series(range(inside.sum()), dtype=object).astype(str)})
        if settings.regions is not None:
            targets = name_regions(Path(dataset.path, settings.regions), targets, match_names=False)

    def read(recording: Recording) -> np.ndarray:
        return _read(recording.paths[0], inside)[rows[recording.run]]

    return Source(targets, place, read)


def betas_shape(path: Path) -> tuple[int, ...]:
    """Read the shape of the betas, trials last.

    Raises
    ------
    DataError
        The file is damaged, or of another kind.
    """
    with _betas(path) as (betas, from_matlab):
        return tuple(int(size) for size in (betas.shape[::-1] if from_matlab else betas.shape))


def _voxels(
    dataset: Dataset, settings: Responses, recordings: Sequence[Recording], shape: tuple[int, ...]
) -> tuple[np.ndarray, pd.DataFrame, dict[str, Any]]:
    """The mask (i, j, k), the voxels within it, and what places them."""
    problems: list[str] = []
    names = [name for name in (settings.mask, settings.regions) if name is not None]
    subject = recordings[0].run.subject
    paths = [Path(dataset.path, name.replace("{subject}", subject)) for name in names]
    opened = open_images(paths, problems)
    must_share_grid(opened, problems)
    if problems:
        raise DataError("\n".join(problems))
    size, affine = grid_of(opened[0][1])
    if size != shape:
        raise DataError(
            f"{paths[0]}: a mask of {size} voxels, but betas of {shape}; give responses.mask on their grid"
        )
    inside = values_of(*opened[0]) > 0
    targets = voxels_within(inside, affine)
    for path, image in opened[1:]:
        targets["roi"] = region_names(path, values_of(path, image)[inside])
    return inside, targets, {"kind": "volume", "affine": affine.ravel().tolist(), "shape": list(size)}


def _read(path: Path, inside: np.ndarray) -> np.ndarray:
    """The betas (trial, target) of one file, within a mask."""
    with _betas(path) as (betas, from_matlab):
        values = np.asarray(betas, np.float32)
    if from_matlab:  # (trial, k, j, i)
        return np.ascontiguousarray(values.transpose(0, *range(values.ndim - 1, 0, -1))[:, inside])
    return np.ascontiguousarray(values[inside].T)


@contextmanager
def _betas(path: Path) -> Iterator[tuple[Any, bool]]:
    """Open the betas of a file, and say whether MATLAB wrote them, whose axes come from behind."""
    if path.suffix == ".npy":
        raise DataError(
            f"{path}: GLMsingle's .npy files are pickles, which are never read; run it with "
            "opt['wanthdf5'] = 1, or save betasmd alone (trial, target) and read it with kind: array"
        )
    with reading(path), h5py.File(path) as file:
        name = next((name for name in BETAS if name in file), None)
        betas = own_member(file, name) if name else None
        if betas is None or not betas.shape or len(betas.shape) < 2 or betas.dtype.kind not in "iuf":
            raise DataError(
                f"{path}: no array of betas, {' or '.join(BETAS)}, among {', '.join(file)}; "
                "expected GLMsingle's TYPEB to TYPED"
            )
        yield betas, "MATLAB_class" in betas.attrs
