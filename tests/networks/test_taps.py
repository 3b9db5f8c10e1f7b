"""Taps: hidden states, sub-layers and heads, held against each other and against the library."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tokenizers
import torch
import transformers

from neuroalign import cli
from neuroalign.errors import NetworkError
from neuroalign.networks.families import layer_table, open_network
from neuroalign.networks.tapping.taps import Tap, first_tensor, read
from neuroalign.settings.networks import Text, Vision
from neuroalign.stimuli.media import read_image

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 24}
GROUPED = {**SHAPE, "num_key_value_heads": 2}
ALL = ("residual", "attention", "mlp", "heads")
WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "one", "more", "bird"]

TEXTS = {
    "bert": SHAPE,
    "gpt2": {"n_embd": 16, "n_layer": 3, "n_head": 4, "n_inner": 24, "bos_token_id": 0, "eos_token_id": 0},
    "llama": GROUPED,
    "qwen3": {**GROUPED, "head_dim": 8},  # heads wider together than the residual stream
    "gpt_neox": SHAPE,
    "opt": {
        "hidden_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "ffn_dim": 24,
        "word_embed_proj_dim": 16,
    },
    "t5": {"d_model": 16, "d_kv": 4, "d_ff": 24, "num_layers": 3, "num_heads": 4},
    "distilbert": {"dim": 16, "n_layers": 3, "n_heads": 4, "hidden_dim": 24},
    "modernbert": {**SHAPE, "pad_token_id": 0},
    "bloom": {"hidden_size": 16, "n_layer": 3, "n_head": 4},
    "mpnet": SHAPE,
}
"""Sizes of tiny text networks."""

IMAGES = ("vit", "dinov2", "dinov2_with_registers", "clip", "siglip_vision_model", "beit")

# Every sub-layer adds to the stream what is tapped; parallel ones do so in one step.
ADDITIVE = ("gpt2", "llama", "qwen3", "gpt_neox", "opt", "t5", "bloom", "vit", "clip", "siglip_vision_model")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Folder of a tiny text network with a tokenizer of whole words."""
    made = {}

    def get(kind):
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            vocabulary = {word: index for index, word in enumerate(["[UNK]", "[PAD]", *WORDS])}
            core = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
            core.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
            transformers.PreTrainedTokenizerFast(
                tokenizer_object=core, unk_token="[UNK]", pad_token="[PAD]"
            ).save_pretrained(folder)
            configuration = transformers.AutoConfig.for_model(
                kind, vocab_size=len(vocabulary), **{"pad_token_id": 1, **TEXTS[kind]}
            )
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(4)
                model = transformers.AutoModel.from_config(configuration)
                for values in model.parameters():
                    values.data += 0.1 * torch.randn_like(values)
            model.save_pretrained(folder)
            made[kind] = str(folder)
        return made[kind]

    return get


def words(texts):
    table = pd.DataFrame({"text": texts, "position": range(len(texts))})
    return table.assign(item=table["position"], passage=0, sentence=0, modality="text")


@pytest.fixture
def opened(texts, image_models):
    """Opens a network of either kind with all taps."""

    def open_it(kind, **changes):
        keys = {"taps": ALL, "device": "cpu", **changes}
        if kind in TEXTS:
            return open_network(Text(source=texts(kind), **keys))
        return open_network(Vision(source=image_models(kind), **keys))

    return open_it


def inputs_of(kind):
    generator = torch.Generator().manual_seed(1)
    if kind in TEXTS:
        return torch.randint(2, 12, (3, 7), generator=generator)
    return torch.randn((3, 3, 32, 32), generator=generator)


def answers(network, kind):
    """What each tap reads of made-up inputs, in one pass: name → array (window, token, unit)."""
    shown, found = inputs_of(kind), {}
    names = [network.layers[index] for index in network.kept]

    def receive(place, answer):
        found[names[place]] = answer.clone()

    if kind in TEXTS:
        network.model.read(shown, torch.ones_like(shown), receive)
    else:
        with torch.inference_mode():
            taps = [network.model.taps[index] for index in network.kept]
            read(network.model.model, taps, lambda: network.model.show(shown), receive)
    return found


def states_of(source, kind):
    """Second way: the library's hidden states, called by hand."""
    model = transformers.AutoModel.from_pretrained(source).eval()
    with torch.inference_mode():
        if kind in TEXTS:
            model = model.encoder if kind == "t5" else model
            shown = inputs_of(kind)
            return model(
                input_ids=shown, attention_mask=torch.ones_like(shown), output_hidden_states=True
            ).hidden_states
        model = getattr(model, "vision_model", model)
        return model(pixel_values=inputs_of(kind), output_hidden_states=True).hidden_states


def blocks_of(network):
    """Taps of the residual stream behind each block, each with the attention, MLP and heads inside it."""
    for block in [tap for tap in network.model.taps if tap.state]:
        within = [tap for tap in network.model.taps if tap.path.startswith(f"{block.path}.")]
        heads = [tap for tap in within if tap.side == "input"]
        attention = next(tap for tap in within if tap.side == "output" and tap.path == heads[0].path)
        (mlp,) = [tap for tap in within if tap.side == "output" and tap is not attention]
        yield block, attention, mlp, heads


def source_of(network):
    return network.settings.source


@pytest.mark.parametrize("kind", [*TEXTS, *IMAGES, "resnet", "convnext"])
def test_residual_taps_are_the_librarys_hidden_states_exactly(opened, kind):
    network = opened(kind, taps=ALL if kind in (*TEXTS, *IMAGES) else ("residual",))
    found = answers(network, kind)
    residual = [tap for tap in network.model.taps if tap.state is not None]
    expected = states_of(source_of(network), kind)
    assert len(residual) == len(expected)
    for tap, state in zip(residual, expected, strict=True):
        assert torch.equal(found[tap.name], state)
    alone = opened(kind, taps=("residual",))
    assert [tap.name for tap in residual] == list(alone.layers)
    assert [tap.depth for tap in residual] == list(alone.depth)


@pytest.mark.parametrize("kind", [*TEXTS, *IMAGES])
def test_heads_through_the_output_projection_are_the_attention(opened, kind):
    network = opened(kind)
    found = answers(network, kind)
    model = network.model.backbone if kind in TEXTS else network.model.model
    count = 4 if kind in TEXTS else 2
    blocks = list(blocks_of(network))
    assert len(blocks) == 3
    for _, attention, _, heads in blocks:
        projection = model.get_submodule(attention.path)
        assert len(heads) == count
        # (inputs, outputs); GPT-2's Conv1D keeps it so, a linear layer the other way round.
        weight = projection.weight if kind == "gpt2" else projection.weight.T
        parts = weight.split(len(weight) // count)
        with torch.inference_mode():
            summed = sum(found[head.name] @ part for head, part in zip(heads, parts, strict=True))
            summed = summed if projection.bias is None else summed + projection.bias
        torch.testing.assert_close(summed, found[attention.name], atol=2e-5, rtol=1e-4)
        assert float(found[heads[0].name].std()) > 1e-4
        assert not torch.allclose(found[heads[0].name], found[heads[1].name])


@pytest.mark.parametrize("kind", ADDITIVE)
def test_attention_and_mlp_add_up_to_what_a_block_adds(opened, kind):
    network = opened(kind)
    found = answers(network, kind)
    stream = [tap.name for tap in network.model.taps if tap.state is not None]
    normed = network.provenance["last_layer"] != "as the last block gives it"
    blocks = list(blocks_of(network))
    for index, (block, attention, mlp, _) in enumerate(blocks[: len(blocks) - normed]):
        assert block.name == stream[index + 1]
        added = found[attention.name] + found[mlp.name]
        torch.testing.assert_close(
            found[stream[index]] + added, found[stream[index + 1]], atol=2e-5, rtol=1e-4
        )


@pytest.mark.parametrize("kind", ["bert", "gpt2", "t5", "vit", "clip"])
def test_names_units_and_depths(opened, kind):
    network = opened(kind)
    names = {
        "bert": ("encoder.layer.1", "attention.output.dense", "output.dense", "attention[head 3]"),
        "gpt2": ("h.1", "attn.c_proj", "mlp.c_proj", "attn[head 3]"),
        "t5": (
            "encoder.block.1",
            "layer.0.SelfAttention.o",
            "layer.1.DenseReluDense.wo",
            "layer.0.SelfAttention[head 3]",
        ),
        "vit": ("layers.1", "attention.o_proj", "mlp.fc2", "attention[head 1]"),
        "clip": ("vision_model.encoder.layers.1", "self_attn.out_proj", "mlp.fc2", "self_attn[head 1]"),
    }
    block, *parts = names[kind]
    sizes = [16, 16, 16, 4 if kind in TEXTS else 8]
    for name, units in zip([block, *(f"{block}.{part}" for part in parts)], sizes, strict=True):
        place = network.layers.index(name)
        assert network.depth[place] == 2 / 3
        assert network.units[place] == units
    assert list(network.depth) == sorted(network.depth)
    # What happens first comes first: heads, attention, MLP, and then what leaves the block.
    within = [name for name in network.layers if name.startswith(f"{block}.") or name == block]
    assert within[-3:] == [f"{block}.{parts[0]}", f"{block}.{parts[1]}", block]


@pytest.mark.parametrize("kind", ["bert", "gpt2", "opt", "llama"])
def test_words_are_pooled_alike_at_every_tap(opened, kind):
    network = opened(kind, context=3)
    found = network.run(network.windows(words(WORDS)))
    for item in (0, 5):  # alone, without padding and without batches
        (window,) = network.windows(words(WORDS), [item])
        single = network.run([window])
        for many, one in zip(found, single, strict=True):
            np.testing.assert_allclose(many[item], one[0], atol=2e-6)
    ids = network.tokenizer(" ".join(WORDS[2:6]), return_tensors="pt")["input_ids"]
    raw = {}
    network.model.read(ids, torch.ones_like(ids), lambda place, answer: raw.update({place: answer.clone()}))
    for place, values in enumerate(found):
        np.testing.assert_allclose(values[5], raw[place][0, -1], atol=2e-6)


def test_images_are_pooled_alike_at_every_tap(opened, pictures):
    network = opened("dinov2_with_registers", tokens=True, batch=3)
    found = network.run(network.windows(pictures))
    pixels = network.model.prepare([read_image(uri) for uri in pictures["uri"]])
    raw = {}

    def receive(place, answer):
        raw[place] = answer.clone()

    with torch.inference_mode():
        read(network.model.model, network.model.taps, lambda: network.model.show(pixels), receive)
    count = len(network.layers)
    for place in range(count):
        np.testing.assert_allclose(found[place], raw[place][:, 5:].mean(1), atol=1e-5)
        np.testing.assert_allclose(found[count + place], raw[place][:, 5:], atol=1e-5)


def kept(network):
    return [network.layers[index] for index in network.kept]


def test_layers_by_pattern_depth_name_and_path(opened):
    def layers(*wanted, taps=("residual",), kind="bert"):
        return kept(opened(kind, layers=wanted, taps=taps))

    blocks = [f"encoder.layer.{index}" for index in range(3)]
    assert layers("encoder.layer.*") == blocks
    assert layers("depth:0.5", "depth:1") == [blocks[0], blocks[2]]  # of two as near, the shallower
    assert layers("depth:0.7", taps=("attention", "mlp")) == [
        "encoder.layer.1.attention.output.dense",
        "encoder.layer.1.output.dense",
    ]
    # Known by name though not among the taps, and any module at all.
    assert layers("encoder.layer.1", taps=("mlp",)) == ["encoder.layer.1"]
    assert layers("encoder.layer.1.attention[head 2]") == ["encoder.layer.1.attention[head 2]"]
    assert layers("*.1.attention[head ?]") == [f"encoder.layer.1.attention[head {head}]" for head in range(4)]
    assert layers("encoder.layer.?.intermediate") == [f"{block}.intermediate" for block in blocks]
    network = opened("bert", layers=("encoder.layer.0.intermediate.dense", "embeddings.LayerNorm"))
    assert [network.depth[index] for index in network.kept] == [0, 1 / 3]
    assert [network.units[index] for index in network.kept] == [16, 24]
    # A norm behind the blocks is as deep as the last of them.
    network = opened("vit", layers=("layernorm", "layers.0.mlp.fc1"))
    assert [network.depth[index] for index in network.kept] == [1 / 3, 1]
    assert [network.units[index] for index in network.kept] == [32, 16]


def test_blocks_of_a_convolutional_network(opened, pictures):
    network = opened("resnet", taps=("residual",), layers=("encoder.stages.*.layers.*.shortcut", "depth:1"))
    assert kept(network)[-1] == "encoder.stages.3"
    assert network.depth[network.layers.index("encoder.stages.2.layers.0.shortcut")] == 0.75
    assert all(np.isfinite(layer).all() for layer in network.run(network.windows(pictures)))


def refused(opened, kind, **changes):
    with pytest.raises(NetworkError) as caught:
        opened(kind, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_tapped(opened, texts):
    assert "taps names 'attention', which is not known of ResNetModel (known: residual)" in refused(
        opened, "resnet", taps=("attention",)
    )
    assert "no relative depth" in refused(opened, "bert", layers=("depth:half",))
    assert "no layer 'encoder.layers.*'" in refused(opened, "bert", layers=("encoder.layers.*",))
    assert "did you mean 'encoder.layer.1.attention[head" in refused(
        opened, "bert", layers=("encoder.layer.1.attention[head 9]",)
    )
    assert "answers (1, 16), not one array for every token" in refused(opened, "bert", layers=("pooler",))
    with pytest.raises(ValueError, match="taps"):
        Text(source="x", taps=("everything",))
    with pytest.raises(ValueError, match="taps"):
        Text(source="x", taps=())


def test_first_tensor():
    one, two = torch.zeros(2), torch.ones(2)
    assert first_tensor(one) is one
    assert first_tensor((None, two, one)) is two
    assert first_tensor([one]) is one
    assert first_tensor({"a": two}) is two
    assert first_tensor(None) is None


def test_values_changed_in_place_are_read_before():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(inplace=True))
    shown, found = torch.randn(5, 2), {}
    with torch.no_grad():
        truth = model[0](shown)
        read(
            model,
            [Tap("0", 0, "0"), Tap("1", 1, "1")],
            lambda: (model(shown), ())[1],
            lambda place, answer: found.update({place: answer.clone()}),
        )
    assert torch.equal(found[0], truth)
    assert torch.equal(found[1], truth.clamp(min=0))
    assert not model[0]._forward_hooks


@pytest.mark.parametrize("kind", [*TEXTS, *IMAGES])
def test_the_table_knows_units_without_weights(opened, kind):
    network = opened(kind)
    table = layer_table(network.settings)
    assert [layer.name for layer in table] == list(network.layers)
    assert [layer.depth for layer in table] == list(network.depth)
    assert [layer.units for layer in table] == list(network.units)
    assert all(layer.kept for layer in table)


def test_layers_command_prints_a_table(texts, image_models, tmp_path, capsys):
    (tmp_path / "study.yaml").write_text(f"""
dataset: {{path: x, task: y}}
responses: {{kind: volume}}
networks:
  words: {{source: {texts("gpt2")}, layers: ["depth:0"]}}
  eyes: {{family: vision, source: {image_models("vit")}, taps: [residual, heads]}}
""")
    assert cli.main(["layers", str(tmp_path / "study.yaml")]) == 0
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    rows = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert rows[0] == ["network", "layer", "units", "tokens", "depth", "kept"]
    assert rows[1] == ["words", "wte", "16", "0.000", "yes"]
    assert rows[2] == ["words", "h.0", "16", "0.333"]
    assert ["eyes", "layers.1.attention[head 0]", "8", "4 × 4 + 1", "0.667", "yes"] in rows
    assert len(rows) == 1 + 4 + 4 + 6


def test_report_says_what_was_tapped():
    settings = Text(source="a", taps=("attention", "heads"))
    assert "7 layers (attention, single heads), averaged" in settings.described("net", 7, "its run")
    assert settings.facts == ("context 32 words", "attention, single heads")
    assert "7 layers, averaged" in Text(source="a").described("net", 7, "its run")
    assert "7 layers (MLP), averaged" in Vision(source="a", taps=("mlp",)).described("net", 7, "")
