"""Feature spaces side by side in one array: which columns are whose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neuroalign.errors import DataError

Bands = Mapping[str, Any] | Sequence[int]
"""Name → columns (slice, indices or mask), or the widths of adjacent bands."""


def check_bands(bands: Bands, n_features: int) -> dict[str, np.ndarray]:
    """The columns of every band by its name; bands given by their widths are named band0, band1 and so on.

    Raises
    ------
    DataError
        No bands, an empty one, or columns of X that are in none, in several, or not there.
    """
    if isinstance(bands, Mapping):
        columns = {str(name): _columns(str(name), chosen, n_features) for name, chosen in bands.items()}
    else:
        edges = np.cumsum([0, *bands])
        if edges[-1] != n_features or min(bands, default=0) < 1:
            raise DataError(
                f"bands have widths {list(bands)}; expected positive widths that sum to {n_features}, the "
                "features of X"
            )
        columns = {f"band{number}": np.arange(*edges[number : number + 2]) for number in range(len(bands))}
    used = np.bincount(np.concatenate([np.empty(0, int), *columns.values()]), minlength=n_features)
    for count, what in ((used == 0, "in no band"), (used > 1, "in several bands")):
        if count.any():
            first = int(np.flatnonzero(count)[0])
            raise DataError(
                f"{int(count.sum())} columns of X are {what} (the first is {first}); put each in one"
            )
    return columns


def _columns(name: str, chosen: Any, n_features: int) -> np.ndarray:
    try:
        index = chosen if isinstance(chosen, slice) or np.size(chosen) else slice(0)
        columns = np.arange(n_features)[index if isinstance(index, slice) else np.asarray(index)]
    except IndexError as error:
        raise DataError(f"band '{name}' does not fit the {n_features} features of X ({error})") from None
    if columns.ndim != 1 or not len(columns):
        raise DataError(f"band '{name}' has no columns; leave it out, or name its columns")
    return columns
