"""Features made elsewhere: every format gives its rows, and what does not fit is refused in one line."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from PIL import Image

from neuroalign.activations import extract
from neuroalign.artefacts.arrays import open_activations
from neuroalign.errors import ConfigError, DataError, NetworkError
from neuroalign.networks.families import layer_names, layer_table, open_network
from neuroalign.settings.configfile import parse
from neuroalign.settings.features import Features
from neuroalign.stimuli.media import content_digest, in_stack

VALUES = np.random.default_rng(0).standard_normal((4, 3)).round(6)
NAMES = ["c.png", "a/b.png", "a/a.png", "b/a.png"]


def write(folder, values=VALUES, kind="npy"):
    path = folder / f"own.{kind}"
    if kind == "npy":
        np.save(path, values)
    elif kind == "npz":
        np.savez(path, own=values, other=values[:, :1])
    elif kind == "tsv":
        pd.DataFrame(values).to_csv(path, sep="\t", index=False)
    elif kind == "zarr":
        zarr.open_group(path, mode="w").create_array("deep/own", data=values)
    else:
        with h5py.File(path, "w") as file:
            file["deep/own"] = values
    return str(path)


def name_rows(folder, names=NAMES):
    path = folder / "items.tsv"
    pd.DataFrame({"item": names, "kind": "x"}).to_csv(path, sep="\t", index=False)
    return str(path)


@pytest.fixture
def images(tmp_path):
    """Every image once, in another order than the rows of the array."""
    table = pd.DataFrame({"name": [*sorted(NAMES), "c.png"]})
    for number, name in enumerate(sorted(NAMES)):
        path = tmp_path / "stimuli" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((2, 2), number, np.uint8)).save(path)
    table["uri"] = [str(tmp_path / "stimuli" / name) for name in table["name"]]
    table["digest"] = table["uri"].map(content_digest)
    return table.assign(item=range(5), passage=range(5), position=0, sentence=0, text="", modality="image")


EXPECTED = VALUES[[2, 1, 3, 0, 0]]


@pytest.mark.parametrize(
    ("kind", "dataset"),
    [("npy", None), ("npz", "own"), ("tsv", None), ("zarr", "deep/own"), ("h5", None), ("hdf5", "deep/own")],
)
def test_rows_are_found_by_the_ends_of_addresses(tmp_path, images, kind, dataset):
    settings = Features(path=write(tmp_path, kind=kind), dataset=dataset, items=name_rows(tmp_path))
    assert layer_names(settings) == ["features"]
    assert [(layer.name, layer.units) for layer in layer_table(settings)] == [("features", 3)]
    extract(settings, "own", images, tmp_path / "own.activations.zarr")
    found = open_activations(tmp_path / "own.activations.zarr")
    np.testing.assert_array_equal(found.read(0), EXPECTED.astype(np.float32))
    assert found.inputs[3] == found.inputs[4] == int(content_digest(images["uri"][3]), 16)


def test_words_are_found_by_their_text(tmp_path):
    words = pd.DataFrame({"text": ['say "no"', "n/a", "say", "", "n/a"], "modality": "text"})
    words = words.assign(item=range(5), passage=0, position=range(5), sentence=0)
    path = tmp_path / "items.tsv"
    path.write_text('item\nsay\n\nn/a\nsay "no"\n', encoding="utf-8")
    network = open_network(Features(path=write(tmp_path), items=str(path)))
    network.check_items(words)
    windows = network.windows(words, [0, 1, 2, 3, 4])
    assert [window.row for window in windows] == [3, 2, 0, 1, 2]
    assert windows[1].digest == windows[4].digest != windows[0].digest
    np.testing.assert_array_equal(network.run(windows)[0], VALUES[[3, 2, 0, 1, 2]].astype(np.float32))


def test_images_of_a_stack_are_found(tmp_path, images):
    address = in_stack(tmp_path / "stack.h5", "brick", 7)
    items = name_rows(tmp_path, [*NAMES[:3], "stack.h5::brick[7]"])
    network = open_network(Features(path=write(tmp_path), items=items))
    assert network.windows(images.iloc[:1].assign(uri=address))[0].row == 3


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["c.png", "x.png", "a/a.png", "b/a.png"], r"a/b\.png' \(1 of 4 stimuli have none\)"),
        (["c.png", "a/b.png", "a.png", "d"], "'a.png' is the end of both"),
    ],
)
def test_names_that_miss_or_confuse_stimuli_are_refused(tmp_path, images, names, said):
    network = open_network(Features(path=write(tmp_path), items=name_rows(tmp_path, names)))
    with pytest.raises(DataError, match=said) as caught:
        network.check_items(images)
    assert "\n" not in str(caught.value)


def test_one_image_under_two_names_has_one_row_of_features(tmp_path, images):
    same = images.assign(digest=[images["digest"][0]] * 2 + list(images["digest"][2:]))
    values = VALUES.copy()
    network = open_network(Features(path=write(tmp_path, values), items=name_rows(tmp_path)))
    with pytest.raises(DataError, match="are the same image but have different features"):
        network.check_items(same)
    values[1] = values[2]
    open_network(Features(path=write(tmp_path, values), items=name_rows(tmp_path))).check_items(same)


@pytest.mark.parametrize(("value", "dtype"), [(np.nan, "float32"), (np.inf, "float32"), (1e6, "float16")])
def test_features_that_are_not_finite_are_refused(tmp_path, images, value, dtype):
    values = VALUES.copy()
    values[3, 1] = value
    network = open_network(Features(path=write(tmp_path, values), items=name_rows(tmp_path), dtype=dtype))
    with pytest.raises(DataError, match=r"row 3 \(from 0\).*must be finite"):
        network.check_items(images)
    network.check_items(images[~images["name"].eq("b/a.png")])


def test_names_of_rows_fit_the_array(tmp_path):
    own = write(tmp_path)
    for names, said in (
        (NAMES[:3], "names 3 stimuli, but .* has 4 rows"),
        (["a"] * 4, "'a' stands there twice"),
    ):
        with pytest.raises(NetworkError, match=said):
            layer_names(Features(path=own, items=name_rows(tmp_path, names)))
    with pytest.raises(NetworkError, match="items: no file at"):
        open_network(Features(path=own, items=str(tmp_path / "gone.tsv")))
    pd.DataFrame({"items": NAMES}).to_csv(tmp_path / "other.tsv", sep="\t", index=False)
    with pytest.raises(NetworkError, match="no column 'item': did you mean 'items'"):
        open_network(Features(path=own, items=str(tmp_path / "other.tsv")))


@pytest.mark.parametrize(
    ("kind", "dataset", "said"),
    [
        ("npz", None, "holds several arrays; name one as dataset"),
        ("npz", "won", "has no array 'won': did you mean 'own'"),
        ("h5", "deep", r"has no array 'deep'.*deep/own"),
        ("zarr", "nothing", "has no array 'nothing'"),
        ("npy", "own", "drop dataset 'own'"),
        ("tsv", "own", "drop dataset 'own'"),
    ],
)
def test_the_array_is_named_where_there_are_several(tmp_path, kind, dataset, said):
    with pytest.raises(NetworkError, match=said):
        layer_names(Features(path=write(tmp_path, kind=kind), dataset=dataset, items="x"))


@pytest.mark.parametrize("values", [VALUES[0], VALUES[None], VALUES.astype(str), VALUES * 1j, VALUES[:0]])
def test_what_is_no_matrix_of_numbers_is_refused(tmp_path, values):
    with pytest.raises(NetworkError, match=r"expected a matrix of numbers \(item, unit\)"):
        layer_names(Features(path=write(tmp_path, values), items="x"))


class Trap:
    def __reduce__(self):
        return pytest.fail, ("a pickle was opened",)


def test_pickles_are_never_opened(tmp_path):
    np.save(tmp_path / "own.npy", np.array([[Trap()]], object), allow_pickle=True)
    with pytest.raises(NetworkError, match="not an array that can be read") as caught:
        layer_names(Features(path=str(tmp_path / "own.npy"), items="x"))
    assert "\n" not in str(caught.value)
    (tmp_path / "own.pkl").write_bytes(pickle.dumps(VALUES))
    with pytest.raises(NetworkError, match=r"'.pkl' is no format of features"):
        layer_names(Features(path=str(tmp_path / "own.pkl"), items="x"))


@pytest.mark.parametrize("kind", ["npy", "npz", "tsv", "h5", "zarr"])
def test_damaged_files_are_said_so_in_one_line(tmp_path, kind):
    path = tmp_path / f"own.{kind}"
    path.write_bytes(b"\x00 nothing of the kind \xff\n\x00\n")
    with pytest.raises(NetworkError, match="not an array that can be read") as caught:
        layer_names(Features(path=str(path), items="x"))
    assert "\n" not in str(caught.value)
    with pytest.raises(NetworkError, match="no file at"):
        layer_names(Features(path=str(tmp_path / f"gone.{kind}"), items="x"))


def test_variables_are_expanded_and_other_keys_refused(monkeypatch):
    study = {"dataset": {"path": "x", "task": "t"}, "responses": {"kind": "parcels"}}
    keys = {"family": "features", "path": "${OWN}/a.npy", "items": "${OWN}/items.tsv"}
    with pytest.raises(ConfigError, match="environment variable OWN is not set"):
        parse({**study, "networks": {"n": keys}})
    monkeypatch.setenv("OWN", "/data")
    assert parse({**study, "networks": {"n": keys}}).networks["n"].named == "/data/a.npy"
    with pytest.raises(ConfigError, match=r"unknown key 'networks.n.context'"):
        parse({**study, "networks": {"n": {**keys, "context": 3}}})
    with pytest.raises(ConfigError, match=r"networks.n.family is 'feature': did you mean 'features'"):
        parse({**study, "networks": {"n": {**keys, "family": "feature"}}})
