"""What all drawings share: style, colours and how pictures become addresses.

matplotlib is imported here and where figures are drawn, `plots` and `distributions` beside this module,
`stacks` and `densities` of comparisons, `curves` and `fields` of attention, `courses`, `time_plots` and
`topographies` of sensors, and nowhere else.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, Normalize
from matplotlib.figure import Figure

from neuroalign.report.drawing.palette import CATEGORIES, STYLE, Scale


def colour_map(name: str) -> Any:
    """A colour map; "r" is a sequential one that stays clear of the grey of the cortex."""
    if name != "r":
        return matplotlib.colormaps[name]
    shades = matplotlib.colormaps["inferno"](np.linspace(0.12, 0.96, 256))
    return LinearSegmentedColormap.from_list("r", shades)


def colours_of(scale: Scale) -> Any:
    """The colour map of a scale, or as many colours apart as it has names."""
    if not scale.names:
        return colour_map(scale.colours)
    count = len(scale.names)
    if count > len(CATEGORIES):
        return matplotlib.colormaps["turbo"].resampled(count)
    return ListedColormap(CATEGORIES[:count])


def paint(values: np.ndarray, scale: Scale) -> np.ndarray:
    """Colours (…, 3) in [0, 1] of values; NaN stays NaN."""
    values = np.asarray(values, float)
    finite = np.isfinite(values)
    norm = Normalize(scale.low, scale.high, clip=True)
    out = np.asarray(colours_of(scale)(norm(np.where(finite, values, scale.low))))[..., :3]
    return np.where(finite[..., None], out, np.nan)


def styled() -> AbstractContextManager[None]:
    """Within, figures are drawn in the style of the report."""
    return matplotlib.rc_context(STYLE)


def panels_of(figure: Figure, count: int) -> list[Any]:
    """Panels in rows of three at most, on common axes; the figure gets the size that they need."""
    columns = min(3, count)
    rows = -(-count // columns)
    figure.set_size_inches(3.1 * columns + 0.6, 2.35 * rows + 0.6)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axis in axes[count:]:
        axis.set_visible(False)
    return list(axes[:count])


def legend(figure: Figure, axes: Sequence[Any], columns: int) -> None:
    """One legend above all panels, with every label that any of them has."""
    pairs = [zip(*axis.get_legend_handles_labels(), strict=True) for axis in axes]
    entries = {label: handle for found in pairs for handle, label in found}
    figure.legend(
        entries.values(),
        entries.keys(),
        loc="outside upper center",
        ncols=min(len(entries), columns),
        fontsize=8,
    )


def encoded(figure: Figure, kind: str = "svg", dpi: int = 130) -> str:
    """The picture as a `data:` address."""
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with warnings.catch_warnings():
        # A region named in a script that the font lacks is drawn as boxes; the tables hold its name.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format=kind, dpi=dpi, bbox_inches="tight", pad_inches=0.05, metadata=metadata)
    mime = "image/svg+xml" if kind == "svg" else "image/png"
    return f"data:{mime};base64,{base64.b64encode(buffer.getvalue()).decode()}"
