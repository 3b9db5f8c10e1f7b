"""The drawings of what cross-attention learned, and of layers in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from neuroalign.report.drawing.palette import INK, MODEL, NUISANCE
from neuroalign.report.drawing.style import encoded, legend, panels_of, styled


@dataclass(frozen=True)
class Curve:
    """What one panel shows.

    Attributes
    ----------
    region : str
    across : array (n,)
        Depths of layers, or lags in seconds.
    subjects : array (n_subjects, n)
    mean, low, high : arrays (n,)
        Over subjects, with the 95 % interval; NaN with one subject.
    mark : float
        A place to be marked; NaN for none.
    """

    region: str
    across: np.ndarray
    subjects: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mark: float = np.nan


def importance_bars(panels: Sequence[Curve], marked: str) -> str:
    """Loss of r without each layer, a panel per region; `marked` names what the vertical line is."""
    with styled():
        figure = Figure(layout="constrained")
        axes = panels_of(figure, len(panels))
        for axis, panel in zip(axes, panels, strict=True):
            width = 0.7 * np.diff(panel.across).min(initial=0.3)
            axis.bar(panel.across, panel.mean, width, color=MODEL, alpha=0.85, label="loss of r without it")
            if np.isfinite(panel.low).all():
                error = np.array([panel.mean - panel.low, panel.high - panel.mean])
                label = "95 % interval over subjects"
                axis.errorbar(
                    panel.across, panel.mean, error, fmt="none", ecolor=INK, lw=1, capsize=2, label=label
                )
            _mark(axis, panel, marked)
            axis.axhline(0, color=INK, lw=0.7)
            axis.set_title(panel.region)
            axis.set_xlim(-0.13, 1.13)
            axis.grid(axis="x", visible=False)
        figure.supxlabel("relative depth of the layer (0 embedding, 1 last)", fontsize=9)
        figure.supylabel("loss of held-out r", fontsize=9)
        legend(figure, axes, 3)
        return encoded(figure)


def delay_curves(panels: Sequence[Curve]) -> str:
    """Where in the seconds before a sample targets look, a panel per region."""
    highest = np.concatenate([panel.subjects.ravel() for panel in panels])
    top = 1.05 * highest[np.isfinite(highest)].max(initial=0.0) or 1.0
    with styled():
        figure = Figure(layout="constrained")
        axes = panels_of(figure, len(panels))
        for axis, panel in zip(axes, panels, strict=True):
            several = len(panel.subjects) > 1
            if several:
                axis.plot(panel.across, panel.subjects.T, color=MODEL, lw=0.7, alpha=0.3)
            label = "mean over subjects" if several else "one subject"
            axis.plot(panel.across, panel.mean, color=MODEL, lw=2.2, label=label)
            _mark(axis, panel, "highest")
            even = 1 / np.ptp(panel.across)
            axis.axhline(even, color=INK, ls="--", lw=0.8, label="looking anywhere alike")
            axis.set_title(panel.region)
            axis.set_ylim(0, top)
        figure.supxlabel("seconds before the sample", fontsize=9)
        figure.supylabel("attention per second", fontsize=9)
        legend(figure, axes, 3)
        return encoded(figure)


def _mark(axis: Any, panel: Curve, label: str) -> None:
    if np.isfinite(panel.mark):
        axis.axvline(panel.mark, color=NUISANCE, ls=":", lw=1.6, label=label)


def latency_scatters(panels: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]]) -> str:
    """Planted against recovered latencies of layers (s), coloured by their depth, a panel each."""
    with styled():
        figure = Figure(figsize=(2.7 * len(panels) + 0.5, 2.9), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(panels), sharex=True, sharey=True))
        ends = [0, max(max(planted.max(), found.max()) for _, planted, found, _ in panels)]
        for axis, (title, planted, found, depth) in zip(axes, panels, strict=True):
            axis.plot(ends, ends, color=NUISANCE, lw=1, ls="--")
            axis.scatter(planted, found, c=depth, cmap="viridis", vmin=0, vmax=1, s=32, lw=0, zorder=2)
            axis.set_title(title)
        figure.supxlabel("planted latency (s)", fontsize=9)
        figure.supylabel("recovered latency (s)", fontsize=9)
        return encoded(figure)
