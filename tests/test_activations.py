"""Extraction into a Zarr store: resumed after a kill, the same bytes as undisturbed."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tokenizers
import torch
import transformers
import xarray as xr

import neuroalign
from neuroalign import activations
from neuroalign.activations import extract
from neuroalign.artefacts.arrays import open_activations
from neuroalign.errors import DataError
from neuroalign.networks.language.text import TextNetwork, open_network
from neuroalign.settings.networks import Text

pytestmark = pytest.mark.usefixtures("one_thread")

TEXT = "the cat sat on a mat and saw one more bird fly over two old red barns by night"
WORDS = TEXT.split()
CHUNK = 16


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    vocabulary = {word: index for index, word in enumerate(["[UNK]", "[PAD]", *WORDS])}
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    core.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="[UNK]", pad_token="[PAD]"
    ).save_pretrained(folder)
    configuration = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        transformers.AutoModel.from_config(configuration).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def settings(source):
    return Text(source=source, context=3, batch_tokens=32, device="cpu")


@pytest.fixture
def items():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"text": rng.choice(WORDS, 75), "passage": np.repeat([0, 1, 2], 25)})
    table["position"] = table.groupby("passage").cumcount()
    return table.assign(item=range(75), sentence=0, modality="text")


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(activations, "ITEMS_PER_CHUNK", CHUNK)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_store_holds_what_the_network_gives(settings, items, tmp_path):
    path = tmp_path / "activations" / "net.zarr"
    extract(settings, "net", items, path)
    assert [entry.name for entry in path.parent.iterdir()] == ["net.zarr"]
    store = open_activations(path)
    network = open_network(settings)
    windows = network.windows(items)
    assert store.layers == network.layers == ("embeddings", "encoder.layer.0", "encoder.layer.1")
    np.testing.assert_array_equal(store.depth, [0, 0.5, 1])
    np.testing.assert_array_equal(store.inputs, np.array([w.digest for w in windows], np.uint64))
    for place, truth in enumerate(network.run(windows)):
        np.testing.assert_allclose(store.read(place), truth, atol=2e-6)
        assert store.read(place).dtype == np.float32
    attributes = store.attributes
    assert attributes["complete"] is True
    assert attributes["network"] == "net"
    assert attributes["units"] == [16, 16, 16]
    assert len(attributes["weights_sha256"]) == 64
    assert attributes["max_context_truncated"] == 0
    assert {"torch", "transformers", "zarr"} <= set(attributes["versions"])
    json.dumps(attributes)


def test_opens_with_xarray(settings, items, tmp_path):
    extract(settings, "net", items, tmp_path / "net.zarr")
    with xr.open_datatree(tmp_path / "net.zarr", engine="zarr", consolidated=False) as tree:
        layer = tree["layer-002"]["activation"]
        assert layer.dims == ("item", "unit")
        assert layer.shape == (75, 16)
        assert tree["input"].dims == ("item",)
        assert tree["input"].dtype == np.uint64
        assert np.isfinite(layer).all()


def test_kept_layers_in_half_precision(settings, items, tmp_path):
    chosen = settings.model_copy(update={"layers": ("encoder.layer.1",), "dtype": "float16"})
    extract(chosen, "net", items, tmp_path / "net.zarr")
    store = open_activations(tmp_path / "net.zarr")
    assert store.layers == ("encoder.layer.1",)
    np.testing.assert_array_equal(store.depth, [1])
    assert store.read(0).dtype == np.float16
    extract(settings, "net", items, tmp_path / "all.zarr")
    np.testing.assert_allclose(
        store.read(0), open_activations(tmp_path / "all.zarr").read(2), rtol=2e-3, atol=1e-3
    )


def test_equal_windows_are_computed_once(settings, items, tmp_path, monkeypatch):
    shown = []
    run = TextNetwork.run

    def counted(self, windows, advance=None):
        shown.append(len(windows))
        return run(self, windows, advance)

    monkeypatch.setattr(TextNetwork, "run", counted)
    alone = settings.model_copy(update={"context": 0})
    extract(alone, "net", items, tmp_path / "net.zarr")
    chunks = [items["text"][start : start + CHUNK] for start in range(0, 75, CHUNK)]
    assert shown == [chunk.nunique() for chunk in chunks]
    layer = open_activations(tmp_path / "net.zarr").read(2)
    for chunk in chunks:
        for _, same in chunk.groupby(chunk):
            assert (layer[same.index] == layer[same.index[0]]).all()


def test_same_config_gives_same_bytes(settings, items, tmp_path):
    for name in ("one", "two"):
        extract(settings, "net", items, tmp_path / name / "net.zarr", seed=5)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


class Stop(Exception):
    """The job is cut short."""


def stop_after(monkeypatch, chunks):
    """Let the job die in the middle of writing the chunk after the first `chunks`."""
    written = []
    whole = activations._Partial._array

    def array(self, name):
        if name == "layer-001/activation":
            if len(written) == chunks:
                raise Stop
            written.append(name)
        return whole(self, name)

    monkeypatch.setattr(activations._Partial, "_array", array)


def test_goes_on_where_it_stopped(settings, items, tmp_path, monkeypatch, caplog):
    settings = settings.model_copy(update={"context": 24})  # more than the network takes
    extract(settings, "net", items, tmp_path / "whole" / "net.zarr")
    path = tmp_path / "cut" / "net.zarr"
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(Stop):
            extract(settings, "net", items, path)
    assert [entry.name for entry in path.parent.iterdir()] == ["net.zarr.partial"]
    with pytest.raises(DataError, match="did not end"):
        open_activations(path.parent / "net.zarr.partial" / "net.zarr")
    with caplog.at_level(logging.INFO, "neuroalign"):
        extract(settings, "net", items, path)
    assert f"goes on at item {3 * CHUNK} of 75" in caplog.text
    assert contents(path.parent) == contents(tmp_path / "whole")
    assert open_activations(path).attributes["max_context_truncated"] == 3 * (25 - 16)


@pytest.mark.parametrize("change", ["settings", "items", "seed", "weights", "damage"])
def test_partial_store_of_something_else_is_discarded(settings, items, tmp_path, monkeypatch, caplog, change):
    path = tmp_path / "net.zarr"
    before, words, seed = settings, items, 0
    if change == "settings":
        before = settings.model_copy(update={"context": 2})
    elif change == "items":
        words = items.assign(text=items["text"][::-1].to_numpy())
    elif change == "seed":
        settings = before = settings.model_copy(update={"weights": "random"})
        seed = 1
    elif change == "weights":
        before = settings.model_copy(update={"weights": "random"})
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(Stop):
            extract(before, "net", words, path, seed)
    if change == "damage":
        (tmp_path / "net.zarr.partial" / "progress.json").write_text("{")
    with caplog.at_level(logging.INFO, "neuroalign"):
        extract(settings, "net", items, path)
    assert "discarded, it was begun with other settings" in caplog.text
    extract(settings, "net", items, tmp_path / "fresh" / "net.zarr")
    assert contents(path) == contents(tmp_path / "fresh" / "net.zarr")


def test_killed_process_loses_only_the_chunk_in_flight(settings, items, tmp_path):
    items.to_parquet(tmp_path / "items.parquet")
    path = tmp_path / "killed" / "net.zarr"
    script = f"""
        import os, signal
        import pandas as pd
        from neuroalign import activations
        from neuroalign.settings.networks import Text

        activations.ITEMS_PER_CHUNK = {CHUNK}
        whole = activations._Partial._array
        counts = []

        def array(self, name):
            counts.append(name)
            if counts.count("layer-001/activation") == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return whole(self, name)

        activations._Partial._array = array
        settings = Text.model_validate_json({settings.model_dump_json()!r})
        items = pd.read_parquet({str(tmp_path / "items.parquet")!r})
        activations.extract(settings, "net", items, {str(path)!r})
    """
    root = Path(neuroalign.__file__).parents[1]
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=root, check=False)
    assert ended.returncode == -signal.SIGKILL
    progress = json.loads((path.parent / "net.zarr.partial" / "progress.json").read_text())
    assert progress["items"] == 2 * CHUNK
    extract(settings, "net", items, path)
    extract(settings, "net", items, tmp_path / "whole" / "net.zarr")
    assert contents(path.parent) == contents(tmp_path / "whole")


def test_replaces_an_older_store(settings, items, tmp_path):
    path = tmp_path / "net.zarr"
    extract(settings, "net", items, path)
    extract(settings, "net", items[:20], path)
    assert len(open_activations(path).inputs) == 20


def test_wide_networks_get_fewer_items_per_chunk(settings, items, tmp_path, monkeypatch):
    monkeypatch.setattr(activations, "CHUNK_BYTES", 7 * 3 * 16 * 4)
    extract(settings, "net", items, tmp_path / "net.zarr")
    metadata = json.loads((tmp_path / "net.zarr/layer-000/activation/zarr.json").read_text())
    assert metadata["chunk_grid"]["configuration"]["chunk_shape"] == [7, 16]


def test_says_what_it_does(settings, items, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "neuroalign"):
        extract(settings, "net", items, tmp_path / "net.zarr")
    assert "3 of 3 layers, 75 words, on cpu" in caplog.messages[0]
    assert "words/s, about" in caplog.messages[1]
    assert len(caplog.messages) == 2
