"""Betas in the files that GLMsingle writes."""

from __future__ import annotations

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from neuroalign import bids, stages
from neuroalign.artefacts import arrays, layout
from neuroalign.recordings.check import problems
from neuroalign.recordings.fmri import read_responses
from neuroalign.recordings.formats import list_trials
from neuroalign.settings import configfile

SHAPE, TRIALS = (4, 3, 2), 10
AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])
BETAS = np.random.default_rng(0).standard_normal((*SHAPE, TRIALS)).astype(np.float32)
RUNS = ["1"] * 4 + ["2"] * 6


def python(path, betas):
    """As glmsingle's save_glmsingle_outputs_h5 does: arrays, scalars as attributes, nothing as Empty."""
    with h5py.File(path, "w") as file:
        file["betasmd"], file["HRFindex"] = betas, np.zeros(betas.shape[:-1])
        file.attrs["pcnum"] = 3
        file.create_dataset("rrbadness", data=h5py.Empty("f"))


def matlab(path, betas):
    """As MATLAB saves with -v7.3: after 512 bytes of its own, HDF5 with the axes from behind."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file["modelmd"] = betas.T
        file["modelmd"].attrs["MATLAB_class"] = np.bytes_("single")
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file".ljust(512))


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "lab"
    (root / "sub-01").mkdir(parents=True)
    table = pd.DataFrame({"item": [f"{number}.png" for number in range(TRIALS)], "run": RUNS})
    table.to_csv(root / "sub-01" / "trials.tsv", sep="\t", index=False)
    python(root / "sub-01" / "TYPED.hdf5", BETAS)
    matlab(root / "sub-01" / "TYPED.mat", BETAS)
    inside = np.ones(SHAPE, np.uint8)
    inside[1] = 0
    nib.save(nib.Nifti1Image(inside, AFFINE), root / "sub-01" / "mask.nii.gz")
    return root


def study(root, **responses):
    asked = {
        "kind": "glmsingle",
        "path": "sub-{subject}/TYPED.hdf5",
        "items": "sub-{subject}/trials.tsv",
        "mask": "sub-{subject}/mask.nii.gz",
        "standardize": False,
        **responses,
    }
    return configfile.parse(
        {
            "output": str(root.parent / "out"),
            "dataset": {"path": str(root), "task": "images"},
            "responses": {key: value for key, value in asked.items() if value is not None},
            "networks": {"net": {"source": "nowhere"}},
        }
    )


def read(asked):
    return read_responses(bids.index_study(asked), asked.dataset, asked.responses, "01")


@pytest.mark.parametrize("ending", ["hdf5", "mat"])
def test_voxels_within_the_mask(root, ending):
    asked = study(root, path=f"sub-{{subject}}/TYPED.{ending}")
    assert problems(asked) == []
    found = read(asked)
    assert list(found["run"].to_numpy()) == [f"run-{run}" for run in RUNS]
    assert list(found["time_s"].to_numpy()) == [*range(4), *range(6)]
    voxels = tuple(found[axis].to_numpy() for axis in "ijk")
    assert found.sizes["target"] == 18
    np.testing.assert_array_equal(found["response"], BETAS[voxels].T)
    np.testing.assert_allclose(found["z"], 3 * voxels[2])
    assert (found.attrs["kind"], found.attrs["shape"]) == ("volume", list(SHAPE))


@pytest.mark.parametrize("shape", [(24, TRIALS), (24, 1, 1, TRIALS)])
def test_a_list_of_units_needs_no_mask(root, shape):
    python(root / "sub-01" / "TYPED.hdf5", BETAS.reshape(shape))
    found = read(study(root, mask=None))
    np.testing.assert_array_equal(found["response"], BETAS.reshape(24, TRIALS).T)
    assert found.attrs["kind"] == "parcels"
    (root / "rois.tsv").write_text("name\troi\n" + "".join(f"u{n}\tV{n // 12}\n" for n in range(24)))
    found = read(study(root, mask=None, regions="rois.tsv"))
    assert list(found["roi"].to_numpy()) == ["V0"] * 12 + ["V1"] * 12


def test_regions_and_trials(root):
    labels = np.zeros(SHAPE, np.int16)
    labels[0] = 2
    nib.save(nib.Nifti1Image(labels, AFFINE), root / "atlas.nii.gz")
    (root / "atlas.tsv").write_text("index\tname\n2\tV1\n")
    asked = study(root, regions="atlas.nii.gz")
    np.testing.assert_array_equal(read(asked)["roi"] == "V1", read(asked)["i"] == 0)
    trials = list_trials(asked.dataset, asked.responses, "01")
    assert list(trials["uri"]) == [str(root / f"{number}.png") for number in range(TRIALS)]


def test_the_stages_of_the_command_line(root):
    asked = study(root)
    stages.index(asked)
    stages.responses(asked, "01")
    opened = arrays.open_arrays(root.parent / "out" / layout.RESPONSES.format(subject="01"))
    np.testing.assert_array_equal(opened["response"], read(asked)["response"])


def test_what_cannot_be_read(root):
    np.save(root / "sub-01" / "TYPED.npy", {"betasmd": BETAS}, allow_pickle=True)
    (line,) = problems(study(root, path="sub-{subject}/TYPED.npy"))
    assert "TYPED.npy: GLMsingle's .npy files are pickles, which are never read; run it with" in line
    (line,) = problems(study(root, mask=None))
    assert line.startswith("responses.mask is missing: betas of 4 × 3 × 2 voxels need an image")
    python(root / "sub-01" / "TYPED.hdf5", BETAS[:, :, :1, :-1])
    found = problems(study(root))
    assert "9 trials, but its table of items lists 10; give one row per trial" in found[0]
    assert "a mask of (4, 3, 2) voxels, but betas of (4, 3, 1)" in found[1]
    with h5py.File(root / "sub-01" / "TYPED.hdf5", "w") as file:
        file["onoffR2"] = 1.0
    assert "no array of betas, betasmd or modelmd, among onoffR2" in problems(study(root))[0]
