"""The drawing of receptive fields: where in an image targets look, a panel per region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from neuroalign.report.drawing.style import encoded, panels_of, styled

MOST_DOTS = 400
"""Centres drawn in a panel; of more, so many evenly among them."""


@dataclass(frozen=True)
class Field:
    """What one panel shows.

    Attributes
    ----------
    region : str
    places : array (n_places, 2)
        x and y in shares of the image, y downwards.
    attention : array (n_places,)
        Mean over targets; sums to one.
    centres : array (n_targets, 2)
    """

    region: str
    places: np.ndarray
    attention: np.ndarray
    centres: np.ndarray


def field_images(panels: Sequence[Field]) -> str:
    """Mean attention over an image, relative to looking everywhere alike, and centres of targets."""
    relative = [panel.attention * len(panel.places) for panel in panels]
    known = np.concatenate(relative)
    top = max(2.0, float(known[np.isfinite(known)].max(initial=0.0)))
    with styled():
        figure = Figure(layout="constrained")
        axes = panels_of(figure, len(panels))
        for axis, panel, values in zip(axes, panels, relative, strict=True):
            rows = len(np.unique(panel.places[:, 1]))
            image = axis.imshow(
                values.reshape(rows, -1), cmap="Greys", vmin=0, vmax=top, extent=(0, 1, 1, 0), aspect="equal"
            )
            some = np.linspace(0, len(panel.centres) - 1, min(len(panel.centres), MOST_DOTS)).astype(int)
            axis.scatter(*panel.centres[some].T, s=4, color="#b2432f", alpha=0.5, linewidths=0)
            axis.set_title(panel.region)
            axis.set_xlim(0, 1)
            axis.set_ylim(1, 0)
            axis.grid(visible=False)
        figure.colorbar(image, ax=axes, label="attention / looking everywhere alike", shrink=0.6)
        figure.supxlabel("share of the image's width", fontsize=9)
        figure.supylabel("share of its height", fontsize=9)
        return encoded(figure)
