"""Artefacts of earlier stages, opened by those who know whose they should be.

A file that was moved, swapped with that of another subject or left by another study is whole and opens well;
only what stands in it tells. Nothing is read further before subject, network and encoder are those asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign.artefacts import arrays, layout
from neuroalign.errors import DataError

FORMAT = 1
"""Changes when an artefact of this version could be misread by another one."""

HOLDS = {
    layout.RESPONSES: ("response", "valid", "run", "time_s"),
    layout.SCORES: ("chosen_r", "chosen_layer", "valid"),
    layout.PREDICTIONS: ("prediction", "fold", "nuisance"),
    layout.CEILING: ("ceiling", "above_chance"),
    layout.INFERENCE: ("p", "q", "p_max", "significant"),
    layout.SUMMARY: ("chosen_r", "best_layer", "ceiling"),
    layout.GROUP: ("chosen_r", "best_layer", "n_subjects"),
}
"""Pattern of an artefact → what it must hold to be one."""

COLUMNS = {
    layout.INDEX: ("path", "scope", "subject", "entities", "suffix", "extension", "recording"),
    layout.ITEMS: ("item", "passage", "position", "modality", "text"),
    layout.EVENTS: ("subject", "run", "onset", "duration", "item"),
}
"""Pattern of a table → the columns that it must have to be one."""

ANEW = "remove it and run again the stage that makes it"


def open_artefact(
    output: str | Path, pattern: str, targets: slice | None = None, **made_for: str
) -> xr.Dataset:
    """Open the artefact of a subject, a network and an encoder, whichever it has.

    Parameters
    ----------
    output : path
        Of the study.
    pattern : str
        One of `layout`.
    targets : slice, optional
        Of all targets, those to read.
    **made_for
        What fills the pattern; the file must say the same of itself.

    Raises
    ------
    DataError
        The file is missing, damaged, of another kind or version, or somebody else's.
    """
    path = Path(output, pattern.format(**made_for))
    return _checked(arrays.open_arrays(path, target=targets), path, pattern, made_for)


def browse_artefact(output: str | Path, pattern: str, **made_for: str) -> xr.Dataset:
    """Open an artefact as `open_artefact` does, whose arrays are read when asked for and never kept.

    Raises
    ------
    DataError
        The file is missing, damaged, of another kind or version, or somebody else's.
    """
    path = Path(output, pattern.format(**made_for))
    return _checked(arrays.open_arrays(path, lazily=True), path, pattern, made_for)


def _checked(found: xr.Dataset, path: Path, pattern: str, made_for: Mapping[str, str]) -> xr.Dataset:
    """The artefact, if it is what its name says and whose it should be."""
    lacking = [name for name in HOLDS.get(pattern, ()) if name not in found.variables]
    if lacking:
        raise DataError(f"{path}: holds no '{lacking[0]}', so it is not what its name says; {ANEW}")
    if pattern == layout.GROUP:
        made_for = {**made_for, "subject": "group"}
    check_owner(path, found.attrs, made_for)
    return found


def open_listed(output: str | Path, pattern: str) -> pd.DataFrame:
    """Open a table of a study: its index, items or events.

    Raises
    ------
    DataError
        The file is missing, damaged or another table.
    """
    path = Path(output, pattern)
    found = arrays.open_table(path)
    lacking = [name for name in COLUMNS[pattern] if name not in found]
    if lacking:
        raise DataError(f"{path}: has no column '{lacking[0]}', so it is not what its name says; {ANEW}")
    return found


def check_owner(path: Path, attributes: Mapping[Any, Any], made_for: Mapping[str, str]) -> None:
    """Refuse an artefact that says it is of another version, subject, network or encoder.

    Raises
    ------
    DataError
        It is.
    """
    version = attributes.get("artefact_format", FORMAT)
    if not np.array_equal(version, FORMAT):
        raise DataError(f"{path}: made by a version that writes format {version}, not {FORMAT}; {ANEW}")
    for what, name in made_for.items():
        if what in attributes and str(attributes[what]) != name:
            raise DataError(
                f"{path}: was made for {what} '{attributes[what]}', not for '{name}'; files were swapped or "
                f"renamed: {ANEW}"
            )


def must_fit(one: xr.Dataset, other: xr.Dataset, path: str | Path, along: tuple[str, ...]) -> None:
    """Refuse an artefact whose samples or targets are not those of another one of the same subject.

    Parameters
    ----------
    one : Dataset
    other : Dataset
        What is fitted to it.
    path : path
        Where the other lies.
    along : tuple of str
        Dimensions that both have.

    Raises
    ------
    DataError
        They differ in number or in names.
    """
    for dimension in along:
        n, m = one.sizes.get(dimension), other.sizes.get(dimension)
        named = ("run", "time_s") if dimension == "sample" else ("name", "hemi", "vertex", "i", "j", "k")
        same = n == m and all(
            np.array_equal(one[name].values, other[name].values)
            for name in named
            if name in one.coords and name in other.coords
        )
        if not same:
            raise DataError(
                f"{path}: its {m} {dimension}s are not the {n} that it should be about; it was made of other "
                f"responses: {ANEW}"
            )
