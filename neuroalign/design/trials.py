"""Trials: which stimulus each of them is a response to, and repeats of one stimulus joined."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign.errors import DataError

AVERAGED = "repeats"
"""The run label of means over repeats, which belong to no run."""


def are_trials(responses: xr.Dataset) -> bool:
    """Whether samples are trials, not moments of a time series."""
    return responses.attrs.get("samples") == "trials"


def trial_events(responses: xr.Dataset, events: pd.DataFrame) -> pd.DataFrame:
    """The events in the order of the trials; see `trial_rows`."""
    return events.iloc[trial_rows(responses, events)].reset_index(drop=True)


def trial_rows(responses: xr.Dataset, events: pd.DataFrame) -> np.ndarray:
    """Pair every trial with its event: the k-th of a run is the k-th stimulus of that run.

    Where trials were dropped, their coordinate `event` says which stimulus is theirs.

    Parameters
    ----------
    responses : Dataset
        Gives the run of every trial.
    events : DataFrame
        Of this subject: run, onset, item.

    Returns
    -------
    int array (n_samples,)
        Place of its event in the table, for every trial.

    Raises
    ------
    DataError
        A run has more or fewer trials than events.
    """
    labels = responses["run"].values.astype(str)
    rows = np.empty(len(labels), np.int64)
    onset, of_event = events["onset"].to_numpy(), events["run"].to_numpy()
    for run in dict.fromkeys(labels):
        of_run = np.flatnonzero(of_event == run)
        of_run = of_run[np.argsort(onset[of_run], kind="stable")]
        samples = np.flatnonzero(labels == run)
        if "event" in responses.coords:
            shown = responses["event"].values[samples]
            if shown.max() >= len(of_run):
                raise DataError(
                    f"sub-{responses.attrs['subject']}, {run}: a response to stimulus {shown.max() + 1}, but "
                    f"there are {len(of_run)}; make the responses again"
                )
            rows[samples] = of_run[shown]
            continue
        if len(of_run) != len(samples):
            raise DataError(
                f"sub-{responses.attrs['subject']}, {run}: {len(samples)} trials but {len(of_run)} events; "
                "give one response per stimulus, or name in stimuli.skip what has none"
            )
        rows[samples] = of_run
    return rows


def with_contents(responses: xr.Dataset, events: pd.DataFrame) -> xr.Dataset:
    """Responses whose samples know, by the coordinate `content`, what was shown."""
    return responses.assign_coords(content=("sample", trial_events(responses, events)["content"].to_numpy()))


def average_repeats(responses: xr.Dataset, events: pd.DataFrame) -> tuple[xr.Dataset, pd.DataFrame]:
    """Join the trials of one stimulus into their mean.

    Parameters
    ----------
    responses : Dataset
        Of trials.
    events : DataFrame
        Of this subject; `content` says which stimuli are the same.

    Returns
    -------
    responses, events
        One sample and one event per content, in the order of its first trial, of the run `AVERAGED`.
    """
    shown = trial_events(responses, events)
    _, first, of = np.unique(shown["content"], return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    group = place[of]
    by_group = np.argsort(group, kind="stable")
    count = np.bincount(group)
    starts = np.cumsum(count) - count
    total = np.add.reduceat(responses["response"].values[by_group], starts, axis=0, dtype=float)
    kept = shown.iloc[first[order]].reset_index(drop=True)
    kept = kept.assign(run=AVERAGED, onset=np.arange(len(kept), dtype=float))
    target = {name: one for name, one in responses.coords.items() if one.dims == ("target",)}
    sample = {
        "run": ("sample", np.full(len(kept), AVERAGED, object)),
        "time_s": ("sample", np.arange(len(kept), dtype=float)),
        "content": ("sample", kept["content"].to_numpy()),
    }
    mean = (total / count[:, None]).astype(np.float32)
    return xr.Dataset({"response": (("sample", "target"), mean)}, target | sample, responses.attrs), kept
