"""Stimuli that the recordings list, trial by trial."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neuroalign.errors import DataError
from neuroalign.stimuli.listed import listed_stimuli


def trials(**columns):
    size = len(next(iter(columns.values())))
    runs = np.where(np.arange(size) < size // 2, "run-1", "run-2")
    table = pd.DataFrame({"run": runs, **columns})
    return table.assign(trial=table.groupby("run").cumcount())


def test_texts_are_passages_by_themselves():
    items, events = listed_stimuli(
        {"01": trials(text=["face", "house", "house", "cat"]), "02": trials(text=["cat", "face"])}, "look"
    )
    assert list(items["text"]) == ["face", "house", "cat"]
    assert items["passage"].is_unique
    assert list(events["item"]) == [0, 1, 1, 2, 2, 0]
    assert list(events["onset"]) == [0, 1, 0, 1, 0, 0]
    assert list(events["run"][:4]) == ["run-1", "run-1", "run-2", "run-2"]
    pairs = events.groupby("item")["content"].unique()
    assert sorted(pairs.map(lambda found: found[0])) == [0, 1, 2]


def test_images_are_items_by_their_address(tmp_path):
    for name, shade in (("a", 1), ("b", 2)):
        Image.fromarray(np.full((3, 3, 3), shade, np.uint8)).save(tmp_path / f"{name}.png")
    shown = [str(tmp_path / f"{name}.png") for name in "bab"]
    items, events = listed_stimuli({"01": trials(uri=shown)}, "look")
    assert list(items["uri"][events["item"]]) == shown
    assert (items["modality"] == "image").all()


def test_images_and_texts_do_not_mix(tmp_path):
    with pytest.raises(DataError, match=r"study them apart \(dataset.subjects\)"):
        listed_stimuli({"01": trials(text=["face"]), "02": trials(uri=["a.png"])}, "look")
