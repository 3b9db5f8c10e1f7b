"""Recordings of voxels: 4-D NIfTI images within a brain mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from neuroalign.errors import DataError
from neuroalign.headers import reading
from neuroalign.recordings.files import Recording, Source, find_mask
from neuroalign.recordings.grids import (
    grid_of,
    must_share_grid,
    name_labels,
    open_images,
    values_of,
    voxels_within,
)
from neuroalign.settings.dataset import Dataset
from neuroalign.settings.responses import Responses


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
    grid = open_grid(index, dataset, settings, recordings, settings.regions)
    targets = voxels_within(grid.inside, grid.affine)
    for path, image in grid.regions:
        targets["roi"] = region_names(path, values_of(path, image)[grid.inside])

    def read(recording: Recording) -> np.ndarray:
        with reading(recording.paths[0]):
            image = nib.load(recording.paths[0])
            data = image.get_fdata(dtype=np.float32, caching="unchanged")
            return np.ascontiguousarray(data[grid.inside].T)

    return Source(targets, {"affine": grid.affine.ravel().tolist(), "shape": list(grid.inside.shape)}, read)


@dataclass(frozen=True)
class Grid:
    """Voxels that all images of a subject share.

    Attributes
    ----------
    inside : bool array (i, j, k)
        The mask.
    affine : array (4, 4)
        From voxels to mm.
    regions : list of (path, image)
    """

    inside: np.ndarray
    affine: np.ndarray
    regions: list[tuple[Path, Any]]


def open_grid(
    index: pd.DataFrame,
    dataset: Dataset,
    settings: Responses,
    recordings: Sequence[Recording],
    regions: str | None = None,
) -> Grid:
    """Open all images of a subject, headers only, and the mask that is theirs; see `open_volumes`.

    Raises
    ------
    DataError
        Images cannot be read, do not share a grid, or the mask is empty; one line for each.
    """
    problems: list[str] = []
    images = open_images([recording.paths[0] for recording in recordings], problems)
    if settings.mask is not None:
        masks = open_images([_of_subject(dataset, settings.mask, recordings)], problems)
    else:
        masks = open_images(_masks_of_runs(index, dataset, recordings, problems), problems)
    labels = []
    if regions is not None:
        labels = open_images([_of_subject(dataset, regions, recordings)], problems)
    must_share_grid([*masks, *labels, *images], problems)
    if problems:
        raise DataError("\n".join(problems))
    inside = np.all([values_of(path, image) > 0 for path, image in masks], axis=0)
    if not inside.any():
        raise DataError(f"{masks[0][0]}: no voxel is inside the mask of every run; set responses.mask")
    return Grid(inside, grid_of(masks[0][1])[1], labels)


def region_names(path: Path, labels: np.ndarray) -> np.ndarray:
    """Name integer labels by the table beside the image (columns `index` and `name`); 0 has no name.

    Raises
    ------
    DataError
        The table cannot be read.
    """
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
    return name_labels(labels, names)


def _of_subject(dataset: Dataset, path: str, recordings: Sequence[Recording]) -> Path:
    return Path(dataset.path, path.replace("{subject}", recordings[0].run.subject))


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
