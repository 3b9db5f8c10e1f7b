from __future__ import annotations

import re
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest

from neuroalign.design.trials import trial_events
from neuroalign.errors import ConfigError, DataError
from neuroalign.recordings.check import problems
from tests.recordings.meeg.conftest import CHANNELS, EVERY_S, FIRST_S, RATE, WORDS, bump


def by_channel(responses):
    """Values (trial, channel, latency)."""
    return responses["response"].values.reshape(responses.sizes["sample"], responses.attrs["n_channels"], -1)


def test_every_trial_holds_what_was_planted_at_its_channel_and_latency(lab):
    lab.write(lab.raw())
    responses, events = lab.read(lab.study(baseline_s=None))
    values, latency = by_channel(responses), responses["latency"].values[: responses.attrs["n_latencies"]]
    planted = np.array([lab.amplitude[word] for word in WORDS])[:, None] * bump(latency)
    found = dict(zip(CHANNELS, values.transpose(1, 0, 2), strict=True))
    there = planted.max(axis=0) > 1e-9  # a latency at which all is silent has nothing to be predicted either
    np.testing.assert_allclose(found["Oz"][:, there], planted[:, there], atol=2e-9)
    assert np.isnan(found["Cz"]).all()
    assert not responses["valid"].values[responses["channel"].values == "Cz"].any()
    assert latency[0] == pytest.approx(-0.2)
    assert latency[-1] == pytest.approx(0.8)
    assert list(trial_events(responses, events)["item"]) == list(events["item"])


def test_trials_are_those_of_mne(lab):
    raw = lab.raw(noise=2e-6)
    lab.write(raw)
    study = lab.study(band_hz=[1.0, 30.0], resample_hz=100.0, reference="average")
    responses, _ = lab.read(study)
    raw.filter(1.0, 30.0, verbose="error").set_eeg_reference("average", verbose="error")
    samples = np.round(RATE * (FIRST_S + EVERY_S * np.arange(len(WORDS)))).astype(int)
    events = np.column_stack([samples, np.zeros_like(samples), np.ones_like(samples)])
    epochs = mne.Epochs(raw, events, tmin=-0.2, tmax=0.8, decim=2, preload=True, verbose="error")
    np.testing.assert_allclose(by_channel(responses), epochs.get_data(), atol=2e-8)
    np.testing.assert_allclose(responses["latency"].values[: len(epochs.times)], epochs.times, atol=1e-9)
    assert responses.attrs["sampling_hz"] == 100.0


def test_a_rate_that_does_not_divide_the_recordings_is_reached_by_resampling(lab):
    lab.write(lab.raw(noise=1e-7))
    responses, _ = lab.read(lab.study(band_hz=[None, 30.0], resample_hz=128.0, baseline_s=None))
    assert responses.attrs["sampling_hz"] == 128.0
    latency = responses["latency"].values[: responses.attrs["n_latencies"]]
    strongest = by_channel(responses)[-1, CHANNELS.index("Oz")]
    assert latency[strongest.argmax()] == pytest.approx(0.15, abs=0.012)


def test_bad_channels_keep_their_place_unless_they_are_interpolated(lab):
    lab.write(lab.raw(noise=1e-6))
    lab.mark("1", "Pz", "status", "bad")
    responses, _ = lab.read(lab.study(bad=["Fz"]))
    valid = responses["valid"].values.reshape(len(CHANNELS), -1)
    assert dict(zip(CHANNELS, valid.all(axis=1), strict=True)) == {
        name: name not in ("Pz", "Fz") for name in CHANNELS
    }
    filled, _ = lab.read(lab.study(interpolate=True))
    assert filled["valid"].values.all()


def test_what_is_dropped_is_counted_and_the_others_keep_their_stimuli(lab):
    raw = lab.raw(noise=1e-6)
    jump = raw.time_as_index(FIRST_S + 2 * EVERY_S + 0.3)[0]
    raw._data[0, jump : jump + 20] += 1e-3
    raw.set_annotations(mne.Annotations([FIRST_S + 4 * EVERY_S], [0.2], ["BAD_blink"]))
    onsets = FIRST_S + EVERY_S * np.arange(len(WORDS))
    onsets[-1] = raw.times[-1] + 5
    lab.write(raw, onsets=onsets)
    responses, events = lab.read(lab.study(reject={"eeg": 200e-6}))
    assert list(responses["event"].values) == [0, 1, 3, 5, 6]
    assert responses.attrs["n_shown"] == 8
    assert responses.attrs["n_dropped"] == 3
    said = responses.attrs["cleaning"]
    assert "3 of 8 trials were dropped" in said
    assert "annotated BAD" in said
    assert "out of bounds" in said
    assert "beyond the recording" in said
    shown = trial_events(responses, events)
    order = events.sort_values("onset")["item"].to_numpy()
    assert list(shown["item"]) == list(order[[0, 1, 3, 5, 6]])


def test_positions_come_with_the_recording_or_from_a_stated_montage(lab):
    raw = lab.raw(noise=1e-6)
    lab.write(raw)
    assumed, _ = lab.read(lab.study())
    assert assumed.attrs["montage"] == "colin27_1005"
    at = dict(zip(assumed["channel"].values, assumed["y"].values, strict=True))
    assert at["Fz"] > at["Cz"] > at["Pz"] > at["Oz"]  # y points to the nose
    raw.set_montage("biosemi64", verbose="error")
    lab.write(raw)
    placed, _ = lab.read(lab.study())
    assert placed.attrs["montage"] == "digitised"


def test_channels_without_a_known_name_have_no_place(lab):
    raw = lab.raw(noise=1e-6)
    raw.rename_channels({name: f"E_{number}" for number, name in enumerate(CHANNELS)})
    lab.write(raw)
    responses, _ = lab.read(lab.study())
    assert responses.attrs["montage"] == ""
    assert np.isnan(responses["x"].values).all()
    assert "No positions" in responses.attrs["cleaning"]


def test_noise_normalisation_makes_the_baseline_white(lab):
    rng = np.random.default_rng(1)
    words = WORDS * 8
    raw = lab.raw(n=len(words))
    turned = np.linalg.qr(rng.standard_normal((len(CHANNELS), len(CHANNELS))))[0]
    mixing = turned * np.linspace(1, 6, len(CHANNELS))
    raw._data += 1e-6 * mixing @ rng.standard_normal(raw._data.shape)
    lab.write(raw, words=words)
    before, _ = lab.read(lab.study())
    after, _ = lab.read(lab.study(whiten=True))

    def spread(responses):
        early = by_channel(responses)[:, :, responses["latency"].values[: responses.attrs["n_latencies"]] < 0]
        values = np.linalg.eigvalsh(np.cov(early.transpose(1, 0, 2).reshape(len(CHANNELS), -1)))
        return values[-1] / values[0]

    assert spread(before) > 20
    assert spread(after) < 1.5


def test_trials_cut_before_are_read_with_the_stimuli_that_are_left(lab):
    lab.write(lab.raw())
    folder = lab.root / "derivatives" / "cut" / "sub-01" / "eeg"
    folder.mkdir(parents=True)
    raw = lab.raw(noise=1e-6)
    samples = np.round(RATE * (FIRST_S + EVERY_S * np.arange(len(WORDS)))).astype(int)
    events = np.column_stack([samples, np.zeros_like(samples), np.ones_like(samples)])
    epochs = mne.Epochs(raw, events, tmin=-0.2, tmax=0.8, preload=True, verbose="error").drop([1, 4])
    epochs.save(folder / "sub-01_task-read_run-1_epo.fif", verbose="error")
    study = lab.study()
    raw_settings = study.model_dump(mode="json")
    raw_settings["responses"] |= {"kind": "epochs"}
    raw_settings["dataset"]["derivatives"] = "derivatives/cut"
    from neuroalign.settings import configfile

    study = configfile.parse(raw_settings)
    assert problems(study) == []
    responses, _ = lab.read(study)
    assert list(responses["event"].values) == [0, 2, 3, 5, 6, 7]
    np.testing.assert_allclose(by_channel(responses), epochs.get_data(), atol=1e-10)
    assert "2 that were dropped before" in responses.attrs["cleaning"]


def test_meg_lies_in_head_coordinates_and_keeps_its_types(tmp_path):
    from neuroalign.recordings.meeg.channels import channel_table, predicted_channels
    from neuroalign.settings.sensors import Sensors

    info = mne.create_info(["MEG0111", "MEG0112", "EOG"], 100.0, ["mag", "grad", "eog"])
    with info._unlock():
        for number, channel in enumerate(info["chs"][:2]):
            channel["loc"][:3] = 0.1, 0.02 * number, 0.05
            channel["coord_frame"] = mne.io.constants.FIFF.FIFFV_COORD_DEVICE
        move = np.eye(4)
        move[2, 3] = 0.04
        info["dev_head_t"] = mne.transforms.Transform("meg", "head", move)
    names = predicted_channels(info, Sensors())
    table = channel_table(info, names)
    assert list(table["channel_type"]) == ["mag", "grad"]
    np.testing.assert_allclose(table[["x", "y", "z"]], [[0.1, 0, 0.09], [0.1, 0.02, 0.09]], atol=1e-6)
    assert predicted_channels(info, Sensors(channels=("grad",))) == ["MEG0112"]


@pytest.mark.parametrize(
    ("sensors", "says"),
    [
        ({"channels": ["Cx"]}, "responses.sensors.channels: no channel 'Cx': did you mean 'Cz'?"),
        ({"bad": ["Fy"]}, "responses.sensors.bad: no channel 'Fy'"),
        ({"reference": ["M1"]}, "responses.sensors.reference: no channel 'M1'"),
        ({"montage": "biosemi65"}, "did you mean 'biosemi64'?"),
        ({"reject": {"eog": 1e-4}}, "responses.sensors.reject: no channel of type 'eog'"),
        ({"band_hz": [120.0, None]}, "begins at 120 Hz, but 200 samples a second hold no more than 100 Hz"),
        ({"reject": {"eeg": 1e-9}}, "no trial is left of 8 (8 have an amplitude out of bounds)"),
        ({"bad": list(CHANNELS)}, "all 6 channels are bad"),
        ({"epoch_s": [-30.0, 0.5]}, "no trial is left of 8 (8 reach beyond the recording)"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(lab, sensors, says):
    path = lab.write(lab.raw(noise=1e-6))
    with pytest.raises((ConfigError, DataError), match=re.escape(says)) as caught:
        lab.read(lab.study(**sensors))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_short_run_is_not_filtered_silently(lab):
    lab.write(lab.raw(noise=1e-6))
    with pytest.raises(DataError, match="too short to be filtered from"):
        lab.read(lab.study(band_hz=[0.01, None]))


def test_annotations_over_everything_leave_nothing(lab):
    raw = lab.raw(noise=1e-6)
    raw.set_annotations(mne.Annotations([0.0], [raw.times[-1]], ["BAD"]))
    lab.write(raw)
    with pytest.raises(DataError, match="no trial is left of 8 \\(8 are annotated BAD\\)"):
        lab.read(lab.study())


def test_two_stimuli_at_one_sample_are_refused(lab):
    onsets = FIRST_S + EVERY_S * np.arange(len(WORDS))
    onsets[3] = onsets[2] + 0.001
    lab.write(lab.raw(noise=1e-6), onsets=onsets)
    with pytest.raises(DataError, match="stimuli 3 and 4 begin at the same sample"):
        lab.read(lab.study())


def test_a_flat_channel_is_excluded_and_counted(lab):
    raw = lab.raw(noise=1e-6)
    raw._data[0] = 0
    lab.write(raw)
    responses, _ = lab.read(lab.study())
    assert not responses["valid"].values[responses["channel"].values == "Fz"].any()
    assert responses.attrs["n_excluded"] == responses.attrs["n_latencies"]


def test_runs_with_other_channels_are_refused(lab):
    lab.write(lab.raw(noise=1e-6), run="1")
    lab.write(lab.raw(noise=1e-6, seed=1).drop_channels(["O2"]), run="2")
    with pytest.raises(DataError, match="5 channels, the first run has 6 \\(different: O2\\)"):
        lab.read(lab.study())
    assert any("different: O2" in line for line in problems(lab.study()))


class TestCheck:
    def test_finds_nothing_where_all_is_well(self, lab):
        lab.write(lab.raw(noise=1e-6))
        assert problems(lab.study()) == []

    def test_finds_a_missing_sidecar(self, lab):
        lab.write(lab.raw(noise=1e-6))
        Path(f"{lab.stem()}_eeg.json").unlink()
        (line,) = problems(lab.study())
        assert "no sidecar 'sub-01_task-read_run-1_eeg.json'" in line

    def test_finds_onsets_outside_the_recording(self, lab):
        lab.write(lab.raw(noise=1e-6), onsets=1000 + np.arange(len(WORDS)))
        (line,) = problems(lab.study())
        assert "8 of 8 onsets lie outside the recording" in line

    def test_finds_a_damaged_header(self, lab):
        path = lab.write(lab.raw(noise=1e-6))
        path.write_text("nothing")
        (line,) = problems(lab.study())
        assert str(path) in line
        assert "cannot be read" in line

    def test_finds_a_missing_recording(self, lab):
        path = lab.write(lab.raw(noise=1e-6))
        path.unlink()
        assert "no eeg recordings (_eeg.vhdr) of task 'read'" in problems(lab.study())[0]

    def test_finds_a_missing_file_of_samples(self, lab):
        path = lab.write(lab.raw(noise=1e-6))
        path.with_suffix(".eeg").unlink()
        assert str(path) in problems(lab.study())[0]


def test_gratings_are_read_whole(real_data):
    from neuroalign.recordings.meeg.responses import read_sensors
    from neuroalign.settings import configfile
    from neuroalign.stimuli.events import read_stimuli

    study = configfile.parse(
        {
            "dataset": {"path": str(real_data / "gratings-eeg"), "task": "gratings"},
            "stimuli": {"modality": "image"},
            "responses": {
                "kind": "eeg",
                "sensors": {"reference": "keep", "resample_hz": 64, "band_hz": [0.5, 30]},
            },
            "networks": {"looks": {"family": "handmade", "features": ["contrast"]}},
        }
    )
    from neuroalign import bids

    index = bids.index_study(study)
    _, events = read_stimuli(index, study.dataset, study.stimuli, ["01"])
    responses = read_sensors(index, study.dataset, study.responses, "01", events)
    assert responses.sizes == {"sample": 240, "target": 4 * 64, "confound": 0}
    assert responses.attrs["montage"] == "digitised"
    assert responses.attrs["n_dropped"] == 0
    assert pd.Series(responses["run"].values).value_counts().to_dict() == {f"run-0{n}": 80 for n in (1, 2, 3)}
