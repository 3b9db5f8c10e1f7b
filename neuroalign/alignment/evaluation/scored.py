"""Scores of held-out predictions, and how scores and predictions are labelled and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroalign import metrics
from neuroalign.artefacts.arrays import place_attributes, target_coordinates
from neuroalign.design.features import SubjectDesign
from neuroalign.design.folds import Fold


def fold_scores(
    predicted: np.ndarray, observed: np.ndarray, fold: Fold, nuisance: np.ndarray | None
) -> dict[str, np.ndarray]:
    """How well a fold's held-out samples are predicted: `r`, `r2` and, with nuisance features, `r_unique`.

    Parameters
    ----------
    predicted : array (n_test, n_targets)
    observed : array (n_samples, n_targets)
    fold : Fold
    nuisance : array (n_samples, n_nuisance) or None
        Projected out of both sides for `r_unique`.
    """
    held = observed[fold.test]
    found = {
        "r": np.nan_to_num(metrics.pearson(predicted, held)),
        "r2": metrics.r_squared(predicted, held, observed[fold.train].mean(axis=0)),
    }
    if nuisance is not None:
        left = [metrics.residual(side, nuisance[fold.test]) for side in (predicted, held)]
        found["r_unique"] = np.nan_to_num(metrics.cosine(*left))
    return found


def as_one_layer(scores: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Scores (fold, target) of an encoder that sees all layers at once, in the format of those by layer."""
    data: dict[str, Any] = {}
    for name, values in scores.items():
        data[name] = (("layer", "fold", "target"), values[None])
        if name != "cv_r":
            data[f"chosen_{name}"] = (("fold", "target"), values)
    shape = next(iter(scores.values())).shape
    data["chosen_layer"] = (("fold", "target"), np.zeros(shape, np.int16))
    return xr.Dataset(data)


def labelled_scores(
    scores: xr.Dataset, responses: xr.Dataset, coordinates: Mapping[str, Any], attributes: Mapping[str, Any]
) -> xr.Dataset:
    """Scores of the targets that were fitted, back among all targets; those left out are NaN, layers −1.

    Parameters
    ----------
    scores : Dataset
        The last dimension of every variable is the fitted targets.
    responses : Dataset
        Of the subject.
    coordinates, attributes : mappings
        Beside those of targets and place.
    """
    valid, placed = responses["valid"].values, {}
    for name, variable in scores.data_vars.items():
        empty = -1 if variable.dtype.kind == "i" else np.nan
        full = np.full((*variable.shape[:-1], len(valid)), empty, variable.dtype)
        full[..., valid] = variable.values
        placed[name] = (variable.dims, full)
    labelled = xr.Dataset(placed, {**coordinates, **target_coordinates(responses)})
    return labelled.assign_attrs(place_attributes(responses) | dict(attributes))


def labelled_predictions(
    prediction: np.ndarray,
    design: SubjectDesign,
    folds: Sequence[Fold],
    responses: xr.Dataset,
    n_layers: int = 1,
) -> xr.Dataset:
    """Held-out predictions (n_samples, n_fitted_targets) with their folds and nuisance features.

    `n_layers` is among how many layers every fold chose, which the null must know.
    """
    return xr.Dataset(
        {
            "prediction": (("sample", "target"), among_all(prediction, responses["valid"].values)),
            "nuisance": (("sample", "feature"), design.nuisance),
            "fold": ("sample", folds_of_samples(len(prediction), folds)),
        },
        {
            "run": responses["run"],
            "time_s": responses["time_s"],
            "feature": np.array(design.nuisance_names, object),
            **target_coordinates(responses),
        },
        place_attributes(responses) | {"n_layers": n_layers},
    )


def folds_of_samples(n: int, folds: Sequence[Fold]) -> np.ndarray:
    """The number of the fold that holds out each of n samples; −1 for none."""
    found = np.full(n, -1, np.int16)
    for at, fold in enumerate(folds):
        found[fold.test] = at
    return found


def among_all(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Values (…, n_fitted_targets) among all targets, float32, NaN for those that were not fitted."""
    full = np.full((*values.shape[:-1], len(valid)), np.nan, np.float32)
    full[..., valid] = values
    return full
