"""Which targets of EEG and MEG are neighbours: channels side by side, and latencies of one channel.

Channels of one type are neighbours where a Delaunay triangulation of their places on the flattened head
joins them, or where MNE has a table for the system (Neuromag). Channels of different types never are:
their units differ, and so does what they see. Targets of one channel are neighbours where their
latencies follow each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import scipy.spatial
import xarray as xr

from neuroalign.errors import DataError

OUTSIDE = ("eeg", "mag", "grad", "csd")
"""Types of channels that lie around the head, so that a flat map of them makes sense."""

NEUROMAG = re.compile(r"MEG ?\d{4}")
"""Names of the channels that MNE's tables of neighbours are about."""

SAME_PLACE_M = 1e-6
"""Channels that are nearer to each other lie at one place."""

ENOUGH_PLACES = 4
"""With fewer, a triangulation says nothing about who is near whom."""


@dataclass(frozen=True)
class Adjacency:
    """Neighbours among valid targets.

    Attributes
    ----------
    matrix : sparse array (n_valid_targets, n_valid_targets)
        True for neighbours, symmetric, nothing on the diagonal.
    notes : tuple of str
        What a user should know of channels without neighbours; empty where there is none.
    """

    matrix: scipy.sparse.csr_array
    notes: tuple[str, ...]


def adjacency(targets: xr.Dataset) -> Adjacency:
    """Neighbours among the valid targets of EEG or MEG.

    Parameters
    ----------
    targets : Dataset
        Of kind "sensors": `channel`, `channel_type`, `x`, `y`, `z` (metres, head coordinates), `valid`,
        and of epochs `latency`, ordered channel by channel.

    Returns
    -------
    Adjacency

    Raises
    ------
    DataError
        The targets are no channels, or in another order.
    """
    _must_be_sensors(targets)
    n_latencies = len(np.unique(targets["latency"].values)) if "latency" in targets.coords else 1
    names = targets["channel"].values.astype(str)
    n_channels = len(dict.fromkeys(names.tolist()))
    if (
        n_channels * n_latencies != len(names)
        or (names[::n_latencies] != names.reshape(-1, n_latencies).T).any()
    ):
        raise DataError(
            f"sub-{targets.attrs.get('subject')}: {len(names)} targets are not {n_channels} channels × "
            f"{n_latencies} latencies, channel by channel; read the recordings anew"
        )
    first = targets.isel(target=slice(None, None, n_latencies))
    channels, notes = channel_adjacency(first)
    matrix = channels if n_latencies == 1 else _over_time(channels, n_latencies)
    valid = targets["valid"].values
    return Adjacency(scipy.sparse.csr_array(matrix)[valid][:, valid], notes)


def _must_be_sensors(targets: xr.Dataset) -> None:
    """Refuse clusters of targets that are no channels."""
    if targets.attrs.get("kind") != "sensors" or "channel" not in targets.coords:
        raise DataError(
            f"inference.correction: clusters need neighbouring channels, and targets of kind "
            f"{targets.attrs.get('kind')} have none; set it to fdr or max"
        )


def _over_time(channels: scipy.sparse.csr_array, n_latencies: int) -> scipy.sparse.csr_array:
    """Neighbours among channel × latency: the same channel a step away, or a neighbour at the same time."""
    from mne.stats import combine_adjacency

    matrix = scipy.sparse.csr_array(combine_adjacency(channels.astype(float), n_latencies))
    return _without_diagonal(matrix)


def _without_diagonal(matrix: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    one, other = matrix.nonzero()
    off = one != other
    return _matrix(one[off], other[off], matrix.shape[0])


def _matrix(one: np.ndarray, other: np.ndarray, n: int) -> scipy.sparse.csr_array:
    """A symmetric matrix of true and false from pairs of neighbours."""
    pairs = np.ones(2 * len(one), bool), (np.r_[one, other], np.r_[other, one])
    return scipy.sparse.csr_array(pairs, shape=(n, n), dtype=bool)


def channel_adjacency(channels: xr.Dataset) -> tuple[scipy.sparse.csr_array, tuple[str, ...]]:
    """Neighbours among channels, type by type.

    Parameters
    ----------
    channels : Dataset
        One target per channel: `channel`, `channel_type`, `x`, `y`, `z`.

    Returns
    -------
    matrix : sparse array (n_channels, n_channels)
    notes : tuple of str
        Why channels have no neighbours, where some have none.
    """
    names = channels["channel"].values.astype(str)
    types = channels["channel_type"].values.astype(str)
    places = np.stack([channels[axis].values for axis in "xyz"], axis=1).astype(float)
    pairs, notes = [np.empty((0, 2), int)], []
    for type_ in dict.fromkeys(types.tolist()):
        here = np.flatnonzero(types == type_)
        placed = here[np.isfinite(places[here]).all(axis=1)]
        known = type_ in ("mag", "grad") and all(NEUROMAG.fullmatch(names[one]) for one in here)
        if known:
            found = here[_from_table(names[here], type_)]
        elif type_ not in OUTSIDE:
            notes.append(
                f"{len(here)} channels of type {type_} have no neighbours in clusters but their own latencies"
            )
            continue
        else:
            found = placed[_triangulated(places[placed])]
            if len(placed) < len(here) or not len(found):
                lonely = len(here) - len(np.unique(found))
                notes.append(
                    f"{lonely} of {len(here)} channels of type {type_} have no usable position: in clusters "
                    "they have no neighbours but their own latencies"
                )
        pairs.append(found)
    one, other = np.concatenate(pairs).T
    return _matrix(one, other, len(names)), tuple(notes)


def _from_table(names: np.ndarray, type_: str) -> np.ndarray:
    """Pairs (n_pairs, 2) of Neuromag channels that MNE's table makes neighbours."""
    import mne

    info = mne.create_info(names.tolist(), 1000.0, type_)
    with mne.utils.use_log_level("WARNING"):
        matrix, listed = mne.channels.find_ch_adjacency(info, type_)
    place = {name.replace(" ", ""): at for at, name in enumerate(names)}
    at = np.array([place.get(name.replace(" ", ""), -1) for name in listed])
    one, other = (at[side] for side in scipy.sparse.csr_array(matrix).nonzero())
    kept = (one >= 0) & (other >= 0) & (one != other)
    return np.stack([one[kept], other[kept]], axis=1)


def _triangulated(places: np.ndarray) -> np.ndarray:
    """Pairs (n_pairs, 2) that a triangulation joins among places (n, 3), and those at one place."""
    import mne

    if len(places) < ENOUGH_PLACES:
        return np.empty((0, 2), int)
    # In the order they came in: a triangulation of a regular cap depends on it.
    at = (scipy.spatial.distance_matrix(places, places) < SAME_PLACE_M).argmax(axis=1)
    firsts, at = np.unique(at, return_inverse=True)
    points = places[firsts]
    if len(points) < ENOUGH_PLACES:
        return np.empty((0, 2), int)
    # The type only says that nothing but the places counts.
    info = mne.create_info([f"{one}" for one in range(len(points))], 1000.0, "eeg")
    for channel, point in zip(info["chs"], points, strict=True):
        channel["loc"][:3] = point
    try:
        with mne.utils.use_log_level("WARNING"):
            matrix, _ = mne.channels.find_ch_adjacency(info, "eeg")
    except scipy.spatial.QhullError:  # places on a line
        return np.empty((0, 2), int)
    near = scipy.sparse.csr_array(matrix).toarray().astype(bool)
    np.fill_diagonal(near, True)
    one, other = np.nonzero(near[np.ix_(at, at)])
    return np.stack([one, other], axis=1)[one < other]
