"""Words and their times from a Praat TextGrid, in its long or its short text format."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from neuroalign.errors import DataError, choices


def read_textgrid(path: str | Path, tier: str) -> pd.DataFrame:
    """Read one tier of a TextGrid.

    Parameters
    ----------
    path : path
    tier : str
        Name of an interval tier, or of a point tier, whose labels have no duration.

    Returns
    -------
    DataFrame
        Columns `onset` (s, TextGrid time), `duration` (s, NaN for points) and `word`, every label
        with text, silence marks included.

    Raises
    ------
    DataError
        The file is not a TextGrid, or it has no such tier.
    """
    path = Path(path)
    state = path.stat()
    return _parse(path, tier, state.st_mtime_ns, state.st_size).copy()


@lru_cache(maxsize=32)  # all subjects of a study often hear the same recording
def _parse(path: Path, tier: str, _modified: int, _size: int) -> pd.DataFrame:
    from praatio import textgrid
    from praatio.utilities.errors import PraatioException

    try:
        grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False, reportingMode="silence")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, PraatioException) as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(
            f"{path}: not a TextGrid that can be read ({reason}); save it as text from Praat"
        ) from None
    if tier not in grid.tierNames:
        raise DataError(f"{path}: no tier '{tier}'; set stimuli.tier: {choices(tier, grid.tierNames)}")
    entries = grid.getTier(tier).entries
    onsets = np.array([float(entry[0]) for entry in entries])
    ends = np.array([float(entry[1]) if len(entry) == 3 else np.nan for entry in entries])
    words = [str(entry[-1]) for entry in entries]
    return pd.DataFrame({"onset": onsets, "duration": ends - onsets, "word": words})
