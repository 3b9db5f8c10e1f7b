"""Sound: waveforms as they were written, cut where asked, and damaged files in one line."""

from __future__ import annotations

import numpy as np
import pytest

from neuroalign.errors import DataError
from neuroalign.stimuli.recorded import length_s
from neuroalign.stimuli.sound import check_sound, read_sound, whole_sound


@pytest.fixture
def noise(rng):
    return np.round(rng.uniform(-0.5, 0.5, (24000, 2)) * 32767) / 32767


def tone(rate, seconds, hertz=440.0):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def test_the_waveform_is_the_mean_of_the_channels(tmp_path, write_wav, noise):
    uri = write_wav(tmp_path / "a.wav", noise, 8000)
    waveform, rate = whole_sound(uri)
    assert rate == 8000
    # The file counts in steps of 1/32768, the writer in 1/32767.
    np.testing.assert_allclose(waveform, noise.mean(axis=1), atol=2e-5)
    np.testing.assert_allclose(read_sound(uri, 0.5, 1.25, 8000), noise.mean(axis=1)[4000:10000], atol=2e-5)
    assert length_s(uri, "audio") == pytest.approx(3.0)


def test_what_lies_beyond_the_end_is_left_out(tmp_path, write_wav, noise):
    uri = write_wav(tmp_path / "a.wav", noise, 8000)
    assert len(read_sound(uri, -1.0, 0.5, 8000)) == 4000
    assert len(read_sound(uri, 2.5, 9.0, 8000)) == 4000
    assert len(read_sound(uri, 4.0, 9.0, 8000)) == 0


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_resampling_keeps_a_tone(tmp_path, write_wav, rate):
    uri = write_wav(tmp_path / "a.wav", tone(rate, 2.0), rate)
    heard = read_sound(uri, 0.5, 1.5, 16000)
    assert heard.dtype == np.float32
    assert len(heard) == 16000
    truth = tone(16000, 2.0)[8000:24000]
    # The filter has nothing to go by at the edges of the cut.
    np.testing.assert_allclose(heard[400:-400], truth[400:-400], atol=5e-3)


def test_nothing_of_what_follows_gets_into_a_cut(tmp_path, write_wav, noise):
    other = noise.copy()
    other[8000:] = 0.9
    uris = [write_wav(tmp_path / name, sound, 8000) for name, sound in (("a.wav", noise), ("b.wav", other))]
    cuts = [read_sound(uri, 0.2, 1.0, 16000) for uri in uris]
    np.testing.assert_array_equal(*cuts)


def test_the_sound_of_a_film(tmp_path, write_video, rng):
    sound = tone(16000, 2.0)
    pictures = np.zeros((20, 32, 32, 3), np.uint8)
    uri = write_video(tmp_path / "a.mkv", pictures, sound=sound)
    np.testing.assert_allclose(read_sound(uri, 1.0, 1.5, 16000), sound[16000:24000], atol=1e-4)


def test_compressed_sound_is_in_time(tmp_path):
    import av

    click = np.zeros(48000, np.float32)
    click[24000:24200] = 0.9
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(click[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48000, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    heard = read_sound(str(path), 0.0, 2.0, 48000)
    energy = np.cumsum(heard.astype(float) ** 2)
    middle = np.searchsorted(energy, energy[-1] / 2) / 48000
    assert middle == pytest.approx(0.502, abs=0.003)


def cut_short(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def complaint(call):
    with pytest.raises(DataError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_damaged_files(tmp_path, write_wav, write_video, noise):
    good = write_wav(tmp_path / "a.wav", noise, 8000)
    cut_short(tmp_path / "a.wav", 0.6)
    assert "it was cut short, copy it anew" in complaint(lambda: check_sound(good))
    (tmp_path / "b.wav").write_text("hello")
    assert "not sound or video that can be read" in complaint(lambda: check_sound(str(tmp_path / "b.wav")))
    assert "no such file" in complaint(lambda: check_sound(str(tmp_path / "c.wav")))
    assert "no such file" in complaint(lambda: whole_sound(str(tmp_path / "c.wav")))
    silent = write_video(tmp_path / "d.mp4", np.zeros((5, 32, 32, 3), np.uint8))
    assert "no audio stream (only video)" in complaint(lambda: check_sound(silent))
    assert "no video stream (only audio)" in complaint(
        lambda: length_s(write_wav(tmp_path / "e.wav", noise), "video")
    )
    write_wav(tmp_path / "f.wav", noise[:0])
    assert "holds no audio" in complaint(lambda: check_sound(str(tmp_path / "f.wav")))
