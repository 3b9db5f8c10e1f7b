from __future__ import annotations

import pickle

import numpy as np
import pytest

from neuroalign import bids
from neuroalign.errors import DataError
from neuroalign.recordings.check import problems
from neuroalign.recordings.fmri import read_responses
from neuroalign.recordings.formats import list_trials
from neuroalign.recordings.plain_pickles import read_plain_dictionary
from neuroalign.settings import configfile

CHANNELS, TIMES = ["O1", "Oz", "O2"], np.round(np.arange(-0.2, 0.2, 0.05), 2)
SHOWN = {"training": (6, 2), "test": (3, 4)}


def numpy_file(path, content, pickled_alone=False):
    """The two ways in which these dictionaries are saved."""
    if pickled_alone:
        path.write_bytes(pickle.dumps(content, protocol=4))
    else:
        np.save(path, np.array(content, dtype=object), allow_pickle=True)


@pytest.fixture(params=[False, True], ids=["npy", "pickle"])
def root(tmp_path, request):
    rng = np.random.default_rng(0)
    (tmp_path / "stimuli").mkdir()
    (tmp_path / "sub-01").mkdir()
    metadata = {}
    for part, short in (("training", "train"), ("test", "test")):
        images, repeats = SHOWN[part]
        metadata[f"{short}_img_concepts"] = [f"{n:05d}_thing" for n in range(images)]
        metadata[f"{short}_img_files"] = [f"thing_{n}.jpg" for n in range(images)]
        data = rng.standard_normal((images, repeats, len(CHANNELS), len(TIMES)))
        content = {"preprocessed_eeg_data": data, "ch_names": CHANNELS, "times": TIMES}
        numpy_file(tmp_path / "sub-01" / f"preprocessed_eeg_{part}.npy", content, request.param)
    numpy_file(tmp_path / "stimuli" / "image_metadata.npy", metadata)
    return tmp_path


def study(root, **dataset):
    return configfile.parse(
        {
            "dataset": {"path": str(root), "task": "rsvp", "subjects": ["01"], **dataset},
            "responses": {"kind": "things_eeg2", "standardize": False},
            "networks": {"net": {"source": "nowhere"}},
        }
    )


def test_trials_are_images_and_their_repeats(root):
    made = study(root)
    assert problems(made) == []
    trials = list_trials(made.dataset, made.responses, "01")
    assert len(trials) == 6 * 2 + 3 * 4
    assert trials["uri"][1].endswith("stimuli/training_images/00000_thing/thing_0.jpg")
    assert trials["uri"].iloc[-1].endswith("stimuli/test_images/00002_thing/thing_2.jpg")
    responses = read_responses(bids.index_study(made), made.dataset, made.responses, "01")
    data = read_plain_dictionary(root / "sub-01" / "preprocessed_eeg_training.npy")["preprocessed_eeg_data"]
    found = responses["response"].values[:12].reshape(6, 2, 3, len(TIMES))
    np.testing.assert_allclose(found, data, rtol=1e-6)
    assert responses.attrs["kind"] == "sensors"
    assert responses.attrs["sampling_hz"] == pytest.approx(20)
    assert list(responses["channel"].values[:: len(TIMES)]) == CHANNELS
    assert np.isfinite(responses["x"].values).all()


def test_a_part_may_be_left_out(root):
    made = study(root, runs=["training"])
    assert set(list_trials(made.dataset, made.responses, "01")["run"]) == {"run-training"}


def test_a_missing_part_is_named(root):
    (root / "sub-01" / "preprocessed_eeg_test.npy").unlink()
    (line,) = problems(study(root))
    assert "preprocessed_eeg_test.npy'; add it" in line


def test_nothing_in_a_pickle_is_run(root, tmp_path):
    class Evil:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    numpy_file(root / "sub-01" / "preprocessed_eeg_test.npy", {"preprocessed_eeg_data": Evil()})
    (line,) = problems(study(root))
    assert "wants to run 'builtins.exec'" in line
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"not a pickle"])
def test_damaged_files_are_named(root, content):
    path = root / "sub-01" / "preprocessed_eeg_test.npy"
    path.write_bytes(content)
    with pytest.raises(DataError, match="preprocessed_eeg_test"):
        read_plain_dictionary(path)


def test_other_dictionaries_are_refused(root):
    numpy_file(root / "sub-01" / "preprocessed_eeg_test.npy", {"times": TIMES})
    (line,) = problems(study(root))
    assert "expected preprocessed_eeg_data (image, repeat, channel, latency)" in line
