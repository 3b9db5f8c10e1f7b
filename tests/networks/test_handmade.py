"""Handmade features: against what gratings and grey must give, and a causal model asked word by word."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tokenizers
import torch
import transformers
from PIL import Image
from scipy.signal import fftconvolve

from neuroalign.activations import extract
from neuroalign.artefacts.arrays import open_activations
from neuroalign.errors import ConfigError, DataError, NetworkError
from neuroalign.networks.families import layer_names, open_network
from neuroalign.networks.handmade import image_features
from neuroalign.networks.handmade.image_features import CYCLES, ORIENTATIONS, SIDE
from neuroalign.settings.configfile import parse
from neuroalign.settings.features import Handmade
from neuroalign.settings.networks import Text
from neuroalign.stimuli.media import content_digest

pytestmark = pytest.mark.usefixtures("one_thread")

TEXT = "the cat, sat on a mat and saw one more bird fly over two old red barns by night"
WORDS = TEXT.split()


def grating(cycles, angle, phase=0.0, side=64, amplitude=0.4):
    """A grating in lightness, as sRGB pixels; sRGB's coding is close to lightness itself."""
    x, y = np.meshgrid(*[(np.arange(side) + 0.5) / side] * 2)
    wave = np.cos(2 * np.pi * cycles * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    return np.repeat(np.round(255 * (0.5 + amplitude * wave)).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("frequency", range(len(CYCLES)))
@pytest.mark.parametrize("orientation", range(ORIENTATIONS))
def test_a_grating_excites_its_own_filter_most(frequency, orientation):
    angle = np.pi * orientation / ORIENTATIONS
    for phase in (0.0, 1.0):
        local, whole = image_features.gabor(grating(CYCLES[frequency], angle, phase), 4)
        own = frequency * ORIENTATIONS + orientation
        assert whole.argmax() == own
        # In the middle, away from mirrored edges, the response does not depend on place or phase.
        inner = local[1:3, 1:3, own]
        np.testing.assert_allclose(inner, inner.mean(), rtol=0.25 if CYCLES[frequency] == 2 else 0.06)


def test_gabor_energy_agrees_with_filters_in_space():
    """Second implementation: the even and the odd filter written in space and convolved one by one."""
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    light = image_features.relative_luminance(pixels)
    lightness = np.where(light > (6 / 29) ** 3, 1.16 * np.cbrt(light) - 0.16, light * (29 / 3) ** 3 / 100)
    half = SIDE // 2
    padded = np.pad(lightness - lightness.mean(), half, mode="symmetric")
    reach = np.arange(-half, half + 1) / SIDE
    x, y = np.meshgrid(reach, reach)
    local, whole = image_features.gabor(pixels, 4)
    for channel in (1 * ORIENTATIONS + 1, 2 * ORIENTATIONS + 4):
        cycles, angle = CYCLES[channel // ORIENTATIONS], np.pi * (channel % ORIENTATIONS) / ORIENTATIONS
        spread = 3 * np.sqrt(2 * np.log(2)) / (2 * np.pi * cycles)  # one octave at half height
        window = np.exp(-(x**2 + y**2) / (2 * spread**2)) / (2 * np.pi * spread**2) / SIDE**2
        along = 2 * np.pi * cycles * (x * np.cos(angle) + y * np.sin(angle))
        even, odd = (
            fftconvolve(padded, window * wave(along), mode="same")[half:-half, half:-half]
            for wave in (np.cos, np.sin)
        )
        energy = even**2 + odd**2
        assert whole[channel] == pytest.approx(np.sqrt(energy.mean()), rel=0.02)
        cells = np.sqrt(energy.reshape(4, 16, 4, 16).mean(axis=(1, 3)))
        np.testing.assert_allclose(local[..., channel], cells, rtol=0.1)


def test_a_grating_on_the_right_is_seen_on_the_right():
    pixels = np.full((96, 96, 3), 128, np.uint8)
    pixels[:32, 48:] = grating(8, 0, side=96)[:32, 48:]
    local, _ = image_features.gabor(pixels, 3)
    seen = local[..., 2 * ORIENTATIONS]
    assert np.unravel_index(seen.argmax(), seen.shape) == (0, 2)
    assert seen[2].max() < 0.1 * seen[0, 2]


def test_luminance_contrast_and_colour_of_known_pixels():
    grey = np.full((6, 10, 3), 119, np.uint8)  # sRGB 119 is 18.4 % of the light of white
    for compute in (image_features.luminance, image_features.contrast, image_features.colour):
        local, whole = compute(grey, 2)
        expected = 0.184 if compute is image_features.luminance else 0
        np.testing.assert_allclose(local, expected, atol=1e-3)
        np.testing.assert_allclose(whole, expected, atol=1e-3)
    half = np.zeros((4, 4, 3), np.uint8)
    half[:, 2:] = 255
    assert image_features.contrast(half, 2)[1] == pytest.approx(0.5)
    np.testing.assert_allclose(image_features.contrast(half, 2)[0], 0, atol=1e-9)
    np.testing.assert_allclose(image_features.luminance(half, 2)[0][..., 0], [[0, 1], [0, 1]])
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    np.testing.assert_allclose(image_features.colour(red, 1)[1], [1, -0.5])
    np.testing.assert_allclose(image_features.luminance(red, 1)[1], 0.2126)


@pytest.mark.parametrize(("size", "grid"), [(7, 3), (9, 9), (10, 4), (3, 3)])
def test_cells_share_pixels_and_their_mean_is_the_images(size, grid):
    pixels = np.random.default_rng(1).integers(0, 256, (size, size + 1, 3), dtype=np.uint8)
    local, whole = image_features.luminance(pixels, grid)
    assert local.mean() == pytest.approx(whole[0])
    fine = np.repeat(np.repeat(pixels, grid, axis=0), grid, axis=1)
    light = image_features.relative_luminance(fine)
    rows = light.reshape(grid, size, grid, size + 1).mean(axis=(1, 3))
    np.testing.assert_allclose(local[..., 0], rows)


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(2)
    uris = []
    for number, side in enumerate((16, 20, 33)):
        path = tmp_path / f"{number}.png"
        Image.fromarray(rng.integers(0, 256, (side, 24, 3), dtype=np.uint8)).save(path)
        uris.append(str(path))
    table = pd.DataFrame({"uri": [*uris, uris[0]], "text": "", "modality": "image", "sentence": 0})
    table["digest"] = table["uri"].map(content_digest)
    return table.assign(item=range(4), passage=range(4), position=0)


def test_places_are_tokens_where_they_are_asked_for(images, tmp_path):
    settings = Handmade(features=("luminance", "gabor"), grid=4)
    assert layer_names(settings) == ["luminance", "gabor"]
    extract(settings, "whole", images, tmp_path / "whole.zarr")
    extract(settings.model_copy(update={"tokens": True}), "places", images, tmp_path / "places.zarr")
    whole, places = (open_activations(tmp_path / f"{name}.zarr") for name in ("whole", "places"))
    assert not whole.has_tokens
    assert places.has_tokens
    channels = len(CYCLES) * ORIENTATIONS
    assert whole.read(1).shape == (4, 16 * channels)
    tokens, where = places.tokens(1)
    assert tokens.shape == (4, 16, channels)
    np.testing.assert_array_equal(places.read(1), whole.read(1))
    np.testing.assert_array_equal(np.asarray(tokens).reshape(4, -1), whole.read(1))
    np.testing.assert_allclose(where[:5], [[0.125, 0.125], [0.375, 0.125], [0.625, 0.125], [0.875, 0.125],
                                           [0.125, 0.375]])  # fmt: skip
    np.testing.assert_array_equal(whole.read(0), places.read(0))
    np.testing.assert_array_equal(whole.read(1)[3], whole.read(1)[0])
    assert whole.inputs[3] == whole.inputs[0] == int(content_digest(images["uri"][0]), 16)
    assert len(set(whole.inputs)) == 3


def test_nothing_was_trained_so_that_no_twin_is_missed():
    settings = Handmade(features=("gabor",))
    assert not settings.trained
    assert settings.twin() is None
    assert Text(source="x").trained
    assert not Text(source="x", weights="random").trained


def test_only_the_layers_asked_for_are_computed(images):
    network = open_network(Handmade(features=("contrast", "gabor", "luminance"), layers=("luminance",)))
    (found,) = network.run(network.windows(images, [1, 2]))
    assert found.dtype == np.float32
    assert found.shape == (2, 1)
    with pytest.raises(NetworkError, match="no layer 'gabbor': did you mean 'gabor'"):
        open_network(Handmade(features=("gabor",), layers=("gabbor",)))


def test_images_that_cannot_be_shown_are_refused(images, tmp_path):
    network = open_network(Handmade(features=("luminance",), grid=16))
    network.check_items(images)
    with pytest.raises(DataError, match="no such file"):
        network.check_items(images.assign(uri=str(tmp_path / "gone.png")))
    with pytest.raises(DataError, match="choose others, such as word_length, surprisal"):
        network.check_items(images.assign(modality="text"))
    small = tmp_path / "small.png"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(small)
    with pytest.raises(DataError, match="8 × 8 pixels are fewer than the 16 places"):
        network.run(network.windows(images.assign(uri=str(small))))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"features": ["gabor", "surprisal"], "model": "x"}, "make two networks of them"),
        ({"features": ["gabor", "gabor"]}, "names one twice"),
        ({"features": []}, "networks.n.features"),
        ({"features": ["gabour"]}, "did you mean 'gabor'"),
        ({"features": ["surprisal"]}, "'model' goes with the feature surprisal"),
        ({"features": ["gabor"], "model": "x"}, "'model' goes with the feature surprisal"),
        ({"features": ["gabor"], "revision": "x"}, "drop it"),
        ({"features": ["word_length"], "tokens": True}, "a word has no places"),
        ({"features": ["gabor"], "gird": 3}, "unknown key 'networks.n.gird': did you mean 'grid'"),
        ({}, "'networks.n.features' is missing"),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_one_line(keys, said):
    study = {"dataset": {"path": "x", "task": "t"}, "responses": {"kind": "parcels"}}
    with pytest.raises(ConfigError) as caught:
        parse({**study, "networks": {"n": {"family": "handmade", **keys}}})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    """A GPT-2 with weights of a fair size, so that surprisal varies, and a byte-level tokenizer."""
    folder = tmp_path_factory.mktemp("gpt2")
    core = tokenizers.Tokenizer(tokenizers.models.BPE())
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=290,
        special_tokens=["<s>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator([TEXT], trainer)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<s>")
    fast.save_pretrained(folder)
    shape = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 24, "initializer_range": 0.5}
    configuration = transformers.GPT2Config(vocab_size=len(fast), bos_token_id=0, eos_token_id=0, **shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        transformers.AutoModelForCausalLM.from_config(configuration).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def words():
    table = pd.DataFrame({"text": WORDS, "passage": np.repeat([0, 1], [9, len(WORDS) - 9])})
    table["position"] = table.groupby("passage").cumcount()
    return table.assign(item=range(len(table)), sentence=0, modality="text")


def test_surprisal_is_the_drop_in_probability_of_the_text(causal, words):
    """Second implementation: log p of the text with the word less log p of the text before it."""
    network = open_network(
        Handmade(features=("word_length", "surprisal"), model=causal, context=4, device="cpu")
    )
    network.check_items(words)
    length, surprisal = network.run(network.windows(words))
    assert length[:3, 0].tolist() == [3, 3, 3]
    tokenizer = transformers.AutoTokenizer.from_pretrained(causal)
    model = transformers.AutoModelForCausalLM.from_pretrained(causal).eval()

    def bits(text):
        ids = [0, *tokenizer(text)["input_ids"]] if text else [0]
        with torch.no_grad():
            log_p = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), dim=-1)
        return -sum(float(log_p[place - 1, ids[place]]) for place in range(1, len(ids))) / np.log(2)

    for row, item in words.iterrows():
        passage = words[words["passage"] == item["passage"]]["text"].tolist()
        before = passage[max(item["position"] - 4, 0) : item["position"]]
        expected = bits(" ".join([*before, item["text"]])) - bits(" ".join(before))
        assert surprisal[row, 0] == pytest.approx(expected, rel=1e-4)
    assert surprisal.std() > 1


def test_surprisal_keeps_a_place_for_the_beginning(causal, words):
    network = open_network(Handmade(features=("surprisal",), model=causal, context=30, device="cpu"))
    windows = network.windows(words.assign(text="zyxwvut"))
    assert any(window.truncated for window in windows)
    (found,) = network.run(windows)
    assert np.isfinite(found).all()


def test_a_model_that_looks_ahead_has_no_surprisal(tmp_path, causal):
    configuration = transformers.BertConfig(
        vocab_size=290, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    configuration.architectures = ["BertForMaskedLM"]
    transformers.BertForMaskedLM(configuration).save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(causal).save_pretrained(tmp_path)
    with pytest.raises(NetworkError, match="causal language model"):
        open_network(Handmade(features=("surprisal",), model=str(tmp_path), device="cpu"))


def test_the_length_of_words_needs_no_model(words, tmp_path):
    settings = Handmade(features=("word_length",))
    extract(settings, "length", words, tmp_path / "length.zarr")
    found = open_activations(tmp_path / "length.zarr").read(0)[:, 0]
    assert found.tolist() == [len(word.strip(",")) for word in WORDS]
    with pytest.raises(DataError, match="such as luminance, contrast, colour, gabor"):
        open_network(settings).check_items(words.assign(modality="image"))
    with pytest.raises(DataError, match="table is empty"):
        open_network(settings).check_items(words.iloc[:0])
