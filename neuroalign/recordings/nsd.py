"""The Natural Scenes Dataset as it is distributed (Allen et al. 2022, and its data manual).

Betas lie in `nsddata_betas/ppdata/subjXX/SPACE/VERSION`, a file per session: volumes are int16, 300 times
the percent signal change; surfaces of fsaverage are floats. The sessions are the runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neuroalign import bids
from neuroalign.errors import ConfigError, DataError, choices
from neuroalign.headers import reading
from neuroalign.recordings.files import Recording, Source
from neuroalign.recordings.grids import (
    grid_of,
    must_share_grid,
    name_labels,
    open_images,
    values_of,
    voxels_within,
)
from neuroalign.recordings.nsd_betas import betas_shape, read_labels, read_vertices, read_volume
from neuroalign.recordings.trial_tables import trial_recording
from neuroalign.settings.dataset import Dataset
from neuroalign.settings.responses import Responses
from neuroalign.stimuli.media import in_stack

TRIALS = 750
"""Trials of every session."""

SPACES = ("func1pt8mm", "func1mm", "fsaverage")
VERSION = "betas_fithrf_GLMdenoise_RR"
MASK = "nsdgeneral"
SIDES = {"L": "lh", "R": "rh"}

_STIMULI = "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"
_DESIGN = "nsddata/experiments/nsd/nsd_expdesign.mat"
_SESSION = re.compile(r"(?:lh\.)?betas_session(\d+)\.(?:nii\.gz|hdf5|mgh)")


def find_recordings(dataset: Dataset, settings: Responses, subject: str) -> tuple[list[Recording], list[str]]:
    """Find the sessions of a subject, and what is wrong with them by their headers.

    Raises
    ------
    ConfigError
        `responses.space` is none of NSD's.
    DataError
        There are no betas, no stimuli or no design.
    """
    space = _space(settings)
    stimuli = Path(dataset.path, _STIMULI)
    if not stimuli.is_file():
        raise DataError(f"{stimuli}: no such file; download NSD's stimuli to there")
    _image_numbers(dataset, subject)
    recordings, problems = [], []
    for session, paths in _sessions(dataset, settings, subject).items():
        run = bids.Run(subject, session, dataset.task, "")
        for path in paths:
            try:
                count = betas_shape(path)[3]
            except DataError as error:
                problems.append(str(error))
                continue
            if count != TRIALS:
                problems.append(f"{path}: {count} trials, but sessions of NSD have {TRIALS}; copy it again")
        recordings.append(trial_recording(run, paths, TRIALS, space))
    return recordings, problems


def list_trials(dataset: Dataset, settings: Responses, subject: str) -> pd.DataFrame:
    """List the images that a subject saw, by NSD's experimental design.

    Returns
    -------
    DataFrame
        Columns `run`, `trial` and `uri`, an image of `imgBrick` in NSD's file of stimuli.
    """
    numbers = _image_numbers(dataset, subject)
    stimuli = Path(dataset.path, _STIMULI)
    tables = []
    for session in _sessions(dataset, settings, subject):
        shown = numbers[(int(session) - 1) * TRIALS :][:TRIALS]
        if len(shown) < TRIALS:
            raise DataError(
                f"{Path(dataset.path, _DESIGN)}: its {len(numbers)} trials end before session {session}; "
                "download it again"
            )
        uris = [in_stack(stimuli, "imgBrick", number) for number in shown]
        tables.append(
            pd.DataFrame({"run": bids.run_label(session, ""), "trial": np.arange(TRIALS), "uri": uris})
        )
    return pd.concat(tables, ignore_index=True)


def open_source(dataset: Dataset, settings: Responses, recordings: Sequence[Recording]) -> Source:
    """Prepare betas to be read, within a region of NSD (`responses.mask`, or nsdgeneral).

    Returns
    -------
    Source
        As of volumes or, in fsaverage, of surfaces, of which the vertices within the mask are targets.
        Target coordinate `ncsnr`, where its file lies beside the betas: NSD's ratio of signal to noise.

    Raises
    ------
    DataError
        Files are missing or do not share a grid; one line for each.
    """
    subject, space = recordings[0].run.subject, _space(settings)
    if space == "fsaverage":
        return _open_surface(dataset, settings, subject)
    problems: list[str] = []
    named = {"mask": settings.mask or MASK} | ({"roi": settings.regions} if settings.regions else {})
    paths = {key: _volume_of(dataset, subject, space, name) for key, name in named.items()}
    ncsnr = recordings[0].paths[0].with_name("ncsnr.nii.gz")
    paths |= {"ncsnr": ncsnr} if ncsnr.is_file() else {}
    extra = dict(zip(paths, open_images(list(paths.values()), problems), strict=False))
    if not problems:
        must_share_grid(list(extra.values()), problems, shape_only=True)
        problems += _other_shapes(recordings, *extra["mask"])
    if problems:
        raise DataError("\n".join(problems))
    inside = values_of(*extra["mask"]) > 0
    if not inside.any():
        raise DataError(f"{paths['mask']}: no voxel is above 0; name another responses.mask")
    shape, affine = grid_of(extra["mask"][1])
    targets = voxels_within(inside, affine)
    if "roi" in extra:
        labels = values_of(*extra["roi"])[inside]
        targets["roi"] = name_labels(labels, _names(dataset, f"subj{subject}", settings))
    if "ncsnr" in extra:
        targets["ncsnr"] = values_of(*extra["ncsnr"])[inside].astype(float)

    def read(recording: Recording) -> np.ndarray:
        return read_volume(recording.paths[0], inside)

    return Source(targets, {"kind": "volume", "affine": affine.ravel().tolist(), "shape": list(shape)}, read)


def _other_shapes(recordings: Sequence[Recording], mask_path: Path, mask: Any) -> Iterator[str]:
    """Find sessions that are not on the grid of the mask."""
    for recording in recordings:
        path, expected = recording.paths[0], grid_of(mask)[0]
        try:
            shape = betas_shape(path)[:3]
        except DataError as error:
            yield str(error)
            continue
        if shape != expected:
            have, want = (" × ".join(map(str, one)) for one in (shape, expected))
            yield f"{path}: betas of {have} voxels, but '{mask_path}' has {want}; copy them of one subject"


def _open_surface(dataset: Dataset, settings: Responses, subject: str) -> Source:
    """Prepare betas on fsaverage to be read, the left hemisphere's vertices first."""
    folder = _betas(dataset, settings, subject)
    labels = Path(dataset.path, "nsddata/freesurfer/fsaverage/label")
    names = _names(dataset, "fsaverage", settings)
    kept: list[np.ndarray] = []
    frames, counts = [], []
    for hemi, side in SIDES.items():
        inside = read_labels(labels / f"{side}.{settings.mask or MASK}.mgz") > 0
        kept.append(inside)
        counts.append(len(inside))
        frame = pd.DataFrame({"hemi": hemi, "vertex": np.flatnonzero(inside)})
        if settings.regions:
            frame["roi"] = name_labels(read_labels(labels / f"{side}.{settings.regions}.mgz")[inside], names)
        ncsnr = folder / f"{side}.ncsnr.mgh"
        if ncsnr.is_file():
            frame["ncsnr"] = read_labels(ncsnr)[inside].astype(float)
        frames.append(frame)

    def read(recording: Recording) -> np.ndarray:
        sides = [read_vertices(path, inside) for path, inside in zip(recording.paths, kept, strict=True)]
        return np.concatenate(sides, axis=1)

    return Source(
        pd.concat(frames, ignore_index=True),
        {"kind": "surface", "vertices": counts, "space": "fsaverage"},
        read,
    )


def _space(settings: Responses) -> str:
    space = settings.space or SPACES[0]
    if space not in SPACES:
        raise ConfigError(f"responses.space is '{space}': {choices(space, SPACES)} with kind nsd")
    return space


def _betas(dataset: Dataset, settings: Responses, subject: str) -> Path:
    root = Path(dataset.path, "nsddata_betas/ppdata", f"subj{subject}", _space(settings))
    folder = root / (settings.betas or VERSION)
    if not folder.is_dir():
        beside = sorted(path.name for path in root.glob("betas_*")) if root.is_dir() else []
        if not beside:
            raise DataError(f"sub-{subject}: no betas in '{root}'; download them, or leave the subject out")
        raise DataError(
            f"sub-{subject}: no folder '{folder}'; responses.betas: {choices(folder.name, beside)}"
        )
    return folder


def _sessions(dataset: Dataset, settings: Responses, subject: str) -> dict[str, tuple[Path, ...]]:
    """The files of each session, by its number, in order; of NIfTI and HDF5, the latter."""
    folder = _betas(dataset, settings, subject)
    surface = _space(settings) == "fsaverage"
    found: dict[str, tuple[Path, ...]] = {}
    # Backwards: of two files of one session, that in HDF5 comes last and is kept.
    for path in sorted(folder.iterdir(), reverse=True):
        match = _SESSION.fullmatch(path.name)
        if match and surface == path.name.endswith(".mgh"):
            pair = (path, path.with_name(path.name.replace("lh.", "rh.", 1)))
            found[match[1]] = pair if surface else (path,)
    rows = pd.DataFrame({"session": list(found), "run_entity": list(found)})
    session = dataset.session.zfill(2) if dataset.session else None
    runs = None if dataset.runs == "all" else dataset.runs
    kept = bids.select(rows, session=session, run_entity=runs)["session"]
    if kept.empty:
        there = ", ".join(sorted(found)) or "none"
        raise DataError(f"sub-{subject}: no session of those asked for in '{folder}'; there is {there}")
    return {session: found[session] for session in sorted(kept, key=int)}


def shared_images(dataset: Dataset) -> np.ndarray:
    """Numbers, from 0, of the images that NSD shows to every subject; none where the design does not say.

    Raises
    ------
    DataError
        The experimental design is missing or damaged.
    """
    from scipy.io import loadmat

    path = Path(dataset.path, _DESIGN)
    with reading(path):
        design = loadmat(path, variable_names=["sharedix"])
        return np.asarray(design.get("sharedix", np.empty(0))).astype(int).ravel() - 1


def shared_addresses(dataset: Dataset) -> list[str]:
    """Addresses of the images that NSD shows to every subject."""
    stimuli = Path(dataset.path, _STIMULI)
    return [in_stack(stimuli, "imgBrick", int(number)) for number in shared_images(dataset)]


def _image_numbers(dataset: Dataset, subject: str) -> np.ndarray:
    """The image of every trial of a subject, by its number in the stack, from 0."""
    from scipy.io import loadmat

    path = Path(dataset.path, _DESIGN)
    shared = shared_images(dataset)
    with reading(path):
        design = loadmat(path, variable_names=["masterordering", "subjectim"])
        # 1-based: trials point to the images of a subject, and these to the 73,000 images of all.
        images, order = design["subjectim"].astype(int), design["masterordering"].astype(int).ravel()
        if not (subject.isdigit() and 1 <= int(subject) <= len(images)):
            raise DataError(
                f"sub-{subject}: NSD has subjects 01 to {len(images):02d}; correct dataset.subjects"
            )
        own = images[int(subject) - 1] - 1
    lacking = np.setdiff1d(shared, own)
    if len(lacking):
        raise DataError(
            f"{path}: sharedix names {len(shared)} images for all subjects, but subjectim lacks "
            f"{len(lacking)} of them for sub-{subject}; download it again"
        )
    return own[order - 1]


def _volume_of(dataset: Dataset, subject: str, space: str, name: str) -> Path:
    """The image of a region, by NSD's name of it or by its path relative to the dataset."""
    if name.endswith((".nii", ".nii.gz")):
        return Path(dataset.path, name.replace("{subject}", subject))
    folder = Path(dataset.path, "nsddata/ppdata", f"subj{subject}", space, "roi")
    path = folder / f"{name}.nii.gz"
    if not path.is_file():
        have = sorted(each.name.removesuffix(".nii.gz") for each in folder.glob("*.nii.gz"))
        raise DataError(f"{path}: no such region of NSD; {choices(name, have)}")
    return path


def _names(dataset: Dataset, owner: str, settings: Responses) -> dict[int, str]:
    """The names of labels, from the colour table beside FreeSurfer's labels, if it is there."""
    folder = Path(dataset.path, "nsddata/freesurfer", owner, "label")
    path = folder / f"{settings.regions}.mgz.ctab"
    if not settings.regions or not path.is_file():
        return {}
    with reading(path):
        return dict(_named_labels(path.read_text(encoding="utf-8")))


def _named_labels(text: str) -> Iterator[tuple[int, str]]:
    for line in text.splitlines():
        parts = line.split()
        if len(parts) > 1 and parts[0].isdigit():
            yield int(parts[0]), parts[1]
