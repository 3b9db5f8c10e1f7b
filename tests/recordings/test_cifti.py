from __future__ import annotations

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neuroalign import bids
from neuroalign.artefacts import arrays
from neuroalign.errors import ConfigError, DataError
from neuroalign.maps.derivatives import write_maps
from neuroalign.recordings.check import problems
from neuroalign.recordings.fmri import read_responses

N = 40
AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2.0, 0, -126], [0, 0, 2.0, -72], [0, 0, 0, 1]])
SHAPE = (6, 5, 4)
LEFT, RIGHT = [0, 2, 3, 7], [1, 4, 5]
VOXELS = {"THALAMUS_LEFT": [[1, 2, 3], [2, 2, 3]], "ACCUMBENS_RIGHT": [[4, 0, 1]]}


def grayordinates(left=LEFT):
    axis = nib.cifti2.BrainModelAxis.from_surface(left, 10, "CIFTI_STRUCTURE_CORTEX_LEFT")
    axis += nib.cifti2.BrainModelAxis.from_surface(RIGHT, 8, "CIFTI_STRUCTURE_CORTEX_RIGHT")
    for name, voxels in VOXELS.items():
        axis += nib.cifti2.BrainModelAxis(
            f"CIFTI_STRUCTURE_{name}", voxel=np.array(voxels), affine=AFFINE, volume_shape=SHAPE
        )
    return axis


def series(seed, n=N):
    return (100 + np.random.default_rng(seed).standard_normal((n, 10))).astype(np.float32)


def save(tree, subject, run, data, axis=None, step=2.0):
    path = tree.folder(subject) / f"{tree.stem(subject, run)}_space-fsLR_den-91k_bold.dtseries.nii"
    axes = (nib.cifti2.SeriesAxis(0, step, len(data)), axis or grayordinates())
    nib.save(nib.Cifti2Image(data, axes), path)
    return path


@pytest.fixture
def filled(tree):
    for number, run in enumerate(("1", "2")):
        tree.events("01", run)
        save(tree, "01", run, series(number))
        # The volumes and surfaces of the same runs that fMRIPrep writes beside them.
        tree.volumes("01", run, np.zeros((2, 2, 2, N), np.float32))
    return tree


def read(tree, **responses):
    study = tree.study("cifti", responses=responses)
    return read_responses(bids.index_study(study), study.dataset, study.responses, "01")


def test_vertices_and_voxels_have_their_places(filled):
    found = read(filled, standardize=False, high_pass_hz=None)
    assert found.sizes["target"] == 10
    assert list(found["hemi"].to_numpy()) == ["L"] * 4 + ["R"] * 3 + [""] * 3
    assert list(found["vertex"].to_numpy()) == [*LEFT, *RIGHT, -1, -1, -1]
    assert list(found["roi"].to_numpy()) == (
        ["CORTEX_LEFT"] * 4 + ["CORTEX_RIGHT"] * 3 + ["THALAMUS_LEFT"] * 2 + ["ACCUMBENS_RIGHT"]
    )
    voxels = np.column_stack([found[axis].to_numpy() for axis in "ijk"])
    assert (voxels[:7] == -1).all()
    np.testing.assert_array_equal(voxels[7:], [*VOXELS["THALAMUS_LEFT"], *VOXELS["ACCUMBENS_RIGHT"]])
    np.testing.assert_allclose(found["x"][7:], 90 - 2 * voxels[7:, 0])
    assert np.isnan(found["x"][:7]).all()
    raw = series(1).astype(float)
    np.testing.assert_allclose(found["response"][N:], raw - raw.mean(axis=0), atol=1e-4)
    assert (found.attrs["kind"], found.attrs["space"], found.attrs["tr"]) == ("cifti", "fsLR", 2.0)
    assert (found.attrs["vertices"], found.attrs["shape"]) == ([10, 8], list(SHAPE))


def test_cleaned_as_other_recordings_are(filled):
    found = read(filled)
    for number, run in enumerate(("1", "2")):
        filled.parcels("01", run, pd.DataFrame(series(number), columns=list("abcdefghij")))
    study = filled.study("parcels")
    same = read_responses(bids.index_study(study), study.dataset, study.responses, "01")
    np.testing.assert_allclose(found["response"], same["response"], atol=1e-5)


def test_responses_become_maps(filled, tmp_path):
    """What is read from grayordinates is written back onto them, through the file on disk."""
    arrays.save_arrays(read(filled), tmp_path / "r.nc")
    responses = arrays.open_arrays(tmp_path / "r.nc")
    score = np.arange(10, dtype=np.float32) / 10
    summary = xr.Dataset(
        {
            "chosen_r": ("target", score),
            "r": (("layer", "target"), np.stack([score, -score])),
            "normalised_r": ("target", score),
            "ceiling": ("target", score),
            "significant": ("target", np.ones(10, bool)),
        },
        {"layer": ["a", "b"], "depth": ("layer", [0.0, 1.0]), **arrays.target_coordinates(responses)},
        arrays.place_attributes(responses) | {"network": "net", "encoder": "ridge"},
    )
    for name in ("r_unique", "chosen_r_unique", "best_depth", "centroid", "q"):
        summary[name] = summary["r" if name == "r_unique" else "chosen_r"]
    written = write_maps([summary], tmp_path / "maps", "study")
    (path,) = [path for path in written if "_stat-rByLayer_" in path.name]
    assert path.name == "sub-01_task-story_space-fsLR_stat-rByLayer_desc-net_statmap.dscalar.nii"
    image = nib.load(path)
    assert image.header.get_axis(1) == grayordinates()
    assert list(image.header.get_axis(0).name) == ["a", "b"]
    assert image.nifti_header.get_intent()[0] == "ConnDenseScalar"
    np.testing.assert_allclose(image.get_fdata(), [score, -score], atol=1e-6)
    again = write_maps([summary], tmp_path / "again", "study")
    assert [one.read_bytes() for one in written] == [one.read_bytes() for one in again]


def test_check_reads_headers(filled):
    study = filled.study("cifti")
    assert problems(study) == []
    save(filled, "01", "1", series(0), grayordinates(left=[0, 2, 3, 8]), step=2.5)
    cut = save(filled, "01", "2", series(1))
    cut.write_bytes(cut.read_bytes()[:-100])
    found = problems(study)
    assert len(found) == 3
    assert "2 s in the sidecar, 2.5 s in the NIfTI header" in found[1]
    assert f"{cut}: cut off: its header promises" in found[0]
    assert "its 10 grayordinates are not those of 'sub-01_task-story_run-1" in found[2]


def test_trials_as_scalars(tree):
    tree.events("01")
    path = save(tree, "01", "1", series(0, 9))
    axes = (nib.cifti2.ScalarAxis([str(n) for n in range(9)]), grayordinates())
    nib.save(
        nib.Cifti2Image(series(0, 9), axes),
        path.with_name(path.name.replace("bold.dtseries", "statmap.dscalar")),
    )
    assert problems(tree.study("cifti", responses={"samples": "trials"})) == []
    found = read(tree, samples="trials", standardize=False)
    np.testing.assert_allclose(found["response"], series(0, 9))


def test_what_is_refused(filled):
    with pytest.raises(ConfigError, match=r"responses\.regions does not go with kind cifti"):
        read(filled, regions="atlas.dlabel.nii")
    parcels = nib.cifti2.ParcelsAxis.from_brain_models([("all", grayordinates())])
    save(filled, "01", "1", series(0)[:, :1], parcels)
    with pytest.raises(DataError, match="its columns are no grayordinates"):
        read(filled)
