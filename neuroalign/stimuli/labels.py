"""Columns of events that label the stimuli, such as a category: from the rows of events to the items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from neuroalign.errors import DataError, choices

PREFIX = "label_"
"""Before the name of a column, wherever labels stand beside what is known of a stimulus."""

NO_LABEL = ("", "n/a")
"""Cells that say nothing."""


def label_columns(table: pd.DataFrame) -> list[str]:
    """Names of the columns that are labels."""
    return [name for name in table.columns if name.startswith(PREFIX)]


def picked(table: pd.DataFrame, wanted: Iterable[str], place: object) -> pd.DataFrame:
    """Columns of a table of events that are wanted as labels, under their new names.

    Raises
    ------
    DataError
        A column is not there.
    """
    for name in wanted:
        if name not in table:
            raise DataError(f"{place}: no column '{name}': {choices(name, table.columns)}")
    return pd.DataFrame({f"{PREFIX}{name}": table[name].str.strip() for name in wanted}, index=table.index)


def labelled(
    items: pd.DataFrame, events: pd.DataFrame, wanted: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Move labels from events to the items that they label.

    Parameters
    ----------
    items, events : DataFrame
        Events have the labels.
    wanted : sequence of str
        Columns to keep.

    Returns
    -------
    items, events : DataFrame
        Items have the labels, all others are dropped.

    Raises
    ------
    DataError
        An item has two labels, or all items have the same one.
    """
    for name in wanted:
        column = f"{PREFIX}{name}"
        if column not in events:
            raise DataError(f"the stimuli have no column '{name}' beside them; give a table of labels")
        found = events[["item", column]].drop_duplicates()
        twice = found["item"].duplicated()
        if twice.any():
            item = found["item"][twice].iloc[0]
            both = found.loc[found["item"] == item, column].tolist()
            shown = items.loc[item, "uri"] if "uri" in items else items.loc[item, "text"]
            raise DataError(
                f"column '{name}': '{shown}' is both '{both[0]}' and '{both[1]}'; "
                "a category is that of a stimulus, not of its presentation"
            )
        levels(found[column], f"column '{name}'")
        items = items.assign(
            **{column: found.set_index("item")[column].reindex(items["item"]).fillna("").to_numpy()}
        )
    return items, events.drop(columns=label_columns(events))


def levels(labels: pd.Series, place: str) -> list[str]:
    """The different labels in alphabetical order, without cells that say nothing.

    Raises
    ------
    DataError
        There are fewer than two.
    """
    found = np.unique(labels[~labels.isin(NO_LABEL)].to_numpy(str)).tolist()
    if len(found) < 2:
        said = f"only '{found[0]}'" if found else "nothing"
        raise DataError(f"{place} says {said}; a category needs at least two levels: name another column")
    return found
