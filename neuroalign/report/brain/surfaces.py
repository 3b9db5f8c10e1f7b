"""Cortical meshes for display, and a small software renderer for still pictures of them.

A view of a mesh is rasterised once into "which triangle, where in it, how lit" per pixel; every
map is then drawn by looking colours up, so that many maps cost little more than one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DISPLAY = "fsaverage5"
ORDERS = {"fsaverage": 163842, "fsaverage7": 163842, "fsaverage6": 40962, "fsaverage5": 10242}
ORDERS |= {"fsaverage4": 2562, "fsaverage3": 642}
"""Vertices per hemisphere of the fsaverage family."""

VIEWS = {"L lateral": ("L", -1), "L medial": ("L", 1), "R medial": ("R", -1), "R lateral": ("R", 1)}
"""Hemisphere, and the end of the left–right axis that the camera stands at."""


@dataclass(frozen=True)
class Mesh:
    """One hemisphere of the display mesh.

    Attributes
    ----------
    shapes : dict name → array (vertex, 3)
        Coordinates in mm: "inflated" and "pial".
    faces : array (face, 3)
    sulci : array (vertex,)
        Sulcal depth; positive in sulci.
    vertices : array (vertex,)
        Which vertex of the data's own mesh each display vertex shows.
    """

    shapes: dict[str, np.ndarray]
    faces: np.ndarray
    sulci: np.ndarray
    vertices: np.ndarray


def display_meshes(space: str) -> dict[str, Mesh] | None:
    """The meshes on which data in `space` can be shown, by hemisphere.

    The fsaverage meshes are nested: the first 10,242 vertices of a finer one are those of
    fsaverage5, and coarser ones are its beginning. Coarser data are drawn by nearest vertex.

    Returns
    -------
    dict or None
        None for a space without a bundled mesh.
    """
    if space not in ORDERS:
        return None
    from nilearn import datasets, surface

    files = datasets.fetch_surf_fsaverage(DISPLAY)
    out = {}
    for hemi, side in (("L", "left"), ("R", "right")):
        inflated = surface.load_surf_mesh(files[f"infl_{side}"])
        pial = surface.load_surf_mesh(files[f"pial_{side}"])
        sphere = surface.load_surf_mesh(files[f"sphere_{side}"]).coordinates
        sulci = np.asarray(surface.load_surf_data(files[f"sulc_{side}"]), np.float32)
        shapes = {"inflated": inflated.coordinates, "pial": pial.coordinates}
        out[hemi] = Mesh(shapes, np.asarray(inflated.faces), sulci, _shown_vertices(ORDERS[space], sphere))
    return out


def _shown_vertices(count: int, sphere: np.ndarray) -> np.ndarray:
    if count >= len(sphere):
        return np.arange(len(sphere))
    from scipy.spatial import cKDTree

    return np.asarray(cKDTree(sphere[:count]).query(sphere)[1])


def base_grey(mesh: Mesh) -> np.ndarray:
    """Grey (vertex,) in [0, 1] of cortex without a value: sulci darker than gyri."""
    depth = mesh.sulci / (mesh.sulci.std() + 1e-9)
    return np.asarray(0.80 - 0.14 / (1 + np.exp(-3.0 * depth)))


@dataclass(frozen=True)
class Raster:
    """One view of a mesh: for every pixel the triangle seen, the place in it, and the light.

    Attributes
    ----------
    corners : array (pixel, 3)
        Vertices of the triangle seen.
    weights : array (pixel, 3)
        Barycentric coordinates in it.
    light : array (pixel,)
    inside : array (height, width)
        Where there is mesh; `corners`, `weights` and `light` hold these pixels in order.
    """

    corners: np.ndarray
    weights: np.ndarray
    light: np.ndarray
    inside: np.ndarray

    def paint(self, colours: np.ndarray) -> np.ndarray:
        """Draw vertex colours (vertex, 3) in [0, 1] as an RGBA image, halved in size to smooth edges."""
        image = np.zeros((*self.inside.shape, 4), np.float32)
        rgb = np.einsum("pk,pkc->pc", self.weights, colours[self.corners]) * self.light[:, None]
        image[self.inside] = np.c_[np.clip(rgb, 0, 1), np.ones(len(rgb))]
        height, width = (size // 2 for size in self.inside.shape)
        blocks = image.reshape(height, 2, width, 2, 4).mean(axis=(1, 3))
        alpha = blocks[..., 3:]
        return np.concatenate(
            [np.divide(blocks[..., :3], alpha, where=alpha > 0, out=np.ones_like(blocks[..., :3])), alpha], -1
        )


def rasterise(mesh: Mesh, end: int, height: int = 300, width: int = 400) -> Raster:
    """See an inflated hemisphere from the left (`end` −1) or the right (+1) in parallel projection."""
    xyz = mesh.shapes["inflated"].astype(float)
    across, up, near = xyz[:, 1] * end, xyz[:, 2], xyz[:, 0] * end
    flat = np.c_[across, up]
    middle = (flat.max(0) + flat.min(0)) / 2
    size = np.array([2 * width, 2 * height])
    scale = 0.96 * (size / np.ptp(flat, axis=0)).min()
    pixels = (flat - middle) * scale * [1, -1] + size / 2
    normals = _normals(xyz, mesh.faces)[:, 0] * end
    towards = mesh.faces[(normals[mesh.faces] > 0).any(axis=1)]
    triangle, weights = _samples(pixels, towards)
    corners = towards[triangle]
    at = np.einsum("sk,skc->sc", weights, pixels[corners]).astype(int)
    flat_at = at[:, 1] * size[0] + at[:, 0]
    order = np.argsort(np.einsum("sk,sk->s", weights, near[corners]), kind="stable")
    winner = np.full(size.prod(), -1)
    # Of several samples in a pixel the last one written stays: the nearest to the camera.
    winner[flat_at[order]] = order
    seen = winner >= 0
    picked = winner[seen]
    facing = np.clip(normals, 0, 1)
    lit = 0.64 + 0.40 * np.einsum("pk,pk->p", weights[picked], facing[corners[picked]])
    return Raster(corners[picked], weights[picked], lit, seen.reshape(size[1], size[0]))


def _samples(pixels: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points strewn over every triangle, less than a pixel apart: triangle index and barycentric weights."""
    edges = pixels[faces] - pixels[np.roll(faces, 1, axis=1)]
    longest = np.linalg.norm(edges, axis=2).max(axis=1)
    steps = 2 ** np.ceil(np.log2(np.maximum(longest * 1.3, 2))).astype(int)
    triangles, weights = [], []
    for step in np.unique(steps):
        first, second = (index.ravel() for index in np.indices((step + 1, step + 1)))
        inside = first + second <= step
        grid = np.c_[first, second, step - first - second][inside] / step
        members = np.flatnonzero(steps == step)
        triangles.append(np.repeat(members, len(grid)))
        weights.append(np.tile(grid, (len(members), 1)))
    return np.concatenate(triangles), np.concatenate(weights).astype(np.float32)


def _normals(xyz: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals (vertex, 3), the area-weighted mean of the faces around."""
    corner = xyz[faces]
    face_normals = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    out = np.zeros_like(xyz)
    for column in range(3):
        np.add.at(out, faces[:, column], face_normals)
    return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12))
