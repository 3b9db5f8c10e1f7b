"""Cross-attention through the outer folds of a study: one network of one subject, or of all together."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from tqdm import tqdm

from neuroalign.alignment.attention.fold import FoldAttention
from neuroalign.alignment.attention.listener import Listener, check_together
from neuroalign.alignment.attention.looked_at import looked_at, read_layers
from neuroalign.alignment.evaluation.scored import (
    among_all,
    as_one_layer,
    labelled_predictions,
    labelled_scores,
)
from neuroalign.artefacts.arrays import Activations, open_arrays, save_arrays
from neuroalign.design.trials import are_trials
from neuroalign.settings.design import Design

log = logging.getLogger("neuroalign")

TOGETHER = "all layers"
"""Name of the one layer that scores are given for."""

FOLD, STATE = "fold-{:03d}_sub-{}.nc", "fold-{:03d}_state"


def evaluate_attention(
    people: Mapping[str, tuple[xr.Dataset, pd.DataFrame]],
    activations: Activations,
    design: Design,
    encoder: FoldAttention,
    partial: Path,
    fingerprint: str,
    beside: Sequence[Activations] = (),
) -> dict[str, tuple[xr.Dataset, xr.Dataset]]:
    """Score cross-attention to a network's layers for one subject, or for several that share one network.

    Parameters
    ----------
    people : mapping of subject to (responses, events)
    activations : Activations
        Of all their stimuli.
    design : Design
    encoder : FoldAttention
    partial : Path
        Folder where finished folds and the state of training are kept, so that a killed job goes on;
        whoever writes the result removes it after that.
    fingerprint : str
        What they were made from; those of another fingerprint are made anew.
    beside : sequence of Activations
        Networks whose features are nuisance.

    Returns
    -------
    dict of (scores, predictions)
        By subject. Scores as of other encoders, for one layer called `TOGETHER`, and `importance`
        (source_layer, fold, target): the r that is lost without a layer; `delay` (lag, target): where in
        the seconds before a sample a target looks, whatever is said; or, of trials, `field` (place,
        target): where in an image, whatever it shows. Predictions also hold those of the
        samples that stopped training (`inner_prediction`), with their fold and sample.

    Raises
    ------
    DataError
        A stimulus stands in training and in test data, of whomever; subjects have other folds than others;
        the layers are unknown; or the data are too short.
    """
    window_s = encoder.settings.window_s
    trials = any(are_trials(responses) for responses, _ in people.values())
    values = read_layers(encoder.settings.layers, activations, trials)
    listeners = {
        name: Listener.of(*given, activations, values, design, window_s, beside)
        for name, given in people.items()
    }
    fitted = {name: each for name, each in listeners.items() if each.observed.shape[1]}
    check_together(fitted, refuse=design.folds.shared_items == "refuse")
    count = max(len(each.folds) for each in listeners.values())
    folder = partial / fingerprint
    found: dict[str, list[xr.Dataset]] = {name: [] for name in fitted}
    for number in tqdm(range(count if fitted else 0), unit="fold", disable=None, desc="fit"):
        made = _kept(folder, number, fitted)
        if not made:
            made = encoder.fit_fold(fitted, number, folder / STATE.format(number))
            for name, each in made.items():
                save_arrays(each, folder / FOLD.format(number, name))
        for name, each in made.items():
            found[name].append(each)
    places = looked_at(encoder.settings.layers, activations.layers)
    layers = {
        "source_layer": np.array([activations.layers[place] for place in places], object),
        "source_depth": ("source_layer", np.asarray(activations.depth)[places]),
    }
    return {
        name: (
            _scores(found.get(name, []), each, encoder, layers),
            _predictions(found.get(name, []), each),
        )
        for name, each in listeners.items()
    }


def _kept(folder: Path, number: int, people: Mapping[str, Listener]) -> dict[str, xr.Dataset]:
    """What an earlier, unfinished run left behind of a fold; nothing where it is not there of all."""
    paths = {name: folder / FOLD.format(number, name) for name in people}
    if not all(path.exists() for path in paths.values()):
        return {}
    log.info("fold %d was fitted before; going on after it", number + 1)
    return {name: open_arrays(path) for name, path in paths.items()}


def _scores(
    folds: Sequence[xr.Dataset], listener: Listener, encoder: FoldAttention, layers: Mapping[str, Any]
) -> xr.Dataset:
    """Scores in the format of all encoders, with one layer."""
    n_targets = listener.observed.shape[1]
    n_folds = len(listener.folds)
    n_layers = len(layers["source_layer"])

    def by_fold(name: str, *shape: int) -> np.ndarray:
        values = [each[name].values for each in folds]
        return np.reshape(values, (n_folds, *shape, n_targets)).astype(np.float32)

    reach = listener.reach
    field = by_fold("field", len(reach)).mean(axis=0)
    scores = as_one_layer({name: by_fold(name) for name in ("r", "r2", "r_unique", "cv_r")}).assign(
        importance=(("source_layer", "fold", "target"), np.swapaxes(by_fold("importance", n_layers), 0, 1))
    )
    places: dict[str, Any]
    if reach.shape[1] == 1:
        scores["delay"], places = (("lag", "target"), field), {"lag": reach[:, 0]}
    else:
        scores["field"] = ("place", "target"), field
        places = {"place_x": ("place", reach[:, 0]), "place_y": ("place", reach[:, 1])}
    coordinates = {
        "layer": np.array([TOGETHER], object),
        "depth": ("layer", np.array([np.nan])),
        "fold": np.array([fold.label for fold in listener.folds], object),
        **layers,
        **places,
    }
    attributes = {
        **encoder.attributes,
        "n_samples": len(listener.observed),
        "nuisance": list(listener.design.nuisance_names),
        "warnings": listener.warnings,
    }
    return labelled_scores(scores, listener.responses, coordinates, attributes)


def _predictions(folds: Sequence[xr.Dataset], listener: Listener) -> xr.Dataset:
    """Predictions in the format of all encoders, and those that stopped training."""
    prediction = np.full(listener.observed.shape, np.nan, np.float32)
    for fold, found in zip(listener.folds, folds, strict=False):
        prediction[fold.test] = found["prediction"].values
    made = labelled_predictions(prediction, listener.design, listener.folds, listener.responses)
    if not folds:
        return made
    inner = np.concatenate([each["inner_prediction"].values for each in folds])
    counts = [each.sizes["inner"] for each in folds]
    made["inner_prediction"] = (
        ("inner", "target"),
        among_all(inner, listener.responses["valid"].values),
    )
    made["inner_sample"] = ("inner", np.concatenate([each["inner_sample"].values for each in folds]))
    made["inner_fold"] = ("inner", np.repeat(np.arange(len(folds), dtype=np.int16), counts))
    return made
