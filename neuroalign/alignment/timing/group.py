"""When each layer predicts in the group: mean courses of subjects, and how depth goes with time in them.

Subjects are drawn anew with replacement, so that intervals are about people like these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.stats
import xarray as xr

from neuroalign.alignment.group import ENOUGH_SUBJECTS, mean_of, sign_flip
from neuroalign.alignment.timing.latencies import (
    CONFIDENCE,
    MARKS,
    depth_correlation,
    of_layers,
    without_layer,
)
from neuroalign.artefacts.arrays import place_attributes
from neuroalign.errors import DataError
from neuroalign.settings.statistics import Inference

FEWEST_SUBJECTS = 5
"""With fewer, subjects drawn anew are too often the same for an interval."""


def combine_timing(parts: Sequence[xr.Dataset], settings: Inference, seed: int) -> xr.Dataset:
    """Timing of the group.

    Parameters
    ----------
    parts : sequence of Dataset
        What `timing` gives of each subject, of one network and encoder; subjects without a valid target
        are left out.
    settings : Inference
    seed : int

    Returns
    -------
    Dataset
        As of a subject, of mean courses; intervals are over subjects drawn anew, and NaN with fewer than five
        of them. `subject_depth_by_peak` (person) and its like are the subjects' own correlations,
        `depth_by_peak_p` the two-sided sign test of them. Identification is tested by flipped signs over
        subjects from eight on, else by Stouffer's method.

    Raises
    ------
    DataError
        The subjects' latencies or layers differ.
    """
    parts = [one for one in parts if np.isfinite(one["chosen_course"].values).any()] or parts[:1]
    first = parts[0]
    for one in parts[1:]:
        for name, several in (("latency", "latencies"), ("layer", "layers")):
            if not np.array_equal(one[name].values, first[name].values):
                raise DataError(
                    f"sub-{one.attrs['subject']} has other {several} than sub-{first.attrs['subject']}; "
                    "give all one epoch and sampling rate, or set group: false"
                )
    drawn = np.random.default_rng(seed).integers(0, len(parts), (settings.bootstraps, len(parts)))
    data: dict[str, Any] = {}
    if first.sizes["layer"]:
        data |= _courses_of_group(parts, "course", "band", first["depth"].values, drawn)
        data |= _signs_of_subjects(parts)
    chosen = _courses_of_group(parts, "chosen_course", "chosen_band", np.zeros(1), drawn)
    data |= without_layer(chosen, "chosen_")
    stacked = np.stack([one["generalisation"].values for one in parts])
    data["generalisation"] = (first["generalisation"].dims, mean_of(stacked).astype(np.float32))
    data |= _identified_by_group(parts, settings, seed)
    coordinates: dict[str, Any] = {
        name: first[name] for name in ("latency", "latency_test", "bound", "layer", "depth")
    }
    coordinates["person"] = np.array([str(one.attrs["subject"]) for one in parts], object)
    attributes = place_attributes(first) | {
        "subject": "group",
        "subjects": coordinates["person"].tolist(),
        "bootstraps": settings.bootstraps,
        "confidence": CONFIDENCE,
    }
    return xr.Dataset(data, coordinates, attributes)


def _courses_of_group(
    parts: Sequence[xr.Dataset], name: str, band: str, depth: np.ndarray, drawn: np.ndarray
) -> dict[str, Any]:
    """Mean courses over subjects, with what is read off them."""
    latencies = parts[0]["latency"].values
    stacked = np.stack([np.atleast_2d(one[name].values) for one in parts]).astype(float)
    draws = stacked[drawn].mean(axis=1).transpose(1, 0, 2)
    data = of_layers(stacked.mean(axis=0), draws, latencies, depth)
    if len(parts) >= FEWEST_SUBJECTS:
        return data
    # Too few to draw from: the mean of independent subjects is above chance where their own bands say so.
    own = np.stack([np.atleast_1d(one[band].values) for one in parts]).astype(float)
    limit = np.sqrt((own**2).sum(axis=0)) / len(parts)
    above = (stacked.mean(axis=0) > limit[:, None]).any(axis=1)
    for mark_name, mark in MARKS.items():
        found = np.where(above, mark(stacked.mean(axis=0), latencies), np.nan).astype(np.float32)
        data[mark_name] = ("layer", found)
        correlation = [depth_correlation(depth, found), np.nan, np.nan]
        data[f"depth_by_{mark_name}"] = ("bound", np.array(correlation, np.float32))
    data["band"] = ("layer", limit.astype(np.float32))
    unknown = [one for one in data if one.endswith(("_low", "_high"))]
    return data | {one: (data[one][0], np.full_like(data[one][1], np.nan)) for one in unknown}


def _signs_of_subjects(parts: Sequence[xr.Dataset]) -> dict[str, Any]:
    """Each subject's correlation of depth with latency, and the sign test over subjects."""
    data: dict[str, Any] = {}
    for name in MARKS:
        own = np.array([float(one[f"depth_by_{name}"][0]) for one in parts])
        told = own[np.isfinite(own) & (own != 0)]
        p = scipy.stats.binomtest(int((told > 0).sum()), len(told)).pvalue if len(told) else np.nan
        data[f"subject_depth_by_{name}"] = ("person", own.astype(np.float32))
        data[f"depth_by_{name}_p"] = ((), np.float32(p))
    return data


def _identified_by_group(parts: Sequence[xr.Dataset], settings: Inference, seed: int) -> dict[str, Any]:
    """Mean accuracy of identification and its test, where all subjects have one."""
    if not all("identification" in one for one in parts):
        return {}
    accuracy, p = (
        np.stack([one[name].values for one in parts]).astype(float)
        for name in ("identification", "identification_p")
    )
    if len(parts) >= ENOUGH_SUBJECTS:
        single, family = sign_flip(accuracy - 0.5, settings.permutations, np.random.default_rng(seed))
    else:
        single = scipy.stats.norm.sf(scipy.stats.norm.isf(p).sum(axis=0) / np.sqrt(len(parts)))
        family = np.minimum(1, single * len(single))
    return {
        "identification": ("latency", accuracy.mean(axis=0).astype(np.float32)),
        "identification_p": ("latency", single.astype(np.float32)),
        "identification_p_max": ("latency", family.astype(np.float32)),
    }
