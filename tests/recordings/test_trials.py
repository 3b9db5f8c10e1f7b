from __future__ import annotations

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from neuroalign import bids, stages
from neuroalign.artefacts import arrays, layout
from neuroalign.errors import ConfigError, DataError
from neuroalign.recordings.check import problems
from neuroalign.recordings.fmri import average_responses, read_responses
from neuroalign.recordings.trials import scale_trials

SHAPE = (4, 3, 2)
TRIALS = 9  # as many as the events of the tiny datasets


def betas(tree, subject, run, data, affine=None):
    path = tree.folder(subject) / f"{tree.stem(subject, run)}_space-T1w_desc-betas_statmap.nii.gz"
    nib.save(nib.Nifti1Image(data, tree.affine if affine is None else affine), path)
    return path


def random(seed, n=TRIALS):
    return (0.4 + np.random.default_rng(seed).standard_normal((*SHAPE, n))).astype(np.float32)


@pytest.fixture
def filled(tree):
    inside = np.ones(SHAPE, np.uint8)
    inside[0, 0] = 0
    nib.save(nib.Nifti1Image(inside, tree.affine), tree.root / "mask.nii.gz")
    for number, run in enumerate(("1", "2")):
        tree.events("01", run)
        betas(tree, "01", run, random(number))
        # A time series and another statistic of the same runs are not taken for the betas.
        tree.volumes("01", run, random(5, 20))
        other = tree.folder("01") / f"{tree.stem('01', run)}_space-T1w_desc-tmap_statmap.nii.gz"
        nib.save(nib.Nifti1Image(random(6), tree.affine), other)
    return tree


def study(tree, kind="volume", **responses):
    asked = {"samples": "trials", "mask": "mask.nii.gz", "entities": {"desc": "betas"}, **responses}
    return tree.study(kind, responses={key: value for key, value in asked.items() if value is not None})


def read(tree, kind="volume", subject="01", **responses):
    made = study(tree, kind, **responses)
    return read_responses(bids.index_study(made), made.dataset, made.responses, subject)


def test_one_sample_per_trial_z_scored_within_runs(filled):
    found = read(filled)
    assert found.sizes == {"sample": 2 * TRIALS, "target": 24 - 2, "confound": 0}
    assert list(found["run"].to_numpy()) == ["run-1"] * TRIALS + ["run-2"] * TRIALS
    assert list(found["time_s"].to_numpy()) == [*range(TRIALS)] * 2
    assert found.attrs["samples"] == "trials"
    assert "tr" not in found.attrs
    assert found.attrs["high_pass_hz"] == 0
    assert (found.attrs["kind"], found.attrs["space"]) == ("volume", "T1w")
    voxels = tuple(found[axis].to_numpy() for axis in "ijk")
    for run in range(2):
        raw = random(run)[voxels].T.astype(float)
        expected = (raw - raw.mean(axis=0)) / raw.std(axis=0)
        np.testing.assert_allclose(found["response"][run * TRIALS : (run + 1) * TRIALS], expected, atol=1e-5)


def test_not_standardized_is_not_changed(filled):
    found = read(filled, standardize=False)
    voxels = tuple(found[axis].to_numpy() for axis in "ijk")
    np.testing.assert_array_equal(found["response"][TRIALS:], random(1)[voxels].T)


def test_surfaces(filled):
    for run in ("1", "2"):
        for side, hemi in enumerate("LR"):
            bold = filled.surface("01", run, hemi, random(side)[0, 0].T)
            bold.rename(bold.with_name(bold.name.replace("_bold.func", "_desc-betas_statmap.shape")))
    found = read(filled, "surface", mask=None)
    assert found.sizes["sample"] == 2 * TRIALS
    assert found.attrs["vertices"] == [2, 2]


def test_the_stage_reads_what_the_index_lists(filled, tmp_path):
    made = study(filled).model_copy(update={"output": str(tmp_path / "out")})
    stages.index(made)
    stages.responses(made, "01")
    opened = arrays.open_arrays(tmp_path / "out" / layout.RESPONSES.format(subject="01"))
    np.testing.assert_array_equal(opened["response"], read(filled)["response"])
    assert opened.attrs["samples"] == "trials"


def test_the_mean_subject_keeps_trials(filled):
    for run in ("1", "2"):
        betas(filled, "02", run, random(7 + int(run)))
    mean = average_responses([read(filled), read(filled, subject="02")])
    assert mean.attrs["samples"] == "trials"
    assert "tr" not in mean.attrs


def test_values_that_cannot_be_scaled():
    data = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    data[:, 1], data[2, 3] = 5.0, np.nan
    assert list(np.isnan(scale_trials(data, True, "run-1")).all(axis=0)) == [False, True, False, True]
    assert list(np.isnan(scale_trials(data, False, "run-1")).all(axis=0)) == [False, False, False, True]
    with pytest.raises(DataError, match=r"run-1: 2 trials are too few .* responses\.standardize to false"):
        scale_trials(data[:2], True, "run-1")


@pytest.mark.parametrize(
    ("responses", "said"),
    [
        ({"tr": 2.0}, "responses: tr clean time series, but samples is trials"),
        ({"confounds": ["trans_*"], "trim_s": [2, 0]}, "confounds and trim_s clean time series"),
        ({"high_pass_hz": 0.02}, "high_pass_hz clean time series"),
        ({"samples": "trial"}, "did you mean 'trials'?"),
    ],
)
def test_cleaning_of_time_series_is_refused(filled, responses, said):
    with pytest.raises(ConfigError) as caught:
        study(filled, **responses)
    assert said in str(caught.value)


def test_the_default_filter_is_none_for_trials(filled):
    assert study(filled).responses.high_pass_hz is None
    assert study(filled, high_pass_hz=0.01).responses.high_pass_hz is None
    assert filled.study("volume").responses.high_pass_hz == 0.01


def test_check_finds_nothing_wrong(filled):
    assert problems(study(filled)) == []


def test_check_counts_events(filled):
    betas(filled, "01", "1", random(0, TRIALS - 1))
    (line,) = problems(study(filled))
    assert "desc-betas_statmap.nii.gz: 8 volumes, but '" in line
    assert "run-1_events.tsv' has 9 events; give one volume per event" in line
    # An event that is skipped has no volume.
    table = pd.read_csv(filled.events("01", "1"), sep="\t")
    table.loc[3, "word"] = "n/a"
    table.to_csv(filled.events("01", "1"), sep="\t", index=False, na_rep="n/a")
    assert problems(study(filled)) == []


def test_check_finds_damage_and_other_grids(filled):
    path = betas(filled, "01", "1", random(0), np.eye(4))
    cut = betas(filled, "01", "2", random(1))
    cut.write_bytes(cut.read_bytes()[:-60])
    found = problems(study(filled))
    assert any(line.startswith(f"{path}: its grid is not that of") for line in found)
    assert any(line.startswith(f"{cut}: cut off") for line in found)


def test_the_wrong_files_are_named(filled):
    (line,) = problems(study(filled, entities={"desc": "beta"}))
    assert "no volume recordings (_statmap.nii.gz) of task 'story' desc-beta" in line
    assert "did you mean 'betas'?" in line
    found = problems(study(filled, entities={}))
    assert len(found) == 2
    assert "2 recordings fit, set responses.entities to choose one (desc: betas, tmap)" in found[0]
    assert problems(study(filled, suffix="bold", entities={}))[0].endswith("stimuli.skip")
