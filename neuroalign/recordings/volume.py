"""Recordings of voxels: 4-D NIfTI images within a brain mask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from neuroalign.config import Dataset, Responses
from neuroalign.errors import DataError
from neuroalign.headers import reading
from neuroalign.recordings.files import Recording, Source, find_mask

Grid = tuple[tuple[int, ...], np.ndarray]
"""Shape of an image in space, and its affine."""


def open_volumes(
    index: pd.DataFrame, dataset: Dataset, settings: Responses, recordings: Sequence[Recording]
) -> Source:
    """Prepare 4-D images to be read within one mask.

    The mask is `responses.mask`, or else the intersection of the brain masks of the runs. Nothing is
    resampled: mask, regions and all runs share one grid.

    Parameters
    ----------
    index : DataFrame
        From `bids.index_dataset`.
    dataset : Dataset
    settings : Responses
    recordings : sequence of Recording

    Returns
    -------
    Source
        Target coordinates `i`, `j`, `k` (voxel), `x`, `y`, `z` (mm, by the affine) and, with
        `responses.regions`, `roi`; attributes `affine` (16 floats, row by row) and `shape`.

    Raises
    ------
    DataError
        Images cannot be read, do not share a grid, or the mask is empty; one line for each.
    """
    problems: list[str] = []
    images = _open_all([recording.paths[0] for recording in recordings], problems)
    if settings.mask is not None:
        masks = _open_all([Path(dataset.path, settings.mask)], problems)
    else:
        masks = _open_all(_masks_of_runs(index, dataset, recordings, problems), problems)
    regions_path = None if settings.regions is None else Path(dataset.path, settings.regions)
    regions = _open_all([regions_path] if regions_path else [], problems)
    opened = [*masks, *regions, *images]
    for path, image in opened[1:]:
        if not _same_grid(_grid(opened[0][1]), _grid(image)):
            problems.append(_mismatch(path, image, *opened[0]))
    if problems:
        raise DataError("\n".join(problems))
    inside = np.all([_volume(path, image) > 0 for path, image in masks], axis=0)
    if not inside.any():
        raise DataError(f"{masks[0][0]}: no voxel is inside the mask of every run; set responses.mask")
    shape, affine = _grid(masks[0][1])
    voxels = np.argwhere(inside)
    places = voxels @ affine[:3, :3].T + affine[:3, 3]
    targets = pd.DataFrame(dict(zip("ijkxyz", [*voxels.T, *places.T], strict=True)))
    for path, image in regions:
        targets["roi"] = _region_names(path, _volume(path, image)[inside])

    def read(recording: Recording) -> np.ndarray:
        with reading(recording.paths[0]):
            image = nib.load(recording.paths[0])
            data = image.get_fdata(dtype=np.float32, caching="unchanged")
            return np.ascontiguousarray(data[inside].T)

    return Source(targets, {"affine": affine.ravel().tolist(), "shape": list(shape)}, read)


def _masks_of_runs(
    index: pd.DataFrame, dataset: Dataset, recordings: Sequence[Recording], problems: list[str]
) -> list[Path]:
    found: dict[Path, None] = {}
    for recording in recordings:
        try:
            found[find_mask(index, dataset, recording)] = None
        except DataError as error:
            problems.append(str(error))
    return list(found)


def _open_all(paths: Sequence[Path], problems: list[str]) -> list[tuple[Path, Any]]:
    """Open images without their data; what cannot be opened is added to `problems`."""
    opened = []
    for path in paths:
        try:
            with reading(path):
                opened.append((path, nib.load(path)))
        except DataError as error:
            problems.append(str(error))
    return opened


def _volume(path: Path, image: Any) -> np.ndarray:
    with reading(path):
        return np.asarray(image.dataobj).reshape(_grid(image)[0])


def _grid(image: Any) -> Grid:
    return tuple(int(size) for size in image.shape[:3]), np.asarray(image.affine, float)


def _same_grid(one: Grid, other: Grid) -> bool:
    return one[0] == other[0] and bool(np.allclose(one[1], other[1], atol=1e-3))


def _mismatch(path: Path, image: Any, first_path: Path, first: Any) -> str:
    shapes = [" × ".join(map(str, _grid(one)[0])) for one in (image, first)]
    differ = f"{shapes[0]} against {shapes[1]} voxels" if shapes[0] != shapes[1] else "another affine"
    return f"{path}: its grid is not that of '{first_path}' ({differ}); resample one of them"


def _region_names(path: Path, labels: np.ndarray) -> np.ndarray:
    """Name integer labels by the table beside the image (columns `index` and `name`); 0 has no name."""
    table = path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".tsv")
    names: dict[int, str] = {}
    if table.is_file():
        with reading(table):
            rows = pd.read_csv(table, sep="\t", dtype={"name": str}, keep_default_na=False)
            if not {"index", "name"} <= set(rows.columns):
                raise DataError(
                    f"{table}: expected columns 'index' and 'name', got {', '.join(rows.columns)}"
                )
            names = dict(zip(rows["index"].astype(int), rows["name"], strict=True))
    found, place = np.unique(np.round(labels).astype(int), return_inverse=True)
    texts = ["" if label == 0 else names.get(int(label), f"label-{label}") for label in found]
    return np.array(texts, object)[place]
