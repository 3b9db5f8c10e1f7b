"""Miniatures of the Natural Scenes Dataset, in its own files and folders."""

from __future__ import annotations

import shutil

import h5py
import nibabel as nib
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from neuroalign import bids, stages
from neuroalign.artefacts import arrays, layout
from neuroalign.errors import ConfigError, DataError
from neuroalign.planning import preflight
from neuroalign.recordings.check import problems
from neuroalign.recordings.fmri import read_responses
from neuroalign.recordings.formats import list_trials
from neuroalign.recordings.nsd import TRIALS
from neuroalign.settings import configfile
from neuroalign.stimuli.media import read_image

SHAPE = (5, 4, 3)
AFFINE = np.diag([1.8, 1.8, 1.8, 1.0])
IMAGES, OWN = 400, 250
VERTICES = 11


def betas(subject, session, *shape):
    values = np.random.default_rng(10 * int(subject) + int(session)).normal(150, 600, (*shape, TRIALS))
    return values.astype(np.int16)


def nifti(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, AFFINE), path)


def mgh(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (VERTICES, 1, 1, TRIALS) if values.ndim == 2 else (VERTICES, 1, 1)
    nib.save(nib.MGHImage(values.astype(np.float32).reshape(shape), np.eye(4)), path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("nsd")
    rng = np.random.default_rng(0)
    shared = np.arange(1, 11)
    rest = np.arange(11, IMAGES + 1)
    design = {
        "masterordering": rng.integers(1, OWN + 1, (1, 3 * TRIALS)).astype(np.uint16),
        "subjectim": np.stack(
            [np.concatenate([shared, rng.permutation(rest)[: OWN - 10]]) for _ in range(8)]
        ).astype(float),
        "sharedix": shared[None],
    }
    (root / "nsddata/experiments/nsd").mkdir(parents=True)
    savemat(root / "nsddata/experiments/nsd/nsd_expdesign.mat", design)
    (root / "nsddata_stimuli/stimuli/nsd").mkdir(parents=True)
    with h5py.File(root / "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5", "w") as file:
        file["imgBrick"] = np.repeat(np.arange(IMAGES) % 256, 12).reshape(IMAGES, 2, 2, 3).astype(np.uint8)
    general = np.zeros(SHAPE, np.int16)
    general[1:4, 1:3, :2], general[0] = 1, -1
    streams = np.where(general > 0, 5, general).astype(np.int16)
    streams[1] = np.where(general[1] > 0, 1, general[1])
    for subject in ("01", "02"):
        folder = root / f"nsddata_betas/ppdata/subj{subject}/func1pt8mm/betas_fithrf_GLMdenoise_RR"
        for session in ("01", "02"):
            nifti(folder / f"betas_session{session}.nii.gz", betas(subject, session, *SHAPE))
        with h5py.File(folder / "betas_session03.hdf5", "w") as file:
            # As MATLAB writes it: Python sees the axes from behind.
            file.create_dataset("betas", data=betas(subject, "03", *SHAPE).T, chunks=(TRIALS, 1, 1, 1))
        nifti(folder / "ncsnr.nii.gz", np.arange(60, dtype=np.float32).reshape(SHAPE))
        rois = root / f"nsddata/ppdata/subj{subject}/func1pt8mm/roi"
        nifti(rois / "nsdgeneral.nii.gz", general)
        nifti(rois / "streams.nii.gz", streams)
        table = root / f"nsddata/freesurfer/subj{subject}/label/streams.mgz.ctab"
        table.parent.mkdir(parents=True)
        table.write_text("0 Unknown\n1 early \n5 ventral\n")
    surface = root / "nsddata_betas/ppdata/subj01/fsaverage/betas_fithrf_GLMdenoise_RR"
    labels = root / "nsddata/freesurfer/fsaverage/label"
    for number, side in enumerate(("lh", "rh")):
        mgh(surface / f"{side}.betas_session01.mgh", betas("03", number, VERTICES) / 300)
        mgh(labels / f"{side}.nsdgeneral.mgz", np.arange(VERTICES) % (2 + number) == 1)
        mgh(labels / f"{side}.streams.mgz", np.arange(VERTICES) % 3)
    (labels / "streams.mgz.ctab").write_text("0 Unknown\n1 early\n2 midventral\n")
    return root, design


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made[0], tmp_path / "nsd")


def study(root, dataset=None, **responses):
    return configfile.parse(
        {
            "output": str(root.parent / "out"),
            "dataset": {"path": str(root), "task": "nsdcore", **(dataset or {})},
            "responses": {"kind": "nsd", **responses},
            "networks": {"net": {"source": "nowhere"}},
        }
    )


def read(asked, subject="01"):
    return read_responses(bids.index_study(asked), asked.dataset, asked.responses, subject)


def percent(subject, session, *shape):
    return betas(subject, session, *shape) / 300


def test_volumes_in_percent_within_nsdgeneral(made):
    found = read(study(made[0], standardize=False), "02")
    assert found.sizes == {"sample": 3 * TRIALS, "target": 12, "confound": 0}
    assert list(dict.fromkeys(found["run"].to_numpy())) == ["ses-01", "ses-02", "ses-03"]
    voxels = tuple(found[axis].to_numpy() for axis in "ijk")
    for number, session in enumerate(("01", "02", "03")):  # the last one in HDF5
        expected = percent("02", session, *SHAPE)[voxels].T
        part = found["response"].to_numpy()[number * TRIALS : (number + 1) * TRIALS]
        np.testing.assert_allclose(part, expected, rtol=1e-6)
    np.testing.assert_allclose(found["x"], 1.8 * voxels[0])
    np.testing.assert_array_equal(found["ncsnr"], np.arange(60).reshape(SHAPE)[voxels])
    attributes = {key: found.attrs[key] for key in ("kind", "space", "samples", "shape")}
    assert attributes == {
        "kind": "volume",
        "space": "func1pt8mm",
        "samples": "trials",
        "shape": list(SHAPE),
    }


def test_z_scored_within_sessions(made):
    found = read(study(made[0], {"runs": ["1", "3"]}))
    assert list(dict.fromkeys(found["run"].to_numpy())) == ["ses-01", "ses-03"]
    for session in ("ses-01", "ses-03"):
        part = found["response"].to_numpy()[found["run"] == session]
        np.testing.assert_allclose(part.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(part.std(axis=0), 1, atol=1e-5)


def test_the_images_of_the_design(made):
    root, design = made
    asked = study(root, {"session": "2"})
    trials = list_trials(asked.dataset, asked.responses, "02")
    assert list(trials.columns) == ["run", "trial", "uri"]
    assert set(trials["run"]) == {"ses-02"}
    assert list(trials["trial"]) == list(range(TRIALS))
    for trial in (0, 17, TRIALS - 1):
        own = design["masterordering"][0, TRIALS + trial]
        number = int(design["subjectim"][1, own - 1]) - 1
        assert trials["uri"][trial].endswith(f"nsd_stimuli.hdf5::imgBrick[{number}]")
        assert (read_image(trials["uri"][trial]) == number % 256).all()


def test_regions_are_named(made):
    found = read(study(made[0], {"session": "01"}, regions="streams"))
    expected = np.where(found["i"] == 1, "early", "ventral")
    np.testing.assert_array_equal(found["roi"].to_numpy().astype(str), expected)
    whole = read(
        study(
            made[0],
            {"session": "01"},
            mask="nsddata/ppdata/subj{subject}/func1pt8mm/roi/streams.nii.gz",
            regions="nsdgeneral",
        )
    )
    assert set(whole["roi"].to_numpy()) == {"label-1"}


def test_fsaverage(made):
    asked = study(made[0], {"subjects": ["subj01"]}, space="fsaverage", regions="streams", standardize=False)
    assert problems(asked) == []
    found = read(asked)
    left, right = np.arange(1, VERTICES, 2), np.arange(1, VERTICES, 3)
    assert list(found["vertex"].to_numpy()) == [*left, *right]
    assert "".join(found["hemi"].to_numpy()) == "L" * len(left) + "R" * len(right)
    expected = np.column_stack([percent("03", 0, VERTICES)[left].T, percent("03", 1, VERTICES)[right].T])
    np.testing.assert_allclose(found["response"], expected, rtol=1e-5)
    assert (found.attrs["kind"], found.attrs["vertices"]) == ("surface", [VERTICES, VERTICES])
    names = np.array(["", "early", "midventral"])[found["vertex"].to_numpy() % 3]
    np.testing.assert_array_equal(found["roi"].to_numpy().astype(str), names)


def test_the_stages_of_the_command_line(made, tmp_path):
    asked = study(made[0]).model_copy(update={"output": str(tmp_path)})
    assert asked.subjects() == ["01", "02"]
    assert problems(asked) == []
    assert f"trials: {6 * TRIALS}" in preflight.check(asked)[1]
    stages.index(asked)
    stages.responses(asked, "01")
    opened = arrays.open_arrays(tmp_path / layout.RESPONSES.format(subject="01"))
    np.testing.assert_array_equal(opened["response"], read(asked)["response"])


def test_check_names_all_that_is_wrong(copy):
    folder = copy / "nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR"
    path = folder / "betas_session01.nii.gz"
    nifti(path, betas("01", "01", *SHAPE)[..., :-1])
    cut = folder / "betas_session02.nii.gz"
    cut.write_bytes(cut.read_bytes()[:-900])
    torn = folder / "betas_session03.hdf5"
    torn.write_bytes(torn.read_bytes()[:-9000])
    other = copy / "nsddata_betas/ppdata/subj02/func1pt8mm/betas_fithrf_GLMdenoise_RR"
    nifti(other / "betas_session02.nii.gz", betas("02", "02", 5, 4, 2))
    with h5py.File(other / "betas_session03.hdf5", "w") as file:
        file["betas"] = betas("02", "03", *SHAPE[::-1]).T
    found = problems(study(copy))
    for part in [
        f"{path}: 749 trials, but sessions of NSD have 750; copy it again",
        f"{cut}: cut off: its header promises",
        f"{torn}: cannot be read",
        "subj02/func1pt8mm/betas_fithrf_GLMdenoise_RR/betas_session02.nii.gz: betas of 5 × 4 × 2 voxels",
        "betas_session03.hdf5: betas of 3 × 4 × 5 voxels, but '",
    ]:
        assert sum(part in line for line in found) == 1, (part, found)
    assert len(found) == 5


@pytest.mark.parametrize(
    ("dataset", "responses", "said"),
    [
        ({}, {"space": "MNI"}, "responses.space is 'MNI': (choices: func1pt8mm, func1mm, fsaverage)"),
        ({}, {"betas": "betas_fithrf"}, "did you mean 'betas_fithrf_GLMdenoise_RR'?"),
        ({}, {"mask": "nsdgenerall"}, "no such region of NSD; did you mean 'nsdgeneral'?"),
        ({"session": "9"}, {}, "sub-01: no session of those asked for in '"),
        ({"subjects": ["09"]}, {}, "sub-09: NSD has subjects 01 to 08"),
    ],
)
def test_what_is_not_there(made, dataset, responses, said):
    found = problems(study(made[0], {"subjects": ["01"], **dataset}, **responses))
    assert len(found) == 1
    assert said in found[0]


def test_missing_stimuli_and_settings(copy):
    with pytest.raises(ConfigError, match="entities does not go with kind nsd"):
        study(copy, entities={"desc": "x"})
    (copy / "nsddata/experiments/nsd/nsd_expdesign.mat").unlink()
    with pytest.raises(DataError, match=r"nsd_expdesign\.mat: cannot be read"):
        read(study(copy))
    (copy / "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5").unlink()
    found = problems(study(copy, {"subjects": ["01"]}))
    assert found == [f"{copy}/nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5: no such file; download NSD's "
                     "stimuli to there"]  # fmt: skip


def test_the_check_says_which_images_all_have_seen(made):
    asked = study(made[0], {"runs": ["1"]})
    order, images = made[1]["masterordering"][0, :TRIALS], made[1]["subjectim"].astype(int)
    seen = [set(images[person, order - 1]) for person in range(2)]
    both, shared = seen[0] & seen[1], set(range(1, 11))
    expected = f"shared: {len(both)} of {len(seen[0] | seen[1])} stimuli, by all 2 subjects "
    expected += f"({len(both & shared)} of the 10 that NSD shows to everybody)"
    assert 0 < len(both & shared) < len(both)
    assert expected in preflight.check(asked)[1]


def test_shared_images_that_a_subject_is_not_shown(copy):
    path = copy / "nsddata/experiments/nsd/nsd_expdesign.mat"
    design = {name: values for name, values in loadmat(path).items() if name[0] != "_"}
    design["subjectim"][1, 3] = design["subjectim"][1, 20]
    savemat(path, design)
    found, _ = preflight.check(study(copy))
    wrong = [line for line in found if "sharedix" in line]
    assert len(wrong) == 1
    assert "names 10 images for all subjects, but subjectim lacks 1 of them for sub-02" in wrong[0]
    del design["sharedix"]
    savemat(path, design)
    assert not [line for line in preflight.check(study(copy))[0] if "sharedix" in line]


def test_a_stack_that_lacks_images_is_one_line(copy):
    path = copy / "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"
    with h5py.File(path, "a") as file:
        images = file["imgBrick"][:300]
        del file["imgBrick"]
        file["imgBrick"] = images
    wrong = [line for line in preflight.check(study(copy))[0] if "imgBrick" in line]
    assert len(wrong) == 1
    assert "which holds 300; numbers begin at 0 (and" in wrong[0]
