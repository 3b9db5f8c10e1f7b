"""Recordings of parcels and confounds: tab-separated tables, one row per volume."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd

from neuroalign.errors import ConfigError, DataError, choices
from neuroalign.headers import reading
from neuroalign.recordings.files import Recording, Source
from neuroalign.settings.responses import Responses


def open_parcels(settings: Responses, recordings: Sequence[Recording]) -> Source:
    """Prepare tables of parcel time series (`_timeseries.tsv`) to be read.

    Every parcel is its own region: target coordinates `name` and `roi` are the column names.

    Raises
    ------
    DataError
        The runs do not have the same columns; one line per run.
    ConfigError
        `responses.regions` or `responses.mask` is set.
    """
    for key in ("regions", "mask"):
        if getattr(settings, key) is not None:
            raise ConfigError(
                f"responses.{key} does not go with kind parcels, whose columns are regions; remove it"
            )
    columns = [read_header(recording.paths[0]) for recording in recordings]
    problems = []
    for recording, have in zip(recordings, columns, strict=True):
        differ = sorted(set(have) ^ set(columns[0]))
        if differ:
            problems.append(
                f"{recording.paths[0]}: columns differ from those of '{recordings[0].paths[0].name}' "
                f"({', '.join(differ[:5])}); every run needs the same parcels"
            )
    if problems:
        raise DataError("\n".join(problems))
    names = pd.Series(columns[0], dtype=object)

    def read(recording: Recording) -> np.ndarray:
        path = recording.paths[0]
        table = read_numbers(path)
        for name in columns[0]:
            if name not in table:
                raise DataError(
                    f"{path}: column '{name}' is not numeric; keep one column of numbers per parcel"
                )
        return table[columns[0]].to_numpy(np.float32)

    return Source(pd.DataFrame({"name": names, "roi": names}), {}, read)


def read_confounds(path: str | Path) -> pd.DataFrame:
    """Read the numeric columns of a confounds table.

    Derivatives and framewise displacement have no value for the first volumes: those become 0. A
    column with gaps further on keeps them as NaN.

    Raises
    ------
    DataError
        The file is missing, empty or not a table.
    """
    table = read_numbers(path)
    leading = table.isna() & (table.notna().cumsum() == 0)
    empty = table.columns[leading.all()]
    return table.mask(leading, 0.0).drop(columns=empty)


def common_columns(tables: Sequence[pd.DataFrame | None]) -> list[str]:
    """List the columns without gaps that every run has, in the order of the first run."""
    if not tables or any(table is None for table in tables):
        return []
    whole = [list(table.columns[table.notna().all()]) for table in tables if table is not None]
    return [name for name in whole[0] if all(name in other for other in whole)]


def fit_table(
    recording: Recording, table: pd.DataFrame | None, volumes: int, settings: Responses
) -> pd.DataFrame:
    """Check the confounds of a run against its volumes; a run without confounds has no columns.

    Raises
    ------
    DataError
        Confounds are asked for and missing, or do not have a row per volume.
    """
    if table is None:
        if settings.confounds:
            raise DataError(
                f"{recording.run}: no desc-confounds_timeseries.tsv; add it or empty responses.confounds"
            )
        return pd.DataFrame(index=range(volumes))
    if len(table) != volumes:
        raise DataError(
            f"{recording.confounds}: {len(table)} rows for {volumes} volumes; make the confounds again"
        )
    return table


def pick_columns(
    table: pd.DataFrame, asked: Sequence[str], where: object, elsewhere: Sequence[str] = ()
) -> list[str]:
    """Match column names and patterns such as `trans_*` against the columns of a table.

    Parameters
    ----------
    table : DataFrame
    asked : sequence of str
    where : path
        Begins the error message.
    elsewhere : sequence of str
        Columns of the other runs: a pattern may match nothing in a run if it does in another, as
        for `motion_outlier*`.

    Returns
    -------
    list of str
        In the order of the table, each once.

    Raises
    ------
    DataError
        A name or pattern matches nothing, or a column has gaps.
    """
    picked: set[str] = set()
    for pattern in asked:
        matched = [name for name in table.columns if fnmatchcase(name, pattern)]
        if not matched and not any(fnmatchcase(name, pattern) and name != pattern for name in elsewhere):
            raise DataError(
                f"{where}: no numeric confound column '{pattern}': {choices(pattern, table.columns)}"
            )
        picked.update(matched)
    for name in picked:
        gaps = np.flatnonzero(table[name].isna())
        if len(gaps):
            raise DataError(
                f"{where}: confound '{name}' has no value in line {gaps[0] + 2}; fill or leave it out"
            )
    return [name for name in table.columns if name in picked]


def read_header(path: Path) -> list[str]:
    """Read the names of the columns of a table.

    Raises
    ------
    DataError
        The file is missing or empty.
    """
    with reading(path), path.open(encoding="utf-8-sig") as stream:
        columns = stream.readline().rstrip("\r\n").split("\t")
    if columns == [""]:
        raise DataError(f"{path}: the table is empty; expected a header line and one row per volume")
    twice = [name for place, name in enumerate(columns) if name in columns[:place]]
    if twice:
        raise DataError(f"{path}: two columns are called '{twice[0]}'; rename or remove one")
    return columns


def read_numbers(path: str | Path) -> pd.DataFrame:
    """Read a table and keep its numeric columns; `n/a` is NaN.

    Raises
    ------
    DataError
        The file is missing, empty or not a table.
    """
    read_header(Path(path))
    with reading(path):
        try:
            table = pd.read_csv(path, sep="\t", na_values=["n/a"], encoding="utf-8-sig")
        except pd.errors.EmptyDataError:
            table = pd.DataFrame()
        if table.empty:
            raise DataError(f"{path}: the table is empty; expected a header line and one row per volume")
    return table.select_dtypes("number").astype(float)
