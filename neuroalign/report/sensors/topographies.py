"""The drawings of heads: values of channels where they are, seen from above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from neuroalign.maps.sensors import MEG
from neuroalign.report.drawing.palette import INK, Scale
from neuroalign.report.drawing.style import colours_of, encoded, paint, styled

FEWEST = 8
"""Channels from which on values between them are interpolated; fewer are dots."""

HEAD_M = 0.095
"""Radius of the head that is drawn, as MNE draws it."""

SAME_PLACE_M = 1e-4


@dataclass(frozen=True)
class Heads:
    """A row of heads.

    Attributes
    ----------
    label : str
        What stands before the row.
    kind : str
        Type of the channels.
    places : array (n_channels, 3)
        Metres, head coordinates, all known.
    values : array (n_channels, n_heads)
    significant : bool array (n_channels, n_heads)
    titles : list of str
        Above each head.
    scale : Scale
    dots : bool
        Draw nothing between channels, and significant ones alone in colour.
    outlined : bool
        Draw a line around significant channels: they were tested together with their neighbours.
    """

    label: str
    kind: str
    places: np.ndarray
    values: np.ndarray
    significant: np.ndarray
    titles: list[str]
    scale: Scale
    dots: bool = False
    outlined: bool = False


def draw_heads(rows: Sequence[Heads]) -> str:
    """Rows of heads, a colour bar at each row's end."""
    count = max(len(row.titles) for row in rows)
    with styled():
        figure = Figure(figsize=(1.45 * count + 1.9, 1.75 * len(rows) + 0.2), layout="constrained")
        grid = figure.add_gridspec(len(rows), count + 1, width_ratios=[*([1] * count), 0.06])
        for index, row in enumerate(rows):
            for column, title in enumerate(row.titles):
                axis = figure.add_subplot(grid[index, column])
                _head(axis, _joined(row, column), row)
                axis.set_title(title, loc="center", fontsize=8.5)
                if column == 0:
                    axis.text(
                        -0.12, 0.5, row.label, transform=axis.transAxes, rotation=90, ha="right",
                        va="center", fontsize=8.5,
                    )  # fmt: skip
            mappable = matplotlib.cm.ScalarMappable(
                Normalize(row.scale.low, row.scale.high), colours_of(row.scale)
            )
            bar = figure.colorbar(mappable, cax=figure.add_subplot(grid[index, count]))
            bar.outline.set_visible(False)
            bar.set_label(row.scale.label, fontsize=7.5)
            bar.ax.tick_params(labelsize=7)
        return encoded(figure, "png")


def projected(places: np.ndarray) -> np.ndarray:
    """Places (n_channels, 3) seen from above (n_channels, 2): distance from the vertex is the angle from it.

    The azimuthal equidistant projection about the origin of head coordinates, as MNE draws topographies, of
    a head of one size: a channel as high as the ears lies on its outline.
    """
    x, y, z = places.T
    angle = np.arctan2(np.hypot(x, y), z)
    turn = np.arctan2(y, x)
    radius = HEAD_M * angle / (np.pi / 2)
    return np.column_stack([radius * np.cos(turn), radius * np.sin(turn)])


def _joined(row: Heads, column: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places, values and significance of one head; channels at one place become their mean."""
    known = np.isfinite(row.values[:, column])
    steps = np.round(row.places[known] / SAME_PLACE_M)
    unique, which = np.unique(steps, axis=0, return_inverse=True)
    which = which.ravel()
    count = np.bincount(which, minlength=len(unique))
    values = np.bincount(which, row.values[known, column], len(unique)) / np.maximum(count, 1)
    significant = np.bincount(which, row.significant[known, column], len(unique)) > 0
    return unique * SAME_PLACE_M, values, significant


def _head(axis: Any, channels: tuple[np.ndarray, np.ndarray, np.ndarray], row: Heads) -> None:
    places, values, significant = channels
    at = projected(places)
    if row.dots or len(values) < FEWEST:
        _dots(axis, at, values, significant, row)
        return
    from mne.viz import plot_topomap

    plot_topomap(
        values,
        at,
        ch_type="mag" if row.kind in MEG else "eeg",
        axes=axis,
        show=False,
        sphere=(0.0, 0.0, 0.0, HEAD_M),
        cmap=colours_of(row.scale),
        vlim=(row.scale.low, row.scale.high),
        contours=0,
        sensors="k,",
        mask=significant,
        mask_params={
            "marker": "o", "markersize": 2.6, "markerfacecolor": "white", "markeredgecolor": INK,
            "markeredgewidth": 0.5, "linewidth": 0,
        },
    )  # fmt: skip
    if row.outlined:
        _outline(axis, at, significant)


def _outline(axis: Any, at: np.ndarray, inside: np.ndarray) -> None:
    """A line half way between the channels inside and their neighbours outside."""
    if inside.all() or not inside.any():
        return
    for colour, width in (("white", 2.2), (INK, 1.1)):
        axis.tricontour(*at.T, inside.astype(float), levels=[0.5], colors=colour, linewidths=width)


def _dots(axis: Any, at: np.ndarray, values: np.ndarray, significant: np.ndarray, row: Heads) -> None:
    """Channels as dots on the outline of a head; of those that are not significant an open circle."""
    turn = np.linspace(0, 2 * np.pi, 100)
    axis.plot(HEAD_M * np.sin(turn), HEAD_M * np.cos(turn), color=INK, lw=0.8)
    nose = np.array([[-0.012, 0.0942], [0.0, 0.107], [0.012, 0.0942]])
    axis.plot(*nose.T, color=INK, lw=0.8)
    size = 60 if len(values) < FEWEST else 13
    shown = significant | (not row.dots)
    axis.scatter(*at[~shown].T, s=size / 2, facecolors="none", edgecolors="#a9b1bb", linewidths=0.6)
    widths = np.where(significant[shown], 1.1 if len(values) < FEWEST else 0.3, 0.3)
    colours = paint(values[shown], row.scale)
    axis.scatter(*at[shown].T, s=size, c=colours, edgecolors=INK, linewidths=widths)
    reach = max(HEAD_M * 1.16, 1.06 * np.abs(at).max(initial=0.0))
    axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axis.set_axis_off()
