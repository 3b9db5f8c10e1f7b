"""Volumes sampled at vertices: against nilearn called directly, and values planted by position."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from nilearn.datasets import load_fsaverage
from nilearn.surface import vol_to_surf

from neuroalign import bids
from neuroalign.errors import ConfigError, DataError
from neuroalign.recordings.fmri import read_responses

SHAPE = (22, 26, 22)
AFFINE = np.array([[9.0, 0, 0, -95], [0, 9.0, 0, -125], [0, 0, 9.0, -80], [0, 0, 0, 1]])
N = 6
RAW = {"standardize": False, "high_pass_hz": None}


def places():
    """Coordinates (i, j, k, 3) of the voxels in mm."""
    return nib.affines.apply_affine(AFFINE, np.moveaxis(np.indices(SHAPE), 0, -1))


def midpoints(side):
    """Half way (vertex, 3) between the white and the pial surface of fsaverage5."""
    mesh = load_fsaverage("fsaverage5")
    return (
        mesh["pial"].parts[side].coordinates.astype(float) + mesh["white_matter"].parts[side].coordinates
    ) / 2


def read(tree, kind="volume", **responses):
    study = tree.study(kind, responses={"mesh": "fsaverage5", **RAW, **responses})
    index = bids.index_dataset(tree.root, tree.derivatives, "story")
    return read_responses(index, study.dataset, study.responses, "01")


def test_a_vertex_has_the_value_of_its_place(tree):
    """Linear in space, so that interpolation is exact: each volume is its own plane."""
    slopes = np.random.default_rng(0).standard_normal((N, 3)) * 0.1
    tree.volumes("01", "1", (places() @ slopes.T + 100).astype(np.float32), np.ones(SHAPE), affine=AFFINE)
    found = read(tree)
    planted = np.concatenate([midpoints(side) @ slopes.T for side in ("left", "right")]).T
    np.testing.assert_allclose(found["response"], planted - planted.mean(axis=0), atol=1e-3)
    assert found.attrs["kind"] == "surface"
    assert found.attrs["space"] == "fsaverage5"
    assert found.attrs["vertices"] == [10242, 10242]
    assert found.attrs["cleaning"].startswith("Volumes were sampled at the vertices of fsaverage5")
    assert found["valid"].all()


@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")
def test_the_same_as_nilearn_within_the_mask(tree):
    data = np.random.default_rng(1).standard_normal((*SHAPE, N)).astype(np.float32)
    mask = places()[..., 1] > -20
    path = tree.volumes("01", "1", data, mask, affine=AFFINE)
    found = read(tree)
    mesh = load_fsaverage("fsaverage5")
    expected = np.concatenate(
        [
            vol_to_surf(
                nib.load(path),
                mesh["pial"].parts[side],
                inner_mesh=mesh["white_matter"].parts[side],
                mask_img=nib.Nifti1Image(mask.astype(np.uint8), AFFINE),
            )
            for side in ("left", "right")
        ]
    ).T
    expected = expected - expected.mean(axis=0)
    np.testing.assert_allclose(found["response"], expected, atol=1e-5)
    outside = ~found["valid"].to_numpy()
    np.testing.assert_array_equal(outside, np.isnan(expected).any(axis=0))
    behind = np.concatenate([midpoints(side)[:, 1] for side in ("left", "right")])
    assert outside[behind < -35].all()
    assert not outside[behind > -5].any()


def test_betas_of_trials_and_their_estimates(tree):
    data = np.random.default_rng(2).standard_normal((*SHAPE, 40)).astype(np.float32)
    tree.volumes("01", "1", data, np.ones(SHAPE), affine=AFFINE)
    study = tree.study(
        "volume",
        responses={"mesh": "fsaverage5", "samples": "trials", "suffix": "bold", "standardize": False},
    )
    index = bids.index_dataset(tree.root, tree.derivatives, "story")
    found = read_responses(index, study.dataset, study.responses, "01")
    assert found.sizes == {**found.sizes, "sample": 40, "target": 20484}
    assert (found.attrs["kind"], found.attrs["samples"]) == ("surface", "trials")


def own_mesh(tree, vertices=(5, 7), white_too=True):
    rng = np.random.default_rng(3)
    points = {}
    for hemi, count in zip("LR", vertices, strict=True):
        for surface, shift in (("white", -2.0), ("pial", 2.0)):
            coordinates = rng.uniform(-50, 50, (count, 3)) + shift
            short = surface == "white" and not white_too
            points[hemi, surface] = coordinates[:-1] if short else coordinates
            faces = np.array([[0, 1, 2]], np.int32)
            image = nib.GiftiImage(
                darrays=[
                    nib.gifti.GiftiDataArray(
                        points[hemi, surface].astype(np.float32), intent="NIFTI_INTENT_POINTSET"
                    ),
                    nib.gifti.GiftiDataArray(faces, intent="NIFTI_INTENT_TRIANGLE"),
                ]
            )
            nib.save(image, tree.root / f"01_hemi-{hemi}_{surface}.surf.gii")
    return points


def test_meshes_of_ones_own(tree):
    points = own_mesh(tree)
    slopes = np.random.default_rng(0).standard_normal((N, 3)) * 0.1
    tree.volumes("01", "1", (places() @ slopes.T).astype(np.float32), np.ones(SHAPE), affine=AFFINE)
    found = read(tree, mesh="{subject}_hemi-{hemi}_{surface}.surf.gii")
    planted = [(points[hemi, "white"] + points[hemi, "pial"]) / 2 @ slopes.T for hemi in "LR"]
    planted = np.concatenate(planted).T
    np.testing.assert_allclose(found["response"], planted - planted.mean(axis=0), atol=1e-3)
    assert found.attrs["vertices"] == [5, 7]
    assert found.attrs["space"] == "fsnative"
    assert list(found["hemi"].to_numpy()) == ["L"] * 5 + ["R"] * 7


def test_meshes_that_will_not_do(tree):
    tree.volumes("01", "1", np.ones((*SHAPE, N), np.float32), np.ones(SHAPE), affine=AFFINE)
    with pytest.raises(ConfigError, match=r"put \{hemi\} where files have L or R and \{surface\}"):
        read(tree, mesh="fsaverage6")
    with pytest.raises(DataError, match=r"01_hemi-L_pial\.surf\.gii: no such file; correct responses\.mesh"):
        read(tree, mesh="{subject}_hemi-{hemi}_{surface}.surf.gii")
    own_mesh(tree, white_too=False)
    with pytest.raises(DataError, match="5 vertices of the pial surface of hemisphere L, but 4 of the white"):
        read(tree, mesh="{subject}_hemi-{hemi}_{surface}.surf.gii")
    (tree.root / "01_hemi-L_pial.surf.gii").write_text("no mesh")
    with pytest.raises(DataError, match=r"01_hemi-L_pial\.surf\.gii: cannot be read"):
        read(tree, mesh="{subject}_hemi-{hemi}_{surface}.surf.gii")
    with pytest.raises(ConfigError, match="mesh does not go with kind surface, only with volume"):
        tree.study("surface", responses={"mesh": "fsaverage5"})


def test_another_space_than_the_mesh_is_refused(tree):
    path = tree.volumes("01", "1", np.ones((*SHAPE, N), np.float32), np.ones(SHAPE), affine=AFFINE)
    for one in path.parent.iterdir():
        one.rename(one.with_name(one.name.replace("space-MNI", "space-T1w")))
    with pytest.raises(DataError, match=r"lies in MNI space, but the recordings of sub-01 in 'T1w'"):
        read(tree)
