"""Which module reads which kind of recording."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from neuroalign.config import Dataset, Responses
from neuroalign.recordings.files import Recording, Source


def open_source(
    index: pd.DataFrame, dataset: Dataset, settings: Responses, recordings: Sequence[Recording]
) -> Source:
    """Prepare the recordings of one subject to be read, whatever their kind; headers only.

    Raises
    ------
    DataError
        The recordings do not fit together; one line per problem.
    """
    if settings.kind == "parcels":
        from neuroalign.recordings.tabular import open_parcels

        return open_parcels(settings, recordings)
    if settings.kind == "surface":
        from neuroalign.recordings.surface import open_surfaces

        return open_surfaces(dataset, settings, recordings)
    from neuroalign.recordings.volume import open_volumes

    return open_volumes(index, dataset, settings, recordings)
