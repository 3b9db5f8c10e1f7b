"""From subjects to the group: means, the layers of the mean profile, and a test over subjects."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import scipy.stats
import xarray as xr

from neuroalign.alignment.inference import significant
from neuroalign.alignment.layers import ATTENDED, BESIDE, attended, depths
from neuroalign.alignment.partition import PARTS, PRODUCT, WEIGHT
from neuroalign.arrays import place_attributes, target_coordinates
from neuroalign.errors import DataError
from neuroalign.settings.statistics import Inference

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


def combine(summaries: list[xr.Dataset], settings: Inference, seed: int) -> xr.Dataset:
    """Combine the summaries of subjects that share their targets.

    Parameters
    ----------
    summaries : list of Dataset
        One per subject, of one network and encoder; subjects without a valid target are left out.
    settings : Inference
    seed : int

    Returns
    -------
    Dataset
        As a subject's summary, of means over subjects, with `n_subjects` per target. The test is of
        the mean unique correlation: sign flips over subjects (a statement about people like these)
        from eight subjects on; with fewer, their p-values by Stouffer's method (a statement about
        these people). `p_max` is by the maximum statistic, or by Bonferroni with Stouffer.

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
        tested, attributes["group_method"] = over_subjects(unique, p, settings, seed)
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
    unique: np.ndarray, single: np.ndarray, settings: Inference, seed: int
) -> tuple[dict[str, Any], str]:
    """Test the mean unique correlation over subjects; targets that someone lacks are not tested.

    Parameters
    ----------
    unique, single : arrays (n_subjects, n_targets)
        Unique correlations, and each subject's own p-values.
    settings : Inference
    seed : int

    Returns
    -------
    data : dict
        `p`, `q`, `p_max` and `significant` over targets.
    method : str
        "sign-flip" or "stouffer".
    """
    tested = np.atleast_1d(np.isfinite(unique).all(axis=0))
    z = np.arctanh(np.clip(unique[:, tested], -0.999999, 0.999999))
    if len(unique) >= ENOUGH_SUBJECTS:
        p, p_max = sign_flip(z, settings.permutations, np.random.default_rng(seed))
        method = "sign-flip"
    else:
        # A p of exactly 1 says that all permutations were as good; as −∞ it would outvote everybody else.
        most = 1 - 0.5 / (1 + settings.permutations)
        z = scipy.stats.norm.isf(np.minimum(single[:, tested], most))
        p = scipy.stats.norm.sf(z.sum(axis=0) / np.sqrt(len(unique)))
        p_max = np.minimum(1, p * tested.sum())
        method = "stouffer"
    q = scipy.stats.false_discovery_control(p) if tested.any() else p
    columns = {"p": p, "q": q, "p_max": p_max}
    data: dict[str, Any] = {}
    for name, values in columns.items():
        full = np.full(len(tested), np.nan, np.float32)
        full[tested] = values
        data[name] = ("target", full)
    data["significant"] = ("target", significant(data["q"][1], data["p_max"][1], settings))
    return data, method


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
    n = len(values)
    if 2**n <= permutations:
        signs = np.array(list(product([1, -1], repeat=n)), float)
    else:
        signs = np.concatenate([np.ones((1, n)), rng.choice([-1.0, 1.0], (permutations, n))])
    observed = values.mean(axis=0)
    count, highest = np.zeros(values.shape[1]), np.empty(len(signs))
    for place, pattern in enumerate(signs):
        flipped = pattern @ values / n
        count += flipped >= observed - 1e-12
        highest[place] = flipped.max(initial=-np.inf)
    highest.sort()
    above = len(highest) - np.searchsorted(highest, observed - 1e-12)
    return count / len(signs), above / len(signs)
