from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from neuroalign import bids
from neuroalign.errors import ConfigError, DataError
from neuroalign.recordings.fmri import read_responses

N = 50


def series(seed, vertices, n=N):
    data = np.random.default_rng(seed).standard_normal((n, vertices)).astype(np.float32)
    return data + 10


def read(tree, **responses):
    study = tree.study("surface", responses=responses)
    index = bids.index_dataset(tree.root, tree.derivatives, "story")
    return read_responses(index, study.dataset, study.responses, "01")


def labels(tree, hemi, keys):
    table = nib.gifti.GiftiLabelTable()
    for key, name in [(0, "Unknown"), (1, "STG"), (3, "IFG")]:
        label = nib.gifti.GiftiLabel(key)
        label.label = name
        table.labels.append(label)
    array = nib.gifti.GiftiDataArray(np.array(keys, np.int32), intent="NIFTI_INTENT_LABEL")
    nib.save(nib.GiftiImage(darrays=[array], labeltable=table), tree.root / f"hemi-{hemi}_dseg.label.gii")


@pytest.mark.parametrize("single", [False, True], ids=["array per volume", "one array"])
def test_left_then_right(tree, single):
    left, right = series(0, 6), series(1, 4)
    left[:, 2], right[7, 1] = 0.0, np.nan
    tree.surface("01", "1", "L", left, single=single)
    tree.surface("01", "1", "R", right, single=single)
    found = read(tree, standardize=False, high_pass_hz=None)
    assert list(found["hemi"].to_numpy()) == ["L"] * 6 + ["R"] * 4
    assert list(found["vertex"].to_numpy()) == [*range(6), *range(4)]
    assert list(np.flatnonzero(~found["valid"])) == [2, 7]
    assert found.attrs["vertices"] == [6, 4]
    assert found.attrs["n_excluded"] == 2
    assert found.attrs["space"] == "fsaverage5"
    both = np.column_stack([left, right])
    keep = found["valid"].to_numpy()
    np.testing.assert_allclose(found["response"][:, keep], (both - both.mean(axis=0))[:, keep], atol=1e-4)


def test_regions(tree):
    tree.surface("01", "1", "L", series(0, 4))
    tree.surface("01", "1", "R", series(1, 3))
    labels(tree, "L", [0, 1, 3, 7])
    labels(tree, "R", [3, 3, 0])
    found = read(tree, regions="hemi-{hemi}_dseg.label.gii")
    assert list(found["roi"].to_numpy()) == ["", "STG", "IFG", "label-7", "IFG", "IFG", ""]
    labels(tree, "R", [3, 3])
    with pytest.raises(
        DataError, match=r"hemi-R_dseg\.label\.gii: labels for 2 vertices, but the recordings have 3"
    ):
        read(tree, regions="hemi-{hemi}_dseg.label.gii")
    with pytest.raises(ConfigError, match=r"put \{hemi\} where files have L or R"):
        read(tree, regions="hemi-L_dseg.label.gii")
    with pytest.raises(DataError, match=r"hemi-L_dseg\.gii: no such file"):
        read(tree, regions="hemi-{hemi}_dseg.gii")
    with pytest.raises(ConfigError, match=r"responses\.mask does not go with kind surface"):
        read(tree, mask="mask.nii.gz")


def test_hemispheres_that_do_not_fit(tree):
    tree.surface("01", "1", "L", series(0, 4))
    with pytest.raises(
        DataError, match="sub-01 task-story run-1: no hemi-R recording, only the other hemisphere"
    ):
        read(tree)
    tree.surface("01", "1", "R", series(1, 4, N - 1))
    with pytest.raises(DataError, match="run-1: 50 volumes in hemi-L but 49 in hemi-R"):
        read(tree)


def test_another_mesh_in_one_run(tree):
    for run, vertices in (("1", 4), ("2", 5)):
        tree.surface("01", run, "L", series(0, vertices))
        tree.surface("01", run, "R", series(1, 4))
    with pytest.raises(
        DataError, match=r"run-2_hemi-L_.*: 5 vertices, but 'sub-01_task-story_run-1_hemi-L.*' has 4"
    ):
        read(tree)


def test_a_cut_file_is_named(tree):
    tree.surface("01", "1", "L", series(0, 4))
    path = tree.surface("01", "1", "R", series(1, 4))
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataError, match=r"hemi-R_space-fsaverage5_bold\.func\.gii: cut off"):
        read(tree)
