"""Time in epochs: when each layer predicts, whether depth follows time, how long a code lasts, what it tells.

Of one subject, network and encoder: time courses of all layers and of the layer chosen, their peaks and
onsets; the correlation of depth with either; temporal generalisation, that is, predictions made for one
latency against responses at another (King & Dehaene 2014, Trends Cogn. Sci. 18:203); and the identification
of items.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neuroalign.alignment.evaluation.courses import COURSES, Courses, Resampling
from neuroalign.alignment.inference.null import SHARED_PAIRS
from neuroalign.alignment.timing.identification import PERMUTATIONS, Identified, identify
from neuroalign.alignment.timing.latencies import CONFIDENCE, of_layers, without_layer
from neuroalign.artefacts.arrays import place_attributes
from neuroalign.errors import DataError
from neuroalign.settings.statistics import Inference

ESTIMATE = np.array(["estimate", "low", "high"], object)


def timing(
    scores: xr.Dataset, predictions: xr.Dataset, responses: xr.Dataset, settings: Inference, seed: int
) -> xr.Dataset:
    """Everything about time of one subject, network and encoder.

    Parameters
    ----------
    scores : Dataset
        With `course` and `course_boot`, where the encoder scores layers one by one.
    predictions : Dataset
        Held-out predictions of the layer chosen.
    responses : Dataset
        Epochs of the same subject, with `content`.
    settings : Inference
    seed : int

    Returns
    -------
    Dataset
        Over `layer` and `latency` (s): `course`, `course_low`, `course_high`; over layers: `band` (what noise
        exceeds nowhere), `peak`, `onset`, each with `_low` and `_high`; over `bound` (estimate, low, high):
        `depth_by_peak` and `depth_by_onset` (Spearman). Of the layer chosen: `chosen_course` and its like,
        `generalisation` (latency, latency_test), `identification`, `identification_band` (low, high of
        chance), `identification_p` and `identification_p_max` over latencies.

    Raises
    ------
    DataError
        The responses are no epochs.
    """
    courses = Courses.of(responses, Resampling(settings.bootstraps, seed))
    if courses is None:
        raise DataError(
            f"sub-{responses.attrs.get('subject')}: only epochs have a time course; set responses.samples: "
            "trials, or leave this stage out"
        )
    fold = predictions["fold"].values
    data: dict[str, Any] = {}
    coordinates: dict[str, Any] = {
        "latency": courses.latencies,
        "latency_test": courses.latencies,
        "bound": ESTIMATE,
    }
    if set(COURSES) <= set(scores.data_vars):
        coordinates |= {"layer": scores["layer"].values, "depth": ("layer", scores["depth"].values)}
        course, draws = (scores[name].values.astype(float) for name in COURSES)
        data |= of_layers(course, draws, courses.latencies, scores["depth"].values, SHARED_PAIRS)
    else:
        coordinates |= {"layer": np.array([], object), "depth": ("layer", np.array([]))}
    data |= _of_chosen(courses, predictions, responses)
    at = channels_throughout(responses)
    predicted, observed = (
        _by_channel(source, len(courses.latencies))[:, at]
        for source in (predictions["prediction"].values, responses["response"].values)
    )
    matrix = generalisation(predicted, observed, fold)
    data["generalisation"] = (("latency", "latency_test"), matrix.astype(np.float32))
    found = identify(predicted, observed, fold, courses.contents, seed)
    data |= _labelled(found)
    attributes = {
        "n_channels_used": int(at.sum()),
        "n_pairs": 0 if found is None else found.n_pairs,
        "identification_permutations": PERMUTATIONS,
        "bootstraps": settings.bootstraps,
        "confidence": CONFIDENCE,
    }
    return xr.Dataset(data, coordinates, place_attributes(responses) | attributes)


def _labelled(found: Identified | None) -> dict[str, Any]:
    """Shares of pairs told apart, with their band of chance and p."""
    if found is None:
        return {}
    tail = (1 - CONFIDENCE) / 2
    band = np.stack([found.null.mean(axis=0), *np.quantile(found.null, [tail, 1 - tail], axis=0)])
    return {
        "identification": ("latency", found.accuracy.astype(np.float32)),
        "identification_band": (("bound", "latency"), band.astype(np.float32)),
        "identification_p": ("latency", found.p.astype(np.float32)),
        "identification_p_max": ("latency", found.p_max.astype(np.float32)),
    }


def _of_chosen(courses: Courses, predictions: xr.Dataset, responses: xr.Dataset) -> dict[str, Any]:
    """Course of the layer chosen by each fold and target, with its marks."""
    valid, fold = responses["valid"].values, predictions["fold"].values
    predicted, observed = predictions["prediction"].values[:, valid], responses["response"].values[:, valid]
    found = []
    for number in range(int(fold.max()) + 1):
        test = np.flatnonzero(fold == number)
        found.append(courses.fold(predicted[test], observed[test], test, number))
    mean = np.mean(found, axis=0)
    made = of_layers(mean[None, 0], mean[None, 1:], courses.latencies, np.zeros(1), SHARED_PAIRS)
    return without_layer(made, "chosen_")


def channels_throughout(responses: xr.Dataset) -> np.ndarray:
    """Channels (n_channels,) that are valid at every latency."""
    n_latencies = len(np.unique(responses["latency"].values))
    return np.asarray(responses["valid"].values.reshape(-1, n_latencies).all(axis=1))


def _by_channel(values: np.ndarray, n_latencies: int) -> np.ndarray:
    """Values (n_samples, n_targets) as (n_samples, n_channels, n_latencies)."""
    return values.reshape(len(values), -1, n_latencies)


def generalisation(predicted: np.ndarray, observed: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Correlation of predictions for one latency with responses at another (n_latencies, n_latencies).

    Over the held-out samples of a fold, averaged over channels and folds; rows are what was predicted.

    Parameters
    ----------
    predicted, observed : arrays (n_samples, n_channels, n_latencies)
    fold : int array (n_samples,)
    """
    n_folds = int(fold.max()) + 1
    total = np.zeros((predicted.shape[2],) * 2)
    for number in range(n_folds):
        one, other = (_unit(side[fold == number]) for side in (predicted, observed))
        for channel in range(predicted.shape[1]):
            total += one[:, channel].T @ other[:, channel]
    return total / (n_folds * predicted.shape[1]) if predicted.shape[1] else np.full(total.shape, np.nan)


def _unit(values: np.ndarray) -> np.ndarray:
    """Columns (n_samples, …) centred and of length 1; 0 where they do not vary."""
    centred = values.astype(float) - values.mean(axis=0, dtype=float)
    norm = np.linalg.norm(centred, axis=0)
    return np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 1e-12)
