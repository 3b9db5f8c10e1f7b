"""The renderer shows the side that faces the camera; every fsaverage mesh finds its vertices."""

from __future__ import annotations

import numpy as np
import pytest

from neuroalign.report.brain.surfaces import Mesh, display_meshes, rasterise


def ball() -> Mesh:
    """A finely divided octahedron on the sphere."""
    corners = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
    faces = [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]
    points, triangles = list(map(tuple, corners)), faces
    for _ in range(4):
        finer = []
        index = {point: at for at, point in enumerate(points)}
        for a, b, c in triangles:
            middles = []
            for first, second in ((a, b), (b, c), (c, a)):
                middle = np.add(points[first], points[second])
                middle = tuple(np.round(middle / np.linalg.norm(middle), 12))
                if middle not in index:
                    index[middle] = len(points)
                    points.append(middle)
                middles.append(index[middle])
            ab, bc, ca = middles
            finer += [[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]]
        triangles = finer
    xyz = np.array(points)
    return Mesh({"inflated": xyz}, np.array(triangles), np.zeros(len(xyz)), np.arange(len(xyz)))


@pytest.mark.parametrize("end", [-1, 1])
def test_the_near_side_is_drawn_without_holes(end: int) -> None:
    mesh = ball()
    raster = rasterise(mesh, end, height=60, width=80)
    rows, columns = np.indices(raster.inside.shape)
    radius = np.hypot(rows - 59.5, columns - 79.5)
    assert raster.inside[radius < 55].all()
    assert not raster.inside[radius > 60].any()
    assert (mesh.shapes["inflated"][raster.corners][:, :, 0].mean(axis=1) * end > -0.1).all()


def test_front_is_left_when_seen_from_the_left() -> None:
    mesh = ball()
    colours = np.where(mesh.shapes["inflated"][:, 1:2] > 0, [[1.0, 0, 0]], [[0, 0, 1.0]])
    from_left = rasterise(mesh, -1, 60, 80).paint(colours)
    from_right = rasterise(mesh, 1, 60, 80).paint(colours)
    assert from_left.shape == (60, 80, 4)
    assert from_left[30, 25, 0] > 0.5 > from_left[30, 25, 2]
    assert from_right[30, 25, 2] > 0.5 > from_right[30, 25, 0]
    assert from_left[0, 0, 3] == 0


def test_finer_and_coarser_fsaverage_meshes_are_shown_on_fsaverage5() -> None:
    for space in ("fsaverage5", "fsaverage6", "fsaverage"):
        np.testing.assert_array_equal(display_meshes(space)["L"].vertices, np.arange(10242))
    coarse = display_meshes("fsaverage4")["R"].vertices
    np.testing.assert_array_equal(coarse[:2562], np.arange(2562))
    assert coarse.max() < 2562
    assert display_meshes("fsnative") is None
