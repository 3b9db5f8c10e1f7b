"""Ridge regression and cross-attention stacked: how much of either a target gets, by what training data say.

Both have predicted the outer test samples already, by themselves. In the training samples of every outer fold
the first inner fold is one that cross-attention did not learn from (it told when to stop); ridge regression,
with the layers and penalties it chose, is fitted without it once more. What both predict there gives a weight
per target, shrunk to what all targets of a subject have in common; the test samples have no say in it.

Weights from minutes of noisy data are noisy themselves, and those of an encoder that predicts nothing are
above zero half of the time. Ridge regression is therefore kept as it is unless mixing, with weights from
elsewhere, lowers its error by more than one standard error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign import metrics
from neuroalign.alignment.evaluation.held_out import held_out
from neuroalign.alignment.evaluation.scored import (
    as_one_layer,
    fold_scores,
    labelled_predictions,
    labelled_scores,
)
from neuroalign.alignment.fitting.ridge import refitted, side_by_side
from neuroalign.artefacts.arrays import Activations
from neuroalign.design.features import SubjectDesign, design_subject
from neuroalign.design.folds import Fold
from neuroalign.encoders.blend import blend
from neuroalign.settings.design import Design

STACK, WEIGHT = "stack", "attention_weight"
"""Name of the one layer that scores are given for; and how much of the prediction is cross-attention's."""

STRETCHES = 5
"""Parts of the inner fold, in time, that are compared."""


@dataclass(frozen=True)
class Parts:
    """What is stacked, of one subject and network.

    Attributes
    ----------
    ridge_scores : Dataset
        Give the layer and the penalty that every fold chose for a target.
    ridge, attention : Dataset
        Held-out predictions.
    """

    ridge_scores: xr.Dataset
    ridge: xr.Dataset
    attention: xr.Dataset


def evaluate_stack(
    responses: xr.Dataset,
    events: pd.DataFrame,
    activations: Activations,
    settings: Design,
    parts: Parts,
    window_s: float,
    beside: Sequence[Activations] = (),
) -> tuple[xr.Dataset, xr.Dataset]:
    """Mix and score the held-out predictions of ridge regression and cross-attention.

    Parameters
    ----------
    responses : Dataset
    events : DataFrame
        Of this subject.
    activations : Activations
    settings : Design
    parts : Parts
    window_s : float
        Of cross-attention; with the longest delay it decides the inner folds.
    beside : sequence of Activations
        Networks whose features are nuisance.

    Returns
    -------
    scores, predictions : Dataset
        As of other encoders, for one layer called `STACK`, with `attention_weight` (fold, target).

    Raises
    ------
    DataError
        As the encoders that are stacked.
    """
    valid = responses["valid"].values
    design = design_subject(responses, events, settings, beside, activations)
    folds, warnings = held_out(responses, events, activations, settings, max(design.lag, window_s))
    observed = responses["response"].values[:, valid]
    inner = _ridge_inside(observed, design, folds, activations, parts.ridge_scores.isel(target=valid))
    prediction = np.full(observed.shape, np.nan, np.float32)
    names = ("r", "r2", "r_unique", "cv_r", WEIGHT)
    found = {name: np.full((len(folds), observed.shape[1]), np.nan, np.float32) for name in names}
    for number, fold in enumerate(folds if valid.any() else []):
        of_fold = parts.attention["inner_fold"].values == number
        attended = parts.attention["inner_prediction"].values[of_fold][:, valid]
        rows = fold.train[fold.inner[0][1]]
        weight = weigh(attended, inner[number], observed[rows])
        mixed = weight * attended + (1 - weight) * inner[number]
        sides = (each["prediction"].values[fold.test][:, valid] for each in (parts.attention, parts.ridge))
        prediction[fold.test] = _mixed(weight, *sides)
        made = fold_scores(prediction[fold.test], observed, fold, design.nuisance)
        made |= {"cv_r": np.nan_to_num(metrics.pearson(mixed, observed[rows])), WEIGHT: weight}
        for name, values in made.items():
            found[name][number] = values
    weights = {WEIGHT: (("fold", "target"), found.pop(WEIGHT))}
    scores = as_one_layer(found).assign(weights)
    coordinates = {
        "layer": np.array([STACK], object),
        "depth": ("layer", np.array([np.nan])),
        "fold": np.array([fold.label for fold in folds], object),
    }
    attributes = {
        "n_samples": len(observed),
        "nuisance": list(design.nuisance_names),
        "warnings": warnings,
    }
    labelled = labelled_scores(scores, responses, coordinates, attributes)
    n_layers = parts.ridge_scores.sizes["layer"]
    return labelled, labelled_predictions(prediction, design, folds, responses, n_layers)


def weigh(one: np.ndarray, other: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Weights (n_targets,) of the one of two predictions; 0 unless it is shown to make the other better.

    Shown is a mean gain over stretches of samples, each with the weights of all others, that exceeds its
    standard error (the one-standard-error rule: Breiman et al. 1984, Classification and Regression Trees).
    The gain is the fall in squared error over the variance of a target, averaged over targets.

    Parameters
    ----------
    one, other, observed : arrays (n_samples, n_targets)
        Samples in order of time, at least two for each of `STRETCHES`.
    """
    variance = np.maximum(observed.var(axis=0), 1e-12)
    parts = np.array_split(np.arange(len(observed)), STRETCHES)
    gains = []
    for part in parts:
        rest = np.setdiff1d(np.arange(len(observed)), part)
        mixed = _mixed(blend(one[rest], other[rest], observed[rest]), one[part], other[part])
        errors = [(observed[part] - each) ** 2 for each in (other[part], mixed)]
        gains.append(np.mean((errors[0] - errors[1]) / variance))
    shown = np.mean(gains) > np.std(gains, ddof=1) / np.sqrt(len(parts))
    return blend(one, other, observed) * shown


def _mixed(weight: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (weight * one + (1 - weight) * other).astype(np.float32)


def _ridge_inside(
    observed: np.ndarray,
    design: SubjectDesign,
    folds: list[Fold],
    activations: Activations,
    scores: xr.Dataset,
) -> list[np.ndarray]:
    """What ridge regression fitted without it predicts of every first inner fold (n_inner, n_targets)."""
    chosen, alphas = scores["chosen_layer"].values, scores["alpha"].values
    out = [np.full((len(fold.inner[0][1]), observed.shape[1]), np.nan, np.float32) for fold in folds]
    for layer in np.unique(chosen):
        network = design.features(activations.read(int(layer)))
        for number, fold in enumerate(folds):
            at = np.flatnonzero(chosen[number] == layer)
            if not len(at):
                continue
            train, held = (fold.train[rows] for rows in fold.inner[0])
            features = side_by_side(design.nuisance, network, train)
            found = refitted(features, observed[:, at], train, alphas[layer, number, at])
            out[number][:, at] = found[held]
    return out
