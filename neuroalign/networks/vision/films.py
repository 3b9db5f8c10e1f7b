"""Film for networks that see: the moments of a step at which its pictures are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuroalign.networks.base import Window


@dataclass(frozen=True, kw_only=True)
class FilmWindow(Window):
    """Some moments of a film.

    Attributes
    ----------
    uri : str
    times_s : tuple of float
        Ascending, from the beginning of the file.
    """

    uri: str
    times_s: tuple[float, ...]


def film_windows(
    items: pd.DataFrame, rows: Sequence[int] | None, frames: int, context_s: float = 0.0
) -> list[FilmWindow]:
    """Spread moments evenly over each of `rows` (all, when left out) of the items table.

    Parameters
    ----------
    items : DataFrame
        With `uri`, `digest`, `start_s` and `stop_s`.
    rows : sequence of int or None
    frames : int
        Moments of a window: the middles of as many equal parts.
    context_s : float
        Seconds up to the end of the step, where that is more than the step.
    """
    shown = items if rows is None else items.iloc[list(rows)]
    columns = (shown[name] for name in ("digest", "uri", "start_s", "stop_s"))
    return [
        FilmWindow(
            digest=int(digest, 16), uri=uri, times_s=moments(min(start, stop - context_s), stop, frames)
        )
        for digest, uri, start, stop in zip(*columns, strict=True)
    ]


def moments(start: float, stop: float, count: int) -> tuple[float, ...]:
    """Middles of `count` equal parts of a span that begins at 0 s at the earliest.

    >>> moments(1.0, 2.0, 4)
    (1.125, 1.375, 1.625, 1.875)
    """
    start = max(start, 0.0)
    return tuple(float(time) for time in start + (np.arange(count) + 0.5) * (stop - start) / count)


def in_order(windows: Sequence[Window]) -> list[int]:
    """Places of windows in the order in which films are read fastest; that of other windows is kept."""
    return sorted(
        range(len(windows)),
        key=lambda place: (
            (window.uri, window.times_s) if isinstance(window := windows[place], FilmWindow) else ("", ())
        ),
    )
