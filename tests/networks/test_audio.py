"""Audio networks: against a plain second implementation, one window at a time, frames picked by hand."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import transformers

from neuroalign import activations
from neuroalign.artefacts.arrays import open_activations
from neuroalign.errors import DataError, NetworkError
from neuroalign.networks.audio.audio_model import Timing
from neuroalign.networks.families import layer_names, layer_table, open_network
from neuroalign.settings.media import Audio
from neuroalign.stimuli.clips import gather_clips
from neuroalign.stimuli.recorded import file_digest

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
# Frames of 20 ms that see 25 ms, as wav2vec 2.0 has them, in three convolutions instead of seven.
WAVE = {
    **SHAPE,
    "conv_dim": (8, 8, 8),
    "conv_kernel": (10, 8, 9),
    "conv_stride": (5, 8, 8),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
HOP, FIELD = 320, 10 + 7 * 5 + 8 * 40

KINDS = {
    "wav2vec2": lambda: transformers.Wav2Vec2Config(**WAVE),
    "wav2vec2_large": lambda: transformers.Wav2Vec2Config(
        **WAVE, do_stable_layer_norm=True, feat_extract_norm="layer"
    ),
    "hubert": lambda: transformers.HubertConfig(**WAVE),
    "wavlm": lambda: transformers.WavLMConfig(**WAVE),
    "whisper": lambda: transformers.WhisperConfig(
        d_model=16,
        encoder_layers=3,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_source_positions=100,
        vocab_size=30,
        num_mel_bins=20,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    ),
}


@pytest.fixture(scope="module")
def audio_models(tmp_path_factory):
    """Folder of a tiny saved audio model, by architecture; each is made once."""
    made = {}

    def get(kind):
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(7)
                model = transformers.AutoModel.from_config(KINDS[kind]())
                for values in model.parameters():
                    values.data += 0.1 * torch.randn_like(values)
            model.save_pretrained(folder)
            if kind == "whisper":  # 2 s instead of 30 s
                transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=2).save_pretrained(folder)
            else:
                transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
            made[kind] = str(folder)
        return made[kind]

    return get


def noise(seed, seconds):
    rng = np.random.default_rng(seed)
    count = int(16000 * seconds)
    loud = np.interp(np.arange(count), np.linspace(0, count, 12), rng.uniform(0.05, 0.5, 12))
    return np.round(rng.uniform(-1, 1, count) * loud * 32767) / 32767


def cut(uris, step=0.5, modality="audio"):
    shown = pd.DataFrame({"uri": [str(uri) for uri in uris], "onset": 0.0, "duration": np.nan})
    place = {"subject": "01", "session": "", "task": "hear", "run": "run-1"}
    return gather_clips([shown.assign(**place)], modality, step, file_digest)[0]


@pytest.fixture(scope="module")
def stories(tmp_path_factory, write_wav):
    """Steps of two stories of 2.7 s and 1.3 s."""
    folder = tmp_path_factory.mktemp("stories")
    return cut([write_wav(folder / f"{name}.wav", noise(name, 4.0 / name)) for name in (3, 2)], 0.4)


def opened(source, **settings):
    return open_network(Audio(source=source, device="cpu", **settings))


def run(network, items):
    return network.run(network.windows(items))


def plainly(source, items, context):
    """Second implementation: one step at a time, frames picked one by one."""
    model = transformers.AutoModel.from_pretrained(source).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(source)
    whisper = isinstance(model, transformers.WhisperModel)
    found = []
    for _, item in items.iterrows():
        waveform = noise(int(item["uri"][-5]), 4.0 / int(item["uri"][-5]))
        waveform = np.float32(np.round(waveform * 32767) / 32768)
        stop, start = round(item["stop_s"] * 16000), round(item["start_s"] * 16000)
        begin = max(0, stop - round(max(context, item["stop_s"] - item["start_s"]) * 16000))
        given = extractor(waveform[begin:stop], sampling_rate=16000, return_tensors="pt")
        with torch.no_grad():
            if whisper:
                states = model.encoder(given["input_features"], output_hidden_states=True).hidden_states
            else:
                states = model(given["input_values"], output_hidden_states=True).hidden_states
        picked = []
        for frame in range(states[0].shape[1]):
            middle = frame * HOP + (0 if whisper else (FIELD - 1) / 2)
            if start - begin <= middle < stop - begin:
                picked.append(frame)
        assert picked
        found.append([state[0, picked].mean(dim=0).numpy() for state in states])
    return [np.stack(layer) for layer in zip(*found, strict=True)]


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("context", [1.0, 0.0])
def test_agrees_with_one_window_at_a_time(audio_models, stories, kind, context):
    network = opened(audio_models(kind), context_s=context, batch=3)
    expected = plainly(audio_models(kind), stories, context)
    found = run(network, stories)
    assert len(found) == len(expected) == 4
    for layer, truth in zip(found, expected, strict=True):
        np.testing.assert_allclose(layer, truth, atol=2e-5, rtol=1e-5)
        assert layer.std(axis=0).max() > 1e-3


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_batch_does_not_matter(audio_models, stories, kind):
    one, many = (run(opened(audio_models(kind), context_s=1.0, batch=batch), stories) for batch in (1, 8))
    for alone, together in zip(one, many, strict=True):
        np.testing.assert_allclose(alone, together, atol=2e-5)


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("rate", [16000, 44100])
def test_what_follows_a_step_changes_nothing_in_it(audio_models, write_wav, tmp_path, kind, rate):
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 2 * rate)
    other = sound.copy()
    other[rate:] = np.random.default_rng(1).uniform(-0.5, 0.5, rate)
    uris = [write_wav(tmp_path / name, wave, rate) for name, wave in (("a.wav", sound), ("b.wav", other))]
    # One by one: what is in a batch with a window may change its last bit.
    found = run(opened(audio_models(kind), context_s=1.5, batch=1), cut(uris, 0.25))
    for layer in found:
        np.testing.assert_array_equal(layer[:4], layer[8:12])
        assert (np.abs(layer[4:8] - layer[12:]).max(axis=1) > 1e-4).all()


def test_silence_that_whisper_pads_is_not_averaged(audio_models, write_wav, tmp_path):
    """A sound of 0.3 s says the same, whether the network pads it or true silence follows it."""
    sound = noise(1, 0.3)
    short = write_wav(tmp_path / "a.wav", sound)
    long = write_wav(tmp_path / "b.wav", np.concatenate([sound, np.zeros(16000)]))
    network = opened(audio_models("whisper"))
    alone, followed = run(network, cut([short], None)), run(network, cut([long], 0.3)[:1])
    for one, other in zip(alone, followed, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    whole = run(network, cut([long], None))
    assert np.abs(whole[0] - alone[0]).max() > 0.01


def test_frames_by_their_middle():
    timing = Timing(rate=16000, hop=320, first=199.5, least=400, most=None)
    # Middles at 199.5, 519.5, 839.5, …
    assert timing.within(0, 520) == slice(0, 2)
    assert timing.within(519, 840) == slice(1, 3)
    assert timing.within(520, 839) == slice(1, 2)
    assert timing.within(600, 700) == slice(0, 1)
    whisper = Timing(rate=16000, hop=320, first=0, least=1, most=480000)
    assert whisper.within(0, 8000) == slice(0, 25)
    assert whisper.within(8000, 16000) == slice(25, 50)
    assert whisper.within(7990, 8000) == slice(24, 25)


def test_layers_are_named_by_module_path(audio_models):
    assert layer_names(Audio(source=audio_models("wav2vec2"))) == [
        "encoder.layer_norm",
        *(f"encoder.layers.{index}" for index in range(3)),
    ]
    network = opened(audio_models("whisper"))
    assert network.layers[1:] == tuple(f"encoder.layers.{index}" for index in range(3))
    assert network.depth == (0, 1 / 3, 2 / 3, 1)
    modules = dict(transformers.AutoModel.from_pretrained(audio_models("whisper")).named_modules())
    assert set(network.layers) <= set(modules)
    table = layer_table(Audio(source=audio_models("hubert"), layers=("encoder.layers.1",)))
    assert [(layer.units, layer.kept) for layer in table] == [(16, index == 2) for index in range(4)]


@pytest.mark.parametrize("kind", ["wav2vec2", "whisper"])
def test_heads_and_attention(audio_models, stories, kind):
    network = opened(audio_models(kind), taps=("attention", "heads"), context_s=1.0)
    found = dict(zip(network.layers, run(network, stories), strict=True))
    assert len(found) == 9
    block = next(
        name for name in found if name.endswith(".0.attention.out_proj") or "0.self_attn.out" in name
    )
    model = transformers.AutoModel.from_pretrained(audio_models(kind))
    projection = model.get_submodule(block)
    heads = np.concatenate([found[block.replace(".out_proj", f"[head {head}]")] for head in range(2)], axis=1)
    # The projection is linear: of the mean over frames it is the mean of what it gives.
    with torch.no_grad():
        np.testing.assert_allclose(projection(torch.tensor(heads)).numpy(), found[block], atol=1e-5)


def test_a_film_is_heard(audio_models, write_video, tmp_path):
    sound = noise(1, 2.0)
    film = write_video(tmp_path / "a.mkv", np.zeros((20, 16, 16, 3), np.uint8), sound=sound)
    items = cut([film], modality="video")
    network = opened(audio_models("wav2vec2"))
    network.check_items(items)
    assert run(network, items)[0].shape == (4, 16)
    silent = write_video(tmp_path / "b.mp4", np.zeros((20, 16, 16, 3), np.uint8))
    with pytest.raises(DataError, match="no audio stream"):
        network.check_items(cut([silent], modality="video"))


def test_windows_end_with_their_step(audio_models, stories):
    windows = opened(audio_models("whisper"), context_s=5.0).windows(stories)
    assert [window.stop_s for window in windows] == stories["stop_s"].tolist()
    assert all(window.stop_s - window.begin_s <= 2.0 + 1e-9 for window in windows)
    assert not any(window.truncated for window in windows[:4])
    assert len({window.digest for window in windows}) == len(windows)
    long = opened(audio_models("wav2vec2"), context_s=0.5).windows(stories)
    assert not any(window.truncated for window in long)
    np.testing.assert_allclose([window.begin_s for window in long][:3], [0, 0.3, 0.7])


def test_random_weights_and_provenance(audio_models, stories):
    settings = Audio(source=audio_models("hubert"), weights="random", device="cpu")
    one, same, other = (run(open_network(settings, seed), stories)[2] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)
    first = opened(audio_models("hubert")).provenance
    assert json.loads(first["preprocessing"])["do_normalize"] is True
    assert first["frame_s"] == 0.02
    for change in ({"context_s": 3.0}, {"batch": 2}, {"dtype": "float16"}):
        assert opened(audio_models("hubert"), **change).provenance != first
    json.dumps(first)


def test_weights_of_a_finetuned_network_need_no_mask(audio_models, stories, tmp_path):
    """What hides sound in training is absent from networks that were trained on."""
    source = tmp_path / "tuned"
    shutil.copytree(audio_models("wav2vec2"), source)
    from safetensors.torch import load_file, save_file

    weights = load_file(source / "model.safetensors")
    del weights["masked_spec_embed"]
    save_file(weights, source / "model.safetensors", {"format": "pt"})
    for one, other in zip(
        run(opened(str(source)), stories), run(opened(audio_models("wav2vec2")), stories), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def complaint(kind, call):
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_networks_that_do_not_hear(audio_models, tmp_path):
    configuration = transformers.BertConfig(**SHAPE, vocab_size=20)
    transformers.AutoModel.from_config(configuration).save_pretrained(tmp_path / "bert")
    said = complaint(NetworkError, lambda: opened(str(tmp_path / "bert")))
    assert "BertModel is shown input_ids, not input_values or input_features" in said
    assert "choose another family" in said
    shutil.copytree(audio_models("wav2vec2"), tmp_path / "bare")
    (tmp_path / "bare" / "preprocessor_config.json").unlink()
    said = complaint(NetworkError, lambda: opened(str(tmp_path / "bare")))
    assert "no preprocessor_config.json, so how sound is prepared is not known" in said
    shutil.copytree(audio_models("wav2vec2"), tmp_path / "other")
    shutil.copy(f"{audio_models('whisper')}/preprocessor_config.json", tmp_path / "other")
    said = complaint(NetworkError, lambda: opened(str(tmp_path / "other")))
    assert "WhisperFeatureExtractor makes input_features, but Wav2Vec2Model takes input_values" in said
    said = complaint(
        NetworkError, lambda: opened(audio_models("hubert"), layers=("feature_extractor.conv_layers.0",))
    )
    assert "not one array for every frame" in said
    assert "no layer 'encoder.layers.9'" in complaint(
        NetworkError, lambda: opened(audio_models("hubert"), layers=("encoder.layers.9",))
    )


def test_items_that_cannot_be_heard(audio_models, stories, write_wav, tmp_path):
    network = opened(audio_models("wav2vec2"))
    network.check_items(stories)
    assert "the table is empty" in complaint(DataError, lambda: network.check_items(stories[:0]))
    assert "modality 'text' cannot be heard" in complaint(
        DataError, lambda: network.check_items(stories.assign(modality="text"))
    )
    click = cut([write_wav(tmp_path / "click.wav", noise(1, 0.01))])
    said = complaint(DataError, lambda: network.check_items(click))
    assert "ends after 10 ms of sound, but the network needs 23 ms" in said
    whole = cut([write_wav(tmp_path / "long.wav", noise(1, 2.5))], None)
    said = complaint(DataError, lambda: opened(audio_models("whisper")).check_items(whole))
    assert "a step of 2.5 s, but the network takes 2 s at most" in said


def test_values_beyond_the_precision_are_refused(audio_models, stories):
    network = opened(audio_models("hubert"), dtype="float16")
    with torch.no_grad():
        network.backbone.encoder.layer_norm.weight *= 1e8
    with pytest.raises(NetworkError, match=r"gives values beyond float16.*set dtype: float32"):
        run(network, stories)


class Stop(Exception):
    """The job is cut short."""


def test_killed_extraction_goes_on_to_the_same_bytes(audio_models, stories, tmp_path, monkeypatch):
    monkeypatch.setattr(activations, "ITEMS_PER_CHUNK", 3)
    settings = Audio(source=audio_models("wav2vec2"), context_s=1.0, device="cpu")
    activations.extract(settings, "net", stories, tmp_path / "whole" / "net.zarr")
    path, written = tmp_path / "cut" / "net.zarr", []
    write = activations._Partial.write

    def stopping(self, *given):
        if len(written) == 2:
            raise Stop
        written.append(write(self, *given))

    with monkeypatch.context() as patch:
        patch.setattr(activations._Partial, "write", stopping)
        with pytest.raises(Stop):
            activations.extract(settings, "net", stories, path)
    assert not path.exists()
    activations.extract(settings, "net", stories, path)

    def contents(folder):
        return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    assert contents(path) == contents(tmp_path / "whole" / "net.zarr")
    store = open_activations(path)
    np.testing.assert_allclose(store.read(2), run(open_network(settings), stories)[2], atol=2e-5)


def test_report_sentences():
    settings = Audio(source="a/b", context_s=8)
    assert settings.facts == ("context 8 s",)
    said = settings.described("net", 4, "its run")
    assert "heard by the network net (a/b, pretrained weights) in windows of up to 8 s that end" in said
