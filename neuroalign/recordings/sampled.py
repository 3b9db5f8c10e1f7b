"""Recordings of voxels, sampled at the vertices of a cortical mesh."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from nilearn.datasets import load_fsaverage
from nilearn.surface import load_surf_mesh, vol_to_surf

from neuroalign.errors import ConfigError, DataError
from neuroalign.headers import reading
from neuroalign.recordings.files import HEMISPHERES, Recording, Source
from neuroalign.recordings.surface import vertex_targets
from neuroalign.recordings.volume import open_grid
from neuroalign.settings.dataset import Dataset
from neuroalign.settings.responses import BUNDLED_MESH, Responses

_SIDES = {"L": "left", "R": "right"}


def open_sampled(
    index: pd.DataFrame, dataset: Dataset, settings: Responses, recordings: Sequence[Recording]
) -> Source:
    """Prepare 4-D images to be sampled between the white and the pial surface.

    The value of a vertex is the mean over ten points on the line from the one surface to the other,
    interpolated linearly, of those that lie in the brain mask (`nilearn.surface.vol_to_surf`). A vertex
    without such a point has none.

    Parameters
    ----------
    index : DataFrame
        From `bids.index_dataset`.
    dataset : Dataset
    settings : Responses
        `mesh` says where vertices lie, in the space of the images.
    recordings : sequence of Recording

    Returns
    -------
    Source
        Targets as those of `surface.open_surfaces`; attributes `kind` (to all that follows, it is a
        surface), `space` and `vertices`.

    Raises
    ------
    DataError
        Images, masks or meshes cannot be read or do not fit together, or are in different spaces.
    ConfigError
        A pattern of mesh files lacks `{hemi}` or `{surface}`.
    """
    assert settings.mesh is not None
    space = _space(settings, recordings[0])
    grid = open_grid(index, dataset, settings, recordings)
    meshes = _meshes(settings.mesh, dataset, recordings[0].run.subject)
    counts = [len(pial.coordinates) for pial, _ in meshes]
    targets = vertex_targets(dataset, settings, counts, recordings[0].run.subject)
    mask = nib.Nifti1Image(grid.inside.astype(np.uint8), grid.affine)

    def read(recording: Recording) -> np.ndarray:
        with reading(recording.paths[0]):
            data = nib.load(recording.paths[0]).get_fdata(dtype=np.float32, caching="unchanged")
        image = nib.Nifti1Image(data, grid.affine)
        with warnings.catch_warnings():
            # Vertices outside the mask have no value, and are counted as such.
            warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
            sides = [vol_to_surf(image, pial, inner_mesh=white, mask_img=mask) for pial, white in meshes]
        return np.ascontiguousarray(np.concatenate(sides).T, np.float32)

    return Source(targets, {"kind": "surface", "space": space, "vertices": counts}, read)


def _space(settings: Responses, recording: Recording) -> str:
    """The space of the vertices by its BIDS label."""
    if settings.mesh != BUNDLED_MESH:
        return "fsnative" if "{subject}" in str(settings.mesh) else recording.space
    if not recording.space.startswith("MNI"):
        raise DataError(
            f"responses.mesh: {BUNDLED_MESH} lies in MNI space, but the recordings of "
            f"sub-{recording.run.subject} in '{recording.space or 'no space that is named'}'; set "
            "responses.space, or give the files of a mesh in that space"
        )
    return BUNDLED_MESH


def _meshes(mesh: str, dataset: Dataset, subject: str) -> list[tuple[Any, Any]]:
    """The pial and the white surface of each hemisphere."""
    if mesh == BUNDLED_MESH:
        pial, white = (load_fsaverage(BUNDLED_MESH)[name].parts for name in ("pial", "white_matter"))
        return [(pial[side], white[side]) for side in _SIDES.values()]
    for field in ("{hemi}", "{surface}"):
        if field not in mesh:
            raise ConfigError(
                f"responses.mesh is '{mesh}': put {{hemi}} where files have L or R and {{surface}} where "
                f"they have pial or white, or write {BUNDLED_MESH}"
            )
    found = []
    for hemi in HEMISPHERES:
        named = mesh.replace("{hemi}", hemi).replace("{subject}", subject)
        pial, white = (
            _mesh(Path(dataset.path, named.replace("{surface}", name))) for name in ("pial", "white")
        )
        if pial.coordinates.shape != white.coordinates.shape:
            raise DataError(
                f"responses.mesh: {len(pial.coordinates)} vertices of the pial surface of hemisphere {hemi}, "
                f"but {len(white.coordinates)} of the white one; give surfaces of one mesh"
            )
        found.append((pial, white))
    return found


def _mesh(path: Path) -> Any:
    if not path.is_file():
        raise DataError(f"{path}: no such file; correct responses.mesh")
    with reading(path):
        return load_surf_mesh(path)
