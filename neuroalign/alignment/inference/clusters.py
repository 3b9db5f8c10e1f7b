"""Neighbouring targets that stand out together: cluster masses, threshold-free enhancement, their p.

A map is one z or t per target. Clusters are the connected targets above a threshold, and their mass is its
sum (Maris & Oostenveld 2007, J. Neurosci. Methods 164:177). Threshold-free cluster enhancement gives every
target Σ_h e(h)^½ h² dh, with e(h) the number of connected targets above h around it (Smith & Nichols 2009,
NeuroImage 44:83). Either way the largest value of every map of the null is kept, and the p-value of a
cluster or target is the share of maps whose largest value reaches its own: family-wise over all targets.
What a cluster test says is that there is an effect; where it begins and ends it does not say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from scipy.sparse.csgraph import connected_components

STEP = 0.1
"""Heights of threshold-free enhancement are this far apart, in z or t."""

AT_ONCE = 2_000_000
"""Values of maps that are looked at together; bounds the memory."""


@dataclass(frozen=True)
class Neighbours:
    """Pairs of neighbouring targets, each once.

    Attributes
    ----------
    one, other : int arrays (n_pairs,)
    n_targets : int
    """

    one: np.ndarray
    other: np.ndarray
    n_targets: int

    @classmethod
    def of(cls, matrix: scipy.sparse.sparray) -> Neighbours:
        """The pairs of a symmetric matrix (n_targets, n_targets)."""
        one, other = matrix.nonzero()
        return cls(one[one < other], other[one < other], matrix.shape[0])

    def joined(self, above: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Number the connected targets of maps above something.

        Parameters
        ----------
        above : bool array (n_maps, n_targets)

        Returns
        -------
        places : int array (n_above,)
            Of the targets above, in the maps one after the other.
        labels : int array (n_above,)
            From 0; a number never stands in two maps.
        """
        places = np.flatnonzero(above)
        number = np.zeros(above.size, np.int32)
        number[places] = np.arange(len(places))
        maps, pairs = np.nonzero(above[:, self.one] & above[:, self.other])
        start = maps * self.n_targets
        edges = number[start + self.one[pairs]], number[start + self.other[pairs]]
        graph = scipy.sparse.coo_array((np.ones(len(pairs), bool), edges), shape=(len(places),) * 2)
        return places, connected_components(graph, directed=False)[1]


def cluster_masses(maps: np.ndarray, near: Neighbours, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Clusters of maps (n_maps, n_targets) above a threshold.

    Returns
    -------
    labels : int array (n_maps, n_targets)
        From 1, in the order of the first target; 0 where no cluster is. Numbers go on from map to map.
    masses : array (n_clusters,)
        Sum of each, the one with label 1 first.
    """
    places, joined = near.joined(maps > threshold)
    labels = np.zeros(maps.shape, np.int32)
    labels.ravel()[places] = joined + 1
    return labels, np.bincount(joined, maps.ravel()[places].astype(float))


def enhanced(maps: np.ndarray, near: Neighbours, step: float = STEP) -> np.ndarray:
    """Threshold-free enhancement of maps (n_maps, n_targets) above zero, with E = ½ and H = 2.

    The integral is a sum over heights that are multiples of `step`, below the maximum of each map.
    """
    found = np.zeros(maps.shape)
    highest = maps.max(axis=1, initial=0.0)
    for height in np.arange(step, highest.max(initial=0.0), step):
        still = np.flatnonzero(highest > height)
        places, joined = near.joined(maps[still] > height)
        extent = np.sqrt(np.bincount(joined))[joined]
        rows, columns = np.divmod(places, near.n_targets)
        found[still[rows], columns] += height**2 * step * extent
    return found


def corrected(
    statistic: np.ndarray, null: np.ndarray, near: Neighbours, correction: str, threshold: float
) -> dict[str, np.ndarray]:
    """Family-wise p-values of targets, by clusters or by threshold-free enhancement.

    Parameters
    ----------
    statistic : array (n_targets,)
        z or t: one scale for all targets.
    null : array (n_permutations, n_targets)
        The same of permutations.
    near : Neighbours
    correction : {"cluster", "tfce"}
    threshold : float
        Above it targets form clusters.

    Returns
    -------
    dict of arrays (n_targets,)
        `p_cluster` (1 outside of clusters), `cluster` (a number from 1, largest mass first; 0 outside) and
        `cluster_mass`; or `p_tfce` and `tfce`.
    """
    observed = np.asarray(statistic, np.float32)[None]
    if correction == "tfce":
        value = enhanced(observed, near)[0]
        largest = np.concatenate([enhanced(part, near).max(axis=1, initial=0.0) for part in _parts(null)])
        return {"p_tfce": share_reaching(value, largest), "tfce": value}
    labels, masses = cluster_masses(observed, near, threshold)
    largest = np.concatenate([_largest(part, near, threshold) for part in _parts(null)])
    order = np.argsort(-masses, kind="stable")
    rank = np.empty(len(masses) + 1, np.int16)
    rank[0], rank[order + 1] = 0, np.arange(1, len(masses) + 1)
    mass = np.r_[0.0, masses][labels[0]]
    p = np.r_[1.0, share_reaching(masses, largest)][labels[0]]
    return {"p_cluster": p, "cluster": rank[labels[0]], "cluster_mass": mass}


def _parts(null: np.ndarray) -> Iterator[np.ndarray]:
    """Some maps of the null (n_permutations, n_targets) at a time, in float32."""
    rows = max(1, AT_ONCE // max(null.shape[1], 1))
    for start in range(0, len(null), rows):
        yield null[start : start + rows].astype(np.float32)


def _largest(maps: np.ndarray, near: Neighbours, threshold: float) -> np.ndarray:
    """The largest cluster mass of every map; 0 where there is no cluster."""
    labels, masses = cluster_masses(maps, near, threshold)
    return np.r_[0.0, masses][labels].max(axis=1, initial=0.0)


def share_reaching(values: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """The p of values: the share of permutations, the data among them, whose largest value reaches each."""
    ordered = np.sort(largest)
    above = len(ordered) - np.searchsorted(ordered, values * (1 - 1e-9))
    return (1 + above) / (1 + len(ordered))
