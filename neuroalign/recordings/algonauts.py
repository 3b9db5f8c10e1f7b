"""The data of the Algonauts 2023 challenge, as they are distributed (Gifford et al. 2023).

Per subject: one response per training image and vertex, z-scored within sessions of NSD and averaged over
repeats, for the vertices of fsaverage within `all-vertices`. The names of regions are distributed as
pickles, which are never read: they stand here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from neuroalign import bids
from neuroalign.errors import ConfigError, DataError, choices
from neuroalign.headers import reading
from neuroalign.recordings.files import Recording, Source
from neuroalign.recordings.grids import name_labels
from neuroalign.recordings.trial_tables import trial_recording
from neuroalign.settings.dataset import Dataset
from neuroalign.settings.responses import Responses

SIDES = {"L": "lh", "R": "rh"}

REGIONS = {
    "prf-visualrois": ("V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4"),
    "floc-bodies": ("EBA", "FBA-1", "FBA-2", "mTL-bodies"),
    "floc-faces": ("OFA", "FFA-1", "FFA-2", "mTL-faces", "aTL-faces"),
    "floc-places": ("OPA", "PPA", "RSC"),
    "floc-words": ("OWFA", "VWFA-1", "VWFA-2", "mfs-words", "mTL-words"),
    "streams": ("early", "midventral", "midlateral", "midparietal", "ventral", "lateral", "parietal"),
}
"""Sets of regions, and the names of their labels from 1."""


def find_recordings(dataset: Dataset, settings: Responses, subject: str) -> tuple[list[Recording], list[str]]:
    """Find the responses of a subject, which are one run, and what is wrong with them.

    Raises
    ------
    ConfigError
        `responses.mask` or another space is asked for.
    DataError
        A file is missing or damaged.
    """
    if settings.mask is not None or settings.space not in (None, "fsaverage"):
        raise ConfigError("responses.mask and space do not go with kind algonauts; remove them")
    images = _images(dataset, subject)
    paths, problems = _responses(dataset, subject), []
    for side, path in zip(SIDES.values(), paths, strict=True):
        n_trials, n_vertices = _array(path, 2).shape
        inside = _mask(dataset, subject, side, "all-vertices_fsaverage_space")
        if n_trials != len(images):
            problems.append(f"{path}: {n_trials} responses to {len(images)} training images; copy them again")
        if n_vertices != (inside > 0).sum():
            problems.append(
                f"{path}: {n_vertices} vertices, but {side}.all-vertices has {(inside > 0).sum()}; "
                "copy both of one subject"
            )
    run = bids.Run(subject, "", dataset.task, "")
    return [trial_recording(run, paths, len(images), "fsaverage")], problems


def list_trials(dataset: Dataset, settings: Responses, subject: str) -> pd.DataFrame:
    """List the training images in the order of the responses: columns `run`, `trial` and `uri`."""
    images = [str(path) for path in _images(dataset, subject)]
    label = bids.run_label("", "")
    return pd.DataFrame({"run": label, "trial": np.arange(len(images)), "uri": images})


def open_source(dataset: Dataset, settings: Responses, recordings: Sequence[Recording]) -> Source:
    """Prepare the responses to be read, the left hemisphere's vertices first.

    Returns
    -------
    Source
        Target coordinates `hemi`, `vertex` (of fsaverage) and, with `responses.regions` (a key of
        `REGIONS`), `roi`; attributes `kind`, `vertices`.

    Raises
    ------
    ConfigError
        There is no such set of regions.
    DataError
        A file is missing or damaged.
    """
    subject, regions = recordings[0].run.subject, settings.regions
    if regions is not None and regions not in REGIONS:
        raise ConfigError(f"responses.regions is '{regions}': {choices(regions, REGIONS)}")
    frames, counts = [], []
    for hemi, side in SIDES.items():
        inside = _mask(dataset, subject, side, "all-vertices_fsaverage_space") > 0
        frame = pd.DataFrame({"hemi": hemi, "vertex": np.flatnonzero(inside)})
        if regions is not None:
            labels = _mask(dataset, subject, side, f"{regions}_challenge_space")
            if len(labels) != len(frame):
                raise DataError(
                    f"sub-{subject}: {side}.{regions} labels {len(labels)} of {len(frame)} vertices; "
                    "copy roi_masks again"
                )
            frame["roi"] = name_labels(labels, dict(enumerate(REGIONS[regions], start=1)))
        frames.append(frame)
        counts.append(len(inside))
    targets = pd.concat(frames, ignore_index=True)
    return Source(targets, {"kind": "surface", "vertices": counts}, _read)


def _read(recording: Recording) -> np.ndarray:
    sides = []
    for path in recording.paths:
        with reading(path):
            sides.append(np.asarray(_array(path, 2), np.float32))
    return np.concatenate(sides, axis=1)


def _images(dataset: Dataset, subject: str) -> list[Path]:
    """The training images of a subject, in the order of their responses: their names begin with it."""
    folder = Path(dataset.path, f"subj{subject}", "training_split", "training_images")
    found = sorted(folder.glob("train-*.png"))
    if not found:
        raise DataError(f"{folder}: no images 'train-….png'; dataset.path is the folder that holds subj01")
    return found


def _responses(dataset: Dataset, subject: str) -> tuple[Path, ...]:
    folder = Path(dataset.path, f"subj{subject}", "training_split", "training_fmri")
    return tuple(folder / f"{side}_training_fmri.npy" for side in SIDES.values())


def _mask(dataset: Dataset, subject: str, side: str, name: str) -> np.ndarray:
    path = Path(dataset.path, f"subj{subject}", "roi_masks", f"{side}.{name}.npy")
    return np.asarray(_array(path, 1))


def _array(path: Path, n_axes: int) -> np.ndarray:
    """Open an array of numbers without reading it."""
    with reading(path):
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    if values.ndim != n_axes or values.dtype.kind not in "iuf":
        raise DataError(f"{path}: {values.dtype} {values.shape}; expected numbers along {n_axes} axes")
    return values
