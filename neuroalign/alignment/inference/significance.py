"""Which targets a network predicts beyond the nuisance features, and beyond chance.

The statistic is the held-out correlation that is unique to the network (nuisance projected out of
prediction and response in every fold, folds averaged). Its null keeps the autocorrelation of both
sides: the response of each held-out run is shifted in a circle, or its blocks are permuted,
against the prediction, by the same amount for all targets. Of trials, held-out items are put in a
random order, repeats of one staying together, and shifted in a circle. Nothing is fitted anew, since
in one fold the prediction is independent of the noise of what is held out.

Folds share pairs of runs (see `null`), so the null is widened: by what targets that were moved before they
were fitted say (see `blanks`), or, of encoders that do not fit them, by √2, and by more where every fold has
chosen among layers (see `choosing`). Without it, one in seven targets of pure noise passes at p ≤ .05.

Of EEG and MEG, neighbouring channels and latencies may be looked at together (see `clusters`). For that
the null of every target is kept, in units of its own spread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.stats
import xarray as xr

from neuroalign.alignment.inference.adjacency import Adjacency, adjacency
from neuroalign.alignment.inference.choosing import width
from neuroalign.alignment.inference.clusters import Neighbours, corrected
from neuroalign.alignment.inference.moves import items_held_out, moves_of, runs_held_out
from neuroalign.alignment.inference.null import SHARED_PAIRS, Sides, null_scores
from neuroalign.artefacts.arrays import place_attributes, target_coordinates
from neuroalign.design.trials import are_trials
from neuroalign.settings.statistics import CLUSTERED, Inference

BLOCK = 1024
"""Targets tested at once; bounds the memory of the null distributions."""

DECISIVE = {"fdr": "q", "max": "p_max", "cluster": "p_cluster", "tfce": "p_tfce"}
"""Correction → the p-value that decides whether a target is significant."""

NOT_OF_TESTS = {"cluster_level", "bootstraps"}
"""Settings of inference that no test, or only one by clusters, depends on."""


def test(predictions: xr.Dataset, responses: xr.Dataset, settings: Inference, seed: int) -> xr.Dataset:
    """Test every target of one subject, network and encoder.

    Predictions and responses are asked for block by block of targets, and may be read from files as they are.

    Parameters
    ----------
    predictions : Dataset
        Held-out predictions with their folds and nuisance features; their attribute `n_layers` says among
        how many layers every fold chose, `width`, where it is there, how wide the mean over folds is.
    responses : Dataset
        Of the same subject.
    settings : Inference
    seed : int

    Returns
    -------
    Dataset
        `r_unique`, `p` (one-sided), `q` (Benjamini-Hochberg over valid targets), `p_max` (maximum
        statistic over targets, family-wise), `significant` by the correction chosen. Where that looks at
        neighbours, also what `clusters.corrected` gives, and for the test of a group `score_z` (target) and
        `null_z` (permutation, target).

    Raises
    ------
    DataError
        The correction looks at neighbours, and the targets are no channels.
    """
    near = adjacency(responses) if settings.correction in CLUSTERED else None
    valid = responses["valid"].values
    rng = np.random.default_rng(seed)
    if are_trials(responses):
        segments = items_held_out(predictions["fold"].values, responses["content"].values, rng)
    else:
        segments = runs_held_out(predictions["fold"].values, predictions["run"].values)
    widened = SHARED_PAIRS * _width(predictions.attrs, len(segments)) / width(1, 1)
    nuisance = predictions["nuisance"].values
    times = None if are_trials(responses) else predictions["time_s"].values
    moves = [[moves_of(part, times, settings, rng) for part in fold] for fold in segments]
    observed = np.full(len(valid), np.nan)
    p = np.full(len(valid), np.nan)
    highest = np.full(settings.permutations, -np.inf)
    columns = np.flatnonzero(valid)
    kept = None if near is None else np.empty((1 + settings.permutations, len(columns)), np.float16)
    for start in range(0, len(columns), BLOCK):
        block = columns[start : start + BLOCK]
        sides = Sides(_of(predictions["prediction"], block), _of(responses["response"], block))
        statistic, null = null_scores(sides, nuisance, segments, moves, widened)
        observed[block] = statistic
        p[block] = (1 + (null >= statistic - 1e-12).sum(axis=0)) / (1 + settings.permutations)
        np.maximum(highest, null.max(axis=1), out=highest)
        if kept is not None:
            kept[:, start : start + BLOCK] = standardised(statistic, null)
    p_max = np.full(len(valid), np.nan)
    highest.sort()
    above = settings.permutations - np.searchsorted(highest, observed[columns] - 1e-12)
    p_max[columns] = (1 + above) / (1 + settings.permutations)
    q = np.full(len(valid), np.nan)
    if len(columns):
        q[columns] = scipy.stats.false_discovery_control(p[columns])
    data = {"r_unique": observed, "p": p, "q": q, "p_max": p_max}
    more, notes = ({}, {}) if kept is None or near is None else _by_neighbours(kept, near, valid, settings)
    data |= {name: more[name][1] for name in more if name in DECISIVE.values()}
    return xr.Dataset(
        {name: ("target", values.astype(np.float32)) for name, values in data.items()}
        | more
        | {"significant": ("target", significant(data, settings))},
        target_coordinates(responses),
        place_attributes(responses)
        | {f"inference_{key}": value for key, value in settings.model_dump(exclude=NOT_OF_TESTS).items()}
        | {"inference_widened": float(widened)}
        | notes
        | ({"inference_method": "item"} if are_trials(responses) else {}),
    )


def _of(array: xr.DataArray, targets: np.ndarray) -> np.ndarray:
    """Values (n_samples, n) of some targets, ascending; from a file only what lies among them is read."""
    first = targets[0]
    return array[:, first : targets[-1] + 1].values[:, targets - first]


def _by_neighbours(
    kept: np.ndarray, near: Adjacency, valid: np.ndarray, settings: Inference
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What neighbours tell together, from the z of data and permutations; and what to note of it."""
    threshold = float(scipy.stats.norm.isf(settings.cluster_level))
    made = corrected(kept[0], kept[1:], Neighbours.of(near.matrix), settings.correction, threshold)
    found = among_targets(made, valid)
    found["score_z"] = ("target", _full(kept[:1], valid)[0])
    found["null_z"] = (("permutation", "target"), _full(kept[1:], valid))
    return found, {"inference_cluster_level": settings.cluster_level, "inference_notes": list(near.notes)}


def standardised(statistic: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Statistics (n_targets,) and their null (n_permutations, n_targets), in units of their spread.

    Data and permutations are treated alike, or else chance in the spread of few permutations would make the
    data stand out more often than it should.

    Returns
    -------
    array (1 + n_permutations, n_targets)
        First the statistic, then the null; 0 where there is no spread. In half precision.
    """
    both = np.concatenate([statistic[None], null])
    spread = both.std(axis=0, dtype=float)
    unit = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-12)
    return ((both - both.mean(axis=0, dtype=float)) * unit).astype(np.float16)


def among_targets(values: Mapping[str, np.ndarray], tested: np.ndarray) -> dict[str, Any]:
    """Values of tested targets among all; the others are NaN, or 0 where whole numbers count something."""
    found: dict[str, Any] = {}
    for name, of_tested in values.items():
        whole = of_tested.dtype.kind == "i"
        full = np.zeros(len(tested), np.int16) if whole else np.full(len(tested), np.nan, np.float32)
        full[tested] = of_tested
        found[name] = ("target", full)
    return found


def _full(rows: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Rows (n, n_valid) among all targets, NaN where they were not tested."""
    full = np.full((len(rows), len(valid)), np.nan, rows.dtype)
    full[:, valid] = rows
    return full


def significant(found: Mapping[str, np.ndarray], settings: Inference) -> np.ndarray:
    """Which targets (n_targets,) pass the correction chosen; one that was not tested (NaN) never does.

    Parameters
    ----------
    found : mapping of name to array (n_targets,)
        Has the p-value that is `DECISIVE`.
    settings : Inference
    """
    return np.nan_to_num(found[DECISIVE[settings.correction]], nan=1.0) <= settings.level


def _width(attributes: Mapping[str, Any], n_folds: int) -> float:
    """How wide the mean over folds is: as measured, or by the model of layers that have nothing in common."""
    if "width" in attributes:
        return float(attributes["width"])
    return width(n_folds, int(attributes.get("n_layers", 1)))
