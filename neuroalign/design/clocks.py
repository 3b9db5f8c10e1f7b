"""Networks with a clock of their own: when their rows reach the samples of a subject, and which never do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign.artefacts.arrays import Activations
from neuroalign.errors import DataError


def reaching(events: pd.DataFrame, network: Activations | None) -> pd.DataFrame:
    """The events by which a network's items reach the samples: what was shown, or rows of its own.

    Parameters
    ----------
    events : DataFrame
        What was shown to a subject: subject and run, and what else they have.
    network : Activations or None

    Returns
    -------
    DataFrame
        Columns run, onset, duration (s) and item; of a network with a clock of its own those of the same
        runs. For a subject that it does not know, such as the average of all, rows in which everybody agrees.

    Raises
    ------
    DataError
        It has no rows for a run, or those of several people differ.
    """
    if network is None or not network.timed:
        return events
    own, subject = network.own_events(), str(events["subject"].iloc[0])
    name = network.attributes["network"]
    runs = events["run"].unique()
    of_runs = own[own["run"].isin(runs)]
    found = of_runs[of_runs["subject"] == subject]
    if found.empty:
        everybody = [part.reset_index(drop=True) for _, part in of_runs.groupby("subject", sort=False)]
        compared = ["run", "onset", "duration", "item"]
        for other in everybody[1:]:
            if not other[compared].equals(everybody[0][compared]):
                raise DataError(
                    f"networks.{name}: features of sub-{other['subject'].iat[0]} and "
                    f"sub-{everybody[0]['subject'].iat[0]} differ, so that there are none of sub-{subject}; "
                    "set responses.average: false, or leave {subject} out of their path"
                )
        found = everybody[0] if everybody else found
    missing = sorted(set(runs) - set(found["run"]))
    if missing:
        raise DataError(
            f"sub-{subject}, {missing[0]}: network {name} has no rows over time; it was made of other runs: "
            "remove it and run the stage activations again"
        )
    return found.assign(subject=subject).reset_index(drop=True)


def outside(
    events: pd.DataFrame, responses: xr.Dataset, network: Activations | None, lag: float
) -> list[str]:
    """Count the rows of a network with a clock of its own that begin before or after every recording.

    Parameters
    ----------
    events : DataFrame
        See `reaching`.
    responses : Dataset
        Gives run and time of every sample.
    network : Activations or None
    lag : float
        Seconds before the first sample from which on rows still reach it.

    Returns
    -------
    list of str
        A sentence where there are such rows.

    Raises
    ------
    DataError
        No row of a run lies within its recording.
    """
    if network is None or not network.timed:
        return []
    labels, times = responses["run"].values.astype(str), responses["time_s"].values
    step, lost, total = float(responses.attrs["tr"]), 0, 0
    name = network.attributes["network"]
    for run in dict.fromkeys(labels):
        of_run, at = events[events["run"] == run], times[labels == run]
        begin, end = of_run["onset"].to_numpy(float), (of_run["onset"] + of_run["duration"]).to_numpy(float)
        beyond = (begin > at[-1] + step) | (end < at[0] - lag)
        if beyond.all():
            raise DataError(
                f"sub-{responses.attrs['subject']}, {run}: all {len(of_run)} rows of network {name}, from "
                f"{begin.min():g} to {end.max():g} s, lie outside the recording ({at[0]:g} to {at[-1]:g} s); "
                f"correct networks.{name}.start_s, or the times"
            )
        lost, total = lost + int(np.count_nonzero(beyond)), total + len(of_run)
    if not lost:
        return []
    return [
        f"{lost} of {total} rows of the features {name} lie before or after the recording; they are not used"
    ]
