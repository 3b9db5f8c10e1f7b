"""From recordings back to stimuli: what the channels of continuous EEG or MEG tell of every feature.

The response at t + lag, of all channels and lags together, predicts the stimulus at t (Crosse et al. 2016).
One decomposition of the recordings serves the features of all layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign import metrics
from neuroalign.alignment.evaluation.held_out import held_out
from neuroalign.alignment.fitting.fold import fit_widening
from neuroalign.alignment.fitting.lagged_ridge import FoldLaggedRidge, principal
from neuroalign.artefacts.arrays import Activations, place_attributes
from neuroalign.design.features import SubjectDesign, design_subject
from neuroalign.design.folds import Fold
from neuroalign.encoders.lagged import LaggedRidgeEncoder
from neuroalign.settings.design import Design


def reconstruct(
    responses: xr.Dataset,
    events: pd.DataFrame,
    activations: Activations,
    settings: Design,
    alphas: Sequence[float],
    beside: Sequence[Activations] = (),
) -> xr.Dataset:
    """Predict the features of every layer, and the nuisance features, from the recordings of one subject.

    Parameters
    ----------
    responses : Dataset
        Time series of channels.
    events : DataFrame
        Of this subject.
    activations : Activations
    settings : Design
        With `lags`.
    alphas : sequence of float
        The grid of penalties, widened where its ends are chosen too often.
    beside : sequence of Activations
        Networks whose features are nuisance.

    Returns
    -------
    Dataset
        `r` and `r2` (layer, fold, component) of what is held out, components by training data, NaN beyond
        those that a layer has; `nuisance_r` (fold, feature).

    Raises
    ------
    DataError
        A stimulus stands in training and test, or the data are too short.
    """
    assert settings.lags is not None
    design = design_subject(responses, events, settings, beside, activations)
    folds, warnings = held_out(responses, events, activations, settings, design.lag)
    observed = responses["response"].values[:, responses["valid"].values]
    encoder = FoldLaggedRidge.of(responses, settings.lags, alphas)
    layers = [design.features(activations.read(number)) for number in range(len(activations.layers))]
    made = [_fold(observed, design, layers, encoder, fold) for fold in folds]
    width = max(len(part) for r, _, _ in made for part in r)

    def stacked(place: int) -> np.ndarray:
        full = np.full((len(layers), len(folds), width), np.nan, np.float32)
        for at, found in enumerate(made):
            for layer, values in enumerate(found[place]):
                full[layer, at, : len(values)] = values
        return full

    data: dict[str, Any] = {
        name: (("layer", "fold", "component"), stacked(n)) for n, name in enumerate(("r", "r2"))
    }
    data["nuisance_r"] = (("fold", "feature"), np.stack([found[2] for found in made]).astype(np.float32))
    step = float(responses.attrs["tr"])
    coordinates: dict[str, Any] = {
        "layer": np.array(activations.layers, object),
        "depth": ("layer", activations.depth),
        "fold": np.array([fold.label for fold in folds], object),
        "lag": encoder.lags * step,
    }
    return xr.Dataset(data, coordinates, place_attributes(responses) | {"warnings": warnings})


Parts = tuple[list[np.ndarray], list[np.ndarray], np.ndarray]
"""r and R² of every layer's components, and r of the nuisance features."""


def _fold(
    observed: np.ndarray, design: SubjectDesign, layers: list[np.ndarray], lagged: FoldLaggedRidge, fold: Fold
) -> Parts:
    """Fit the training samples of a fold and score the rest; its inner folds choose α of every feature."""
    nuisance = design.nuisance[:, :0] if design.unlagged is None else design.unlagged
    parts = [nuisance, *(principal(features, fold.train, lagged.components) for features in layers)]
    wanted = np.concatenate(parts, axis=1)
    recorded = observed / (observed[fold.train].std(axis=0) * np.sqrt(observed.shape[1] * len(lagged.lags)))
    inside, segments = recorded[fold.train], lagged.joined(fold.train)

    def fit(grid: np.ndarray) -> LaggedRidgeEncoder:
        encoder = LaggedRidgeEncoder(lagged.lags, grid, fold.inner, direction="backward")
        return encoder.fit(inside, wanted[fold.train], segments)

    encoder = fit_widening(fit, lagged.alphas)
    around = lagged.around(fold.test)
    predicted = encoder.predict(recorded[around], lagged.joined(around))[np.searchsorted(around, fold.test)]
    held = wanted[fold.test]
    ends = np.cumsum([part.shape[1] for part in parts])[:-1]
    r = np.split(np.nan_to_num(metrics.pearson(predicted, held)), ends)
    r2 = np.split(metrics.r_squared(predicted, held, wanted[fold.train].mean(axis=0)), ends)
    return r[1:], r2[1:], r[0]
