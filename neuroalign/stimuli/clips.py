"""Sound and film: every distinct file cut into steps of time, each of which is an item."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable

import numpy as np
import pandas as pd
from tqdm import tqdm

from neuroalign.errors import DataError
from neuroalign.stimuli.labels import label_columns
from neuroalign.stimuli.recorded import Kind, length_s

_log = logging.getLogger("neuroalign")

_LEAST_S = 1e-3
"""What is left at the end of a file and shorter than this makes no step."""


def gather_clips(
    shown: list[pd.DataFrame], modality: Kind, step_s: float | None, look: Callable[[str], str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut the files of all runs into items, and make an event of every step that was shown.

    Parameters
    ----------
    shown : list of DataFrame
        Columns `uri`, `onset`, `duration`, `subject`, `session`, `task`, `run`. A file that is shown for
        a shorter time than it lasts is shown up to there; a duration that is missing or 0 is its length.
    modality : {'audio', 'video'}
    step_s : float or None
        Seconds of a step; None makes one item of every file.
    look : function of an address
        Gives the digest of a file's content, or complains of it.

    Returns
    -------
    items, events : DataFrame
        As `neuroalign.stimuli.events.read_stimuli` returns them, without `content`.

    Raises
    ------
    DataError
        Files are missing or damaged; the first of them is named.
    """
    every = pd.concat(shown, ignore_index=True)
    parts: list[pd.DataFrame] = []
    problems = []
    for uri in tqdm(sorted(set(every["uri"])), modality, unit="file", disable=None):
        try:
            cut = steps(length_s(uri, modality), step_s)
            parts.append(_items(uri, look(uri), cut, modality, len(parts)))
        except DataError as error:
            problems.append(str(error))
    if problems:
        more = f" (and {len(problems) - 1} more files like it)" if len(problems) > 1 else ""
        raise DataError(f"{problems[0]}{more}")
    items = pd.concat(parts, ignore_index=True)
    items.insert(0, "item", np.arange(len(items)))
    return items, _events(every, items)


def steps(length: float, step_s: float | None) -> np.ndarray:
    """Beginning and end (n_steps, 2) in seconds of consecutive steps; the last one may be shorter.

    >>> steps(1.25, 0.5).tolist()
    [[0.0, 0.5], [0.5, 1.0], [1.0, 1.25]]
    """
    if step_s is None:
        return np.array([[0.0, length]])
    count = max(int(np.ceil((length - _LEAST_S) / step_s)), 1)
    edges = np.arange(count + 1) * step_s
    edges[-1] = min(edges[-1], length)
    return np.stack([edges[:-1], edges[1:]], axis=1)


def _items(uri: str, content: str, cut: np.ndarray, modality: Kind, number: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "passage": np.int64(number),
            "position": np.arange(len(cut)),
            "sentence": np.int64(0),
            "modality": modality,
            "text": "",
            "uri": uri,
            "digest": [_digest(content, start, stop) for start, stop in cut],
            "start_s": cut[:, 0],
            "stop_s": cut[:, 1],
        }
    )


def _digest(content: str, start: float, stop: float) -> str:
    """Equal steps of equal files have equal digests, whatever their names; empty where none is known."""
    if not content:
        return ""
    return hashlib.sha256(f"{content} {start:.6f} {stop:.6f}".encode()).hexdigest()[:16]


def _events(every: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    """One row for every step of every presentation, in the order of the presentations."""
    of_file = dict(list(items.groupby("uri", sort=False)))
    found, labels = [], label_columns(every)
    for shown in every.to_dict("records"):
        cut = of_file[shown["uri"]]
        length = float(cut["stop_s"].iloc[-1])
        lasted = float(shown["duration"]) if shown["duration"] > 0 else length
        seen = cut[cut["start_s"] < lasted - _LEAST_S]
        if len(seen) < len(cut):
            note = "%s: shown for %.1f s of its %.1f s in %s of sub-%s, as the events say"
            _log.warning(note, shown["uri"], lasted, length, shown["run"], shown["subject"])
        start = seen["start_s"].to_numpy()
        found.append(
            pd.DataFrame(
                {
                    **{name: shown[name] for name in ("subject", "session", "task", "run", *labels)},
                    "onset": shown["onset"] + start,
                    "duration": np.minimum(seen["stop_s"].to_numpy(), lasted) - start,
                    "item": seen["item"].to_numpy(),
                }
            )
        )
    return pd.concat(found, ignore_index=True)
