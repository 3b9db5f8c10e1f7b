"""Categories of stimuli, one-hot: from events and from tables, and what is wrong with them in one line."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from neuroalign import stages
from neuroalign.activations import extract
from neuroalign.artefacts.arrays import open_activations
from neuroalign.errors import DataError, NetworkError
from neuroalign.networks.families import layer_names, open_network
from neuroalign.provenance import triggers
from neuroalign.settings import configfile
from neuroalign.settings.features import Handmade
from neuroalign.stimuli.images import gather_images
from neuroalign.stimuli.labels import labelled


def words(**columns):
    table = pd.DataFrame({"text": ["cat", "sat", "cat", "ran"], **columns})
    return table.assign(item=range(4), passage=0, position=range(4), sentence=0, modality="text")


def run(network, items):
    network.check_items(items)
    return network.run(network.windows(items))[0]


def test_one_unit_for_every_category_of_the_events(tmp_path):
    items = words(label_kind=["noun", "verb", "noun", "n/a"])
    settings = Handmade(features=("category",), column="kind")
    network = open_network(settings)
    np.testing.assert_array_equal(run(network, items), [[1, 0], [0, 1], [1, 0], [0, 0]])
    assert network.units == (2,)
    assert network.provenance["categories"] == ["noun", "verb"]
    assert layer_names(settings) == ["category"]
    extract(settings, "kinds", items, tmp_path / "kinds.zarr")
    np.testing.assert_array_equal(open_activations(tmp_path / "kinds.zarr").read(0), run(network, items))


def test_a_table_says_the_category(tmp_path):
    (tmp_path / "kinds.tsv").write_text("item\tkind\nran\tb\ncat\tc\nsat\ta\nnever shown\td\n")
    network = open_network(Handmade(features=("category",), column="kind", table=str(tmp_path / "kinds.tsv")))
    np.testing.assert_array_equal(run(network, words()), [[0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 1, 0]])


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("item\tkind\na\tx\n", "kinds", "no column 'kinds': did you mean 'kind'"),
        ("item\tkind\ncat\tx\nsat\tx\nran\tx\n", "kind", "only 'x'; a category needs at least two levels"),
        ("item\tkind\ncat\t\nsat\tn/a\n", "kind", "says nothing; a category needs"),
        ("word\tkind\ncat\tx\n", "kind", "no column 'item'"),
    ],
)
def test_tables_that_will_not_do(tmp_path, text, column, message):
    (tmp_path / "kinds.tsv").write_text(text)
    settings = Handmade(features=("category",), column=column, table=str(tmp_path / "kinds.tsv"))
    with pytest.raises(NetworkError, match=message) as caught:
        layer_names(settings)
    assert "\n" not in str(caught.value)


def test_a_stimulus_that_is_not_in_the_table(tmp_path):
    (tmp_path / "kinds.tsv").write_text("item\tkind\ncat\tx\nsat\ty\n")
    settings = Handmade(features=("category",), column="kind", table=str(tmp_path / "kinds.tsv"))
    with pytest.raises(DataError, match="no row for 'ran'"):
        open_network(settings).check_items(words())
    with pytest.raises(NetworkError, match="no file at"):
        layer_names(Handmade(features=("category",), column="kind", table=str(tmp_path / "no.tsv")))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"features": ("category",)}, "'column' goes with the feature category"),
        ({"features": ("gabor",), "column": "kind"}, "'column' goes with the feature category"),
        ({"features": ("gabor",), "table": "a.tsv"}, "no 'column' is named"),
        ({"features": ("category", "gabor"), "column": "kind"}, "mixes those of image"),
        ({"features": ("category",), "column": "kind", "tokens": True}, "a category has no places"),
    ],
)
def test_settings_that_will_not_do(keys, message):
    with pytest.raises(ValueError, match=message):
        Handmade(**keys)


def shown(kinds, uris=("a.png", "b.png", "a.png")):
    table = pd.DataFrame({"uri": uris, "onset": range(len(uris)), "duration": 1.0, "label_kind": kinds})
    place = {"subject": "01", "session": "", "task": "see", "run": "run-1"}
    return gather_images([table.assign(**place)], lambda uri: uri)


def test_labels_move_from_events_to_items():
    items, events = labelled(*shown(["x", "y", "x"]), ["kind"])
    assert dict(zip(items["uri"], items["label_kind"], strict=True)) == {"a.png": "x", "b.png": "y"}
    assert "label_kind" not in events
    assert "label_kind" not in labelled(*shown(["x", "y", "x"]), [])[0]
    with pytest.raises(DataError, match=r"'a\.png' is both 'x' and 'y'; a category is that of a stimulus"):
        labelled(*shown(["x", "y", "y"]), ["kind"])
    with pytest.raises(DataError, match="only 'x'; a category needs at least two levels"):
        labelled(*shown(["x", "x", "x"]), ["kind"])
    with pytest.raises(DataError, match="no column 'sort' beside them; give a table"):
        labelled(*shown(["x", "y", "x"]), ["sort"])


STUDY = {
    "dataset": {"task": "story"},
    "networks": {
        "minilm": {"source": "nowhere"},
        "kinds": {"family": "handmade", "features": ["category"], "column": "kind"},
    },
    "responses": {"kind": "parcels"},
    "design": {"nuisance": {"networks": ["kinds"]}},
}


def story(tree, tmp_path, kinds):
    (tree.root / "task-story_events.tsv").write_text(
        "onset\tduration\tword\tkind\n"
        + "".join(f"{row}\t1\t{word}\t{kind}\n" for row, (word, kind) in enumerate(kinds))
    )
    tree.folder("01", raw=True)
    (tree.folder("01") / "sub-01_task-story_timeseries.tsv").write_text("a\tb\n" + "1\t2\n3\t4\n" * 4)
    return configfile.parse(
        {**STUDY, "output": str(tmp_path / "out"), "dataset": {"path": str(tree.root), "task": "story"}}
    )


def test_through_the_stages(tree, tmp_path):
    study = story(tree, tmp_path, [("cat", "noun"), ("sat", "verb"), ("cat", "noun")])
    stages.index(study)
    stages.stimuli(study)
    stages.activations(study, "kinds")
    store = open_activations(tmp_path / "out" / "activations" / "kinds.zarr")
    np.testing.assert_array_equal(store.read(0), [[1, 0], [0, 1], [1, 0]])


def test_events_without_the_column_are_one_line(tree, tmp_path):
    study = story(tree, tmp_path, [("cat", "noun"), ("sat", "noun")])
    stages.index(study)
    with pytest.raises(DataError, match="column 'kind' says only 'noun'"):
        stages.stimuli(study)
    raw = study.model_dump(mode="json")
    raw["networks"]["kinds"]["column"] = "kid"
    with pytest.raises(DataError, match=r"events\.tsv: no column 'kid': did you mean 'kind'") as caught:
        stages.stimuli(configfile.parse(raw))
    assert "\n" not in str(caught.value)


def test_another_column_reads_the_events_again(tree, tmp_path):
    study = story(tree, tmp_path, [("cat", "noun")])
    raw = study.model_dump(mode="json")
    raw["networks"]["kinds"]["column"] = "other"
    assert triggers.settings_digest(study, "stimuli") != triggers.settings_digest(
        configfile.parse(raw), "stimuli"
    )
