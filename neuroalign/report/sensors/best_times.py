"""Layer profiles of epochs: each layer at the time at which it predicts best, which other subjects chose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from neuroalign.maps.sensors import channels, gridded, latencies
from neuroalign.report.drawing.palette import Profile
from neuroalign.report.evidence import Evidence, column, mean
from neuroalign.report.regions import ALL, TYPES
from neuroalign.report.sensors.phrases import ms

HALF_S = 0.01
"""A window reaches this far to either side of its middle."""


def best_windows(courses: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Where others' courses are highest after onset, for each subject; where its own is if there is but one.

    Parameters
    ----------
    courses : array (subject, row, latency)
        Scores of layers, or of controls, over time.
    seconds : array (latency,)

    Returns
    -------
    int array (subject, row)
        The middle of every window.
    """
    late = seconds >= 0 if (seconds >= 0).any() else np.ones(len(seconds), bool)
    out = np.zeros(courses.shape[:2], int)
    for subject in range(len(courses)):
        others = courses if len(courses) == 1 else np.delete(courses, subject, axis=0)
        smooth = _windowed(mean(others, axis=0), seconds)
        out[subject] = np.where(late & np.isfinite(smooth), smooth, -np.inf).argmax(axis=-1)
    return out


def at_windows(courses: np.ndarray, seconds: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Means (subject, row) of courses (subject, row, latency) within the windows (subject, row)."""
    smooth = np.array([_windowed(course, seconds) for course in courses])
    return np.take_along_axis(smooth, windows[..., None], axis=-1)[..., 0]


def _windowed(rows: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Every value the mean of those around it (row, latency)."""
    near = np.abs(seconds[:, None] - seconds) <= HALF_S + 1e-9
    known = np.isfinite(rows)
    count = known @ near.T.astype(float)
    total = np.where(known, rows, 0.0) @ near.T.astype(float)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def epoch_profiles(evidence: Evidence, network: str, encoder: str) -> tuple[list[Profile], str]:
    """Profiles of all channels and of every type, and what to say of the windows."""
    people = evidence.subjects(network, encoder)
    datasets = [evidence.summaries[subject, network, encoder] for subject in people]
    twin = evidence.twin(network) or ""
    twins = [evidence.summaries[s, twin, encoder] for s in people if (s, twin, encoder) in evidence.summaries]
    seconds = latencies(datasets[0])
    assert seconds is not None
    panels, middles = [], []
    for region in evidence.shown_regions:
        r = _courses(datasets, "r", region)
        windows = best_windows(r, seconds)
        middles.append(seconds[windows])
        beside = _at_best(_courses(twins, "r", region), seconds) if twins else None
        nuisance = _at_best(_courses(datasets, "nuisance_r", region), seconds)
        ends = [_courses(datasets, f"ceiling_{end}", region) for end in ("low", "high")]
        ceiling = [
            mean(at_windows(np.repeat(end, r.shape[1], axis=1), seconds, windows), axis=0) for end in ends
        ]
        panels.append(
            Profile(
                region,
                datasets[0]["depth"].values,
                at_windows(r, seconds, windows),
                None if beside is None else mean(beside, axis=0),
                twins[0]["depth"].values if twins else None,
                float(mean(nuisance)),
                *ceiling,
            )
        )
    return panels, _said(np.concatenate([part.ravel() for part in middles]), len(people))


def _at_best(courses: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    return at_windows(courses, seconds, best_windows(courses, seconds))


def _said(middles: np.ndarray, n_subjects: int) -> str:
    """Over which windows r is averaged, who chose them, and what that does to its height."""
    where = (
        f"Mean held-out r over channels within {1000 * HALF_S:.0f} ms of the latency after onset at which a "
        f"layer predicts best ({ms(middles.min())} to {ms(middles.max())} ms); the untrained twin and the "
        "nuisance features at their own best latencies. "
    )
    if n_subjects == 1:
        return where + (
            "The latencies were chosen in the scores that are shown, which makes them too high: with one "
            "subject this profile is descriptive."
        )
    return where + (
        "For each subject and layer the latency was chosen by the other subjects, so that no score is high "
        "because its own noise was picked."
    )


def _courses(datasets: Sequence[xr.Dataset], name: str, region: str) -> np.ndarray:
    """Means over the channels of a region (subject, row, latency); one row of what has no layers."""
    found = []
    for dataset in datasets:
        values = np.atleast_2d(dataset[name].values if name in dataset else column(dataset, name))
        kinds = channels(dataset)["channel_type"]
        here = np.ones(len(kinds), bool) if region == ALL else kinds.replace(TYPES).eq(region).to_numpy()
        found.append(mean(gridded(dataset, values)[:, here], axis=1))
    return np.array(found)
