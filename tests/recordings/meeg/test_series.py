from __future__ import annotations

import mne
import numpy as np
import pytest
import scipy.io

from neuroalign import stages
from neuroalign.artefacts import arrays, layout
from neuroalign.design.features import design_subject
from neuroalign.errors import ConfigError, DataError
from neuroalign.recordings.check import problems
from neuroalign.recordings.meeg.arrays import read_series
from neuroalign.settings import configfile
from tests.recordings.meeg.conftest import CHANNELS, EVERY_S, FIRST_S, RATE, WORDS


def test_a_run_becomes_its_samples_but_for_those_annotated_bad(lab):
    raw = lab.raw(noise=1e-6)
    raw.set_annotations(mne.Annotations([2.0], [0.5], ["BAD_move"]))
    lab.write(raw)
    responses, _ = lab.read(lab.study("time"))
    kept = (raw.times < 2.0 - 1e-9) | (raw.times > 2.5 - 1e-9)
    np.testing.assert_allclose(responses["time_s"], raw.times[kept], atol=1e-9)
    np.testing.assert_allclose(responses["response"], raw.get_data().T[kept], atol=2e-9)
    assert list(responses["channel"].values) == list(CHANNELS)
    assert responses.attrs["tr"] == pytest.approx(1 / RATE)
    assert "samples are annotated BAD or trimmed" in responses.attrs["cleaning"]


def test_impulses_stand_at_onsets_and_gaps_end_a_segment(lab):
    raw = lab.raw(noise=1e-6)
    raw.set_annotations(mne.Annotations([FIRST_S + EVERY_S - 0.2], [0.5], ["BAD_move"]))
    lab.write(raw)
    study = lab.study("time", design={"lags": {"start_s": 0.0, "stop_s": 0.1}})
    responses, events = lab.read(study)
    design = design_subject(responses, events, study.design)
    found = design.features(np.arange(1.0, len(WORDS) + 1)[:, None])[:, 0]
    onsets = FIRST_S + EVERY_S * np.arange(len(WORDS))
    there = np.delete(onsets, 1)  # the second word lies in the gap
    np.testing.assert_allclose(responses["time_s"].values[found != 0], there, atol=1e-6)
    items = events.sort_values("onset")["item"].to_numpy()
    np.testing.assert_array_equal(found[found != 0], np.delete(items, 1) + 1)
    assert design.shown.segments.max() == 1
    onset_at_lag = design.nuisance[:, 3]
    assert design.nuisance_names[3] == "onset_0.015s"
    np.testing.assert_array_equal(np.flatnonzero(onset_at_lag), np.flatnonzero(found) + 3)


def test_features_may_last_as_long_as_their_stimuli(lab):
    lab.write(lab.raw(noise=1e-6))
    study = lab.study("time", design={"lags": {"features": "hold", "stop_s": 0.1}})
    responses, events = lab.read(study)
    found = design_subject(responses, events, study.design).features(np.ones((len(WORDS), 1)))[:, 0]
    since = (responses["time_s"].values - FIRST_S) % EVERY_S
    inside = (responses["time_s"].values >= FIRST_S - 1e-9) & (since < 0.5 - 1e-6)
    assert np.mean(found == inside) > 0.99
    assert found.sum() == pytest.approx(len(WORDS) * 0.5 * RATE, abs=len(WORDS))


class Arrays:
    """Arrays of time with features at their own rate: the response is feature 0, three samples later."""

    rate = 50.0

    def __init__(self, root):
        self.root = root
        rng = np.random.default_rng(0)
        for run in ("1", "2", "3"):
            features = rng.standard_normal((400, 2))
            response = np.zeros((400, 3))
            response[3:, 0] = features[:-3, 0]
            response += 0.3 * rng.standard_normal(response.shape)
            np.save(root / f"run-{run}_features.npy", features)
            np.save(root / f"sub-01_run-{run}.npy", response)

    def study(self, suffix="npy", features="run-{run}_features.npy", **sensors):
        return configfile.parse(
            {
                "output": str(self.root / "out"),
                "dataset": {"path": str(self.root), "task": "listen", "subjects": ["01"]},
                "networks": {"sound": {"family": "features", "path": str(self.root / features)}},
                "responses": {
                    "kind": "array",
                    "samples": "time",
                    "path": f"sub-{{subject}}_run-{{run}}.{suffix}",
                    "sensors": {"sampling_hz": self.rate, **sensors},
                },
                "design": {"lags": {"start_s": 0.0, "stop_s": 0.2}},
                "group": False,
            }
        )


@pytest.fixture
def listened(tmp_path):
    return Arrays(tmp_path)


def test_arrays_are_fitted_at_their_lags(listened):
    study = listened.study()
    assert problems(study) == []
    stages.index(study)
    stages.stimuli(study)
    stages.activations(study, "sound")
    stages.responses(study, "01")
    stages.fit(study, "01", "sound", "ridge")
    place = {"subject": "01", "network": "sound", "encoder": "ridge"}
    scores = arrays.open_arrays(f"{study.output}/{layout.SCORES.format(**place)}")
    r = scores["chosen_r"].mean("fold").values
    assert r[0] == pytest.approx(1 / np.sqrt(1.09), abs=0.02)  # what noise of .3 leaves
    assert np.abs(r[1:]).max() < 0.15
    kernel = scores["chosen_kernel"].mean("fold").values
    assert float(scores["lag"][kernel[:, 0].argmax()]) == pytest.approx(3 / listened.rate)


@pytest.mark.parametrize("kind", ["5", "7.3"])
def test_matlab_arrays_are_read(listened, kind):
    import h5py

    for run in ("1", "2", "3"):
        values = np.load(listened.root / f"sub-01_run-{run}.npy")
        path = listened.root / f"sub-01_run-{run}.mat"
        if kind == "5":
            scipy.io.savemat(path, {"eeg": values})
        else:
            with h5py.File(path, "w") as stored:
                stored["eeg"] = values.T  # as MATLAB stores it
    study, plain = listened.study("mat"), listened.study()
    read = [read_series(one.dataset, one.responses, "01")["response"].values for one in (study, plain)]
    np.testing.assert_array_equal(*read)


def test_a_matlab_file_with_two_arrays_is_refused(listened):
    path = listened.root / "sub-01_run-1.mat"
    scipy.io.savemat(path, {"eeg": np.zeros((5, 2)), "more": np.zeros((5, 3))})
    with pytest.raises(DataError, match="2 matrices of numbers \\(eeg, more\\)"):
        read_series(listened.study("mat").dataset, listened.study("mat").responses, "01")


def test_features_that_do_not_fit_the_samples_are_refused(listened):
    np.save(listened.root / "run-2_features.npy", np.zeros((300, 2)))
    study = listened.study()
    stages.index(study)
    stages.stimuli(study)
    with pytest.raises(DataError, match="has 300 rows, but its run has 400 samples"):
        stages.activations(study, "sound")


@pytest.mark.parametrize(("value", "dtype"), [(np.nan, "float32"), (1e6, "float16")])
def test_features_of_samples_that_are_not_finite_as_stored_are_refused(listened, value, dtype):
    path = listened.root / "run-2_features.npy"
    features = np.load(path)
    features[5, 0] = value
    np.save(path, features)
    study = listened.study()
    study.networks["sound"] = study.networks["sound"].model_copy(update={"dtype": dtype})
    stages.index(study)
    stages.stimuli(study)
    with pytest.raises(DataError, match=f"holds values that are not numbers, or beyond {dtype}"):
        stages.activations(study, "sound")


def test_names_of_channels_give_them_a_place(listened):
    study = listened.study(channels=["Fz", "Cz", "Oz"])
    responses = read_series(study.dataset, study.responses, "01")
    assert np.isfinite(responses["x"].values).all()
    two = listened.study(channels=["Fz", "Cz"])
    with pytest.raises(ConfigError, match=r"names 2 channels, but .* has 3 columns"):
        read_series(two.dataset, two.responses, "01")


def test_an_array_must_say_its_rate(listened):
    raw = listened.study().model_dump(mode="json")
    raw["responses"]["sensors"]["sampling_hz"] = None
    with pytest.raises(ConfigError, match=r"give sensors\.sampling_hz"):
        configfile.parse(raw)


def test_networks_of_stimuli_do_not_go_with_arrays_of_time(listened):
    raw = listened.study().model_dump(mode="json")
    raw["networks"] = {"net": {"source": "nowhere"}}
    with pytest.raises(ConfigError, match="use family features"):
        configfile.parse(raw)
