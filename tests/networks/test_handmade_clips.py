"""Handmade features of sound and film: against independent formulas, tones, and films that are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from transformers.audio_utils import mel_filter_bank, spectrogram

from neuroalign.activations import extract
from neuroalign.artefacts.arrays import open_activations
from neuroalign.errors import DataError
from neuroalign.networks.families import layer_names, open_network
from neuroalign.networks.handmade.image_features import relative_luminance
from neuroalign.networks.handmade.sound_features import FLOOR, envelope, mel
from neuroalign.settings.features import Features, Handmade
from neuroalign.stimuli.clips import gather_clips
from neuroalign.stimuli.recorded import file_digest
from neuroalign.stimuli.sound import read_sound


def cut(uri, step=0.5, modality="audio"):
    shown = pd.DataFrame({"uri": [uri], "onset": 0.0, "duration": np.nan})
    place = {"subject": "01", "session": "", "task": "hear", "run": "run-1"}
    return gather_clips([shown.assign(**place)], modality, step, file_digest)[0]


def run(network, items):
    return network.run(network.windows(items))


def tone(hertz, seconds=1.0, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(int(16000 * seconds)) / 16000)


def test_mel_agrees_with_another_implementation(rng):
    """Second implementation: the library's spectrogram and its filters."""
    wave = rng.normal(size=12345) * 0.1
    filters = mel_filter_bank(201, 40, 0.0, 8000.0, 16000, norm=None, mel_scale="htk")
    hann = 0.5 * (1 - np.cos(2 * np.pi * np.arange(400) / 400))
    power = spectrogram(wave, hann, 400, 160, power=2.0, center=False, mel_filters=filters, mel_floor=FLOOR)
    np.testing.assert_allclose(mel(wave, 40), np.log10(power).mean(axis=1), rtol=1e-6)


@pytest.mark.parametrize("hertz", [250, 1000, 4000])
def test_a_tone_is_in_the_band_around_it(hertz):
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 34) / 2595) - 1)
    assert mel(tone(hertz), 32).argmax() == np.abs(edges[1:-1] - hertz).argmin()


def test_envelope_of_a_tone():
    np.testing.assert_allclose(envelope(tone(500)), [0.5 / np.sqrt(2)], rtol=1e-6)
    assert envelope(np.zeros(100, np.float32))[0] == 0
    np.testing.assert_allclose(mel(np.zeros(100), 8), np.full(8, -10.0))


def test_features_of_steps(write_wav, rng, tmp_path):
    uri = write_wav(tmp_path / "a.wav", np.clip(rng.normal(size=36000) * 0.1, -1, 1))
    items = cut(uri)
    settings = Handmade(features=("envelope", "mel"), bands=20)
    network = open_network(settings)
    network.check_items(items)
    found = run(network, items)
    assert [layer.shape for layer in found] == [(5, 1), (5, 20)]
    for row, item in items.iterrows():
        wave = read_sound(uri, item["start_s"], item["stop_s"], 16000)
        np.testing.assert_allclose(found[0][row], np.sqrt((wave.astype(float) ** 2).mean()), rtol=1e-6)
        np.testing.assert_allclose(found[1][row], mel(wave, 20), rtol=1e-5)
    extract(settings, "net", items, tmp_path / "net.zarr")
    store = open_activations(tmp_path / "net.zarr")
    np.testing.assert_array_equal(store.read(1), found[1])
    assert layer_names(settings) == ["envelope", "mel"]
    loudness = open_network(Handmade(features=("envelope", "mel"), layers=("envelope",)))
    assert run(loudness, items)[0].shape == (5, 1)


def test_motion_of_a_film(write_video, tmp_path):
    """Still, then flickering between black and grey at every picture, then still again."""
    frames = np.zeros((30, 32, 32, 3), np.uint8)
    frames[10:20:2] = 128
    uri = write_video(tmp_path / "a.avi", frames, codec="mjpeg")
    items = cut(uri, 0.5, "video")
    network = open_network(Handmade(features=("motion",)))
    network.check_items(items)
    found = run(network, items)[0][:, 0]
    step = relative_luminance(np.full((1, 1, 3), 128, np.uint8))[0, 0]
    # Ten changes between 1.0 s, where it goes grey, and 1.9 s, where it goes black for the last time.
    np.testing.assert_allclose(found, [0, 0, step, step, 0, 0], atol=0.01)


def test_what_follows_a_step_does_not_move_it(write_video, tmp_path):
    frames = np.zeros((20, 32, 32, 3), np.uint8)
    frames[10:] = 255
    found = run(
        open_network(Handmade(features=("motion",))),
        cut(write_video(tmp_path / "a.avi", frames, codec="mjpeg"), 0.5, "video"),
    )[0][:, 0]
    np.testing.assert_allclose(found, [0, 0, 0.2, 0], atol=0.01)


def test_what_has_no_such_features(write_wav, write_video, tmp_path):
    items = cut(write_wav(tmp_path / "a.wav", tone(500)))
    network = open_network(Handmade(features=("motion",)))
    with pytest.raises(DataError, match=r"modality 'audio' has no motion.*such as envelope, mel"):
        network.check_items(items)
    with pytest.raises(DataError, match="modality 'audio' has no gabor"):
        open_network(Handmade(features=("gabor",))).check_items(items)
    with pytest.raises(ValueError, match=r"those of image \(.*\) with those of audio \(envelope, mel\)"):
        Handmade(features=("mel", "gabor"))
    with pytest.raises(ValueError, match="a step of time has no places"):
        Handmade(features=("mel",), tokens=True)
    film = cut(write_video(tmp_path / "a.mp4", np.zeros((9, 16, 16, 3), np.uint8)), modality="video")
    with pytest.raises(DataError, match="no audio stream"):
        open_network(Handmade(features=("envelope",))).check_items(film)


def test_features_made_elsewhere_are_those_of_whole_files(write_wav, tmp_path):
    uri = write_wav(tmp_path / "a.wav", tone(500))
    np.save(tmp_path / "made.npy", np.ones((1, 3), np.float32))
    (tmp_path / "names.tsv").write_text("item\na.wav\n")
    network = open_network(Features(path=str(tmp_path / "made.npy"), items=str(tmp_path / "names.tsv")))
    network.check_items(cut(uri, None))
    with pytest.raises(DataError, match=r"stimuli are steps of files; set stimuli\.step_s: whole"):
        network.check_items(cut(uri))
