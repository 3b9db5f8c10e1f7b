"""Image networks: against a plain second implementation, one image at a time, pooled by hand."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from PIL import Image
from sklearn.random_projection import SparseRandomProjection

from neuroalign import activations
from neuroalign.artefacts.arrays import open_activations
from neuroalign.errors import DataError, NetworkError
from neuroalign.networks.families import layer_names, open_network
from neuroalign.networks.vision.images import ImageNetwork
from neuroalign.settings.networks import Text, Vision

pytestmark = pytest.mark.usefixtures("one_thread")

# What stands before the patches, and the layers, read off the architectures' own code.
SPECIAL = {
    "vit": 1,
    "dinov2": 1,
    "dinov2_with_registers": 5,
    "clip": 1,
    "clip_vision_model": 1,
    "siglip_vision_model": 0,
    "beit": 1,
}
STAGES = ["encoder.stages.0", "encoder.stages.1", "encoder.stages.2", "encoder.stages.3"]
MAPS = {"convnext": ["embeddings", *STAGES], "resnet": ["embedder", *STAGES]}
ENDS = {"vit": "layers", "dinov2": "encoder.layer", "clip_vision_model": "encoder.layers"}


def plainly(source, items):
    """Second implementation: hidden states (token, unit) or (unit, row, column) of one image at a time."""
    model = transformers.AutoModel.from_pretrained(source).eval()
    if isinstance(model, transformers.CLIPModel):
        model = model.vision_model
    processor = transformers.AutoImageProcessor.from_pretrained(source, backend="pil")
    found = []
    for uri in items["uri"]:
        with Image.open(uri) as image, torch.no_grad():
            pixels = processor(image.convert("RGB"), return_tensors="pt")["pixel_values"]
            found.append(
                [state[0].numpy() for state in model(pixels, output_hidden_states=True).hidden_states]
            )
    return [np.stack(layer) for layer in zip(*found, strict=True)]


def tokens_of(kind, states):
    """Patches (image, patch, unit) of states as the library gives them."""
    if states.ndim == 4:
        return np.stack(
            [
                [state[:, y, x] for y in range(state.shape[1]) for x in range(state.shape[2])]
                for state in states
            ]
        )
    return states[:, SPECIAL.get(kind, 0) :]


def opened(source, **settings):
    return open_network(Vision(source=source, device="cpu", **settings))


def run(network, items):
    return network.run(network.windows(items))


@pytest.mark.parametrize("kind", [*SPECIAL, *MAPS, "swin"])
def test_agrees_with_one_image_at_a_time(image_models, pictures, kind):
    network = opened(image_models(kind), tokens=True, batch=4)
    expected = [tokens_of(kind, states) for states in plainly(image_models(kind), pictures)]
    found = run(network, pictures)
    assert len(found) == 2 * len(expected) == 2 * len(network.layers)
    for layer, truth in enumerate(expected):
        assert network.units[layer] == truth.shape[2]
        assert len(network.places[layer]) == truth.shape[1]
        np.testing.assert_allclose(found[layer], truth.mean(axis=1), atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(found[len(expected) + layer], truth, atol=1e-5, rtol=1e-5)
    # The layers say something about the images.
    assert all(layer.std(axis=0).max() > 1e-3 for layer in found)


@pytest.mark.parametrize("kind", ["vit", "dinov2_with_registers", "clip"])
def test_class_token(image_models, pictures, kind):
    found = run(opened(image_models(kind), pooling="class"), pictures)
    for layer, states in zip(found, plainly(image_models(kind), pictures), strict=True):
        np.testing.assert_allclose(layer, states[:, 0], atol=1e-5)


@pytest.mark.parametrize("kind", ["dinov2_with_registers", "resnet"])
def test_flatten_is_sklearns_projection_of_everything(image_models, pictures, kind):
    network = open_network(
        Vision(source=image_models(kind), pooling="flatten", projection=48, device="cpu"), seed=3
    )
    found = run(network, pictures)
    for index, states in enumerate(plainly(image_models(kind), pictures)):
        # Tokens one after the other, and in each its units.
        shown = states.transpose(0, 2, 3, 1) if states.ndim == 4 else states
        shown = shown.reshape(len(shown), -1)
        truth = (
            SparseRandomProjection(48, random_state=3).fit_transform(shown) if shown.shape[1] > 48 else shown
        )
        assert network.units[index] == truth.shape[1] == min(48, shown.shape[1])
        np.testing.assert_allclose(found[index], truth, atol=2e-5, rtol=1e-5)


def test_projection_keeps_distances(image_models, pictures):
    flat = plainly(image_models("vit"), pictures)[3].reshape(len(pictures), -1)
    small = run(opened(image_models("vit"), pooling="flatten", projection=200), pictures)[3]

    def distances(values):
        return np.linalg.norm(values[:, None] - values[None], axis=2)[np.triu_indices(len(values) - 1, 1)]

    np.testing.assert_allclose(distances(small), distances(flat), rtol=0.35)


@pytest.mark.parametrize("kind", ["vit", "resnet"])
@pytest.mark.parametrize("pooling", ["mean", "flatten"])
def test_the_batch_does_not_matter(image_models, pictures, kind, pooling):
    one, all_at_once = (
        run(opened(image_models(kind), pooling=pooling, projection=32, batch=batch), pictures)
        for batch in (1, 32)
    )
    for alone, together in zip(one, all_at_once, strict=True):
        np.testing.assert_allclose(alone, together, atol=2e-5)


def test_layers_are_named_by_module_path_and_depth(image_models):
    for kind, blocks in ENDS.items():
        network = opened(image_models(kind))
        embedding = "pre_layrnorm" if kind.startswith("clip") else "embeddings"
        assert network.layers == (embedding, *(f"{blocks}.{index}" for index in range(3)))
        assert network.depth == (0, 1 / 3, 2 / 3, 1)
        modules = dict(transformers.AutoModel.from_pretrained(image_models(kind)).named_modules())
        assert set(network.layers) <= set(modules)
        assert layer_names(Vision(source=image_models(kind))) == list(network.layers)
    for kind, layers in MAPS.items():
        network = opened(image_models(kind))
        assert list(network.layers) == layers
        assert network.depth == (0, 0.25, 0.5, 0.75, 1)
    assert opened(image_models("clip")).layers[1] == "vision_model.encoder.layers.0"


def test_places_are_centres_of_patches(image_models, image_items, tmp_path):
    network = opened(image_models("vit"), tokens=True)
    np.testing.assert_allclose(
        network.places[0][:5],
        [[0.125, 0.125], [0.375, 0.125], [0.625, 0.125], [0.875, 0.125], [0.125, 0.375]],
    )
    # A bright patch at the left of the second row stands out where it lies, before tokens are mixed.
    dark = np.zeros((32, 32, 3), np.uint8)
    bright = dark.copy()
    bright[8:16, :8] = 255
    values = []
    for name, pixels in (("dark", dark), ("bright", bright)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        values.append(str(tmp_path / f"{name}.png"))
    tokens = run(network, image_items(values))[4]
    changed = np.abs(tokens[1] - tokens[0]).max(axis=1)
    assert np.flatnonzero(changed > 1e-6).tolist() == [4]
    np.testing.assert_allclose(network.places[0][4], [0.125, 0.375])


def test_single_patches_stand_beside_what_is_projected(image_models, pictures, tmp_path):
    settings = Vision(source=image_models("vit"), pooling="flatten", projection=40, tokens=True, device="cpu")
    activations.extract(settings, "net", pictures, tmp_path / "net.zarr")
    found = open_activations(tmp_path / "net.zarr")
    apart = [
        run(opened(image_models("vit"), **one), pictures)
        for one in ({"pooling": "flatten", "projection": 40}, {"tokens": True})
    ]
    for layer in range(len(found.layers)):
        np.testing.assert_array_equal(found.read(layer), apart[0][layer])
        np.testing.assert_array_equal(np.asarray(found.tokens(layer)[0]), apart[1][len(found.layers) + layer])


def test_equal_images_are_equal_windows(image_models, pictures):
    network = opened(image_models("vit"))
    digests = [window.digest for window in network.windows(pictures)]
    assert digests[6] == digests[1]
    assert len(set(digests)) == 6
    assert digests[0] == int(pictures["digest"][0], 16) < 2**64
    assert [window.uri for window in network.windows(pictures, [4, 2])] == pictures["uri"][[4, 2]].tolist()


def test_kept_layers_and_half_precision(image_models, pictures):
    whole = run(opened(image_models("vit")), pictures)
    network = opened(image_models("vit"), layers=("layers.2", "embeddings"), dtype="float16", tokens=True)
    found = run(network, pictures)
    assert network.kept == (0, 3)
    assert len(network.places) == 2
    assert all(layer.dtype == np.float16 for layer in found)
    np.testing.assert_allclose(found[1], whole[3], rtol=2e-3, atol=2e-3)


def test_random_weights_come_from_the_seed(image_models, pictures):
    settings = Vision(source=image_models("vit"), weights="random", device="cpu")
    one, same, other = (run(open_network(settings, seed), pictures)[2] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)
    twin = Vision(source=image_models("vit"), pooling="class").twin()
    assert (twin.weights, twin.pooling) == ("random", "class")


def test_provenance_tells_everything_that_decides_the_values(image_models, tmp_path):
    first = opened(image_models("vit")).provenance
    assert json.loads(first["preprocessing"])["image_mean"] == [0.5, 0.5, 0.5]
    assert first["image_size"] == [32, 32]
    shutil.copytree(image_models("vit"), tmp_path / "other")
    path = tmp_path / "other" / "preprocessor_config.json"
    path.write_text(path.read_text().replace("0.5", "0.4"))
    changed = opened(str(tmp_path / "other")).provenance
    assert changed["preprocessing"] != first["preprocessing"]
    for settings in ({"pooling": "class"}, {"pooling": "flatten"}, {"batch": 3}, {"dtype": "float16"}):
        assert opened(image_models("vit"), **settings).provenance != first
    flat = [opened(image_models("vit"), pooling="flatten", projection=size).provenance for size in (8, 9)]
    assert flat[0] != flat[1]
    json.dumps(first)


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


def test_no_image_processor(image_models, tmp_path):
    shutil.copytree(image_models("vit"), tmp_path / "vit")
    (tmp_path / "vit" / "preprocessor_config.json").unlink()
    with pytest.raises(NetworkError, match=r"no preprocessor_config\.json.*save the model's image processor"):
        opened(str(tmp_path / "vit"))


def test_processor_of_another_size(image_models, tmp_path):
    shutil.copytree(image_models("vit"), tmp_path / "vit")
    transformers.ViTImageProcessorPil(size={"height": 48, "width": 48}).save_pretrained(tmp_path / "vit")
    with pytest.raises(NetworkError, match="ViTModel cannot be shown images of 48 × 48") as caught:
        layer_names(Vision(source=str(tmp_path / "vit")))
    one_line(caught)
    transformers.ViTImageProcessorPil(size={"shortest_edge": 32}).save_pretrained(tmp_path / "vit")
    with pytest.raises(NetworkError, match="images of different sizes") as caught:
        layer_names(Vision(source=str(tmp_path / "vit")))
    one_line(caught)


def test_a_text_network_is_no_image_network(image_models, tmp_path):
    configuration = transformers.BertConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    transformers.AutoModel.from_config(configuration).save_pretrained(tmp_path)
    with pytest.raises(
        NetworkError, match="BertModel is shown input_ids, not pixel_values, so it is not an image"
    ):
        opened(str(tmp_path))
    for read in (open_network, layer_names):
        with pytest.raises(NetworkError, match="ViTModel is shown pixel_values, not input_ids"):
            read(Text(source=image_models("vit")))


def test_an_image_processor_inside_a_processor(image_models, pictures, tmp_path):
    """Newer versions of the library save it so."""
    shutil.copytree(image_models("clip"), tmp_path / "clip")
    inside = json.loads((tmp_path / "clip" / "preprocessor_config.json").read_text())
    (tmp_path / "clip" / "preprocessor_config.json").unlink()
    whole = {"processor_class": "CLIPProcessor", "image_processor": inside}
    (tmp_path / "clip" / "processor_config.json").write_text(json.dumps(whole))
    one, other = (run(opened(source), pictures) for source in (image_models("clip"), str(tmp_path / "clip")))
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first, second)
    del whole["image_processor"]
    (tmp_path / "clip" / "processor_config.json").write_text(json.dumps(whole))
    with pytest.raises(NetworkError) as caught:
        opened(str(tmp_path / "clip"))
    one_line(caught)


def test_what_a_layer_does_not_have(image_models):
    for kind in ("resnet", "siglip_vision_model"):
        with pytest.raises(NetworkError, match="has no class token; set pooling: mean or flatten"):
            opened(image_models(kind), pooling="class")
    with pytest.raises(NetworkError, match=r"no layer 'layers\.7': did you mean 'layers\."):
        opened(image_models("vit"), layers=("layers.7",))


def test_weights_of_another_network(image_models, tmp_path):
    shutil.copytree(image_models("vit"), tmp_path / "vit")
    path = tmp_path / "vit" / "config.json"
    path.write_text(path.read_text().replace('"num_hidden_layers": 3', '"num_hidden_layers": 4'))
    with pytest.raises(NetworkError, match=r"the weights lack \d+ parameters, such as 'layers\.3\."):
        opened(str(tmp_path / "vit"))
    with pytest.raises(NetworkError, match="expected 0000"):
        opened(image_models("vit"), sha256="0000")


def test_items_that_cannot_be_shown(image_models, pictures, tmp_path):
    network = opened(image_models("vit"))
    network.check_items(pictures)
    with pytest.raises(DataError, match="the table is empty"):
        network.check_items(pictures[:0])
    with pytest.raises(DataError, match="modality 'text' cannot be shown"):
        network.check_items(pictures.assign(modality="text"))
    with pytest.raises(DataError, match="no such file"):
        network.check_items(pictures.assign(uri=str(tmp_path / "gone.png")))
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="not an image"):
        network.check_items(pictures.assign(uri=str(tmp_path / "bad.png")))


def test_values_beyond_the_precision_are_refused(image_models, pictures):
    network = opened(image_models("vit"), dtype="float16")
    with torch.no_grad():
        network.model.model.embeddings.position_embeddings *= 1e8
    with pytest.raises(NetworkError, match=r"'embeddings' gives values beyond float16.*set dtype: float32"):
        run(network, pictures)


def test_tokens_are_stored_batch_by_batch(image_models, pictures, tmp_path, monkeypatch):
    """No more is held than a batch answers; images that come twice are shown once."""
    answered = []
    run = ImageNetwork.run

    def counted(self, windows, advance=None):
        answered.append(len(windows))
        return run(self, windows, advance)

    monkeypatch.setattr(ImageNetwork, "run", counted)
    settings = Vision(source=image_models("vit"), tokens=True, batch=3, device="cpu")
    activations.extract(settings, "net", pictures, tmp_path / "net.zarr")
    assert answered == [3, 3, 1]
    answered.clear()
    twice = pd.concat([pictures.iloc[:2], pictures.iloc[:1]], ignore_index=True).assign(item=range(3))
    activations.extract(settings, "net", twice, tmp_path / "twice.zarr")
    assert answered == [2]
    one, other = (open_activations(tmp_path / name) for name in ("net.zarr", "twice.zarr"))
    for layer in range(len(one.layers)):
        tokens, again = one.tokens(layer)[0], other.tokens(layer)[0]
        np.testing.assert_allclose(again[[0, 1, 2]], tokens[[0, 1, 0]], atol=1e-6)
        np.testing.assert_allclose(other.read(layer), one.read(layer)[[0, 1, 0]], atol=1e-6)


def test_report_sentences():
    settings = Vision(source="a/b", pooling="flatten", projection=12)
    assert settings.facts == ("projected at random (Li 2006) to 12 dimensions",)
    said = settings.described("net", 4, "its run")
    assert "Every image was shown to the network net (a/b, pretrained weights)" in said
    assert "4 layers, projected at random (Li 2006) to 12 dimensions, were read" in said


class Stop(Exception):
    """The job is cut short."""


def test_killed_extraction_goes_on_to_the_same_bytes_with_tokens(
    image_models, pictures, tmp_path, monkeypatch
):
    monkeypatch.setattr(activations, "ITEMS_PER_CHUNK", 2)
    settings = Vision(source=image_models("resnet"), tokens=True, device="cpu")
    activations.extract(settings, "net", pictures, tmp_path / "whole" / "net.zarr")
    path = tmp_path / "cut" / "net.zarr"
    whole, written = activations._Partial._array, []

    def array(self, name):
        if name == "layer-002/token":
            if len(written) == 2:
                raise Stop
            written.append(name)
        return whole(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(activations._Partial, "_array", array)
        with pytest.raises(Stop):
            activations.extract(settings, "net", pictures, path)
    assert not path.exists()
    activations.extract(settings, "net", pictures, path)

    def contents(folder):
        return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    assert contents(path) == contents(tmp_path / "whole" / "net.zarr")
    store = open_activations(path)
    network = open_network(settings)
    found = run(network, pictures)
    for layer in range(len(store.layers)):
        tokens, places = store.tokens(layer)
        np.testing.assert_allclose(store.read(layer), found[layer], atol=1e-6)
        np.testing.assert_allclose(tokens, found[len(store.layers) + layer], atol=1e-6)
        np.testing.assert_array_equal(places, network.places[layer])
    assert store.attributes["image_processor"] == "ViTImageProcessorPil"
