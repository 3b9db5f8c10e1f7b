"""When a time course peaks and begins, and whether deeper layers come later.

The peak is the latency of the maximum. The onset is where the course, followed back from its peak, falls
below half of it, interpolated between samples: the fractional-peak latency, which noise before the effect
moves less than it moves a first crossing of a threshold (Kiesel et al. 2008, Psychophysiology 45:250; Luck
2014, An Introduction to the Event-Related Potential Technique, ch. 9).
A course that never leaves the band of chance has neither.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.stats

FRACTION = 0.5
"""Share of the peak that marks the onset."""

LASTING = 2
"""Samples that a course stays above that share at least; less is a spike."""

CONFIDENCE = 0.95
"""Of all intervals and of the band of chance."""

FEWEST_LAYERS = 3
"""With fewer, an order says nothing."""


def peaks(courses: np.ndarray, latencies: np.ndarray) -> np.ndarray:
    """Latency (…,) of the maximum of courses (…, n_latencies); NaN of one that is not finite."""
    there = np.isfinite(courses).all(axis=-1)
    return np.where(there, latencies[np.where(there[..., None], courses, 0).argmax(axis=-1)], np.nan)


def onsets(courses: np.ndarray, latencies: np.ndarray) -> np.ndarray:
    """Latency (…,) from which courses (…, n_latencies) stay above half of their peak until they reach it.

    NaN where they are above it from the beginning, for fewer than `LASTING` samples, or nowhere above zero.
    """
    flat = np.nan_to_num(courses).reshape(-1, courses.shape[-1])
    rows, place = np.arange(len(flat)), np.arange(flat.shape[1])
    top = flat.argmax(axis=1)
    half = FRACTION * flat[rows, top]
    below = flat <= half[:, None]
    before = np.where(below & (place < top[:, None]), place, -1).max(axis=1)
    after = np.where(below & (place > top[:, None]), place, flat.shape[1]).min(axis=1)
    found = (before >= 0) & (after - before > LASTING) & (half > 0)
    one = np.maximum(before, 0)
    low, high = flat[rows, one], flat[rows, np.minimum(one + 1, flat.shape[1] - 1)]
    rise = np.divide(half - low, high - low, out=np.zeros(len(flat)), where=found)
    step = np.diff(latencies, append=latencies[-1])[one]
    return np.where(found, latencies[one] + rise * step, np.nan).reshape(courses.shape[:-1])


def chance_band(course: np.ndarray, draws: np.ndarray, widened: float = 1.0) -> np.ndarray:
    """What courses (…, n_latencies) of noise exceed nowhere, with a probability of `CONFIDENCE`.

    It is the quantile, over draws, of the largest deviation of a draw from the course.

    Parameters
    ----------
    course : array (…, n_latencies)
    draws : array (…, n_draws, n_latencies)
    widened : float
        By how much the course varies more than draws do.
    """
    largest = (draws - course[..., None, :]).max(axis=-1)
    return widened * np.quantile(largest, CONFIDENCE, axis=-1)


def interval(draws: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end of the interval of draws; draws that are NaN do not count, NaN where all are."""
    tail = (1 - CONFIDENCE) / 2
    there = np.isfinite(draws)
    some = there.any(axis=axis, keepdims=True)
    low, high = np.nanquantile(np.where(some, draws, 0), [tail, 1 - tail], axis=axis)
    none = ~some.squeeze(axis)
    return np.where(none, np.nan, low), np.where(none, np.nan, high)


def depth_correlation(depth: np.ndarray, latency: np.ndarray) -> float:
    """Spearman correlation of depth (n_layers,) with latency, over the layers that have one.

    NaN with fewer than `FEWEST_LAYERS` of them, or where all come at once.
    """
    there = np.isfinite(latency)
    if there.sum() < FEWEST_LAYERS or np.ptp(latency[there]) == 0 or np.ptp(depth[there]) == 0:
        return float("nan")
    return float(scipy.stats.spearmanr(depth[there], latency[there]).statistic)


def depth_follows_time(depth: np.ndarray, latency: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Correlation of depth with latency and its interval (estimate, low, high).

    Parameters
    ----------
    depth, latency : arrays (n_layers,)
        Latencies are NaN for layers that are left out.
    draws : array (n_layers, n_draws)
        Of the same latencies. A draw in which all layers come at once has no order and counts as 0.
    """
    used = np.where(np.isfinite(latency)[:, None], draws, np.nan)
    estimate = depth_correlation(depth, latency)
    if not np.isfinite(estimate):
        return np.full(3, np.nan)
    found = np.nan_to_num([depth_correlation(depth, one) for one in used.T])
    low, high = interval(found, 0)
    return np.array([estimate, low, high])


MARKS = {"peak": peaks, "onset": onsets}
"""What is read off a course."""

ENDS = ("", "_low", "_high")
"""Of the names of an estimate and of the ends of its interval."""


def of_layers(
    course: np.ndarray, draws: np.ndarray, latencies: np.ndarray, depth: np.ndarray, widened: float = 1.0
) -> dict[str, Any]:
    """Intervals, peaks and onsets of courses, and how depth goes with them.

    Parameters
    ----------
    course : array (n_layers, n_latencies)
    draws : array (n_layers, n_draws, n_latencies)
        Of items, or of subjects.
    latencies : array (n_latencies,)
    depth : array (n_layers,)
    widened : float
        By how much the course varies more than draws do.

    Returns
    -------
    dict of name to (dimensions, values)
        `course`, `peak` and `onset`, each with `_low` and `_high`; `band`; `depth_by_peak`, `depth_by_onset`.
    """
    low, high = interval(draws, 1)
    band = chance_band(course, draws, widened)
    above = (course > band[:, None]).any(axis=1)
    data: dict[str, Any] = {"band": ("layer", band)}
    for end, values in zip(ENDS, (course, low, high), strict=True):
        data[f"course{end}"] = (("layer", "latency"), values)
    for name, mark in MARKS.items():
        estimate = np.where(above, mark(course, latencies), np.nan)
        drawn = np.where(np.isfinite(estimate)[:, None], mark(draws, latencies), np.nan)
        for end, values in zip(ENDS, (estimate, *interval(drawn, 1)), strict=True):
            data[f"{name}{end}"] = ("layer", values)
        data[f"depth_by_{name}"] = ("bound", depth_follows_time(depth, estimate, drawn))
    return {name: (dims, np.asarray(values, np.float32)) for name, (dims, values) in data.items()}


def without_layer(found: dict[str, Any], prefix: str) -> dict[str, Any]:
    """What `of_layers` gives of one course alone, under other names; depth says nothing of it."""
    return {
        f"{prefix}{name}": (tuple(dim for dim in np.atleast_1d(dims).tolist() if dim != "layer"), values[0])
        for name, (dims, values) in found.items()
        if "layer" in dims
    }
