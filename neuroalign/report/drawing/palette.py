"""Colours and scales of the report, and what a profile panel holds: plain data, no drawing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

INK, SOFT, GRID = "#1d2733", "#6b7785", "#e3e8ee"
MODEL, TWIN, NUISANCE, CEILING = "#0b5fa5", "#8a8f98", "#c4620a", "#7fb69a"
"""Colours of the network, its untrained twin, the nuisance control and the ceiling: distinct to
colour-blind eyes, and each with its own line style too."""

SHARED = "#b9b4d3"
"""Colour of what network and nuisance features explain alike."""

CATEGORIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31")
"""Colours of things without an order, distinct to colour-blind eyes (Okabe & Ito, and a brown)."""

# parse_math off: a dollar sign in a region's name is a dollar sign.
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": SOFT,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "ytick.color": SOFT,
    "legend.frameon": False,
    "svg.hashsalt": "neuroalign",
}
"""Settings of matplotlib under which every figure is drawn."""

SCORE = "Pearson r (held-out)"
VARIANCE = "share of held-out variance (R²)"


@dataclass(frozen=True)
class Profile:
    """What one panel of layer profiles shows.

    Attributes
    ----------
    region : str
    depth : array (layer,)
    subjects : array (subject, layer)
    twin : array (layer,) or None
        Mean of the untrained network, and `twin_depth` its depths.
    nuisance : float
    ceiling_low, ceiling_high : float or array (layer,)
        NaN where there is none; by layer where layers are scored at times of their own.
    """

    region: str
    depth: np.ndarray
    subjects: np.ndarray
    twin: np.ndarray | None = None
    twin_depth: np.ndarray | None = None
    nuisance: float = np.nan
    ceiling_low: float | np.ndarray = np.nan
    ceiling_high: float | np.ndarray = np.nan


@dataclass(frozen=True)
class Stack:
    """What one panel of the variance partition shows.

    Attributes
    ----------
    region : str
    depth : array (layer,)
    unique_network, shared, unique_nuisance : arrays (layer,)
        Means over subjects; they add up to the R² of the model of both.
    low, high : arrays (layer,)
        95 % interval of `unique_network` over subjects; NaN with one subject.
    ceiling_low, ceiling_high : float
        Squared noise ceiling; NaN where there is none.
    """

    region: str
    depth: np.ndarray
    unique_network: np.ndarray
    shared: np.ndarray
    unique_nuisance: np.ndarray
    low: np.ndarray
    high: np.ndarray
    ceiling_low: float = np.nan
    ceiling_high: float = np.nan


@dataclass(frozen=True)
class Difference:
    """What one panel of differences between two encoders shows.

    Attributes
    ----------
    region : str
    depth : array (layer,)
    subjects : array (subject, layer)
        r of the one less r of the other.
    mean, low, high : arrays (layer,)
        Over subjects, with the 95 % interval; NaN with one subject.
    """

    region: str
    depth: np.ndarray
    subjects: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Scale:
    """How values become colours: a colour map's name, limits and what the numbers are.

    Numbers that stand for `names`, from 1, have colours apart instead of a colour map.
    """

    colours: str
    low: float
    high: float
    label: str
    names: tuple[str, ...] = ()
