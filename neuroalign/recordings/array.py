"""Responses in plain arrays: NumPy files or tables (trial, target), with a table of what was shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from neuroalign.errors import ConfigError, DataError
from neuroalign.headers import count_volumes, reading
from neuroalign.recordings.files import Recording, Source
from neuroalign.recordings.matlab import read_matrix
from neuroalign.recordings.tabular import read_header, read_numbers
from neuroalign.recordings.trial_tables import block_recordings, find_blocks, trials_of
from neuroalign.settings.dataset import Dataset
from neuroalign.settings.responses import Responses
from neuroalign.stimuli.events import read_tsv


def find_recordings(dataset: Dataset, settings: Responses, subject: str) -> tuple[list[Recording], list[str]]:
    """Find the arrays of a subject, one recording per run, and what is wrong with them."""
    blocks = find_blocks(dataset, settings, subject)
    return block_recordings(blocks, lambda path: array_shape(path)[0], settings)


def list_trials(dataset: Dataset, settings: Responses, subject: str) -> pd.DataFrame:
    """List the trials of a subject: columns `run`, `trial` and `uri` or `text`."""
    return trials_of(find_blocks(dataset, settings, subject))


def open_source(dataset: Dataset, settings: Responses, recordings: Sequence[Recording]) -> Source:
    """Prepare arrays to be read.

    Returns
    -------
    Source
        Target coordinates `name` (the columns of a table, those of `responses.regions`, or numbers) and,
        with `responses.regions`, `roi`; attribute `kind`: to maps and report, targets are parcels.

    Raises
    ------
    DataError
        Files differ in their targets, or `responses.regions` does not fit them.
    ConfigError
        `responses.mask` is set.
    """
    if settings.mask is not None:
        raise ConfigError("responses.mask does not go with kind array: leave targets out of the array")
    blocks = find_blocks(dataset, settings, recordings[0].run.subject)
    rows = {block.run: block.rows for block in blocks}
    paths = list(dict.fromkeys(block.path for block in blocks))
    columns = [_columns(path) for path in paths]
    for path, have in zip(paths, columns, strict=True):
        if have != columns[0]:
            raise DataError(
                f"{path}: {len(have)} targets, not those of '{paths[0].name}' ({len(columns[0])}); "
                "every run needs the same targets in the same order"
            )
    targets = pd.DataFrame({"name": pd.Series(columns[0], dtype=object)})
    if settings.regions is not None:
        named = paths[0].suffix == ".tsv"
        table = settings.regions.replace("{subject}", recordings[0].run.subject)
        targets = name_regions(Path(dataset.path, table), targets, match_names=named)

    def read(recording: Recording) -> np.ndarray:
        return read_rows(recording.paths[0], rows[recording.run])

    return Source(targets, {"kind": "parcels"}, read)


def array_shape(path: Path) -> tuple[int, int]:
    """Read (n_trials, n_targets) from the header of an array.

    Raises
    ------
    DataError
        The file is damaged, holds Python objects, or is not an array of numbers (trial, target).
    """
    if path.suffix == ".tsv":
        return count_volumes(path), len(read_header(path))
    return _matrix(path).shape


def _matrix(path: Path) -> np.ndarray:
    if path.suffix == ".mat":
        return read_matrix(path)
    if path.suffix != ".npy":
        raise DataError(
            f"{path}: '{path.suffix}' is no array that can be read; save it as .npy, .mat or .tsv"
        )
    with reading(path):
        try:
            values = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            if "Python objects" not in str(error) and "pickle" not in str(error):
                raise
            raise DataError(
                f"{path}: holds Python objects (pickle), which are never read; save the numbers alone, as in "
                "numpy.save('betas.npy', betas), trials by targets"
            ) from None
    if not isinstance(values, np.ndarray):
        values.close()
        raise DataError(f"{path}: an archive of several arrays; save the one as .npy, trials by targets")
    if values.ndim != 2 or not values.size or values.dtype.kind not in "iuf":
        raise DataError(f"{path}: {values.dtype} {values.shape}; expected numbers (trial, target)")
    return values


def _columns(path: Path) -> list[str]:
    if path.suffix == ".tsv":
        return read_header(path)
    return [str(number) for number in range(array_shape(path)[1])]


def read_rows(path: Path, rows: np.ndarray | slice) -> np.ndarray:
    """Read some rows (row, target) of an array as float32.

    Raises
    ------
    DataError
        The file is damaged, or not all numbers.
    """
    if path.suffix == ".tsv":
        table = read_numbers(path)
        for name in read_header(path):
            if name not in table:
                raise DataError(f"{path}: column '{name}' is not numeric; keep numbers only")
        return table.to_numpy(np.float32)[rows]
    with reading(path):
        return np.asarray(_matrix(path)[rows], np.float32)


def name_regions(path: Path, targets: pd.DataFrame, match_names: bool) -> pd.DataFrame:
    """Name the region of every target: by its name, or in order where the targets have no names yet.

    Raises
    ------
    DataError
        The file is missing, has no columns `name` and `roi`, or does not fit the targets.
    """
    table = read_tsv(path)
    if not {"name", "roi"} <= set(table.columns):
        raise DataError(f"{path}: expected columns 'name' and 'roi', got {', '.join(table.columns)}")
    if not match_names:
        if len(table) != len(targets):
            raise DataError(f"{path}: {len(table)} rows, but there are {len(targets)} targets; give one each")
        return table[["name", "roi"]]
    regions = dict(zip(table["name"], table["roi"], strict=True))
    lacking = [name for name in targets["name"] if name not in regions]
    if lacking:
        raise DataError(f"{path}: no row for target '{lacking[0]}' ({len(lacking)} lack one); add them")
    return targets.assign(roi=targets["name"].map(regions))
