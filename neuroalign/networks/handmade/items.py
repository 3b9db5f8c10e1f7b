"""Which items handmade features are made for."""

from __future__ import annotations

import pandas as pd

from neuroalign.errors import DataError
from neuroalign.settings.features import FEATURES_OF, Handmade


def check_modality(settings: Handmade, items: pd.DataFrame) -> None:
    """Raise a DataError if there is no item, or one that these features are not made for."""
    if items.empty:
        raise DataError(f"items: the table is empty; features need at least one item of '{settings.of}'")
    # A film has a sound track.
    fitting = {"audio", "video"} if settings.of == "audio" else {settings.of}
    wrong = sorted(set(items["modality"]) - fitting)
    if wrong:
        raise DataError(
            f"items: modality '{wrong[0]}' has no {', '.join(settings.features)}, which are features of "
            f"'{settings.of}'; choose others, such as {', '.join(FEATURES_OF[wrong[0]])}"
        )
