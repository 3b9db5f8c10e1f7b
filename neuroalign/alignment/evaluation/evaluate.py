"""Nested cross-validation of every layer: fitted, chosen and scored without looking ahead.

Every outer fold holds data out; inside its training data the inner folds choose the
regularisation of every target and then its layer; the held-out data score the choice. Nuisance
features stand beside the network's in every model, and alone in the control.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from tqdm import tqdm

from neuroalign.alignment.evaluation.courses import COURSES, Courses, Resampling
from neuroalign.alignment.evaluation.held_out import held_out
from neuroalign.alignment.evaluation.scored import (
    fold_scores,
    folds_of_samples,
    labelled_predictions,
    labelled_scores,
)
from neuroalign.alignment.fitting.fold import FoldEncoder
from neuroalign.alignment.inference.blanks import draw_blanks, width_of_blanks
from neuroalign.alignment.inference.moves import Segment, items_held_out, runs_held_out
from neuroalign.alignment.inference.null import Sides
from neuroalign.artefacts.arrays import Activations, open_arrays, save_arrays
from neuroalign.artefacts.layout import NUISANCE
from neuroalign.design.features import SubjectDesign, design_subject
from neuroalign.design.folds import Fold
from neuroalign.design.trials import are_trials, trial_events
from neuroalign.errors import DataError
from neuroalign.settings.design import Design

log = logging.getLogger("neuroalign")

SCORES, PREDICTION = "layer-{:03d}.nc", "layer-{:03d}-prediction.nc"
NOT_OF_THE_CHOSEN = ("alpha", "cv_r", *COURSES)
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
    courses : Courses or None
        Of epochs: what is scored over latencies while predictions are at hand.
    blanks : int
        So many of the last targets have nothing in them; see `blanks`.
    """

    observed: np.ndarray
    design: SubjectDesign
    folds: list[Fold]
    encoder: FoldEncoder
    fingerprint: str
    courses: Courses | None
    blanks: int = 0

    @property
    def real(self) -> slice:
        """The targets that are no blanks."""
        return slice(self.observed.shape[1] - self.blanks)


def evaluate(
    responses: xr.Dataset,
    events: pd.DataFrame,
    activations: Activations | None,
    settings: Design,
    encoder: FoldEncoder,
    partial: Path,
    fingerprint: str,
    beside: Sequence[Activations] = (),
    resampling: Resampling | None = None,
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
    settings : Design
    encoder : FoldEncoder
    partial : Path
        Folder where finished layers are kept, so that a killed job goes on; removed at the end.
    fingerprint : str
        What the kept layers were made from; layers of another fingerprint are made anew.
    beside : sequence of Activations
        Networks whose features are nuisance.
    resampling : Resampling, optional
        How time courses of epochs are drawn anew; anything else has none.

    Returns
    -------
    scores, predictions : Dataset
        Per layer, fold and target; and the held-out predictions of each target's chosen layer. Scores of
        epochs have `course` (layer, moment) and `course_boot` (layer, draw, moment), the mean r over channels
        and folds, with `moment` in seconds.

    Raises
    ------
    DataError
        A stimulus stands in training and test, no nuisance is configured for the control, or the
        data are too short.
    """
    valid = responses["valid"].values
    design = design_subject(responses, events, settings, beside, activations)
    if activations is None and not design.nuisance.shape[1]:
        raise DataError("design.nuisance: nothing to fit alone; name columns or networks, or set word_rate")
    folds, warnings = held_out(responses, events, activations, settings, design.lag)
    observed = responses["response"].values[:, valid]
    courses = Courses.of(responses, resampling)
    # Blanks of lagged features would be as long as the recording, beside few channels.
    blank = activations is not None and not encoder.makes_lags
    segments, moved = _segments(responses, events, folds) if blank else ([], [])
    more = draw_blanks(observed, moved) if blank else observed[:, :0]
    observed = np.concatenate([observed, more], axis=1)
    task = Task(observed, design, folds, encoder, fingerprint, courses, more.shape[1])
    layers = (NUISANCE,) if activations is None else activations.layers
    scored = []
    for number, name in enumerate(tqdm(layers, unit="layer", disable=None, desc="fit")):
        if kept := _kept(task, number, partial):
            log.info("layer %s was fitted before; going on after it", name)
        scored.append(kept or _fit_layer(task, activations, number, partial))
    scores = _stack(scored)
    prediction = _chosen_predictions(task, scores["chosen_layer"].values, partial)
    shutil.rmtree(partial, ignore_errors=True)
    depth = np.zeros(1) if activations is None else activations.depth
    labelled = _labelled(task, scores.isel(target=task.real), layers, depth, responses)
    labelled.attrs["warnings"] = warnings
    kept = labelled_predictions(prediction[:, task.real], design, folds, responses, len(layers))
    if task.blanks:
        last = slice(observed.shape[1] - task.blanks, None)
        sides = Sides(prediction[:, last], observed[:, last])
        kept.attrs["width"] = width_of_blanks(sides, design.nuisance, segments)
    return labelled, kept


def _segments(
    responses: xr.Dataset, events: pd.DataFrame, folds: Sequence[Fold]
) -> tuple[list[list[Segment]], list[list[Segment]]]:
    """What changes places in the null, fold by fold; and what is moved as one to make blanks."""
    fold_of = folds_of_samples(responses.sizes["sample"], folds)
    if are_trials(responses):
        contents = trial_events(responses, events)["content"].to_numpy()
        items = items_held_out(fold_of, contents, np.random.default_rng(0))
        return items, items
    runs = responses["run"].values
    return runs_held_out(fold_of, runs), runs_held_out(np.zeros_like(fold_of), runs)


def _labelled(
    task: Task, scores: xr.Dataset, layers: Sequence[str], depth: np.ndarray, responses: xr.Dataset
) -> xr.Dataset:
    """Scores of all layers among all targets, with what names their axes and what they were fitted with."""
    coordinates: dict[str, Any] = {
        "layer": np.array(layers, object),
        "depth": ("layer", depth),
        "fold": np.array([fold.label for fold in task.folds], object),
        **task.encoder.coordinates,
    }
    attributes = {
        **task.encoder.attributes,
        "n_samples": len(task.observed),
        "nuisance": list(task.design.nuisance_names),
    }
    over_time = scores[[name for name in COURSES if name in scores]]
    labelled = labelled_scores(scores.drop_vars(over_time.data_vars), responses, coordinates, attributes)
    if task.courses is None:
        return labelled
    return labelled.assign(over_time.data_vars).assign_coords(moment=task.courses.latencies)


def _kept(task: Task, number: int, partial: Path) -> xr.Dataset | None:
    """The scores of a layer that an earlier, unfinished run left behind, if they are of this task."""
    path = partial / SCORES.format(number)
    if not path.exists():
        return None
    try:
        kept = open_arrays(path)
        open_arrays(partial / PREDICTION.format(number))
    except DataError as error:
        log.warning("%s; it is fitted again", error)
        return None
    return kept if kept.attrs.get("fingerprint") == task.fingerprint else None


def _fit_layer(task: Task, activations: Activations | None, number: int, partial: Path) -> xr.Dataset:
    """Fit and score one layer in every outer fold; leave its scores and predictions in `partial`."""
    observed, nuisance = task.observed, task.design.nuisance
    beside = nuisance if task.design.unlagged is None or not task.encoder.makes_lags else task.design.unlagged
    network = None if activations is None else task.design.features(activations.read(number))
    extras = task.encoder.extras(control=network is None)
    names = ("r", "r2", "r_unique", *extras, "cv_r")
    dims = {name: ("fold", *extras.get(name, ()), "target") for name in names}
    sizes = {name: len(values) for name, values in task.encoder.coordinates.items()}
    sizes |= {"fold": len(task.folds), "target": observed.shape[1]}
    found = {name: np.full([sizes[dim] for dim in of], np.nan, np.float32) for name, of in dims.items()}
    prediction = np.full(observed.shape, np.nan, np.float32)
    over_time = []
    for at, fold in enumerate(task.folds if observed.shape[1] else []):
        fitted = task.encoder.fit_fold(observed, beside, network, fold, task.blanks)
        prediction[fold.test], found["cv_r"][at] = fitted.predicted, fitted.cv_r
        beyond = None if network is None else nuisance
        made = fold_scores(fitted.predicted, observed, fold, beyond)
        for name, values in (fitted.extras | made).items():
            found[name][at] = values
        if task.courses is not None:
            real = fitted.predicted[:, task.real], observed[fold.test][:, task.real]
            over_time.append(task.courses.fold(*real, fold.test, at))
    data: dict[str, Any] = {name: (dims[name], values) for name, values in found.items()}
    if over_time:
        mean = np.mean(over_time, axis=0).astype(np.float32)
        data |= {"course": ("moment", mean[0]), "course_boot": (("draw", "moment"), mean[1:])}
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
        chosen = scores[name].isel(layer=scores["chosen_layer"])
        scores[f"chosen_{name}"] = chosen.transpose(..., "target")
    return scores


def _chosen_predictions(task: Task, chosen: np.ndarray, partial: Path) -> np.ndarray:
    """The held-out predictions (n_samples, n_targets) of the layer chosen for each fold and target."""
    prediction = np.full(task.observed.shape, np.nan, np.float32)
    for number in np.unique(chosen):
        layer = open_arrays(partial / PREDICTION.format(number))["prediction"].values
        for at, fold in enumerate(task.folds):
            place = np.ix_(fold.test, np.flatnonzero(chosen[at] == number))
            prediction[place] = layer[place]
    return prediction
