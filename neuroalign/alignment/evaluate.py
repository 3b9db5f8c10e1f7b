"""Nested cross-validation of every layer: fitted, chosen and scored without looking ahead.

Every outer fold holds data out; inside its training data the inner folds choose the
regularisation of every target and then its layer; the held-out data score the choice. Nuisance
features stand beside the network's in every model, and alone in the control.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from tqdm import tqdm

from neuroalign import metrics
from neuroalign.alignment.fold import FoldEncoder
from neuroalign.arrays import Activations, open_arrays, place_attributes, save_arrays, target_coordinates
from neuroalign.config import Design
from neuroalign.design.features import SubjectDesign, design_subject
from neuroalign.design.folds import Fold, make_folds
from neuroalign.errors import DataError
from neuroalign.layout import NUISANCE

log = logging.getLogger("neuroalign")

SCORES, PREDICTION = "layer-{:03d}.nc", "layer-{:03d}-prediction.nc"
NOT_OF_THE_CHOSEN = ("alpha", "cv_r")
"""Scores of layers that are not given again for the layer chosen."""


@dataclass(frozen=True)
class Task:
    """What is fitted: the responses of one subject, its design and its folds.

    Attributes
    ----------
    observed : array (n_samples, n_valid_targets)
    design : SubjectDesign
    folds : list of Fold
    encoder : FoldEncoder
    fingerprint : str
        Changes whenever the result of a layer would; guards layers kept from an earlier run.
    """

    observed: np.ndarray
    design: SubjectDesign
    folds: list[Fold]
    encoder: FoldEncoder
    fingerprint: str


def evaluate(
    responses: xr.Dataset,
    events: pd.DataFrame,
    activations: Activations | None,
    settings: Design,
    encoder: FoldEncoder,
    partial: Path,
    fingerprint: str,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Score every layer of one network for one subject.

    Parameters
    ----------
    responses : Dataset
        Of one subject; invalid targets stay NaN in the result.
    events : DataFrame
        Events of this subject.
    activations : Activations or None
        None fits the nuisance features alone.
    settings : config.Design
    encoder : FoldEncoder
    partial : Path
        Folder where finished layers are kept, so that a killed job goes on; removed at the end.
    fingerprint : str
        What the kept layers were made from; layers of another fingerprint are made anew.

    Returns
    -------
    scores, predictions : Dataset
        Per layer, fold and target; and the held-out predictions of each target's chosen layer.

    Raises
    ------
    DataError
        A stimulus stands in training and test, no nuisance is configured for the control, or the
        data are too short.
    """
    valid = responses["valid"].values
    design = design_subject(responses, events, settings)
    if activations is None and not design.nuisance.shape[1]:
        raise DataError("design.nuisance: nothing to fit alone; set word_rate: true or name columns")
    folds, warnings = _folds(responses, events, activations, settings, design)
    observed = responses["response"].values[:, valid]
    task = Task(observed, design, folds, encoder, fingerprint)
    layers = (NUISANCE,) if activations is None else activations.layers
    if not valid.any():
        warnings.append(f"sub-{responses.attrs['subject']} has no target that varies; nothing was fitted")
    scored = []
    for number, name in enumerate(tqdm(layers, unit="layer", disable=None, desc="fit")):
        if kept := _kept(task, number, partial):
            log.info("layer %s was fitted before; going on after it", name)
        scored.append(kept or _fit_layer(task, activations, number, partial))
    scores = _stack(scored)
    predictions = _predictions(task, scores["chosen_layer"].values, partial, valid, responses)
    shutil.rmtree(partial, ignore_errors=True)
    coordinates: dict[str, Any] = {
        "layer": np.array(layers, object),
        "depth": ("layer", np.zeros(1) if activations is None else activations.depth),
        "fold": np.array([fold.label for fold in folds], object),
    }
    labelled = _placed(scores, valid).assign_coords(coordinates | target_coordinates(responses))
    return labelled.assign_attrs(_attributes(task, responses, warnings)), predictions


def _attributes(task: Task, responses: xr.Dataset, warnings: list[str]) -> dict[str, Any]:
    """Whose scores these are and what they were made with."""
    return place_attributes(responses) | {
        **task.encoder.attributes,
        "n_samples": len(task.observed),
        "nuisance": list(task.design.nuisance_names),
        "warnings": warnings,
    }


def _folds(
    responses: xr.Dataset,
    events: pd.DataFrame,
    activations: Activations | None,
    settings: Design,
    design: SubjectDesign,
) -> tuple[list[Fold], list[str]]:
    """The folds, with runs that share stimuli held out together, or a refusal where that cannot be."""
    runs, times = responses["run"].values.astype(str), responses["time_s"].values
    refuse = settings.folds.shared_items == "refuse"
    seen = events["item"].to_numpy() if activations is None else activations.inputs[events["item"].to_numpy()]
    linked = _linked_runs(events["run"].to_numpy(), seen) if refuse else []
    folds = make_folds(runs, times, settings.folds, design.lag, linked)
    sample = _sample_of_event(events, runs, times)
    shared = max(len(_both_sides(fold, sample, seen)) for fold in folds)
    if not shared:
        return folds, []
    if refuse:
        raise DataError(
            f"sub-{responses.attrs['subject']}: {shared} stimuli stand in both training and test data; "
            "hold out whole runs (design.folds.by: run), or set design.folds.shared_items: allow"
        )
    return folds, [
        f"{shared} of {len(np.unique(seen))} stimuli stand in both training and test data "
        "(design.folds.shared_items: allow): scores show generalisation over time, not to new stimuli"
    ]


def _linked_runs(runs: np.ndarray, seen: np.ndarray) -> list[tuple[str, str]]:
    """Pairs of runs in which the network saw the same input."""
    inputs = {run: set(seen[runs == run].tolist()) for run in dict.fromkeys(runs)}
    names = list(inputs)
    return [
        (one, other)
        for place, one in enumerate(names)
        for other in names[place + 1 :]
        if inputs[one] & inputs[other]
    ]


def _sample_of_event(events: pd.DataFrame, runs: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Index of the first sample at or after each event's onset (the run's last one at its end)."""
    found = np.empty(len(events), int)
    of_run = events["run"].to_numpy()
    for run in dict.fromkeys(of_run):
        samples = np.flatnonzero(runs == run)
        if not len(samples):
            found[of_run == run] = -1
            continue
        place = np.searchsorted(times[samples], events["onset"].to_numpy()[of_run == run])
        found[of_run == run] = samples[np.minimum(place, len(samples) - 1)]
    return found


def _both_sides(fold: Fold, sample: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The inputs that stand in both the training and the test samples of a fold."""
    return np.intersect1d(seen[np.isin(sample, fold.train)], seen[np.isin(sample, fold.test)])


def _kept(task: Task, number: int, partial: Path) -> xr.Dataset | None:
    """The scores of a layer that an earlier, unfinished run left behind, if they are of this task."""
    path = partial / SCORES.format(number)
    if not path.exists():
        return None
    kept = open_arrays(path)
    return kept if kept.attrs.get("fingerprint") == task.fingerprint else None


def _fit_layer(task: Task, activations: Activations | None, number: int, partial: Path) -> xr.Dataset:
    """Fit and score one layer in every outer fold; leave its scores and predictions in `partial`."""
    observed, nuisance = task.observed, task.design.nuisance
    network = None if activations is None else task.design.features(activations.read(number))
    names = ("r", "r2", "r_unique", *task.encoder.extras(control=network is None), "cv_r")
    found = {name: np.full((len(task.folds), observed.shape[1]), np.nan, np.float32) for name in names}
    prediction = np.full(observed.shape, np.nan, np.float32)
    for at, fold in enumerate(task.folds if observed.shape[1] else []):
        fitted = task.encoder.fit_fold(observed, nuisance, network, fold)
        predicted, held = fitted.predicted, observed[fold.test]
        prediction[fold.test], found["cv_r"][at] = predicted, fitted.cv_r
        for name, values in fitted.extras.items():
            found[name][at] = values
        found["r"][at] = np.nan_to_num(metrics.pearson(predicted, held))
        found["r2"][at] = metrics.r_squared(predicted, held, observed[fold.train].mean(axis=0))
        if network is not None:
            left = [metrics.residual(side, nuisance[fold.test]) for side in (predicted, held)]
            found["r_unique"][at] = np.nan_to_num(metrics.cosine(*left))
    data = {name: (("fold", "target"), values) for name, values in found.items()}
    scores = xr.Dataset(data, attrs={"fingerprint": task.fingerprint})
    # Scores go last: where they stand, the predictions are whole.
    save_arrays(
        xr.Dataset({"prediction": (("sample", "target"), prediction)}), partial / PREDICTION.format(number)
    )
    save_arrays(scores, partial / SCORES.format(number))
    return scores


def _stack(layers: list[xr.Dataset]) -> xr.Dataset:
    """All layers in one dataset, with the layer that each fold's training data choose per target."""
    scores = xr.concat(layers, "layer", combine_attrs="drop")
    names = [name for name in scores.data_vars if name not in NOT_OF_THE_CHOSEN]
    scores["chosen_layer"] = scores["cv_r"].argmax("layer").astype(np.int16)
    for name in names:
        scores[f"chosen_{name}"] = scores[name].isel(layer=scores["chosen_layer"])
    return scores


def _placed(scores: xr.Dataset, valid: np.ndarray) -> xr.Dataset:
    """Put the fitted targets back among all targets; those left out are NaN, their layer −1."""
    placed = {}
    for name, variable in scores.data_vars.items():
        empty = -1 if variable.dtype.kind == "i" else np.nan
        full = np.full((*variable.shape[:-1], len(valid)), empty, variable.dtype)
        full[..., valid] = variable.values
        placed[name] = (variable.dims, full)
    return xr.Dataset(placed)


def _predictions(
    task: Task, chosen: np.ndarray, partial: Path, valid: np.ndarray, responses: xr.Dataset
) -> xr.Dataset:
    """The held-out predictions of the layer chosen for each fold and target."""
    prediction = np.full(task.observed.shape, np.nan, np.float32)
    fold_of = np.full(len(prediction), -1, np.int16)
    for at, fold in enumerate(task.folds):
        fold_of[fold.test] = at
    for number in np.unique(chosen):
        layer = open_arrays(partial / PREDICTION.format(number))["prediction"].values
        for at, fold in enumerate(task.folds):
            targets = np.flatnonzero(chosen[at] == number)
            place = np.ix_(fold.test, targets)
            prediction[place] = layer[place]
    full = np.full((len(prediction), len(valid)), np.nan, np.float32)
    full[:, valid] = prediction
    return xr.Dataset(
        {
            "prediction": (("sample", "target"), full),
            "nuisance": (("sample", "feature"), task.design.nuisance),
            "fold": ("sample", fold_of),
        },
        {
            "run": responses["run"],
            "time_s": responses["time_s"],
            "feature": np.array(task.design.nuisance_names, object),
            **target_coordinates(responses),
        },
        place_attributes(responses),
    )
