from __future__ import annotations

import json
import time

import numpy as np
import pandas as pd
import pytest

from neuroalign.recordings.check import problems

N = 20


def parcels(seed=0, n=N):
    return pd.DataFrame(np.random.default_rng(seed).standard_normal((n, 3)), columns=["A", "B", "C"])


def motion(n=N):
    return pd.DataFrame(np.random.default_rng(9).standard_normal((n, 2)), columns=["trans_x", "word_rate"])


@pytest.fixture
def good(tree):
    for subject in ("01", "02"):
        tree.events(subject)
        tree.parcels(subject, "1", parcels())
        tree.confounds(subject, "1", motion())
    return tree


def image(n=N, shape=(4, 4, 3)):
    return np.random.default_rng(0).standard_normal((*shape, n)).astype(np.float32)


def lines(tree, kind="parcels", **sections):
    found = problems(tree.study(kind, **sections))
    assert all("\n" not in line for line in found)
    return found


def test_nothing_wrong(good):
    sections = {"responses": {"confounds": ["trans_*"]}, "design": {"nuisance": {"columns": ["word_rate"]}}}
    assert lines(good, **sections) == []


def test_missing_folders(good, tmp_path):
    (line,) = lines(good, dataset={"path": str(tmp_path / "no")})
    assert line.startswith("dataset.path: no folder at")
    (line,) = lines(good, dataset={"derivatives": "derivatives/roi"})
    assert line.startswith("dataset.derivatives: no folder at")


def test_everything_at_once(good):
    good.events("02").unlink()
    short = good.parcels("01", "1", parcels(n=8))
    good.write(short.with_suffix(".json"), {"RepetitionTime": 2.5})
    found = lines(
        good,
        dataset={"subjects": ["01", "02", "03"]},
        responses={"tr": 2.0, "confounds": ["trans_*", "csf"]},
        design={"nuisance": {"columns": ["sound_*"]}},
    )
    expected = [
        "repetition times disagree: 2 s in responses.tr, 2.5 s in the sidecar; correct the wrong one",
        "8 volumes of 2 s end at 16 s, but the last word of '",
        "20 rows for 8 volumes; make the confounds again",
        "no numeric confound column 'csf'",
        "sub-01: design.nuisance.columns: no numeric confound column 'sound_*'",
        "sub-02 task-story run-1: no events file; add 'sub-02_task-story_run-1_events.tsv'",
        "sub-03: no parcels recordings (_timeseries.tsv) of task 'story' in 'derivatives/fmriprep'",
    ]
    for part in expected:
        assert sum(part in line for line in found) >= 1, part
    assert len(found) == len(expected) + 2  # csf and sound_* are missing for sub-02 too


def test_missing_repetition_time(good):
    good.parcels("01", "1", parcels(), tr=None).with_suffix(".json").unlink()
    (line,) = lines(good)
    assert line.endswith("no sidecar gives its RepetitionTime; add one or set responses.tr")
    assert "sub-01_task-story_run-1_atlas-six_timeseries.tsv: " in line
    assert lines(good, responses={"tr": 2.0}) == []


def test_a_sidecar_that_is_no_json(good):
    good.parcels("01", "1", parcels()).with_suffix(".json").write_text("{'TR': 2}")
    found = lines(good)
    assert any("timeseries.json: not a JSON file" in line for line in found)


def test_damaged_events(good):
    good.events("01").write_text("onset\ttext\n0\tx\n")
    (line,) = lines(good)
    assert "no column 'word'" in line


def test_words_before_the_first_volume(good):
    found = lines(good, stimuli={"offset_s": 10.0})
    assert len(found) == 2
    assert (
        "most words of sub-01 task-story run-1 begin before its first volume, the first at -10 s" in found[0]
    )


def test_missing_confounds(good):
    path = good.confounds("01", "1", motion())
    path.unlink()
    assert lines(good) == []
    (line,) = lines(good, responses={"confounds": ["trans_*"]})
    assert line == (
        "sub-01 task-story run-1: no desc-confounds_timeseries.tsv; add it or empty responses.confounds"
    )
    path.write_text("")
    (line,) = lines(good)
    assert "desc-confounds_timeseries.tsv: the table is empty" in line


def test_cleaning_that_leaves_nothing(good):
    found = lines(good, responses={"trim_s": [20, 18]})
    assert (
        found[0] == "sub-01 task-story run-1: responses.trim_s [20.0, 18.0] leaves 1 of 20 volumes; trim less"
    )
    found = lines(good, responses={"high_pass_hz": 0.3})
    assert found == [found[0]]


def test_an_empty_table(good):
    good.parcels("01", "1", parcels()).write_text("A\tB\tC\n")
    found = lines(good)
    assert any("atlas-six_timeseries.tsv: the table is empty" in line for line in found)


def test_runs_with_different_repetition_times(good):
    good.events("01", "2")
    good.confounds("01", "2", motion())
    good.parcels("01", "2", parcels(), tr=1.9)
    assert lines(good) == ["sub-01: repetition times of the runs differ (1.9, 2 s); leave runs out"]


def test_subjects_who_cannot_be_averaged(good):
    good.parcels("02", "1", parcels(n=N + 1))
    good.confounds("02", "1", motion(N + 1))
    assert lines(good) == []
    (line,) = lines(good, responses={"average": True})
    assert "sub-02 has run-1 of 21 volumes, but sub-01 run-1 of 20 volumes; leave subjects out" in line


def test_volumes(tree):
    mask = np.ones((4, 4, 3))
    for run in ("1", "2", "3", "4", "5"):
        tree.events("01", run)
        path = tree.volumes("01", run, image(), mask)
        if run == "2":
            path.write_bytes(path.read_bytes()[:-100])
        if run == "3":
            path.write_bytes(b"broken")
    tree.volumes("01", "4", image(shape=(4, 4, 2)), None)
    tree.volumes("01", "5", image(), None, tr=2.2)
    path.with_name("sub-01_task-story_run-5_space-MNI_desc-brain_mask.nii.gz").unlink()
    found = lines(tree, "volume", responses={"regions": "atlas.nii.gz"})
    assert len(found) == 6
    for part in [
        "run-2_space-MNI_desc-preproc_bold.nii.gz: cut off: its header promises",
        "run-3_space-MNI_desc-preproc_bold.nii.gz: cannot be read",
        "run-4_space-MNI_desc-preproc_bold.nii.gz: its grid is not that of",
        "repetition times disagree: 2 s in the sidecar, 2.2 s in the NIfTI header; correct the wrong one",
        "sub-01 task-story run-5: no desc-brain_mask",
        "atlas.nii.gz: cannot be read",
    ]:
        assert sum(part in line for line in found) == 1, (part, found)


def test_a_header_is_outvoted_by_config_and_sidecar(tree):
    tree.events("01")
    tree.volumes("01", "1", image(), np.ones((4, 4, 3)), tr=1.0)
    assert len(lines(tree, "volume")) == 1
    assert lines(tree, "volume", responses={"tr": 2.0}) == []
    tree.write(tree.root / "task-story_bold.json", {})
    (line,) = lines(tree, "volume")
    assert "no sidecar gives its RepetitionTime (its header says 1 s); add one or set responses.tr" in line


def test_surfaces(tree):
    data = np.random.default_rng(0).standard_normal((N, 10))
    for run in ("1", "2", "3"):
        tree.events("01", run)
        tree.surface("01", run, "L", data)
    tree.surface("01", "2", "R", data[:-1])
    path = tree.surface("01", "3", "R", data)
    path.write_bytes(path.read_bytes()[:-300])
    found = lines(tree, "surface", responses={"regions": "hemi-{hemi}.label.gii"})
    assert len(found) == 5
    for part in [
        "run-1: no hemi-R recording",
        "run-2: 20 volumes in hemi-L but 19 in hemi-R",
        "run-3_hemi-R_space-fsaverage5_bold.func.gii: cut off: no closing </GIFTI>",
        "hemi-L.label.gii: no such file",
        "hemi-R.label.gii: no such file",
    ]:
        assert sum(part in line for line in found) == 1, (part, found)


def test_real_datasets_are_sound(real_data, tree):
    begin = time.perf_counter()
    alice = tree.study(
        dataset={"path": str(real_data / "alice"), "derivatives": "derivatives/roi", "task": "alice"},
        responses={"confounds": ["trans_*", "rot_*"]},
        design={"nuisance": {"columns": ["word_rate", "sound_power"]}},
    )
    haxby = tree.study(
        "volume",
        dataset={
            "path": str(real_data / "haxby"),
            "derivatives": "derivatives/fmriprep",
            "task": "objectviewing",
        },
        stimuli={"column": "trial_type"},
    )
    assert problems(alice) == []
    assert problems(haxby) == []
    assert time.perf_counter() - begin < 20
    assert json.dumps(problems(alice)) == "[]"


def test_many_files_with_one_problem_share_a_line(tree):
    for number in range(6):
        subject = f"{number:02d}"
        tree.events(subject)
        tree.parcels(subject, "1", pd.DataFrame({"STG": range(20), "IFG": range(20)}))
    found = problems(tree.study(responses={"tr": 3.0}))
    assert len(found) == 1
    assert "sub-00" in found[0]
    assert "and 5 more like it: repetition times disagree: 3 s in responses.tr" in found[0]
