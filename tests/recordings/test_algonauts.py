"""A miniature of the Algonauts 2023 data, in its own files and folders."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from neuroalign import bids, stages
from neuroalign.artefacts import arrays, layout
from neuroalign.planning import preflight
from neuroalign.recordings.check import problems
from neuroalign.recordings.fmri import read_responses
from neuroalign.recordings.formats import list_trials
from neuroalign.settings import configfile
from neuroalign.stimuli.media import read_image

IMAGES, MESH = 12, 40
INSIDE = {"lh": np.arange(3, 40, 4), "rh": np.arange(1, 40, 6)}


def responses(subject, side):
    rng = np.random.default_rng([int(subject), side == "rh"])
    return rng.standard_normal((IMAGES, len(INSIDE[side]))).astype(np.float32)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "challenge"
    for subject in ("01", "02"):
        folder = root / f"subj{subject}"
        for name in ("training_split/training_fmri", "training_split/training_images", "roi_masks"):
            (folder / name).mkdir(parents=True)
        (folder / "test_split/test_images").mkdir(parents=True)
        for number in range(IMAGES):
            name = f"train-{number + 1:04d}_nsd-{7 * number + 13:05d}.png"
            image = Image.fromarray(np.full((2, 2, 3), number, np.uint8))
            image.save(folder / "training_split/training_images" / name)
        for side, vertices in INSIDE.items():
            np.save(
                folder / f"training_split/training_fmri/{side}_training_fmri.npy", responses(subject, side)
            )
            whole = np.zeros(MESH, int)
            whole[vertices] = 1
            np.save(folder / f"roi_masks/{side}.all-vertices_fsaverage_space.npy", whole)
            np.save(folder / f"roi_masks/{side}.streams_challenge_space.npy", vertices % 8)
        np.save(folder / "roi_masks/mapping_streams.npy", {0: "Unknown", 1: "early"}, allow_pickle=True)
    return root


def study(root, **responses):
    return configfile.parse(
        {
            "output": str(root.parent / "out"),
            "dataset": {"path": str(root), "task": "nsd"},
            "responses": {"kind": "algonauts", **responses},
            "networks": {"net": {"source": "nowhere"}},
        }
    )


def read(asked, subject="01"):
    return read_responses(bids.index_study(asked), asked.dataset, asked.responses, subject)


def test_both_hemispheres_on_fsaverage(root):
    found = read(study(root, regions="streams"), "02")
    assert list(found["vertex"].to_numpy()) == [*INSIDE["lh"], *INSIDE["rh"]]
    assert "".join(found["hemi"].to_numpy()) == "L" * 10 + "R" * 7
    # They were z-scored within sessions by those who made them: left as they are.
    expected = np.column_stack([responses("02", "lh"), responses("02", "rh")])
    np.testing.assert_array_equal(found["response"], expected)
    assert set(found["run"].to_numpy()) == {"run-1"}
    assert (found.attrs["kind"], found.attrs["space"]) == ("surface", "fsaverage")
    assert found.attrs["vertices"] == [MESH, MESH]
    names = ["", "early", "midventral", "midlateral", "midparietal", "ventral", "lateral", "parietal"]
    assert [names.index(name) for name in found["roi"].to_numpy()] == [*INSIDE["lh"] % 8, *INSIDE["rh"] % 8]


def test_images_in_the_order_of_responses(root):
    asked = study(root)
    trials = list_trials(asked.dataset, asked.responses, "01")
    assert list(trials["trial"]) == list(range(IMAGES))
    assert set(trials["run"]) == {"run-1"}
    assert [int(read_image(uri)[0, 0, 0]) for uri in trials["uri"]] == list(range(IMAGES))


def test_standardize_if_asked(root):
    found = read(study(root, standardize=True))
    np.testing.assert_allclose(found["response"].std(axis=0), 1, atol=1e-5)


def test_the_stages_of_the_command_line(root):
    asked = study(root)
    assert problems(asked) == []
    assert preflight.check(asked)[1][:3] == ["subjects: 2", "runs: 2", f"trials: {2 * IMAGES}"]
    stages.index(asked)
    stages.responses(asked, "01")
    opened = arrays.open_arrays(root.parent / "out" / layout.RESPONSES.format(subject="01"))
    np.testing.assert_array_equal(opened["response"], read(asked)["response"])


def test_check_names_all_that_is_wrong(root):
    fmri = root / "subj01/training_split/training_fmri"
    np.save(fmri / "lh_training_fmri.npy", responses("01", "lh")[:-1, :-1])
    (root / "subj02/roi_masks/rh.all-vertices_fsaverage_space.npy").unlink()
    found = problems(study(root))
    assert len(found) == 3
    for part in [
        "subj01/training_split/training_fmri/lh_training_fmri.npy: 11 responses to 12 training images",
        "lh_training_fmri.npy: 9 vertices, but lh.all-vertices has 10; copy both of one subject",
        "subj02/roi_masks/rh.all-vertices_fsaverage_space.npy: cannot be read",
    ]:
        assert sum(part in line for line in found) == 1, (part, found)


@pytest.mark.parametrize(
    ("responses", "said"),
    [
        ({"regions": "stream"}, "responses.regions is 'stream': did you mean 'streams'?"),
        ({"regions": "floc-faces"}, "lh.floc-faces_challenge_space.npy: cannot be read"),
        ({"mask": "nsdgeneral"}, "responses.mask and space do not go with kind algonauts"),
    ],
)
def test_settings_that_do_not_fit(root, responses, said):
    (line, *_) = problems(study(root, **responses))
    assert said in line


def test_a_folder_that_is_another(root):
    (line,) = problems(study(root / "subj01"))
    assert "holds no folder subj*; is it the root of the dataset?" in line
