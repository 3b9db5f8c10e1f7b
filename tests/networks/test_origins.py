"""What a network is made of: other files at the same paths have another digest, the same ones the same."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants

from neuroalign.networks import origins, sources
from neuroalign.networks.origins import SMALL_BYTES, origin_digest
from neuroalign.settings.families import FAMILIES


def network(family, **keys):
    return FAMILIES[family](**keys)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "saved"
    place.mkdir()
    for name in ("config.json", "tokenizer.json", "preprocessor_config.json", "notes.md"):
        (place / name).write_text("{}")
    (place / "model.safetensors").write_bytes(b"0" * 100)
    return place


@pytest.mark.parametrize(
    ("name", "counts", "of_twin"),
    [
        ("config.json", True, True),
        ("tokenizer.json", True, True),
        ("preprocessor_config.json", True, True),
        ("model.safetensors", True, False),
        ("notes.md", False, False),
    ],
)
def test_a_saved_model_is_its_files(folder, name, counts, of_twin):
    settings = network("vision", source=str(folder))
    before, twin = origin_digest(settings), origin_digest(settings.twin())
    state = (folder / name).stat()
    os.utime(folder / name, ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))
    assert origin_digest(settings) == before, "a small file with the same content"
    (folder / name).write_bytes(b"1" * state.st_size)
    os.utime(folder / name, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (origin_digest(settings) != before) == counts
    assert (origin_digest(settings.twin()) != twin) == of_twin


def test_large_weights_count_by_size_and_time(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(b"0" * (SMALL_BYTES + 1))
    settings = network("text", source=str(folder))
    before, state = origin_digest(settings), weights.stat()
    weights.write_bytes(b"1" * (SMALL_BYTES + 1))
    os.utime(weights, ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))
    after = origin_digest(settings)
    assert after != before
    assert origin_digest(settings) == after


def test_the_place_itself_does_not_count(folder, tmp_path):
    elsewhere = shutil.copytree(folder, tmp_path / "elsewhere")
    one, two = (origin_digest(network("text", source=str(place))) for place in (folder, elsewhere))
    assert one == two


def test_surprisal_counts_its_model(folder):
    settings = network("handmade", features=("surprisal",), model=str(folder))
    before = origin_digest(settings)
    (folder / "model.safetensors").write_bytes(b"1")
    assert origin_digest(settings) != before


def test_own_modules_are_their_weights_and_code(tmp_path, monkeypatch):
    package = tmp_path / "mine_for_origins"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('never imported')")
    (package / "nets.py").write_text("def make(): ...")
    (package / "parts.py").write_text("")
    (tmp_path / "w.pt").write_bytes(b"0")
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = network("module", factory="mine_for_origins.nets:make", file=str(tmp_path / "w.pt"))
    seen = {origin_digest(settings)}
    assert origin_digest(settings) in seen
    for name, text in (("w.pt", "1"), ("mine_for_origins/nets.py", "#"), ("mine_for_origins/parts.py", "#")):
        (tmp_path / name).write_text(text)
        assert origin_digest(settings) not in seen, name
        seen.add(origin_digest(settings))
    assert "mine_for_origins" not in sys.modules


def test_features_are_their_array_and_names(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    (tmp_path / "items.tsv").write_text("item\na\nb\nc\n")
    store = tmp_path / "x.zarr"
    (store / "c").mkdir(parents=True)
    (store / "c" / "0").write_bytes(b"0")
    for path, changed in (("x.npy", "x.npy"), ("x.npy", "items.tsv"), ("x.zarr", "x.zarr/c/0")):
        settings = network("features", path=str(tmp_path / path), items=str(tmp_path / "items.tsv"))
        before = origin_digest(settings)
        (tmp_path / changed).write_bytes(b"other")
        assert origin_digest(settings) != before, changed


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache of the hub with nothing in it, and a hub that says its newest commit."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    newest = {"commit": "a" * 40, "asked": 0}

    class Hub:
        def model_info(self, source, revision=None, timeout=None):
            newest["asked"] += 1
            return type("Info", (), {"sha": newest["commit"]})()

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    origins._newest.cache_clear()
    yield newest
    origins._newest.cache_clear()


def cache(commit, revision="main"):
    place = Path(constants.HF_HUB_CACHE, "models--some--net", "refs", revision)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(commit)


def test_a_name_on_the_hub_is_its_commit(hub):
    settings = network("text", source="some/net")
    before = origin_digest(settings)
    cache("a" * 40)
    assert origin_digest(settings) == before, "fetched: the same as was foreseen"
    hub["commit"] = "b" * 40
    assert origin_digest(settings) == before, "the branch moved on, this machine did not"
    assert hub["asked"] == 1
    cache("b" * 40)
    assert origin_digest(settings) != before
    pinned = origin_digest(network("text", source="some/net", revision="c" * 40))
    cache("d" * 40)
    assert origin_digest(network("text", source="some/net", revision="c" * 40)) == pinned
    assert hub["asked"] == 1


def test_a_branch_stays_at_the_commit_that_is_cached(hub, monkeypatch, tmp_path):
    asked = []

    def download(source, revision, allow_patterns):
        asked.append(revision)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    sources.locate("some/net")
    cache("a" * 40)
    sources.locate("some/net")
    assert asked == [None, "a" * 40]


def test_what_is_not_there_is_no_error(tmp_path):
    for settings in (
        network("text", source=str(tmp_path / "nowhere")),
        network("module", factory="no_such_package.at:all", file="nowhere.pt"),
        network("features", path="nowhere.npy", items="nowhere.tsv"),
    ):
        assert len(origin_digest(settings)) == 12
