"""Which maps a summary holds: values, what they are, and where they are masked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from neuroalign.artefacts import layout

SIGNIFICANT_ONLY = "NaN where the target is not significant"
CEILING_ONLY = "NaN where the noise ceiling is not above chance"
UNMASKED = "NaN only where the target could not be scored"


@dataclass(frozen=True)
class ScoreMap:
    """One map of a summary.

    Attributes
    ----------
    stat : str
        BIDS `stat` label.
    values : array (target,) or (layer, target)
        NaN where masked.
    description, units, masking : str
        What the sidecar says.
    rows : str
        Coordinate that names the rows of values by layers.
    levels : dict
        What the numbers stand for, where they are no quantities.
    """

    stat: str
    values: np.ndarray
    description: str
    units: str
    masking: str
    rows: str = "layer"
    levels: dict[str, str] = field(default_factory=dict)


def score_maps(summary: xr.Dataset) -> list[ScoreMap]:
    """List the maps that a summary holds.

    Parameters
    ----------
    summary : xr.Dataset
        What the stages `summary` and `group` write: dims `layer` and `target`.

    Returns
    -------
    list of ScoreMap
        The nuisance-only control, which has no layers, gives `r`, `normalisedR` and `ceiling`.
    """

    def values(name: str) -> np.ndarray:
        return np.asarray(summary[name].values, np.float32)

    correlation, share = "Pearson correlation", "relative depth (0 embedding, 1 last layer)"
    held_out = "Held-out correlation of response and prediction, mean over folds"
    partial = "Held-out partial correlation of response and prediction beyond the nuisance features"
    chosen = "of the layer chosen in the training folds"
    depth = "Relative depth of the layer chosen most often in the training folds"
    always = [
        ScoreMap("r", values("chosen_r"), f"{held_out}, {chosen}", correlation, UNMASKED),
        ScoreMap("normalisedR", values("normalised_r"), "r over the noise ceiling", "ratio", CEILING_ONLY),
        ScoreMap(
            "ceiling",
            values("ceiling"),
            "Noise ceiling: the r a perfect model would reach",
            correlation,
            UNMASKED,
        ),
    ]
    if summary.attrs.get("network") == layout.NUISANCE:
        return always
    scored = np.isfinite(values("chosen_r"))
    significant = np.asarray(summary["significant"].values).astype(bool)

    def shown(name: str) -> np.ndarray:
        return np.where(scored & significant, values(name), np.float32(np.nan))

    best_depth = np.where(scored, values("best_depth"), np.float32(np.nan))
    centroid = "Centroid of relative depth, weighted by how well each layer predicts"
    preferred = [
        ScoreMap("bestDepth", shown("best_depth"), depth, share, SIGNIFICANT_ONLY),
        ScoreMap("bestDepthUnmasked", best_depth, f"{depth}, not masked by significance", share, UNMASKED),
        ScoreMap("depthCentroid", shown("centroid"), centroid, share, SIGNIFICANT_ONLY),
    ]
    verdict = np.where(scored, significant.astype(np.float32), np.float32(np.nan))
    return [
        *always,
        ScoreMap("rByLayer", values("r"), f"{held_out}, for every layer", correlation, UNMASKED),
        ScoreMap("uniqueRByLayer", values("r_unique"), f"{partial}, for every layer", correlation, UNMASKED),
        ScoreMap("uniqueR", values("chosen_r_unique"), f"{partial}, {chosen}", correlation, UNMASKED),
        *_parted(summary, chosen),
        *(preferred if has_depth(summary) else []),
        *_attended(summary, shown),
        ScoreMap(
            "q",
            values("q"),
            "q-value: the false discovery rate at which the target is significant",
            "q",
            UNMASKED,
        ),
        ScoreMap("significant", verdict, "1 significant, 0 not", "boolean", UNMASKED),
    ]


def has_depth(summary: xr.Dataset) -> bool:
    """Whether layers are scored one by one; an encoder that looks at all of them has one score for all."""
    return bool(np.isfinite(summary["depth"].values).all())


def _attended(summary: xr.Dataset, shown: Callable[[str], np.ndarray]) -> list[ScoreMap]:
    """What every layer adds and where in time targets look, of an encoder that looks at all layers."""
    if "attention_weight" in summary:
        about = "Share of cross-attention in the prediction, the rest being ridge regression; mean over folds"
        weight = np.asarray(summary["attention_weight"].values, np.float32)
        return [ScoreMap("attentionWeight", weight, about, "share", UNMASKED)]
    if "importance" not in summary:
        return []
    lost = "Loss of held-out r where what a layer adds is replaced by its mean, mean over folds"
    deep = "Centroid of relative depth, weighted by the loss of held-out r without each layer"
    peak = "Seconds before a sample at which the learned delay curve is highest"
    importance = np.asarray(summary["importance"].values, np.float32)
    places = []
    if "peak_delay" in summary:
        places.append(ScoreMap("peakDelay", shown("peak_delay"), peak, "s", SIGNIFICANT_ONLY))
    for name, (stat, about) in FIELD_MAPS.items():
        if name in summary:
            about = f"{about} the receptive field: attention to places, whatever an image shows"
            places.append(ScoreMap(stat, shown(name), about, "share of the image", SIGNIFICANT_ONLY))
    return [
        ScoreMap("importanceByLayer", importance, lost, "Pearson correlation", UNMASKED, "source_layer"),
        ScoreMap("importanceDepth", shown("importance_depth"), deep, "relative depth", SIGNIFICANT_ONLY),
        *places,
    ]


FIELD_MAPS = {
    "field_x": ("fieldX", "From the left edge to the centre of"),
    "field_y": ("fieldY", "From the upper edge to the centre of"),
    "field_size": ("fieldSize", "Standard deviation of"),
}
"""Maps of receptive fields in a summary: their BIDS `stat` label and what they are."""

VARIANCE = "share of held-out variance (R²)"

PARTED = {
    "unique_network": (
        "uniqueR2",
        "What only the network explains: R² of both less R² of the nuisance alone",
    ),
    "shared": ("sharedR2", "What network or nuisance explain: R² of each alone, summed, less R² of both"),
    "unique_nuisance": (
        "nuisanceUniqueR2",
        "What only the nuisance features explain: R² of both less R² of the network alone",
    ),
    "product_network": ("productR2", "The network band's share of R² of both by the product measure"),
}
"""Parts of R² in a summary: their BIDS `stat` label and what they are."""


def _parted(summary: xr.Dataset, chosen: str) -> list[ScoreMap]:
    """Parts of R² of the chosen layer and of every layer, and the network's weight, if there are any."""
    found = []
    for name, (stat, about) in PARTED.items():
        if name in summary:
            about = f"{about}; held-out, mean over folds, negative where features cost more than they bring"
            one, each = (np.asarray(summary[part].values, np.float32) for part in (f"chosen_{name}", name))
            found.append(ScoreMap(stat, one, f"{about}; {chosen}", VARIANCE, UNMASKED))
            found.append(ScoreMap(f"{stat}ByLayer", each, f"{about}; for every layer", VARIANCE, UNMASKED))
    if "chosen_network_weight" in summary:
        about = f"Share of the network in the two weights of the bands, mean over folds, {chosen}"
        weight = np.asarray(summary["chosen_network_weight"].values, np.float32)
        found.append(ScoreMap("networkWeight", weight, about, "share", UNMASKED))
    return found
