"""The simulated EEG study: its files as MNE-BIDS reads them, and the truth, which agrees with them."""

from __future__ import annotations

import hashlib
import json
import sys

import mne
import mne_bids
import numpy as np
import pandas as pd
import pytest
from scipy.special import eval_legendre
from scipy.stats import spearmanr

from neuroalign.artefacts import arrays, layout
from neuroalign.encoders import RidgeEncoder
from neuroalign.errors import DataError
from neuroalign.recordings.simulated import head as heads
from neuroalign.recordings.simulated import ongoing, planted_sources, simulations
from neuroalign.recordings.simulated.eeg_viewers import epoch_times, invite_eeg_viewer
from neuroalign.recordings.simulated.shown import show
from neuroalign.settings.features import Handmade
from neuroalign.settings.simulation import SimulateEEG

SETTINGS = SimulateEEG(subjects=2, images=30, repeats=3, runs=2, noise=(0.4, 0.8))
NETWORK = Handmade(features=("luminance", "colour", "gabor"), grid=4)
SEED = 3


def make(out, settings=SETTINGS, network=NETWORK, seed=SEED):
    simulations.simulate(out, settings, network, seed, "images", "derivatives/none")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("simulated") / "study"
    make(root)
    return root


@pytest.fixture(scope="module")
def truth(study):
    return arrays.open_arrays(study / layout.TRUTH)


@pytest.fixture(scope="module")
def head():
    return heads.open_head()


def digests(root):
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def raw_of(study, subject, run):
    """A run as MNE-BIDS reads it; any warning is an error."""
    path = mne_bids.BIDSPath(subject=subject, task="images", run=run, datatype="eeg", root=study)
    return mne_bids.read_raw_bids(path, verbose="error").load_data(verbose="error")


def events_of(study, subject, run):
    return pd.read_csv(study / f"sub-{subject}/eeg/sub-{subject}_task-images_run-{run}_events.tsv", sep="\t")


def epochs_of(study, subject):
    """Stimulus files and epochs (trial, channel, time) in volts, cut by MNE alone."""
    files, cut = [], []
    for run in "12":
        raw = raw_of(study, subject, run)
        onsets = mne.events_from_annotations(raw, verbose="error")[0]
        epochs = mne.Epochs(raw, onsets, None, -0.2, 0.8, picks="eeg", preload=True, verbose="error")
        files += events_of(study, subject, run)["stim_file"].tolist()
        cut.append(epochs.get_data())
    return np.array(files), np.concatenate(cut)


def test_same_seed_same_bytes(study, tmp_path):
    make(tmp_path / "again")
    assert digests(tmp_path / "again") == digests(study)
    make(tmp_path / "other", seed=4)
    other = digests(tmp_path / "other")
    name = next(path for path in other if path.name == "sub-01_task-images_run-1_eeg.eeg")
    assert other[name] != digests(study)[name]


def test_what_stands_is_made_anew_only_where_settings_differ(study, tmp_path, monkeypatch):
    before = digests(study)
    make(tmp_path / "copy")
    other = SETTINGS.model_copy(update={"noise": (0.5,)})
    make(tmp_path / "copy", settings=other)
    assert digests(tmp_path / "copy") != before
    monkeypatch.setattr(simulations, "import_module", lambda *_: pytest.fail("simulated again"))
    make(study)
    make(tmp_path / "copy", settings=other)
    assert digests(study) == before


def test_mne_bids_reads_it_back(study, head):
    assert mne_bids.get_entity_vals(study, "subject") == ["01", "02"]
    raw = raw_of(study, "02", "1")
    assert raw.info["sfreq"] == 128
    assert raw.get_channel_types() == ["eeg"] * 64 + ["eog"]
    assert raw.ch_names == [*head.channels, "VEOG"]
    assert raw.info["bads"] == []
    found = raw.get_montage().get_positions()
    assert found["coord_frame"] == "head"
    places = np.array([found["ch_pos"][name] for name in head.channels])
    np.testing.assert_allclose(places, head.places, atol=1e-6)
    # MNE-BIDS reads no landmarks: that they are right is read from the file.
    told = json.loads((study / "sub-02/eeg/sub-02_space-CapTrak_coordsystem.json").read_text())
    for name, place in told["AnatomicalLandmarkCoordinates"].items():
        np.testing.assert_allclose(place, head.landmarks[name], atol=1e-6)
    assert head.landmarks["NAS"][1] > 0.08
    table = events_of(study, "02", "1")
    onsets = mne.events_from_annotations(raw, verbose="error")[0][:, 0]
    assert onsets.tolist() == table["sample"].tolist() == np.round(table["onset"] * 128).tolist()
    assert all((study / "stimuli" / name).is_file() for name in table["stim_file"])
    assert set(raw.annotations.duration) == {0.5}
    sidecar = json.loads((study / "sub-02/eeg/sub-02_task-images_run-1_eeg.json").read_text())
    assert sidecar["RecordingDuration"] == raw.n_times / 128
    columns = set(json.loads((study / "task-images_events.json").read_text()))
    assert columns == set(table.columns)
    assert not (study / "derivatives/none").exists()


def test_everybody_sees_every_image_several_times_at_jittered_moments(study):
    for subject in ("01", "02"):
        tables = [events_of(study, subject, run) for run in "12"]
        table = pd.concat(tables)
        assert (table.groupby("stim_file").size() == 3).all()
        assert table["stim_file"].nunique() == 30
        assert (table.groupby("stim_file")["repeat"].apply(list).map(tuple) == (1, 2, 3)).all()
        apart = np.concatenate([np.diff(each["onset"]) for each in tables])
        assert 1.0 <= apart.min() < 1.1 < 1.2 < apart.max() <= 1.3
    first, second = (events_of(study, subject, "1")["stim_file"].tolist() for subject in ("01", "02"))
    assert first != second


def test_amplitudes_are_those_of_a_head(study):
    quiet, loud = (raw_of(study, subject, "1").get_data() for subject in ("01", "02"))
    assert 2e-6 < np.median(quiet[:64].std(axis=1)) < np.median(loud[:64].std(axis=1)) < 20e-6
    np.testing.assert_allclose(quiet[:64].mean(axis=0), 0, atol=5e-8)
    assert 100e-6 < quiet[64].max() < 600e-6
    assert quiet[:64].max() > 50e-6, "nobody blinks"


def test_the_truth_tells_ceilings_and_latencies(study, truth):
    assert truth["peak_s"].values.tolist() == pytest.approx([0.09, 0.22, 0.35])
    assert truth["layer"].values.tolist() == ["luminance", "colour", "gabor"]
    silent = (truth["latency"].values <= 0) | (truth["latency"].values > 0.46)
    assert not truth["ceiling"].values[:, silent].any()
    assert np.isnan(truth["depth"].values[silent]).all()
    assert (truth["ceiling"].values[0] >= truth["ceiling"].values[1]).mean() > 0.9
    files, opened = epochs_of(study, "01")
    names = sorted(set(files))
    paths = [study / "stimuli" / name for name in names]
    features = planted_sources.own_features(show(paths, NETWORK, SEED)[1])
    viewer = invite_eeg_viewer(1, 3, SETTINGS, SEED)
    plan = planted_sources.plan_sources(heads.open_head(), truth["layer_depth"].values)
    planted = planted_sources.respond(plan, features, viewer.gains, epoch_times(128))
    signal = planted[[names.index(name) for name in files]].reshape(len(files), -1)
    baseline = opened[:, :, :26].mean(axis=2, keepdims=True)
    trials = (opened - baseline).reshape(len(files), -1)
    varied = truth["ceiling"].values[0] > 0.2
    assert varied.sum() > 300
    x, y = ((values - values.mean(0))[:, varied] for values in (signal, trials))
    r = (x * y).sum(axis=0) / np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    expected = truth["ceiling"].values[0][varied]
    assert r.mean() == pytest.approx(expected.mean(), abs=0.03)
    assert np.corrcoef(r, expected)[0, 1] > 0.6


def test_without_noise_layers_peak_where_and_when_they_were_planted(head):
    """Second implementation: the response is regressed on what was planted, sample by sample."""
    rng = np.random.default_rng(0)
    depth = np.linspace(0, 1, 6)
    plan = planted_sources.plan_sources(head, depth)
    features = rng.standard_normal((80, 6, 2))
    times = epoch_times(512)
    response = planted_sources.respond(plan, features, np.ones((6, 2)), times)
    design = np.column_stack([np.ones(80), features.reshape(80, 12)])
    found = np.linalg.lstsq(design, response.reshape(80, -1), rcond=None)[0][1:].reshape(6, 2, 64, -1)
    peaks = times[np.abs(found).max(axis=(1, 2)).argmax(axis=1)]
    np.testing.assert_allclose(peaks, np.linspace(0.09, 0.35, 6), atol=0.5 / 512 + 1e-9)
    best = np.abs(found).max(axis=3).argmax(axis=2)
    np.testing.assert_array_equal(best, np.abs(plan.fields).argmax(axis=0))
    x, y, _ = head.places[best].transpose(2, 0, 1)
    assert (x[1:, 0] < 0).all()
    assert (x[1:, 1] > 0).all()
    assert (np.diff(y.mean(axis=1)) >= 0).all(), "deeper layers lie further to the front"
    assert not response[..., times <= 0].any()


def test_ridge_reads_layers_in_the_order_in_which_they_were_planted(head):
    """Layers that grow out of each other, as those of a residual stream do, under as much noise as signal."""
    rng = np.random.default_rng(2)
    stream = np.cumsum(rng.standard_normal((7, 200, 30)), axis=0)
    layers = list(np.tanh(stream / np.sqrt(np.arange(1, 8))[:, None, None]))
    plan = planted_sources.plan_sources(head, np.linspace(0, 1, 7))
    times = epoch_times(64)
    response = planted_sources.respond(plan, planted_sources.own_features(layers), np.ones((7, 2)), times)
    response += 0.5 * rng.standard_normal(response.shape)
    seen = response.reshape(200, -1)
    scores = []
    for layer in layers:
        encoder = RidgeEncoder(alphas=np.logspace(-1, 4, 6)).fit(layer[:150], seen[:150])
        scores.append(encoder.score(layer[150:], seen[150:]).reshape(64, -1).mean(axis=0))
    profiles = np.array(scores)
    assert spearmanr(plan.peak_s, times[profiles.argmax(axis=1)]).statistic > 0.9
    assert abs(profiles[:, times <= 0]).max() < 0.08 < 0.3 < profiles.max(axis=1).min()


def test_own_features_are_what_other_layers_do_not_know():
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(rng.standard_normal((80, 12)))[0]
    basis -= basis.mean(axis=0)
    shared, private = basis[:, :4], [basis[:, 4 + 2 * k : 6 + 2 * k] for k in range(3)]
    layers = [np.column_stack([3 * shared, own]) @ rng.standard_normal((6, 9)) for own in private]
    found = planted_sources.own_features(layers)
    assert found.shape == (80, 3, 2)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-8)
    np.testing.assert_allclose(found.std(axis=0), 1, rtol=1e-6)
    for number, own in enumerate(private):
        known = np.linalg.lstsq(own, found[:, number], rcond=None)[0]
        np.testing.assert_allclose(own @ known, found[:, number], atol=0.2)
    one = planted_sources.own_features([layers[0][:, :1]])
    assert np.isfinite(one).all()


def test_the_electrodes_see_a_radial_dipole_as_in_a_sphere(head):
    """Second implementation: Legendre's series for a homogeneous sphere, less what the skull smears."""
    depth, direction = 0.5, np.array([0.3, -1.0, 0.6])
    seen = heads.fields_of(head, direction[None], depth)[:, 0]
    assert np.abs(seen).max() == pytest.approx(1)
    assert seen.mean() == pytest.approx(0, abs=1e-12)
    outwards = head.places - head.centre
    cosine = outwards @ direction / np.linalg.norm(outwards, axis=1) / np.linalg.norm(direction)
    series = sum((2 * n + 1) * depth ** (n - 1) * eval_legendre(n, cosine) for n in range(1, 60))
    assert np.corrcoef(series, seen)[0, 1] > 0.97
    assert seen.argmax() == cosine.argmax()


def test_what_goes_on_is_pink_with_alpha_behind_and_blinks_in_front(head):
    generators = ongoing.open_generators(head, np.random.default_rng(0))
    eeg, eye = ongoing.ongoing(generators, 128 * 120, 128, 1.0, np.random.default_rng(1))
    names = list(head.channels)
    power = np.abs(np.fft.rfft(eeg, axis=1)) ** 2
    hz = np.fft.rfftfreq(eeg.shape[1], 1 / 128)

    def band(channel, low, high):
        return power[names.index(channel), (hz >= low) & (hz < high)].mean()

    assert band("Oz", 9, 11) > 5 * band("Oz", 14, 16)
    assert band("Oz", 9, 11) > 3 * band("Fz", 9, 11)
    assert band("Cz", 2, 4) > 2 * band("Cz", 20, 30)
    blinking = eye > 150e-6
    assert 0.005 < blinking.mean() < 0.1
    assert (
        eeg[names.index("Fp1"), blinking].mean()
        > 50e-6
        > 20e-6
        > abs(eeg[names.index("Pz"), blinking].mean())
    )
    louder, _ = ongoing.ongoing(generators, 128 * 120, 128, 2.0, np.random.default_rng(1))
    np.testing.assert_allclose(louder[names.index("Pz")].std(), 2 * eeg[names.index("Pz")].std(), rtol=0.25)


def test_without_pybv_one_line_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pybv", None)
    with pytest.raises(DataError, match=r"pip install 'neuroalign\[demo\]'"):
        make(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_networks_of_other_stimuli_are_refused(tmp_path):
    with pytest.raises(DataError, match="word"):
        make(tmp_path / "none", network=Handmade(features=("word_length",)))
