from __future__ import annotations

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.maskers import NiftiMasker

from neuroalign import bids
from neuroalign.errors import DataError
from neuroalign.recordings.fmri import read_responses
from neuroalign.settings import config

SHAPE = (5, 4, 3)
N = 60


def image(seed, n=N, shape=SHAPE):
    return (800 + 40 * np.random.default_rng(seed).standard_normal((*shape, n))).astype(np.float32)


def mask(*out):
    inside = np.ones(SHAPE, bool)
    for voxel in out:
        inside[voxel] = False
    return inside


def read(tree, **responses):
    study = tree.study("volume", responses=responses)
    index = bids.index_dataset(tree.root, tree.derivatives, "story")
    return read_responses(index, study.dataset, study.responses, "01")


def test_voxels_have_places(tree):
    data = image(0)
    tree.volumes("01", "1", data, mask((0, 0, 0)))
    tree.volumes("01", "2", image(1), mask((1, 1, 1)))
    found = read(tree, standardize=False, high_pass_hz=None)
    assert found.sizes["target"] == 60 - 2
    voxels = np.column_stack([found[axis].to_numpy() for axis in "ijk"])
    assert not {(0, 0, 0), (1, 1, 1)} & set(map(tuple, voxels))
    places = np.column_stack([found[axis].to_numpy() for axis in "xyz"])
    np.testing.assert_allclose(places, nib.affines.apply_affine(tree.affine, voxels))
    np.testing.assert_allclose(
        found["response"][:N, 9], (lambda v: v - v.mean())(data[tuple(voxels[9])]), atol=1e-2
    )
    assert found.attrs["affine"] == tree.affine.ravel().tolist()
    assert found.attrs["shape"] == list(SHAPE)
    assert found.attrs["space"] == "MNI"


def test_the_same_as_nilearn(tree):
    rng = np.random.default_rng(3)
    path = tree.volumes("01", "1", image(0), mask((0, 0, 0)))
    table = pd.DataFrame(rng.standard_normal((N, 3)), columns=["trans_x", "trans_y", "csf"])
    tree.confounds("01", "1", table)
    found = read(tree, confounds=["trans_*"])
    masker = NiftiMasker(
        path.with_name(path.name.replace("preproc_bold", "brain_mask")),
        t_r=2.0,
        high_pass=0.01,
        clean_args={"filter": "cosine"},
        detrend=False,
        standardize=None,
        dtype="float64",
    )
    masker.fit()
    with pytest.warns(DeprecationWarning, match="confounds will be standardized"):
        expected = masker.transform(path, confounds=table[["trans_x", "trans_y"]].to_numpy())
    expected = (expected - expected.mean(axis=0)) / expected.std(axis=0)
    np.testing.assert_allclose(found["response"], expected, atol=1e-4)


def test_one_mask_for_all_and_regions(tree):
    tree.volumes("01", "1", image(0))
    inside = mask()
    inside[2:] = False
    nib.save(nib.Nifti1Image(inside.astype(np.uint8), tree.affine), tree.root / "mask.nii.gz")
    labels = np.zeros(SHAPE, np.int16)
    labels[0], labels[1, 0] = 4, 9
    nib.save(nib.Nifti1Image(labels, tree.affine), tree.root / "atlas.nii.gz")
    (tree.root / "atlas.tsv").write_text("index\tname\n4\tSTG\n5\tIFG\n")
    found = read(tree, mask="mask.nii.gz", regions="atlas.nii.gz")
    regions = pd.Series(found["roi"].to_numpy()).value_counts().to_dict()
    assert regions == {"STG": 12, "label-9": 3, "": 9}
    (tree.root / "atlas.tsv").write_text("id\tname\n4\tSTG\n")
    with pytest.raises(DataError, match="expected columns 'index' and 'name', got id, name"):
        read(tree, mask="mask.nii.gz", regions="atlas.nii.gz")


def test_voxels_that_never_change_are_invalid(tree):
    data = image(0)
    data[3, 3, 2] = 0
    tree.volumes("01", "1", data, mask())
    found = read(tree)
    assert found.attrs["n_excluded"] == 1
    where = ~found["valid"].to_numpy()
    assert [int(found[axis].to_numpy()[where].item()) for axis in "ijk"] == [3, 3, 2]


def test_grids_that_differ_are_all_named(tree):
    tree.volumes("01", "1", image(0), mask())
    tree.volumes("01", "2", image(0, shape=(5, 4, 2)))
    tree.volumes("01", "3", image(0), affine=np.eye(4))
    nib.save(nib.Nifti1Image(np.ones(SHAPE, np.uint8), tree.affine), tree.root / "mask.nii.gz")
    with pytest.raises(DataError) as caught:
        read(tree, mask="mask.nii.gz", regions="none.nii.gz")
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "none.nii.gz: cannot be read" in lines[0]
    assert "run-2_space-MNI_desc-preproc_bold.nii.gz: its grid is not that of" in lines[1]
    assert "(5 × 4 × 2 against 5 × 4 × 3 voxels); resample one of them" in lines[1]
    assert "(another affine)" in lines[2]


def test_missing_and_empty_masks(tree):
    tree.volumes("01", "1", image(0))
    with pytest.raises(
        DataError, match=r"sub-01 task-story run-1: no desc-brain_mask for .*; set responses\.mask"
    ):
        read(tree)
    tree.volumes("01", "1", image(0), ~mask())
    with pytest.raises(DataError, match="no voxel is inside the mask of every run"):
        read(tree)


def test_several_spaces(tree):
    path = tree.volumes("01", "1", image(0), mask())
    path.with_name(path.name.replace("MNI", "T1w")).write_bytes(path.read_bytes())
    with pytest.raises(
        DataError, match=r"2 recordings fit, set responses\.space to choose one \(space: MNI, T1w\)"
    ):
        read(tree)
    assert read(tree, space="MNI").attrs["space"] == "MNI"


def test_a_cut_file_is_named(tree):
    path = tree.volumes("01", "1", image(0), mask())
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(DataError, match=r"run-1_space-MNI_desc-preproc_bold\.nii\.gz: cut off"):
        read(tree)


def test_haxby(real_data):
    root = real_data / "haxby"
    dataset = config.Dataset(path=str(root), task="objectviewing", runs=("01", "2"))
    index = bids.index_dataset(root, dataset.derivatives, "objectviewing")
    found = read_responses(index, dataset, config.Responses(kind="volume", confounds=("trans_*",)), "001")
    assert found.sizes["sample"] == 2 * 121
    assert found.sizes["target"] == 530
    assert set(found["run"].to_numpy()) == {"run-01", "run-02"}
    assert found.attrs["shape"] == [40, 20, 1]
    assert bool(found["valid"].all())
