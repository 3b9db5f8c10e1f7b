"""Which files of a BIDS dataset are the recordings of a subject, and what belongs to each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neuroalign import bids
from neuroalign.errors import DataError, choices
from neuroalign.settings.dataset import Dataset
from neuroalign.settings.responses import Responses

HEMISPHERES = ("L", "R")


@dataclass(frozen=True)
class Recording:
    """One run of one subject.

    Attributes
    ----------
    run : bids.Run
    paths : tuple of Path
        One file; for surfaces the left and the right hemisphere.
    names : tuple of str
        Their paths in the index.
    sidecar_tr : tuple of float
        Repetition time (s) that the sidecars give each file, NaN where they do not.
    n_volumes : tuple of float
        Volumes in each file by its header, NaN where that cannot be read.
    start_time_s : float
        Time of the first volume's reference slice.
    space : str
        BIDS space label, empty where the name has none.
    confounds : Path or None
    """

    run: bids.Run
    paths: tuple[Path, ...]
    names: tuple[str, ...]
    sidecar_tr: tuple[float, ...]
    n_volumes: tuple[float, ...]
    start_time_s: float
    space: str
    confounds: Path | None

    def tr(self, settings: Responses) -> float:
        """Give the repetition time in seconds, by the config or else by the sidecars.

        Raises
        ------
        DataError
            Neither knows it.
        """
        known = [settings.tr or np.nan, *self.sidecar_tr]
        for value in known:
            if np.isfinite(value):
                return float(value)
        raise DataError(f"{self.paths[0]}: no sidecar gives its RepetitionTime; add one or set responses.tr")


@dataclass(frozen=True)
class Source:
    """Recordings of one kind, ready to be read run by run.

    Attributes
    ----------
    targets : DataFrame (n_targets rows)
        Target coordinates.
    attributes : dict
        What else places the targets: `affine` and `shape`, or `vertices`.
    read : callable
        Gives a recording's data as float32 (n_volumes, n_targets).
    """

    targets: pd.DataFrame
    attributes: dict[str, Any]
    read: Callable[[Recording], np.ndarray]


def find_recordings(
    index: pd.DataFrame, dataset: Dataset, settings: Responses, subject: str
) -> tuple[list[Recording], list[str]]:
    """Find the recordings of a subject, one per run, in the order of the runs.

    Parameters
    ----------
    index : DataFrame
        From `bids.index_dataset`.
    dataset : Dataset
    settings : Responses
        `kind`, `space` and `entities` choose among the files.
    subject : str

    Returns
    -------
    recordings : list of Recording
    problems : list of str
        Runs that have no single recording, one line each.
    """
    suffix, extensions = bids.recording_ending(settings)
    scope = bids.recording_scope(settings)
    of_kind = bids.select(index, scope=scope, subject=subject, suffix=suffix, extension=extensions)
    all_runs = of_kind[of_kind["desc"] != "confounds"]
    of_kind = bids.select_runs(all_runs, dataset)
    parts = {"split": ("", "1", "01")} if scope == "raw" else {}  # MNE reads on in the parts that follow
    rows = bids.select(of_kind, space=settings.space, **{**parts, **settings.entities})
    if rows.empty:
        if of_kind.empty and not all_runs.empty:
            return [], [
                f"sub-{subject}: no {settings.kind} recordings of task '{dataset.task}'"
                f"{bids.what_there_is(all_runs, dataset)}; correct dataset.task, session or runs"
            ]
        return [], [_nothing_found(of_kind, dataset, settings, subject)]
    recordings, problems = [], []
    for run in bids.find_runs(rows, dataset, subject):
        of_run = bids.select(rows, session=run.session, run_entity=run.run_entity)
        hemispheres = HEMISPHERES if settings.kind == "surface" else ("",)
        sides = [of_run if not side else bids.select(of_run, hemi=side) for side in hemispheres]
        lines = [_not_one(side, name, run, settings) for side, name in zip(sides, hemispheres, strict=True)]
        problems += [line for line in lines if line]
        if not any(lines):
            recordings.append(_recording(index, dataset, run, pd.concat(sides)))
    return recordings, problems


def find_mask(index: pd.DataFrame, dataset: Dataset, recording: Recording) -> Path:
    """Find the brain mask that was made for a recording.

    Raises
    ------
    DataError
        There is none, or more than one.
    """
    row = index[index["path"] == recording.names[0]].iloc[0]
    masks = bids.select(
        index,
        scope="derivatives",
        suffix="mask",
        desc="brain",
        extension=(".nii.gz", ".nii"),
        **{key: row[key] for key in ("subject", "session", "task", "run_entity", "space")},
    )
    wanted = json.loads(row["entities"]).get("res", "")
    masks = bids.select(masks, res=wanted)
    if len(masks) != 1:
        raise DataError(
            f"{recording.run}: {len(masks) or 'no'} desc-brain_mask for '{recording.names[0]}'; "
            "set responses.mask"
        )
    return Path(dataset.path, str(masks["path"].iloc[0]))


def _nothing_found(of_kind: pd.DataFrame, dataset: Dataset, settings: Responses, subject: str) -> str:
    suffix, extensions = bids.recording_ending(settings)
    wanted = ({"space": settings.space} if settings.space else {}) | settings.entities
    asked = "".join(f" {key}-{value}" for key, value in wanted.items())
    what = f"{settings.kind} recordings (_{suffix}{extensions[0]})"
    line = f"sub-{subject}: no {what} of task '{dataset.task}'{asked}"
    if of_kind.empty:
        raw = bids.recording_scope(settings) == "raw"
        return (
            f"{line} in '{dataset.path if raw else dataset.derivatives}'; check dataset and "
            "responses.kind, or leave the subject out"
        )
    for key, value in wanted.items():
        have = sorted({json.loads(text).get(key, "") or "none" for text in of_kind["entities"]})
        if value not in have:
            name = "responses.space" if key == "space" else f"responses.entities.{key}"
            return f"{line}; {name} is '{value}': {choices(value, have)}"
    return f"{line}; no file has all of these entities"


def _not_one(rows: pd.DataFrame, hemisphere: str, run: bids.Run, settings: Responses) -> str:
    """Say why these rows are not one recording, or nothing if they are."""
    side = f" hemi-{hemisphere}" if hemisphere else ""
    if len(rows) == 1:
        return ""
    if rows.empty:
        return f"{run}: no{side} recording, only the other hemisphere; add it or leave the run out"
    found = [json.loads(text) for text in rows["entities"]]
    keys = sorted({key for entities in found for key in entities})
    differ = [key for key in keys if len({entities.get(key, "") for entities in found}) > 1]
    ways = "; ".join(f"{key}: {', '.join(sorted({e.get(key, 'none') for e in found}))}" for key in differ)
    setting = "responses.space" if "space" in differ and settings.space is None else "responses.entities"
    ways = ways or "they differ by file type only"
    return f"{run}:{side} {len(rows)} recordings fit, set {setting} to choose one ({ways})"


def _recording(index: pd.DataFrame, dataset: Dataset, run: bids.Run, rows: pd.DataFrame) -> Recording:
    confounds = bids.select(
        index, scope="derivatives", subject=run.subject, session=run.session, task=run.task,
        run_entity=run.run_entity, desc="confounds", suffix=("timeseries", "regressors"), extension=".tsv",
    )  # fmt: skip
    root = Path(dataset.path)
    names = tuple(str(path) for path in rows["path"])
    return Recording(
        run=run,
        paths=tuple(root / name for name in names),
        names=names,
        sidecar_tr=tuple(float(value) for value in rows["tr"]),
        n_volumes=tuple(float(value) for value in rows["n_volumes"]),
        start_time_s=float(rows["start_time_s"].fillna(0.0).iloc[0]),
        space=str(rows["space"].iloc[0]),
        confounds=None if confounds.empty else root / str(confounds["path"].iloc[0]),
    )
