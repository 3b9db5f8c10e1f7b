"""From subjects to the group: means, the layers of the mean profile, and a test over subjects."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import scipy.stats
import xarray as xr

from neuroalign.alignment.fitting.partition import PARTS, PRODUCT, WEIGHT
from neuroalign.alignment.inference.adjacency import adjacency
from neuroalign.alignment.inference.clusters import Neighbours, corrected
from neuroalign.alignment.inference.significance import among_targets, significant, standardised
from neuroalign.alignment.layers import ATTENDED, BESIDE, attended, depths
from neuroalign.artefacts.arrays import place_attributes, target_coordinates
from neuroalign.errors import DataError
from neuroalign.settings.statistics import CLUSTERED, Inference

ENOUGH_SUBJECTS = 8
"""From here on signs are flipped over subjects; with fewer, 2⁻ⁿ is too coarse to pass a correction."""

AVERAGED = (
    *("r", "r2", "r_unique", "cv_r", "chosen_r", "chosen_r2", "chosen_r_unique", "nuisance_r", "stability"),
    *("ceiling", "ceiling_low", "ceiling_high", "raw_r", "normalised_r", "normalised_r2"),
)
SPLIT = tuple(f"{prefix}{name}" for prefix in ("", "chosen_") for name in (*PARTS, *PRODUCT, WEIGHT))
"""Averaged too, for encoders that part R² between network and nuisance features."""

MORE = (*ATTENDED, "attention_weight", "kernel", "chosen_kernel")
"""Averaged too, for encoders that look at all layers and at words of several seconds, mix one in, or have
kernels."""


def combine(
    summaries: list[xr.Dataset], settings: Inference, seed: int, tests: Sequence[xr.Dataset] = ()
) -> xr.Dataset:
    """Combine the summaries of subjects that share their targets.

    Parameters
    ----------
    summaries : list of Dataset
        One per subject, of one network and encoder; subjects without a valid target are left out.
    settings : Inference
    seed : int
    tests : sequence of Dataset
        What `significance.test` gave of the same subjects, where few subjects are corrected by neighbours.

    Returns
    -------
    Dataset
        As a subject's summary, of means over subjects, with `n_subjects` per target. The test is of
        the mean unique correlation: sign flips over subjects (a statement about people like these)
        from eight subjects on; with fewer, their p-values by Stouffer's method (a statement about
        these people). `p_max` is by the maximum statistic, or by Bonferroni with Stouffer. Clusters and
        threshold-free enhancement are of t over subjects with flipped signs; with few subjects, of the sum
        of their z, under the same permutation in all of them.

    Raises
    ------
    DataError
        The subjects' targets differ, so that there is no mean.
    """
    first = summaries[0]
    used = [one for one in summaries if one.attrs["n_valid"] > 0]
    for one in used:
        if one.sizes["target"] != used[0].sizes["target"]:
            raise DataError(
                f"sub-{one.attrs['subject']} has {one.sizes['target']} targets, "
                f"sub-{used[0].attrs['subject']} has {used[0].sizes['target']}; "
                "bring all subjects to one space, or set group: false"
            )
    used = used or [first]
    data: dict[str, Any] = {}
    for name in (*AVERAGED, *(name for name in (*SPLIT, *MORE) if name in first)):
        stacked = np.stack([one[name].values for one in used]).astype(np.float64)
        data[name] = (first[name].dims, mean_of(stacked).astype(np.float32))
    data |= depths(data["cv_r"][1], first["depth"].values)
    data |= attended({name: data[name][1] for name in ATTENDED if name in data}, first)
    data["above_chance"] = ("target", np.mean([one["above_chance"].values for one in used], axis=0) > 0.5)
    data["n_subjects"] = (
        "target",
        np.sum([np.isfinite(one["chosen_r"].values) for one in used], axis=0).astype(np.int16),
    )
    coordinates: dict[str, Any] = {name: first[name] for name in BESIDE if name in first.coords}
    attributes = place_attributes(first) | {
        **{
            key: first.attrs[key]
            for key in first.attrs
            if key.startswith(("network", "encoder", "inference_", "folds"))
        },
        "subject": "group",
        "subjects": [str(one.attrs["subject"]) for one in used],
        "n_valid": int((data["n_subjects"][1] > 0).sum()),
        "n_excluded": int((data["n_subjects"][1] == 0).sum()),
        "ceiling_method": first.attrs["ceiling_method"],
        "ceiling_reason": first.attrs["ceiling_reason"],
        "ceiling_confidence": first.attrs["ceiling_confidence"],
        "warnings": [str(note) for one in summaries for note in np.atleast_1d(one.attrs["warnings"])],
    }
    if "alpha" in first.coords:
        coordinates["alpha"], counts = _alpha_counts(used)
        data["alpha_count"] = ("alpha", counts)
        edges = ("edge_low", "edge_high")
        attributes |= {edge: float(np.mean([one.attrs[edge] for one in used])) for edge in edges}
    if "p" in first:
        unique, p = (
            np.stack([one[name].values for one in used]).astype(np.float64)
            for name in ("chosen_r_unique", "p")
        )
        of_used = [one for one in tests if str(one.attrs["subject"]) in attributes["subjects"]] or used
        tested, attributes["group_method"] = over_subjects(unique, p, settings, seed, of_used)
        data |= tested
    return xr.Dataset(data, coordinates | target_coordinates(first) | _anyone_valid(used), attributes)


def mean_of(stacked: np.ndarray) -> np.ndarray:
    """Mean over subjects (the first axis) of those that have a value; NaN where none has."""
    there = np.isfinite(stacked)
    count = there.sum(axis=0)
    total = np.where(there, stacked, 0).sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _anyone_valid(used: list[xr.Dataset]) -> dict[str, Any]:
    """A target is valid for the group if it is for anyone."""
    return {"valid": ("target", np.any([one["valid"].values for one in used], axis=0))}


def _alpha_counts(used: list[xr.Dataset]) -> tuple[np.ndarray, np.ndarray]:
    """The grid of all subjects together and how often each α was chosen."""
    grid = np.unique(np.concatenate([one["alpha"].values for one in used]))
    counts = np.zeros(len(grid), int)
    for one in used:
        counts[np.searchsorted(grid, one["alpha"].values)] += one["alpha_count"].values
    return grid, counts


def over_subjects(
    unique: np.ndarray, single: np.ndarray, settings: Inference, seed: int, tests: Sequence[xr.Dataset]
) -> tuple[dict[str, Any], str]:
    """Test the mean unique correlation over subjects; targets that someone lacks are not tested.

    Parameters
    ----------
    unique, single : arrays (n_subjects, n_targets)
        Unique correlations, and each subject's own p-values.
    settings : Inference
    seed : int
    tests : sequence of Dataset
        Of the same subjects: where the targets lie; for few subjects corrected by neighbours, also
        `score_z` and `null_z`.

    Returns
    -------
    data : dict
        `p`, `q`, `p_max` and `significant` over targets, and what `clusters.corrected` gives.
    method : str
        "sign-flip" or "stouffer".
    """
    tested = np.atleast_1d(np.isfinite(unique).all(axis=0))
    z = np.arctanh(np.clip(unique[:, tested], -0.999999, 0.999999))
    many = len(unique) >= ENOUGH_SUBJECTS
    if many:
        p, p_max = sign_flip(z, settings.permutations, np.random.default_rng(seed))
    else:
        # A p of exactly 1 says that all permutations were as good; as −∞ it would outvote everybody else.
        most = 1 - 0.5 / (1 + settings.permutations)
        own = scipy.stats.norm.isf(np.minimum(single[:, tested], most))
        p = scipy.stats.norm.sf(own.sum(axis=0) / np.sqrt(len(unique)))
        p_max = np.minimum(1, p * tested.sum())
    q = scipy.stats.false_discovery_control(p) if tested.any() else p
    columns = {"p": p, "q": q, "p_max": p_max}
    if settings.correction in CLUSTERED:
        near = Neighbours.of(adjacency(tests[0].assign_coords(valid=("target", tested))).matrix)
        if many:
            maps = _flipped(z, settings.permutations, np.random.default_rng(seed))
            threshold = scipy.stats.t.isf(settings.cluster_level, len(z) - 1)
        else:
            maps = _summed(tests, tested)
            threshold = scipy.stats.norm.isf(settings.cluster_level)
        columns |= corrected(maps[0], maps[1:], near, settings.correction, float(threshold))
    data = among_targets(columns, tested)
    data["significant"] = ("target", significant({name: data[name][1] for name in columns}, settings))
    return data, "sign-flip" if many else "stouffer"


def _flipped(values: np.ndarray, permutations: int, rng: np.random.Generator) -> np.ndarray:
    """One-sample t (1 + n_patterns, n_targets) of values (n_subjects, n_targets), first as they are.

    Flipping signs leaves the sum of squares as it is: t follows from the mean alone.
    """
    n = len(values)
    signs, squares = _signs(n, permutations, rng), (values**2).mean(axis=0)
    found = np.zeros((len(signs), values.shape[1]), np.float32)
    for row, pattern in zip(found, signs, strict=True):
        mean = pattern @ values / n
        variance = np.maximum(squares - mean**2, 0) / (n - 1)
        np.divide(mean, np.sqrt(variance), out=row, where=variance > 1e-24, casting="same_kind")
    return found


def _summed(tests: Sequence[xr.Dataset], tested: np.ndarray) -> np.ndarray:
    """The sum of subjects' z (1 + n_permutations, n_targets), first of the data, in units of its null."""
    statistic = np.sum([one["score_z"].values[tested].astype(np.float32) for one in tests], axis=0)
    null = np.zeros((tests[0].sizes["permutation"], int(tested.sum())), np.float32)
    for one in tests:
        null += one["null_z"].values[:, tested]
    return standardised(statistic, null)


def _signs(n: int, permutations: int, rng: np.random.Generator) -> np.ndarray:
    """Patterns (n_patterns, n) of signs, first all of them plus: all there are, or a random draw."""
    if 2**n <= permutations:
        return np.array(list(product([1, -1], repeat=n)), float)
    return np.concatenate([np.ones((1, n)), rng.choice([-1.0, 1.0], (permutations, n))])


def sign_flip(
    values: np.ndarray, permutations: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One-sided test that the mean over subjects (n_subjects, n_targets) exceeds zero.

    All sign patterns are used where there are no more of them than `permutations`, else a random draw.

    Returns
    -------
    p, p_max : arrays (n_targets,)
        Uncorrected, and family-wise by the maximum over targets.
    """
    n, signs = len(values), _signs(len(values), permutations, rng)
    observed = values.mean(axis=0)
    count, highest = np.zeros(values.shape[1]), np.empty(len(signs))
    for place, pattern in enumerate(signs):
        flipped = pattern @ values / n
        count += flipped >= observed - 1e-12
        highest[place] = flipped.max(initial=-np.inf)
    highest.sort()
    above = len(highest) - np.searchsorted(highest, observed - 1e-12)
    return count / len(signs), above / len(signs)
