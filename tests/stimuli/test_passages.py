from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroalign.stimuli.passages import gather, number_sentences

WORD = st.sampled_from(["a", "b", "c.", 'd?"', "e"])
RUNS = st.lists(st.lists(WORD, min_size=1, max_size=8), min_size=1, max_size=5)


def heard(runs):
    return [
        pd.DataFrame({"word": words, "onset": np.arange(len(words)), "duration": 1.0}).assign(
            subject="01", session="", task="t", run=f"run-{number}"
        )
        for number, words in enumerate(runs)
    ]


def test_sentences_end_with_their_mark():
    words = ["Hi.", "He", "said", "“why?”", "Then", '(left.)"', "3.5", "end"]
    assert list(number_sentences(pd.DataFrame({"word": words}))) == [0, 1, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("passage", ["sentence", "run", "task"])
@given(runs=RUNS)
def test_every_event_finds_its_word(passage, runs):
    tables = heard(runs)
    items, events = gather(tables, passage)
    spoken = [word for words in runs for word in words]
    assert list(items["text"].to_numpy()[events["item"]]) == spoken
    assert (items["item"] == np.arange(len(items))).all()
    texts = items.groupby("passage")["text"].agg(tuple)
    assert texts.is_unique
    for _, part in items.groupby("passage"):
        assert list(part["position"]) == list(range(len(part)))
        assert part["sentence"].iloc[0] == 0
        assert part["sentence"].diff().dropna().isin([0, 1]).all()
