from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from neuroalign import bids
from neuroalign.errors import ConfigError, DataError
from neuroalign.settings import config
from neuroalign.stimuli.events import read_run, read_stimuli, read_tsv


def read(tree, subjects=("01",), **source):
    index = bids.index_dataset(tree.root, tree.derivatives, "story")
    dataset = config.Dataset(path=str(tree.root), task="story")
    return read_stimuli(index, dataset, config.StimulusSource(**source), list(subjects))


def words_of(tree, **source):
    index = bids.index_dataset(tree.root, tree.derivatives, "story")
    dataset = config.Dataset(path=str(tree.root), task="story")
    return read_run(index, dataset, config.StimulusSource(**source), bids.Run("01", "", "story", "1"))


def test_items_and_events(tree):
    tree.events("01", "1")
    items, events = read(tree, offset_s=1.0)
    assert list(items.columns) == ["item", "passage", "position", "sentence", "modality", "text"]
    assert list(items["text"]) == list(tree.words)
    assert list(items["sentence"]) == [0, 0, 0, 1, 1, 1, 1, 1, 1]
    assert (items["item"] == items["position"]).all()
    assert list(events.columns) == [
        "subject",
        "session",
        "task",
        "run",
        "onset",
        "duration",
        "item",
        "content",
    ]
    assert list(events["onset"]) == [2.0 * word - 1.0 for word in range(9)]
    assert set(events["run"]) == {"run-1"}
    assert {str(items[name].dtype) for name in ("item", "passage", "position", "sentence")} == {"int64"}


def test_a_story_that_all_heard_is_one_passage(tree):
    tree.events("01", "1")
    tree.events("02", "1", step=2.5)
    tree.events("02", "2", words=("Another", "story."))
    items, events = read(tree, ("01", "02"))
    assert list(items["passage"]) == [0] * 9 + [1] * 2
    assert list(events[events["subject"] == "02"]["item"]) == list(range(11))
    assert (items["text"].to_numpy()[events["item"]] == [*tree.words, *tree.words, "Another", "story."]).all()


def test_a_task_joins_the_runs_of_a_subject_in_order(tree):
    for run, words in [("10", ("last.",)), ("2", ("second", "one")), ("1", ("first.",))]:
        tree.events("01", run, words=words)
    items, events = read(tree, passage="task")
    assert list(items["text"]) == ["first.", "second", "one", "last."]
    assert set(items["passage"]) == {0}
    assert list(items["sentence"]) == [0, 1, 1, 2]
    assert list(events["run"]) == ["run-1", "run-2", "run-2", "run-10"]


def test_equal_sentences_are_one_passage(tree):
    tree.events("01", "1", words=("Go", "on!", "Stop.", "Go", "on!"))
    items, events = read(tree, passage="sentence")
    assert list(items["text"]) == ["Go", "on!", "Stop."]
    assert list(items["passage"]) == [0, 0, 1]
    assert list(items["position"]) == [0, 1, 0]
    assert list(events["item"]) == [0, 1, 2, 0, 1]


def test_a_sentence_column_decides(tree):
    tree.events("01", "1", words=("a.", "b", "c"), sentence=[7, 7, 8])
    items, _ = read(tree)
    assert list(items["sentence"]) == [0, 0, 1]


def test_words_are_only_stripped(tree):
    path = tree.events("01")
    words = ["null", " NA ", '"Curiouser', "nan", "None", "don't", "n/a", "it.”"]
    lines = [f"{i}.0\t{word}" for i, word in enumerate(words)]
    path.write_text("onset\tword\n" + "\n".join(lines) + "\n")
    found = words_of(tree)
    assert list(found["word"]) == ["null", "NA", '"Curiouser', "nan", "None", "don't", "it.”"]
    assert list(found["duration"]) == [1.0] * 7


def test_quotation_marks_written_by_pandas(tree):
    words = ('"Oh', 'dear!"', '"', "plain")
    tree.events("01", words=words)
    assert list(words_of(tree)["word"]) == list(words)


def test_onsets_are_sorted_and_durations_filled(tree):
    tree.events("01").write_text("onset\tduration\tword\n1.2\tn/a\tb\n0\tn/a\ta\n5\t0.3\td\n1.5\tn/a\tc\n")
    found = words_of(tree)
    assert list(found["word"]) == ["a", "b", "c", "d"]
    np.testing.assert_allclose(found["duration"], [1.0, 0.3, 1.0, 0.3])


def test_skipped_labels_need_no_onset(tree):
    tree.events("01").write_text("onset\tword\nn/a\tsp\n1\ta\n")
    assert list(words_of(tree)["word"]) == ["a"]


def test_events_are_inherited(tree):
    tree.parcels("01", "1", pd.DataFrame({"A": np.arange(20.0)}))
    tree.events("01").rename(tree.root / "task-story_events.tsv")
    assert len(words_of(tree)) == 9
    tree.events("01", words=("own",))
    assert list(words_of(tree)["word"]) == ["own"]


def test_a_table_by_pattern(tree):
    tree.parcels("01", "1", pd.DataFrame({"A": np.arange(20.0)}))
    (tree.root / "stimuli").mkdir()
    (tree.root / "stimuli" / "story-1.tsv").write_text("onset\ttoken\n0.5\thello\n1\tworld\n")
    found = words_of(tree, source="table", path="stimuli/{task}-{run}.tsv", column="token")
    assert list(found["word"]) == ["hello", "world"]
    with pytest.raises(DataError, match=r"sub-01 task-story run-1: no stimulus file '.*stimuli/01\.tsv'"):
        words_of(tree, source="table", path="stimuli/{subject}.tsv")
    with pytest.raises(ConfigError, match=re.escape("'{subjekt}' is not known: did you mean 'subject'?")):
        words_of(tree, source="table", path="stimuli/{subjekt}.tsv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("onset\ttrial_type\n0\tx\n", r"no column 'word'; set stimuli\.column: .*trial_type"),
        ("start\tword\n0\tx\n", r"no column 'onset'; .*choices: start, word"),
        ("onset\tword\n0\tx\nsoon\ty\n", "line 3: onset 'soon' is not a finite number"),
        ("onset\tword\n0\tx\nn/a\ty\n", r"onset of word 2 \('y'\) is nan; give a number of seconds"),
        ("onset\tduration\tword\n0\t-1\tx\n", r"duration of word 1 \('x'\) is -1"),
        ("onset\tword\n0\tsp\n", "no words for sub-01 task-story run-1"),
        ("", "the table is empty"),
        ("onset\tword\n0\tx\ty\tz\n1\tx\n0\tx\ty\tz\tw\n", "not a tab-separated table"),
    ],
)
def test_bad_events(tree, text, message):
    path = tree.events("01")
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        words_of(tree)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_events_name_subject_and_run(tree):
    tree.parcels("01", "1", pd.DataFrame({"A": np.arange(20.0)}))
    with pytest.raises(
        DataError, match=r"sub-01 task-story run-1: no events file; add 'sub-01_task-story_run-1_events"
    ):
        read(tree)


def test_two_events_files_for_a_run(tree):
    path = tree.events("01")
    path.with_name("sub-01_task-story_acq-a_run-1_events.tsv").write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="2 events files"):
        words_of(tree)


def test_a_missing_table(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_tsv(tmp_path / "none.tsv")


def test_alice_by_events_and_by_textgrid(real_data):
    root = real_data / "alice"
    index = bids.index_dataset(root, "derivatives/roi", "alice")
    dataset = config.Dataset(path=str(root), derivatives="derivatives/roi", task="alice")
    subjects = sorted(set(index["subject"]) - {""})
    by_events = read_stimuli(index, dataset, config.StimulusSource(), subjects)
    grid = config.StimulusSource(source="textgrid", path="stimuli/alice.TextGrid", offset_s=20.0)
    by_grid = read_stimuli(index, dataset, grid, subjects)
    pd.testing.assert_frame_equal(by_events[0], by_grid[0])
    assert len(by_events[0]) == 2127
    assert len(by_events[1]) == 2127 * 14
    np.testing.assert_allclose(by_events[1]["onset"], by_grid[1]["onset"], atol=1e-3)
    np.testing.assert_allclose(by_events[1]["duration"], by_grid[1]["duration"], atol=1e-3)
