"""The drawings of when: latencies of layers by their depth, one time against another, items told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from neuroalign.report.drawing.palette import INK, MODEL, NUISANCE, SOFT
from neuroalign.report.drawing.style import encoded, legend, panels_of, styled


@dataclass(frozen=True)
class Latencies:
    """What one panel of latencies by depth shows.

    Attributes
    ----------
    title : str
    depth : array (n_layers,)
    peak, onset : arrays (3, n_layers)
        Seconds: estimate, low, high; NaN where a layer is nowhere above noise, or has no interval.
    """

    title: str
    depth: np.ndarray
    peak: np.ndarray
    onset: np.ndarray


@dataclass(frozen=True)
class Course:
    """What one panel of a course over time shows.

    Attributes
    ----------
    title : str
    seconds, values : arrays (n_latencies,)
    band : array (2, n_latencies)
        Chance, low and high; NaN where it is not known.
    significant : bool array (n_latencies,)
    """

    title: str
    seconds: np.ndarray
    values: np.ndarray
    band: np.ndarray
    significant: np.ndarray


def latencies_by_depth(panels: Sequence[Latencies]) -> str:
    """Peaks and onsets (ms) of layers over their depth, with intervals."""
    with styled():
        figure = Figure(layout="constrained")
        axes = panels_of(figure, len(panels))
        for axis, panel in zip(axes, panels, strict=True):
            for (centre, low, high), label, colour, marker, shift in (
                (panel.peak, "peak", MODEL, "o", 0.012),
                (panel.onset, "onset", NUISANCE, "s", -0.012),
            ):
                spread = 1000 * np.array([centre - low, high - centre])
                error = np.clip(spread, 0, None) if np.isfinite(spread).any() else None
                axis.errorbar(
                    panel.depth + shift, 1000 * centre, error, color=colour, marker=marker, ms=4.5, lw=1,
                    elinewidth=1.2, capsize=2, ls=":", label=label,
                )  # fmt: skip
            axis.set_title(panel.title)
            axis.set_xlim(-0.08, 1.08)
        figure.supxlabel("relative depth of the layer (0 embedding, 1 last)", fontsize=9)
        figure.supylabel("ms from onset of the stimulus", fontsize=9)
        legend(figure, axes, 2)
        return encoded(figure)


def time_squares(panels: Sequence[tuple[str, np.ndarray]], seconds: np.ndarray) -> str:
    """Scores (latency of the prediction, latency of the response) as squares, with their diagonal."""
    finite = np.abs(np.concatenate([values[np.isfinite(values)] for _, values in panels]))
    end = max(float(np.percentile(finite, 99.5)), 1e-3) if finite.size else 1.0
    half = 500 * float(np.diff(seconds).min()) if len(seconds) > 1 else 5.0
    low, high = 1000 * float(seconds[0]) - half, 1000 * float(seconds[-1]) + half
    with styled():
        figure = Figure(layout="constrained")
        axes = panels_of(figure, len(panels))
        columns = min(3, len(panels))
        figure.set_size_inches(3.3 * columns + 1.1, 3.1 * -(-len(panels) // columns) + 0.5)
        for axis, (title, values) in zip(axes, panels, strict=True):
            shown = axis.imshow(
                values, origin="lower", extent=(low, high, low, high), interpolation="nearest",
                cmap=matplotlib.colormaps["RdBu_r"], vmin=-end, vmax=end, aspect="equal",
            )  # fmt: skip
            axis.plot([low, high], [low, high], color=INK, lw=0.8, ls=":")
            axis.axvline(0, color=INK, lw=0.8, ls="--")
            axis.axhline(0, color=INK, lw=0.8, ls="--")
            axis.set_title(title)
            axis.grid(visible=False)
        figure.supxlabel("response at (ms from onset)", fontsize=9)
        figure.supylabel("predicted for (ms from onset)", fontsize=9)
        bar = figure.colorbar(shown, ax=axes, label="mean r over channels (held-out)", shrink=0.85)
        bar.outline.set_visible(False)
        return encoded(figure)


def identification_courses(panels: Sequence[Course]) -> str:
    """Shares of pairs of stimuli told apart over time, with the band of chance and what is significant."""
    with styled():
        figure = Figure(layout="constrained")
        axes = panels_of(figure, len(panels))
        for axis, panel in zip(axes, panels, strict=True):
            _course(axis, panel)
        figure.supxlabel("ms from onset", fontsize=9)
        figure.supylabel("% of pairs told apart", fontsize=9)
        legend(figure, axes, 3)
        return encoded(figure)


def _course(axis: Any, panel: Course) -> None:
    ms, percent = 1000 * panel.seconds, 100 * panel.values
    if np.isfinite(panel.band).any():
        axis.fill_between(ms, *(100 * panel.band), color=SOFT, alpha=0.25, lw=0, label="95 % of chance")
    axis.axhline(50, color=SOFT, lw=0.8)
    axis.axvline(0, color=INK, lw=1, ls="--")
    axis.plot(ms, percent, color=MODEL, lw=1.6, label="identification")
    strong = np.where(panel.significant, percent, np.nan)
    if panel.significant.any():
        label = "significant over all latencies"
        axis.plot(ms, strong, color=NUISANCE, lw=0, marker="o", ms=3, label=label)
    axis.set_title(panel.title)
