"""Networks that read an image, film or sound and a prompt: against the library, one at a time."""

from __future__ import annotations

import json
import shutil
import wave

import av
import numpy as np
import pandas as pd
import pytest
import tokenizers
import torch
import transformers
from PIL import Image

from neuroalign import activations
from neuroalign.artefacts.arrays import open_activations
from neuroalign.errors import DataError, NetworkError
from neuroalign.networks.families import layer_names, layer_table, open_network
from neuroalign.networks.language.conversation import alike, joined, prolonged
from neuroalign.networks.language.shown import prepared
from neuroalign.settings.networks import Multimodal
from neuroalign.stimuli.clips import gather_clips
from neuroalign.stimuli.media import read_image
from neuroalign.stimuli.recorded import file_digest

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
CUT = {"image_size": 32, "patch_size": 8}
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}USER: {% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image>{% else %} {{ c['text'] }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)
WORDS = "USER: Describe the image. How many objects are there? ASSISTANT:"
ASKED = "How many objects are there?"
LANGUAGE = {"llava": "model.language_model", "idefics3": "model.text_model", "gemma3": "model.language_model"}


def tokenizer(*marks, **names):
    core = tokenizers.Tokenizer(tokenizers.models.BPE())
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "</s>", "<pad>", *marks],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator([WORDS], trainer)
    core.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>", **names
    )


def llava():
    words = tokenizer("<image>")
    pixels = transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    processor = transformers.LlavaProcessor(
        pixels,
        words,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )
    configuration = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**SHAPE, **CUT),
        text_config=transformers.LlamaConfig(**SHAPE, num_key_value_heads=1, vocab_size=len(words)),
        image_token_id=words.convert_tokens_to_ids("<image>"),
    )
    return configuration, processor


def idefics3():
    """Cuts large images into as many parts as they need: inputs differ in length."""
    places = [f"<row_{row + 1}_col_{column + 1}>" for row in range(6) for column in range(6)]
    words = tokenizer("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *places)
    pixels = transformers.Idefics3ImageProcessorPil(
        size={"longest_edge": 64}, max_image_size={"longest_edge": 32}, do_image_splitting=True
    )
    processor = transformers.Idefics3Processor(pixels, words, image_seq_len=4)
    configuration = transformers.Idefics3Config(
        vision_config={**SHAPE, **CUT},
        text_config={
            "model_type": "llama", **SHAPE, "num_key_value_heads": 1, "vocab_size": len(words),
            "pad_token_id": 2,
        },
        image_token_id=words.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=2,
    )  # fmt: skip
    return configuration, processor


def gemma3():
    marks = {"image_token": "<img>", "boi_token": "<boi>", "eoi_token": "<eoi>"}
    words = tokenizer(*marks.values(), extra_special_tokens=marks)
    pixels = transformers.Gemma3ImageProcessorPil(size={"height": 32, "width": 32})
    processor = transformers.Gemma3Processor(pixels, words, image_seq_length=4)
    text = {**SHAPE, "num_key_value_heads": 1, "head_dim": 8, "vocab_size": len(words)}
    ids = words.convert_tokens_to_ids
    configuration = transformers.Gemma3Config(
        vision_config={**SHAPE, **CUT, "vision_use_head": False, "model_type": "siglip_vision_model"},
        text_config=text,
        mm_tokens_per_image=4,
        image_token_id=ids("<img>"),
        boi_token_id=ids("<boi>"),
        eoi_token_id=ids("<eoi>"),
    )
    return configuration, processor


MAKERS = {"llava": llava, "idefics3": idefics3, "gemma3": gemma3}

EAR = {"d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}


def heard(**keys):
    """A tower that hears 1 s, the features it takes, and a language model behind it."""
    tower = {**EAR, "num_mel_bins": 20, "max_source_positions": 50}
    return transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=1), tower, {
        **SHAPE, "num_key_value_heads": 1, "model_type": "qwen2", **keys,
    }  # fmt: skip


def qwen2_audio():
    words = tokenizer("<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>", "<|im_start|>", "<|im_end|>")
    extractor, tower, text = heard(vocab_size=len(words))
    configuration = transformers.Qwen2AudioConfig(
        audio_config={"model_type": "qwen2_audio_encoder", **tower},
        text_config=text,
        audio_token_index=words.convert_tokens_to_ids("<|AUDIO|>"),
    )
    return configuration, transformers.Qwen2AudioProcessor(extractor, words)


def audioflamingo3():
    """Cuts what is longer than it hears at once into parts of 1 s."""
    words = tokenizer("<sound>")
    extractor, tower, text = heard(vocab_size=len(words))
    configuration = transformers.AudioFlamingo3Config(
        audio_config={"model_type": "audioflamingo3_encoder", **tower},
        text_config=text,
        audio_token_id=words.convert_tokens_to_ids("<sound>"),
    )
    template = TEMPLATE.replace("'image'", "'audio'").replace("<image>", "<sound>")
    return configuration, transformers.AudioFlamingo3Processor(
        extractor, words, chat_template=template, max_audio_len=2
    )


HEARING = {"qwen2_audio": qwen2_audio, "audioflamingo3": audioflamingo3}
AUTO = {"audioflamingo3": transformers.AutoModelForSeq2SeqLM}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Folder of a tiny saved network, by architecture; each is made once."""
    made = {}

    def get(kind):
        if kind not in made:
            configuration, processor = {**MAKERS, **HEARING}[kind]()
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(7)
                auto = AUTO.get(kind, transformers.AutoModelForMultimodalLM)
                model = auto.from_config(configuration)
                for values in model.parameters():
                    values.data += 0.2 * torch.randn_like(values)
            folder = tmp_path_factory.mktemp(kind)
            model.save_pretrained(folder)
            processor.save_pretrained(folder)
            made[kind] = str(folder)
        return made[kind]

    return get


def opened(source, **keys):
    return open_network(Multimodal(**{"source": source, "device": "cpu", "prompt": ASKED, **keys}))


def by_hand(source, uri, text):
    """The library's model and its inputs for one image."""
    processor = transformers.AutoProcessor.from_pretrained(source)
    model = transformers.AutoModelForImageTextToText.from_pretrained(source, dtype=torch.float32).eval()
    image = Image.open(uri).convert("RGB")
    begun = text.startswith("<s>")
    return model, processor(images=[image], text=[text], return_tensors="pt", add_special_tokens=not begun)


def shown(kind):
    mark = {"llava": "<s>USER: <image> ", "idefics3": "<image>", "gemma3": "<boi>"}[kind]
    return f"{mark}{ASKED}" + (" ASSISTANT:" if kind == "llava" else "")


@pytest.mark.parametrize("kind", MAKERS)
def test_equals_the_librarys_hidden_states_at_the_last_token(sources, pictures, kind):
    network = opened(sources(kind), batch=3)
    assert network.provenance["shown"] == shown(kind)
    network.check_items(pictures)
    found = network.run(network.windows(pictures))
    assert len(found) == len(network.layers) == 4
    for row, uri in enumerate(pictures["uri"]):
        model, inputs = by_hand(sources(kind), uri, shown(kind))
        assert (inputs["input_ids"] == 0).sum() == 1  # begun once
        with torch.inference_mode():
            states = model(**inputs, output_hidden_states=True).hidden_states
        for layer, state in zip(found, states, strict=True):
            np.testing.assert_allclose(layer[row], state[0, -1].numpy(), atol=2e-6, rtol=1e-5)
    # One by one nothing differs from the library at all.
    alone = opened(sources(kind), batch=1)
    for layer, state in zip(alone.run(alone.windows(pictures, [6])), states, strict=True):
        np.testing.assert_array_equal(layer[0], state[0, -1].numpy())


@pytest.mark.parametrize("kind", MAKERS)
def test_equals_the_mean_over_what_the_library_says(sources, pictures, kind):
    network = opened(sources(kind), at="generated", new_tokens=4, batch=4)
    found, compared = network.run(network.windows(pictures)), 0
    for row, uri in enumerate(pictures["uri"]):
        model, inputs = by_hand(sources(kind), uri, shown(kind))
        length = inputs["input_ids"].shape[1]
        with torch.inference_mode():
            # The last token is fed too, which generate leaves out: one more is asked for.
            made = model.generate(
                **inputs, do_sample=False, max_new_tokens=5, output_hidden_states=True,
                return_dict_in_generate=True,
            )  # fmt: skip
        said = made.sequences[0, length:]
        ends = (said == 1).nonzero()
        count = min(4, int(ends[0]) + 1 if len(ends) else 4)
        steps = made.hidden_states[1 : count + 1]
        if len(steps) < count:  # it ended: the sign of the end is not fed by the library
            continue
        compared += 1
        for layer, states in zip(found, zip(*steps, strict=True), strict=True):
            truth = torch.stack([state[0, -1] for state in states]).mean(0)
            np.testing.assert_allclose(layer[row], truth.numpy(), atol=1e-5, rtol=1e-4)
    assert compared >= 5


def test_inputs_of_different_length_are_not_joined(sources, pictures):
    for kind, expected in (("llava", 1), ("idefics3", 3)):
        network = opened(sources(kind))
        prepared = [network.processor.see([read_image(uri)]) for uri in pictures["uri"]]
        lengths = [inputs["input_ids"].shape[1] for inputs in prepared]
        groups = alike(prepared)
        assert len(groups) == len(set(lengths)) == expected
        for group in groups:
            assert joined([prepared[index] for index in group])["attention_mask"].all()


def test_what_follows_the_end_is_not_read(sources, pictures):
    from neuroalign.networks.language.multimodal import _until_the_end

    said = torch.tensor([[5, 1, 2, 2], [5, 6, 7, 8], [1, 2, 2, 2], [5, 3, 1, 2]])
    expected = [[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]]
    assert _until_the_end(said, [1, 3]).tolist() == expected
    assert _until_the_end(said, None).min() == 1
    network = opened(sources("llava"), at="generated", new_tokens=3, batch=2)
    network.model.generation_config.eos_token_id = list(range(300))
    first = opened(sources("llava"), at="generated", new_tokens=1, batch=2)
    windows = network.windows(pictures)
    for one, other in zip(network.run(windows), first.run(windows), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("at", ["last", "generated"])
def test_activations_do_not_depend_on_the_batch(sources, pictures, kind, at):
    small, large = (opened(sources(kind), batch=batch, at=at, new_tokens=3) for batch in (1, 7))
    counts = []
    for network in (small, large):
        windows = network.windows(pictures)
        counts.append([])
        found = network.run(windows, counts[-1].append)
        if network is small:
            truth = found
    assert counts == [[1] * 7, [7]]
    for one, many in zip(truth, found, strict=True):
        np.testing.assert_allclose(one, many, atol=2e-6)
    np.testing.assert_array_equal(truth[2][1], truth[2][6])  # the same image
    assert not np.allclose(truth[0][0], truth[2][0])


def test_layers_are_known_without_weights(sources):
    for kind, prefix in LANGUAGE.items():
        settings = Multimodal(source=sources(kind), device="cpu")
        network = opened(sources(kind))
        names = [f"{prefix}.embed_tokens", *(f"{prefix}.layers.{index}" for index in range(3))]
        assert layer_names(settings) == list(network.layers) == names
        assert [layer.units for layer in layer_table(settings)] == list(network.units) == [16] * 4
        model = transformers.AutoModelForImageTextToText.from_pretrained(sources(kind))
        assert {name for name, _ in model.named_modules()}.issuperset(names)
        assert network.provenance["last_layer"] == "after the final norm"


def test_inside_the_blocks(sources, pictures):
    layers = ("model.language_model.layers.1.mlp.down_proj", "model.language_model.layers.1")
    network = opened(sources("llava"), layers=layers, taps=("residual", "mlp"))
    found = network.run(network.windows(pictures, [0]))
    model, inputs = by_hand(sources("llava"), pictures["uri"][0], shown("llava"))
    heard = []
    model.get_submodule(layers[0]).register_forward_hook(lambda *args: heard.append(args[2]))
    with torch.inference_mode():
        states = model(**inputs, output_hidden_states=True).hidden_states
    np.testing.assert_allclose(found[0][0], heard[0][0, -1].numpy(), atol=1e-6)
    np.testing.assert_allclose(found[1][0], states[2][0, -1].numpy(), atol=1e-6)


def test_two_prompts_on_an_image_are_two_inputs(sources, pictures):
    one, other = (opened(sources("llava"), prompt=prompt) for prompt in (ASKED, "Describe the image."))
    seen = [[window.digest for window in network.windows(pictures)] for network in (one, other)]
    assert not set(seen[0]) & set(seen[1])
    assert seen[0][1] == seen[0][6]  # the same image
    assert len(set(seen[0])) == 6
    found = [network.run(network.windows(pictures)) for network in (one, other)]
    assert not np.allclose(found[0][2], found[1][2], atol=1e-3)
    silent = opened(sources("llava"), prompt="")
    assert silent.provenance["shown"] == "<s>USER: <image> ASSISTANT:"


def test_store_and_twin(sources, pictures, tmp_path):
    settings = Multimodal(source=sources("llava"), device="cpu", prompts={"count": ASKED, "say": "Say:"})
    (name, condition), *_ = settings.conditions("net").items()
    activations.extract(condition, name, pictures, tmp_path / "net.zarr")
    store = open_activations(tmp_path / "net.zarr")
    assert (store.attributes["network"], store.attributes["prompt"]) == ("netCount", ASKED)
    network = open_network(condition)
    found = network.run(network.windows(pictures))
    np.testing.assert_allclose(store.read(2), found[2], atol=1e-6)
    twin = open_network(condition.twin(), 3)
    assert not np.allclose(twin.run(twin.windows(pictures))[2], found[2], atol=1e-3)


def test_networks_that_do_not_fit_are_refused_in_one_line(sources, image_models, tmp_path):
    def refused(match, **keys):
        with pytest.raises(NetworkError, match=match) as caught:
            layer_table(Multimodal(**keys))
        assert "\n" not in str(caught.value)

    refused("no processor of images or sound and text", source=image_models("vit"))
    shutil.copytree(sources("llava"), tmp_path / "bare")
    for name in ("processor_config.json", "chat_template.jinja"):
        (tmp_path / "bare" / name).unlink()
    refused("cannot read it.*image processor", source=str(tmp_path / "bare"))
    refused("cannot read it", source=sources("llava"), prompt="look at <image>")
    refused("no layer 'x'", source=sources("llava"), layers=("x",))


def test_words_are_refused(sources, pictures):
    with pytest.raises(DataError, match="modality 'text' cannot be shown"):
        opened(sources("llava")).check_items(pictures.assign(modality="text"))


def test_report_sentences():
    settings = Multimodal(source="a/b", prompt="Count.", at="generated", new_tokens=5)
    assert settings.facts == ("prompt “Count.”", "averaged over up to 5 tokens said")
    said = settings.described("net", 4, "its run")
    assert "shown to the network net (a/b, pretrained weights) with the prompt “Count.”" in said


@pytest.mark.skipif(transformers.utils.is_torchvision_available(), reason="torchvision is installed")
@pytest.mark.parametrize(
    ("configuration", "processor", "pixels"),
    [
        (transformers.Qwen2VLConfig, "Qwen2VLProcessor", "Qwen2VLImageProcessor"),
        (transformers.SmolVLMConfig, "SmolVLMProcessor", "SmolVLMImageProcessor"),
    ],
)
def test_processors_of_film_name_the_package_that_is_missing(tmp_path, configuration, processor, pixels):
    configuration().save_pretrained(tmp_path)
    tokenizer("<image>").save_pretrained(tmp_path)
    named = {"image_processor_type": pixels, "processor_class": processor}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(named))
    with pytest.raises(NetworkError, match="needs the package torchvision, which is not installed") as caught:
        layer_names(Multimodal(source=str(tmp_path)))
    assert "\n" not in str(caught.value)


def cut(uris, step, modality):
    shown = pd.DataFrame({"uri": [str(uri) for uri in uris], "onset": 0.0, "duration": np.nan})
    place = {"subject": "01", "session": "", "task": "watch", "run": "run-1"}
    return gather_clips([shown.assign(**place)], modality, step, file_digest)[0]


def run(network, items):
    network.check_items(items)
    return network.run(network.windows(items))


def drawn(seed, count):
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((48, 40))) for one in coarse])


@pytest.fixture(scope="module")
def write_film(write_video):
    """Writes pictures at 10 Hz as a film that gives every picture back as it gives it elsewhere."""
    return lambda path, pictures, **keys: write_video(path, pictures, codec="ffv1", **keys)


@pytest.fixture(scope="module")
def films(tmp_path_factory, write_film):
    """Steps of 0.8 s of two films of 2.0 s and 1.6 s: five, one of them of 0.4 s."""
    folder = tmp_path_factory.mktemp("films")
    uris = [write_film(folder / f"{seed}.mkv", drawn(seed, count)) for seed, count in ((1, 20), (2, 16))]
    return cut(uris, 0.8, "video")


def film_by_hand(source, item, text, frames):
    """The library's model and its inputs for some frames of a step, read without a seek."""
    with av.open(item["uri"]) as film:
        every = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    each = (item["stop_s"] - item["start_s"]) / frames
    numbers = [int(10 * (item["start_s"] + (k + 0.5) * each) + 1e-6) for k in range(frames)]
    processor = transformers.AutoProcessor.from_pretrained(source)
    model = transformers.AutoModelForImageTextToText.from_pretrained(source, dtype=torch.float32).eval()
    images = [[Image.fromarray(every[number]) for number in numbers]]
    begun = text.startswith("<s>")
    return model, processor(images=images, text=[text], return_tensors="pt", add_special_tokens=not begun)


def film_text(kind, frames):
    if kind == "llava":
        return f"<s>USER: {'<image>' * frames} {ASKED} ASSISTANT:"
    return {"idefics3": "<image>", "gemma3": "<boi>"}[kind] * frames + ASKED


def compare(network, items, by_hand_of, at):
    """Against the library's states, one by one: at the last token, or over those that it says."""
    found, compared = run(network, items), 0
    for row, item in enumerate(items.to_dict("records")):
        model, inputs = by_hand_of(item)
        length = inputs["input_ids"].shape[1]
        with torch.inference_mode():
            if at == "last":
                states = model(**inputs, output_hidden_states=True).hidden_states
                truth = [state[0, -1] for state in states]
            else:
                made = model.generate(
                    **inputs, do_sample=False, max_new_tokens=4, output_hidden_states=True,
                    return_dict_in_generate=True,
                )  # fmt: skip
                if 1 in made.sequences[0, length:]:  # it ended
                    continue
                steps = made.hidden_states[1:4]
                truth = [torch.stack([s[0, -1] for s in of]).mean(0) for of in zip(*steps, strict=True)]
        compared += 1
        for layer, state in zip(found, truth, strict=True):
            if at == "last":
                np.testing.assert_array_equal(layer[row], state.numpy())
            else:
                np.testing.assert_allclose(layer[row], state.numpy(), atol=1e-5, rtol=1e-4)
    assert compared >= len(items) - 2


@pytest.mark.parametrize("at", ["last", "generated"])
@pytest.mark.parametrize("kind", MAKERS)
def test_a_film_is_as_many_images_of_one_conversation(sources, films, kind, at):
    network = opened(sources(kind), frames=3, batch=1, at=at, new_tokens=3)
    text = film_text(kind, 3)
    compare(network, films, lambda item: film_by_hand(sources(kind), item, text, 3), at)
    assert (network.provenance["shown"], network.provenance["frames"]) == (text, 3)


@pytest.mark.parametrize("kind", MAKERS)
def test_the_order_of_frames_matters_and_what_follows_does_not(sources, write_film, tmp_path, kind):
    pictures = drawn(3, 8)
    there = write_film(tmp_path / "there.mkv", pictures)
    back = write_film(tmp_path / "back.mkv", np.concatenate([pictures[3::-1], pictures[4:]]))
    other = write_film(tmp_path / "other.mkv", np.concatenate([pictures[:4], 255 - pictures[4:]]))
    network = opened(sources(kind), batch=1)
    there, back, other = (run(network, cut([uri], 0.4, "video")) for uri in (there, back, other))
    np.testing.assert_array_equal(there[0], back[0])  # the prompt alone
    for layer in (1, 2, 3):
        assert np.abs(there[layer][0] - back[layer][0]).max() > 1e-4
        np.testing.assert_array_equal(there[layer][0], other[layer][0])
        assert np.abs(there[layer][1] - other[layer][1]).max() > 1e-4


def noise(seed, seconds):
    rng = np.random.default_rng(seed)
    count = int(16000 * seconds)
    loud = np.interp(np.arange(count), np.linspace(0, count, 12), rng.uniform(0.05, 0.5, 12))
    return np.round(rng.uniform(-1, 1, count) * loud * 32767) / 32767


@pytest.fixture(scope="module")
def stories(tmp_path_factory, write_wav):
    """Steps of 0.4 s of two stories of 1.3 s and 0.8 s: six, one of them of 0.1 s."""
    folder = tmp_path_factory.mktemp("stories")
    uris = [write_wav(folder / f"{seed}.wav", noise(seed, long)) for seed, long in ((1, 1.3), (2, 0.8))]
    return cut(uris, 0.4, "audio")


def spoken(kind, prompt=ASKED):
    if kind == "audioflamingo3":
        return f"<s>USER: <sound> {prompt} ASSISTANT:"
    return (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        f"Audio 1: <|audio_bos|><|AUDIO|><|audio_eos|>\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
    )


def sound_by_hand(source, item, text):
    """The library's model and its inputs for a step of a story."""
    kind = "audioflamingo3" if "audioflamingo3" in source else "qwen2_audio"
    name = {"audioflamingo3": "AudioFlamingo3", "qwen2_audio": "Qwen2Audio"}[kind]
    processor = transformers.AutoProcessor.from_pretrained(source)
    model = getattr(transformers, f"{name}ForConditionalGeneration").from_pretrained(source).eval()
    with wave.open(item["uri"]) as file:
        every = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    step = every[round(16000 * item["start_s"]) : round(16000 * item["stop_s"])]
    begun = text.startswith("<s>")
    return model, processor(
        audio=[step], text=[text], sampling_rate=16000, return_tensors="pt", add_special_tokens=not begun
    )


@pytest.mark.parametrize("at", ["last", "generated"])
@pytest.mark.parametrize("kind", HEARING)
def test_sound_equals_the_library(sources, stories, kind, at):
    network = opened(sources(kind), batch=1, at=at, new_tokens=3)
    compare(network, stories, lambda item: sound_by_hand(sources(kind), item, spoken(kind)), at)
    assert network.provenance["shown"] == spoken(kind)
    assert network.provenance["sampling_rate_hz"] == 16000
    prefix = "model.language_model"
    names = [f"{prefix}.embed_tokens", *(f"{prefix}.layers.{index}" for index in range(3))]
    assert layer_names(network.settings) == list(network.layers) == names
    assert network.units == (16,) * 4


@pytest.mark.parametrize("kind", HEARING)
def test_padding_of_sound_does_not_enter(sources, stories, kind):
    network = opened(sources(kind))
    inputs = network.processor.hear(noise(4, 0.5).astype(np.float32))
    changed = {**inputs, "input_features": inputs["input_features"].clone()}
    changed["input_features"][..., 50 + 3 :] = 5.0  # the convolutions reach two frames beyond
    within = {**inputs, "input_features": inputs["input_features"].clone()}
    within["input_features"][..., 40:50] = 5.0
    found = [[np.empty((1, 16), np.float32) for _ in range(4)] for _ in range(3)]
    for one, answer in zip((inputs, changed, within), found, strict=True):
        network._run_group(one, [0], answer)
    for plain, padded, other in list(zip(*found, strict=True))[1:]:
        np.testing.assert_array_equal(plain, padded)
        assert np.abs(plain - other).max() > 1e-4


@pytest.mark.parametrize("kind", HEARING)
def test_sound_after_a_step_changes_nothing_in_it(sources, write_wav, tmp_path, kind):
    one, two = noise(5, 1.0), noise(6, 1.0)
    two[:8820] = one[:8820]
    # At another rate than the network's: nothing comes in by resampling either.
    uris = [write_wav(tmp_path / f"{n}.wav", w, 22050) for n, w in enumerate((one, two))]
    network = opened(sources(kind), batch=1)
    found = [run(network, cut([uri], 0.4, "audio")) for uri in uris]
    for first, second in list(zip(*found, strict=True))[1:]:
        np.testing.assert_array_equal(first[0], second[0])
        assert np.abs(first[1] - second[1]).max() > 1e-4


@pytest.mark.parametrize("at", ["last", "generated"])
@pytest.mark.parametrize("kind", [*MAKERS, *HEARING])
def test_batches_of_films_and_sounds_equal_one_by_one(sources, films, stories, kind, at):
    items = stories if kind in HEARING else films
    items = items.sample(frac=1, random_state=1)
    one, many = (opened(sources(kind), batch=batch, at=at, new_tokens=3, frames=2) for batch in (1, 4))
    for alone, together in zip(run(one, items), run(many, items), strict=True):
        np.testing.assert_allclose(alone, together, atol=3e-6)
    assert np.ptp(run(one, items)[2], axis=0).max() > 1e-3


@pytest.mark.parametrize("kind", ["gemma3", *HEARING])
def test_prompts_on_films_and_sounds(sources, films, stories, kind):
    items = stories if kind in HEARING else films
    networks = [opened(sources(kind), prompt=prompt) for prompt in (ASKED, "Describe the image.")]
    seen = [{window.digest for window in network.windows(items)} for network in networks]
    assert not seen[0] & seen[1]
    assert len(seen[0]) == len(items)
    one, other = (run(network, items) for network in networks)
    assert not np.allclose(one[2], other[2], atol=1e-3)


def test_long_sounds_in_parts(sources, write_wav, tmp_path):
    items = cut([write_wav(tmp_path / "long.wav", noise(7, 1.5))], None, "audio")
    kind = "audioflamingo3"
    compare(opened(sources(kind)), items, lambda i: sound_by_hand(sources(kind), i, spoken(kind)), "last")


def test_the_rest_of_a_sound_is_heard_with_what_is_before_it(sources, write_wav, tmp_path):
    items = cut([write_wav(tmp_path / "rest.wav", noise(8, 0.41))], 0.4, "audio")
    network = opened(sources("qwen2_audio"))
    network.check_items(items)
    window = network.windows(items)[1]
    assert (window.start_s, window.stop_s) == (pytest.approx(0.33), 0.41)
    assert np.isfinite(run(network, items)[1]).all()


def test_a_network_that_hears_hears_a_film(sources, write_film, tmp_path):
    sound = noise(9, 0.8)
    film = cut([write_film(tmp_path / "film.mkv", drawn(1, 8), sound=sound)], 0.4, "video")
    network = opened(sources("qwen2_audio"))
    windows = network.windows(film)
    network.check_items(film)
    inputs = network.processor.hear((np.round(sound[:6400] * 32767) / 32768).astype(np.float32))
    found = [np.empty((1, 16), np.float32) for _ in range(4)]
    network._run_group(inputs, [0], found)
    for film_heard, truth in zip(network.run(windows[:1]), found, strict=True):
        np.testing.assert_array_equal(film_heard, truth)


def test_what_a_network_does_not_read_is_refused_in_one_line(
    sources, pictures, films, stories, write_wav, tmp_path
):
    def refused(match, kind, items):
        with pytest.raises(DataError, match=match) as caught:
            opened(sources(kind)).check_items(items)
        assert "\n" not in str(caught.value)

    refused(
        "modality 'audio' cannot be shown.*reads images or film with.*'image' or 'video'", "llava", stories
    )
    refused("modality 'image' cannot be shown.*reads sound with a prompt; expected", "qwen2_audio", pictures)
    refused("no audio", "qwen2_audio", films)
    refused("expected one", "llava", pd.concat([pictures, films]))
    long = cut([write_wav(tmp_path / "long.wav", noise(1, 1.2))], None, "audio")
    refused("a step of 1.2 s, but the network takes 1 s of sound at most", "qwen2_audio", long)
    short = cut([write_wav(tmp_path / "short.wav", noise(1, 0.02))], None, "audio")
    refused("ends after 20 ms of sound, but the network needs 80 ms", "audioflamingo3", short)


def test_processors_of_sound_that_are_not_known_are_refused(tmp_path):
    """Where nothing tells a network what is padded, padding would enter."""
    words, (extractor, _, _) = tokenizer("<|pad|>"), heard()
    transformers.GlmAsrProcessor(extractor, words).save_pretrained(tmp_path)
    transformers.GlmAsrConfig().save_pretrained(tmp_path)
    with pytest.raises(NetworkError, match="GlmAsrProcessor prepares sound in a way that is not read"):
        layer_names(Multimodal(source=str(tmp_path)))


def test_masks_of_sound_are_not_prolonged():
    inputs = {name: torch.ones(1, 5, dtype=int) for name in ("input_ids", "feature_attention_mask")}
    longer = prolonged(inputs, torch.ones(1, 2, dtype=int))
    assert [values.shape[1] for values in longer.values()] == [7, 5]


@pytest.mark.parametrize("kind", [*MAKERS, *HEARING])
def test_marks_of_what_is_shown_cannot_be_said(sources, pictures, stories, kind):
    items = stories if kind in HEARING else pictures
    network = opened(sources(kind), at="generated", new_tokens=3)
    (mark,) = network.processor.marks
    marks = network.model.config.audio_token_id if kind in HEARING else network.model.config.image_token_id
    assert mark == marks
    vocabulary = network.model.get_output_embeddings().out_features
    network.model.generation_config.suppress_tokens = [n for n in range(vocabulary) if n not in (mark, 40)]
    inputs = prepared(network.windows(items)[0], network.processor)
    with torch.inference_mode():
        longer, _ = network._readout(inputs)
    assert longer["input_ids"][0, -3:].tolist() == [40] * 3
    assert np.isfinite(run(network, items)[3]).all()


@pytest.mark.parametrize("kind", MAKERS)
def test_conversations_of_one_image_are_refused_for_film(sources, films, tmp_path, kind):
    shutil.copytree(sources(kind), tmp_path / "one")
    mark = {"gemma3": "<boi>"}.get(kind, "<image>")
    template = f"{{{{ '{mark}' }}}}{{{{ messages[0]['content'][-1]['text'] }}}}"
    (tmp_path / "one" / "chat_template.jinja").write_text(template)
    with pytest.raises(NetworkError, match=r"does not take 4 images in one.*set frames: 1") as caught:
        opened(str(tmp_path / "one")).check_items(films)
    assert "\n" not in str(caught.value)
    network = opened(str(tmp_path / "one"), frames=1)
    assert np.isfinite(run(network, films)[3]).all()


@pytest.mark.parametrize("kind", ["llava", *HEARING])
def test_store_of_steps(sources, films, stories, tmp_path, kind):
    items = stories if kind in HEARING else films
    settings = Multimodal(source=sources(kind), device="cpu", prompt=ASKED, frames=2)
    activations.extract(settings, "net", items, tmp_path / "net.zarr")
    store = open_activations(tmp_path / "net.zarr")
    shown = spoken(kind) if kind in HEARING else film_text(kind, 2)
    assert (store.attributes["shown"], store.attributes["prompt"]) == (shown, ASKED)
    found = run(open_network(settings), items)
    np.testing.assert_allclose(store.read(2), found[2], atol=3e-6)


@pytest.mark.parametrize(("kind", "mark"), [("qwen2_audio", "<|AUDIO|>"), ("audioflamingo3", "<sound>")])
def test_marks_of_sound_in_a_prompt_are_refused(sources, kind, mark):
    with pytest.raises(NetworkError, match="cannot read it") as caught:
        layer_names(Multimodal(source=sources(kind), prompt=f"hear {mark}"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("at", ["last", "generated"])
@pytest.mark.parametrize("kind", HEARING)
def test_the_briefest_sounds(sources, write_wav, tmp_path, kind, at):
    items = cut([write_wav(tmp_path / "brief.wav", noise(10, 0.48))], 0.08, "audio")
    one, many = (opened(sources(kind), batch=batch, at=at, new_tokens=3) for batch in (1, 6))
    compare(one, items, lambda item: sound_by_hand(sources(kind), item, spoken(kind)), at)
    for alone, together in zip(run(one, items), run(many, items), strict=True):
        np.testing.assert_allclose(alone, together, atol=3e-6)
    assert np.ptp(run(one, items)[2], axis=0).max() > 1e-3
