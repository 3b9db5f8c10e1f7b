"""Tables as the page prints them: headings in words, numbers with their units, no empty columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from neuroalign.report.numbers.spoken import number, percent
from neuroalign.report.regions import ALL

HEADINGS = {
    "n_valid": "targets",
    "n_excluded": "excluded",
    "n_subjects": "subjects",
    "r": "r",
    "r_sd": "sd",
    "r2": "R²",
    "r_unique": "r beyond nuisance",
    "nuisance_r": "nuisance r",
    "gain_nuisance": "Δr over nuisance",
    "twin_r": "untrained r",
    "gain_twin": "Δr over untrained",
    "share_significant": "significant",
    "share_significant_subjects": "significant, subjects",
    "share_significant_group": "significant, group",
    "group_method": "group test",
    "layer": "layer chosen most",
    "depth_centroid": "depth centroid",
    "normalised_r": "r / ceiling",
    "alpha_edge_low": "alpha at low edge",
    "alpha_edge_high": "alpha at high edge",
    "r_centroid": "r, centroid",
    "r_best_depth": "r, best layer",
    "noise_targets": "noise targets",
    "noise_significant": "noise: significant",
    "noise_below_level": "noise: p < level",
    "nuisance_targets": "nuisance-driven targets",
    "nuisance_significant": "nuisance-driven: significant",
    "nuisance_below_level": "nuisance-driven: p < level",
    "r_importance_depth": "r, depth that counts",
    "r_field_x": "r, field x",
    "r_field_y": "r, field y",
    "r_field_size": "r, field size",
    "rho_latency": "ρ, latency of layers",
    "latency_error_s": "latency off by (s)",
    "distance_cm": "channel off by (cm)",
    "r_topography": "r, topography",
    "layer_name": "layer",
    "planted_s": "planted (s)",
    "recovered_s": "recovered (s)",
    "r_ceiling": "r, ceiling",
    "ceiling_bias": "ceiling bias",
    "unique_network": "R² unique to network",
    "shared": "R² shared",
    "unique_nuisance": "R² unique to nuisance",
    "product_network": "network by product measure",
    "network_weight": "network's weight",
    "ceiling_r2": "ceiling R²",
    "difference": "Δr",
    "share_preferred": "prefer it",
    "unique": "R² unique to prompt",
    "nuisance_r2": "nuisance R²",
    "share_of_subjects": "significant, subjects",
    "significant_in_group": "significant, group",
}
"""Column names of the tables in words, where they differ."""

SHARES = (
    "share_",
    "alpha_edge",
    "noise_significant",
    "noise_below",
    "nuisance_significant",
    "nuisance_below",
    "level",
)
"""Beginnings of the columns printed as percentages."""

SUBJECT_COLUMNS = (
    *("subject", "network", "encoder", "n_valid", "n_excluded", "r", "r_unique", "nuisance_r", "twin_r"),
    *("unique_network", "share_significant", "layer", "depth_centroid", "ceiling", "normalised_r"),
)
GROUP_COLUMNS = (
    *("network", "encoder", "n_subjects", "r", "gain_nuisance", "gain_twin", "unique_network"),
    *("ceiling", "normalised_r", "share_significant_subjects", "share_significant_group", "group_method"),
)


MOST_ROWS = 60
"""Rows of a table of regions or targets that the page prints; of more, those with the highest scores."""


@dataclass(frozen=True)
class Table:
    """A table ready to print: headings, rows of text, and which columns hold numbers."""

    title: str
    headings: list[str]
    rows: list[list[str]]
    numeric: list[bool]
    note: str = ""


def printed(frame: pd.DataFrame, title: str, columns: Sequence[str] | None = None, note: str = "") -> Table:
    """A table as text; columns with nothing in them are left out."""
    kept = [name for name in columns or frame.columns if not _empty(frame[name])]
    numeric = [pd.api.types.is_numeric_dtype(frame[name]) for name in kept]
    rows = [
        [_cell(name, value) for name, value in zip(kept, row, strict=True)]
        for row in frame[kept].itertuples(index=False)
    ]
    return Table(title, [HEADINGS.get(name, name.replace("_", " ")) for name in kept], rows, numeric, note)


def foremost(frame: pd.DataFrame, by: str, file: str, note: str = "") -> tuple[pd.DataFrame, str]:
    """The rows that the page prints of a long table, in their order, and the note that says which.

    Parameters
    ----------
    frame : DataFrame
    by : str
        Column of the scores by which rows are picked; rows over all targets always stay.
    file : str
        Where all rows are, in the folder of tables.
    note : str
        What is said of the table anyway.
    """
    if len(frame) <= MOST_ROWS:
        return frame, note
    whole = frame["region"].eq(ALL) if "region" in frame else pd.Series(False, frame.index)
    best = frame.loc[~whole, by].nlargest(MOST_ROWS - int(whole.sum())).index
    kept = frame.loc[whole | frame.index.isin(best)]
    said = f"The {len(kept)} of {len(frame):,} rows with the highest {HEADINGS.get(by, by)}"
    return kept, f"{note} {said}, picked after the fact; all are in tables/{file}.".strip()


PARTITION_COLUMNS = (
    *("whose", "region", "targets", "r2", "unique_network", "shared", "unique_nuisance", "ceiling_r2"),
    *("product_network", "network_weight"),
)
GROUP_INTERVALS = ("r", "gain_nuisance", "gain_twin", "unique_network")


def with_intervals(table: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """The table with the interval of each of these measures written behind its mean."""

    def written(row: pd.Series[Any], measure: str) -> str:
        low, high = row[f"{measure}_ci_low"], row[f"{measure}_ci_high"]
        interval = f" [{number(low)}, {number(high)}]" if np.isfinite(low) else ""
        return f"{number(row[measure])}{interval}" if np.isfinite(row[measure]) else ""

    return table.assign(**{m: [written(row, m) for _, row in table.iterrows()] for m in measures})


def _empty(column: pd.Series[Any]) -> bool:
    return bool(column.isna().all() or (column.astype(str) == "").all())


def _cell(name: str, value: Any) -> str:
    if isinstance(value, float | np.floating):
        return percent(float(value)) if name.startswith(SHARES) else number(float(value))
    return str(value)
