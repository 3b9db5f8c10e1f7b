"""Networks that read an image and a prompt: against the library, one image at a time."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from PIL import Image

from neuroalign import activations
from neuroalign.arrays import open_activations
from neuroalign.errors import DataError, NetworkError
from neuroalign.networks.families import layer_names, layer_table, open_network
from neuroalign.networks.language.conversation import alike, joined
from neuroalign.settings.networks import Multimodal
from neuroalign.stimuli.media import read_image

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


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Folder of a tiny saved network, by architecture; each is made once."""
    made = {}

    def get(kind):
        if kind not in made:
            configuration, processor = MAKERS[kind]()
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(7)
                model = transformers.AutoModelForImageTextToText.from_config(configuration)
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
        prepared = [network.processor.prepare(read_image(uri)) for uri in pictures["uri"]]
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

    refused("no processor of images and text", source=image_models("vit"))
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
