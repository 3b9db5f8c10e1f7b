"""Stimuli of recordings whose features come at their own rate: an item for every sample."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd


def sampled_stimuli(
    samples: Mapping[str, pd.DataFrame], task: str, rate_hz: float, shared: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make items and events of the samples of all subjects.

    Parameters
    ----------
    samples : mapping of subject to DataFrame
        One row per sample: `run` and `trial`, its number within the run.
    task : str
    rate_hz : float
        Samples per second.
    shared : bool
        Whether equal runs of different subjects had the same stimulus.

    Returns
    -------
    items : DataFrame
        Of modality "sample": `passage` and `position` are the run and the number of the sample; `uri`
        is "subject/run", of shared ones "/run".
    events : DataFrame
        As `events.read_stimuli` returns them, with one event per sample.
    """
    events = pd.concat(
        [
            table.assign(
                subject=subject, session="", task=task, uri=f"{'' if shared else subject}/" + table["run"]
            )
            for subject, table in samples.items()
        ],
        ignore_index=True,
    )
    longest = events.groupby("uri", sort=False)["trial"].max() + 1
    first = np.concatenate([[0], np.cumsum(longest.to_numpy())[:-1]])
    begins = dict(zip(longest.index, first, strict=True))
    position = np.concatenate([np.arange(n) for n in longest])
    uri = np.repeat(longest.index.to_numpy(object), longest.to_numpy())
    items = pd.DataFrame(
        {
            "item": np.arange(len(uri)),
            "passage": np.repeat(np.arange(len(longest)), longest.to_numpy()),
            "position": position,
            "sentence": 0,
            "modality": "sample",
            "text": "",
            "uri": uri,
        }
    )
    item = events["uri"].map(begins).to_numpy() + events["trial"].to_numpy()
    placed = events.assign(
        onset=events["trial"] / rate_hz, duration=1 / rate_hz, item=item, content=item.astype(np.int64)
    )
    return items, placed[["subject", "session", "task", "run", "onset", "duration", "item", "content"]]
