"""The prompts of a network beside each other: which one a target prefers, and what is unique to each.

The prompt of a target is the one whose chosen layer has the best inner score, which training data alone
decide. In every fold that choice is made anew; what the prompt chosen there predicts of the held-out data is
scored and tested like a network of its own. A target is called significant where this is better than chance:
that it is better than the other prompts is another question, to which the margin and the unique parts of R²
speak.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign.alignment.evaluation.held_out import held_out
from neuroalign.alignment.evaluation.scored import among_all
from neuroalign.alignment.group import mean_of, over_subjects
from neuroalign.alignment.inference import significance
from neuroalign.alignment.prompts.partition import (
    BandSettings,
    KeptLayers,
    partition_prompts,
    shared_layers,
)
from neuroalign.artefacts.arrays import Activations, place_attributes, target_coordinates
from neuroalign.design.features import design_subject
from neuroalign.errors import DataError
from neuroalign.settings.design import Design
from neuroalign.settings.statistics import Inference

BY_PROMPT = ("train_r", "r", "unique")
"""Per prompt and target: inner score of the chosen layer, its held-out r, and the unique part of R²."""

BY_TARGET = ("preferred_r", "margin", "r_unique", "r2", "nuisance_r2", "shared")
"""Per target, averaged over subjects for the group."""


@dataclass(frozen=True)
class Condition:
    """A network under one prompt, for one subject.

    Attributes
    ----------
    text : str
        The prompt.
    scores, predictions : Dataset
        Of ridge regression.
    activations : Activations
    """

    text: str
    scores: xr.Dataset
    predictions: xr.Dataset
    activations: Activations


def compare_prompts(
    responses: xr.Dataset,
    events: pd.DataFrame,
    conditions: Mapping[str, Condition],
    design: Design,
    tests: Inference,
    bands: BandSettings,
    beside: Sequence[Activations] = (),
    kept: KeptLayers | None = None,
) -> xr.Dataset:
    """Compare the prompts of a network for one subject.

    Parameters
    ----------
    responses : Dataset
    events : DataFrame
        Of this subject.
    conditions : mapping of prompt to Condition
        At least two.
    design : Design
    tests : Inference
    bands : BandSettings
    beside : sequence of Activations
        Networks whose features are nuisance.
    kept : KeptLayers, optional
        Layers of a killed job, with which this one goes on; removed at the end.

    Returns
    -------
    Dataset
        Of `BY_PROMPT` and `BY_TARGET`, with `preferred` (place of the prompt, −1 where nothing was fitted),
        `stability` (share of folds that choose it), `p`, `q`, `p_max` and `significant`.

    Raises
    ------
    DataError
        The prompts were not fitted through the same folds, or as the fit itself.
    """
    several = list(conditions.values())
    labels = {tuple(each.scores["fold"].values.astype(str)) for each in several}
    if len(labels) > 1:
        raise DataError(
            f"sub-{responses.attrs['subject']}: the prompts were scored through different folds; "
            "hold out whole runs or items (design.folds.by)"
        )
    valid = responses["valid"].values
    found = preferences([each.scores.isel(target=valid) for each in several])
    chosen = _predictions_of_chosen(several, found.pop("chosen"), valid)
    tested = significance.test(chosen, responses, tests, bands.seed)
    data = {name: among_all(values, valid) for name, values in found.items()}
    if valid.any():
        subject = design_subject(responses, events, design, beside)
        folds, _ = held_out(responses, events, several[0].activations, design, subject.lag)
        inner = np.stack([each.scores["cv_r"].values[..., valid] for each in several])
        observed, stores = responses["response"].values[:, valid], [each.activations for each in several]
        parts = partition_prompts(observed, subject, folds, stores, shared_layers(inner), bands, kept)
        data |= {name: among_all(values, valid) for name, values in parts.items()}
    else:
        empty = np.full(len(valid), np.nan, np.float32)
        data |= {"unique": np.tile(empty, (len(several), 1))}
        data |= dict.fromkeys(("shared", "r2", "nuisance_r2"), empty)
    preferred = np.where(valid, np.nan_to_num(data.pop("preferred"), nan=-1), -1).astype(np.int16)
    variables: dict[str, Any] = {name: (_dims(values), values) for name, values in data.items()}
    variables |= {str(name): (tested[name].dims, tested[name].values) for name in tested.data_vars}
    first = several[0].scores
    attributes = place_attributes(responses) | {
        **{key: value for key, value in tested.attrs.items() if str(key).startswith("inference_")},
        "folds": [str(label) for label in first["fold"].values],
        "n_valid": int(valid.sum()),
    }
    coordinates = {
        "prompt": np.array(list(conditions), object),
        "text": ("prompt", np.array([each.text for each in several], object)),
        **target_coordinates(responses),
    }
    if kept is not None:
        kept.remove()
    return xr.Dataset(variables | {"preferred": ("target", preferred)}, coordinates, attributes)


def _dims(values: np.ndarray) -> tuple[str, ...]:
    return ("prompt", "target") if values.ndim == 2 else ("target",)


def preferences(scores: Sequence[xr.Dataset]) -> dict[str, np.ndarray]:
    """Which prompt every target prefers, and how well that one does.

    Parameters
    ----------
    scores : sequence of Dataset
        One for each prompt, of the same folds and targets.

    Returns
    -------
    dict
        `train_r` and `r` (n_prompts, n_targets); `preferred`, `preferred_r`, `margin` (by how much its inner
        score exceeds the next) and `stability` (n_targets,); `chosen` (n_folds, n_targets), each fold's own.
    """
    inner = np.stack([each["cv_r"].max("layer").values for each in scores])  # (prompt, fold, target)
    held = np.stack([each["chosen_r"].values for each in scores])
    chosen = inner.argmax(axis=0)
    training = inner.mean(axis=1)
    ranked = np.sort(training, axis=0)
    preferred = training.argmax(axis=0)
    picked = np.take_along_axis(held, chosen[None], axis=0)[0]
    return {
        "train_r": training,
        "r": held.mean(axis=1),
        "preferred": preferred,
        "preferred_r": picked.mean(axis=0),
        "margin": ranked[-1] - ranked[-2],
        "stability": (chosen == preferred).mean(axis=0),
        "chosen": chosen,
    }


def _predictions_of_chosen(several: Sequence[Condition], chosen: np.ndarray, valid: np.ndarray) -> xr.Dataset:
    """Held-out predictions, in every fold those of the prompt chosen in it."""
    first = several[0].predictions
    fold = first["fold"].values
    prediction = first["prediction"].values.copy()
    columns = np.flatnonzero(valid)
    for number, of_fold in enumerate(chosen):
        rows = np.flatnonzero(fold == number)
        for place, condition in enumerate(several):
            at = np.ix_(rows, columns[of_fold == place])
            prediction[at] = condition.predictions["prediction"].values[at]
    return first.assign(prediction=(first["prediction"].dims, prediction))


def combine_prompts(subjects: Sequence[xr.Dataset], settings: Inference, seed: int) -> xr.Dataset:
    """Combine the comparisons of subjects that share their targets.

    The group's prompt of a target is the one with the best mean inner score; `stability` is the share of
    subjects who prefer it. The test is that of `group.combine`, of the prompt chosen in each subject's folds.

    Parameters
    ----------
    subjects : sequence of Dataset
        What `compare_prompts` gives; subjects without a valid target are left out.
    settings : Inference
    seed : int

    Returns
    -------
    Dataset
        As of a subject, of means over subjects.
    """
    first = subjects[0]
    used = [one for one in subjects if one.attrs["n_valid"] > 0] or [first]
    data: dict[str, Any] = {}
    for name in (*BY_PROMPT, *BY_TARGET):
        stacked = np.stack([one[name].values for one in used]).astype(np.float64)
        data[name] = (first[name].dims, mean_of(stacked).astype(np.float32))
    training = data["train_r"][1]
    there = np.isfinite(training).all(axis=0)
    preferred = np.where(there, np.where(there, training, 0).argmax(axis=0), -1).astype(np.int16)
    ranked = np.sort(training, axis=0)
    data["margin"] = ("target", ranked[-1] - ranked[-2])
    agreed = np.mean([one["preferred"].values == preferred for one in used], axis=0)
    data["preferred"] = ("target", preferred)
    data["stability"] = ("target", np.where(there, agreed, np.nan).astype(np.float32))
    unique, p = (np.stack([one[name].values for one in used]).astype(float) for name in ("r_unique", "p"))
    tested, method = over_subjects(unique, p, settings, seed, used)
    kept = {key: first.attrs[key] for key in first.attrs if key.startswith(("network", "inference_"))}
    attributes = place_attributes(first) | kept
    attributes |= {
        "subject": "group",
        "encoder": first.attrs.get("encoder", ""),
        "subjects": [str(one.attrs["subject"]) for one in used],
        "group_method": method,
        "n_valid": int(there.sum()),
    }
    coordinates = {name: first[name] for name in ("prompt", "text")} | target_coordinates(first)
    return xr.Dataset(data | tested, coordinates, attributes)
