"""The drawings of how scores are spread over targets that are too many to be drawn one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from neuroalign.report.drawing.palette import MODEL, SCORE, SOFT
from neuroalign.report.drawing.style import encoded, legend, styled

BINS = 80


@dataclass(frozen=True)
class Spread:
    """Values of one model, control or ceiling over targets (target,), and how its line looks."""

    label: str
    values: np.ndarray
    colour: str
    line: str = "-"


def histograms(spreads: Sequence[Spread]) -> str:
    """Shares of targets by their values, a line for each model, control and ceiling; all have some."""
    with styled():
        figure = Figure(figsize=(6.4, 3.0), layout="constrained")
        axis = figure.subplots()
        finite = [each.values[np.isfinite(each.values)] for each in spreads]
        edges = np.linspace(min(v.min() for v in finite), max(v.max() for v in finite) + 1e-6, BINS + 1)
        for each, values in zip(spreads, finite, strict=True):
            share = 100 * np.histogram(values, edges)[0] / len(values)
            axis.stairs(share, edges, color=each.colour, ls=each.line, lw=1.5, label=each.label)
        axis.axvline(0, color=SOFT, lw=0.6)
        axis.set(xlabel=SCORE, ylabel="% of targets")
        legend(figure, [axis], 4)
        return encoded(figure)


def quantiles(depth: np.ndarray, spread: np.ndarray) -> str:
    """Quantiles of targets (5, layer) by the depth of layers (layer,): 5, 25, 50, 75 and 95 %."""
    with styled():
        figure = Figure(figsize=(6.4, 3.0), layout="constrained")
        axis = figure.subplots()
        axis.fill_between(depth, spread[0], spread[4], color=MODEL, alpha=0.15, lw=0, label="5–95 %")
        axis.fill_between(depth, spread[1], spread[3], color=MODEL, alpha=0.35, lw=0, label="25–75 %")
        axis.plot(depth, spread[2], color=MODEL, lw=2, marker="o", ms=4, label="median")
        axis.axhline(0, color=SOFT, lw=0.6)
        axis.set(xlim=(-0.05, 1.05), ylabel=SCORE)
        axis.set_xlabel("relative depth of the layer (0 embedding, 1 last)")
        legend(figure, [axis], 3)
        return encoded(figure)
