"""The drawings of the report.

Functions take plain arrays and give back pictures as `data:` addresses, ready for an `img` tag.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from neuroalign.report.drawing.palette import (
    CEILING,
    GRID,
    INK,
    MODEL,
    NUISANCE,
    SCORE,
    SOFT,
    TWIN,
    Difference,
    Profile,
    Scale,
)
from neuroalign.report.drawing.style import colours_of, encoded, legend, paint, panels_of, styled

MANY_DOTS = 30_000
"""Targets above which their density is drawn instead of a dot each."""


def layer_profiles(profiles: Sequence[Profile], network: str) -> str:
    """Score by relative depth, one panel per region, with ceiling and controls."""
    with styled():
        figure = Figure(layout="constrained")
        axes = panels_of(figure, len(profiles))
        for axis, profile in zip(axes, profiles, strict=True):
            _profile(axis, profile, network)
        figure.supxlabel("relative depth of the layer (0 embedding, 1 last)", fontsize=9)
        figure.supylabel(SCORE, fontsize=9)
        legend(figure, axes, 5)
        return encoded(figure)


def _profile(axis: Any, profile: Profile, network: str) -> None:
    limits = np.array([profile.ceiling_low, profile.ceiling_high], float)
    band: Any = {"color": CEILING, "alpha": 0.35, "lw": 0, "label": "noise ceiling, low–high"}
    if np.isfinite(limits).all():
        if limits.ndim == 2:
            axis.fill_between(profile.depth, *limits, **band)
        else:
            axis.axhspan(*limits, **band)
    axis.axhline(0, color=SOFT, lw=0.6)
    if np.isfinite(profile.nuisance):
        axis.axhline(profile.nuisance, color=NUISANCE, ls=":", lw=1.6, label="nuisance features only")
    if profile.twin is not None:
        axis.plot(
            profile.twin_depth,
            profile.twin,
            color=TWIN,
            ls="--",
            lw=1.5,
            marker="s",
            ms=3,
            label="untrained twin",
        )
    scored = profile.subjects[np.isfinite(profile.subjects).any(axis=1)]
    if len(scored) > 1:
        axis.plot(profile.depth, scored.T, color=MODEL, lw=0.7, alpha=0.35)
    if len(scored):
        centre = scored.mean(axis=0)
        error = scored.std(axis=0, ddof=1) / np.sqrt(len(scored)) if len(scored) > 1 else None
        label = f"{network}, mean ± SEM" if error is not None else network
        axis.errorbar(
            profile.depth, centre, error, color=MODEL, lw=2, marker="o", ms=4, capsize=2, label=label
        )
    axis.set_title(profile.region)
    axis.set_xlim(-0.05, 1.05)


def comparison(rows: Sequence[tuple[str, np.ndarray, str]]) -> str:
    """Means over targets: a row of dots for each model, control and ceiling, joined by subject."""
    with styled():
        figure = Figure(figsize=(6.4, 0.52 * len(rows) + 0.8), layout="constrained")
        axis = figure.subplots()
        values = np.array([row[1] for row in rows], float)
        places = np.arange(len(rows))[::-1]
        for subject in values.T:
            axis.plot(subject, places, color=GRID, lw=1, zorder=1)
        for place, (_, points, colour) in zip(places, rows, strict=True):
            axis.scatter(points, np.full(len(points), place), color=colour, s=24, alpha=0.75, lw=0, zorder=2)
            if np.isfinite(points).any():
                axis.scatter(np.nanmean(points), place, marker="|", s=420, color=colour, lw=2.5, zorder=3)
        axis.axvline(0, color=SOFT, lw=0.6)
        axis.set_yticks(places, [row[0] for row in rows], color=INK)
        axis.set_ylim(-0.6, len(rows) - 0.4)
        axis.grid(axis="y", visible=False)
        axis.set_xlabel(f"{SCORE}; a dot per subject, a bar for the mean")
        return encoded(figure)


def differences(panels: Sequence[Difference], one: str, other: str) -> str:
    """Δr of two encoders by depth: subjects as lines, their mean with its interval."""
    with styled():
        figure = Figure(layout="constrained")
        axes = panels_of(figure, len(panels))
        for axis, panel in zip(axes, panels, strict=True):
            axis.axhline(0, color=INK, lw=0.8)
            axis.plot(panel.depth, panel.subjects.T, color=MODEL, lw=0.7, alpha=0.35)
            interval = np.array([panel.mean - panel.low, panel.high - panel.mean])
            error = interval if np.isfinite(interval).all() else None
            axis.errorbar(panel.depth, panel.mean, error, color=MODEL, lw=2, marker="o", ms=4, capsize=2)
            axis.set_title(panel.region)
            axis.set_xlim(-0.05, 1.05)
        figure.supxlabel("relative depth of the layer (0 embedding, 1 last)", fontsize=9)
        figure.supylabel(f"Δr, {one} − {other}", fontsize=9)
        return encoded(figure)


def alpha_histogram(panels: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> str:
    """How often each alpha was chosen (share of targets × folds), the grid's edges marked."""
    with styled():
        figure = Figure(figsize=(3.1 * len(panels) + 0.5, 2.3), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
        for axis, (title, alphas, counts) in zip(axes, panels, strict=True):
            share = 100 * counts / max(counts.sum(), 1)
            edge = np.isin(np.arange(len(alphas)), [0, len(alphas) - 1])
            exponents = np.log10(alphas)
            width = 0.85 * np.diff(exponents).min() if len(alphas) > 1 else 0.5
            axis.bar(exponents, share, width, color=np.where(edge, NUISANCE, MODEL))
            for at in exponents[edge]:
                axis.axvline(at, color=NUISANCE, ls=":", lw=1)
            axis.set_title(title)
            axis.grid(axis="x", visible=False)
        figure.supxlabel("log₁₀ alpha (dotted: edges of the grid)", fontsize=9)
        figure.supylabel("% of targets × folds", fontsize=9)
        return encoded(figure)


def picture_rows(rows: Sequence[tuple[str, Sequence[np.ndarray], Scale]], columns: Sequence[str]) -> str:
    """Rows of pictures (RGBA), a colour bar at each row's end."""
    with styled():
        count = len(columns)
        height, width = rows[0][1][0].shape[:2]
        wide = 2.1 if count <= 5 else 8.6 / count
        figure = Figure(figsize=(wide * count + 1.3, (wide * height / width + 0.16) * len(rows) + 0.3))
        grid = figure.add_gridspec(
            len(rows),
            count + 1,
            width_ratios=[*([1] * count), 0.045],
            hspace=0.08,
            wspace=0.03,
            left=0.09,
            right=0.9,
        )
        for index, (title, pictures, scale) in enumerate(rows):
            for column, picture in enumerate(pictures):
                axis = figure.add_subplot(grid[index, column])
                axis.imshow(picture, interpolation="nearest" if width < 150 else "antialiased")
                axis.set_axis_off()
                if index == 0:
                    axis.set_title(columns[column], fontsize=8.5, color=SOFT, loc="center")
                if column == 0:
                    axis.text(
                        -0.04,
                        0.5,
                        title,
                        rotation=90,
                        va="center",
                        ha="right",
                        transform=axis.transAxes,
                        fontsize=9,
                    )
            _colour_bar(figure, figure.add_subplot(grid[index, -1]), scale)
        return encoded(figure, "png", dpi=150)


def _colour_bar(figure: Figure, axis: Any, scale: Scale) -> None:
    mappable = matplotlib.cm.ScalarMappable(Normalize(scale.low, scale.high), colours_of(scale))
    box = axis.get_position()
    axis.set_position([box.x0, box.y0 + 0.12 * box.height, box.width, 0.76 * box.height])
    bar = figure.colorbar(mappable, cax=axis, label=scale.label)
    bar.outline.set_visible(False)
    bar.set_label(scale.label, fontsize=8)
    if scale.names:
        bar.set_ticks(range(1, len(scale.names) + 1), labels=scale.names)


def heat_map(
    values: np.ndarray, rows: Sequence[str], columns: Sequence[str], scale: Scale, digits: int = 2
) -> str:
    """A matrix, such as region × layer, with its numbers."""
    with styled():
        figure = Figure(figsize=(0.62 * len(columns) + 2.6, 0.3 * len(rows) + 1.3), layout="constrained")
        axis = figure.subplots()
        colours = paint(values, scale)
        axis.imshow(np.where(np.isnan(colours), 0.85, colours), aspect="auto")
        if values.size <= 400:
            for (row, column), value in np.ndenumerate(values):
                if np.isfinite(value):
                    ink = "white" if colours[row, column] @ [0.3, 0.59, 0.11] < 0.55 else INK
                    axis.text(
                        column, row, f"{value:.{digits}f}", ha="center", va="center", fontsize=7.5, color=ink
                    )
        axis.set_xticks(range(len(columns)), columns, rotation=35, ha="right", color=INK)
        axis.set_yticks(range(len(rows)), rows, color=INK)
        axis.grid(visible=False)
        mappable = matplotlib.cm.ScalarMappable(Normalize(scale.low, scale.high), colours_of(scale))
        figure.colorbar(mappable, ax=axis, label=scale.label, shrink=0.9).outline.set_visible(False)
        return encoded(figure)


def bars(
    names: Sequence[str], subjects: np.ndarray, nuisance: np.ndarray, low: np.ndarray, high: np.ndarray
) -> str:
    """Score of the chosen layer per parcel: mean, a dot per subject, nuisance mark, ceiling band."""
    with styled():
        figure = Figure(figsize=(max(4.5, 0.55 * len(names) + 1.5), 3.0), layout="constrained")
        axis = figure.subplots()
        at = np.arange(len(names))
        count = np.isfinite(subjects).sum(axis=0)
        centre = np.where(count > 0, np.nansum(subjects, axis=0) / np.maximum(count, 1), np.nan)
        axis.bar(at, high - low, 0.86, bottom=low, color=CEILING, alpha=0.4, label="noise ceiling, low–high")
        axis.bar(at, centre, 0.55, color=MODEL, alpha=0.85, label="network, mean over subjects")
        for index, row in enumerate(subjects):
            label = "one subject" if index == 0 else None
            axis.scatter(
                at + np.linspace(-0.18, 0.18, len(subjects))[index],
                row,
                s=11,
                color=INK,
                lw=0,
                label=label,
                zorder=3,
            )
        axis.hlines(
            nuisance,
            at - 0.36,
            at + 0.36,
            color=NUISANCE,
            lw=2,
            ls=":",
            label="nuisance features only",
            zorder=3,
        )
        axis.axhline(0, color=SOFT, lw=0.6)
        axis.set_xticks(at, names, rotation=35, ha="right", color=INK)
        axis.set_ylabel(SCORE)
        axis.grid(axis="x", visible=False)
        figure.legend(loc="outside upper center", ncols=4, fontsize=8)
        return encoded(figure)


def scatters(panels: Sequence[tuple[str, np.ndarray, np.ndarray]], across: str, up: str) -> str:
    """Planted against recovered values, a panel each, with the line of equality; many as a density."""
    with styled():
        figure = Figure(figsize=(2.7 * len(panels) + 0.5, 2.9), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(panels), sharex=True, sharey=True))
        for axis, (title, x, y) in zip(axes, panels, strict=True):
            kept = np.isfinite(x) & np.isfinite(y)
            if kept.sum() > MANY_DOTS:
                axis.hexbin(x[kept], y[kept], gridsize=60, bins="log", mincnt=1, cmap="Blues", lw=0)
            else:
                axis.scatter(x[kept], y[kept], s=5, alpha=0.15, color=MODEL, lw=0)
            ends = (
                [0, max(1.0 if up.startswith("recovered") else 0.1, *x[kept], *y[kept])]
                if kept.any()
                else [0, 1]
            )
            axis.plot(ends, ends, color=NUISANCE, lw=1, ls="--")
            axis.set_title(title)
        figure.supxlabel(across, fontsize=9)
        figure.supylabel(up, fontsize=9)
        return encoded(figure, "png")
