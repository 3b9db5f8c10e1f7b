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

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from tqdm import tqdm

from neuroalign import metrics
from neuroalign.alignment.fitting.fold import fit_widening
from neuroalign.alignment.fitting.ridge import fit_ridge
from neuroalign.artefacts.arrays import Activations, open_arrays, save_arrays
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


@dataclass(frozen=True)
class KeptLayers:
    """Where finished layers are kept, so that a killed job goes on with the next one.

    Attributes
    ----------
    folder : Path
    fingerprint : str
        What they were made from; layers of another fingerprint are made anew.
    """

    folder: Path
    fingerprint: str

    def read(self, layer: int) -> np.ndarray | None:
        """R² (model, fold, target) of a layer, if it is kept and still good."""
        path = self._path(layer)
        if not path.is_file():
            return None
        kept = open_arrays(path)
        good = kept.attrs.get("fingerprint") == self.fingerprint
        return np.asarray(kept["r2"].values) if good else None

    def write(self, layer: int, r2: np.ndarray) -> None:
        """Keep R² (model, fold, target) of a layer."""
        kept = xr.Dataset({"r2": (("model", "fold", "target"), r2)}, attrs={"fingerprint": self.fingerprint})
        save_arrays(kept, self._path(layer))

    def remove(self) -> None:
        """Forget all layers."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, layer: int) -> Path:
        return self.folder / f"layer-{layer:03d}.nc"


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
    kept: KeptLayers | None = None,
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
    kept : KeptLayers, optional
        Targets of a layer that is kept are not fitted again.

    Returns
    -------
    dict
        Means over folds: `unique` (n_prompts, n_targets), `shared`, `r2` and `nuisance_r2` (n_targets,).
    """
    names = [str(number) for number in range(len(activations))]
    models = ["all", *names, NUISANCE]
    r2 = np.full((len(models), len(folds), observed.shape[1]), np.nan)
    for layer in tqdm(np.unique(layers), unit="layer", disable=None, desc="prompts"):
        here = layers == layer
        if kept is not None and (before := kept.read(int(layer))) is not None:
            r2[:, here] = before[:, here]
            continue
        features = [design.features(each.read(int(layer))) for each in activations]
        for number, fold in enumerate(folds):
            at = np.flatnonzero(layers[number] == layer)
            if not len(at):
                continue
            bands = {name: unit_band(each, fold.train) for name, each in zip(names, features, strict=True)}
            if design.nuisance.shape[1]:
                bands[NUISANCE] = unit_band(design.nuisance, fold.train)
            for place, model in enumerate(models):
                r2[place, number, at] = _held_out_r2(_kept(bands, model), observed[:, at], fold, settings)
        if kept is not None:
            kept.write(int(layer), np.where(here, r2, np.nan))
    return _parts(dict(zip(models, r2.mean(axis=1), strict=True)), names)


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
