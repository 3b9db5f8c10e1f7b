"""The drawings that set encoders side by side: r of either by target, and their difference by region."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from neuroalign.report.drawing.palette import INK, MODEL, NUISANCE, SOFT
from neuroalign.report.drawing.style import encoded, styled

ENOUGH = 400
"""Targets from which on their density is drawn instead of a dot each."""


def density(across: np.ndarray, up: np.ndarray, names: tuple[str, str]) -> str:
    """Pearson r with one encoder against that with another, target by target, with the line of equality.

    Parameters
    ----------
    across, up : arrays (n_targets,)
        Of all subjects.
    names : tuple of str
        Of the encoders, across and up.
    """
    kept = np.isfinite(across) & np.isfinite(up)
    x, y = across[kept], up[kept]
    both = np.concatenate([x, y, [0.0, 0.05]])
    ends = np.array([both.min(), both.max()]) + np.array([-0.03, 0.03]) * np.ptp(both)
    with styled():
        figure = Figure(figsize=(4.3, 3.7), layout="constrained")
        axis = figure.subplots()
        if len(x) >= ENOUGH:
            box = (ends[0], ends[1], ends[0], ends[1])
            shown = axis.hexbin(x, y, gridsize=45, extent=box, bins="log", mincnt=1, cmap="viridis", lw=0.1)
            bar = figure.colorbar(shown, ax=axis, label="targets", format="%d", shrink=0.85)
            bar.outline.set_visible(False)
        else:
            axis.scatter(x, y, s=14, color=MODEL, alpha=0.6, lw=0)
        axis.plot(ends, ends, color=NUISANCE, lw=1.2, ls="--")
        axis.axhline(0, color=SOFT, lw=0.5)
        axis.axvline(0, color=SOFT, lw=0.5)
        axis.set(xlim=ends, ylim=ends, aspect="equal")
        axis.set_xlabel(f"r with {names[0]}")
        axis.set_ylabel(f"r with {names[1]}")
        axis.text(
            0.03, 0.97, f"{names[1]} better", transform=axis.transAxes, va="top", fontsize=8, color=SOFT
        )
        axis.text(
            0.97, 0.03, f"{names[0]} better", transform=axis.transAxes, ha="right", fontsize=8, color=SOFT
        )
        return encoded(figure)


def gains(names: Sequence[str], subjects: np.ndarray, low: np.ndarray, high: np.ndarray, label: str) -> str:
    """Differences of r by region: a dot per subject, their mean, and its 95 % interval.

    Parameters
    ----------
    names : sequence of str (n_regions,)
    subjects : array (n_subjects, n_regions)
    low, high : arrays (n_regions,)
        NaN with one subject.
    label : str
        Of the axis.
    """
    with styled():
        figure = Figure(figsize=(5.6, 0.3 * len(names) + 1.0), layout="constrained")
        axis = figure.subplots()
        places = np.arange(len(names))[::-1]
        spread = np.linspace(-0.16, 0.16, max(len(subjects), 2))
        for shift, row in zip(spread, subjects, strict=False):
            axis.scatter(row, places + shift, s=9, color=MODEL, alpha=0.45, lw=0)
        count = np.isfinite(subjects).sum(axis=0)
        centre = np.where(count > 0, np.nansum(subjects, axis=0) / np.maximum(count, 1), np.nan)
        axis.hlines(places, low, high, color=INK, lw=1.6)
        axis.scatter(centre, places, s=34, color=INK, marker="|", lw=2.2, zorder=3)
        axis.axvline(0, color=NUISANCE, lw=1.2, ls="--")
        axis.set_yticks(places, list(names), color=INK)
        axis.set_ylim(-0.6, len(names) - 0.4)
        axis.grid(axis="y", visible=False)
        axis.set_xlabel(label)
        return encoded(figure)
