"""Recordings of grayordinates: CIFTI-2 files of cortical vertices and subcortical voxels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.affines import apply_affine

from neuroalign.errors import ConfigError, DataError
from neuroalign.headers import reading
from neuroalign.recordings.files import Recording, Source
from neuroalign.settings.responses import Responses

PREFIX = "CIFTI_STRUCTURE_"
CORTEX = {f"{PREFIX}CORTEX_LEFT": "L", f"{PREFIX}CORTEX_RIGHT": "R"}
"""The structures that are surfaces, and their hemispheres."""

NOWHERE = -1
"""The vertex of a voxel, and the voxel of a vertex."""


def open_ciftis(settings: Responses, recordings: Sequence[Recording]) -> Source:
    """Prepare CIFTI files to be read, whose structures are the regions.

    Parameters
    ----------
    settings : Responses
    recordings : sequence of Recording

    Returns
    -------
    Source
        Target coordinates `hemi` and `vertex` (empty and -1 of voxels), `i`, `j`, `k` (-1 of vertices),
        `x`, `y`, `z` (mm; NaN of vertices) and `roi`, the structure. Attributes `vertices` (left, right)
        and, where there are voxels, `affine` and `shape`.

    Raises
    ------
    ConfigError
        `responses.mask` or `responses.regions` is set.
    DataError
        A file cannot be read, or the grayordinates differ between runs; one line for each.
    """
    for key in ("mask", "regions"):
        if getattr(settings, key) is not None:
            raise ConfigError(
                f"responses.{key} does not go with kind cifti, whose structures are regions; remove it"
            )
    problems: list[str] = []
    first: tuple[Path, Any] | None = None
    for recording in recordings:
        path = recording.paths[0]
        try:
            axis = _grayordinates(path)
        except DataError as error:
            problems.append(str(error))
            continue
        first = first or (path, axis)
        if axis != first[1]:
            problems.append(
                f"{path}: its {len(axis)} grayordinates are not those of '{first[0].name}' "
                f"({len(first[1])}); leave the run out or make it again"
            )
    if problems or first is None:
        raise DataError("\n".join(problems))
    place: dict[str, Any] = {
        "vertices": [int(first[1].nvertices.get(name, 0)) for name in CORTEX],
    }
    if first[1].volume_shape is not None:
        place |= {
            "affine": np.asarray(first[1].affine, float).ravel().tolist(),
            "shape": [int(size) for size in first[1].volume_shape],
        }
    return Source(_targets(first[1]), place, _read)


def _grayordinates(path: Path) -> Any:
    """The axis of a file that says what its columns are."""
    with reading(path):
        image: Any = nib.load(path)
        axis = image.header.get_axis(1)
        if not isinstance(axis, nib.cifti2.BrainModelAxis):
            raise DataError(f"{path}: its columns are no grayordinates; give a dense file (.dtseries.nii)")
        other = sorted(set(axis.nvertices) - set(CORTEX))
        if other:
            raise DataError(f"{path}: the surface of {other[0]} is not cortex, which alone can be mapped")
        return axis


def _targets(axis: Any) -> pd.DataFrame:
    structures = np.asarray(axis.name, object).astype(str)
    voxels = np.where(axis.volume_mask[:, None], axis.voxel, NOWHERE).astype(int)
    places = np.full(voxels.shape, np.nan)
    if axis.volume_shape is not None:
        within = axis.volume_mask
        places[within] = apply_affine(axis.affine, voxels[within])
    frame = pd.DataFrame(
        {
            "hemi": [CORTEX.get(name, "") for name in structures],
            "vertex": np.where(axis.volume_mask, NOWHERE, axis.vertex).astype(int),
            "roi": [name.removeprefix(PREFIX) for name in structures],
        }
    )
    return frame.assign(**dict(zip("ijkxyz", [*voxels.T, *places.T], strict=True)))


def _read(recording: Recording) -> np.ndarray:
    with reading(recording.paths[0]):
        image: Any = nib.load(recording.paths[0])
        return np.ascontiguousarray(image.dataobj, np.float32)
