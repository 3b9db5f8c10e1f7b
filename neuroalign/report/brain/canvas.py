"""Where values per target are drawn as pictures: views of a cortex, or slices of a volume."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import xarray as xr

from neuroalign.maps import geometry
from neuroalign.report.brain import surfaces
from neuroalign.report.drawing.palette import Scale
from neuroalign.report.drawing.style import paint

MAX_SLICES = 7


class Canvas(Protocol):
    """Draws one map as a row of pictures, one per entry of `columns`."""

    columns: list[str]

    def draw(self, dataset: xr.Dataset, values: np.ndarray, scale: Scale) -> list[np.ndarray]:
        """Pictures (height, width, 4) of values (target,); NaN is grey where there is a target."""
        ...


class SurfaceCanvas:
    """Four views of the inflated cortex."""

    def __init__(self, meshes: dict[str, surfaces.Mesh]) -> None:
        self.meshes = meshes
        self.columns = list(surfaces.VIEWS)
        self._rasters = {
            view: surfaces.rasterise(meshes[hemi], end) for view, (hemi, end) in surfaces.VIEWS.items()
        }

    def draw(self, dataset: xr.Dataset, values: np.ndarray, scale: Scale) -> list[np.ndarray]:
        """Lateral and medial views of both hemispheres."""
        colours = {}
        for hemi, mesh in self.meshes.items():
            shown = geometry.on_surface(dataset, values, hemi)[mesh.vertices]
            painted = paint(shown, scale)
            colours[hemi] = np.where(np.isnan(painted), surfaces.base_grey(mesh)[:, None], painted)
        return [self._rasters[view].paint(colours[hemi]) for view, (hemi, _) in surfaces.VIEWS.items()]


class VolumeCanvas:
    """Axial slices in neurological orientation: the left of the brain on the left."""

    def __init__(self, dataset: xr.Dataset) -> None:
        from nibabel import orientations

        affine = geometry.affine(dataset)
        self._orientation = orientations.io_orientation(affine)
        mask = self._turned(dataset, np.ones(dataset.sizes["target"]))
        inside = np.isfinite(mask)
        turned = affine @ orientations.inv_ornt_aff(
            self._orientation, tuple(np.asarray(dataset.attrs["shape"])[:3])
        )
        filled = np.flatnonzero(inside.any(axis=(0, 1)))
        picked = np.unique(
            np.linspace(0, len(filled) - 1, min(MAX_SLICES + 2, len(filled))).round().astype(int)
        )
        # The lowest and highest slices of a brain hold next to nothing.
        picked = picked[1:-1] if len(filled) > MAX_SLICES else picked
        self._slices = filled[picked]
        self._box = tuple(slice(at.min(), at.max() + 1) for at in np.nonzero(inside.any(axis=2)))
        self._inside = inside
        self.columns = [f"z = {turned[2, 2] * k + turned[2, 3]:.0f} mm" for k in self._slices]

    def _turned(self, dataset: xr.Dataset, values: np.ndarray) -> np.ndarray:
        from nibabel import orientations

        return np.asarray(
            orientations.apply_orientation(geometry.in_volume(dataset, values), self._orientation)
        )

    def draw(self, dataset: xr.Dataset, values: np.ndarray, scale: Scale) -> list[np.ndarray]:
        """One picture per slice."""
        volume = self._turned(dataset, values)
        out = []
        for k in self._slices:
            # Rows run from anterior to posterior, columns from left to right.
            painted = paint(volume[..., k][self._box].T[::-1], scale)
            inside = self._inside[..., k][self._box].T[::-1]
            rgb = np.where(np.isnan(painted), 0.82, painted)
            out.append(np.concatenate([rgb, inside[..., None].astype(float)], axis=-1))
        return out


def open_canvas(dataset: xr.Dataset, meshes: dict[str, surfaces.Mesh] | None) -> Canvas | None:
    """The canvas that suits the targets; None for parcels and for surfaces without a mesh."""
    kind = dataset.attrs.get("kind")
    if kind == "volume":
        return VolumeCanvas(dataset)
    return SurfaceCanvas(meshes) if kind == "surface" and meshes else None
