from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from neuroalign import bids
from neuroalign.artefacts import arrays
from neuroalign.errors import ConfigError, DataError
from neuroalign.recordings.fmri import average_responses, read_responses
from neuroalign.settings import config

N = 40
PARCELS = ("STG", "IFG", "V1")


def parcels(seed, columns=PARCELS, n=N):
    values = np.random.default_rng(seed).standard_normal((n, len(columns)))
    return pd.DataFrame(100 + values, columns=list(columns))


def motion(seed, n=N, **more):
    table = parcels(1000 + seed, ("trans_x", "trans_y", "rot_x"), n)
    return table.assign(**more)


def read(tree, subject="01", kind="parcels", **responses):
    study = tree.study(kind, responses=responses)
    index = bids.index_dataset(tree.root, tree.derivatives, "story")
    return read_responses(index, study.dataset, study.responses, subject)


def test_runs_are_labelled_joined_and_scaled(tree):
    for number, run in enumerate(("1", "2")):
        tree.parcels("01", run, parcels(number))
        tree.confounds("01", run, motion(number, fd=[np.nan, *range(N - 1)], label="x", only=1.0 * number))
    found = read(tree, confounds=["trans_*"], trim_s=[4, 0])
    assert found.sizes == {"sample": 2 * (N - 2), "target": 3, "confound": 5}
    assert list(found["run"].to_numpy()) == ["run-1"] * (N - 2) + ["run-2"] * (N - 2)
    np.testing.assert_allclose(found["time_s"][: N - 2], 0.5 + 2.0 * np.arange(2, N))
    assert list(found["name"].to_numpy()) == list(found["roi"].to_numpy()) == list(PARCELS)
    assert list(found["confound"].to_numpy()) == ["trans_x", "trans_y", "rot_x", "fd", "only"]
    assert found["response"].dtype == found["confound_value"].dtype == np.float32
    for run in ("run-1", "run-2"):
        part = found["response"].to_numpy()[found["run"] == run]
        np.testing.assert_allclose(part.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(part.std(axis=0), 1, atol=1e-5)
    attributes = {key: found.attrs[key] for key in ("subject", "task", "kind", "space", "tr", "high_pass_hz")}
    expected = {
        "subject": "01",
        "task": "story",
        "kind": "parcels",
        "space": "",
        "tr": 2.0,
        "high_pass_hz": 0.01,
    }
    assert attributes == expected
    assert found.attrs["n_excluded"] == 0
    assert "2 confounds (trans_x, trans_y) and cosine drifts below 0.01 Hz" in found.attrs["cleaning"]


def test_first_rows_without_value_become_zero(tree):
    tree.parcels("01", "1", parcels(0))
    tree.confounds("01", "1", motion(0, fd=[np.nan, *np.arange(1.0, N)], gap=[1.0, np.nan, *range(N - 2)]))
    found = read(tree, confounds=["fd"])
    assert list(found["confound"].to_numpy()) == ["trans_x", "trans_y", "rot_x", "fd"]
    assert list(found["confound_value"].sel(confound="fd")[:3].to_numpy()) == [0, 1, 2]
    with pytest.raises(DataError, match="confound 'gap' has no value in line 3"):
        read(tree, confounds=["gap"])


def test_a_pattern_may_match_in_one_run_only(tree):
    for number, run in enumerate(("1", "2")):
        tree.parcels("01", run, parcels(number))
    spike = np.eye(N)[7]
    tree.confounds("01", "1", motion(0, motion_outlier00=spike))
    tree.confounds("01", "2", motion(1))
    found = read(tree, confounds=["motion_outlier*"], high_pass_hz=None)
    assert abs(float(found["response"][7, 0]) - float(found["response"][:N, 0].mean())) < 1e-4
    assert "motion_outlier00" not in found["confound"].to_numpy()
    with pytest.raises(DataError, match="no numeric confound column 'motion_outlier00'"):
        read(tree, confounds=["motion_outlier00"])


def test_no_confounds_at_all_can_be_saved(tree, tmp_path):
    tree.parcels("01", "1", parcels(0))
    found = read(tree)
    assert found.sizes["confound"] == 0
    arrays.save_arrays(found, tmp_path / "r.nc")
    again = arrays.open_arrays(tmp_path / "r.nc")
    np.testing.assert_array_equal(again["response"], found["response"])
    assert again["confound_value"].shape == (N, 0)


def test_a_constant_target_keeps_its_place(tree):
    tree.parcels("01", "1", parcels(0))
    tree.parcels("01", "2", parcels(1).assign(IFG=3.0))
    found = read(tree)
    assert list(found["valid"].to_numpy()) == [True, False, True]
    assert found["response"][:, 1].isnull().all()
    assert found.attrs["n_excluded"] == 1


def test_columns_in_another_order_are_put_right(tree):
    tree.parcels("01", "1", parcels(0))
    expected = read(tree)
    tree.parcels("01", "2", parcels(0)[["V1", "STG", "IFG"]])
    found = read(tree)
    np.testing.assert_array_equal(found["response"][N:], expected["response"])


def test_config_tr_is_used_where_sidecars_are_silent(tree):
    tree.parcels("01", "1", parcels(0), tr=None)
    with pytest.raises(DataError, match=r"no sidecar gives its RepetitionTime; add one or set responses\.tr"):
        read(tree)
    assert float(read(tree, tr=1.5)["time_s"][1]) == 1.5


@pytest.mark.parametrize(
    ("responses", "error", "message"),
    [
        (
            {"confounds": ["trans_z"]},
            DataError,
            r"confounds_timeseries\.tsv: no numeric confound column 'trans_z': did",
        ),
        (
            {"space": "MNI"},
            DataError,
            r"task 'story' space-MNI; responses\.space is 'MNI': \(choices: none\)",
        ),
        (
            {"entities": {"atlas": "sex"}},
            DataError,
            r"responses\.entities\.atlas is 'sex': did you mean 'six'\?",
        ),
        (
            {"kind": "volume"},
            DataError,
            r"no volume recordings \(_bold\.nii\.gz\) of task 'story' in 'derivatives",
        ),
        ({"regions": "a.nii.gz"}, ConfigError, r"responses\.regions does not go with kind parcels"),
    ],
)
def test_settings_that_do_not_fit(tree, responses, error, message):
    tree.parcels("01", "1", parcels(0))
    tree.confounds("01", "1", motion(0))
    with pytest.raises(error, match=message):
        read(tree, **{"kind": "parcels", **responses})


def test_damaged_tables_are_named(tree):
    path = tree.parcels("01", "1", parcels(0))
    tree.parcels("01", "2", parcels(1, ("STG", "IFG", "A1")))
    with pytest.raises(DataError, match=r"run-2_atlas-six_timeseries\.tsv: columns differ .*A1, V1"):
        read(tree)
    tree.parcels("01", "2", parcels(1).assign(IFG="high"))
    with pytest.raises(DataError, match="column 'IFG' is not numeric"):
        read(tree)
    path.write_text("")
    with pytest.raises(DataError, match=r"run-1_atlas-six_timeseries\.tsv: the table is empty"):
        read(tree)


def test_confounds_that_do_not_fit(tree):
    tree.parcels("01", "1", parcels(0))
    with pytest.raises(DataError, match="sub-01 task-story run-1: no desc-confounds_timeseries"):
        read(tree, confounds=["trans_x"])
    tree.confounds("01", "1", motion(0, N - 1))
    with pytest.raises(DataError, match="39 rows for 40 volumes"):
        read(tree)


def test_two_files_for_a_run(tree):
    path = tree.parcels("01", "1", parcels(0))
    path.with_name(path.name.replace("six", "seven")).write_bytes(path.read_bytes())
    with pytest.raises(
        DataError, match=r"2 recordings fit, set responses\.entities to choose one \(atlas: seven, six\)"
    ):
        read(tree)
    assert read(tree, entities={"atlas": "six"}).sizes["target"] == 3


def test_repetition_times_that_differ_between_runs(tree):
    tree.parcels("01", "1", parcels(0))
    tree.parcels("01", "2", parcels(0), tr=2.5)
    with pytest.raises(DataError, match=r"repetition times of the runs differ \(2, 2\.5 s\)"):
        read(tree)


def subjects(tree, *tables):
    for number, table in enumerate(tables):
        tree.parcels(f"{number:02d}", "1", table)
        tree.confounds(f"{number:02d}", "1", motion(number))
    return [
        read(tree, f"{number:02d}", high_pass_hz=None, standardize=False) for number in range(len(tables))
    ]


def test_average_of_what_is_valid(tree, tmp_path):
    flat = parcels(0).assign(STG=1.0, IFG=1.0, V1=1.0)
    tables = [parcels(0), 50 * parcels(1), parcels(2).assign(V1=0.0), flat]
    found = average_responses(subjects(tree, *tables))
    scaled = [(table - table.mean()) / table.std(ddof=0) for table in tables[:3]]
    np.testing.assert_allclose(found["response"][:, 0], sum(s["STG"] for s in scaled) / 3, atol=1e-4)
    np.testing.assert_allclose(found["response"][:, 2], (scaled[0]["V1"] + scaled[1]["V1"]) / 2, atol=1e-4)
    assert found.attrs["subject"] == "average"
    assert found.attrs["subjects"] == "00, 01, 02"
    assert found.attrs["subjects_left_out"] == "03"
    assert list(found["confound"].to_numpy()) == ["trans_x", "trans_y", "rot_x"]
    arrays.save_arrays(found, tmp_path / "a.nc")
    assert arrays.open_arrays(tmp_path / "a.nc").attrs["subjects_left_out"] == "03"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            parcels(1, n=N - 5),
            r"sub-00 and sub-01 differ in runs or volumes \(40 and 35 samples\); leave subjects out",
        ),
        (parcels(1, ("STG", "IFG", "A1")), "sub-00 and sub-01 differ in targets"),
    ],
)
def test_subjects_who_cannot_be_averaged(tree, other, message):
    tree.parcels("00", "1", parcels(0))
    tree.parcels("01", "1", other)
    pair = [read(tree, "00"), read(tree, "01")]
    with pytest.raises(DataError, match=message):
        average_responses(pair)


def test_nobody_to_average(tree):
    with pytest.raises(DataError, match="no subject has a target that varies"):
        average_responses(subjects(tree, parcels(0).assign(STG=1.0, IFG=1.0, V1=1.0)))


def test_alice(real_data):
    root = real_data / "alice"
    dataset = config.Dataset(path=str(root), derivatives="derivatives/roi", task="alice")
    index = bids.index_dataset(root, dataset.derivatives, "alice")
    settings = config.Responses(kind="parcels", confounds=("trans_*", "rot_*"), trim_s=(10, 4))
    everyone = [
        read_responses(index, dataset, settings, subject) for subject in ("18", "23", "26", "33", "36")
    ]
    still = everyone[3]
    assert still.attrs["n_excluded"] == 6
    assert still["response"].isnull().all()
    found = average_responses(everyone)
    assert found.attrs["subjects_left_out"] == "33"
    assert found.sizes == {"sample": 355, "target": 6, "confound": 8}
    assert bool(found["valid"].all())
