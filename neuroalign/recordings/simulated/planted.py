"""The simulated cortex: where it is driven by which layer, by the mere rate of words, or by nothing.

All maps are smooth over the fsaverage5 sphere and drawn in a frame that both hemispheres share
(the right one mirrored), so that left and right agree roughly, as they do in listeners.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nilearn.datasets import load_fsaverage, load_fsaverage_data
from nilearn.glm.first_level import glover_hrf
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.special import ndtri

from neuroalign.recordings.simulated.fields import even_ranks, smooth_fields
from neuroalign.recordings.simulated.narration import Run

SPACE = "fsaverage5"
HEMISPHERES = ("L", "R")
REGIONS = ("shallow", "middle", "deep", "wordrate", "noise")
DRIVEN = ("shallow", "middle", "deep")
"""Regions driven by the network: thirds of the planted depth."""

HIGH_PASS_HZ = 0.01
"""Signals and ceilings are reckoned after drifts below this are removed."""

COMPONENTS = 10
"""Principal components of each layer that reach the cortex."""

TUNING_WIDTH = 0.1
"""Standard deviation, in relative depth, of the bump of layers that drive one vertex."""

_PATCHES = {"wordrate": 620, "noise": 2600}
"""Vertices per hemisphere that no network drives: much of a brain does not follow a story."""

# Left-hemisphere landmarks on the white surface, in millimetres of fsaverage (near MNI) space.
_HESCHL = (-46.0, -22.0, 8.0)
_SUPERIOR_TEMPORAL = (-60.0, -26.0, 0.0)
_CALCARINE = (-12.0, -88.0, 2.0)
_ASSOCIATION = ((-46.0, 10.0, -28.0), (-48.0, 28.0, 2.0), (-46.0, -64.0, 30.0))
"""Anterior temporal, inferior frontal and angular cortex: near to hearing, yet planted deep."""


@dataclass(frozen=True)
class Cortex:
    """Both hemispheres of fsaverage5, left first.

    Attributes
    ----------
    vertices : tuple of int
        Vertices per hemisphere.
    sphere : array (vertex, 3)
        Place on the unit sphere, the right hemisphere mirrored onto the left.
    white : array (vertex, 3)
        Place on the white surface in millimetres, mirrored likewise.
    wall : array (vertex,) of bool
        The medial wall, which is no cortex.
    neighbours : csr_array (vertex, vertex)
        1 where two vertices share an edge.
    """

    vertices: tuple[int, ...]
    sphere: np.ndarray
    white: np.ndarray
    wall: np.ndarray
    neighbours: sparse.csr_array

    def hemisphere(self, place: int) -> slice:
        """The vertices of the hemisphere at `place` in HEMISPHERES."""
        start = sum(self.vertices[:place])
        return slice(start, start + self.vertices[place])


@dataclass(frozen=True)
class Plan:
    """What is planted at every vertex.

    Attributes
    ----------
    roi : array (vertex,) of str
        One of REGIONS, or "" on the medial wall.
    depth : array (vertex,)
        Relative depth of the driving layer; NaN outside network-driven cortex.
    strength : array (vertex,)
        Standard deviation of the signal over that of a noise of 1; 0 where there is no signal.
    tuning : array (component, vertex)
        Weights of the word features, COMPONENTS for each layer, layer after layer.
    """

    roi: np.ndarray
    depth: np.ndarray
    strength: np.ndarray
    tuning: np.ndarray


def open_cortex() -> Cortex:
    """Read the fsaverage5 meshes that nilearn ships.

    The medial wall is where the average cortex is thinner than 1 mm, its largest patch, and three rings
    of vertices around it: some 9 % of the surface.
    """
    meshes = load_fsaverage(SPACE)
    thickness = load_fsaverage_data(SPACE, data_type="thickness").data.parts
    spheres, whites, walls, graphs = [], [], [], []
    for side, mirror in (("left", 1.0), ("right", -1.0)):
        mesh = meshes["sphere"].parts[side]
        graph = _edges(mesh.faces, len(mesh.coordinates))
        flip = np.array([mirror, 1.0, 1.0])
        spheres.append(mesh.coordinates * flip / np.linalg.norm(mesh.coordinates, axis=1, keepdims=True))
        whites.append(meshes["white_matter"].parts[side].coordinates * flip)
        walls.append(_medial_wall(thickness[side] < 1.0, graph))
        graphs.append(graph)
    return Cortex(
        tuple(len(wall) for wall in walls),
        np.concatenate(spheres).astype(float),
        np.concatenate(whites).astype(float),
        np.concatenate(walls),
        sparse.csr_array(sparse.block_diag(graphs)),
    )


def _edges(faces: np.ndarray, n_vertices: int) -> sparse.csr_array:
    """The symmetric adjacency of a triangle mesh."""
    start = faces[:, [0, 1, 2]].ravel()
    stop = faces[:, [1, 2, 0]].ravel()
    edges = sparse.coo_array((np.ones(len(start)), (start, stop)), (n_vertices, n_vertices))
    return sparse.csr_array((edges + edges.T) > 0).astype(float)


def _medial_wall(thin: np.ndarray, graph: sparse.csr_array) -> np.ndarray:
    """The largest connected patch of thin vertices, and three rings around it."""
    places = np.flatnonzero(thin)
    _, patch = connected_components(graph[places][:, places], directed=False)
    wall = np.zeros(len(thin))
    wall[places[patch == np.bincount(patch).argmax()]] = 1
    for _ in range(3):
        wall = np.asarray(wall + graph @ wall > 0, float)
    return wall > 0


def smoothing(cortex: Cortex, steps: int = 2) -> sparse.csr_array:
    """A matrix (vertex, vertex) that averages neighbours `steps` times; white noise keeps its variance."""
    closed = cortex.neighbours + sparse.eye_array(len(cortex.wall))
    mean = sparse.diags_array(1 / closed.sum(axis=1)) @ closed
    kernel = mean
    for _ in range(steps - 1):
        kernel = kernel @ mean
    spread = np.sqrt(kernel.multiply(kernel).sum(axis=1))
    return sparse.csr_array(sparse.diags_array(1 / spread) @ kernel)


def plan_cortex(cortex: Cortex, n_layers: int, rng: np.random.Generator) -> Plan:
    """Decide where which layer drives the cortex, how strongly and through which features.

    Depth rises with the distance from superior temporal cortex and in the association areas, is
    roughened by a smooth field (mostly common to both hemispheres) and ranked, so that it covers 0
    to 1 evenly. Word rate drives a disc around Heschl's gyrus, and nothing drives the cortex around
    the calcarine.
    """
    roi = np.where(cortex.wall, "", "driven").astype(object)
    for name, landmark in (("wordrate", _HESCHL), ("noise", _CALCARINE)):
        distance = _distance(cortex, landmark)
        for place in range(len(HEMISPHERES)):
            half = np.arange(len(roi))[cortex.hemisphere(place)]
            half = half[~cortex.wall[half]]
            roi[half[np.argsort(distance[half], kind="stable")[: _PATCHES[name]]]] = name
    driven = roi == "driven"
    axis = _distance(cortex, _SUPERIOR_TEMPORAL)
    axis += sum(1.2 * np.exp(-0.5 * (_distance(cortex, place) / 0.35) ** 2) for place in _ASSOCIATION)
    axis += 0.15 * smooth_fields(cortex.sphere, 1, 0.4, rng)[0] + 0.15 * by_hemisphere(cortex, 1, 0.4, rng)[0]
    depth = np.full(len(roi), np.nan)
    depth[driven] = even_ranks(axis[driven])
    roi[driven] = np.asarray(DRIVEN, object)[np.minimum((depth[driven] * 3).astype(int), 2)]
    signal = ~np.isin(roi, ["", "noise"])
    quality = smooth_fields(cortex.sphere, 1, 0.35, rng)[0] + 0.5 * by_hemisphere(cortex, 1, 0.25, rng)[0]
    ceiling = np.zeros(len(roi))
    ceiling[signal] = np.clip(0.62 + 0.1 * ndtri(even_ranks(quality[signal])), 0.32, 0.82)
    tuning = by_hemisphere(cortex, n_layers * COMPONENTS, 0.12, rng)
    return Plan(roi, depth, ceiling / np.sqrt(1 - ceiling**2), tuning)


def by_hemisphere(cortex: Cortex, n_fields: int, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth fields (field, vertex) that the two hemispheres do not share."""
    halves = [cortex.sphere[cortex.hemisphere(place)] for place in range(len(HEMISPHERES))]
    return np.concatenate([smooth_fields(half, n_fields, scale, rng) for half in halves], axis=1)


def _distance(cortex: Cortex, landmark: tuple[float, float, float]) -> np.ndarray:
    """Angle on the sphere, in radians, from the left vertex nearest to a landmark or its mirror image."""
    left = cortex.hemisphere(0)
    nearest = np.linalg.norm(cortex.white[left] - landmark, axis=1).argmin()
    return np.arccos(np.clip(cortex.sphere @ cortex.sphere[left][nearest], -1, 1))


def hear(run: Run, values: np.ndarray) -> np.ndarray:
    """Convolve what the words of a run carry (word, ...) with the haemodynamic response (volume, ...).

    Every word is an impulse at its onset; the response is Glover's (1999) double gamma, as in nilearn.
    """
    oversampling = 50
    response = glover_hrf(run.tr, oversampling)
    lags = np.arange(len(response)) * run.tr / oversampling
    since = run.volume_times[:, None] - run.words["onset"].to_numpy()
    kernel = np.interp(since, lags, response / response.max(), left=0.0, right=0.0)
    return kernel @ values


def remove_drifts(data: np.ndarray, tr: float) -> np.ndarray:
    """Project the mean and all cosines below HIGH_PASS_HZ out of one run (volume, vertex).

    Written apart from the filter of the pipeline, as is `hear`: the truth shall not share its mistakes.
    """
    n = len(data)
    orders = np.arange(int(2 * n * tr * HIGH_PASS_HZ) + 1)
    basis = np.cos(np.pi * (np.arange(n)[:, None] + 0.5) * orders / n)
    basis /= np.linalg.norm(basis, axis=0)
    basis = basis.astype(data.dtype)
    return data - basis @ (basis.T @ data)


def plant(
    plan: Plan, runs: list[Run], features: list[np.ndarray], layer_depth: np.ndarray
) -> list[np.ndarray]:
    """The noise-free signal of every run (volume, vertex), float32, of variance 1 after drift removal.

    At a driven vertex of planted depth d it is Σ_l exp(-(l - d)² / 2 w²) HRF ⊗ (features_l · tuning_l),
    with l the relative depth of a layer and w TUNING_WIDTH; in the region wordrate it is HRF ⊗ 1.

    Parameters
    ----------
    plan : Plan
    runs : list of Run
    features : list over layers of array (word, component)
        The words of all runs, one after the other.
    layer_depth : array (layer,)
        Relative depth of every layer, 0 to 1.
    """
    depth = np.nan_to_num(plan.depth)
    bump = np.exp(-0.5 * ((layer_depth[:, None] - depth) / TUNING_WIDTH) ** 2)
    driven = np.isfinite(plan.depth)
    weights = plan.tuning * np.repeat(bump, COMPONENTS, axis=0) * driven
    weights = np.concatenate([weights, plan.roi[None] == "wordrate"]).astype(np.float32)
    starts = np.cumsum([0, *(len(run.words) for run in runs)])
    signals, power = [], np.zeros(len(depth))
    for run, start, stop in zip(runs, starts, starts[1:], strict=False):
        carried = np.concatenate(
            [*(layer[start:stop] for layer in features), np.ones((stop - start, 1))], axis=1
        )
        signals.append(hear(run, carried).astype(np.float32) @ weights)
        power += np.square(remove_drifts(signals[-1], run.tr)).sum(axis=0)
    power /= sum(run.n_volumes for run in runs)
    scale = np.divide(1.0, np.sqrt(power), out=np.zeros_like(power), where=power > 1e-12).astype(np.float32)
    return [signal * scale for signal in signals]
