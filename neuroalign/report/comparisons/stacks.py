"""The drawing of a variance partition: stacks by depth, one panel per region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from neuroalign.report.drawing.palette import CEILING, INK, MODEL, NUISANCE, SHARED, SOFT, VARIANCE, Stack
from neuroalign.report.drawing.style import encoded, legend, panels_of, styled

CEILING_IN_VIEW = 2.5
"""A ceiling that lies higher than this many times the highest stack is written, not drawn."""


def partition_stacks(stacks: Sequence[Stack], network: str) -> str:
    """Unique, shared and nuisance parts of R² of every layer, with their sum and the ceiling.

    Parts above zero are stacked upwards and parts below zero downwards, as they are.
    """
    with styled():
        figure = Figure(layout="constrained")
        axes = panels_of(figure, len(stacks))
        ends = np.array([_ends(stack) for stack in stacks])
        bottom, top = ends[:, 0].min(), ends[:, 1].max()
        seen = [s.ceiling_high for s in stacks if s.ceiling_high <= CEILING_IN_VIEW * top]
        top = max([top, *seen])
        for axis, stack in zip(axes, stacks, strict=True):
            _stack(axis, stack, network, top)
            axis.set_ylim(bottom - 0.04 * (top - bottom), top + 0.1 * (top - bottom))
        figure.supxlabel("relative depth of the layer (0 embedding, 1 last)", fontsize=9)
        figure.supylabel(VARIANCE, fontsize=9)
        legend(figure, axes, 3)
        return encoded(figure)


def _ends(stack: Stack) -> tuple[float, float]:
    """The lowest and the highest point of a panel, zero included."""
    parts = np.nan_to_num([stack.unique_network, stack.shared, stack.unique_nuisance])
    below, above = np.minimum(parts, 0).sum(axis=0), np.maximum(parts, 0).sum(axis=0)
    low, high = np.nan_to_num(stack.low), np.nan_to_num(stack.high)
    return float(min(below.min(), low.min())), float(max(above.max(), high.max(), 1e-3))


def _stack(axis: Any, stack: Stack, network: str, top: float) -> None:
    limits = [stack.ceiling_low, stack.ceiling_high]
    if stack.ceiling_high <= top:
        axis.axhspan(*limits, color=CEILING, alpha=0.35, lw=0, label="noise ceiling R², low–high")
    elif np.isfinite(limits).all():
        text = f"noise ceiling R² {limits[0]:.2f}–{limits[1]:.2f} ↑"
        axis.text(0.99, 0.99, text, ha="right", va="top", fontsize=7.5, color=SOFT, transform=axis.transAxes)
    spacing = np.diff(stack.depth).min(initial=1.0)
    width = 0.8 * min(spacing, 0.25)
    above, below = np.zeros((2, len(stack.depth)))
    for values, colour, label in (
        (stack.unique_network, MODEL, f"unique to {network}"),
        (stack.shared, SHARED, "shared"),
        (stack.unique_nuisance, NUISANCE, "unique to the nuisance features"),
    ):
        values = np.nan_to_num(values)
        axis.bar(stack.depth, values, width, np.where(values < 0, below, above), color=colour, label=label)
        above, below = above + np.maximum(values, 0), below + np.minimum(values, 0)
    both = stack.unique_network + stack.shared + stack.unique_nuisance
    axis.scatter(
        stack.depth, both, marker="D", s=13, color="white", ec=INK, lw=0.9, zorder=4, label="R² of both"
    )
    if np.isfinite(stack.low).any():
        error = [stack.unique_network - stack.low, stack.high - stack.unique_network]
        label = f"95 % CI of unique to {network}"
        axis.errorbar(
            stack.depth, stack.unique_network, error, fmt="none", ecolor=INK, lw=1, capsize=2, label=label
        )
    axis.axhline(0, color=INK, lw=0.7)
    axis.set_title(stack.region)
    axis.set_xlim(-0.13, 1.13)
    axis.grid(axis="x", visible=False)
