"""Video networks and images networks that are shown film: against one clip or one frame at a time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from PIL import Image

from neuroalign import activations
from neuroalign.artefacts.arrays import open_activations
from neuroalign.errors import DataError, NetworkError
from neuroalign.networks.families import layer_table, open_network
from neuroalign.networks.vision.films import moments
from neuroalign.settings.media import Video
from neuroalign.settings.networks import Vision
from neuroalign.stimuli.clips import gather_clips
from neuroalign.stimuli.recorded import file_digest
from neuroalign.stimuli.video import read_frames

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
CUT = {"image_size": 32, "patch_size": 8, "num_frames": 4}
KINDS = {
    "videomae": lambda: transformers.VideoMAEConfig(
        **SHAPE,
        **CUT,
        tubelet_size=2,
        decoder_hidden_size=8,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=8,
    ),
    "timesformer": lambda: transformers.TimesformerConfig(**SHAPE, **CUT),
}
SPECIAL = {"videomae": 0, "timesformer": 1}


@pytest.fixture(scope="module")
def video_models(tmp_path_factory):
    """Folder of a tiny saved video model, by architecture; each is made once."""
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
            transformers.VideoMAEImageProcessorPil(
                size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
            ).save_pretrained(folder)
            made[kind] = str(folder)
        return made[kind]

    return get


def cut(uris, step=0.5):
    shown = pd.DataFrame({"uri": [str(uri) for uri in uris], "onset": 0.0, "duration": np.nan})
    place = {"subject": "01", "session": "", "task": "see", "run": "run-1"}
    return gather_clips([shown.assign(**place)], "video", step, file_digest)[0]


def drawn(seed, count):
    """Pictures that drift and change."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 5, 6, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((48, 40))) for one in coarse])


@pytest.fixture(scope="module")
def films(tmp_path_factory, write_video):
    """Steps of two films of 2.3 s and 1.2 s."""
    folder = tmp_path_factory.mktemp("films")
    return cut(
        [write_video(folder / f"{seed}.mp4", drawn(seed, count)) for seed, count in ((1, 23), (2, 12))]
    )


def opened(source, **settings):
    return open_network(Video(source=source, device="cpu", **settings))


def run(network, items):
    return network.run(network.windows(items))


def plainly(source, items, special, context=0.0):
    """Second implementation: one clip at a time, patches averaged by hand."""
    model = transformers.AutoModel.from_pretrained(source).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(source, backend="pil")
    found = []
    for _, item in items.iterrows():
        start = max(0.0, min(item["start_s"], item["stop_s"] - context))
        times = [start + (index + 0.5) / 4 * (item["stop_s"] - start) for index in range(4)]
        clip = [Image.fromarray(picture) for picture in read_frames(item["uri"], times)]
        with torch.no_grad():
            pixels = processor([clip], return_tensors="pt")["pixel_values"]
            states = model(pixels, output_hidden_states=True).hidden_states
        found.append([state[0, special:].mean(dim=0).numpy() for state in states])
    return [np.stack(layer) for layer in zip(*found, strict=True)]


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("context", [0.0, 1.5])
def test_agrees_with_one_clip_at_a_time(video_models, films, kind, context):
    network = opened(video_models(kind), batch=3, context_s=context)
    expected = plainly(video_models(kind), films, SPECIAL[kind], context)
    found = run(network, films)
    assert len(found) == len(expected) == len(network.layers) == 4
    for layer, truth in zip(found, expected, strict=True):
        np.testing.assert_allclose(layer, truth, atol=2e-5, rtol=1e-5)
        assert layer.std(axis=0).max() > 1e-3
    network.check_items(films)


def test_the_order_of_items_does_not_matter(video_models, films):
    network = opened(video_models("videomae"), batch=2)
    shuffled = films.sample(frac=1, random_state=0)
    for one, other in zip(run(network, films), run(network, shuffled), strict=True):
        np.testing.assert_allclose(one[shuffled["item"]], other, atol=2e-5)


def test_what_follows_a_step_changes_nothing_in_it(video_models, write_video, tmp_path):
    pictures = drawn(1, 20)
    other = pictures.copy()
    other[10:] = drawn(3, 10)
    # Every picture is coded by itself: a codec that looks ahead would leak by itself.
    uris = [
        write_video(tmp_path / name, film, codec="mjpeg")
        for name, film in (("a.avi", pictures), ("b.avi", other))
    ]
    found = run(opened(video_models("videomae"), batch=1, context_s=0.8), cut(uris))
    for layer in found:
        np.testing.assert_array_equal(layer[:2], layer[4:6])
        assert (np.abs(layer[2:4] - layer[6:]).max(axis=1) > 1e-4).all()


def test_layers_are_named_by_module_path(video_models):
    table = layer_table(Video(source=video_models("videomae")))
    assert [layer.name for layer in table] == ["embeddings", *(f"encoder.layer.{k}" for k in range(3))]
    assert [layer.units for layer in table] == [16] * 4
    heads = layer_table(Video(source=video_models("videomae"), taps=("heads",)))
    assert len(heads) == 6
    assert {layer.units for layer in heads} == {8}


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("batch", [2, 32])
def test_image_networks_see_frames_one_by_one(image_models, films, frames, batch):
    source = image_models("vit")
    network = open_network(Vision(source=source, frames=frames, batch=batch, tokens=True, device="cpu"))
    network.check_items(films)
    found = run(network, films)
    model = transformers.AutoModel.from_pretrained(source).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(source, backend="pil")
    truth = []
    for _, item in films.iterrows():
        length = item["stop_s"] - item["start_s"]
        times = [item["start_s"] + (index + 0.5) / frames * length for index in range(frames)]
        shown = [Image.fromarray(picture) for picture in read_frames(item["uri"], times)]
        with torch.no_grad():
            states = model(**processor(shown, return_tensors="pt"), output_hidden_states=True).hidden_states
        truth.append([state[:, 1:].mean(dim=0).numpy() for state in states])
    for layer in range(4):
        tokens = np.stack([step[layer] for step in truth])
        np.testing.assert_allclose(found[4 + layer], tokens, atol=2e-5)
        np.testing.assert_allclose(found[layer], tokens.mean(axis=1), atol=2e-5)


def test_moments_lie_within_the_step_and_the_film():
    assert moments(-1.0, 1.0, 2) == (0.25, 0.75)
    times = moments(2.0, 3.0, 16)
    assert min(times) > 2.0
    assert max(times) < 3.0


def complaint(kind, call):
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_video(video_models, image_models, films, write_wav, tmp_path):
    network = opened(video_models("videomae"))
    assert "modality 'image' cannot be shown to a video network" in complaint(
        DataError, lambda: network.check_items(films.assign(modality="image"))
    )
    assert "the table is empty" in complaint(DataError, lambda: network.check_items(films[:0]))
    sound = write_wav(tmp_path / "a.wav", np.zeros(8000))
    assert "no video stream" in complaint(DataError, lambda: network.check_items(films.assign(uri=sound)))
    assert "is not shown clips of frames but single images; write family: vision" in complaint(
        NetworkError, lambda: opened(image_models("vit"))
    )
    assert "no patches with a place" in complaint(
        NetworkError, lambda: opened(video_models("videomae"), tokens=True)
    )
    said = complaint(NetworkError, lambda: open_network(Vision(source=video_models("videomae"))))
    assert "VideoMAEModel cannot be shown" in said


def test_an_extraction_of_steps(video_models, films, tmp_path):
    settings = Video(source=video_models("videomae"), dtype="float16", device="cpu")
    activations.extract(settings, "net", films, tmp_path / "net.zarr")
    store = open_activations(tmp_path / "net.zarr")
    assert store.attributes["frames"] == 4
    assert len(set(store.inputs.tolist())) == len(films)
    np.testing.assert_allclose(store.read(3), run(open_network(settings), films)[3], atol=2e-3)


def test_report_sentences():
    settings = Video(source="a/b", context_s=2)
    assert settings.facts == ("averaged over patches", "context 2 s")
    said = settings.described("net", 4, "its run")
    assert "frames spread evenly over the last 2 s up to its end were shown to the network net (a/b" in said
