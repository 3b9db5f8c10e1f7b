"""The simulated story: which word is spoken when, and how loudly.

The pacing is a caricature of an audiobook: a word lasts as long as its letters and syllables ask
for, with some jitter, and commas, sentence ends and paragraphs are followed by pauses of growing
length, so that the word rate fluctuates as it does in speech.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

STORY = Path(__file__).with_name("story.txt")
"""A short story written for this project; lines of `***` divide its parts, one per run."""

SILENCE_BEFORE_S = 6.0
SILENCE_AFTER_S = 10.0
_PAUSES_S = {"comma": 0.16, "sentence": 0.42, "paragraph": 0.95}
"""Median silence after a word that ends a phrase, a sentence or a paragraph."""


@dataclass(frozen=True)
class Run:
    """One part of the story, as told during one run.

    Attributes
    ----------
    label : str
        BIDS run label, "1" for the first.
    words : DataFrame
        Columns onset, duration (s from the first volume), word, sentence (number within the run)
        and loudness (positive, about 1).
    n_volumes : int
        Volumes recorded: enough for the last word and the silence after it.
    tr : float
        Repetition time in seconds.
    """

    label: str
    words: pd.DataFrame
    n_volumes: int
    tr: float

    @property
    def volume_times(self) -> np.ndarray:
        """Reference time of every volume in seconds, the first at 0."""
        return np.arange(self.n_volumes) * self.tr


def tell(n_runs: int, tr: float, seed: int) -> list[Run]:
    """Tell the first parts of the story at the pace of speech, about 2.8 words per second.

    Parameters
    ----------
    n_runs : int
        Parts to tell, at most four.
    tr : float
        Repetition time in seconds.
    seed : int
        Of the jitter: the same seed gives the same onsets.

    Returns
    -------
    list of Run
    """
    parts = re.split(r"^\*\*\*$", STORY.read_text(encoding="utf-8"), flags=re.MULTILINE)[:n_runs]
    runs = []
    for number, part in enumerate(parts, start=1):
        words = _pace(_words(part), np.random.default_rng((seed, number)))
        end = words["onset"].iloc[-1] + words["duration"].iloc[-1] + SILENCE_AFTER_S
        runs.append(Run(str(number), words, math.ceil(end / tr), tr))
    return runs


def _words(part: str) -> pd.DataFrame:
    """The words of a part with their punctuation and what kind of pause follows them.

    Double quotes are dropped: they are not heard, and they trouble readers of TSV files.
    """
    rows = []
    sentence = 0
    for paragraph in re.split(r"\n\s*\n", part.strip()):
        tokens = paragraph.replace('"', "").split()
        for place, word in enumerate(tokens, start=1):
            ends_sentence = word[-1] in ".?!"
            pause = "paragraph" if place == len(tokens) else "sentence" if ends_sentence else ""
            rows.append((word, sentence, pause or ("comma" if word[-1] in ",;:" else "")))
            sentence += ends_sentence
    return pd.DataFrame(rows, columns=["word", "sentence", "pause"])


def _pace(words: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Onsets and durations in seconds (to the millisecond, as the files hold them), and loudness.

    The constants give 2.6 to 3 words per second including pauses; a reader's voice falls towards
    the end of a sentence, hence the loudness.
    """
    letters = words["word"].str.count(r"[A-Za-z]").to_numpy()
    syllables = words["word"].str.lower().str.count(r"[aeiouy]+").clip(lower=1).to_numpy()
    jitter = np.exp(0.15 * rng.standard_normal(len(words)))
    duration = np.round((0.07 + 0.11 * syllables + 0.015 * letters) * jitter, 3)
    silence = words["pause"].map({**_PAUSES_S, "": 0.0}).to_numpy() * np.exp(
        0.3 * rng.standard_normal(len(words))
    )
    onset = SILENCE_BEFORE_S + np.concatenate([[0.0], np.cumsum(duration + np.round(silence, 3))[:-1]])
    place = words.groupby("sentence").cumcount().to_numpy()
    loudness = np.exp(-0.02 * place + 0.25 * rng.standard_normal(len(words)))
    return pd.DataFrame(
        {
            "onset": np.round(onset, 3),
            "duration": duration,
            "word": words["word"],
            "sentence": words["sentence"],
            "loudness": loudness,
        }
    )
