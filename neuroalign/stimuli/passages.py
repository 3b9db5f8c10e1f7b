"""Words into sentences and passages, and each distinct passage once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd

from neuroalign.stimuli.labels import label_columns

_END = re.compile(r"[.?!…][\"'”’»)\]]*$")


def number_sentences(words: pd.DataFrame) -> np.ndarray:
    """Give every word the number of its sentence in the run, from 0.

    A sentence ends where the column `sentence` changes; without that column it ends with a word in
    `.`, `?`, `!` or `…`, closing quotes and brackets aside. Abbreviations end it too.

    Parameters
    ----------
    words : DataFrame (n_words rows)
        Column `word`, and perhaps `sentence`.

    Returns
    -------
    array (n_words,) of int64
    """
    if "sentence" in words:
        first = (words["sentence"] != words["sentence"].shift()).to_numpy(bool, copy=True)
    else:
        ends = words["word"].map(lambda word: bool(_END.search(word))).to_numpy(bool)
        first = np.concatenate([[True], ends[:-1]])
    first[0] = False
    return np.cumsum(first).astype(np.int64)


def gather(
    heard: list[pd.DataFrame], passage: Literal["sentence", "run", "task"]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Join the words of all runs into items and events, each distinct passage once.

    Parameters
    ----------
    heard : list of DataFrame
        One per run, in the order in which each subject heard them: columns `word`, `onset`,
        `duration`, `subject`, `session`, `task`, `run`, and perhaps `sentence`.
    passage : {'sentence', 'run', 'task'}
        How far context reaches. A task is all the runs of one subject, one after the other.

    Returns
    -------
    items, events : DataFrame
        As `neuroalign.stimuli.events.read_stimuli` returns them.
    """
    first_item: dict[tuple[str, ...], int] = {}
    items, events, n_items = [], [], 0
    for words in _passages(heard, passage):
        key = tuple(words["word"])
        if key not in first_item:
            first_item[key] = n_items
            items.append(
                pd.DataFrame(
                    {
                        "passage": np.int64(len(first_item) - 1),
                        "position": np.arange(len(words)),
                        "sentence": words["sentence"].to_numpy(),
                        "text": words["word"].to_numpy(),
                    }
                )
            )
            n_items += len(words)
        events.append(words.assign(item=first_item[key] + np.arange(len(words))))
    table = pd.concat(items, ignore_index=True)
    table.insert(0, "item", np.arange(n_items))
    table.insert(4, "modality", "text")
    every = pd.concat(events, ignore_index=True)
    columns = ["subject", "session", "task", "run", "onset", "duration", "item"]
    return table, every[[*columns, *label_columns(every)]]


def _passages(heard: list[pd.DataFrame], passage: str) -> Iterator[pd.DataFrame]:
    """Yield the words of one passage after another, `sentence` numbered within it."""
    runs = [words.assign(sentence=number_sentences(words)) for words in heard]
    if passage == "sentence":
        for words in runs:
            for _, part in words.groupby("sentence", sort=True):
                yield part.assign(sentence=np.int64(0))
    elif passage == "run":
        yield from runs
    else:
        by_subject: dict[str, list[pd.DataFrame]] = {}
        for words in runs:
            so_far = by_subject.setdefault(str(words["subject"].iloc[0]), [])
            start = so_far[-1]["sentence"].iloc[-1] + 1 if so_far else 0
            so_far.append(words.assign(sentence=words["sentence"] + start))
        for parts in by_subject.values():
            yield pd.concat(parts, ignore_index=True)
