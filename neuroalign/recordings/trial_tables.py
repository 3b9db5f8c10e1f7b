"""Tables that say what was shown in every trial of a file of responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from neuroalign import bids
from neuroalign.errors import DataError
from neuroalign.recordings.files import Recording
from neuroalign.recordings.patterns import find_by_pattern, pattern_path
from neuroalign.settings.dataset import Dataset
from neuroalign.settings.responses import Responses
from neuroalign.stimuli.events import read_tsv
from neuroalign.stimuli.images import address
from neuroalign.stimuli.labels import picked


@dataclass(frozen=True)
class TrialBlock:
    """The trials of one run, all in one file of responses.

    Attributes
    ----------
    run : bids.Run
    path : Path
        The file of responses.
    rows : array of int
        Which of its trials are of this run.
    items : DataFrame
        What was shown, in their order: column `uri` or `text`, and all others as labels.
    n_listed : int
        Trials of the whole file, by the table.
    """

    run: bids.Run
    path: Path
    rows: np.ndarray
    items: pd.DataFrame
    n_listed: int


def find_blocks(dataset: Dataset, settings: Responses, subject: str) -> list[TrialBlock]:
    """Find the files of responses of one subject, and read what was shown in each of their trials.

    A table with a column `run` divides the trials of a file; without it, a file is a run.

    Raises
    ------
    ConfigError
        A pattern is not one.
    DataError
        A file is missing, or a table does not say what was shown.
    """
    assert settings.path is not None
    assert settings.items is not None
    blocks = []
    for run, path in find_by_pattern(dataset, "responses.path", settings.path, subject).items():
        table_path = pattern_path(dataset, "responses.items", settings.items, run)
        table = read_tsv(table_path)
        items = _shown(table_path, table, dataset)
        labels = table["run"].str.removeprefix("run-") if "run" in table else pd.Series("", table.index)
        for label in dict.fromkeys(labels):
            if "run" in table and not (label.isalnum() and label.isascii()):
                line = int(np.flatnonzero(labels == label)[0]) + 2
                raise DataError(
                    f"{table_path}: line {line}: run '{label}' is no label; use letters and digits"
                )
            rows = np.flatnonzero(labels == label)
            of_run = run._replace(run_entity=label) if label else run
            blocks.append(TrialBlock(of_run, path, rows, items.iloc[rows], len(table)))
    if "run" in table and dataset.runs != "all":
        entities = pd.DataFrame({"run_entity": [block.run.run_entity for block in blocks]})
        blocks = [blocks[number] for number in bids.select(entities, run_entity=dataset.runs).index]
        if not blocks:
            raise DataError(f"{table_path}: none of the runs {dataset.runs} is there; correct dataset.runs")
    return sorted(blocks, key=lambda block: bids.run_order(block.run))


def trials_of(blocks: Sequence[TrialBlock]) -> pd.DataFrame:
    """List all trials: columns `run` (label), `trial` (number within the run), `uri` or `text`, labels."""
    tables = [
        block.items.reset_index(drop=True)
        .assign(run=block.run.label, trial=np.arange(len(block.rows)))
        .loc[:, ["run", "trial", *block.items.columns]]
        for block in blocks
    ]
    return pd.concat(tables, ignore_index=True)


def block_recordings(
    blocks: Sequence[TrialBlock], count: Callable[[Path], int], settings: Responses
) -> tuple[list[Recording], list[str]]:
    """One recording per run, and the files that are damaged or whose trials are not those of their tables.

    Parameters
    ----------
    blocks : sequence of TrialBlock
    count : function of a path
        How many trials a file has, by its header; complains of one that is damaged.
    settings : Responses
    """
    n_trials, problems = dict[Path, int](), list[str]()
    for path in dict.fromkeys(block.path for block in blocks):
        try:
            n_trials[path] = count(path)
        except DataError as error:
            problems.append(str(error))
    problems += [
        f"{path}: {n} trials, but its table of items lists {block.n_listed}; give one row per trial"
        for block, path, n in ((block, block.path, n_trials.get(block.path)) for block in blocks)
        if n is not None and n != block.n_listed
    ]
    made = [
        trial_recording(block.run, (block.path,), len(block.rows), settings.space or "") for block in blocks
    ]
    return made, list(dict.fromkeys(problems))


def trial_recording(run: bids.Run, paths: tuple[Path, ...], n_trials: int, space: str) -> Recording:
    """A run of trials whose files have no BIDS names."""
    nan = tuple(np.nan for _ in paths)
    names = tuple(str(path) for path in paths)
    return Recording(run, paths, names, nan, tuple(float(n_trials) for _ in paths), 0.0, space, None)


def _shown(path: Path, table: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """What was shown, images by their address, and the other columns of the table as labels of it."""
    named = [name for name in ("item", "text") if name in table]
    if len(named) != 1:
        raise DataError(
            f"{path}: expected a column 'item' (image files) or 'text', one of them, got "
            f"{', '.join(table.columns)}"
        )
    column = table[named[0]].str.strip()
    empty = np.flatnonzero(column.isin(["", "n/a"]))
    if len(empty):
        raise DataError(
            f"{path}: line {empty[0] + 2}: no {named[0]}; say of every trial what was shown, "
            "or leave its response out"
        )
    labels = picked(table, [name for name in table.columns if name not in (*named, "run")], path)
    if named[0] == "text":
        return column.to_frame("text").join(labels)
    try:
        places = {name: address(name, Path(dataset.path)) for name in column.unique()}
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return column.map(places).to_frame("uri").join(labels)
