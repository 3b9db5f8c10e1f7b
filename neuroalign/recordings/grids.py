"""Images on one grid of voxels: opened by their headers, compared, and their voxels named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from neuroalign.errors import DataError
from neuroalign.headers import reading
from neuroalign.recordings.wholeness import check_size

Grid = tuple[tuple[int, ...], np.ndarray]
"""Shape of an image in space, and its affine."""


def open_images(paths: Sequence[Path], problems: list[str]) -> list[tuple[Path, Any]]:
    """Open images without their data; what cannot be opened is added to `problems`."""
    opened = []
    for path in paths:
        try:
            with reading(path):
                image: Any = nib.load(path)
                if path.name.endswith((".nii", ".nii.gz")):
                    check_size(path, image)
                if not np.isfinite(image.affine).all():
                    raise DataError(
                        f"{path}: its affine is not finite, so that no voxel has a place; mend it"
                    )
                opened.append((path, image))
        except DataError as error:
            problems.append(str(error))
    return opened


def must_share_grid(
    opened: Sequence[tuple[Path, Any]], problems: list[str], shape_only: bool = False
) -> None:
    """Compare images with the first of them; those on another grid are added to `problems`.

    With `shape_only`, affines may differ: in a space of a dataset's own, not every file states it.
    """
    for path, image in opened[1:]:
        (shape, affine), (first_shape, first_affine) = grid_of(image), grid_of(opened[0][1])
        if shape == first_shape and (shape_only or np.allclose(affine, first_affine, atol=1e-3)):
            continue
        shapes = [" × ".join(map(str, one)) for one in (shape, first_shape)]
        differ = f"{shapes[0]} against {shapes[1]} voxels" if shapes[0] != shapes[1] else "another affine"
        problems.append(f"{path}: its grid is not that of '{opened[0][0]}' ({differ}); resample one of them")


def grid_of(image: Any) -> Grid:
    """The shape of an image in space, and its affine."""
    return tuple(int(size) for size in image.shape[:3]), np.asarray(image.affine, float)


def values_of(path: Path, image: Any) -> np.ndarray:
    """The values (i, j, k) of an image of one volume."""
    with reading(path):
        return np.asarray(image.dataobj).reshape(grid_of(image)[0])


def voxels_within(inside: np.ndarray, affine: np.ndarray) -> pd.DataFrame:
    """List the voxels of a mask (i, j, k): columns `i`, `j`, `k` and, by the affine, `x`, `y`, `z` (mm)."""
    voxels = np.argwhere(inside)
    places = voxels @ affine[:3, :3].T + affine[:3, 3]
    return pd.DataFrame(dict(zip("ijkxyz", [*voxels.T, *places.T], strict=True)))


def name_labels(labels: np.ndarray, names: Mapping[int, str]) -> np.ndarray:
    """Name integer labels; those of 0 and below have no name, those that are not known are numbered."""
    found, place = np.unique(np.round(labels).astype(int), return_inverse=True)
    texts = ["" if label <= 0 else names.get(int(label), f"label-{label}") for label in found]
    return np.array(texts, object)[place]
