"""Recordings of vertices: a pair of GIFTI time series, left and right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from neuroalign.errors import ConfigError, DataError
from neuroalign.headers import gifti_shape, reading
from neuroalign.recordings.files import HEMISPHERES, Recording, Source
from neuroalign.settings.dataset import Dataset
from neuroalign.settings.responses import Responses

_NAMELESS = ("???", "unknown", "Unknown")


def open_surfaces(dataset: Dataset, settings: Responses, recordings: Sequence[Recording]) -> Source:
    """Prepare pairs of surface time series to be read, the left hemisphere's vertices first.

    Parameters
    ----------
    dataset : Dataset
    settings : Responses
    recordings : sequence of Recording

    Returns
    -------
    Source
        Target coordinates `hemi`, `vertex` and, with `responses.regions`, `roi`; attribute
        `vertices`, the numbers of vertices left and right.

    Raises
    ------
    DataError
        A file cannot be read, or the numbers of vertices differ; one line for each.
    ConfigError
        `responses.mask` is set, or `responses.regions` lacks `{hemi}`.
    """
    if settings.mask is not None:
        raise ConfigError(
            "responses.mask does not go with kind surface: constant vertices are left out; remove it"
        )
    problems: list[str] = []
    counts: list[int] = []
    for side in range(len(HEMISPHERES)):
        counts.append(_count_vertices([recording.paths[side] for recording in recordings], problems))
    for recording in recordings:
        left, right = recording.n_volumes
        if left != right and np.isfinite([left, right]).all():
            problems.append(_unequal(recording, left, right))
    try:
        targets = vertex_targets(dataset, settings, counts, recordings[0].run.subject)
    except DataError as error:
        problems.append(str(error))
    if problems:
        raise DataError("\n".join(problems))
    return Source(targets, {"vertices": counts}, _read)


def vertex_targets(
    dataset: Dataset, settings: Responses, counts: Sequence[int], subject: str
) -> pd.DataFrame:
    """List the vertices of both hemispheres, the left one's first.

    Parameters
    ----------
    dataset : Dataset
    settings : Responses
        `regions` names a label file for each hemisphere.
    counts : sequence of int
        Vertices of each hemisphere.
    subject : str

    Returns
    -------
    DataFrame
        Columns `hemi`, `vertex` and, with `responses.regions`, `roi`.

    Raises
    ------
    DataError
        A label file is missing, damaged or that of another mesh; one line for each.
    ConfigError
        `responses.regions` lacks `{hemi}`.
    """
    if settings.regions is not None and "{hemi}" not in settings.regions:
        raise ConfigError(f"responses.regions is '{settings.regions}': put {{hemi}} where files have L or R")
    frames, regions, problems = [], [], list[str]()
    for hemi, count in zip(HEMISPHERES, counts, strict=True):
        frames.append(pd.DataFrame({"hemi": hemi, "vertex": np.arange(count)}))
        if settings.regions is not None:
            name = settings.regions.replace("{hemi}", hemi).replace("{subject}", subject)
            try:
                regions.append(_read_regions(Path(dataset.path, name), count))
            except DataError as error:
                problems.append(str(error))
    if problems:
        raise DataError("\n".join(problems))
    targets = pd.concat(frames, ignore_index=True)
    if regions:
        targets["roi"] = np.concatenate(regions)
    return targets


def _unequal(recording: Recording, left: float, right: float) -> str:
    return f"{recording.run}: {left:g} volumes in hemi-L but {right:g} in hemi-R; copy or make them again"


def _read(recording: Recording) -> np.ndarray:
    sides = []
    for path in recording.paths:
        with reading(path):
            arrays = nib.load(path).darrays
            # One array per volume, or a single array (vertex, volume): columns either way.
            sides.append(np.column_stack([array.data for array in arrays]).astype(np.float32).T)
    if len(sides[0]) != len(sides[1]):
        raise DataError(_unequal(recording, len(sides[0]), len(sides[1])))
    return np.concatenate(sides, axis=1)


def _count_vertices(paths: Sequence[Path], problems: list[str]) -> int:
    """Give the number of vertices of one hemisphere, the same in all runs."""
    first, count = None, 0
    for path in paths:
        try:
            with reading(path):
                vertices = gifti_shape(path)[0]
        except DataError as error:
            problems.append(str(error))
            continue
        if first is None:
            first, count = path, vertices
        elif vertices != count:
            problems.append(
                f"{path}: {vertices} vertices, but '{first.name}' has {count}; set responses.space"
            )
    return count


def _read_regions(path: Path, vertices: int) -> np.ndarray:
    """Read a label file: the name of each vertex's region, empty where it has none."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; correct responses.regions")
    with reading(path):
        image = nib.load(path)
        keys = np.asarray(image.darrays[0].data).ravel().astype(int)
        names = image.labeltable.get_labels_as_dict()
    if len(keys) != vertices:
        raise DataError(f"{path}: labels for {len(keys)} vertices, but the recordings have {vertices}")
    found, place = np.unique(keys, return_inverse=True)
    texts = [str(names.get(int(key), f"label-{key}" if key > 0 else "")) for key in found]
    texts = ["" if key == 0 or text in _NAMELESS else text for key, text in zip(found, texts, strict=True)]
    return np.array(texts, object)[place]
