"""Features over time in files: tables with a column of times, arrays with times beside them or at a rate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from neuroalign.errors import NetworkError, choices
from neuroalign.headers import read_json
from neuroalign.networks.own.feature_arrays import open_array, read_vector, reading
from neuroalign.settings.features import STIM_ENDING, TABLE_ENDINGS, Features

LONGEST_GUESS_S = 1.0
"""A row whose duration is not given lasts until the next one, but no longer than this; so do words."""

DURATION, RUN = "duration", "run"
"""Columns of a table that are no features: how long rows last, where that is not named, and of which run they
are, where one file has several."""


@dataclass(frozen=True)
class Course:
    """Features over time.

    Attributes
    ----------
    path : str
    onsets, durations : arrays (n_rows,)
        Seconds after the first sample of the recording; onsets ascend.
    values : array-like (n_rows, n_units)
        Of a table in memory, of other formats read when asked for.
    runs : array (n_rows,) of str, or None
        Of which run every row is, where the file has several.
    """

    path: str
    onsets: np.ndarray
    durations: np.ndarray
    values: Any
    runs: np.ndarray | None = None

    def of_run(self, label: str) -> tuple[Course, np.ndarray]:
        """The rows of one run, named by its label or by its entity alone; and where they stand in the file.

        Raises
        ------
        NetworkError
            There is none.
        """
        rows = np.arange(len(self.onsets))
        if self.runs is None:
            return self, rows
        names = {label, label.rpartition("run-")[2]}
        rows = np.flatnonzero(np.isin(self.runs, list(names)))
        if not len(rows):
            raise NetworkError(
                f"path '{self.path}': no row of {label} in its column '{RUN}': "
                f"{choices(label, dict.fromkeys(self.runs.tolist()))}"
            )
        return replace(self, onsets=self.onsets[rows], durations=self.durations[rows], runs=None), rows


def open_course(path: str, settings: Features) -> Course:
    """Open features over time; of arrays times and shape are read, of tables everything.

    Parameters
    ----------
    path : str
        One file, with nothing to be filled in.
    settings : Features
        Say what the times are.

    Raises
    ------
    NetworkError
        There is no such file, column or array, times are not finite or do not ascend, or durations are below
        zero.
    """
    course = _of_table(path, settings) if path.endswith(TABLE_ENDINGS) else _of_array(path, settings)
    _check(course, settings)
    start = settings.start_s or 0.0
    return replace(course, onsets=course.onsets + start)


def _of_array(path: str, settings: Features) -> Course:
    """Times are an array beside the features, or follow from the rate."""
    beside = tuple(name for name in (settings.onset, settings.duration) if name is not None)
    values = open_array(path, settings.dataset, beside)
    rows = int(values.shape[0])
    if settings.onset is None:
        assert settings.sampling_frequency_hz is not None
        return _at_rate(path, values, settings.sampling_frequency_hz)
    onsets = read_vector(path, settings.onset, rows)
    if settings.duration is None:
        return Course(path, onsets, _until_next(onsets), values)
    return Course(path, onsets, read_vector(path, settings.duration, rows), values)


def _of_table(path: str, settings: Features) -> Course:
    """Columns of times, durations and runs, and all others or those asked for as features."""
    table, told = _read_table(path)
    for key, column in (("onset", settings.onset), ("duration", settings.duration)):
        if column is not None and column not in table:
            raise NetworkError(
                f"path '{path}': no column '{column}'; set {key}, or sampling_frequency_hz: "
                f"{choices(column, table.columns)}"
            )
    values = _features(path, table, settings)
    runs = table[RUN].astype(str).to_numpy() if RUN in table else None
    if settings.onset is None:
        rate: Any = settings.sampling_frequency_hz or told.get("SamplingFrequency")
        begin = told.get("StartTime", 0.0)
        numbers = isinstance(rate, int | float) and isinstance(begin, int | float)
        if not numbers or not 0 < rate < np.inf:
            raise NetworkError(
                f"path '{path}': its rate is {rate}, its first row at {begin} s; give sampling_frequency_hz, "
                f"or SamplingFrequency and StartTime in '{_sidecar(path)}'"
            )
        course = _at_rate(path, values, float(rate), runs)
        return replace(course, onsets=course.onsets + float(begin))
    onsets = _numbers(path, table, settings.onset)
    durations = _until_next(onsets, runs)
    if settings.duration is not None or DURATION in table:
        given = _numbers(path, table, settings.duration or DURATION, lacking=True)
        durations = np.where(np.isnan(given), durations, given)
    return Course(path, onsets, durations, values, runs)


def _features(path: str, table: pd.DataFrame, settings: Features) -> np.ndarray:
    """The columns (n_rows, n_units) that are features: those asked for, or all that are nothing else."""
    taken = {settings.onset, settings.duration, RUN}
    if settings.onset is not None and settings.duration is None:
        taken.add(DURATION)
    others = [name for name in table.columns if name not in taken]
    features = _picked(path, settings.columns, others) if settings.columns else others
    if not features or table.empty:
        raise NetworkError(
            f"path '{path}': a table of {len(table)} rows and {len(features)} features; give a column for "
            "every feature and a row for every moment"
        )
    values = np.stack([_numbers(path, table, name) for name in features], axis=1)
    if not np.isfinite(values).all():
        row, column = (int(place) for place in np.argwhere(~np.isfinite(values))[0])
        raise NetworkError(
            f"path '{path}': row {row + 1} of column '{features[column]}' is "
            f"'{table[features[column]].iloc[row]}'; features must be finite numbers: fill it, leave the row "
            "out, or name the features in columns"
        )
    return values


def _at_rate(path: str, values: Any, rate: float, runs: np.ndarray | None = None) -> Course:
    rows = pd.Series(np.zeros(values.shape[0]))
    # Every run begins anew.
    number = rows.groupby(rows if runs is None else runs).cumcount().to_numpy()
    return Course(path, number / rate, np.full(len(number), 1 / rate), values, runs)


def _until_next(onsets: np.ndarray, runs: np.ndarray | None = None) -> np.ndarray:
    steps = np.append(np.diff(onsets), LONGEST_GUESS_S)
    if runs is not None:
        steps[:-1][runs[1:] != runs[:-1]] = LONGEST_GUESS_S
    return np.clip(steps, 0.0, LONGEST_GUESS_S)


def _read_table(path: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A table as text, or of Parquet as it is; and what a sidecar tells of one without a header."""
    place = Path(path)
    if not place.is_file():
        raise NetworkError(f"path: no file at '{path}'; add it, or correct the path")
    if path.endswith(".parquet"):
        with reading(path, _HOW):
            return pd.read_parquet(place), {}
    if path.endswith(STIM_ENDING):
        told = read_json(_sidecar(path))
        table = _cells(path, "\t")
        named = told.get("Columns")
        if not isinstance(named, list) or len(named) != table.shape[1]:
            raise NetworkError(
                f"path '{path}': {table.shape[1]} columns, but its sidecar '{_sidecar(path)}' names "
                f"{named}; name every column in Columns"
            )
    else:
        table, told = _cells(path, "," if path.endswith(".csv") else "\t"), {}
        named = [str(name).strip() for name in table.iloc[0]]
        table = table.iloc[1:].reset_index(drop=True)
    twice = [name for place, name in enumerate(named) if name in named[:place]]
    if twice:
        raise NetworkError(f"path '{path}': two columns are called '{twice[0]}'; rename or remove one")
    return table.set_axis([str(name) for name in named], axis=1), told


def _cells(path: str, separator: str) -> pd.DataFrame:
    """All cells of a text, its first line among them, nothing interpreted."""
    quoting: Literal[0, 3] = 0 if separator == "," else 3
    with reading(path, _HOW):
        return pd.read_csv(
            path,
            sep=separator,
            header=None,
            dtype=str,
            keep_default_na=False,
            quoting=quoting,
            encoding="utf-8-sig",
        )


_HOW = "a header and a row of numbers for every moment; of tsv.gz the header is `Columns` of its JSON sidecar"


def _sidecar(path: str) -> Path:
    return Path(path.removesuffix(STIM_ENDING) + ".json")


def _picked(path: str, patterns: tuple[str, ...], columns: list[str]) -> list[str]:
    """The columns that names or patterns ask for."""
    found: list[str] = []
    for pattern in patterns:
        fitting = [name for name in columns if fnmatchcase(name, pattern)]
        if not fitting:
            raise NetworkError(f"path '{path}': no column '{pattern}': {choices(pattern, columns)}")
        found += [name for name in fitting if name not in found]
    return found


def _numbers(path: str, table: pd.DataFrame, column: str, lacking: bool = False) -> np.ndarray:
    """A column as numbers; NaN where cells are `n/a`, which only `lacking` allows of times."""
    given = table[column].astype(str).str.strip()
    numbers = pd.to_numeric(given.where(~given.isin(["", "n/a"]), "nan"), errors="coerce").to_numpy(float)
    wrong = np.isnan(numbers) & ~given.isin(["", "n/a", "nan", "NaN", "None", "<NA>"]).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        hint = "give seconds" if lacking else "expected a number; or name the features in columns"
        raise NetworkError(
            f"path '{path}': row {row + 1} of column '{column}' is '{given.iloc[row]}'; {hint}"
        )
    return numbers


def _check(course: Course, settings: Features) -> None:
    """Refuse times that are not finite or do not ascend, and durations below zero."""
    onsets, said = course.onsets, f"path '{course.path}'"
    wrong = ~np.isfinite(onsets)
    if wrong.any():
        raise NetworkError(
            f"{said}: the time ('{settings.onset}') of row {int(wrong.argmax()) + 1} is not a finite number; "
            "give seconds"
        )
    back = np.diff(onsets) < 0
    if course.runs is not None:
        back &= course.runs[1:] == course.runs[:-1]
    if back.any():
        row = int(back.argmax())
        raise NetworkError(
            f"{said}: times do not ascend: row {row + 2} is at {onsets[row + 1]:g} s, the one before at "
            f"{onsets[row]:g} s; sort the rows by time"
        )
    wrong = ~(course.durations >= 0) | np.isinf(course.durations)
    if wrong.any():
        row = int(wrong.argmax())
        raise NetworkError(
            f"{said}: the duration of row {row + 1} is {course.durations[row]:g} s; give 0 s or more"
        )
