from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroalign import bids
from neuroalign.artefacts import arrays
from neuroalign.errors import DataError
from neuroalign.headers import count_volumes
from neuroalign.settings import config

LABEL = st.text("abcXYZ019", min_size=1, max_size=6)


def index_of(tree, **dataset):
    study = tree.study(dataset=dataset)
    return study.dataset, bids.index_dataset(tree.root, study.dataset.derivatives, "story")


def table(rows=20, columns=("A", "B"), seed=0):
    values = np.random.default_rng(seed).standard_normal((rows, len(columns)))
    return pd.DataFrame(values, columns=list(columns))


@pytest.mark.parametrize(
    ("session", "run", "label"),
    [("01", "02", "ses-01_run-02"), ("", "02", "run-02"), ("01", "", "ses-01"), ("", "", "run-1")],
)
def test_run_label(session, run, label):
    assert bids.run_label(session, run) == label


def test_names_have_the_canonical_order():
    entities = {
        "desc": "x",
        "run": "1",
        "stat": "r",
        "network": "minilm",
        "sub": "01",
        "hemi": "L",
        "ses": "",
    }
    name = bids.bids_name(entities, "statmap", ".func.gii")
    assert name == "sub-01_run-1_hemi-L_network-minilm_stat-r_desc-x_statmap.func.gii"


@given(st.dictionaries(st.sampled_from(bids.ENTITY_ORDER), LABEL, min_size=1))
def test_names_read_back(entities):
    match = bids._NAME.fullmatch(bids.bids_name(entities, "bold", ".nii.gz"))
    assert dict(part.split("-") for part in match["entities"].rstrip("_").split("_")) == entities
    assert (match["suffix"], match["extension"]) == ("bold", ".nii.gz")


def test_a_label_of_other_characters_is_refused():
    with pytest.raises(DataError, match="'a_b' cannot be the label of BIDS entity 'task'"):
        bids.bids_name({"task": "a_b"}, "bold", ".nii")


def test_index_of_raw_and_derivatives(tree, tmp_path):
    tree.events("01")
    tree.parcels("01", "1", table())
    (tree.folder("01") / "notes.txt").write_text("not BIDS")
    (tree.folder("01") / "._sub-01_task-story_run-1_atlas-six_timeseries.tsv").write_text("Finder")
    _, index = index_of(tree)
    assert list(index["suffix"]) == ["events", "bold", "timeseries", "timeseries"]
    recording = index[(index["suffix"] == "timeseries") & (index["extension"] == ".tsv")].iloc[0]
    assert (
        recording["path"]
        == "derivatives/fmriprep/sub-01/func/sub-01_task-story_run-1_atlas-six_timeseries.tsv"
    )
    assert (recording["scope"], recording["run"], recording["run_entity"]) == ("derivatives", "run-1", "1")
    assert tuple(recording[list(bids.FACTS)]) == (2.0, 20.0, 0.5)
    assert np.isnan(index["n_volumes"][:2]).all()
    arrays.save_table(index, tmp_path / "index.parquet")
    pd.testing.assert_frame_equal(arrays.open_table(tmp_path / "index.parquet"), index)


def test_derivatives_outside_the_dataset_have_absolute_paths(tree, tmp_path):
    tree.parcels("01", "1", table())
    outside = tmp_path / "elsewhere"
    tree.derivatives.rename(outside)
    index = bids.index_dataset(tree.root, outside, "story")
    path = index[index["n_volumes"] == 20]["path"].item()
    assert path.startswith(str(outside))


def test_a_derivative_that_is_the_dataset_itself(tree):
    tree.parcels("01", "1", table())
    index = bids.index_dataset(tree.derivatives, ".", "story")
    assert set(index["scope"]) == {"derivatives"}


def test_nearest_sidecar_wins(tree):
    path = tree.volumes("01", "1", np.zeros((2, 2, 2, 7), np.float32))
    _, index = index_of(tree)
    row = index[index["n_volumes"] == 7].iloc[0]
    assert row["tr"] == 2.0
    tree.write(tree.derivatives / "task-story_bold.json", {"RepetitionTime": 3.0, "StartTime": 1.5})
    tree.write(tree.derivatives / "task-other_bold.json", {"RepetitionTime": 9.0})
    tree.write(path.with_name("sub-01_task-story_bold.json"), {"RepetitionTime": 2.5})
    _, index = index_of(tree)
    row = index[index["n_volumes"] == 7].iloc[0]
    assert (row["tr"], row["start_time_s"]) == (2.5, 1.5)
    assert bids.sidecar(index, tree.root, row)["RepetitionTime"] == 2.5


def test_sampling_frequency_gives_the_repetition_time(tree):
    path = tree.parcels("01", "1", table())
    tree.write(path.with_suffix(".json"), {"SamplingFrequency": 0.5})
    _, index = index_of(tree)
    assert index["tr"].max() == 2.0


def test_damaged_files_have_no_facts(tree):
    path = tree.volumes("01", "1", np.zeros((2, 2, 2, 7), np.float32))
    path.write_bytes(b"nothing")
    tree.write(tree.root / "task-story_bold.json", {}).write_text("{")
    _, index = index_of(tree)
    row = index[index["extension"] == ".nii.gz"].iloc[0]
    assert np.isnan([row["tr"], row["n_volumes"]]).all()
    with pytest.raises(DataError, match="cannot be read"):
        count_volumes(path)
    with pytest.raises(DataError, match=r"task-story_bold\.json: not a JSON file"):
        bids.sidecar(index, tree.root, row)


def test_select(tree):
    tree.parcels("01", "01", table())
    tree.parcels("02", "02", table())
    _, index = index_of(tree)
    assert set(bids.select(index, subject="01")["subject"]) == {"01"}
    assert len(bids.select(index, run_entity="2", extension=".tsv")) == 1
    assert len(bids.select(index, atlas="six", extension=(".tsv", ".json"))) == 4
    assert set(bids.select(index, atlas="")["suffix"]) == {"bold"}
    assert len(bids.select(index, subject=None)) == len(index)


def test_runs_are_in_order_of_number(tree):
    for run in ("10", "2", "1"):
        tree.parcels("01", run, table())
    dataset, index = index_of(tree)
    assert [run.run_entity for run in bids.find_runs(index, dataset, "01")] == ["1", "2", "10"]
    dataset, index = index_of(tree, runs=["02", "10"])
    assert [run.label for run in bids.find_runs(index, dataset, "01")] == ["run-2", "run-10"]


def test_runs_without_recordings_come_from_events(tree):
    tree.events("01")
    dataset, index = index_of(tree)
    assert [str(run) for run in bids.find_runs(index, dataset, "01")] == ["sub-01 task-story run-1"]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"task": "stories"}, r"no recordings of task 'stories': did you mean 'story'\? \(choices: story\)"),
        ({"runs": ["7"]}, r"in session any, runs \('7',\): the runs there are run-1"),
        ({"session": "02"}, r"in session 02, runs all: the runs there are run-1"),
    ],
)
def test_missing_runs_say_what_there_is(tree, dataset, message):
    tree.parcels("01", "1", table())
    settings, index = index_of(tree, **dataset)
    with pytest.raises(DataError, match=message):
        bids.find_runs(index, settings, "01")


def test_an_unknown_subject(tree):
    dataset, index = index_of(tree)
    with pytest.raises(
        DataError, match="sub-09: no recordings of task 'story' in 'derivatives/fmriprep' and no events"
    ):
        bids.find_runs(index, dataset, "09")


def test_missing_folders(tree, tmp_path):
    with pytest.raises(DataError, match=r"dataset\.path: no folder at"):
        bids.index_dataset(tmp_path / "no", "derivatives", "story")
    with pytest.raises(DataError, match=r"dataset\.derivatives: .* did you mean 'derivatives/fmriprep'\?"):
        bids.index_dataset(tree.root, "derivatives/fmriprop", "story")


def test_real_datasets(real_data):
    for name, folder, task, subjects, runs, volumes, tr in [
        ("alice", "derivatives/roi", "alice", 14, 1, 362, 2.0),
        ("haxby", "derivatives/fmriprep", "objectviewing", 1, 12, 121, 2.5),
    ]:
        index = bids.index_dataset(real_data / name, folder, task)
        recordings = index[index["n_volumes"].notna()]
        assert len(recordings) == subjects * runs
        assert set(recordings["n_volumes"]) == {volumes}
        assert set(recordings["tr"]) == {tr}
        labels = sorted(set(recordings["subject"]))
        dataset = config.Dataset(path=str(real_data / name), derivatives=folder, task=task)
        assert len(bids.find_runs(index, dataset, labels[0])) == runs
