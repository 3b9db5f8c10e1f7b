"""The files of a BIDS dataset, read once from their names into a table.

Nothing here opens a recording further than its header. Everything later asks the table, so that a
large dataset is walked a single time.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from neuroalign.errors import DataError, choices
from neuroalign.headers import count_volumes, read_json
from neuroalign.settings.config import Study
from neuroalign.settings.dataset import Dataset
from neuroalign.settings.responses import Responses

ENTITY_ORDER = (
    *("sub", "tpl", "ses", "cohort", "sample", "task", "tracksys", "acq", "nuc", "voi", "ce", "trc", "stain"),
    *("rec", "dir", "run", "mod", "echo", "flip", "inv", "mt", "part", "proc", "hemi", "space", "split"),
    *("recording", "chunk", "atlas", "seg", "scale", "res", "den", "label"),
)
"""The order in which BIDS writes entities; those it does not know come next, then `stat` and `desc`."""

COLUMNS = {
    "subject": "sub", "session": "ses", "task": "task", "run_entity": "run",
    "space": "space", "hemi": "hemi", "desc": "desc",
}  # fmt: skip
"""Index columns that hold an entity, and the entity's key in file names."""

FACTS = ("tr", "n_volumes", "start_time_s")
RECORDING_ENDINGS = {
    "volume": ("bold", (".nii.gz", ".nii")),
    "surface": ("bold", (".func.gii", ".shape.gii")),
    "parcels": ("timeseries", (".tsv",)),
    "cifti": ("bold", (".dtseries.nii", ".dscalar.nii")),
    "epochs": ("epo", (".fif",)),
}
"""Suffix of time series, and extensions, of each kind of preprocessed recording with BIDS names."""

RAW_ENDINGS = {
    "eeg": ("eeg", (".vhdr", ".edf", ".bdf", ".set", ".fif")),
    "meg": ("meg", (".fif", ".ds", ".con", ".sqd", ".kdf", ".mff")),
    "ieeg": ("ieeg", (".vhdr", ".edf", ".set", ".nwb", ".fif")),
}
"""The same of recordings that are read as they were made."""

FOLDERS = (".ds", ".mff")
"""Recordings that are folders."""

FILES = (".nii", ".nii.gz", ".gii", ".tsv")
"""Endings of files: a folder of such a name is listed too, so that whoever reads it says what is wrong."""

_NAME = re.compile(
    r"(?P<entities>(?:[A-Za-z0-9]+-[A-Za-z0-9+]+_)*)(?P<suffix>[A-Za-z0-9]+)(?P<extension>\.[^/]+)"
)


class Run(NamedTuple):
    """One run of one subject."""

    subject: str
    session: str
    task: str
    run_entity: str

    @property
    def label(self) -> str:
        """The label that names this run in every artefact."""
        return run_label(self.session, self.run_entity)

    def __str__(self) -> str:
        """Name the run as a user would in a message."""
        return f"sub-{self.subject} task-{self.task} {self.label}"


def run_label(session: str, run: str) -> str:
    """Name a run by its session and run entities: `ses-01_run-02`, or `run-1` when it has neither."""
    parts = [f"ses-{session}"] if session else []
    if run:
        parts.append(f"run-{run}")
    return "_".join(parts) or "run-1"


def bids_name(entities: Mapping[str, str], suffix: str, extension: str) -> str:
    """Write a BIDS file name with its entities in the canonical order; empty ones are left out.

    Raises
    ------
    DataError
        A label holds something other than letters, digits and plus signs.
    """
    given = {key: str(value) for key, value in entities.items() if value not in ("", None)}
    for key, value in given.items():
        if not re.fullmatch(r"[A-Za-z0-9+]+", value):
            raise DataError(
                f"'{value}' cannot be the label of BIDS entity '{key}': use letters and digits only"
            )
    last = ("stat", "desc")
    known = [key for key in ENTITY_ORDER if key in given]
    others = [key for key in given if key not in ENTITY_ORDER and key not in last]
    ordered = [*known, *others, *(key for key in last if key in given)]
    return "_".join([f"{key}-{given[key]}" for key in ordered] + [suffix]) + extension


def recording_ending(settings: Responses) -> tuple[str, tuple[str, ...]]:
    """Give the suffix and the extensions of the recordings that a study asks for."""
    suffix, extensions = (RECORDING_ENDINGS | RAW_ENDINGS)[settings.kind]
    return settings.file_suffix or suffix, extensions


def recording_scope(settings: Responses) -> str:
    """Say whether the recordings are among the raw data or the derivatives."""
    return "raw" if settings.kind in RAW_ENDINGS else "derivatives"


def index_study(study: Study) -> pd.DataFrame:
    """List the files of a study's dataset, as `index_dataset` does.

    Raises
    ------
    DataError
        One of the folders is missing.
    """
    data, settings = study.dataset, study.responses
    derivatives = data.derivatives if settings.kind in RECORDING_ENDINGS else None
    return index_dataset(data.path, derivatives, data.task, settings.file_suffix)


def index_dataset(
    root: str | Path, derivatives: str | Path | None, task: str, suffix: str | None = None
) -> pd.DataFrame:
    """List the BIDS files of a dataset and of its preprocessed derivatives.

    Parameters
    ----------
    root : path
        The dataset: files beside and below its `sub-*` folders are listed.
    derivatives : path or None
        The folder of preprocessed data, absolute or relative to `root`; None where recordings are found
        in another way.
    task : str
        Only recordings of this task have their headers read.
    suffix : str, optional
        Of the recordings, such as `statmap` for responses to trials; that of time series when left out.

    Returns
    -------
    DataFrame
        One row per file. Strings, empty where absent: `path` (relative to `root`, absolute if
        outside), `scope` (raw or derivatives), `subject`, `session`, `task`, `run_entity`, `run`,
        `space`, `hemi`, `desc`, `entities` (all, as JSON), `suffix`, `extension`. Numbers, NaN
        where unknown: `tr` (s, from sidecars), `n_volumes` (from headers), `start_time_s`. Last,
        `recording`: whether the file is one of responses, preprocessed or as EEG and MEG were recorded.

    Raises
    ------
    DataError
        One of the folders is missing.
    """
    root = Path(root)
    folder = root / (derivatives or ".")
    if not root.is_dir():
        raise DataError(f"dataset.path: no folder at '{root}'; give the root of a BIDS dataset")
    if not folder.is_dir():
        beside = sorted(
            path.relative_to(root).as_posix() for path in root.glob("derivatives/*") if path.is_dir()
        )
        raise DataError(f"dataset.derivatives: no folder at '{folder}'; {choices(derivatives, beside)}")
    rows = list(_rows(root, root, "raw")) if derivatives is None or folder.resolve() != root.resolve() else []
    if derivatives is not None:
        rows += _rows(root, folder, "derivatives")
    names = ["path", "scope", *COLUMNS, "run", "entities", "suffix", "extension", *FACTS]
    index = pd.DataFrame(rows, columns=names)
    index["recording"] = _is_recording(index, suffix)
    jsons = _jsons(index)
    of_volumes = index["recording"] & (index["scope"] == "derivatives") & (index["extension"] != ".fif")
    for number in index.index[of_volumes & (index["task"] == task)]:
        index.loc[number, list(FACTS)] = _header_facts(root, index.loc[number].to_dict(), jsons)
    return index


def select(index: pd.DataFrame, **wanted: str | Iterable[str] | None) -> pd.DataFrame:
    """Pick the rows of an index whose columns or entities have the values wanted.

    Parameters
    ----------
    index : DataFrame
    **wanted
        Column name (`subject`, `suffix`) or entity key (`acq`, `res`) and its value or values; the
        empty string asks for absence, None for anything. Run numbers match with or without
        leading zeros.
    """
    keep = np.ones(len(index), bool)
    for key, value in wanted.items():
        if value is None:
            continue
        values = {value} if isinstance(value, str) else set(value)
        if key in index.columns:
            have = index[key].astype(str)
        else:
            have = index["entities"].map(lambda text, key=key: json.loads(text).get(key, ""))
        if key == "run_entity":
            values, have = {_number(item) for item in values}, have.map(_number)
        keep &= have.isin(values).to_numpy(bool)
    return index[keep]


def find_runs(index: pd.DataFrame, dataset: Dataset, subject: str) -> list[Run]:
    """List the runs that a subject has of the study's task, in order of session and run number.

    Preprocessed recordings tell which runs there are, or the events files where nothing was recorded.

    Raises
    ------
    DataError
        The subject has no such run.
    """
    of_subject = select(index, subject=subject)
    known = of_subject[of_subject["recording"]]
    if known.empty:
        known = select(of_subject, suffix="events", extension=".tsv")
    rows = select_runs(known, dataset)
    columns = [rows[name] for name in ("session", "task", "run_entity")]
    found = {Run(subject, *map(str, entities)) for entities in zip(*columns, strict=True)}
    if not found:
        raise DataError(
            f"sub-{subject}: no recordings of task '{dataset.task}'{what_there_is(known, dataset)}"
        )
    return sorted(found, key=run_order)


def run_order(run: Run) -> tuple[Any, ...]:
    """Make a sort key by which runs come in order of session and number."""
    return _natural(run.session), _natural(run.run_entity)


def select_runs(rows: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Pick the rows of the study's task, session and runs."""
    runs = None if dataset.runs == "all" else dataset.runs
    return select(rows, task=dataset.task, session=dataset.session, run_entity=runs)


def sidecar(index: pd.DataFrame, root: str | Path, row: Mapping[Any, Any]) -> dict[str, Any]:
    """Join the JSON sidecars of a file by the BIDS inheritance principle: the nearest one wins.

    A sidecar belongs to the file if it has the same suffix and no entity that the file has not.
    Those of the raw dataset count as farther away than those among the derivatives.

    Raises
    ------
    DataError
        A sidecar is not JSON.
    """
    return _inherit(Path(root), row, _jsons(index[index["suffix"] == row["suffix"]]))


def _rows(root: Path, folder: Path, scope: str) -> Iterator[dict[str, Any]]:
    """Yield one index row per BIDS-named file beside and below the `sub-*` folders of `folder`."""
    places = sorted(path for path in folder.glob("sub-*") if path.is_dir())
    files = [path for path in folder.iterdir() if path.is_file()]
    for place in places:
        for parent, folders, names in os.walk(place, followlinks=True):
            whole = [name for name in folders if name.endswith((*FOLDERS, *FILES))]
            _refuse_loops(Path(parent), folders)
            folders[:] = [name for name in folders if name not in whole]
            files += [Path(parent, name) for name in (*names, *whole)]
    for path in sorted(files):
        match = _NAME.fullmatch(path.name)
        if match is None or not (match["entities"] or match["extension"] == ".json"):
            continue
        entities = dict(part.split("-", 1) for part in match["entities"].split("_") if part)
        row: dict[str, Any] = {column: entities.get(key, "") for column, key in COLUMNS.items()}
        inside = path.is_relative_to(root)
        row["path"] = (path.relative_to(root) if inside else path.resolve()).as_posix()
        row |= match.groupdict() | {"scope": scope, "run": run_label(row["session"], row["run_entity"])}
        yield row | {"entities": json.dumps(entities)} | dict.fromkeys(FACTS, np.nan)


def _refuse_loops(parent: Path, folders: Iterable[str]) -> None:
    """Refuse links to a folder that holds them, which would be walked for ever."""
    for name in folders:
        link = parent / name
        if link.is_symlink() and parent.resolve().is_relative_to(link.resolve()):
            raise DataError(f"{link}: a link to the folder that holds it; remove it")


def _is_recording(index: pd.DataFrame, suffix: str | None) -> pd.Series:
    endings = [(suffix or own, each) for own, ext in RECORDING_ENDINGS.values() for each in ext]
    raw = [(own, each) for own, ext in RAW_ENDINGS.values() for each in ext if own == suffix]
    pairs = list(zip(index["suffix"], index["extension"], index["scope"], strict=True))
    fits = [(*pair,) in (raw if scope == "raw" else endings) for *pair, scope in pairs]
    return pd.Series(fits, index.index, dtype=bool) & (index["desc"] != "confounds")


def _header_facts(root: Path, row: Mapping[Any, Any], jsons: dict[str, list[Any]]) -> list[float]:
    """Read TR, number of volumes and start time of one recording, NaN where damaged: `check` says why."""
    try:
        volumes = float(count_volumes(root / row["path"]))
    except DataError:
        volumes = np.nan
    try:
        facts = _inherit(root, row, jsons)
    except DataError:
        facts = {}
    rate, tr, start = (facts.get(key) for key in ("SamplingFrequency", "RepetitionTime", "StartTime"))
    if not isinstance(tr, int | float):
        tr = 1 / rate if isinstance(rate, int | float) and rate > 0 else np.nan
    return [tr if tr > 0 else np.nan, volumes, float(start) if isinstance(start, int | float) else 0.0]


def _jsons(index: pd.DataFrame) -> dict[str, list[Any]]:
    """Group the JSON files by suffix and subject, so that each recording looks at a few only."""
    found: dict[str, list[Any]] = {}
    for row in index[index["extension"] == ".json"].to_dict("records"):
        entities = set(json.loads(row["entities"]).items())
        found.setdefault(f"{row['suffix']}/{row['subject']}", []).append((row, entities))
    return found


def _inherit(root: Path, row: Mapping[Any, Any], jsons: dict[str, list[Any]]) -> dict[str, Any]:
    entities = set(json.loads(str(row["entities"])).items())
    folder = (root / row["path"]).parent
    near: list[tuple[tuple[bool, int, int], Path]] = []
    for other, have in jsons.get(f"{row['suffix']}/", []) + jsons.get(
        f"{row['suffix']}/{row['subject']}", []
    ):
        path = root / other["path"]
        above = path.parent == folder or path.parent in folder.parents
        if have <= entities and (above or (other["scope"] == "raw" and row["scope"] != "raw")):
            near.append(((other["scope"] == row["scope"], len(path.parts), len(have)), path))
    joined: dict[str, Any] = {}
    for _, path in sorted(near):
        joined |= read_json(path)
    return joined


def _number(label: str) -> str:
    return label.lstrip("0") or label


def _natural(label: str) -> tuple[bool, int, str]:
    """Make a sort key by which run-2 comes before run-10."""
    return (True, 0, label) if label and not label.isdigit() else (False, int(label or 0), label)


def what_there_is(known: pd.DataFrame, dataset: Dataset) -> str:
    """End a message about missing runs with what stands there instead."""
    if known.empty:
        return f" in '{dataset.derivatives}' and no events file; remove the subject or add its files"
    of_task = select(known, task=dataset.task)
    if of_task.empty:
        return f": {choices(dataset.task, sorted(set(known['task'])))}"
    labels = sorted(set(of_task["run"]), key=_natural)
    return (
        f" in session {dataset.session or 'any'}, runs {dataset.runs}: the runs there are {', '.join(labels)}"
    )
