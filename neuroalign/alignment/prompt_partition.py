"""What every prompt of a network explains that its other prompts do not: parts of held-out R².

All prompts of a network stand in one banded ridge, a band for each beside the nuisance features, with
penalties of their own. With R²(·) the held-out score of a model of some bands, each model fitted anew,

    unique to a prompt      R²(all) − R²(all but this prompt)
    shared by prompts       R²(all) − R²(nuisance) − Σ unique

where R²(nuisance) is zero if there are no nuisance features. Prompts share their layers, so that every target
is given one layer for all of them: the one with the best mean over prompts of the inner scores, which
training data alone decide. No part is clipped: where features cost more than they bring, a part is negative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from neuroalign import metrics
from neuroalign.alignment.fold import fit_widening
from neuroalign.alignment.ridge import fit_ridge
from neuroalign.arrays import Activations
from neuroalign.design.features import SubjectDesign, unit_band
from neuroalign.design.folds import Fold
from neuroalign.encoders.banded import BandedRidgeEncoder

NUISANCE = "nuisance"
"""Name of the band beside the prompts, whose names have no such meaning: they are numbered."""

Bands = dict[str, np.ndarray]


@dataclass(frozen=True)
class BandSettings:
    """How bands are weighed.

    Attributes
    ----------
    alphas : sequence of float
        The grid of penalties, widened where its ends are chosen too often.
    candidates : int
        Weights to try for two bands; as many again for every further one.
    seed : int
    """

    alphas: Sequence[float]
    candidates: int
    seed: int


def shared_layers(inner: np.ndarray) -> np.ndarray:
    """The layer (fold, target) with the best mean over prompts of inner scores (prompt, layer, fold, target).

    >>> shared_layers(np.array([[[[0.1]], [[0.3]]], [[[0.4]], [[0.3]]]]))
    array([[1]])
    """
    return np.asarray(inner.mean(axis=0).argmax(axis=0))


def partition_prompts(
    observed: np.ndarray,
    design: SubjectDesign,
    folds: Sequence[Fold],
    activations: Sequence[Activations],
    layers: np.ndarray,
    settings: BandSettings,
) -> dict[str, np.ndarray]:
    """Part held-out R² among the prompts of a network.

    Parameters
    ----------
    observed : array (n_samples, n_targets)
    design : SubjectDesign
    folds : sequence of Fold
    activations : sequence of Activations
        One for each prompt.
    layers : int array (n_folds, n_targets)
        Of every target, in every fold.
    settings : BandSettings

    Returns
    -------
    dict
        Means over folds: `unique` (n_prompts, n_targets), `shared`, `r2` and `nuisance_r2` (n_targets,).
    """
    names = [str(number) for number in range(len(activations))]
    models = ["all", *names, NUISANCE]
    r2 = {model: np.full((len(folds), observed.shape[1]), np.nan) for model in models}
    for layer in tqdm(np.unique(layers), unit="layer", disable=None, desc="prompts"):
        features = [design.features(each.read(int(layer))) for each in activations]
        for number, fold in enumerate(folds):
            at = np.flatnonzero(layers[number] == layer)
            if not len(at):
                continue
            bands = {name: unit_band(each, fold.train) for name, each in zip(names, features, strict=True)}
            if design.nuisance.shape[1]:
                bands[NUISANCE] = unit_band(design.nuisance, fold.train)
            for model in models:
                kept = _kept(bands, model)
                r2[model][number, at] = _held_out_r2(kept, observed[:, at], fold, settings)
    return _parts({model: values.mean(axis=0) for model, values in r2.items()}, names)


def _kept(bands: Bands, model: str) -> Bands:
    """The bands of a model: all, the nuisance alone, or all but the one it is named by."""
    if model == NUISANCE:
        return {name: values for name, values in bands.items() if name == NUISANCE}
    return {name: values for name, values in bands.items() if name != model}


def _parts(r2: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, np.ndarray]:
    unique = np.stack([r2["all"] - r2[name] for name in names])
    shared = r2["all"] - r2[NUISANCE] - unique.sum(axis=0)
    return {"unique": unique, "shared": shared, "r2": r2["all"], "nuisance_r2": r2[NUISANCE]}


def _held_out_r2(bands: Bands, observed: np.ndarray, fold: Fold, settings: BandSettings) -> np.ndarray:
    """R² (n_targets,) of what a fold holds out; zero without a band."""
    held, reference = observed[fold.test], observed[fold.train].mean(axis=0)
    if not bands:
        return np.zeros(observed.shape[1])
    features = np.concatenate(list(bands.values()), axis=1)
    if len(bands) == 1:
        predicted = fit_ridge(features, observed, fold, settings.alphas).predict(features[fold.test])
    else:
        predicted = _fit(bands, features, observed, fold, settings).predict(features[fold.test])
    return np.asarray(metrics.r_squared(predicted, held, reference))


def _fit(
    bands: Bands, features: np.ndarray, observed: np.ndarray, fold: Fold, settings: BandSettings
) -> BandedRidgeEncoder:
    widths = [values.shape[1] for values in bands.values()]
    candidates = settings.candidates * (len(bands) - 1)

    def fit(grid: np.ndarray) -> BandedRidgeEncoder:
        encoder = BandedRidgeEncoder(widths, grid, fold.inner, n_candidates=candidates, seed=settings.seed)
        return encoder.fit(features[fold.train], observed[fold.train])

    return fit_widening(fit, settings.alphas)
