"""Networks whose folder is not what it should be: nothing is run, nothing is guessed."""

from __future__ import annotations

import json
import os
import pickle
import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

CHECK, NET = ("check",), ("activations", "--network", "net")


@pytest.fixture(scope="session")
def kept_network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network") / "net"
    words = {f"word{number}": number + 5 for number in range(60)}
    made = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, **words}, "[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
    transformers.BertModel(transformers.BertConfig(vocab_size=70, **sizes)).save_pretrained(folder)
    return folder


@pytest.fixture
def network(story, kept_network, run):
    shutil.copytree(kept_network, story.folder / "net")
    story.config["networks"] = {
        "net": {"source": str(story.folder / "net"), "untrained": False, "context": 4}
    }
    for command in ("index", "stimuli"):
        assert run(command, story.save()).status == 0
    return story


def test_well_before(network, run):
    assert run("check", network.save()).status == 0
    ran = run(NET[0], network.save(), *NET[1:])
    assert ran.status == 0, ran.err


class Evil:
    """What a pickle may hold: a command that leaves a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def as_pickle(folder):
    (folder / "model.safetensors").unlink()
    with (folder / "pytorch_model.bin").open("wb") as file:
        pickle.dump(Evil(folder / "trace"), file)


def described(folder, **keys):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def remote(folder):
    (folder / "own.py").write_text(f"import os\nos.mkdir({str(folder / 'trace')!r})\n")
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    path.write_text(json.dumps(content))


def header_of_ten_terabytes(folder):
    head = json.dumps({"w": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}).encode()
    (folder / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head)


def shards_elsewhere(folder):
    (folder / "model.safetensors").replace(folder.parent / "secret.safetensors")
    index = {"metadata": {}, "weight_map": {"w": "../secret.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


CASES = {
    "no-folder": (shutil.rmtree, (CHECK, NET), "net"),
    "no-description": (lambda f: (f / "config.json").unlink(), (CHECK, NET), "config.json"),
    "empty-description": (lambda f: (f / "config.json").write_text(""), (CHECK, NET), "net"),
    "description-of-a-list": (lambda f: (f / "config.json").write_text("[]"), (CHECK, NET), "net"),
    "unknown-kind": (lambda f: described(f, model_type="nothing"), (CHECK, NET), "net"),
    "image-network": (lambda f: (f / "config.json").write_text('{"model_type": "vit"}'), (CHECK, NET), "net"),
    "other-sizes": (lambda f: described(f, hidden_size=16), (NET,), "net"),
    "more-layers": (lambda f: described(f, num_hidden_layers=5), (NET,), "net"),
    "heads-do-not-divide": (lambda f: described(f, num_attention_heads=3), (CHECK, NET), "net"),
    "below-zero": (lambda f: described(f, hidden_size=-8), (CHECK, NET), "net"),
    "ten-terabytes": (lambda f: described(f, hidden_size=2 * 10**6, vocab_size=10**6), (NET,), "net"),
    "remote-code": (remote, (CHECK, NET), "net"),
    "no-weights": (lambda f: (f / "model.safetensors").unlink(), (NET,), "model.safetensors"),
    "pickle": (as_pickle, (NET,), "safetensors"),
    "cut": (lambda f: cut(f / "model.safetensors"), (NET,), "net"),
    "empty": (lambda f: (f / "model.safetensors").write_bytes(b""), (NET,), "net"),
    "garbage": (lambda f: (f / "model.safetensors").write_bytes(b"garbage" * 99), (NET,), "net"),
    "huge-header": (header_of_ten_terabytes, (NET,), "net"),
    "shards-elsewhere": (shards_elsewhere, (NET,), "secret.safetensors"),
    "no-tokenizer": (lambda f: (f / "tokenizer.json").unlink(), (NET,), "net"),
    "broken-tokenizer": (lambda f: (f / "tokenizer.json").write_text("{"), (NET,), "net"),
}


@pytest.mark.parametrize(
    ("name", "command"),
    [(name, command) for name, (_, commands, _) in CASES.items() for command in commands],
    ids=lambda part: part if isinstance(part, str) else part[0],
)
def test_a_folder_that_is_no_network(network, refused, name, command):
    damage, _, named = CASES[name]
    damage(network.folder / "net")
    refused(network, *command, named=(named,))
    assert not (network.folder / "net/trace").exists(), "code of the folder was run"


def test_weights_of_nan(network, refused):
    path = network.folder / "net/model.safetensors"
    from safetensors.torch import load_file

    save_file(
        {key: torch.full_like(value, np.nan) for key, value in load_file(path).items()},
        path,
        {"format": "pt"},
    )
    refused(network, *NET, named=("layer", "not numbers"))


@pytest.mark.parametrize("sha", ["0" * 64, "abc", ""])
def test_weights_of_another_digest(network, refused, sha):
    network.set("networks.net.sha256", sha)
    refused(network, *NET, named=("sha256",))


FILES = {
    "pickle": lambda path: path.write_bytes(pickle.dumps(Evil(path.with_name("trace")))),
    "garbage": lambda path: path.write_bytes(b"garbage" * 99),
    "empty": lambda path: path.write_bytes(b""),
    "tensor": lambda path: torch.save(torch.zeros(3), path),
    "other": lambda path: torch.save({"w": torch.zeros(3)}, path),
    "object": lambda path: torch.save({"w": Evil(path.with_name("trace"))}, path),
}


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_holds_no_weights(network, refused, run, monkeypatch, name, ending):
    from PIL import Image

    path = network.folder / f"weights{ending}"
    FILES[name](path)
    (network.data / "stimuli").mkdir()
    for number in range(54):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(network.data / f"stimuli/word{number}", "png")
    network.set("stimuli", {"modality": "image", "column": "word"})
    (network.folder / "own_factory.py").write_text(
        "from torch.nn import Conv2d, Sequential\n"
        "def make():\n    return Sequential(Conv2d(3, 2, 3), Conv2d(2, 2, 3))\n"
    )
    monkeypatch.syspath_prepend(str(network.folder))
    own = {"family": "module", "factory": "own_factory:make", "untrained": False}
    network.config["networks"] = {"net": {**own, "file": str(path), "preprocessing": {"size": 8, "crop": 8}}}
    for command in ("index", "stimuli"):
        assert run(command, network.save()).status == 0
    refused(network, *NET, named=("weights",))
    assert not path.with_name("trace").exists(), "code of the file was run"
