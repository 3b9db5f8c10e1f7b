"""From scores of folds to the facts of a target: its score, its layer, its depth, how sure.

The layer of a target is the one with the best mean inner score, which training data alone decide;
held-out data then say how well it does. The depth centroid is Σ d_l g_l² / Σ g_l², with d the relative
depth of a layer and g its inner score less that of the target's worst layer: finer than the best
layer where neighbouring layers do nearly as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neuroalign.alignment.evaluation.courses import COURSES
from neuroalign.artefacts.arrays import place_attributes, target_coordinates

BESIDE = ("layer", "depth", "source_layer", "source_depth", "lag", "place_x", "place_y")
"""Coordinates beside those of targets that travel from scores to summaries."""

TESTED = ("p", "q", "p_max", "p_cluster", "cluster", "cluster_mass", "p_tfce", "tfce", "significant")
"""What a summary takes from the tests, where it is there."""


ATTENDED = ("importance", "delay", "field")
"""What an encoder that attends tells of every target: layers that count, and where it looks."""


def summarise(
    scores: xr.Dataset, nuisance: xr.Dataset, inference: xr.Dataset | None, ceiling: xr.Dataset
) -> xr.Dataset:
    """Summarise one subject, network and encoder over folds.

    Parameters
    ----------
    scores, nuisance : Dataset
        Scores of the network and of the nuisance features alone, through the same folds.
    inference : Dataset or None
        None for the nuisance features themselves.
    ceiling : Dataset

    Returns
    -------
    Dataset
        Over layers and targets: `r`, `r2`, `r_unique`, `cv_r`, and what more the encoder kept of each, such
        as the parts of R² (see `partition`); over targets: the same of the layer chosen (`chosen_r`, …),
        `nuisance_r`, `best_layer`, `best_depth`, `centroid`, `stability`, the ceiling, `normalised_r`,
        `normalised_r2`, and the inference; over the grid, where there is one: `alpha_count`. Of an encoder
        with one score for all layers, depths are NaN.
    """
    averaged = _over_folds(scores)
    valid = scores["valid"].values
    preferred = depths(averaged["cv_r"].values, scores["depth"].values)
    data: dict[str, Any] = {
        str(name): (variable.dims, variable.values) for name, variable in averaged.data_vars.items()
    }
    data |= {
        "nuisance_r": ("target", nuisance["chosen_r"].mean("fold").values),
        "stability": ("target", _stability(scores["chosen_layer"].values, preferred["best_layer"][1])),
    }
    data |= preferred | normalised(averaged, ceiling)
    attributes: dict[str, Any] = {
        **{str(key): value for key, value in scores.attrs.items() if key not in ("alphas", "provenance")},
        "folds": [str(label) for label in scores["fold"].values],
        "n_valid": int(valid.sum()),
        "n_excluded": int((~valid).sum()),
        **{f"ceiling_{key}": ceiling.attrs[key] for key in ("method", "reason", "n", "confidence")},
    }
    relevant = valid
    if inference is not None:
        for name in (name for name in TESTED if name in inference):
            data[name] = ("target", inference[name].values)
        attributes |= {
            str(key): value for key, value in inference.attrs.items() if str(key).startswith("inference_")
        }
        if len(notes := np.atleast_1d(attributes.pop("inference_notes", []))):
            attributes["warnings"] = [*map(str, np.atleast_1d(attributes["warnings"])), *map(str, notes)]
        relevant = inference["significant"].values
    data |= attended({name: averaged[name].values for name in ATTENDED if name in averaged}, scores)
    coordinates: dict[str, Any] = {name: scores[name] for name in BESIDE if name in scores.coords}
    if "alpha" in scores:
        coordinates["alpha"], counts, edges = _alpha_counts(scores, relevant)
        data["alpha_count"] = ("alpha", counts)
        attributes |= {"edge_low": edges[0], "edge_high": edges[1]}
    return xr.Dataset(data, coordinates | target_coordinates(scores), attributes | place_attributes(scores))


def _over_folds(scores: xr.Dataset) -> xr.Dataset:
    """Means over folds; what has no folds stays as it is."""
    kept = scores.drop_vars([name for name in ("alpha", "chosen_layer", *COURSES) if name in scores])
    folded = [name for name, variable in kept.data_vars.items() if "fold" in variable.dims]
    return kept.assign(kept[folded].mean("fold", skipna=True, keep_attrs=False))


def best_layers(profile: np.ndarray) -> np.ndarray:
    """The layer (n_targets,) with the highest score in a profile (n_layers, n_targets); −1 without one."""
    found = np.isfinite(profile).all(axis=0)
    return np.where(found, np.where(found, profile, 0).argmax(axis=0), -1).astype(np.int16)


def depths(profile: np.ndarray, depth: np.ndarray) -> dict[str, Any]:
    """Best layer, its depth, and the depth centroid of profiles (n_layers, n_targets)."""
    best = best_layers(profile)
    gain = (profile - profile.min(axis=0)) ** 2
    weight = gain.sum(axis=0)
    mean_depth = np.full(len(best), np.mean(depth))
    centroid = np.divide(depth @ gain, weight, out=mean_depth, where=weight > 0)
    there = best >= 0
    return {
        "best_layer": ("target", best),
        "best_depth": ("target", np.where(there, depth[best], np.nan).astype(np.float32)),
        "centroid": ("target", np.where(there, centroid, np.nan).astype(np.float32)),
    }


def attended(found: Mapping[str, np.ndarray], places: xr.Dataset) -> dict[str, Any]:
    """What targets look at, of an encoder that tells: depth that counts, peak delay or receptive field.

    Parameters
    ----------
    found : mapping of `ATTENDED` to array (…, n_targets)
        Those that there are.
    places : Dataset
        Has the coordinates of their rows.
    """
    data: dict[str, Any] = {}
    if "importance" in found:
        data |= counting(found["importance"], places["source_depth"].values)
    if "delay" in found:
        data["peak_delay"] = ("target", peak_delay(found["delay"], places["lag"].values))
    if "field" in found:
        x_and_y = np.stack([places["place_x"].values, places["place_y"].values], axis=1)
        data |= moments(found["field"], x_and_y)
    return data


def counting(importance: np.ndarray, depth: np.ndarray) -> dict[str, Any]:
    """The centroid of depth (n_layers,) by how much r is lost without a layer (n_layers, n_targets).

    Losses below zero count as none.
    """
    weight = np.maximum(importance, 0)
    total = weight.sum(axis=0)
    centroid = np.divide(depth @ weight, total, out=np.full(len(total), np.nan), where=total > 0)
    return {"importance_depth": ("target", centroid.astype(np.float32))}


def peak_delay(delay: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """The lag (n_targets,) at which delay curves (n_lags, n_targets) are highest."""
    there = np.isfinite(delay).all(axis=0)
    return np.where(there, lags[np.where(there, delay, 0).argmax(axis=0)], np.nan).astype(np.float32)


def moments(field: np.ndarray, places: np.ndarray) -> dict[str, Any]:
    """Centre and size of receptive fields (n_places, n_targets) over places (n_places, 2).

    The size is the standard deviation about the centre, the mean of both axes, in shares of the image.
    """
    x, y = places.T @ field
    spread = (places**2).sum(axis=1) @ field - x**2 - y**2
    size = np.sqrt(np.maximum(spread, 0) / 2)
    found = {"field_x": x, "field_y": y, "field_size": size}
    return {name: ("target", values.astype(np.float32)) for name, values in found.items()}


def normalised(averaged: xr.Dataset, ceiling: xr.Dataset) -> dict[str, Any]:
    """The ceiling and the scores over it: r / ceiling and R² / ceiling², where it is above chance."""
    above = ceiling["above_chance"].values
    limit = np.where(above, ceiling["ceiling"].values, np.nan)
    data: dict[str, Any] = {
        name: ("target", ceiling[name].values)
        for name in ("ceiling", "ceiling_low", "ceiling_high", "raw_r", "above_chance")
    }
    data["normalised_r"] = ("target", averaged["chosen_r"].values / limit)
    data["normalised_r2"] = ("target", averaged["chosen_r2"].values / limit**2)
    return data


def _stability(chosen: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Share of folds (n_folds, n_targets) whose training data chose the best layer."""
    return np.where(best >= 0, (chosen == best).mean(axis=0), np.nan).astype(np.float32)


def _alpha_counts(
    scores: xr.Dataset, relevant: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """How often each α was chosen at the chosen layer, and the share at both ends of the grid.

    The shares are over relevant targets only: one without signal rightly takes the largest α.
    """
    chosen = np.maximum(scores["chosen_layer"].values, 0)
    alpha = np.take_along_axis(scores["alpha"].values, chosen[None], axis=0)[0]
    asked = np.asarray(scores.attrs["alphas"], np.float32)
    grid = np.union1d(asked, alpha[np.isfinite(alpha)])
    place = np.searchsorted(grid, alpha[np.isfinite(alpha)])
    counts = np.bincount(place, minlength=len(grid))
    picked = alpha[:, relevant & np.isfinite(alpha).all(axis=0)]
    if not picked.size or len(grid) < 2:
        return grid.astype(float), counts, (0.0, 0.0)
    return grid.astype(float), counts, (float((picked == grid[0]).mean()), float((picked == grid[-1]).mean()))
