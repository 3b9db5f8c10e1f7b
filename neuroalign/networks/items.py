"""Items that a network can be shown: of its modalities, and there to be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from neuroalign.errors import DataError


def check_shown(
    items: pd.DataFrame, looks: Mapping[str, Callable[[str], object]], way: str, thing: str
) -> None:
    """Raise a DataError if there is no item, one of another modality, or one that cannot be read.

    Parameters
    ----------
    items : DataFrame
    looks : mapping of modality to function of an address
        Complains of a file, judged by its header.
    way : str
        How the network takes items, for the message: "shown to an image network".
    thing : str
        What it needs at least one of.

    Raises
    ------
    DataError
    """
    if items.empty:
        raise DataError(f"items: the table is empty; a network needs at least one {thing}")
    other = sorted(set(items["modality"]) - set(looks))
    if other:
        expected = " or ".join(f"'{modality}'" for modality in looks)
        raise DataError(f"items: modality '{other[0]}' cannot be {way}; expected {expected}")
    for uri, modality in items[["uri", "modality"]].drop_duplicates().to_numpy():
        looks[modality](uri)
