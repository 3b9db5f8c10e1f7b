"""The drawings of scores over time: layers by latency, every channel as a line or a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from neuroalign.report.drawing.palette import CEILING, INK, MODEL, NUISANCE, SCORE, SOFT, Scale
from neuroalign.report.drawing.style import colour_map, colours_of, encoded, legend, styled

MAX_LABELS = 34
"""Layers or channels named beside an image; of more, evenly some."""

PALE = "#b8c7d9"
"""Channels where they are not significant."""


@dataclass(frozen=True)
class LayerImage:
    """What one image of layers over time shows.

    Attributes
    ----------
    title : str
    seconds : array (n_latencies,)
    layers : list of str
    r : array (n_layers, n_latencies)
        Means over channels.
    significant : array (n_latencies,)
        Share of channels, of the layer chosen; NaN where nothing was tested.
    outlined : bool array (n_layers, n_latencies), optional
        What is drawn around.
    """

    title: str
    seconds: np.ndarray
    layers: list[str]
    r: np.ndarray
    significant: np.ndarray
    outlined: np.ndarray | None = None


@dataclass(frozen=True)
class Lines:
    """What one panel of channels over time shows.

    Attributes
    ----------
    title : str
    seconds : array (n_times,)
    values : array (n_channels, n_times)
    significant : bool array (n_channels, n_times)
    floor : float
        The smallest value called significant; NaN to leave it out.
    ceiling : array (2, n_times)
        Low and high, means over channels; NaN where there is none.
    marks : tuple of float
        Seconds of the topographies.
    """

    title: str
    seconds: np.ndarray
    values: np.ndarray
    significant: np.ndarray
    floor: float = np.nan
    ceiling: np.ndarray = field(default_factory=lambda: np.full((2, 1), np.nan))
    marks: tuple[float, ...] = ()


def layer_images(panels: Sequence[LayerImage], top: float) -> str:
    """Mean r of every layer at every latency, and below it the share of channels that are significant."""
    tested = any(np.isfinite(panel.significant).any() for panel in panels)
    rows = max(len(panel.layers) for panel in panels)
    high = float(np.clip(0.2 * rows, 1.5, 5.5))
    with styled():
        figure = Figure(figsize=(5.6 * len(panels) + 1.2, high + 1.5), layout="constrained")
        heights = [high, 0.75] if tested else [high]
        axes = figure.subplots(len(heights), len(panels), squeeze=False, sharex="col", height_ratios=heights)
        scale = Scale("r", 0.0, top, f"mean {SCORE}")
        for column, panel in enumerate(panels):
            axis = axes[0, column]
            _image(axis, panel.r, panel.seconds, scale)
            _names(axis, panel.layers)
            if panel.outlined is not None:
                _outline(axis, panel.outlined, panel.seconds)
            best = np.where(np.isfinite(panel.r), panel.r, -np.inf).argmax(axis=1)
            known = np.isfinite(panel.r).any(axis=1)
            axis.scatter(
                1000 * panel.seconds[best[known]], np.flatnonzero(known), s=16, marker="D", color="white",
                edgecolors=INK, linewidths=0.8, zorder=4,
            )  # fmt: skip
            axis.set_title(panel.title)
            if tested:
                _share(axes[1, column], panel)
        axes[-1, 0].set_xlim(*_ends(panels[0].seconds))
        mappable = matplotlib.cm.ScalarMappable(Normalize(scale.low, scale.high), colours_of(scale))
        figure.colorbar(mappable, ax=axes[0].tolist(), label=scale.label).outline.set_visible(False)
        figure.supxlabel("ms from onset", fontsize=9)
        return encoded(figure)


def _share(axis: Any, panel: LayerImage) -> None:
    share = 100 * np.nan_to_num(panel.significant)
    axis.fill_between(1000 * panel.seconds, share, color=MODEL, alpha=0.85, lw=0, step="mid")
    axis.axvline(0, color=INK, lw=1, ls="--")
    axis.set_ylim(0, max(10.0, 1.1 * share.max()))
    axis.set_ylabel("% of channels\nsignificant", fontsize=7.5)


def butterflies(panels: Sequence[Lines], unit: str = SCORE, across: str = "ms from onset") -> str:
    """A line for each channel, strong where it is significant, with the ceiling and the mean."""
    with styled():
        figure = Figure(figsize=(6.6, 2.7 * len(panels) + 0.5), layout="constrained")
        axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
        for axis, panel in zip(axes, panels, strict=True):
            _lines(axis, panel)
            axis.set_title(panel.title)
            axis.set_xlim(*_ends(panel.seconds))
        figure.supxlabel(across, fontsize=9)
        figure.supylabel(unit, fontsize=9)
        legend(figure, list(axes), 3)
        return encoded(figure, "png")


def _lines(axis: Any, panel: Lines) -> None:
    ms, values = 1000 * panel.seconds, panel.values
    if np.isfinite(panel.ceiling).any():
        axis.fill_between(
            ms, *panel.ceiling, color=CEILING, alpha=0.35, lw=0, label="noise ceiling, mean over channels"
        )
    if np.isfinite(panel.floor):
        label = "|r| below the smallest that is significant"
        axis.axhspan(-panel.floor, panel.floor, color=SOFT, alpha=0.14, lw=0, label=label)
    strong = np.where(panel.significant, values, np.nan)
    tested = bool(panel.significant.any())
    axis.plot(ms, values.T, color=PALE if tested else MODEL, lw=0.6, alpha=0.7)
    if tested:
        axis.plot(ms, strong.T, color=MODEL, lw=0.9, alpha=0.8, marker=".", ms=1.5)
    axis.plot([], [], color=MODEL, lw=1.2, label="channel, where significant" if tested else "channel")
    if tested:
        axis.plot([], [], color=PALE, lw=1.2, label="channel, elsewhere")
    finite = np.isfinite(values)
    count = finite.sum(axis=0)
    centre = np.where(count, np.where(finite, values, 0).sum(axis=0) / np.maximum(count, 1), np.nan)
    axis.plot(ms, centre, color=NUISANCE, lw=1.8, label="mean over channels")
    axis.axhline(0, color=SOFT, lw=0.6)
    axis.axvline(0, color=INK, lw=1, ls="--")
    for at in panel.marks:
        axis.axvline(1000 * at, color=SOFT, lw=0.8, ls=":")


def channel_image(
    title: str,
    seconds: np.ndarray,
    names: Sequence[str],
    values: np.ndarray,
    scale: Scale,
    outlined: np.ndarray | None = None,
) -> str:
    """Values (n_channels, n_latencies) of channels that have no place, a row each; grey where NaN."""
    with styled():
        high = float(np.clip(0.16 * len(names), 1.4, 7.0))
        figure = Figure(figsize=(6.8, high + 0.9), layout="constrained")
        axis = figure.subplots()
        _image(axis, values, seconds, scale)
        _names(axis, names)
        if outlined is not None:
            _outline(axis, outlined, seconds)
        axis.invert_yaxis()
        axis.set_title(title)
        axis.set_xlabel("ms from onset")
        mappable = matplotlib.cm.ScalarMappable(Normalize(scale.low, scale.high), colours_of(scale))
        figure.colorbar(mappable, ax=axis, label=scale.label).outline.set_visible(False)
        return encoded(figure)


def channel_bars(names: Sequence[str], values: np.ndarray, significant: np.ndarray) -> str:
    """A bar for each channel, grey where it is not significant."""
    with styled():
        figure = Figure(figsize=(max(4.0, 0.22 * len(names) + 1.4), 2.6), layout="constrained")
        axis = figure.subplots()
        axis.bar(np.arange(len(names)), values, color=np.where(significant, MODEL, PALE))
        axis.axhline(0, color=SOFT, lw=0.6)
        axis.set_xticks(np.arange(len(names)), names, rotation=90, fontsize=7, color=INK)
        axis.set_ylabel(SCORE)
        axis.grid(axis="x", visible=False)
        return encoded(figure)


def _image(axis: Any, values: np.ndarray, seconds: np.ndarray, scale: Scale) -> None:
    """Rows over ms; NaN is grey."""
    low, high = _ends(seconds)
    colours = colour_map(scale.colours).with_extremes(bad="#d9d9d9")
    axis.imshow(
        np.ma.masked_invalid(values), origin="lower", aspect="auto", interpolation="nearest", cmap=colours,
        vmin=scale.low, vmax=scale.high, extent=(low, high, -0.5, len(values) - 0.5),
    )  # fmt: skip
    axis.axvline(0, color="white", lw=2)
    axis.axvline(0, color=INK, lw=1, ls="--")
    axis.grid(visible=False)


def _outline(axis: Any, mask: np.ndarray, seconds: np.ndarray) -> None:
    """Lines around the cells of a mask (n_rows, n_latencies), along their edges."""
    low, high = _ends(seconds)
    across = np.linspace(low, high, mask.shape[1] + 1)
    padded = np.pad(mask.astype(bool), 1)
    beside = np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])  # row, edge between columns
    above = np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])  # edge between rows, column
    lines = [[(across[edge], row - 0.5), (across[edge], row + 0.5)] for row, edge in beside]
    lines += [[(across[at], edge - 0.5), (across[at + 1], edge - 0.5)] for edge, at in above]
    for colour, width in ((INK, 2.0), ("white", 0.9)):
        axis.add_collection(LineCollection(lines, colors=colour, linewidths=width, capstyle="projecting"))


def _names(axis: Any, names: Sequence[str]) -> None:
    every = -(-len(names) // MAX_LABELS)
    at = np.arange(0, len(names), every)
    axis.set_yticks(at, np.asarray(names)[at].tolist(), color=INK, fontsize=7 if len(names) > 12 else 8)


def _ends(seconds: np.ndarray) -> tuple[float, float]:
    """Edges of the first and the last sample in ms."""
    half = 500 * float(np.diff(seconds).min()) if len(seconds) > 1 else 5.0
    return 1000 * float(seconds[0]) - half, 1000 * float(seconds[-1]) + half
