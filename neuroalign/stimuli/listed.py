"""Stimuli of trials that the recordings list themselves, one per trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from neuroalign.errors import DataError
from neuroalign.stimuli.events import numbered
from neuroalign.stimuli.images import gather_images
from neuroalign.stimuli.labels import labelled
from neuroalign.stimuli.media import content_digest
from neuroalign.stimuli.passages import gather


def listed_stimuli(
    trials: Mapping[str, pd.DataFrame],
    task: str,
    look: Callable[[str], str] = content_digest,
    labels: Sequence[str] = (),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make items and events of what was shown in the trials of all subjects.

    Parameters
    ----------
    trials : mapping of subject to DataFrame
        One row per trial: `run`, `trial` (number within the run) and `uri` or `text`, and labels.
    task : str
    look : function of an address, optional
        Gives the digest of an image, or complains of it.
    labels : sequence of str, optional
        Columns that label the stimuli: items have them.

    Returns
    -------
    items, events : DataFrame
        As `events.read_stimuli` returns them. The onset of an event is the number of its trial; every text
        is a passage by itself.

    Raises
    ------
    DataError
        An image is missing, or some subjects were shown images and others texts.
    """
    shown = []
    for subject, table in trials.items():
        table = table.rename(columns={"text": "word"})
        onset = table["trial"].astype(float)
        shown.append(table.assign(subject=subject, session="", task=task, onset=onset, duration=0.0))
    images = ["uri" in table for table in shown]
    if all(images):
        return numbered(*labelled(*gather_images(shown, look), labels))
    if any(images):
        raise DataError("some subjects were shown images, others texts; study them apart (dataset.subjects)")
    sentences = [table.assign(sentence=range(len(table))) for table in shown]
    return numbered(*labelled(*gather(sentences, "sentence"), labels))
