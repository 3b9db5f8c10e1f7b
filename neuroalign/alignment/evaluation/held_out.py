"""What a study holds out: folds that no stimulus crosses, or a refusal where that cannot be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign.artefacts.arrays import Activations
from neuroalign.design.clocks import outside, reaching
from neuroalign.design.folds import Fold, make_folds
from neuroalign.design.trials import are_trials, trial_events, trial_rows
from neuroalign.errors import DataError
from neuroalign.settings.design import Design


def held_out(
    responses: xr.Dataset,
    events: pd.DataFrame,
    activations: Activations | None,
    settings: Design,
    lag: float,
) -> tuple[list[Fold], list[str]]:
    """The folds of a subject, with runs that share stimuli held out together, and what to be warned of.

    Parameters
    ----------
    responses : Dataset
    events : DataFrame
        Of this subject.
    activations : Activations or None
        Say which stimuli the network saw alike; without them, items are told apart by their number.
    settings : Design
    lag : float
        Seconds over which a sample depends on what was before: the gap wherever a run is cut.

    Raises
    ------
    DataError
        A stimulus stands in training and in test data, or the data are too short.
    """
    runs, times = responses["run"].values.astype(str), responses["time_s"].values
    refuse = settings.folds.shared_items == "refuse"
    shown = reaching(events, activations)
    seen = inputs(shown, activations)
    by_item = settings.folds.by == "item"
    linked = _linked_runs(shown["run"].to_numpy(), seen) if refuse and not by_item else []
    contents = trial_events(responses, events)["content"].to_numpy() if by_item else None
    folds = make_folds(runs, times, settings.folds, lag, linked, contents)
    sample = sample_of_event(shown, responses)
    shared = max(len(_both_sides(fold, sample, seen)) for fold in folds)
    if shared and refuse:
        raise DataError(
            f"sub-{responses.attrs['subject']}: {shared} stimuli stand in both training and test data; "
            "hold out whole runs or items (design.folds.by), or set design.folds.shared_items: allow"
        )
    warnings = outside(shown, responses, activations, lag)
    if shared:
        warnings.append(
            f"{shared} of {len(np.unique(seen))} stimuli stand in both training and test data "
            "(design.folds.shared_items: allow): scores show generalisation over time, not to new stimuli"
        )
    if not responses["valid"].values.any():
        warnings.append(f"sub-{responses.attrs['subject']} has no target that varies; nothing was fitted")
    return folds, warnings


def inputs(events: pd.DataFrame, activations: Activations | None) -> np.ndarray:
    """What was shown at every event: equal where the network saw the same."""
    items = events["item"].to_numpy()
    return items if activations is None else activations.inputs[items]


def sample_of_event(events: pd.DataFrame, responses: xr.Dataset) -> np.ndarray:
    """Index of the first sample at or after each event's onset (the run's last one at its end).

    Of trials, the one that is the response to the event; −1 where there is none.
    """
    found = np.full(len(events), -1)
    if are_trials(responses):
        rows = trial_rows(responses, events)
        found[rows] = np.arange(len(rows))
        return found
    runs, times = responses["run"].values.astype(str), responses["time_s"].values
    of_run = events["run"].to_numpy()
    for run in dict.fromkeys(of_run):
        samples = np.flatnonzero(runs == run)
        if not len(samples):
            continue
        place = np.searchsorted(times[samples], events["onset"].to_numpy()[of_run == run])
        found[of_run == run] = samples[np.minimum(place, len(samples) - 1)]
    return found


def sides(fold: Fold, sample: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is shown in the training and in the test samples of a fold."""
    return seen[np.isin(sample, fold.train)], seen[np.isin(sample, fold.test)]


def _both_sides(fold: Fold, sample: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The inputs that stand in both the training and the test samples of a fold."""
    return np.intersect1d(*sides(fold, sample, seen))


def _linked_runs(runs: np.ndarray, seen: np.ndarray) -> list[tuple[str, str]]:
    """Pairs of runs in which the network saw the same input."""
    shown = {run: set(seen[runs == run].tolist()) for run in dict.fromkeys(runs)}
    names = list(shown)
    return [
        (one, other)
        for place, one in enumerate(names)
        for other in names[place + 1 :]
        if shown[one] & shown[other]
    ]
